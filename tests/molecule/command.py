"""One call of molecule, in an environment that nothing from outside reaches into."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.molecule.scenarios import REPOSITORY, Scenario, state_directory

_STEP = re.compile(r"\[\S+ > (\w+)\] Executing")


class MoleculeError(Exception):
    """A step failed: which one, and all that molecule printed."""

    def __init__(self, step: str, output: str) -> None:
        super().__init__(step)
        self.step = step
        self.output = output


def run_molecule(subcommand: str, *options: str, scenario: Scenario, verbose: bool) -> None:
    """Run molecule from the repository's root; silent unless `verbose`.

    Raises:
        MoleculeError: it ended with another code than 0.
    """
    config = str(REPOSITORY / ".config" / "molecule" / "config.yml")
    command = [sys.executable, "-m", "molecule", "--base-config", config, subcommand, *options]
    command += ["--no-report", "--no-command-borders"]
    lines: list[str] = []
    # A group of its own: a Ctrl-C is for us, who then end molecule and the ansible-playbook below it.
    with subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env=environment(os.environ, scenario),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                lines.append(line)
                if verbose:
                    print(line, end="", flush=True)  # noqa: T201
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            raise
    if process.returncode != 0:
        output = "".join(lines)
        raise MoleculeError((_STEP.findall(output) or [subcommand])[-1], output)


def environment(outer: Mapping[str, str], scenario: Scenario) -> dict[str, str]:
    """Return the outer environment without Ansible's and molecule's own variables, and with what ours need.

    Another stdout callback, for one, would let the idempotence step pass whatever happens.
    """
    kept = {key: value for key, value in outer.items() if not key.startswith(("ANSIBLE_", "MOLECULE_"))}
    kept.pop("FORCE_COLOR", None)
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}:{outer.get('PATH', '/usr/bin:/bin')}",
        "NO_COLOR": "1",
        "ANSIBLE_HOME": str(state_directory()),
        "FLEET_PYTHON": sys.executable,
        "MOLECULE_GLOB": scenario.glob,
    }
