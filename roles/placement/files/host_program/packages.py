"""Packages: the file is kept as a release is, and installed when it becomes the live one.

A release's record has `package` (`name`, `version`, `format`, `file`), what its file says about itself. The
receipt's `package` is what this placement owns on the host: `name`, `format`, `directory` (the release that was
installed last; empty while that is not finished), `purge`, `unit`, and `seconds`.
"""

from __future__ import annotations

import os
import tempfile

from host_program import fetch, package_managers, receipts, records, staging, units
from host_program.paths import Paths
from host_program.problems import Problem, user_name

STABLE_SECONDS = 2
UNIT_SECONDS = 300


def stage(placement, request):
    """As `staging.stage`, and the file is one that this host can install; nothing is installed."""
    wanted, paths, artifact = placement["package"], Paths(placement["deployment_path"]), placement["artifact"]
    if not units.is_root():
        raise Problem(
            "permission", "{} may not install packages".format(user_name()), "set become for this host"
        )
    manager = package_managers.manager_of(wanted["format"])
    directory = receipts.placement_directory(request["identity"], placement["application"], paths.root)
    sent = artifact["delivery"] == "host" or artifact.get("local")
    kept = _kept(directory, paths, placement)
    if request["check"] and not kept and not sent:
        return {"changed": True, "upload": True, "message": "the controller sends the artifact"}
    _mend(manager, wanted["timeout_seconds"], check=request["check"])
    result = staging.stage(placement, request)
    if result.get("upload"):
        return result
    receipt = receipts.read_receipt(directory)
    name = records.staged_directory(receipt, paths, request) or kept
    if name and records.is_converged(receipt, paths, name, placement):
        return result
    if name:
        package = _inspect(
            manager, os.path.join(paths.release(name), artifact["filename"]), placement, directory
        )
    else:
        package = _inspect_elsewhere(manager, placement, request, directory)
    if not request["check"]:
        receipt["releases"][name]["package"] = {**package, "file": artifact["filename"]}
        receipts.write_receipt(directory, receipt)
    said = "{} {} can be installed".format(package["name"], package["version"])
    return {**result, "message": "{}; {}".format(result["message"], said)}


def _kept(directory, paths, placement):
    receipt = receipts.read_receipt(directory)
    return records.find_release(receipt, paths, directory, placement) if receipt else ""


def _inspect_elsewhere(manager, placement, request, directory):
    """As `_inspect`; in check mode the file is fetched, looked at and thrown away."""
    with tempfile.TemporaryDirectory() as temporary:
        path = os.path.join(temporary, placement["artifact"]["filename"])
        fetch.fetch(placement["artifact"], request["secrets"], path)
        return _inspect(manager, path, placement, directory)


def _inspect(manager, path, placement, directory):
    """What the file contains.

    Raises:
        Problem: it must not or cannot be installed here.
    """
    found, wanted = manager.read(path), placement["package"]
    taken = manager.architectures()
    if found["architecture"] not in taken:
        raise Problem(
            "unsupported",
            "{} is for {}, and this host takes {}".format(
                found["name"], found["architecture"], ", ".join(taken)
            ),
            "publish one for this host, or deploy it elsewhere",
        )
    _refuse_foreign(manager, found, directory)
    version, _ = manager.installed(found["name"])
    if version and not wanted["allow_downgrade"] and manager.is_older(found["version"], version):
        raise Problem(
            "conflict",
            "{} {} is installed, and {} is older".format(found["name"], version, found["version"]),
            "set allow_downgrade for it, or release a later version",
        )
    manager.simulate(path, wanted["allow_downgrade"])
    return {"name": found["name"], "version": found["version"], "format": wanted["format"]}


def _refuse_foreign(manager, found, directory):
    """Raises a Problem when the package is somebody else's, or none that the placement had before."""
    own = ((receipts.read_receipt(directory) or {}).get("package") or {}).get("name", "")
    if own and own != found["name"]:
        raise Problem(
            "conflict",
            "the file contains {}, and this application's package is {}".format(found["name"], own),
            "publish a file of {}, or deploy this one as an application of its own".format(own),
        )
    for place, receipt in receipts.all_receipts():
        if place != directory and (receipt.get("package") or {}).get("name") == found["name"]:
            owner = (receipt["application"], receipt["identity"])
            raise Problem(
                "conflict",
                "{} belongs to {} of {}".format(found["name"], *owner),
                "remove that application from this host first",
            )
    version, _ = manager.installed(found["name"])
    if version and not own:
        raise Problem(
            "conflict",
            "{} {} is installed already and is not ours".format(found["name"], version),
            "remove it first: what it was could not be brought back",
        )


def _mend(manager, seconds, *, check=False):
    """A run of dpkg that one of ours was, and that died, is finished.

    Raises:
        Problem: it was somebody else's, or cannot be finished.
    """
    if not manager.is_interrupted():
        return
    ours = [one for _, one in receipts.all_receipts() if (one.get("package") or {}).get("directory") == ""]
    if not ours:
        raise Problem(
            "conflict",
            "dpkg was interrupted on this host, and not by a deployment",
            "run `dpkg --configure -a` there, look at what it says, then deploy again",
        )
    if not check:
        manager.repair(seconds)


def start(here, name):
    """The release's file is what is installed.

    Returns:
        (what is wrong, or an empty string; whether anything was changed).
    """
    record = here.receipt["releases"][name]
    package, owned = record["package"], here.receipt.get("package") or {}
    wanted = here.wanted.get("package") or {}
    forward = record["release"] == here.wanted.get("release")
    settings = {key: wanted[key] if wanted else owned.get(key) for key in ("purge", "unit")}
    settings["seconds"] = wanted.get("timeout_seconds") or owned.get("seconds") or 600
    try:
        manager = package_managers.manager_of(package["format"])
        finished = owned.get("directory") == name
        looks = forward and here.wanted.get("action") == "verify"
        if (
            finished
            and manager.installed(package["name"]) == (package["version"], "installed")
            and not (looks and manager.differences(package["name"]))
        ):
            here.receipt["package"] = {**owned, **settings}
            here.save()
            return "", False
        _mend(manager, settings["seconds"])
        here.receipt["package"] = {
            "name": package["name"],
            "format": package["format"],
            "directory": "",
            **settings,
        }
        here.save()
        # Going forward was judged when it was staged; what is live again is older than what was not good.
        downgrade = wanted.get("allow_downgrade", False) if forward else True
        manager.install(
            os.path.join(here.paths.release(name), package["file"]), downgrade, settings["seconds"]
        )
        problem = _difference(manager, package)
        if problem:
            return problem, True
        here.receipt["package"]["directory"] = name
        here.save()
        return _restart(settings["unit"]), True
    except Problem as problem:
        return problem.message, True


def _restart(unit):
    """The unit runs what is installed now; an empty string, or what is wrong with it."""
    if not unit:
        return ""
    units.reload_systemd()  # a package's own scripts may not say that its unit has changed
    return units.change("restart", unit, UNIT_SECONDS)


def stays(here, *, restarted):
    """An empty string when the unit that belongs to it runs on, or what happened to it."""
    unit = (here.receipt.get("package") or {}).get("unit")
    return units.stays_active(unit, STABLE_SECONDS if restarted else 0) if unit else ""


def remove(here):
    """No package of this placement is installed; true when one was."""
    owned = here.receipt.get("package")
    if not owned:
        return False
    manager = package_managers.manager_of(owned["format"])
    _mend(manager, owned["seconds"])
    if manager.installed(owned["name"])[0]:
        manager.remove(owned["name"], owned["purge"], owned["seconds"])
    if owned.get("unit"):
        units.end_without_file(owned["unit"], UNIT_SECONDS)
    here.receipt["package"] = None
    here.save()
    return True


def observe(receipt, record, verify):
    """(what the observation adds, what contradicts the receipt) for that release, the live one."""
    package, owned = record["package"], receipt.get("package") or {}
    try:
        manager = package_managers.manager_of(package["format"])
        problems = [said for said in [_difference(manager, package)] if said]
        if owned.get("directory") == "":
            problems.append("installing {} was interrupted".format(package["name"]))
        if verify and not problems:
            problems += manager.differences(package["name"])
    except Problem as problem:
        return {}, [problem.message]
    unit = owned.get("unit")
    if not unit:
        return {}, problems
    try:
        state = units.show([unit])[unit]
    except (Problem, OSError):
        return {"running": "unknown"}, [*problems, "systemd does not say what {} is like".format(unit)]
    if state["ActiveState"] not in ("active", "reloading"):
        problems.append(units.describe(unit, state))
    return {"running": state["ActiveState"]}, problems


def _difference(manager, package):
    """An empty string when that version is installed, whole."""
    version, state = manager.installed(package["name"])
    if not version:
        return "{} is not installed".format(package["name"])
    if version != package["version"]:
        return "{} {} is installed, and not {}".format(package["name"], version, package["version"])
    return "" if state == "installed" else "{} {} is {}".format(package["name"], version, state)
