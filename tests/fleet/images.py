"""Images of containers, made here: one layer, as an oci-archive or a docker-archive."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any


def build_image(
    files: Mapping[str, bytes], command: Sequence[str], *, kind: str = "oci", mode: str = "w"
) -> bytes:
    """The archive of an image with these files, all of which may be executed.

    Args:
        kind: `oci` or `docker`.
        mode: of `tarfile`: `w`, `w:gz`.
    """
    layer = _tar({name: (content, 0o755) for name, content in files.items()})
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": list(command)},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
    )
    if kind == "docker":
        manifest = [{"Config": "config.json", "RepoTags": [], "Layers": ["layer.tar"]}]
        members = {"manifest.json": _json(manifest), "config.json": config, "layer.tar": layer}
    else:
        types = "application/vnd.oci.image"
        made = _json(
            {
                "schemaVersion": 2,
                "config": _descriptor(f"{types}.config.v1+json", config),
                "layers": [_descriptor(f"{types}.layer.v1.tar", layer)],
            }
        )
        index = {"schemaVersion": 2, "manifests": [_descriptor(f"{types}.manifest.v1+json", made)]}
        blobs = {f"blobs/sha256/{_digest(one)[7:]}": one for one in (layer, config, made)}
        members = {
            "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
            "index.json": _json(index),
            **blobs,
        }
    return _tar({name: (content, 0o644) for name, content in members.items()}, mode)


def _tar(members: Mapping[str, tuple[bytes, int]], mode: str = "w") -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as archive:  # type: ignore[call-overload]
        for name, (data, permissions) in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), permissions
            archive.addfile(info, io.BytesIO(data))
    return content.getvalue()


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}
