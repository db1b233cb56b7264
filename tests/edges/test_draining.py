"""Rollouts behind a real HAProxy, by the real command, on hosts that are directories of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from host_program import draining, haproxy, receipts
from host_program.problems import Problem

from tests.edges.balancer import HAPROXY, Application, Balancer
from tests.edges.legacy import note_drains
from tests.edges.remotes import wait_for
from tests.edges.rollouts import Ground, results

behind_haproxy = pytest.mark.skipif(
    HAPROXY is None and not os.environ.get("ORCHESTRATOR_REQUIRE_ALL"), reason="haproxy is not installed"
)


class Site(Ground):
    """Hosts whose applications HAProxy, at the host `lb`, spreads requests over."""

    def __init__(self, directory: Path, hosts: int) -> None:
        super().__init__(directory, hosts)
        self.environment["hosts"]["lb"] = {**self.environment["hosts"]["h1"]}
        self.names = [f"h{number}" for number in range(1, hosts + 1)]
        self.where = {"site": self.names}
        self.release("1")
        self.deploy()
        self.applications = {name: Application(lambda name=name: self.live_on(name)) for name in self.names}
        self.balancer = Balancer(
            directory, {name: application.port for name, application in self.applications.items()}
        )
        for name, application in self.applications.items():
            self.environment["hosts"][name]["port"] = application.port
        check = {"url": "http://127.0.0.1:{port}/", "body": "{version}", "from": "host"}
        self.settings = {"healthcheck": {**check, "interval_seconds": 0.1, "deadline_seconds": 10}}
        self.environment["strategy"] = {"batches": "1"}

    def drain(self, **fields: Any) -> None:
        """What the environment says of draining."""
        haproxy = {"hosts": ["lb"], "socket": str(self.balancer.socket), "backend": "web", **fields}
        self.environment["drain"] = {"haproxy": haproxy, "timeout_seconds": 10}

    def statuses(self) -> list[str]:
        """What HAProxy sees of every server."""
        return [self.balancer.status(name) for name in self.names]

    def close(self) -> None:
        self.balancer.close()
        for application in self.applications.values():
            application.close()
        super().close()


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    made = Ground(tmp_path, 2)
    yield made
    made.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, 3)
    yield made
    made.close()


@behind_haproxy
def test_no_request_fails_while_hosts_are_drained_and_some_do_without(site: Site) -> None:
    site.release("2")
    with site.balancer.clients() as counts:
        site.deploy()
    without = counts["failed"]
    assert without > 0
    wait_for(lambda: site.statuses() == ["UP"] * 3)

    site.drain()
    site.release("3")
    assert "; drained meanwhile (web/h1 on lb)" in site.run("plan")
    with site.balancer.clients() as counts:
        document = site.deploy()
    assert results(document) == dict.fromkeys(site.names, "deployed")
    assert counts["asked"] > 50
    assert counts["failed"] == 0
    assert "web/h2 drained after" in document["output"]
    assert site.statuses() == ["UP"] * 3
    assert "Nothing to do" in site.run("plan")


def test_release_that_fails_is_switched_back_while_its_host_is_out_and_every_host_comes_back(
    site: Site,
) -> None:
    site.drain()
    site.applications["h2"].sick.add("2")
    site.release("2")
    with site.balancer.clients() as counts:
        document = site.deploy(expect=23)
    assert results(document) == {"h1": "deployed", "h2": "switched back", "h3": "staged"}
    assert counts["failed"] == 0
    wait_for(lambda: site.statuses() == ["UP"] * 3)
    assert "drained" not in site.run("status")


@behind_haproxy
def test_nothing_is_activated_on_a_host_that_cannot_be_drained(site: Site) -> None:
    site.environment["strategy"] = {"batches": "100%"}
    site.drain()
    site.release("2")
    assert "site: 3 of its 3 servers in the backend web are to be drained at once" in site.run("plan")
    document = site.deploy(expect=22)
    assert set(results(document).values()) == {"failed"}
    assert "without h1, h2, h3 the backend web has no ready server" in document["output"]
    assert site.statuses() == ["UP"] * 3

    site.environment["strategy"] = {"batches": "1", "max_failures": 3}
    site.drain(server="x{host}")
    site.release("2")
    document = site.deploy(expect=22)
    assert set(results(document).values()) == {"failed"}
    assert "drain    h1: HAProxy has no server xh1 in the backend web\n" in document["output"]
    assert {site.live_on(name) for name in site.names} == {"1"}


@behind_haproxy
def test_server_that_somebody_took_out_by_hand_stays_out(site: Site) -> None:
    site.balancer.ask("set server web/h2 state maint")
    site.drain()
    site.release("2")
    document = site.deploy()
    assert "web/h2 was out already, by somebody's hand: it stays so" in document["output"]
    assert set(results(document).values()) == {"deployed"}
    assert site.statuses() == ["UP", "MAINT", "UP"]


@behind_haproxy
def test_cancelled_run_puts_back_what_it_has_drained(site: Site) -> None:
    site.drain()
    site.environment["drain"]["timeout_seconds"] = 60
    site.release("2")
    slow = [site.balancer.open_slow_request() for _ in site.names]
    running = site.start("deploy")
    wait_for(lambda: site.balancer.status("h1") == "DRAIN")
    os.kill(running.pid, signal.SIGINT)
    wait_for(lambda: site.balancer.status("h1") == "UP")
    output, _ = running.communicate(timeout=60)
    for connection in slow:
        connection.close()
    assert running.returncode == 130, output
    assert "undrain  h1: web/h1 is UP" in output
    assert site.live_on("h1") == "1"


@behind_haproxy
def test_killed_run_shows_in_the_status_and_the_next_one_puts_back(site: Site) -> None:
    site.drain()
    site.applications["h1"].sick.add("2")
    site.settings["healthcheck"] |= {"retries": 1000, "deadline_seconds": 60}
    site.release("2")
    running = site.start("deploy")
    wait_for(lambda: site.live_on("h1") == "2")
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate(timeout=60)
    assert site.balancer.status("h1").startswith("DRAIN")
    site.applications["h1"].sick.clear()
    assert "it is drained on lb by run" in site.run("status")
    site.deploy()
    assert site.statuses() == ["UP"] * 3
    assert "drained" not in site.run("status")


@pytest.mark.parametrize("on", ["host", "controller"])
def test_commands_run_around_the_activation_of_each_host(ground: Ground, on: str) -> None:
    ground.release("1")
    ground.deploy()
    log = note_drains(ground, on)
    ground.environment["strategy"] = {"batches": "1"}
    (ground.path / "orchestrator.toml").write_text("format = 1\ncontroller_commands = true\n")
    ground.release("2")
    ground.deploy()
    assert log.read_text().splitlines() == ["out h1 1", "in h1 2", "out h2 1", "in h2 2"]
    assert "drained" not in ground.run("status")


def test_command_that_fails_keeps_its_host_from_being_activated_and_is_undone(ground: Ground) -> None:
    ground.release("1")
    ground.deploy()
    log = note_drains(ground, "host", drain=["/bin/false"])
    ground.environment["strategy"] = {"batches": "1"}
    ground.release("2")
    document = ground.deploy(expect=22)
    assert results(document) == {"h1": "failed", "h2": "staged"}
    assert "/bin/false ended with 1; the host is not activated" in document["output"]
    assert log.read_text() == "in h1 1\n"
    assert ground.live() == {"h1": "1", "h2": "1"}

    note_drains(ground, "host", undrain=["/bin/false"])
    ground.release("3")
    document = ground.deploy(expect=23)
    assert results(document)["h1"] == "switched back"
    assert "it is still drained: /bin/false ended with 1" in document["output"]
    assert "it is drained" in ground.run("status")  # where: one of two names of this machine


def test_playbook_run_by_hand_drains_as_it_was_rendered(ground: Ground) -> None:
    ground.release("1")
    ground.deploy()
    log = note_drains(ground, "host")
    ground.environment["strategy"] = {"batches": "1"}
    ground.release("2")
    output = ground.run("render", str(ground.top / "hand"))
    for_later, command = (line for line in output.splitlines() if "ansible-playbook" in line)
    ground.sick.add(("h2", "2"))
    done = by_hand(ground, command.removesuffix(" --check"))
    assert done.returncode == 2, done.stdout
    assert log.read_text().splitlines() == ["out h1 1", "in h1 2", "out h2 1", "in h2 1"]
    assert ground.live() == {"h1": "2", "h2": "1"}

    log.unlink()
    _, _, undrain = for_later.partition(": put back what it has drained: ")
    assert by_hand(ground, undrain).returncode == 0
    assert not log.exists()


def by_hand(ground: Ground, command: str) -> subprocess.CompletedProcess[str]:
    """What somebody types."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-c", command],
        env={"PATH": path, "HOME": str(ground.home), "LC_ALL": "C.UTF-8"},
        cwd=ground.top,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Balancer]:
    monkeypatch.setattr(receipts, "state_root", lambda: str(tmp_path / "state"))
    site = {name: Application(lambda: "1") for name in ("a", "b")}
    balancer = Balancer(tmp_path, {name: one.port for name, one in site.items()})
    yield balancer
    balancer.close()
    for one in site.values():
        one.close()


def ask(
    balancer: Balancer, phase: str, *servers: str, check: bool = False, **fields: Any
) -> list[dict[str, Any]]:
    common = {"socket": str(balancer.socket), "backend": "web", "minimum": 1, "timeout_seconds": 2}
    named = {"application": "site", "deployment_path": "/srv/site"}
    items = [{**common, **named, "host": one, "server": one, **fields} for one in servers]
    run = {"id": "r1", "time": "now", "token": None}
    request = {"phase": phase, "check": check, "identity": "shop/dev", "run": run, "items": items}
    answers: list[dict[str, Any]] = draining.answer(request)
    return answers


@behind_haproxy
def test_what_haproxy_is_told(backend: Balancer) -> None:
    (one,) = ask(backend, "drain", "a", check=True)
    assert (one["ok"], one["out"], backend.status("a")) == (True, False, "UP")
    (one,) = ask(backend, "drain", "a")
    assert (one["ok"], one["changed"], one["out"], backend.status("a")) == (True, True, True, "DRAIN")
    (one,) = ask(backend, "drain", "a")
    assert (one["ok"], one["changed"], one["out"]) == (True, False, True)
    (one,) = ask(backend, "drain", "b")
    assert one["message"] == "without b the backend web has no ready servers, and 1 has to stay ready"
    assert [one["host"] for one in draining.listed("shop/dev")] == ["a"]
    (one,) = ask(backend, "undrain", "b")
    assert one["message"] == "web/b is left as it was"
    (one,) = ask(backend, "undrain", "a")
    assert (one["message"], backend.status("a"), draining.listed("shop/dev")) == ("web/a is UP", "UP", [])
    assert all(one["ok"] for one in ask(backend, "drain", "a", "b", minimum=0))
    backend.ask("set server web/a state maint")
    said = ask(backend, "undrain", "a", "b")
    assert [one["ok"] for one in said] == [True, True]
    assert (backend.status("a"), backend.status("b")) == ("MAINT", "UP")


@behind_haproxy
def test_session_that_does_not_end_is_waited_for_until_the_deadline(backend: Balancer) -> None:
    slow = [backend.open_slow_request(), backend.open_slow_request()]
    wait_for(lambda: haproxy.Backend(str(backend.socket), "web").server("a")["sessions"] == 1)
    (one,) = ask(backend, "drain", "a", timeout_seconds=0.5)
    assert one["ok"]
    assert one["message"].endswith(", 1 sessions did not end")
    for connection in slow:
        connection.close()


@behind_haproxy
def test_server_that_stays_down_is_said_to_be(backend: Balancer) -> None:
    ask(backend, "drain", "a")
    backend.ask("set server web/a addr 127.0.0.1 port 1")
    wait_for(lambda: backend.status("a") == "DOWN")
    (one,) = ask(backend, "undrain", "a", timeout_seconds=1)
    assert one["problem"]["kind"] == "health"
    assert "HAProxy does not see web/a healthy within" in one["message"]


@behind_haproxy
def test_what_haproxy_refuses_says_what_to_do(backend: Balancer, tmp_path: Path) -> None:
    (one,) = ask(backend, "drain", "a", backend="other")
    assert one["message"].startswith("HAProxy has no backend other with servers at ")
    (one,) = ask(backend, "drain", "a", socket=str(tmp_path / "none"))
    assert one["message"].endswith("No such file or directory")
    (one,) = ask(backend, "drain", "a", server="a;shutdown")
    assert "is no name of HAProxy's" in one["message"]
    with pytest.raises(Problem, match="allows only reading"):
        haproxy.ask(str(backend.reading), "set server web/a state drain")
    record = next((tmp_path / "state").rglob("drains")) / "drained.json"
    record.write_text("[]")
    (one,) = ask(backend, "drain", "a")
    assert one["problem"]["kind"] == "conflict"
    assert backend.status("a") == "UP"
