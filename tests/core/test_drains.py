"""How hosts leave their load balancer: what documents say, and what a plan makes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.drain_plan import (
    drains_in,
    find_crowds,
    mark_drained,
    plan_drains,
    render_drains,
    still_drained,
)
from orchestrator.core.drains import (
    CommandDrain,
    Drain,
    Drained,
    HaproxyDrain,
    balancers_of,
    describe_drain,
    places_of,
)
from orchestrator.core.host_report import HostReport
from orchestrator.core.observed import ObservedHost, parse_observed
from orchestrator.core.outcome import Outcome, fold_outcome
from orchestrator.core.plan import Plan
from tests.core.builders import make_environment, make_settings, parse, problems
from tests.core.values import make_desired, make_host, make_observed, make_placement, make_plan

ALLOWED = make_settings("controller_commands = true\n")
HAPROXY = {"hosts": ["web2"], "backend": "web"}
BY_HAPROXY = Drain(
    by=HaproxyDrain(hosts=("lb",), socket="/s", backend="web", server="web1", minimum=1), timeout_seconds=60.0
)
BY_COMMAND = Drain(by=CommandDrain(drain=("out",), undrain=("back",)), timeout_seconds=5.0)
WHERE = "staging-env.json: drain"


def environment(drain: Any, /, **entry: Any) -> dict[str, Any]:
    return make_environment(
        drain=drain, applications={"shop": {"deployment_path": "/srv/shop", "hosts": ["web1"], **entry}}
    )


def drain_of(drain: Any, **options: Any) -> Drain | None:
    return parse(None, environment(drain), **options).placements[0].drain


def test_server_of_haproxy_is_filled_in_for_each_host() -> None:
    assert drain_of({"haproxy": HAPROXY}) == Drain(
        by=HaproxyDrain(
            hosts=("web2",), socket="/run/haproxy/admin.sock", backend="web", server="web1", minimum=1
        ),
        timeout_seconds=60.0,
    )
    more = {
        "hosts": ["web", "web2"],
        "socket": "/run/h.sock",
        "backend": "{environment}-{application}",
        "server": "{address}",
        "minimum": 2,
    }
    assert drain_of({"haproxy": more, "timeout_seconds": 5}) == Drain(
        by=HaproxyDrain(
            hosts=("web1", "web2"),
            socket="/run/h.sock",
            backend="staging-shop",
            server="192.0.2.1",
            minimum=2,
        ),
        timeout_seconds=5.0,
    )


def test_commands_are_filled_in_for_each_host() -> None:
    commands = {"drain": ["/bin/lb", "out {host}"], "undrain": ["/bin/lb", "in"], "user": "lb"}
    found = drain_of({"commands": commands})
    assert found is not None
    assert found.by == CommandDrain(drain=("/bin/lb", "out web1"), undrain=("/bin/lb", "in"), user="lb")
    commands = {"drain": ["a"], "undrain": ["b"], "on": "controller"}
    found = drain_of({"commands": commands}, settings=ALLOWED)
    assert found is not None
    assert found.by == CommandDrain(drain=("a",), undrain=("b",), on="controller")


def test_application_has_its_own_drain_or_none() -> None:
    own = parse(None, environment({"haproxy": HAPROXY}, drain={"haproxy": {**HAPROXY, "backend": "own"}}))
    (placement,) = own.placements
    assert placement.drain is not None
    assert isinstance(placement.drain.by, HaproxyDrain)
    assert placement.drain.by.backend == "own"
    off = parse(None, environment({"haproxy": HAPROXY}, drain=False))
    assert off.placements[0].drain is None
    assert parse(None, environment(False)).placements[0].drain is None


def test_load_balancer_in_maintenance_is_left_out() -> None:
    given = environment({"haproxy": HAPROXY})
    given["hosts"]["web2"]["maintenance"] = True
    (placement,) = parse(None, given).placements
    assert placement.drain is not None
    assert places_of(placement.drain, "web1") == ()


@pytest.mark.parametrize(
    ("drain", "problem"),
    [
        (True, ': has to be an object such as {"haproxy": {"hosts": ["lb1"], "backend": "web"}}; false'),
        ({}, ": a drain has exactly one of `haproxy` and `commands`"),
        (
            {"haproxy": HAPROXY, "commands": {"drain": ["a"], "undrain": ["b"]}},
            ": a drain has exactly one of",
        ),
        ({"haproxy": {"hosts": ["web2"]}}, '.haproxy: "backend" is missing'),
        ({"haproxy": {**HAPROXY, "hosts": ["wbe"]}}, '.haproxy.hosts[0]: there is no host or group "wbe"'),
        ({"haproxy": {**HAPROXY, "hosts": ["all"]}}, '.haproxy.hosts[0]: there is no host or group "all"'),
        ({"haproxy": {**HAPROXY, "hosts": [1]}}, ".haproxy.hosts[0]: has to be a string"),
        ({"haproxy": {**HAPROXY, "socket": "admin.sock"}}, ".haproxy.socket: has to be an absolute path"),
        ({"haproxy": {**HAPROXY, "backend": "a b"}}, ".haproxy.backend: has to be a name of HAProxy's"),
        ({"haproxy": {**HAPROXY, "server": "{hots}"}}, '.haproxy.server: "{hots}" is no placeholder here'),
        ({"haproxy": {**HAPROXY, "minimum": -1}}, ".haproxy.minimum: has to be a whole number"),
        ({"haproxy": HAPROXY, "timeout_seconds": 0}, ".timeout_seconds: has to be a number of seconds"),
        ({"commands": {"drain": ["a"]}}, '.commands: "undrain" is missing'),
        ({"commands": {"drain": "a", "undrain": ["b"]}}, ".commands.drain: has to be a list of texts"),
        ({"commands": {"drain": ["-a"], "undrain": ["b"]}}, '.commands.drain[0]: "-a" is no program'),
        ({"commands": {"drain": [""], "undrain": ["b"]}}, '.commands.drain[0]: "" is no program'),
        (
            {"commands": {"drain": ["a", "{version}"], "undrain": ["b"]}},
            '.commands.drain[1]: "{version}" is no placeholder here',
        ),
        (
            {"commands": {"drain": ["a"], "undrain": ["b"], "on": "controller"}},
            ".commands.on: documents run no command on the controller",
        ),
    ],
)
def test_wrong_drains_are_violations(drain: Any, problem: str) -> None:
    (found,) = problems(None, environment(drain))
    assert found.startswith(WHERE + problem)


def test_controllers_command_has_no_user() -> None:
    commands = {"drain": ["a"], "undrain": ["b"], "on": "controller", "user": "x"}
    (found,) = problems(None, environment({"commands": commands}), settings=ALLOWED)
    assert found.startswith(f"{WHERE}.commands.user: on the controller a command runs as whoever deploys")


def test_name_that_no_server_can_have_is_one_violation() -> None:
    twice = "{address}{address}"
    given = environment({"haproxy": {**HAPROXY, "server": twice, "backend": twice}}, hosts="all")
    address = ".".join(["a" * 60] * 3)
    for number, host in enumerate(given["hosts"].values()):
        host["address"] = f"{number}.{address}"
    assert [line.partition(": on")[0] for line in problems(None, given)] == [
        f"{WHERE}.haproxy.backend",
        f"{WHERE}.haproxy.server",
    ]


def out(host: str = "web1") -> Drained:
    return Drained(application="site", host=host, place="lb", run="r1", since="then")


def observed(*drained: Drained) -> dict[str, ObservedHost]:
    balancer = ObservedHost(name="lb", status="observed", placements={}, drained=drained)
    return {"web1": make_observed("web1"), "lb": balancer}


def plan_of(*drained: Drained, drain: Drain | None = BY_HAPROXY, live: str = "1.0.0") -> Plan:
    placement = replace(make_placement(), drain=drain)
    return make_plan(make_desired(placement), make_observed("web1"))


def test_plan_says_who_is_drained_and_who_still_is() -> None:
    placement = replace(make_placement(), drain=BY_HAPROXY)
    (step,) = plan_of().steps
    assert step.reason.endswith("; drained meanwhile (web/web1 on lb)")
    skip = replace(step, action="skip", reason="converged")
    (same,) = plan_drains([skip], [placement], {})
    assert same == skip
    (found,) = plan_drains([skip], [placement], observed(out()))
    assert found.action == "verify"
    assert found.reason.startswith("it is drained on lb by run r1 since then; drained meanwhile")
    undrained = replace(placement, drain=None)
    assert plan_drains([skip], [undrained], observed(out())) == [skip]
    own = Drained(application="site", host="web1", place="web1", run="r1", since="then")
    assert own.text == "it is drained by run r1 since then"


def test_descriptions_and_places() -> None:
    assert places_of(BY_COMMAND, "web1") == ("web1",)
    assert places_of(BY_HAPROXY, "web1") == ("lb",)
    assert balancers_of([BY_COMMAND, None, BY_HAPROXY]) == {"lb"}
    assert describe_drain(BY_COMMAND) == "drained meanwhile (its own command)"
    far = replace(BY_COMMAND, by=replace(BY_COMMAND.by, on="controller"))
    assert describe_drain(far) == "drained meanwhile (a command on the controller)"


def test_places_are_told_of_the_hosts_that_change() -> None:
    plan = plan_of()
    placement = replace(make_placement(), drain=BY_HAPROXY)
    item = {"host": "web1", "application": "site", "deployment_path": "/srv/site"}
    assert render_drains(plan, [placement], make_desired()) == {
        0: {
            "lb": [
                {
                    **item,
                    "timeout_seconds": 60.0,
                    "socket": "/s",
                    "backend": "web",
                    "server": "web1",
                    "minimum": 1,
                }
            ]
        }
    }
    (told,) = render_drains(plan, [replace(placement, drain=BY_COMMAND)], make_desired())[0]["web1"]
    assert told == {
        **item,
        "timeout_seconds": 5.0,
        "drain": ["out"],
        "undrain": ["back"],
        "on": "host",
        "user": "",
    }
    assert render_drains(plan, [], make_desired()) == {}


def crowd(*hosts: str, groups: tuple[int, ...], minimum: int = 1) -> tuple[str, ...]:
    placements = []
    for name in hosts:
        by = HaproxyDrain(hosts=("lb",), socket="/s", backend="web", server=name, minimum=minimum)
        drain = Drain(by=by, timeout_seconds=1.0)
        placements.append(replace(make_placement(host=make_host(name)), drain=drain))
    steps = [
        replace(make_plan(make_desired(placement)).steps[0], group=group)
        for placement, group in zip(placements, groups, strict=True)
    ]
    others = [replace(placements[0], drain=BY_COMMAND), make_placement(host=make_host("z"))]
    stray = [replace(steps[0], host="z"), replace(steps[0], host="elsewhere")]
    assert find_crowds(steps, [*others[:1]]) == ()
    skipped = replace(steps[0], action="skip")
    assert find_crowds([skipped], placements) == ()
    return find_crowds([*steps, *stray], [*placements, *others[1:]])


def test_batch_that_leaves_no_server_is_a_warning() -> None:
    assert crowd("a", "b", "c", groups=(0, 1, 2)) == ()
    assert crowd("a", groups=(0,)) == ()
    (warning,) = crowd("a", "b", groups=(0, 0))
    assert warning.startswith(
        "site: 2 of its 2 servers in the backend web are to be drained at once, and 1 has"
    )
    (warning,) = crowd("a", "b", "c", groups=(0, 0, 1), minimum=2)
    assert "2 of its 3 servers" in warning
    assert "and 2 have to stay ready" in warning


def test_plan_warns_of_crowds() -> None:
    placements = [
        replace(
            make_placement(host=make_host(name)),
            drain=replace(BY_HAPROXY, by=replace(BY_HAPROXY.by, server=name)),
        )
        for name in ("a", "b")
    ]
    assert any("are to be drained at once" in text for text in make_plan(make_desired(*placements)).warnings)


def said(phase: str, *, ok: bool = True, out: bool = True, place: str = "lb", **more: Any) -> HostReport:
    one = {"application": "site", "host": "web1", "place": place, "ok": ok, "out": out, **more}
    result = {"results": [{"drains": [one]}, {"skipped": True}]}
    return HostReport(host="web1", phase=phase, status="ok", result=result)


def test_what_was_not_put_back_is_still_drained() -> None:
    key, gone = ("site", "web1"), "the run ended before it was put back"
    lost = {"message": "lb2 does not answer", "problem": {"kind": "drain"}}
    sick = {"message": "DOWN", "problem": {"kind": "health"}}
    assert still_drained([said("drain")]) == {key: gone}
    assert still_drained([said("drain"), said("undrain", out=False)]) == {}
    assert still_drained([said("drain", out=False)]) == {}
    assert still_drained([said("drain"), said("drain", place="lb2"), said("undrain")]) == {key: gone}
    assert still_drained([said("drain"), said("undrain", ok=False, **lost)]) == {key: "lb2 does not answer"}
    assert still_drained([said("undrain", ok=False, **sick)]) == {}
    assert still_drained([HostReport(host="web1", phase="drain", status="started", result={})]) == {}
    direct = HostReport(host="lb", phase="undrain", status="ok", result={"drains": [{"a": 1}]})
    assert drains_in(direct) == [{"a": 1}]


def test_nothing_is_well_of_what_is_still_drained() -> None:
    plan = make_plan(make_desired(), make_observed("web1"))
    answer = {"application": "site", "deployment_path": "/srv/site", "changed": True, "message": "m"}

    def outcome(result: str) -> Outcome:
        given = {"placements": [{**answer, "result": result}]}
        activated = HostReport(host="web1", phase="activate", status="ok", result=given)
        return fold_outcome(plan, [activated], finished=True, cancelled=False)

    good, bad = outcome("healthy"), outcome("switched_back")
    assert mark_drained(good, {}) is good
    marked = mark_drained(good, {("site", "web1"): "why"})
    (one,) = marked.placements
    assert (marked.verdict, one.result, one.kind) == ("failed", "unproven", "drain")
    assert one.message == "m; it is still drained: why"
    marked = mark_drained(bad, {("site", "web1"): "why"})
    assert (marked.verdict, marked.placements[0].result) == ("failed", "switched back")
    assert mark_drained(good, {("other", "web1"): "why"}).placements == good.placements


def test_places_say_what_they_have_drained() -> None:
    entry = {"application": "site", "host": "web1", "run": "r1", "since": "then"}
    assert parse_observed("lb", [], [entry]).drained == (out(),)
    assert parse_observed("lb", [], ["x"]).kind == "host"
