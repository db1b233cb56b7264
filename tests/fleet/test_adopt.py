"""Applications that somebody installed by hand on a real host are taken over by the real command, without a restart."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.core.unit_files import render_unit
from orchestrator.core.units import make_service
from tests.fleet.deployments import results
from tests.fleet.hosts import Host, changes
from tests.fleet.services import PATH, PORT, PROGRAM, UNIT, Services, ask
from tests.fleet.test_service import deploy, host, services

__all__ = ["host", "services"]
OLD = "/opt/releases-old/2024-01"
CURRENT = f"{PATH}/current"
KEPT = f"{PATH}/current.before-adoption"
THEIRS = f"""\
[Service]
User=shop
WorkingDirectory={CURRENT}
ExecStart={CURRENT}/bin/app {PORT}
[Install]
WantedBy=multi-user.target
"""
# Asks without an end, and notes each answer that is none.
CLIENT = f"""\
import json, os, time, urllib.request
asked, failed, pace_seconds = 0, [], 0.005
while not os.path.exists("/run/client.stop"):
    asked += 1
    try:
        urllib.request.urlopen("http://127.0.0.1:{PORT}/", timeout=2).read()
    except OSError as error:
        failed.append(str(error))
    time.sleep(pace_seconds)
with open("/run/client.json.new", "w") as file:
    json.dump([asked, failed], file)
os.rename("/run/client.json.new", "/run/client.json")
"""


def install(host: Host, version: str, unit: str, *, link: bool) -> None:
    """The program lives where somebody has put it, as the user `shop`, and systemd runs it."""
    top = OLD if link else CURRENT
    host.run(f"mkdir -p {PATH} {top}/bin")
    for name, text in {"bin/app": PROGRAM, "mode": "ok", "version": version}.items():
        host.run(f"cat > {top}/{name}", stdin=text)
    host.run(f"chmod 755 {top}/bin/app; chown -R shop {top}" + (f"; ln -s {OLD} {CURRENT}" if link else ""))
    host.run(f"cat > /etc/systemd/system/{UNIT}; systemctl daemon-reload", stdin=unit)
    host.run(f"systemctl enable --quiet --now {UNIT}")
    host.run(f"for i in $(seq 100); do curl -sf 127.0.0.1:{PORT}/health && exit; sleep 0.1; done; exit 1")


def process(host: Host) -> dict[str, str]:
    names = "MainPID,ActiveEnterTimestampMonotonic,InvocationID,NRestarts,ActiveState"
    said = host.run(f"systemctl show --property={names} {UNIT}").stdout
    return dict(line.split("=", 1) for line in said.splitlines())


def adopt(services: Services, *arguments: str, expect: int = 0) -> dict[str, Any]:
    result = services.directory / "adopted.json"
    words = ("--environment", "dev", "--application", "shop-api", "--json", str(result), *arguments)
    output = services.command("adopt", *words, expect=expect)
    return {**json.loads(result.read_text()), "output": output}


@pytest.mark.parametrize("link", [False, True], ids=["directory-and-their-unit", "link-and-a-unit-as-ours"])
def test_application_that_runs_is_taken_over_and_keeps_answering(
    services: Services, host: Host, link: bool
) -> None:
    for version in ("1.4.2", "1.5.0"):
        services.publish_service(version)
    if not link:
        services.service = {"unit": "shop-api", "adopt": True}
    made = make_service("shop-api", services.service)
    ours = render_unit(made, application="shop-api", deployment_path=PATH, variables=False, secrets=())
    install(host, "1.4.2", ours if link else THEIRS, link=link)
    services.release("1.4.2")
    said = services.deploy(expect=21)["output"]
    assert "orchestrator adopt`" in said
    host.run("cat > /run/client.py; systemd-run --quiet --unit=client python3 /run/client.py", stdin=CLIENT)
    before, everything = (
        process(host),
        host.snapshot([PATH, OLD, "/etc/systemd", "/var/lib/gitops-orchestrator"]),
    )
    assert results(adopt(services, "--check"))[host.name] == "deployed"
    assert (
        changes(everything, host.snapshot([PATH, OLD, "/etc/systemd", "/var/lib/gitops-orchestrator"])) == []
    )

    document = adopt(services)
    assert results(document)[host.name] == "deployed"
    assert (f"{OLD}, is left as it is" if link else f"is kept as {KEPT}") in document["output"]
    assert "owner or mode of " in document["output"]
    assert process(host) == before
    assert host.run(f"readlink {CURRENT}").stdout.startswith("releases/1.4.2-")
    assert deploy(services, host) == "unchanged"
    assert "in sync" in services.command("status", "dev", "--verify")
    assert process(host) == before
    host.run(
        "touch /run/client.stop; for i in $(seq 100); do test -e /run/client.json && exit; sleep 0.1; done; exit 1"
    )
    asked, failed = json.loads(host.run("cat /run/client.json").stdout)
    assert asked > 100
    assert failed == []

    services.release("1.5.0")
    assert deploy(services, host) == "deployed"
    assert ask(host)["version"] == "1.5.0"
    assert process(host)["MainPID"] != before["MainPID"]
    services.command("rollback", "--environment", "dev")
    assert ask(host)["version"] == "1.4.2"
    assert host.run(f"cat {OLD if link else KEPT}/version").stdout == "1.4.2"


def test_tree_that_differs_is_refused_and_nothing_is_changed(services: Services, host: Host) -> None:
    services.publish_service("1.4.2")
    services.service = {"unit": "shop-api", "adopt": True}
    install(host, "1.4.2-patched", THEIRS, link=False)
    host.run(f"touch {CURRENT}/hotfix")
    services.release("1.4.2")
    before = process(host)
    for arguments in (("--check",), ()):
        live = host.snapshot([CURRENT, "/etc/systemd"])
        said = adopt(services, *arguments, expect=21)["output"]
        assert f"{CURRENT} is not 1.4.2 of shop-api; 2 differences: hotfix is only there" in said
        assert "version has other content" in said
        assert changes(live, host.snapshot([CURRENT, "/etc/systemd"])) == []
    assert process(host) == before
    assert host.run(f"ls -A {PATH}").stdout.split() == ["current", "releases"]
    host.run(f"rm {CURRENT}/hotfix; printf 1.4.2 > {CURRENT}/version")
    assert results(adopt(services))[host.name] == "deployed"
    assert process(host) == before
