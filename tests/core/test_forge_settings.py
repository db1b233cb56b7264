from __future__ import annotations

import pytest

from orchestrator.core.forge_settings import ForgeSettings
from orchestrator.core.model import Reference
from tests.core.builders import make_settings, settings_problems


def test_nothing_is_needed() -> None:
    assert make_settings().forge == ForgeSettings()


def test_everything_is_read() -> None:
    settings = make_settings(
        """
[forge]
type = "forgejo"
url = "https://git.example.net/"
project = "shop/deploy"
token = { env = "BOT_TOKEN" }
report = false
"""
    )
    assert settings.forge == ForgeSettings(
        type="forgejo",
        url="https://git.example.net",
        project="shop/deploy",
        token=Reference(source="env", name="BOT_TOKEN"),
        report=False,
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('type = "bitbucket"', "forge.type"),
        ('type = "github"\nurl = "https://user:word@git.example.net"', "holds credentials"),
        ('url = "https://git.example.net"', "needs a `type`"),
        ('type = "gitlab"\nproject = "../etc"', "owner (or groups) and name"),
        ('token = "glpat-secret"', "a reference to a secret"),
        ('report = "yes"', "forge.report"),
        ("colour = 1", "colour"),
    ],
)
def test_what_cannot_be_is_refused(text: str, said: str) -> None:
    problems = "\n".join(settings_problems(f"[forge]\n{text}\n"))
    assert said in problems
    assert "word" not in problems
    assert "glpat" not in problems
