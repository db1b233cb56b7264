"""Which releases are kept: the newest ones of our own record, and never none to go back to."""

from __future__ import annotations

import functools
import os
import re
import shutil

from host_program import afterwards
from host_program.paths import REMOVED

_SET_ASIDE = re.compile(re.escape(REMOVED) + "[0-9a-f]{16}")


def prune(here, name):
    """All but the newest `keep_releases` of our own record are gone; never the live one or the last good.

    Their files are removed afterwards: they may be many.
    """
    spared = {name, here.last_good(name), here.live["previous"]}
    order = sorted(here.receipt["releases"].items(), key=lambda item: -item[1]["sequence"])
    keep = max(1, here.wanted["keep_releases"])
    for other, _ in order[keep:]:
        if other not in spared:
            aside = set_aside(here, other)
            if aside:
                afterwards.add(functools.partial(shutil.rmtree, aside))
            del here.receipt["releases"][other]
            here.save()


def remove_release(here, name):
    """Its directory is gone, at once, and so is the record of what its files have to be."""
    aside = set_aside(here, name)
    if aside:
        shutil.rmtree(aside)


def set_aside(here, name):
    """The release is none any more, at once; the name that its files have now, or None where there are none.

    It is theirs alone, so that they can be removed whatever other runs do here meanwhile.
    """
    path, aside = here.paths.release(name), None
    if os.path.isdir(path):
        aside = os.path.join(here.paths.root, REMOVED + os.urandom(8).hex())
        os.rename(path, aside)
    tree = os.path.join(here.directory, "trees", name + ".json")
    if os.path.exists(tree):
        os.unlink(tree)
    return aside


def clear_set_aside(root):
    """Nothing is left of what runs that died had set aside in that deployment path, as far as it can be removed."""
    for name in os.listdir(root) if os.path.isdir(root) else ():
        path = os.path.join(root, name)
        if _SET_ASIDE.fullmatch(name) and not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)
