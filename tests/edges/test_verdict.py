"""The failure policy of one batch, as the controller judges it."""

from __future__ import annotations

from typing import Any

import pytest
from controller_program.checks import normalise_check
from controller_program.verdict import judge

POLICY = {"max_failures": 0, "rollback": "batch", "failed_hosts": [], "last": True}


def placement(result: str, *checks: dict[str, Any], application: str = "shop") -> dict[str, Any]:
    made = [normalise_check(check) for check in checks]
    named = {"application": application, "deployment_path": "/srv/shop", "result": result, "changed": True}
    return {**named, "healthchecks": made, "version": "2.0"}


class Asked:
    """Answers checks by their URL, and keeps which were asked."""

    def __init__(self, *bad: str) -> None:
        self.bad, self.urls = bad, list[str]()

    def __call__(self, check: dict[str, Any]) -> tuple[bool, str]:
        self.urls.append(check["url"])
        return check["url"] not in self.bad, f"{check['url']} seen"


def test_controller_asks_once_or_for_each_host_and_never_what_the_host_asks() -> None:
    once, each = {"url": "http://once/", "origin": "once"}, {"url": "http://each/", "origin": "controller"}
    own = {"type": "command", "command": ["true"]}
    hosts = {name: [placement("active", own, once, each)] for name in ("a", "b")}
    asked = Asked()
    verdict = judge(hosts, POLICY, False, asked)
    assert sorted(asked.urls) == ["http://each/", "http://each/", "http://once/"]
    assert verdict["failed"] == []
    assert verdict["hosts"]["a"][0]["message"] == "http://once/ seen; http://each/ seen"


@pytest.mark.parametrize("bad", ["http://one/", "http://two/"])
def test_one_check_that_fails_is_enough_and_is_named(bad: str) -> None:
    checks = [{"url": url, "origin": "once"} for url in ("http://one/", "http://two/")]
    verdict = judge({"a": [placement("active", *checks)]}, POLICY, False, Asked(bad))
    assert verdict["failed"] == ["a"]
    assert verdict["hosts"]["a"][0]["healthy"] is False
    assert verdict["hosts"]["a"][0]["message"] == f"{bad} seen"


def test_nobody_is_asked_about_what_is_not_live_or_in_check_mode() -> None:
    once = {"url": "http://once/", "origin": "once"}
    asked = Asked()
    judge({"a": [placement("healthy", once)], "b": [placement("failed", once)]}, POLICY, False, asked)
    judge({"a": [placement("active", once)]}, POLICY, True, asked)
    assert asked.urls == []
