"""What `promote` and `deploy` ask the ledger: what was live where, what is held, what the rules say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from orchestrator.core.history import is_before
from orchestrator.core.ledger_state import LedgerState, fold_record
from orchestrator.core.manifest_edit import ManifestText, read_manifest
from orchestrator.core.promotion import Row, Source, source_of
from orchestrator.core.promotion_rules import (
    GOOD,
    HOLD,
    ROLLBACK,
    UNHOLD,
    Hold,
    Rules,
    find_hold,
    judge_rules,
    parse_holds,
    was_deployed,
)
from orchestrator.core.record import Record, parse_record
from orchestrator.core.rollback import live_after
from orchestrator.core.settings import (
    EnvironmentSettings,
    Settings,
    branches_for_environment,
    environment_for_branch,
    environment_names,
)
from orchestrator.core.state_refs import ledger_ref
from orchestrator.edges.branch_documents import read_branch, read_commit
from orchestrator.edges.clone import read_clone
from orchestrator.edges.git import DeploymentRepository
from orchestrator.edges.history import History
from orchestrator.edges.ledger_tree import read_tree
from orchestrator.edges.lock_branch import short
from orchestrator.edges.schemas import read_schema
from orchestrator.edges.state_repository import StateRepository
from orchestrator.errors import GitError, LedgerError, OrchestratorError, UsageError
from orchestrator.signed_proofs import Proofs, read_signed_records


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A source in the ledger.

    Attributes:
        label: in the words of who asked.
        environment: empty: `record` says it.
        record: an attempt's id; empty: `until` says which.
        until: ISO 8601 in UTC, by the clocks of the runners; empty: now.
    """

    label: str
    environment: str = ""
    record: str = ""
    until: str = ""


def read_records(
    clone: DeploymentRepository,
    settings: Settings,
    environment: str,
    *,
    location: str = "",
    proofs: Proofs | None = None,
) -> tuple[Record, ...]:
    """The closed attempts of an environment, as the ledger has them, in the order of their turns, the first first.

    Args:
        environment: empty: of all.
        location: of another repository with the ledger; empty: as `settings` say.
        proofs: what is to be proven by them: where keys are listed, unsigned entries prove nothing.

    Raises:
        GitError, LedgerError: it cannot be read.
    """
    place = Settings() if location else settings  # another repository's ledger is at the usual place
    git = read_clone(clone.directory)
    history = History(git, location or place.ledger.repository, ledger_ref(place, clone.stack))
    history.refresh()
    names = environment_names(environment) if environment else ()
    if proofs is not None and proofs.needs_signatures:
        return read_signed_records(history, names, proofs, object_format=git.object_format)
    wanted = [one for one in history.turns() if not one.is_open and (not names or one.environment in names)]
    found = []
    for _, text in history.documents(wanted):
        try:
            found.append(parse_record(text))
        except ValueError:
            continue
    return tuple(found)


def read_holds(
    repository: StateRepository, settings: Settings, stack: str, environment: str
) -> tuple[Hold, ...]:
    """The holds that are in force in the environment, by whichever of its names.

    Raises:
        GitError: the remote cannot be reached.
    """
    tree = read_tree(repository, ledger_ref(settings, stack))
    return tuple(
        hold for name in environment_names(environment) for hold in parse_holds(tree.state(name).holds)
    )


def read_source(
    clone: DeploymentRepository, settings: Settings, remote: StateRepository, asked: str | Moment
) -> tuple[Source, str]:
    """What is to be promoted, and the environment that it comes from.

    Args:
        asked: an environment or a branch, or a moment of the ledger.

    Raises:
        RevisionError, DocumentError, GitError, UsageError.
    """
    schema = read_schema("manifest")
    if isinstance(asked, Moment):
        return _LedgerSource(clone=clone, remote=remote).read(settings, asked)
    tree = read_branch(remote, branches_for_environment(settings, asked), clone.stack)
    environment = environment_for_branch(settings, short(tree.ref)) or asked
    return source_of(read_manifest(tree.manifest(), schema), tree.label), environment


@dataclass(slots=True, kw_only=True)
class _LedgerSource:
    clone: DeploymentRepository
    remote: StateRepository
    _manifests: dict[str, ManifestText] = field(default_factory=dict)

    def read(self, settings: Settings, asked: Moment) -> tuple[Source, str]:
        records = read_records(self.clone, settings, asked.environment)
        environment = asked.environment
        live: dict[str, set[tuple[str | None, str]]] = {}
        if asked.record:
            found = [one for one in records if one.id == asked.record]
            if not found:
                raise UsageError(
                    f"the ledger has no attempt {asked.record!r}", resolution="see `orchestrator history ENV`"
                )
            environment = found[0].environment
            for (application, _, _), good in live_after(found[0]).items():
                live.setdefault(application, set()).add((good.version, good.artifact_sha256))
            until = records.index(found[0]) + 1
            records = tuple(one for one in records[:until] if one.environment == environment)
        else:
            records = tuple(
                one for one in records if not asked.until or not is_before(asked.until, one.ended)
            )
            for one in _fold(environment, records).placements:
                live.setdefault(one.application, set()).add((one.version, one.artifact_sha256))
        if not live:
            raise UsageError(
                f"the ledger does not know of anything that was live in {asked.label}",
                resolution="see `orchestrator history ENV --all`",
            )
        return self._source(asked.label, records, live), environment

    def _source(
        self, label: str, records: tuple[Record, ...], live: Mapping[str, set[tuple[str | None, str]]]
    ) -> Source:
        objects, versions, digests, unclear, commits = {}, {}, {}, {}, set()
        simple = False
        for application, found in sorted(live.items()):
            known = sorted(version or "unknown" for version, _ in found)
            (version, sha256), *others = sorted(found, key=str)
            if found == {("", "")}:
                continue
            if others or not version or not sha256:
                unclear[application] = f"what was live there is not one thing: {', '.join(known)}"
                continue
            try:
                commit, manifest = self._manifest_of(records, application, version, sha256)
            except OrchestratorError as error:
                unclear[application] = error.brief
                continue
            node = manifest.object_of(application)
            assert node is not None
            objects[application], versions[application], digests[application] = node, version, sha256
            simple = simple or manifest.is_simple
            commits.add(commit)
        manifests = {self._manifests[commit].parsed.manifest_version for commit in commits}
        return Source(
            label=label,
            simple=simple,
            objects=objects,
            versions=versions,
            manifest_version=manifests.pop() if len(commits) == 1 else "",
            digests=digests,
            unclear=unclear,
        )

    def _manifest_of(
        self, records: tuple[Record, ...], application: str, version: str, sha256: str
    ) -> tuple[str, ManifestText]:
        """The manifest that asked for it, newest first."""
        problem: OrchestratorError | None = None
        for record in reversed(records):
            if record.kind in (ROLLBACK, HOLD, UNHOLD) or not record.commit:
                continue
            if not any(
                one.application == application
                and one.result in GOOD
                and (one.version, one.artifact_sha256) == (version, sha256)
                for one in record.placements
            ):
                continue
            try:
                if record.commit not in self._manifests:
                    tree = read_commit(self.remote, record.commit, self.clone.stack)
                    self._manifests[record.commit] = read_manifest(tree.manifest(), read_schema("manifest"))
            except OrchestratorError as error:
                problem = problem or error
                continue
            manifest = self._manifests[record.commit]
            draft = manifest.parsed.applications.get(application)
            if draft is not None and draft.version == version:
                return record.commit, manifest
        raise problem or LedgerError(f"no commit that the ledger knows asked for {version}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What the target says to it.

    Attributes:
        blocked: why, by application.
        notes: what could not be found out, or is held for something else.
    """

    blocked: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class LedgerFacts:
    """What the ledger says, asked once for each environment.

    Attributes:
        target: the repository that the target is in, with its holds; None: the clone's remote.
    """

    clone: DeploymentRepository
    settings: Settings
    remote: StateRepository
    target: StateRepository | None = None
    _records: dict[tuple[str, str], tuple[Record, ...]] = field(default_factory=dict)

    def records(self, environment: str, location: str = "") -> tuple[Record, ...]:
        """Closed attempts there, oldest first."""
        key = (environment, location)
        if key not in self._records:
            self._records[key] = read_records(self.clone, self.settings, environment, location=location)
        return self._records[key]

    def judge(
        self, environment: str, settings: Settings, rows: Iterable[Row], digests: Mapping[str, str]
    ) -> Judged:
        """Why what would move may not.

        Args:
            settings: of the target.

        Raises:
            GitError, LedgerError: a ledger that is asked for by a rule cannot be read.
        """
        moving = [row for row in rows if row.verdict == "moves"]
        if not moving:
            return Judged()
        blocked, notes = {}, []
        holds: tuple[Hold, ...] = ()
        try:
            holds = self._holds(environment, settings)
        except (GitError, LedgerError) as error:
            raise LedgerError(
                f"whether {environment} is held cannot be found out: {error.brief}",
                details=error.details,
                resolution=error.resolution,
            ) from None
        named = settings_of(settings, environment)
        location = named.deployed_in_ledger if self.target is None else ""
        proofs = Proofs(
            settings=(settings,),
            environment=environment,
            digests=frozenset(digests.get(row.application, "") for row in moving),
        )
        records = {
            name: read_records(self.clone, self.settings, name, location=location, proofs=proofs)
            if proofs.needs_signatures
            else self.records(name, location)
            for name in named.rules.require_deployed_in
        }
        now = datetime.now(UTC)
        for row in moving:
            sha256 = digests.get(row.application, "")
            hold = find_hold(holds, row.application, "promote", sha256)
            problem = judge_rules(named.rules, records, row.application, sha256, now)
            if hold is not None or problem:
                blocked[row.application] = hold.describe(environment) if hold is not None else problem
        notes += [
            hold.describe(environment)
            for hold in holds
            if hold.purpose == "deploy" and any(hold.application in ("", row.application) for row in moving)
        ]
        return Judged(blocked=blocked, notes=tuple(notes))

    def skipped(
        self, names: Iterable[str], rows: Iterable[Row], digests: Mapping[str, str]
    ) -> tuple[str, ...]:
        """A warning for each environment on the way that never had what moves."""
        moving = [row for row in rows if row.verdict == "moves"]
        found = []
        for name in names if moving else ():
            try:
                records = self.records(name)
            except (GitError, LedgerError) as error:
                found.append(f"whether {name} ever had it is not known: {error.brief}")
                continue
            missing = [
                f"{row.application} {row.to_version}"
                for row in moving
                if not was_deployed(records, row.application, digests.get(row.application, ""))
            ]
            if missing:
                found.append(f"{name} is skipped: it never had {', '.join(missing)}")
        return tuple(found)

    def _holds(self, environment: str, settings: Settings) -> tuple[Hold, ...]:
        repository = self.target or self.remote
        if settings.ledger.repository:
            with StateRepository(
                read_clone(self.clone.directory), settings.ledger.repository, actor=self.clone.actor
            ) as ledger:
                return read_holds(ledger, settings, self.clone.stack, environment)
        return read_holds(repository, settings, self.clone.stack, environment)


def settings_of(settings: Settings, environment: str) -> EnvironmentSettings:
    """What orchestrator.toml says of the environment, by whichever of its names."""
    for name in environment_names(environment):
        if name in settings.environments:
            return settings.environments[name]
    return EnvironmentSettings()


def rules_of(settings: Iterable[Settings], environment: str) -> Rules:
    """What all of these ask for."""
    rules = Rules()
    for one in settings:
        rules = rules.and_(settings_of(one, environment).rules)
    return rules


def _fold(environment: str, records: Iterable[Record]) -> LedgerState:
    state = LedgerState(environment=environment)
    for record in records:
        state = fold_record(state, record)
    return state
