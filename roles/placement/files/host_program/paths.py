"""Where a placement lives on the host, and whether it is ours to touch."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat

from host_program import receipts
from host_program.problems import Problem

STAGING = ".orchestrator-staging"
REMOVED = ".orchestrator-removed-"
MAX_LINKS_FOLLOWED = 40
TAKE_OVER = "take it over with `orchestrator adopt` where it is the version that git asks for; or "


class Paths:
    """The layout of one deployment path: `releases/<directory>`, `current`, and our staging directory."""

    def __init__(self, deployment_path):
        self.root = deployment_path
        self.releases = os.path.join(deployment_path, "releases")
        self.current = os.path.join(deployment_path, "current")
        self.staging = os.path.join(deployment_path, STAGING)
        self._made = None

    def make_staging(self):
        """Our staging directory is there, for us alone."""
        if not os.path.isdir(self.staging):
            os.mkdir(self.staging, 0o700)
        self._made = os.stat(self.staging)

    def clear_staging(self):
        """The staging directory that was made is gone; what somebody has put in its way meanwhile is left alone."""
        with contextlib.suppress(FileNotFoundError):
            if self._made and os.path.samestat(self._made, os.stat(self.staging)):
                shutil.rmtree(self.staging, ignore_errors=True)

    def release(self, directory):
        return os.path.join(self.releases, directory)

    def point(self, target):
        """`current` is a link to that, at once."""
        temporary = os.path.join(self.root, ".current-" + os.urandom(8).hex())
        os.symlink(target, temporary)
        try:
            os.replace(temporary, self.current)
        except OSError:
            os.unlink(temporary)
            raise
        receipts.sync_directory(self.root)

    def live_directory(self):
        """The directory name that `current` points to; empty when there is no `current`.

        Raises:
            Problem: `current` is something that we did not make; it is left alone.
        """
        try:
            target = os.readlink(self.current)
        except FileNotFoundError:
            return ""
        except NotADirectoryError:
            raise Problem(
                "conflict", "{} is not a directory".format(self.root), "move it away, or deploy elsewhere"
            ) from None
        except OSError as error:
            if not os.path.lexists(self.current) or not stat.S_ISLNK(os.lstat(self.current).st_mode):
                raise Problem(
                    "conflict",
                    "{} is not a link; somebody put it there by hand".format(self.current),
                    TAKE_OVER + "move it away (nothing in it was touched), then deploy again",
                ) from None
            raise error
        parent, directory = os.path.split(os.path.normpath(os.path.join(self.root, target)))
        if parent != os.path.normpath(self.releases):
            raise Problem(
                "conflict",
                "{} points to {}, which is no release of ours".format(self.current, target),
                TAKE_OVER + "remove the link, then deploy again",
            )
        return directory


def refuse_foreign(identity, application, deployment_path):
    """Raises a Problem when another identity's receipt claims that path, or one above or below it."""
    for _, receipt in receipts.all_receipts():
        owner = (receipt["identity"], receipt["application"])
        if owner == (identity, application) or not receipt["releases"]:
            continue
        other = receipt["deployment_path"]
        if _overlaps(other, deployment_path):
            raise Problem(
                "conflict",
                "{} belongs to {} of {} (at {})".format(deployment_path, owner[1], owner[0], other),
                "choose another deployment_path, or remove that application from this host first",
            )


def _overlaps(one, other):
    return one == other or one.startswith(other + "/") or other.startswith(one + "/")


def refuse_controlled(path):
    """Raises a Problem when root would write below a directory that another user can rearrange.

    So are our own directories there, which somebody may have made before us.
    """
    if os.geteuid() != 0:
        return
    ways = (path, os.path.join(path, "releases"), os.path.join(path, STAGING))
    for one, status in dict(each for way in ways for each in _way_to(way)).items():
        shared = status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX
        link = stat.S_ISLNK(status.st_mode)
        if status.st_uid != 0 or (shared and not link):
            raise Problem(
                "permission",
                "{} is controlled by uid {} (mode {:o}), and root would follow what they put there".format(
                    one, status.st_uid, stat.S_IMODE(status.st_mode)
                ),
                "chown root and chmod go-w it, or deploy as that user (become_user)",
            )


def _way_to(path):
    """(path, status) of everything that the kernel looks at on its way there, links and what they lead to."""
    todo, at, followed = path.split("/")[::-1], "/", 0
    yield at, os.lstat(at)
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
        at = os.path.dirname(at) if part == ".." else os.path.join(at, part)
        try:
            status = os.lstat(at)
        except FileNotFoundError:
            return
        yield at, status
        if stat.S_ISLNK(status.st_mode):
            followed += 1
            if followed > MAX_LINKS_FOLLOWED:
                raise Problem(
                    "conflict", "{} is a link in a circle".format(at), "remove it, then deploy again"
                )
            target = os.readlink(at)
            at = "/" if target.startswith("/") else os.path.dirname(at)
            todo.extend(target.split("/")[::-1])


def refuse_unwritable(path, need_bytes, need_inodes):
    """Raises the Problem that writing there would meet; changes nothing.

    Args:
        path: absolute, may not exist yet.
        need_bytes: what is going to be written, at least.
        need_inodes: how many files and directories, at least.
    """
    if not os.path.isabs(path):
        raise Problem(
            "conflict", "{!r} is no absolute path".format(path), "write it from / on, such as /srv/my-website"
        )
    existing = path
    while not os.path.lexists(existing):
        existing = os.path.dirname(existing)
    if not os.path.isdir(existing):
        raise Problem(
            "conflict", "{} is not a directory".format(existing), "move it away, or deploy elsewhere"
        )
    if not os.access(existing, os.W_OK | os.X_OK, effective_ids=True):
        from host_program.problems import user_name

        raise Problem(
            "permission",
            "{} may not write at {}".format(user_name(), existing),
            "set become for this host, or give {} that directory".format(user_name()),
        )
    space = os.statvfs(existing)
    if space.f_flag & os.ST_RDONLY:
        raise Problem(
            "permission", "the file system is read-only at {}".format(existing), "mount it read-write"
        )
    blocks = space.f_bfree if os.geteuid() == 0 else space.f_bavail
    if blocks * space.f_frsize < need_bytes:
        raise Problem(
            "disk_full",
            "{} has {} MB free, {} MB are needed".format(
                existing, blocks * space.f_frsize >> 20, (need_bytes >> 20) + 1
            ),
            "free some space there (keep_releases in the environment bounds what is kept)",
        )
    if space.f_files and space.f_favail < need_inodes:
        raise Problem(
            "disk_full",
            "{} has {} inodes left, {} are needed".format(existing, space.f_favail, need_inodes),
            "",
        )
