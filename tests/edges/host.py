"""One host's directories with the host program at work there, and archives for it."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from controller_program.checks import normalise_checks
from host_program import afterwards
from host_program.main import answer

from orchestrator.demo.artifact_server import ArtifactServer

IDENTITY = "shop-deploy/dev"
PASSWORD = "pass-w0rd-of-the-test"


class Host:
    """One host's directories, and a way to run phases there."""

    def __init__(self, directory: Path, server: ArtifactServer) -> None:
        self.path = directory / "srv" / "site"
        self.server, self.store, self.runs = server, directory / "store", 0
        self.token: int | None = None

    def publish(self, name: str, content: bytes) -> dict[str, Any]:
        """The file is in the repository; the artifact as a plan has it."""
        (self.store / "raw").mkdir(parents=True, exist_ok=True)
        (self.store / "raw" / name).write_bytes(content)
        packing = "zip" if name.endswith(".zip") else "tar" if ".tar" in name or ".tgz" in name else "file"
        return {
            "location": f"{self.server.url}/repository/raw/{name}",
            "delivery": "host",
            "sha256": hashlib.sha256(content).hexdigest(),
            "size_bytes": len(content),
            "packing": packing,
            "strip_components": 0,
            "filename": name,
            "credentials": {"username": "ci", "password": {"secret": "env:PASSWORD"}},
        }

    def placement(self, version: str, artifact: dict[str, Any], **settings: Any) -> dict[str, Any]:
        """A placement of `site` with that artifact."""
        return {
            "application": "site",
            "version": version,
            "deployment_path": str(self.path),
            "release": f"{version}-{artifact['sha256'][:12]}",
            "configuration_digest": "c1",
            "keep_releases": 5,
            "healthchecks": normalise_checks(settings),
            "action": "install",
            "artifact": artifact,
            **{name: value for name, value in settings.items() if not name.startswith("healthcheck")},
        }

    def request(self, phase: str, placement: Mapping[str, Any], *, check: bool = False) -> dict[str, Any]:
        """The request of a phase, as the action plugin makes it."""
        return {
            "phase": phase,
            "check": check,
            "identity": IDENTITY,
            "run": {
                "id": f"run-{self.runs}",
                "time": "2026-11-01T00:00:00+00:00",
                "commit": "c",
                "plan_id": "p",
                "actor": "a",
                "token": self.token,
            },
            "placements": [json.loads(json.dumps(placement))],
            "secrets": {"env:PASSWORD": PASSWORD},
        }

    def phase(self, phase: str, placement: Mapping[str, Any], *, check: bool = False) -> dict[str, Any]:
        """What the phase says about the placement."""
        found: dict[str, Any] = answer(self.request(phase, placement, check=check))["placements"][0]
        afterwards.do()
        return found

    def deploy(self, placement: Mapping[str, Any]) -> dict[str, Any]:
        """Staged and activated by a run of its own; what went wrong in staging, else what activation says."""
        self.runs += 1
        staged = self.phase("stage", placement)
        return staged if staged.get("problem") else self.phase("activate", placement)

    def observe(self, *, verify: bool = False) -> list[dict[str, Any]]:
        """What the host says about itself."""
        found: list[dict[str, Any]] = self.ask_observation(verify=verify)["observed"]
        return found

    def ask_observation(self, *, verify: bool = False, teach: bool = False) -> dict[str, Any]:
        """The whole answer to an observation, which may show the host the run's lock token."""
        run = {"token": self.token, "teach": teach}
        request = {"phase": "observe", "identity": IDENTITY, "verify": verify, "placements": [], "run": run}
        found: dict[str, Any] = answer(request)
        return found


def make_zip(
    files: Mapping[str, str | bytes],
    change: Callable[[zipfile.ZipInfo], None] = lambda info: None,
    method: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    """A zip of these files."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, text in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            info.compress_type = method
            change(info)
            archive.writestr(info, text)
    return content.getvalue()


def make_tar(*members: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> bytes:
    """A tar of these members."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as archive:  # type: ignore[call-overload]
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return content.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    """A member of a tar."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, mode
    return info
