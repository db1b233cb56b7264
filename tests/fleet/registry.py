"""A registry of images: Debian's docker-registry on a test host, with a certificate of its own and a password."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from tests.edges.remotes import wait_for
from tests.fleet.hosts import Host

USER = "puller"
PASSWORD = "registry-s3cret-PASSWORD"
PORT = 5000
AUTH_FILE = "/etc/containers/auth.json"
_UNIT = "registry"
_DIRECTORY = "/etc/registry"
_START = r"""
set -eu
mkdir -p DIRECTORY
cd DIRECTORY
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=registry \
  -addext subjectAltName=IP:ADDRESS -keyout key.pem -out cert.pem 2>/dev/null
python3 -W ignore -c 'import crypt; print("USER:" + crypt.crypt("PASSWORD", crypt.mksalt(crypt.METHOD_BLOWFISH)))' \
  > htpasswd
cat > config.yml <<'CONFIG'
version: 0.1
storage:
  filesystem: {rootdirectory: /var/lib/registry}
http:
  addr: :PORT
  tls: {certificate: DIRECTORY/cert.pem, key: DIRECTORY/key.pem}
auth:
  htpasswd: {realm: images, path: DIRECTORY/htpasswd}
CONFIG
systemd-run --quiet --unit=UNIT docker-registry serve DIRECTORY/config.yml
"""


@dataclass(frozen=True, slots=True)
class Registry:
    """It runs on that host and listens at `address`."""

    host: Host

    @property
    def address(self) -> str:
        return f"{self.host.address}:{PORT}"

    def start(self) -> None:
        """It answers; whoever asks needs `USER` and `PASSWORD`."""
        words = {"DIRECTORY": _DIRECTORY, "ADDRESS": self.host.address, "USER": USER, "UNIT": _UNIT}
        script = _START.replace("PASSWORD", PASSWORD).replace("PORT", str(PORT))
        for word, value in words.items():
            script = script.replace(word, value)
        self.host.run(script)
        self.trusted_by(self.host)
        ask = f"curl -sS -o /dev/null --cacert {_DIRECTORY}/cert.pem https://{self.address}/v2/"
        wait_for(lambda: self.host.run(ask, check=False).returncode == 0, 20)

    def trusted_by(self, host: Host) -> None:
        """The host knows its certificate, as podman wants it."""
        directory = f"/etc/containers/certs.d/{self.address}"
        host.run(
            f"mkdir -p {directory}; cat > {directory}/ca.crt",
            stdin=self.host.run(f"cat {_DIRECTORY}/cert.pem").stdout,
        )

    def log_in(self, host: Host) -> None:
        """The host has the password where an administrator puts it."""
        login = [
            "podman",
            "login",
            "--authfile",
            AUTH_FILE,
            "--username",
            USER,
            "--password-stdin",
            self.address,
        ]
        host.run(login, stdin=PASSWORD)

    def push(self, name: str, archive: bytes) -> str:
        """The image is there; what it is called, by digest."""
        self.host.run("base64 --decode > /tmp/image.tar", stdin=base64.b64encode(archive).decode())
        image = self.host.run("podman pull --quiet oci-archive:/tmp/image.tar").stdout.split()[-1]
        target = f"{self.address}/{name}"
        self.host.run(
            f"podman push --quiet --creds {USER}:{PASSWORD} --digestfile /tmp/digest {image} {target}:pushed"
        )
        return f"{target}@{self.host.run('cat /tmp/digest').stdout.strip()}"

    def stall(self) -> None:
        """It accepts connections, and says nothing."""
        self.host.run(f"systemctl kill --signal=STOP {_UNIT}")

    def go_on(self) -> None:
        """It answers again."""
        self.host.run(f"systemctl kill --signal=CONT {_UNIT}")

    def stop(self) -> None:
        """Nobody listens there any more."""
        self.host.run(f"systemctl stop {_UNIT}")
