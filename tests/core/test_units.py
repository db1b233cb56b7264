from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.units import make_service, service_problems, unit_name

GOOD: dict[str, Any] = {"exec": "{current}/bin/app", "user": "shop"}


def found(
    variables: dict[str, str] | None = None, secrets: tuple[str, ...] = (), **settings: Any
) -> list[str]:
    """What is wrong with these settings beside good ones, each with its path."""
    problems = service_problems({**GOOD, **settings}, variables or {}, secrets)
    return [f"{'.'.join(map(str, path))}: {message}" for path, message in problems]


def test_settings_that_are_good_have_no_problems() -> None:
    settings = {
        "exec": ["/usr/bin/java", "-jar", "{current}/a.jar", "${SHOP_URL}", "100%", 'a "b" \\ c'],
        "reload_exec": "/bin/kill -HUP ${MAINPID}",
        "on_release": "reload",
        "unit": "shop.service",
        "group": "shop",
        "working_directory": "{current}/work",
        "writable_paths": ["/var/spool/shop", None],
        "after": ["postgresql.service", None],
        "capabilities": ["CAP_NET_BIND_SERVICE"],
        "memory": "512M",
        "umask": "0027",
        "stop_signal": "SIGINT",
        "state_directory": "shop/data",
        "restart": None,
    }
    assert found({"SHOP_URL": "x"}, ("SHOP_KEY",), **settings) == []


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", "is empty"),
        ([], "is empty"),
        ([None], "is empty"),
        ("app", "is no program"),
        ("./app", "is no program"),
        ("/", "is no program"),
        ("-/bin/false", "is no program"),
        ("+/bin/sh", "is no program"),
        ("/usr/../bin/sh", "is no program"),
        ("{current}", "is no program"),
        ("{current}/../x", "is no program"),
        ("{current}x/y", "is no program"),
        ("{release}/app", "is no program"),
        ("/bin/a%n", "is no program"),
        (["/bin/a b"], "is no program"),
        ("/bin/a 'b", "quotation mark without its partner"),
        ("/bin/a b\nExecStartPre=/bin/b", ""),
        (["/bin/a", "b\nExecStartPre=/bin/b"], "control character"),
        (["/bin/a", "b\x00"], "control character"),
        ("/bin/a $HOME", "a $ that is no"),
        ("/bin/a ${", "a $ that is no"),
        ("/bin/a $$", "a $ that is no"),
        ("/bin/a ${NAMED}", ""),
        ("/bin/a ${MAINPID}", "not among `variables`"),
        ("/bin/a ${KEY}", "is a secret"),
        ("/bin/a ${NAME", "a $ that is no"),
    ],
)
def test_commands_that_could_mean_something_else_are_refused(command: Any, words: str) -> None:
    problems = found({"NAMED": "x"}, ("KEY",), exec=command)
    assert [words in problem for problem in problems] == ([True] if words else [])


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("unit", "a b", "no name of a service unit"),
        ("unit", "a/b", "no name of a service unit"),
        ("unit", "shop.socket", "no name of a service unit"),
        ("unit", "a..b", "no name of a service unit"),
        ("unit", "shop@1", "can only be adopted"),
        ("user", "root\nX=y", "has to be a name"),
        ("group", "-x", "has to be a name"),
        ("state_directory", "../x", "relative directory"),
        ("state_directory", "/x", "relative directory"),
        ("runtime_directory", "a b", "relative directory"),
        ("working_directory", "x", "absolute path"),
        ("working_directory", "{current}/..", "absolute path"),
        ("writable_paths", ["/"], "absolute path"),
        ("writable_paths", ["/var/../etc"], "absolute path"),
        ("writable_paths", ["/a b"], "absolute path"),
        ("after", ["x"], "does not fit"),
        ("capabilities", ["~CAP_KILL"], "does not fit"),
        ("address_families", ["AF_INET AF_X"], "does not fit"),
        ("umask", "888", "does not fit"),
        ("memory", "much", "does not fit"),
        ("stop_signal", "TERM\nX=1", "does not fit"),
        ("type", "forking", "has to be one of exec, simple, notify"),
        ("restart", "always\nX=1", "has to be one of"),
        ("on_release", "reload", "nothing says how it reloads"),
    ],
)
def test_settings_that_do_not_fit_are_named(key: str, value: Any, words: str) -> None:
    (problem,) = found(**{key: value})
    assert problem.startswith(f"service.{key}")
    assert words in problem


def test_exec_and_user_are_needed() -> None:
    problems = list(service_problems({}, {}, ()))
    assert [path for path, _ in problems] == [("service",), ("service",)]
    assert '"exec" is missing' in problems[0][1]
    assert '"user" is missing' in problems[1][1]


def test_what_an_adopted_unit_would_not_get_is_refused() -> None:
    assert list(service_problems({"adopt": True, "unit": "legacy@1", "stable_seconds": 1}, {}, ())) == []
    problems = service_problems({"adopt": True, "exec": "/bin/a"}, {"A": "1"}, ("B",))
    assert [path for path, _ in problems] == [("service", "exec"), ("variables",), ("secrets",)]


def test_names_and_values_of_variables() -> None:
    assert found({"1A": "x"}) == ["variables.1A: is no name of a variable; use letters, digits and _ only"]
    assert found({"A": "x\ny"}) == ["variables.A: has a control character; remove it"]
    assert found({"A": "x"}, ("A",)) == ["secrets.A: is among `variables` too; keep one of them"]
    assert found({}, ("A=B",)) == ["secrets.A=B: is no name of a variable; use letters, digits and _ only"]


def test_service_is_named_as_its_application_unless_it_says_otherwise() -> None:
    service = make_service("shop", {**GOOD, "after": ["a.service", None], "stable_seconds": 1, "colour": 1})
    assert (service.unit, service.after, service.stable_seconds) == ("shop.service", ("a.service",), 1.0)
    assert service.exec == ("{current}/bin/app",)
    assert make_service("shop", {**GOOD, "unit": "other"}).unit == "other.service"
    assert unit_name("x.service") == "x.service"
