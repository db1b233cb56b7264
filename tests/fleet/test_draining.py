"""A real HAProxy on a host of its own, reached by SSH and with a password for sudo, by the real command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.edges.remotes import wait_for
from tests.fleet.deployments import SITE_PORT, Deployments, live_index, results, serve_site
from tests.fleet.hosts import Host, HostFactory

CONFIGURATION = """\
global
  stats socket /run/haproxy/admin.sock mode 600 level admin
defaults
  mode http
  retries 0
  timeout connect 2s
  timeout client 20s
  timeout server 20s
frontend in
  bind 127.0.0.1:8000
  default_backend web
backend web
  option httpchk GET /index.html
  default-server check inter 200ms fall 3 rise 1
"""
CLIENT = """\
import http.client, time, urllib.request
pace_seconds = 0.01
while True:
    try:
        urllib.request.urlopen("http://127.0.0.1:8000/index.html", timeout=5).read()
        print("good", flush=True)
    except (OSError, http.client.HTTPException):
        print("failed", flush=True)
    time.sleep(pace_seconds)
"""


def ask(balancer: Host, command: str) -> list[str]:
    """What the runtime socket answers, line by line."""
    program = "import socket; s = socket.socket(1); s.connect('/run/haproxy/admin.sock'); "
    program += f"s.sendall(b'{command}\\n'); print(b''.join(iter(lambda: s.recv(65536), b'')).decode())"
    return balancer.run(["python3", "-c", program]).stdout.splitlines()


def status(balancer: Host, server: str) -> str:
    """What HAProxy sees of a server."""
    rows = [line.split(",") for line in ask(balancer, "show stat")]
    column = rows[0].index("status")
    return next((row[column] for row in rows if row[:2] == ["web", server]), "")


def is_drained(balancer: Host, server: str) -> bool:
    """Whether somebody drained it, whatever its health is."""
    _, header, *rows = [line.split() for line in ask(balancer, "show servers state web") if line]
    column = header.index("srv_admin_state") - 1
    return any(row[3] == server and int(row[column]) & 8 for row in rows)


@contextmanager
def client(balancer: Host) -> Iterator[list[str]]:
    """Asks all the time while the context is open; afterwards what became of each request is in the list."""
    seen: list[str] = []
    unit = ["systemd-run", "--quiet", "--unit=client", "--property=StandardOutput=truncate:/tmp/client.log"]
    balancer.run([*unit, "python3", "-c", CLIENT])
    wait_for(lambda: "good" in balancer.run("cat /tmp/client.log").stdout)
    yield seen
    balancer.run("systemctl stop client")
    seen += balancer.run("cat /tmp/client.log").stdout.split()


def balance(balancer: Host, webs: list[Host]) -> None:
    """HAProxy runs there, and sees them all."""
    servers = "".join(f"  server {web.name} {web.address}:{SITE_PORT}\n" for web in webs)
    balancer.run("mkdir -p /run/haproxy; cat > /etc/haproxy/haproxy.cfg", stdin=CONFIGURATION + servers)
    balancer.run("systemd-run --quiet --unit=balancer haproxy -db -f /etc/haproxy/haproxy.cfg")
    wait_for(lambda: balancer.run("test -S /run/haproxy/admin.sock", check=False).returncode == 0)
    wait_for(lambda: all(status(balancer, web.name) == "UP" for web in webs))


def test_hosts_leave_their_balancer_while_they_change_and_for_good_when_they_are_pruned(
    deployments: Deployments, hosts: HostFactory
) -> None:
    balancer, *webs = hosts(3)
    first, second = webs
    deployments.secrets["SUDO_PASSWORD"] = balancer.sudo_password
    deployments.add_hosts(webs)
    deployments.add_hosts([balancer], user="operator", become_password={"env": "SUDO_PASSWORD"})
    everywhere = [web.name for web in webs]
    settings: dict[str, Any] = {"hosts": everywhere}
    deployments.settings = settings
    for version in ("1", "2"):
        deployments.publish(version, {"index.html": version})
    deployments.release("1")
    deployments.deploy()
    for web in webs:
        serve_site(web)
    balance(balancer, webs)

    haproxy = {"hosts": [balancer.name], "backend": "web"}
    settings["drain"] = {"haproxy": haproxy, "timeout_seconds": 20}
    deployments.strategy = {"batches": "1"}
    deployments.release("2")
    document = deployments.deploy()
    assert results(document) == dict.fromkeys(everywhere, "deployed")
    for web in webs:
        assert f"web/{web.name} drained after" in document["output"]
        assert f"web/{web.name} is UP" in document["output"]
        assert status(balancer, web.name) == "UP"
    assert deployments.secrets["SUDO_PASSWORD"] not in document["output"]

    settings["hosts"] = [first.name]
    deployments.release("2")
    with client(balancer) as seen:
        document = deployments.deploy("--prune")
    assert f"drained before (web/{second.name} on {balancer.name})" in document["output"]
    assert results(document) == {first.name: "unchanged", second.name: "pruned"}
    assert seen.count("good") > 20
    assert seen.count("failed") == 0
    assert status(balancer, first.name) == "UP"
    assert is_drained(balancer, second.name)
    assert live_index(second) == ""
    assert "drained" not in deployments.command("status")

    settings["hosts"] = everywhere
    deployments.release("2")
    assert results(deployments.deploy())[second.name] == "deployed"
    assert status(balancer, second.name) == "UP"
