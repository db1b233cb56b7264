"""A stand-in for systemctl and systemd-analyze, where the host program is tested without a systemd.

It knows units by their files, remembers what it has read, what runs and what starts at boot. A program whose
text has `broken` in it does not start; one with `dies` is started anew each time somebody looks.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

PROGRAM = r"""
import json, os, re, sys, time
root = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
units, state_file, log = os.path.join(root, "units"), os.path.join(root, "state.json"), os.path.join(root, "log")

def text_of(name):
    try:
        with open(os.path.join(units, name)) as file:
            return file.read()
    except FileNotFoundError:
        return None

def program_of(text):
    with open(re.search(r'^ExecStart="?([^" \n]+)', text, re.M)[1]) as file:
        return file.read()

if os.path.basename(sys.argv[0]) == "systemd-analyze":
    with open(sys.argv[-1]) as file:
        text = file.read()
    path = re.search(r'^ExecStart="?([^" \n]+)', text, re.M)[1]
    if not os.access(path, os.X_OK):
        print("{}: Command {} is not executable: No such file or directory".format(os.path.basename(sys.argv[-1]), path))
        sys.exit(1)
    sys.exit(0)

state = {}
if os.path.exists(state_file):
    with open(state_file) as file:
        state = json.load(file)
verb = sys.argv[1]
names = [word for word in sys.argv[2:] if not word.startswith("--")]
with open(log, "a") as file:
    file.write(" ".join([verb, *names]) + "\n") if verb != "show" else None

def unit(name):
    return state.setdefault(name, {"read": text_of(name), "runs": None, "enabled": False, "started": 0})

code = 0
for name in names:
    unit(name)
if verb == "daemon-reload":
    for name, one in state.items():
        one["read"] = text_of(name)
elif verb == "show":
    for name in names:
        one = unit(name)
        if one["read"] is None and text_of(name) is not None:
            one["read"] = text_of(name)
        if one["runs"] and "dies" in one["runs"]["program"]:
            one["started"] += 1
        print("\n".join([
            "LoadState=" + ("loaded" if one["read"] is not None or one["runs"] else "not-found"),
            "ActiveState=" + ("active" if one["runs"] else "failed" if one.get("failed") else "inactive"),
            "SubState=" + ("running" if one["runs"] else "dead"),
            "Result=" + ("exit-code" if one.get("failed") else "success"),
            "ExecMainStatus=" + ("203" if one.get("failed") else "0"),
            "FragmentPath=" + os.path.join(units, name),
            "UnitFileState=" + ("enabled" if one["enabled"] else "disabled"),
            "InvocationID=" + str(one["started"]),
            "NeedDaemonReload=" + ("yes" if one["read"] != text_of(name) else "no"),
        ]) + "\n")
elif verb == "restart":
    one = unit(names[0])
    program = program_of(one["read"])
    one["started"] += 1
    one["failed"] = "broken" in program
    one["runs"] = None if one["failed"] else {"unit": one["read"], "program": program}
    code = 1 if one["failed"] else 0
elif verb == "reload":
    unit(names[0])["runs"]["program"] = program_of(unit(names[0])["read"])
elif verb == "stop":
    unit(names[0]).update(runs=None, failed=False)
elif verb in ("enable", "disable"):
    unit(names[0])["enabled"] = verb == "enable"
with open(state_file + ".new", "w") as file:
    json.dump(state, file)
os.rename(state_file + ".new", state_file)
sys.exit(code)
"""


class FakeSystemd:
    """A directory with programs of these names, and with the unit files that they read."""

    def __init__(self, root: Path) -> None:
        self.root, self.units, self.programs = root, root / "units", root / "bin"
        self.units.mkdir(parents=True)
        self.programs.mkdir()
        for name in ("systemctl", "systemd-analyze"):
            path = self.programs / name
            path.write_text(f"#!{sys.executable} -IS\n{PROGRAM}")
            path.chmod(0o755)

    @property
    def path(self) -> str:
        """PATH with these programs first."""
        return f"{self.programs}{os.pathsep}{os.environ['PATH']}"

    def state(self, name: str) -> dict[str, object]:
        """What is known of that unit; empty when nothing is."""
        import json

        file = self.root / "state.json"
        known: dict[str, dict[str, object]] = json.loads(file.read_text()) if file.exists() else {}
        return known.get(name, {})

    def runs(self, name: str) -> dict[str, str] | None:
        """The unit file and the program that the process was started with; None when nothing runs."""
        found = self.state(name).get("runs")
        assert found is None or isinstance(found, dict)
        return found

    def calls(self) -> list[str]:
        """What was asked for beside looking, since the last time."""
        log = self.root / "log"
        lines = [line for line in log.read_text().split("\n") if line.strip()] if log.exists() else []
        log.unlink(missing_ok=True)
        return lines
