"""Units of systemd: what they are like, and making them so. Nothing here knows placements."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time

from host_program import receipts
from host_program.problems import Problem, user_name

UNIT_DIRECTORY = "/etc/systemd/system"
SYSTEMD = "/run/systemd/system"
CALL_SECONDS = 60
POLL_SECONDS = 0.1
PROPERTIES = (
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "ExecMainStatus",
    "FragmentPath",
    "UnitFileState",
    "InvocationID",
    "NeedDaemonReload",
)
# What systemd itself ends with before the program runs, see systemd.exec(5).
EXIT_CODES = {
    "200": "it may not enter its working directory",
    "203": "its program cannot be executed",
    "208": "its secrets cannot be read",
    "216": "its group does not exist",
    "217": "its user does not exist",
    "226": "what confines it cannot be set up (a writable path that does not exist?)",
    "243": "its secrets cannot be read",
}


def is_root():
    """Whether this program may manage the system's units."""
    return os.geteuid() == 0


def require_systemd(name):
    """Raises a Problem where no unit can be managed."""
    if not os.path.isdir(SYSTEMD):
        raise Problem(
            "unsupported",
            "this host does not run systemd, which {} needs".format(name),
            "deploy it to a host that does",
        )
    if not is_root():
        raise Problem(
            "permission", "{} may not manage {}".format(user_name(), name), "set become for this host"
        )


def require_user(user, group):
    """Raises a Problem when the user or the group does not exist."""
    import grp
    import pwd

    for name, find, what in ((user, pwd.getpwnam, "user"), (group, grp.getgrnam, "group")):
        try:
            if name:
                find(name)
        except KeyError:
            command = "useradd --system {0}" if what == "user" else "groupadd --system {0}"
            raise Problem(
                "unsupported",
                "there is no {} {} on this host".format(what, name),
                "make it, such as with `{}`, or name another".format(command.format(name)),
            ) from None


def show(names):
    """Name → PROPERTIES of that unit; `LoadState` is `not-found` for one that does not exist."""
    if not names:
        return {}
    code, output = _systemctl("show", "--no-pager", "--property=" + ",".join(PROPERTIES), "--", *names)
    blocks = [block for block in output.split("\n\n") if "LoadState=" in block]
    if code != 0 or len(blocks) != len(names):
        raise Problem("host", "systemd does not say what {} is like".format(", ".join(names)), "")
    return {
        name: dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        for name, block in zip(names, blocks)
    }


def path_of(name):
    """Where the unit file of that name is, when it is ours."""
    return os.path.join(UNIT_DIRECTORY, name)


def read(name):
    """Our unit file's text; empty when there is none."""
    try:
        with open(path_of(name), encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def verify(name, text, current, release):
    """Raises a Problem when systemd would not take the unit.

    Args:
        current: the path in it that is to be read as `release`.
        release: where the program lies.
    """
    text = re.sub(re.escape(current) + r'(?=[/"\s]|$)', lambda match: release, text)
    where = os.path.dirname(SYSTEMD)
    with tempfile.TemporaryDirectory(dir=where if os.access(where, os.W_OK) else None) as directory:
        path = os.path.join(directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        try:
            code, output = _run(["systemd-analyze", "verify", "--man=no", path], CALL_SECONDS)
        except FileNotFoundError:
            raise Problem(
                "unsupported",
                "this host has no systemd-analyze to verify units with",
                "install systemd's tools",
            ) from None
    said = [line.strip() for line in output.splitlines() if path in line or line.startswith(name + ":")]
    wrong = [line for line in said if "ignoring" in line and "Unknown" not in line]
    if code != 0 or wrong:
        shown = "; ".join(line.replace(directory + "/", "") for line in wrong or said or [output[-300:]])
        raise Problem(
            "unsupported",
            "systemd does not take {}: {}".format(name, shown.replace(release, current)),
            "correct `service` of the application, or what the artifact contains",
        )


def install(name, text):
    """The unit file is there, whole, and systemd has read it."""
    path = path_of(name)
    temporary = _unfinished(name)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        os.unlink(temporary)
        error.filename = error.filename or path
        raise
    receipts.sync_directory(UNIT_DIRECTORY)
    reload_systemd()


def clean(name):
    """Nothing is left of a run that died while it wrote the unit file."""
    if os.path.lexists(_unfinished(name)):
        os.unlink(_unfinished(name))


def _unfinished(name):
    return path_of(name) + ".orchestrator-new"


def reload_systemd():
    """systemd has read all unit files again."""
    _require("daemon-reload")


def enable(name):
    """The unit starts at boot."""
    _require("enable", "--quiet", name)


def remove(name, seconds):
    """The unit is stopped, does not start at boot, and has no file of ours; others' files stay."""
    if show([name])[name]["LoadState"] != "not-found":
        _require("disable", "--quiet", name)
        _require("stop", name, seconds=seconds)
    for path in (path_of(name), _unfinished(name)):
        if os.path.lexists(path):
            os.unlink(path)
            receipts.sync_directory(UNIT_DIRECTORY)
    reload_systemd()
    _systemctl("reset-failed", name)


def end_without_file(name, seconds):
    """The unit is stopped when its file is gone; one that still has a file is somebody else's, and runs on."""
    reload_systemd()
    state = show([name])[name]
    if state["LoadState"] != "not-found":
        return
    if state["ActiveState"] not in ("inactive", "failed"):
        _require("stop", name, seconds=seconds)
    _systemctl("reset-failed", name)


def change(verb, name, seconds):
    """The unit is restarted (or what the verb says); an empty string, or what is wrong with it now."""
    try:
        code, _ = _systemctl(verb, name, seconds=seconds)
    except Problem as problem:
        return problem.message
    state = show([name])[name]
    if code != 0 or state["ActiveState"] not in ("active", "reloading"):
        return describe(name, state)
    return ""


def stays_active(name, seconds):
    """An empty string when it runs on for that time without being started anew, or what happened."""
    first = show([name])[name]
    deadline = time.monotonic() + seconds
    state = first
    while True:
        if state["ActiveState"] not in ("active", "reloading"):
            return describe(name, state)
        if state["InvocationID"] != first["InvocationID"]:
            return "{} ended and was started again within {:g} s; {}".format(name, seconds, _look(name))
        if time.monotonic() >= deadline:
            return ""
        time.sleep(POLL_SECONDS)
        state = show([name])[name]


def describe(name, state):
    """One sentence about a unit that is not active."""
    if state["LoadState"] == "not-found":
        return "{} does not exist".format(name)
    details = [state["SubState"]]
    if state["Result"] not in ("", "success"):
        details.append(state["Result"])
    status = state["ExecMainStatus"]
    if status not in ("", "0"):
        details.append("exit code {}".format(status))
        details.extend([EXIT_CODES[status]] if status in EXIT_CODES else [])
    return "{} is {} ({}); {}".format(name, state["ActiveState"], ", ".join(details), _look(name))


def _look(name):
    return "`journalctl -u {}` on the host says why".format(name)


def _require(*arguments, seconds=CALL_SECONDS):
    code, output = _systemctl(*arguments, seconds=seconds)
    if code != 0:
        said = " ".join(output.split())[-300:]
        raise Problem("host", "`systemctl {}` failed: {}".format(" ".join(arguments), said), "")


def _systemctl(*arguments, seconds=CALL_SECONDS):
    try:
        return _run(["systemctl", *arguments], seconds)
    except subprocess.TimeoutExpired:
        raise Problem(
            "host", "`systemctl {}` takes more than {:g} s".format(" ".join(arguments), seconds), ""
        ) from None


def _run(command, seconds):
    """(exit code, what it printed), in the language that is understood here."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=seconds,
        env={**os.environ, "LC_ALL": "C", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""},
        check=False,
    )
    return done.returncode, done.stdout.decode("utf-8", "replace")
