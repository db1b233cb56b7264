"""JUnit, job summary, and the commands that they name."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.job_summary import MAX_ROWS, MAX_TABLE_BYTES, render_summary
from orchestrator.core.junit import render_junit
from orchestrator.core.outcome import Outcome, PlacementOutcome, Result, SmokeOutcome, Verdict
from orchestrator.core.plan import Plan
from orchestrator.core.resume import resume_command, status_command
from orchestrator.core.run_report import RunReport
from tests.core.values import make_desired, make_observed, make_plan


def make_report(**overrides: Any) -> RunReport:
    report = RunReport(
        environment="production",
        branch="production",
        commit="c" * 40,
        actor="ada",
        time="2025-06-01T10:00:00+00:00",
        duration_seconds=12.5,
        resume="orchestrator deploy --branch production",
        status="orchestrator status --environment production",
    )
    return replace(report, **overrides)


def make_placement(result: Result = "deployed", **overrides: Any) -> PlacementOutcome:
    one = PlacementOutcome(
        application="shop",
        host="web1",
        deployment_path="/srv/shop",
        result=result,
        changed=True,
        from_version="1.0.0",
        to_version="2.0.0",
        version="2.0.0",
        kind="",
        message="healthy",
    )
    return replace(one, **overrides)


def make_outcome(*placements: PlacementOutcome, verdict: Verdict = "success") -> Outcome:
    return Outcome(verdict=verdict, placements=placements)


def some_plan(**overrides: Any) -> Plan:
    return replace(make_plan(make_desired(), make_observed("web1")), **overrides)


def suite_of(text: str) -> Any:
    root = ElementTree.fromstring(text.encode())
    assert root.tag == "testsuites"
    (suite,) = root
    for one in (root, suite):
        assert int(one.attrib["tests"]) == len(list(suite.iter("testcase")))
        assert int(one.attrib["failures"]) == len(list(suite.iter("failure")))
        assert int(one.attrib["errors"]) == len(list(suite.iter("error")))
    assert int(suite.attrib["skipped"]) == len(list(suite.iter("skipped")))
    return suite


def test_each_placement_is_a_case_of_the_environments_suite() -> None:
    report = make_report(placement_seconds={("shop", "web1", "/srv/shop"): 3.25})
    outcome = make_outcome(make_placement(), make_placement("unchanged", host="web2"))
    suite = suite_of(render_junit(report, some_plan(), outcome))
    assert (suite.get("name"), suite.get("time")) == ("production", "12.500")
    assert suite.get("timestamp") == "2025-06-01T10:00:00"
    assert [
        (case.get("classname"), case.get("name"), case.get("time")) for case in suite.iter("testcase")
    ] == [
        ("production.shop", "shop on web1", "3.250"),
        ("production.shop", "shop on web2", "0.000"),
    ]
    facts = {one.get("name"): one.get("value") for one in suite.iter("property")}
    assert facts["commit"] == "c" * 40
    assert facts["plan_id"] == some_plan().plan_id
    assert "resume" not in facts


@pytest.mark.parametrize(
    ("result", "kind", "tag"),
    [
        ("deployed", "", None),
        ("unchanged", "", None),
        ("left out", "unreachable", "skipped"),
        ("staged", "", "skipped"),
        ("not started", "", "skipped"),
        ("switched back", "health", "failure"),
        ("removed", "health", "failure"),
        ("unproven", "", "failure"),
        ("failed", "health", "failure"),
        ("failed", "disk_full", "error"),
        ("unknown", "unreachable", "error"),
    ],
)
def test_result_is_what_junit_calls_it(result: Result, kind: str, tag: str | None) -> None:
    verdict: Verdict = "success" if tag in (None, "skipped") else "failed"
    outcome = make_outcome(make_placement(result, kind=kind, message="no space left"), verdict=verdict)
    (case,) = suite_of(render_junit(make_report(), some_plan(), outcome))[1:]
    assert [child.tag for child in case if child.tag != "system-out"] == ([tag] if tag else [])
    if tag:
        assert "no space left" in case.find(tag).get("message")


def test_failed_run_is_never_green() -> None:
    cancelled = make_outcome(make_placement("not started"), verdict="cancelled")
    suite = suite_of(render_junit(make_report(), some_plan(), cancelled))
    assert suite.get("errors") == "1"
    report = make_report(error="the artifact is not there", details=("404", "at nexus"))
    suite = suite_of(render_junit(report, None, None))
    assert suite.find("testcase/error").text == "the artifact is not there\n404\nat nexus"
    assert {one.get("name") for one in suite.iter("property")} >= {"resume"}


def test_two_placements_of_an_application_on_a_host_have_names_of_their_own() -> None:
    outcome = make_outcome(make_placement(), make_placement(deployment_path="/srv/b"))
    names = [
        case.get("name") for case in suite_of(render_junit(make_report(), None, outcome)).iter("testcase")
    ]
    assert names == ["shop on web1 at /srv/shop", "shop on web1 at /srv/b"]


def test_versions_that_nobody_knows_are_said_so() -> None:
    outcome = make_outcome(
        make_placement("unknown", from_version=None, version=None),
        make_placement("removed", host="web2", from_version="", version=""),
        verdict="unknown",
    )
    said = [one.text for one in suite_of(render_junit(make_report(), None, outcome)).iter("system-out")]
    assert said[0].startswith("unknown -> 2.0.0: unknown; live now: unknown")
    assert said[1].startswith("nothing -> 2.0.0: removed; live now: nothing")


@given(st.text())
def test_any_text_makes_readable_xml(text: str) -> None:
    report = make_report(environment=text or "x", error=text, details=(text,), actor=text)
    outcome = make_outcome(make_placement("failed", message=text, host=text), verdict="failed")
    suite_of(render_junit(report, some_plan(), outcome))
    suite_of(render_junit(report, None, None))


def test_summary_of_a_success_says_what_runs_where() -> None:
    outcome = make_outcome(make_placement())
    text = render_summary(make_report(record="20250601-1", check=False), some_plan(warnings=("w|",)), outcome)
    assert text.startswith("## ✅ Deployment of `production`: success\n")
    assert "| `shop` | `web1` | `1.0.0` | `2.0.0` | deployed | `2.0.0` | healthy |" in text
    assert "- record: `20250601-1`" in text
    assert "- warning: w&#124;" in text
    assert "    orchestrator status --environment production" in text
    assert "deploy --branch" not in text


def test_summary_of_a_failure_begins_with_what_failed_and_says_how_to_go_on() -> None:
    outcome = make_outcome(
        make_placement(),
        make_placement("switched back", host="web2", from_version="", version=None, message="HTTP 500 | x"),
        verdict="failed",
    )
    report = make_report(error="not healthy", details=tuple(str(one) for one in range(30)))
    text = render_summary(report, some_plan(), outcome)
    assert text.index("web2") < text.index("web1")
    assert "| `shop` | `web2` | – | `2.0.0` | **switched back** | unknown | HTTP 500 &#124; x |" in text
    assert "**What went wrong:** not healthy" in text
    assert "- … and 10 more, in the job's log" in text
    assert "\n    orchestrator deploy --branch production\n" in text


def test_summary_without_a_plan() -> None:
    text = render_summary(make_report(error="no", branch="", commit="", actor=""), None, None)
    assert "❌" in text
    assert "- commit: the work tree" in text
    assert "|" not in text


def test_summary_of_a_check_offers_no_resumption() -> None:
    text = render_summary(make_report(check=True), some_plan(), make_outcome(verdict="failed"))
    assert "## ❌ Check of" in text
    assert "deploy --branch" not in text


def test_summary_stays_small() -> None:
    many = make_outcome(*(make_placement(host=f"web{number}") for number in range(400)))
    text = render_summary(make_report(), some_plan(), many)
    assert f"… and {400 - MAX_ROWS} more placements." in text
    hostile = make_outcome(*(make_placement(message='"' * 5000) for number in range(400)))
    assert len(render_summary(make_report(), some_plan(), hostile).encode()) < MAX_TABLE_BYTES + 10_000


@given(st.text(), st.text())
def test_no_text_breaks_the_table(host: str, message: str) -> None:
    outcome = make_outcome(make_placement("failed", host=host, message=message), verdict="failed")
    text = render_summary(make_report(resume=f"orchestrator deploy {shlex.quote(host)}"), None, outcome)
    (row,) = [line for line in text.split("\n") if line.startswith("| `shop`")]
    assert row.count("|") == 8


@pytest.mark.parametrize(
    ("options", "command"),
    [
        ({"branch": "production"}, "orchestrator deploy --branch production"),
        ({"branch": "a b;id"}, "orchestrator deploy --branch 'a b;id'"),
        ({"commit": "abc"}, "orchestrator deploy --environment production --ref abc"),
        ({}, "orchestrator deploy --environment production --ref HEAD"),
        (
            {"branch": "dev", "directory": "shop stack", "applications": ("a", "b"), "limits": ("w'1",)},
            "orchestrator -C 'shop stack' deploy --branch dev --application=a --application=b "
            "'--limit=w'\"'\"'1'",
        ),
    ],
)
def test_resume_command_can_be_pasted(options: dict[str, Any], command: str) -> None:
    assert resume_command(environment="production", **options) == command


def test_status_command() -> None:
    assert status_command(environment="dev") == "orchestrator status --environment dev"
    assert status_command(environment="dev", directory="x") == "orchestrator -C x status --environment dev"


def test_each_smoke_test_is_a_case_and_a_failed_one_a_failure() -> None:
    tests = (
        SmokeOutcome(name="page <1>", on="host", once=False, passed=True, message="200", seconds=0.25),
        SmokeOutcome(name="outside", on="controller", once=True, passed=True, message="200", seconds=1),
        SmokeOutcome(name="orders", on="host", once=True, passed=False, message="ended with 3", seconds=2),
    )
    outcome = make_outcome(make_placement("switched back", kind="health", tests=tests), verdict="failed")
    suite = suite_of(render_junit(make_report(error="failed"), some_plan(), outcome))
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert list(cases) == [
        "shop on web1",
        "page <1> on web1",
        "outside from the controller",
        "orders on web1",
    ]
    assert cases["page <1> on web1"].get("classname") == "production.shop.smoke"
    assert cases["page <1> on web1"].get("time") == "0.250"
    assert cases["page <1> on web1"].findtext("system-out") == "200"
    assert cases["orders on web1"].find("failure").get("message") == "ended with 3"
    assert suite.get("failures") == "2"
