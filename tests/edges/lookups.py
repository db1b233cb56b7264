"""Artifacts to resolve, and the call that resolves them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from orchestrator.core.artifacts import ResolvedArtifact
from orchestrator.core.model import Artifact, Credentials, Reference, Repository
from orchestrator.edges.credentials import ControllerSecrets
from orchestrator.edges.repositories import resolve_artifacts

CONTENT = b"the artifact's bytes"
SHA = hashlib.sha256(CONTENT).hexdigest()
SECRET = "pass-w0rd-of-the-test"
PASSWORD = Credentials(username="ci", password=Reference(source="env", name="PW"))
TOKEN = Credentials(token=Reference(source="env", name="PW"))


def make_artifact(path: str = "site-1.zip", sha256: str | None = None) -> Artifact:
    return Artifact(repository="r", path=path, sha256=sha256, packing="zip", strip_components=0, filename="")


def make_repository(type: str, url: str = "", **fields: Any) -> Repository:
    """The repository `r`; those with a name inside the server are called `raw` there."""
    inside = {"repository": "raw"} if type in ("nexus", "artifactory") else {}
    return Repository(**{"name": "r", "type": type, "url": url, **inside, **fields})


def resolve(
    repository: Repository, *artifacts: Artifact, directory: Path = Path("/"), secret: str = SECRET
) -> list[ResolvedArtifact]:
    """What resolving says of these artifacts (`site-1.zip` when none is named), in their order."""
    named = [(f"a{number}", artifact) for number, artifact in enumerate(artifacts or (make_artifact(),))]
    secrets = ControllerSecrets({"PW": secret})
    return list(resolve_artifacts(named, {"r": repository}, secrets=secrets, directory=directory).values())
