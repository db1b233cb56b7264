"""Which commit is deployed: the branch's tip, and no other unless somebody says why."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from orchestrator.core.ci import CiRun
from orchestrator.core.observed import Identity
from orchestrator.core.settings import Settings, branch_for_environment, environment_for_branch
from orchestrator.edges.git import DeploymentRepository, Revision
from orchestrator.errors import GitError, RevisionError, UsageError
from orchestrator.intent import (
    MANIFEST,
    Target,
    choose_revision,
    find_branch,
    no_environment,
    read_settings,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a deployment is about.

    Attributes:
        revision: what is asked for: the tip, the CI's commit, or a commit by name.
        settings: orchestrator.toml at the tip, or at the revision without one.
        environment: empty: the one that the revision's branch is aligned with.
        tip: of the environment's branch; None where there is no such branch, or the work tree is read.
        nothing: why there is nothing to deploy, one sentence; empty when there is.
        superseded: why `revision` has to give way to `tip`, one sentence; empty when it has not.
        notes: what a reader should know.
    """

    revision: Revision
    settings: Settings = field(default_factory=Settings)
    environment: str = ""
    tip: Revision | None = None
    nothing: str = ""
    superseded: str = ""
    notes: tuple[str, ...] = ()

    @property
    def environment_name(self) -> str:
        """The environment's, by whichever way it was said; empty when the branch is aligned with none."""
        return self.environment or environment_for_branch(self.settings, self.revision.branch) or ""

    def identity_in(self, repository: DeploymentRepository) -> Identity:
        """Whose deployment it is."""
        return Identity(
            repository=self.settings.name or repository.name,
            stack=repository.stack,
            environment=self.environment_name,
        )


def choose(repository: DeploymentRepository, target: Target, ci: CiRun, *, may_be_offline: bool) -> Choice:
    """What `target` means, in that CI job.

    Args:
        may_be_offline: what is known here counts where the remote cannot be reached.

    Raises:
        GitError, RevisionError, UsageError.
    """
    if not (target.branch or target.environment or target.ref or target.worktree):
        if ci.is_pull_request:
            nothing = "this job is a pull request's, which is not merged yet; nothing to deploy"
            return Choice(revision=repository.resolve_ref("HEAD"), nothing=nothing)
        target = replace(target, branch=ci.branch)
    notes: list[str] = []
    try:
        revision, environment = choose_revision(repository, target)
    except GitError as error:
        if not may_be_offline:
            raise
        notes.append(f"{error.brief}; reading what is here")
        target = replace(target, offline=True)
        revision, environment = choose_revision(repository, target)
    if repository.stack and repository.read(revision, MANIFEST) is None:
        raise UsageError(
            f"there is no {MANIFEST} in {repository.stack} at {revision.label}",
            resolution="run this in the repository's top directory, or name a stack's directory with -C",
        )
    if revision.branch and not environment and not target.worktree:
        nothing = no_environment(repository, revision, revision.branch)
        if nothing:
            return Choice(revision=revision, nothing=nothing, notes=tuple(notes))
    settings = read_settings(repository, revision)
    if target.worktree:
        return Choice(revision=revision, settings=settings, environment=environment, notes=tuple(notes))
    branch = revision.branch
    choice = Choice(revision=revision, settings=settings, environment=environment, tip=revision)
    if target.ref:
        choice = replace(choice, tip=_tip_of(repository, settings, choice, target, notes))
    elif ci.commit and ci.branch == branch and not ci.is_pull_request:
        choice = replace(choice, revision=Revision(commit=ci.commit, branch=branch))
    if not target.ref and revision.note:
        notes.append(revision.note)
    superseded = "" if choice.tip is None else _judge(repository, choice, choice.tip, pushed=not target.ref)
    return replace(choice, superseded=superseded, notes=tuple(notes))


def moved_on(repository: DeploymentRepository, choice: Choice) -> str:
    """Why the revision has to give way to what the branch's tip is now; empty when it is still that.

    Raises:
        GitError: the remote cannot be reached.
        RevisionError: the branch is gone.
    """
    if choice.tip is None:
        return ""
    tip = repository.resolve_branch(choice.tip.branch, offline=False)
    return _judge(repository, choice, tip, pushed=choice.revision.commit == choice.tip.commit)


def _tip_of(
    repository: DeploymentRepository,
    settings: Settings,
    choice: Choice,
    target: Target,
    notes: list[str],
) -> Revision | None:
    environment = choice.environment or environment_for_branch(settings, choice.revision.branch)
    if not environment:
        return None
    tip = find_branch(repository, settings, environment, offline=target.offline)
    if tip is None:
        branch = branch_for_environment(settings, environment)
        notes.append(f"there is no branch {branch!r}; deploying {target.ref} as asked")
    return tip


def _judge(repository: DeploymentRepository, choice: Choice, tip: Revision, *, pushed: bool) -> str:
    """Why the choice's revision has to give way to `tip`.

    Args:
        pushed: it was the branch's tip before; then one that is behind it has been put there on purpose.
    """
    if choice.revision.commit == tip.commit:
        return ""
    mine, theirs = choice.revision.commit[:10], tip.commit[:10]
    if not pushed and repository.is_ancestor(tip.commit, choice.revision.commit):
        raise RevisionError(
            f"{mine} is ahead of {tip.branch}, which is at {theirs} where deployments come from",
            resolution=f"push it to {tip.branch} first, or deploy it with --allow-older REASON",
        )
    return (
        f"superseded: {tip.branch} is at {theirs} by now and this run is for {mine}; nothing to deploy "
        "(--allow-older REASON deploys it all the same)"
    )
