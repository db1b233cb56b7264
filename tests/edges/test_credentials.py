"""Secrets are read on the controller, and neither sent broken nor shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.core.model import Reference
from orchestrator.edges.credentials import ControllerSecrets, redact
from orchestrator.errors import CredentialsError, OrchestratorError
from tests.edges.lookups import TOKEN, make_repository, resolve


@pytest.mark.parametrize("value", ["first\nsecond", "sécret", "two words"])
def test_token_that_no_header_can_carry_is_refused_without_being_shown(value: str) -> None:
    with pytest.raises(CredentialsError, match="env:PW") as caught:
        resolve(make_repository("http", "http://127.0.0.1:9", credentials=TOKEN), secret=value)
    shown = f"{caught.value.brief} {caught.value.details} {caught.value.resolution}"
    assert not [part for part in value.split() if part in shown]


def test_missing_secret_names_its_reference() -> None:
    with pytest.raises(CredentialsError, match="NOPE"):
        ControllerSecrets({}).value(Reference(source="env", name="NOPE"))


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"])
def test_secret_file_without_a_usable_value_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(CredentialsError, match="secret file:"):
        ControllerSecrets({}).value(Reference(source="file", name=str(tmp_path / "secret")))


@pytest.mark.parametrize("name", ["", "gone", "secret/x"])
def test_secret_file_that_cannot_be_read_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("x")
    with pytest.raises(OrchestratorError) as caught:
        ControllerSecrets({}).value(Reference(source="file", name=str(tmp_path / name)))
    assert caught.value.resolution


def test_secret_file_loses_one_newline_and_is_read_once(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("word\n\n")
    secrets = ControllerSecrets({})
    reference = Reference(source="file", name=str(file))
    assert secrets.value(reference) == "word\n"
    file.unlink()
    assert secrets.value(reference) == "word\n"
    assert secrets.known_values() == ("word\n",)


def test_redaction_finds_encoded_forms_and_the_longer_of_two_secrets() -> None:
    assert (
        redact('a/"b and a%2F%22b and a/\\"b and cde', ['a/"b', "cd", "cde"]) == "*** and *** and *** and ***"
    )
