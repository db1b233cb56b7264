"""The commands that a reader of a failed deployment runs next, ready to be pasted into a shell."""

from __future__ import annotations

import shlex


def resume_command(
    *,
    environment: str,
    branch: str = "",
    commit: str = "",
    directory: str = ".",
    applications: tuple[str, ...] = (),
    limits: tuple[str, ...] = (),
    rollback_to: str | None = None,
    adopt: bool = False,
) -> str:
    """Return the deployment again: it converges, and touches only what has not.

    Args:
        branch: empty: the commit was named itself, so it is again.
        directory: as given with -C.
        rollback_to: it was a rollback to that, empty: to the release before; None: it was none.
        adopt: it was a takeover.
    """
    chosen = [f"--application={name}" for name in applications] + [f"--limit={name}" for name in limits]
    if rollback_to is not None:
        to = [f"--to={rollback_to}"] if rollback_to else []
        return _command(directory, "rollback", "--environment", environment, *chosen, *to)
    if adopt:
        return _command(directory, "adopt", "--environment", environment, *chosen)
    target = ("--branch", branch) if branch else ("--environment", environment, "--ref", commit or "HEAD")
    return _command(directory, "deploy", *target, *chosen)


def status_command(*, environment: str, directory: str = ".") -> str:
    """Return what shows which versions hosts have now."""
    return _command(directory, "status", "--environment", environment)


def _command(directory: str, *arguments: str) -> str:
    place = () if directory in ("", ".") else ("-C", directory)
    return shlex.join(("orchestrator", *place, *arguments))
