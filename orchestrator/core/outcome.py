"""From what hosts answered, phase by phase, to what is true now for each placement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from orchestrator.core.host_report import HostReport
from orchestrator.core.plan import Plan, Step

Result = Literal[
    "deployed",
    "unchanged",
    "staged",
    "not started",
    "left out",
    "failed",
    "unproven",
    "switched back",
    "removed",
    "pruned",
    "unknown",
]
Verdict = Literal["success", "partial", "failed", "unknown", "cancelled"]

STOPPED = "stopped"
FINE = ("deployed", "unchanged", "pruned", "left out")
_RESULTS: Mapping[str, Result] = {
    "unchanged": "unchanged",
    "healthy": "deployed",
    "active": "unproven",
    "unproven": "unproven",
    "switched_back": "switched back",
    "removed": "removed",
    "unknown": "unknown",
    "failed": "failed",
}
_HOOKED = ("stage", "once", "activate")
_BACK = ("switched_back", "removed")


@dataclass(frozen=True, slots=True, kw_only=True)
class SmokeOutcome:
    """How one smoke test ended.

    Attributes:
        on: who ran it, `host` or `controller`.
        once: it spoke for all hosts of the application.
    """

    name: str
    on: str
    once: bool
    passed: bool
    message: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HookOutcome:
    """How one hook ended; what it wrote is not here.

    Attributes:
        event: such as `run_once`.
        exit: None: it was not started, or its time was over.
    """

    event: str
    command: str
    exit: int | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementOutcome:
    """What is true now for one placement.

    Attributes:
        version: what is live as far as is known; None when nobody can say.
        kind: the kind of problem, empty without one; `stopped` where it was switched back for others' sake.
        message: one sentence for the reader.
        resolution: what to do about it, in the host's words; empty where it knows none.
        seconds: what the host spent on it, all phases together.
        tests: the smoke tests that ran for it.
        hooks: the commands that ran on the host, in their order.
    """

    application: str
    host: str
    deployment_path: str
    result: Result
    changed: bool
    from_version: str | None
    to_version: str
    version: str | None
    kind: str
    message: str
    resolution: str = ""
    seconds: float = 0.0
    tests: tuple[SmokeOutcome, ...] = ()
    hooks: tuple[HookOutcome, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended."""

    verdict: Verdict
    placements: tuple[PlacementOutcome, ...]

    @property
    def changed(self) -> bool:
        """Whether anything on any host is different now."""
        return any(one.changed for one in self.placements)


def fold_outcome(plan: Plan, reports: Iterable[HostReport], *, finished: bool, cancelled: bool) -> Outcome:
    """Every step of the plan gets one outcome.

    Args:
        finished: ansible wrote its closing statistics; without them nothing is known about what was begun.
        cancelled: by a signal.
    """
    by_host: dict[str, dict[str, HostReport]] = {}
    said: dict[tuple[str, str, str], dict[str, Mapping[str, Any]]] = {}
    for report in reports:
        kept = by_host.setdefault(report.host, {})
        if report.phase not in kept or kept[report.phase].status in ("started", "ok"):
            kept[report.phase] = report
        for one in report.result.get("placements") or ():
            key = (one["application"], report.host, one["deployment_path"])
            said.setdefault(key, {})[report.phase] = one
    outcomes = []
    for step in plan.steps:
        answers = said.get((step.application, step.host, step.deployment_path), {})
        seconds = sum(float(answer.get("seconds", 0.0)) for answer in answers.values())
        folded = _fold_step(step, by_host.get(step.host, {}), answers)
        if step.action == "adopt" and folded.result == "deployed" and "stage" in answers:
            # How what was live compares is part of what happened.
            folded = replace(folded, message=f"{answers['stage']['message']}; {folded.message}")
        tests = tuple(_read_test(test) for test in answers.get("smoke", {}).get("tests", ()))
        if notice := answers.get("once", {}).get("notice"):
            folded = replace(folded, message=f"{notice}; {folded.message}")
        ran = [hook for phase in _HOOKED for hook in answers.get(phase, {}).get("hooks", ())]
        hooks = tuple(_read_hook(hook) for hook in ran)
        resolution = "" if folded.result in FINE else _remedy(by_host.get(step.host, {}), answers)
        seconds = round(seconds, 3)
        outcomes.append(replace(folded, resolution=resolution, seconds=seconds, tests=tests, hooks=hooks))
    verdict = _judge(plan, tuple(outcomes), finished, cancelled)
    return Outcome(verdict=verdict, placements=tuple(outcomes))


def _remedy(reports: Mapping[str, HostReport], answers: Mapping[str, Mapping[str, Any]]) -> str:
    """What the host says is to be done about the placement; else about the host as a whole."""
    said = [*answers.values(), *(report.result for report in reports.values())]
    problems = [answer.get("problem") or {} for answer in said]
    return next((str(problem["resolution"]) for problem in problems if problem.get("resolution")), "")


def _read_test(test: Mapping[str, Any]) -> SmokeOutcome:
    return SmokeOutcome(**{name: test[name] for name in SmokeOutcome.__dataclass_fields__})


def _read_hook(hook: Mapping[str, Any]) -> HookOutcome:
    return HookOutcome(**{name: hook[name] for name in HookOutcome.__dataclass_fields__})


def _fold_step(
    step: Step, reports: Mapping[str, HostReport], said: Mapping[str, Mapping[str, Any]]
) -> PlacementOutcome:
    if step.action == "skip":
        return _outcome(step, "unchanged", step.from_version, step.reason)
    if step.action == "unknown":
        return _outcome(step, "left out", None, step.reason, kind="unreachable")
    if step.action == "remove":
        return _fold_removal(step, reports.get("prune"), said.get("prune"))
    settled, activated, staged = said.get("settle"), said.get("activate"), said.get("stage")
    undone = _fold_undo(step, reports.get("undo"), said.get("undo"), settled or activated)
    if undone is not None:
        return undone
    if settled is not None and settled.get("result") == "unchanged":
        # Nothing had to be switched back; what kept the release from going live still is what happened.
        if activated and (problem := activated.get("problem")):
            message = str(activated["message"])
            return _outcome(step, "failed", step.from_version, message, kind=str(problem["kind"]))
        if activated is None and "activate" in reports:
            return _silence(step, reports["activate"], "failed")
    if settled is not None:
        merged = {**(activated or {}), **settled, "from": activated or {}}
        changed = bool((activated or {}).get("changed")) or bool(settled["changed"])
        return _from_answer(step, merged, changed)
    lost, tested = reports.get("settle"), reports.get("smoke")
    if activated is not None and tested is not None and tested.status != "ok" and lost is None:
        untested = _silence(step, tested, "unproven")
        message = f"it is live, its smoke tests did not end: {untested.message}"
        return replace(untested, version=step.to_version, changed=bool(activated["changed"]), message=message)
    if activated is not None and (lost is None or lost.status != "unreachable"):
        return _from_answer(step, activated, bool(activated["changed"]))
    silent = lost or reports.get("activate")
    if silent is not None and _is_silent(silent):
        return _silence(step, silent, "unknown")
    if (ran := _fold_once(step, reports.get("once"), said.get("once"))) is not None:
        return ran
    if staged is not None and not staged.get("problem"):
        return _outcome(step, "staged", step.from_version, "staged; what was live still is")
    if staged is not None:
        kind = str(staged["problem"]["kind"])
        # A host that refuses this run has seen another since it was asked.
        version = None if kind == "fenced" else step.from_version
        return _outcome(step, "failed", version, str(staged["message"]), kind=kind)
    if "stage" in reports:
        report = reports["stage"]
        return _silence(step, report, "not started" if report.status == "started" else "failed")
    return _outcome(step, "not started", step.from_version, "nothing was done there")


def _fold_undo(
    step: Step,
    report: HostReport | None,
    undone: Mapping[str, Any] | None,
    before: Mapping[str, Any] | None,
) -> PlacementOutcome | None:
    """What switching back came to, after other hosts had failed; None when it did not concern the placement."""
    if undone is not None:
        answer = {**undone, "result": "unknown"} if undone.get("result") == "failed" else undone
        if undone.get("result") == "unchanged":
            return None
        folded = _from_answer(step, answer, changed=True)
        return replace(folded, kind=STOPPED) if folded.kind == "health" else folded
    if report is None or report.status == "ok" or before is None or before.get("result") in _BACK:
        return None
    return _silence(step, report, "unknown")


def _fold_once(
    step: Step, report: HostReport | None, answer: Mapping[str, Any] | None
) -> PlacementOutcome | None:
    """What kept a host from going live before its turn came; None when that was not what it runs once."""
    if answer is not None and (problem := answer.get("problem")):
        return _outcome(step, "failed", step.from_version, str(answer["message"]), kind=str(problem["kind"]))
    if report is None or report.status == "started" or not _is_silent(report):
        return None
    return _silence(step, report, "failed")


def _fold_removal(
    step: Step, report: HostReport | None, answer: Mapping[str, Any] | None
) -> PlacementOutcome:
    """What became of an orphan; `removed` is another thing: a first release that was switched back."""
    if answer is None:
        if report is None:
            return _outcome(step, "not started", step.from_version, "it is still there")
        return _silence(step, report, "unknown")
    if problem := answer.get("problem"):
        return _outcome(step, "failed", None, str(answer["message"]), kind=str(problem["kind"]))
    return _outcome(step, "pruned", "", str(answer["message"]), changed=bool(answer["changed"]))


def _is_silent(report: HostReport) -> bool:
    """Whether the host did not answer for its placements."""
    return report.status != "ok" or bool(report.result.get("problem") and not report.result.get("placements"))


def _from_answer(step: Step, answer: Mapping[str, Any], changed: bool) -> PlacementOutcome:
    result = _RESULTS[answer.get("result", "unknown")]
    version: str | None = step.to_version
    if result == "unknown" or result == "failed":
        version = answer.get("version")
    elif result == "removed":
        version = ""
    elif result == "switched back":
        before = answer.get("version", step.from_version or "")
        version = None if before is None else str(before)
    problem = answer.get("problem") or {}
    back = result in ("switched back", "removed")
    return _outcome(
        step,
        result,
        version,
        str(answer["message"]),
        kind=str(problem.get("kind", "health" if back else "")),
        changed=changed and not back,
    )


def _silence(step: Step, report: HostReport, result: Result) -> PlacementOutcome:
    problem = report.result.get("problem") or {}
    kind = problem.get("kind") or ("unreachable" if report.status == "unreachable" else "host")
    message = problem.get("message") or report.result.get("msg") or "the run ended before it answered"
    version = step.from_version if result in ("failed", "not started") else None
    return _outcome(step, result, version, " ".join(str(message).split()), kind=kind)


def _outcome(
    step: Step, result: Result, version: str | None, message: str, *, kind: str = "", changed: bool = False
) -> PlacementOutcome:
    return PlacementOutcome(
        application=step.application,
        host=step.host,
        deployment_path=step.deployment_path,
        result=result,
        changed=changed,
        from_version=step.from_version,
        to_version=step.to_version,
        version=version,
        kind=kind,
        message=message,
    )


def _judge(plan: Plan, outcomes: tuple[PlacementOutcome, ...], finished: bool, cancelled: bool) -> Verdict:
    results = {one.result for one in outcomes}
    if "unknown" in results:
        return "unknown"
    if cancelled:
        return "cancelled"
    if not finished and plan.changes:
        return "unknown" if "unproven" in results else "failed"
    bad = {one.host for one in outcomes if one.result not in FINE}
    if not bad:
        return "partial" if "left out" in results else "success"
    survived = any(one.result == "deployed" for one in outcomes)
    return "partial" if survived and len(bad) <= plan.strategy.max_failures else "failed"
