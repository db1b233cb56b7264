"""The seam between Python and Ansible: what is rendered is what the roles' specs accept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from orchestrator.core.inventory import Run, render_by_hand
from orchestrator.core.model import Credentials, Reference
from tests.core.values import make_artifacts, make_check, make_desired, make_placement, make_plan

ROLES = Path(__file__).resolve().parent.parent.parent / "roles"


def load(role: str, part: str) -> Any:
    return yaml.safe_load((ROLES / role / part).read_text())


def test_rendered_variables_satisfy_the_roles_argument_specs() -> None:
    desired = make_desired(make_placement(healthcheck=make_check()))
    secret = Reference(source="env", name="PW")
    artifacts = make_artifacts(desired, credentials=Credentials(username="ci", password=secret))
    run = Run(id="r", time="t", actor="a")
    inventory, extra = render_by_hand(make_plan(desired), desired, artifacts, run)
    given = {"release_placements": inventory["all"]["hosts"]["web1"]["release_placements"], **extra}
    options = load("release", "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    validated = ArgumentSpecValidator(options).validate(given)
    assert validated.error_messages == []
    assert set(given) <= set(options)


@pytest.mark.parametrize("role", ["release", "artifact", "healthcheck", "placement"])
def test_defaults_equal_their_specs(role: str) -> None:
    defaults = load(role, "defaults/main.yml")
    entry = next(iter(load(role, "meta/argument_specs.yml")["argument_specs"].values()))
    specified = {name: option["default"] for name, option in entry["options"].items() if "default" in option}
    assert defaults == specified
    assert all(name.startswith(f"{role}_") for name in entry["options"])
