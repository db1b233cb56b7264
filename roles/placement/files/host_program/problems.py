"""What can go wrong on a host, as a value that says what to do."""

from __future__ import annotations

import errno
import os


class Problem(Exception):
    """A failure that the operator can act on.

    Args:
        kind: `disk_full`, `permission`, `conflict`, `download`, `credentials`, `missing`, `checksum`,
            `archive`, `unsupported`, `busy`, `python` or `host`; the controller gives each its exit code.
        message: what is wrong and where.
        resolution: what to do.

    Attributes:
        hooks: those that ran until one of them was the problem.
    """

    hooks = ()

    def __init__(self, kind, message, resolution=""):
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.resolution = resolution

    def as_json(self):
        return {"kind": self.kind, "message": self.message, "resolution": self.resolution}


def from_os_error(error):
    """The problem that an OSError means."""
    name = error.filename if isinstance(error.filename, str) else ""
    if isinstance(error.filename2, str):
        name = error.filename2
    at = " at " + name if name else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Problem(
            "disk_full",
            "no space or inodes left" + at,
            "free some space there (keep_releases in the environment bounds what is kept) and run it again",
        )
    if error.errno == errno.EROFS:
        return Problem("permission", "the file system is read-only" + at, "mount it read-write")
    if error.errno in (errno.EACCES, errno.EPERM):
        who = user_name()
        return Problem(
            "permission",
            "{} may not write{}".format(who, at or " there"),
            "set become for this host, or give {} that directory".format(who),
        )
    return Problem("host", "{}{}".format(error.strerror or type(error).__name__, at), "")


def from_defect(error):
    """What an error means that nobody expected. Its text is not shown: it may hold a secret."""
    import traceback

    if isinstance(error, ImportError):
        return Problem(
            "python",
            "this host's Python lacks the module {}".format(error.name),
            "install the whole of python3 there (python3-minimal is not enough), or set `python`",
        )
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return Problem(
        "host",
        "{} in {}:{} ({})".format(type(error).__name__, frame.filename, frame.lineno, frame.name),
        "this is a defect of the orchestrator; please report it with this line",
    )


def user_name():
    """Who this program runs as."""
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return "uid " + str(os.geteuid())
