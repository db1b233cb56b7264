"""dpkg with apt, and rpm with dnf: what a file contains, what is installed, installing and removing.

Nothing here knows placements. Commands run without a terminal and never ask; configuration files that were changed
on the host are kept.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time

from host_program import commands
from host_program.problems import Problem

CALL_SECONDS = 60
LOCK_SECONDS = 120
NAMED_DIFFERENCES = 5
ENVIRONMENT = {
    "PATH": commands.PATH,
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
    "APT_LISTCHANGES_FRONTEND": "none",
    "NEEDRESTART_MODE": "l",
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*")
_VERSION = re.compile(r"[A-Za-z0-9.+~:^_-]+")


def manager_of(package_format):
    """What installs files of that format.

    Raises:
        Problem: this host has no such thing.
    """
    manager = {"deb": Deb, "rpm": Rpm}[package_format]()
    missing = [tool for tool in manager.tools if shutil.which(tool, path=ENVIRONMENT["PATH"]) is None]
    if missing:
        raise Problem(
            "unsupported",
            "this host has no {}, which a .{} needs".format(" and no ".join(missing), package_format),
            "deploy it to hosts that install .{} files".format(package_format),
        )
    return manager


def _call(*arguments, seconds=CALL_SECONDS):
    """(exit code or None when its time was over, the end of its output)."""
    try:
        code, output = commands.run(list(arguments), seconds, environment=ENVIRONMENT)
    except commands.CommandError as error:
        raise Problem("host", "`{}` {}".format(commands.describe(arguments), error), "") from None
    return code, output


def _require(*arguments, seconds=CALL_SECONDS, kind="host", what="failed", resolution=""):
    code, output = _call(*arguments, seconds=seconds)
    if code is None:
        raise Problem(
            "host",
            "`{}` takes more than {:g} s and was ended".format(commands.describe(arguments), seconds),
            "look at the host, or set a larger timeout_seconds",
        )
    if code != 0:
        raise Problem(
            kind, "`{}` {}: {}".format(commands.describe(arguments), what, _errors(output)), resolution
        )
    return output


def _errors(output):
    """The lines that say what is wrong, else the end of everything."""
    lines = [line for line in output.decode("utf-8", "replace").splitlines() if line.strip()]
    said = [line for line in lines if re.match(r"\s*(E:|Error|error:|dpkg:|Problem|Depends:)", line)]
    said += [
        line
        for line in lines
        if re.search(r": (Depends|PreDepends|Conflicts|Breaks): |nothing provides", line)
    ]
    return commands.tail("\n".join(said or lines[-5:]).encode())


def _options(options):
    return [word for option in options for word in ("--option", option)]


def _fields(name, version, architecture, path):
    if not _NAME.fullmatch(name) or not _VERSION.fullmatch(version):
        raise Problem(
            "archive", "{} does not say what it contains".format(os.path.basename(path)), "build it again"
        )
    return {"name": name, "version": version, "architecture": architecture}


class Deb:
    """dpkg and apt-get."""

    tools = ("dpkg", "dpkg-deb", "dpkg-query", "apt-get")
    journal = "/var/lib/dpkg/updates"
    _keep = ("--force-confdef", "--force-confold")

    def read(self, path):
        """`name`, `version` and `architecture` of that file."""
        output = _require(
            *("dpkg-deb", "--field", path, "Package", "Version", "Architecture"),
            kind="archive",
            what="cannot read it",
            resolution="publish a .deb that dpkg-deb can read",
        )
        lines = output.decode("utf-8", "replace").splitlines()
        found = dict(line.split(": ", 1) for line in lines if ": " in line)
        return _fields(
            found.get("Package", ""), found.get("Version", ""), found.get("Architecture", ""), path
        )

    def architectures(self):
        """What this host takes."""
        native = _require("dpkg", "--print-architecture").split()
        foreign = _require("dpkg", "--print-foreign-architectures").split()
        return ["all", *(one.decode() for one in native + foreign)]

    def installed(self, name):
        """(version, state) of that package: `installed`, half-done ones as dpkg calls them; empty for none."""
        code, output = _call(
            "dpkg-query",
            "--show",
            "--showformat",
            "${db:Status-Status} ${db:Status-Eflag} ${Version}\n",
            name,
        )
        for line in output.decode("utf-8", "replace").splitlines() if code == 0 else ():
            status, flag, version = (*line.split(" "), "", "")[:3]
            if status not in ("not-installed", "config-files"):
                return version, status if flag == "ok" else flag
        return "", ""

    def is_older(self, new, old):
        return _call("dpkg", "--compare-versions", new, "lt", old)[0] == 0

    def simulate(self, path, downgrade):
        """Raises the Problem that installing would meet: a dependency that cannot be had, a conflict."""
        # apt would write its caches and a log of what it has thought, simulating or not.
        with tempfile.TemporaryDirectory() as temporary:
            places = ("Dir::Log=" + temporary, "Dir::Cache::pkgcache=", "Dir::Cache::srcpkgcache=")
            _require(
                *self._install(path, downgrade, "--simulate", *_options(places)),
                seconds=CALL_SECONDS * 2,
                kind="unsupported",
                what="says that it cannot be installed",
                resolution="make what it depends on available to apt on that host (apt-get update?), or correct it",
            )

    def install(self, path, downgrade, seconds):
        _require(*self._install(path, downgrade), seconds=seconds)

    def _install(self, path, downgrade, *more):
        command = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "--no-remove"]
        command += ["--reinstall", *(["--allow-downgrades"] if downgrade else []), *more]
        options = ["DPkg::Lock::Timeout={}".format(LOCK_SECONDS)]
        options += ["DPkg::Options::=" + option for option in self._keep]
        return [*command, *_options(options), path]

    def remove(self, name, purge, seconds):
        verb = "--purge" if purge else "--remove"
        self._patiently("dpkg", verb, name, seconds=seconds)

    def is_interrupted(self):
        """Whether dpkg died before it had written down what it did."""
        try:
            return bool(os.listdir(self.journal))
        except FileNotFoundError:
            return False

    def repair(self, seconds):
        """What dpkg had begun is finished."""
        self._patiently("dpkg", *self._keep, "--configure", "--pending", seconds=seconds)

    def _patiently(self, *arguments, seconds):
        """As `_require`; dpkg itself does not wait for its lock."""
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            code, output = _call(*arguments, seconds=seconds)
            if code == 2 and b"lock" in output and time.monotonic() < deadline:
                time.sleep(0.5)
                continue
            if code != 0:
                said = "`{}` failed: {}".format(commands.describe(arguments), _errors(output))
                raise Problem("host", said, "mend it on the host, then deploy again")
            return

    def differences(self, name):
        """Files of the package that are not what it brought; configuration files may differ."""
        _, output = _call("dpkg", "--verify", name)
        return _changed_files(output)


class Rpm:
    """rpm and dnf."""

    tools = ("rpm", "dnf")
    _format = "%{NAME}\n%{EPOCHNUM}:%{VERSION}-%{RELEASE}\n%{ARCH}\n"

    def read(self, path):
        """`name`, `version` and `architecture` of that file."""
        output = _require(
            *("rpm", "--query", "--package", "--nosignature", "--queryformat", self._format, path),
            kind="archive",
            what="cannot read it",
            resolution="publish an .rpm that rpm can read",
        )
        lines = [line for line in output.decode("utf-8", "replace").splitlines() if "warning:" not in line]
        name, version, architecture = (*lines, "", "", "")[:3]
        return _fields(name, _without_epoch(version), architecture, path)

    def architectures(self):
        """What this host takes."""
        output = _require("rpm", "--eval", "%{_arch}\n%{_target_cpu}")
        return ["noarch", *(one.decode() for one in output.split())]

    def installed(self, name):
        """(version, state) of that package; empty for none."""
        code, output = _call("rpm", "--query", "--queryformat", self._format, name)
        lines = output.decode("utf-8", "replace").splitlines()
        return (_without_epoch(lines[1]), "installed") if code == 0 and len(lines) > 1 else ("", "")

    def is_older(self, new, old):
        return _compare_rpm(new, old) < 0

    def simulate(self, path, downgrade):
        """Raises the Problem that installing would meet: a dependency that cannot be had, a conflict."""
        command = ["dnf", self._verb(path), "--assumeno", "--quiet", path]
        # dnf would write its history and a log of what it has thought; what it knows of its repositories it may renew.
        with tempfile.TemporaryDirectory() as temporary:
            places = ["--setopt={}={}".format(name, temporary) for name in ("logdir", "persistdir")]
            code, output = _call(*command, *places, seconds=CALL_SECONDS * 2)
        # Whoever says no at the end gets 1 as well; only what goes before tells the two apart.
        if code != 0 and b"Operation aborted" not in output:
            said = "`{}` says that it cannot be installed: {}".format(
                commands.describe(command), _errors(output)
            )
            raise Problem(
                "unsupported", said, "make what it depends on available to dnf on that host, or correct it"
            )

    def install(self, path, downgrade, seconds):
        _require("dnf", self._verb(path), "--assumeyes", "--quiet", path, seconds=seconds)

    def _verb(self, path):
        found = self.read(path)
        version, _ = self.installed(found["name"])
        if version == found["version"]:
            return "reinstall"
        return "downgrade" if version and self.is_older(found["version"], version) else "install"

    def remove(self, name, purge, seconds):
        _require("rpm", "--erase", name, seconds=seconds, resolution="mend it on the host, then deploy again")

    def is_interrupted(self):
        return False

    def repair(self, seconds):
        pass

    def differences(self, name):
        """Files of the package that are not what it brought; configuration files may differ."""
        _, output = _call("rpm", "--verify", "--nomtime", name)
        return _changed_files(output)


def _without_epoch(version):
    return version[2:] if version.startswith("0:") else version


def _changed_files(output):
    lines = output.decode("utf-8", "replace").splitlines()
    found = [
        re.fullmatch(r"(missing|[A-Z0-9.?]{8,9})\s+(?:([a-z])\s+)?(/.*)", line.strip()) for line in lines
    ]
    changed = [
        "{} {}".format(one[3], "is gone" if one[1] == "missing" else "was changed by hand")
        for one in found
        if one and one[2] != "c"
    ]
    if len(changed) > NAMED_DIFFERENCES:
        more = len(changed) - NAMED_DIFFERENCES
        return changed[:NAMED_DIFFERENCES] + ["{} more files differ".format(more)]
    return changed


def _compare_rpm(one, other):
    """Negative, zero or positive, as rpm orders `[epoch:]version-release`."""
    left, right = _split(one), _split(other)
    if left[0] != right[0]:
        return left[0] - right[0]
    return _compare_segments(left[1], right[1]) or _compare_segments(left[2], right[2])


def _split(version):
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, _, release = rest.partition("-")
    return int(epoch) if epoch.isdigit() else 0, upstream, release


def _compare_segments(one, other):
    """rpmvercmp: digits as numbers, letters as text, `~` before everything, `^` after the end only."""
    left, right = (re.findall(r"[0-9]+|[A-Za-z]+|~|\^", text) for text in (one, other))
    for number in range(max(len(left), len(right))):
        first = left[number] if number < len(left) else ""
        second = right[number] if number < len(right) else ""
        if first == second:
            continue
        for mark, sign in (("~", -1), ("^", 1)):
            if mark in (first, second):
                rest = second if first == mark else first
                sign = sign if mark == "~" or not rest else -1
                return sign if first == mark else -sign
        if not first or not second:
            return 1 if first else -1
        if first.isdigit() != second.isdigit():
            return 1 if first.isdigit() else -1
        pair = (int(first), int(second)) if first.isdigit() else (first, second)
        if pair[0] != pair[1]:
            return 1 if pair[0] > pair[1] else -1
    return 0
