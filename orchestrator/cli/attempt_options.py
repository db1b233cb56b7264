"""Options of the commands that change hosts, and the order that they amount to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from orchestrator.cli.reports import check_reports, report_options

if TYPE_CHECKING:
    from orchestrator.intent import Target
    from orchestrator.order import Order

Command = TypeVar("Command", bound=Callable[..., Any])

LOCK_TIMEOUT_SECONDS = 900
MAX_TIMEOUT_SECONDS = 365 * 24 * 3600
REASONS = ("no_lock_reason", "allow_older_reason", "override_window_reason")


class Seconds(click.FloatRange):
    """A number of seconds within the range, which `nan` is for no range."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> float:
        """As any number."""
        seconds = float(super().convert(value, parameter, context))
        if seconds != seconds:
            self.fail(f"{value!r} is no number of seconds.", parameter, context)
        return seconds


def attempt_options(command: Command) -> Command:
    """Which placements, how, under which lock, and where the result goes."""
    options = (
        click.option(
            "--check", is_flag=True, help="Dry run: find what the real run would find, change nothing."
        ),
        click.option("--diff", is_flag=True, help="Show differences that ansible knows of."),
        click.option(
            "--application", "-a", "applications", multiple=True, metavar="A", help="Only this application."
        ),
        click.option(
            "--limit", "-l", "limits", multiple=True, metavar="HOST|REGION", help="Only these hosts."
        ),
        click.option("--forks", type=click.IntRange(1, 500), help="Hosts worked on at once."),
        click.option(
            "--lock-timeout",
            type=Seconds(0, MAX_TIMEOUT_SECONDS),
            metavar="SECONDS",
            default=LOCK_TIMEOUT_SECONDS,
            show_default=True,
            help="How long to wait for another deployment of the environment.",
        ),
        click.option(
            "--no-lock",
            "no_lock_reason",
            metavar="REASON",
            default="",
            help="Go on without the lock, for emergencies; the reason is recorded.",
        ),
        click.option(
            "--override-window",
            "override_window_reason",
            metavar="REASON",
            default="",
            help="Go on outside of the environment's windows; the reason is recorded.",
        ),
        click.option(
            "--json", "json_path", metavar="FILE", default="", help="The result for machines; - is stdout."
        ),
        report_options,
        click.option(
            "--log",
            "log_path",
            metavar="FILE",
            default="",
            help="Ansible's own output [.git/orchestrator/logs].",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def make_order(target: Target, options: dict[str, Any], **more: Any) -> Order:
    """The order that these options amount to; `more` are its fields that one command alone has.

    Raises:
        UsageError: a report cannot be written where it is to be.
    """
    import os

    from orchestrator.edges.ci import detect_ci
    from orchestrator.order import Order

    check_reports(options)
    reasons: dict[str, Any] = {name: " ".join(options[name].split()) for name in REASONS if name in options}
    return Order(
        target=target,
        ci=detect_ci(os.environ),
        applications=options["applications"],
        limits=options["limits"],
        check=options["check"],
        diff=options["diff"],
        forks=options["forks"],
        lock_timeout_seconds=options["lock_timeout"],
        **reasons,
        **more,
    )
