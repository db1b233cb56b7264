"""Pull requests, comments, statuses, deployments and approvals at doubles of the forges' APIs.

A double is a real HTTP server that was written from a forge's documentation; `test_gitea_server.py` asks a real forge.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator.core.forge_location import ForgeLocation
from orchestrator.edges.forges.opening import _open
from orchestrator.edges.forges.protocol import Forge
from orchestrator.errors import ForgeError
from tests.edges.forges.double import HEAD, MERGED, TOKEN, Double, reply
from tests.edges.forges.gitea import GiteaDouble
from tests.edges.forges.github import GithubDouble
from tests.edges.forges.gitlab import GitlabDouble

DOUBLES = {"github": GithubDouble, "gitlab": GitlabDouble, "gitea": GiteaDouble}
API = {"github": "/api/v3", "gitlab": "/api/v4", "gitea": "/api/v1"}
MARKDOWN = "<!-- orchestrator plan: production -->\n### Plan for `production`\n\n`a` → `b`\n"


@pytest.fixture(params=sorted(DOUBLES))
def double(request: pytest.FixtureRequest) -> Iterator[Double]:
    with DOUBLES[request.param]() as double:
        yield double


@pytest.fixture
def forge(double: Double) -> Forge:
    return forge_of(double)


def forge_of(double: Double, token: str = TOKEN) -> Forge:
    kind = next(name for name, one in DOUBLES.items() if isinstance(double, one))
    location = ForgeLocation(
        type=kind,  # type: ignore[arg-type]
        url=double.url,
        api_url=double.url + API[kind],
        project=double.PROJECT,
        tokens=(),
    )
    return _open(location, token)


def ensure(forge: Forge, **more: object) -> object:
    wanted = {"source": "promote/qa", "target": "production", "title": "Promote", "body": "**text**", **more}
    return forge.ensure_pull_request(**wanted)  # type: ignore[arg-type]


def test_a_pull_request_is_made_once_and_updated_afterwards(double: Double, forge: Forge) -> None:
    first = forge.ensure_pull_request(source="promote/qa", target="production", title="One", body="old")
    again = forge.ensure_pull_request(source="promote/qa", target="production", title="Two", body="new")
    assert (first.created, again.created) == (True, False)
    assert (first.url, first.number) == (again.url, again.number)
    assert [(one.title, one.body) for one in double.pulls.values()] == [("Two", "new")]


def test_a_pull_request_that_is_right_already_is_left_alone(double: Double, forge: Forge) -> None:
    double.pull("promote/qa", "production", title="Promote", body="**text**\r\n")
    forge.ensure_pull_request(source="promote/qa", target="production", title="Promote", body="**text**\n")
    assert double.writes() == []


def test_a_pull_request_of_a_fork_or_of_other_branches_is_not_taken_for_ours(
    double: Double, forge: Forge
) -> None:
    double.pull("promote/qa", "production", fork=True, author="eve")
    double.pull("promote/qa", "staging")
    double.pull("promote", "production")
    double.pull("promote/qa", "production", state="closed")
    if isinstance(double, GitlabDouble):
        del double.pulls[1]
        double.pulls[9] = double.pull("elsewhere", "production")
    assert forge.find_pull_request(source="promote/qa", target="production") is None


def test_a_pull_request_is_found_behind_many_others(double: Double, forge: Forge) -> None:
    double.page_size = 20
    for number in range(45):
        double.pull(f"feature-{number}", "production")
    double.pull("promote/qa", "production")
    assert forge.find_pull_request(source="promote/qa", target="production") == 46


def test_who_loses_a_race_updates_the_winners_pull_request(double: Double, forge: Forge) -> None:
    def other_job_is_faster(asked: object) -> None:
        if str(asked).startswith("POST") and not double.pulls:
            double.pull("promote/qa", "production", title="theirs")

    double.fault = other_job_is_faster  # type: ignore[assignment]
    made = forge.ensure_pull_request(source="promote/qa", target="production", title="Promote", body="text")
    assert not made.created
    assert [one.title for one in double.pulls.values()] == ["Promote"]


def test_reviewers_are_asked_once_and_unknown_ones_are_named(double: Double, forge: Forge) -> None:
    first = forge.ensure_pull_request(
        source="promote/qa", target="production", title="T", body="", reviewers=("ada", "nobody")
    )
    asked = len(double.writes())
    forge.request_reviewers(first.number, ("ada",))
    assert double.pulls[1].reviewers == ["ada"]
    assert len(double.writes()) == asked
    assert len(first.notes) == 1
    assert "nobody cannot be asked for a review" in first.notes[0]
    assert forge.request_reviewers(first.number, ("bob",)) == ()
    assert double.pulls[1].reviewers == ["ada", "bob"]


def test_the_plan_is_one_comment_that_changes_in_place(double: Double, forge: Forge) -> None:
    double.pull("qa", "production")
    first = forge.plan_comment(1, MARKDOWN)
    second = forge.plan_comment(1, MARKDOWN.replace("`b`", "`c`"))
    assert (first.change, second.change) == ("created", "updated")
    assert first.url == second.url
    assert [one["body"] for one in double.pulls[1].comments] == [MARKDOWN.replace("`b`", "`c`")]


def test_an_unchanged_plan_sends_nothing(double: Double, forge: Forge) -> None:
    double.pull("qa", "production")
    forge.plan_comment(1, MARKDOWN)
    double.pulls[1].comments[0]["body"] = MARKDOWN.replace("\n", "\r\n").rstrip()
    sent = len(double.writes())
    assert forge.plan_comment(1, MARKDOWN).change == "unchanged"
    assert len(double.writes()) == sent


def test_each_environment_has_a_comment_of_its_own(double: Double, forge: Forge) -> None:
    double.pull("qa", "production")
    forge.plan_comment(1, MARKDOWN)
    assert forge.plan_comment(1, MARKDOWN.replace("production", "shop/production", 1)).change == "created"
    assert len(double.pulls[1].comments) == 2


def test_a_strangers_comment_with_our_marker_is_not_ours(double: Double, forge: Forge) -> None:
    """Who wrote a comment can change it later: a plan in a stranger's comment would say what the stranger likes."""
    double.pull("qa", "production").comments.append({"id": 7, "user": "eve", "body": MARKDOWN})
    assert forge.plan_comment(1, MARKDOWN).change == "created"
    assert [one["user"] for one in double.pulls[1].comments] == ["eve", "bot"]


def test_a_comment_is_found_behind_many_others(double: Double, forge: Forge) -> None:
    pull = double.pull("qa", "production")
    pull.comments += [{"id": number, "user": "ada", "body": "hm"} for number in range(150)]
    if isinstance(double, GiteaDouble):
        double.is_paginated = False  # comments of one issue come all at once there
    forge.plan_comment(1, MARKDOWN)
    assert forge.plan_comment(1, MARKDOWN).change == "unchanged"


def test_two_comments_of_two_jobs_become_one(double: Double, forge: Forge) -> None:
    pull = double.pull("qa", "production")
    pull.comments += [{"id": number, "user": "bot", "body": MARKDOWN} for number in (5, 6)]
    forge.plan_comment(1, MARKDOWN)
    assert [one["id"] for one in pull.comments] == [5]


def test_a_plan_that_is_too_long_is_shortened(double: Double, forge: Forge) -> None:
    double.pull("qa", "production")
    forge.plan_comment(1, MARKDOWN + "| row |\n" * 150_000)
    body = double.pulls[1].comments[0]["body"]
    assert "**Shortened:**" in body
    assert len(body) <= (1_000_000 if isinstance(double, GitlabDouble) else 65_536)


@pytest.mark.parametrize("kind", ["github", "gitea"])
def test_a_jobs_own_token_finds_its_comment_again(kind: str) -> None:
    with DOUBLES[kind]() as double:
        double.is_actions, double.me = True, "github-actions[bot]"  # type: ignore[attr-defined]
        double.users.append(double.me)
        double.pull("qa", "production")
        forge = forge_of(double)
        forge.plan_comment(1, MARKDOWN)
        assert forge.plan_comment(1, MARKDOWN).change == "unchanged"


def test_a_commit_has_a_status_however_often_it_is_said(double: Double, forge: Forge) -> None:
    for state in ("pending", "pending", "success", "success"):
        forge.commit_status(
            HEAD,
            state=state,
            context="orchestrator/production",
            description="x" * 500,
            url="https://ci.example.net/1",  # type: ignore[arg-type]
        )
    states = [one["state"] for one in double.statuses]
    assert list(dict.fromkeys(states)) == [
        "running" if isinstance(double, GitlabDouble) else "pending",
        "success",
    ]
    assert {one["commit"] for one in double.statuses} == {HEAD}


def test_a_deployment_is_one_entry_that_goes_on(double: Double, forge: Forge) -> None:
    notes = [
        forge.deployment(HEAD, branch="production", environment="production", state=state)  # type: ignore[arg-type]
        for state in ("in_progress", "success")
    ]
    if isinstance(double, GiteaDouble):
        assert notes == ["Gitea and Forgejo keep no list of deployments; the commit's status says it"] * 2
        return
    assert notes == ["", ""]
    began = "running" if isinstance(double, GitlabDouble) else "in_progress"
    assert [one["states"] for one in double.deployments] == [[began, "success"]]


def test_a_job_with_an_environment_of_github_is_not_entered_twice() -> None:
    with GithubDouble() as double:
        double.deployments.append(
            {"id": 1, "sha": HEAD, "environment": "dev", "creator": "github-actions[bot]", "states": []}
        )
        note = forge_of(double).deployment(HEAD, branch="dev", environment="dev", state="in_progress")
        assert note == "GitHub Actions made an entry for it itself"
        assert double.writes() == []


def test_a_job_with_an_environment_of_gitlab_is_not_entered_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITLAB_CI", "true")
    monkeypatch.setenv("CI_ENVIRONMENT_NAME", "dev")
    with GitlabDouble() as double:
        note = forge_of(double).deployment(HEAD, branch="dev", environment="dev", state="in_progress")
        assert note == "GitLab makes an entry for this job itself"
        assert double.asked == []


def approved(double: Double, *reviews: tuple[str, str], **more: object) -> list[str]:
    """Whose approvals count of these reviews (user, state), in this order."""
    pull = double.pull("qa", "production", state="merged", merge_commit=MERGED, author="bot")
    pull.reviews += [
        {"user": user, "state": state, "at": "2026-11-01T11:00:00Z", **more} for user, state in reviews
    ]
    return [one.user for one in forge_of(double).approvals(MERGED)]


def test_approvals_of_what_was_merged_count(double: Double) -> None:
    assert approved(double, ("ada", "APPROVED"), ("bob", "APPROVED")) == ["ada", "bob"]
    found = forge_of(double).approvals(MERGED)[0]
    assert (found.number, found.branch, found.head) == (1, "production", HEAD)


def test_the_authors_own_approval_does_not_count(double: Double) -> None:
    assert approved(double, ("bot", "APPROVED"), ("ada", "APPROVED")) == ["ada"]


def test_an_approval_of_somebody_who_may_not_write_does_not_count(double: Double) -> None:
    assert approved(double, ("eve", "APPROVED")) == []


def test_an_approval_of_an_older_push_does_not_count(double: Double) -> None:
    if isinstance(double, GitlabDouble):
        assert approved(double, ("ada", "APPROVED"), at="2026-11-01T09:59:59Z") == []
    else:
        assert approved(double, ("ada", "APPROVED"), commit="e" * 40) == []


def test_a_commit_that_no_pull_request_made_has_no_approvals(double: Double, forge: Forge) -> None:
    double.pull("qa", "production", merge_commit=MERGED).reviews.append(
        {"user": "ada", "state": "APPROVED", "at": ""}
    )
    assert forge.approvals(MERGED) == ()
    assert forge.approvals("d" * 40) == ()


@pytest.mark.parametrize("kind", ["github", "gitea"])
@pytest.mark.parametrize("later", ["CHANGES_REQUESTED", "COMMENTED"])
def test_a_withdrawn_approval_does_not_count_and_a_comment_withdraws_none(kind: str, later: str) -> None:
    with DOUBLES[kind]() as double:
        kept = ["ada"] if later == "COMMENTED" else []
        assert approved(double, ("ada", "APPROVED"), ("ada", later)) == kept


def test_an_old_gitlab_says_in_notes_when_somebody_approved() -> None:
    for at, expected in (("2026-11-01T11:00:00.000Z", ["ada"]), ("2026-11-01T09:00:00.000Z", [])):
        with GitlabDouble() as double:
            double.says_when = False
            double.pull("x", "y")
            said = {"id": 1, "user": "ada", "body": "approved this merge request", "system": True, "at": at}
            forged = {
                "id": 2,
                "user": "bob",
                "body": "approved this merge request",
                "at": "2026-11-01T12:00:00Z",
            }
            double.pulls[2] = double.pull("z", "y")
            pull = double.pull("qa", "production", state="merged", merge_commit=MERGED)
            pull.comments += [said, forged]
            pull.reviews += [{"user": user, "state": "APPROVED"} for user in ("ada", "bob")]
            assert [one.user for one in forge_of(double).approvals(MERGED)] == expected


def test_an_answer_that_is_none_of_the_forges_is_no_approval(double: Double, forge: Forge) -> None:
    double.fault = lambda asked: reply(200, {"message": "hello"})
    try:
        assert forge.approvals(MERGED) == ()
    except ForgeError as error:
        assert "answers other than it should" in error.brief
