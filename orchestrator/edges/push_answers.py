"""What `git push --porcelain` answered: done, lost a race, refused by the server, or not reached.

The words are those of git's send-pack and receive-pack, and of the hooks of GitHub, GitLab, Bitbucket and Gitea.
"""

from __future__ import annotations

from typing import Literal

from orchestrator.edges.git_process import Answer, said

PushVerdict = Literal["done", "raced", "refused", "unreachable", "not atomic"]

_RACES = (
    "stale info",
    "fetch first",
    "non-fast-forward",
    "needs force",
    "failed to update ref",
    "failed to lock",
    "incorrect old value",
    "reference already exists",
    "but expected",
    "cannot lock ref",
    "atomic push failed",
    "atomic transaction failed",
    "transaction failed",
)
_IN_THE_WAY = ("exists; cannot create", "permission denied", "read-only file system")
_TRANSIENT = ("remote failed to report status", "unpacker error", "no space left")
_NO_ACCESS = (
    "error: 403",
    "write access to repository not granted",
    "marked as read only",
    "not allowed to push",
    "protected branch",
    "access denied",
    "service not enabled",
    "pre-receive hook declined",
)


def judge_push(answer: Answer) -> PushVerdict:
    """Return what became of a push."""
    if answer.code == 0:
        return "done"
    errors = answer.errors.lower()
    if "does not support --atomic" in errors:
        return "not atomic"
    rejected = [line.lower() for line in answer.text.splitlines() if line.startswith("!\t")]
    if answer.code is not None and rejected:
        if any(word in errors for word in _IN_THE_WAY):
            return "refused"
        own = [line for line in rejected if "atomic push failed" not in line] or rejected
        if all(any(word in line for word in _RACES) for line in own):
            return "raced"
        if any(word in line for line in rejected for word in _TRANSIENT):
            return "unreachable"
        return "refused"
    return "refused" if any(word in errors for word in _NO_ACCESS) else "unreachable"


def push_words(answer: Answer) -> tuple[str, ...]:
    """Return the server's own words, for people."""
    rejected = [line.rpartition("\t")[2] for line in answer.text.splitlines() if line.startswith("!\t")]
    if answer.code is None:
        return ("git push did not end in time",)
    return said("\n".join([*answer.errors.splitlines(), *rejected]))
