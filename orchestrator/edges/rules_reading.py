"""Where the rules of an environment come from: the last deployed commit, the first parent, or a policy repository."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from orchestrator.core.ledger_entry import Entry
from orchestrator.core.protection import BASE_VERDICTS, RulesSource, choose_base, is_base, is_overtaken
from orchestrator.core.protection_rules import Policy, Protection, Rules, ledger_signers
from orchestrator.core.record import Record, parse_record
from orchestrator.core.settings import (
    Settings,
    branches_for_environment,
    environment_for_branch,
    environment_names,
    parse_settings,
)
from orchestrator.core.state_refs import ledger_ref, lock_ref
from orchestrator.core.state_settings import LedgerSettings
from orchestrator.edges.commit_objects import CommitObjects
from orchestrator.edges.history import History
from orchestrator.edges.ledger_tree import read_tree
from orchestrator.edges.schemas import read_schema
from orchestrator.edges.signatures import Signatures
from orchestrator.edges.state_repositories import StateRepositories
from orchestrator.errors import DocumentError, ProtectionError

SETTINGS = "orchestrator.toml"
_BROKEN_PARENTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What binds a commit.

    Attributes:
        settings: orchestrator.toml there.
        base: the last deployed commit; empty: none is known.
        rules: by environment's name, those that bind.
        branches: those that the environment was aligned with before.
    """

    source: RulesSource
    settings: Settings = field(default_factory=Settings)
    base: str = ""
    rules: dict[str, Rules] = field(default_factory=dict)
    branches: tuple[str, ...] = ()

    @property
    def protection(self) -> Protection:
        """All of it, with the keys."""
        return self.settings.protection


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A deployment that the ledger says was one."""

    entry: Entry
    record: Record
    history: History


class RulesReader:
    """Finds the rules for one commit of one stack.

    Args:
        policy: asked for from outside of the repository; None: what its orchestrator.toml says.

    Attributes:
        ledger: the commit of the ledger that the rules were found with; empty: there is no ledger.
    """

    def __init__(
        self,
        objects: CommitObjects,
        repositories: StateRepositories,
        stack: str,
        *,
        policy: Policy | None = None,
    ) -> None:
        self._objects = objects
        self._clone = repositories.clone
        self._repositories = repositories
        self._stack = stack
        self._policy = policy
        self.ledger = ""
        self._parsed: dict[str, Settings] = {}
        self._policies: dict[Policy, tuple[str, Settings]] = {}
        self._path = PurePosixPath(stack, SETTINGS).as_posix()

    def settings_at(self, commit: str) -> Settings:
        """orchestrator.toml there.

        Raises:
            DocumentError, GitError.
        """
        if commit not in self._parsed:
            self._parsed[commit] = _parse(self._objects.read(commit, self._path), commit)
        return self._parsed[commit]

    def own_settings(self, commit: str) -> Settings:
        """orchestrator.toml there; the defaults where it cannot be parsed, which is somebody else's to refuse."""
        try:
            return self.settings_at(commit)
        except DocumentError:
            return Settings()

    def bind(self, commit: str, environment: str, branch: str, *, is_worktree: bool = False) -> Binding:
        """What binds `commit` as a deployment of `environment`.

        Args:
            commit: with `is_worktree` the one that is checked out.

        Raises:
            GitError: it cannot be read.
            ProtectionError: rules are there and cannot be read.
        """
        own = self.own_settings(commit)
        parent = commit if is_worktree else self._first_parent(commit)
        before = self.own_settings(parent) if parent else Settings()
        past = self._past(commit)
        names = _names(environment, branch, (before, *past))
        candidates: list[_Candidate] = []
        was_protected = self._was_protected(names, own)
        if self._policy or was_protected or any(map(_is_protected, (own, before, *past))):
            candidates = self._candidates(commit, names, (Settings(), before, own))
        base = self._choose(candidates, names)
        if base is not None:
            source = RulesSource(kind="ledger", commit=base.record.commit, record=base.record.id)
        elif parent:
            source = RulesSource(kind="parent", commit=parent)
        else:
            source = RulesSource(kind="none")
        settings = self._settings_for_rules(source.commit) if source.commit else Settings()
        branches = branches_for_environment(settings, environment)
        policy = self._policy or settings.protection.policy
        if policy is not None:
            fetched, settings = self._fetch_policy(policy)
            place = f"the policy repository {self._clone.shown(policy.url)}, branch {policy.branch}"
            source = RulesSource(kind="policy", commit=fetched, place=place)
        rules = {name: one for name, one in settings.protection.rules.items() if name in names}
        return Binding(
            source=source,
            settings=settings,
            base=base.record.commit if base else "",
            rules=rules,
            branches=branches,
        )

    def _past(self, commit: str) -> tuple[Settings, ...]:
        """What orchestrator.toml ever said on the commit's line, which takes a forced push to hide."""
        found = []
        for blob in self._objects.versions(commit, self._path):
            try:
                found.append(_parse(self._objects.blob(blob), blob))
            except DocumentError:
                continue
        return tuple(found)

    def _was_protected(self, names: tuple[str, ...], own: Settings) -> bool:
        """Whether what was deployed last, perhaps from elsewhere, is protected, as far as the ledger's tip says.

        Only where there ever was protection is the whole ledger read, and its signatures looked at.
        """
        repository = self._repositories.at(own.ledger.repository, signing_key=own.ledger.signing_key)
        lock = lock_ref(names[0], self._stack)  # who deploys takes it next
        tree = read_tree(repository, ledger_ref(own, self._stack), ahead=(lock,))
        self.ledger = tree.tip
        for name in names:
            record = tree.deployed(name)
            if record is None and tree.knows(name):
                return True
            if record is not None and _is_protected(self.own_settings(record.commit)):
                return True
        return False

    def _candidates(
        self, commit: str, names: tuple[str, ...], places: Iterable[Settings]
    ) -> list[_Candidate]:
        """Deployments in every ledger that may be meant: a commit that moves it must not get rid of it.

        Those of the ledger that was in force before stand before those of the new one.
        """
        found: list[_Candidate] = []
        ledgers: dict[LedgerSettings, Settings] = {
            LedgerSettings(ref=one.ledger.ref, repository=one.ledger.repository): one for one in places
        }
        for ledger, settings in ledgers.items():
            history = History(self._clone, ledger.repository, ledger_ref(settings, self._stack))
            history.refresh()
            for entry, document in history.events(names, BASE_VERDICTS):
                try:
                    record = parse_record(document or b"")
                except ValueError:
                    continue
                if is_base(record) and (record.id, record.environment) == (entry.id, entry.environment):
                    found.append(_Candidate(entry=entry, record=record, history=history))
        return self._readable(commit, found)

    def _readable(self, commit: str, found: list[_Candidate]) -> list[_Candidate]:
        """Those whose commits exist; an entry about one that nobody has says nothing."""
        commits = [one.record.commit for one in found]
        here = self._objects.names(commits)
        if len(here) < len(set(commits)):
            self._objects.complete(commit)
            here = self._objects.names(commits)
        return [one for one in found if one.record.commit in here]

    def _choose(self, candidates: list[_Candidate], names: tuple[str, ...]) -> _Candidate | None:
        blobs = self._objects.names(f"{one.record.commit}:{self._path}" for one in candidates)
        checkers: dict[str, Signatures] = {}

        def counts(blob: str, candidate: _Candidate) -> bool:
            settings = _parse(self._objects.blob(blob), "the ledger") if blob else Settings()
            policy = self._policy or settings.protection.policy
            if policy is not None:
                settings = self._fetch_policy(policy)[1]
            keys = settings.protection.keys
            if not keys:
                return True
            if blob not in checkers:
                checkers[blob] = Signatures(keys, object_format=self._clone.object_format)
            raw = candidate.history.raw_commit(candidate.entry.commit)
            return bool(checkers[blob].verify(raw, ledger_signers(settings.protection, names)).name)

        def rules_of(candidate: _Candidate) -> str:
            return blobs.get(f"{candidate.record.commit}:{self._path}", "")

        try:
            return choose_base(candidates, rules_of=rules_of, counts_under=counts, is_overtaken=_is_overtaken)
        except DocumentError as error:
            raise _unreadable("a commit that the ledger names", error) from None
        finally:
            for checker in checkers.values():
                checker.close()

    def _first_parent(self, commit: str) -> str:
        """The nearest one whose orchestrator.toml can be parsed: a broken one was never deployed."""
        for _ in range(_BROKEN_PARENTS):
            parents = self._objects.parents(commit)
            if not parents:
                return ""
            commit = parents[0]
            try:
                self.settings_at(commit)
            except DocumentError:
                continue
            return commit
        raise ProtectionError(
            f"the last {_BROKEN_PARENTS} commits before it have no {SETTINGS} that can be parsed",
            resolution=f"correct {SETTINGS}, or name a policy repository",
        )

    def _settings_for_rules(self, commit: str) -> Settings:
        try:
            return self.settings_at(commit)
        except DocumentError as error:
            raise _unreadable(commit[:10], error) from None

    def _fetch_policy(self, policy: Policy) -> tuple[str, Settings]:
        if policy not in self._policies:
            ref = f"refs/heads/{policy.branch}"
            commit = self._objects.fetch(policy.url, ref, "policy", shallow=True)
            content = self._objects.read(commit, SETTINGS)
            if content is None:
                raise ProtectionError(
                    f"the policy repository {self._clone.shown(policy.url)} has no {SETTINGS} on {policy.branch}",
                    resolution="commit one there, with [protection] and [keys]",
                )
            try:
                settings = _parse(content, commit)
            except DocumentError as error:
                raise _unreadable(f"{self._clone.shown(policy.url)} ({policy.branch})", error) from None
            if settings.protection.policy is not None:
                protection = replace(settings.protection, policy=None)
                settings = replace(settings, protection=protection)
            self._policies[policy] = (commit, settings)
        return self._policies[policy]


def _names(environment: str, branch: str, before: Iterable[Settings]) -> tuple[str, ...]:
    """Every name under which rules may bind: its own, its alias, and what the branch ever belonged to.

    So commits that map the branch to another environment do not get rid of the rules.
    """
    names = [environment]
    for settings in before if branch else ():
        aligned = environment_for_branch(settings, branch)
        if aligned is not None:
            names.append(aligned)
    return tuple(dict.fromkeys(one for name in names for one in environment_names(name)))


def _is_protected(settings: Settings) -> bool:
    """Whether it has rules that a later commit must not get rid of."""
    protection = settings.protection
    proofs = any(one.rules.require_deployed_in for one in settings.environments.values())
    return bool(protection.rules or protection.policy or proofs)


def _is_overtaken(one: _Candidate, other: _Candidate) -> bool:
    """Of one ledger only: where that is another repository, the lock may be another one, too."""
    return one.history is other.history and is_overtaken(one.record, other.record)


def _parse(content: bytes | None, where: str) -> Settings:
    return parse_settings(content, f"{SETTINGS} at {where[:10]}", read_schema("settings"))


def _unreadable(where: str, error: DocumentError) -> ProtectionError:
    return ProtectionError(
        f"the rules at {where} cannot be read",
        details=error.details,
        resolution="deploy with the version of orchestrator that could read them, or name a policy repository",
    )
