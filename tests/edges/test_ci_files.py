"""The commands of the CI files that `orchestrator init` writes, run for real.

A bare repository, clones as CI makes them, an artifact directory, a host that is this machine. What installs
the orchestrator is not run; it has to be exactly what is expected.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from orchestrator import __version__
from tests.edges.forges.double import TOKEN, Double
from tests.edges.forges.github import GithubDouble
from tests.edges.forges.gitlab import GitlabDouble

ROOT = Path(__file__).resolve().parent.parent.parent
PLAIN_INSTALL = f'pip install --quiet "gitops-orchestrator=={__version__}"'
INSTALL = PLAIN_INSTALL.replace("==", "[forges]==")
ENVIRONMENTS = ("dev", "staging", "production")


@dataclass(frozen=True, slots=True)
class Step:
    """One command line of a CI file, in the shell that the CI uses, with the variables it adds."""

    script: str
    shell: tuple[str, ...]
    environ: dict[str, str] = field(default_factory=dict)


class Forge:
    """A git host with one deployment repository, and runners that clone it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.origin = directory / "origin.git"
        self.work = directory / "shop-deploy"
        self.home = directory / "home"
        self.home.mkdir()
        (self.home / ".gitconfig").write_text("[user]\nname = CI\nemail = ci@example.net\n")
        binaries = directory / "bin"
        binaries.mkdir()
        self.program = binaries / "orchestrator"
        self.program.write_text(f'#!/bin/sh\nexec {sys.executable} -m orchestrator "$@"\n')
        self.program.chmod(0o755)
        self.environ = {
            "PATH": f"{binaries}:/usr/bin:/bin",
            "HOME": str(self.home),
            "ORCHESTRATOR_STATE_DIRECTORY": str(self.home / "state"),
            "PYTHONPATH": str(ROOT),
            "GIT_CONFIG_NOSYSTEM": "1",
            "CI": "true",
        }
        self.shell(f"git init --quiet --bare --initial-branch=dev {self.origin}", directory)
        # Hosts are this machine: a name of its own keeps their receipts apart from those of other runs.
        name = f"ci-{uuid.uuid4().hex[:12]}"
        self.shell(f"orchestrator init shop-deploy --application shop --name {name}", directory)
        self._make_reachable()

    def _make_reachable(self) -> None:
        """The placeholders become this machine and a directory of artifacts, on every branch."""
        artifacts = self.directory / "artifacts" / "shop"
        artifacts.mkdir(parents=True)
        self.publish("1.0.0")
        settings = self.work / "orchestrator.toml"
        text = settings.read_text()
        replaced = re.sub(
            r"(?s)type = \"nexus\".*?\n\n",
            f'type = "directory"\npath = "{self.directory}/artifacts"\n\n',
            text,
        )
        assert replaced != text
        settings.write_text(replaced)
        for name in ENVIRONMENTS:
            path = self.work / "inventories" / f"{name}-env.json"
            document = json.loads(path.read_text())
            del document["defaults"]
            (self.directory / "srv" / name).mkdir(parents=True)
            for host in document["hosts"].values():
                del host["address"]
                host |= {"connection": "local", "python": sys.executable}
            document["applications"]["shop"] = {
                "hosts": ["web"],
                "deployment_path": f"{self.directory}/srv/{name}/{{host}}",
            }
            path.write_text(json.dumps(document, indent=2) + "\n")
        self.shell("git commit --quiet --all --message 'Name the hosts'", self.work)
        self.shell("git branch --force staging && git branch --force production", self.work)
        self.shell(f"git remote add origin {self.origin}", self.work)
        self.shell("git push --quiet origin dev staging production", self.work)

    def publish(self, version: str) -> None:
        """A version's artifact is in the repository."""
        content = self.directory / "content"
        content.mkdir(exist_ok=True)
        (content / "index.html").write_text(f"{version}\n")
        name = str(self.directory / "artifacts" / "shop" / f"shop-{version}")
        shutil.make_archive(name, "zip", content)

    def shell(self, command: str, directory: Path) -> str:
        done = subprocess.run(
            ["sh", "-ec", command],
            cwd=directory,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def release(self, version: str, branch: str) -> None:
        """The manifest asks for the version, on that branch at the git host."""
        self.shell(f"git checkout --quiet -B {branch} origin/dev", self.work)
        manifest = self.work / "manifest.json"
        manifest.write_text(manifest.read_text().replace("1.0.0", version))
        self.shell(f"git commit --quiet --all --message 'Release {version}'", self.work)
        self.shell(f"git push --quiet --force origin {branch}", self.work)

    def commit_of(self, branch: str) -> str:
        return self.shell(f"git rev-parse refs/heads/{branch}", self.origin).strip()

    def checkout(self, branch: str) -> Path:
        """A clone as runners make it: at the commit, without a local branch."""
        path = self.directory / "runner"
        shutil.rmtree(path, ignore_errors=True)
        self.shell(f"git clone --quiet {self.origin} {path}", self.directory)
        self.shell(f"git checkout --quiet --detach origin/{branch} && git branch --quiet -D dev", path)
        (path / ".venv" / "bin").mkdir(parents=True)
        (path / ".venv" / "bin" / "orchestrator").symlink_to(self.program)
        return path

    def run(self, steps: list[Step], clone: Path, environ: dict[str, str], *, expect: int = 0) -> str:
        """The steps one after the other until one fails, which all of `expect` but 0 have to."""
        said, code = "", 0
        for step in steps:
            done = subprocess.run(
                [*step.shell, step.script],
                cwd=clone,
                env={**self.environ, **environ, **step.environ},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                stdin=subprocess.DEVNULL,
            )
            said, code = said + done.stdout, done.returncode
            if code:
                break
        assert code == expect, said
        assert "Traceback" not in said
        return said

    def live(self, environment: str, host: str = "web1") -> str:
        path = self.directory / "srv" / environment / host / "current" / "index.html"
        return path.read_text().strip() if path.exists() else ""


class GitHub:
    """`.github/workflows/deploy.yml` as GitHub's runner runs it."""

    name = "github"
    actor = "octocat"
    summary = "summary.md"

    def push(self, forge: Forge, clone: Path, branch: str) -> dict[str, str]:
        return {
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": "push",
            "GITHUB_REF": f"refs/heads/{branch}",
            "GITHUB_REF_NAME": branch,
            "GITHUB_SHA": forge.commit_of(branch),
            "GITHUB_ACTOR": self.actor,
            "GITHUB_SERVER_URL": "https://github.example.net",
            "GITHUB_REPOSITORY": "shop/deploy",
            "GITHUB_RUN_ID": "17",
            "GITHUB_STEP_SUMMARY": str(clone / self.summary),
        }

    def pull_request(self, forge: Forge, clone: Path, base: str, head: str) -> dict[str, str]:
        return {
            **self.push(forge, clone, head),
            "GITHUB_EVENT_NAME": "pull_request",
            "GITHUB_REF": "refs/pull/7/merge",
            "GITHUB_REF_NAME": "7/merge",
            "GITHUB_BASE_REF": base,
            "HEAD": forge.commit_of(head),
        }

    def steps(self, clone: Path, job: str, environ: dict[str, str]) -> list[Step]:
        workflow = yaml.safe_load((clone / ".github" / "workflows" / "deploy.yml").read_text())
        contexts = {
            "github.event.pull_request.head.sha": environ.get("HEAD", ""),
            "github.token": environ.get("API_TOKEN", ""),
            "secrets.NEXUS_READER_PASSWORD": "reader-secret",
            "secrets.NEXUS_PASSWORD": "nexus-secret",
            "secrets.DEPLOY_SSH_KEY": "key-secret",
        }
        steps = [step for step in workflow["jobs"][job]["steps"] if "run" in step]
        assert steps[0]["run"] == INSTALL
        return [
            Step(
                step["run"],
                ("bash", "-ec"),
                {
                    name: re.sub(r"\$\{\{ (.*?) \}\}", lambda found: contexts[found[1]], value)
                    for name, value in step.get("env", {}).items()
                },
            )
            for step in steps[1:]
        ]


class GitLab:
    """`.gitlab-ci.yml` as GitLab's runner runs it."""

    name = "gitlab"
    actor = "ada"
    summary = "reports/summary.md"

    def push(self, forge: Forge, clone: Path, branch: str) -> dict[str, str]:
        return {
            "GITLAB_CI": "true",
            "CI_PIPELINE_SOURCE": "push",
            "CI_COMMIT_BRANCH": branch,
            "CI_COMMIT_REF_NAME": branch,
            "CI_COMMIT_SHA": forge.commit_of(branch),
            "GITLAB_USER_LOGIN": self.actor,
            "CI_JOB_URL": "https://gitlab.example.net/shop/deploy/-/jobs/9",
            "NEXUS_PASSWORD": "nexus-secret",
            "DEPLOY_SSH_KEY": "key-secret",
        }

    def pull_request(self, forge: Forge, clone: Path, base: str, head: str) -> dict[str, str]:
        environ = {**self.push(forge, clone, head), "CI_PIPELINE_SOURCE": "merge_request_event"}
        del environ["CI_COMMIT_BRANCH"], environ["DEPLOY_SSH_KEY"]
        return {**environ, "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": base}

    def steps(self, clone: Path, job: str, environ: dict[str, str]) -> list[Step]:
        pipeline = yaml.safe_load((clone / ".gitlab-ci.yml").read_text())
        assert pipeline["default"]["before_script"] == [INSTALL]
        jobs = ["deploy", "automated tests"] if job == "deploy" else [job]
        return [Step("\n".join(pipeline[name]["script"]), ("bash", "-eo", "pipefail", "-c")) for name in jobs]


class Jenkins:
    """`Jenkinsfile` as a multibranch project runs it."""

    name = "jenkins"
    actor = "grace"
    summary = "reports/summary.md"

    def push(self, forge: Forge, clone: Path, branch: str) -> dict[str, str]:
        return {
            "JENKINS_URL": "https://ci.example.net/",
            "BUILD_URL": "https://ci.example.net/job/deploy/3/",
            "BRANCH_NAME": branch,
            "GIT_BRANCH": branch,
            "GIT_COMMIT": forge.commit_of(branch),
            "BUILD_USER_ID": self.actor,
        }

    def pull_request(self, forge: Forge, clone: Path, base: str, head: str) -> dict[str, str]:
        return {
            **self.push(forge, clone, head),
            "BRANCH_NAME": "PR-7",
            "CHANGE_ID": "7",
            "CHANGE_TARGET": base,
            "CHANGE_BRANCH": head,
        }

    def steps(self, clone: Path, job: str, environ: dict[str, str]) -> list[Step]:
        key = clone.parent / "ssh-key"
        key.write_text("key-secret\n")
        stages = self._stages((clone / "Jenkinsfile").read_text(), key)
        clean, *install = stages["Install"]
        assert [step.script for step in install] == ["python3 -m venv .venv", f".venv/bin/{PLAIN_INSTALL}"]
        if job == "plan":
            return [clean, *stages["Plan"]]
        return [clean, *stages.get(f"Deploy to {environ['BRANCH_NAME']}", []), *stages["Automated tests"]]

    def _stages(self, text: str, key: Path) -> dict[str, list[Step]]:
        _, *parts = re.split(r"\n    stage\('", text)
        found = {}
        for part in parts:
            credentials = dict.fromkeys(re.findall(r"(\w+) = credentials\('[\w.-]+'\)", part), "nexus-secret")
            if "DEPLOY_SSH_KEY_FILE" in credentials:
                credentials["DEPLOY_SSH_KEY_FILE"] = str(key)
            scripts = re.findall(r"(?m)^ +sh '(.*)'$", part)
            assert scripts
            assert not any("\\" in script for script in scripts)
            found[part.partition("'")[0]] = [Step(script, ("sh", "-ec"), credentials) for script in scripts]
        return found


CIS: list[Any] = [GitHub(), GitLab(), Jenkins()]
every_ci = pytest.mark.parametrize("ci", CIS, ids=[ci.name for ci in CIS])


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    return Forge(tmp_path)


def deploy(forge: Forge, ci: Any, branch: str, *, expect: int = 0) -> tuple[Path, str]:
    clone = forge.checkout(branch)
    environ = ci.push(forge, clone, branch)
    return clone, forge.run(ci.steps(clone, "deploy", environ), clone, environ, expect=expect)


@every_ci
def test_push_deploys_and_reports(forge: Forge, ci: Any) -> None:
    clone, said = deploy(forge, ci, "production")
    assert [forge.live("production", host) for host in ("web1", "web2")] == ["1.0.0", "1.0.0"]
    assert forge.live("dev") == ""
    suite = ElementTree.parse(clone / "reports" / "deploy.xml").getroot()[0]
    assert [case.get("name") for case in suite.iter("testcase")] == ["shop on web1", "shop on web2"]
    assert (suite.get("failures"), suite.get("errors")) == ("0", "0")
    result = json.loads((clone / "reports" / "deploy.json").read_text())
    assert (result["verdict"], result["run"]["actor"]) == ("success", ci.actor)
    summary = (clone / ci.summary).read_text()
    assert "Deployment of `production`: success" in summary
    assert "no automated tests of production yet" in said
    assert "secret" not in said + summary + json.dumps(result)


@every_ci
def test_failure_after_the_merge_names_record_and_command_and_the_command_goes_on(
    forge: Forge, ci: Any
) -> None:
    deploy(forge, ci, "dev")
    forge.release("2.0.0", "dev")
    clone, said = deploy(forge, ci, "dev", expect=13)
    assert forge.live("dev") == "1.0.0"
    assert "no automated tests" not in said
    suite = ElementTree.parse(clone / "reports" / "deploy.xml").getroot()[0]
    assert suite.get("errors") == "1"
    summary = (clone / ci.summary).read_text()
    assert "Deployment of `dev`: failed" in summary
    (command,) = re.findall(r"\n    (orchestrator .*deploy.*)\n", summary)
    assert command in said
    forge.publish("2.0.0")
    forge.shell(command, clone)
    assert forge.live("dev") == "2.0.0"


@every_ci
def test_release_that_does_not_get_healthy_is_a_failure_in_junit(forge: Forge, ci: Any) -> None:
    forge.shell("git checkout --quiet staging", forge.work)
    path = forge.work / "inventories" / "staging-env.json"
    document = json.loads(path.read_text())
    check = {"url": "http://127.0.0.1:9/health", "retries": 1, "interval_seconds": 0.1}
    document["applications"]["shop"]["healthcheck"] = check
    path.write_text(json.dumps(document))
    forge.shell("git commit --quiet --all --message Health && git push --quiet origin staging", forge.work)
    clone, said = deploy(forge, ci, "staging", expect=23)
    suite = ElementTree.parse(clone / "reports" / "deploy.xml").getroot()[0]
    assert suite.get("failures") == "1"
    assert "orchestrator deploy --branch staging" in said
    result = json.loads((clone / "reports" / "deploy.json").read_text())
    assert result["record"]
    assert result["record"] in (clone / ci.summary).read_text()


@every_ci
@pytest.mark.parametrize(
    ("branch", "said"), [("feature/x", "nothing to deploy"), ("stagin", 'did you mean "staging"')]
)
def test_branch_that_is_no_environment_is_a_clean_no_op(
    forge: Forge, ci: Any, branch: str, said: str
) -> None:
    forge.shell(f"git push --quiet origin dev:refs/heads/{branch}", forge.work)
    clone = forge.checkout(branch)
    environ = ci.push(forge, clone, branch)
    # No job of Jenkins or GitLab has such a branch; the command has to bear it in a pipeline of one's own.
    steps = [
        Step(
            'mkdir -p reports && orchestrator deploy --branch "$B" --junit reports/deploy.xml',
            ("sh", "-ec"),
            {"B": branch},
        )
    ]
    assert said in forge.run(steps, clone, environ)
    assert not any((forge.directory / "srv" / name / "web1").exists() for name in ENVIRONMENTS)


@pytest.mark.parametrize(
    ("ci", "api"), [(GitHub(), GithubDouble()), (GitLab(), GitlabDouble())], ids=["github", "gitlab"]
)
def test_the_plan_of_a_pull_request_is_a_comment(forge: Forge, ci: Any, api: Double, tmp_path: Path) -> None:
    with api:
        settings = forge.work / "orchestrator.toml"
        place = f'[forge]\ntype = "{ci.name}"\nurl = "{api.url}"\nproject = "shop/deploy"\n'
        settings.write_text(f"{settings.read_text()}\n{place}")
        forge.shell("git checkout --quiet dev && git commit --quiet --all --message Forge", forge.work)
        forge.shell("git push --quiet origin dev", forge.work)
        forge.publish("2.0.0")
        forge.release("2.0.0", "feature/two")
        api.pull("feature/two", "dev")
        event = tmp_path / "event.json"
        event.write_text(json.dumps({"pull_request": {"number": 1, "head": {"sha": "0" * 40}}}))
        clone = forge.checkout("feature/two")
        environ = {
            **ci.pull_request(forge, clone, "dev", "feature/two"),
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_SERVER_URL": api.url,
            "CI_SERVER_URL": api.url,
            "CI_MERGE_REQUEST_IID": "1",
            "API_TOKEN": TOKEN,
            "GITLAB_TOKEN": TOKEN,
        }
        forge.run(ci.steps(clone, "plan", environ), clone, environ)
        (comment,) = api.pulls[1].comments
        assert "### Plan for `dev`" in comment["body"]
        assert "`2.0.0`" in comment["body"]


@pytest.mark.parametrize("ci", CIS[1:], ids=[ci.name for ci in CIS[1:]])
def test_pull_request_is_planned_without_touching_anything(forge: Forge, ci: Any) -> None:
    if "--from-ledger" not in forge.shell("orchestrator plan --help", forge.directory):
        pytest.skip("`orchestrator plan` has no --from-ledger yet")
    forge.publish("2.0.0")
    forge.release("2.0.0", "feature/two")
    clone = forge.checkout("feature/two")
    environ = ci.pull_request(forge, clone, "dev", "feature/two")
    said = forge.run(ci.steps(clone, "plan", environ), clone, environ)
    comment = (clone / "plan.md").read_text()
    assert "2.0.0" in comment
    assert "shop" in comment
    assert "Traceback" not in said
    assert not any((forge.directory / "srv" / name / "web1").exists() for name in ENVIRONMENTS)
