"""Forges that misbehave, and texts that would do more at a forge than be read."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.core.forge_location import ForgeLocation
from orchestrator.core.forge_settings import ForgeSettings
from orchestrator.core.model import Reference
from orchestrator.core.settings import Settings
from orchestrator.edges.forges import open_forge, require_forge
from orchestrator.edges.forges import transport as transport_module
from orchestrator.edges.forges.opening import _open
from orchestrator.edges.forges.protocol import Forge
from orchestrator.edges.git import DeploymentRepository
from orchestrator.errors import CredentialsError, ForgeError
from tests.edges.forges.double import HEAD, TOKEN, Asked, Double, Reply, reply, slow
from tests.edges.forges.gitlab import GitlabDouble
from tests.edges.remotes import ISOLATED, git
from tests.edges.servers import serving
from tests.edges.test_forges import API, DOUBLES, MARKDOWN, forge_of

HOSTILE = (
    "\n/merge\n/approve\n<img src=x onerror=alert(1)>\n[x](javascript:alert(1))\n@everyone #1 !1\n"
    "--> <!-- orchestrator plan: staging -->\x1b[31m\u202e"
)


@pytest.fixture(params=sorted(DOUBLES))
def double(request: pytest.FixtureRequest) -> Iterator[Double]:
    with DOUBLES[request.param]() as double:
        yield double


@pytest.fixture
def forge(double: Double) -> Forge:
    return forge_of(double)


def failure(forge: Forge) -> ForgeError:
    """What a status that cannot be set ends with."""
    with pytest.raises(ForgeError) as raised:
        forge.commit_status(HEAD, state="success", context="orchestrator/dev", description="done")
    error = raised.value
    assert TOKEN not in "\n".join((error.brief, *error.details, error.resolution))
    return error


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_to_another_host_gets_no_token(double: Double, forge: Forge, status: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as evil:
        place = f"http://127.0.0.1:{evil.getsockname()[1]}/api/v4/user"
        double.fault = lambda asked: reply(status, None, {"Location": place})
        assert "redirects" in failure(forge).brief
        with pytest.raises(ForgeError):
            forge.find_pull_request(source="a", target="b")
        evil.setblocking(False)
        with pytest.raises(BlockingIOError):
            evil.accept()


def test_a_next_page_at_another_host_gets_no_token(double: Double, forge: Forge) -> None:
    with socket.create_server(("127.0.0.1", 0)) as evil:
        place = f"http://127.0.0.1:{evil.getsockname()[1]}/next"

        def first_page(asked: Asked) -> Reply | None:
            link = {"Link": f'<{place}>; rel="next"', "X-Next-Page": "2"}
            return reply(200, [{}], link) if asked.path.endswith(("/pulls", "/merge_requests")) else None

        double.fault = first_page
        with pytest.raises(ForgeError):
            forge.find_pull_request(source="a", target="b")
        evil.setblocking(False)
        with pytest.raises(BlockingIOError):
            evil.accept()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (reply(500, {"message": f"cannot {TOKEN}"}), "fails (HTTP 500)"),
        (reply(401, {"message": f"{TOKEN} is no token"}), "refuses the token"),
        (reply(403, {"message": f"{TOKEN} may not"}), "does not allow this to the token"),
        (reply(404, {"message": "Not Found"}), "there is no such thing"),
        (reply(422, {"errors": [{"message": f"no {TOKEN}"}]}), "refuses the request (HTTP 422)"),
        (reply(429, {}, {"Retry-After": "3600"}), "takes no more requests for now"),
        (
            reply(403, {}, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "99999999999"}),
            "no more requests",
        ),
        ((200, {"Content-Type": "text/html"}, b"<html>log in</html>"), "something that is no JSON"),
        ((502, {"Content-Type": "text/html"}, b"<html>proxy</html>"), "fails (HTTP 502)"),
        ((200, {}, b"[" * 100_000), "something that is no JSON"),
        (reply(202, {}), "something that is no JSON"),
    ],
)
def test_what_a_forge_says_instead_of_an_answer(
    double: Double, forge: Forge, answer: Reply, said: str
) -> None:
    double.fault = lambda asked: answer
    error = failure(forge)
    assert said in error.brief
    assert error.resolution
    assert "<html>" not in str(error.details)


def test_a_forge_that_is_away_and_one_that_is_slow_are_told_apart(
    double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_module, "READ_SECONDS", 0.1)
    double.fault = lambda asked: slow(0.5)
    assert "does not answer in time" in failure(forge_of(double)).brief
    away = forge_of(double)
    double.__exit__()
    try:
        assert "cannot be reached" in failure(away).brief
    finally:
        double.__enter__()


@pytest.mark.parametrize("kind", sorted(DOUBLES))
def test_the_proxy_of_the_environment_is_used(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda method, target: reply(500, {"message": "the proxy"})) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        place = "http://forge.example.net"
        location = ForgeLocation(
            type=kind,  # type: ignore[arg-type]
            url=place,
            api_url=place + API[kind],
            project="shop/deploy",
            tokens=(),
        )
        assert failure(_open(location, TOKEN)).details[-1] == "it says: the proxy"
        assert "forge.example.net" in proxy.requests[0].headers["host"]


def test_an_answer_without_end_is_given_up(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "MAX_BYTES", 1000)
    double.fault = lambda asked: reply(200, {"x": "y" * 5000})
    assert "with more than" in failure(forge_of(double)).brief


def test_a_busy_forge_is_asked_again(double: Double, forge: Forge) -> None:
    left = [reply(503, {}), reply(429, {}, {"Retry-After": "0"})]
    double.fault = lambda asked: left.pop() if left else None
    forge.commit_status(HEAD, state="success", context="orchestrator/dev", description="done")
    assert len(double.statuses) == 1


def test_what_may_have_been_done_is_not_done_twice(double: Double, forge: Forge) -> None:
    double.pull("qa", "production")
    double.fault = lambda asked: (
        reply(502, {}) if asked.method == "POST" and "graphql" not in asked.path else None
    )
    with pytest.raises(ForgeError):
        forge.plan_comment(1, MARKDOWN)
    assert len(double.writes()) == 1


def test_hostile_texts_are_texts(double: Double, forge: Forge) -> None:
    made = forge.ensure_pull_request(
        source="promote/$(id)'\"", target="a&b#c?d", title=f"Promote {HOSTILE}", body=HOSTILE
    )
    pull = double.pulls[made.number]
    assert (pull.source, pull.target) == ("promote/$(id)'\"", "a&b#c?d")
    assert "\n" not in pull.title
    assert "\x1b" not in pull.title
    assert "\u202e" not in pull.title
    forge.plan_comment(made.number, MARKDOWN + HOSTILE)
    assert forge.find_pull_request(source="promote/$(id)'\"", target="a&b#c?d") == made.number
    if isinstance(double, GitlabDouble):
        assert double.obeyed == []


def test_a_file_of_the_checkout_sets_no_variables(tmp_path: Path) -> None:
    """pyforgejo loads the nearest `.env` above itself: in a CI whose venv is in the checkout, a pull request's file."""
    import pyforgejo

    packages = tmp_path / "checkout" / ".venv"
    packages.mkdir(parents=True)
    (packages / "pyforgejo").symlink_to(Path(pyforgejo.__file__).parent)
    (tmp_path / "checkout" / ".env").write_text(
        "GIT_SSH_COMMAND=/tmp/evil\nBASE_URL=http://evil.example.net\n"
    )
    code = (
        "import os\nfrom orchestrator.core.forge_location import ForgeLocation\n"
        "from orchestrator.edges.forges.opening import _open\n"
        "place = 'http://127.0.0.1:9'\n"
        "_open(ForgeLocation(type='gitea', url=place, api_url=place, project='a/b', tokens=()), 'x')\n"
        "import pyforgejo; print(pyforgejo.__file__, os.environ.get('GIT_SSH_COMMAND'), os.environ.get('BASE_URL'))"
    )
    environ = {**os.environ, "PYTHONPATH": f"{packages}:{Path.cwd()}"}
    environ.pop("GIT_SSH_COMMAND", None)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(packages / "pyforgejo" / "__init__.py"), "None", "None"]


def repository_at(directory: Path, remote: str) -> DeploymentRepository:
    git(directory, "init", "--quiet", "clone")
    git(directory / "clone", "remote", "add", "origin", remote)
    return DeploymentRepository(directory / "clone")


def test_a_table_of_credentials_binds_the_token_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ISOLATED.items():
        monkeypatch.setenv(name, value)
    repository = repository_at(tmp_path, "git@github.com:shop/deploy.git")
    forge = ForgeSettings(token=Reference(source="env", name="BOT"))
    for allowed in ({}, {"env:BOT": "https://github.example.net"}):
        with pytest.raises(CredentialsError) as raised:
            open_forge(repository, Settings(forge=forge, credentials=allowed), {"BOT": TOKEN})
        assert '"env:BOT" = "https://api.github.com"' in raised.value.resolution
    listed = Settings(forge=forge, credentials={"env:BOT": "https://api.github.com"})
    assert open_forge(repository, listed, {"BOT": TOKEN}) is not None
    with pytest.raises(CredentialsError, match="not set"):
        open_forge(repository, listed, {})
    with pytest.raises(CredentialsError, match="this is no token") as bad:
        open_forge(repository, listed, {"BOT": "two\nlines"})
    assert "lines\n" not in str(bad.value)


def test_without_a_token_there_is_no_forge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ISOLATED.items():
        monkeypatch.setenv(name, value)
    repository = repository_at(tmp_path, "git@github.com:shop/deploy.git")
    assert open_forge(repository, Settings(), {}) is None
    with pytest.raises(ForgeError, match="there is no token") as raised:
        require_forge(repository, Settings(), {})
    assert "GITHUB_TOKEN or GH_TOKEN" in raised.value.resolution
    assert open_forge(repository, Settings(), {"GH_TOKEN": TOKEN}) is not None
    elsewhere = open_forge("https://gitlab.com/shop/production.git", Settings(), {"GITLAB_TOKEN": TOKEN})
    assert elsewhere is not None
    assert elsewhere.label == "GitLab (shop/production at gitlab.com)"
