"""Builders of parsed values, for tests that begin after parsing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from orchestrator.core.artifacts import ResolvedArtifact
from orchestrator.core.checks import Healthcheck, HttpProbe
from orchestrator.core.compile import compile_plan
from orchestrator.core.model import (
    Application,
    Artifact,
    Desired,
    Host,
    Placement,
    Strategy,
)
from orchestrator.core.observed import Identity, ObservedHost, ObservedPlacement
from orchestrator.core.plan import Plan

IDENTITY = Identity(repository="shop-deploy", stack="", environment="dev")
SHA = "a" * 64


def make_host(name: str = "web1", **overrides: Any) -> Host:
    """A host with an address, a user and a group, and every default beside these."""
    host = Host(
        name=name,
        region="",
        order=0,
        address="192.0.2.1",
        port=22,
        user="deploy",
        private_key=None,
        host_key=(),
        proxy_jump="",
        become=False,
        become_user="",
        become_password=None,
        groups=("web",),
        connection="ssh",
        python="",
        maintenance=False,
    )
    return replace(host, **overrides)


def make_application(name: str = "site", version: str = "2.0.0", **overrides: Any) -> Application:
    artifact = Artifact(
        repository="releases",
        path=f"{name}-{version}.zip",
        sha256=None,
        packing="zip",
        strip_components=0,
        filename="",
    )
    return replace(Application(name=name, version=version, kind="site", artifact=artifact), **overrides)


def make_check(**overrides: Any) -> Healthcheck:
    check = Healthcheck(
        probe=HttpProbe(url="http://192.0.2.1/health", status=(200,)),
        origin="host",
        retries=1,
        interval_seconds=1.0,
        timeout_seconds=1.0,
        deadline_seconds=5.0,
    )
    return replace(check, **overrides)


def make_placement(
    application: Application | None = None, host: Host | None = None, **overrides: Any
) -> Placement:
    application = application or make_application()
    placement = Placement(
        application=application,
        host=host or make_host(),
        deployment_path=f"/srv/{application.name}",
        healthchecks=(),
        keep_releases=5,
        wave=0,
    )
    return replace(placement, **overrides)


def make_desired(*placements: Placement, **overrides: Any) -> Desired:
    placements = placements or (make_placement(),)
    hosts = {placement.host.name: placement.host for placement in placements}
    desired = Desired(
        environment="dev",
        manifest_version="2.0.0",
        description="",
        repositories={},
        hosts=tuple(hosts[name] for name in sorted(hosts)),
        placements=placements,
        strategy=Strategy(),
        documents={"manifest": "m", "environment": "e"},
        warnings=(),
    )
    return replace(desired, **overrides)


def make_artifacts(desired: Desired, **overrides: Any) -> dict[str, ResolvedArtifact]:
    return {
        placement.application.name: replace(
            ResolvedArtifact(
                application=placement.application.name,
                delivery="host",
                location=f"https://nexus.example.net/{placement.application.name}",
                size_bytes=10,
                sha256=SHA,
                digest_source="repository API",
                credentials=None,
            ),
            **overrides,
        )
        for placement in desired.placements
    }


def make_plan(desired: Desired, *observed: ObservedHost, **overrides: Any) -> Plan:
    return compile_plan(
        desired,
        make_artifacts(desired, **overrides),
        {host.name: host for host in observed},
        identity=IDENTITY,
        commit="c" * 40,
    )


def make_observed(host: str, *placements: ObservedPlacement) -> ObservedHost:
    found = {(one.application, one.deployment_path): one for one in placements}
    return ObservedHost(name=host, status="observed", placements=found)
