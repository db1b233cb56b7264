"""`orchestrator lock`: look at the locks of environments, and break one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.group("lock")
def command() -> None:
    """Look at the locks of environments, and break one."""


@command.command("show")
@click.argument("environments", metavar="[ENV]...", nargs=-1)
@click.option("--json", "json_path", metavar="FILE", default="", help="The table for machines; - is stdout.")
@click.pass_obj
def show(directory: str, /, **options: Any) -> int:
    """Show who holds the lock of each environment, since when, and whether its run is dead, or it has expired."""
    from orchestrator.cli.ledger_reading import state_settings
    from orchestrator.edges.clock import moment
    from orchestrator.edges.git import DeploymentRepository
    from orchestrator.edges.state import open_state, this_process

    repository = DeploymentRepository(Path(directory))
    holder = this_process(repository)
    found: dict[str, Any] = {}
    if not options["environments"]:
        with open_state(repository, state_settings(repository, "")) as state:
            found = dict(state.locks(holder))
    for environment in options["environments"]:
        with open_state(repository, state_settings(repository, environment)) as state:
            name = state.locked_as(environment, holder)
            found[name] = state.lock(name, holder).show()
    _print(found, moment(), options["json_path"])
    return 0


@command.command("break")
@click.argument("environment", metavar="ENV")
@click.option("--reason", metavar="TEXT", required=True, help="Why; it is recorded.")
@click.pass_obj
def break_(directory: str, /, **options: Any) -> int:
    """Free a lock by force, when the run that holds it is dead.

    A run that is not dead after all loses the lock: hosts refuse it as soon as the next run has shown them its higher
    token.
    """
    from orchestrator.cli.ledger_reading import plain, state_settings
    from orchestrator.edges.git import DeploymentRepository
    from orchestrator.edges.state import open_state, this_process

    environment, reason = options["environment"], options["reason"].strip()
    repository = DeploymentRepository(Path(directory))
    with open_state(repository, state_settings(repository, environment)) as state:
        holder = this_process(repository)
        environment = state.locked_as(environment, holder)
        broken = state.lock(environment, holder).break_(reason)
    click.echo(
        f"the lock of {environment} (token {broken.token}) is free; {plain(str(broken.holder))} held it"
    )
    click.echo("the next deployment shows every host its higher token before anything else")
    return 0


def _print(found: dict[str, Any], now: str, json_path: str) -> None:
    from dataclasses import asdict

    from orchestrator.cli.ledger_reading import shown_moment
    from orchestrator.cli.options import write_json
    from orchestrator.cli.tables import line, make_console, print_table
    from orchestrator.edges.process_identity import is_gone

    rows, documents = [], []
    for environment, state in sorted(found.items()):
        if state is None:
            rows.append((environment, "free", "-", "-", "-", "-", "it was never locked"))
            documents.append({"environment": environment, "state": "free", "token": 0})
            continue
        word = state.word(now, is_gone=is_gone(state.holder.process))
        broken = "the one before was broken" if state.held else "broken"
        notes = [f"{broken} by {state.broken.by}: {state.broken.reason}"] if state.broken else []
        if word == "dead":
            notes.append("that process of this machine is over; the next deployment from here frees the lock")
        if word in ("dead", "expired"):
            notes.append(f"`orchestrator lock break {environment} --reason '...'` frees it")
        rows.append(
            (
                environment,
                word,
                str(state.token),
                str(state.holder) if state.held else "-",
                shown_moment(state.since) if state.held else "-",
                shown_moment(state.expires) if state.held else "-",
                "; ".join(notes) or "-",
            )
        )
        documents.append({**asdict(state), "state": word})
    if json_path:
        write_json(json_path, {"format": 1, "locks": documents})
    if json_path == "-":
        return
    console = make_console()
    if not rows:
        line(console, "no environment was ever locked")
        return
    columns = ("environment", "lock", "token", "by", "since (UTC)", "expires (UTC)", "note")
    print_table(console, columns, rows, 1)
