"""A whole deployment on all hosts: stage everywhere, then group by group, and back again when it has to be.

What a playbook run by hand does with the tasks of the role `release`, which are the same steps.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from controller_program import once
from controller_program.fleet import Fleet, end_with_parent, open_fleet
from controller_program.orchestrator import ask
from controller_program.said import activated_on, smoked_on_host
from controller_program.smoke import judge_tests

Said = Mapping[str, dict[str, Any]]


class Ground(Protocol):
    """What a rollout works on."""

    def each(self, phase: str, hosts: Sequence[str], **arguments: Any) -> Said:
        """Host → what that phase ended with there; `activated` is handed to each host its own."""

    def judge(self, said: Said, group: int, policy: Mapping[str, Any]) -> dict[str, Any]:
        """The verdict about a group that was activated."""

    def judge_tests(
        self, verdict: dict[str, Any], said: Said, smoked: Said, policy: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The verdict about it once its smoke tests have run."""

    def wait(self, verdict: dict[str, Any]) -> dict[str, Any]:
        """The verdict once it is known whether the rollout goes on after its canary."""


class Rollout:
    """What the plan says, on the hosts that it names.

    Args:
        plan: `hosts`, `groups`, `members` (by group, as text), `removals`, `canary`.
        policy: `max_failures`, `rollback`.
    """

    def __init__(self, plan: Mapping[str, Any], policy: Mapping[str, Any], ground: Ground) -> None:
        self._plan, self._policy, self._ground = plan, policy, ground
        self._gone: set[str] = set()
        self._staged: Said = {}
        self._once: list[list[Any]] = []

    def run(self) -> None:
        """Everything has been done, or undone, or left where the policy leaves it."""
        if not self._plan["hosts"]:
            return
        self._staged = self._ground.each("stage", self._plan["hosts"])
        if any(_went_wrong(said) for said in self._staged.values()):
            return
        verdict = self._activate_groups()
        if verdict.get("failed_hosts"):
            if verdict["roll_back_earlier"]:
                for group in reversed([one for one in self._plan["groups"] if one < verdict["group"]]):
                    self._strictly("rollback", self._members(group), group=group)
        elif not verdict.get("stop"):
            for group in self._plan["removals"]:
                self._strictly("absent", self._members(group), group=group)

    def _members(self, group: int, without: Sequence[str] = ()) -> list[str]:
        members = self._plan["members"].get(str(group), ())
        return [name for name in members if name not in self._gone and name not in without]

    def _strictly(self, phase: str, hosts: Sequence[str], **arguments: Any) -> Said:
        """A host on which that fails takes no further part."""
        said = self._ground.each(phase, hosts, **arguments)
        self._gone |= {name for name, one in said.items() if _went_wrong(one)}
        return said

    def _activate_groups(self) -> dict[str, Any]:
        verdict: dict[str, Any] = {}
        for group in self._plan["groups"]:
            if verdict.get("stop") or (group > self._plan["canary"] >= 0 and not verdict.get("waited")):
                break
            hosts = self._members(group, verdict.get("failed_hosts", ()))
            if hosts:
                verdict = self._run_once(group, hosts, verdict) or self._activate(group, hosts, verdict)
        return verdict

    def _run_once(self, group: int, hosts: list[str], before: Mapping[str, Any]) -> dict[str, Any]:
        """Nothing, unless something failed that runs once before this group: then the verdict that ends the rollout."""
        elected = once.elect(self._staged, hosts, group, self._once)
        if not elected:
            return {}
        self._once += once.keys_of(elected)
        said = self._ground.each("once", once.hosts_of(elected), group=group, once=elected)
        policy = {
            **self._policy,
            "failed_hosts": before.get("failed_hosts", []),
            "waited": before.get("waited"),
        }
        verdict = once.judge(said, elected, policy, group)
        return verdict if verdict["stop"] else {}

    def _activate(self, group: int, hosts: list[str], before: Mapping[str, Any]) -> dict[str, Any]:
        policy = {
            **self._policy,
            "failed_hosts": before.get("failed_hosts", []),
            "waited": before.get("waited", False),
            "last": group == self._plan["groups"][-1],
        }
        said = self._ground.each("activate", hosts, group=group)
        verdict = self._ground.judge(said, group, policy)
        if verdict["smoke"]:
            smoked = self._ground.each("smoke", hosts, group=group, verdict=verdict)
            verdict = self._ground.judge_tests(verdict, said, smoked, policy)
        settling = [name for name in hosts if name in verdict["settling"]]
        if settling:
            self._strictly("settle", settling, group=group, verdict=verdict, activated=said, fails_later=True)
        if group == self._plan["canary"] and not verdict["stop"]:
            verdict = self._ground.wait(verdict)
            if verdict["undo_batch"]:
                self._strictly("rollback", self._members(group), group=group)
        return verdict


class OnFleet:
    """A rollout's ground: the hosts of a play.

    Args:
        action: of the play's task; it judges and waits.
        arguments: of every phase.

    Attributes:
        is_well: no host has had a problem so far.
    """

    def __init__(self, fleet: Fleet, action: Any, arguments: dict[str, Any]) -> None:
        self._fleet, self._action, self._arguments = fleet, action, arguments
        self.is_well = True

    def each(self, phase: str, hosts: Sequence[str], **arguments: Any) -> Said:
        """See `Ground`."""
        activated = arguments.pop("activated", {})
        shared = {**self._arguments, **arguments}
        said = self._fleet.each(phase, hosts, lambda name: {**shared, "activated": activated.get(name, {})})
        self.is_well = self.is_well and not any(
            one.get("problem") or _went_wrong(one) for one in said.values()
        )
        return said

    def judge(self, said: Said, group: int, policy: Mapping[str, Any]) -> dict[str, Any]:
        """See `Ground`."""
        hosts = {name: activated_on(one) for name, one in said.items()}
        verdict: dict[str, Any] = self._action.judge_group(hosts, policy, group)
        return verdict

    def judge_tests(
        self, verdict: dict[str, Any], said: Said, smoked: Said, policy: Mapping[str, Any]
    ) -> dict[str, Any]:
        """See `Ground`."""
        hosts = {name: activated_on(one) for name, one in said.items()}
        return judge_tests(
            verdict, hosts, {name: smoked_on_host(one) for name, one in smoked.items()}, policy
        )

    def wait(self, verdict: dict[str, Any]) -> dict[str, Any]:
        """See `Ground`; no host is connected meanwhile."""
        self._fleet.close()
        waited: dict[str, Any] = self._action.wait({**self._arguments, "verdict": verdict})
        return waited


def roll_out(action: Any, arguments: dict[str, Any], task_vars: Mapping[str, Any]) -> dict[str, Any]:
    """All hosts of the play were observed, unless the orchestrator has done it, and what the plan says has been done,
    unless they need tasks of their own.

    Args:
        action: of the play's task.
        task_vars: the task's.

    Returns:
        `plan`; `done`: whether nothing is left to do.
    """
    with _fleet_of(action, task_vars) as (fleet, names):
        ground = OnFleet(fleet, action, arguments)
        observed = ask({"ask": "observed"})["hosts"]
        ground.each("observe", [name for name in names if name not in observed])
        plan = ask({"ask": "plan"})
        if plan["together"]:
            fleet.close(sorted(set(names) - set(plan["hosts"])))
            Rollout(plan, arguments["policy"], ground).run()
            if ground.is_well:
                ask({"ask": "finish"})
        return {"plan": plan, "done": plan["together"]}


def survey(action: Any, arguments: dict[str, Any], task_vars: Mapping[str, Any]) -> None:
    """All hosts of the play were observed, and the orchestrator has been told."""
    with _fleet_of(action, task_vars) as (fleet, names):
        OnFleet(fleet, action, arguments).each("observe", names)


@contextlib.contextmanager
def _fleet_of(action: Any, task_vars: Mapping[str, Any]) -> Iterator[tuple[Fleet, list[str]]]:
    """The play's hosts, and their names."""
    end_with_parent()
    names = list(task_vars["ansible_play_hosts_all"])
    hosts = {name: task_vars["hostvars"][name] for name in names}
    fleet = open_fleet(action, hosts, int(task_vars.get("ansible_forks") or 10))
    try:
        yield fleet, names
    finally:
        fleet.close()


def _went_wrong(said: Mapping[str, Any]) -> bool:
    return bool(said.get("failed") or said.get("unreachable"))
