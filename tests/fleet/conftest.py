"""Real hosts for tests: `fleet` for the session, `hosts` for fresh ones that live as long as one test."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from orchestrator.demo.artifact_server import ArtifactServer
from tests.fleet import stepping
from tests.fleet.containers import PORT, Containers
from tests.fleet.deployments import PASSWORD, Deployments
from tests.fleet.hosts import (
    Fleet,
    FleetError,
    Host,
    HostFactory,
    HostSpec,
    ensure_image,
    remove_stale,
    unavailable_reason,
)
from tests.fleet.lying import LyingServer
from tests.fleet.promises import Promises

REQUIRE = "ORCHESTRATOR_REQUIRE_FLEET"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything below this directory that uses a host, for `-m fleet` and `-m 'not fleet'`."""
    for item in items:
        uses_hosts = "fleet" in getattr(item, "fixturenames", ())
        if uses_hosts and item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.fleet)


def without_hosts(reason: str, *, required: bool) -> NoReturn:
    """End the test: skipped with the reason, failed where hosts are required."""
    if required:
        pytest.fail(f"{REQUIRE}=1, but: {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short path, also where two workers run: SSH's sockets lie below it."""
    return tmp_path_factory.mktemp("d")


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    """A fleet with one host, `web1`, for tests that leave it as it was; the gateway is there with it."""
    reason = unavailable_reason()
    if reason is None:
        try:
            ensure_image()
        except FleetError as error:
            reason = str(error)
    if reason is not None:
        without_hosts(reason, required=os.environ.get(REQUIRE) == "1")
    remove_stale()
    with Fleet.create("pytest") as fleet:
        fleet.start(HostSpec(name="web1"))
        yield fleet


@pytest.fixture
def hosts(fleet: Fleet) -> Iterator[HostFactory]:
    """Start hosts that nobody has used: `hosts(3)` or `hosts(HostSpec(...), …)`; removed after the test.

    Numbered ones are called `fresh1`, `fresh2`, … and start with each test anew.
    """
    started: list[str] = []

    def start(*wanted: int | HostSpec) -> list[Host]:
        specs: list[HostSpec] = []
        for want in wanted:
            if isinstance(want, HostSpec):
                specs.append(want)
            else:
                first = len(started) + len(specs) + 1
                specs += [HostSpec(name=f"fresh{number}") for number in range(first, first + want)]
        started.extend(spec.name for spec in specs)
        return fleet.start(*specs)

    yield start
    fleet.remove(*(name for name in started if name in fleet.hosts))


@pytest.fixture(scope="module")
def pair(fleet: Fleet) -> Iterator[list[Host]]:
    """Two hosts for all tests of a module that have a repository and a path of their own (`promises`)."""
    hosts = fleet.start(HostSpec(name="pair1"), HostSpec(name="pair2"))
    stepping.install(*hosts)
    yield hosts
    fleet.remove(*(host.name for host in hosts))


@pytest.fixture
def promises(fleet: Fleet, pair: list[Host], tmp_path: Path) -> Iterator[Promises]:
    """What is promised for a site on `pair`; `current` is watched there from now on."""
    token = secrets.token_hex(3)
    store = tmp_path / "nexus"
    with LyingServer(store, username="ci", password=PASSWORD, address=fleet.gateway) as server:
        deployments = Deployments(directory=tmp_path, server=server, name=f"shop-{token}")
        deployments.start()
        deployments.add_hosts(pair, python=stepping.PYTHON)
        made = Promises(deployments=deployments, hosts=pair, path=f"/srv/{token}")
        deployments.settings = {"deployment_path": made.path}
        made.begin()
        yield made
        stepping.end(*pair)
        made.end()


@pytest.fixture
def deployments(fleet: Fleet, tmp_path: Path) -> Iterator[Deployments]:
    store = tmp_path / "nexus"
    with ArtifactServer(store, username="ci", password=PASSWORD, address=fleet.gateway) as server:
        made = Deployments(directory=tmp_path, server=server)
        made.start()
        yield made


@pytest.fixture
def containers(fleet: Fleet, tmp_path: Path) -> Iterator[Containers]:
    """A deployment repository with one container."""
    store = tmp_path / "nexus"
    with ArtifactServer(store, username="ci", password=PASSWORD, address=fleet.gateway) as server:
        made = Containers(directory=tmp_path, server=server)
        made.start()
        made.service = {
            "cgroups": "disabled",
            "volumes": ["shop-data:/data"],
            "restart_seconds": 0.2,
            "stable_seconds": 0.5,
            "stop_timeout_seconds": 1,
        }
        made.entry = {
            "healthcheck": {
                "url": f"http://{{address}}:{PORT}/health",
                "retries": 50,
                "interval_seconds": 0.2,
                "deadline_seconds": 10,
            }
        }
        yield made
