"""A deployment repository whose hosts are directories of this machine, and a server that says how healthy they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent


class Ground:
    """Hosts `h1`, `h2`, …, and the applications `api` and `site` (or only `site`) of one version on each.

    Attributes:
        sick: (host, version) → a release of that version is not healthy there.
        environment: what is committed as dev-env.json.
        depends: `site` depends on `api`, which then is there.
        where: application → its `hosts`; `settings`: more of each entry.
        program: what python runs as the command.
        asked: every question about health, as (host, application, version that was live).
    """

    def __init__(self, directory: Path, hosts: int) -> None:
        self.path, self.home, self.top = directory / "clone", directory / "home", directory
        self.sick: set[tuple[str, str]] = set()
        self.asked: list[tuple[str, str, str]] = []
        self.where: dict[str, Any] = {"site": ["all"]}
        self.depends: list[str] = []
        self.settings: dict[str, Any] = {}
        self.versions: dict[str, str] = {}
        self.program: tuple[str, ...] = ("-m", "orchestrator")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        self.environment: dict[str, Any] = {
            "environment": "dev",
            "repositories": {"here": {"type": "directory", "path": "artifacts"}},
            "hosts": {
                f"h{number}": {"connection": "local", "python": sys.executable}
                for number in range(1, hosts + 1)
            },
            "strategy": {},
        }
        for path in (self.home, self.path / "artifacts"):
            path.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=dev")
        self.git("config", "user.email", "ci@example.net")
        self.git("config", "user.name", "CI")

    def close(self) -> None:
        """The server is gone."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def release(self, version: str, **versions: str) -> None:
        """That version of every application is committed, or the one that is given for it."""
        applications, entries = {}, {}
        for name, hosts in self.where.items():
            self.versions[name] = versions.get(name, version)
            (self.path / "artifacts" / f"{name}-{self.versions[name]}.txt").write_text(self.versions[name])
            artifact = {"repository": "here", "path": f"{name}-{{version}}.txt"}
            depends = {"depends_on": self.depends} if name == "site" and self.depends else {}
            applications[name] = {"version": self.versions[name], "artifact": artifact, **depends}
            entries[name] = {
                "hosts": hosts,
                "deployment_path": f"{self.top}/srv/{{host}}/{name}",
                "healthcheck": {
                    "url": f"http://127.0.0.1:{self._server.server_port}/{{host}}/{name}",
                    "retries": 0,
                    "deadline_seconds": 5,
                },
                **self.settings,
            }
        manifest = {"manifest_version": version, "applications": applications}
        (self.path / "manifest.json").write_text(json.dumps(manifest, indent=2))
        document = {**self.environment, "applications": entries}
        (self.path / "dev-env.json").write_text(json.dumps(document, indent=2))
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", f"Release {version}")

    def git(self, *arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=self.path, check=True, capture_output=True)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """The command, running."""
        return subprocess.Popen(
            [sys.executable, *self.program, *arguments],
            cwd=self.path,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                "ORCHESTRATOR_STATE_DIRECTORY": str(self.home / "state"),
                "PYTHONPATH": str(ROOT),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, expect: int = 0) -> str:
        """What the command prints; it has to end with that code and without a traceback."""
        process = self.start(*arguments)
        text, _ = process.communicate(timeout=180)
        assert process.returncode == expect, text
        assert "Traceback" not in text
        return text

    def deploy(self, *arguments: str, command: str = "deploy", expect: int = 0) -> dict[str, Any]:
        """The result document; `output` is what was printed."""
        result = self.top / "result.json"
        result.unlink(missing_ok=True)
        output = self.run(command, "--json", str(result), *arguments, expect=expect)
        document: dict[str, Any] = json.loads(result.read_text()) if result.exists() else {}
        return {**document, "output": output}

    def live(self, application: str = "site") -> dict[str, str]:
        """Host → the version that is live there; empty when none is."""
        return {host: self.live_on(host, application) for host in self.environment["hosts"]}

    def live_on(self, host: str, application: str = "site") -> str:
        """The version that is live on one host; empty when none is."""
        current = self.top / "srv" / host / application / "current" / f"{application}.txt"
        return current.read_text() if current.exists() else ""

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        ground = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                _, host, application = self.path.split("/")
                version = ground.live_on(host, application)
                ground.asked.append((host, application, version))
                self.send_response(500 if (host, version) in ground.sick else 200)
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                """Says nothing."""

        return Handler


def results(document: dict[str, Any], application: str = "site") -> dict[str, str]:
    """Host → result of that application there."""
    return {one["host"]: one["result"] for one in document["placements"] if one["application"] == application}
