"""Shared paths, owners, modes, templates and hooks of an application's entry, from documents to the plan."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.json_text import parse_json
from orchestrator.core.model import Desired
from orchestrator.core.release_entries import check_release_kind, describe_release, read_templates
from orchestrator.core.release_settings import (
    Hook,
    ReleaseSettings,
    SharedPath,
    Template,
    release_problems,
)
from orchestrator.core.template_text import (
    MAX_SOURCE_CHARACTERS,
    TemplateTextError,
    layout_of,
    render_text,
)
from orchestrator.core.violations import Report, Violations
from orchestrator.errors import DocumentError
from tests.core.builders import (
    make_application,
    make_document,
    make_environment,
    make_manifest,
    parse,
    problems,
)
from tests.core.values import make_desired, make_placement, make_plan

TEMPLATE = {"path": "app.conf", "source": "app.conf.j2", "trusted": True}
EXEC = {"exec": "{current}/run", "user": "app"}


def entry(**settings: Any) -> dict[str, Any]:
    return make_environment(applications={"shop": {"deployment_path": "/srv/shop", **settings}})


def with_templates(files: dict[str, bytes], **settings: Any) -> Desired:
    return read_templates(parse(environment=entry(**{"templates": [TEMPLATE], **settings})), files.get)


def test_settings_arrive_with_their_defaults() -> None:
    desired = parse(
        environment=entry(
            shared_paths=["storage/", {"path": "a", "mode": "0600"}],
            group="web",
            hooks={"before_stage": [{"command": ["/bin/true"]}], "after_stage": []},
        )
    )
    release = desired.placements[0].release
    assert release == ReleaseSettings(
        shared_paths=(SharedPath(path="storage", directory=True), SharedPath(path="a", mode="0600")),
        group="web",
        hooks={"before_stage": (Hook(command=("/bin/true",)),)},
    )
    assert not release.wants_secrets


def test_hooks_and_shared_paths_of_a_service_are_its_users() -> None:
    manifest = make_manifest(applications={"shop": make_application(kind="service")})
    hooks = {"before_stage": [{"command": ["a"]}, {"command": ["b"], "user": "root"}]}
    desired = parse(manifest, entry(service=EXEC, shared_paths=["a/"], hooks=hooks))
    release = desired.placements[0].release
    assert [hook.user for hook in release.hooks["before_stage"]] == ["app", "root"]
    assert [one.owner for one in release.shared_paths] == ["app"]


def test_what_is_wrong_is_said_once_and_makes_no_settings() -> None:
    assert problems(environment=entry(shared_paths="a")) == [
        "staging-env.json: applications.shop.shared_paths: has to be a list of 100 paths at most"
    ]
    assert problems(environment=entry(owner="app", service=EXEC))[-1].endswith(
        "`kind: service` in the manifest"
    )


def test_variables_and_secrets_without_a_process_need_something_that_uses_them() -> None:
    given = {"variables": {"A": "b"}, "secrets": {"B": {"env": "B"}}}
    assert len(problems(environment=entry(**given))) == 2
    hook = {"command": ["a"]}
    assert len(problems(environment=entry(**given, hooks={"before_activate": [hook]}))) == 1
    used = entry(**given, hooks={"before_activate": [{**hook, "secrets": True}]})
    placement = parse(environment=used).placements[0]
    assert (dict(placement.variables), list(placement.secrets)) == ({"A": "b"}, ["B"])


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"templates": [TEMPLATE], "variables": {"A-b": "x"}}, "variables.A-b"),
        ({"templates": "all", "variables": {"A": "x"}, "secrets": {"B": {"env": "B"}}}, "templates"),
        ({"hooks": {"after_stage": "x"}, "variables": {"A": "x"}}, "hooks.after_stage"),
    ],
)
def test_mistake_beside_what_uses_variables_is_one_violation(settings: dict[str, Any], where: str) -> None:
    (found,) = problems(environment=entry(**settings))
    assert f" applications.shop.{where}: " in found


def test_other_kinds_have_no_releases() -> None:
    document = make_document("x.json", {"shop": {"hooks": 1, "owner": 1}})
    violations = Violations()
    source = parse_json(document.content, document.label, violations)
    assert source is not None
    report = Report(source=source, violations=violations)
    check_release_kind("site", ("owner",), report, ("shop",))
    assert not violations
    report.add(("shop", "hooks"), "it is no object")
    check_release_kind("package", ("owner", "hooks"), report, ("shop",))
    lines = violations.error().details
    assert len(lines) == 2
    assert "a package has no releases" in lines[-1]


def test_template_is_read_and_its_text_makes_the_release() -> None:
    first = with_templates({"app.conf.j2": b"{{ host.name }} {{ version }}"})
    assert first.placements[0].release.templates[0].content == "{{ host.name }} {{ version }}"
    other = with_templates({"app.conf.j2": b"{{ host.name }} {{ version }}!"})
    same = with_templates({"app.conf.j2": b"{{ host.name }} {{- ' ' + version }}"})
    names = [make_plan(one).steps[0].release for one in (first, other, same)]
    assert names[0] == names[2] != names[1]
    steps = make_plan(first).steps
    assert steps[0].release != steps[1].release
    assert steps[0].configuration_digest != make_plan(other).steps[0].configuration_digest


def test_template_of_the_release_counts_by_what_it_is_rendered_with() -> None:
    templates = [{"path": "a", "release_source": "a.j2", "trusted": True}]
    names = {
        make_plan(with_templates({}, templates=templates, variables={"A": value})).steps[0].release
        for value in ("b", "c")
    }
    assert len(names) == 2


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "there is no such file beside the manifest"),
        ({"app.conf.j2": b"\xff"}, "it is no UTF-8 text"),
        ({"app.conf.j2": b"{{ nobody }}"}, "for shop on web1: 'nobody' is undefined"),
        ({"app.conf.j2": b"a\n{% if %}"}, "(line 2)"),
        ({"app.conf.j2": b"{{ 1 / 0 }}"}, "ZeroDivisionError"),
    ],
)
def test_template_that_cannot_be_used_is_refused_with_its_file(files: dict[str, bytes], words: str) -> None:
    with pytest.raises(DocumentError) as caught:
        with_templates(files)
    assert caught.value.details[0].startswith("app.conf.j2: ")
    assert words in caught.value.details[0]


def test_every_template_that_cannot_be_used_is_said() -> None:
    templates = [TEMPLATE, {**TEMPLATE, "path": "b", "source": "b.j2"}]
    with pytest.raises(DocumentError, match="2 templates cannot be used"):
        with_templates({}, templates=templates)


@pytest.mark.parametrize(
    "text",
    [
        "{{ lookup('pipe', 'id') }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ variables.update(a=1) }}",
        "{% include '/etc/passwd' %}",
        "{{ [1, 2]|random }}",
        "{{ lipsum() }}",
        "{{ range(10 ** 9)|list }}",
        "x" * (MAX_SOURCE_CHARACTERS + 1),
        "{% for one in range(99999) %}{{ 'x' * 99 }}{% endfor %}",
    ],
)
def test_template_can_do_nothing_but_make_text(text: str) -> None:
    with pytest.raises(TemplateTextError):
        render_text(text, {"variables": {}})


def test_values_are_never_templates() -> None:
    assert render_text("{{ a }}\n", {"a": "{{ b }}"}) == "{{ b }}\n"


def test_release_without_settings_is_called_as_before() -> None:
    assert layout_of(ReleaseSettings(), {}) == []


def test_plan_says_what_is_done_and_what_runs() -> None:
    release = ReleaseSettings(
        shared_paths=(SharedPath(path="storage"),),
        group="web",
        file_mode="0640",
        templates=(
            Template(path="a", source="b", content="c"),
            Template(path="d", release_source="e"),
        ),
        hooks={
            "before_activate": (Hook(command=("bin/check", "-v"), user="shop"),),
            "after_activate": (Hook(command=("true",)),),
        },
    )
    assert describe_release(release) == (
        "shared: storage",
        "files: web 0640",
        'template: "b" to "a"',
        'template: "e of the release" to "d"',
        "before_activate: bin/check -v as shop",
        "after_activate: true",
    )
    desired = make_desired(make_placement(release=release))
    assert make_plan(desired).releases == {"site": describe_release(release)}


def test_settings_that_no_schema_has_seen_are_checked_as_well() -> None:
    given = {
        "owner": "a b",
        "file_mode": "x",
        "shared_paths": [{"path": "a", "group": "b c"}, {"path": "-x"}],
        "templates": [{"path": "d", "content": "", "trusted": True, "mode": "99"}],
        "hooks": {
            "before_stage": [{"command": ["a"], "user": "b c"}, {}, {"command": ["a"], "on_failure": "stop"}],
            "run_once": [{"command": ["a"], "on_failure": "x"}, {"command": ["a"]}, {"command": ["b"]}],
        },
    }
    found = {where for where, _ in release_problems(given)}
    assert found == {
        ("owner",),
        ("file_mode",),
        ("shared_paths", 0, "group"),
        ("shared_paths", 1),
        ("templates", 0, "mode"),
        ("hooks", "before_stage", 0, "user"),
        ("hooks", "before_stage", 1),
        ("hooks", "before_stage", 2, "on_failure"),
        ("hooks", "run_once", 0, "on_failure"),
        ("hooks", "run_once", 1, "command"),
    }
