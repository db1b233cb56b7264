"""The plan that `--require-plan` names: an id, or a file."""

from __future__ import annotations

from pathlib import Path

from orchestrator.core.required_plan import (
    RequiredPlan,
    is_identifier,
    parse_required_plan,
    required_identifier,
)
from orchestrator.errors import UsageError

MAX_BYTES = 64 << 20


def read_required_plan(given: str) -> RequiredPlan:
    """The plan of an id (12 to 64 hex digits), else what the file of that name says.

    Raises:
        UsageError: it is neither.
    """
    if is_identifier(given):
        return required_identifier(given)
    try:
        with Path(given).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "no usable path"
        raise UsageError(
            f"--require-plan {given}: neither an id (12 to 64 hex digits) nor a file that can be read ({reason})",
            resolution="give an intent id, a plan id, or what `orchestrator plan --json FILE` wrote",
        ) from None
    if len(content) > MAX_BYTES:
        raise UsageError(f"{given} is larger than {MAX_BYTES >> 20} MiB", resolution="give a plan's own file")
    return parse_required_plan(content, given)
