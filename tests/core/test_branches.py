"""Which branches are environments, and what is said of those that are not."""

from __future__ import annotations

import pytest

from orchestrator.core.branches import explain_no_environment, is_environment_branch
from tests.core.builders import make_settings

FILES = ("dev-env.json", "inventories/staging-env.json", "inventories/prod-env.json", "README.md")
ALIGNED = make_settings('[environments.production]\nbranch = "main"\n')


@pytest.mark.parametrize(
    ("branch", "environment"),
    [
        ("dev", "dev"),
        ("staging", "staging"),
        ("production", "production"),
        ("prod", "prod"),
        ("qa", "qa"),
        ("feature/x", None),
        ("main", None),
        ("orchestrator/ledger", None),
        ("", None),
    ],
)
def test_branch_with_a_document_is_an_environment(branch: str, environment: str | None) -> None:
    assert is_environment_branch(make_settings(), branch, FILES, ("qa",)) == environment


def test_alias_in_the_manifest_counts() -> None:
    assert is_environment_branch(make_settings(), "production", (), ("prod",)) == "production"


def test_settings_align_branches_with_environments() -> None:
    assert is_environment_branch(ALIGNED, "main", (), ()) == "production"
    assert is_environment_branch(ALIGNED, "production", FILES, ()) is None


def test_explicit_file_is_not_needed_to_be_an_environment() -> None:
    settings = make_settings('[environments.qa]\nfile = "qa.json"\n')
    assert is_environment_branch(settings, "qa", (), ()) == "qa"


def test_reserved_branch_is_none_whatever_settings_say() -> None:
    settings = make_settings('[environments.dev]\nbranch = "orchestrator/notes"\n')
    assert is_environment_branch(settings, "orchestrator/notes", FILES, ()) is None


def test_typo_gets_a_hint() -> None:
    said = explain_no_environment(ALIGNED, "stagin", ("dev", "staging", "production"))
    assert said == (
        'stagin is no environment\'s branch (did you mean "staging"?); nothing to deploy. '
        "Environments' branches: dev, main (environment production), staging"
    )


def test_other_branches_get_a_plain_message() -> None:
    assert explain_no_environment(make_settings(), "feature/x", ()) == (
        "feature/x is no environment's branch; nothing to deploy. Environments' branches: none"
    )
    assert "own records" in explain_no_environment(make_settings(), "orchestrator/locks/dev", ("dev",))
