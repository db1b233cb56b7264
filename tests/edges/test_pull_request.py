"""A pull request planned by the real command: its merge is data, and the clone is left as it is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.edges.git import DeploymentRepository
from orchestrator.edges.required_plan import read_required_plan
from orchestrator.errors import RevisionError, UsageError
from tests.core.reviews import text_outside_of_code
from tests.edges.pull_requests import Fixture, listening, nobody_came, serving

FILES = {"/site-1.0.txt": b"one\n", "/site-2.0.txt": b"two\n", "/other-1.0.txt": b"other\n"}


@pytest.fixture
def fixture(tmp_path: Path) -> Iterator[Fixture]:
    with serving(FILES) as (url, _):
        yield Fixture(tmp_path, url)


def update(fixture: Fixture, version: str = "2.0") -> None:
    """The branch `feature` is a pull request that updates the site."""
    fixture.switch("feature")
    fixture.manifest["applications"]["site"]["version"] = version
    fixture.commit("feature")


def test_comment_says_what_merging_does(fixture: Fixture) -> None:
    fixture.write("orchestrator.toml", 'format = 1\nname = "pull-request-test"\n')
    fixture.commit("dev")
    fixture.run("deploy", "--branch", "dev")
    update(fixture)
    comment = fixture.plan("--format", "markdown")
    assert comment.startswith("<!-- orchestrator plan: dev -->\n")
    assert "`1.0` → `2.0`" in comment
    assert "found: sha256 `27dd8ed44a83`" in comment
    text_outside_of_code(comment)
    assert "feature@" in fixture.plan()
    fixture.plan("--detailed-exitcode", expect=2)


def test_merged_tree_has_the_changes_of_both_sides(fixture: Fixture) -> None:
    update(fixture)
    fixture.git("switch", "--quiet", "dev")
    fixture.manifest["applications"]["site"]["version"] = "1.0"
    fixture.environment["applications"]["site"]["keep_releases"] = 3
    fixture.commit("dev")
    plan = fixture.plan_json()
    assert plan["steps"][0]["to_version"] == "2.0"
    assert plan["pull_request"]["keys"] == []
    fixture.git("merge", "--quiet", "--no-edit", "feature")
    fixture.git("push", "--quiet", "origin", "dev")
    after = json.loads(fixture.run("plan", "--branch", "dev", "--json", "-"))
    assert after["intent_id"] == plan["intent_id"]
    assert after["plan_id"] == plan["plan_id"]


def test_conflict_is_shown_with_the_commands_that_avoid_it(fixture: Fixture) -> None:
    update(fixture)
    fixture.git("switch", "--quiet", "dev")
    fixture.manifest["applications"]["site"]["version"] = "1.1"
    fixture.commit("dev")
    text = fixture.plan(expect=32)
    for said in (
        "conflict: manifest.json",
        "git switch feature",
        "git merge origin/dev",
        "git add manifest.json && git commit --no-edit && git push origin feature",
    ):
        assert said in text
    comment = fixture.plan("--format", "markdown", expect=32)
    assert "There is no plan" in comment
    assert "git switch feature && git merge origin/dev" in comment
    assert "no common history" in orphaned(fixture)


def orphaned(fixture: Fixture) -> str:
    fixture.git("switch", "--quiet", "--orphan", "alone")
    fixture.commit("alone")
    return fixture.plan(head="alone", expect=32)


def test_violations_of_the_merged_documents_are_in_the_comment(fixture: Fixture) -> None:
    fixture.manifest["![x](https://evil.example)\n@team"] = 1
    fixture.switch("feature")
    fixture.commit("feature")
    comment = fixture.plan("--format", "markdown", expect=10)
    assert "There is no plan" in comment
    assert "manifest.json:" in comment
    assert "evil" not in text_outside_of_code(comment.partition("\nError: ")[0])


def test_settings_that_no_deployment_could_read_are_in_the_comment(fixture: Fixture) -> None:
    fixture.switch("feature")
    fixture.write("orchestrator.toml", 'name = "x"\nledgre = {}\n')
    fixture.commit("feature")
    comment = fixture.plan("--format", "markdown", expect=10)
    assert "This cannot be deployed as it is" in comment
    assert "orchestrator.toml:" in comment
    assert "ledgre" in comment
    assert "--require-plan" not in comment


def test_missing_artifact_is_in_the_comment(fixture: Fixture) -> None:
    update(fixture, "9.9")
    comment = fixture.plan("--format", "markdown", expect=13)
    assert "This cannot be deployed as it is" in comment
    assert "`not found, see above`" in comment
    assert "--require-plan" not in comment


def snapshot(clone: Path) -> dict[str, bytes | str]:
    """All of a clone but its objects and our own directory; the index without git's refreshed times."""
    files: dict[str, bytes | str] = {
        str(path.relative_to(clone)): path.read_bytes()
        for path in clone.rglob("*")
        if path.is_file() and not {"objects", "orchestrator"} & set(path.relative_to(clone).parts)
    }
    files["objects"] = "\n".join(sorted(str(path) for path in (clone / ".git" / "objects").rglob("*")))
    return files


@pytest.mark.parametrize(
    "how",
    [
        "shallow",
        "single branch",
        "detached",
        "pull request ref",
        "full",
        "blobless",
        "commit that is not here",
    ],
)
def test_any_checkout_gives_the_same_plan_and_stays_as_it_is(fixture: Fixture, how: str) -> None:
    for number in range(3):
        fixture.manifest["description"] = f"change {number}"
        fixture.commit("dev")
    update(fixture)
    fixture.git("switch", "--quiet", "dev")
    fixture.manifest["applications"]["site"]["version"] = "1.0"
    fixture.environment["applications"]["site"]["keep_releases"] = 4
    fixture.commit("dev")
    wanted = fixture.plan_json()
    head = "feature"
    match how:
        case "shallow":
            clone, head = fixture.clone("--depth", "1", "--branch", "feature"), "HEAD"
        case "single branch":
            clone = fixture.clone("--single-branch", "--branch", "feature")
        case "detached":
            clone, head = fixture.clone("--branch", "feature"), "HEAD"
            fixture.git("checkout", "--quiet", "--detach", cwd=clone)
        case "pull request ref":
            tip = fixture.git("rev-parse", "feature")
            fixture.git("push", "--quiet", "origin", f"{tip}:refs/pull/7/head")
            clone, head = fixture.directory / "ci", tip
            fixture.git("init", "--quiet", "ci", cwd=fixture.directory)
            fixture.git("remote", "add", "origin", f"file://{fixture.remote}", cwd=clone)
            fixture.git(
                "fetch",
                "--quiet",
                "--depth=1",
                "origin",
                "+refs/pull/7/head:refs/remotes/pull/7/head",
                cwd=clone,
            )
            fixture.git("checkout", "--quiet", "refs/remotes/pull/7/head", cwd=clone)
            assert fixture.plan_json(head="refs/pull/7/head", cwd=clone)["intent_id"] == wanted["intent_id"]
        case "commit that is not here":
            clone, head = (
                fixture.clone("--depth", "1", "--branch", "dev"),
                fixture.git("rev-parse", "feature"),
            )
        case "blobless":
            fixture.git("config", "uploadpack.allowFilter", "true", cwd=fixture.remote)
            clone = fixture.clone("--filter=blob:none", "--no-checkout")
        case _:
            clone = fixture.clone()
    before = snapshot(clone)
    plan = fixture.plan_json(head=head, cwd=clone)
    assert plan["intent_id"] == wanted["intent_id"]
    assert plan["steps"] == wanted["steps"]
    assert plan["artifacts"] == wanted["artifacts"]
    assert snapshot(clone) == before
    assert not list((clone / ".git" / "orchestrator").iterdir())


def test_commit_that_only_a_shallow_clone_has_is_merged(fixture: Fixture) -> None:
    fixture.manifest["description"] = "another"
    fixture.commit("dev")
    clone = fixture.clone("--depth", "1", "--branch", "dev")
    manifest = clone / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"1.0"', '"2.0"'))
    fixture.git("-c", "user.name=x", "-c", "user.email=x@example.net", "commit", "-qam", "Here", cwd=clone)
    assert fixture.plan_json(head="HEAD", cwd=clone)["steps"][0]["to_version"] == "2.0"


def test_credentials_of_a_ci_checkout_reach_the_remote_once(fixture: Fixture, tmp_path: Path) -> None:
    """As actions/checkout leaves them: a header, in a file that only this `.git` includes."""
    update(fixture)
    clone = fixture.clone()
    fixture.git("switch", "--quiet", "dev")
    fixture.environment["applications"]["site"]["keep_releases"] = 4
    fixture.manifest["applications"]["site"]["version"] = "1.0"
    tip = fixture.commit("dev")
    fixture.git("repack", "-adq", cwd=fixture.remote)
    fixture.git("update-server-info", cwd=fixture.remote)
    files = {
        f"/{path.relative_to(fixture.remote)}": path.read_bytes()
        for path in fixture.remote.rglob("*")
        if path.is_file()
    }
    with serving(files, authorization="Basic Y2k6Y2k=") as (url, _):
        fixture.git("remote", "set-url", "origin", url, cwd=clone)
        fixture.plan(expect=11, cwd=clone)
        included = tmp_path / "credentials"
        included.write_text(f'[http "{url}/"]\n\textraheader = AUTHORIZATION: Basic Y2k6Y2k=\n')
        fixture.git("config", f"includeIf.gitdir:{clone}/.git.path", str(included), cwd=clone)
        plan = fixture.plan_json(cwd=clone)
    assert plan["pull_request"]["base"] == f"dev@{tip[:10]}"
    assert plan["steps"][0]["to_version"] == "2.0"


def test_local_branches_without_remote_are_merged(fixture: Fixture) -> None:
    update(fixture)
    fixture.git("remote", "remove", "origin")
    assert fixture.plan_json()["steps"][0]["to_version"] == "2.0"


def test_offline_asks_nobody_and_says_so(fixture: Fixture) -> None:
    update(fixture)
    fixture.git("remote", "set-url", "origin", str(fixture.directory / "gone"))
    comment = fixture.plan("--offline", "--format", "markdown")
    assert "No host was asked" in comment
    assert "not looked up: --offline" in comment
    fixture.plan(expect=11)


def test_stack_is_planned_from_its_directory(fixture: Fixture, tmp_path: Path) -> None:
    fixture.environment["applications"]["site"]["deployment_path"] = str(tmp_path / "srv" / "stack")
    for branch, version in (("dev", "1.0"), ("feature", "2.0")):
        fixture.switch(branch)
        fixture.manifest["applications"]["site"]["version"] = version
        for name, value in (("manifest", fixture.manifest), ("dev-env", fixture.environment)):
            fixture.write(f"stacks/shop/{name}.json", json.dumps(value))
        fixture.commit(branch)
    comment = fixture.run(
        "-C", "stacks/shop", "plan", "--base", "dev", "--head", "feature", "--format", "markdown"
    )
    assert comment.startswith("<!-- orchestrator plan: stacks/shop/dev -->")
    assert "`2.0`" in comment
    (fixture.path / "elsewhere").symlink_to("stacks/shop")
    assert "symbolic link" in fixture.run("-C", "elsewhere", "plan", "--base", "dev", expect=64)


def test_target_whose_documents_are_broken_can_be_mended(fixture: Fixture) -> None:
    whole = dict(fixture.manifest)
    fixture.manifest.pop("applications")
    fixture.commit("dev")
    fixture.manifest = whole
    fixture.switch("feature")
    fixture.commit("feature")
    comment = fixture.plan("--format", "markdown")
    assert "nobody is asked" in comment
    assert "not looked up" in comment


def test_environment_that_is_new_is_planned_without_asking_anybody(fixture: Fixture) -> None:
    fixture.git("push", "--quiet", "origin", "dev:staging")
    fixture.switch("feature")
    fixture.environment["environment"] = "staging"
    fixture.write("staging-env.json", json.dumps(fixture.environment))
    fixture.environment["environment"] = "dev"
    fixture.commit("feature")
    plan = json.loads(fixture.run("plan", "--base", "staging", "--head", "feature", "--json", "-"))
    assert plan["steps"][0]["from_version"] is None
    assert plan["pull_request"]["unasked"] == {"here": "new in this pull request, not asked"}


def test_ledger_says_what_is_live_and_no_host_is_asked(fixture: Fixture, tmp_path: Path) -> None:
    fixture.write("orchestrator.toml", 'format = 1\nname = "pull-request-test"\n')
    fixture.commit("dev")
    empty = json.loads(fixture.run("plan", "--base", "dev", "--from-ledger", "--json", "-"))
    assert empty["steps"][0]["from_version"] is None
    fixture.run("deploy", "--branch", "dev")
    with listening() as door:
        reached = {"address": "127.0.0.1", "port": door.getsockname()[1]}
        fixture.environment["hosts"] = {"here": reached, "other": {**reached, "address": "localhost"}}
        fixture.commit("dev")
        update(fixture)
        comment = fixture.plan("--from-ledger", "--format", "markdown")
        assert nobody_came(door)
    assert "No host was asked: what is live was read from the ledger." in comment
    assert "| `here` | `1.0` → `2.0` |" in comment
    assert "| `other` | unknown → `2.0` |" in comment
    assert "`the ledger does not know what is live there`" in comment


def test_required_plan_is_read_from_an_id_or_a_file(fixture: Fixture, tmp_path: Path) -> None:
    update(fixture)
    fixture.plan("--json", str(tmp_path / "plan.json"))
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert read_required_plan(str(tmp_path / "plan.json")).intent_id == plan["intent_id"]
    assert read_required_plan(plan["intent_id"][:12]).identifier == plan["intent_id"][:12]
    for given in (str(tmp_path / "none"), "abc", "a\0b", str(tmp_path)):
        with pytest.raises(UsageError, match="neither an id"):
            read_required_plan(given)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--base", "dev", "--branch", "dev"), 64),
        (("--base", "dev", "--worktree"), 64),
        (("--head", "feature"), 64),
        (("--from-ledger",), 64),
        (("--format", "markdown"), 64),
        (("--base", "dev", "--offline", "--from-ledger"), 64),
        (("--base", "dev", "--head", "nope"), 12),
        (("--base", "nope"), 12),
        (("--base", "dev", "--head", "0" * 40), 12),
        (("--base", "HEAD~0"), 12),
        (("--base=--upload-pack=x",), 12),
        (("--base", "dev", "--application", "nope"), 64),
    ],
)
def test_each_kind_of_mistake_has_its_code(fixture: Fixture, arguments: tuple[str, ...], code: int) -> None:
    fixture.run("plan", *arguments, expect=code)


def test_base_that_is_a_commit_needs_an_environment(fixture: Fixture) -> None:
    tip = fixture.git("rev-parse", "HEAD")
    update(fixture)
    assert "--environment" in fixture.run("plan", "--base", tip, "--head", "feature", expect=12)
    fixture.run("plan", "--base", tip, "--head", "feature", "--environment", "dev")


def test_branch_called_like_the_end_of_another_does_not_answer_for_it(fixture: Fixture) -> None:
    tip = fixture.git("rev-parse", "HEAD")
    update(fixture)
    for ref in ("dev:refs/heads/staging", "feature:refs/heads/refs/heads/staging"):
        fixture.git("push", "--quiet", "origin", ref)
    repository = DeploymentRepository(fixture.path)
    assert repository.resolve_branch("staging", offline=False).commit == tip
    fixture.git("update-ref", "-d", "refs/heads/staging", cwd=fixture.remote)
    with pytest.raises(RevisionError):
        repository.resolve_branch("staging", offline=False)


def test_git_that_is_too_old_is_named(fixture: Fixture, tmp_path: Path) -> None:
    old = tmp_path / "bin" / "git"
    old.parent.mkdir()
    old.write_text(
        '#!/bin/sh\n[ "$1" = version ] && { echo git version 2.30.2; exit; }\nexec /usr/bin/git "$@"\n'
    )
    old.chmod(0o755)
    environ = {**fixture.environ, "PATH": f"{old.parent}:/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "orchestrator", "plan", "--base", "dev"],
        cwd=fixture.path, env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 11
    assert "2.38" in done.stderr
