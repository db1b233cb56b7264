"""Hosts that an orphan is removed from leave their load balancer before, and for good."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.drain_plan import removed_in, render_drains, still_drained, without_removed
from orchestrator.core.drains import CommandDrain, Drain, HaproxyDrain
from orchestrator.core.host_report import HostReport
from orchestrator.core.leaving import leaving_drain
from orchestrator.core.model import Desired
from orchestrator.core.plan import Plan
from tests.core.builders import make_environment, parse
from tests.core.test_compile import converged
from tests.core.test_pruning import receipt
from tests.core.values import (
    make_application,
    make_desired,
    make_host,
    make_observed,
    make_placement,
    make_plan,
)

HAPROXY = Drain(
    by=HaproxyDrain(hosts=("lb",), socket="/s", backend="{application}", server="{host}", minimum=2),
    timeout_seconds=5.0,
)
COMMAND = Drain(by=CommandDrain(drain=("lb", "out"), undrain=("lb", "in")), timeout_seconds=5.0)


def filled(host: str, application: str = "old") -> Drain:
    assert isinstance(HAPROXY.by, HaproxyDrain)
    return replace(HAPROXY, by=replace(HAPROXY.by, backend=application, server=host))


def leaving(
    drains: dict[str, Drain | None], web1: Drain | None = None, web2: Drain | None = None
) -> tuple[Desired, Plan]:
    """`old` is an orphan on web1, where `site` stays; `api` is on web2."""
    site = replace(make_placement(), drain=web1)
    api = replace(make_placement(make_application("api"), make_host("web2")), drain=web2)
    desired = replace(make_desired(site, api), prune=True, drains=drains)
    found = converged(desired).placements.values()
    return desired, make_plan(desired, make_observed("web1", *found, receipt("old")), make_observed("web2"))


def drain_of(desired: Desired, plan: Plan) -> Drain | None:
    (step,) = [one for one in plan.steps if one.action == "remove"]
    return leaving_drain(desired, step)


def test_orphan_is_drained_as_its_entry_or_the_environment_says() -> None:
    desired, plan = leaving({"": None, "old": HAPROXY}, web2=filled("web2"))
    assert drain_of(desired, plan) == filled("web1")
    (step,) = [one for one in plan.steps if one.action == "remove"]
    assert step.reason == "git no longer asks for it there; drained before (old/web1 on lb)"
    assert drain_of(*leaving({"": COMMAND})) == COMMAND
    assert drain_of(*leaving({"": COMMAND, "old": None})) is None
    assert drain_of(*leaving({})) is None
    nowhere = replace(HAPROXY, by=replace(HAPROXY.by, hosts=()))
    assert drain_of(*leaving({"": nowhere})) is None
    desired, plan = leaving({"": COMMAND})
    (step,) = [one for one in plan.steps if one.action == "remove"]
    assert leaving_drain(desired, replace(step, host="elsewhere")) is None


@pytest.mark.parametrize(
    ("drain", "staying"), [(HAPROXY, filled("web1")), (COMMAND, COMMAND)], ids=["server", "commands"]
)
def test_host_that_another_application_is_reached_on_does_not_leave(drain: Drain, staying: Drain) -> None:
    assert drain_of(*leaving({"": drain}, web1=staying)) is None


def test_other_servers_and_other_ways_do_not_keep_a_host() -> None:
    assert drain_of(*leaving({"": COMMAND}, web1=filled("web1"))) == COMMAND
    assert drain_of(*leaving({"": HAPROXY}, web1=filled("web1", "site"))) is not None


def test_backend_that_nobody_stays_behind_may_lose_its_last_server() -> None:
    def minimum(web2: Drain | None) -> int:
        drain = drain_of(*leaving({"": HAPROXY}, web2=web2))
        assert drain is not None
        assert isinstance(drain.by, HaproxyDrain)
        return drain.by.minimum

    assert minimum(filled("web2")) == 2
    assert minimum(filled("web2", "other")) == 0
    assert minimum(COMMAND) == 0
    assert minimum(None) == 0


def said(phase: str, **more: Any) -> HostReport:
    return HostReport(host="web1", phase=phase, status="ok", result=more)


def test_what_was_removed_stays_out_and_the_rest_is_put_back() -> None:
    desired, plan = leaving({"": COMMAND})
    drains = render_drains(plan, desired.placements, desired)
    ((group, places),) = drains.items()
    (item,) = places["web1"]
    assert (item["application"], item["leaves"], item["drain"]) == ("old", True, ["lb", "out"])
    out = {"application": "old", "host": "web1", "place": "web1", "ok": True, "out": True}
    drained = said("drain", drains=[out])
    answer = {"application": "old", "deployment_path": "/srv/old"}
    gone = removed_in(plan, [drained, said("prune", placements=[answer])])
    assert gone == {("old", "web1")}
    assert still_drained([drained], gone) == {}
    assert without_removed(drains, gone) == {group: {"web1": []}}
    for kept in (said("prune"), said("prune", placements=[{**answer, "problem": {"kind": "drain"}}])):
        assert removed_in(plan, [drained, kept]) == set()
    assert list(still_drained([drained])) == [("old", "web1")]
    assert without_removed(drains, ()) == drains


def test_documents_say_it_for_every_entry_and_for_those_that_are_no_more() -> None:
    commands = {"drain": ["lb", "out"], "undrain": ["lb", "in"]}
    given = make_environment(drain={"commands": commands, "timeout_seconds": 5})
    given["applications"] = {**given["applications"], "gone": {"drain": False, "hosts": []}}
    assert parse(None, given).drains == {"": COMMAND, "shop": COMMAND, "gone": None}
