"""A run as JUnit XML, as Jenkins' junit step and GitLab's `reports: junit` read it.

Source: the schema of Jenkins' xUnit plugin (`junit-10.xsd`); GitLab "Unit test reports".
"""

from __future__ import annotations

import re
from collections import Counter

from orchestrator.core.outcome import FINE, Outcome, PlacementOutcome, SmokeOutcome
from orchestrator.core.plan import Plan
from orchestrator.core.run_report import RunReport

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}
)
_NOT_REACHED = ("staged", "not started", "left out")
_UNHEALTHY = ("switched back", "removed", "unproven")


def render_junit(report: RunReport, plan: Plan | None, outcome: Outcome | None) -> str:
    """Return the document: one suite for the environment, one case for each placement and each smoke test.

    What was not reached is skipped, a release that did not get healthy is a failure, anything else is an
    error. A run that failed without a placement that did has a case of its own, so that it is never green.

    Args:
        plan: None when the run ended before there was one; so with `outcome`.
    """
    placements = outcome.placements if outcome else ()
    cases = [_placement_case(report, one, _name(one, placements)) for one in placements]
    cases += [_test_case(report, one, test) for one in placements for test in one.tests]
    counts = Counter(kind for kind, _ in cases)
    verdict = outcome.verdict if outcome else "failed"
    if (report.error or verdict not in ("success", "partial")) and not counts["failure"] + counts["error"]:
        said = report.error or f"the run ended as {verdict}"
        text = "\n".join((said, *report.details))
        cases.append(
            ("error", _case(report, report.environment, "the run", 0.0, _problem("error", "run", text)))
        )
        counts["error"] += 1
    numbers = (
        f'tests="{len(cases)}" failures="{counts["failure"]}" errors="{counts["error"]}" '
        f'time="{report.duration_seconds:.3f}"'
    )
    suite = (
        f'name="{_escape(report.environment)}" {numbers} skipped="{counts["skipped"]}" '
        f'timestamp="{_escape(_timestamp(report.time))}"'
    )
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f"<testsuites {numbers}>",
        f"  <testsuite {suite}>",
        "    <properties>",
        *(
            f'      <property name="{name}" value="{_escape(value)}"/>'
            for name, value in _facts(report, plan)
        ),
        "    </properties>",
        *(case for _, case in cases),
        "  </testsuite>",
        "</testsuites>",
    ]
    return "\n".join(lines) + "\n"


def _placement_case(report: RunReport, one: PlacementOutcome, name: str) -> tuple[str, str]:
    seconds = report.placement_seconds.get((one.application, one.host, one.deployment_path), 0.0)
    classname = f"{report.environment}.{one.application}"
    kind, inner = "", ""
    if one.result in _NOT_REACHED:
        kind, inner = "skipped", f'<skipped message="{_escape(f"{one.result}: {one.message}")}"/>'
    elif one.result not in FINE:
        kind = "failure" if one.result in _UNHEALTHY or one.kind == "health" else "error"
        inner = _problem(kind, one.kind or one.result, f"{one.result}: {one.message}")
    live = "unknown" if one.version is None else one.version or "nothing"
    start = "unknown" if one.from_version is None else one.from_version or "nothing"
    said = f"{start} -> {one.to_version}: {one.result}; live now: {live}; {one.message}"
    return kind, _case(report, classname, name, seconds, inner + f"<system-out>{_escape(said)}</system-out>")


def _test_case(report: RunReport, one: PlacementOutcome, test: SmokeOutcome) -> tuple[str, str]:
    where = "from the controller" if test.on == "controller" and test.once else f"on {one.host}"
    kind = "" if test.passed else "failure"
    inner = f"<system-out>{_escape(test.message)}</system-out>"
    if kind:
        inner = _problem(kind, "smoke", test.message)
    classname = f"{report.environment}.{one.application}.smoke"
    return kind, _case(report, classname, f"{test.name} {where}", test.seconds, inner)


def _case(report: RunReport, classname: str, name: str, seconds: float, inner: str) -> str:
    head = f'classname="{_escape(classname)}" name="{_escape(name)}" time="{seconds:.3f}"'
    return f"    <testcase {head}>{inner}</testcase>"


def _problem(kind: str, type_: str, text: str) -> str:
    # Jenkins shows the attribute, GitLab the text.
    return f'<{kind} message="{_escape(text)}" type="{_escape(type_)}">{_escape(text)}</{kind}>'


def _name(one: PlacementOutcome, placements: tuple[PlacementOutcome, ...]) -> str:
    twins = [other for other in placements if (other.application, other.host) == (one.application, one.host)]
    name = f"{one.application} on {one.host}"
    return f"{name} at {one.deployment_path}" if len(twins) > 1 else name


def _facts(report: RunReport, plan: Plan | None) -> list[tuple[str, str]]:
    facts = [
        ("branch", report.branch),
        ("commit", report.commit),
        ("actor", report.actor),
        ("job", report.url),
        ("record", report.record),
        ("mode", "check" if report.check else ""),
        ("manifest_version", plan.manifest_version if plan else ""),
        ("intent_id", plan.intent_id if plan else ""),
        ("plan_id", plan.plan_id if plan else ""),
        ("resume", report.resume if report.error else ""),
    ]
    return [(name, value) for name, value in facts if value]


def _timestamp(time: str) -> str:
    """Return `time` as the schema has it: without its offset."""
    return time[:19]


def _escape(text: str) -> str:
    return _ILLEGAL.sub("", text).translate(_ESCAPES)
