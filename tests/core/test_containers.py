"""Containers in documents, plans and unit files."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.containers import Container, container_problems, image_problem
from orchestrator.core.inventory import render_placements
from orchestrator.core.kinds import process_of, render_container
from orchestrator.core.model import Desired, Placement
from orchestrator.core.observed import ObservedPlacement
from orchestrator.core.plan import Step
from tests.core.builders import make_application, make_environment, make_manifest, parse, problems
from tests.core.values import make_artifacts, make_observed, make_plan

IMAGE = f"registry.example.net:5000/shop/api@sha256:{'a' * 64}"


def manifest(artifact: dict[str, Any] | None = None, **overrides: Any) -> dict[str, Any]:
    artifact = artifact or {"path": "shop/shop-{version}.tar"}
    return make_manifest(
        applications={"shop": make_application(kind="container", artifact=artifact, **overrides)}
    )


def environment(**entry: Any) -> dict[str, Any]:
    return make_environment(applications={"shop": entry})


def desired(artifact: dict[str, Any] | None = None, **entry: Any) -> Desired:
    return parse(manifest(artifact), environment(**entry))


def unit_file(**entry: Any) -> str:
    return render_container(desired(**entry).placements[0])


def step_of(wanted: Desired, **found: Any) -> Step:
    placement = wanted.placements[0]
    process = process_of(placement)
    assert process is not None
    artifacts = make_artifacts(wanted)
    fields = {
        "version": "1.2.3",
        "release": make_plan(wanted).steps[0].release,
        "configuration_digest": "other",
        "running": "active",
        "service_digest": process.digest,
    }
    assert artifacts
    observed = ObservedPlacement(
        application="shop",
        deployment_path=placement.deployment_path,
        artifact_sha256="",
        state="healthy",
        **{**fields, **found},
    )
    return make_plan(wanted, make_observed("web1", observed)).steps[0]


def exec_start(text: str) -> str:
    (line,) = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    return line


def only(placements: tuple[Placement, ...]) -> Placement:
    return placements[0]


def test_archive_is_one_file_and_needs_no_path_on_hosts() -> None:
    one = only(desired().placements)
    assert one.container == Container(unit="shop.service")
    assert one.deployment_path == "/var/lib/gitops-orchestrator/containers/shop"
    artifact = one.application.artifact
    assert (artifact.packing, artifact.filename, artifact.executable) == ("file", "image.tar", False)


def test_image_of_a_registry_is_pinned_by_its_digest_and_needs_no_repository() -> None:
    wanted = parse(manifest({"image": IMAGE}), {**environment(), "repositories": {}})
    artifact = only(wanted.placements).application.artifact
    assert (artifact.image, artifact.sha256, artifact.repository) == (IMAGE, "a" * 64, "")
    assert artifact.filename == "image.json"
    other = desired({"image": IMAGE.replace("shop/api", "shop/other")})
    releases = {make_plan(one).steps[0].release for one in (wanted, other)}
    assert len(releases) == 2
    (told, _) = render_placements(make_plan(wanted), wanted, make_artifacts(wanted)).values()
    assert told[0]["artifact"]["image"] == IMAGE


@pytest.mark.parametrize(
    ("artifact", "words"),
    [
        ({"image": "registry.example.net/shop:1.0"}, "image: is not pinned, and a tag moves"),
        ({"image": "shop@sha256:abc"}, "image: has to be registry/name@sha256:"),
        ({"image": 7}, "image: has to be a string in quotes"),
        ({"image": IMAGE, "path": "a.tar"}, "path: an `image` of a registry says everything"),
        ({"path": "shop.zip"}, "path: a container's file is an oci-archive or a docker-archive"),
        ({"path": "shop.tar", "strip_components": 1}, "strip_components: the image's file is not unpacked"),
        ({"path": "shop.tar", "filename": "a"}, "filename: the image's file is not unpacked"),
    ],
)
def test_artifacts_that_are_no_image_are_refused_once(artifact: dict[str, Any], words: str) -> None:
    (found,) = problems(manifest(artifact), environment())
    assert found.removeprefix("manifest.json: applications.shop.artifact.").startswith(words)


def test_site_has_no_image() -> None:
    application = make_application(artifact={"image": IMAGE})
    found = problems(make_manifest(applications={"shop": application}))
    assert found == [
        "manifest.json: applications.shop.artifact.image: a site has no image; write `kind: container`, or name a file"
    ]
    assert image_problem(IMAGE) == ""


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"container": 7}, ".container: has to be an object"),
        ({"container": {"unit": "a/b"}}, ".container.unit: is no name of a service unit and a container"),
        ({"container": {"ports": ["80"]}}, '.container.ports[0]: has to be such as "8080:80"'),
        ({"container": {"ports": [7]}}, ".container.ports[0]: has to be a string in quotes"),
        ({"container": {"volumes": ["/a/../b:/c"]}}, ".container.volumes[0]: has to be such as"),
        ({"container": {"volumes": ["/a:/b --privileged"]}}, ".container.volumes[0]: has to be such as"),
        ({"container": {"user": "a b"}}, ".container.user: has to be a user of the image"),
        (
            {"container": {"network": "host", "ports": ["1:1"]}},
            ".container.ports: the network host publishes",
        ),
        ({"container": {"command": "a 'b"}}, ".container.command: has a quotation mark without its partner"),
        ({"container": {"cgroups": "x"}}, ".container.cgroups: has to be one of"),
        (
            {"variables": {"A": "1"}, "secrets": {"A": {"env": "X"}}},
            ".secrets.A: is among `variables` too",
        ),
        (
            {"container": {}, "variables": {"A": "1"}, "secrets": {"A": {"env": "X"}}},
            ".secrets.A: is among `variables` too",
        ),
        ({"container": {}, "variables": {"1": "1"}}, '.variables["1"]: "1" is no name'),
        ({"service": {"exec": "/a", "user": "a"}}, ".service: a container runs as its own unit"),
        ({"package": {}}, ".package: a container is no package"),
    ],
)
def test_settings_that_do_not_fit_are_refused_once(entry: dict[str, Any], words: str) -> None:
    (found,) = problems(manifest(), environment(**entry))
    assert found.removeprefix("staging-env.json: applications.shop").startswith(words)


def test_control_characters_of_plain_playbooks_are_refused() -> None:
    found = dict(container_problems({"command": ["a\nb"], "cgroups": "x"}, {"A": "x\ny", "1": ""}, ()))
    assert found[("container", "command")] == "has a control character; remove it"
    assert found[("variables", "A")] == "has a control character; remove it"
    assert found[("variables", "1")].startswith("is no name")
    assert found[("container", "cgroups")].startswith("has to be one of no-conmon")


def test_unit_runs_the_image_confined_and_without_a_shell() -> None:
    text = unit_file()
    assert exec_start(text) == (
        "ExecStart=/usr/bin/podman run --name=shop --rm --replace --detach --sdnotify=conmon --pull=never "
        "--log-driver=journald --cgroups=no-conmon --cap-drop=all --security-opt=no-new-privileges --read-only @IMAGE@"
    )
    assert "ExecStop=/usr/bin/podman stop --ignore --time=30 shop\n" in text
    assert "TimeoutStopSec=45\n" in text
    assert "Delegate" not in text


def test_everything_that_is_set_reaches_podman() -> None:
    settings = {
        "unit": "shop-web",
        "command": 'serve "two words" 100% $HOME',
        "user": "1000:1000",
        "ports": ["127.0.0.1:8080:80"],
        "volumes": ["data:/data", "/srv/x:/x:ro"],
        "tmpfs": ["/cache"],
        "network": "bridge",
        "read_only": False,
        "no_new_privileges": False,
        "capabilities": ["CAP_CHOWN"],
        "memory": "512m",
        "processes": 100,
        "cpu_percent": 150,
        "cgroups": "split",
        "after": ["postgresql.service"],
        "stop_timeout_seconds": 5,
    }
    text = unit_file(container=settings, variables={"A": 'x "$y" %z \\'})
    line = exec_start(text)
    assert line.endswith('"--env=A=x \\"$$y\\" %%z \\\\" @IMAGE@ serve "two words" "100%%" "$$HOME"')
    for option in (
        "--name=shop-web --",
        "--cap-add=CAP_CHOWN --tmpfs=/cache --user=1000:1000 --network=bridge --memory=512m --pids-limit=100 --cpus=1.5 ",
        "--publish=127.0.0.1:8080:80 --volume=data:/data --volume=/srv/x:/x:ro ",
    ):
        assert option in line
    assert "--read-only" not in line
    assert "no-new-privileges" not in line
    assert "Delegate=yes\n" in text
    assert "After=network-online.target postgresql.service\n" in text


@pytest.mark.parametrize(
    ("settings", "option"),
    [
        ({}, "--secret=gitops-orchestrator-shop-KEY,type=mount,target=KEY,mode=0400"),
        (
            {"user": "1000"},
            "--secret=gitops-orchestrator-shop-KEY,type=mount,target=KEY,uid=1000,mode=0400",
        ),
        (
            {"user": "app"},
            "--secret=gitops-orchestrator-shop-KEY,type=mount,target=KEY,mode=0444",
        ),
    ],
)
def test_secret_is_in_no_argument_and_gone_when_it_stops(settings: dict[str, Any], option: str) -> None:
    text = unit_file(container=settings, secrets={"KEY": {"env": "SHOP_KEY"}})
    assert f" {option} @IMAGE@" in exec_start(text)
    held = "gitops-orchestrator-shop-KEY"
    create = f"ExecStartPre=/usr/bin/podman secret create {held} @CONFIGURATION@/credentials/KEY\n"
    assert f"ExecStartPre=-/usr/bin/podman secret rm {held}\n{create}" in text
    assert f"ExecStopPost=-/usr/bin/podman secret rm {held}\n" in text
    assert "SHOP_KEY" not in text


def test_what_restarts_is_said() -> None:
    wanted = desired(container={"memory": "1g"})
    assert step_of(wanted).action == "reconfigure"
    assert step_of(wanted).restarts == ()
    assert step_of(wanted, service_digest="before").restarts == ("shop.service",)
    assert step_of(wanted, release="1.0-x", version="1.0").restarts == ("shop.service",)


def test_settings_and_secrets_reach_hosts_as_references() -> None:
    entry = {"container": {"ports": ["80:80"]}, "secrets": {"K": {"env": "KEY"}}, "variables": {"A": "1"}}
    wanted = desired(**entry)
    (told, _) = render_placements(make_plan(wanted), wanted, make_artifacts(wanted)).values()
    assert told[0]["container"] == {"unit": "shop.service", "ports": ["80:80"]}
    assert told[0]["secrets"] == {"K": {"env": "KEY"}}
    assert told[0]["variables"] == {"A": "1"}


def test_container_and_service_do_not_share_a_unit_on_one_machine() -> None:
    applications = {
        "shop": make_application(kind="container", artifact={"path": "a.tar"}),
        "tools": make_application(kind="service", artifact={"path": "b.tar"}),
    }
    entries = {
        "shop": {"container": {"unit": "tools"}},
        "tools": {"deployment_path": "/opt/tools", "service": {"exec": "/a", "user": "a"}},
    }
    (found,) = problems(make_manifest(applications=applications), make_environment(applications=entries))
    assert "applications.tools.service: tools.service is the unit of shop on web1 too" in found
