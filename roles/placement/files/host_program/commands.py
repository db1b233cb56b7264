"""Running a command to its end or to its time: no shell, nothing on its input, the end of its output."""

from __future__ import annotations

import os
import pwd
import select
import shlex
import signal
import subprocess
import time

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PIECE_BYTES = 1 << 16
KEPT_BYTES = 1 << 14
SHOWN_CHARACTERS = 400
POLL_SECONDS = 0.05


class CommandError(Exception):
    """It could not be started; the message says why."""


def run(arguments, seconds, user="", environment=None, more=None, directory="/"):
    """The command has ended, and everything that it started in its session with it.

    Args:
        arguments: the program (absolute, or found on `PATH`) and its arguments, as they are.
        user: whom it runs as; empty: whoever this program runs as.
        environment: all of its environment; None: `PATH`, home and name of its user.
        more: what is in its environment beside that.
        directory: where it runs; a program with a slash in it is looked for there.

    Returns:
        (exit code, the end of what it wrote); the code is None when its time was over, negative for a signal.

    Raises:
        CommandError: it could not be started.
    """
    identity, own = _identity(user)
    try:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env={**(own if environment is None else environment), **(more or {})},
            start_new_session=True,
            **identity,
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise CommandError("cannot be run: {}".format(getattr(error, "strerror", "") or error)) from None
    with process:
        try:
            is_over, output = _listen(process, time.monotonic() + seconds)
        finally:
            # Before it is waited for: until then its number, and that of its group, is nobody else's.
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
    return code if is_over else None, output


def describe(arguments):
    """The command as people write it, not too long."""
    text = _plain(" ".join(map(shlex.quote, arguments)))
    return text if len(text) <= 200 else text[:200] + "..."


def tail(output):
    """The end of an output, on one line."""
    text = " ".join(_plain(output.decode("utf-8", "replace")).split())
    return text if len(text) <= SHOWN_CHARACTERS else "..." + text[-SHOWN_CHARACTERS:]


def _identity(user):
    """What Popen has to be told, and the environment of that user."""
    try:
        entry = pwd.getpwnam(user) if user else pwd.getpwuid(os.geteuid())
    except KeyError:
        if not user:
            return {}, {"PATH": PATH, "LANG": "C.UTF-8"}
        raise CommandError("cannot be run: there is no user {}".format(user)) from None
    environment = {
        "PATH": PATH,
        "LANG": "C.UTF-8",
        "HOME": entry.pw_dir,
        "USER": entry.pw_name,
        "LOGNAME": entry.pw_name,
    }
    if entry.pw_uid == os.geteuid():
        return {}, environment
    if os.geteuid() != 0:
        raise CommandError("cannot be run as {} without root; set become for this host".format(user))
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": groups}, environment


def _listen(process, until):
    """(whether it ended in time, the end of its output)."""
    file, output = process.stdout.fileno(), b""
    os.set_blocking(file, False)
    is_open = True
    while True:
        ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        left = until - time.monotonic()
        if is_open and select.select([file], [], [], 0 if ended else max(0, min(left, POLL_SECONDS)))[0]:
            piece = os.read(file, PIECE_BYTES)
            is_open = bool(piece)
            output = (output + piece)[-KEPT_BYTES:]
        elif not is_open and not ended:
            time.sleep(max(0, min(left, POLL_SECONDS)))
        elif ended:
            return True, output
        if left <= 0:
            # What it left behind may go on writing; that does not make it late.
            return ended, output


def _plain(text):
    return "".join(one if one.isprintable() or one.isspace() else "?" for one in text)
