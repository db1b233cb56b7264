"""Phases `activate`, `confirm`, `distrust`, `rollback` and `absent`: which release is the live one."""

from __future__ import annotations

import contextlib
import json
import os
import shutil

from host_program import hooks, keeping, kinds, layout, receipts, records, undoing
from host_program.paths import Paths
from host_program.problems import Problem, from_os_error


class Placement:
    """One placement under its lock: its request, its paths and its receipt."""

    def __init__(self, placement, request):
        self.wanted, self.request = placement, request
        self.paths = Paths(placement["deployment_path"])
        self.directory = receipts.placement_directory(
            request["identity"], placement["application"], self.paths.root
        )
        self.receipt = receipts.read_receipt(self.directory)

    @property
    def live(self):
        return self.receipt["live"] if self.receipt else None

    def unfinished(self, name):
        """What a run that did not end says of its takeover of that live release; None without one."""
        live = self.live or {}
        if not name or live.get("directory") != name or self.receipt["releases"][name]["state"] == "healthy":
            return None
        return live.get("adopted")

    def version_of(self, name):
        record = self.receipt["releases"].get(name) if self.receipt and name else None
        return record["version"] if record else ""

    def save(self):
        receipts.write_receipt(self.directory, self.receipt)

    def last_good(self, but):
        """The directory of the newest release that was healthy once and is neither bad nor `but`."""
        good = [
            (record["sequence"], name)
            for name, record in self.receipt["releases"].items()
            if record["state"] == "healthy" and name != but and os.path.isdir(self.paths.release(name))
        ]
        return max(good)[1] if good else ""


def activate(placement, request):
    """The staged release is live and, where the host itself can tell, proven healthy or switched back.

    Returns:
        `result` is `unchanged`, `healthy`, `active` (the controller has yet to ask, or smoke tests to run),
        `unproven` (it was live before and is not healthy now), `switched_back` or `removed`.
    """
    if request["check"]:
        return _predict(Placement(placement, request))
    here = Placement(placement, request)
    foreign = _foreign(here)
    old = "" if foreign else here.paths.live_directory()
    if old and here.receipt and old in here.receipt["releases"]:
        same = here.receipt["releases"][old]["release"] == placement["release"]
        if same and records.is_converged(here.receipt, here.paths, old, placement):
            if here.live["run"] == request["run"]["id"]:
                # This run did it, and its connection broke before it could say so.
                before = here.version_of(old if here.live["proven"] else here.live["previous"])
                said = {"message": "live and healthy; the connection broke meanwhile"}
                return {**said, "result": "healthy", "changed": True, "from_version": before}
            return {"result": "unchanged", "changed": False, "message": "already live and healthy"}
    name = records.staged_directory(here.receipt, here.paths, request)
    if not name:
        raise Problem("host", "this run has not staged the release here", "run the deployment again")
    before = here.version_of(old)
    previous = _before(here, name, old)
    around = hooks.around_of(here.receipt, here.paths, name, previous)
    adopted = here.unfinished(name) if old == name else None
    if foreign:
        adopted = adoption().begin(here, foreign, name)
    ran = [] if adopted else hooks.run("before_activate", placement, request, around)
    changed = _switch(here, name, old, previous, adopted)
    if placement.get("role"):
        # Its own role makes it run, and comes after this; then its health is asked.
        judged = {"result": "active", "own": True, "message": "live; its own role activates it"}
    else:
        judged = _judge(here, name, around)
    told = {"hooks": ran + list(judged.pop("hooks", []))}
    return {"changed": changed, "from_version": before, **judged, **(told if told["hooks"] else {})}


def confirm(placement, request):
    """What the controller found about the live release's health is recorded.

    The placement's `healthy` says what it found. A release that is not healthy is switched back, unless it was
    live and healthy before this run: then it stays, unproven.
    """
    if request["check"]:
        return {"result": "healthy", "changed": False, "message": "would be asked by the controller"}
    here = Placement(placement, request)
    # What a role of its own has made healthy may be what was gone back to: that is confirmed like any other.
    undone = None if placement["healthy"] and placement.get("role") else undoing.again(here)
    if undone:
        return {"changed": True, **_failed(*undone)}
    name = _ours(here)
    problem = kinds.stays(here, name, restarted=False) if placement["healthy"] else placement["message"]
    if not problem:
        return {"changed": False, **_settle(here, name, placement["message"])}
    return {"changed": True, **_fail(here, name, problem)}


def distrust(placement, request):
    """A healthy release whose smoke tests failed is switched back; or it stays, and counts as unproven.

    It stays when the placement's `keep` says so, and when it was live and healthy before this run.
    """
    here = Placement(placement, request)
    undone = undoing.again(here)
    if undone:
        return {"changed": True, **_failed(*undone)}
    name = _ours(here)
    here.receipt["releases"][name]["state"] = "active"
    here.save()
    message = placement["message"]
    if placement["keep"] and not here.live["proven"]:
        said = {"result": "unproven", "message": message + "; it stays"}
        return {"changed": True, **_failed(said, message)}
    return {"changed": True, **_fail(here, name, message)}


def rollback(placement, request):
    """What this run made live is not live any more; what was live before is."""
    if request["check"]:
        return {"result": "switched_back", "changed": False, "message": "would be switched back"}
    here = Placement(placement, request)
    undone = undoing.again(here)
    if undone:
        return {"changed": True, **undone[0]}
    live = here.live
    if not live or live["run"] != request["run"]["id"] or (live["proven"] and not live.get("restore")):
        return {"result": "unchanged", "changed": False, "message": "this run changed nothing here"}
    return {"changed": True, **undoing.undo(here, _ours(here), "the rollout stopped")}


def absent(placement, request):
    """Releases, link, staging directory and receipt of the placement are gone; foreign files and `shared` stay."""
    here = Placement(placement, request)
    if here.receipt is None:
        if not request["check"]:
            shutil.rmtree(here.directory)  # what looking made, or what a removal that was killed has left
        return {"result": "absent", "changed": False, "message": "nothing of ours is here"}
    if request["check"]:
        return {"result": "absent", "changed": True, "message": "would be removed"}
    live = here.paths.live_directory()
    kinds.remove(here)
    if live:
        os.unlink(here.paths.current)
    for name in list(here.receipt["releases"]):
        keeping.remove_release(here, name)
    shutil.rmtree(here.paths.staging, ignore_errors=True)
    keeping.clear_set_aside(here.paths.root)
    for path in (here.paths.releases, here.paths.root):
        if os.path.isdir(path) and not os.listdir(path):
            os.rmdir(path)
    shutil.rmtree(here.directory)
    kept = os.path.join(here.paths.root, layout.SHARED)
    message = "removed; {} is kept".format(kept) if os.path.lexists(kept) else "removed"
    return {"result": "absent", "changed": True, "message": message}


def adoption():
    """The module, which few deployments need."""
    from host_program import adoption as module

    return module


def _foreign(here):
    """What is to be taken over; None when nothing is."""
    if here.wanted.get("action") != "adopt":
        return None
    return adoption().find(here.paths, here.receipt)


def _predict(here):
    foreign = _foreign(here)
    if foreign:
        message = "would be taken over without a restart; " + foreign.fate()
        return {"result": "healthy", "changed": True, "from_version": "", "message": message}
    name = ""
    if here.receipt:
        name = records.find_release(here.receipt, here.paths, here.directory, here.wanted)
    if name and records.is_converged(here.receipt, here.paths, name, here.wanted):
        return {"result": "unchanged", "changed": False, "message": "already live and healthy"}
    old = here.paths.live_directory()
    return {
        "result": "healthy",
        "changed": not (name and name == old),
        "from_version": here.version_of(old),
        "message": "would go live" + hooks.would(here.wanted, "before_activate", "after_activate"),
        **({"own": True} if here.wanted.get("role") else {}),
    }


def _before(here, name, old):
    """The directory of the release that is gone back to when that one is not healthy; an empty string without one."""
    live = here.live or {"directory": "", "previous": ""}
    meant, is_bad = live["directory"], here.receipt["releases"].get(old, {}).get("state") == "bad"
    if is_bad and meant not in ("", name, old) and os.path.isdir(here.paths.release(meant)):
        return meant  # a run that was leaving the bad one died before the link was switched
    if old and old != name:
        return old
    return live["previous"] if live["directory"] == name else here.last_good(name)


def _switch(here, name, old, previous, adopted):
    """The receipt says what is about to be live, then the link does. True when the link moved.

    Args:
        old: what is live, if anything is.
        previous: what is gone back to from it.
        adopted: how what is live and not ours is taken over, or was.
    """
    unswitched = json.dumps(here.receipt)
    run, record = here.request["run"], here.receipt["releases"][name]
    resumed = here.live if here.live and here.live["directory"] == name else None
    if old and old != name:
        here.receipt["releases"].setdefault(old, receipts.unrecorded(old))
    before, after = _settings(record), _wanted_settings(here)
    restore = resumed.get("restore") if resumed and old == name else None
    if old == name and record["state"] == "healthy":
        restore = before if before["service"] and before["service"] != after["service"] else None
    proven = old == name and (record["state"] == "healthy" or bool(resumed and resumed["proven"]))
    if previous in here.receipt["releases"] and run.get("leaves_bad") and not proven:
        # The next rollback, which may be this one again, does not come back to what is left.
        here.receipt["releases"][previous]["state"] = "bad"
    if old != name:
        here.receipt["sequence"] += 1
        record["sequence"] = here.receipt["sequence"]
        record["activated_at"] = run["time"]
        receipts.forget_process(here.receipt, name)
    record["state"] = "active"
    record.update(after)
    if here.wanted.get("role"):
        record["role"] = here.wanted["role"]["name"]
    here.receipt.pop("undone", None)
    here.receipt["live"] = {
        "directory": name,
        "previous": previous,
        "proven": proven,
        "restore": restore,
        "run": run["id"],
        "commit": run["commit"],
        "plan_id": run["plan_id"],
        "actor": run["actor"],
        "time": run["time"],
        **({"adopted": adopted} if adopted else {}),
    }
    here.save()
    if old == name:
        return False
    target = os.path.join("releases", name)
    if adopted:
        adoption().take(here, target, adopted)
        return True
    try:
        here.paths.point(target)
    except OSError:
        if here.paths.live_directory() != name:
            here.receipt = json.loads(unswitched)
            with contextlib.suppress(OSError):
                here.save()
        raise
    return True


def _settings(record):
    """What a release is configured with, as its record has it."""
    return {
        "configuration_digest": record["configuration_digest"],
        "secrets_fingerprint": record.get("secrets_fingerprint", ""),
        "service": record.get("service", ""),
    }


def _wanted_settings(here):
    return {
        "configuration_digest": here.wanted["configuration_digest"],
        "secrets_fingerprint": here.wanted.get("secrets_fingerprint", ""),
        "service": (here.receipt["staged"] or {}).get("service", ""),
    }


def _judge(here, name, around):
    healthy, message, restarted = kinds.prove(here, name)
    changed = {"changed": True} if restarted else {}
    if healthy:
        try:
            adopted = here.live.get("adopted")
            ran = [] if adopted else hooks.run("after_activate", here.wanted, here.request, around)
        except Problem as problem:
            healthy, message, ran = False, problem.message, problem.hooks
        changed = {**changed, "hooks": ran}
    if not healthy:
        return {**_fail(here, name, message), **changed}
    if any(check["origin"] != "host" for check in here.wanted["healthchecks"]):
        return {"result": "active", "message": "live; the controller asks for its health", **changed}
    runs = "its process runs; " if here.receipt["releases"][name].get("service") else ""
    message = message or runs + "no health check is configured"
    if here.wanted.get("smoke"):
        # Until its smoke tests have passed it is not proven: a run that dies before is made up for by the next.
        return {"result": "active", "message": message, **changed}
    return {**_settle(here, name, message), **changed}


def _settle(here, name, message):
    here.receipt["releases"][name]["state"] = "healthy"
    here.save()
    if here.live.get("adopted"):
        message = "{}; {}".format(message, adoption().describe(here.live["adopted"]))
    try:
        keeping.prune(here, name)
        kinds.prune(here)
    except OSError as error:
        # The release is live and healthy: an old one in the way is no reason to switch back.
        message += "; an old release could not be removed: " + from_os_error(error).message
    return {"result": "healthy", "message": message}


def _fail(here, name, message):
    if here.live["proven"] and not here.live.get("restore"):
        said = {"result": "unproven", "message": message + "; it was live before, and stays"}
        return _failed(said, message)
    return _failed(undoing.undo(here, name, message), message)


def _failed(said, reason):
    return {**said, "problem": Problem("health", reason, "").as_json()}


def _ours(here):
    """The directory that this run made live, still live; anything else is somebody's doing meanwhile."""
    name = here.live["directory"] if here.live else ""
    if not name or here.live["run"] != here.request["run"]["id"] or here.paths.live_directory() != name:
        raise undoing.overtaken()
    return name
