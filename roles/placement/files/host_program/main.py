"""One request in, one answer out, until there are no more requests."""

from __future__ import annotations

import json
import select
import sys
import time

from host_program import afterwards
from host_program.problems import Problem, from_defect, from_os_error

MARK = "ORCHESTRATOR-ANSWER "
OLDEST_PYTHON = (3, 9)
# Who asks for several phases asks for the next one within that time.
QUIET_SECONDS = 1.0
FENCED = ("stage", "once", "activate", "confirm", "distrust", "rollback", "absent")


def serve(source):
    """Every request of the pipe is done, in order; the process stays as long as the controller may have another.

    Args:
        source: a binary file; each line is a request, see `run`, which `upload_bytes` of artifacts may follow.
    """
    for line in iter(source.readline, b""):
        request = json.loads(line)
        size_bytes = request.get("upload_bytes", 0)
        if size_bytes:
            from host_program import uploads

            uploads.expect(source, size_bytes)
        run(request)
        if size_bytes:
            uploads.drain()
        if afterwards.is_waiting() and not select.select((source,), (), (), QUIET_SECONDS)[0]:
            afterwards.do()
    afterwards.do()


def run(request):
    """Does the phase and prints the answer: MARK, then one line of JSON.

    Args:
        request: `phase`, `check`, `identity`, `run` (`id`, `time`, `commit`, `plan_id`, `actor`),
            `placements`, `secrets` (values by reference); `run.token` is the run's lock token or None.
    """
    leave_no_core()
    sys.stdout.write("\n" + MARK + json.dumps(answer(request), sort_keys=True) + "\n")
    sys.stdout.flush()


def leave_no_core():
    """A crash writes no memory, and with it no secret, to a disk.

    One byte, not none: with none the kernel still hands the memory to a program that `core_pattern` names.
    """
    import resource

    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (min(1, hard) if hard >= 0 else 1, hard))


def answer(request):
    """`{"placements": [...]}`, each with `application`, `deployment_path`, `changed`, `message`, `seconds` and what
    the phase adds; a placement that could not be done carries `problem`. Observation and probing add their own key.
    """
    if sys.version_info < OLDEST_PYTHON:
        found = "{}.{}".format(*sys.version_info[:2])
        problem = Problem("python", "this host has Python " + found, "install Python 3.9 or later there")
        return {"placements": [], "problem": problem.as_json()}
    phase = request["phase"]
    try:
        if phase == "observe":
            from host_program.observe import observe, observe_drained

            return {"placements": [], "observed": observe(request), "drained": observe_drained(request)}
        if phase == "probe":
            from host_program.probe import probe

            return {"placements": [], "probe": probe(request)}
    except Problem as problem:
        return {"placements": [], "problem": problem.as_json()}
    except OSError as error:
        return {"placements": [], "problem": from_os_error(error).as_json()}
    except Exception as error:
        return {"placements": [], "problem": from_defect(error).as_json()}
    if phase in ("drain", "undrain"):
        from host_program import draining

        return {"placements": [], "drains": draining.answer(request)}
    work = _work_of(phase)
    if phase in FENCED and not request["check"]:
        work = _alone(work)
    return {"placements": [_do(work, placement, request) for placement in request["placements"]]}


def _work_of(phase):
    if phase == "stage":
        from host_program.kinds import stage

        return stage
    if phase == "fetch":
        from host_program.files import install_file

        return install_file
    if phase == "check":
        return _check
    if phase == "once":
        from host_program.once import run_once

        return run_once
    if phase == "smoke":
        from host_program.smoke import run_tests

        return run_tests
    from host_program import releases

    return {
        "activate": releases.activate,
        "confirm": releases.confirm,
        "distrust": releases.distrust,
        "rollback": releases.rollback,
        "absent": releases.absent,
    }[phase]


def _check(placement, request):
    from host_program.health import check_all

    if request.get("check") and any(check["type"] == "command" for check in placement["healthchecks"]):
        return {"changed": False, "message": "the command would be run", "result": "healthy"}
    healthy, message = check_all(placement["healthchecks"])
    result = {"changed": False, "message": message, "result": "healthy" if healthy else "unproven"}
    if not healthy:
        result["problem"] = Problem("health", message).as_json()
    return result


def _alone(work):
    """The work, done while no other phase works on the placement, and never for a run that lost its lock."""
    from host_program import fences, receipts
    from host_program.paths import refuse_controlled

    def locked(placement, request):
        identity, path = request["identity"], placement["deployment_path"]
        directory = receipts.placement_directory(identity, placement["application"], path)
        refuse_controlled(path)
        with fences.entered(identity, request["run"].get("token"), directory):
            return work(placement, request)

    return locked


def _do(work, placement, request):
    began = time.monotonic()
    try:
        result = {"changed": False, "problem": None, **_name(placement), **work(placement, request)}
    except Problem as problem:
        result = _failed(placement, problem)
    except OSError as error:
        result = _failed(placement, from_os_error(error))
    except Exception as error:
        result = _failed(placement, from_defect(error))
    return {**result, "seconds": round(time.monotonic() - began, 3)}


def _failed(placement, problem):
    return {
        **_name(placement),
        "changed": False,
        "result": "failed",
        "message": problem.message,
        "problem": problem.as_json(),
        **({"hooks": problem.hooks} if problem.hooks else {}),
    }


def _name(placement):
    return {
        "application": placement.get("application", ""),
        "deployment_path": placement.get("deployment_path", placement.get("path", "")),
    }
