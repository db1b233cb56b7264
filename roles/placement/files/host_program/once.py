"""Phase `once`: what one host runs for all hosts of its region before the first of them goes live."""

from __future__ import annotations

from host_program import hooks, records
from host_program.problems import Problem
from host_program.releases import Placement

EVENT = "run_once"


def run_once(placement, request):
    """Every hook `run_once` has run in the staged release and succeeded, or is allowed to fail.

    What succeeded is recorded with the release, and does not run again for its artifact.

    Returns:
        The placement's result; `notice` is what a reader has to know although nothing is wrong.
    """
    here = Placement(placement, request)
    due = [hook for hook in hooks.of_event(placement, EVENT) if hook["command"] not in _done(here)]
    kept = records.find_release(here.receipt, here.paths, here.directory, placement) if here.receipt else ""
    if kept and records.is_converged(here.receipt, here.paths, kept, placement):
        return {"changed": False, "message": "already live and healthy"}
    if not due:
        return {"changed": False, "message": "what runs once has run for this artifact"}
    if request["check"]:
        said = hooks.would({**placement, "hooks": {EVENT: due}}, EVENT).lstrip("; ")
        return {"changed": True, "message": said, "notice": said}
    name = records.staged_directory(here.receipt, here.paths, request)
    if not name:
        raise Problem("host", "this run has not staged the release here", "run the deployment again")
    old = here.paths.live_directory()
    around = hooks.around_of(here.receipt, here.paths, name, old if old != name else "")
    ran, failed = [], []
    for hook in due:
        result = hooks.run_one(EVENT, hook, placement, request, around)
        ran.append(result)
        if result["exit"] == 0:
            here.receipt["releases"][name].setdefault("once", []).append(hook["command"])
            here.save()
            continue
        failed.append(result["message"])
        if hook.get("on_failure") != "continue":
            problem = hooks.failure(result).as_json()
            return {"changed": True, "message": problem["message"], "problem": problem, "hooks": ran}
    told = "; ".join(one["message"] for one in ran)
    notice = {"notice": "{}; the rollout went on".format("; ".join(failed))} if failed else {}
    return {"changed": True, "message": told, "hooks": ran, **notice}


def _done(here):
    """The commands that this host has run for the artifact, whatever its release was called then."""
    if not here.receipt:
        return []
    sha256 = here.wanted["artifact"]["sha256"]
    same = [one for one in here.receipt["releases"].values() if one["artifact_sha256"] == sha256]
    return [command for record in same for command in record.get("once", ())]
