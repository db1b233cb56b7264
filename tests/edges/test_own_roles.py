"""Applications that a role of the deployment repository activates, by the real command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.core.own_roles import OURS
from tests.edges.legacy import ACTIVATE, NOTE, Legacy
from tests.edges.rollouts import results


@pytest.fixture
def legacy(tmp_path: Path) -> Iterator[Legacy]:
    made = Legacy(tmp_path, 2)
    yield made
    made.close()


def test_role_activates_what_was_verified_and_a_failing_one_is_undone_by_it(legacy: Legacy) -> None:
    legacy.release("1")
    legacy.role(activate="- ansible.builtin.fail: {msg: the work tree is not deployed}\n")
    document = legacy.deploy()
    assert set(results(document).values()) == {"deployed"}
    assert legacy.legacy() == "site 1 {{ 6 * 7 }}\n"
    assert (legacy.top / "srv/h1/site/installed").read_text() == "1"
    assert legacy.log() == ["stage 1 - 6"]
    assert "sesame" not in document["output"]
    planned = legacy.run("plan")
    assert "Nothing to do" in planned, planned

    legacy.role(activate=ACTIVATE)
    legacy.environment["strategy"] = {"batches": "1"}
    legacy.release("broken")
    document = legacy.deploy(expect=23)
    assert results(document) == {"h1": "switched back", "h2": "staged"}
    assert "the role's activate.yml failed: Refuse what is broken" in document["output"]
    assert legacy.legacy() == "site 1 {{ 6 * 7 }}\n"
    assert legacy.log()[-1] == "rollback 1 broken 6"
    assert legacy.live() == {"h1": "1", "h2": "1"}

    legacy.sick.add(("h1", "3"))
    legacy.release("3")
    document = legacy.deploy(expect=23)
    assert results(document)["h1"] == "switched back"
    assert legacy.legacy() == "site 1 {{ 6 * 7 }}\n"


SPECS = """\
argument_specs:
  activate:
    short_description: Activates it
    options:
      orchestrator_version: {type: str, required: true, description: Its version, choices: ["7"]}
"""


def test_role_is_held_to_its_argument_specs_in_a_dry_run_too_and_absent_removes(legacy: Legacy) -> None:
    meta = legacy.path / "roles" / "billing_legacy" / "meta"
    meta.mkdir()
    (meta / "argument_specs.yml").write_text(SPECS)
    legacy.role(activate=NOTE)
    legacy.where = {"site": ["h1"], "api": ["h2"]}
    legacy.release("1")
    document = legacy.deploy("--check", expect=23)
    assert "value of orchestrator_version must be one of: 7, got: 1" in document["output"]
    assert legacy.live() == {"h1": "", "h2": ""}
    legacy.release("7")
    legacy.deploy()
    assert legacy.log() == ["stage 7 - 6", "activate 7 - 6"]

    legacy.where = {"api": ["h2"]}
    legacy.release("7")
    legacy.deploy("--prune")
    assert legacy.log()[-1] == "absent 7 7 0"
    assert legacy.live_on("h1") == ""


def test_missing_role_is_a_violation_and_a_pull_request_loads_none(legacy: Legacy) -> None:
    legacy.release("1")
    assert (
        "a role of the deployment repository activates site (billing_legacy), and only `deploy` calls it"
        in (legacy.run("render", str(legacy.top / "hand"), expect=64))
    )
    assert not (legacy.top / "hand").exists()
    legacy.settings["role"] = "billing_new"
    legacy.release("2")
    output = legacy.run("plan", expect=10)
    assert "dev-env.json:" in output
    assert "role: there is no role roles/billing_new at this commit; there is billing_legacy" in output

    legacy.settings["role"] = "billing_legacy"
    legacy.release("3")
    legacy.git("checkout", "--quiet", "-b", "change")
    touched = legacy.top / "touched"
    plugin = legacy.path / "roles" / "billing_legacy" / "action_plugins"
    plugin.mkdir()
    text = f"open({str(touched)!r}, 'w')\n"
    (plugin / "placement_phase.py").write_text(text)
    (plugin / "observe.py").write_text(text)
    legacy.role(activate=f"- ansible.builtin.command: touch {touched}\n")
    legacy.release("4")
    output = legacy.run("plan", "--base", "dev", "--head", "change")
    assert "git asks for 4" in output or "first release there" in output
    assert not touched.exists()


def test_our_own_roles_are_those_that_are_reserved() -> None:
    roles = Path(__file__).resolve().parents[2] / "roles"
    assert {path.name for path in roles.iterdir() if (path / "meta").is_dir()} == OURS
