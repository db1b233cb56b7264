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
) -> str:
    """Return the deployment again: it converges, and touches only what has not.

    Args:
        branch: empty: the commit was named itself, so it is again.
        directory: as given with -C.
    """
    target = ("--branch", branch) if branch else ("--environment", environment, "--ref", commit or "HEAD")
    chosen = [f"--application={name}" for name in applications] + [f"--limit={name}" for name in limits]
    return _command(directory, "deploy", *target, *chosen)


def status_command(*, environment: str, directory: str = ".") -> str:
    """Return what shows which versions hosts have now."""
    return _command(directory, "status", "--environment", environment)


def _command(directory: str, *arguments: str) -> str:
    place = () if directory in ("", ".") else ("-C", directory)
    return shlex.join(("orchestrator", *place, *arguments))
