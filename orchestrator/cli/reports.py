"""`--junit` and `--summary`: options, and the reports behind them; and where any file can be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from orchestrator.core.ci import CiRun
    from orchestrator.core.outcome import Outcome
    from orchestrator.core.plan import Plan
    from orchestrator.core.run_report import RunReport

Command = TypeVar("Command", bound=Callable[..., Any])

FILES = {"junit_path": "--junit", "summary_path": "--summary", "json_path": "--json", "log_path": "--log"}


def report_options(command: Command) -> Command:
    """`--junit` and `--summary`."""
    for option in (
        click.option(
            "--summary",
            "summary_path",
            metavar="FILE",
            default="",
            help="A summary in Markdown [the CI's own, where it has one].",
        ),
        click.option("--junit", "junit_path", metavar="FILE", default="", help="The result as JUnit XML."),
    ):
        command = option(command)
    return command


def check_reports(options: dict[str, Any]) -> None:
    """The files that the options name can be written.

    Raises:
        UsageError: one cannot.
    """
    from orchestrator.edges.reports import check_report_path
    from orchestrator.errors import UsageError

    for key, option in FILES.items():
        path = options.get(key, "")
        if path == "-" and option != "--json":
            raise UsageError(f"{option} is not written to standard output", resolution="name a file")
        if path and path != "-":
            check_report_path(path, option)


def write_reports(
    options: dict[str, Any], ci: CiRun, report: RunReport, plan: Plan | None, outcome: Outcome | None
) -> None:
    """JUnit and summary are where the options, or the CI, want them.

    Raises:
        UsageError: a file cannot be written.
    """
    from orchestrator.core.job_summary import render_summary
    from orchestrator.core.junit import render_junit
    from orchestrator.edges.reports import write_report

    if options["junit_path"]:
        write_report(options["junit_path"], render_junit(report, plan, outcome), "--junit")
    path = options["summary_path"] or ci.summary_path
    if path:
        summary = render_summary(report, plan, outcome)
        write_report(path, summary, "--summary", append=path == ci.summary_path)
