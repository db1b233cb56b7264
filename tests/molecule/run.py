"""Run the roles' molecule scenarios on real hosts: `python -m tests.molecule.run [--keep] [-v] [SCENARIO …]`.

Hosts are created once, one for each scenario. Every scenario runs to its end whatever the others do, and the hosts
are destroyed at the end, after a failure and Ctrl-C too. A scenario's steps are syntax, check (which must change
nothing on its host), converge, idempotence, verify. Ends with a table; 1 when a scenario failed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.fleet.hosts import (
    LOGIN_TRACES,
    FleetError,
    Host,
    Snapshot,
    changes,
    ensure_image,
    remove,
    unavailable_reason,
)
from tests.molecule.command import MoleculeError, run_molecule
from tests.molecule.inventory import running_hosts
from tests.molecule.scenarios import Scenario, find_scenarios, session, state_directory, the_only_run

REQUIRE = "ORCHESTRATOR_REQUIRE_FLEET"
ANSIBLE_TRACES = ("/home/deploy/.ansible", "/root/.ansible")
"""Where Ansible keeps a module's files while it runs; not a change that a role makes."""
_STORAGE = "/var/lib/containers/storage"
PODMAN_TRACES = (f"{_STORAGE}/storage.lock", f"{_STORAGE}/vfs-layers/layers.lock")
"""What podman writes whenever it is asked anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How one scenario ended: `failed_step` is empty when it passed."""

    scenario: str
    seconds: float
    failed_step: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them: 0 when all passed, or when hosts cannot be had and need not; else 1, or 128 and the signal."""
    parser = argparse.ArgumentParser(prog="python -m tests.molecule.run")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="default: all")
    parser.add_argument("--keep", action="store_true", help="leave the hosts, for another look")
    parser.add_argument("-v", "--verbose", action="store_true", help="show molecule's output as it comes")
    options = parser.parse_args(arguments)
    try:
        wanted = select(find_scenarios(), options.scenarios)
    except ValueError as error:
        parser.error(str(error))
    reason = _unavailable()
    if reason is not None:
        required = os.environ.get(REQUIRE) == "1"
        _say(f"molecule: {len(wanted)} scenarios {'cannot run' if required else 'SKIPPED'}: {reason}")
        return 1 if required else 0
    if not wanted:
        _say("molecule: no role has a scenario")
        return 0
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        with the_only_run():
            return _run_all(wanted, keep=options.keep, verbose=options.verbose)
    except KeyboardInterrupt:
        _say("molecule: interrupted, the hosts are removed")
        return 130
    except (FleetError, BlockingIOError) as error:
        _say(f"molecule: {error}")
        return 1


def select(scenarios: Sequence[Scenario], names: Sequence[str]) -> list[Scenario]:
    """Return those scenarios, all without names.

    Raises:
        ValueError: there is none of such a name.
    """
    known = {scenario.name: scenario for scenario in scenarios}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"no scenario {', '.join(unknown)}; there are: {', '.join(known) or 'none'}")
    return [known[name] for name in names] or list(scenarios)


def _unavailable() -> str | None:
    reason = unavailable_reason()
    if reason is not None:
        return reason
    if shutil.which("molecule", path=os.path.dirname(sys.executable)) is None:  # noqa: PTH120
        return f"molecule is not installed beside {sys.executable}; pip install -e '.[molecule]'"
    try:
        ensure_image()
    except FleetError as error:
        return str(error)
    return None


def _run_all(scenarios: Sequence[Scenario], *, keep: bool, verbose: bool) -> int:
    began = time.monotonic()
    shutil.rmtree(state_directory() / "tmp", ignore_errors=True)
    results: list[Result] = []
    try:
        try:
            run_molecule("create", "--scenario-name", "default", scenario=scenarios[0], verbose=verbose)
            results = [_run_one(scenario, verbose=verbose) for scenario in scenarios]
            if not keep:
                run_molecule("destroy", "--scenario-name", "default", scenario=scenarios[0], verbose=verbose)
        except MoleculeError as error:
            _say(f"{error.output}\nmolecule: the hosts' {error.step} failed")
            return 1
    finally:
        if not keep:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            remove(session())
            signal.signal(signal.SIGINT, signal.default_int_handler)
    _say(_table(results, time.monotonic() - began))
    return 1 if any(result.failed_step for result in results) else 0


def _run_one(scenario: Scenario, *, verbose: bool) -> Result:
    """Check first, and prove from outside that it changed nothing; then the rest."""
    began = time.monotonic()
    failed_step = ""
    _say(f"molecule: {scenario.name} …")
    try:
        host = next(host for host in running_hosts() if host.name == scenario.name)
        before = _look(host)
        run_molecule("check", "--scenario-name", scenario.name, scenario=scenario, verbose=verbose)
        if changed := changes(before, _look(host)):
            raise MoleculeError("check", "check mode changed the host:\n" + "\n".join(changed))
        options = ("--scenario-name", scenario.name, "--destroy", "never")
        run_molecule("test", *options, scenario=scenario, verbose=verbose)
    except MoleculeError as error:
        failed_step = error.step
        _say(f"{error.output}\nmolecule: {scenario.name} failed at {failed_step}")
    return Result(scenario=scenario.name, seconds=time.monotonic() - began, failed_step=failed_step)


def _look(host: Host) -> Snapshot:
    return host.snapshot(["/"], exclude=[*LOGIN_TRACES, *ANSIBLE_TRACES, *PODMAN_TRACES])


def _table(results: Sequence[Result], seconds: float) -> str:
    width = max((len(result.scenario) for result in results), default=0)
    lines = []
    for result in results:
        verdict = f"FAILED at {result.failed_step}" if result.failed_step else "passed"
        lines.append(f"  {result.scenario:<{width}}  {result.seconds:5.1f} s  {verdict}")
    failed = sum(bool(result.failed_step) for result in results)
    passed = len(results) - failed
    return "\n".join([f"molecule: {passed} passed, {failed} failed in {seconds:.1f} s", *lines])


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
