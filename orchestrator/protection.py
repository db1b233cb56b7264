"""Protection: judge a deployment by the rules that bind it, before any document of its commit is believed."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from orchestrator.core.protection import (
    Facts,
    Finding,
    RulesSource,
    Signature,
    judge_protection,
    protection_document,
)
from orchestrator.core.protection_rules import DEFAULT_POLICY_BRANCH, Policy, Rules
from orchestrator.core.settings import Settings
from orchestrator.core.state_settings import git_repository_problem
from orchestrator.edges.clone import read_clone
from orchestrator.edges.commit_objects import CommitObjects
from orchestrator.edges.git import DeploymentRepository, Revision, without_password
from orchestrator.edges.rules_reading import Binding, RulesReader
from orchestrator.edges.signatures import Signatures
from orchestrator.edges.state_repositories import StateRepositories
from orchestrator.errors import GitError, OrchestratorError, ProtectionError, UsageError
from orchestrator.intent import MANIFEST, Intent

if TYPE_CHECKING:
    from orchestrator.order import Order

POLICY_VARIABLE = "ORCHESTRATOR_POLICY"
Approvers = Callable[[DeploymentRepository, Settings, str, tuple[str, ...]], tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be judged, besides the commit.

    Attributes:
        rolls_back: it goes back to releases that were good.
        may_be_offline: a remote that is away is no reason to refuse what has no rules here.
        policy: a policy repository that is named from outside, `URL` or `URL#BRANCH`; empty: none.
        approvers: who approved a commit that was merged into one of these branches; raises OrchestratorError where
            nobody can be asked.
    """

    plan_given: bool = False
    overrides_window: bool = False
    rolls_back: bool = False
    may_be_offline: bool = False
    policy: str = ""
    approvers: Approvers | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What binds a deployment, and what came of it.

    Attributes:
        settings: orchestrator.toml where the rules are.
        own: what the commit's orchestrator.toml says of the environment itself; binds what comes after it.
        problem: why the rules could not be looked for; empty when they were.
        ledger: its commit at that time; empty: there was none.
    """

    environment: str
    source: RulesSource = field(default_factory=lambda: RulesSource(kind="none"))
    settings: Settings = field(default_factory=Settings)
    rules: Mapping[str, Rules] = field(default_factory=dict)
    own: Mapping[str, Rules] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    problem: str = ""
    ledger: str = ""

    @property
    def refused(self) -> tuple[Finding, ...]:
        """The rules that do not hold."""
        return tuple(one for one in self.findings if not one.passed)

    @property
    def trusted(self) -> Settings | None:
        """orchestrator.toml where the rules are; None where they are nowhere."""
        return None if self.source.kind == "none" else self.settings

    def document(self) -> dict[str, Any]:
        """For the record; empty where there are no rules."""
        if not self.findings and not self.rules:
            return {}
        return protection_document(self.source, self.rules, self.findings)

    def notes(self) -> tuple[str, ...]:
        """What a reader should know, one sentence each."""
        found = [self.problem] if self.problem else []
        if self.findings:
            passed = [one.rule for one in self.findings if one.passed]
            said = f"protection of {self.environment}, rules of {self.source}"
            found.append(f"{said}: {', '.join(passed) or 'nothing'} passed")
            found += [f"would be refused by {one}; {one.remedy}" for one in self.refused]
        if self.source.kind in ("ledger", "parent") and dict(self.own) != dict(self.rules):
            found.append(
                f"this commit changes the protection of {self.environment}; that binds what comes after it"
            )
        return tuple(found)

    def error(self) -> ProtectionError | None:
        """The refusal; None where every rule holds."""
        if not self.refused:
            return None
        names = ", ".join(one.rule for one in self.refused)
        return ProtectionError(
            f"the protection of {self.environment} refuses this deployment: {names}",
            details=(
                *(f"{one.rule}: {one.why}" for one in self.refused),
                f"the rules are those of {self.source}",
            ),
            resolution="; ".join(dict.fromkeys(one.remedy for one in self.refused)),
        )


def checked_by(judgement: Judgement | None) -> dict[str, Any]:
    """What the record says of it; nothing where nothing was judged."""
    return {} if judgement is None else judgement.document()


def asked_by(order: Order) -> Asked:
    """What an order amounts to for protection."""
    return Asked(
        plan_given=order.required is not None,
        overrides_window=bool(order.override_window_reason),
        rolls_back=order.rollback is not None,
        may_be_offline=bool(order.no_lock_reason or order.check),
        policy=os.environ.get(POLICY_VARIABLE, ""),
    )


def judge_deployment(
    repository: DeploymentRepository,
    revision: Revision,
    environment: str,
    asked: Asked,
    repositories: StateRepositories | None = None,
) -> Judgement:
    """Whether `revision` may be deployed to `environment`.

    Args:
        repositories: of the command; None: this has its own.

    Raises:
        GitError: what the rules are cannot be found out.
        ProtectionError: rules are there and cannot be read.
        UsageError: the policy repository's address is none.
    """
    if not environment:
        return Judgement(environment=environment)
    with contextlib.ExitStack() as opened:
        if repositories is None:
            repositories = opened.enter_context(StateRepositories(read_clone(repository.directory)))
        objects = opened.enter_context(CommitObjects(repositories.clone))
        reader = RulesReader(objects, repositories, repository.stack, policy=_policy(asked.policy))
        commit = revision.commit or repository.resolve_ref("HEAD").commit
        own = reader.own_settings(commit).protection
        try:
            binding = reader.bind(commit, environment, revision.branch, is_worktree=not revision.commit)
        except GitError as error:
            if not asked.may_be_offline or own.rules or own.policy or asked.policy:
                raise
            why = f"whether {environment} is protected cannot be found out: {error.brief}"
            return Judgement(environment=environment, problem=why)
        rules = {name: one for name, one in own.rules.items() if name in {environment, *binding.rules}}
        # A repository that may not deploy it stays so, even where nothing was deployed from it yet.
        extra = tuple(
            Rules(only_repository=one.only_repository) for one in rules.values() if one.only_repository
        )
        bound = (*binding.rules.values(), *extra)
        facts = _Facts(repository, revision, objects, binding, asked, environment).of(bound)
        findings = dict.fromkeys(one for each in bound for one in judge_protection(each, facts))
        return Judgement(
            environment=environment,
            source=binding.source,
            settings=binding.settings,
            rules=binding.rules,
            own=rules,
            findings=tuple(findings),
            ledger=reader.ledger,
        )


def judge_plan_of(intent: Intent) -> tuple[Settings | None, tuple[str, ...]]:
    """What binds a deployment of these documents, and what it would be refused for now, one sentence each."""
    asked = Asked(may_be_offline=True, policy=os.environ.get(POLICY_VARIABLE, ""))
    try:
        found = judge_deployment(intent.repository, intent.revision, intent.desired.environment, asked)
    except OrchestratorError as error:
        return None, (f"the protection of {intent.desired.environment} cannot be read: {error.brief}",)
    return found.trusted, found.notes()


@dataclass(frozen=True, slots=True)
class _Facts:
    """Finds out what rules ask for, and nothing else."""

    repository: DeploymentRepository
    revision: Revision
    objects: CommitObjects
    binding: Binding
    asked: Asked
    environment: str

    def of(self, rules: Iterable[Rules]) -> Facts:
        rules = tuple(rules)
        commit = self.revision.commit
        facts = Facts(
            commit=commit,
            moment=datetime.now(UTC),
            base=self.binding.base,
            was_deployed=bool(commit) and commit == self.binding.base,
            plan_given=self.asked.plan_given,
            overrides_window=self.asked.overrides_window,
            rolls_back=self.asked.rolls_back,
            repository=without_password(self.repository.remote_url) or str(self.repository.top),
        )
        if any(one.merge_commits_only for one in rules) and commit and not facts.was_deployed:
            facts = self._with_line(facts)
        if any(one.signed_by for one in rules) and commit:
            facts = replace(facts, signatures=self._signatures(rules))
        if any(one.approvals for one in rules):
            facts = self._with_approvals(facts)
        if any(one.require_pinned for one in rules):
            facts = replace(facts, unpinned=self._unpinned())
        return facts

    def _with_line(self, facts: Facts) -> Facts:
        commit, base = facts.commit, facts.base
        line: tuple[tuple[str, int], ...] | None = ((commit, len(self.objects.parents(commit))),)
        if base and not self.objects.is_ancestor(commit, base):
            line = self.objects.first_parents(commit, base)
        if line is None:
            problem = f"the first-parent line of {commit[:10]} does not lead to {base[:10]}, the last deployed commit"
            return replace(facts, line_problem=problem)
        return replace(facts, direct=tuple(name for name, parents in line if parents != 2))

    def _signatures(self, rules: tuple[Rules, ...]) -> dict[tuple[str, ...], Signature]:
        raw = self.objects.raw(self.revision.commit)
        object_format = "sha256" if len(self.revision.commit) == 64 else "sha1"
        with Signatures(self.binding.protection.keys, object_format=object_format) as signatures:
            wanted = {one.signed_by for one in rules if one.signed_by}
            return {names: signatures.verify(raw, names) for names in wanted}

    def _with_approvals(self, facts: Facts) -> Facts:
        settings = self.binding.settings
        approvers = self.asked.approvers or _ask_forge
        if not facts.commit:
            return replace(facts, approvals_problem="the work tree is no commit that anybody approved")
        try:
            return replace(
                facts, approvals=approvers(self.repository, settings, facts.commit, self.binding.branches)
            )
        except OrchestratorError as error:
            return replace(facts, approvals_problem=error.brief)

    def _unpinned(self) -> tuple[str, ...] | None:
        path = PurePosixPath(self.repository.stack, MANIFEST).as_posix()
        commit = self.revision.commit
        content = self.objects.read(commit, path) if commit else self.repository.read(self.revision, MANIFEST)
        try:
            applications = json.loads(content or b"null")["applications"]
            return tuple(
                sorted(name for name, one in applications.items() if not one["artifact"].get("sha256"))
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None


def _policy(text: str) -> Policy | None:
    if not text:
        return None
    url, _, branch = text.partition("#")
    if problem := git_repository_problem(url):
        raise UsageError(
            f"{POLICY_VARIABLE}: {problem}", resolution="set it to URL or URL#BRANCH of the policy repository"
        )
    return Policy(url=url, branch=branch or DEFAULT_POLICY_BRANCH)


def _ask_forge(
    repository: DeploymentRepository, settings: Settings, commit: str, branches: tuple[str, ...]
) -> tuple[str, ...]:
    """Accounts that approved the pull request whose merge into one of these branches made the commit."""
    try:
        forges = importlib.import_module("orchestrator.edges.forges.opening")
    except ModuleNotFoundError:
        raise GitError("no forge can be asked who approved it") from None
    forge = forges.require_forge(repository, settings)
    return tuple(one.user for one in forge.approvals(commit) if one.branch in branches)
