"""What a host makes of shared paths, owners, modes, templates and hooks; each placement as the plugin makes it."""

from __future__ import annotations

import os
import stat
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from controller_program.placements import normalise
from controller_program.releases import render_waiting

from tests.cases.case import CASES, Case
from tests.edges.host import PASSWORD, Host, make_tar, make_zip, member

GIVEN = {"username": "ci", "password": {"env": "PASSWORD"}}
SITE = {"index.html": "{version}", "storage/seed": "first", "bin/run": "#!/bin/sh\n"}


def placement(
    host: Host, version: str, files: dict[str, str] | None = None, **settings: Any
) -> dict[str, Any]:
    """The placement with these settings; its content follows the version."""
    content = {name: text.replace("{version}", version) for name, text in (files or SITE).items()}
    made = host.placement(version, host.publish(f"site-{version}.zip", make_zip(content)), **settings)
    del made["release"], made["configuration_digest"]
    made["artifact"] = {**made["artifact"], "credentials": GIVEN}
    return normalise(made, "stage")


def deploy(host: Host, wanted: dict[str, Any]) -> dict[str, Any]:
    """Staged, rendered and activated as the plugin does it."""
    host.runs += 1
    said = {"placements": [host.phase("stage", wanted)]}
    said = render_waiting([wanted], said, lambda again: {"placements": [host.phase("stage", again[0])]})
    (staged,) = said["placements"]
    return staged if staged.get("problem") else host.phase("activate", wanted)


def verified(host: Host) -> list[str]:
    (found,) = host.observe(verify=True)
    problems: list[str] = found["problems"]
    return problems


def test_shared_paths_are_seeded_once_and_kept(host: Host) -> None:
    shared = {"shared_paths": ["storage/", "var/log/"], "keep_releases": 1}
    assert deploy(host, placement(host, "1", **shared))["result"] == "healthy"
    kept = host.path / "shared"
    assert (kept / "storage" / "seed").read_text() == "first"
    assert (kept / "var" / "log").is_dir()
    assert (host.path / "current" / "storage").is_symlink()
    (kept / "storage" / "upload").write_text("a visitor's")
    other = {**SITE, "storage/seed": "second"}
    for version in ("2", "3"):
        assert deploy(host, placement(host, version, other, **shared))["result"] == "healthy"
    assert sorted(one.name for one in (host.path / "current" / "storage").iterdir()) == ["seed", "upload"]
    assert (host.path / "current" / "storage" / "seed").read_text() == "first"
    assert len(list((host.path / "releases").iterdir())) == 2
    assert verified(host) == []
    removed = host.phase("absent", placement(host, "3", **shared))
    assert (removed["result"], removed["message"]) == ("absent", f"removed; {kept} is kept")
    assert (kept / "storage" / "upload").read_text() == "a visitor's"
    assert [one.name for one in host.path.iterdir()] == ["shared"]


def test_shared_file_that_nobody_has_is_refused_before_anything_changes(host: Host) -> None:
    wanted = placement(host, "1", shared_paths=["config.json"])
    for check in (True, False):
        said = host.phase("stage", wanted, check=check)
        assert said["problem"]["kind"] == "missing"
        assert "config.json/ if it is a directory" in said["problem"]["resolution"]
    (host.path / "shared").mkdir(parents=True)
    (host.path / "shared" / "config.json").write_text("{}")
    assert host.phase("stage", wanted, check=True)["problem"] is None
    assert deploy(host, wanted)["result"] == "healthy"
    assert (host.path / "current" / "config.json").read_text() == "{}"


@pytest.mark.parametrize(("name", "path"), [("storage", "storage"), ("storage", "storage/a")])
@pytest.mark.parametrize("check", [False, True])
def test_shared_path_that_the_archive_has_as_a_link_is_refused(
    host: Host, name: str, path: str, check: bool
) -> None:
    import tarfile

    content = make_tar((member("real/a"), b"x"), (member(name, tarfile.SYMTYPE, "real"), b""))
    artifact = host.publish("site.tar.gz", content)
    wanted = normalise(
        {**host.placement("1", {**artifact, "credentials": GIVEN}), "shared_paths": [path + "/"]}, "stage"
    )
    said = host.phase("stage", wanted, check=check)
    assert said["problem"]["kind"] == "archive"
    assert not (host.path / "shared").exists() or not list((host.path / "shared").iterdir())


def test_links_of_the_application_in_shared_are_never_followed(host: Host) -> None:
    outside = host.path.parent.parent / "outside"
    outside.mkdir(parents=True)
    (outside / "passwd").write_text("root")
    assert deploy(host, placement(host, "1", shared_paths=["storage/"]))["result"] == "healthy"
    before = (outside / "passwd").stat()
    (host.path / "shared" / "storage" / "evil").symlink_to(outside)
    owned = {"path": "storage/", "mode": "0700"}
    assert deploy(host, placement(host, "2", shared_paths=[owned]))["result"] == "healthy"
    assert verified(host) == []
    host.phase("absent", placement(host, "2", shared_paths=[owned]))
    assert (outside / "passwd").stat() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_directory_of_shared_that_the_application_controls_is_refused(host: Host) -> None:
    assert deploy(host, placement(host, "1", shared_paths=[{"path": "storage/", "owner": "nobody"}]))
    assert (host.path / "shared" / "storage").stat().st_uid == 65534
    said = host.phase("stage", placement(host, "2", shared_paths=["storage/deeper/"]))
    assert said["problem"]["kind"] == "permission"
    assert "nobody" in str(said) or "65534" in said["problem"]["message"]


def test_modes_are_those_that_were_asked_for_and_verified(host: Host) -> None:
    artifact = host.publish(
        "site.tar.gz", make_tar((member("a"), b"x"), (member("bin/run", mode=0o755), b"y"))
    )
    asked = {"file_mode": "0640", "directory_mode": "0750"}
    wanted = normalise({**host.placement("1", {**artifact, "credentials": GIVEN}), **asked}, "stage")
    assert deploy(host, wanted)["result"] == "healthy"
    current = (host.path / "current").resolve()
    modes = {name: stat.S_IMODE((current / name).stat().st_mode) for name in ("", "a", "bin", "bin/run")}
    assert modes == {"": 0o750, "a": 0o640, "bin": 0o750, "bin/run": 0o750}
    assert verified(host) == []
    (current / "a").chmod(0o644)
    assert verified(host) == ["a was changed"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_owner_is_part_of_what_is_verified(host: Host) -> None:
    assert deploy(host, placement(host, "1", file_group="nogroup", file_owner="root"))["result"] == "healthy"
    index = host.path / "current" / "index.html"
    assert index.group() == "nogroup"
    os.chown(index, 65534, -1)
    assert verified(host) == ["index.html was changed"]


def test_user_that_the_host_does_not_have_is_refused_in_check_mode_too(host: Host) -> None:
    for check in (True, False):
        said = host.phase("stage", placement(host, "1", file_owner="no-such-user"), check=check)
        assert "there is no user no-such-user" in said["message"]


def test_templates_are_rendered_into_the_release(host: Host) -> None:
    files = {**SITE, "config/app.conf.j2": "host={{ host.name }} v={{ version }} {{ variables.COLOUR }}\n"}
    settings: dict[str, Any] = {
        "variables": {"COLOUR": "{{ red }}"},
        "template_variables": {"host": {"name": "web1"}},
        "templates": [
            {"path": "config/app.conf", "release_source": "config/app.conf.j2", "trusted": True},
            {"path": "etc/x/y", "content": "{{ shared }}", "mode": "0600", "trusted": True},
        ],
    }
    wanted = placement(host, "1", files, **settings)
    assert deploy(host, wanted)["result"] == "healthy"
    current = host.path / "current"
    assert (current / "config" / "app.conf").read_text() == "host=web1 v=1 {{ red }}\n"
    assert (current / "etc" / "x" / "y").read_text() == f"{host.path}/shared"
    assert stat.S_IMODE((current / "etc" / "x" / "y").stat().st_mode) == 0o600
    assert verified(host) == []
    assert not (host.path / ".orchestrator-staging").exists()
    settings["variables"] = {"COLOUR": "blue"}
    other = placement(host, "1", files, **settings)
    assert other["release"] != wanted["release"]
    request = {**host.request("stage", other, check=True), "diff": True}
    from host_program.main import answer

    (shown,) = answer(request)["placements"]
    assert "rendered" not in shown  # what lies in the release is rendered when it is there


def test_difference_of_a_rendered_file_is_shown(host: Host) -> None:
    from host_program.main import answer

    def wanted(text: str) -> dict[str, Any]:
        return placement(host, "1", templates=[{"path": "a.conf", "content": text, "trusted": True}])

    deploy(host, wanted("old {{ version }}"))
    (said,) = answer({**host.request("stage", wanted("new {{ version }}"), check=True), "diff": True})[
        "placements"
    ]
    assert said["rendered"] == [{"path": "a.conf", "before": "old 1", "after": "new 1"}]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"templates": [{"path": "a", "content": "{{ nobody }}", "trusted": True}]}, "'nobody' is undefined"),
        (
            {"templates": [{"path": "a", "content": "{{ lookup('pipe', 'id') }}", "trusted": True}]},
            "'lookup'",
        ),
        ({"templates": [{"path": "a", "content": "{{ ''.__class__.__mro__ }}", "trusted": True}]}, "unsafe"),
        ({"templates": [{"path": "a", "content": "x"}]}, "trusted"),
        ({"shared_paths": ["a", "a/b"]}, "keep one of them"),
        ({"file_mode": "0666"}, "lets others than the owner write"),
        ({"hooks": {"before_stage": [{"command": []}]}}, '"command" is missing'),
    ],
)
def test_settings_of_a_playbook_that_do_not_fit_are_refused(
    host: Host, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(AnsibleActionFail, match=words):
        placement(host, "1", **settings)


def hook(host: Host, script: str, **more: Any) -> dict[str, Any]:
    return {"command": ["/bin/sh", "-c", script], **more}


def test_hooks_run_in_order_and_are_told_what_is_deployed(host: Host) -> None:
    log = host.path.parent / "log"
    log.parent.mkdir(parents=True, exist_ok=True)
    line = (
        'echo "$ORCHESTRATOR_HOOK $ORCHESTRATOR_APPLICATION $ORCHESTRATOR_VERSION ${ORCHESTRATOR_RELEASE##*/} '
        f'$ORCHESTRATOR_PREVIOUS_VERSION $A" >> {log}'
    )
    events = ("before_stage", "after_stage", "before_activate", "after_activate")
    settings = {"variables": {"A": "b"}, "hooks": {event: [hook(host, line)] for event in events}}
    for version in ("1", "2"):
        wanted = placement(host, version, **settings)
        assert deploy(host, wanted)["result"] == "healthy"
        assert deploy(host, wanted)["result"] == "unchanged"
    name = wanted["release"]
    assert log.read_text().splitlines()[4:] == [
        "before_stage site 2  1 b",
        f"after_stage site 2 {name} 1 b",
        f"before_activate site 2 {name} 1 b",
        f"after_activate site 2 {name} 1 b",
    ]
    said = [
        host.phase(phase, placement(host, "3", **settings), check=True) for phase in ("stage", "activate")
    ]
    assert ["would run" in one["message"] for one in said] == [True, True]
    assert len(log.read_text().splitlines()) == 8


@pytest.mark.parametrize("event", ["before_stage", "after_stage", "before_activate"])
def test_hook_that_fails_before_the_switch_stops_it_and_runs_again(host: Host, event: str) -> None:
    deploy(host, placement(host, "1"))
    flag = host.path.parent / "flag"
    settings = {"hooks": {event: [hook(host, f"echo no flag; test -e {flag}")]}}
    wanted = placement(host, "2", **settings)
    for _ in range(2):
        said = deploy(host, wanted)
        assert said["problem"]["kind"] == "hook"
        assert said["message"].endswith("failed with 1: no flag")
        assert (host.path / "current" / "index.html").read_text() == "1"
    flag.touch()
    assert deploy(host, wanted)["result"] == "healthy"
    assert (host.path / "current" / "index.html").read_text() == "2"


def test_hooks_that_ran_before_one_failed_are_told_of_too(host: Host) -> None:
    hooks = {"before_stage": [hook(host, "true")], "after_stage": [hook(host, "true"), hook(host, "exit 4")]}
    said = deploy(host, placement(host, "1", hooks=hooks))
    assert [(one["event"], one["exit"]) for one in said["hooks"]] == [
        ("before_stage", 0),
        ("after_stage", 0),
        ("after_stage", 4),
    ]


def test_hook_that_fails_after_the_switch_switches_back(host: Host) -> None:
    deploy(host, placement(host, "1"))
    hooks = {"before_activate": [hook(host, "true")], "after_activate": [hook(host, "exit 3")]}
    said = deploy(host, placement(host, "2", hooks=hooks))
    assert [one["exit"] for one in said["hooks"]] == [0, 3]
    assert (said["result"], said["problem"]["kind"]) == ("switched_back", "health")
    assert "failed with 3" in said["message"]
    assert (host.path / "current" / "index.html").read_text() == "1"


def test_hook_whose_time_is_over_is_ended(host: Host) -> None:
    said = deploy(
        host, placement(host, "1", hooks={"before_activate": [hook(host, "sleep 60", timeout_seconds=0.2)]})
    )
    assert "did not end within" in said["message"]


def test_secrets_of_a_hook_are_in_its_environment_and_in_no_output(host: Host) -> None:
    settings = {
        "secrets": {"TOKEN": {"env": "PASSWORD"}},
        "hooks": {"before_activate": [hook(host, 'echo "is $TOKEN"; exit 1', secrets=True)]},
    }
    said = deploy(host, placement(host, "1", **settings))
    assert said["message"].endswith("failed with 1: is ***")
    assert PASSWORD not in str(said)


def test_relative_program_is_one_of_the_release(host: Host) -> None:
    artifact = host.publish(
        "site.tar.gz", make_tar((member("bin/run", mode=0o755), b"#!/bin/sh\necho here; exit 4\n"))
    )
    given = {
        **host.placement("1", {**artifact, "credentials": GIVEN}),
        "hooks": {"before_activate": [{"command": ["bin/run"]}]},
    }
    assert "failed with 4: here" in deploy(host, normalise(given, "stage"))["message"]


def test_settings_say_what_a_release_is_called(host: Host) -> None:
    names = {
        placement(host, "1", **settings)["release"]
        for settings in (
            {},
            {"shared_paths": ["storage/"]},
            {"file_group": "root"},
            {"file_mode": "0640"},
            {"templates": [{"path": "a", "content": "x", "trusted": True}]},
        )
    }
    assert len(names) == 5
    assert placement(host, "1", hooks={"before_stage": [hook(host, "true")]})["release"] in names


def test_both_sides_call_a_release_the_same() -> None:
    hosts = Case(path=CASES / "release-settings").compile().inventory["all"]["hosts"]
    for variables in hosts.values():
        for rendered in variables["release_placements"]:
            plain = {
                key: value for key, value in rendered.items() if key not in ("release", "service_digest")
            }
            assert normalise(plain, "stage")["release"] == rendered["release"]
