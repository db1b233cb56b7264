"""Inventory, variables and ssh files from a plan."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.drains import Drain, HaproxyDrain
from orchestrator.core.inventory import (
    Run,
    connection_variables,
    jump_chain,
    private_key_path,
    render_by_hand,
    render_credentials,
)
from orchestrator.core.model import Credentials, Reference
from orchestrator.core.ssh import (
    quick_key_exchange,
    render_known_hosts,
    render_ssh_command,
    render_ssh_config,
)
from orchestrator.core.unsafe_yaml import render_unsafe_yaml
from tests.core.values import (
    make_application,
    make_artifacts,
    make_check,
    make_desired,
    make_host,
    make_observed,
    make_placement,
    make_plan,
)

RUN = Run(id="r1", time="2026-11-01T00:00:00+00:00", actor="ci")
SECRET = Reference(source="env", name="PW")


def test_only_white_listed_keys_become_connection_variables() -> None:
    host = make_host(
        become=True, become_user="app", become_password=SECRET, private_key="/k", python="/usr/bin/python3.11"
    )
    assert connection_variables(host, {}) == {
        "ansible_connection": "ssh",
        "ansible_host": "192.0.2.1",
        "ansible_python_interpreter": "/usr/bin/python3.11",
        "ansible_become": True,
        "ansible_port": 22,
        "ansible_user": "deploy",
        "ansible_ssh_private_key_file": "/k",
        "ansible_become_method": "sudo",
        "ansible_become_user": "app",
        "release_become_password": {"env": "PW"},
        "placement_become_password": {"env": "PW"},
    }


def test_local_host_has_no_ssh_variables() -> None:
    variables = connection_variables(make_host(connection="local", user=""), {})
    assert set(variables) == {
        "ansible_connection",
        "ansible_host",
        "ansible_python_interpreter",
        "ansible_become",
    }


def test_host_without_user_leaves_it_to_ssh() -> None:
    assert "ansible_user" not in connection_variables(make_host(user=""), {})


def test_jump_over_a_host_of_the_environment_uses_its_address() -> None:
    hosts = {
        "gate": make_host("gate", address="192.0.2.9", port=2222),
        "six": make_host("six", address="2001:db8::1", user=""),
    }
    host = make_host(proxy_jump="gate,six,ops@other:22")
    assert jump_chain(host, hosts) == "deploy@192.0.2.9:2222,[2001:db8::1]:22,ops@other:22"
    assert connection_variables(host, hosts)["ansible_ssh_common_args"].startswith("-J deploy@")


def test_private_key_is_a_path_unless_it_lies_in_a_variable() -> None:
    assert private_key_path(Reference(source="file", name="/k")) == "/k"
    assert private_key_path("~/.ssh/id") == "~/.ssh/id"
    assert private_key_path(SECRET) == ""
    assert private_key_path(None) == ""


def test_deployment_holds_only_hosts_with_something_to_do() -> None:
    busy, done = make_host("busy", proxy_jump="gate"), make_host("down")
    desired = make_desired(
        make_placement(host=busy, healthchecks=(make_check(),)),
        make_placement(make_application("other"), host=busy),
        make_placement(host=done),
        make_placement(host=make_host("gate")),
    )
    desired = replace(desired, hosts=(*desired.hosts, make_host("idle")))
    plan = make_plan(desired, make_observed("down"))
    inventory, extra = render_by_hand(plan, desired, make_artifacts(desired), RUN)
    assert sorted(inventory["all"]["hosts"]) == ["busy", "down", "gate"]
    placements = inventory["all"]["hosts"]["busy"]["release_placements"]
    assert [one["application"] for one in placements] == ["other", "site"]
    assert placements[1]["healthchecks"][0]["status"] == [200]
    assert placements[0]["healthchecks"] == []
    assert extra["release_run"]["plan_id"] == plan.plan_id
    assert extra["release_groups"] == [0]


def test_drains_and_their_places_are_rendered_for_a_playbook_by_hand() -> None:
    by = HaproxyDrain(hosts=("lb",), socket="/s", backend="web", server="web1", minimum=1)
    placement = replace(make_placement(), drain=Drain(by=by, timeout_seconds=5.0))
    desired = replace(make_desired(placement), hosts=(placement.host, make_host("lb")))
    inventory, extra = render_by_hand(make_plan(desired), desired, make_artifacts(desired), RUN)
    assert "release_placements" not in inventory["all"]["hosts"]["lb"]
    (item,) = extra["release_drains"]["0"]["lb"]
    assert (item["host"], item["backend"], item["server"]) == ("web1", "web", "web1")


def test_credentials_are_rendered_as_references() -> None:
    assert render_credentials(None) == {}
    given = Credentials(username="ci", password=SECRET)
    assert render_credentials(given) == {"username": "ci", "password": {"env": "PW"}}


class Loader(yaml.SafeLoader):
    """Reads `!unsafe` as Ansible does: the scalar is resolved anew, without looking at its quotes."""


def construct_unsafe(loader: Loader, node: yaml.Node) -> Any:
    tag = loader.resolve(yaml.ScalarNode, node.value, (True, False))
    return ("unsafe", loader.construct_object(yaml.ScalarNode(tag, node.value, node.start_mark)))


Loader.add_constructor("!unsafe", construct_unsafe)
TEMPLATE = re.compile("{[{%#]")


def unmarked(value: Any) -> Any:
    """The value as it was; fails when a string that could be a template is not marked."""
    if isinstance(value, tuple):
        return value[1]
    if isinstance(value, dict):
        return {key: unmarked(entry) for key, entry in value.items()}
    if isinstance(value, str):
        assert not TEMPLATE.search(value)
    return [unmarked(entry) for entry in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "text",
    [
        "{{ lookup('pipe', 'id') }}",
        "1.10",
        "2026-11-01T00:00:00+00:00",
        "0x1F",
        "1:30",
        "yes",
        "null",
        "~",
        "<<",
        "=",
        "",
        "x: y",
        "- z",
        "\u2028 \U0001f600 é",
        'quote " \\ back',
        "#c",
        "a\n b",
        "!unsafe x",
    ],
)
def test_every_string_stays_that_string(text: str) -> None:
    value = {"a": text, "b": [text], "c": {"d": 1, "e": None, "f": True, "g": 1.5}}
    assert unmarked(yaml.load(render_unsafe_yaml(value), Loader=Loader)) == value


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"])))
def test_any_text_stays_that_text_and_templates_are_marked(text: str) -> None:
    templated = "{{ " + text
    for one in (text, templated):
        assert unmarked(yaml.load(render_unsafe_yaml([one]), Loader=Loader)) == [one]
    assert render_unsafe_yaml([templated]).startswith("- !unsafe ")


def test_tuples_are_lists() -> None:
    assert unmarked(yaml.load(render_unsafe_yaml(("a",)), Loader=Loader)) == ["a"]


def test_pinned_key_is_the_only_one_accepted_for_its_host() -> None:
    hosts = (
        make_host("b", host_key=("ssh-ed25519 AAAA",), port=2222),
        make_host("a", address="192.0.2.2"),
        make_host("l", connection="local"),
    )
    assert render_known_hosts(hosts) == "[192.0.2.1]:2222 ssh-ed25519 AAAA\n"
    config = render_ssh_config(hosts, directory="/d", known_hosts="/etc/known")
    pinned, _, others = config.partition("Match all")
    assert (
        "Match host 192.0.2.1\n  UserKnownHostsFile /d/known_hosts\n  GlobalKnownHostsFile /dev/null"
        in pinned
    )
    assert "192.0.2.2" not in pinned
    assert 'UserKnownHostsFile /d/known_hosts ~/.ssh/known_hosts "/etc/known"' in others
    assert "StrictHostKeyChecking yes" in others


def test_connection_that_falls_silent_ends_and_the_users_own_settings_come_first() -> None:
    config = render_ssh_config((make_host(),), directory="/d", known_hosts="")
    _, _, after = config.partition("Include /etc/ssh/ssh_config\n")
    assert after.split("\n")[:3] == ["Match all", "  ServerAliveInterval 15", "  ServerAliveCountMax 4"]


@pytest.mark.parametrize(
    ("supported", "value"),
    [
        ("curve25519-sha256 ecdh-sha2-nistp256", ""),
        (
            "ecdh-sha2-nistp256 curve25519-sha256 sntrup761x25519-sha512@openssh.com",
            "^curve25519-sha256",
        ),
        (
            "curve25519-sha256 sntrup761x25519-sha512 mlkem768x25519-sha256",
            "^mlkem768x25519-sha256,curve25519-sha256",
        ),
        ("sntrup761x25519-sha512", ""),
        ("", ""),
    ],
)
def test_quick_key_exchanges_come_first_where_ssh_prefers_a_slow_one(supported: str, value: str) -> None:
    assert quick_key_exchange(supported.split()) == value


def test_agent_of_ours_is_asked_before_the_users() -> None:
    config = render_ssh_config((make_host(),), directory="/d", known_hosts="", agent="/tmp/a b/agent")
    assert config.index('IdentityAgent "/tmp/a b/agent"') < config.index("Include")


def test_key_exchange_is_the_users_where_the_user_says() -> None:
    config = render_ssh_config((make_host(),), directory="/d", known_hosts="", key_exchange="^a,b")
    _, _, after = config.partition("Include /etc/ssh/ssh_config\n")
    assert "  KexAlgorithms ^a,b\n" in after
    assert "KexAlgorithms" not in render_ssh_config((make_host(),), directory="/d", known_hosts="")


def test_jump_host_gets_a_key() -> None:
    hosts = (
        make_host("gate", address="192.0.2.9", private_key="/gate"),
        make_host("in", proxy_jump="gate,ops@hop:22", private_key="/in"),
        make_host("other", proxy_jump="bare"),
    )
    config = render_ssh_config(hosts, directory="/d", known_hosts="")
    assert 'Match host 192.0.2.9\n  IdentityFile "/gate"' in config
    assert 'Match host hop\n  IdentityFile "/in"' in config
    assert "Match host bare" not in config


@pytest.mark.parametrize(
    ("hop", "address"),
    [
        ("[2001:db8::1]:22", "2001:db8::1"),
        ("ops@[2001:db8::1]", "2001:db8::1"),
        ("a@b@hop:22", "hop"),
        ("hop", "hop"),
    ],
)
def test_jump_host_is_matched_by_its_bare_address(hop: str, address: str) -> None:
    config = render_ssh_config((make_host(proxy_jump=hop, private_key="/k"),), directory="/d", known_hosts="")
    assert f'Match host {address}\n  IdentityFile "/k"' in config


def test_words_of_ssh_are_those_of_the_host() -> None:
    gate = make_host("gate", address="192.0.2.9", user="ops", port=2022)
    host = make_host(
        "in", address="10.0.0.5", user="deploy", port=2222, private_key="/k", proxy_jump="gate", become=True
    )
    words = render_ssh_command(
        host, {"gate": gate, "in": host}, config="/d/config", command="python3 -c 'x y'"
    )
    line = " ".join(words)
    assert words[:3] == ("ssh", "-F", "/d/config")
    assert '-o Port=2222 -l deploy -o IdentityFile="/k" -J ops@192.0.2.9:2022 -- 10.0.0.5' in line
    assert words[-1] == """sudo -H -n -u root /bin/sh -c 'python3 -c '"'"'x y'"'"''"""
    plain = make_host("out", address="192.0.2.1", user="", private_key=None, become=False)
    assert render_ssh_command(plain, {}, config="/c", command="id")[-3:] == (
        "--",
        "192.0.2.1",
        "/bin/sh -c id",
    )
