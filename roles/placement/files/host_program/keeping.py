"""Which releases are kept: the newest ones of our own record, and never none to go back to."""

from __future__ import annotations

import os
import shutil


def prune(here, name):
    """All but the newest `keep_releases` of our own record are gone; never the live one or the last good."""
    spared = {name, here.last_good(name), here.live["previous"]}
    order = sorted(here.receipt["releases"].items(), key=lambda item: -item[1]["sequence"])
    keep = max(1, here.wanted["keep_releases"])
    for other, _ in order[keep:]:
        if other not in spared:
            remove_release(here, other)
            del here.receipt["releases"][other]
            here.save()


def remove_release(here, name):
    """Its directory is gone, at once, and so is the record of what its files have to be."""
    path = here.paths.release(name)
    if os.path.isdir(path):
        if not os.path.isdir(here.paths.staging):
            os.mkdir(here.paths.staging, 0o700)
        trash = os.path.join(here.paths.staging, "removed-" + os.urandom(8).hex())
        os.rename(path, trash)
        shutil.rmtree(here.paths.staging)
    tree = os.path.join(here.directory, "trees", name + ".json")
    if os.path.exists(tree):
        os.unlink(tree)
