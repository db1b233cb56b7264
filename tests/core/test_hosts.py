from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.model import Host, Reference
from tests.core.builders import ABSENT, KEY, make_environment, parse, problems
from tests.core.values import make_host


def environment(hosts: Any, **overrides: Any) -> dict[str, Any]:
    return make_environment(hosts=hosts, **overrides)


def host_of(raw: dict[str, Any], **overrides: Any) -> Host:
    (host,) = parse(None, environment({"web1": raw}, **overrides)).hosts
    return host


def test_empty_host_has_its_name_as_address_and_every_default() -> None:
    assert host_of({}) == make_host("web1", address="web1", user="", groups=())


def test_every_field_of_a_host_is_taken() -> None:
    raw = {
        "address": "2001:db8::1",
        "port": 2222,
        "user": "deploy",
        "private_key": {"env": "SSH_KEY"},
        "host_key": [KEY, KEY],
        "proxy_jump": "jump@bastion.example.net:2200,[2001:db8::2]:22",
        "become": True,
        "become_user": "app",
        "become_password": {"file": "/run/secrets/sudo"},
        "groups": ["web", "web", "eu"],
        "connection": "ssh",
        "python": "/opt/python3.12/bin/python3",
        "maintenance": False,
    }
    assert host_of(raw) == make_host(
        name="web1",
        address="2001:db8::1",
        port=2222,
        user="deploy",
        private_key=Reference(source="env", name="SSH_KEY"),
        host_key=(KEY,),
        proxy_jump="jump@bastion.example.net:2200,[2001:db8::2]:22",
        become=True,
        become_user="app",
        become_password=Reference(source="file", name="/run/secrets/sudo"),
        groups=("web", "eu"),
        python="/opt/python3.12/bin/python3",
        maintenance=False,
    )


@pytest.mark.parametrize("key", ["~/.ssh/id_ed25519", "/etc/keys/deploy"])
def test_private_key_can_be_a_path(key: str) -> None:
    assert host_of({"private_key": key}).private_key == key


def test_own_field_replaces_the_default() -> None:
    defaults = {"user": "deploy", "port": 2222, "groups": ["all_web"], "host_key": KEY, "become": True}
    host = host_of({"port": 22, "groups": ["web"]}, defaults=defaults)

    assert (host.user, host.port, host.groups, host.host_key, host.become) == (
        "deploy",
        22,
        ("web",),
        (KEY,),
        True,
    )


def test_regions_give_hosts_their_region_and_order() -> None:
    regions = {"eu": {"order": 2, "hosts": {"web1": {}}}, "us": {"hosts": {"web2": {}}}, "empty": {}}
    hosts = parse(None, environment(ABSENT, regions=regions)).hosts

    assert [(host.name, host.region, host.order) for host in hosts] == [("web1", "eu", 2), ("web2", "us", 0)]


def test_hosts_and_regions_exclude_each_other() -> None:
    (found,) = problems(None, make_environment(regions={"eu": {"hosts": {"web3": {}}}}))

    assert found.startswith("staging-env.json: hosts: hosts stand in `hosts` or in `regions`, not in both")


def test_host_in_two_regions_is_refused() -> None:
    regions = {"eu": {"hosts": {"web1": {}}}, "us": {"hosts": {"web1": {}}}}
    (found,) = problems(None, environment(ABSENT, regions=regions))

    assert found.startswith('staging-env.json: regions.us.hosts.web1: host "web1" is here already (line ')


def test_region_variables_are_refused_by_name() -> None:
    regions = {"eu": {"hosts": {"web1": {}}, "variables": {"A": "b"}}}
    (found,) = problems(None, environment(ABSENT, regions=regions))

    assert found.startswith(
        'staging-env.json: regions.eu.variables: "variables" is not implemented in version'
    )


def test_region_with_the_name_of_a_host_is_refused() -> None:
    (found,) = problems(None, environment(ABSENT, regions={"web1": {"hosts": {"web1": {}}}}))

    assert found == 'staging-env.json: regions.web1: "web1" is a host\'s name as well; rename one of them'


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-oProxyCommand=id",
        "a b",
        "a;b",
        "web1\u0430",
        "{{ x }}",
        ".a",
        "a.",
        "a" * 254,
        "a:1",
        "web[1:3]",
        "*",
        "a/b",
    ],
)
def test_host_name_with_other_characters_is_refused(name: str) -> None:
    (found,) = problems(None, environment({name: {}}))

    assert found.startswith("staging-env.json: hosts")
    assert "is no host name; use letters, digits and _.- only" in found


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "127.0.0.1", "all", "ungrouped"])
def test_host_name_with_a_meaning_in_ansible_is_refused(name: str) -> None:
    (found,) = problems(None, environment({name: {}}))

    assert "give the host another name" in found


def test_host_name_that_is_no_address_needs_one() -> None:
    (found,) = problems(None, environment({"10.1": {}}))

    assert '"10.1" is no address; set `address`' in found
    assert parse(None, environment({"10.1": {"address": "192.0.2.1"}})).hosts[0].name == "10.1"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"address": "-oProxyCommand=id"}, "address: has to be a host name or an IP address"),
        ({"address": "a b"}, "address: has to be a host name or an IP address"),
        ({"address": "[::1]"}, "address: has to be a host name or an IP address"),
        ({"address": "{{ x }}"}, "address: has to be a host name or an IP address"),
        ({"address": 7}, "address: has to be a string in quotes"),
        ({"port": 0}, "port: has to be a port"),
        ({"port": "22"}, "port: has to be a port"),
        ({"user": "-l root"}, "user: has to be a user's name"),
        ({"user": ""}, "user: has to be a user's name"),
        (
            {"private_key": "-----BEGIN OPENSSH PRIVATE KEY-----"},
            "private_key: has to be the path of a private key",
        ),
        ({"private_key": "/a/../b"}, "private_key: has to be the path"),
        ({"private_key": "%d/key"}, "private_key: has to be the path"),
        ({"private_key": {}}, "private_key: has to be the path"),
        ({"private_key": {"env": "A-B"}}, "private_key.env: has to be the name of an environment variable"),
        ({"host_key": "ssh-ed25519"}, "host_key: has to be a public host key"),
        ({"host_key": f"{KEY} comment"}, "host_key: has to be a public host key"),
        ({"host_key": []}, "host_key: has to be a public host key"),
        ({"host_key": [KEY, "x"]}, "host_key[1]: has to be a public host key"),
        ({"proxy_jump": "-oProxyCommand=id"}, "proxy_jump: has to be [user@]host[:port]"),
        ({"proxy_jump": "a b"}, "proxy_jump: has to be [user@]host[:port]"),
        ({"proxy_jump": "1.2.3"}, 'proxy_jump: "1.2.3" is no host; write [user@]host[:port]'),
        ({"proxy_jump": "u@[::zz]".replace("zz", "::")}, 'proxy_jump: "u@[::::]" is no host'),
        ({"proxy_jump": "bastion:70000"}, 'proxy_jump: "bastion:70000" has no valid port'),
        ({"proxy_jump": "web1"}, "proxy_jump: a host cannot be reached through itself"),
        ({"become": "yes"}, "become: has to be true or false"),
        ({"become_user": "a b"}, "become_user: has to be a user's name"),
        ({"become_password": "hunter2"}, "become_password: has to be a reference to a secret"),
        (
            {"become_password": {"file": "secret"}},
            "become_password.file: has to be the absolute path of a file",
        ),
        ({"groups": "web"}, "groups: has to be a list [...]"),
        ({"groups": ["web-servers"]}, "groups[0]: has to be a group's name"),
        ({"groups": ["web", "all"]}, 'groups[1]: "all" has a meaning of its own in Ansible'),
        ({"groups": ["web1"]}, '"web1" is a host and a group; rename one of them'),
        ({"connection": "docker"}, 'connection: has to be one of "ssh", "local"'),
        ({"python": "python3"}, "python: has to be the absolute path of a Python interpreter"),
        ({"python": "/usr/bin/python3 -c x"}, "python: has to be the absolute path"),
        ({"maintenance": 1}, "maintenance: has to be true or false"),
        ({"adress": "x"}, 'adress: unknown key "adress" (did you mean "address"?)'),
        ({"ansible_connection": "local"}, 'ansible_connection: unknown key "ansible_connection"'),
    ],
)
def test_field_that_does_not_fit_is_explained_without_its_value(raw: dict[str, Any], expected: str) -> None:
    (found,) = problems(None, environment({"web1": raw}))

    assert expected in found
    assert found.startswith("staging-env.json: hosts.web1")
    assert "hunter2" not in found
    assert "BEGIN" not in found


def test_defaults_are_checked_as_hosts_are() -> None:
    found = problems(None, make_environment(defaults={"port": 0, "groups": ["all"], "proxy_jump": "1.2.3"}))

    assert [line.partition(": has")[0].partition(': "')[0] for line in found] == [
        "staging-env.json: defaults.port",
        "staging-env.json: defaults.groups[0]",
        "staging-env.json: defaults.proxy_jump",
    ]


def test_jump_host_of_the_environment_stays_a_name() -> None:
    hosts = {"bastion": {"address": "192.0.2.9"}, "web1": {"proxy_jump": "bastion"}}

    assert parse(None, environment(hosts)).hosts[1].proxy_jump == "bastion"


def test_default_jump_host_is_not_reached_through_itself() -> None:
    hosts = {"bastion": {"address": "192.0.2.9"}, "web1": {}}
    found = parse(None, environment(hosts, defaults={"proxy_jump": "bastion"})).hosts

    assert [(host.name, host.proxy_jump) for host in found] == [("bastion", ""), ("web1", "bastion")]


def test_jump_through_the_controller_is_refused() -> None:
    (found,) = problems(None, environment({"here": {"connection": "local"}, "web1": {"proxy_jump": "here"}}))

    assert 'hosts.web1.proxy_jump: "here" is the controller itself' in found


def test_jump_host_behind_another_one_has_to_be_written_out() -> None:
    hosts = {"outer": {}, "inner": {"proxy_jump": "outer"}, "web1": {"proxy_jump": "inner"}}
    (found,) = problems(None, environment(hosts))
    assert (
        'hosts.web1.proxy_jump: "inner" is reached through another host itself; write "outer,inner"' in found
    )

    hosts["web1"] = {"proxy_jump": "outer,inner"}
    assert parse(None, environment(hosts)).hosts[2].proxy_jump == "outer,inner"


def test_wrong_default_reference_has_no_consequences() -> None:
    found = problems(None, make_environment(defaults={"become_password": {"envv": "A"}}))

    assert found == [
        'staging-env.json: defaults.become_password.envv: unknown key "envv" (did you mean "env"?)'
    ]
