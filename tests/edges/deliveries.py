"""One git host, clones of it, and hosts that are this machine: the real command, and what hosts saw of it.

A host's `python3` is a program of the test: it notes each phase that reaches the host, with its lock token, and holds
it on its way there for as long as the test wants.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.edges.remotes import ISOLATED, ROOT, git, wait_for

SECONDS = 120
DEPLOY = ("deploy", "--branch", "dev")
_HOST = """\
#!{python}
import json, os, subprocess, sys, time
program = subprocess.Popen([{python!r}, *sys.argv[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
program.stdin.write(sys.stdin.buffer.readline())
for asked in iter(sys.stdin.buffer.readline, b""):
    request = json.loads(asked)
    phase, run = request["phase"], request["run"]
    for name in (phase, "{{}}-{{}}".format(phase, run.get("token"))):
        held = os.path.join({directory!r}, "hold", name)
        if os.path.exists(held) and not request["check"]:
            open(os.path.join({directory!r}, "held", name), "w").close()
            while os.path.exists(held):
                time.sleep(0.02)
    def note(event):
        said = {{"event": event, "phase": phase, "token": run.get("token"), "run": run.get("id", ""), "process": program.pid}}
        with open(os.path.join({directory!r}, "journal"), "ab", buffering=0) as file:
            file.write((json.dumps(said) + "\\n").encode())
    note("begin")
    program.stdin.write(asked)
    program.stdin.flush()
    answer = b""
    while not answer.startswith(b"ORCHESTRATOR-ANSWER"):
        answer = program.stdout.readline()
        if not answer:
            sys.exit(program.wait())
        sys.stdout.buffer.write(answer)
    note("end")
    try:
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os._exit(1)
program.stdin.close()
sys.exit(program.wait())
"""


class Running:
    """A command that was started."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process, self._log = process, log

    @property
    def text(self) -> str:
        """What it has said so far."""
        return self._log.read_text()

    def tree(self) -> list[int]:
        """The process and everything below it."""
        parents: dict[int, int] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with contextlib.suppress(OSError):
                    said = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                    parents[int(entry.name)] = int(said[1])
        found = [self._process.pid]
        for one in found:
            found += [pid for pid, parent in parents.items() if parent == one]
        return found

    def stop(self) -> None:
        """The machine that it runs on stands still."""
        for pid in self.tree():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def go_on(self, *, itself: bool = True) -> None:
        """The machine goes on, or all that the process has begun without the process itself."""
        for pid in reversed(self.tree()[0 if itself else 1 :]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """The process and its group get that signal, as from a terminal."""
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """The process is gone at once."""
        self._process.kill()
        self._process.wait()

    def kill_tree(self) -> None:
        """The process and everything below it are gone at once, as when a container ends."""
        for pid in reversed(self.tree()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def says(self, text: str) -> None:
        """It has said that."""
        wait_for(lambda: text in self.text or self._process.poll() is not None, SECONDS)
        assert text in self.text, self.text

    def ended(self) -> int:
        """Its code, when it has ended by itself; what it said is no traceback."""
        code = self._process.wait(SECONDS)
        assert "Traceback" not in self.text
        assert "Defect" not in self.text
        return code

    def end(self, *, expect: int = 0) -> str:
        """What it said when it has ended with that code."""
        code = self.ended()
        assert code == expect, self.text
        return self.text


class Delivery:
    """A deployment repository with the environments `dev` and, where a test wants them, more.

    Args:
        settings: text of orchestrator.toml.
        stacks: directories of the repository with a manifest each; the top by default.
    """

    def __init__(
        self, directory: Path, *, settings: str = "", stacks: tuple[str, ...] = ("",), hosts: int = 2
    ) -> None:
        self.directory = directory
        self.bare, self.work = directory / "shop.git", directory / "work"
        self.artifacts, self.srv = directory / "artifacts", directory / "srv"
        self.stacks, self._started = stacks, 0
        for name in ("artifacts", "srv", "hold", "held", "home", "logs"):
            (directory / name).mkdir()
        self._python = directory / "host-python"
        self._python.write_text(host_program(python=sys.executable, directory=str(directory)))
        self._python.chmod(0o755)
        self.hosts: dict[str, Any] = {
            f"web{number}": {"connection": "local", "python": str(self._python)}
            for number in range(1, hosts + 1)
        }
        self.application: dict[str, Any] = {}
        self.strategy: dict[str, Any] = {}
        git(directory, "init", "--quiet", "--bare", "--initial-branch=dev", str(self.bare))
        git(directory, "clone", "--quiet", str(self.bare), str(self.work))
        git(self.work, "checkout", "--quiet", "-B", "dev")
        git(self.work, "config", "user.name", "Ada")
        git(self.work, "config", "user.email", "ada@example.net")
        if settings:
            (self.work / "orchestrator.toml").write_text(f"format = 1\n{settings}")

    def release(self, version: str, *, branch: str = "dev", publish: bool = True, **artifact: Any) -> str:
        """That branch asks for the version, at the git host; returns the commit."""
        if publish:
            (self.artifacts / f"site-{version}.txt").write_text(f"{version}\n")
        found = {"repository": "here", "path": "site-{version}.txt", **artifact}
        for stack in self.stacks:
            (self.work / stack).mkdir(parents=True, exist_ok=True)
            self._write(
                f"{stack}/manifest.json".lstrip("/"),
                {
                    "manifest_version": version,
                    "applications": {"site": {"version": version, "artifact": found}},
                },
            )
            self._write(
                f"{stack}/{branch}-env.json".lstrip("/"),
                {
                    "environment": branch,
                    "repositories": {"here": {"type": "directory", "path": str(self.artifacts)}},
                    "hosts": self.hosts,
                    "applications": {
                        "site": {
                            "deployment_path": f"{self.srv}/{stack or 'site'}-{branch}/{{host}}",
                            **self.application,
                        }
                    },
                    **({"strategy": self.strategy} if self.strategy else {}),
                },
            )
        return self.push(f"Release {version}", branch=branch)

    def push(self, message: str, *, branch: str = "dev") -> str:
        """What is in the work tree is the branch's tip at the git host; returns the commit."""
        git(self.work, "add", "--all")
        git(self.work, "commit", "--quiet", "--allow-empty", "--message", message)
        git(self.work, "push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{branch}")
        return git(self.work, "rev-parse", "HEAD")

    def clone(self, name: str, *arguments: str, url: str = "") -> Path:
        """A runner's clone."""
        path = self.directory / name
        git(self.directory, "clone", "--quiet", *arguments, url or str(self.bare), str(path))
        return path

    def environ(self, **more: str) -> dict[str, str]:
        """The environment of every command."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory / "home"),
            "TMPDIR": str(self.directory),
            "ORCHESTRATOR_STATE_DIRECTORY": str(self.directory / "state"),
            "PYTHONPATH": str(ROOT),
            **ISOLATED,
            **more,
        }

    def start(
        self,
        clone: Path,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
        wrap: tuple[str, ...] = (),
    ) -> Running:
        """The command runs."""
        self._started += 1
        log = self.directory / "logs" / f"{self._started}.log"
        with open(log, "w", encoding="utf-8") as file:
            process = subprocess.Popen(
                [*wrap, sys.executable, "-m", "orchestrator", *arguments],
                cwd=clone,
                env=self.environ(**(environ or {})),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                text=True,
            )
        return Running(process, log)

    def run(
        self, clone: Path, *arguments: str, expect: int = 0, environ: Mapping[str, str] | None = None
    ) -> str:
        """What the command says; it ends with that code."""
        return self.start(clone, *arguments, environ=environ).end(expect=expect)

    @contextlib.contextmanager
    def holding(self, phase: str) -> Iterator[None]:
        """That phase does not reach any host while the context is open; leave it with `held` in between."""
        (self.directory / "held" / phase).unlink(missing_ok=True)
        (self.directory / "hold" / phase).touch()
        try:
            yield
        finally:
            (self.directory / "hold" / phase).unlink(missing_ok=True)

    def is_held(self, phase: str) -> bool:
        """Whether that phase is on its way to a host and held there."""
        return (self.directory / "held" / phase).exists()

    def wait_held(self, phase: str, running: Running) -> None:
        """That phase is on its way to a host and held there."""
        wait_for(lambda: self.is_held(phase) or running._process.poll() is not None, SECONDS)
        assert self.is_held(phase), running.text

    def live(self, host: str = "web1", *, stack: str = "site", branch: str = "dev") -> str:
        """What the host serves; empty when nothing is live."""
        path = self.srv / f"{stack}-{branch}" / host / "current" / "site.txt"
        return path.read_text().strip() if path.exists() else ""

    def everywhere(self) -> set[str]:
        """What is live on any host."""
        return {self.live(host) for host in self.hosts}

    def journal(self) -> list[dict[str, Any]]:
        """What hosts saw, in order."""
        path = self.directory / "journal"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def history(self, clone: Path, environment: str = "dev", *arguments: str) -> list[dict[str, Any]]:
        """The ledger's attempts, newest first."""
        document = json.loads(self.run(clone, *arguments, "history", environment, "--all", "--json", "-"))
        found: list[dict[str, Any]] = document["attempts"]
        return found

    def lock(self, branch: str = "orchestrator/lock/dev") -> dict[str, Any]:
        """What the lock's branch says."""
        found: dict[str, Any] = json.loads(git(self.bare, "show", f"{branch}:lock.json"))
        return found

    def subjects(self, ref: str = "refs/heads/orchestrator/ledger") -> list[str]:
        """The ledger's commits, oldest first; none without a ledger."""
        return git(self.bare, "log", "--reverse", "--format=%s", ref, "--").splitlines()

    def _write(self, path: str, document: Mapping[str, Any]) -> None:
        (self.work / path).write_text(json.dumps(document, indent=2) + "\n")


def host_program(*, python: str, directory: str) -> str:
    """A host's `python3` that notes in `directory` what it is asked, and waits while `hold/PHASE[-TOKEN]` is there.

    Args:
        python: what it hands the request on to.
    """
    return _HOST.format(python=python, directory=directory)


def verdicts(history: list[dict[str, Any]]) -> list[str]:
    """Of attempts as the ledger has them."""
    return [one["verdict"] or "open" for one in history]


def turns(journal: list[dict[str, Any]]) -> list[int]:
    """The lock tokens in the order in which hosts saw them; a run that came back is there twice."""
    order = [one["token"] for one in journal]
    return [token for number, token in enumerate(order) if number == 0 or order[number - 1] != token]


def github(commit: str, branch: str = "dev", **more: str) -> dict[str, str]:
    """The variables of a job of GitHub Actions."""
    return {
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_REF": f"refs/heads/{branch}",
        "GITHUB_REF_NAME": branch,
        "GITHUB_SHA": commit,
        "GITHUB_ACTOR": "octocat",
        "GITHUB_SERVER_URL": "https://github.example.net",
        "GITHUB_REPOSITORY": "shop/deploy",
        "GITHUB_RUN_ID": "17",
        **more,
    }
