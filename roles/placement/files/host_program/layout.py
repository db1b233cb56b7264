"""What a release is beside its artifact: rendered files, paths that it shares with other releases, owner and modes.

<deployment_path>/shared/   ours; what is below may be the application's
    <shared path>           in the place of which each release has a link

Everything is done in the staging directory, which only we can enter, and to entries of `shared` that lie in
directories which only we can rearrange. Nothing is done to what lies inside of a shared path once it is there.
"""

from __future__ import annotations

import errno
import grp
import hashlib
import os
import posixpath
import pwd
import shutil
import stat

from host_program import receipts
from host_program.paths import refuse_controlled
from host_program.problems import Problem

SHARED = "shared"
SEED = ".orchestrator-seed-"
SHOWN_CHARACTERS = 1 << 20
OWNERSHIP = ("file_owner", "file_group", "file_mode", "directory_mode")


def shared_place(root, path):
    """Where a shared path of the deployment path is kept."""
    return os.path.join(root, SHARED, path)


def refuse(placement, root):
    """Raises the Problem that the settings would meet on this host, whatever the artifact is; changes nothing."""
    for one in [_whose(placement), *placement.get("shared_paths", ())]:
        uid, gid = identity_of(one)
        if os.geteuid() != 0 and uid not in (-1, os.geteuid()):
            raise Problem(
                "permission",
                "only root can give files to {}".format(one["owner"]),
                "set become for this host, or leave `owner` out",
            )
        if os.geteuid() != 0 and gid not in (-1, os.getegid(), *os.getgroups()):
            raise Problem(
                "permission",
                "only root and members can give files to the group {}".format(one["group"]),
                "set become for this host, or leave `group` out",
            )
    for one in placement.get("shared_paths", ()):
        place = shared_place(root, one["path"])
        refuse_controlled(os.path.dirname(place))
        parent = os.path.join(root, SHARED)
        for part in one["path"].split("/")[:-1]:
            _require_directory(parent)
            parent = os.path.join(parent, part)
        _require_directory(parent)


def _require_directory(path):
    if os.path.lexists(path) and not os.path.isdir(path):
        raise Problem("conflict", "{} is no directory".format(path), "move it away, then deploy again")


def _whose(placement):
    return {"owner": placement.get("file_owner"), "group": placement.get("file_group")}


def identity_of(settings):
    """(uid, gid) of `owner` and `group`; -1 where there is none.

    Raises:
        Problem: the host does not know it.
    """
    uid, gid = -1, -1
    try:
        if settings.get("owner"):
            uid = pwd.getpwnam(settings["owner"]).pw_uid
    except KeyError:
        raise Problem(
            "unsupported",
            "there is no user {}".format(settings["owner"]),
            "create that user on the host, or name another `owner`",
        ) from None
    try:
        if settings.get("group"):
            gid = grp.getgrnam(settings["group"]).gr_gid
    except KeyError:
        raise Problem(
            "unsupported",
            "there is no group {}".format(settings["group"]),
            "create that group on the host, or name another `group`",
        ) from None
    return uid, gid


def check(placement, root, entries):
    """Raises the Problem that the settings would meet with that artifact; changes nothing.

    Args:
        entries: of the artifact's tree; None: nobody has looked into it.
    """
    if entries is None:
        return
    for one in placement.get("templates", ()):
        source = one.get("release_source")
        if source and entries.get(source, {}).get("type") != "file":
            raise Problem(
                "archive",
                "the release has no file {}, which is to be rendered".format(source),
                "correct `release_source`, or add it to the artifact",
            )
        _require_plain_way(entries, one["path"])
        if entries.get(one["path"], {}).get("type", "file") != "file":
            raise Problem(
                "archive",
                "the release has {} as something else than a file, and a template goes there".format(
                    one["path"]
                ),
                "choose another `path`",
            )
    for one in placement.get("shared_paths", ()):
        path = one["path"]
        _require_plain_way(entries, path)
        found = entries.get(path, {}).get("type")
        if found == "link":
            raise Problem(
                "archive",
                "the artifact has {} as a link, and it is to be shared".format(path),
                "take it out of the artifact, or out of `shared_paths`",
            )
        if not found and not one.get("directory") and not os.path.lexists(shared_place(root, path)):
            raise Problem(
                "missing",
                "neither the release nor {} has {}".format(os.path.join(root, SHARED), path),
                "put it there; or write {}/ if it is a directory, which is then made".format(path),
            )


def looked_at(placement):
    """The paths that `check` asks about; None: all of them, since what is live is compared with them."""
    if placement.get("action") == "adopt":
        return None
    named = [one["path"] for one in placement.get("shared_paths", ())]
    for one in placement.get("templates", ()):
        named += [one["path"], one.get("release_source") or ""]
    found = set()
    for path in named:
        while path:
            found.add(path)
            path = posixpath.dirname(path)
    return sorted(found)


def _require_plain_way(entries, path):
    """Raises a Problem when something above the path is no directory."""
    above = posixpath.dirname(path)
    while above:
        if entries.get(above, {}).get("type", "directory") != "directory":
            raise Problem(
                "archive",
                "the artifact has {} as a {}, and {} would lie in it".format(
                    above, entries[above]["type"], path
                ),
                "take it out of the artifact, or correct the path",
            )
        above = posixpath.dirname(above)


def differences(placement, paths, receipt, live, request):
    """`rendered`: what templates change in comparison with the live release, where that is asked for.

    Only what was rendered itself is shown: another file may hold secrets.
    """
    if not request.get("diff") or not placement.get("templates"):
        return {}
    known = ((receipt or {}).get("releases") or {}).get(live, {}).get("templates", ())
    found = []
    for one in placement["templates"]:
        before = (
            _read_rendered(os.path.join(paths.release(live), one["path"])) if one["path"] in known else ""
        )
        if "text" in one and before != one["text"]:
            found.append({"path": one["path"], "before": before, "after": one["text"]})
    return {"rendered": found} if found else {}


def _read_rendered(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(SHOWN_CHARACTERS)
    except OSError:
        return ""


def to_render(placement, unpacked):
    """Text of each template that lies in the release itself, by its path there; empty when all is rendered."""
    found = {}
    for one in placement.get("templates", ()):
        source = one.get("release_source")
        if source and "text" not in one:
            with open(os.path.join(unpacked, source), "rb") as file:
                content = file.read()
            try:
                found[source] = content.decode("utf-8")
            except UnicodeDecodeError:
                raise Problem(
                    "archive", "{} is no UTF-8 text, and is to be rendered".format(source), ""
                ) from None
    return found


def apply(placement, root, unpacked, entries):
    """The unpacked release is what the settings say, and `entries` with it; what it shares is in `shared`."""
    check(placement, root, entries)
    for one in placement.get("templates", ()):
        _write(one, unpacked, entries)
    for one in placement.get("shared_paths", ()):
        _share(one, root, unpacked, entries)
    _own(placement, unpacked, entries)


def _write(template, unpacked, entries):
    path, content = template["path"], template["text"].encode("utf-8", "surrogatepass")
    _make_way(path, unpacked, entries)
    target = os.path.join(unpacked, path)
    old = entries.get(path, {}).get("mode", 0o644)
    mode = int(template["mode"], 8) if template.get("mode") else old
    if path in entries:
        os.unlink(target)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    os.chmod(target, mode)
    entries[path] = {
        "type": "file",
        "mode": mode,
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _make_way(path, unpacked, entries):
    """The directories above a path of the release are there."""
    missing, above = [], posixpath.dirname(path)
    while above and above not in entries:
        missing.append(above)
        above = posixpath.dirname(above)
    for one in reversed(missing):
        os.mkdir(os.path.join(unpacked, one), 0o755)
        os.chmod(os.path.join(unpacked, one), 0o755)
        entries[one] = {"type": "directory", "mode": 0o755}


def _share(one, root, unpacked, entries):
    """The release has a link where it shares; what `shared` does not have yet, it gets from the release."""
    path, place = one["path"], shared_place(root, one["path"])
    ours = os.path.join(unpacked, path)
    _make_way(path, unpacked, entries)
    _make_place(root, posixpath.dirname(path))
    refuse_controlled(os.path.dirname(place))
    if not os.path.lexists(place):
        if path not in entries:
            os.mkdir(ours, 0o755)
        _give(one, ours)
        _move(ours, place)
    elif path in entries:
        (shutil.rmtree if entries[path]["type"] == "directory" else os.unlink)(ours)
    for other in [other for other in entries if other == path or other.startswith(path + "/")]:
        del entries[other]
    target = posixpath.join("../" * (path.count("/") + 2) + SHARED, path)
    os.symlink(target, ours)
    entries[path] = {"type": "link", "target": target}


def _make_place(root, folder):
    """The directory `shared`, and what a shared path lies in, are there and ours."""
    path = os.path.join(root, SHARED)
    for part in ["", *folder.split("/")]:
        path = os.path.join(path, part) if part else path
        if not os.path.isdir(path):
            os.mkdir(path, 0o755)
            os.chmod(path, 0o755)
            receipts.sync_directory(os.path.dirname(path))


def _give(one, top):
    """What is about to be shared belongs to whom it is said to; it still lies where only we can enter."""
    uid, gid = identity_of(one)
    for path in _everything(top):
        if (uid, gid) != (-1, -1):
            os.chown(path, uid, gid, follow_symlinks=False)
    if one.get("mode") and os.path.isdir(top):
        os.chmod(top, int(one["mode"], 8))
    elif one.get("mode"):
        os.chmod(top, int(one["mode"], 8) & 0o777)


def _everything(top):
    """The path and all below it; links are not followed."""
    yield top
    if os.path.isdir(top) and not os.path.islink(top):
        for folder, directories, files in os.walk(top):
            for name in directories + files:
                yield os.path.join(folder, name)


def _move(source, place):
    """It is there at once, on another file system too."""
    folder = os.path.dirname(place)
    try:
        os.rename(source, place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(source, place)
    receipts.sync_directory(folder)


def _copy(source, place):
    folder = os.path.dirname(place)
    for name in os.listdir(folder):
        if name.startswith(SEED):
            _remove(os.path.join(folder, name))
    # Nobody else gets into it while owners and modes are not those that were given.
    hidden = os.path.join(folder, SEED + os.urandom(8).hex())
    os.mkdir(hidden, 0o700)
    copy = os.path.join(hidden, "copy")
    if os.path.isdir(source):
        shutil.copytree(source, copy, symlinks=True)
    else:
        shutil.copy2(source, copy)
    for original in _everything(source):
        status = os.lstat(original)
        os.chown(copy + original[len(source) :], status.st_uid, status.st_gid, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            os.chmod(copy + original[len(source) :], stat.S_IMODE(status.st_mode))
    os.rename(copy, place)
    os.rmdir(hidden)
    _remove(source)


def _remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def owned(placement, entries):
    """The entries have the owner and modes that the settings give them; nothing on the disk has."""
    if not _is_owned(placement):
        return
    uid, gid = identity_of(_whose(placement))
    plain = int(placement.get("file_mode") or "0644", 8)
    given = {template["path"] for template in placement.get("templates", ()) if template.get("mode")}
    for path, entry in entries.items():
        if entry["type"] == "file":
            executable = plain | (plain & 0o444) >> 2 if entry["mode"] & 0o111 else plain
            entry["mode"] = entry["mode"] if path in given else executable
        elif entry["type"] == "directory":
            entry["mode"] = int(placement.get("directory_mode") or "0755", 8)
        entry.update({key: number for key, number in (("uid", uid), ("gid", gid)) if number != -1})


def _is_owned(placement):
    return any(placement.get(key) for key in OWNERSHIP)


def _own(placement, unpacked, entries):
    if not _is_owned(placement):
        return
    owned(placement, entries)
    uid, gid = identity_of(_whose(placement))
    for path, entry in entries.items():
        full = os.path.join(unpacked, path)
        if (uid, gid) != (-1, -1):
            os.chown(full, uid, gid, follow_symlinks=False)
        if entry["type"] != "link":
            os.chmod(full, entry["mode"])
    if (uid, gid) != (-1, -1):
        os.chown(unpacked, uid, gid)
    os.chmod(unpacked, int(placement.get("directory_mode") or "0755", 8))
