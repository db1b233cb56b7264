"""A package in a deployment repository: documents, .deb files that dpkg-deb makes, and .rpm files of rpmbuild."""

from __future__ import annotations

import base64
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
        entries: those of applications beside `shop`, as far as there is anything to say.
        format: of its files.
    """

    entry: dict[str, Any] = field(default_factory=dict)
    applications: dict[str, Any] = field(default_factory=dict)
    prune: bool = False
    entries: dict[str, Any] = field(default_factory=dict)
    format: str = "deb"

    def publish_deb(self, version: str, file: str = "", *, name: str = NAME, **options: str) -> None:
        """A file of that version is in the repository: `/usr/share/shop-agent/version`, a conffile, scripts."""
        content = build_deb(self.directory / "deb", name, version, **options)
        self.put(file or f"shop-{version}.deb", content)

    def publish_rpm(self, version: str, host: Host, *, name: str = NAME, **options: str) -> None:
        """As `publish_deb`, made by that host's rpmbuild."""
        self.put(f"shop-{version}.rpm", build_rpm(host, name, version, **options))

    def put(self, file: str, content: bytes) -> None:
        """The file is in the repository, below `shop`."""
        url = f"{self.server.url}/repository/raw/shop/{file}"
        httpx.put(url, content=content, auth=("ci", PASSWORD)).raise_for_status()

    def release(self, version: str, **artifact: Any) -> None:
        """The documents ask for that version, committed and pushed to `dev`."""
        shop = {
            "version": version,
            "kind": "package",
            "artifact": {"path": f"shop/shop-{{version}}.{self.format}", **artifact},
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
            "applications": {
                name: self.entry if name == "shop" else self.entries.get(name, {}) for name in applications
            },
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
    unit: str = "",
) -> bytes:
    """The bytes of a .deb with a file, a configuration file and, where asked for, a script and a unit."""
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
        **({f"lib/systemd/system/{name}.service": unit} if unit else {}),
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


_SPEC = """\
Name: {name}
Version: {version}
Release: 1
Summary: what a test installs
License: none
BuildArch: noarch
AutoReqProv: no
{tags}
%description
What a test installs.
%install
mkdir -p %{{buildroot}}/usr/share/{name} %{{buildroot}}/etc
echo {version} > %{{buildroot}}/usr/share/{name}/version
echo made for {version} > %{{buildroot}}/etc/{name}.conf
%files
/usr/share/{name}/version
%config(noreplace) /etc/{name}.conf
{scripts}
"""


def build_rpm(host: Host, name: str, version: str, *, tags: str = "", scripts: str = "") -> bytes:
    """The bytes of an .rpm with a file, a configuration file and what more stands in its specification."""
    spec = _SPEC.format(name=name, version=version, tags=tags, scripts=scripts)
    host.run("mkdir -p /tmp/rpm; cat > /tmp/rpm/spec", stdin=spec)
    host.run("rpmbuild -bb --quiet --define '_topdir /tmp/rpm' /tmp/rpm/spec")
    made = f"/tmp/rpm/RPMS/noarch/{name}-{version}-1.noarch.rpm"
    return base64.b64decode(host.run(f"base64 {made}; rm -r /tmp/rpm").stdout)


def installed_rpm(host: Host, name: str = NAME) -> str:
    """The version that rpm says is installed; empty for none."""
    asked = host.run(f"rpm --query --queryformat '%{{VERSION}}' {name}", check=False)
    return asked.stdout if asked.returncode == 0 else ""


def installed(host: Host, name: str = NAME) -> str:
    """The version that dpkg says is installed, whole; another state by its name; empty for none."""
    said = host.run(
        f"dpkg-query --show --showformat '${{db:Status-Status}} ${{Version}}' {name} 2>/dev/null || true"
    ).stdout
    status, _, version = said.partition(" ")
    return version if status == "installed" else "" if status in ("", "not-installed") else status
