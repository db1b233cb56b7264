"""A unit that runs already goes on as ours, or for us: nothing is written, and systemd is told nothing."""

from __future__ import annotations

from host_program import units
from host_program.problems import Problem

SHOWN_DIFFERENCES = 5
RUNS = ("active", "reloading")


def refuse(unit, text, state):
    """Raises a Problem when the unit cannot go on running as it is.

    Args:
        text: the unit file that we would write; None: it stays somebody else's.
        state: what systemd says of it.
    """
    if state["LoadState"] == "not-found":
        raise Problem(
            "conflict",
            "systemd has no {} whose process could go on running".format(unit),
            "name the unit that runs it, with `adopt`: true; or deploy, which starts it anew",
        )
    found = obstacles(unit, text, state)
    if not found:
        return
    resolution = "see to that, then adopt again"
    if text is not None:
        resolution += (
            "; or say that the unit stays as it is: `service`: {{`unit`: {}, `adopt`: true}}".format(unit)
        )
    raise Problem("conflict", "{} cannot be taken over: {}".format(unit, "; ".join(found)), resolution)


def obstacles(unit, text, state):
    """Why the unit cannot go on running as it is, one sentence each; empty when it can. See `refuse`."""
    found = [] if state["ActiveState"] in RUNS else [units.describe(unit, state)]
    if text is None:
        return found
    if state["FragmentPath"] != units.path_of(unit):
        return [*found, "its file is {}, and would be {}".format(state["FragmentPath"], units.path_of(unit))]
    found += _differences(text, units.read(unit))
    if state["UnitFileState"] != "enabled":
        found.append("it does not start at boot (`systemctl enable {}`)".format(unit))
    if state["NeedDaemonReload"] == "yes":
        found.append("its file was changed since systemd read it (`systemctl daemon-reload`)")
    return found


def _differences(ours, theirs):
    """What is different in their file. None of their values is shown: they may be secrets."""
    if ours == theirs:
        return []
    wanted, there = _settings(ours), _settings(theirs)
    found = []
    for (section, key), values in sorted({**there, **wanted}.items()):
        if (section, key) not in wanted:
            found.append("{}{} is only there".format(section, key))
        elif there.get((section, key)) != values:
            what = "is another there" if (section, key) in there else "is missing there"
            said = ", ".join("{}={}".format(key, value) for value in values)
            found.append("{}{} {} (ours: {})".format(section, key, what, said))
    found = found or ["its comments, or the order of its lines, are others"]
    more = len(found) - SHOWN_DIFFERENCES
    return found[:SHOWN_DIFFERENCES] + (["{} more settings differ".format(more)] if more > 0 else [])


def _settings(text):
    """(section, key) → its values in that unit file."""
    section, found = "", {}
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line
        elif line and line[0] not in "#;":
            key, _, value = line.partition("=")
            found.setdefault((section, key.strip()), []).append(value.strip())
    return found
