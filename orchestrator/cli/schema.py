"""`orchestrator schema`."""

from __future__ import annotations

import click

from orchestrator.edges.schemas import SchemaName, read_schema


@click.command("schema")
@click.argument("document", type=click.Choice(["manifest", "environment", "settings", "record"]))
def command(document: SchemaName) -> int:
    """Print the JSON Schema (2020-12) of a document."""
    import json

    click.echo(json.dumps(read_schema(document), indent=2))
    return 0
