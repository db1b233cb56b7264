"""The process of a service: started with what its live release asks for, watched, and gone with it.

The receipt's `units` are the unit files that we wrote; `process` says what the process was last started with
(`service`, a configuration, and `directory`, a release; empty while nobody can tell): where that is not what is live,
it is started again.
"""

from __future__ import annotations

import os

from host_program import services, units
from host_program.problems import Problem

STOP_SECONDS = 300
EXTRA_SECONDS = 30
RUNS = ("active", "reloading")


def start(here, name):
    """The release's process runs with its configuration; what is not to run any more does not.

    Returns:
        (what is wrong, or an empty string; whether anything was changed).
    """
    identifier = here.receipt["releases"][name].get("service", "")
    if not identifier:
        return "", remove(here)
    configuration = services.read(here.directory, identifier)
    if configuration is None:
        return "what its process is to be started with is lost", False
    unit, seconds = configuration["unit"], configuration["timeout_seconds"] + EXTRA_SECONDS
    if here.live.get("adopted"):
        return _take_over(here, {"service": identifier, "directory": name}, configuration), False
    try:
        changed = _remove(here, [other for other in here.receipt.get("units", []) if other != unit])
        rewritten = not configuration["adopt"] and _install(here, identifier, unit)
    except Problem as problem:
        return problem.message, True
    wanted, process = {"service": identifier, "directory": name}, here.receipt.get("process")
    runs = units.show([unit])[unit]["ActiveState"] in RUNS
    if process == wanted and runs and not rewritten:
        return "", changed
    same = bool(process) and process["service"] == identifier
    reloads = same and runs and not rewritten and configuration["on_release"] == "reload"
    here.receipt["process"] = {"service": identifier if same else "", "directory": ""}
    here.save()
    problem = units.change("reload" if reloads else "restart", unit, seconds)
    if not problem:
        here.receipt["process"] = wanted
        here.save()
    return problem, True


def _take_over(here, wanted, configuration):
    """The process that runs is the release's from now on; an empty string, or why it cannot be."""
    from host_program import unit_takeover

    unit, text = configuration["unit"], None
    if not configuration["adopt"]:
        with open(
            os.path.join(here.directory, "services", wanted["service"], unit), encoding="utf-8"
        ) as file:
            text = file.read()
    problems = unit_takeover.obstacles(unit, text, units.show([unit])[unit])
    if not problems:
        here.receipt["process"] = wanted
        here.save()
    return "; ".join(problems)


def _install(here, identifier, unit):
    """The unit file is that of the configuration, and starts at boot; true when the process has to follow."""
    with open(os.path.join(here.directory, "services", identifier, unit), encoding="utf-8") as file:
        text = file.read()
    if unit not in here.receipt.get("units", []):
        here.receipt["units"] = sorted({*here.receipt.get("units", []), unit})
        here.save()
    rewritten = units.read(unit) != text
    if rewritten:
        units.install(unit, text)
    units.clean(unit)
    state = units.show([unit])[unit]
    if state["NeedDaemonReload"] == "yes":
        units.reload_systemd()
    if state["UnitFileState"] != "enabled":
        units.enable(unit)
    return rewritten


def stays(here, name, *, restarted):
    """An empty string when the release's process runs on as long as it has to, or what happened to it.

    Args:
        restarted: by this run; else it only has to run now.
    """
    configuration = services.read(here.directory, here.receipt["releases"][name].get("service") or "-")
    if configuration is None:
        return ""
    return units.stays_active(configuration["unit"], configuration["stable_seconds"] if restarted else 0)


def remove(here):
    """No unit of ours runs or is there for this placement; true when one was."""
    here.receipt["process"] = None
    return _remove(here, list(here.receipt.get("units", [])))


def _remove(here, names):
    for unit in names:
        units.remove(unit, STOP_SECONDS)
        here.receipt["units"].remove(unit)
        here.save()
    return bool(names)


def observe(directory, receipt, name):
    """(what the observation adds, what contradicts the receipt) for the live release of that name."""
    record = receipt["releases"].get(name) or {}
    identifier = record.get("service")
    if not identifier:
        return {}, []
    problems = services.differences(directory, identifier)
    configuration = services.read(directory, identifier)
    if configuration is None:
        return {"running": "unknown"}, problems
    unit = configuration["unit"]
    try:
        state = units.show([unit])[unit]
    except (Problem, OSError):
        return {"running": "unknown"}, [*problems, "systemd does not say what {} is like".format(unit)]
    if not configuration["adopt"]:
        problems += _unit_problems(directory, identifier, unit, state)
    as_wanted = not problems and receipt.get("process") == {"service": identifier, "directory": name}
    if state["ActiveState"] not in RUNS:
        problems.append(units.describe(unit, state))
    elif not as_wanted and not problems:
        problems.append("{} still runs what was live before".format(unit))
    return {
        "running": state["ActiveState"],
        "service_digest": configuration["digest"] if as_wanted else "",
        "secrets_fingerprint": record.get("secrets_fingerprint", ""),
    }, problems


def _unit_problems(directory, identifier, unit, state):
    path = os.path.join(directory, "services", identifier, unit)
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError:
        return []
    if units.read(unit) != text:
        what = "was changed by hand" if os.path.exists(units.path_of(unit)) else "is gone"
        return ["{} {}".format(units.path_of(unit), what)]
    if state["UnitFileState"] != "enabled":
        return ["{} does not start at boot (it is {})".format(unit, state["UnitFileState"] or "not enabled")]
    return []
