"""A bare repository with an environment on each branch, artifacts that exist, and commands run in a clone of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.edges.remotes import ISOLATED, ROOT, git, make_clone

WHO = ("-c", "user.name=CI", "-c", "user.email=ci@example.net")
MANIFEST = """{
    "manifest_version" : "1.0.0",
    "description": "Shop — caf\\u00e9",

    "applications": {
        "site": {"version": "1", "artifact": { "path": "site-{version}.txt" }},
        "api": {
            "version": "1",
            "artifact": {
                "path": "api-{version}.txt"
            }
        }
    }
}
"""


class Branches:
    """`remote.git` with these branches, each with the same manifest and its own environment JSON, and a clone."""

    def __init__(
        self,
        directory: Path,
        *branches: str,
        manifest: str = MANIFEST,
        settings: str = "",
        name: str = "remote.git",
    ) -> None:
        self.top, self.remote = directory, directory / name
        self.artifacts = directory / "artifacts"
        self.artifacts.mkdir(exist_ok=True)
        for application in ("site", "api"):
            for version in ("1", "2", "3"):
                self.publish(application, version)
        git(directory, "init", "--quiet", "--bare", str(self.remote))
        first = directory / f"first-{name}"
        git(directory, "init", "--quiet", "--initial-branch", branches[0], str(first))
        (first / "manifest.json").write_bytes(manifest.encode())
        if settings:
            (first / "orchestrator.toml").write_text(f"format = 1\n{settings}")
        for branch in branches:
            (first / f"{branch}-env.json").write_text(json.dumps(self.environment(branch), indent=2))
        git(first, "add", "--all")
        git(first, *WHO, "commit", "--quiet", "--message", "First")
        for branch in branches:
            git(first, "push", "--quiet", str(self.remote), f"HEAD:refs/heads/{branch}")
        git(self.remote, "symbolic-ref", "HEAD", f"refs/heads/{branches[0]}")
        self.clone = make_clone(self.remote, directory / f"clone-{name}")

    def environment(self, name: str) -> dict[str, Any]:
        """Its JSON."""
        return {
            "environment": name,
            "repositories": {"default": {"type": "directory", "path": str(self.artifacts)}},
            "hosts": {"h1": {"connection": "local", "python": sys.executable}},
            "applications": {
                one: {"hosts": ["h1"], "deployment_path": f"{self.top}/srv/{name}/{one}"}
                for one in ("site", "api")
            },
        }

    def publish(self, application: str, version: str) -> str:
        """The artifact is in its repository; returns its SHA-256."""
        content = f"{application} {version}\n".encode()
        (self.artifacts / f"{application}-{version}.txt").write_bytes(content)
        return sha256(content).hexdigest()

    def commit(self, branch: str, files: dict[str, str | None], message: str = "By hand") -> str:
        """One more commit on the branch, by somebody else."""
        work = self.top / "somebody"
        if work.exists():
            git(work, "fetch", "--quiet", "origin")
        else:
            make_clone(self.remote, work)
        git(work, "checkout", "--quiet", "--detach", f"origin/{branch}")
        for name, content in files.items():
            if content is None:
                (work / name).unlink()
            else:
                (work / name).parent.mkdir(parents=True, exist_ok=True)
                (work / name).write_bytes(content.encode())
        git(work, "add", "--all")
        git(work, *WHO, "commit", "--quiet", "--message", message)
        git(work, "push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
        return git(work, "rev-parse", "HEAD")

    def tip(self, branch: str) -> str:
        """The branch's commit; empty without one."""
        listed = git(self.remote, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")
        return listed.strip()

    def read(self, branch: str, file: str = "manifest.json") -> str:
        """A file at the branch's tip, byte for byte."""
        done = subprocess.run(
            ["git", "show", f"refs/heads/{branch}:{file}"], cwd=self.remote, capture_output=True, check=True
        )
        return done.stdout.decode()

    def manifest(self, branch: str) -> dict[str, Any]:
        """Its manifest's value."""
        value: dict[str, Any] = json.loads(self.read(branch))
        return value

    def versions(self, branch: str) -> dict[str, str]:
        """Application → version there."""
        return {name: one["version"] for name, one in self.manifest(branch)["applications"].items()}

    def message(self, branch: str) -> str:
        """Of its last commit."""
        return git(self.remote, "log", "-1", "--format=%B", f"refs/heads/{branch}")

    def start(self, *arguments: str, clone: Path | None = None, **variables: str) -> subprocess.Popen[str]:
        """The command, running."""
        return subprocess.Popen(
            [sys.executable, "-m", "orchestrator", *arguments],
            cwd=clone or self.clone,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.top),
                "PYTHONPATH": str(ROOT),
                "ORCHESTRATOR_STATE_DIRECTORY": str(self.top / "state"),
                **ISOLATED,
                **variables,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, expect: int = 0, clone: Path | None = None, **variables: str) -> str:
        """What the command prints; it has to end with that code, and without a traceback."""
        process = self.start(*arguments, clone=clone, **variables)
        text, _ = process.communicate(timeout=180)
        assert process.returncode == expect, text
        assert "Traceback" not in text
        return text

    def clean(self) -> bool:
        """Whether the clone's work tree, index and branches are as they were."""
        return git(self.clone, "status", "--porcelain") == ""
