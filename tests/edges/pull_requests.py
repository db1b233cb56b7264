"""A deployment repository with a pull request, and an attacker who writes it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
ORCHESTRATOR = [sys.executable, "-P", "-m", "orchestrator"]
SECRET = "pull-request-s3cret"


class Fixture:
    """A bare remote with the branch `dev` (the target), and a clone in which pull requests are written."""

    def __init__(self, directory: Path, url: str = "http://127.0.0.1:9") -> None:
        self.directory, self.remote, self.path = directory, directory / "origin.git", directory / "clone"
        self.home = directory / "home"
        self.home.mkdir()
        self.git("init", "--quiet", "--bare", "--initial-branch=dev", str(self.remote), cwd=directory)
        self.git("clone", "--quiet", str(self.remote), str(self.path), cwd=directory)
        for key, value in (("user.email", "ci@example.net"), ("user.name", "CI")):
            self.git("config", key, value)
        self.git("checkout", "--quiet", "-b", "dev")
        self.manifest: dict[str, Any] = {
            "manifest_version": "1.0.0",
            "description": "the stack",
            "applications": {
                "site": {"version": "1.0", "artifact": {"repository": "files", "path": "site-{version}.txt"}}
            },
        }
        self.environment: dict[str, Any] = {
            "environment": "dev",
            "repositories": {"files": {"type": "http", "url": url}},
            "hosts": {"here": {"connection": "local", "python": sys.executable}},
            "applications": {"site": {"deployment_path": str(directory / "srv" / "site")}},
        }
        self.commit("dev")

    def git(self, *arguments: str, cwd: Path | None = None) -> str:
        done = subprocess.run(
            ["git", "-c", "protocol.file.allow=always", *arguments],
            cwd=cwd or self.path,
            env=self.environ,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.home),
            "XDG_STATE_HOME": str(self.home / "state"),
            "PYTHONPATH": str(ROOT),
            "TOKEN": SECRET,
        }

    def write(self, path: str, text: str, *, executable: bool = False) -> None:
        file = self.path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        if executable:
            file.chmod(0o755)

    def commit(self, branch: str) -> str:
        """The documents as they are now are the branch's tip at the remote."""
        self.write("manifest.json", json.dumps(self.manifest, indent=2))
        self.write("dev-env.json", json.dumps(self.environment, indent=2))
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "Change")
        self.git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
        return self.git("rev-parse", "HEAD")

    def switch(self, branch: str) -> None:
        self.git("switch", "--quiet", "-C", branch)

    def clone(self, *options: str, name: str = "ci") -> Path:
        """Another clone, over a protocol that knows shallow clones."""
        shutil.rmtree(self.directory / name, ignore_errors=True)
        self.git("clone", "--quiet", *options, f"file://{self.remote}", name, cwd=self.directory)
        return self.directory / name

    def run(self, *arguments: str, expect: int = 0, cwd: Path | None = None) -> str:
        done = subprocess.run(
            [*ORCHESTRATOR, *arguments],
            cwd=cwd or self.path,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        text = done.stdout + done.stderr
        assert done.returncode == expect, text
        assert "Traceback" not in text
        assert SECRET not in text
        return text

    def plan(self, *arguments: str, head: str = "feature", expect: int = 0, cwd: Path | None = None) -> str:
        return self.run("plan", "--base", "dev", "--head", head, *arguments, expect=expect, cwd=cwd)

    def plan_json(self, *arguments: str, **options: Any) -> Any:
        return json.loads(self.plan("--json", "-", *arguments, **options))


@contextmanager
def serving(files: dict[str, bytes], authorization: str = "") -> Iterator[tuple[str, list[str]]]:
    """A server of these files, and every request that it gets.

    Args:
        authorization: the header that it asks for, exactly once; empty: none.
    """
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(f"{self.command} {self.path} {self.headers.get('Authorization', '')}".strip())
            body = files.get(self.path.partition("?")[0])
            allowed = not authorization or self.headers.get_all("Authorization") == [authorization]
            body = body if allowed else None
            self.send_response(200 if body is not None else 404 if allowed else 403)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body or b"")

        do_HEAD = do_GET

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def listening() -> Iterator[socket.socket]:
    """A port of the attacker's; see `nobody_came`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def nobody_came(listener: socket.socket) -> bool:
    """Whether no connection waits there: it would be in the backlog, accepted or not."""
    listener.setblocking(False)
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return True
    return False
