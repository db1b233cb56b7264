"""The failure policy of one batch. Runs on the controller, between activation and settling.

Source of the rules: the table in `docs/reliability.md`, "When something fails".
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from host_program.health import check_health

CHECKS_AT_ONCE = 16
GOOD = ("unchanged", "healthy")


def judge(hosts, policy, check_mode, check=check_health):
    """Who is confirmed, who is switched back, and whether the rollout goes on.

    Args:
        hosts: host name → list of its placements of this group, each with `application`,
            `deployment_path`, `healthcheck` (or None) and `result`, what activation said; None for a
            host that vanished.
        policy: `max_failures`, `rollback` (batch, all, none), `failed_hosts` (of earlier groups), `last`
            (no group follows).
        check_mode: nothing is live, so nobody is asked.
        check: how a health check is done.

    Returns:
        `hosts`: host → list of `application`, `deployment_path`, `do` (confirm or rollback), `healthy`,
        `message`; `failed_hosts`, sorted; `failed`: those of this group; `stop`; `vanished`: hosts to switch
        back whatever they have; `roll_back_earlier`; `done`: nothing is left to do for anybody.
    """
    vanished = sorted(name for name, placements in hosts.items() if placements is None)
    hosts = {name: placements or [] for name, placements in hosts.items()}
    asked = {} if check_mode else _ask(hosts, check)
    todo, failed = {name: [] for name in hosts}, set(vanished)
    for name, placements in hosts.items():
        for placement in placements:
            result = placement["result"]
            if result == "active" and not check_mode:
                healthy, message = asked[_question(name, placement)]
                todo[name].append(_task(placement, "confirm", healthy, message))
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
                _decide_on_stop(placement, todo[name])
                for placement in placements
                if placement["result"] in ("healthy", "active", "failed")
            ]
    earlier = stop and policy["rollback"] == "all"
    busy = any(todo.values()) or bool(failed) or earlier
    return {
        "hosts": todo,
        "failed": sorted(failed),
        "failed_hosts": failed_hosts,
        "stop": stop,
        "vanished": vanished if undo else [],
        "roll_back_earlier": earlier,
        "settling": sorted(failed | {name for name, tasks in todo.items() if tasks}),
        "done": policy["last"] and not busy,
    }


def _decide_on_stop(placement, tasks):
    for task in tasks:
        if _key(task) == _key(placement) and not task["healthy"]:
            return task
    return _task(placement, "rollback", False, "the batch failed")


def _task(placement, do, healthy, message):
    return {
        "application": placement["application"],
        "deployment_path": placement["deployment_path"],
        "do": do,
        "healthy": healthy,
        "message": message,
    }


def _key(placement):
    return placement["application"], placement["deployment_path"]


def _question(name, placement):
    """A URL without placeholder is asked once for its application, the others once for each host."""
    check = placement["healthcheck"]
    return (placement["application"], check["url"], "" if check["origin"] == "once" else name)


def _ask(hosts, check):
    questions = {
        _question(name, placement): placement["healthcheck"]
        for name, placements in hosts.items()
        for placement in placements
        if placement["result"] == "active"
    }
    with ThreadPoolExecutor(max_workers=CHECKS_AT_ONCE) as pool:
        return dict(zip(questions, pool.map(check, questions.values())))
