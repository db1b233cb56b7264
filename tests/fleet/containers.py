"""A container in a deployment repository: documents, images, and what one serves on a host."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from tests.fleet.deployments import results
from tests.fleet.hosts import Host
from tests.fleet.images import build_image
from tests.fleet.services import Services

UNIT = "shop.service"
PORT = 9000
SERVE = """\
#!/bin/sh
test "$MODE" = broken && exit 3
mkdir -p /tmp/www/cgi-bin
echo VERSION > /tmp/www/version
echo ok > /tmp/www/health
env > /tmp/www/env
cat /run/secrets/KEY > /tmp/www/key
id > /tmp/www/id
touch /x 2>/dev/null && echo writable > /tmp/www/root || echo read-only > /tmp/www/root
date > /data/started
exec httpd -f -p 9000 -h /tmp/www
"""


@dataclass(slots=True)
class Containers(Services):
    """The documents have one container, `shop`, and beside it what `others` says."""

    def publish_image(
        self, version: str, host: Host, kind: str = "oci", mode: str = "w", more: str = ""
    ) -> None:
        """The archive of that version is in the repository."""
        self.put(f"shop/shop-{version}.tar", make_image(version, host, kind=kind, mode=mode, more=more))

    def ask(self, version: str, image: str = "") -> None:
        """The documents ask for that version: an archive, or an image of a registry."""
        artifact = {"image": image} if image else {"repository": "raw", "path": "shop/shop-{version}.tar"}
        shop = {"version": version, "kind": "container", "artifact": artifact}
        applications = {"shop": shop, **{name: one for name, (one, _) in self.others.items()}}
        if not self.service:
            del applications["shop"]
        entries = {
            "shop": {"container": self.service, **self.entry},
            **{name: entry for name, (_, entry) in self.others.items()},
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
            "hosts": self.hosts,
            "applications": {name: entries[name] for name in applications},
        }
        manifest = {"manifest_version": version, "applications": applications}
        (self.clone / "manifest.json").write_text(json.dumps(manifest, indent=2))
        (self.clone / "dev-env.json").write_text(json.dumps(environment, indent=2))
        self._git(self.clone, "add", "--all")
        self._git(self.clone, "commit", "--quiet", "--allow-empty", "--message", f"Release {version}")
        self._git(self.clone, "push", "--quiet", "origin", "dev")


def make_image(version: str, host: Host, *, kind: str = "oci", mode: str = "w", more: str = "") -> bytes:
    """An archive of that version: busybox (of the host), and what it serves."""
    busybox = base64.b64decode(host.run("base64 /bin/busybox").stdout)
    script = SERVE.replace("VERSION", version).replace("exec httpd", f"{more}\nexec /bin/busybox httpd")
    for tool in ("mkdir", "env", "id", "touch", "date", "httpd", "test", "cat"):
        script = script.replace(f"\n{tool} ", f"\n/bin/busybox {tool} ")
    files = {"bin/busybox": busybox, "bin/sh": busybox, "serve": script.encode()}
    return build_image(files, ["/bin/sh", "/serve"], kind=kind, mode=mode)


def served(host: Host, name: str) -> str:
    """A file that the container serves; empty when nobody answers."""
    return host.run(f"curl -sS -m 2 http://127.0.0.1:{PORT}/{name} 2>/dev/null || true").stdout.strip()


def deploy(containers: Containers, host: Host, version: str, image: str = "", expect: int = 0) -> str:
    """Asks for that version and deploys; the result on that host."""
    containers.ask(version, image)
    return results(containers.deploy(expect=expect))[host.name]


def images(host: Host) -> list[str]:
    """The ids of all images that podman has there."""
    said = host.run("podman images --quiet --no-trunc").stdout.split()
    return sorted(set(said))
