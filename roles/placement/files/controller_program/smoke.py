"""Smoke tests on the controller's side: which run where, and what becomes of a group when some fail."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleActionFail

from controller_program import checks, verdict
from controller_program.orchestrator import SOCKET_VARIABLE

TIMEOUT_SECONDS = 30.0
TYPES = ("http", "command")


def normalise_tests(tests: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """Smoke tests with their defaults.

    Raises:
        AnsibleActionFail: one is none, or two have the same name.
    """
    made = [_normalise_test(test) for test in tests or ()]
    if len({test["name"] for test in made}) < len(made):
        raise AnsibleActionFail("two smoke tests have the same name; give each its own")
    return made


def _normalise_test(test: Mapping[str, Any]) -> dict[str, Any]:
    name, on = test.get("name"), test.get("on") or "host"
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise AnsibleActionFail("a smoke test needs a `name` on one line")
    kind = test.get("type") or ("command" if test.get("command") else "http")
    if kind not in TYPES:
        raise AnsibleActionFail(f"the smoke test {name} has type {kind!r}, which is neither http nor command")
    if on not in ("host", "controller"):
        raise AnsibleActionFail(f"the smoke test {name} runs on {on!r}, which is neither host nor controller")
    seconds = float(test.get("timeout_seconds") or TIMEOUT_SECONDS)
    if seconds <= 0:
        raise AnsibleActionFail(f"the smoke test {name} has no time; timeout_seconds has to be more than 0")
    probe = checks.normalise_probe({**test, "type": kind})
    return {**probe, "name": name, "on": on, "once": bool(test.get("once")), "timeout_seconds": seconds}


def choose(
    placements: Sequence[dict[str, Any]], tested: Mapping[str, Sequence[str]], host: str
) -> list[dict[str, Any]]:
    """The placements with the tests that this host's task runs.

    Args:
        tested: application → hosts on which it is healthy; the first one runs what runs once.
    """
    chosen = []
    for placement in placements:
        hosts = tested.get(placement["application"], ())
        if host in hosts:
            tests = [test for test in placement["smoke"] if not test["once"] or host == hosts[0]]
            if tests:
                chosen.append({**placement, "smoke": tests})
    return chosen


def of_place(placements: Sequence[dict[str, Any]], place: str) -> list[dict[str, Any]]:
    """The placements with their tests that run on the `host`, or on the `controller`."""
    narrowed = [
        {**one, "smoke": [test for test in one["smoke"] if test["on"] == place]} for one in placements
    ]
    return [one for one in narrowed if one["smoke"]]


def run_here(placements: Sequence[dict[str, Any]], run_test: Any) -> dict[tuple[str, str], list[Any]]:
    """The tests of the placements have run on the controller, without the way to our secrets."""
    environment = {name: value for name, value in os.environ.items() if name != SOCKET_VARIABLE}
    return {
        verdict.key_of(placement): [run_test(test, placement, environment) for test in placement["smoke"]]
        for placement in placements
    }


def merge(
    placements: Sequence[dict[str, Any]],
    said: Mapping[str, Any],
    here: Mapping[tuple[str, str], list[Any]],
    summarise: Any,
) -> dict[str, Any]:
    """What host and controller found, as one answer in the order of the placements."""
    answers = {verdict.key_of(one): one for one in said["placements"]}
    merged = []
    for placement in placements:
        key = verdict.key_of(placement)
        own = answers.get(key, {})
        if own and "tests" not in own:
            merged.append(own)
            continue
        named = {name: placement[name] for name in ("application", "deployment_path")}
        summary = summarise([*own.get("tests", ()), *here.get(key, ())])
        seconds = round(sum(test["seconds"] for test in summary["tests"]), 3)
        merged.append({**named, "changed": False, "seconds": seconds, **summary})
    return {**said, "placements": merged}


def judge_tests(
    judged: Mapping[str, Any],
    hosts: Mapping[str, Sequence[dict[str, Any]] | None],
    smoked: Mapping[str, Sequence[dict[str, Any]] | None],
    policy: Mapping[str, Any],
) -> dict[str, Any]:
    """The verdict about a group once its smoke tests have run; those that fail count like failed health checks.

    Args:
        judged: the verdict before, see `verdict.judge`.
        hosts: what activation said, as `verdict.judge` takes it.
        smoked: host → what its task of phase `smoke` said; None for a host that vanished.
        policy: as `verdict.judge` takes it.
    """
    tested = judged["smoke"]
    broken = _broken(tested, smoked)
    expected = {name for names in tested.values() for name in names}
    lost = {name for name in expected if name in smoked and smoked[name] is None}
    failed = set(judged["failed"]) | lost | {name for name, _ in broken}
    failed_hosts = sorted(set(judged["failed_hosts"]) | failed)
    policy = verdict.complete(policy)
    stop = bool(failed) and len(failed_hosts) > policy["max_failures"]
    undo = stop and policy["rollback"] != "none"
    todo: dict[str, list[dict[str, Any]]] = {}
    for name, placements in hosts.items():
        tasks = {verdict.key_of(task): task for task in judged["hosts"].get(name, ())}
        for placement in placements or ():
            key = verdict.key_of(placement)
            said = broken.get((name, placement["application"]))
            if said is not None and placement["result"] in ("healthy", "active"):
                keep = policy["rollback"] == "none"
                tasks[key] = {**verdict.task(placement, "distrust", False, "; ".join(said)), "keep": keep}
            elif undo and placement["result"] in ("healthy", "active", "failed"):
                tasks[key] = verdict.decide_on_stop(placement, list(tasks.values()))
        todo[name] = list(tasks.values())
    earlier = stop and policy["rollback"] == "all"
    busy = any(todo.values()) or bool(failed) or earlier
    return {
        **judged,
        "hosts": todo,
        "failed": sorted(failed),
        "failed_hosts": failed_hosts,
        "stop": stop,
        "vanished": sorted(lost | set(judged["vanished"])) if undo else [],
        "roll_back_earlier": earlier,
        "settling": sorted(failed | {name for name, tasks in todo.items() if tasks}),
        "done": policy["last"] and not busy,
    }


def _broken(
    tested: Mapping[str, Sequence[str]], smoked: Mapping[str, Sequence[dict[str, Any]] | None]
) -> dict[tuple[str, str], list[str]]:
    """(host, application) → what failed; a test that runs once speaks for all hosts of its application."""
    broken: dict[tuple[str, str], list[str]] = {}
    for name, placements in smoked.items():
        for placement in placements or ():
            application = placement["application"]
            if name not in tested.get(application, ()):
                continue
            if "tests" not in placement:
                broken.setdefault((name, application), []).append(placement["message"])
            for test in placement.get("tests", ()):
                if test["passed"]:
                    continue
                where = f" on {name}" if test["once"] and test["on"] == "host" else ""
                said = f"smoke test {test['name']} failed{where}: {test['message']}"
                for host in tested[application] if test["once"] else (name,):
                    broken.setdefault((host, application), []).append(said)
    return broken
