"""Nothing in a document is ever code: each hostile string is refused with its path or arrives as it is."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.core.artifacts import ResolvedArtifact
from orchestrator.core.compile import compile_plan
from orchestrator.core.documents import Document, parse_documents
from orchestrator.core.inventory import Run, render_by_hand
from orchestrator.core.observed import Identity
from orchestrator.core.settings import Settings
from orchestrator.core.unsafe_yaml import render_unsafe_yaml
from orchestrator.edges.repositories import resolve_offline
from orchestrator.edges.schemas import read_schema
from orchestrator.errors import DocumentError

MANIFEST: dict[str, Any] = {
    "manifest_version": "1",
    "description": "d",
    "applications": {
        "site": {
            "version": "1.0",
            "kind": "site",
            "depends_on": ["site2"],
            "artifact": {
                "repository": "r",
                "path": "s-{version}.txt",
                "sha256": "a" * 64,
                "filename": "f.txt",
            },
        },
        "site2": {"version": "1.0", "artifact": {"repository": "r", "path": "x.txt", "sha256": "a" * 64}},
    },
}
ENVIRONMENT: dict[str, Any] = {
    "environment": "dev",
    "description": "d",
    "repositories": {
        "r": {
            "type": "nexus",
            "url": "https://nexus.example.net",
            "repository": "raw",
            "credentials": {"username": "ci", "password": {"env": "PW"}},
        }
    },
    "hosts": {
        "h": {
            "address": "192.0.2.1",
            "user": "deploy",
            "private_key": "/key",
            "host_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbB",
            "proxy_jump": "ops@jump",
            "become_user": "root",
            "python": "/usr/bin/python3",
            "groups": ["web"],
        }
    },
    "applications": {
        "site": {
            "hosts": ["web"],
            "deployment_path": "/srv/site",
            "healthchecks": [
                {
                    "url": "http://{address}:80/h",
                    "body": "ok",
                    "headers": {"X-A": "b"},
                    "header": {"X-C": "d"},
                    "json": {"e.f": "{version}"},
                    "ca_file": "/ca.pem",
                },
                {"type": "tcp", "host": "{address}", "port": 80},
                {"type": "command", "command": ["{current}/check", "{version}"], "user": "shop"},
                {"type": "systemd", "unit": "shop.service"},
            ],
            "smoke": [{"name": "page", "command": ["{current}/smoke", "--quick"]}],
        },
        "site2": {"hosts": [], "deployment_path": "/srv/site2"},
    },
}
MARK = "orchestrator-hostile-mark"
HOSTILE = (
    "{{ lookup('pipe', 'touch %(mark)s') }}",
    "{%% set x = lookup('pipe', 'touch %(mark)s') %%}",
    "{{ 7 * 7 }}",
    "$(touch %(mark)s)",
    "`touch %(mark)s`",
    "; touch %(mark)s #",
    "-oProxyCommand=touch %(mark)s",
    "a\nb",
    "a\x00b",
    "../../etc/passwd",
    "/etc/../etc",
    "dеv",
    "x" * 100_000,
    "!unsafe x",
    "yes",
    "1.10",
    "' \" \\ | & < >",
    "\u202ergb",
)


def string_paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from string_paths(entry, (*path, key))
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from string_paths(entry, (*path, index))
    elif isinstance(value, str):
        yield path


def replaced(document: dict[str, Any], path: tuple[Any, ...], text: str) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    place: Any = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = text
    return changed


def cases(mark: str) -> Iterator[tuple[tuple[Any, ...], dict[str, Any], dict[str, Any]]]:
    for template in HOSTILE:
        text = template % {"mark": mark} if "%(" in template else template
        for path in string_paths(MANIFEST):
            yield path, replaced(MANIFEST, path, text), ENVIRONMENT
        for path in string_paths(ENVIRONMENT):
            yield path, MANIFEST, replaced(ENVIRONMENT, path, text)


def test_every_field_refuses_a_hostile_string_or_hands_it_on_literally(tmp_path: Path) -> None:
    mark, output = tmp_path / MARK, tmp_path / "out"
    output.mkdir()
    schemas = {name: read_schema(name) for name in ("manifest", "environment")}
    refused, hosts, expected = 0, {}, {}
    for path, manifest, environment in cases(str(mark)):
        try:
            desired = parse_documents(
                manifest=Document(label="manifest.json", content=json.dumps(manifest).encode()),
                environment=Document(label="dev-env.json", content=json.dumps(environment).encode()),
                environment_name="dev",
                settings=Settings(),
                schemas=schemas,
            )
        except DocumentError as error:
            refused += 1
            keys = [str(key) for key in path if isinstance(key, str)]
            assert any(key in "\n".join(error.details) for key in keys), (path, error.details)
            assert all(len(line) < 2000 for line in error.details)
            continue
        wanted = {one.application.name: one.application.artifact for one in desired.placements}
        artifacts: dict[str, ResolvedArtifact] = resolve_offline(
            wanted.items(), desired.repositories, directory=Path("/")
        )
        identity = Identity(repository="r", stack="", environment="dev")
        plan = compile_plan(desired, artifacts, {}, identity=identity, commit="")
        inventory, _ = render_by_hand(plan, desired, artifacts, Run(id="r", time="t", actor="a"))
        for variables in inventory["all"]["hosts"].values():
            name = f"case{len(hosts)}"
            expected[name] = variables["release_placements"]
            hosts[name] = {
                "ansible_connection": "local",
                "ansible_python_interpreter": sys.executable,
                "release_placements": variables["release_placements"],
                "seen": {key: value for key, value in variables.items() if key.startswith("ansible_")},
            }
    assert refused > 100
    assert len(hosts) > 20
    (tmp_path / "hosts.yml").write_text(render_unsafe_yaml({"all": {"hosts": hosts}}))
    (tmp_path / "play.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  tasks:\n"
        "    - ansible.builtin.debug: {var: seen}\n"
        f"    - ansible.builtin.template: {{src: {tmp_path}/one.j2, dest: '{output}/{{{{ inventory_hostname }}}}', mode: '0600'}}\n"
        "      delegate_to: localhost\n"
    )
    (tmp_path / "one.j2").write_text("{{ release_placements | to_json }}")
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-f", "8", "-i", "hosts.yml", "play.yml"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    arrived = {path.name: json.loads(path.read_text()) for path in output.iterdir()}
    assert arrived == json.loads(json.dumps(expected))
    assert not mark.exists()
    assert not list(tmp_path.rglob(MARK))
