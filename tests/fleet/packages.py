"""A package in a deployment repository: documents, and .deb files that dpkg-deb makes."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.fleet.deployments import PASSWORD, Deployments
from tests.fleet.hosts import Host

NAME = "shop-agent"
KEPT = "/var/lib/gitops-orchestrator/packages/shop"


@dataclass(slots=True)
class Packages(Deployments):
    """The documents have one package, `shop`, whose files contain `shop-agent`.

    Attributes:
        entry: the application's entry in the environment JSON.
        applications: what the manifest has; empty: only `shop`.
    """

    entry: dict[str, Any] = field(default_factory=dict)
    applications: dict[str, Any] = field(default_factory=dict)
    prune: bool = False

    def publish_deb(self, version: str, file: str = "", *, name: str = NAME, **options: str) -> None:
        """A file of that version is in the repository: `/usr/share/shop-agent/version`, a conffile, scripts."""
        content = build_deb(self.directory / "deb", name, version, **options)
        url = f"{self.server.url}/repository/raw/shop/{file or f'shop-{version}.deb'}"
        httpx.put(url, content=content, auth=("ci", PASSWORD)).raise_for_status()

    def release(self, version: str, **artifact: Any) -> None:
        """The documents ask for that version, committed and pushed to `dev`."""
        shop = {
            "version": version,
            "kind": "package",
            "artifact": {"path": "shop/shop-{version}.deb", **artifact},
        }
        applications = self.applications or {"shop": shop}
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
            "hosts": self.hosts,
            "applications": {name: self.entry if name == "shop" else {} for name in applications},
            "strategy": self.strategy,
            "prune": self.prune,
        }
        manifest = {"manifest_version": version, "applications": applications}
        (self.clone / "manifest.json").write_text(json.dumps(manifest, indent=2))
        (self.clone / "dev-env.json").write_text(json.dumps(environment, indent=2))
        self._git(self.clone, "add", "--all")
        self._git(self.clone, "commit", "--quiet", "--allow-empty", "--message", f"Release {version}")
        self._git(self.clone, "push", "--quiet", "origin", "dev")


def build_deb(
    directory: Path,
    name: str,
    version: str,
    *,
    architecture: str = "all",
    depends: str = "",
    postinst: str = "",
    content: str = "",
) -> bytes:
    """The bytes of a .deb with a file, a configuration file and, where asked for, a script."""
    root, control = directory / name, directory / name / "DEBIAN"
    subprocess.run(["rm", "-rf", str(root)], check=True)
    control.mkdir(parents=True)
    fields = {
        "Package": name,
        "Version": version,
        "Architecture": architecture,
        "Maintainer": "CI <ci@example.net>",
        "Description": "what a test installs",
        **({"Depends": depends} if depends else {}),
    }
    (control / "control").write_text("".join(f"{key}: {value}\n" for key, value in fields.items()))
    files = {
        f"usr/share/{name}/version": f"{version}{content}\n",
        f"etc/{name}.conf": f"made for {version}\n",
    }
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (control / "conffiles").write_text(f"/etc/{name}.conf\n")
    if postinst:
        (control / "postinst").write_text(f"#!/bin/sh\n{postinst}\n")
        (control / "postinst").chmod(0o755)
    root.chmod(0o755)
    target = directory / f"{name}.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(root), str(target)],
        check=True,
        capture_output=True,
    )
    return target.read_bytes()


def installed(host: Host, name: str = NAME) -> str:
    """The version that dpkg says is installed, whole; another state by its name; empty for none."""
    said = host.run(
        f"dpkg-query --show --showformat '${{db:Status-Status}} ${{Version}}' {name} 2>/dev/null || true"
    ).stdout
    status, _, version = said.partition(" ")
    return version if status == "installed" else "" if status in ("", "not-installed") else status
