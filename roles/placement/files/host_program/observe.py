"""Phase `observe`: what the receipts say, held against the links; with `verify`, against every file."""

from __future__ import annotations

import os

from host_program import fences, kinds, receipts, records, trees
from host_program.paths import Paths
from host_program.problems import Problem

NAMED_DIFFERENCES = 5


def observe(request):
    """One object per receipt of the request's identity, see `orchestrator.core.observed`.

    With `run.teach` the host learns the run's lock token here already, so that a run whose lock was
    broken is refused even where this one finds nothing to do.
    """
    if request["run"].get("teach"):
        fences.teach(request["identity"], request["run"].get("token"))
    return [
        _observe(directory, receipt, request.get("verify", False))
        for directory, receipt in receipts.all_receipts(request["identity"].rsplit("/", 1)[-1])
        if receipt["identity"] == request["identity"]
    ]


def observe_drained(request):
    """What runs of this identity have drained and not put back, as far as this host keeps the record of it."""
    if not os.path.isdir(fences.directory_of(request["identity"])):
        return []
    from host_program import draining

    return draining.listed(request["identity"])


def _observe(directory, receipt, verify):
    paths, live, problems = Paths(receipt["deployment_path"]), receipt["live"], []
    meant = live["directory"] if live else ""
    try:
        name = paths.live_directory()
    except Problem as problem:
        name = ""
        problems.append(problem.message)
    except OSError as error:
        name = ""
        problems.append("{} cannot be read: {}".format(paths.current, error.strerror))
    record = receipt["releases"].get(name)
    if name != meant and not problems:
        problems.append(
            "current points to {}, the receipt says {}".format(name or "nothing", meant or "nothing")
        )
    if name and record is None:
        problems.append("current points to {}, which no receipt knows".format(name))
    if record and verify:
        problems.extend(_verify(paths.release(name), records.read_tree(directory, name)))
    process, contradictions = kinds.observe(directory, receipt, name, verify)
    problems.extend(contradictions)
    previous = receipt["releases"].get(live["previous"]) if live else None
    return {
        **process,
        "application": receipt["application"],
        "deployment_path": receipt["deployment_path"],
        "version": record["version"] if record else "",
        "release": record["release"] if record else "",
        "artifact_sha256": record["artifact_sha256"] if record else "",
        "configuration_digest": record["configuration_digest"] if record else "",
        "state": record["state"] if record else "none",
        "role": record.get("role", "") if record else "",
        **({"secrets_fingerprint": record["secrets_fingerprint"]} if record and record.get("role") else {}),
        "previous_version": previous["version"] if previous else "",
        "releases": _kept(paths, receipt),
        "problems": problems,
    }


def _kept(paths, receipt):
    """The releases that lie there, those that were live last first; what died while it was staged is not among them."""
    newest = sorted(receipt["releases"].items(), key=lambda item: -item[1]["sequence"])
    keys = ("release", "version", "artifact_sha256", "state", "once")
    return [
        {key: record[key] for key in keys if key in record}
        for name, record in newest
        if os.path.isdir(paths.release(name))
    ]


def _verify(root, entries):
    differences = trees.compare_tree(root, entries)
    if len(differences) > NAMED_DIFFERENCES:
        more = len(differences) - NAMED_DIFFERENCES
        return differences[:NAMED_DIFFERENCES] + ["{} more files differ".format(more)]
    return differences
