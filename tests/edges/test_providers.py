"""An environment JSON from a URL or a command: what is sent, what is shown, and how long and how much at most."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.core.model import Credentials
from orchestrator.edges.credentials import ControllerSecrets
from orchestrator.edges.providers import read_environment
from orchestrator.errors import CredentialsError, OrchestratorError, ProviderError
from tests.edges.lookups import PASSWORD, SECRET, TOKEN
from tests.edges.servers import Reply, serving
from tests.edges.test_command_line import Clone, clone

__all__ = ["clone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    url: str = ""
    command: tuple[str, ...] = ()
    credentials: Credentials | None = None


def read(provider: Provider, secret: str = SECRET) -> bytes:
    secrets = ControllerSecrets({"PW": secret})
    return read_environment(provider, "dev", secrets=secrets, directory=Path("/")).content


def shown(error: OrchestratorError) -> str:
    return "\n".join((error.brief, *error.details, error.resolution))


def reply(method: str, target: str) -> Reply:
    return 200, {}, target.encode()


def test_credentials_are_sent_and_the_environment_is_named() -> None:
    with serving(reply) as served:
        url = f"{served.url}/{{environment}}.json"
        assert read(Provider(url=url, credentials=TOKEN)) == b"/dev.json"
        assert read(Provider(url=url, credentials=PASSWORD)) == b"/dev.json"
        sent = [one.headers["authorization"] for one in served.requests]
    assert sent == [f"Bearer {SECRET}", "Basic Y2k6cGFzcy13MHJkLW9mLXRoZS10ZXN0"]


@pytest.mark.parametrize("value", ["s3cr3t ", "s3cr3t\nsecond", "s3cr3t\r", "s3crét", "s3cr3t\x00"])
def test_token_that_no_header_can_carry_is_refused_without_being_shown(value: str) -> None:
    with serving(reply) as served:
        with pytest.raises(CredentialsError, match="secret env:PW: this is no token") as caught:
            read(Provider(url=served.url, credentials=TOKEN), value)
        assert served.requests == []
    assert "s3cr" not in shown(caught.value)
    assert "second" not in shown(caught.value)


def test_user_name_that_basic_authentication_cannot_send_is_refused() -> None:
    wanted = Credentials(username="c:i", password=PASSWORD.password)
    with serving(reply) as served, pytest.raises(CredentialsError, match="has a colon"):
        read(Provider(url=served.url, credentials=wanted))


def test_an_answer_that_breaks_off_says_no_secret() -> None:
    def broken(method: str, target: str) -> Reply:
        return 200, {"X-Echo": f"{SECRET}\x00", "Content-Length": "9"}, b""

    with serving(broken) as served, pytest.raises(ProviderError, match="cannot be reached") as caught:
        read(Provider(url=served.url, credentials=TOKEN))
    assert SECRET not in shown(caught.value)


def test_command_and_record_say_nothing_of_a_token_that_is_none(clone: Clone) -> None:
    with serving(reply) as served:
        (clone.path / "orchestrator.toml").write_text(
            f'format = 1\n[environments.dev]\nprovider = {{ url = "{served.url}/f", '
            'credentials = { token = { env = "TOK" } } }\n'
        )
        clone.git("add", "--all")
        clone.git("rm", "--quiet", "--cached", "dev-env.json")
        clone.git("commit", "--quiet", "--message", "Provider")
        for command in ("plan", "deploy"):
            said = clone.run(command, expect=15, TOK="s3cr3t-TOKEN-42 ")
            assert "secret env:TOK: this is no token" in said
            assert "s3cr3t" not in said
    assert "s3cr3t" not in clone.git("log", "--all", "--patch")
