"""What an attempt has found out before it got the lock is found out again inside it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.edges.deliveries import DEPLOY, Delivery, verdicts

RULE = "format = 1\n[protection.dev]\nrequire_pinned = true\n"
NAMES = ("site", "api")


def release_both(delivery: Delivery, site: str, api: str) -> None:
    """Both applications, in these versions, on the branch."""
    applications = {}
    for name, version in zip(NAMES, (site, api), strict=True):
        (delivery.artifacts / f"{name}-{version}.txt").write_text(f"{version}\n")
        artifact = {"repository": "here", "path": f"{name}-{{version}}.txt"}
        applications[name] = {"version": version, "artifact": artifact}
    manifest = {"manifest_version": f"{site}-{api}", "applications": applications}
    environment = {
        "environment": "dev",
        "repositories": {"here": {"type": "directory", "path": str(delivery.artifacts)}},
        "hosts": delivery.hosts,
        "applications": {name: {"deployment_path": f"{delivery.srv}/{name}/{{host}}"} for name in NAMES},
    }
    delivery._write("manifest.json", manifest)
    delivery._write("dev-env.json", environment)
    delivery.push(f"{site} {api}")


def live(delivery: Delivery, host: str) -> list[str]:
    """Versions of site and api."""
    places = ((name, delivery.srv / name / host / "current") for name in NAMES)
    return [(place / f"{name}.txt").read_text().strip() for name, place in places]


def pinned(version: str) -> dict[str, str]:
    return {"sha256": hashlib.sha256(f"{version}\n".encode()).hexdigest()}


def test_rollback_that_waited_for_a_deployment_undoes_no_other_one(directory: Path) -> None:
    delivery = Delivery(directory, hosts=1)
    (host,) = delivery.hosts
    clone, operator = delivery.clone("runner"), None
    for site, api in (("1.0", "1.0"), ("1.0", "2.0")):
        release_both(delivery, site, api)
        delivery.run(clone, *DEPLOY)
    release_both(delivery, "2.0", "2.0")
    operator = delivery.clone("operator")
    with delivery.holding("activate"):
        job = delivery.start(clone, *DEPLOY)
        delivery.wait_held("activate", job)
        back = delivery.start(operator, "rollback", "--environment", "dev")
        back.says("waiting for the lock")
        named = delivery.start(operator, "rollback", "--environment", "dev", "--application", "api")
    job.end()
    said = back.end(expect=35)
    assert "ended after this rollback was asked for" in said
    assert "run it again" in said
    named.end()
    assert live(delivery, host) == ["2.0", "1.0"], "what was named is what was meant"
    delivery.run(operator, "rollback", "--environment", "dev", "--application", "site")
    assert live(delivery, host) == ["1.0", "1.0"]


def test_last_good_state_is_that_of_the_moment_at_which_hosts_are_brought_to_it(directory: Path) -> None:
    delivery = Delivery(directory, hosts=1)
    (host,) = delivery.hosts
    clone = delivery.clone("runner")
    for version in ("1.0", "2.0"):
        delivery.release(version)
        if version == "1.0":
            delivery.run(clone, *DEPLOY)
    operator = delivery.clone("operator")
    with delivery.holding("activate"):
        job = delivery.start(clone, *DEPLOY)
        delivery.wait_held("activate", job)
        late = delivery.start(operator, "deploy", "--environment", "dev", "--last-good", "--limit", host)
        late.says("waiting for the lock")
    job.end()
    late.end()
    assert delivery.live() == "2.0"


def test_rules_are_those_of_what_was_deployed_while_the_lock_was_waited_for(directory: Path) -> None:
    delivery = Delivery(directory, hosts=1)
    delivery.release("1.0", **pinned("1.0"))
    clone, other = delivery.clone("runner"), delivery.clone("other")
    delivery.run(clone, *DEPLOY)
    (delivery.work / "orchestrator.toml").write_text(RULE)
    delivery.release("2.0", **pinned("2.0"))
    with delivery.holding("activate"):
        job = delivery.start(clone, *DEPLOY)
        delivery.wait_held("activate", job)
        delivery.release("3.0")
        late = delivery.start(other, *DEPLOY)
        late.says("waiting for the lock")
    job.end()
    assert "require_pinned" in late.end(expect=43)
    assert delivery.live() == "2.0"
    history = delivery.history(other)
    assert verdicts(history)[0] == "failed"
    assert history[0]["protection"]["findings"]
