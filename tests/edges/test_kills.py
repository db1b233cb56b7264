"""A host that dies at any step serves a complete release, and the next run converges and leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from host_program import receipts

from tests.edges.host import IDENTITY, Host, make_zip

UNHEALTHY = {
    "url": "http://127.0.0.1:9/",
    "origin": "host",
    "retries": 0,
    "interval_seconds": 0.1,
    "timeout_seconds": 1,
    "deadline_seconds": 1,
    "status": [200],
    "body": "",
}
PROGRAM = Path(receipts.__file__).parent.parent
# The process ends at the step of that number, without cleaning up: what changes the disk is a step.
DYING = """
import json, os, sys
program, state, step, requests = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
sys.path.insert(0, program)
from host_program import adoption, afterwards, archives, comparing, fetch, hooks, layout, main, once, receipts, releases, staging, trees
receipts.state_root = lambda: state
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.chmod", "os.link", "os.truncate", "ctypes.dlsym"}
seen = 0
def watch(event, arguments):
    global seen
    if event in CHANGES or (event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)):
        seen += 1
        if seen == step:
            os._exit(9)
sys.addaudithook(watch)
for request in requests:
    answers = main.answer(request)["placements"]
    afterwards.do()
    if answers[0].get("problem") and request["phase"] == "stage":
        sys.exit(json.dumps(answers))
print(seen)
"""


def run_until(host: Host, step: int, *requests: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """The phases, in a process that dies at that step; 0 means never."""
    state = receipts.state_root()
    arguments = [str(PROGRAM), state, str(step), json.dumps(requests)]
    return subprocess.run(
        [sys.executable, "-I", "-c", DYING, *arguments], capture_output=True, text=True, check=False
    )


def deployment(host: Host, version: str, **settings: Any) -> dict[str, Any]:
    """A placement whose artifact lies on the host already."""
    artifact = host.publish(f"site-{version}.zip", make_zip({"index.html": version, "d/f": "x" * 100}))
    local = {
        "delivery": "controller",
        "local": True,
        "location": str(host.store / "raw" / f"site-{version}.zip"),
    }
    return host.placement(version, {**artifact, **local}, **settings)


def requests_of(host: Host, placement: dict[str, Any]) -> list[dict[str, Any]]:
    host.runs += 1
    return [host.request("stage", placement), host.request("activate", placement)]


def live(host: Host) -> str:
    """What is live, which has to be complete; empty when nothing is."""
    current = host.path / "current"
    if not current.is_symlink():
        assert not current.exists()
        return ""
    assert (current / "d" / "f").read_text() == "x" * 100
    return (current / "index.html").read_text()


def leftovers(host: Host) -> set[str]:
    """What lies below the deployment path without a record."""
    directory = receipts.placement_directory(IDENTITY, "site", str(host.path))
    recorded = set((receipts.read_receipt(directory) or {"releases": ()})["releases"])
    trees = {path.name.removesuffix(".json") for path in Path(directory).glob("trees/*")}
    found = {one.name for one in host.path.iterdir()} - {"releases", "current"}
    releases = {one.name for one in (host.path / "releases").iterdir()}
    return found | (releases - recorded) | (trees - recorded)


def each_step(host: Host, prepare: Callable[[], object], *requests: dict[str, Any]) -> Iterator[int]:
    """Yields after the phases died at each of their steps, every time at a deployment path of its own."""
    step, base = 0, host.path
    while True:
        step += 1
        host.path = base.with_name(f"site{step}")
        prepare()
        here = json.loads(json.dumps(requests).replace(f'"{base}"', f'"{host.path}"'))
        done = run_until(host, step, *here)
        if done.returncode == 0:
            assert step > 10
            return
        assert done.returncode == 9, done.stderr
        yield step


def observed(host: Host) -> dict[str, Any]:
    """What the host says about its deployment path, every file read."""
    (found,) = [one for one in host.observe(verify=True) if one["deployment_path"] == str(host.path)]
    return found


def converges(host: Host, version: str) -> None:
    """Check mode finds nothing in the way, the next run makes it so, and the one after does nothing."""
    placement = deployment(host, version)
    check = [host.phase(phase, placement, check=True) for phase in ("stage", "activate")]
    assert [one.get("problem") for one in check] == [None, None]
    assert host.deploy(placement)["result"] in ("healthy", "unchanged")
    assert live(host) == version
    assert (observed(host)["state"], observed(host)["problems"]) == ("healthy", [])
    assert host.deploy(placement)["result"] == "unchanged"


def test_first_release_that_dies_at_any_step(host: Host) -> None:
    requests = requests_of(host, deployment(host, "1"))
    for step in each_step(host, lambda: None, *requests):
        assert live(host) in ("", "1"), step
        converges(host, "1")
        assert leftovers(host) == set(), step


def test_update_that_dies_at_any_step(host: Host) -> None:
    requests = requests_of(host, deployment(host, "2"))
    for step in each_step(host, lambda: host.deploy(deployment(host, "1")), *requests):
        assert live(host) in ("1", "2"), step
        converges(host, "2")
        assert leftovers(host) == set(), step
        assert observed(host)["previous_version"] == "1"


def test_update_that_prunes_and_dies_at_any_step(host: Host) -> None:
    def prepare() -> None:
        for version in ("1", "2"):
            host.deploy(deployment(host, version))

    requests = requests_of(host, deployment(host, "3", keep_releases=1))
    for step in each_step(host, prepare, *requests):
        assert live(host) in ("2", "3"), step
        converges(host, "3")
        assert leftovers(host) == set(), step


def test_switching_back_that_dies_at_any_step(host: Host) -> None:
    placement = deployment(host, "2", healthcheck=UNHEALTHY)
    requests = requests_of(host, placement)
    for step in each_step(host, lambda: host.deploy(deployment(host, "1")), *requests):
        assert live(host) in ("1", "2"), step
        converges(host, "1")
        assert leftovers(host) == set(), step


def kept(host: Host) -> dict[str, str]:
    """The states of the releases that lie there, by version."""
    return {one["version"]: one["state"] for one in observed(host)["releases"]}


def back_to(host: Host, version: str, **settings: Any) -> list[dict[str, Any]]:
    """What a rollback to that release asks for."""
    requests = requests_of(host, deployment(host, version, **settings))
    for request in requests:
        request["run"]["leaves_bad"] = True
    return requests


def test_rollback_that_dies_at_any_step_does_not_lead_forth_again(host: Host) -> None:
    def prepare() -> None:
        for version in ("0", "1", "2"):
            host.deploy(deployment(host, version))

    for step in each_step(host, prepare, *back_to(host, "1")):
        states = kept(host)
        if live(host) == "1" or states["1"] == "active":
            assert states["2"] == "bad", step
        assert run_until(host, 0, *back_to(host, "1")).returncode == 0
        assert (live(host), kept(host)) == ("1", {"1": "healthy", "2": "bad", "0": "healthy"}), step


def test_rollback_whose_release_fails_leaves_what_it_left_as_good_as_it_was(host: Host) -> None:
    for version in ("1", "2"):
        host.deploy(deployment(host, version))
    fails = {"hooks": {"after_activate": [{"command": ["/bin/false"]}]}}
    assert run_until(host, 0, *back_to(host, "1", **fails)).returncode == 0
    assert (live(host), kept(host)) == ("2", {"1": "bad", "2": "healthy"})


@pytest.mark.parametrize("version", ["2", "3"])
def test_unhealthy_release_after_switching_back_that_died_leads_back_to_what_was_healthy(
    host: Host, version: str
) -> None:
    """Neither to nothing, nor to an older one, nor to the one that was being left."""

    def prepare() -> None:
        for good in ("0", "1"):
            host.deploy(deployment(host, good))

    requests = requests_of(host, deployment(host, "2", healthcheck=UNHEALTHY))
    for step in each_step(host, prepare, *requests):
        directory = receipts.placement_directory(IDENTITY, "site", str(host.path))
        known = (receipts.read_receipt(directory) or {})["releases"].values()
        judged = any(one["version"] == "2" and one["state"] == "bad" for one in known)
        host.deploy(deployment(host, version, healthcheck=UNHEALTHY))
        # What was live and nobody had judged is what is gone back to from another one.
        assert live(host) in (("1",) if judged or version == "2" else ("1", "2")), step


def test_shared_paths_and_templates_that_die_at_any_step(host: Host) -> None:
    settings = {
        "shared_paths": [{"path": "logs", "directory": True}, {"path": "d/kept", "directory": True}],
        "templates": [{"path": "etc/app.conf", "text": "rendered", "mode": ""}],
        "hooks": {event: [{"command": ["/bin/true"]}] for event in ("before_stage", "after_stage")},
    }
    wanted = deployment(host, "2", **settings)
    for step in each_step(host, lambda: host.deploy(deployment(host, "1")), *requests_of(host, wanted)):
        assert live(host) in ("1", "2"), step
        again = deployment(host, "2", **settings)
        assert host.deploy(again)["result"] in ("healthy", "unchanged")
        assert (host.path / "current" / "etc" / "app.conf").read_text() == "rendered"
        assert (host.path / "shared" / "d" / "kept").is_dir()
        assert (observed(host)["state"], observed(host)["problems"]) == ("healthy", [])
        assert leftovers(host) == {"shared"}, step


def test_what_runs_once_and_dies_at_any_step(host: Host) -> None:
    """It runs again when it had not ended, or was not recorded; it never does once the next run has recorded it."""
    settings = {
        "hooks": {
            "run_once": [{"command": ["/bin/sh", "-c", 'echo ran >> "$ORCHESTRATOR_DEPLOYMENT_PATH".log']}]
        }
    }
    stage, activate = requests_of(host, deployment(host, "2", **settings))
    requests = (stage, {**stage, "phase": "once"}, activate)
    for step in each_step(host, lambda: host.deploy(deployment(host, "1")), *requests):
        log = host.path.with_name(f"{host.path.name}.log")
        before = log.read_text().count("ran") if log.exists() else 0
        assert before <= 1, step
        wanted = deployment(host, "2", **settings)
        for _ in range(2):
            host.runs += 1
            found = [host.phase(phase, wanted) for phase in ("stage", "once", "activate")]
            assert [one.get("problem") for one in found] == [None, None, None], step
        assert log.read_text().count("ran") in (1, 1 + before), step
        assert live(host) == "2"
        assert leftovers(host) == set(), step
