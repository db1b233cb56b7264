"""The demo: a real deployment repository, a real artifact repository, and "hosts" with real web servers.

What is not real is said so: the artifact repository is our double of Nexus, the hosts are directories of this
machine reached without SSH.
"""

from __future__ import annotations

import io
import json
import os
import shlex
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import OrchestratorError

HOSTS: Mapping[str, tuple[str, ...]] = {
    "dev": ("web-dev",),
    "staging": ("web-staging",),
    "production": ("web-1", "web-2"),
}
USER, PASSWORD = "demo", "demo-password"
PASSWORD_VARIABLE = "DEMO_NEXUS_PASSWORD"
REPOSITORY = "releases"


class DemoError(OrchestratorError):
    """A step of the demo did not end as it should; `--keep` leaves everything to look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """The demo's directory with everything in it running.

    Attributes:
        clone: the deployment repository's clone, where commands run.
        say: prints one line for the reader.
    """

    directory: Path
    clone: Path
    nexus_url: str
    say: Callable[[str], None]

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every command; HOME is the demo's own."""
        return {
            "ORCHESTRATOR_STATE_DIRECTORY": str(self.directory / "state"),
            **{name: os.environ[name] for name in ("PATH", "LANG", "TERM", "COLUMNS") if name in os.environ},
            "HOME": str(self.directory / "home"),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "GIT_CONFIG_NOSYSTEM": "1",
            PASSWORD_VARIABLE: PASSWORD,
        }

    def git(self, *arguments: str) -> None:
        """A git command in the clone."""
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.clone,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise DemoError(f"git {shlex.join(arguments)} failed", details=(done.stderr.strip(),))

    def orchestrate(self, *arguments: str, expect: int = 0) -> None:
        """An orchestrator command, shown with what it prints."""
        self.say(f"$ orchestrator {shlex.join(arguments)}")
        sys.stdout.flush()
        with ExitStack() as stack:
            code = _start(stack, "orchestrator", *arguments, cwd=self.clone, env=self.environment).wait()
        if code != expect:
            raise DemoError(f"that ended with {code}, and the demo expects {expect}")
        if expect:
            self.say(f"(exit code {expect}, as it should)")

    def publish(self, version: str, *, healthy: bool) -> None:
        """A version of the website is in the artifact repository."""
        import httpx

        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("index.html", f"<h1>My website {version}</h1>\n")
            if healthy:
                archive.writestr("health.json", json.dumps({"status": "ok", "version": version}) + "\n")
        url = f"{self.nexus_url}/repository/{REPOSITORY}/my-website/my-website-{version}.zip"
        httpx.put(url, content=content.getvalue(), auth=(USER, PASSWORD)).raise_for_status()

    def release(self, version: str) -> None:
        """The version is in the manifest of `dev`, committed and pushed."""
        manifest = {
            "manifest_version": version,
            "description": "One website",
            "applications": {
                "my-website": {
                    "version": version,
                    "kind": "site",
                    "artifact": {
                        "repository": REPOSITORY,
                        "path": "my-website/my-website-{version}.zip",
                    },
                }
            },
        }
        self.git("checkout", "--quiet", "dev")
        (self.clone / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        self.git("commit", "--quiet", "--all", "--message", f"Release my-website {version}")
        self.git("push", "--quiet", "origin", "dev")

    def promote(self, source: str, target: str) -> None:
        """A merge from branch to branch; a pull request does the same."""
        self.say(f"$ git merge {source}   # on {target}: a pull request does the same")
        self.git("checkout", "--quiet", target)
        self.git("merge", "--quiet", "--no-ff", "--message", f"Promote {source} to {target}", source)
        self.git("push", "--quiet", "origin", target)


@contextmanager
def running_demo(directory: Path, say: Callable[[str], None]) -> Iterator[Demo]:
    """Servers run and the deployment repository exists while the context is open.

    Raises:
        GitError: there is no git.
    """
    from orchestrator.demo.artifact_server import ArtifactServer
    from orchestrator.edges.git_process import require_git

    require_git()
    with ExitStack() as stack:
        nexus = stack.enter_context(ArtifactServer(directory / "nexus", username=USER, password=PASSWORD))
        ports = {name: _start_website(stack, directory, name) for names in HOSTS.values() for name in names}
        demo = Demo(directory=directory, clone=directory / "clone", nexus_url=nexus.url, say=say)
        for version in ("1.0.0", "2.0.1"):
            demo.publish(version, healthy=True)
        demo.publish("2.0.0", healthy=False)
        _make_repository(demo, ports)
        yield demo


def play(demo: Demo) -> None:
    """The story: release, promote, dry run, a broken release switched back, the fixed one everywhere."""
    say = demo.say
    say("\n1. Version 1.0.0 is merged into dev: CI deploys it there.")
    demo.release("1.0.0")
    demo.orchestrate("deploy", "--branch", "dev")
    say("\n2. It is promoted: dev → staging → production.")
    for source, target in (("dev", "staging"), ("staging", "production")):
        demo.promote(source, target)
        demo.orchestrate("deploy", "--branch", target)
    say("\n3. Version 2.0.0 is merged into dev. First a dry run: nothing changes.")
    demo.release("2.0.0")
    demo.orchestrate("deploy", "--branch", "dev", "--check")
    say("\n4. The real run. 2.0.0 is broken: its health check fails, and 1.0.0 is live again.")
    demo.orchestrate("deploy", "--branch", "dev", expect=23)
    say("\n5. 2.0.1 mends it, and goes all the way.")
    demo.release("2.0.1")
    demo.orchestrate("deploy", "--branch", "dev")
    demo.promote("dev", "staging")
    demo.orchestrate("deploy", "--branch", "staging")
    say("\n   What the pull request to production says, asking no host:")
    demo.orchestrate(
        "plan", "--base", "production", "--head", "staging", "--format", "markdown", "--from-ledger"
    )
    demo.promote("staging", "production")
    demo.orchestrate("deploy", "--branch", "production")
    say("\n6. Every attempt is in the ledger, a branch of the same repository:")
    demo.orchestrate("history", "dev")
    say("\n7. What runs where:")
    demo.orchestrate("status", "--verify")


def _start_website(stack: ExitStack, directory: Path, name: str) -> int:
    root = directory / "hosts" / name / "my-website"
    root.mkdir(parents=True)
    process = _start(
        stack,
        "orchestrator.demo.website",
        str(root / "current"),
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert process.stdout is not None
    return int(process.stdout.readline())


def _start(stack: ExitStack, module: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """The module runs until the stack is closed; a Ctrl-C at the terminal is for the demo, and does not reach it."""
    interrupted: list[int] = []
    # One that came between the start and the note of how to end it would leave the process behind.
    handler = signal.signal(signal.SIGINT, lambda number, _: interrupted.append(number))
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], text=True, start_new_session=True, **options
        )
        stack.callback(_stop, process)
    finally:
        signal.signal(signal.SIGINT, handler)
    if interrupted:
        signal.raise_signal(signal.SIGINT)
    return process


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _make_repository(demo: Demo, ports: Mapping[str, int]) -> None:
    (demo.directory / "home").mkdir()
    origin = demo.directory / "shop-deploy.git"
    for arguments in (("init", "--quiet", "--bare", "--initial-branch=dev", str(origin)),):
        subprocess.run(["git", *arguments], env=demo.environment, check=True, capture_output=True)
    clone = ["git", "clone", "--quiet", str(origin), str(demo.clone)]
    subprocess.run(clone, env=demo.environment, check=True, capture_output=True)
    demo.git("config", "user.name", "Demo")
    demo.git("config", "user.email", "demo@example.net")
    demo.git("checkout", "--quiet", "-B", "dev")
    for environment, hosts in HOSTS.items():
        path = demo.clone / f"{environment}-env.json"
        path.write_text(json.dumps(_environment(demo, environment, hosts, ports), indent=2) + "\n", "utf-8")
    (demo.clone / "manifest.json").write_text("{}\n", encoding="utf-8")
    demo.git("add", "--all")
    demo.git("commit", "--quiet", "--message", "Three environments")
    for branch in ("staging", "production"):
        demo.git("branch", branch)
    demo.git("push", "--quiet", "origin", "dev", "staging", "production")


def _environment(
    demo: Demo, environment: str, hosts: tuple[str, ...], ports: Mapping[str, int]
) -> dict[str, Any]:
    return {
        "environment": environment,
        "description": f"{environment}: directories of this machine, a real web server each",
        "repositories": {
            REPOSITORY: {
                "type": "nexus",
                "url": demo.nexus_url,
                "repository": REPOSITORY,
                "credentials": {"username": USER, "password": {"env": PASSWORD_VARIABLE}},
            }
        },
        "hosts": {
            name: {
                "address": "127.0.0.1",
                "port": ports[name],
                "connection": "local",
                "python": sys.executable,
            }
            for name in hosts
        },
        "applications": {
            "my-website": {
                "hosts": ["all"],
                "deployment_path": f"{demo.directory}/hosts/{{host}}/my-website",
                "healthcheck": {
                    "url": "http://{address}:{port}/health.json",
                    "retries": 2,
                    "interval_seconds": 0.5,
                },
            }
        },
    }
