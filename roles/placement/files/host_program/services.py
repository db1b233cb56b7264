"""Services: what a process is started with, kept for each release, and put in place with it.

<placement>/services/<id>/          0700, one for each configuration that a release was live with
    <unit>.service                  the unit file as it is installed; it names the files beside it
    variables.env, secrets.env, credentials/<name>
    configuration.json              see `_write`; `files` says what each of them has to be

The unit file names its configuration's directory: replacing that one file replaces unit, variables and
secrets together, at once. Ids are random, so that nothing about a secret follows from the unit file.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil

from host_program import receipts, records, staging, trees, units
from host_program.paths import Paths
from host_program.problems import Problem

MARK = "@CONFIGURATION@"
OURS = ("EnvironmentFile=", "LoadCredential=", "ExecStartPre=/usr/bin/podman secret create ")
DESCRIPTION = "configuration.json"


def stage(placement, request):
    """As `staging.stage`, and what a service is started with lies ready and is verified."""
    if not placement.get("service"):
        return staging.stage(placement, request)
    refuse(placement, request)
    result = staging.stage(placement, request)
    if result.get("upload"):
        return result
    prepared = prepare(placement, request)
    if not prepared:
        return result
    return {**result, "changed": True, "message": "{}; {}".format(result["message"], prepared)}


def refuse(placement, request):
    """Raises the Problem that the service would meet on this host."""
    wanted, paths = placement["service"], Paths(placement["deployment_path"])
    units.require_systemd(wanted["unit"])
    units.require_user(wanted["user"], wanted["group"])
    directory = receipts.placement_directory(request["identity"], placement["application"], paths.root)
    state = units.show([wanted["unit"]])[wanted["unit"]]
    owners = {
        name: (receipt["application"], receipt["identity"], receipt["deployment_path"])
        for place, receipt in receipts.all_receipts()
        if place != directory
        for name in receipt.get("units", ())
    }
    if wanted["unit"] in owners:
        raise Problem(
            "conflict",
            "{} belongs to {} of {} (at {})".format(wanted["unit"], *owners[wanted["unit"]]),
            "name another `unit`, or remove that application from this host first",
        )
    if placement.get("foreign"):
        _refuse_takeover(placement, directory, state)
        return
    if wanted["adopt"]:
        if state["LoadState"] != "loaded":
            raise Problem(
                "unsupported",
                "{} is to be adopted, and systemd has no such unit".format(wanted["unit"]),
                "install it, or describe it in `service` without `adopt`",
            )
        return
    receipt = receipts.read_receipt(directory) or {}
    if state["LoadState"] != "not-found" and wanted["unit"] not in receipt.get("units", ()):
        raise Problem(
            "conflict",
            "{} exists already and is not ours ({})".format(
                wanted["unit"], state["FragmentPath"] or state["LoadState"]
            ),
            "name another `unit`, adopt it (`adopt`: true), or remove it first; or take over what runs there with "
            "`orchestrator adopt`, where it is what git asks for",
        )


def _refuse_takeover(placement, directory, state):
    """Raises the Problem that keeps what runs from going on as it is."""
    from host_program import unit_takeover

    wanted, receipt, text = placement["service"], receipts.read_receipt(directory), None
    if not wanted["adopt"]:
        same = _find_same(directory, receipt, placement) if receipt else ""
        text = _fill(wanted["unit_file"], os.path.join(directory, "services", same or "new"))
    unit_takeover.refuse(wanted["unit"], text, state)


def prepare(placement, request):
    """The configuration is recorded for activation; says what is new about it, if anything."""
    wanted, paths = placement["service"], Paths(placement["deployment_path"])
    directory = receipts.placement_directory(request["identity"], placement["application"], paths.root)
    receipt = receipts.read_receipt(directory)
    name = records.staged_directory(receipt, paths, request)
    converged = False
    if receipt and not name:
        name = records.find_release(receipt, paths, directory, placement)
        converged = bool(name) and records.is_converged(receipt, paths, name, placement)
    same = _find_same(directory, receipt, placement) if receipt else ""
    # In check mode the program is not there yet, and systemd-analyze would leave its traces in /tmp for nothing.
    if not wanted["adopt"] and not converged and name:
        text = _fill(wanted["unit_file"], os.path.join(directory, "services", "new"))
        units.verify(wanted["unit"], text, paths.current, paths.release(name))
    if converged:
        return ""
    if request["check"]:
        return "" if same else "would write {}".format(wanted["unit"])
    identifier = same or _write(directory, placement)
    receipt["staged"] = dict(receipt["staged"], service=identifier)
    receipts.write_receipt(directory, receipt)
    return "" if same else "{} verified".format(wanted["unit"])


def _fill(unit_file, configuration):
    """The unit file with its configuration's directory, in lines that we wrote."""
    return "".join(
        line.replace(MARK, configuration) if line.startswith(OURS) else line
        for line in unit_file.splitlines(keepends=True)
    )


def _find_same(directory, receipt, placement):
    """A kept configuration that is what is wanted, whose files are still what they have to be; or empty."""
    wanted = placement["service"]
    for identifier in sorted(_referenced(receipt)):
        found = read(directory, identifier)
        if found and all(
            (
                found["unit"] == wanted["unit"],
                found["adopt"] == wanted["adopt"],
                found["on_release"] == wanted["on_release"],
                found["stable_seconds"] == wanted["stable_seconds"],
                found["timeout_seconds"] == wanted["timeout_seconds"],
                found["files"]
                == _digests(_contents(os.path.join(directory, "services", identifier), placement)),
                not differences(directory, identifier),
            )
        ):
            return identifier
    return ""


def _contents(configuration, placement):
    """File name → bytes of a configuration at that directory."""
    wanted = placement["service"]
    files = {name: text.encode() for name, text in wanted["files"].items()}
    if not wanted["adopt"]:
        files[wanted["unit"]] = _fill(wanted["unit_file"], configuration).encode()
    return files


def _digests(contents):
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def _write(directory, placement):
    """A new configuration is there, whole; returns its id."""
    wanted, identifier = placement["service"], os.urandom(8).hex()
    final = os.path.join(directory, "services", identifier)
    contents = _contents(final, placement)
    temporary = final + ".new"
    os.makedirs(os.path.dirname(final), mode=0o700, exist_ok=True)
    os.mkdir(temporary, 0o700)
    for name, content in contents.items():
        path = os.path.join(temporary, name)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    description = {
        "format": receipts.FORMAT,
        "unit": wanted["unit"],
        "adopt": wanted["adopt"],
        "on_release": wanted["on_release"],
        "stable_seconds": wanted["stable_seconds"],
        "timeout_seconds": wanted["timeout_seconds"],
        "digest": wanted["digest"],
        "files": _digests(contents),
    }
    receipts.write_json(os.path.join(temporary, DESCRIPTION), description)
    trees.sync_file_system(temporary)
    os.rename(temporary, final)
    receipts.sync_directory(os.path.dirname(final))
    return identifier


def read(directory, identifier):
    """A kept configuration; None when it is lost."""
    try:
        with open(os.path.join(directory, "services", identifier, DESCRIPTION), encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def differences(directory, identifier):
    """Which files of a configuration are not what they have to be, one sentence each."""
    found = read(directory, identifier)
    if found is None:
        return ["the record of what the process is started with is lost"]
    changed = []
    for name, digest in sorted(found["files"].items()):
        path = os.path.join(directory, "services", identifier, name)
        try:
            if trees.file_sha256(path) != digest:
                changed.append("{} was changed by hand".format(path))
        except OSError:
            changed.append("{} is gone".format(path))
    return changed


def _referenced(receipt):
    """Ids of the configurations that something may still go back to."""
    live = receipt.get("live") or {}
    named = [record.get("service") for record in receipt["releases"].values()]
    named += [(live.get("restore") or {}).get("service"), (receipt.get("staged") or {}).get("service")]
    named.append((receipt.get("process") or {}).get("service"))
    return {name for name in named if name}


def prune(directory, receipt):
    """Configurations that nothing goes back to are gone, unfinished ones too."""
    folder, kept = os.path.join(directory, "services"), _referenced(receipt)
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if name not in kept:
            shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
