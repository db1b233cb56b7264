"""Which CI a job runs in, from its variables alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.ci import CiRun, parse_ci

SHA, HEAD = "a" * 40, "b" * 40
GITHUB = {
    "CI": "true",
    "GITHUB_ACTIONS": "true",
    "GITHUB_EVENT_NAME": "push",
    "GITHUB_REF": "refs/heads/production",
    "GITHUB_SHA": SHA,
    "GITHUB_ACTOR": "octocat",
    "GITHUB_SERVER_URL": "https://github.example.net",
    "GITHUB_REPOSITORY": "shop/deploy",
    "GITHUB_RUN_ID": "17",
    "GITHUB_RUN_NUMBER": "4",
    "GITHUB_RUN_ATTEMPT": "2",
    "GITHUB_STEP_SUMMARY": "/home/runner/summary.md",
}
GITLAB = {
    "GITLAB_CI": "true",
    "CI_PIPELINE_SOURCE": "push",
    "CI_COMMIT_BRANCH": "staging",
    "CI_COMMIT_SHA": SHA,
    "GITLAB_USER_LOGIN": "ada",
    "CI_JOB_URL": "https://gitlab.example.net/shop/deploy/-/jobs/9",
}
JENKINS = {
    "JENKINS_URL": "https://ci.example.net/",
    "BRANCH_NAME": "dev",
    "GIT_COMMIT": SHA,
    "BUILD_URL": "https://ci.example.net/job/deploy/job/dev/3/",
    "BUILD_USER_ID": "ada",
}
BITBUCKET = {
    "BITBUCKET_BUILD_NUMBER": "5",
    "BITBUCKET_BRANCH": "dev",
    "BITBUCKET_COMMIT": SHA,
    "BITBUCKET_REPO_FULL_NAME": "shop/deploy",
    "BITBUCKET_STEP_TRIGGERER_UUID": "{0e0e}",
}
AZURE = {
    "TF_BUILD": "True",
    "BUILD_REASON": "IndividualCI",
    "BUILD_SOURCEBRANCH": "refs/heads/env/production",
    "BUILD_SOURCEVERSION": SHA,
    "BUILD_REQUESTEDFOR": "Ada L.",
    "BUILD_BUILDID": "8",
    "SYSTEM_COLLECTIONURI": "https://dev.azure.example.net/shop/",
    "SYSTEM_TEAMPROJECT": "Web shop",
}


def parse(environ: dict[str, str], event: dict[str, Any] | None = None, **overrides: str) -> CiRun:
    return parse_ci({**environ, **overrides}, event or {})


def test_no_known_ci_says_nothing() -> None:
    assert parse({"CI": "true", "GITHUB_SHA": SHA}) == CiRun(name="plain")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (
            GITHUB,
            CiRun(
                name="github",
                actor="octocat",
                commit=SHA,
                branch="production",
                url="https://github.example.net/shop/deploy/actions/runs/17/attempts/2",
                summary_path="/home/runner/summary.md",
            ),
        ),
        (
            GITLAB,
            CiRun(name="gitlab", actor="ada", commit=SHA, branch="staging", url=GITLAB["CI_JOB_URL"]),
        ),
        (JENKINS, CiRun(name="jenkins", actor="ada", commit=SHA, branch="dev", url=JENKINS["BUILD_URL"])),
        (
            BITBUCKET,
            CiRun(
                name="bitbucket",
                actor="{0e0e}",
                commit=SHA,
                branch="dev",
                url="https://bitbucket.org/shop/deploy/pipelines/results/5",
            ),
        ),
        (
            AZURE,
            CiRun(
                name="azure",
                actor="Ada L.",
                commit=SHA,
                branch="env/production",
                url="https://dev.azure.example.net/shop/Web%20shop/_build/results?buildId=8",
            ),
        ),
    ],
    ids=lambda value: value.name if isinstance(value, CiRun) else "",
)
def test_push_job_names_branch_commit_actor_and_link(environ: dict[str, str], expected: CiRun) -> None:
    assert parse(environ) == expected


@pytest.mark.parametrize(
    ("environ", "overrides", "commit"),
    [
        (GITHUB, {"GITHUB_EVENT_NAME": "pull_request", "GITHUB_REF": "refs/pull/7/merge"}, SHA),
        (GITHUB, {"GITHUB_EVENT_NAME": "pull_request_target"}, SHA),
        (GITLAB, {"CI_PIPELINE_SOURCE": "merge_request_event"}, SHA),
        (
            GITLAB,
            {
                "CI_PIPELINE_SOURCE": "merge_request_event",
                "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": HEAD,
            },
            HEAD,
        ),
        (JENKINS, {"CHANGE_ID": "7", "BRANCH_NAME": "PR-7"}, SHA),
        (BITBUCKET, {"BITBUCKET_PR_ID": "7"}, SHA),
        (AZURE, {"BUILD_REASON": "PullRequest", "SYSTEM_PULLREQUEST_SOURCECOMMITID": HEAD}, HEAD),
        (AZURE, {"BUILD_REASON": "PullRequest"}, SHA),
    ],
)
def test_pull_request_has_no_branch_to_deploy(
    environ: dict[str, str], overrides: dict[str, str], commit: str
) -> None:
    run = parse(environ, **overrides)
    assert (run.is_pull_request, run.branch, run.commit) == (True, "", commit)


@pytest.mark.parametrize(
    ("event", "commit"),
    [
        ({"pull_request": {"head": {"sha": HEAD}}}, HEAD),
        ({"pull_request": {"head": {"sha": 1}}}, SHA),
        ({"pull_request": [HEAD]}, SHA),
        ({"pull_request": {"head": {"sha": "$(id)"}}}, SHA),
    ],
)
def test_github_event_names_the_source_commit(event: dict[str, Any], commit: str) -> None:
    assert parse(GITHUB, event, GITHUB_EVENT_NAME="pull_request").commit == commit


@pytest.mark.parametrize(("flag", "name"), [("FORGEJO_ACTIONS", "forgejo"), ("GITEA_ACTIONS", "gitea")])
def test_imitators_of_github_number_their_runs(flag: str, name: str) -> None:
    run = parse(GITHUB, **{flag: "true"})
    assert (run.name, run.url) == (name, "https://github.example.net/shop/deploy/actions/runs/4")


def test_who_ran_a_job_again_is_its_actor() -> None:
    assert parse(GITHUB, GITHUB_TRIGGERING_ACTOR="ada").actor == "ada"


def test_link_needs_a_run() -> None:
    assert parse(GITHUB, GITHUB_RUN_ID="", GITHUB_RUN_ATTEMPT="").url == ""
    assert parse(GITHUB, GITHUB_RUN_ATTEMPT="").url.endswith("/runs/17")
    assert parse(AZURE, BUILD_BUILDID="").url == ""
    assert parse(BITBUCKET, BITBUCKET_REPO_FULL_NAME="").url == ""


@pytest.mark.parametrize(
    ("environ", "overrides"),
    [
        (GITHUB, {"GITHUB_REF": "refs/tags/production"}),
        (AZURE, {"BUILD_SOURCEBRANCH": "refs/tags/production"}),
        (JENKINS, {"TAG_NAME": "dev"}),
        (GITLAB, {"CI_COMMIT_BRANCH": ""}),
    ],
)
def test_tag_is_no_branch(environ: dict[str, str], overrides: dict[str, str]) -> None:
    assert parse(environ, **overrides).branch == ""


def test_jenkins_without_multibranch_has_the_remote_before_the_branch() -> None:
    assert parse(JENKINS, BRANCH_NAME="", GIT_BRANCH="origin/staging").branch == "staging"


@pytest.mark.parametrize(
    "branch", ["prod\u200buction", "production\n", "-x", "two words", "x" * 256, "\udcff", "a\x1b[0m"]
)
def test_branch_that_hides_something_is_none(branch: str) -> None:
    assert parse(GITLAB, CI_COMMIT_BRANCH=branch).branch == ""


def test_hostile_values_do_not_pass() -> None:
    run = parse(
        GITHUB,
        GITHUB_ACTOR="ada\n::set-env name=PATH::/tmp\x1b[2J" + "x" * 500,
        GITHUB_SHA="$(id)",
        GITHUB_SERVER_URL="https://user:secret@example.net",
        GITHUB_STEP_SUMMARY="relative\n",
    )
    assert run.actor.startswith("ada ::set-env")
    assert len(run.actor) == 200
    assert (run.commit, run.url, run.summary_path) == ("", "", "")
    assert parse(GITLAB, CI_JOB_URL="https://x.example.net/" + "a" * 1000).url == ""


@given(
    st.sampled_from([GITHUB, GITLAB, JENKINS, BITBUCKET, AZURE]),
    st.lists(st.text(), min_size=12, max_size=12),
)
def test_no_value_hides_anything(environ: dict[str, str], values: list[str]) -> None:
    hostile = dict(zip(environ, values, strict=False))
    run = parse_ci(
        {**hostile, **{name: "true" for name in environ if name.endswith(("_ACTIONS", "_CI"))}}, {}
    )
    for value in (run.actor, run.commit, run.branch, run.url, run.summary_path):
        assert not any(ord(one) < 32 or 0x7F <= ord(one) < 0xA0 for one in value)
        assert len(value) <= 4096
