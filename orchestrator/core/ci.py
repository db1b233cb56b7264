"""Which CI a job runs in, and what its documented variables say about it.

Sources: GitHub "Variables reference", GitLab "Predefined CI/CD variables", Jenkins' `env-vars.html` of
multibranch projects, Bitbucket "Variables and secrets", Azure "Predefined variables", Forgejo and Gitea
Actions (which set GitHub's names as well as a flag of their own).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from orchestrator.core.hidden_text import HIDDEN, one_line
from orchestrator.core.urls import url_problem

CiName = Literal["github", "gitlab", "jenkins", "bitbucket", "azure", "forgejo", "gitea", "plain"]

MAX_TEXT_CHARACTERS = 200
MAX_BRANCH_CHARACTERS = 255
MAX_URL_CHARACTERS = 1000
MAX_PATH_CHARACTERS = 4096

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_HEADS = "refs/heads/"


@dataclass(frozen=True, slots=True, kw_only=True)
class CiRun:
    """The job that this command runs in; every field is empty where the CI does not say it.

    Attributes:
        actor: who set the job off.
        commit: of a pull request its source's commit where the CI tells it, else what is checked out.
        branch: the branch that was pushed; empty for pull requests and tags.
        url: of the job or the run.
        summary_path: the file that takes a Markdown summary.
    """

    name: CiName
    actor: str = ""
    commit: str = ""
    branch: str = ""
    url: str = ""
    summary_path: str = ""
    is_pull_request: bool = False


def parse_ci(environ: Mapping[str, str], event: Mapping[str, Any]) -> CiRun:
    """Return the job that these variables describe. They are foreign: nothing hidden or unbounded passes.

    Args:
        event: the payload of GITHUB_EVENT_PATH, or nothing.
    """
    match name_of(environ):
        case "github" | "forgejo" | "gitea" as name:
            return _github(environ, event, name)
        case "gitlab":
            return _gitlab(environ)
        case "azure":
            return _azure(environ)
        case "bitbucket":
            return _bitbucket(environ)
        case "jenkins":
            return _jenkins(environ)
        case _:
            return CiRun(name="plain")


def name_of(environ: Mapping[str, str]) -> CiName:
    """Return the CI whose own flag is set; the imitators of GitHub come before GitHub."""
    if environ.get("FORGEJO_ACTIONS") == "true":
        return "forgejo"
    if environ.get("GITEA_ACTIONS") == "true":
        return "gitea"
    if environ.get("GITHUB_ACTIONS") == "true":
        return "github"
    if environ.get("GITLAB_CI") == "true":
        return "gitlab"
    if environ.get("TF_BUILD", "").lower() == "true":
        return "azure"
    if environ.get("BITBUCKET_BUILD_NUMBER"):
        return "bitbucket"
    if environ.get("JENKINS_URL") or environ.get("JENKINS_HOME"):
        return "jenkins"
    return "plain"


def _github(environ: Mapping[str, str], event: Mapping[str, Any], name: CiName) -> CiRun:
    # GITHUB_SHA of a pull request is a merge commit made by the forge; with pull_request_target it is the
    # target's tip and GITHUB_REF the target's branch. Only the event's payload names the source's commit.
    is_pull_request = environ.get("GITHUB_EVENT_NAME", "").startswith("pull_request")
    run, server = environ.get("GITHUB_RUN_ID", ""), environ.get("GITHUB_SERVER_URL", "")
    tail = f"{run}/attempts/{environ['GITHUB_RUN_ATTEMPT']}" if environ.get("GITHUB_RUN_ATTEMPT") else run
    if name != "github":
        tail = environ.get("GITHUB_RUN_NUMBER", "")
    url = f"{server}/{environ.get('GITHUB_REPOSITORY', '')}/actions/runs/{tail}"
    return CiRun(
        name=name,
        actor=_text(environ.get("GITHUB_TRIGGERING_ACTOR") or environ.get("GITHUB_ACTOR", "")),
        commit=_commit(_source_commit(event) if is_pull_request else "", environ.get("GITHUB_SHA", "")),
        branch="" if is_pull_request else _branch(environ.get("GITHUB_REF", ""), required=_HEADS),
        url=_url(url if tail else ""),
        summary_path=_path(environ.get("GITHUB_STEP_SUMMARY", "")),
        is_pull_request=is_pull_request,
    )


def _source_commit(event: Mapping[str, Any]) -> str:
    found: Any = event
    for key in ("pull_request", "head", "sha"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) else ""


def _gitlab(environ: Mapping[str, str]) -> CiRun:
    # CI_COMMIT_BRANCH is not set in pipelines of merge requests and tags.
    # The source's commit is only set for merged results; otherwise CI_COMMIT_SHA already is the source's.
    source = environ.get("CI_PIPELINE_SOURCE", "")
    is_pull_request = source in ("merge_request_event", "external_pull_request_event")
    return CiRun(
        name="gitlab",
        actor=_text(environ.get("GITLAB_USER_LOGIN", "")),
        commit=_commit(
            environ.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA", "") if is_pull_request else "",
            environ.get("CI_COMMIT_SHA", ""),
        ),
        branch="" if is_pull_request else _branch(environ.get("CI_COMMIT_BRANCH", "")),
        url=_url(environ.get("CI_JOB_URL", "")),
        is_pull_request=is_pull_request,
    )


def _azure(environ: Mapping[str, str]) -> CiRun:
    is_pull_request = environ.get("BUILD_REASON") == "PullRequest"
    collection = environ.get("SYSTEM_COLLECTIONURI", "").rstrip("/")
    project, build = (
        quote(environ.get("SYSTEM_TEAMPROJECT", ""), "", errors="replace"),
        environ.get("BUILD_BUILDID", ""),
    )
    return CiRun(
        name="azure",
        actor=_text(environ.get("BUILD_REQUESTEDFOREMAIL") or environ.get("BUILD_REQUESTEDFOR", "")),
        commit=_commit(
            environ.get("SYSTEM_PULLREQUEST_SOURCECOMMITID", "") if is_pull_request else "",
            environ.get("BUILD_SOURCEVERSION", ""),
        ),
        branch="" if is_pull_request else _branch(environ.get("BUILD_SOURCEBRANCH", ""), required=_HEADS),
        url=_url(f"{collection}/{project}/_build/results?buildId={build}" if build else ""),
        is_pull_request=is_pull_request,
    )


def _bitbucket(environ: Mapping[str, str]) -> CiRun:
    is_pull_request = bool(environ.get("BITBUCKET_PR_ID"))
    name, build = environ.get("BITBUCKET_REPO_FULL_NAME", ""), environ.get("BITBUCKET_BUILD_NUMBER", "")
    return CiRun(
        name="bitbucket",
        actor=_text(environ.get("BITBUCKET_STEP_TRIGGERER_UUID", "")),
        commit=_commit("", environ.get("BITBUCKET_COMMIT", "")),
        branch="" if is_pull_request else _branch(environ.get("BITBUCKET_BRANCH", "")),
        url=_url(f"https://bitbucket.org/{name}/pipelines/results/{build}" if name else ""),
        is_pull_request=is_pull_request,
    )


def _jenkins(environ: Mapping[str, str]) -> CiRun:
    # BRANCH_NAME is PR-24 for a change request and the tag's name for a tag. Outside of multibranch
    # projects there is only GIT_BRANCH, with the remote's name in front.
    is_pull_request = bool(environ.get("CHANGE_ID"))
    branch = environ.get("BRANCH_NAME") or environ.get("GIT_BRANCH", "").removeprefix("origin/")
    return CiRun(
        name="jenkins",
        actor=_text(environ.get("BUILD_USER_ID") or environ.get("CHANGE_AUTHOR", "")),
        commit=_commit("", environ.get("GIT_COMMIT", "")),
        branch="" if is_pull_request or environ.get("TAG_NAME") else _branch(branch),
        url=_url(environ.get("BUILD_URL", "")),
        is_pull_request=is_pull_request,
    )


def _text(value: str) -> str:
    return one_line(value)[:MAX_TEXT_CHARACTERS]


def _commit(preferred: str, other: str) -> str:
    return next((value for value in (preferred, other) if _COMMIT.fullmatch(value)), "")


def _branch(value: str, *, required: str = "") -> str:
    """Return the branch, or nothing: a name that had to be mended could be that of another branch."""
    if required and not value.startswith(required):
        return ""
    name = value.removeprefix(_HEADS)
    hidden = HIDDEN.search(name) or " " in name or name.startswith("-")
    return "" if hidden or len(name) > MAX_BRANCH_CHARACTERS else name


def _url(value: str) -> str:
    return "" if len(value) > MAX_URL_CHARACTERS or url_problem(value, query=True) else value


def _path(value: str) -> str:
    good = value.startswith("/") and len(value) <= MAX_PATH_CHARACTERS and not HIDDEN.search(value)
    return value if good else ""
