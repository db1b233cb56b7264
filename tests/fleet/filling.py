"""Fills a file system of a host until so many pages or inodes are left, and deploys there: once for every number.

Runs on the host, `host_program` beside it: `python3 filling.py WHERE UNIT PHASE`. WHERE is `path` or `state`, UNIT `pages` or
`inodes`; it gets full before PHASE (`stage` or `activate`). Prints one JSON object: `failed`, the numbers with which a
deployment failed, and `wrong`, sentences.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
FULL, ELSEWHERE = "/srv/filled", "/srv/beside-filled"
FILES = {"a/one": "1" * 5000, "b/two": "2", "c/d/three": "3" * 9000}


def deploy(path: str, version: int, before: dict[str, Callable[[], None]]) -> dict[str, Any]:
    """The answer of the phase that failed, else of activation. Args: before: what is done first, by phase."""
    from host_program import afterwards, main, staging

    # The disk gets full right after somebody has looked whether there is room.
    staging.refuse_unwritable = lambda *arguments: None
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in {**FILES, "index.html": str(version)}.items():
            archive.writestr(name, text)
    archive_path = f"/tmp/filling-{version}.zip"
    with open(archive_path, "wb") as file:
        file.write(content.getvalue())
    sha256 = hashlib.sha256(content.getvalue()).hexdigest()
    placement = {
        "application": "site",
        "version": str(version),
        "deployment_path": path,
        "release": f"{version}-{sha256[:12]}",
        "configuration_digest": "c",
        "keep_releases": 2,
        "healthchecks": [],
        "action": "install",
        "artifact": {
            "location": archive_path,
            "delivery": "controller",
            "local": True,
            "sha256": sha256,
            "size_bytes": len(content.getvalue()),
            "packing": "zip",
            "strip_components": 0,
            "filename": "site.zip",
            "credentials": None,
        },
    }
    run = {"id": os.urandom(4).hex(), "time": "t", "commit": "c", "plan_id": "p", "actor": "a", "token": None}
    request = {"check": False, "identity": "shop/dev", "run": run, "placements": [placement], "secrets": {}}
    for phase in ("stage", "activate"):
        before.get(phase, lambda: None)()
        said: dict[str, Any] = main.answer({**request, "phase": phase})["placements"][0]
        afterwards.do()
        if said["problem"]:
            break
    os.unlink(archive_path)
    return said


def fill(left: int, unit: str) -> None:
    """So many pages or inodes are free; what fills them is in one directory."""
    os.makedirs(f"{FULL}/filler")
    if unit == "inodes":
        number = 0
        while os.statvfs(FULL).f_favail > left:
            open(f"{FULL}/filler/{number}", "w").close()
            number += 1
        return
    with open(f"{FULL}/filler/all", "wb", buffering=0) as file:
        space = os.statvfs(FULL)
        file.write(b"x" * space.f_frsize * max(0, space.f_bavail - left))


def live(path: str) -> int:
    """The version that is live, whose files are all there; -1 when something is wrong with it."""
    current = f"{path}/current"
    if not os.path.islink(current):
        return -1
    for name, text in FILES.items():
        with open(f"{current}/{name}") as file:
            if file.read() != text:
                return -1
    with open(f"{current}/index.html") as file:
        return int(file.read())


def leftovers(path: str, state: str) -> list[str]:
    """What nobody has recorded."""
    (placement,) = (one.path for one in os.scandir(f"{state}/placements"))
    with open(f"{placement}/receipt.json") as file:
        recorded = set(json.load(file)["releases"])
    found = set(os.listdir(path)) - {"releases", "current", "notes"}
    found |= set(os.listdir(f"{path}/releases")) ^ recorded
    return sorted(found | {one[:-5] for one in os.listdir(f"{placement}/trees")} ^ recorded)


def main(where: str, unit: str, before: str) -> dict[str, Any]:
    os.makedirs(FULL, exist_ok=True)
    os.makedirs(ELSEWHERE, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k,nr_inodes=80", "tmpfs", FULL], check=True)
    path = f"{FULL if where == 'path' else ELSEWHERE}/site"
    state = f"{FULL if where == 'state' else ELSEWHERE}/state"
    os.environ["ORCHESTRATOR_STATE_DIRECTORY"] = state
    failed: list[int] = []
    wrong: list[str] = []
    deploy(path, 0, {})
    with open(f"{path}/notes", "w") as file:
        file.write("of somebody else")
    version, left, fine = 0, 0, 0
    while fine < 3:
        version += 1
        said = deploy(path, version, {before: functools.partial(fill, left, unit)})
        fine += 1
        if said["problem"]:
            fine = 0
            failed.append(left)
            if said["problem"]["kind"] != "disk_full" or not said["problem"]["resolution"]:
                wrong.append(f"{left} {unit}: {said['problem']}")
            # What activation writes last is that the release, live by then, is healthy.
            if live(path) not in ((version - 1,) if before == "stage" else (version - 1, version)):
                wrong.append(f"{left} {unit}: {live(path)} is live")
        subprocess.run(["rm", "-r", f"{FULL}/filler"], check=True)
        again = deploy(path, version, {})
        if again["problem"] or live(path) != version or leftovers(path, state):
            wrong.append(f"{left} {unit}, then: {again}, {live(path)} is live, {leftovers(path, state)}")
        with open(f"{path}/notes") as file:
            if file.read() != "of somebody else":
                wrong.append("the notes are gone")
        left += 1
    subprocess.run(["umount", FULL], check=True)
    subprocess.run(["rm", "-r", FULL, ELSEWHERE], check=True)
    return {"failed": failed, "wrong": wrong}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:])))
