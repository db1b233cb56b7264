from __future__ import annotations

import pytest

from orchestrator.core.violations import Path, Violations, quote, render_path


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), "(top level)"),
        (("applications", "shop-api", "artifact"), "applications.shop-api.artifact"),
        (("hosts", "web1.north", "groups", 0), 'hosts["web1.north"].groups[0]'),
        (("web 1", "a"), '["web 1"].a'),
        (("a", "\x1b[31m"), 'a["\\u001b[31m"]'),
        (("a", "б"), 'a["\\u0431"]'),
        (("a" * 90,), f'["{"a" * 77}..."]'),
    ],
)
def test_path_is_rendered_in_printable_ascii(path: Path, text: str) -> None:
    assert render_path(path) == text


def test_quote_shortens_and_escapes() -> None:
    assert quote('a"b\n\x7f') == '"a\\"b\\n\\u007f"'
    assert quote("x" * 1000) == f'"{"x" * 77}..."'


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("deployement_path", ' (did you mean "deployment_path"?)'),
        ("deploymentPath", ' (did you mean "deployment_path"?)'),
        ("Hosts", ' (did you mean "hosts"?)'),
        ("colour", ""),
    ],
)
def test_near_miss_is_suggested(word: str, near: str) -> None:
    assert Violations().near_miss(word, ("hosts", "deployment_path")) == near


def test_suggestions_end_after_a_while_because_they_cost_time() -> None:
    violations = Violations()
    answers = [violations.near_miss("hots", ("hosts",)) for _ in range(100)]

    assert answers[0] == ' (did you mean "hosts"?)'
    assert answers[-1] == ""


def test_error_has_every_violation_once_by_file_and_line() -> None:
    violations = Violations()
    assert not violations
    for label, line in (("b.json", 1), ("a.json", 10), ("a.json", 9), ("a.json", 9)):
        violations.add_at(label, line, ("key",), "has to go")

    error = violations.error()

    assert bool(violations)
    assert error.brief == "3 things are wrong in a.json, b.json"
    assert error.details == (
        "a.json:9: key: has to go",
        "a.json:10: key: has to go",
        "b.json:1: key: has to go",
    )
    assert error.resolution
    assert error.exit_code == 10


def test_error_of_one_violation_is_in_the_singular() -> None:
    violations = Violations()
    violations.add_at("a.json", 1, (), "is wrong")

    assert violations.error().brief == "one thing is wrong in a.json"
