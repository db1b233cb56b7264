"""Deployments that meet each other, their git host's end, or their own: nothing is lost, doubled, mixed or undone."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from orchestrator.edges.clock import moment
from tests.edges.deliveries import DEPLOY, Delivery, github, turns, verdicts
from tests.edges.remotes import GitDaemon, git, serve_http, wait_for

SHORT = "[lock]\nexpiry_seconds = 5\n"
LOCK = "refs/heads/orchestrator/lock/dev"


def staged_by(delivery: Delivery) -> set[str]:
    return {one["run"] for one in delivery.journal() if one["phase"] == "stage"}


def test_jobs_of_eight_commits_deploy_the_newest_and_none_is_lost(directory: Path) -> None:
    delivery = Delivery(directory)
    jobs = []
    with serve_http(directory) as url:
        with delivery.holding("stage"):
            for number in range(8):
                commit = delivery.release(f"{number}.0")
                source = url + "/shop.git" if number % 2 else str(delivery.bare)
                clone = delivery.clone(
                    f"runner{number}", "--depth=1", url=f"file://{source}" if not number % 2 else source
                )
                jobs.append(delivery.start(clone, *DEPLOY, environ=github(commit)))
                if number == 0:
                    delivery.wait_held("stage", jobs[0])
                elif number < 4:
                    jobs[-1].says("waiting for the lock of dev: held by octocat")
        for job in jobs:
            job.end()
        history = delivery.history(clone)
    assert delivery.lock()["state"] == "free"
    assert delivery.everywhere() == {"7.0"}
    assert sorted(verdicts(history)) == ["success"] * 2 + ["superseded"] * 6
    assert len({one["id"] for one in history}) == 8
    assert {one["manifest_version"] for one in history} == {f"{number}.0" for number in range(8)}
    assert {one["commit"] for one in history} == set(git(delivery.work, "rev-list", "dev").split())
    tokens = turns(delivery.journal())
    assert tokens == sorted(set(tokens))
    assert len(staged_by(delivery)) == 2


def test_eight_jobs_of_one_commit_deploy_it_once(directory: Path) -> None:
    delivery = Delivery(directory, hosts=1)
    delivery.release("1.0")
    with serve_http(directory) as url:
        clones = [
            delivery.clone(f"runner{number}", url=f"{url}/shop.git" if number % 2 else "")
            for number in range(8)
        ]
        for job in [delivery.start(clone, *DEPLOY) for clone in clones]:
            job.end()
        history = delivery.history(clones[1])
    assert verdicts(history) == ["success"] * 8
    results = [one["result"] for attempt in history for one in attempt["placements"]]
    assert sorted(results) == ["deployed"] + ["unchanged"] * 7
    assert turns(delivery.journal()) == list(range(1, 9))
    assert {one["lock_token"] for one in history} == set(range(1, 9))
    assert len(staged_by(delivery)) == 1
    assert len(delivery.subjects()) == 9  # one attempt had to open


def test_late_job_does_not_downgrade_unless_somebody_says_why(directory: Path) -> None:
    delivery = Delivery(directory, hosts=1)
    old = delivery.release("1.0")
    late = delivery.clone("late", "--depth=1", url=f"file://{delivery.bare}")
    delivery.release("2.0")
    other = delivery.clone("other")
    delivery.run(other, *DEPLOY)
    before = delivery.journal()
    said = delivery.run(late, *DEPLOY, environ=github(old))
    assert "superseded: dev is at" in said
    assert (delivery.journal(), delivery.live()) == (before, "2.0")
    newest = delivery.history(other)[0]
    assert (newest["verdict"], newest["commit"], newest["manifest_version"]) == ("superseded", old, "1.0")
    assert newest["ci"]["url"].endswith("/actions/runs/17")
    reason = "2.0 loses orders"
    delivery.run(late, *DEPLOY, "--allow-older", reason, environ=github(old))
    assert delivery.live() == "1.0"
    newest = delivery.history(other)[0]
    assert (newest["verdict"], newest["commit"], newest["allow_older_reason"]) == ("success", old, reason)
    assert reason in git(delivery.bare, "log", "-1", "--format=%B", "orchestrator/ledger")
    # A branch that was put back is where it is on purpose; a commit that was never pushed is a mistake.
    commit = delivery.push("Nobody wants this")
    git(late, "fetch", "--quiet", "origin", commit)
    git(delivery.work, "reset", "--quiet", "--hard", "HEAD~1")
    git(delivery.work, "push", "--quiet", "--force", "origin", "HEAD:refs/heads/dev")
    assert "superseded" in delivery.run(late, *DEPLOY, environ=github(commit))
    git(other, "fetch", "--quiet", "origin", commit)
    ahead = ("deploy", "--environment", "dev", "--ref", commit)
    assert "is ahead of dev" in delivery.run(other, *ahead, expect=12)
    # A late job has nothing to do with what is wrong with the commits after its own.
    (delivery.work / "manifest.json").write_text("broken")
    delivery.push("Break it")
    assert "superseded" in delivery.run(late, *DEPLOY, environ=github(old))
    assert delivery.history(other)[0]["commit"] == old


@pytest.fixture
def server(directory: Path) -> Iterator[GitDaemon]:
    server = GitDaemon(directory)
    yield server
    server.kill()


def test_git_server_that_ends_in_between_leaves_nothing_half_done_and_no_record_lost(
    directory: Path, server: GitDaemon
) -> None:
    delivery = Delivery(directory, settings=SHORT, hosts=1)
    commit = delivery.release("1.0")
    clone, other = (delivery.clone(name, url=server.url("shop.git")) for name in ("runner", "other"))

    server.kill()
    assert "cannot be reached" in delivery.run(clone, *DEPLOY, expect=11)
    assert delivery.journal() == []
    server.start()

    with delivery.holding("observe"):
        job = delivery.start(clone, *DEPLOY)
        delivery.wait_held("observe", job)
        server.kill()
    said = job.end(expect=30)
    assert "could not be pushed" in said
    assert "kept in" in said
    assert {one["phase"] for one in delivery.journal()} == {"observe"}
    server.start()

    with delivery.holding("activate"):
        job = delivery.start(clone, *DEPLOY)
        delivery.wait_held("activate", job)
        waiting = delivery.start(other, *DEPLOY)
        waiting.says("waiting for the lock")
        server.kill()
    said = job.end(expect=30)
    assert "is broken" in said
    assert "dev: success; 1 deployed" in said
    assert "could not be released" in said
    assert delivery.live() == "1.0"

    said = delivery.run(clone, *DEPLOY, "--no-lock", "git is down")
    assert "without a lock: git is down" in said
    assert "kept in" in said
    server.start()
    assert "is broken" in waiting.end()
    delivery.run(clone, *DEPLOY)
    history = delivery.history(clone)[::-1]
    assert [(one["verdict"], one["no_lock_reason"], one["lock_token"]) for one in history] == [
        ("failed", None, 1),
        ("success", None, 2),
        ("success", None, 3),
        ("success", "git is down", None),
        ("success", None, 4),
    ]
    assert "cannot be reached" in history[0]["error"]
    assert {one["commit"] for one in history} == {commit}
    closed = [line for line in delivery.subjects() if " begins" not in line]
    assert len([line for line in closed if "interrupted" not in line]) == len(history)
    assert not list((clone / ".git" / "orchestrator" / "pending").glob("*.json"))
    assert delivery.lock()["state"] == "free"


@pytest.mark.parametrize(("phase", "revert"), [("activate", False), ("stage", True)])
def test_runner_that_stood_still_past_its_expiry_is_refused_by_hosts(
    directory: Path, phase: str, revert: bool
) -> None:
    delivery = Delivery(directory, settings=SHORT)
    delivery.release("1.0")
    clone, other = delivery.clone("stalled"), delivery.clone("other")
    delivery.run(clone, *DEPLOY)
    delivery.release("2.0")
    with delivery.holding(phase):
        stalled = delivery.start(clone, *DEPLOY)
        delivery.wait_held(phase, stalled)
        stalled.stop()
    arrived = len([one for one in delivery.journal() if one["token"] == 2]) + 4  # begin and end on two hosts
    try:
        if not revert:
            wait_for(lambda: delivery.lock()["expires"] <= moment())
            assert "expired" in delivery.run(other, *DEPLOY, expect=29)
        newer = "1.0" if revert else "3.0"
        delivery.release(newer)
        said = delivery.run(other, "lock", "break", "dev", "--reason", "its machine does not answer")
        assert "is free" in said
        said = delivery.run(other, *DEPLOY)
        assert ("Nothing to do" in said) == revert
        # What was on its way to the hosts arrives there before its orchestrator can see what has happened.
        stalled.go_on(itself=False)
        wait_for(lambda: len([one for one in delivery.journal() if one["token"] == 2]) == arrived)
    finally:
        stalled.go_on()
    assert "this run lost the lock of dev" in stalled.end(expect=29)
    assert delivery.everywhere() == {newer}
    assert turns(delivery.journal()) == [1, 2, 3, 2]
    assert "in sync" in delivery.run(other, "status", "--branch", "dev")
    lock = delivery.lock()
    assert (lock["state"], lock["token"], lock["fence"]) == ("free", 3, False)
    history = {one["lock_token"]: one for one in delivery.history(other) if one["lock_token"]}
    assert {token: one["verdict"] for token, one in history.items()} == {
        3: "success",
        2: "failed",
        1: "success",
    }
    assert "this run lost the lock of dev (token 2)" in history[2]["error"]
    when = json.loads(delivery.run(other, "when", "site", newer, "--json", "-"))
    assert sorted(one["is_live"] for one in when["intervals"])[-2:] == [True, True]


class Health(BaseHTTPRequestHandler):
    """Says 503 until its server is well."""

    def do_GET(self) -> None:
        server: Any = self.server
        server.asked += 1
        self.send_response(200 if server.well else 503)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


@pytest.fixture
def health() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Health)
    server.asked, server.well = 0, False
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_runner_killed_at_any_moment_is_followed_by_the_same_command(directory: Path, health: Any) -> None:
    delivery = Delivery(directory)
    delivery.application = {
        "healthcheck": {
            "url": f"http://127.0.0.1:{health.server_address[1]}/",
            "retries": 1000,
            "interval_seconds": 0.05,
            "deadline_seconds": 100,
        }
    }
    delivery.release("1.0")
    clone = delivery.clone("runner")
    for phase in ("observe", "stage", "activate"):
        with delivery.holding(phase):
            killed = delivery.start(clone, *DEPLOY)
            delivery.wait_held(phase, killed)
            if phase == "stage":
                waiting = delivery.start(clone, *DEPLOY)
                waiting.says("waiting for the lock")
                waiting.kill()
            killed.kill()
        if phase != "observe":
            assert "the lock of dev is broken: process" in killed.text
    asked = health.asked
    killed = delivery.start(clone, *DEPLOY)
    wait_for(lambda: health.asked > asked + 5)
    killed.kill()
    health.well = True
    said = delivery.run(clone, *DEPLOY)
    assert "the lock of dev is broken: process" in said
    assert delivery.everywhere() == {"1.0"}
    assert "in sync" in delivery.run(clone, "status", "--branch", "dev")
    assert verdicts(delivery.history(clone)) == ["success", *["interrupted"] * 4]
    lock = delivery.lock()
    assert (lock["state"], lock["fence"]) == ("free", False)


def test_lock_of_a_killed_runner_elsewhere_is_waited_for_and_never_taken(directory: Path) -> None:
    delivery = Delivery(directory, settings=SHORT, hosts=1)
    delivery.release("1.0")
    clone, other = delivery.clone("runner"), delivery.clone("other")
    with delivery.holding("stage"):
        killed = delivery.start(clone, *DEPLOY)
        delivery.wait_held("stage", killed)
        killed.kill()
        state = json.loads(git(delivery.bare, "show", f"{LOCK}:lock.json"))
        state["holder"]["process"] = state["holder"]["process"].replace("-", "0", 1)
        state["holder"]["host"] = "another-machine"
        blob = git(delivery.bare, "hash-object", "-w", "--stdin", content=json.dumps(state).encode())
        tree = git(delivery.bare, "mktree", content=f"100644 blob {blob}\tlock.json\n".encode())
        who = ("-c", "user.name=CI", "-c", "user.email=ci@example.net")
        moved = git(delivery.bare, *who, "commit-tree", tree, "-p", LOCK, "-m", "It is elsewhere")
        git(delivery.bare, "update-ref", LOCK, moved)
    job = delivery.start(other, *DEPLOY)
    job.says("on another-machine)")
    said = job.end(expect=29)
    assert "orchestrator lock break dev" in said
    assert delivery.live() == ""
    delivery.run(other, "lock", "break", "dev", "--reason", "that machine is gone")
    assert "was interrupted" in delivery.run(other, *DEPLOY)
    assert delivery.live() == "1.0"
    assert verdicts(delivery.history(other)) == ["success", "failed", "interrupted"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_ends_a_run_at_any_moment_releases_the_lock_and_is_recorded(
    directory: Path, number: signal.Signals, code: int
) -> None:
    delivery = Delivery(directory, hosts=1)
    delivery.release("1.0")
    clone, other = delivery.clone("runner"), delivery.clone("other")
    for phase in ("observe", "stage"):
        with delivery.holding(phase):
            job = delivery.start(clone, *DEPLOY)
            delivery.wait_held(phase, job)
            if phase == "stage":
                waiting = delivery.start(other, *DEPLOY, "--json", str(directory / "result.json"))
                waiting.says("waiting for the lock")
                waiting.signal(number)
                assert "interrupted" in waiting.end(expect=code)
                assert json.loads((directory / "result.json").read_text())["verdict"] == "cancelled"
                # A dry run neither waits nor is written down.
                before = delivery.subjects()
                assert "1 deployed" in delivery.run(other, *DEPLOY, "--check")
                assert delivery.subjects() == before
            job.signal(number)
            job.end(expect=code)
        assert delivery.lock()["state"] == "free"
    assert delivery.live() == ""
    assert verdicts(delivery.history(clone)) == ["cancelled"] * 3
