"""What the tip of an approval branch says: which rollout waits for somebody, or what somebody said to it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

FORMAT = 1
MAX_TEXT = 500

Answer = Literal["waiting", "approved", "rejected", "ended"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One rollout after its canary. Times are ISO 8601 in UTC, to the second, with `Z`.

    Attributes:
        run: the attempt's id, as in the ledger.
        what: what is live on which hosts, one sentence.
        since: when it began to wait; it ends at `until`.
        answer: `waiting`; `approved` or `rejected`, by `by`, for `reason`; `ended`: the run waits no more.
    """

    environment: str
    run: str
    what: str
    since: str
    until: str
    answer: Answer = "waiting"
    by: str = ""
    reason: str = ""

    def is_open(self, now: str) -> bool:
        """Whether an answer is of use."""
        return self.answer == "waiting" and now < self.until


def render_approval(approval: Approval) -> bytes:
    """Return approval.json."""
    document = {"format": FORMAT, **asdict(approval)}
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()


def parse_approval(content: bytes) -> Approval:
    """Return what approval.json says.

    Raises:
        ValueError: it is none; the message says why.
    """
    document = json.loads(content)
    if not isinstance(document, dict):
        raise ValueError("it is no JSON object")
    if (version := document.get("format")) != FORMAT:
        raise ValueError(f"it has format {version!r}, this version reads format {FORMAT}")
    answer: Any = document.get("answer")
    if answer not in get_args(Answer):
        raise ValueError("it has no valid answer")
    texts = {
        name: _text(document.get(name, ""), name)
        for name in ("environment", "run", "what", "since", "until", "by", "reason")
    }
    return Approval(answer=answer, **texts)


def _text(value: Any, name: str) -> str:
    """A string that can be shown: one line, without control characters, of bounded length."""
    if not isinstance(value, str):
        raise ValueError(f"its {name} is no text")
    return "".join(one if one.isprintable() else " " for one in value)[:MAX_TEXT]
