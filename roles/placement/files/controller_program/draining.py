"""Draining on the controller's side: who was not drained, who is put back when, and what becomes of a group then."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from controller_program import smoke
from controller_program.orchestrator import SOCKET_VARIABLE

KEPT_OUT = "the host is not activated"
KEPT = "nothing is removed there"


def said_in(task_vars: Mapping[str, Any], variable: str) -> list[dict[str, Any]]:
    """What all places said in a task of the group, see `draining.answer` of the host program."""
    return [one for result in _results(task_vars.get(variable)) for one in result.get("drains") or ()]


def servers_of(arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The servers that the role `haproxy` is about, as items; nothing where the plan says them."""
    names = ("socket", "backend", "minimum", "timeout_seconds")
    common = {name: arguments[name] for name in names} | {"application": "", "deployment_path": ""}
    return [{**common, "host": server, "server": server} for server in arguments["servers"]]


def rendered(
    drains: Mapping[str, Mapping[str, Sequence[dict[str, Any]]]], group: int, place: str
) -> list[dict[str, Any]]:
    """What a playbook that is run by hand has for that place; of all groups when it is negative."""
    chosen = drains.values() if group < 0 else [drains.get(str(group), {})]
    return [item for places in chosen for item in places.get(place, ())]


def refuse(placements: Sequence[Mapping[str, Any]], task_vars: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What activation says on a host that could not be drained: nothing is done there. Else nothing."""
    return _not_drained(placements, task_vars, "__release_drained", KEPT_OUT)


def keep(placements: Sequence[Mapping[str, Any]], task_vars: Mapping[str, Any]) -> list[dict[str, Any]]:
    """As `refuse`, where something was to be removed."""
    return _not_drained(placements, task_vars, "__release_leaving", KEPT)


def _not_drained(
    placements: Sequence[Mapping[str, Any]], task_vars: Mapping[str, Any], variable: str, otherwise: str
) -> list[dict[str, Any]]:
    host = task_vars.get("inventory_hostname")
    found = [one for one in said_in(task_vars, variable) if one["host"] == host and not one["ok"]]
    if not found:
        return []
    message = f"{'; '.join(dict.fromkeys(one['message'] for one in found))}; {otherwise}"
    problem = {**found[0]["problem"], "message": message}
    return [
        {
            "application": one["application"],
            "deployment_path": one["deployment_path"],
            "changed": False,
            "result": "failed",
            "healthchecks": [],
            "message": message,
            "problem": problem,
        }
        for one in placements
    ]


def choose(items: Iterable[Mapping[str, Any]], judged: Mapping[str, Any], which: str) -> list[dict[str, Any]]:
    """The items that a task is about.

    Args:
        which: `all`; `good`: of hosts that nothing is wrong with; `back`: of hosts on which something is switched
            back; `rest`: all, and only good ones are waited for.
    """
    back = {
        host
        for host, tasks in (judged.get("hosts") or {}).items()
        if any(task["do"] != "confirm" or not task["healthy"] for task in tasks)
    }
    back |= {*judged.get("vanished", ())}
    bad = back | {*judged.get("failed", ())}
    if which == "good":
        return [{**item} for item in items if item["host"] not in bad]
    if which == "back":
        return [{**item} for item in items if item["host"] in back]
    return [{**item, "wait": which == "all" or item["host"] not in bad} for item in items]


def back_in(
    items: Iterable[dict[str, Any]], place: str, task_vars: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The items that this group has put back at that place, or tried to; the others are still out."""
    tried = {
        (one["application"], one["host"])
        for one in said_in(task_vars, "__release_undrained")
        if one["place"] == place
    }
    return [item for item in items if (item["application"], item["host"]) in tried]


def kept(items: Iterable[dict[str, Any]], task_vars: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The items of hosts that were to leave, and that not every place could take out: nothing is removed there."""
    failed = {one["host"] for one in said_in(task_vars, "__release_leaving") if not one["ok"]}
    return [item for item in items if item["host"] in failed]


def judge_again(
    judged: Mapping[str, Any],
    hosts: Mapping[str, Sequence[dict[str, Any]] | None],
    said: Sequence[Mapping[str, Any]],
    policy: Mapping[str, Any],
) -> dict[str, Any]:
    """The verdict about a group once its hosts were put back; one that its load balancer does not see healthy counts
    like one whose smoke tests failed.

    Args:
        judged: the verdict before.
        hosts: what activation said, as `verdict.judge` takes it.
        said: what the places said.
        policy: as `verdict.judge` takes it.
    """
    tested: dict[str, list[str]] = {}
    found: dict[str, list[dict[str, Any]]] = {}
    for one in said:
        tested.setdefault(one["application"], []).append(one["host"])
        entry = {"application": one["application"], "deployment_path": one["deployment_path"]}
        entry |= {"tests": []} if one["ok"] else {"message": one["message"]}
        found.setdefault(one["host"], []).append(entry)
    again = smoke.judge_tests({**judged, "smoke": tested}, hosts, found, policy)
    return {**again, "smoke": judged["smoke"]}


def here(items: Sequence[Mapping[str, Any]], phase: str, run: Any) -> dict[str, str]:
    """Host|application → why its command failed on the controller, where it did; without the way to our secrets.

    Args:
        run: `probes.run` of the host program.
    """
    environment = {name: value for name, value in os.environ.items() if name != SOCKET_VARIABLE}
    failures = {}
    for item in items:
        command = {"command": item[phase], "user": ""}
        good, seen = run(command, item["timeout_seconds"], environment)
        if not good:
            failures[f"{item['host']}|{item['application']}"] = f"{item[phase][0]} on the controller {seen}"
    return failures


def silent(
    items: Iterable[Mapping[str, Any]], place: str, problem: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """What is said of the items of a place that gave no answer."""
    message = f"{place} does not answer: {problem['message']}"
    return [
        {
            **{name: item[name] for name in ("host", "application", "deployment_path")},
            "ok": False,
            "changed": False,
            "out": False,
            "message": message,
            "problem": {**problem, "kind": "drain", "message": message},
        }
        for item in items
    ]


def _results(registered: Any) -> list[Mapping[str, Any]]:
    if not isinstance(registered, Mapping):
        return []
    return [one for one in registered.get("results") or [registered] if isinstance(one, Mapping)]
