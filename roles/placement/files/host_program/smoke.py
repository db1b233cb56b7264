"""Phase `smoke`: the tests that run after a deployment. The controller uses this module for its own, too."""

from __future__ import annotations

import time

from host_program import probes
from host_program.health import for_version
from host_program.problems import Problem


def run_tests(placement, request):
    """Every test of the placement has run, one after the other, each within its own time."""
    return {"changed": False, **summarise([run_test(test, placement) for test in placement["smoke"]])}


def run_test(test, placement, environment=None):
    """How one test ended: `name`, `on`, `once`, `passed`, `message`, `seconds`.

    Args:
        environment: of a command; None: see `commands.run`.
    """
    began, test = time.monotonic(), for_version(test, placement["version"])
    if test["type"] == "command":
        passed, seen = probes.run(test, test["timeout_seconds"], environment)
    else:
        passed, seen = probes.make_probe(test)(test["timeout_seconds"])
    said = {name: test[name] for name in ("name", "on", "once")}
    seconds = round(time.monotonic() - began, 3)
    return {
        **said,
        "passed": passed,
        "message": "{} {}".format(probes.subject(test), seen),
        "seconds": seconds,
    }


def summarise(tests):
    """The tests with one sentence about all of them, and a problem when one failed."""
    failed = [one for one in tests if not one["passed"]]
    if not failed:
        return {
            "tests": tests,
            "message": "{} smoke test{} passed".format(len(tests), "" if len(tests) == 1 else "s"),
        }
    message = "; ".join("smoke test {} failed: {}".format(one["name"], one["message"]) for one in failed)
    return {"tests": tests, "message": message, "problem": Problem("health", message).as_json()}
