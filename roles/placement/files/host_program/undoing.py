"""Going back: what a run has made live is not live any more, or is configured as before again.

The receipt says so before it is done (`undone`), and for which phase of which run: asked again, because it died or its
connection broke before it could answer, that phase finishes what is not done yet and gives the same answer.
"""

from __future__ import annotations

import os

from host_program import kinds, receipts
from host_program.problems import Problem


def undo(here, name, reason):
    """The live release of that name is what it was before the run, or the one before it is live again.

    Returns:
        `result` is `switched_back`, `removed` (there was none before), or `unknown` (what was before is not healthy
        either); `version`, which is live.
    """
    asked = {"run": here.request["run"]["id"], "phase": here.request["phase"]}
    here.receipt["undone"] = {**asked, "directory": name, "reason": reason}
    if here.live.get("restore"):
        _restore(here, name)
    elif here.live.get("adopted"):
        _give_back(here, name)
    else:
        _switch_back(here, name)
    return _finish(here)


def again(here):
    """(what `undo` answers, its reason) where this run has gone back in the same phase already, or died meanwhile.

    None where it has not. What another phase left half done is finished, too.

    Raises:
        Problem: something else was made live since.
    """
    undone = (here.receipt or {}).get("undone")
    if not undone or undone["run"] != here.request["run"]["id"]:
        return None
    if undone["phase"] != here.request["phase"] and _is_finished(here, undone):
        return None
    if undone["to"] is not None and here.paths.live_directory() not in (undone["to"], undone["directory"]):
        raise overtaken()
    return _finish(here), undone["reason"]


def _is_finished(here, undone):
    """Whether what was gone back to is live, and healthy as far as that is found out here."""
    name = undone["to"]
    if name is None:
        return True
    if here.paths.live_directory() != name:
        return False
    return not name or bool(here.wanted.get("role")) or here.receipt["releases"][name]["state"] == "healthy"


def overtaken():
    """The problem that what this run made live is not what is live."""
    return Problem(
        "conflict",
        "another release was made live here since this run did",
        "run `orchestrator status`; somebody else deploys to this host",
    )


def _restore(here, name):
    """The release stays, and is to be configured again with what it was healthy with."""
    here.receipt["undone"]["to"] = name
    here.receipt["releases"][name].update(here.live["restore"], state="active")
    here.receipt["live"] = dict(here.live, restore=None, proven=True)
    here.save()


def _give_back(here, name):
    """`current` is what it was before the takeover."""
    from host_program import adoption

    here.receipt["undone"]["to"] = None
    adoption.give_back(here, name)


def _switch_back(here, name):
    """The release is bad; the one before it is to be live again, or nothing is when there was none."""
    previous = here.live["previous"]
    if previous and not os.path.isdir(here.paths.release(previous)):
        previous = here.last_good(name)
    here.receipt["undone"]["to"] = previous
    here.receipt["releases"][name]["state"] = "bad"
    if previous:
        receipts.forget_process(here.receipt, previous)
        here.receipt["releases"][previous]["state"] = "active"
        here.receipt["live"] = dict(here.live, directory=previous, previous="", proven=True, restore=None)
    else:
        here.receipt["live"] = None
    here.save()


def _finish(here):
    """What the receipt says was gone back to is live; the answer."""
    undone = here.receipt["undone"]
    reason, name = undone["reason"], undone["to"]
    if name is None:
        message = "{}; {} is what it was before, nothing was taken over".format(reason, here.paths.current)
        return {"result": "switched_back", "version": None, "message": message}
    if not name:
        return _remove(here, reason)
    if name == undone["directory"]:
        return _revive(here, name, "{}; it is configured as before again".format(reason))
    if here.paths.live_directory() != name:
        here.paths.point(os.path.join("releases", name))
    version = here.version_of(name)
    if here.wanted.get("role"):
        message = "{}; {} is live again, and its own role activates it".format(reason, version)
        return {"result": "switched_back", "version": version, "message": message}
    return _revive(here, name, "{}; {} is live again".format(reason, version))


def _remove(here, reason):
    kinds.remove(here)
    if here.paths.live_directory():
        os.unlink(here.paths.current)
        receipts.sync_directory(here.paths.root)
    return {"result": "removed", "message": reason + "; it was the first release and is not live any more"}


def _revive(here, name, message):
    """What is live again is asked for its health, too."""
    record = here.receipt["releases"][name]
    healthy, said, _ = kinds.prove(here, name)
    if healthy:
        record["state"] = "healthy"
        here.save()
        return {"result": "switched_back", "version": record["version"], "message": message}
    return {
        "result": "unknown",
        "version": record["version"],
        "message": "{}, and is not healthy either: {}".format(message, said),
    }
