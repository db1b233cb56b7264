"""`make bench`: a deployment of a 10 MB zip of 2,000 files to 10 hosts, against a plain playbook, in one run.

The plain playbook does what an operator writes first: `get_url` with a checksum, `file`, `unarchive`, `file` for the
link. Rounds are interleaved; read the ratios, not the seconds. `--write` updates docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import httpx

from orchestrator.demo.artifact_server import ArtifactServer
from tests.fleet.deployments import PASSWORD, ROOT, Deployments, live_index
from tests.fleet.hosts import Fleet, HostSpec

FILES, TOTAL_BYTES = 2000, 10_000_000
NOTES = """
## Where the time goes

The aim for a deployment is eight times faster than the plain playbook, and it is not reached. Of a deployment's six
seconds about two are the command, git, resolving and observing, one the start of the second `ansible-playbook`, two
staging (the hosts of this benchmark share two cores and one disk: downloading, hashing, unpacking and syncing ten
times), and one activation, verdict and the end of ansible-runner. Unpacking itself is 0.15 s of CPU a host.
"""
PLAYBOOK = """\
- hosts: all
  tasks:
    - name: Directories
      ansible.builtin.file: {path: "/srv/plain/releases/{{ version }}", state: directory, mode: "0755"}
    - name: Download
      ansible.builtin.get_url:
        url: "{{ url }}"
        dest: "/srv/plain/site-{{ version }}.zip"
        checksum: "sha256:{{ sha256 }}"
        url_username: ci
        url_password: "{{ lookup('env', 'NEXUS_PASSWORD') }}"
        force_basic_auth: true
        mode: "0644"
    - name: Unpack
      ansible.builtin.unarchive:
        src: "/srv/plain/site-{{ version }}.zip"
        dest: "/srv/plain/releases/{{ version }}"
        remote_src: true
    - name: Switch
      ansible.builtin.file: {src: "releases/{{ version }}", dest: /srv/plain/current, state: link}
    - name: Old archive
      ansible.builtin.file: {path: "/srv/plain/site-{{ version }}.zip", state: absent}
"""


def main() -> int:
    """Measures, prints the ratios, and with `--write` the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.fleet.bench")
    parser.add_argument("--hosts", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="update docs/benchmarks.md")
    options = parser.parse_args()
    rows: dict[str, list[float]] = {
        "deploy": [],
        "plain deploy": [],
        "nothing to do": [],
        "plain nothing to do": [],
    }
    with Fleet.create("bench") as fleet, tempfile.TemporaryDirectory() as directory:
        hosts = fleet.start(*(HostSpec(name=f"bench{number}") for number in range(1, options.hosts + 1)))
        store = Path(directory) / "nexus"
        with ArtifactServer(store, username="ci", password=PASSWORD, address=fleet.gateway) as server:
            made = Deployments(directory=Path(directory), server=server)
            made.start()
            made.add_hosts(hosts)
            playbook = Path(directory) / "plain.yml"
            playbook.write_text(PLAYBOOK)
            inventory = Path(directory) / "inventory.ini"
            inventory.write_text(
                "\n".join(
                    f"{host.name} ansible_host={host.address} ansible_user=deploy ansible_become=true"
                    f" ansible_ssh_private_key_file={host.private_key}"
                    f" ansible_ssh_common_args='-o UserKnownHostsFile={host.known_hosts}'"
                    for host in hosts
                )
            )
            for number in range(options.rounds):
                version = f"1.0.{number}"
                content = make_site(version)
                url = f"{server.url}/repository/raw/site/site-{version}.zip"
                httpx.put(url, content=content, auth=("ci", PASSWORD)).raise_for_status()
                made.release(version)
                variables = {"version": version, "url": url, "sha256": hashlib.sha256(content).hexdigest()}
                plain = [
                    str(Path(sys.executable).parent / "ansible-playbook"),
                    *(
                        "-i",
                        str(inventory),
                        "-f",
                        str(options.hosts),
                        "-e",
                        json.dumps(variables),
                        str(playbook),
                    ),
                ]
                ours = [sys.executable, "-m", "orchestrator", "deploy", "--branch", "dev"]
                for name, command in (
                    ("deploy", ours),
                    ("plain deploy", plain),
                    ("nothing to do", ours),
                    ("plain nothing to do", plain),
                ):
                    rows[name].append(measure(command, made))
                    sys.stdout.write(f"round {number + 1} {name}: {rows[name][-1]:.2f} s\n")
                    sys.stdout.flush()
                assert {live_index(host) for host in hosts} == {version}
    text = report(rows, options.hosts)
    sys.stdout.write("\n" + text)
    if options.write:
        (ROOT / "docs" / "benchmarks.md").write_text(text)
    return 0


def make_site(version: str) -> bytes:
    """A zip of 2,000 files that hardly compress, 10 MB together."""
    noise, content = random.Random(version), io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("index.html", version)
        for number in range(FILES - 1):
            archive.writestr(f"d{number % 40}/f{number}.bin", noise.randbytes(TOTAL_BYTES // FILES))
    return content.getvalue()


def measure(command: list[str], made: Deployments) -> float:
    """Seconds of one command, which has to succeed."""
    environment = {
        **made.environment,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=made.clone, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    if done.returncode != 0:
        raise RuntimeError(done.stdout[-3000:] + done.stderr[-3000:])
    return time.monotonic() - began


def report(rows: dict[str, list[float]], hosts: int) -> str:
    """The page: ratios first."""
    middle = {name: statistics.median(values) for name, values in rows.items()}
    pairs = (("deploy", "plain deploy"), ("nothing to do", "plain nothing to do"))
    lines = [
        "# Benchmarks",
        "",
        f"A 10 MB zip of 2,000 files to {hosts} hosts with sshd and systemd (containers on the controller's machine),",
        f"{os.cpu_count()} cores, Python {platform.python_version()}; written by `make bench`. Rounds are interleaved;",
        "medians with minimum and maximum. Ours is the whole command: git, resolving, observing, staging, health,",
        "receipts and the record. The plain playbook verifies the download only.",
        "",
        "| What | Ours | `get_url` + `unarchive` + `file` | Ratio |",
        "|---|---|---|---|",
    ]
    for ours, plain in pairs:
        lines.append(
            f"| {ours} | {_seconds(rows[ours])} | {_seconds(rows[plain])} | "
            f"{middle[plain] / middle[ours]:.1f} times faster |"
        )
    return "\n".join(lines) + "\n" + NOTES


def _seconds(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} s ({min(values):.1f}–{max(values):.1f})"


if __name__ == "__main__":
    sys.exit(main())
