"""What a placement's receipt says about its releases, held against the disk. Reads only."""

from __future__ import annotations

import os

from host_program import trees


def find_release(receipt, paths, directory, placement):
    """The directory of a release that is recorded, complete and unchanged; an empty string without one.

    The live one of a converged placement is trusted without being read again: nothing is to be done to it.
    """
    for name, record in sorted(receipt["releases"].items()):
        if (
            record["release"] != placement["release"]
            or record["artifact_sha256"] != placement["artifact"]["sha256"]
        ):
            continue
        if not os.path.isdir(paths.release(name)):
            continue
        if is_converged(receipt, paths, name, placement):
            return name
        if not trees.compare_tree(paths.release(name), read_tree(directory, name)):
            return name
    return ""


def is_converged(receipt, paths, name, placement):
    """Whether the placement is what the plan wants it to be, by its own record."""
    live, secrets = receipt["live"], receipt["releases"][name].get("secrets_fingerprint", "")
    return bool(
        live
        and not placement.get("foreign")
        and placement.get("action") != "verify"
        and live["directory"] == name == paths.live_directory()
        and receipt["releases"][name]["state"] == "healthy"
        and receipt["releases"][name]["configuration_digest"] == placement["configuration_digest"]
        and placement.get("secrets_fingerprint", secrets) == secrets
    )


def staged_directory(receipt, paths, request):
    """The release that this run has staged (or found complete); an empty string without one."""
    staged = (receipt or {}).get("staged") or {}
    ours = staged.get("run") == request["run"]["id"] and os.path.isdir(paths.release(staged["directory"]))
    return staged["directory"] if ours else ""


def read_tree(directory, name):
    """What every file of that release has to be; None, which nothing matches, when the record is lost."""
    return trees.read_entries(tree_path(directory, name))


def tree_path(directory, name):
    """Where that is recorded."""
    return os.path.join(directory, "trees", name + ".json")
