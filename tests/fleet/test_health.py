"""Health checks and smoke tests on real hosts with real units."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from tests.fleet.deployments import HEALTH, SITE_PORT, Deployments, live_index, results, serve_site
from tests.fleet.hosts import Host, HostFactory

GOOD = {"index.html": "one", "health": "ok", "info.json": '{"build": {"version": "1.0.0"}}'}
# Answers once, then dies, when the release says so; systemd starts it again and again, as it would in production.
SERVER = f"""\
import http.server, os
class Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *arguments):
        super().__init__(*arguments, directory="/srv/shop/current")
    def do_GET(self):
        super().do_GET()
        self.wfile.flush()
        if os.path.exists("/srv/shop/current/crashes"):
            os._exit(1)
http.server.ThreadingHTTPServer(("", {SITE_PORT + 1}), Handler).serve_forever()
"""


def serve_shop(host: Host) -> None:
    """A real unit that serves what `current` points to; its program dies after an answer of a bad release."""
    host.run("mkdir -p /opt/shop && cat > /opt/shop/server.py <<'END'\n" + SERVER + "END")
    host.run(
        "systemd-run --quiet --unit=shop --property=Restart=always --property=RestartSec=0.1 "
        "--property=StartLimitIntervalSec=0 python3 /opt/shop/server.py"
    )


def of_shop(**check: Any) -> dict[str, Any]:
    """A check of what `serve_shop` serves."""
    url = f"http://{{address}}:{SITE_PORT + 1}/index.html"
    return {"url": url, "interval_seconds": 0.3, "retries": 30, "deadline_seconds": 15, **check}


def test_unit_that_crash_loops_after_one_good_answer_is_caught_and_switched_back(
    deployments: Deployments, hosts: HostFactory
) -> None:
    (host,) = hosts(1)
    serve_shop(host)
    deployments.add_hosts([host])
    unit = {"type": "systemd", "unit": "shop.service", "interval_seconds": 0.3, "stays_healthy_seconds": 2}
    patient = of_shop(stays_healthy_seconds=2)
    deployments.settings = {
        "deployment_path": "/srv/shop",
        "healthchecks": [patient, {**unit, "retries": 30}],
    }
    deployments.publish("1.0.0", GOOD)
    deployments.release("1.0.0")
    assert results(deployments.deploy()) == {host.name: "deployed"}
    deployments.publish("2.0.0", {**GOOD, "index.html": "two", "crashes": ""})
    deployments.release("2.0.0")
    document = deployments.deploy(expect=23)
    assert results(document) == {host.name: "switched back"}
    message = document["placements"][0]["message"]
    assert "after it was healthy" in message
    assert live_index(host, "/srv/shop/current") == "one"
    # One good answer was enough before: this is what the window is for.
    deployments.settings["healthchecks"] = [of_shop()]
    deployments.release("2.0.0")
    assert results(deployments.deploy()) == {host.name: "deployed"}
    assert live_index(host, "/srv/shop/current") == "two"


def test_every_type_of_check_passes_on_a_real_host(deployments: Deployments, hosts: HostFactory) -> None:
    (host,) = hosts(1)
    serve_site(host)
    deployments.add_hosts([host])
    quick = {"retries": 10, "interval_seconds": 0.2, "deadline_seconds": 10}
    info = {"url": f"http://{{address}}:{SITE_PORT}/info.json", "json": {"build.version": "{version}"}}
    command = [
        "/bin/sh",
        "-c",
        'test "$(id -un)" = nobody && grep -q "$0" "$1/info.json"',
        "{version}",
        "{current}",
    ]
    deployments.settings = {
        "healthchecks": [
            {**info, **quick, "header": {"Content-Type": "application/json"}, "successes": 2},
            {"type": "tcp", "port": SITE_PORT, **quick},
            {"type": "tcp", "port": SITE_PORT, "from": "controller", **quick},
            {"type": "command", "command": command, "user": "nobody", **quick},
            {"type": "systemd", "unit": "site", **quick, "retries": 30},
        ]
    }
    deployments.publish("1.0.0", GOOD)
    deployments.release("1.0.0")
    assert results(deployments.deploy()) == {host.name: "deployed"}
    deployments.publish("2.0.0", {**GOOD, "index.html": "two"})
    deployments.release("2.0.0")
    document = deployments.deploy(expect=23)
    assert results(document) == {host.name: "switched back"}
    message = document["placements"][0]["message"]
    assert 'with build.version "1.0.0", expected "2.0.0"' in message
    assert "ended with 1" in message
    assert live_index(host) == "one"


def test_smoke_tests_that_fail_after_a_healthy_activation_switch_the_batch_back(
    deployments: Deployments, hosts: HostFactory
) -> None:
    one, two = hosts(2)
    for host in (one, two):
        serve_site(host)
    deployments.add_hosts([one, two])
    page = {"name": "page", "url": f"http://{{address}}:{SITE_PORT}/index.html", "on": "controller"}
    orders = {"name": "orders", "command": ["/bin/sh", "-c", "test -e $0/orders", "{current}"]}
    alone = {"name": "alone", "command": ["touch", "/tmp/ran-once"], "once": True}
    deployments.settings = {**HEALTH, "smoke": [page, orders, alone]}
    deployments.publish("1.0.0", {**GOOD, "orders": ""})
    deployments.release("1.0.0")
    report = deployments.directory / "report.xml"
    document = deployments.deploy("--junit", str(report))
    assert set(results(document).values()) == {"deployed"}
    tests = [
        (placement["host"], test["name"])
        for placement in document["placements"]
        for test in placement["tests"]
    ]
    assert sorted(tests) == sorted(
        [
            (one.name, "orders"),
            (one.name, "alone"),
            (one.name, "page"),
            (two.name, "orders"),
            (two.name, "page"),
        ]
    )
    suite = ElementTree.parse(report).getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("7", "0")
    ran = [host.run("test -e /tmp/ran-once && echo yes || true").stdout.strip() for host in (one, two)]
    assert ran == ["yes", ""]
    deployments.publish("2.0.0", {**GOOD, "index.html": "two"})
    deployments.release("2.0.0")
    document = deployments.deploy("--junit", str(report), expect=23)
    assert set(results(document).values()) == {"switched back"}
    assert {live_index(host) for host in (one, two)} == {"one"}
    assert "smoke test orders failed: " in document["placements"][0]["message"]
    assert "smoke tests: 3 passed, 2 failed" in document["output"]
    record = deployments.command("show", document["record"])
    assert "orders" in record
    assert "smoke test" in record
    suite = ElementTree.parse(report).getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("7", "4")
    # With rollback none the releases stay, are not trusted, and the next run looks at them again.
    deployments.strategy = {"rollback": "none"}
    deployments.release("2.0.0")
    document = deployments.deploy(expect=23)
    assert set(results(document).values()) == {"unproven"}
    assert {live_index(host) for host in (one, two)} == {"two"}
    deployments.settings["smoke"] = [page]
    deployments.release("2.0.0")
    document = deployments.deploy()
    assert set(results(document).values()) == {"deployed"}
    assert all(placement["tests"] for placement in document["placements"])
