"""`orchestrator when`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from orchestrator.cli.options import write_json


@click.command("when")
@click.argument("application", metavar="APP")
@click.argument("version", metavar="VERSION")
@click.option("--json", "json_path", metavar="FILE", default="", help="The table for machines; - is stdout.")
@click.pass_obj
def command(directory: str, /, **options: Any) -> int:
    """Show where a version was live, from when to when, and where it still is, by the ledger."""
    from orchestrator.cli.ledger_reading import LedgerReader, plain, shown_moment, shown_version
    from orchestrator.cli.tables import line, make_console, print_table
    from orchestrator.core.history import live_intervals

    application, version = options["application"], options["version"]
    reader = LedgerReader(directory)
    about = [one for one in reader.attempts() if application in one.applications and not one.is_open]
    records = reader.records(reversed(about))
    intervals = live_intervals(records, application, version)
    reader.warn()
    if options["json_path"]:
        rows = [{**asdict(one), "is_live": one.is_live} for one in intervals]
        document = {"format": 1, "application": application, "version": version, "intervals": rows}
        write_json(options["json_path"], document)
    if options["json_path"] == "-":
        return 0
    console = make_console()
    if not intervals:
        line(console, f"the ledger does not know {application} {version} to have been live anywhere")
        return 0
    table = [
        (
            one.environment,
            plain(one.host),
            "live" if one.is_live else "gone",
            shown_moment(one.since),
            "" if one.is_live else shown_moment(one.until),
            "" if one.is_live else "nothing" if one.next_version == "" else shown_version(one.next_version),
            one.since_record if one.is_live else one.until_record,
        )
        for one in intervals
    ]
    columns = ("environment", "host", "now", "from (UTC)", "to (UTC)", "then", "record")
    print_table(console, columns, table, 2)
    return 0
