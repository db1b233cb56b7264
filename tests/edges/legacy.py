"""A deployment repository whose application is activated by a role of its own, and commands that take its hosts out."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from tests.edges.rollouts import Ground

ACTIVATE = """\
- name: Make it live where it always was
  ansible.builtin.copy:
    content: "{{ orchestrator_application }} {{ orchestrator_version }} {{ orchestrator_variables.MODE }}\\n"
    dest: "{{ orchestrator_deployment_path }}/legacy"
    mode: "0644"

- name: Use what was verified
  ansible.builtin.command: cp {{ orchestrator_artifact_path }} {{ orchestrator_deployment_path }}/installed
  changed_when: true

- name: Refuse what is broken
  ansible.builtin.fail:
    msg: "this version {{ orchestrator_version }} cannot be activated"
  when: orchestrator_version == 'broken'
"""
NOTE = """\
- name: Note it
  ansible.builtin.shell: >-
    echo {{ orchestrator_phase }} {{ orchestrator_version or '-' }} {{ orchestrator_previous_version or '-' }}
    {{ lookup('orchestrator_secret', orchestrator_secrets.KEY) | length if orchestrator_secrets else 0 }}
    >> {{ orchestrator_deployment_path | dirname }}/log
  changed_when: true
"""


class Legacy(Ground):
    """The application `site` has the role `billing_legacy`."""

    def __init__(self, directory: Path, hosts: int) -> None:
        super().__init__(directory, hosts)
        self.settings = {"role": "billing_legacy", "variables": {"MODE": "{{ 6 * 7 }}"}}
        self.settings["secrets"] = {"KEY": {"file": str(directory / "key")}}
        (directory / "key").write_text("sesame")
        self.role(stage=NOTE, activate=ACTIVATE, rollback=ACTIVATE + NOTE, absent=NOTE)

    def role(self, **entries: str) -> None:
        """The role has these entry points, in the work tree."""
        tasks = self.path / "roles" / "billing_legacy" / "tasks"
        tasks.mkdir(parents=True, exist_ok=True)
        for name, text in entries.items():
            (tasks / f"{name}.yml").write_text(text)

    def legacy(self, host: str = "h1") -> str:
        """What the role made live."""
        return (self.top / "srv" / host / "site" / "legacy").read_text()

    def log(self, host: str = "h1") -> list[str]:
        """What the role noted there."""
        return (self.top / "srv" / host / "log").read_text().splitlines()


def note_drains(ground: Ground, on: str, **commands: Any) -> Path:
    """Commands note in a file that they ran, and what was live then; returns it."""
    log = ground.top / "drained"
    program = ground.top / "lb"
    program.write_text(f'#!/bin/sh\necho "$@ $(cat {ground.top}/srv/$2/site/current/site.txt)" >> {log}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    lists = {"drain": [str(program), "out", "{host}"], "undrain": [str(program), "in", "{host}"]}
    ground.environment["drain"] = {"commands": {**lists, "on": on, **commands}, "timeout_seconds": 10}
    return log
