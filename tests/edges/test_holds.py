"""Holds and `require_deployed_in`, by the real commands, on hosts that are directories of this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.edges.remotes import git
from tests.edges.rollouts import Ground
from tests.edges.test_protection import make_ssh_key

LEDGER = "refs/heads/orchestrator/ledger"


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    made = Ground(tmp_path, 1)
    made.where = {"api": ["all"], "site": ["all"]}
    yield made
    made.close()


def live(ground: Ground) -> dict[str, str]:
    return {name: ground.live_on("h1", name) for name in ("api", "site")}


def test_hold_refuses_deployments_before_any_host_is_touched_until_it_is_lifted(ground: Ground) -> None:
    ground.release("1")
    ground.deploy()
    said = ground.run("hold", "dev", "site", "--reason", "Incident 7")
    assert "site is held since" in said
    assert "by ci@example.net: Incident 7; `orchestrator unhold dev site` lifts it" in said
    assert "nothing is" not in ground.run("deploy", "-b", "dev"), "nothing to do is no refusal"
    ground.release("2")
    refused = ground.deploy(expect=41)
    assert "dev is held: nothing was deployed" in str(refused["output"])
    assert "Incident 7" in str(refused["output"])
    assert live(ground) == {"api": "1", "site": "1"}
    assert "a deployment would be refused: site is held" in ground.run("plan")
    assert "a deployment would be refused: site is held" in ground.run("deploy", "--check")
    status = ground.top / "status.json"
    assert "held: site is held since" in ground.run("status", "-e", "dev", "--json", str(status))
    assert [one["application"] for one in json.loads(status.read_text())["holds"]] == ["site"]
    ground.deploy("--application", "api")
    assert live(ground) == {"api": "2", "site": "1"}
    history = ground.run("history", "dev")
    assert "hold: site: Incident 7" in history
    said = ground.run("unhold", "dev")
    assert "nothing to do: dev is not held" in said
    assert "still held: site is held" in said
    assert "lifted: site is held since" in ground.run("unhold", "dev", "site", "--reason", "solved")
    ground.deploy()
    assert live(ground) == {"api": "2", "site": "2"}
    assert "unhold: site: solved" in ground.run("history", "dev")


def test_hold_that_comes_after_the_plan_and_before_the_attempt_is_known_holds(ground: Ground) -> None:
    """Whichever of both is in the ledger first, counts."""
    ground.release("1")
    ground.deploy()
    before = git(ground.path, "rev-parse", LEDGER)
    ground.run("hold", "dev", "site", "--reason", "Incident 8")
    held = git(ground.path, "rev-parse", LEDGER)
    git(ground.path, "update-ref", LEDGER, before)
    hook = ground.path / ".git" / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        f"#!/bin/sh\ngrep -q {LEDGER} && mkdir {ground.top}/came &&"
        f" env -u GIT_QUARANTINE_PATH git update-ref {LEDGER} {held}\nexit 0\n"
    )
    hook.chmod(0o755)
    ground.release("2")
    assert "Incident 8" in str(ground.deploy(expect=41)["output"])
    assert (ground.top / "came").exists()
    assert live(ground) == {"api": "1", "site": "1"}
    assert "2 not started" in ground.run("history", "dev", "--all")


def test_hold_of_the_environment_for_deployments_lets_promotions_pass_and_the_other_way_round(
    ground: Ground,
) -> None:
    ground.release("1")
    ground.run("hold", "dev", "--for", "promote", "--reason", "Release week")
    ground.deploy()
    assert live(ground) == {"api": "1", "site": "1"}
    ground.run("hold", "dev", "--for", "deploy", "--reason", "Migration")
    ground.release("2")
    assert "dev is held for deploy since" in str(ground.deploy(expect=41)["output"])
    assert ground.run("unhold", "dev", "--all").count("lifted: dev is held for") == 2
    ground.deploy()
    assert live(ground) == {"api": "2", "site": "2"}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            ("hold", "dev", "sites", "--reason", "x"),
            64,
            'dev has no application "sites" (did you mean "site"?)',
        ),
        (("hold", "dev", "--reason", " "), 64, "--reason is empty"),
        (("hold", "dv", "--reason", "x"), 12, "there is no environment 'dv'"),
        (("unhold", "dev", "sites"), 64, 'dev has no application "sites"'),
    ],
)
def test_names_that_are_wrong_are_said(
    ground: Ground, arguments: tuple[str, ...], code: int, said: str
) -> None:
    ground.release("1")
    assert said in ground.run(*arguments, expect=code)


def test_environment_whose_documents_are_broken_can_be_held(ground: Ground) -> None:
    ground.release("1")
    (ground.path / "manifest.json").write_text("{")
    ground.git("commit", "--quiet", "--all", "--message", "Broken")
    assert "dev is held since" in ground.run("hold", "dev", "--reason", "The manifest is broken")
    assert "lifted: dev is held" in ground.run("unhold", "dev")


def test_rollback_holds_the_bytes_that_it_left_until_git_asks_for_others(ground: Ground) -> None:
    for version in ("1", "2"):
        ground.release(version)
        ground.deploy()
    ground.release("3", api="2")
    ground.deploy()
    output = str(ground.deploy("-e", "dev", "-a", "site", command="rollback")["output"])
    assert "git still wants site 3, not 2 (on 1 host)" in output
    assert "that is held now: no deployment of dev brings it back" in output
    refused = str(ground.deploy(expect=41)["output"])
    assert "site 3 (sha256 " in refused
    assert "rollback to the good release before" in refused
    assert "another version in git, or `orchestrator unhold dev site` lifts it" in refused
    assert live(ground) == {"api": "2", "site": "2"}
    ground.deploy("-a", "api")
    ground.release("4", api="2")
    ground.deploy()
    assert live(ground)["site"] == "4"
    assert ground.run("status", "-e", "dev").count("held:") == 0


def test_rollback_goes_on_although_the_environment_is_held_and_failed_ones_hold_nothing(
    ground: Ground,
) -> None:
    for version in ("1", "2"):
        ground.release(version)
        ground.deploy()
    ground.sick.add(("h1", "1"))
    ground.deploy("-e", "dev", "-a", "site", command="rollback", expect=23)
    assert "held:" not in ground.run("status", "-e", "dev")
    ground.sick.clear()
    ground.run("hold", "dev", "--reason", "Incident")
    output = str(ground.deploy("-e", "dev", "-a", "api", command="rollback")["output"])
    assert "a rollback goes on all the same: dev is held since" in output
    assert live(ground)["api"] == "1"


def test_rollback_can_propose_that_git_asks_for_what_is_live(ground: Ground, tmp_path: Path) -> None:
    remote = tmp_path / "remote.git"
    for version in ("1", "2"):
        ground.release(version)
        if version == "1":
            git(tmp_path, "clone", "--quiet", "--bare", str(ground.path), str(remote))
            ground.git("remote", "add", "origin", str(remote))
        ground.git("push", "--quiet", "origin", "dev")
        ground.deploy()
    output = str(
        ground.deploy("-e", "dev", "-a", "site", "--pr", "--reviewer", "bob", command="rollback")["output"]
    )
    assert "open a pull request from orchestrator/revert/dev into dev" in output
    own = "orchestrator/revert/dev"
    manifest = json.loads(git(remote, "show", f"{own}:manifest.json"))
    assert {name: one["version"] for name, one in manifest["applications"].items()} == {
        "api": "2",
        "site": "1",
    }
    assert manifest["manifest_version"] == "3"
    assert git(remote, "log", "-1", "--format=%s", own) == "Go back to site 1 in dev, as was rolled back"
    ground.deploy(expect=41)
    git(remote, "update-ref", "refs/heads/dev", f"refs/heads/{own}")
    ground.deploy("-b", "dev")
    assert "held" not in ground.run("plan", "-b", "dev")
    assert live(ground) == {"api": "2", "site": "1"}


def stages(ground: Ground, rules: str = "") -> None:
    """An environment `qa` beside dev, on the same host; dev has these rules."""
    environment: dict[str, Any] = {**ground.environment, "environment": "qa"}
    document = json.loads((ground.path / "dev-env.json").read_text())
    entries = {
        name: {**one, "deployment_path": one["deployment_path"].replace("/srv/", "/qa/"), "healthcheck": None}
        for name, one in document["applications"].items()
    }
    for entry in entries.values():
        del entry["healthcheck"]
    (ground.path / "qa-env.json").write_text(json.dumps({**environment, "applications": entries}))
    (ground.path / "orchestrator.toml").write_text(f"format = 1\n{rules}")
    ground.git("add", "--all")
    ground.git("commit", "--quiet", "--allow-empty", "--message", "Stages")


RULES = '[environments.dev]\nrequire_deployed_in = ["qa"]\n'


def test_deployment_of_what_was_not_live_elsewhere_is_refused_before_any_host_is_touched(
    ground: Ground,
) -> None:
    ground.release("1")
    stages(ground, RULES)
    refused = str(ground.deploy("-e", "dev", expect=42)["output"])
    assert "api 1: it was never live and healthy in qa" in refused
    assert live(ground) == {"api": "", "site": ""}
    assert "a deployment would be refused: api 1: it was never" in ground.run("plan", "-e", "dev")
    ground.run("deploy", "-e", "qa", "--ref", "HEAD")
    ground.deploy("-e", "dev")
    assert live(ground) == {"api": "1", "site": "1"}
    plan = ground.top / "plan.json"
    ground.release("2")
    stages(ground)
    refused = str(ground.deploy("-e", "dev", expect=42)["output"])
    assert "it was never live and healthy in qa" in refused, "a commit does not free itself from a rule"
    ground.git("commit", "--quiet", "--allow-empty", "--message", "Hide the rule behind one more commit")
    assert "it was never live" in str(ground.deploy("-e", "dev", expect=42)["output"])
    ground.run("plan", "-e", "dev", "--json", str(plan))
    assert len(json.loads(plan.read_text())["blocked"]) == 2
    ground.deploy("-e", "dev", command="rollback", expect=35)


def test_soak_is_waited_for(ground: Ground) -> None:
    ground.release("1")
    stages(ground, f"{RULES}soak_minutes = 30\n")
    ground.run("deploy", "-e", "qa", "--ref", "HEAD")
    refused = str(ground.deploy("-e", "dev", expect=42)["output"])
    assert "it has been in qa for 0 of 30 minutes; wait until" in refused


def test_entry_that_no_listed_key_signed_proves_nothing(ground: Ground) -> None:
    """Whoever may push to the ledger can write that something was live elsewhere."""
    ours, _ = make_ssh_key(ground.top, "ci")
    make_ssh_key(ground.top, "eve")
    listed = f'[keys]\nci = "{" ".join(ours.split()[:2])}"\n[ledger]\nsigning_key = "{ground.top}/key-'
    ground.release("1")
    stages(ground, f'{listed}ci"\n{RULES}')
    ground.run("deploy", "-e", "qa", "--ref", "HEAD")
    ground.deploy("-e", "dev")
    ground.release("2")
    stages(ground, f'{listed}eve"\n{RULES}')
    ground.run("deploy", "-e", "qa", "--ref", "HEAD")
    assert "it was never live and healthy in qa" in str(ground.deploy("-e", "dev", expect=42)["output"])
    ground.release("2")
    stages(ground, f'{listed}ci"\n{RULES}')
    ground.run("deploy", "-e", "qa", "--ref", "HEAD")
    ground.deploy("-e", "dev")
    assert live(ground) == {"api": "2", "site": "2"}
