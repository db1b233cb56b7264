"""Which rules bind a commit, and who can get around them: real repositories, ledgers and keys, without deployments."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.cli.main import run
from orchestrator.core.settings import Settings
from orchestrator.edges.git import DeploymentRepository, Revision
from orchestrator.errors import GitError, OrchestratorError, ProtectionError
from orchestrator.protection import Asked, Judgement, judge_deployment
from tests.edges.remotes import closed, git, make_clone, make_record, repository_of, state_of
from tests.edges.test_protection import make_ssh_key

WHO = ("-c", "user.name=Ada", "-c", "user.email=ada@example.net")
MERGES = "[protection.production]\nmerge_commits_only = true\n"


class Repository:
    """A bare repository, a clone in which somebody works on `production`, and the ledger's entries."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.bare = directory, directory / "shop.git"
        git(directory, "init", "--quiet", "--bare", "--initial-branch=production", str(self.bare))
        self.work = make_clone(self.bare, directory / "work")
        git(self.work, "checkout", "--quiet", "-B", "production")
        self._entries, self._number = 0, 0

    def commit(self, settings: str | None = None, *, manifest: str = "{}") -> str:
        """A commit on `production` at the git host; `settings`: orchestrator.toml, empty: without it."""
        path = self.work / "orchestrator.toml"
        if settings:
            path.write_text(f"format = 1\n{settings}")
        elif settings is not None:
            path.unlink(missing_ok=True)
        (self.work / "manifest.json").write_text(manifest)
        self._number += 1
        git(self.work, "add", "--all")
        git(self.work, *WHO, "commit", "--quiet", "--allow-empty", "--message", f"Change {self._number}")
        return self.push()

    def merge(self, *parents: str, settings: str | None = None) -> str:
        """A merge commit on `production` at the git host."""
        tip = git(self.work, "rev-parse", "HEAD")
        side = self.commit(settings)
        tree = git(self.work, "rev-parse", f"{side}^{{tree}}")
        names = [argument for parent in (tip, side, *parents) for argument in ("-p", parent)]
        merged = git(self.work, *WHO, "commit-tree", *names, "-m", "Merge", tree)
        git(self.work, "reset", "--quiet", "--hard", merged)
        return self.push()

    def push(self) -> str:
        git(self.work, "push", "--quiet", "--force", "origin", "HEAD:refs/heads/production")
        return git(self.work, "rev-parse", "HEAD")

    def deployed(self, commit: str, settings: str = "", **record: object) -> None:
        """The ledger says that this was deployed."""
        self._entries += 1
        one = closed(make_record(f"20261124T05385{self._entries}-0000000{self._entries}", commit=commit))
        with state_of(self.work, settings) as state:
            assert state.ledger.close(replace(one, **record)).problem is None  # type: ignore[arg-type]

    def judge(
        self, commit: str, *, branch: str = "production", clone: Path | None = None, **asked: object
    ) -> Judgement:
        """What becomes of a deployment of that commit to production."""
        revision = Revision(commit=commit, branch=branch)
        values = Asked(**asked)  # type: ignore[arg-type]
        return judge_deployment(repository_of(clone or self.work), revision, "production", values)


@pytest.fixture
def repository(directory: Path, isolated_git: None) -> Repository:
    return Repository(directory)


def refused(judgement: Judgement) -> list[str]:
    return [one.rule for one in judgement.refused]


def test_without_a_deployment_the_first_parent_has_the_rules(repository: Repository) -> None:
    first = repository.commit(MERGES)
    assert repository.judge(first).source.kind == "none"

    found = repository.judge(repository.commit(""))

    assert (found.source.kind, found.source.commit) == ("parent", first)
    assert refused(found) == ["merge_commits_only"]
    assert "first parent" in str(found.error() and found.error().details)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "settings",
    [
        "[protection.production]\nmerge_commits_only = false\n",
        "",
        '[ledger]\nref = "records"\n',
        '[environments.sneaky]\nbranch = "production"\n',
        '[policy]\nurl = "/nowhere"\n',
        "[keys]\n",
    ],
    ids=["loosened", "removed", "another ledger", "another environment", "another policy", "empty"],
)
@pytest.mark.parametrize("commits", [1, 2], ids=["one", "two"])
def test_a_commit_that_loosens_the_rules_is_judged_by_the_old_ones(
    repository: Repository, settings: str, commits: int
) -> None:
    strict = repository.commit(MERGES)
    repository.deployed(strict)
    tips = [repository.commit(settings) for _ in range(commits)]
    revision = Revision(commit=tips[-1], branch="production")
    name = "sneaky" if "sneaky" in settings else "production"

    found = judge_deployment(repository_of(repository.work), revision, name, Asked())

    assert found.source.commit == strict
    assert refused(found) == ["merge_commits_only"]
    assert "merge_commits_only" in str(found.error())


def test_proofs_that_the_last_deployed_commit_asked_for_are_asked_for_still(repository: Repository) -> None:
    first = repository.commit('[environments.production]\nrequire_deployed_in = ["staging"]\n')
    repository.deployed(first)
    repository.commit("")
    found = repository.judge(repository.commit(""))
    assert found.source.commit == first
    assert found.settings.environments["production"].rules.require_deployed_in == ("staging",)


def test_rules_that_a_commit_brings_bind_the_next_one(repository: Repository) -> None:
    first = repository.commit()
    repository.deployed(first)
    second = repository.commit(MERGES)

    found = repository.judge(second)
    assert refused(found) == []
    assert any("binds what comes after it" in note for note in found.notes())
    repository.deployed(second)
    assert refused(repository.judge(second)) == []  # it is deployed already
    assert refused(repository.judge(repository.commit())) == ["merge_commits_only"]


def test_a_merge_has_two_parents_and_nothing_hides_below_it(repository: Repository) -> None:
    first = repository.commit(MERGES)
    repository.deployed(first)
    other = repository.commit()
    git(repository.work, "reset", "--quiet", "--hard", first)
    octopus = repository.merge(other)
    assert refused(repository.judge(octopus)) == ["merge_commits_only"]
    git(repository.work, "reset", "--quiet", "--hard", first)
    merge = repository.merge()
    assert refused(repository.judge(merge)) == []
    assert refused(repository.judge(repository.merge())) == []
    repository.commit()
    assert refused(repository.judge(repository.merge())) == ["merge_commits_only"]
    git(repository.work, "checkout", "--quiet", "--orphan", "elsewhere")
    found = repository.judge(repository.commit())
    assert refused(found) == ["merge_commits_only"]
    assert "does not lead to" in found.refused[0].why


def test_an_annotated_tag_is_its_commit(repository: Repository) -> None:
    repository.deployed(repository.commit(MERGES))
    repository.commit()
    git(repository.work, *WHO, "tag", "--annotate", "--message", "Signed off by Ada", "v2")
    revision = DeploymentRepository(repository.work).resolve_ref("v2")
    assert refused(repository.judge(revision.commit, branch="")) == ["merge_commits_only"]


def test_an_older_commit_on_purpose_and_a_rollback_bring_no_rules(repository: Repository) -> None:
    old = repository.commit()
    repository.deployed(old)
    strict = repository.commit(MERGES)
    repository.deployed(strict)
    repository.deployed(old, allow_older_reason="the new one is broken")
    repository.deployed(old, kind="rollback")
    repository.deployed(old, verdict="failed")

    found = repository.judge(repository.commit())

    assert found.source.commit == strict
    assert refused(found) == ["merge_commits_only"]
    assert refused(repository.judge(strict, rolls_back=True)) == []
    assert refused(repository.judge(repository.commit(), rolls_back=True)) == ["merge_commits_only"]


def test_forged_entries_of_the_ledger_do_not_count_when_keys_are_listed(repository: Repository) -> None:
    (ci, _), (eve, _) = make_ssh_key(repository.directory, "ci"), make_ssh_key(repository.directory, "eve")
    ours = f'[ledger]\nsigning_key = "{repository.directory}/key-ci"\n'
    theirs = f'[ledger]\nsigning_key = "{repository.directory}/key-eve"\n'
    keys = f'[keys]\nci = "{ci}"\n'
    old = repository.commit("")
    repository.deployed(old, ours)
    strict = repository.commit(f"{keys}{MERGES}")
    repository.deployed(strict, ours)
    repository.deployed(old)
    loose = repository.commit(f'[keys]\neve = "{eve}"\n')
    repository.deployed(loose, theirs)
    repository.deployed(loose)
    for clone in (repository.work, make_clone(repository.bare, repository.directory / "fresh")):
        found = repository.judge(repository.commit(), clone=clone)
        assert found.source.commit == strict
        assert refused(found) == ["merge_commits_only"]


def test_a_forged_close_of_an_attempt_does_not_hide_the_true_one(repository: Repository) -> None:
    ci, _ = make_ssh_key(repository.directory, "ci")
    ours = f'[ledger]\nsigning_key = "{repository.directory}/key-ci"\n'
    old = repository.commit("")
    repository.deployed(old, ours)
    strict = repository.commit(f'[keys]\nci = "{ci}"\n{MERGES}')
    repository.deployed(strict, ours)
    ledger = git(repository.work, "ls-remote", "origin", "refs/heads/orchestrator/ledger").split()[0]
    git(repository.work, "fetch", "--quiet", "origin", ledger)
    message = git(repository.work, "log", "-1", "--format=%B", ledger).replace(
        "Verdict: success", "Verdict: failed"
    )
    forged = git(
        repository.work,
        *WHO,
        "commit-tree",
        "-p",
        f"{ledger}~1",
        "-p",
        ledger,
        "-m",
        message,
        f"{ledger}~1^{{tree}}",
    )
    git(repository.work, "push", "--quiet", "origin", f"{forged}:refs/heads/orchestrator/ledger")

    found = repository.judge(repository.commit())

    assert found.source.commit == strict
    assert refused(found) == ["merge_commits_only"]


def test_moving_the_ledger_leaves_no_rules_behind(repository: Repository) -> None:
    records = '[ledger]\nref = "records"\n'
    strict = repository.commit(MERGES)
    repository.deployed(strict, lock_token=9)
    repository.commit(records)
    repository.deployed(repository.commit(), '[ledger]\nref = "elsewhere"\n')
    moved = repository.commit(records)
    found = repository.judge(moved)
    assert found.source.commit == strict
    assert refused(found) == ["merge_commits_only"]
    repository.deployed(moved, records, lock_token=1)
    assert repository.judge(repository.commit()).source.commit == moved, (
        "another ledger may have another lock"
    )


def test_a_deployment_that_the_ledger_is_told_of_late_brings_no_rules(repository: Repository) -> None:
    old, strict = repository.commit(), repository.commit(MERGES)
    repository.deployed(strict, lock_token=2)
    repository.deployed(old, lock_token=1)
    git(repository.work, "reset", "--quiet", "--hard", old)
    found = repository.judge(repository.commit())  # its line never had a rule
    assert (found.source.commit, refused(found)) == (strict, ["merge_commits_only"])


def test_a_policy_repository_has_the_rules_instead(repository: Repository) -> None:
    (repository.directory / "policy").mkdir()
    policy = Repository(repository.directory / "policy")
    rules = policy.commit("[protection.production]\nrequire_pinned = true\n")
    table = f'[policy]\nurl = "{policy.bare}"\nbranch = "production"\n'
    repository.deployed(repository.commit(table))
    loose = repository.commit("", manifest='{"applications": {"shop": {"artifact": {"path": "x"}}}}')

    found = repository.judge(loose)
    assert (found.source.kind, found.source.commit) == ("policy", rules)
    assert refused(found) == ["require_pinned"]
    assert "shop" in found.refused[0].why
    pinned = '{"applications": {"shop": {"artifact": {"sha256": "%s"}}}}' % ("0" * 64)
    assert refused(repository.judge(repository.commit(manifest=pinned))) == []
    named = repository.judge(loose, policy=f"{policy.bare}#production")
    assert refused(named) == ["require_pinned"]
    with pytest.raises(GitError, match="cannot be fetched"):
        repository.judge(loose, policy=f"{policy.bare}#gone")
    policy.commit("")
    with pytest.raises(ProtectionError, match=r"has no orchestrator\.toml"):
        repository.judge(loose)
    (policy.work / "orchestrator.toml").write_text("format = 1\nnonsense = 1")
    policy.commit()
    with pytest.raises(ProtectionError, match="cannot be read"):
        repository.judge(loose)


def approvals(*users: str) -> Callable[..., tuple[str, ...]]:
    """A forge at which these have approved."""

    def ask(
        repository: DeploymentRepository, settings: Settings, commit: str, branches: tuple[str, ...]
    ) -> tuple[str, ...]:
        assert branches == ("production", "prod")
        return users

    return ask


def test_approvals_are_the_forges_to_tell(repository: Repository) -> None:
    repository.deployed(repository.commit("[protection.production]\napprovals = 2\n"))
    commit = repository.commit("")

    def away(*asked: object) -> tuple[str, ...]:
        raise GitError("the forge is away")

    assert refused(repository.judge(commit, approvers=approvals("ada", "bob"))) == []
    assert refused(repository.judge(commit, approvers=approvals("ada", "ada"))) == ["approvals"]
    found = repository.judge(commit, approvers=away)
    assert found.refused[0].why == "the forge is away"
    assert "token of the forge" in found.refused[0].remedy
    assert refused(repository.judge(commit)) == ["approvals"]


def test_another_repository_with_the_same_documents_may_not_deploy(repository: Repository) -> None:
    named = f'[protection.production]\nonly_repository = "file://{repository.bare}"\n'
    repository.deployed(repository.commit(named))
    copied = repository.commit()
    assert refused(repository.judge(copied)) == []
    other = repository.directory / "other.git"
    git(repository.directory, "clone", "--quiet", "--bare", str(repository.bare), str(other))
    found = repository.judge(copied, clone=make_clone(other, repository.directory / "copy"))
    assert refused(found) == ["only_repository"]
    assert "deploy from file://" in found.refused[0].remedy
    # One commit without history, in a repository that never deployed.
    (repository.directory / "new").mkdir()
    new = Repository(repository.directory / "new")
    assert refused(new.judge(new.commit(named))) == ["only_repository"]


def test_the_work_tree_is_no_commit(repository: Repository) -> None:
    rules = "[protection.production]\nmerge_commits_only = true\napprovals = 1\nrequire_plan = true\n"
    repository.commit(rules)
    (repository.work / "orchestrator.toml").unlink()
    assert refused(repository.judge("", approvers=approvals("ada"))) == [
        "merge_commits_only",
        "approvals",
        "require_plan",
    ]
    found = repository.judge("", approvers=approvals("ada"), plan_given=True)
    assert "require_plan" not in refused(found)


def test_a_remote_that_is_away_lifts_no_rules(repository: Repository) -> None:
    repository.deployed(repository.commit(MERGES))
    merged = repository.merge()
    repository.bare.rename(repository.directory / "away.git")
    with pytest.raises(OrchestratorError):
        repository.judge(merged)
    with pytest.raises(OrchestratorError):
        repository.judge(merged, may_be_offline=True)
    plain = repository.directory / "plain"
    plain.mkdir()
    other = Repository(plain)
    commit = other.commit()
    other.bare.rename(plain / "away.git")
    found = other.judge(commit, may_be_offline=True)
    assert refused(found) == []
    assert "cannot be found out" in found.notes()[0]


def test_an_alias_of_the_environment_has_its_rules(repository: Repository) -> None:
    repository.deployed(repository.commit(MERGES))
    commit = repository.commit()
    revision = Revision(commit=commit, branch="")
    found = judge_deployment(repository_of(repository.work), revision, "prod", Asked())
    assert refused(found) == ["merge_commits_only"]


def test_audit_shows_rules_their_source_and_what_the_tip_would_meet(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    key, _ = make_ssh_key(repository.directory, "ada")
    rules = f'[keys]\nada = "{key}"\n[protection.production]\nsigned_by = ["ada"]\n[environments.dev]\n'
    base = repository.commit(rules)
    repository.deployed(base)
    tip = repository.commit()
    git(repository.work, "push", "--quiet", "origin", "HEAD:refs/heads/dev")

    assert run(["-C", str(repository.work), "audit", "--json", "-"]) == 0
    dev, production = json.loads(capsys.readouterr().out)["environments"]
    assert (dev["environment"], dev["rules"]) == ("dev", {})
    assert production["rules"] == {"signed_by": "ada"}
    assert (production["source"]["commit"], production["commit"]) == (base, tip)
    assert production["keys"] == {"ada": "ssh-ed25519"}
    assert [one["passed"] for one in production["findings"]] == [False]

    assert run(["-C", str(repository.work), "audit", "production"]) == 0
    said = capsys.readouterr().out
    assert "the commit is not signed" in " ".join(said.split())
    assert "branch protection at the git host: unknown here" in said
