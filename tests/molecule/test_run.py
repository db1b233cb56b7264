"""How molecule's scenarios are found and called; that they pass is `python -m tests.molecule.run`'s to say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.molecule.command import environment
from tests.molecule.run import select
from tests.molecule.scenarios import Scenario, find_scenarios, session


def add_scenario(repository: Path, role: str, name: str) -> None:
    directory = repository / "roles" / role / "molecule" / name
    directory.mkdir(parents=True)
    (directory / "molecule.yml").write_text("---\n")


def test_scenarios_of_all_roles_are_found(tmp_path: Path) -> None:
    add_scenario(tmp_path, "web", "web-default")
    add_scenario(tmp_path, "db", "db-default")
    add_scenario(tmp_path, "db", "db-small-disk")
    assert [(scenario.role, scenario.name) for scenario in find_scenarios(tmp_path)] == [
        ("db", "db-default"),
        ("db", "db-small-disk"),
        ("web", "web-default"),
    ]


def test_two_roles_cannot_share_a_scenario_name(tmp_path: Path) -> None:
    add_scenario(tmp_path, "web", "small")
    add_scenario(tmp_path, "db", "small")
    with pytest.raises(ValueError, match="role db has this scenario"):
        find_scenarios(tmp_path)


def test_scenario_cannot_take_the_name_of_the_one_that_makes_hosts(tmp_path: Path) -> None:
    add_scenario(tmp_path, "web", "default")
    with pytest.raises(ValueError, match="call it web-default"):
        find_scenarios(tmp_path)


def test_unknown_scenario_is_refused_with_those_that_exist() -> None:
    scenarios = [Scenario(role="web", name="web-default")]
    assert select(scenarios, []) == scenarios
    assert select(scenarios, ["web-default"]) == scenarios
    with pytest.raises(ValueError, match="no scenario web; there are: web-default"):
        select(scenarios, ["web"])


def test_callback_from_outside_does_not_reach_molecule() -> None:
    outer = {"PATH": "/usr/bin", "HOME": "/root", "ANSIBLE_STDOUT_CALLBACK": "json", "FORCE_COLOR": "1"}
    inner = environment(outer, Scenario(role="web", name="web-default"))
    assert not {"ANSIBLE_STDOUT_CALLBACK", "FORCE_COLOR"} & inner.keys()
    assert inner["HOME"] == "/root"
    assert inner["MOLECULE_GLOB"] == "{tests/molecule,roles/web/molecule}/*/molecule.yml"


def test_checkouts_have_hosts_of_their_own(tmp_path: Path) -> None:
    assert session(tmp_path) == session(tmp_path)
    assert session(tmp_path) != session(tmp_path / "other")
