"""What an approval branch says."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from orchestrator.core.approval import Approval, parse_approval, render_approval
from orchestrator.core.settings import Settings
from orchestrator.core.state_refs import approval_ref, is_state_branch

WAITING = Approval(
    environment="dev",
    run="r1",
    what="site 2 on h1",
    since="2026-11-01T00:00:00Z",
    until="2026-11-01T01:00:00Z",
)


def test_what_is_written_is_read() -> None:
    answered = replace(WAITING, answer="approved", by="somebody", reason="looks good")
    for approval in (WAITING, answered):
        assert parse_approval(render_approval(approval)) == approval


def test_answer_is_of_use_while_the_rollout_waits_only() -> None:
    assert WAITING.is_open("2026-11-01T00:59:59Z")
    assert not WAITING.is_open("2026-11-01T01:00:00Z")
    assert not replace(WAITING, answer="ended").is_open("2026-11-01T00:30:00Z")


@pytest.mark.parametrize(
    "change", [{"format": 2}, {"answer": "yes"}, {"answer": None}, {"answer": []}, {"run": 5}]
)
def test_what_is_no_approval_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"it has|its run"):
        parse_approval(json.dumps({"format": 1, **asdict(WAITING), **change}).encode())


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(ValueError, match="no JSON object"):
        parse_approval(b"[]")


def test_text_of_others_can_be_shown() -> None:
    text = json.dumps({"format": 1, **asdict(WAITING), "by": "a\x1b[31m\nb" + "x" * 900}).encode()
    found = parse_approval(text).by
    assert found.isprintable()
    assert len(found) == 500


def test_push_to_an_approval_branch_is_nothing_to_deploy() -> None:
    assert approval_ref("dev", "shop") == "refs/heads/orchestrator/approval/dev--shop"
    assert is_state_branch("orchestrator/approval/dev", Settings())
