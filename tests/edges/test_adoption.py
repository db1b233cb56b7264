"""Taking over what is live and not ours, by the host program; `tests/edges/test_adopt.py` has the command."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from host_program import adoption, receipts

from tests.edges.host import IDENTITY, Host, make_tar, make_zip, member
from tests.edges.test_kills import UNHEALTHY, deployment, each_step, leftovers, observed

LIVE = {"index.html": "1", "d/f": "x" * 100}


def by_hand(host: Host, *, link: bool = False) -> Path:
    """What somebody's scripts have made live, version 1; returns the directory that holds it."""
    top = host.path.with_name(f"{host.path.name}-by-hand") if link else host.path / "current"
    for name, text in LIVE.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if link:
        host.path.mkdir(parents=True)
        (host.path / "current").symlink_to(top)
    return top


def adopting(host: Host, version: str = "1", **settings: Any) -> dict[str, Any]:
    return {**deployment(host, version, **settings), "action": "adopt"}


def names(top: Path) -> list[str]:
    return sorted(path.name for path in top.iterdir())


def tree(top: Path) -> dict[str, tuple[int, int, str]]:
    """Everything below, no link followed: inode, time and content or target."""
    found = {}
    for path in sorted(top.rglob("*")):
        status = path.lstat()
        text = str(path.readlink()) if path.is_symlink() else path.read_text() if path.is_file() else ""
        found[str(path.relative_to(top))] = (status.st_ino, status.st_mtime_ns, text)
    return found


def refused(host: Host, placement: dict[str, Any]) -> str:
    """What check mode and the real run say, which is the same; what is live is as it was."""
    current = host.path / "current"
    before = (tree(current), current.is_symlink() and current.readlink())
    check = host.phase("stage", placement, check=True)
    answer = host.deploy(placement)
    assert check["problem"] == answer["problem"] is not None
    assert (tree(current), current.is_symlink() and current.readlink()) == before
    receipt = receipts.read_receipt(receipts.placement_directory(IDENTITY, "site", str(host.path)))
    assert not (receipt or {}).get("live")
    return str(answer["problem"]["message"] + " | " + answer["problem"]["resolution"])


@pytest.mark.parametrize("link", [False, True])
def test_what_is_the_same_is_taken_over_and_the_next_deployment_has_nothing_to_do(
    host: Host, link: bool
) -> None:
    top = by_hand(host, link=link)
    before = tree(top)
    inside = os.open(top, os.O_RDONLY)
    check = host.phase("activate", adopting(host), check=True)
    assert "would be taken over without a restart" in check["message"]
    assert host.phase("stage", adopting(host), check=True)["message"].endswith("is 1, file by file")
    assert (names(host.path), tree(top)) == (["current"], before)
    answer = host.deploy(adopting(host))
    kept = top if link else host.path / "current.before-adoption"
    assert (answer["result"], answer["changed"]) == ("healthy", True)
    assert str(kept) in answer["message"]
    assert tree(kept) == before
    assert os.fstat(inside).st_ino == kept.stat().st_ino
    os.close(inside)
    assert str((host.path / "current").readlink()).startswith("releases/1-")
    assert (observed(host)["version"], observed(host)["state"], observed(host)["problems"]) == (
        "1",
        "healthy",
        [],
    )
    assert host.deploy(deployment(host, "1"))["result"] == "unchanged"
    assert host.deploy(deployment(host, "2"))["result"] == "healthy"
    assert observed(host)["previous_version"] == "1"
    assert leftovers(host) == (set() if link else {"current.before-adoption"})
    assert host.phase("absent", deployment(host, "2"))["result"] == "absent"
    assert tree(kept) == before


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "content": (lambda top: (top / "d" / "f").write_text("y" * 100), "1 difference: d/f has other content"),
    "size": (lambda top: (top / "index.html").write_text("longer"), "index.html has other content"),
    "more": (lambda top: (top / "d" / "new").write_text(""), "d/new is only there"),
    "a directory more": (
        lambda top: (top / "logs" / "old").mkdir(parents=True),
        "1 difference: logs is only there",
    ),
    "less": (lambda top: (top / "d" / "f").unlink(), "d/f is missing"),
    "another kind": (
        lambda top: ((top / "index.html").unlink(), (top / "index.html").symlink_to("d/f")),
        "index.html is a link, and a file in the release",
    ),
    "a pipe": (
        lambda top: ((top / "index.html").unlink(), os.mkfifo(top / "index.html")),
        "index.html is a device, socket or pipe, and a file in the release",
    ),
    "a hostile name": (lambda top: (top / "\x1b[2J\n").write_text(""), r"'\x1b[2J\n' is only there"),
    "many": (
        lambda top: [(top / f"{number}").write_text("") for number in range(7)],
        "7 differences: 0 is only there; 1 is only there; 2 is only there; 3 is only there; 4 is only there; and 2 more",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("link", [False, True])
def test_what_differs_is_refused_and_said(host: Host, change: str, link: bool) -> None:
    alter, said = CHANGES[change]
    alter(by_hand(host, link=link))
    message = refused(host, adopting(host))
    assert f"{host.path}/current is not 1 of site; " in message
    assert said in message
    assert "or move it away, then deploy" in message


def test_links_are_compared_by_where_they_lead_and_modes_are_only_said(host: Host) -> None:
    archive = make_tar((member("a", mode=0o755), b"a"), (member("l", b"2", "a"), b""))
    placement = {**host.placement("1", host.publish("site-1.tar.gz", archive)), "action": "adopt"}
    current = host.path / "current"
    current.mkdir(parents=True)
    (current / "a").write_text("a")
    (current / "a").chmod(0o640)
    (current / "l").symlink_to("/etc/passwd")
    assert "l leads to /etc/passwd, and to a in the release" in refused(host, placement)
    (current / "l").unlink()
    (current / "l").symlink_to("a")
    for check in (True, False):
        host.runs += 1
        message = host.phase("stage", placement, check=check)["message"]
        assert "owner or mode of 1 of its files and directories will be the release's (a: 0640 of " in message
        assert f"becomes 0755 of {os.geteuid()}:{os.getegid()})" in message
    assert host.phase("activate", placement)["result"] == "healthy"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.mkdir(parents=True), "does not exist: there is nothing to take over"),
        (
            lambda path: (path.mkdir(parents=True), (path / "current").write_text("")),
            "neither a directory nor a link",
        ),
        (
            lambda path: (path.mkdir(parents=True), (path / "current").symlink_to("gone")),
            "leads to gone, which is no directory",
        ),
    ],
)
def test_what_cannot_be_taken_over_is_refused(host: Host, make: Callable[[Path], object], said: str) -> None:
    make(host.path)
    answer = host.deploy(adopting(host))
    assert said in answer["message"]
    assert answer["problem"]["kind"] == "conflict"
    assert host.phase("stage", adopting(host), check=True)["problem"] == answer["problem"]


def test_release_of_ours_is_left_to_deployments(host: Host) -> None:
    assert host.deploy(deployment(host, "1"))["result"] == "healthy"
    inode = os.lstat(host.path / "current").st_ino
    assert host.deploy(adopting(host))["result"] == "unchanged"
    assert os.lstat(host.path / "current").st_ino == inode
    for placement in (adopting(host, configuration_digest="c2"), adopting(host, "2")):
        answer = host.deploy(placement)
        assert answer["problem"]["kind"] == "conflict"
        assert answer["message"] == f"what is live at {host.path} is ours already: 1"
    assert os.lstat(host.path / "current").st_ino == inode


def test_link_of_ours_whose_receipt_was_lost_is_taken_over(host: Host) -> None:
    host.deploy(deployment(host, "1"))
    old = (host.path / "current").readlink()
    directory = Path(receipts.placement_directory(IDENTITY, "site", str(host.path)))
    directory.rename(directory.with_name("lost"))
    (directory.with_name("lost") / "receipt.json").unlink()
    assert host.deploy(adopting(host))["result"] == "healthy"
    assert observed(host)["problems"] == []
    assert (host.path / old / "index.html").read_text() == "1"


def test_mount_point_is_refused(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    by_hand(host)
    with monkeypatch.context() as patched:
        patched.setattr(os.path, "ismount", lambda path: path == str(host.path / "current"))
        assert "is a mount point, which cannot be renamed" in refused(host, adopting(host))
    real = adoption.exchange
    monkeypatch.setattr(
        adoption, "exchange", lambda *pair: real(*pair) if "staging" in pair[0] else errno.EBUSY
    )
    answer = host.deploy(adopting(host))
    assert "is a mount point, which cannot be renamed" in answer["message"]
    assert (host.path / "current" / "index.html").read_text() == "1"
    assert (observed(host)["version"], leftovers(host)) == ("", set())
    monkeypatch.undo()


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS])
def test_without_an_exchange_a_directory_is_refused_and_a_link_is_not(
    host: Host, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(adoption, "exchange", lambda one, other: number)
    top = by_hand(host)
    before = tree(top)
    answer = host.deploy(adopting(host))
    assert answer["problem"]["kind"] == "unsupported"
    assert (
        "`mv current live && ln -s live current` there, then adopt again" in answer["problem"]["resolution"]
    )
    assert (tree(top), leftovers(host)) == (before, set())
    top.rename(host.path / "live")
    top.symlink_to("live")
    assert host.deploy(adopting(host))["result"] == "healthy"
    assert tree(host.path / "live") == before


def test_library_without_renameat2_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import ctypes

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    assert adoption.exchange("/one", "/other") == errno.ENOSYS


@pytest.mark.parametrize("link", [False, True])
def test_release_that_is_not_healthy_is_given_back(host: Host, link: bool) -> None:
    top = by_hand(host, link=link)
    before = tree(top)
    answer = host.deploy(adopting(host, healthcheck=UNHEALTHY))
    assert (answer["result"], answer["problem"]["kind"], answer["version"]) == (
        "switched_back",
        "health",
        None,
    )
    assert "is what it was before, nothing was taken over" in answer["message"]
    assert tree(top) == before
    assert (host.path / "current").resolve() == top
    assert leftovers(host) == set()
    assert host.deploy(adopting(host))["result"] == "healthy"


@pytest.mark.parametrize("link", [False, True])
def test_rollout_that_stops_elsewhere_gives_it_back(host: Host, link: bool) -> None:
    top = by_hand(host, link=link)
    placement = adopting(host)
    assert host.deploy(placement)["result"] == "healthy"
    assert host.phase("rollback", placement)["result"] == "switched_back"
    assert (host.path / "current").resolve() == top
    assert host.phase("rollback", placement)["result"] == "switched_back", "asked again"
    host.deploy(adopting(host))
    host.runs += 1
    assert host.phase("rollback", placement)["result"] == "unchanged", "another run took it over"


@pytest.mark.parametrize("link", [False, True])
def test_host_that_dies_at_any_step_has_the_old_or_the_new_and_the_same_command_goes_on(
    host: Host, link: bool
) -> None:
    host.runs += 1
    requests = [host.request(phase, adopting(host)) for phase in ("stage", "activate")]
    for step in each_step(host, lambda: by_hand(host, link=link), *requests):
        current = host.path / "current"
        assert {name: (current / name).read_text() for name in LIVE} == LIVE, step
        again = adopting(host)
        if current.is_symlink() and current.readlink().parent.name == "releases" and step % 2:
            again["action"] = "verify"  # what a deployment does there
        assert host.deploy(again)["result"] == "healthy", step
        assert (observed(host)["state"], observed(host)["problems"]) == ("healthy", []), step
        assert leftovers(host) == (set() if link else {"current.before-adoption"}), step
        kept = (
            host.path.with_name(f"{host.path.name}-by-hand")
            if link
            else host.path / "current.before-adoption"
        )
        assert {name: (kept / name).read_text() for name in LIVE} == LIVE, step


def test_giving_back_that_dies_at_any_step_is_gone_on_with(host: Host) -> None:
    host.runs += 1
    requests = [host.request(phase, adopting(host, healthcheck=UNHEALTHY)) for phase in ("stage", "activate")]
    for step in each_step(host, lambda: by_hand(host), *requests):
        current = host.path / "current"
        assert {name: (current / name).read_text() for name in LIVE} == LIVE, step
        again = adopting(host)
        assert host.deploy(again)["result"] == "healthy", step
        assert leftovers(host) == {"current.before-adoption"}, step


def test_shared_paths_are_left_out_once_they_are_shared(host: Host) -> None:
    top = by_hand(host)
    (top / "storage" / "uploads").mkdir(parents=True)
    (top / "empty").mkdir()
    (top / "storage" / "uploads" / "photo").write_text("precious")
    shared = [{"path": "storage/uploads", "directory": True}, {"path": "empty", "directory": True}]
    shared += [{"path": "nowhere/yet", "directory": True}]
    message = refused(host, adopting(host, shared_paths=shared))
    assert "storage/uploads is to be shared, and what is live has it elsewhere" in message
    command = message.split("`")[1]
    subprocess.run(["/bin/sh", "-c", command], check=True)
    assert host.phase("stage", adopting(host, shared_paths=shared), check=True)["problem"] is None
    assert host.deploy(adopting(host, shared_paths=shared))["result"] == "healthy"
    assert (host.path / "current" / "storage" / "uploads" / "photo").read_text() == "precious"


def test_shared_path_that_exists_twice_is_not_mended_by_a_command(host: Host) -> None:
    top = by_hand(host)
    (top / "data").symlink_to("/nowhere")
    (host.path / "shared" / "data").mkdir(parents=True)
    message = refused(host, adopting(host, shared_paths=[{"path": "data", "directory": True}]))
    assert "bring both together there" in message


def test_templates_are_compared_as_they_are_rendered(host: Host) -> None:
    top = by_hand(host)
    (top / "etc").mkdir()
    (top / "etc" / "app.conf").write_text("rendered")
    wanted = {"path": "etc/app.conf", "text": "rendered", "mode": "0640"}
    settings: dict[str, Any] = {"templates": [wanted], "file_mode": "0600"}
    for path in top.rglob("*.*"):
        path.chmod(0o604)
    message = host.phase("stage", adopting(host, **settings), check=True)["message"]
    assert "owner or mode of 3 of its files" in message
    later = {"path": "etc/app.conf", "release_source": "index.html", "mode": ""}
    assert host.phase("stage", adopting(host, templates=[later]), check=True)["problem"] is None
    other = {**wanted, "text": "other"}
    assert "etc/app.conf has other content" in refused(
        host, adopting(host, templates=[other], release="1-other")
    )
    assert host.deploy(adopting(host, **settings))["result"] == "healthy"


def test_no_hook_of_an_activation_runs(host: Host, tmp_path: Path) -> None:
    by_hand(host)
    events = ("before_stage", "after_stage", "before_activate", "after_activate")
    hooks = {event: [{"command": ["/bin/touch", str(tmp_path / event)]}] for event in events}
    assert host.deploy(adopting(host, hooks=hooks))["result"] == "healthy"
    assert {path.name for path in tmp_path.glob("*_*age")} == {"before_stage", "after_stage"}
    assert not list(tmp_path.glob("*_activate"))


@pytest.mark.parametrize(
    "more", [{"package": {"name": "x"}}, {"role": {"name": "x"}}, {"service": {"container": True}}]
)
def test_only_sites_and_services_are_taken_over(host: Host, more: dict[str, Any]) -> None:
    by_hand(host)
    assert "only sites and services can be taken over" in refused(host, adopting(host, **more))


def test_archives_and_files_of_every_kind_are_compared_without_being_written(host: Host) -> None:
    archives = {
        "site-1.zip": make_zip(LIVE),
        "site-1.tar.gz": make_tar(*((member(n), t.encode()) for n, t in LIVE.items())),
    }
    by_hand(host)
    for name, content in archives.items():
        placement = {**host.placement("1", host.publish(name, content)), "action": "adopt"}
        assert host.phase("stage", placement, check=True)["message"].endswith("is 1, file by file"), name
    single = {**host.placement("1", host.publish("index.html", b"1")), "action": "adopt"}
    assert "d is only there" in host.phase("stage", single, check=True)["message"]
    assert names(host.path) == ["current"]


def test_what_is_too_large_for_a_dry_run_is_said(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    from host_program import remote

    by_hand(host)
    monkeypatch.setattr(remote, "MEMORY_BYTES", 10)
    placement = {**host.placement("1", host.publish("site-1.zip", make_zip(LIVE))), "action": "adopt"}
    said = host.phase("stage", placement, check=True)
    assert "its files are compared in the real run" in said["message"]
    assert host.deploy(placement)["result"] == "healthy"


def test_artifact_that_the_controller_sends_and_templates_of_the_release_are_waited_for(host: Host) -> None:
    top = by_hand(host)
    (top / "site.conf").write_text("of 1")
    template = {"path": "site.conf", "release_source": "index.html", "mode": ""}
    placement = adopting(host, templates=[template])
    host.runs += 1
    sent = {**placement, "artifact": {**placement["artifact"], "local": False}}
    assert host.phase("stage", sent)["upload"]
    waiting = host.phase("stage", placement)
    assert waiting["render"] == {"index.html": "1"}
    rendered = {**placement, "work": waiting["work"], "templates": [{**template, "text": "of 1"}]}
    assert host.phase("stage", rendered)["message"].endswith("is 1, file by file")
    assert host.phase("activate", rendered)["result"] == "healthy"
    assert (host.path / "current" / "site.conf").read_text() == "of 1"


def test_link_that_somebody_left_where_the_old_directory_was_is_kept(host: Host) -> None:
    by_hand(host)
    host.deploy(adopting(host))
    kept = host.path / "current.before-adoption"
    kept.rename(host.path / "archive")
    kept.symlink_to("archive")
    assert host.deploy(deployment(host, "2"))["result"] == "healthy"
    assert (kept / "index.html").read_text() == "1"


def test_second_takeover_keeps_both_directories(host: Host) -> None:
    by_hand(host)
    host.deploy(adopting(host))
    (host.path / "current").unlink()
    by_hand(host)
    assert host.deploy(adopting(host))["result"] == "healthy"
    for name in ("current.before-adoption", "current.before-adoption.2"):
        assert (host.path / name / "index.html").read_text() == "1"
