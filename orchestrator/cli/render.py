"""`orchestrator render`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orchestrator.cli.options import make_target, target_options


@click.command("render")
@target_options
@click.option("--offline", is_flag=True, help="Ask no remote, no repository and no host.")
@click.argument("output", metavar="DIR", type=click.Path(path_type=Path))
@click.pass_obj
def command(directory: str, /, output: Path, **options: Any) -> int:
    """Write inventory and variables to DIR, without secrets, to run the playbooks by hand."""
    from orchestrator import workflow
    from orchestrator.core.inventory import render_by_hand
    from orchestrator.core.ssh import render_known_hosts, render_ssh_config
    from orchestrator.core.unsafe_yaml import render_unsafe_yaml
    from orchestrator.edges.ansible_content import ansible_content
    from orchestrator.errors import UsageError

    intent = workflow.read_intent(make_target(directory, options, offline=options["offline"]))
    own = sorted(
        {f"{one.application.name} ({one.role.name})" for one in intent.desired.placements if one.role}
    )
    if own:
        raise UsageError(
            f"a role of the deployment repository activates {', '.join(own)}, and only `deploy` calls it",
            resolution="use orchestrator deploy, which has --check as well",
        )
    artifacts = workflow.resolve(intent, offline=options["offline"])
    missing = [name for name, artifact in artifacts.items() if not artifact.sha256]
    if missing:
        raise UsageError(
            f"without its SHA-256 {', '.join(missing)} cannot be rendered",
            resolution="pin sha256 in the manifest, or render without --offline",
        )
    plan = workflow.compile_intent(intent, artifacts, {})
    inventory, extra_vars = render_by_hand(
        plan, intent.desired, artifacts, workflow.new_run(intent.repository)
    )
    content, target = ansible_content(), output.resolve()
    files = {
        "inventory.yml": render_unsafe_yaml(inventory),
        "extra-vars.yml": render_unsafe_yaml(extra_vars),
        "known_hosts": render_known_hosts(intent.desired.hosts),
        "ssh_config": render_ssh_config(
            intent.desired.hosts, directory=str(target), known_hosts=intent.settings.known_hosts
        ),
        "ansible.cfg": _CONFIGURATION.format(roles=content / "roles", target=target),
    }
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (target / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be written: {error.strerror}") from None
    click.echo(f"{target}: {', '.join(sorted(files))}; secrets stay references that the playbook looks up")
    if intent.desired.strategy.canary is not None:
        click.echo(
            "note: the wait after the canary is the orchestrator's; this playbook goes on without", err=True
        )
    playbook = f"ANSIBLE_CONFIG={target}/ansible.cfg ansible-playbook -i {target}/inventory.yml"
    playbook += f" -e @{target}/extra-vars.yml"
    if "release_drains" in extra_vars:
        click.echo(
            f"note: if it ends half-way, put back what it has drained: {playbook} {content}/playbooks/undrain.yml",
            err=True,
        )
    click.echo(f"{playbook} {content}/playbooks/deploy.yml --check")
    return 0


_CONFIGURATION = """\
[defaults]
roles_path = {roles}
host_key_checking = True
gathering = explicit

[ssh_connection]
pipelining = True
ssh_args = -F {target}/ssh_config -C -o ControlMaster=auto -o ControlPersist=30s
"""
