from __future__ import annotations

import pytest

from orchestrator.core.forge_location import ForgeLocation, NoForge, locate_forge, pull_request_number
from orchestrator.core.forge_settings import ForgeSettings
from orchestrator.core.model import Reference

GITLAB_CI = {"GITLAB_CI": "true", "CI_SERVER_URL": "https://git.example.net"}


def located(
    remote: str, settings: ForgeSettings | None = None, environ: dict[str, str] | None = None
) -> ForgeLocation:
    found = locate_forge(remote, settings or ForgeSettings(), environ or {})
    assert isinstance(found, ForgeLocation), found
    return found


@pytest.mark.parametrize(
    "remote",
    [
        "https://github.com/shop/deploy",
        "https://github.com/shop/deploy.git",
        "https://token@github.com/shop/deploy.git/",
        "git@github.com:shop/deploy.git",
        "ssh://git@github.com:22/shop/deploy.git",
        "git+ssh://git@GitHub.com/shop/deploy",
    ],
)
def test_a_public_forge_is_known_by_its_host(remote: str) -> None:
    found = located(remote)
    assert (found.type, found.url, found.project) == ("github", "https://github.com", "shop/deploy")
    assert found.api_url == "https://api.github.com"
    assert [one.name for one in found.tokens] == ["GITHUB_TOKEN", "GH_TOKEN"]
    assert found.label == "GitHub (shop/deploy at github.com)"


@pytest.mark.parametrize(
    ("remote", "kind", "api"),
    [
        ("git@gitlab.com:group/sub/deploy.git", "gitlab", "https://gitlab.com/api/v4"),
        ("https://codeberg.org/shop/deploy", "gitea", "https://codeberg.org/api/v1"),
        ("https://gitea.com/shop/deploy", "gitea", "https://gitea.com/api/v1"),
    ],
)
def test_each_has_its_api(remote: str, kind: str, api: str) -> None:
    found = located(remote)
    assert (found.kind, found.api_url) == (kind, api)


@pytest.mark.parametrize(
    "remote",
    [
        "",
        "/srv/git/deploy.git",
        "file:///srv/git/deploy.git",
        "../deploy.git",
        "https://git.example.net/shop/deploy",
        "git@[zz]:shop/deploy",
        "https://[::1/shop",
        "https://git.example.net:99999/shop/deploy",
        "ssh://-oProxyCommand=x/shop/deploy",
    ],
)
def test_plain_git_is_at_no_forge(remote: str) -> None:
    found = locate_forge(remote, ForgeSettings(), {})
    assert isinstance(found, NoForge)
    assert "[forge]" in found.remedy


def test_the_type_of_an_own_server_is_enough() -> None:
    found = located("ssh://git@git.example.net:2222/shop/deploy", ForgeSettings(type="gitlab"))
    assert (found.url, found.api_url) == ("https://git.example.net", "https://git.example.net/api/v4")
    found = located("http://git.example.net:3000/shop/deploy", ForgeSettings(type="gitea"))
    assert found.url == "http://git.example.net:3000"
    found = located("git@[2001:db8::1]:shop/deploy", ForgeSettings(type="github"))
    assert found.api_url == "https://[2001:db8::1]/api/v3"


def test_an_enterprise_on_github_has_its_api_beside_itself() -> None:
    found = located("git@octo.ghe.com:shop/deploy", ForgeSettings(type="github"))
    assert found.api_url == "https://api.octo.ghe.com"


def test_settings_say_it_without_a_remote() -> None:
    settings = ForgeSettings(type="forgejo", url="https://git.example.net", project="shop/deploy")
    assert located("/srv/git/x.git", settings).label == "Forgejo (shop/deploy at git.example.net)"
    found = locate_forge("", ForgeSettings(type="forgejo", url="https://git.example.net"), {})
    assert isinstance(found, NoForge)
    assert "which project" in found.why


def test_a_relative_root_is_no_part_of_the_project() -> None:
    settings = ForgeSettings(type="gitlab", url="https://example.net/gitlab")
    assert located("https://example.net/gitlab/shop/deploy.git", settings).project == "shop/deploy"


def test_the_ci_says_what_its_own_server_is() -> None:
    found = located("https://gitlab-ci-token:x@git.example.net/shop/deploy.git", environ=GITLAB_CI)
    assert (found.type, found.url) == ("gitlab", "https://git.example.net")
    assert [one.name for one in found.tokens] == ["GITLAB_TOKEN"]
    actions = {"FORGEJO_ACTIONS": "true", "GITHUB_SERVER_URL": "https://git.example.net/"}
    assert located("https://git.example.net/shop/deploy", environ=actions).type == "forgejo"


def test_a_ci_of_another_server_says_nothing() -> None:
    found = locate_forge("https://other.example.net/shop/deploy", ForgeSettings(), GITLAB_CI)
    assert isinstance(found, NoForge)
    found = locate_forge(
        "https://git.example.net/shop/deploy", ForgeSettings(), {**GITLAB_CI, "CI_SERVER_URL": "nonsense"}
    )
    assert isinstance(found, NoForge)


def test_a_document_cannot_send_a_token_that_it_does_not_name_to_an_address_of_its_choice() -> None:
    evil = ForgeSettings(type="github", url="https://evil.example.net")
    assert located("https://github.com/shop/deploy", evil).tokens == ()
    assert located("https://github.com/shop/deploy", evil, GITLAB_CI).tokens == ()
    named = ForgeSettings(
        type="github", url="https://evil.example.net", token=Reference(source="env", name="BOT")
    )
    assert [one.name for one in located("https://github.com/shop/deploy", named).tokens] == ["BOT"]
    own = ForgeSettings(type="github", url="https://github.com")
    assert located("https://github.com/shop/deploy", own).tokens
    ci = ForgeSettings(type="gitlab", url="https://git.example.net")
    assert located("https://git.example.net/shop/deploy", ci, GITLAB_CI).tokens


@pytest.mark.parametrize(
    ("environ", "event", "number"),
    [
        ({"GITHUB_ACTIONS": "true"}, {"pull_request": {"number": 7}}, 7),
        ({"GITHUB_ACTIONS": "true"}, {}, None),
        ({"GITHUB_ACTIONS": "true"}, {"pull_request": "7"}, None),
        ({"GITLAB_CI": "true", "CI_MERGE_REQUEST_IID": "12"}, {}, 12),
        ({"JENKINS_URL": "https://ci", "CHANGE_ID": "3"}, {}, 3),
        ({"JENKINS_URL": "https://ci", "CHANGE_ID": "-3"}, {}, None),
        ({}, {"pull_request": {"number": 7}}, None),
    ],
)
def test_a_job_knows_its_pull_request(
    environ: dict[str, str], event: dict[str, object], number: int | None
) -> None:
    assert pull_request_number(environ, event) == number
