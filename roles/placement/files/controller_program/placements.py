"""Placements as roles hand them in, with every default filled in: the form that the host program reads."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail

from controller_program.checks import normalise_checks
from controller_program.kinds import normalise_container, normalise_kind
from controller_program.releases import hook_references, normalise_release
from controller_program.services import normalise_service, service_references
from controller_program.smoke import normalise_tests

_SHA256 = re.compile("[0-9a-f]{64}")
TARS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tar.zst")


def normalise(placement: dict[str, Any], phase: str) -> dict[str, Any]:
    """The placement, complete; the one that is given stays as it is."""
    one: dict[str, Any] = json.loads(json.dumps(placement))
    one.setdefault("group", 0)
    one.setdefault("action", "")
    one.setdefault("keep_releases", 5)
    one["healthchecks"] = normalise_checks(one)
    one.pop("healthcheck", None)
    one["smoke"] = normalise_tests(one.get("smoke"))
    artifact = one.get("artifact")
    if artifact:
        _normalise_artifact(artifact, one["application"])
    is_container = one.get("container") is not None
    layout = normalise_release(one)
    process = normalise_kind(one)
    process += normalise_container(one) if is_container else normalise_service(one)
    if artifact and one["service"] and artifact["packing"] == "file" and not is_container:
        artifact["executable"] = True
    if phase in ("stage", "once", "activate", "settle", "rollback") and artifact:
        content = [artifact[key] for key in ("sha256", "packing", "strip_components", "filename")]
        content += ["executable"] if artifact.get("executable") else []
        content += [artifact["image"]] if artifact.get("image") else []
        content += [layout] if layout else []
        if not one.get("release"):
            one["release"] = f"{one['version']}-{digest(content)[:12]}"
        if not one.get("configuration_digest"):
            one["configuration_digest"] = digest(
                [one["healthchecks"], one["keep_releases"], *process, *layout]
            )
    return one


def packing_of(location: str) -> str:
    """How a file of that name is installed: unpacked as `zip` or `tar`, or as a `file`."""
    name = location.lower()
    if name.endswith(".zip"):
        return "zip"
    return "tar" if name.endswith(TARS) else "file"


def digest(value: Any) -> str:
    """SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def reference_of(value: dict[str, Any] | None) -> str:
    """`env:NAME` or `file:PATH` for a reference; empty for none."""
    return next((f"{source}:{name}" for source, name in (value or {}).items() if name), "")


def references(placements: list[dict[str, Any]], phase: str) -> set[str]:
    """Every secret that the phase needs on the host."""
    processes = {name for placement in placements for name in service_references(placement, phase)}
    processes |= {name for placement in placements for name in hook_references(placement, phase)}
    if phase not in ("stage", "fetch"):
        return processes
    return processes | {
        value["secret"]
        for placement in placements
        for value in placement["artifact"]["credentials"].values()
        if isinstance(value, dict)
    }


def upload(placements: list[dict[str, Any]]) -> list[Path]:
    """The artifacts of these placements, which say now where each lies among the bytes behind their request."""
    offset, paths = 0, []
    for placement in placements:
        artifact = placement["artifact"]
        path = Path(artifact["location"])
        size = path.stat().st_size
        artifact.update(local=True, upload={"offset": offset, "size_bytes": size})
        paths.append(path)
        offset += size
    return paths


def _normalise_artifact(artifact: dict[str, Any], application: str) -> None:
    if artifact.get("image"):
        artifact.setdefault("location", artifact["image"])
        artifact.setdefault("delivery", "host")
        artifact.setdefault("sha256", artifact["image"].rpartition(":")[2])
    location = artifact["location"]
    artifact.setdefault("delivery", "host" if "://" in location else "controller")
    artifact.setdefault("size_bytes", None)
    artifact.setdefault("strip_components", 0)
    artifact.setdefault("packing", packing_of(location))
    artifact.setdefault("filename", os.path.basename(location))
    artifact["sha256"] = str(artifact["sha256"]).lower()
    if not artifact.get("image") and not _SHA256.fullmatch(artifact["sha256"]):
        raise AnsibleActionFail(
            f"artifact.sha256 of {application} has to be 64 hex digits; `sha256sum` says it"
        )
    artifact["credentials"] = {
        name: {"secret": reference_of(value)} if isinstance(value, dict) else value
        for name, value in (artifact.get("credentials") or {}).items()
        if value
    }
