"""`history`, `show`, `when` and `lock` as their users run them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.approval import Approval
from orchestrator.edges.clock import moment
from orchestrator.edges.state import this_process
from tests.edges.ledger_bench import cpu_of, make_long_ledger
from tests.edges.remotes import (
    ISOLATED,
    ROOT,
    closed,
    git,
    make_clone,
    make_placement,
    make_record,
    make_remote,
    repository_of,
    start_worker,
    state_of,
    wait_for,
)

CPU_SECONDS = 1.0


pytestmark = pytest.mark.usefixtures("isolated_git")


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return make_remote(tmp_path)


@pytest.fixture
def clone(remote: Path, tmp_path: Path) -> Path:
    return make_clone(remote, tmp_path / "clone")


def run(clone: Path, *arguments: str, expect: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", *arguments],
        cwd=clone,
        env={"PATH": os.environ["PATH"], "HOME": str(clone.parent), "PYTHONPATH": str(ROOT), **ISOLATED},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    text = done.stdout + done.stderr
    assert done.returncode == expect, text
    assert "Traceback" not in text
    assert "\x1b" not in text
    return text


def record_story(clone: Path) -> None:
    """1.0 everywhere, 2.0 fails on web2, a run that dies, 2.1 everywhere; one deployment to dev."""
    with state_of(clone) as state:
        for number, (version, day, results) in enumerate(
            (
                ("1.0", "01", ("deployed", "deployed")),
                ("2.0", "02", ("deployed", "switched back")),
                ("2.0", "03", None),
                ("2.1", "04", ("deployed", "deployed")),
            ),
            1,
        ):
            record = make_record(
                f"202611{day}T000000-0000000{number}",
                started=f"2026-11-{day}T00:00:00Z",
                lock_token=number,
                manifest_version=version,
                placements=tuple(make_placement(host=host, to_version=version) for host in ("web1", "web2")),
            )
            state.ledger.open(record)
            if results is None:
                continue
            placements = tuple(
                replace(one, result=result, version=version if result == "deployed" else "1.0")
                for one, result in zip(record.placements, results, strict=True)
            )
            verdict = "success" if set(results) == {"deployed"} else "partial"
            state.ledger.close(
                replace(
                    record, verdict=verdict, ended=f"2026-11-{day}T00:01:00Z", placements=placements,
                    duration_seconds=60.0,
                )
            )  # fmt: skip
        dev = make_record("20261105T000000-00000005", started="2026-11-05T00:00:00Z", environment="dev")
        state.ledger.close(closed(dev))


def test_environment_goes_by_both_of_its_names(clone: Path) -> None:
    record_story(clone)
    holder = this_process(repository_of(clone), actor="one", run="r1")
    with state_of(clone) as state:
        state.lock("production", holder).acquire(timeout_seconds=0).stop()
        waiting = Approval(
            environment="production", run="r1", what="2.1 is live on web1", since=moment(), until=moment(600)
        )
        state.approvals("production").announce(waiting)
    assert run(clone, "history", "prod") == run(clone, "history", "production")
    assert run(clone, "show", "prod@last") == run(clone, "show", "production@last")
    assert run(clone, "lock", "show", "prod") == run(clone, "lock", "show", "production")
    assert "the lock of production" in run(clone, "lock", "break", "prod", "--reason", "it is over")
    assert "2.1 is live on web1: approved" in run(clone, "continue", "prod")
    assert "never locked" in run(clone, "lock", "show", "staging")


def test_history_is_the_newest_first_and_one_line_for_each_attempt(clone: Path) -> None:
    record_story(clone)
    lines = run(clone, "history", "production").splitlines()
    assert [line.split()[0][:8] for line in lines[1:]] == ["20261104", "20261103", "20261102", "20261101"]
    assert [line.split()[3] for line in lines[1:]] == ["success", "interrupted", "partial", "success"]
    assert "1 deployed, 1 switched back" in lines[3]
    assert len(run(clone, "history", "production", "--limit", "2").splitlines()) == 3
    assert len(run(clone, "history", "production", "--since", "2026-11-03").splitlines()) == 3
    assert len(run(clone, "history", "production", "--all", "--application", "shop-site").splitlines()) == 5
    assert "has no attempt" in run(clone, "history", "production", "--application", "nope")
    assert "has no attempt" in run(clone, "history", "nope")
    assert "has no attempt" in run(clone, "history", "dev", "--since", "0m")


def test_history_for_machines_is_the_records(clone: Path, tmp_path: Path) -> None:
    record_story(clone)
    found = json.loads(run(clone, "history", "production", "--json", "-"))
    assert (found["format"], found["environment"]) == (1, "production")
    assert [one["verdict"] for one in found["attempts"]] == ["success", "interrupted", "partial", "success"]
    assert "partial" in run(clone, "history", "production", "--json", str(tmp_path / "out.json"))
    assert json.loads((tmp_path / "out.json").read_text()) == found
    empty = json.loads(run(clone, "history", "nope", "--json", "-"))
    assert empty["attempts"] == []


def test_show_finds_a_record_by_id_beginning_last_or_time(clone: Path) -> None:
    record_story(clone)
    assert "deploy to production: partial" in run(clone, "show", "20261102T000000-00000002")
    text = run(clone, "show", "20261102")
    assert "20261102T000000-00000002" in text
    assert "switched back" in text
    assert "5 attempts begin" in run(clone, "show", "2026110", expect=64)
    assert "20261104" in run(clone, "show", "production@last")
    assert "20261102" in run(clone, "show", "production@2026-11-02")
    assert "20261101" in run(clone, "show", "production@2026-11-01T12:00")
    assert "has no attempt" in run(clone, "show", "production@2020-01-01", expect=64)
    assert "no point in time" in run(clone, "show", "production@yesterday", expect=64)
    assert "has no attempt" in run(clone, "show", "nope", expect=64)
    assert json.loads(run(clone, "show", "production@last", "--json", "-"))["manifest_version"] == "2.1"


def test_when_says_where_and_from_when_to_when(clone: Path) -> None:
    record_story(clone)
    (gone,) = json.loads(run(clone, "when", "shop-site", "2.0", "--json", "-"))["intervals"]
    assert (gone["host"], gone["since"], gone["is_live"]) == ("web1", "2026-11-02T00:01:00Z", False)
    assert (gone["until_record"], gone["next_version"]) == ("20261103T000000-00000003", None)
    (row,) = run(clone, "when", "shop-site", "2.0").splitlines()[1:]
    assert row.split()[:5] == ["production", "web1", "gone", "2026-11-02", "00:01:00"]
    live = json.loads(run(clone, "when", "shop-site", "2.1", "--json", "-"))["intervals"]
    assert [(one["environment"], one["host"], one["is_live"]) for one in live] == [
        ("production", "web1", True),
        ("production", "web2", True),
    ]
    assert "does not know shop-site 9.9" in run(clone, "when", "shop-site", "9.9")


def test_open_attempt_is_running_while_it_has_the_lock(clone: Path) -> None:
    with state_of(clone) as state:
        holder = this_process(repository_of(clone), actor="ci", run="r")
        held = state.lock("production", holder).acquire(timeout_seconds=0)
        state.ledger.open(make_record("run-1", lock_token=held.token))
        assert " running " in run(clone, "history", "production")
        held.release(fenced=False)
    assert " interrupted? " in run(clone, "history", "production")
    assert "deploy to production: open" in run(clone, "show", "run-1")
    (found,) = json.loads(run(clone, "history", "production", "--json", "-"))["attempts"]
    assert (found["state"], found["verdict"], found["now"]) == ("open", None, "interrupted?")


def test_open_attempt_of_a_holder_that_was_killed_here_says_so(clone: Path) -> None:
    worker = start_worker(str(clone), "hold")
    assert worker.stdout is not None
    token = json.loads(worker.stdout.readline())["token"]
    with state_of(clone) as state:
        state.ledger.close(closed(make_record("before-1")))
        state.ledger.open(make_record("run-1", lock_token=token))
    assert " running " in run(clone, "history", "production")
    worker.kill()
    worker.communicate()
    assert " interrupted (dead) " in run(clone, "history", "production")
    newest, before = json.loads(run(clone, "history", "production", "--json", "-"))["attempts"]
    assert (newest["id"], newest["verdict"], newest["now"]) == ("run-1", None, "interrupted (dead)")
    assert "now" not in before


def test_open_attempt_whose_lock_has_expired_says_so(clone: Path) -> None:
    with state_of(clone, "[lock]\nexpiry_seconds = 5") as state:
        held = state.lock("production", this_process(repository_of(clone))).acquire(timeout_seconds=0)
        state.ledger.open(make_record("run-1", lock_token=held.token))
        held.stop()
        end = moment(5)
        wait_for(lambda: moment() >= end)
        assert " open (expired) " in run(clone, "history", "production")


def test_lock_is_shown_and_broken_with_a_reason(clone: Path, remote: Path) -> None:
    assert "no environment was ever locked" in run(clone, "lock", "show")
    assert "never locked" in run(clone, "lock", "show", "production")
    assert "nobody holds" in run(clone, "lock", "break", "production", "--reason", "x", expect=29)
    with state_of(clone) as state:
        holder = this_process(repository_of(clone), actor="ci", ci_url="https://ci.example.net/7")
        held = state.lock("production", holder).acquire(timeout_seconds=0)
        assert "ci (https://ci.example.net/7)" in run(clone, "lock", "show")
        run(clone, "lock", "break", "production", expect=64)
        assert "--reason is empty" in run(clone, "lock", "break", "production", "--reason", " ", expect=64)
        assert "is free" in run(clone, "lock", "break", "production", "--reason", "job 7 was killed")
        assert not held.is_still_ours()
        held.stop()
    found = json.loads(run(clone, "lock", "show", "--json", "-"))["locks"]
    assert [(one["environment"], one["state"], one["fence"]) for one in found] == [
        ("production", "free", True)
    ]
    assert "job 7 was killed" in run(clone, "lock", "show")


def test_expired_lock_says_so(clone: Path) -> None:
    with state_of(clone, "[lock]\nexpiry_seconds = 5") as state:
        held = state.lock("production", this_process(repository_of(clone))).acquire(timeout_seconds=0)
        held.stop()
        end = moment(5)
        wait_for(lambda: moment() >= end)
        text = run(clone, "lock", "show", "production")
        assert " expired " in text
        assert "lock break production" in text


def test_lock_of_a_process_that_was_killed_here_says_so(clone: Path) -> None:
    worker = start_worker(str(clone), "hold")
    assert worker.stdout is not None
    worker.stdout.readline()
    assert " held " in run(clone, "lock", "show")
    worker.kill()
    worker.communicate()
    text = run(clone, "lock", "show", "production")
    assert " dead " in text
    assert "lock break production" in text
    (found,) = json.loads(run(clone, "lock", "show", "--json", "-"))["locks"]
    assert (found["state"], found["held"]) == ("dead", True)


def test_clone_that_cannot_be_written_is_read_all_the_same(clone: Path) -> None:
    record_story(clone)
    place = clone / ".git" / "orchestrator"
    shutil.rmtree(place, ignore_errors=True)
    place.write_text("")  # root may write anywhere but below a file
    assert len(run(clone, "history", "production").splitlines()) == 5
    assert "deploy to production: partial" in run(clone, "show", "20261102")
    assert place.read_text() == ""


def test_settings_at_the_branch_say_where_the_ledger_is(clone: Path, remote: Path, tmp_path: Path) -> None:
    other = tmp_path / "records.git"
    git(tmp_path, "init", "--quiet", "--bare", str(other))
    text = f'[ledger]\nrepository = "{other}"\n'
    git(clone, "config", "user.name", "x")
    git(clone, "config", "user.email", "x@example.net")
    git(clone, "checkout", "--quiet", "-b", "production")
    (clone / "orchestrator.toml").write_text(f"format = 1\n{text}")
    git(clone, "add", "orchestrator.toml")
    git(clone, "commit", "--quiet", "--message", "Ledger")
    git(clone, "push", "--quiet", "origin", "production")
    git(clone, "checkout", "--quiet", "dev")
    with state_of(clone, text) as state:
        state.ledger.close(closed(make_record()))
    assert " success " in run(clone, "history", "production")
    assert "has no attempt" in run(clone, "history", "dev")


def test_unreachable_remote_leaves_what_was_known(clone: Path, remote: Path) -> None:
    text = run(make_clone(remote, clone.parent / "other"), "history", "production")
    assert "has no attempt" in text
    record_story(clone)
    run(clone, "history", "production")
    remote.rename(remote.with_name("gone.git"))
    text = run(clone, "history", "production")
    assert "cannot be reached; this is what was known" in text
    assert "interrupted" in text
    assert "cannot be reached" in run(clone.parent / "other", "history", "production", expect=11)


def test_foreign_and_broken_content_is_left_out_with_a_warning(
    clone: Path, remote: Path, tmp_path: Path
) -> None:
    record_story(clone)
    editor = make_clone(remote, tmp_path / "editor", "--branch", "orchestrator/ledger")
    git(editor, "config", "user.name", "x")
    git(editor, "config", "user.email", "x@example.net")
    blob = git(editor, "hash-object", "-w", "--stdin", content=b'{"format": 1, "id": 5}')
    (editor / "production" / "state.json").write_text("broken")
    for message in (
        "Edited by hand",
        f"x\n\nAttempt-Id: evil\nEnvironment: production\nVerdict: success\nDocument: {blob}",
        f"x\n\nAttempt-Id: gone\nEnvironment: production\nVerdict: success\nDocument: {'1' * 40}",
    ):
        git(editor, "add", "--all")
        git(editor, "commit", "--quiet", "--allow-empty", "--message", message)
    git(editor, "push", "--quiet", "origin", "HEAD")
    text = run(clone, "history", "production")
    assert "warning: entries of the ledger cannot be read and are left out: gone in commit" in text
    assert "evil in commit" in text
    assert "20261104" in text
    run(clone, "when", "shop-site", "2.1")
    with state_of(clone) as state:
        assert state.ledger.close(closed(make_record("after-1"))).problem is None
    assert "after-1" in run(clone, "history", "production")


def test_rewritten_ledger_is_said(clone: Path, remote: Path) -> None:
    record_story(clone)
    run(clone, "history", "production")
    git(remote, "update-ref", "refs/heads/orchestrator/ledger", "orchestrator/ledger~3")
    assert "was rewritten" in run(clone, "history", "production")
    git(remote, "update-ref", "-d", "refs/heads/orchestrator/ledger")
    assert "is gone; this is what was known" in run(clone, "history", "production")


def test_schema_of_a_record_is_published(clone: Path) -> None:
    assert json.loads(run(clone, "schema", "record"))["title"] == "record"


def test_ten_thousand_attempts_are_read_within_the_budget_and_appended_to_as_ten_are(
    clone: Path, remote: Path
) -> None:
    make_long_ledger(remote, 10_000)
    run(clone, "history", "production")
    for arguments, lines in (
        (("history", "production"), 21),
        (("history", "production", "--all", "--json", "-"), 10_000),
    ):
        seconds, output = min(cpu_of(*arguments, directory=clone) for _ in range(3))
        assert output.count("\n") >= lines
        assert seconds < CPU_SECONDS, f"{' '.join(arguments)} took {seconds:.2f} s of CPU"
    with state_of(clone) as state:
        recorded = state.ledger.close(closed(make_record("after-1")))
        assert recorded.problem is None
        scratch = clone / ".git" / "orchestrator" / ".scratch"
        objects = [path for path in scratch.rglob("objects/**/*") if path.is_file()]
        assert len(objects) < 50
