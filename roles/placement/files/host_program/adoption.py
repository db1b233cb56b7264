"""Taking over what is live and not ours, where it is the same as the staged release, file by file.

What was there is never removed. A directory changes places with our link in one step (renameat2(2), RENAME_EXCHANGE)
and is `current.before-adoption` from then on; a link is replaced, and what it led to stays where it is. So a host that
dies at any instant has either, and the same command goes on from there. No hook of an activation runs: nothing starts.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat

from host_program import comparing, layout, receipts, records, services, staging
from host_program.paths import Paths
from host_program.problems import Problem

BESIDE = "current.before-adoption"
AT_FDCWD, RENAME_EXCHANGE = -100, 2
CANNOT = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EXDEV)


class Foreign:
    """What `current` is, where it is not ours.

    Attributes:
        tree: the directory, no link.
        target: what `current` leads to as a link; empty when it is that directory itself.
    """

    def __init__(self, paths, tree, target):
        self.paths, self.tree, self.target = paths, tree, target

    def require_same(self, placement, entries):
        """One sentence about it, once it is the same as the release with these entries.

        Raises:
            Problem: it is not.
        """
        shared = {one["path"] for one in placement.get("shared_paths", ())}
        comparison = comparing.compare(self.tree, entries, shared)
        if comparison.count:
            raise Problem(
                "conflict",
                "{} is not {} of {}; {}".format(
                    self.paths.current,
                    placement["version"],
                    placement["application"],
                    comparison.describe_differences(),
                ),
                "nothing was taken over; let both be the same, keep what the application writes in `shared_paths`, or "
                "release what is live as a version; or move it away, then deploy",
            )
        others = comparison.describe_others()
        said = "{} is {}, file by file".format(self.paths.current, placement["version"])
        return "{}; {}".format(said, others) if others else said

    def fate(self):
        """What becomes of it, as the end of a sentence."""
        if self.target:
            return "what it led to, {}, stays as it is".format(self.target)
        return "what it was is kept as {}".format(os.path.join(self.paths.root, BESIDE))


def find(paths, receipt):
    """The `Foreign` that `current` is; None when it is a link to a release of that receipt.

    Raises:
        Problem: it is nothing that could be taken over.
    """
    staging.require_absolute(paths.root)
    current = paths.current
    try:
        status = os.lstat(current)
    except (FileNotFoundError, NotADirectoryError):
        raise Problem(
            "conflict",
            "{} does not exist: there is nothing to take over".format(current),
            "let it be a link to the directory that is live, then adopt again; or deploy",
        ) from None
    if stat.S_ISLNK(status.st_mode):
        target = os.readlink(current)
        parent, name = os.path.split(os.path.normpath(os.path.join(paths.root, target)))
        if parent == os.path.normpath(paths.releases) and name in (receipt or {}).get("releases", {}):
            return None
        if not os.path.isdir(current):
            raise Problem(
                "conflict",
                "{} leads to {}, which is no directory".format(current, target),
                "remove the link, then deploy",
            )
        return Foreign(paths, os.path.realpath(current), target)
    if not stat.S_ISDIR(status.st_mode):
        raise Problem(
            "conflict",
            "{} is neither a directory nor a link".format(current),
            "move it away, then deploy",
        )
    if os.path.ismount(current):
        raise _mounted(current)
    return Foreign(paths, current, "")


def stage(placement, request):
    """As `services.stage`; and what is live is the same as the release, or nothing is taken over."""
    if placement.get("package") or placement.get("role") or (placement.get("service") or {}).get("container"):
        raise Problem(
            "unsupported",
            "only sites and services can be taken over, and {} is neither".format(placement["application"]),
            "deploy it",
        )
    paths = Paths(placement["deployment_path"])
    directory = receipts.placement_directory(request["identity"], placement["application"], paths.root)
    receipt = receipts.read_receipt(directory)
    foreign = find(paths, receipt)
    if foreign is None:
        _require_unfinished(placement, request, paths)
        return services.stage(placement, request)
    for one in placement.get("shared_paths", ()):
        _require_shared(paths, one["path"])
    wanted = {**placement, "foreign": True}
    if request["check"]:
        return _predict(wanted, request, foreign, directory, receipt)
    result = services.stage(wanted, request)
    if result.get("upload") or result.get("render"):
        return result
    if not foreign.target:
        _require_exchange(paths)
    receipt = receipts.read_receipt(directory)
    name = records.staged_directory(receipt, paths, request)
    said = foreign.require_same(wanted, records.read_tree(directory, name))
    return {**result, "message": "{}; {}".format(result["message"], said)}


def _require_unfinished(placement, request, paths):
    """Raises a Problem when what is live is ours and nothing of it is left to be taken over."""
    from host_program.releases import Placement

    here, live = Placement(placement, request), paths.live_directory()
    same = here.receipt["releases"][live]["release"] == placement["release"]
    done = records.is_converged(here.receipt, paths, live, placement) or here.unfinished(live)
    if not same or not done:
        raise Problem(
            "conflict",
            "what is live at {} is ours already: {}".format(paths.root, here.version_of(live)),
            "`orchestrator deploy` sees to it",
        )


def _predict(wanted, request, foreign, directory, receipt):
    kept = records.find_release(receipt, foreign.paths, directory, wanted) if receipt else ""
    if kept:
        entries = records.read_tree(directory, kept)
    else:
        artifact = wanted["artifact"]
        if "looked_into" not in artifact:
            looked_into = staging.look_into(artifact, request["secrets"], None)
            wanted = {**wanted, "artifact": {**artifact, "looked_into": looked_into}}
        entries = wanted["artifact"]["looked_into"][2]
        entries = None if entries is None else comparing.foresee(wanted, entries)
    result = services.stage(wanted, request)
    said = "its files are compared in the real run, a dry run does not download that much"
    if entries is not None:
        said = foreign.require_same(wanted, entries)
    return {**result, "message": "{}; {}".format(result["message"], said)}


def _require_shared(paths, path):
    """Raises a Problem when what is live there has something in that path which releases would not share."""
    live, place = os.path.join(paths.current, path), layout.shared_place(paths.root, path)
    there = os.path.exists(place)
    if not os.path.lexists(live) or (there and os.path.exists(live) and os.path.samefile(live, place)):
        return
    if os.path.isdir(live) and not os.path.islink(live) and not os.listdir(live):
        return
    resolution = "bring both together there and leave a link to it in what is live, then adopt again"
    if not there:
        words = (os.path.dirname(place), os.path.realpath(live), place, place, live)
        command = "mkdir -p {} && mv {} {} && ln -sfn {} {}".format(*map(shlex.quote, words))
        resolution = "move it there and leave a link, such as with `{}`, then adopt again".format(command)
    raise Problem(
        "conflict",
        "{} is to be shared, and what is live has it elsewhere than in {}".format(live, place),
        resolution,
    )


def begin(here, foreign, name):
    """What the receipt has of the takeover, to go on with it or to give back; what is live is the same still."""
    foreign.require_same(here.wanted, records.read_tree(here.directory, name))
    before = here.unfinished((here.live or {}).get("directory")) or here.receipt
    adopted = {"process": before.get("process"), "units": list(before.get("units", []))}
    service = here.wanted.get("service")
    if service and not service["adopt"]:
        here.receipt["units"] = sorted({*adopted["units"], service["unit"]})
    if foreign.target:
        return {**adopted, "link": foreign.target}
    return {**adopted, "kept": _free_name(foreign.paths)}


def take(here, target, adopted):
    """`current` is a link to that, at once, and what it was is where the receipt says; or nothing has changed."""
    paths, kept = here.paths, adopted.get("kept")
    try:
        if kept is None:
            paths.point(target)
            return
        os.symlink(target, kept)
        _exchange(kept, paths.current)
    except (OSError, Problem):
        if kept is not None and os.path.islink(kept):
            os.unlink(kept)
        _forget(here, adopted)
        raise
    receipts.sync_directory(paths.root)


def _forget(here, adopted):
    """The receipt says nothing of a takeover any more."""
    here.receipt.update(live=None, process=adopted["process"], units=adopted["units"])
    here.save()


def give_back(here, name):
    """`current` is what it was before the takeover, and the receipt says nothing of it any more."""
    adopted, paths = here.live["adopted"], here.paths
    if "link" in adopted:
        paths.point(adopted["link"])
    else:
        _exchange(adopted["kept"], paths.current)
        os.unlink(adopted["kept"])
        receipts.sync_directory(paths.root)
    here.receipt["releases"][name]["state"] = "staged"
    _forget(here, adopted)


def describe(adopted):
    """What was taken over, as the end of a sentence."""
    if "link" in adopted:
        return "taken over without a restart; what `current` led to, {}, is left as it is".format(
            adopted["link"]
        )
    return "taken over without a restart; what `current` was is kept as {}".format(adopted["kept"])


def _free_name(paths):
    """Where the directory goes; a link there is of a takeover that did not come to pass."""
    number = 1
    while True:
        path = os.path.join(paths.root, BESIDE + (".{}".format(number) if number > 1 else ""))
        if os.path.islink(path) and os.readlink(path).startswith("releases/"):
            os.unlink(path)
        if not os.path.lexists(path):
            return path
        number += 1


def _require_exchange(paths):
    """Raises the Problem that the exchange would meet, before anything is taken over."""
    paths.make_staging()
    try:
        pair = [os.path.join(paths.staging, name) for name in ("one", "other")]
        for path in pair:
            os.symlink("nowhere", path)
        _exchange(*pair)
    finally:
        paths.clear_staging()


def _exchange(one, other):
    """Both have changed places, at once.

    Raises:
        Problem: the file system, the kernel or the C library cannot do that.
    """
    number = exchange(one, other)
    if number == errno.EBUSY:
        raise _mounted(other)
    if number in CANNOT:
        raise Problem(
            "unsupported",
            "a link and a directory cannot change places at once at {} ({})".format(
                os.path.dirname(other), os.strerror(number)
            ),
            "rename the directory and leave a link to it in its place, such as with "
            "`mv current live && ln -s live current` there, then adopt again",
        )
    if number:
        raise OSError(number, os.strerror(number), other)


def exchange(one, other):
    """Calls renameat2(2) with RENAME_EXCHANGE; returns 0 or the number of the error."""
    import ctypes

    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return errno.ENOSYS
    failed = rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE)
    return ctypes.get_errno() if failed else 0


def _mounted(path):
    return Problem(
        "conflict",
        "{} is a mount point, which cannot be renamed".format(path),
        "mount it elsewhere and let {} be a link to there, then adopt again".format(path),
    )
