"""Which branches lock and ledger are kept on. All are ordinary branches: some git hosts allow nothing else."""

from __future__ import annotations

import re
from hashlib import sha256

from orchestrator.core.settings import Settings
from orchestrator.core.state_settings import APPROVAL_PREFIX, DEFAULT_LEDGER_REF, LOCK_PREFIX

_HEADS = "refs/heads/"
_SEPARATOR = "--"
_PLAIN_STACK = re.compile(r"[a-z0-9_]+(-[a-z0-9_]+)*")
_PLAIN_ENVIRONMENT = re.compile(r"(?!.*(\.\.|--|\.lock$|[.-]$))[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEPT_CHARACTERS = 60


def ledger_ref(settings: Settings, stack: str) -> str:
    """Return the full name of the ledger's branch.

    Args:
        stack: the stack's directory relative to the repository's top; empty for the top itself.
    """
    return settings.ledger.ref + _suffix(stack)


def lock_ref(environment: str, stack: str) -> str:
    """Return the full name of the branch that locks `environment`; two environments never share one."""
    return f"{LOCK_PREFIX}{_slug(environment, _PLAIN_ENVIRONMENT)}{_suffix(stack)}"


def approval_ref(environment: str, stack: str) -> str:
    """Return the full name of the branch on which `environment`'s rollouts are approved."""
    return f"{APPROVAL_PREFIX}{_slug(environment, _PLAIN_ENVIRONMENT)}{_suffix(stack)}"


def is_lock_ref_of(ref: str, stack: str) -> bool:
    """Return whether `ref` locks an environment of that stack."""
    name, separator, slug = ref.removeprefix(LOCK_PREFIX).partition(_SEPARATOR)
    return ref.startswith(LOCK_PREFIX) and bool(name) and separator + slug == _suffix(stack)


def is_state_branch(branch: str, settings: Settings) -> bool:
    """Return whether `branch` holds a lock or a ledger: a push to it is nothing to deploy."""
    ref = _HEADS + branch.removeprefix(_HEADS)
    if ref.startswith((LOCK_PREFIX, APPROVAL_PREFIX)):
        return True
    return any(
        ref == name or ref.startswith(name + _SEPARATOR) for name in (DEFAULT_LEDGER_REF, settings.ledger.ref)
    )


def _suffix(stack: str) -> str:
    return _SEPARATOR + _slug(stack, _PLAIN_STACK) if stack else ""


def _slug(text: str, plain: re.Pattern[str]) -> str:
    """The text where it is plain; else what is readable of it and a digest, so that no two are the same."""
    if plain.fullmatch(text) and len(text) <= _KEPT_CHARACTERS:
        return text
    readable = re.sub(r"[^a-z0-9_]+", "-", text.lower())[:_KEPT_CHARACTERS].strip("-")
    mark = sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:10]
    return f"{readable}-{mark}" if readable else mark
