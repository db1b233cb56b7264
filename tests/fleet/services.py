"""A service in a deployment repository: documents, archives, and what its process is like on a host."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.fleet.deployments import PASSWORD, Deployments
from tests.fleet.hosts import Host

UNIT = "shop-api.service"
PORT = 9000
PATH = "/opt/shop-api"
# How the program behaves is in the release: `ok`, `broken` (it ends at once), `unhealthy`, or `dies` (it answers
# well once, and ends).
PROGRAM = """\
#!/usr/bin/python3
import http.server, json, os, sys
root = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
def read(name):
    with open(os.path.join(root, name)) as file:
        return file.read().strip()
mode = read("mode")
if mode == "broken":
    sys.exit(1)
def credentials():
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    return {name: open(os.path.join(folder, name)).read() for name in os.listdir(folder)} if folder else {}
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        said = {
            "version": read("version"), "arguments": sys.argv[1:], "user": os.getuid(), "credentials": credentials(),
            "environment": {key: value for key, value in os.environ.items() if key.startswith("SHOP_")},
        }
        body = b"ok" if self.path == "/health" else json.dumps(said).encode()
        self.send_response(500 if mode == "unhealthy" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if mode == "dies" and self.path == "/health":
            os._exit(3)
    def log_message(self, *arguments):
        pass
http.server.HTTPServer(("", int(sys.argv[1])), Handler).serve_forever()
"""
HEALTH = {
    "url": f"http://{{address}}:{PORT}/health",
    "retries": 50,
    "interval_seconds": 0.2,
    "deadline_seconds": 5,
}


@dataclass(slots=True)
class Services(Deployments):
    """The documents have one service, `shop-api`, and beside it what `others` says.

    Attributes:
        service: its `service` object; empty: it has left the manifest.
        entry: more of its entry, such as `variables`.
    """

    service: dict[str, Any] = field(
        default_factory=lambda: {
            "exec": f"{{current}}/bin/app {PORT}",
            "user": "shop",
            "restart_seconds": 0.2,
        }
    )
    entry: dict[str, Any] = field(default_factory=lambda: {"healthcheck": dict(HEALTH)})
    artifact: dict[str, Any] = field(
        default_factory=lambda: {"repository": "raw", "path": "shop-api/shop-api-{version}.tar.gz"}
    )
    kind: str = "service"
    others: dict[str, tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=dict)

    def publish_service(self, version: str, mode: str = "ok", **files: str) -> None:
        """Its archive of that version is in the repository."""
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w:gz") as archive:
            for name, text in {"bin/app": PROGRAM, "mode": mode, "version": version, **files}.items():
                info = tarfile.TarInfo(name)
                info.mode, info.size = (0o755 if name.startswith("bin/") else 0o644), len(text.encode())
                archive.addfile(info, io.BytesIO(text.encode()))
        self.put(f"shop-api/shop-api-{version}.tar.gz", content.getvalue())

    def put(self, path: str, content: bytes) -> None:
        """The file is in the repository."""
        url = f"{self.server.url}/repository/raw/{path}"
        httpx.put(url, content=content, auth=("ci", PASSWORD)).raise_for_status()

    def release(self, version: str, **artifact: Any) -> None:
        """The documents ask for that version, committed and pushed to `dev`."""
        applications = {
            "shop-api": {"version": version, "kind": self.kind, "artifact": {**self.artifact, **artifact}},
            **{name: application for name, (application, _) in self.others.items()},
        }
        if not self.service:
            del applications["shop-api"]
        entries = {
            "shop-api": {"deployment_path": PATH, "service": self.service, **self.entry},
            **{name: entry for name, (_, entry) in self.others.items()},
        }
        repository = {
            "type": "nexus",
            "url": self.server.url,
            "repository": "raw",
            "credentials": {"username": "ci", "password": {"env": "NEXUS_PASSWORD"}},
        }
        environment = {
            "environment": "dev",
            "repositories": {"raw": repository},
            "hosts": self.hosts,
            "applications": {name: entries[name] for name in applications},
            "strategy": self.strategy,
        }
        manifest = {"manifest_version": version, "applications": applications}
        (self.clone / "manifest.json").write_text(json.dumps(manifest, indent=2))
        (self.clone / "dev-env.json").write_text(json.dumps(environment, indent=2))
        self._git(self.clone, "add", "--all")
        self._git(self.clone, "commit", "--quiet", "--allow-empty", "--message", f"Release {version}")
        self._git(self.clone, "push", "--quiet", "origin", "dev")

    def plan(self) -> list[Mapping[str, Any]]:
        """The plan's steps."""
        path = self.directory / "plan.json"
        self.command("plan", "--branch", "dev", "--json", str(path))
        steps: list[Mapping[str, Any]] = json.loads(path.read_text())["steps"]
        return steps


def ask(host: Host) -> dict[str, Any]:
    """What the process says about itself; empty when nobody answers."""
    said = host.run(f"curl -sS -m 2 http://127.0.0.1:{PORT}/ 2>/dev/null || true").stdout
    found: dict[str, Any] = json.loads(said) if said else {}
    return found


def unit(host: Host, name: str = UNIT) -> dict[str, str]:
    """What systemd says of the unit."""
    properties = "LoadState,ActiveState,MainPID,NRestarts,UnitFileState,InvocationID"
    said = host.run(f"systemctl show --property={properties} {name}").stdout
    return dict(line.split("=", 1) for line in said.splitlines())
