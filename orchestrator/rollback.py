"""Releases that were good: switched to where they are kept, fetched again where they are not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrator.core.artifacts import ResolvedArtifact
from orchestrator.core.compile import select_placements
from orchestrator.core.inventory import render_placement
from orchestrator.core.kinds import may_go_back
from orchestrator.core.model import Application, Desired, Placement, Reference
from orchestrator.core.observed import ObservedHost, ObservedPlacement
from orchestrator.core.once_plan import due_hooks
from orchestrator.core.plan import Plan
from orchestrator.core.record import Record
from orchestrator.core.rollback import (
    Choice,
    Good,
    Key,
    Wish,
    choose_release,
    commits_with,
    describe_kept,
    goods_of,
    key_of,
    last_changed,
    last_good,
    live_after,
    newest_change,
    planned_by,
)
from orchestrator.core.rollback_plan import Aim, compile_rollback
from orchestrator.edges.repositories import resolve_artifacts
from orchestrator.errors import CredentialsError, OrchestratorError, RollbackError, UsageError
from orchestrator.planning import Planned, references_in, secrets_of
from orchestrator.workflow import Intent, fingerprints_of, read_intent_at


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackOrder:
    """What was asked for.

    Attributes:
        to: a version, or an attempt's id; empty: the good release before the live one.
        records: closed attempts of the environment as the ledger has them, newest first.
        unread: why the ledger could not be read; empty when it was.
        last_good: bring hosts to what the last attempt that succeeded left live elsewhere; no rollback.
        interrupted: a rollback that did not come to its end; without `to` this one goes on with it.
        read: the same order, with what the ledger knows now.
    """

    to: str = ""
    last_good: bool = False
    records: tuple[Record, ...] = ()
    unread: str = ""
    interrupted: Record | None = None
    read: Callable[[], RollbackOrder] | None = None

    def wish(self) -> Wish:
        """What `to` means."""
        if self.last_good:
            return Wish(latest=last_good(self.records))
        record = self._record()
        if record is not None:
            return Wish(exact=live_after(record))
        if self.interrupted is not None and not self.to:
            return Wish(going=planned_by(self.interrupted))
        return Wish(version=self.to)

    def select(self, intent: Intent, selected: Desired, applications: tuple[str, ...]) -> Desired:
        """The placements that it is about.

        Raises:
            UsageError: what was asked for does not say which.
            RollbackError: there are none.
        """
        wish = self.wish()
        names = {placement.application.name for placement in selected.placements}
        if wish.version and len(names) > 1:
            raise UsageError(
                f"{wish.version} is a version of which application?",
                resolution=f"say it with --application: {', '.join(sorted(names))}; an attempt of the ledger is "
                "named by its id",
            )
        keys: frozenset[Key] | None = None
        if wish.exact is not None:
            keys = frozenset(wish.exact)
        elif wish.going and not applications:
            keys = frozenset(wish.going)
        elif not wish.version and wish.latest is None and not applications and len(names) > 1:
            keys = last_changed(self.records)
            if not keys:
                why = self.unread or "the ledger knows of no deployment that changed anything here"
                raise RollbackError(
                    f"nobody can say what the last deployment of {intent.desired.environment} changed",
                    details=(why,),
                    resolution="name what is to be rolled back with --application",
                )
        placements = selected.placements
        if keys is not None:
            placements = tuple(one for one in placements if key_of(one) in keys)
        if not placements:
            raise RollbackError(
                f"nothing that is to be {self.verb} is among the selected placements",
                resolution="look at `orchestrator history` and `orchestrator status`, and name --application, "
                "--limit or --to",
            )
        return replace(select_placements(selected), placements=placements)

    def again(
        self, intent: Intent, selected: Desired, applications: tuple[str, ...], before: Desired
    ) -> RollbackOrder:
        """The order as it is inside the lock, for the same placements.

        Args:
            selected, applications: as for `select`.
            before: what was selected outside of the lock.

        Raises:
            RollbackError: it would be about others now.
        """
        order = self.read() if self.read is not None else self
        if order.records == self.records:
            return self
        if order.unread:
            raise RollbackError(
                f"the ledger cannot be read any more: {order.unread}", resolution="run it again"
            )
        now = frozenset(map(key_of, order.select(intent, selected, applications).placements))
        newest = newest_change(order.records, now)
        if self.to or self.last_good or newest is None:
            return order
        if now != frozenset(map(key_of, before.placements)) or newest != newest_change(self.records, now):
            raise RollbackError(
                f"the attempt {newest.id} of {newest.actor} ended after this rollback was asked for, and is now what "
                "it would undo",
                resolution=f"see `orchestrator show {newest.id}`; run it again to undo that, or name what is to be "
                "rolled back with --application, or --to",
            )
        return order

    def holds_before(self, left: Collection[tuple[str, str]]) -> tuple[Mapping[str, Any], ...]:
        """Those of the rollback that this one goes on with, of what that has left already.

        Args:
            left: application and SHA-256 of what this one leaves.
        """
        held = () if self.to or self.interrupted is None else self.interrupted.holds
        return tuple(hold for hold in held if (hold.get("application"), hold.get("sha256")) not in left)

    def reason(self) -> str:
        """For the record."""
        if self.last_good:
            return "the last good state"
        if not self.to:
            return "rollback to the good release before"
        return f"rollback to {'what was live after ' if self._record() else ''}{self.to}"

    @property
    def verb(self) -> str:
        """What is done to placements, as in `they are …`."""
        return "brought to the last good state" if self.last_good else "rolled back"

    def _record(self) -> Record | None:
        return next((one for one in self.records if one.id == self.to), None)


@dataclass(slots=True, kw_only=True)
class RollbackPlanner:
    """See `orchestrator.planning.Planner`."""

    intent: Intent
    selected: Desired
    order: RollbackOrder
    _commits: dict[str, Desired] = field(default_factory=dict)
    _found: dict[tuple[str, str], tuple[Application, ResolvedArtifact]] = field(default_factory=dict)

    def references(self) -> frozenset[Reference]:
        """Those of repositories that can be read here: where every release is kept, none of them is needed.

        What processes are given is needed whatever happens.
        """
        found: set[Reference] = set()
        for repository in self.intent.desired.repositories.values():
            found |= references_in(repository.credentials)
        readable = frozenset(one for one in found if self._can_be_read(one))
        return readable | secrets_of(self.selected)

    def prepare(self) -> Mapping[str, ResolvedArtifact]:
        """Nothing: what is to be fetched is known once the hosts have said what they keep."""
        return {}

    def plan(
        self, artifacts: Mapping[str, ResolvedArtifact], observed: Mapping[str, ObservedHost]
    ) -> Planned:
        """See `Planner`.

        Raises:
            RollbackError: some placement has nowhere to go; no host was touched.
        """
        goods, wish = goods_of(self.order.records), self.order.wish()
        aims: list[Aim] = []
        problems: list[str] = []
        for placement in self.selected.placements:
            host = observed[placement.host.name]
            if host.status != "observed":
                aims.append(Aim(placement=placement))
                continue
            name = placement.application.name
            found = host.placements.get((name, placement.deployment_path))
            chosen = choose_release(key_of(placement), found, wish, goods)
            try:
                if isinstance(chosen, str):
                    raise RollbackError(chosen)
                aims.append(self._aim(placement, chosen, found))
            except RollbackError as error:
                problems.append(f"{name} on {host.name}: {error.brief}")
        if problems:
            raise RollbackError(
                f"{len(problems)} of {len(self.selected.placements)} placements cannot be {self.order.verb}, and "
                "every host is left as it was",
                details=tuple(problems),
                resolution="leave these out with --application or --limit"
                if self.order.last_good
                else "name another release with --to, or leave these out with --application or --limit",
            )
        fingerprints = fingerprints_of(self.intent)
        plan = compile_rollback(
            self.intent.desired,
            aims,
            observed,
            identity=self.intent.identity,
            commit=self.intent.revision.commit,
            fingerprints=fingerprints,
        )
        return Planned(plan=plan, placements=_render(plan, aims, fingerprints))

    def _aim(self, placement: Placement, choice: Choice, found: ObservedPlacement | None) -> Aim:
        if choice.kept or choice.stays:
            return Aim(placement=placement, choice=choice)
        try:
            application, artifact = self._fetch_again(placement.application.name, choice.good)
        except OrchestratorError as error:
            kept = describe_kept(found) if found is not None else ""
            raise RollbackError(
                f"{choice.good.version} cannot be had again: {error.brief}; {kept}"
            ) from error
        return Aim(placement=replace(placement, application=application), choice=choice, artifact=artifact)

    def _fetch_again(self, name: str, good: Good) -> tuple[Application, ResolvedArtifact]:
        """The application as git had it when that release was good, and its artifact where it is now.

        Raises:
            OrchestratorError: there is no such commit, application or artifact, or it has other bytes.
        """
        key = (name, good.artifact_sha256)
        if key not in self._found:
            application = self._application_at(name, good)
            artifact = replace(application.artifact, sha256=good.artifact_sha256)
            (resolved,) = resolve_artifacts(
                [(name, artifact)],
                self.intent.desired.repositories,
                secrets=self.intent.secrets,
                directory=self.intent.repository.directory,
            ).values()
            self._found[key] = (replace(application, artifact=artifact), resolved)
        return self._found[key]

    def _application_at(self, name: str, good: Good) -> Application:
        commits = commits_with(self.order.records, name, good)
        for commit in commits:
            for placement in self._desired_at(commit).placements:
                application = placement.application
                if application.name == name and application.version == good.version:
                    return application
        if not commits:
            raise RollbackError("the ledger does not say which commit it came from")
        raise RollbackError(f"{', '.join(commit[:10] for commit in commits[:5])} does not ask for it")

    def _desired_at(self, commit: str) -> Desired:
        if commit not in self._commits:
            revision = self.intent.repository.resolve_ref(commit)
            found = read_intent_at(self.intent.repository, revision, self.intent.desired.environment)
            self._commits[commit] = found.desired
        return self._commits[commit]

    def _can_be_read(self, reference: Reference) -> bool:
        try:
            self.intent.secrets.value(reference)
        except CredentialsError:
            return False
        return True


def _render(plan: Plan, aims: list[Aim], fingerprints: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    by_key = {key_of(aim.placement): aim for aim in aims}
    rendered: dict[str, list[dict[str, Any]]] = {}
    for step in plan.changes:
        aim = by_key[step.application, step.host, step.deployment_path]
        placement = due_hooks(plan, step, may_go_back(aim.placement))
        artifact = aim.artifact or ResolvedArtifact(
            application=step.application,
            delivery="host",
            location="",
            size_bytes=None,
            sha256=step.artifact_sha256,
            digest_source="not resolved",
            credentials=None,
        )
        one = render_placement(step, placement, artifact, fingerprints.get(step.application, ""))
        rendered.setdefault(step.host, []).append(one)
    return rendered
