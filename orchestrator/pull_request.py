"""The plan of a pull request: its merge with the target, compiled as data, asking only whom the target trusts.

Order: merge → settings and provider of the target → documents of both → artifacts → hosts → plan. Everything that
is contacted or run follows from the target's documents; the merged ones say what is compared with the answers.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator import workflow
from orchestrator.core.documents import Document, parse_documents
from orchestrator.core.json_text import parse_json
from orchestrator.core.ledger_state import observed_from_state
from orchestrator.core.model import Desired, Host
from orchestrator.core.observed import Identity, ObservedHost
from orchestrator.core.pull_request import (
    Review,
    changed_keys,
    describe_changes,
    describe_files,
    describe_settings,
    split_hosts,
)
from orchestrator.core.release_entries import read_templates
from orchestrator.core.settings import (
    EnvironmentProvider,
    Settings,
    environment_file_candidates,
    environment_for_branch,
    environment_names,
    parse_settings,
)
from orchestrator.core.toml_text import parse_toml
from orchestrator.core.violations import Violations
from orchestrator.edges.credentials import ControllerSecrets
from orchestrator.edges.git import DeploymentRepository
from orchestrator.edges.merge import Merge, open_merge
from orchestrator.edges.providers import read_environment
from orchestrator.edges.schemas import read_schema
from orchestrator.edges.state import open_state
from orchestrator.edges.target_files import TargetFiles
from orchestrator.errors import (
    CredentialsError,
    DocumentError,
    OrchestratorError,
    ProviderError,
    RevisionError,
    UsageError,
)
from orchestrator.intent import MANIFEST, SETTINGS
from orchestrator.promotion_gate import look_at_gate
from orchestrator.pull_request_artifacts import look_up_artifacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line asks for.

    Attributes:
        base, head: a branch, a full ref name, or a commit.
        environment: empty: the one of the base's branch.
        from_ledger: the ledger says what is live, and no host is asked.
    """

    directory: Path
    base: str
    head: str = "HEAD"
    environment: str = ""
    applications: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    offline: bool = False
    verify: bool = False
    from_ledger: bool = False


def review_pull_request(asked: Asked) -> Review:
    """The plan of merging head into base, and what is to be said about it.

    What is wrong with the pull request itself (a conflict, documents that do not fit, a missing artifact) is the
    review's `problem`.

    Raises:
        GitError, RevisionError, DocumentError, UsageError: there is nothing to review.
    """
    _refuse_links(asked.directory)
    clone = DeploymentRepository(asked.directory)
    with ExitStack() as stack:
        merge = stack.enter_context(
            open_merge(clone, base=asked.base, head=asked.head, offline=asked.offline)
        )
        settings = parse_settings(merge.read(merge.base.commit, SETTINGS), SETTINGS, read_schema("settings"))
        reviewer = _Reviewer(asked, clone, merge, settings, stack)
        try:
            reviewer.run()
        except OrchestratorError as error:
            return replace(reviewer.review, problem=error)
        return reviewer.review


class _Reviewer:
    """One review; `review` grows with each step, so that a failure leaves what is known so far."""

    def __init__(
        self,
        asked: Asked,
        clone: DeploymentRepository,
        merge: Merge,
        settings: Settings,
        stack: ExitStack,
    ) -> None:
        self._asked = asked
        self._clone = clone
        self._merge = merge
        self._settings = settings
        self._secrets = ControllerSecrets(dict(os.environ))
        self._files = TargetFiles(merge, clone, stack)
        environment = _environment_asked(asked.environment, settings, merge)
        self.review = Review(
            environment=environment,
            stack=clone.stack,
            base=merge.base.revision.label,
            branch=merge.base.branch,
            head=merge.head.revision.label,
            commit=merge.head.commit,
            source="nobody" if asked.offline else "ledger" if asked.from_ledger else "hosts",
            settings=settings,
        )

    def run(self) -> None:
        tree = self._merge.merged_tree()
        self._note(*describe_files(self._merge.changes(tree)), *self._settings_changes(tree))
        target, merged = self._parse_both(tree)
        self._note(*describe_changes(target, merged))
        intent = self._intent(merged)
        selected = workflow.select(intent, self._asked.applications, self._asked.limits)
        lookup = look_up_artifacts(
            target,
            merged,
            self._files,
            secrets=self._secrets,
            directory=self._clone.directory,
            offline=self._asked.offline,
        )
        window = workflow.closed_now(intent.desired)
        self.review = replace(self.review, lookups=lookup.unseen, problem=lookup.problem, window=window)
        observed = self._observe(target, merged, selected)
        plan = workflow.compile_intent(intent, lookup.artifacts, observed, selected)
        self.review = replace(self.review, plan=plan)
        if not self._asked.offline:
            # The rules are those of the target, as its orchestrator.toml; the head's are data.
            self._note(*look_at_gate(replace(intent, revision=self._merge.base.revision), plan)[1])
        # The target's are used; but no deployment would get past those that cannot be read.
        parse_settings(self._merge.read(tree, SETTINGS), SETTINGS, read_schema("settings"))

    def _note(self, *notes: str) -> None:
        self.review = replace(self.review, notes=(*self.review.notes, *notes))

    def _settings_changes(self, tree: str) -> tuple[str, ...]:
        before, after = (_toml(self._merge.read(one, SETTINGS)) for one in (self._merge.base.commit, tree))
        return describe_settings(before, after)

    def _parse_both(self, tree: str) -> tuple[Desired | None, Desired]:
        """The target's documents, None where they cannot be used, and the merged ones."""
        base = self._merge.base.commit
        provided = self._provided()
        documents = {one: provided or self._environment_file(one) for one in (base, tree)}
        values = {one: _json(document) for one, document in documents.items()}
        self.review = replace(self.review, keys=changed_keys(values[base], values[tree]))
        target: Desired | None = None
        try:
            target = self._parse(base, documents[base])
        except DocumentError as error:
            self._note(f"the target's documents cannot be used, so nobody is asked: {error.brief}")
        else:
            self.review = replace(self.review, from_version=target.manifest_version)
        return target, self._parse(tree, documents[tree])

    def _parse(self, treeish: str, environment: Document | None) -> Desired:
        manifest = self._merge.read(treeish, MANIFEST)
        if manifest is None:
            raise DocumentError(
                f"there is no {MANIFEST} after the merge",
                resolution=f"commit one in {self._clone.stack or 'the top directory'}, or correct -C",
            )
        desired = parse_documents(
            manifest=Document(label=MANIFEST, content=manifest),
            environment=environment,
            environment_name=self.review.environment,
            settings=self._settings,
            schemas={name: read_schema(name) for name in ("manifest", "environment")},
            roles=self._merge.own_roles(treeish)
            if environment and b'"role"' in environment.content
            else None,
        )
        return read_templates(desired, lambda path: self._merge.read(treeish, path))

    def _environment_file(self, treeish: str) -> Document | None:
        for path in environment_file_candidates(self._settings, self.review.environment):
            content = self._merge.read(treeish, path)
            if content is not None:
                return Document(label=path, content=content)
        return None

    def _provided(self) -> Document | None:
        """The environment JSON of the target's provider; the same before and after the merge."""
        named = self._settings.environments.get(self.review.environment)
        provider: EnvironmentProvider | None = named.provider if named else None
        if provider is None:
            return None
        for word in provider.command:
            if self._files.inside_checkout(Path(word)) is not None:
                raise ProviderError(
                    f"the environment provider names {word} in the checkout, where the pull request's files are",
                    resolution="write it relative to orchestrator.toml: then the target's own file is run",
                )
        directory = self._files.stack_directory() if provider.command else self._clone.directory
        return read_environment(provider, self.review.environment, secrets=self._secrets, directory=directory)

    def _intent(self, desired: Desired) -> workflow.Intent:
        settings = self._settings
        if settings.known_hosts and not settings.known_hosts.startswith(("/", "~")):
            settings = replace(
                settings, known_hosts=str(self._files.stack_directory() / settings.known_hosts)
            )
        return workflow.Intent(
            repository=self._clone,
            revision=self._merge.head.revision,
            settings=settings,
            desired=desired,
            identity=Identity(
                repository=settings.name or self._clone.name,
                stack=self._clone.stack,
                environment=desired.environment,
            ),
            secrets=self._secrets,
        )

    def _observe(self, target: Desired | None, merged: Desired, selected: Desired) -> dict[str, ObservedHost]:
        """What is live on the hosts that the target has just so; the others are not asked."""
        names = {placement.host.name for placement in selected.placements}
        trusted, reasons = split_hosts(target, merged)
        unasked = {name: reason for name, reason in reasons.items() if name in names}
        hosts = tuple(host for host in trusted if host.name in names)
        if self._asked.offline:
            unasked, hosts = dict.fromkeys(names, "not asked: --offline"), ()
        observed: dict[str, ObservedHost] = {}
        if hosts and target is not None:
            intent = self._intent(target)
            if self._asked.from_ledger:
                known = live_by_ledger(intent, hosts)
                observed = {name: host for name, host in known.items() if host.status == "observed"}
                unknown = (host.name for host in hosts if host.name not in observed)
                unasked |= dict.fromkeys(unknown, "the ledger does not know what is live there")
            else:
                observed = self._ask(intent, hosts)
        self.review = replace(self.review, unasked=dict(sorted(unasked.items())))
        return observed | {name: ObservedHost.unasked(name, reason) for name, reason in unasked.items()}

    def _ask(self, intent: workflow.Intent, hosts: tuple[Host, ...]) -> dict[str, ObservedHost]:
        try:
            with workflow.open_workspace(intent) as workspace:
                return workflow.observe(intent, workspace, hosts, verify=self._asked.verify)
        except CredentialsError as error:
            raise CredentialsError(
                error.brief,
                details=error.details,
                resolution=f"{error.resolution}; without credentials for hosts, plan with --from-ledger",
            ) from None


def live_by_ledger(intent: workflow.Intent, hosts: Iterable[Host]) -> dict[str, ObservedHost]:
    """What the ledger says is live on these hosts; one that it does not know everything of is `unasked`.

    Raises:
        GitError: its repository cannot be reached.
        LedgerError: its branch holds something else.
    """
    with open_state(intent.repository, intent.settings) as state:
        known = state.ledger.state(intent.desired.environment)
    return observed_from_state(known, [host.name for host in hosts])


def _environment_asked(asked: str, settings: Settings, merge: Merge) -> str:
    """The one that is asked for: a target branch that is an environment's has no other."""
    branch = merge.base.branch
    aligned = environment_for_branch(settings, branch) if branch and asked else None
    if asked and aligned and aligned not in environment_names(asked) and _exists(aligned, settings, merge):
        raise UsageError(
            f"the target {branch} belongs to environment {aligned}, not to {asked}",
            resolution="leave --environment out; it is for targets that are commits",
        )
    return asked or _environment_of(settings, merge)


def _exists(environment: str, settings: Settings, merge: Merge) -> bool:
    files = environment_file_candidates(settings, environment)
    return environment in settings.environments or any(
        merge.read(merge.base.commit, file) is not None for file in files
    )


def _environment_of(settings: Settings, merge: Merge) -> str:
    branch = merge.base.branch
    environment = environment_for_branch(settings, branch) if branch else None
    if environment is None:
        raise RevisionError(
            f"the target {merge.base.revision.label} belongs to no environment",
            resolution="name one with --environment, or map the branch in the target's orchestrator.toml",
        )
    return environment


def _refuse_links(directory: Path) -> None:
    """A stack's directory is itself, not a link that the pull request has put in its place."""
    path = Path(os.path.abspath(directory))  # noqa: PTH100
    for one in (path, *path.parents):
        if (one / ".git").exists():
            return
        if one.is_symlink():
            raise UsageError(
                f"{one} is a symbolic link, and in a pull request's checkout it may lead anywhere",
                resolution="name the stack's real directory with -C",
            )


def _json(document: Document | None) -> Any:
    if document is None:
        return {}
    read = parse_json(document.content, document.label, Violations())
    return read.value if read else {}


def _toml(content: bytes | None) -> Any:
    read = parse_toml(content, SETTINGS, Violations()) if content is not None else None
    return read.value if read else {}
