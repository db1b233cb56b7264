from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.checks import HttpProbe
from tests.core.builders import (
    ABSENT,
    make_application,
    make_environment,
    make_manifest,
    make_settings,
    make_simple_manifest,
    parse,
    problems,
)

SETTINGS = make_settings('[repositories.default]\ntype = "http"\nurl = "https://files.example.net"\n')
TARGET = {"host": "web.example.net", "deployment_path": "/srv/shop"}


def simple(**target: Any) -> dict[str, Any]:
    return make_simple_manifest(environments={"staging": {**TARGET, **target}})


def without(key: str) -> dict[str, Any]:
    return make_simple_manifest(
        environments={"staging": {name: TARGET[name] for name in TARGET if name != key}}
    )


def test_manifest_alone_is_enough_in_the_simple_form() -> None:
    desired = parse(simple(healthcheck_url="http://{address}:80/"), ABSENT, settings=SETTINGS)

    (placement,) = desired.placements
    assert desired.environment == "staging"
    assert desired.hosts == (placement.host,)
    assert (placement.host.name, placement.host.address, placement.host.user) == ("web.example.net",) * 2 + (
        "",
    )
    assert placement.deployment_path == "/srv/shop"
    assert [check.probe for check in placement.healthchecks] == [HttpProbe(url="http://web.example.net:80/")]
    assert placement.keep_releases == 5


@pytest.mark.parametrize("asked", ["production", "prod"])
def test_alias_is_found_in_the_manifest(asked: str) -> None:
    manifest = make_simple_manifest(environments={"production": TARGET})

    assert parse(manifest, ABSENT, name=asked, settings=SETTINGS).environment == "production"


def test_full_form_with_one_application_can_carry_environments_too() -> None:
    desired = parse(make_manifest(environments={"staging": TARGET}), ABSENT, settings=SETTINGS)

    assert [placement.application.name for placement in desired.placements] == ["shop"]


def test_full_form_with_several_applications_cannot() -> None:
    applications = {"shop": make_application(), "api": make_application()}
    found = problems(make_manifest(applications=applications, environments={"staging": TARGET}), ABSENT)

    assert found == [
        "manifest.json: environments.staging: with several applications, hosts and paths stand in "
        "staging-env.json; move them there"
    ]


def test_empty_target_of_several_applications_is_fine() -> None:
    applications = {"shop": make_application(), "api": make_application()}
    entries = {"shop": {"deployment_path": "/srv/a"}, "api": {"deployment_path": "/srv/b"}}
    manifest = make_manifest(applications=applications, environments={"staging": {}})

    assert len(parse(manifest, make_environment(applications=entries)).placements) == 4


def test_environment_that_is_nowhere_is_refused_with_a_near_miss() -> None:
    (found,) = problems(simple(), ABSENT, name="stagin")
    assert found.startswith(
        'manifest.json: environments: the environment "stagin" is not here (did you mean "staging"?)'
    )

    (found,) = problems(make_manifest(), ABSENT)
    assert found.startswith(
        'manifest.json: (top level): the environment "staging" is not here, and it has no'
    )


def test_manifest_and_environment_are_merged() -> None:
    environment = make_environment(
        hosts={"web.example.net": {"address": "192.0.2.7"}},
        defaults={"user": "deploy"},
        applications={"shop": {"keep_releases": 2, "healthcheck_url": "http://a.example/"}},
    )
    (placement,) = parse(simple(), environment).placements

    assert (placement.host.address, placement.host.user) == ("192.0.2.7", "deploy")
    assert placement.keep_releases == 2
    assert len(placement.healthchecks) == 1


def test_defaults_of_the_environment_apply_to_the_manifests_host() -> None:
    environment = make_environment(
        hosts=ABSENT, applications=ABSENT, defaults={"user": "deploy", "port": 2222}
    )
    (placement,) = parse(simple(), environment).placements

    assert (placement.host.name, placement.host.user, placement.host.port) == (
        "web.example.net",
        "deploy",
        2222,
    )


@pytest.mark.parametrize(
    ("key", "target", "entry"),
    [
        ("host", {}, {"hosts": ["web1"]}),
        ("host", {}, {"hosts": 7}),
        ("deployment_path", {}, {"deployment_path": "/srv/shop"}),
        ("deployment_path", {"deployment_path": "/srv/other"}, {"deployment_path": "/srv/shop"}),
        (
            "healthcheck_url",
            {"healthcheck_url": "http://a.example/"},
            {"healthcheck_url": "http://a.example/"},
        ),
        (
            "healthcheck_url",
            {"healthcheck_url": "http://a.example/"},
            {"healthcheck": {"url": "http://a.example/"}},
        ),
        (
            "healthcheck_url",
            {"healthcheck_url": "http://a.example/"},
            {"healthchecks": [{"url": "http://a.example/"}]},
        ),
    ],
)
def test_same_setting_in_both_is_refused(key: str, target: dict[str, Any], entry: dict[str, Any]) -> None:
    environment = make_environment(hosts={"web.example.net": {}, "web1": {}}, applications={"shop": entry})
    found = [line for line in problems(simple(**target), environment) if line.startswith("manifest.json")]

    assert len(found) == 1
    assert found[0].startswith(f"manifest.json: environments.staging.{key}: the environment JSON says `")
    assert found[0].endswith("` for this application too; keep one")


@pytest.mark.parametrize(
    "hosts", [{"hosts": {"web.exampel.net": {}}}, {"hosts": ABSENT, "regions": {"eu": {}}}]
)
def test_host_that_the_environment_does_not_describe_is_refused(hosts: dict[str, Any]) -> None:
    (found,) = problems(simple(), make_environment(applications=ABSENT, **hosts))

    assert (
        'environments.staging.host: the environment JSON describes hosts, but no "web.example.net"' in found
    )


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", '"localhost" always is the controller for Ansible; give the host another name'),
        ("1.2.3", '"1.2.3" is no address; write a host name or an IP address'),
        ("web example", "has to be a host name such as"),
        ("-oProxyCommand=id", "has to be a host name such as"),
        ("::1", "has to be a host name such as"),
        (["a"], "has to be a host name such as"),
    ],
)
def test_host_of_the_manifest_is_checked(host: Any, expected: str) -> None:
    (found,) = problems(simple(host=host), ABSENT, settings=SETTINGS)

    assert found.startswith(f"manifest.json: environments.staging.host: {expected}")


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("host", '"host" is missing; add it'),
        ("deployment_path", '"deployment_path" is missing; add the directory'),
    ],
)
def test_what_the_manifest_alone_lacks_is_named(key: str, expected: str) -> None:
    (found,) = problems(without(key), ABSENT, settings=SETTINGS)

    assert found.startswith(f"manifest.json: environments.staging: {expected}")


@pytest.mark.parametrize("key", ["host", "deployment_path"])
def test_what_the_manifest_lacks_can_come_from_the_environment(key: str) -> None:
    extra = {"host": {"hosts": ["web1"]}, "deployment_path": {"deployment_path": "/srv/other"}}[key]
    hosts = {"web1": {}, "web.example.net": {}}

    assert (
        len(parse(without(key), make_environment(hosts=hosts, applications={"shop": extra})).placements) == 1
    )


@pytest.mark.parametrize(
    ("target", "key"),
    [({"deployment_path": "/"}, "deployment_path"), ({"healthcheck_url": "web"}, "healthcheck_url")],
)
def test_wrong_setting_of_the_manifest_has_no_consequences(target: dict[str, str], key: str) -> None:
    (found,) = problems(simple(**target), ABSENT, settings=SETTINGS)

    assert found.startswith(f"manifest.json: environments.staging.{key}: ")


def test_host_that_is_wrong_in_both_documents_is_reported_in_both() -> None:
    found = problems(simple(host="localhost"), make_environment(hosts={"localhost": {}}, applications=ABSENT))

    assert [line.partition(': "localhost"')[0] for line in found] == [
        "manifest.json: environments.staging.host",
        "staging-env.json: hosts.localhost",
    ]


def test_application_without_entry_is_refused_with_a_near_miss() -> None:
    (found,) = problems(None, make_environment(applications={"shp": {"deployment_path": "/srv/shop"}}))

    assert found == (
        'staging-env.json: applications: the manifest\'s application "shop" has no entry (did you mean "shp"?); '
        'add one (with "hosts": [] where it is not deployed)'
    )


def test_wrong_applications_have_no_consequences() -> None:
    assert problems(None, make_environment(applications=[])) == [
        "staging-env.json: applications: has to be an object {...}"
    ]


def test_entry_that_the_manifest_lacks_is_a_warning() -> None:
    path = {"deployment_path": "/srv/shop"}
    desired = parse(
        None, make_environment(applications={"shop": path, "shopp": {}, "blog": {"hosts": ["nowhere"]}})
    )

    assert desired.warnings == (
        'the environment has an entry for "blog", which the manifest lacks',
        'the environment has an entry for "shopp", which the manifest lacks (did you mean "shop"?)',
    )


@pytest.mark.parametrize(
    "hosts", [{"hosts": ABSENT}, {"hosts": {}}, {"hosts": ABSENT, "regions": {"eu": {}}}]
)
def test_environment_without_hosts_is_refused(hosts: dict[str, Any]) -> None:
    (found,) = problems(None, make_environment(**hosts))

    assert found.startswith("staging-env.json: (top level): there are no hosts; add `hosts` or `regions`")


def test_environment_where_nothing_is_deployed_needs_no_hosts() -> None:
    desired = parse(None, make_environment(hosts=ABSENT, applications={"shop": {"hosts": []}}))

    assert desired.placements == ()


def test_wrong_hosts_have_no_consequences() -> None:
    assert problems(None, make_environment(hosts=[])) == [
        "staging-env.json: hosts: has to be an object {...}"
    ]
