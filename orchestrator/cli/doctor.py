"""`orchestrator doctor`."""

from __future__ import annotations

import functools
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import click

from orchestrator.cli.options import make_target

CLOCK_SECONDS = 60
LOW_BYTES = 200 << 20


@click.command("doctor")
@click.argument("environment", required=False, default="")
@click.option("--branch", "-b", metavar="B", default="", help="A branch instead of an environment's name.")
@click.option("--ref", metavar="R", default="", help="A commit, tag or branch of this clone.")
@click.option("--worktree", is_flag=True, help="Read the files as they are, committed or not.")
@click.pass_obj
def command(directory: str, /, **options: Any) -> int:
    """Check that this machine can deploy to ENV; each finding says what to do."""
    from orchestrator.errors import DoctorError

    findings = 0
    for good, what, remedy in _examine(directory, options):
        mark = click.style("ok     ", fg="green") if good else click.style("PROBLEM", fg="red", bold=True)
        click.echo(f"{mark} {what}")
        if not good:
            findings += 1
            click.echo(f"        to do: {remedy}")
    if findings:
        raise DoctorError(f"{findings} finding{'s' if findings > 1 else ''} would prevent a deployment")
    click.echo("everything that a deployment needs is there")
    return 0


Finding = tuple[bool, str, str]


def _examine(directory: str, options: dict[str, Any]) -> Iterator[Finding]:
    from orchestrator import workflow
    from orchestrator.edges.git import DeploymentRepository
    from orchestrator.errors import OrchestratorError

    for program, package in (("git", "git"), ("ssh", "openssh-client"), ("ansible-playbook", "ansible-core")):
        yield bool(_which(program)), f"{program} on this machine", f"install {package}"
    if not _which("git"):
        return
    target = make_target(directory, options)
    try:
        repository = DeploymentRepository(target.directory)
        remote = repository.check_remote()
        yield True, f"git repository {repository.name}, {f'remote {remote}' if remote else 'no remote'}", ""
        intent = workflow.read_intent(target)
    except OrchestratorError as error:
        yield False, "; ".join([error.brief, *error.details]), error.resolution
        return
    desired = intent.desired
    count = len(desired.placements)
    yield True, f"documents of {desired.environment} at {intent.revision.label}: {count} placements", ""
    yield from _examine_state(intent)
    yield from _attempt(
        "artifacts are in their repositories", lambda: workflow.resolve(intent, offline=False)
    )
    for host in desired.hosts:
        if host.become_password is not None:
            reference = host.become_password
            yield from _attempt(f"secret {reference}", functools.partial(intent.secrets.value, reference))
    for reference in sorted({one for place in desired.placements for one in place.secrets.values()}, key=str):
        yield from _attempt(f"secret {reference}", functools.partial(intent.secrets.value, reference))
    hosts = tuple(host for host in desired.hosts if not host.maintenance)
    for host in hosts:
        if host.connection == "ssh" and not host.host_key:
            yield (
                True,
                f"{host.name}: no pinned host_key; known_hosts decides (`orchestrator hosts scan`)",
                "",
            )
    try:
        with workflow.open_workspace(intent) as workspace:
            reports = workflow.probe(intent, workspace, hosts)
    except OrchestratorError as error:
        yield False, "; ".join([error.brief, *error.details]), error.resolution
        return
    for host in hosts:
        yield from _examine_host(host.name, reports.get(host.name))


def _examine_state(intent: Any) -> Iterator[Finding]:
    from orchestrator.edges.state import open_state, this_process
    from orchestrator.errors import OrchestratorError

    environment = intent.desired.environment
    try:
        with open_state(intent.repository, intent.settings) as state:
            lock = state.lock(environment, this_process(intent.repository)).check()
            yield True, f"lock in git: {lock}", ""
            state.ledger.check(environment)
            yield True, "ledger in git can be read and written", ""
    except OrchestratorError as error:
        yield False, "; ".join([error.brief, *error.details]), error.resolution


def _attempt(what: str, work: Callable[[], object]) -> Iterator[Finding]:
    from orchestrator.errors import OrchestratorError

    try:
        work()
        yield True, what, ""
    except OrchestratorError as error:
        yield False, "; ".join([error.brief, *error.details]), error.resolution


def _examine_host(name: str, report: Any) -> Iterator[Finding]:
    if report is None or "probe" not in report.result:
        result = report.result if report is not None else {}
        problem = result.get("problem") or {}
        said = " ".join(str(problem.get("message") or result.get("msg") or "it does not answer").split())
        yield False, f"{name}: {said}", problem.get("resolution") or _remedy(said)
        return
    found = report.result["probe"]
    yield True, f"{name}: reached as {found['user']}, Python {found['python']}", ""
    skew = abs(found["time"] - time.time())
    yield skew < CLOCK_SECONDS, f"{name}: clock differs by {skew:.0f} s", "set the host's clock (NTP)"
    for path, free in sorted(found["free_bytes"].items()):
        yield free > LOW_BYTES, f"{name}: {free >> 20} MB free for {path}", "free some space there"
    for problem in found["findings"]:
        yield False, f"{name}: {problem['message']}", problem["resolution"]


def _remedy(said: str) -> str:
    lowered = said.lower()
    if "host key" in lowered:
        return "pin host_key (`orchestrator hosts scan`), or accept the host's key into known_hosts"
    if "permission denied" in lowered:
        return "check user and private_key, and that the public key is in authorized_keys there"
    if "resolve" in lowered:
        return "correct `address`, or DNS"
    return "check address, port, proxy_jump and the network: `ssh -v` to it tells more"


def _which(program: str) -> str | None:
    import os
    import sys
    from pathlib import Path

    return shutil.which(
        program, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    )
