"""An environment JSON from a URL or a command: what is sent, what is shown, and how long and how much at most."""

from __future__ import annotations

import os
import select
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.core.model import Credentials
from orchestrator.edges import providers
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


@contextmanager
def dripping(beginning: bytes, piece: bytes, seconds: float) -> Iterator[str]:
    """A server that says the beginning, and then a piece every so many seconds until nobody listens."""
    stopped = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                self.request.recv(1 << 16)
                self.request.sendall(beginning)
                while not stopped.wait(seconds):
                    self.request.sendall(piece)
            except OSError:
                pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/f"
        finally:
            stopped.set()
            server.shutdown()


@pytest.mark.parametrize(
    "beginning",
    [b"", b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"],
    ids=["status", "header", "body"],
)
def test_server_that_drips_is_left_at_the_deadline(beginning: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "SECONDS", 0.5)
    expected = pytest.raises(ProviderError, match=r"does not answer in full within 0\.5 s")
    with dripping(beginning, b"H", 0.02) as url, expected as caught:
        read(Provider(url=url))
    assert caught.value.exit_code == 26


def test_answer_without_end_is_refused_while_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "MAX_BYTES", 100_000)
    expected = pytest.raises(ProviderError, match=r"answers with more than 100\.0 kB")
    with dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 4096, 0.0) as url, expected:
        read(Provider(url=url))


@contextmanager
def watched(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A FIFO, and its reading end: that comes to its end when every process that has it open is gone."""
    path = tmp_path / "held"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield path, reading
    finally:
        os.close(reading)


def is_over(reading: int) -> bool:
    assert os.read(reading, 10) == b"begun\n"
    return bool(select.select([reading], [], [], 20)[0]) and os.read(reading, 1) == b""


def shell(script: str) -> Provider:
    return Provider(command=("sh", "-c", script))


def test_command_is_ended_at_the_deadline_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "SECONDS", 2)
    with watched(tmp_path) as (path, reading):
        with pytest.raises(ProviderError, match="sh does not end within 2 s, and was ended") as caught:
            read(shell(f"exec 3>{path}; echo begun >&3; echo waiting >&2; sleep 85; true"))
        assert is_over(reading)
    assert caught.value.details == ("waiting",)
    assert "correct `command`" not in shown(caught.value)


def test_command_that_closes_its_output_and_goes_on_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "SECONDS", 0.5)
    with pytest.raises(ProviderError, match=r"does not end within 0\.5 s"):
        read(shell("exec >&- 2>&-; sleep 85"))


def test_command_that_prints_too_much_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "MAX_BYTES", 100_000)
    with watched(tmp_path) as (path, reading):
        with pytest.raises(ProviderError, match=r"sh prints more than 100\.0 kB") as caught:
            read(shell(f"exec 3>{path}; echo begun >&3; sleep 85 & head -c 1000000 /dev/zero; wait"))
        assert is_over(reading)
    assert caught.value.exit_code == 26


def test_command_is_read_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "MAX_BYTES", 100_000)
    assert read(shell("head -c 100000 /dev/zero; echo said >&2")) == bytes(100_000)


def test_only_the_end_of_what_a_command_complains_is_kept() -> None:
    script = "head -c 3000000 /dev/zero | tr '\\0' x >&2; echo >&2; printf 'la\\033st\\n' >&2; exit 3"
    with pytest.raises(ProviderError, match="sh ended with 3") as caught:
        read(shell(script))
    assert caught.value.details == ("x" * 300, "la st")


@pytest.mark.parametrize("name", ["/nowhere", "/nowhere\0"])
def test_command_that_is_not_there_is_said(name: str) -> None:
    with pytest.raises(ProviderError, match=r"/nowhere.* cannot be run") as caught:
        read(Provider(command=(name,)))
    assert "correct `command`" in shown(caught.value)
