"""Which releases are kept: the newest ones of our own record, and never none to go back to."""

from __future__ import annotations

import os
import shutil

from host_program import afterwards, fences


def prune(here, name):
    """All but the newest `keep_releases` of our own record are gone; never the live one or the last good.

    Their files are removed afterwards: they may be many.
    """
    spared = {name, here.last_good(name), here.live["previous"]}
    order = sorted(here.receipt["releases"].items(), key=lambda item: -item[1]["sequence"])
    keep, aside = max(1, here.wanted["keep_releases"]), False
    for other, _ in order[keep:]:
        if other not in spared:
            aside = set_aside(here, other) or aside
            del here.receipt["releases"][other]
            here.save()
    if aside:
        afterwards.add(lambda: _clear(here))


def remove_release(here, name):
    """Its directory is gone, at once, and so is the record of what its files have to be."""
    if set_aside(here, name):
        shutil.rmtree(here.paths.staging)


def set_aside(here, name):
    """The release is none any more, at once; true when its files lie in the staging directory now."""
    path = here.paths.release(name)
    was_there = os.path.isdir(path)
    if was_there:
        if not os.path.isdir(here.paths.staging):
            os.mkdir(here.paths.staging, 0o700)
        os.rename(path, os.path.join(here.paths.staging, "removed-" + os.urandom(8).hex()))
    tree = os.path.join(here.directory, "trees", name + ".json")
    if os.path.exists(tree):
        os.unlink(tree)
    return was_there


def _clear(here):
    """Nothing is set aside any more. No other run is staging meanwhile."""
    with fences.locked(here.directory):
        shutil.rmtree(here.paths.staging)
