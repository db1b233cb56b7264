from __future__ import annotations

import json
from dataclasses import replace

import pytest
from jsonschema import Draft202012Validator

from orchestrator.core.record import (
    Record,
    RecordPlacement,
    interrupt_record,
    parse_record,
    read_record,
    record_document,
    render_record,
)
from orchestrator.edges.schemas import read_schema

PLACEMENT = RecordPlacement(
    application="shop-site",
    host="web1",
    deployment_path="/srv/shop",
    result="planned",
    from_version="1.0",
    to_version="2.0",
    version="1.0",
)
OPEN = Record(
    id="20261124T053850-00000001",
    actor="ci@example.net",
    ci={"name": "GitLab CI", "url": "https://ci.example.net/7"},
    started="2026-11-24T05:38:50Z",
    environment="production",
    phases={"stage": 1.5},
    commit="1" * 40,
    manifest_version="2.0",
    lock_token=7,
    reasons=("urgent",),
    holds=({"application": "shop-site"},),
    hooks=(
        {
            "application": "shop-site",
            "host": "db1",
            "event": "run_once",
            "command": "bin/migrate",
            "exit": None,
            "seconds": 1.5,
        },
    ),
    placements=(PLACEMENT, replace(PLACEMENT, host="web2", from_version=None, version=None)),
    tools={"orchestrator": "0.1.0"},
)
CLOSED = replace(OPEN, verdict="success", ended="2026-11-24T05:40:00Z", duration_seconds=70.0, ci=None)


@pytest.mark.parametrize("record", [OPEN, CLOSED, replace(CLOSED, placements=())])
def test_what_is_written_is_read_and_fits_the_published_schema(record: Record) -> None:
    document = json.loads(render_record(record))

    assert parse_record(render_record(record)) == record
    assert document == record_document(record)
    schema = read_schema("record")
    Draft202012Validator.check_schema(schema)
    assert [error.message for error in Draft202012Validator(schema).iter_errors(document)] == []
    assert sorted(document) == sorted(schema["properties"]) == sorted(schema["required"])
    for one in document["placements"]:
        required = schema["properties"]["placements"]["items"]["required"]
        assert sorted(one) == sorted(required)


def test_state_says_whether_it_has_ended() -> None:
    assert (OPEN.is_open, record_document(OPEN)["state"], record_document(OPEN)["verdict"]) == (
        True,
        "open",
        None,
    )
    assert (CLOSED.is_open, record_document(CLOSED)["state"]) == (False, "closed")


def test_document_has_a_line_for_each_placement() -> None:
    lines = render_record(OPEN).decode().splitlines()

    assert sum('"host": "web' in line for line in lines) == 2


def test_interrupted_attempt_leaves_unknown_what_it_was_about_to_change() -> None:
    known = replace(PLACEMENT, host="web3", result="unchanged")

    found = interrupt_record(replace(OPEN, placements=(PLACEMENT, known)), ended="2026-11-24T06:00:00Z")

    assert (found.verdict, found.ended, found.commit) == ("interrupted", "2026-11-24T06:00:00Z", OPEN.commit)
    assert [(one.result, one.version) for one in found.placements] == [
        ("unknown", None),
        ("unchanged", "1.0"),
    ]
    assert found.counts() == {"unknown": 1, "unchanged": 1}


def test_keys_of_later_versions_are_skipped_and_missing_ones_have_defaults() -> None:
    minimal = {"format": 1, "id": "x-1", "environment": "dev", "started": "2026-11-24T05:38:50Z", "new": 1}

    assert read_record(minimal) == Record(
        id="x-1", environment="dev", started="2026-11-24T05:38:50Z", actor=""
    )
    found = read_record({**minimal, "placements": [{"application": "a", "new": 1}], "holds": [1, {}]})
    assert found.placements[0].version is None
    assert found.holds == ({},)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"format": 2}, "format 2, this version reads format 1"),
        ({"id": "../x"}, "no valid id"),
        ({"id": 7}, "no valid id"),
        ({"environment": ""}, "no valid environment"),
        ({"started": None}, "does not say when it started"),
        ({"actor": 1}, "its actor has the wrong type"),
        ({"lock_token": True}, "its lock_token has the wrong type"),
        ({"placements": {}}, "its placements are no list"),
        ({"placements": [1]}, "its placements are no list"),
        ({"placements": [{"version": 2.0}]}, "a field of a placement has the wrong type"),
    ],
)
def test_what_is_no_record_is_said(changes: dict[str, object], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        read_record({**record_document(CLOSED), **changes})


@pytest.mark.parametrize("content", ["[]", "", "{"])
def test_what_is_no_document_is_said(content: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_record(content)
