"""What runs once for all hosts of a wave: on which of them, and what becomes of a group when it fails."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Elected = list[dict[str, Any]]


def due_on(placements: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What of a host's placements has hooks that run once, which staging says of each host."""
    return [
        {"application": one["application"], "group": one["group"], "wave": one.get("wave") or 0}
        for one in placements
        if (one.get("hooks") or {}).get("run_once")
    ]


def elect(
    staged: Mapping[str, Mapping[str, Any]], hosts: Iterable[str], group: int, before: Sequence[Any]
) -> Elected:
    """For each application that has something to run before that group: `application`, `wave`, and the `host`.

    Args:
        staged: host → what its task of phase `stage` said.
        hosts: those that may go live in that group, the first one is taken.
        before: (application, wave) of what has run, or failed, in this run.
    """
    elected: dict[str, dict[str, Any]] = {}
    for host in hosts:
        for one in staged.get(host, {}).get("due") or ():
            if one["group"] == group and [one["application"], one["wave"]] not in before:
                elected.setdefault(one["application"], {**one, "host": host})
    return list(elected.values())


def keys_of(elected: Elected) -> list[list[Any]]:
    """What is not to run again in this run."""
    return [[one["application"], one["wave"]] for one in elected]


def hosts_of(elected: Elected) -> list[str]:
    """Who has something to run."""
    return list(dict.fromkeys(one["host"] for one in elected))


def chosen(placements: Iterable[dict[str, Any]], elected: Elected, host: str) -> list[dict[str, Any]]:
    """The placements of a host for which it runs it."""
    mine = {one["application"] for one in elected if one["host"] == host}
    return [one for one in placements if one["application"] in mine]


def judge(
    said: Mapping[str, Mapping[str, Any]], elected: Elected, policy: Mapping[str, Any], group: int
) -> dict[str, Any]:
    """The verdict about the group that waited for it: when something failed nothing of it is activated.

    Args:
        said: host → what its task of phase `once` said; a host that vanished has failed.
        policy: as `verdict.judge` takes it; how many failures it allows does not matter.
    """
    failed = sorted(host for host in hosts_of(elected) if _went_wrong(said.get(host, {"failed": True})))
    return {
        "hosts": {},
        "group": group,
        "own": [],
        "smoke": {},
        "settling": [],
        "vanished": [],
        "failed": failed,
        "failed_hosts": sorted({*policy["failed_hosts"], *failed}),
        "stop": bool(failed),
        "roll_back_earlier": bool(failed) and policy["rollback"] == "all",
        "waited": bool(policy.get("waited")),
        "done": False,
    }


def elect_in(task_vars: Mapping[str, Any], policy: Mapping[str, Any], group: int) -> dict[str, Any]:
    """Who runs what before that group in a play: `elected`, and with that `before` for the groups after it."""
    hosts = [name for name in task_vars["ansible_play_batch"] if name not in policy["failed_hosts"]]
    staged = {name: task_vars["hostvars"][name].get("__release_staged") or {} for name in hosts}
    elected = elect(staged, hosts, max(0, group), policy["before"])
    return {"elected": elected, "hosts": hosts_of(elected), "before": [*policy["before"], *keys_of(elected)]}


def judge_in(
    task_vars: Mapping[str, Any], elected: Elected, policy: Mapping[str, Any], group: int
) -> dict[str, Any]:
    """The verdict about a group of a play, see `judge`."""
    every = {name: task_vars["hostvars"][name].get("__release_once") for name in hosts_of(elected)}
    return judge({name: said for name, said in every.items() if said}, elected, policy, max(0, group))


def _went_wrong(said: Mapping[str, Any]) -> bool:
    return bool(said.get("failed") or said.get("unreachable") or said.get("problem"))
