"""A real Gitea (or Forgejo) for one test run: users, a repository, pull requests made and merged as people do."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Self

import httpx

CONFIGURATION = """\
RUN_USER = {user}
APP_DATA_PATH = {data}
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = http://127.0.0.1:{port}/
DISABLE_SSH = true
OFFLINE_MODE = true
[database]
DB_TYPE = sqlite3
PATH = {data}/gitea.db
[repository]
ROOT = {data}/repositories
[security]
INSTALL_LOCK = true
SECRET_KEY = of-a-test
[service]
DISABLE_REGISTRATION = true
[log]
MODE = file
LEVEL = Warn
ROOT_PATH = {data}/log
[mailer]
ENABLED = false
[cron]
ENABLED = false
"""
PASSWORD = "pass-w0rd-of-the-test"


class GiteaServer:
    """Use as a context manager; the server is gone afterwards.

    Args:
        program: the `gitea` (or `forgejo`) binary.
        work_path: where it has its `options`, `public` and `templates` when they are not built in, or empty.
    """

    def __init__(self, program: Path, directory: Path, work_path: str = "") -> None:
        self._program, self._data, self._work_path = program, directory / "gitea", work_path
        self._data.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._configuration = self._data / "app.ini"
        self._configuration.write_text(
            CONFIGURATION.format(user=os.environ.get("USER", "root"), data=self._data, port=port)
        )
        self.tokens: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command("web"), env=self._environ(), stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
        )
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)

    def add_user(self, name: str) -> None:
        """The account is there, and `tokens` has a token of it."""
        self._run("admin", "user", "create", "--username", name, "--password", PASSWORD, "--email",
                  f"{name}@example.net", "--must-change-password=false", *(["--admin"] if name == "root" else []))  # fmt: skip
        said = self._run(
            "admin", "user", "generate-access-token", "--username", name, "--scopes", "all", "--raw"
        )
        self.tokens[name] = said.split()[-1]

    def ask(self, user: str, method: str, path: str, document: Any = None) -> Any:
        """What the API answers that account."""
        answer = httpx.request(
            method,
            f"{self.url}/api/v1{path}",
            json=document,
            headers={"Authorization": f"token {self.tokens[user]}"},
            timeout=60,
        )
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def commit(self, user: str, repository: str, path: str, branch: str, *, start: str = "") -> str:
        """A commit that adds that file to the branch, which begins at `start`; returns the commit."""
        document = {"content": "eA==", "message": f"Add {path}", "branch": start or branch}
        if start:
            document["new_branch"] = branch
        made = self.ask(user, "POST", f"/repos/{repository}/contents/{path}", document)
        return str(made["commit"]["sha"])

    def _command(self, *arguments: str) -> list[str]:
        work = ["--work-path", self._work_path] if self._work_path else []
        return [str(self._program), *work, "--config", str(self._configuration), *arguments]

    def _environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self._data),
            "GITEA_I_AM_BEING_UNSAFE_RUNNING_AS_ROOT": "true",
        }

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            self._command(*arguments), env=self._environ(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def _wait(self) -> None:
        ends = time.monotonic() + 120
        while time.monotonic() < ends:
            assert self._process.poll() is None, "the server ended; see its log"
            try:
                if httpx.get(f"{self.url}/api/v1/version").is_success:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        raise AssertionError("the server did not start")
