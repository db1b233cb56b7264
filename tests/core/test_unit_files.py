from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.unit_files import render_environment, render_unit, unit_digest
from orchestrator.core.units import make_service, service_problems

GOLDEN = Path(__file__).parent / "golden"
EVERYTHING: dict[str, Any] = {
    "exec": [
        "{current}/bin/worker",
        "--name",
        'a "b" \\ %n',
        "${SHOP_QUEUE}",
        ";",
        "",
        "--dir={current}/data",
    ],
    "reload_exec": "/bin/kill -HUP ${MAINPID}",
    "user": "shop",
    "group": "shops",
    "type": "notify",
    "restart": "on-failure",
    "restart_seconds": 0.5,
    "working_directory": "/var/lib/shop",
    "after": ["postgresql.service"],
    "success_exit_status": [],
    "secrets_as": "files",
    "state_directory": "shop",
    "cache_directory": "shop",
    "logs_directory": "shop",
    "runtime_directory": "shop",
    "writable_paths": ["/var/spool/shop", "/mnt/data"],
    "no_new_privileges": False,
    "private_tmp": False,
    "private_devices": False,
    "protect_system": "off",
    "protect_home": False,
    "protect_kernel": False,
    "restrict_namespaces": False,
    "restrict_system_calls": False,
    "deny_writable_code": True,
    "address_families": [],
    "capabilities": ["CAP_NET_BIND_SERVICE", "CAP_SYS_NICE"],
    "open_files": 65536,
    "processes": 100,
    "tasks": 200,
    "cpu_percent": 150,
    "memory": "512M",
}


def render(settings: dict[str, Any], *, path: str = "/opt/shop-api", **more: Any) -> str:
    """The unit file of an application with these settings."""
    variables, secrets = more.get("variables", {}), more.get("secrets", ())
    assert list(service_problems(settings, variables, secrets)) == []
    service = make_service("shop-api", settings)
    return render_unit(
        service, application="shop-api", deployment_path=path, variables=bool(variables), secrets=secrets
    )


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("usual", {"exec": "/usr/bin/java -jar {current}/shop-api.jar", "user": "shop"}),
        ("relaxed", EVERYTHING),
    ],
)
def test_unit_file_is_the_golden_one(name: str, settings: dict[str, Any]) -> None:
    made = render(settings, variables={"SHOP_QUEUE": "x"}, secrets=("SHOP_KEY", "SHOP_CERTIFICATE"))
    assert made == (GOLDEN / f"{name}.service").read_text(encoding="utf-8")


def test_nothing_is_hidden_from_a_release_below_a_home_or_tmp() -> None:
    settings = {"exec": "{current}/app", "user": "shop"}
    assert "ProtectHome=read-only\n" in render(settings, path="/home/shop/app")
    assert "PrivateTmp=no\n" in render(settings, path="/tmp/shop")
    assert "PrivateTmp=yes\n" in render({**settings, "private_tmp": True}, path="/tmp/shop")
    assert "EnvironmentFile" not in render(settings)


PLAIN = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="$"), max_size=30
)


@given(st.lists(PLAIN, max_size=5))
def test_words_come_back_as_they_are_by_the_rules_of_systemd(words: list[str]) -> None:
    made = render({"exec": ["/bin/app", *words], "user": "shop"}, path="/opt/{current}")
    (line,) = [line for line in made.split("\n") if line.startswith("ExecStart=")]
    expected = [word.replace("{current}", "/opt/{current}/current") for word in words]
    assert split(line.removeprefix("ExecStart="))[1:] == expected


def split(line: str) -> list[str]:
    """The words of a command line as systemd.syntax(7) has them: double quotes, escapes, %% for %."""
    words: list[str] = []
    rest = line
    while rest:
        if rest[0] == '"':
            word, index = "", 1
            while rest[index] != '"':
                index += rest[index] == "\\"
                word += rest[index]
                index += 1
            rest = rest[index + 1 :]
        else:
            word, _, rest = rest.partition(" ")
            assert not set(word) & set("\\\"'%$;")
            words.append(word)
            continue
        assert "%" not in word.replace("%%", "")
        words.append(word.replace("%%", "%"))
        assert rest[:1] in ("", " ")
        rest = rest[1:]
    return words


@given(st.dictionaries(st.sampled_from(["A", "B_C", "D1"]), PLAIN | st.just("$HOME `x`")))
def test_values_come_back_as_they_are_by_the_rules_of_an_environment_file(values: dict[str, str]) -> None:
    found = {}
    for line in render_environment(values).split("\n")[:-1]:
        name, _, quoted = line.partition("=")
        assert (quoted[0], quoted[-1]) == ('"', '"')
        value, escaped = "", False
        for character in quoted[1:-1]:
            if not escaped and character == "\\":
                escaped = True
                continue
            assert escaped or character not in '"`$'
            value, escaped = value + character, False
        found[name] = value
    assert found == values


def test_line_break_in_a_value_is_refused_without_showing_it() -> None:
    with pytest.raises(ValueError, match="KEY has a line break") as caught:
        render_environment({"KEY": "s3cret\nX=1"})
    assert "s3cret" not in str(caught.value)


def test_digest_is_of_unit_variables_and_names_of_secrets() -> None:
    digests = {
        unit_digest("u", {}, ()),
        unit_digest("v", {}, ()),
        unit_digest("u", {"A": "1"}, ()),
        unit_digest("u", {}, ("A",)),
    }
    assert len(digests) == 4
    assert unit_digest("u", {}, ("B", "A")) == unit_digest("u", {}, ("A", "B"))
