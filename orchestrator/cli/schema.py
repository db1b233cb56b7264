"""`orchestrator schema`."""

from __future__ import annotations

import click


@click.command("schema")
@click.argument("document", type=click.Choice(["manifest", "environment", "settings"]))
def command(document: str) -> int:
    """Print the JSON Schema (2020-12) of a document."""
    import json

    from orchestrator.edges.schemas import read_schema

    click.echo(json.dumps(read_schema(document), indent=2))
    return 0
