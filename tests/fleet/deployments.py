"""A real deployment repository, a real artifact server on the hosts' gateway, and the real command."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx

from orchestrator.demo.artifact_server import ArtifactServer
from tests.fleet.hosts import Host

ROOT = Path(__file__).resolve().parent.parent.parent
PASSWORD = "nexus-s3cret-PASSWORD"
SITE_PORT = 8080


@dataclass(slots=True)
class Deployments:
    """Writes documents, commits them, runs commands in a clone.

    Attributes:
        settings: of the application `site`; change it before `release`.
        hosts: the environment's `hosts` object.
        regions: its `regions` instead, when there are any.
        strategy: the environment's `strategy`.
        secrets: environment variables of every command.
        name: of the repository, and with it of what hosts know these deployments by.
    """

    directory: Path
    server: ArtifactServer
    settings: dict[str, Any] = field(default_factory=dict)
    hosts: dict[str, Any] = field(default_factory=dict)
    regions: dict[str, Any] = field(default_factory=dict)
    strategy: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    name: str = "shop-deploy"

    @property
    def clone(self) -> Path:
        return self.directory / "clone"

    def start(self) -> None:
        """The bare repository and its clone exist."""
        bare = self.directory / f"{self.name}.git"
        (self.directory / "home").mkdir()
        self._git(self.directory, "init", "--quiet", "--bare", "--initial-branch=dev", str(bare))
        self._git(self.directory, "clone", "--quiet", str(bare), str(self.clone))
        self._git(self.clone, "config", "user.email", "ci@example.net")
        self._git(self.clone, "config", "user.name", "CI")
        self._git(self.clone, "checkout", "--quiet", "-B", "dev")

    def publish(self, version: str, files: Mapping[str, str]) -> None:
        """The site's archive of that version is in the repository."""
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in files.items():
                archive.writestr(name, text)
        url = f"{self.server.url}/repository/raw/site/site-{version}.zip"
        httpx.put(url, content=content.getvalue(), auth=("ci", PASSWORD)).raise_for_status()

    def add_hosts(self, hosts: Iterable[Host], **fields: Any) -> None:
        """Hosts with pinned keys, reached as `deploy` with sudo unless `fields` say otherwise."""
        for host in hosts:
            self.hosts[host.name] = {
                "address": host.address,
                "user": "deploy",
                "become": True,
                "private_key": str(host.private_key),
                "host_key": host.host_key,
                **fields,
            }

    def release(self, version: str, **artifact: Any) -> None:
        """The documents ask for that version, committed and pushed to `dev`."""
        manifest = {
            "manifest_version": version,
            "applications": {
                "site": {
                    "version": version,
                    "artifact": {"repository": "raw", "path": "site/site-{version}.zip", **artifact},
                }
            },
        }
        environment = {
            "environment": "dev",
            "repositories": {
                "raw": {
                    "type": "nexus",
                    "url": self.server.url,
                    "repository": "raw",
                    "credentials": {"username": "ci", "password": {"env": "NEXUS_PASSWORD"}},
                }
            },
            **({"regions": self.regions} if self.regions else {"hosts": self.hosts}),
            "applications": {"site": {"hosts": ["all"], "deployment_path": "/srv/site", **self.settings}},
            "strategy": self.strategy,
        }
        (self.clone / "manifest.json").write_text(json.dumps(manifest, indent=2))
        (self.clone / "dev-env.json").write_text(json.dumps(environment, indent=2))
        self._git(self.clone, "add", "--all")
        self._git(self.clone, "commit", "--quiet", "--allow-empty", "--message", f"Release {version}")
        self._git(self.clone, "push", "--quiet", "origin", "dev")

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every command."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory / "home"),
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(self.directory),
            "GIT_CONFIG_NOSYSTEM": "1",
            "NEXUS_PASSWORD": PASSWORD,
            **self.secrets,
        }

    def start_command(
        self, *arguments: str, output: IO[str] | int = subprocess.PIPE
    ) -> subprocess.Popen[str]:
        """The command, running."""
        return subprocess.Popen(
            [sys.executable, "-m", "orchestrator", *arguments],
            cwd=self.clone,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def command(self, *arguments: str, expect: int = 0) -> str:
        """What the command prints; it has to end with that code and without a traceback."""
        process = self.start_command(*arguments)
        output, _ = process.communicate(timeout=180)
        assert process.returncode == expect, output
        assert "Traceback" not in output
        return output

    def deploy(self, *arguments: str, expect: int = 0) -> dict[str, Any]:
        """The result document of a deployment; `output` is what it printed."""
        result = self.directory / "result.json"
        result.unlink(missing_ok=True)
        output = self.command("deploy", "--branch", "dev", "--json", str(result), *arguments, expect=expect)
        document: dict[str, Any] = json.loads(result.read_text()) if result.exists() else {}
        return {**document, "output": output}

    def _git(self, directory: Path, *arguments: str) -> None:
        subprocess.run(
            ["git", *arguments], cwd=directory, env=self.environment, check=True, capture_output=True
        )


def results(document: Mapping[str, Any]) -> dict[str, str]:
    """Host → result of its only placement."""
    return {one["host"]: one["result"] for one in document["placements"]}


def serve_site(host: Host, path: str = "/srv/site/current") -> None:
    """A web server on the host that serves what `current` points to."""
    host.run(
        f"systemd-run --quiet --unit=site --property=Restart=always "
        f"python3 -m http.server {SITE_PORT} --directory {path}"
    )


def live_index(host: Host, path: str = "/srv/site/current") -> str:
    """What the live release's index.html says; empty when nothing is live."""
    return host.run(f"cat {path}/index.html 2>/dev/null || true").stdout.strip()


HEALTH: dict[str, Any] = {
    "healthcheck": {
        "url": f"http://{{address}}:{SITE_PORT}/health",
        "retries": 5,
        "interval_seconds": 0.2,
        "deadline_seconds": 10,
    }
}
