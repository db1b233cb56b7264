"""Containers: an image that podman has, run by a unit that is kept and put in place as a service's is.

A release is the image's archive, or a file that says which image of a registry it is. Its record has `image`: the
image's id. Each image has a tag of ours, `localhost/gitops-orchestrator/<placement>:<release>`, so that nobody's
pruning takes it; the receipt's `images` maps these tags to the name that a registry's image was pulled by (or "").
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import os
import re
import shutil
import tarfile
import tempfile

from host_program import commands, receipts, records, services, staging, units
from host_program.paths import Paths
from host_program.problems import Problem

IMAGE = "@IMAGE@"
PODMAN = "/usr/bin/podman"
CALL_SECONDS = 60
PULL_SECONDS = 1800
COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zX": "lzma"}
REPOSITORY = "localhost/gitops-orchestrator/"
AUTH_FILE = "/etc/containers/auth.json"
"""Where a host has its passwords of registries; without that podman looks where it always does."""

REFUSALS = (
    (
        "disk_full",
        "no space left on device|disk quota exceeded",
        "free some space where podman keeps its images",
    ),
    (
        "credentials",
        "unauthorized|authentication required|denied|forbidden|invalid username/password",
        "give this host the registry's password: `podman login --authfile {} REGISTRY`".format(AUTH_FILE),
    ),
    (
        "missing",
        "manifest unknown|name unknown|not found|no such image",
        "push the image, or correct its name and digest (`skopeo inspect` says it)",
    ),
)


def stage(placement, request):
    """As `services.stage`, and podman has the image."""
    wanted, paths = placement["service"], Paths(placement["deployment_path"])
    units.require_systemd(wanted["unit"])
    _require_podman(wanted["unit"])
    services.refuse(placement, request)
    directory = receipts.placement_directory(request["identity"], placement["application"], paths.root)
    _refuse_container(wanted["unit"], receipts.read_receipt(directory) or {})
    result = staging.stage(placement, request)
    if result.get("upload"):
        return result
    receipt = receipts.read_receipt(directory)
    name = records.staged_directory(receipt, paths, request)
    said = ""
    if name and not request["check"]:
        said = _load(placement, request, paths, directory, receipt, name)
    elif receipt:
        name = records.find_release(receipt, paths, directory, placement)
    record = (receipt or {"releases": {}})["releases"].get(name) or {}
    wanted["unit_file"] = wanted["unit_file"].replace(IMAGE, record.get("image") or "0" * 64)
    prepared = services.prepare(placement, request)
    said = "; ".join(part for part in (result["message"], said, prepared) if part)
    return {**result, "changed": result["changed"] or bool(prepared), "message": said}


def _require_podman(unit):
    if not os.access(PODMAN, os.X_OK):
        raise Problem(
            "unsupported", "this host has no {}, which {} needs".format(PODMAN, unit), "install podman there"
        )


def _refuse_container(unit, receipt):
    """Raises a Problem when somebody else's container has the name."""
    name = unit[: -len(".service")]
    if unit not in receipt.get("units", ()) and _podman("container", "exists", name)[0] == 0:
        raise Problem(
            "conflict",
            "there is a container {} already, and it is not ours".format(name),
            "name another `unit`, or remove it first",
        )


def _load(placement, request, paths, directory, receipt, name):
    """podman has the release's image, and its id is recorded; says so when that is new."""
    record = receipt["releases"][name]
    found = record.get("image", "")
    if found and _podman("image", "exists", found)[0] == 0:
        return ""
    path = os.path.join(paths.release(name), placement["artifact"]["filename"])
    reference = placement["artifact"].get("image", "")
    tag, images = _tag(directory, name), receipt.get("images", {})
    if not images.get(tag):
        # Before it is pulled: a run that dies then leaves an image that is known to be ours.
        ours = reference and _podman("image", "exists", reference)[0] != 0
        receipt["images"] = {**images, tag: reference if ours else ""}
        receipts.write_receipt(directory, receipt)
    if reference:
        found = _pull(reference, placement["artifact"].get("credentials"), request["secrets"])
    else:
        found = _pull_archive(path, paths.staging)
    _require("tag", found, tag)
    record["image"] = found
    receipts.write_receipt(directory, receipt)
    return "image {} loaded".format(found[:12])


def _pull_archive(path, staging_directory):
    """The id of the archive's image, which podman has now. podman 4 reads no compressed docker-archive."""
    kind = _archive(path)
    with open(path, "rb") as file:
        start = file.read(4)
    module = next((name for magic, name in COMPRESSIONS.items() if start.startswith(magic)), "")
    if not module:
        return _pull("{}:{}".format(kind, path), None, {})
    os.makedirs(staging_directory, mode=0o700, exist_ok=True)
    try:
        plain = os.path.join(staging_directory, "image.tar")
        with importlib.import_module(module).open(path) as packed, open(plain, "wb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)
        return _pull("{}:{}".format(kind, plain), None, {})
    finally:
        shutil.rmtree(staging_directory, ignore_errors=True)


def _archive(path):
    """What kind of archive podman calls it.

    Raises:
        Problem: it is no archive of an image.
    """
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = member.name[2:] if member.name.startswith("./") else member.name
                if name in ("oci-layout", "index.json"):
                    return "oci-archive"
                if name in ("manifest.json", "repositories"):
                    return "docker-archive"
    except (tarfile.TarError, EOFError, ValueError):
        pass
    raise Problem(
        "archive",
        "{} is neither an oci-archive nor a docker-archive".format(os.path.basename(path)),
        "write it with `podman save` or `skopeo copy`",
    )


def _pull(source, credentials, secrets):
    """The id of the image, which podman has now."""
    with tempfile.TemporaryDirectory(dir="/run" if os.access("/run", os.W_OK) else None) as temporary:
        more = ["--authfile", AUTH_FILE] if os.path.isfile(AUTH_FILE) else []
        if credentials:
            more = ["--authfile", os.path.join(temporary, "auth.json")]
            _write_credentials(more[1], source.split("/")[0], credentials, secrets)
        code, output = _podman("pull", "--quiet", *more, source, seconds=PULL_SECONDS)
    if code != 0:
        raise _refusal(source, code, output)
    lines = output.decode("utf-8", "replace").split()
    found = lines[-1] if lines else ""
    if len(found) != 64 or set(found) - set("0123456789abcdef"):
        raise Problem("host", "podman does not say which image it has pulled", "")
    return found


def _refusal(source, code, output):
    """The problem that podman's words mean: it gives every failure the same code."""
    said = "it takes more than {:g} s".format(PULL_SECONDS) if code is None else commands.tail(output)
    kind, resolution = "download", "check that this host reaches the registry, and trusts its certificate"
    known = REFUSALS
    if source.startswith(("oci-archive:", "docker-archive:")):
        kind, resolution = "archive", "write it with `podman save` or `skopeo copy`"
        known = REFUSALS[:1]
    found = (one for one in known if re.search(one[1], said, re.IGNORECASE))
    kind, _, resolution = next(found, (kind, "", resolution))
    return Problem(kind, "podman cannot pull {}: {}".format(source, said), resolution)


def _write_credentials(path, registry, credentials, secrets):
    def value(one):
        return secrets[one["secret"]] if isinstance(one, dict) else one or ""

    user = value(credentials.get("username")) or "token"
    pair = "{}:{}".format(user, value(credentials.get("password") or credentials.get("token")))
    auth = {"auths": {registry: {"auth": base64.b64encode(pair.encode()).decode()}}}
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(auth, file)


def _tag(directory, name):
    placement = os.path.basename(directory).rsplit("-", 1)[-1]
    return "{}{}:{}".format(REPOSITORY, placement, hashlib.sha256(name.encode()).hexdigest()[:16])


def prune(here):
    """Images of releases that are kept no longer are gone, as far as nobody else uses them."""
    kept = {_tag(here.directory, name) for name in here.receipt["releases"]}
    for tag, pulled in list(here.receipt.get("images", {}).items()):
        if tag not in kept:
            _forget(here, tag, pulled)


def remove(here):
    """No image of this placement is there, as far as nobody else uses it; true when there was one."""
    images = here.receipt.get("images") or {}
    for tag, pulled in list(images.items()):
        _forget(here, tag, pulled)
    return bool(images)


def _forget(here, tag, pulled):
    for name in (tag, pulled):
        if name:
            _podman("rmi", name)
    del here.receipt["images"][tag]
    here.save()


def contradictions(record):
    """What of the live release's image is not as recorded, one sentence each."""
    image = record.get("image")
    if not image or not units.is_root() or not os.access(PODMAN, os.X_OK):
        return []
    gone = _podman("image", "exists", image)[0] == 1
    return ["podman has no image {} any more".format(image[:12])] if gone else []


def _podman(*arguments, seconds=CALL_SECONDS):
    try:
        return commands.run([PODMAN, *arguments], seconds)
    except commands.CommandError as error:
        raise Problem("host", "podman {}".format(error), "") from None


def _require(*arguments):
    code, output = _podman(*arguments)
    if code == 0:
        return
    shown = commands.describe([PODMAN, *arguments])
    if code is None:
        raise Problem("host", "`{}` takes more than {:g} s".format(shown, CALL_SECONDS), "")
    raise Problem("host", "`{}` failed: {}".format(shown, commands.tail(output)), "")
