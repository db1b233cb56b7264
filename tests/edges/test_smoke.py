"""Smoke tests: how they run on a host and on the controller, and what becomes of a group when some fail."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest
from ansible.errors import AnsibleActionFail
from controller_program import junit
from controller_program.placements import normalise
from controller_program.smoke import choose, judge_tests, merge, normalise_tests, of_place, run_here
from controller_program.verdict import judge
from host_program.smoke import run_test, summarise

from tests.edges.host import Host, make_zip
from tests.edges.servers import serving

POLICY = {"max_failures": 0, "rollback": "batch", "failed_hosts": [], "last": True}
PAGE = {"name": "page", "url": "http://h/"}


def make_placement(*tests: dict[str, Any], application: str = "site", **fields: Any) -> dict[str, Any]:
    given = {"application": application, "version": "2", "deployment_path": "/srv/site", **fields}
    return normalise({**given, "smoke": list(tests)}, "smoke")


def passed(name: str = "page", **fields: Any) -> dict[str, Any]:
    test = {"name": name, "on": "host", "once": False, "passed": True, "message": "seen", "seconds": 0.1}
    return {**test, **fields}


def failed(name: str = "page", **fields: Any) -> dict[str, Any]:
    return passed(name, **{"passed": False, **fields})


def said(*tests: dict[str, Any], application: str = "site") -> list[dict[str, Any]]:
    named = {"application": application, "deployment_path": "/srv/site", "changed": False}
    return [{**named, **summarise(list(tests))}]


def activated(result: str = "healthy", **fields: Any) -> list[dict[str, Any]]:
    named = {"application": "site", "deployment_path": "/srv/site", "changed": True, "healthchecks": []}
    return [{**named, "result": result, "smoke": True, **fields}]


def test_tests_run_on_the_host_with_the_placements_version_and_take_no_longer_than_they_may(
    host: Host,
) -> None:
    version = {"name": "version", "command": ["/bin/sh", "-c", 'test "$0" = 2', "{version}"]}
    slow = {"name": "slow", "command": ["sleep", "60"], "timeout_seconds": 0.3}
    with serving(lambda method, target: (200, {}, b'{"version": "1"}')) as served:
        page = {"name": "page", "url": served.url, "json": {"version": "{version}"}}
        placement = {
            **host.placement("2", {"sha256": "a" * 64}),
            "smoke": normalise_tests([version, slow, page]),
        }
        found = host.phase("smoke", placement)
    assert [(test["name"], test["passed"]) for test in found["tests"]] == [
        ("version", True),
        ("slow", False),
        ("page", False),
    ]
    assert found["tests"][1]["seconds"] < 2
    assert found["problem"]["kind"] == "health"
    assert "smoke test slow failed: sleep 60 did not end within 0.3 s" in found["message"]
    assert "smoke test page failed: " in found["message"]
    assert 'with version "1", expected "2"' in found["message"]
    assert "version failed" not in found["message"].replace("smoke test version", "")


def test_who_runs_what() -> None:
    each, once = {"name": "each", "command": ["a"]}, {"name": "once", "command": ["a"], "once": True}
    here = {**PAGE, "on": "controller"}
    placements = [make_placement(each, once, here), make_placement(each, application="other")]
    tested = {"site": ["b", "a"]}

    def names(host: str) -> list[tuple[str, list[str]]]:
        chosen = choose(placements, tested, host)
        return [(one["application"], [test["name"] for test in one["smoke"]]) for one in chosen]

    assert names("b") == [("site", ["each", "once", "page"])]
    assert names("a") == [("site", ["each", "page"])]
    assert names("c") == []
    (remote,) = of_place(placements[:1], "host")
    assert [test["name"] for test in remote["smoke"]] == ["each", "once"]
    (local,) = of_place(placements, "controller")
    assert [test["name"] for test in local["smoke"]] == ["page"]


def test_controllers_tests_have_its_environment_without_the_way_to_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_SOCKET", "/nowhere/socket")
    monkeypatch.setenv("SHOP", "open")
    text = 'test "$SHOP" = open && test -z "$ORCHESTRATOR_SOCKET"'
    placement = make_placement({"name": "a", "command": ["/bin/sh", "-c", text], "on": "controller"})
    ((_, tests),) = run_here([placement], run_test).items()
    assert [test["passed"] for test in tests] == [True]


def test_answers_of_host_and_controller_are_one() -> None:
    placements = [make_placement(PAGE), make_placement(PAGE, application="other")]
    problem = {"kind": "host", "message": "lost", "resolution": ""}
    broken = {"application": "other", "deployment_path": "/srv/site", "changed": False, "problem": problem}
    here = {("site", "/srv/site"): [failed("outside", on="controller", seconds=0.2)]}
    made = merge(placements, {"placements": [*said(passed()), broken]}, here, summarise)["placements"]
    assert [test["name"] for test in made[0]["tests"]] == ["page", "outside"]
    assert made[0]["seconds"] == 0.3
    assert made[0]["problem"]["message"] == "smoke test outside failed: seen"
    assert made[1] == broken
    assert merge([], {"placements": [], "problem": problem}, {}, summarise)["problem"] == problem


def test_group_whose_tests_pass_is_done() -> None:
    hosts = {"a": activated(), "b": activated()}
    before = judge(hosts, POLICY, False)
    assert before["smoke"] == {"site": ["a", "b"]}
    assert not before["done"]
    after = judge_tests(before, hosts, {"a": said(passed()), "b": said(passed())}, POLICY)
    assert (after["done"], after["stop"], after["failed"], after["settling"]) == (True, False, [], [])


def test_only_what_this_run_made_live_and_healthy_is_tested() -> None:
    check = {"type": "http", "url": "http://h/", "origin": "controller"}
    waiting = activated("active", healthchecks=[check])
    hosts = {"a": activated("unchanged"), "b": activated(smoke=False), "c": waiting, "d": None}
    tolerant = {**POLICY, "max_failures": 3}
    assert judge(hosts, tolerant, False, lambda check: (True, ""))["smoke"] == {"site": ["c"]}
    assert judge(hosts, tolerant, False, lambda check: (False, ""))["smoke"] == {}
    assert judge({"a": activated()}, POLICY, True)["smoke"] == {}
    assert judge({"a": activated(), "b": None}, POLICY, False)["smoke"] == {}


def test_release_that_waits_for_its_tests_only_is_confirmed_with_what_its_host_said() -> None:
    hosts = {"a": activated("active", message="answered 200")}
    before = judge(hosts, POLICY, False)
    assert before["smoke"] == {"site": ["a"]}
    (task,) = judge_tests(before, hosts, {"a": said(passed())}, POLICY)["hosts"]["a"]
    assert (task["do"], task["healthy"], task["message"]) == ("confirm", True, "answered 200")


def tasks_of(verdict: dict[str, Any]) -> dict[str, list[str]]:
    return {name: [task["do"] for task in tasks] for name, tasks in verdict["hosts"].items()}


@pytest.mark.parametrize(
    ("policy", "tasks", "stop", "earlier"),
    [
        ({}, {"a": ["distrust"], "b": ["rollback"]}, True, False),
        ({"rollback": "all"}, {"a": ["distrust"], "b": ["rollback"]}, True, True),
        ({"rollback": "none"}, {"a": ["distrust"], "b": []}, True, False),
        ({"max_failures": 1}, {"a": ["distrust"], "b": []}, False, False),
        ({"max_failures": 1, "failed_hosts": ["z"]}, {"a": ["distrust"], "b": ["rollback"]}, True, False),
    ],
)
def test_host_whose_test_fails_counts_by_the_policy(
    policy: dict[str, Any], tasks: dict[str, list[str]], stop: bool, earlier: bool
) -> None:
    policy, hosts = {**POLICY, **policy}, {"a": activated(), "b": activated()}
    smoked = {"a": said(failed()), "b": said(passed())}
    verdict = judge_tests(judge(hosts, policy, False), hosts, smoked, policy)
    assert tasks_of(verdict) == tasks
    assert (verdict["stop"], verdict["roll_back_earlier"], verdict["done"]) == (stop, earlier, False)
    assert verdict["failed"] == ["a"]
    (task,) = verdict["hosts"]["a"]
    assert task["keep"] is (policy["rollback"] == "none")
    assert task["message"] == "smoke test page failed: seen"


def test_test_that_runs_once_speaks_for_all_hosts_of_its_application() -> None:
    hosts = {"a": activated(), "b": activated(), "c": activated(application="other")}
    smoked = {"a": said(failed(once=True)), "b": [], "c": said(passed(), application="other")}
    policy = {**POLICY, "max_failures": 2}
    verdict = judge_tests(judge(hosts, policy, False), hosts, smoked, policy)
    assert tasks_of(verdict) == {"a": ["distrust"], "b": ["distrust"], "c": []}
    assert verdict["failed"] == ["a", "b"]
    assert verdict["hosts"]["b"][0]["message"] == "smoke test page failed on a: seen"


def test_health_that_the_controller_found_is_confirmed_unless_a_test_fails() -> None:
    check = {"type": "http", "url": "http://h/", "origin": "once"}
    hosts = {name: activated("active", healthchecks=[check]) for name in ("a", "b")}
    before = judge(hosts, POLICY, False, lambda check: (True, "fine"))
    passing = {"a": said(passed()), "b": said(passed())}
    assert tasks_of(judge_tests(before, hosts, passing, POLICY)) == {"a": ["confirm"], "b": ["confirm"]}
    tolerant = {**POLICY, "max_failures": 1}
    verdict = judge_tests(before, hosts, {**passing, "b": said(failed())}, tolerant)
    assert tasks_of(verdict) == {"a": ["confirm"], "b": ["distrust"]}


@pytest.mark.parametrize("answer", [None, [{"application": "site", "message": "no root"}]])
def test_host_that_cannot_run_its_tests_fails(answer: Any) -> None:
    hosts = {"a": activated(), "b": activated()}
    verdict = judge_tests(judge(hosts, POLICY, False), hosts, {"a": answer, "b": said(passed())}, POLICY)
    assert (verdict["failed"], verdict["stop"]) == (["a"], True)
    assert verdict["vanished"] == ([] if answer else ["a"])


def test_answers_of_another_group_do_not_count() -> None:
    hosts = {"a": activated()}
    stale = {"a": said(passed()), "b": None, "c": said(failed()), "d": said(failed(), application="other")}
    assert judge_tests(judge(hosts, POLICY, False), hosts, stale, POLICY)["failed"] == []


def test_distrusted_release_is_switched_back_kept_or_unproven(host: Host) -> None:
    def distrust(placement: dict[str, Any], *, keep: bool) -> dict[str, Any]:
        return host.phase("distrust", {**placement, "keep": keep, "message": "smoke test page failed"})

    one = host.placement("1", host.publish("site-1.zip", make_zip({"i": "1"})))
    host.deploy(one)
    found = distrust(one, keep=True)
    assert (found["result"], host.observe()[0]["state"]) == ("unproven", "active")
    assert found["message"] == "smoke test page failed; it stays"
    host.deploy(one)
    assert host.observe()[0]["state"] == "healthy"
    two = host.placement("2", host.publish("site-2.zip", make_zip({"i": "2"})))
    host.deploy(two)
    found = distrust(two, keep=False)
    assert (found["result"], found["version"], found["problem"]["kind"]) == ("switched_back", "1", "health")
    assert (host.path / "current" / "i").read_text() == "1"
    settings = {**one, "configuration_digest": "c2"}
    host.deploy(settings)
    found = distrust(settings, keep=False)
    assert (found["result"], host.observe()[0]["state"]) == ("unproven", "active")
    assert "it was live before, and stays" in found["message"]


@pytest.mark.parametrize(
    ("tests", "words"),
    [
        ([{"url": "http://h/"}], "a smoke test needs a `name`"),
        ([{"name": "a\nb", "url": "http://h/"}], "a smoke test needs a `name`"),
        ([PAGE, PAGE], "two smoke tests have the same name"),
        ([{"name": "a", "type": "tcp"}], "has type 'tcp', which is neither http nor command"),
        ([{**PAGE, "on": "moon"}], "runs on 'moon'"),
        ([{**PAGE, "timeout_seconds": -1}], "timeout_seconds has to be more than 0"),
        ([{**PAGE, "command": ["a"]}], "`url` belongs to type http, and this is type command"),
    ],
)
def test_test_of_a_playbook_that_does_not_fit_is_refused(tests: list[Any], words: str) -> None:
    with pytest.raises(AnsibleActionFail, match=re.escape(words)):
        normalise_tests(tests)


def test_report_of_a_playbook_has_a_case_for_each_test_and_each_silent_host() -> None:
    hosts = {"a": said(passed(), failed("bad\x1b<")), "b": None, "c": []}
    suite = ElementTree.fromstring(junit.render("shop", hosts))[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    assert [case.get("name") for case in suite] == ["page on a", "bad< on a", "smoke tests on b"]


def test_report_is_written_at_once_and_only_when_it_differs(tmp_path: Any) -> None:
    path = tmp_path / "reports" / "smoke.xml"
    assert junit.write(str(path), b"one")
    assert not junit.write(str(path), b"one")
    assert junit.write(str(path), b"two")
    assert [one.name for one in path.parent.iterdir()] == ["smoke.xml"]
    with pytest.raises(AnsibleActionFail, match="cannot be written"):
        junit.write(str(path / "below"), b"three")
