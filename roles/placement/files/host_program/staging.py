"""Phase `stage`: a verified release lies beside the live one."""

from __future__ import annotations

import json
import os
import re
import shutil

from host_program import archives, arriving, fetch, hooks, keeping, layout, receipts, records, trees
from host_program.paths import Paths, refuse_controlled, refuse_foreign, refuse_unwritable
from host_program.problems import Problem

EXTRA_BYTES = 1 << 20
PENDING = "pending"
_UNMADE_LINK = re.compile(r"\.current-[0-9a-f]{16}|current\.before-adoption(\.[0-9]+)?")


def stage(placement, request):
    """The release is unpacked, verified, synced and recorded; `current` is untouched.

    Returns:
        The placement's result; `upload` is true when the controller has to send the artifact first, `render` has the
        release's own templates when it has to render them first (then it asks again, with `work`).
    """
    paths = Paths(placement["deployment_path"])
    identity, application = request["identity"], placement["application"]
    require_absolute(paths.root)
    refuse_controlled(paths.root)
    refuse_foreign(identity, application, paths.root)
    live = "" if placement.get("foreign") else paths.live_directory()
    layout.refuse(placement, paths.root)
    directory = receipts.placement_directory(identity, application, paths.root)
    if request["check"]:
        return _predict(placement, paths, receipts.read_receipt(directory), directory, request)
    receipt = receipts.read_receipt(directory) or receipts.new_receipt(identity, application, paths.root)
    _forget_unmade(receipt, paths, directory)
    kept = records.find_release(receipt, paths, directory, placement)
    if kept:
        _remove_leftovers(paths, directory, receipt)
        message, ran = "release {} is there already".format(kept), []
        if not records.is_converged(receipt, paths, kept, placement):
            _remember(receipt, directory, request, kept)
            if receipt["releases"][kept].get("after_stage") == PENDING:
                ran = _after_stage(placement, request, paths, directory, receipt, kept, live)
        told = {"message": message, "release_path": paths.release(kept), **_told(ran)}
        return {"changed": bool(ran), **told}
    artifact = placement["artifact"]
    _require_place(artifact, placement)
    if artifact["delivery"] == "controller" and not artifact.get("local") and not placement.get("work"):
        return {"changed": True, "upload": True, "message": "the controller sends the artifact"}
    ran = []
    if not placement.get("work"):
        around = hooks.around_of(receipt, paths, "", live)
        ran = hooks.run("before_stage", placement, request, around)
    make_directory(paths.root)
    # Somebody may have made it since it was looked at, in /tmp for instance.
    refuse_controlled(paths.root)
    if not placement.get("work"):
        _remove_leftovers(paths, directory, receipt)
    paths.make_staging()
    name = _free_name(paths, placement["release"])
    waiting = _unpack_beside(placement, request, paths, directory, receipt, name)
    if waiting:
        return {"changed": True, **waiting, **_told(ran)}
    ran = _after_stage(placement, request, paths, directory, receipt, name, live, ran)
    told = {"message": "release {} staged".format(name), "release_path": paths.release(name), **_told(ran)}
    return {"changed": True, **told, **layout.differences(placement, paths, receipt, live, request)}


def _fetch(artifact, secrets, path):
    """The artifact is there, verified; of a registry's image, which podman verifies, only what it is called."""
    if artifact.get("image"):
        receipts.write_json(path, {"image": artifact["image"]})
    else:
        fetch.fetch(artifact, secrets, path)


def _told(ran):
    return {"hooks": ran} if ran else {}


def _after_stage(placement, request, paths, directory, receipt, name, live, before=()):
    """The hooks after staging have run; a release whose hooks failed runs them again when it is staged again."""
    if not hooks.of_event(placement, "after_stage"):
        return list(before)
    around = hooks.around_of(receipt, paths, name, live if live != name else "")
    ran = hooks.run("after_stage", placement, request, around, before)
    del receipt["releases"][name]["after_stage"]
    receipts.write_receipt(directory, receipt)
    return ran


def _require_place(artifact, placement):
    """A rollback names no place where the artifact is: the release is to be here already."""
    if not artifact["location"]:
        raise Problem(
            "missing",
            "release {} is not whole here any more".format(placement["release"]),
            "roll back to another one with --to VERSION, or deploy what git asks for",
        )


def _remember(receipt, directory, request, name):
    receipt["staged"] = {"run": request["run"]["id"], "directory": name}
    receipts.write_receipt(directory, receipt)


def require_absolute(path):
    """Raises a Problem for a path that depends on where this program happens to run."""
    if not os.path.isabs(path):
        raise Problem(
            "conflict", "{!r} is no absolute path".format(path), "write it from / on, such as /srv/my-website"
        )


def make_directory(path, mode=0o755):
    """The directory and its parents exist, with that mode whatever the umask says."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for one in reversed(missing):
        try:
            os.mkdir(one)
        except FileExistsError:  # another placement of this machine was quicker
            continue
        os.chmod(one, mode)
        receipts.sync_directory(os.path.dirname(one))


def _free_name(paths, release):
    names = [release] + ["{}.{}".format(release, number) for number in range(2, 1000)]
    return next(name for name in names if not os.path.lexists(paths.release(name)))


def _remove_leftovers(paths, directory, receipt):
    """Nothing is left of a run that died: its staging directory, old releases that it had set aside, a link or a record
    that it did not finish.

    What cannot be removed (a file that is in use on NFS) is in nobody's way.

    Raises:
        Problem: something else has the staging directory's name; it is left alone.
    """
    if os.path.islink(paths.staging) or os.path.isfile(paths.staging):
        raise Problem(
            "conflict", "{} is no directory of ours".format(paths.staging), "remove it, then deploy again"
        )
    shutil.rmtree(paths.staging, ignore_errors=True)
    keeping.clear_set_aside(paths.root)
    for name in os.listdir(paths.root) if os.path.isdir(paths.root) else ():
        path = os.path.join(paths.root, name)
        unmade = _UNMADE_LINK.fullmatch(name) and os.path.islink(path)
        if unmade and (name.startswith(".") or os.readlink(path).startswith("releases/")):
            os.unlink(path)
    known = {records.tree_path(directory, name) for name in receipt["releases"]}
    folder = os.path.join(directory, "trees")
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if os.path.join(folder, name) not in known:
            os.unlink(os.path.join(folder, name))


def _forget_unmade(receipt, paths, directory):
    """A release that a run died before making, recorded as staged and not there, is no release."""
    for name, record in list(receipt["releases"].items()):
        if record["state"] == "staged" and not os.path.isdir(paths.release(name)):
            del receipt["releases"][name]
            tree = records.tree_path(directory, name)
            if os.path.exists(tree):
                os.unlink(tree)


def _unpack_beside(placement, request, paths, directory, receipt, name):
    """The release is there; or what it waits for, `work` and `render`, see `stage`."""
    work = os.path.join(paths.staging, placement.get("work") or os.urandom(8).hex())
    unpacked, waiting = work + ".release", None
    try:
        if placement.get("work"):
            entries, size_bytes = _resume(work)
        else:
            entries, size_bytes = _unpack(placement, request, paths, work)
        layout.check(placement, paths.root, entries)
        sources = layout.to_render(placement, unpacked)
        if sources:
            with open(work + ".entries", "w", encoding="utf-8") as file:
                json.dump([entries, size_bytes], file)
            waiting = {
                "work": os.path.basename(work),
                "render": sources,
                "message": "its templates are rendered",
            }
            return waiting
        layout.apply(placement, paths.root, unpacked, entries)
        make_directory(paths.releases)
        receipts.write_json(records.tree_path(directory, name), entries)
        trees.sync_file_system(unpacked)
        # Recorded before it is there: a release without a record would never be pruned.
        _record(receipt, placement, request, name, trees.tree_digest(entries), size_bytes)
        _remember(receipt, directory, request, name)
        os.rename(unpacked, paths.release(name))
        receipts.sync_directory(paths.releases)
    except OSError as error:
        # A write that fails does not say where.
        error.filename = error.filename or paths.root
        raise
    finally:
        if waiting is None:
            paths.clear_staging()
    return None


def _unpack(placement, request, paths, work):
    """(entries, size in bytes) of the artifact, verified and unpacked."""
    artifact, download, unpacked = placement["artifact"], work + ".download", work + ".release"
    refuse_unwritable(paths.staging, (artifact["size_bytes"] or 0) + EXTRA_BYTES, 4)
    tree = arriving.unpack(artifact, request["secrets"], unpacked)
    if tree is None:
        _fetch(artifact, request["secrets"], download)
        trees.make_root(unpacked)
        tree = archives.Tree(unpacked, os.path.getsize(download), artifact["strip_components"])
        _fill(tree, artifact, download)
        os.unlink(download)
    for path, entry in tree.entries.items():
        if entry["type"] == "directory":
            os.chmod(os.path.join(unpacked, path), entry["mode"])
    return tree.entries, tree.size_bytes


def _resume(work):
    """(entries, size in bytes) of what was unpacked and waited for its templates."""
    try:
        with open(work + ".entries", encoding="utf-8") as file:
            entries, size_bytes = json.load(file)
    except FileNotFoundError:
        raise Problem(
            "busy", "another deployment was here while templates were rendered", "run this one again"
        ) from None
    return entries, size_bytes


def _record(receipt, placement, request, name, tree_sha256, size_bytes):
    receipt["sequence"] += 1
    receipt["releases"][name] = {
        "release": placement["release"],
        "version": placement["version"],
        "artifact_sha256": placement["artifact"]["sha256"],
        "tree_sha256": tree_sha256,
        "size_bytes": size_bytes,
        "configuration_digest": "",
        "state": "staged",
        "sequence": receipt["sequence"],
        "staged_at": request["run"]["time"],
        "activated_at": "",
    }
    if placement.get("templates"):
        receipt["releases"][name]["templates"] = sorted(one["path"] for one in placement["templates"])
    if hooks.of_event(placement, "after_stage"):
        receipt["releases"][name]["after_stage"] = PENDING


def _fill(tree, artifact, download):
    with open(download, "rb") as file:
        if artifact["packing"] == "zip":
            archives.unpack_zip(file, tree)
        elif artifact["packing"] == "tar":
            archives.unpack_tar(file, tree)
        else:
            size = os.path.getsize(download)
            mode = 0o755 if artifact.get("executable") else 0o644
            tree.add_file(artifact["filename"], mode, size, iter(lambda: file.read(1 << 20), b""))
    tree.finish()


def _predict(placement, paths, receipt, directory, request):
    """What staging would meet, found without writing anything."""
    kept = records.find_release(receipt, paths, directory, placement) if receipt else ""
    if kept:
        return {"changed": False, "message": "release {} is there already".format(kept)}
    artifact = placement["artifact"]
    _require_place(artifact, placement)
    if artifact["packing"] == "tar" and artifact["location"].lower().endswith(".zst"):
        from host_program import zstd

        zstd.require()
    size, members, unpacked = artifact["size_bytes"] or 0, 4, 0
    if artifact.get("image"):
        members = 1
    elif artifact["delivery"] == "host" or artifact.get("local") or "looked_into" in artifact:
        unpacked, members, entries = artifact.get("looked_into") or look_into(
            artifact, request["secrets"], layout.looked_at(placement)
        )
        layout.check(placement, paths.root, entries)
    refuse_unwritable(paths.root, size + unpacked + EXTRA_BYTES, members + 4)
    refuse_unwritable(directory, EXTRA_BYTES, 4)
    message = "would stage release {}".format(placement["release"])
    message += hooks.would(placement, "before_stage", "after_stage")
    live = "" if placement.get("foreign") else paths.live_directory()
    return {
        "changed": True,
        "message": message,
        **layout.differences(placement, paths, receipt, live, request),
    }


def look_into(artifact, secrets, paths=()):
    """What the archive unpacks to, after the checks that the real run makes.

    Args:
        paths: what is asked about beside; None: everything, and it is read for that.

    Returns:
        (bytes, members, path → `{"type"}` of those `paths` that it has, or its whole entries; None when nobody could
        look).
    """
    size_bytes, strip = artifact["size_bytes"] or 0, artifact["strip_components"]
    tree = archives.Tree(None, size_bytes, strip, reads=paths is None)
    if artifact.get("local"):
        if trees.file_sha256(artifact["location"]) != artifact["sha256"]:
            raise Problem("checksum", "the artifact has other bytes than planned", "plan again")
        _fill(tree, artifact, artifact["location"])
        return tree.size_bytes, len(tree.entries), _types(tree, paths)
    from host_program import remote

    header = fetch.authorization(artifact.get("credentials"), secrets)
    if artifact["packing"] == "tar":
        with remote.Body(artifact["location"], header) as body:
            archives.unpack_tar(body, tree)
    elif artifact["packing"] == "zip":
        try:
            file = None if tree.reads else remote.buffered(artifact["location"], header)
        except Problem as problem:
            if problem.kind != "unsupported":
                raise
            file = None
        file = file or remote.in_memory(artifact["location"], header)
        if file is None:
            return 0, 1, None
        archives.unpack_zip(file, tree)
    else:
        fetch.open_patiently(artifact["location"], header).close()
        tree.entries[artifact["filename"]] = {
            "type": "file",
            "mode": 0o755 if artifact.get("executable") else 0o644,
            "size": artifact["size_bytes"],
            "sha256": artifact["sha256"],
        }
        return artifact["size_bytes"] or 0, 1, _types(tree, paths)
    tree.finish()
    return tree.size_bytes, len(tree.entries), _types(tree, paths)


def _types(tree, paths):
    if paths is None:
        return tree.entries
    return {path: {"type": tree.entries[path]["type"]} for path in paths if path in tree.entries}
