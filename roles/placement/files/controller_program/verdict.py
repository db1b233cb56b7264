"""The failure policy of one batch. Runs on the controller, between activation and settling.

Source of the rules: the table in `docs/reliability.md`, "When something fails".
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

from host_program.health import check_health

CHECKS_AT_ONCE = 16
GOOD = ("unchanged", "healthy")
POLICY = {"max_failures": 0, "rollback": "batch", "failed_hosts": [], "last": True}


def complete(policy):
    """The policy with its defaults."""
    return {**POLICY, **policy}


def judge(hosts, policy, check_mode, check=check_health):
    """Who is confirmed, who is switched back, and whether the rollout goes on.

    Args:
        hosts: host name → list of its placements of this group, each with `application`,
            `deployment_path`, `healthchecks` and `result`, what activation said; None for a
            host that vanished.
        policy: what differs from `POLICY`: `max_failures`, `rollback` (batch, all, none), `failed_hosts` (of
            earlier groups), `last` (no group follows), `drained` (hosts are out of their load balancers and have
            to be put back).
        check_mode: nothing is live, so nobody is asked.
        check: how a health check is done.

    Returns:
        `hosts`: host → list of `application`, `deployment_path`, `do` (confirm or rollback), `healthy`,
        `message`;
        `own`: hosts whose placements wait for roles of their own;
        `smoke`: application → hosts on which it is healthy and has smoke tests; `failed_hosts`,
        sorted; `failed`: those of this group; `stop`; `vanished`: hosts to switch back whatever they have;
        `roll_back_earlier`; `settling`: hosts that have something to do after this; `done`: nothing is left to
        do for anybody.
    """
    policy = complete(policy)
    vanished = sorted(name for name, placements in hosts.items() if placements is None)
    hosts = {name: placements or [] for name, placements in hosts.items()}
    asked = {} if check_mode else _ask(hosts, check)
    todo, failed, pending = {name: [] for name in hosts}, set(vanished), set()
    for name, placements in hosts.items():
        for placement in placements:
            result = placement["result"]
            if placement.get("own") and not policy.get("own_done"):
                pending.add(name)
            elif placement.get("failed_because"):
                failed.add(name)
                if not check_mode:
                    todo[name].append(task(placement, "confirm", False, placement["failed_because"]))
            elif result == "active" and not check_mode:
                healthy, message = _answer(name, placement, asked)
                todo[name].append(task(placement, "confirm", healthy, message))
                if not healthy:
                    failed.add(name)
            elif result not in GOOD and result != "active":
                failed.add(name)
    failed_hosts = sorted(failed | set(policy["failed_hosts"]))
    stop = bool(failed) and len(failed_hosts) > policy["max_failures"]
    undo = stop and policy["rollback"] != "none"
    if undo:
        for name, placements in hosts.items():
            todo[name] = [
                decide_on_stop(placement, todo[name])
                for placement in placements
                if placement["result"] in ("healthy", "active", "failed")
            ]
    earlier = stop and policy["rollback"] == "all"
    tested = {} if stop or check_mode else _find_tested(hosts, todo)
    tested_hosts = {name for names in tested.values() for name in names}
    drained = sorted(hosts) if policy.get("drained") else []
    pending = set() if stop else pending
    busy = any(todo.values()) or bool(failed) or earlier or bool(drained) or bool(pending)
    return {
        "hosts": todo,
        "failed": sorted(failed),
        "failed_hosts": failed_hosts,
        "stop": stop,
        "vanished": vanished if undo else [],
        "roll_back_earlier": earlier,
        "settling": sorted(
            failed | tested_hosts | {*drained} | pending | {name for name, tasks in todo.items() if tasks}
        ),
        "smoke": tested,
        "own": sorted(pending),
        "done": policy["last"] and not busy and not tested,
    }


def _find_tested(hosts, todo):
    """Application → hosts on which this run has made it live, and it is healthy, and has smoke tests."""
    tested = {}
    for name, placements in hosts.items():
        healthy = {key_of(one) for one in todo[name] if one["healthy"]}
        for placement in placements:
            good = placement["result"] == "healthy" or key_of(placement) in healthy
            if good and placement.get("smoke"):
                tested.setdefault(placement["application"], []).append(name)
    return tested


def decide_on_stop(placement, tasks):
    """What is done to a placement of a batch that failed."""
    for one in tasks:
        if key_of(one) == key_of(placement) and not one["healthy"]:
            return one
    return task(placement, "rollback", False, "the batch failed")


def task(placement, do, healthy, message):
    """What a host is told to do, see `judge`."""
    return {
        "application": placement["application"],
        "deployment_path": placement["deployment_path"],
        "do": do,
        "healthy": healthy,
        "message": message,
    }


def key_of(placement):
    """What names a placement on its host."""
    return placement["application"], placement["deployment_path"]


def _question(name, placement, check):
    """What has no placeholder is asked once for its application, the others once for each host."""
    text = json.dumps(check, sort_keys=True)
    return (placement["application"], text, "" if check["origin"] == "once" else name)


def _asked_here(placement):
    return [check for check in placement["healthchecks"] if check["origin"] != "host"]


def _answer(name, placement, asked):
    """What the controller found about a placement, all its checks together."""
    found = [asked[_question(name, placement, check)] for check in _asked_here(placement)]
    if not found:
        return True, placement.get("message", "")
    said = [message for healthy, message in found if not healthy]
    return not said, "; ".join(said or [message for _, message in found])


def _ask(hosts, check):
    questions = {
        _question(name, placement, one): one
        for name, placements in hosts.items()
        for placement in placements
        if placement["result"] == "active" and not placement.get("failed_because", placement.get("own"))
        for one in _asked_here(placement)
    }
    with ThreadPoolExecutor(max_workers=CHECKS_AT_ONCE) as pool:
        return dict(zip(questions, pool.map(check, questions.values())))
