"""The host program, run as itself: real archives, real servers, a state directory of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from host_program import receipts
from host_program.paths import Paths

from tests.edges.host import IDENTITY, Host, make_zip


def test_first_deployment_makes_current_point_to_a_complete_release(host: Host) -> None:
    artifact = host.publish("site-1.zip", make_zip({"index.html": "one", "a/b.txt": "x"}))
    assert host.deploy(host.placement("1", artifact))["result"] == "healthy"
    assert (host.path / "current" / "index.html").read_text() == "one"
    assert (host.path / "current" / "a" / "b.txt").read_text() == "x"
    assert host.observe()[0]["state"] == "healthy"
    assert not (host.path / ".orchestrator-staging").exists()


def test_second_deployment_of_the_same_release_changes_nothing(host: Host) -> None:
    placement = host.placement("1", host.publish("site-1.zip", make_zip({"index.html": "one"})))
    host.deploy(placement)
    before = [
        (path, path.lstat().st_mtime_ns, path.lstat().st_ino) for path in sorted(host.path.parent.rglob("*"))
    ]
    assert host.deploy(placement)["result"] == "unchanged"
    after = [
        (path, path.lstat().st_mtime_ns, path.lstat().st_ino) for path in sorted(host.path.parent.rglob("*"))
    ]
    assert after == before


def test_activation_that_is_asked_again_by_its_run_says_what_the_run_did(host: Host) -> None:
    """As after a connection that broke: Ansible connects again, and the program finds its own work done."""
    host.deploy(host.placement("1", host.publish("site-1.zip", make_zip({"i": "1"}))))
    placement = host.placement("2", host.publish("site-2.zip", make_zip({"i": "2"})))
    first = host.deploy(placement)
    again = host.phase("activate", placement)
    for said in (first, again):
        assert (said["result"], said["changed"], said["from_version"]) == ("healthy", True, "1")
    assert host.deploy(placement)["result"] == "unchanged"


def test_unhealthy_release_is_switched_back_and_marked_bad(host: Host) -> None:
    host.deploy(host.placement("1", host.publish("site-1.zip", make_zip({"i": "1"}))))
    check = {
        "url": f"{host.server.url}/nothing",
        "origin": "host",
        "retries": 0,
        "interval_seconds": 0.1,
        "timeout_seconds": 2,
        "deadline_seconds": 2,
        "status": [200],
        "body": "",
    }
    artifact = host.publish("site-2.zip", make_zip({"i": "2"}))
    found = host.deploy(host.placement("2", artifact, healthcheck=check))
    # The old release is asked by the same check, which fails for it too: nobody can say that it is healthy.
    assert found["result"] == "unknown"
    assert (host.path / "current" / "i").read_text() == "1"


def test_first_release_that_is_unhealthy_leaves_no_current(host: Host) -> None:
    check = {
        "url": f"{host.server.url}/nothing",
        "origin": "host",
        "retries": 0,
        "interval_seconds": 0.1,
        "timeout_seconds": 2,
        "deadline_seconds": 2,
        "status": [],
        "body": "",
    }
    artifact = host.publish("site-1.zip", make_zip({"i": "1"}))
    found = host.deploy(host.placement("1", artifact, healthcheck=check))
    assert found["result"] == "removed"
    assert not os.path.lexists(host.path / "current")


def test_controller_says_unhealthy_and_the_old_release_is_live_again(host: Host) -> None:
    host.deploy(host.placement("1", host.publish("site-1.zip", make_zip({"i": "1"}))))
    check = {"url": "http://example.net/", "origin": "once"}
    placement = host.placement("2", host.publish("site-2.zip", make_zip({"i": "2"})), healthcheck=check)
    assert host.deploy(placement)["result"] == "active"
    found = host.phase("confirm", {**placement, "healthy": False, "message": "answered 500"})
    assert found["result"] == "switched_back"
    assert (host.path / "current" / "i").read_text() == "1"
    assert host.observe()[0]["version"] == "1"


def test_version_that_is_expected_is_that_of_the_release_which_is_live(host: Host) -> None:
    check = {
        "type": "command",
        "command": [
            "/bin/sh",
            "-c",
            'test "$(cat "$0/version")" = "$1"',
            f"{host.path}/current",
            "{version}",
        ],
        "retries": 0,
    }
    good = host.publish("site-1.zip", make_zip({"version": "1"}))
    assert host.deploy(host.placement("1", good, healthcheck=check))["result"] == "healthy"
    wrong = host.publish("site-2.zip", make_zip({"version": "1.9"}))
    found = host.deploy(host.placement("2", wrong, healthcheck=check))
    assert (found["result"], found["version"]) == ("switched_back", "1")
    assert "ended with 1" in found["message"]


def test_every_check_has_to_pass_and_the_controllers_come_after_the_hosts(host: Host) -> None:
    good = {"type": "command", "command": ["true"]}
    bad = {"type": "command", "command": ["false"], "retries": 0}
    once = {"url": "http://example.net/", "origin": "once"}
    artifact = host.publish("site-1.zip", make_zip({"i": "1"}))
    found = host.deploy(host.placement("1", artifact, healthchecks=[good, once, bad]))
    assert found["result"] == "removed"
    found = host.deploy(host.placement("1", artifact, healthchecks=[good, once]))
    assert found["result"] == "active"


def test_release_with_smoke_tests_is_not_proven_before_they_passed(host: Host) -> None:
    placement = host.placement("1", host.publish("site-1.zip", make_zip({"i": "1"})), smoke=[{"name": "a"}])
    assert host.deploy(placement)["result"] == "active"
    assert host.observe()[0]["state"] == "active"
    found = host.phase("confirm", {**placement, "healthy": True, "message": "passed"})
    assert (found["result"], host.observe()[0]["state"]) == ("healthy", "healthy")


def test_rollback_undoes_only_what_this_run_did(host: Host) -> None:
    host.deploy(host.placement("1", host.publish("site-1.zip", make_zip({"i": "1"}))))
    placement = host.placement("2", host.publish("site-2.zip", make_zip({"i": "2"})))
    host.deploy(placement)
    assert host.phase("rollback", placement)["result"] == "switched_back"
    assert (host.path / "current" / "i").read_text() == "1"
    host.runs += 1
    assert host.phase("rollback", placement)["result"] == "unchanged"
    assert (host.path / "current" / "i").read_text() == "1"


def test_wrong_bytes_are_refused_and_leave_nothing(host: Host) -> None:
    artifact = host.publish("site-1.zip", make_zip({"i": "1"}))
    artifact["sha256"] = "0" * 64
    found = host.deploy(host.placement("1", artifact))
    assert found["problem"]["kind"] == "checksum"
    assert not (host.path / "releases").exists()


def test_missing_artifact_and_wrong_password_have_their_own_kinds(host: Host) -> None:
    artifact = host.publish("site-1.zip", make_zip({"i": "1"}))
    gone = {**artifact, "location": artifact["location"] + ".gone"}
    assert host.deploy(host.placement("1", gone))["problem"]["kind"] == "missing"
    refused = {**artifact, "credentials": {"username": "nobody", "password": {"secret": "env:PASSWORD"}}}
    assert host.deploy(host.placement("1", refused))["problem"]["kind"] == "credentials"


def test_check_mode_predicts_and_writes_nothing(host: Host, tmp_path: Path) -> None:
    placement = host.placement("1", host.publish("site-1.zip", make_zip({"i": "1"})))
    assert host.phase("stage", placement, check=True)["changed"] is True
    assert host.phase("activate", placement, check=True)["result"] == "healthy"
    assert not host.path.parent.exists()
    assert not (tmp_path / "state").exists()


def test_pruning_keeps_the_newest_by_our_record_and_the_last_good(host: Host) -> None:
    for number in range(1, 6):
        artifact = host.publish(f"site-{number}.zip", make_zip({"i": str(number)}))
        host.deploy(host.placement(str(number), artifact, keep_releases=2))
        os.utime(host.path / "current" / ".", (0, 0))
    names = sorted(path.name.split("-")[0] for path in (host.path / "releases").iterdir())
    assert names == ["4", "5"]


def test_tampered_release_is_drift_and_is_staged_anew_beside(host: Host) -> None:
    placement = host.placement("1", host.publish("site-1.zip", make_zip({"i": "1"})))
    host.deploy(placement)
    (host.path / "current" / "i").write_text("other")
    assert host.observe()[0]["problems"] == []
    assert host.observe(verify=True)[0]["problems"] == ["i was changed"]
    assert host.deploy({**placement, "action": "verify"})["result"] == "healthy"
    assert (host.path / "current" / "i").read_text() == "1"
    assert host.observe(verify=True)[0]["problems"] == []


def test_current_that_is_a_directory_is_refused_and_kept(host: Host) -> None:
    (host.path / "current").mkdir(parents=True)
    (host.path / "current" / "precious").write_text("data")
    found = host.deploy(host.placement("1", host.publish("site-1.zip", make_zip({"i": "1"}))))
    assert found["problem"]["kind"] == "conflict"
    assert (host.path / "current" / "precious").read_text() == "data"


def test_path_of_another_identity_is_refused(host: Host) -> None:
    artifact = host.publish("site-1.zip", make_zip({"i": "1"}))
    host.deploy(host.placement("1", artifact))
    other = {**host.placement("1", artifact), "application": "other"}
    assert host.deploy(other)["problem"]["kind"] == "conflict"


def test_run_that_died_between_receipt_and_link_is_finished_by_the_next(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.deploy(host.placement("1", host.publish("site-1.zip", make_zip({"i": "1"}))))
    placement = host.placement("2", host.publish("site-2.zip", make_zip({"i": "2"})))

    def die(paths: object, target: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Paths, "point", die)
        with pytest.raises(KeyboardInterrupt):
            host.deploy(placement)
    observed = host.observe()[0]
    assert (observed["version"], bool(observed["problems"])) == ("1", True)
    assert host.deploy(placement)["result"] == "healthy"
    assert host.observe()[0]["version"] == "2"
    assert host.observe()[0]["previous_version"] == "1"


def test_absent_removes_what_is_ours_and_leaves_foreign_files(host: Host) -> None:
    placement = host.placement("1", host.publish("site-1.zip", make_zip({"i": "1"})))
    host.deploy(placement)
    (host.path / "foreign").write_text("data")
    assert host.phase("absent", placement)["changed"] is True
    assert sorted(path.name for path in host.path.iterdir()) == ["foreign"]
    assert host.observe() == []


def test_absent_again_leaves_nothing_and_finishes_what_was_killed(host: Host) -> None:
    placement = host.placement("1", host.publish("site-1.zip", make_zip({"i": "1"})))
    host.deploy(placement)
    directory = Path(receipts.placement_directory(IDENTITY, "site", str(host.path)))
    host.phase("absent", placement)
    # A run was killed when it had removed the receipt, and not yet all that lay beside it.
    (directory / "trees").mkdir(parents=True)
    assert host.phase("absent", placement)["changed"] is False
    assert not directory.exists()


def test_run_with_a_smaller_lock_token_than_the_host_has_seen_is_refused(host: Host) -> None:
    first = host.placement("1.0.0", host.publish("one.zip", make_zip({"index.html": "one"})))
    second = host.placement("2.0.0", host.publish("two.zip", make_zip({"index.html": "two"})))
    host.token = 5
    assert host.deploy(first)["result"] == "healthy"
    host.token = 6
    host.deploy(second)
    host.token, host.runs = 5, 1
    for phase in ("stage", "activate", "confirm", "rollback", "absent"):
        refused = host.phase(phase, {**first, "healthy": True, "message": ""})
        assert (refused["result"], refused["problem"]["kind"], refused["changed"]) == (
            "failed",
            "fenced",
            False,
        )
    assert (host.path / "current" / "index.html").read_text() == "two"


def test_host_learns_a_token_on_observation_where_a_lock_was_broken(host: Host) -> None:
    placement = host.placement("1.0.0", host.publish("one.zip", make_zip({"index.html": "one"})))
    host.token = 7
    assert host.ask_observation(teach=True)["observed"] == []
    host.token = 6
    assert host.ask_observation(teach=True)["problem"]["kind"] == "fenced"
    assert host.ask_observation()["observed"] == []
    assert host.deploy(placement)["problem"]["kind"] == "fenced"
    host.token = None
    assert host.deploy(placement)["result"] == "healthy"


def test_broken_fence_is_a_conflict_with_a_remedy(host: Host) -> None:
    from host_program import fences

    host.token = 1
    placement = host.placement("1.0.0", host.publish("one.zip", make_zip({"index.html": "one"})))
    host.deploy(placement)
    for content in ("{", "[]", '{"token": "x"}'):
        (Path(fences.directory_of(IDENTITY)) / "fence.json").write_text(content)
        problem = host.phase("stage", placement)["problem"]
        assert (problem["kind"], bool(problem["resolution"])) == ("conflict", True)


def test_second_phase_waits_for_the_first_and_gives_up_in_time(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    from host_program import fences, receipts

    monkeypatch.setattr(fences, "LOCK_SECONDS", 0.2)
    placement = host.placement("1.0.0", host.publish("one.zip", make_zip({"index.html": "one"})))
    directory = receipts.placement_directory(IDENTITY, "site", str(host.path))
    with fences.entered(IDENTITY, None, directory):
        assert host.deploy(placement)["problem"]["kind"] == "busy"
    assert host.deploy(placement)["result"] == "healthy"


def test_two_placements_may_make_the_same_parent_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from host_program import staging

    wanted, make = tmp_path / "shared" / "site", os.mkdir

    def make_second(path: str, mode: int = 0o777) -> None:
        make(path, mode)
        make(path, mode)

    monkeypatch.setattr(os, "mkdir", make_second)
    staging.make_directory(str(wanted))
    assert wanted.is_dir()
