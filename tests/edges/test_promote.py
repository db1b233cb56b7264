"""`orchestrator promote`, by the real command, against real bare repositories and a real ledger."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.edges.clock import moment
from tests.edges.branches import MANIFEST, Branches
from tests.edges.remotes import git, make_clone, make_placement, make_record, state_of
from tests.edges.test_protection import make_ssh_key

pytestmark = pytest.mark.usefixtures("isolated_git")


@pytest.fixture
def branches(tmp_path: Path) -> Branches:
    return Branches(tmp_path, "dev", "staging", "production")


def with_rules(branches: Branches, text: str, branch: str = "production") -> None:
    branches.commit(branch, {"orchestrator.toml": f"format = 1\n{text}"})


def with_rules_and_keys(branches: Branches, directory: Path, *, signed: bool) -> str:
    """The settings by which a ledger's entries are signed, where the rules list a key; else none."""
    if not signed:
        with_rules(branches, RULES)
        return ""
    public, _ = make_ssh_key(directory, "ci")
    with_rules(branches, f'[keys]\nci = "{public}"\n{RULES}')
    return f'[ledger]\nsigning_key = "{directory / "key-ci"}"\n'


def deployed(
    branches: Branches,
    environment: str,
    versions: dict[str, str],
    *,
    at: str = "",
    number: int = 1,
    kind: str = "deploy",
    settings: str = "",
    **overrides: Any,
) -> None:
    """The ledger says so, where `settings` place it."""
    placements = tuple(
        make_placement(
            application=name,
            host="h1",
            deployment_path=f"/srv/{name}",
            result="deployed",
            from_version="",
            to_version=version,
            version=version,
            artifact_sha256=branches.publish(name, version),
        )
        for name, version in versions.items()
    )
    when = at or moment()
    record = make_record(
        f"{when[:10].replace('-', '')}T{when[11:19].replace(':', '')}-{number:08x}",
        kind=kind,
        environment=environment,
        started=when,
        ended=when,
        verdict="success",
        placements=placements,
        commit=overrides.pop("commit", branches.tip(environment)),
        lock_token=number,
        **overrides,
    )
    with state_of(branches.clone, settings) as state:
        assert state.ledger.close(record).problem is None


def test_everything_is_carried_on_top_of_the_target(branches: Branches) -> None:
    branches.run("set", "api=2", "site=3", "-b", "dev", "--push", "--manifest-version", "2.0.0")
    hotfix = branches.commit("production", {"README.md": "Hotfix\n"})
    output = branches.run("promote", "dev", "--to", "production", "--push")
    assert branches.read("production") == branches.read("dev")
    assert branches.read("production", "README.md") == "Hotfix\n"
    assert git(branches.remote, "rev-list", "--parents", "-1", "production").split()[1:] == [hotfix]
    assert "site         moves  1    3     another version" in output
    message = branches.message("production")
    assert message.startswith("Promote 2 applications from dev to production\n\napi: 1 → 2\nsite: 1 → 3\n")
    assert f"Promoted-From: dev@{branches.tip('dev')[:10]}" in message
    tip = branches.tip("production")
    assert "nothing to do: production has all of it" in branches.run(
        "promote", "dev", "--to", "production", "--push"
    )
    assert branches.tip("production") == tip
    assert branches.clean()


def test_one_application_moves_and_the_target_s_own_version_counts_up(branches: Branches) -> None:
    branches.run("set", "api=2", "site=3", "-b", "dev", "--push", "--manifest-version", "9")
    branches.run("promote", "dev", "--to", "staging", "-a", "api", "--push")
    assert branches.versions("staging") == {"site": "1", "api": "2"}
    assert branches.manifest("staging")["manifest_version"] == "1.0.1"
    branches.run("promote", "dev", "--to", "staging", "--push")
    assert branches.manifest("staging")["manifest_version"] == "9"


SHOWN = """\
Promote dev@{dev} to production@{production}, manifest 1.0.1
application  what   has  gets  why
api          moves  1    2     another version
site         there  1    1     already there
   {{
  -    "manifest_version" : "1.0.0",
  +    "manifest_version" : "1.0.1",
       "description": "Shop — caf\\u00e9",
  …
           "api": {{
  -            "version": "1",
  +            "version": "2",
               "artifact": {{
  -                "path": "api-{{version}}.txt"
  +                "path": "api-{{version}}.txt",
  +                "sha256": "{digest}"
               }}
nothing is written: --push commits it there, --pr opens a pull request
"""


def test_shown_only_unless_it_is_asked_for(branches: Branches, tmp_path: Path) -> None:
    branches.run("set", "api=2", "-b", "dev", "--push")
    result = tmp_path / "result.json"
    output = branches.run("promote", "dev", "--to", "production", "--json", str(result))
    tips = {branch: branches.tip(branch)[:10] for branch in ("dev", "production")}
    assert output == SHOWN.format(digest=branches.publish("api", "2"), **tips)
    assert branches.versions("production")["api"] == "1"
    document = json.loads(result.read_text())
    rows = {
        row["application"]: (row["verdict"], row["from_version"], row["to_version"])
        for row in document["rows"]
    }
    assert rows == {"api": ("moves", "1", "2"), "site": ("there", "1", "1")}
    assert (document["changed"], document["pushed_to"]) == (True, "")


def test_what_the_target_does_not_know_stays_and_nothing_is_removed(branches: Branches) -> None:
    manifest = json.loads(MANIFEST)
    manifest["applications"]["new"] = {"version": "1", "artifact": {"path": "new-{version}.txt"}}
    del manifest["applications"]["site"]
    environment = branches.environment("dev")
    environment["applications"]["new"] = {"hosts": [], "deployment_path": "/srv/new"}
    branches.commit("dev", {"manifest.json": json.dumps(manifest), "dev-env.json": json.dumps(environment)})
    branches.publish("new", "1")
    output = branches.run("promote", "dev", "--to", "production", "--push")
    assert "the target's environment JSON has no entry for it; add one there first" in output
    assert "nothing is removed" in output
    assert "nothing to do" in output
    staging = branches.environment("staging")
    staging["applications"]["new"] = {"hosts": [], "deployment_path": "/srv/new"}
    branches.commit("staging", {"staging-env.json": json.dumps(staging)})
    branches.run("promote", "dev", "--to", "staging", "--push")
    assert branches.versions("staging") == {"site": "1", "api": "1", "new": "1"}


def test_way_back_warns_of_the_downgrade_and_the_way_there_of_what_it_skips(branches: Branches) -> None:
    for branch in ("dev", "staging", "production"):
        with_rules(branches, 'promotion_path = ["dev", "staging", "production"]', branch)
    branches.run("set", "api=2", "-b", "dev", "--push")
    output = branches.run("promote", "dev", "--to", "production")
    assert "warning: staging is skipped: it never had api 2" in output
    deployed(branches, "staging", {"api": "2"})
    assert "skipped" not in branches.run("promote", "dev", "--to", "production")
    output = branches.run("promote", "production", "--to", "dev")
    assert "warning: downgrade: api goes from 2 back to 1" in output
    assert "skipped" not in output


def test_missing_artifact_and_unknown_names_are_refused(branches: Branches) -> None:
    branches.run("set", "api=2", "-b", "dev", "--push")
    (branches.artifacts / "api-2.txt").unlink()
    branches.run("promote", "dev", "--to", "production", "--push", expect=13)
    assert "there is no branch 'prodution'" in branches.run("promote", "dev", "--to", "prodution", expect=12)
    assert "there is no branch 'div'" in branches.run("promote", "div", "--to", "production", expect=12)
    assert 'has no application "sitee"' in branches.run(
        "promote", "dev", "--to", "production", "-a", "sitee", expect=64
    )
    assert "'soon' is no point in time" in branches.run(
        "promote", "dev@soon", "--to", "production", expect=64
    )
    assert branches.versions("production")["api"] == "1"


def test_pull_request_branch_is_the_same_each_time(branches: Branches) -> None:
    own = "orchestrator/promote/dev-to-production"
    branches.run("set", "api=2", "-b", "dev", "--push")
    output = branches.run(
        "promote", "dev", "--to", "production", "--pr", "--reviewer", "alice", "--reviewer", "bob"
    )
    assert f"open a pull request from {own} into production there, by hand" in output
    assert "ask for a review by alice, bob" in output
    first = branches.tip(own)
    assert "is there already on" in branches.run("promote", "dev", "--to", "production", "--pr")
    assert branches.tip(own) == first
    branches.run("set", "api=3", "-b", "dev", "--push")
    branches.commit("production", {"README.md": "Moved on\n"})
    branches.run("promote", "dev", "--to", "production", "--pr")
    assert branches.versions(own)["api"] == "3"
    assert git(branches.remote, "rev-list", "--count", f"production..{own}") == "1"
    assert branches.versions("production")["api"] == "1"


def test_what_was_live_at_a_day_is_promoted_by_the_ledger(branches: Branches) -> None:
    branches.run("set", "api=2", "-b", "production", "--push")
    deployed(branches, "production", {"api": "2", "site": "1"}, at="2026-11-01T10:00:00Z", number=1)
    branches.run("set", "api=3", "-b", "production", "--push")
    deployed(branches, "production", {"api": "3", "site": "1"}, at="2026-11-02T10:00:00Z", number=2)
    branches.run("promote", "production@2026-11-01", "--to", "staging", "--push")
    assert branches.versions("staging") == {"site": "1", "api": "2"}
    assert branches.manifest("staging")["manifest_version"] == "1.0.1"
    assert "Promoted-From: production@2026-11-01" in branches.message("staging")
    branches.run("promote", "20261102T100000-00000002", "--to", "dev", "--push")
    assert branches.versions("dev") == {"site": "1", "api": "3"}
    output = branches.run("promote", "production@2026-10-31", "--to", "staging", expect=64)
    assert "does not know of anything that was live in production@2026-10-31" in output
    (branches.artifacts / "api-3.txt").write_text("tampered")
    output = branches.run("promote", "production@now", "--to", "staging", "--push", expect=14)


def test_artifact_of_other_bytes_than_ran_at_the_source_stays(branches: Branches) -> None:
    branches.run("set", "api=2", "-b", "production", "--push", "--no-pin")
    deployed(branches, "production", {"api": "2", "site": "1"})
    (branches.artifacts / "api-2.txt").write_text("other bytes")
    output = branches.run("promote", "production@now", "--to", "staging", "--push", expect=42)
    assert "production@now ran other bytes" in output


RULES = '[environments.production]\nrequire_deployed_in = ["staging"]\nsoak_minutes = 60\n'


def test_rule_asks_the_ledger_for_these_bytes_and_that_long(branches: Branches) -> None:
    with_rules(branches, RULES)
    branches.run("set", "api=2", "-b", "dev", "--push", "--no-pin")
    output = branches.run("promote", "dev", "--to", "production", "--push", expect=42)
    assert "api 2: it was never live and healthy in staging" in output
    deployed(branches, "staging", {"api": "2"}, number=1)
    output = branches.run("promote", "dev", "--to", "production", "--push", expect=42)
    assert "it has been in staging for 0 of 60 minutes; wait until 20" in output
    branches.run("set", "site=2", "-b", "dev", "--push", "--no-pin")
    deployed(branches, "staging", {"site": "2"}, at="2026-11-01T10:00:00Z", number=2)
    output = branches.run("promote", "dev", "--to", "production", "--push")
    assert branches.versions("production") == {"site": "2", "api": "1"}
    assert "blocked" in output
    assert "stays: api (it has been in staging" in branches.message("production")
    assert "may not be promoted" in branches.run(
        "promote", "dev", "--to", "production", "-a", "api", expect=42
    )


@pytest.mark.parametrize("signed", [False, True])
def test_clock_of_a_runner_that_is_wrong_by_a_day_hides_no_rollback(
    branches: Branches, tmp_path: Path, signed: bool
) -> None:
    signing = with_rules_and_keys(branches, tmp_path, signed=signed)
    branches.run("set", "api=2", "-b", "dev", "--push", "--no-pin")
    deployed(branches, "staging", {"api": "1"}, at="2026-11-01T09:00:00Z", number=1, settings=signing)
    deployed(branches, "staging", {"api": "2"}, at="2026-11-02T10:00:00Z", number=2, settings=signing)
    behind = "2026-11-01T10:05:00Z"
    deployed(branches, "staging", {"api": "1"}, at=behind, number=3, kind="rollback", settings=signing)
    output = branches.run("promote", "dev", "--to", "production", "--push", expect=42)
    assert "it was rolled back in staging" in output
    branches.run("promote", "staging@now", "--to", "production")
    branches.run("promote", "staging@now", "--to", "dev", "--push")
    assert branches.versions("dev")["api"] == "1"


@pytest.mark.parametrize("signed", [False, True])
def test_success_that_the_ledger_learns_of_late_hides_no_rollback_that_came_after_it(
    branches: Branches, tmp_path: Path, signed: bool
) -> None:
    signing = with_rules_and_keys(branches, tmp_path, signed=signed)
    branches.run("set", "api=2", "-b", "dev", "--push", "--no-pin")
    deployed(branches, "staging", {"api": "2"}, at="2026-11-01T09:00:00Z", number=1, settings=signing)
    back = {"kind": "rollback", "settings": signing}
    deployed(branches, "staging", {"api": "1"}, at="2026-11-01T12:00:00Z", number=3, **back)
    deployed(branches, "staging", {"api": "2"}, at="2026-11-01T11:00:00Z", number=2, settings=signing)
    output = branches.run("promote", "dev", "--to", "production", "--push", expect=42)
    assert "it was rolled back in staging" in output


def test_token_that_nobody_signed_moves_no_signed_attempt(branches: Branches, tmp_path: Path) -> None:
    """Else whoever may push could put a rollback before what it was a rollback of."""
    signing = with_rules_and_keys(branches, tmp_path, signed=True)
    branches.run("set", "api=2", "-b", "dev", "--push", "--no-pin")
    deployed(branches, "staging", {"api": "2"}, at="2026-11-01T09:00:00Z", number=5, settings=signing)
    deployed(branches, "staging", {"api": "1"}, at="2026-11-01T12:00:00Z", number=1, kind="rollback")
    output = branches.run("promote", "dev", "--to", "production", "--push", expect=42)
    assert "it was rolled back in staging" in output


def test_rules_are_the_target_s_and_not_those_of_what_is_promoted(branches: Branches) -> None:
    with_rules(branches, RULES)
    with_rules(branches, "", "dev")
    branches.run("set", "api=2", "-b", "dev", "--push")
    branches.run("promote", "dev", "--to", "production", "--push", expect=42)
    branches.run("promote", "dev", "--to", "staging", "--push")
    assert branches.versions("staging")["api"] == "2"


def test_promotions_and_builds_at_once_lose_nothing(branches: Branches, tmp_path: Path) -> None:
    branches.run("set", "api=2", "-b", "dev", "--push")
    clones = [make_clone(branches.remote, tmp_path / f"at-once-{number}") for number in range(3)]
    orders = (
        ("promote", "dev", "--to", "production", "-a", "api", "--push"),
        ("set", "site=2", "-b", "production", "--push"),
        ("promote", "dev", "--to", "production", "-a", "api", "--push"),
    )
    running = [branches.start(*order, clone=clone) for order, clone in zip(orders, clones, strict=True)]
    for process in running:
        output, _ = process.communicate(timeout=180)
        assert process.returncode == 0, output
    assert branches.versions("production") == {"site": "2", "api": "2"}
