"""Going back: what a run has made live is not live any more, or is configured as before again."""

from __future__ import annotations

import os

from host_program import kinds, receipts


def undo(here, name, reason):
    """The live release of that name is what it was before the run, or the one before it is live again.

    Returns:
        `result` is `switched_back`, `removed` (there was none before), or `unknown` (what was before is not healthy
        either); `version`, which is live.
    """
    if here.live.get("restore"):
        return _restore(here, name, reason)
    return _switch_back(here, name, reason)


def _switch_back(here, name, reason):
    """The release is bad; the one before it is live again, or nothing is when there was none."""
    if here.live.get("adopted"):
        from host_program import adoption

        return adoption.give_back(here, name, reason)
    previous = here.live["previous"]
    if previous and not os.path.isdir(here.paths.release(previous)):
        previous = here.last_good(name)
    here.receipt["releases"][name]["state"] = "bad"
    if not previous:
        here.receipt["live"] = None
        here.save()
        kinds.remove(here)
        if here.paths.live_directory():
            os.unlink(here.paths.current)
            receipts.sync_directory(here.paths.root)
        return {
            "result": "removed",
            "message": reason + "; it was the first release and is not live any more",
        }
    here.receipt["releases"][previous]["state"] = "active"
    here.receipt["live"] = dict(here.live, directory=previous, previous="", proven=True, restore=None)
    here.save()
    here.paths.point(os.path.join("releases", previous))
    version = here.version_of(previous)
    if here.wanted.get("role"):
        message = "{}; {} is live again, and its own role activates it".format(reason, version)
        return {"result": "switched_back", "version": version, "message": message}
    return _revive(here, previous, "{}; {} is live again".format(reason, version))


def _restore(here, name, reason):
    """The release stays, and is configured again with what it was healthy with."""
    here.receipt["releases"][name].update(here.live["restore"], state="active")
    here.receipt["live"] = dict(here.live, restore=None, proven=True)
    here.save()
    return _revive(here, name, "{}; it is configured as before again".format(reason))


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
