"""`plan --comment` and `deploy` at a forge, and at none: the real commands, and doubles of the forges' APIs."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.edges.deliveries import DEPLOY, Delivery
from tests.edges.forges.double import TOKEN, Asked, Double, reply
from tests.edges.forges.github import GithubDouble
from tests.edges.forges.gitlab import GitlabDouble
from tests.edges.remotes import git

FORGE_TOKEN = {"FORGE_TOKEN": TOKEN}


@pytest.fixture
def double() -> Iterator[Double]:
    with GithubDouble() as double:
        yield double


def delivery_at(directory: Path, url: str, type: str = "github", more: str = "") -> Delivery:
    settings = f'[forge]\ntype = "{type}"\nurl = "{url}"\nproject = "shop/deploy"\n'
    return Delivery(directory, settings=f'{settings}token = {{ env = "FORGE_TOKEN" }}\n{more}', hosts=1)


def feature(delivery: Delivery, name: str = "feature") -> Path:
    """A clone in which a pull request of `dev` is checked out, as a CI has it."""
    delivery.release("1.0")
    clone = delivery.clone("ci")
    git(clone, "switch", "--quiet", "--create", name)
    manifest = json.loads((clone / "manifest.json").read_text())
    manifest["applications"]["site"]["version"] = "2.0"
    (delivery.artifacts / "site-2.0.txt").write_text("2.0\n")
    (clone / "manifest.json").write_text(json.dumps(manifest))
    git(
        clone,
        "-c",
        "user.name=Ada",
        "-c",
        "user.email=a@example.net",
        "commit",
        "--quiet",
        "--all",
        "-m",
        "two",
    )
    git(clone, "push", "--quiet", "origin", name)
    return clone


def comment(delivery: Delivery, clone: Path, *arguments: str, **options: Any) -> str:
    environ = {**FORGE_TOKEN, **options.pop("environ", {})}
    plan = ("plan", "--base", "dev", "--comment", *arguments)
    return delivery.run(clone, *plan, environ=environ, **options)


def test_the_plan_becomes_one_comment_that_stays_quiet(directory: Path, double: Double) -> None:
    delivery = delivery_at(directory, double.url)
    clone = feature(delivery)
    double.pull("feature", "dev")
    said = comment(delivery, clone, "--head", "feature")
    assert f"comment created: {double.url}/shop/deploy/pull/1#issuecomment-" in said
    assert "comment unchanged" in comment(delivery, clone, "1", "--format", "markdown")
    bodies = [one["body"] for one in double.pulls[1].comments]
    assert len(bodies) == 1
    assert bodies[0].startswith("<!-- orchestrator plan: dev -->\n### Plan for `dev`")
    assert "| `site` |" in bodies[0]
    assert TOKEN not in said


def test_a_job_knows_which_pull_request_it_is_about(directory: Path) -> None:
    with GitlabDouble() as double:
        delivery = delivery_at(directory, double.url, "gitlab")
        clone = feature(delivery)
        double.pull("other", "dev")
        double.pull("feature", "dev")
        job = {"GITLAB_CI": "true", "CI_MERGE_REQUEST_IID": "2"}
        comment(delivery, clone, environ=job)
        assert [len(one.comments) for one in double.pulls.values()] == [0, 1]
        assert double.obeyed == []


def test_a_plan_that_cannot_be_is_commented_and_still_ends_with_its_own_code(
    directory: Path, double: Double
) -> None:
    delivery = delivery_at(directory, double.url)
    clone = feature(delivery)
    (delivery.artifacts / "site-2.0.txt").unlink()
    double.pull("feature", "dev")
    comment(delivery, clone, "--head", "feature", expect=13)
    assert "This cannot be deployed as it is" in double.pulls[1].comments[0]["body"]
    double.fault = lambda asked: reply(500, {"message": "no"})
    said = comment(delivery, clone, "--head", "feature", expect=13)
    assert "the plan could not be posted" in said


def test_settings_of_the_pull_request_do_not_say_where_the_token_goes(
    directory: Path, double: Double
) -> None:
    delivery = delivery_at(directory, double.url)
    clone = feature(delivery)
    double.pull("feature", "dev")
    with socket.create_server(("127.0.0.1", 0)) as evil:
        settings = clone / "orchestrator.toml"
        settings.write_text(
            settings.read_text().replace(double.url, f"http://127.0.0.1:{evil.getsockname()[1]}")
        )
        git(
            clone,
            "-c",
            "user.name=Eve",
            "-c",
            "user.email=e@example.net",
            "commit",
            "--quiet",
            "--all",
            "-m",
            "evil",
        )
        comment(delivery, clone, "1")
        evil.setblocking(False)
        with pytest.raises(BlockingIOError):
            evil.accept()
    assert len(double.pulls[1].comments) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("plan", "--comment"), "--comment is for a pull request"),
        (("plan", "--base", "dev", "--comment", "seven"), "takes the pull request's number"),
        (("plan", "--base", "dev", "--comment", "--offline"), "--comment and --offline exclude each other"),
        (
            ("plan", "--base", "dev", "--comment", "-a", "site"),
            "--comment and --application exclude each other",
        ),
    ],
)
def test_a_comment_that_cannot_be_is_refused(directory: Path, arguments: tuple[str, ...], said: str) -> None:
    delivery = Delivery(directory, hosts=1)
    delivery.release("1.0")
    assert said in delivery.run(delivery.work, *arguments, expect=64)


def test_a_pull_request_that_nobody_knows_is_an_error(directory: Path, double: Double) -> None:
    delivery = delivery_at(directory, double.url)
    said = comment(delivery, feature(delivery), "--head", "feature", expect=40)
    assert "--comment NUMBER" in said


def test_plain_git_does_everything_but_comments_and_pull_requests(directory: Path) -> None:
    delivery = Delivery(directory, hosts=1)
    clone = feature(delivery)
    assert "site" in delivery.run(clone, "plan", "--base", "dev", "--head", "feature", "--format", "markdown")
    said = comment(delivery, clone, "1", expect=40)
    assert "the repository has no remote at a forge" in said
    assert "[forge]" in said
    said = delivery.run(clone, *DEPLOY, environ={"GITHUB_TOKEN": TOKEN, "GITLAB_TOKEN": TOKEN})
    assert "forge" not in said
    assert delivery.live("web1") == "1.0"
    assert [one["verdict"] for one in delivery.history(clone)] == ["success"]


def test_a_deployment_is_told_to_its_forge(directory: Path, double: Double) -> None:
    delivery = delivery_at(directory, double.url)
    commit = delivery.release("1.0")
    delivery.run(delivery.clone("ci"), *DEPLOY, environ=FORGE_TOKEN)
    assert [(one["commit"], one["context"], one["state"]) for one in double.statuses] == [
        (commit, "orchestrator/dev", "pending"),
        (commit, "orchestrator/dev", "success"),
    ]
    assert double.statuses[1]["description"] == "1 deployed"
    assert [(one["environment"], one["states"]) for one in double.deployments] == [
        ("dev", ["in_progress", "success"])
    ]


def test_a_deployment_that_fails_before_its_plan_is_told_too(directory: Path, double: Double) -> None:
    delivery = delivery_at(directory, double.url)
    delivery.release("1.0", publish=False)
    delivery.run(delivery.clone("ci"), *DEPLOY, environ=FORGE_TOKEN, expect=13)
    assert [one["state"] for one in double.statuses] == ["failure"]
    assert double.deployments == []


def test_a_dry_run_and_a_forge_that_is_not_to_be_told_hear_nothing(directory: Path, double: Double) -> None:
    delivery = delivery_at(directory, double.url, more="report = false\n")
    delivery.release("1.0")
    clone = delivery.clone("ci")
    delivery.run(clone, *DEPLOY, "--check", environ=FORGE_TOKEN)
    delivery.run(clone, *DEPLOY, environ=FORGE_TOKEN)
    assert double.asked == []


@pytest.mark.parametrize("how", ["away", "refuses", "without token"])
def test_a_forge_that_cannot_be_told_fails_no_deployment(directory: Path, double: Double, how: str) -> None:
    answers = {
        "refuses": reply(403, {"message": f"token {TOKEN} may not"}),
    }
    double.fault = lambda asked: answers.get(how)
    url = "http://127.0.0.1:9" if how == "away" else double.url
    delivery = delivery_at(directory, url)
    delivery.release("1.0")
    clone = delivery.clone("ci")
    said = delivery.run(clone, *DEPLOY, environ={} if how == "without token" else FORGE_TOKEN)
    assert "note: the forge was not told: " in said
    assert delivery.live("web1") == "1.0"
    record = delivery.history(clone)[0]
    assert any(reason.startswith("the forge was not told: ") for reason in record["reasons"])
    assert TOKEN not in said + json.dumps(record)


def test_a_slow_forge_holds_no_host_up(directory: Path, double: Double) -> None:
    """It hears of the beginning while hosts work, and nobody waits for that."""
    delivery = delivery_at(directory, double.url)
    delivery.release("1.0")
    live: list[bool] = []

    def answer_only_when_it_is_live(asked: Asked) -> None:
        if asked.method == "POST" and not live:
            for _ in range(600):
                if delivery.live("web1") == "1.0":
                    break
                __import__("time").sleep(0.02)
            live.append(delivery.live("web1") == "1.0")

    double.fault = answer_only_when_it_is_live  # type: ignore[assignment]
    delivery.run(delivery.clone("ci"), *DEPLOY, environ=FORGE_TOKEN)
    assert live == [True]
    assert [one["state"] for one in double.statuses] == ["pending", "success"]


def test_a_missing_library_is_named_with_the_command_that_installs_it(
    directory: Path, double: Double
) -> None:
    delivery = delivery_at(directory, double.url)
    clone = feature(delivery)
    hidden = directory / "hidden"
    (hidden / "github").mkdir(parents=True)
    (hidden / "github" / "__init__.py").write_text("raise ImportError('not there')\n")
    path = f"{hidden}:{delivery.environ()['PYTHONPATH']}"
    said = comment(delivery, clone, "1", environ={"PYTHONPATH": path}, expect=40)
    assert 'pip install "gitops-orchestrator[forges]"' in said
    said = delivery.run(clone, *DEPLOY, environ={**FORGE_TOKEN, "PYTHONPATH": path})
    assert "note: the forge was not told: PyGithub" in said
    assert delivery.live("web1") == "1.0"


def test_no_library_of_a_forge_is_imported_without_need() -> None:
    import subprocess

    code = (
        "import sys, orchestrator.edges.forges, orchestrator.forge_report, orchestrator.cli.deploy;"
        "print([name for name in ('github', 'gitlab', 'pyforgejo', 'requests') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_a_job_of_a_fork_may_not_comment_and_does_not_fail_for_that(directory: Path, double: Double) -> None:
    delivery = delivery_at(directory, double.url)
    clone = feature(delivery)
    double.fault = lambda asked: reply(403, {"message": "Resource not accessible by integration"})
    event = directory / "event.json"
    job = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_PATH": str(event)}
    for fork, code in (("eve/deploy", 0), ("shop/deploy", 40)):
        sides = {"head": {"repo": {"full_name": fork}}, "base": {"repo": {"full_name": "shop/deploy"}}}
        event.write_text(json.dumps({"pull_request": {"number": 1, **sides}}))
        said = comment(delivery, clone, environ=job, expect=code)
        assert "does not allow this to the token" in said


def test_a_commit_is_deployed_once_its_pull_request_was_approved(directory: Path, double: Double) -> None:
    delivery = delivery_at(directory, double.url, more="[protection.dev]\napprovals = 1\n")
    delivery.release("1.0")
    clone = delivery.clone("ci")
    delivery.run(clone, *DEPLOY, environ=FORGE_TOKEN)
    commit = delivery.release("2.0")
    said = delivery.run(clone, *DEPLOY, expect=43, environ=FORGE_TOKEN)
    assert "the protection of dev refuses this deployment: approvals" in said
    pull = double.pull("feature", "dev", state="merged", merge_commit=commit, author="bot")
    pull.reviews.append({"user": "bot", "state": "APPROVED", "at": "2026-11-01T11:00:00Z"})
    delivery.run(clone, *DEPLOY, expect=43, environ=FORGE_TOKEN)
    pull.reviews.append({"user": "ada", "state": "APPROVED", "at": "2026-11-01T11:00:00Z"})
    delivery.run(clone, *DEPLOY, environ=FORGE_TOKEN)


def test_set_opens_one_pull_request_and_updates_it(directory: Path, double: Double) -> None:
    delivery = delivery_at(directory, double.url)
    delivery.release("1.0")
    clone = delivery.clone("ci")
    for version, said in (("2.0", "opened"), ("3.0", "updated")):
        (delivery.artifacts / f"site-{version}.txt").write_text(version)
        command = ("set", f"site={version}", "--branch", "dev", "--pr", "--reviewer", "ada")
        assert f"pull request {said}: " in delivery.run(clone, *command, environ=FORGE_TOKEN)
    (pull,) = double.pulls.values()
    assert (pull.source, pull.target) == ("orchestrator/set/dev/site", "dev")
    assert "3.0" in pull.title
