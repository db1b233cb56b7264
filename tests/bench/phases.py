"""Where one deployment's time goes, from what the command printed when, and from when its processes started."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.bench.measuring import BenchError, Measured

_PLAN = "Deployment of "
_REPORT = re.compile(r"(stage|activate|settle)\s+\S+: ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A stretch of one run, which begins when the one before it ends."""

    name: str
    seconds: float
    what: str


def find_phases(run: Measured) -> tuple[Phase, ...]:
    """The phases of one `orchestrator deploy`; together they are the whole run.

    Raises:
        BenchError: the output does not show when a phase ended; its format has changed.
    """
    ansible, connected = run.started.get("ansible-playbook"), run.started.get("ssh")
    planned = next((second for second, line in run.lines if line.startswith(_PLAN)), None)
    reports: dict[str, list[float]] = {}
    for second, line in run.lines:
        if found := _REPORT.match(line):
            reports.setdefault(found[1], []).append(second)
    if ansible is None or connected is None or planned is None or not {"stage", "activate"} <= set(reports):
        raise BenchError(
            "the output of `deploy` does not show when its phases end; see tests/bench/phases.py"
        )
    staged = max(reports["stage"])
    activated = max(reports["activate"] + reports.get("settle", []))
    ends = (
        ("start", ansible, "interpreter and first imports, until `ansible-playbook` is started"),
        (
            "read",
            connected,
            "git, rules, documents, until the first ssh connection; `ansible-playbook` starts meanwhile",
        ),
        (
            "observe",
            planned,
            "connections, receipts of all hosts; lock and artifacts meanwhile; plan compiled",
        ),
        ("stage", staged, "download, verify, unpack, sync, until the last host said that it is done"),
        ("activate", activated, "switch, health, receipt, until the last host said that it is done"),
        ("end", run.seconds, "verdict, end of ansible, record, connections closed"),
    )
    begins = (0.0, *(end for _, end, _ in ends[:-1]))
    return tuple(
        Phase(name=name, seconds=end - begin, what=what)
        for begin, (name, end, what) in zip(begins, ends, strict=True)
    )


def staging_and_activation(run: Measured) -> float:
    """Seconds between the plan and the last host's activation."""
    return sum(phase.seconds for phase in find_phases(run) if phase.name in ("stage", "activate"))
