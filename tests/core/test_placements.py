from __future__ import annotations

from typing import Any

import pytest

from tests.core.builders import ABSENT, make_application, make_environment, make_manifest, parse, problems


def stack(*names: str, **depends_on: list[str]) -> dict[str, Any]:
    return make_manifest(
        applications={name: make_application(depends_on=depends_on.get(name, [])) for name in names}
    )


def entries(*names: str, **overrides: dict[str, Any]) -> dict[str, Any]:
    return {name: {"deployment_path": f"/srv/{name}", **overrides.get(name, {})} for name in names}


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        (ABSENT, ["web1", "web2"]),
        (["all"], ["web1", "web2"]),
        (["web"], ["web1"]),
        (["web2"], ["web2"]),
        (["web2", "web", "web1", "web2"], ["web1", "web2"]),
        ([], []),
    ],
)
def test_hosts_groups_and_all_are_resolved_each_host_once(hosts: Any, expected: list[str]) -> None:
    entry = {"deployment_path": "/srv/shop", "hosts": hosts}
    entry = {key: value for key, value in entry.items() if value is not ABSENT}

    placements = parse(None, make_environment(applications={"shop": entry})).placements
    assert [placement.host.name for placement in placements] == expected


@pytest.mark.parametrize(
    ("name", "near"), [("wbe1", ' (did you mean "web1"?)'), ("database", ""), ("ALL", " (did")]
)
def test_unknown_host_or_group_is_refused_with_a_near_miss(name: str, near: str) -> None:
    entry = {"deployment_path": "/srv/shop", "hosts": ["web1", name]}
    (found,) = problems(None, make_environment(applications={"shop": entry}))

    assert found.startswith(
        f'staging-env.json: applications.shop.hosts[1]: there is no host or group "{name}"{near}'
    )


def test_placements_are_sorted_by_region_wave_application_and_host() -> None:
    regions = {
        "zone": {"order": 1, "hosts": {"a2": {}, "a1": {}}},
        "east": {"order": 2, "hosts": {"b1": {}}},
        "west": {"order": 2, "hosts": {"c1": {}}},
    }
    manifest = stack("api", "site", "blog", api=["site"])
    environment = make_environment(hosts=ABSENT, regions=regions, applications=entries("api", "site", "blog"))
    placements = parse(manifest, environment).placements

    assert [(one.host.region, one.wave, one.application.name, one.host.name) for one in placements] == [
        (region, wave, application, host)
        for region, hosts in (("zone", ("a1", "a2")), ("east", ("b1",)), ("west", ("c1",)))
        for wave, application in ((0, "blog"), (0, "site"), (1, "api"))
        for host in hosts
    ]


def test_waves_count_only_applications_that_are_here() -> None:
    manifest = stack("web", "api", "db", web=["api"], api=["db"])
    applications = entries("web", "api", "db", api={"hosts": []})
    placements = parse(manifest, make_environment(applications=applications)).placements

    assert {one.application.name: one.wave for one in placements} == {"db": 0, "web": 1}


def test_hosts_in_maintenance_have_no_placements_but_are_there() -> None:
    desired = parse(None, make_environment(hosts={"web2": {"maintenance": True}, "web1": {}}))

    assert [host.name for host in desired.hosts] == ["web1", "web2"]
    assert [placement.host.name for placement in desired.placements] == ["web1"]


def test_placeholders_of_the_path_are_filled_in() -> None:
    entry = {"deployment_path": "/srv/{environment}/{application}/{host}"}
    placements = parse(None, make_environment(applications={"shop": entry})).placements

    assert [one.deployment_path for one in placements] == ["/srv/staging/shop/web1", "/srv/staging/shop/web2"]


def test_filled_path_is_checked_again() -> None:
    hosts = {"web1": {}, "bin": {}, "local": {"address": "192.0.2.3"}}
    (first, second) = problems(
        None, make_environment(hosts=hosts, applications={"shop": {"deployment_path": "/usr/{host}"}})
    )

    path = "staging-env.json: applications.shop.deployment_path"
    assert first == f'{path}: on "bin" this is "/usr/bin", which is a directory of the system; ' + (
        'name one of its own below, such as "/srv/my-website"'
    )
    assert 'on "local" this is "/usr/local"' in second


@pytest.mark.parametrize(
    ("blog", "shop"),
    [("/srv/a", "/srv/a"), ("/srv/a", "/srv/a/b"), ("/srv/a/b/c", "/srv/a"), ("/srv/{host}", "/srv/web1")],
)
def test_applications_cannot_share_a_directory_on_a_host(blog: str, shop: str) -> None:
    applications = {"shop": {"deployment_path": shop, "hosts": ["web1"]}, "blog": {"deployment_path": blog}}
    (found,) = problems(stack("shop", "blog"), make_environment(applications=applications))

    assert "share a directory or contain each other's; give each a directory of its own" in found
    assert "shop on web1" in found
    assert "blog on web1" in found


def test_clash_on_many_hosts_is_one_violation() -> None:
    applications = {"shop": {"deployment_path": "/srv/a"}, "blog": {"deployment_path": "/srv/a"}}
    hosts = {f"web{number}": {} for number in range(50)}
    (found,) = problems(stack("shop", "blog"), make_environment(hosts=hosts, applications=applications))

    assert "(and 49 more such)" in found


@pytest.mark.parametrize("paths", [("/srv/a", "/srv/ab"), ("/srv/a-b", "/srv/a"), ("/srv/a/b", "/srv/a/c")])
def test_neighbouring_directories_do_not_clash(paths: tuple[str, str]) -> None:
    applications = {"shop": {"deployment_path": paths[0]}, "blog": {"deployment_path": paths[1]}}

    assert len(parse(stack("shop", "blog"), make_environment(applications=applications)).placements) == 4


def test_same_directory_on_different_hosts_does_not_clash() -> None:
    applications = {
        "shop": {"deployment_path": "/srv/a", "hosts": ["web1"]},
        "blog": {"deployment_path": "/srv/a", "hosts": ["web2"]},
    }
    assert len(parse(stack("shop", "blog"), make_environment(applications=applications)).placements) == 2


@pytest.mark.parametrize(
    "hosts",
    [
        {"a": {"connection": "local"}, "b": {"connection": "local"}},
        {"a": {"address": "WEB.example.net"}, "b": {"address": "web.example.net"}},
        {"a": {"address": "2001:db8::1"}, "b": {"address": "2001:DB8:0:0::1"}},
        {"a": {"address": "b"}, "b": {"maintenance": True}},
    ],
)
def test_two_names_of_one_machine_cannot_share_a_directory(hosts: dict[str, Any]) -> None:
    (found,) = problems(None, make_environment(hosts=hosts))

    assert "shop on b (/srv/shop) and shop on a (/srv/shop) share a directory" in found


@pytest.mark.parametrize(
    "hosts",
    [
        {"a": {"address": "192.0.2.1", "port": 2201}, "b": {"address": "192.0.2.1", "port": 2202}},
        {
            "a": {"address": "192.0.2.1", "proxy_jump": "j1"},
            "b": {"address": "192.0.2.1", "proxy_jump": "j2"},
        },
        {"a": {"address": "192.0.2.1"}, "b": {"address": "192.0.2.1", "connection": "local"}},
    ],
)
def test_different_ways_lead_to_different_machines(hosts: dict[str, Any]) -> None:
    assert len(parse(None, make_environment(hosts=hosts)).placements) == 2


def repositories(*names: str) -> dict[str, Any]:
    return {name: {"type": "http", "url": "https://files.example.net"} for name in names}


@pytest.mark.parametrize(
    ("names", "chosen"), [(("releases",), "releases"), (("default", "other"), "default")]
)
def test_default_repository_is_the_one_of_that_name_or_the_only_one(
    names: tuple[str, ...], chosen: str
) -> None:
    placements = parse(None, make_environment(repositories=repositories(*names))).placements

    assert {placement.application.artifact.repository for placement in placements} == {chosen}


def test_named_repository_is_taken() -> None:
    application = make_application(artifact={"path": "a.zip", "repository": "other"})
    manifest = make_manifest(applications={"shop": application})
    placements = parse(manifest, make_environment(repositories=repositories("default", "other"))).placements

    assert placements[0].application.artifact.repository == "other"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), 'no repository is known to fetch it from; add "repositories"'),
        (("b", "a"), 'its repository is one of "a", "b"; say which in `artifact.repository`'),
    ],
)
def test_repository_that_cannot_be_told_is_a_violation(names: tuple[str, ...], expected: str) -> None:
    (found,) = problems(None, make_environment(repositories=repositories(*names)))

    assert found.startswith(f"manifest.json: applications.shop: {expected}")


def test_application_that_is_not_here_needs_no_repository() -> None:
    environment = make_environment(repositories={}, applications={"shop": {"hosts": []}})

    assert parse(None, environment).placements == ()


def test_wrong_repository_has_no_consequences() -> None:
    application = make_application(artifact={"path": "a.zip", "repository": 7})
    (found,) = problems(make_manifest(applications={"shop": application}), make_environment(repositories={}))

    assert found == "manifest.json: applications.shop.artifact.repository: has to be a string in quotes"
