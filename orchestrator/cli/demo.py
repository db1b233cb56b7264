"""`orchestrator demo`."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import click


@click.command("demo")
@click.option("--keep", is_flag=True, help="Leave it running to play with, until Ctrl-C.")
def command(keep: bool) -> int:
    """Run the main job on this machine, as an ordinary user: git, a Nexus double, real web servers."""
    from orchestrator.demo.scenario import PASSWORD_VARIABLE, play, running_demo

    directory = Path(tempfile.mkdtemp(prefix="orchestrator-demo-")).resolve()
    try:
        click.echo(f"The demo lives in {directory}; the artifact repository is our double of Nexus.")
        with running_demo(directory, click.echo) as demo:
            play(demo)
            if keep:
                click.echo(f"\nIt keeps running. Try:\n  cd {demo.clone}")
                click.echo(f"  export HOME={directory}/home {PASSWORD_VARIABLE}=demo-password")
                click.echo("  orchestrator status\nCtrl-C ends it and removes everything.")
                _wait()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


def _wait() -> None:
    import signal

    try:
        while True:
            signal.pause()
    except KeyboardInterrupt:
        click.echo("\nended")
