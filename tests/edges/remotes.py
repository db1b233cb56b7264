"""Real git repositories for tests: a bare remote, clones of it, and servers in front of it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from orchestrator.core.record import Record, RecordPlacement
from orchestrator.core.settings import Settings, parse_settings
from orchestrator.core.state_refs import ledger_ref
from orchestrator.edges.git import DeploymentRepository
from orchestrator.edges.lock import EnvironmentLock
from orchestrator.edges.schemas import read_schema
from orchestrator.edges.state import State, open_state, this_process

ROOT = Path(__file__).resolve().parent.parent.parent
ISOLATED = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
}


def git(directory: Path, *arguments: str, content: bytes = b"") -> str:
    """What git says there; it has to succeed."""
    done = subprocess.run(
        ["git", *arguments],
        cwd=directory,
        input=content,
        capture_output=True,
        check=False,
        env={**os.environ, **ISOLATED},
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().rstrip("\n")


def make_remote(directory: Path, *, object_format: str = "sha1") -> Path:
    """A bare repository with one commit on `dev`."""
    bare, first = directory / "remote.git", directory / "first"
    git(directory, "init", "--quiet", "--bare", f"--object-format={object_format}", str(bare))
    git(directory, "init", "--quiet", f"--object-format={object_format}", "--initial-branch=dev", str(first))
    (first / "manifest.json").write_text("{}\n")
    (first / "shop").mkdir()
    (first / "shop" / "manifest.json").write_text("{}\n")
    git(first, "add", "--all")
    who = ("-c", "user.name=CI", "-c", "user.email=ci@example.net")
    git(first, *who, "commit", "--quiet", "--message", "First")
    git(first, *who, "commit", "--quiet", "--allow-empty", "--message", "Second")
    git(first, "push", "--quiet", str(bare), "dev:dev")
    git(bare, "symbolic-ref", "HEAD", "refs/heads/dev")
    return bare


def make_clone(remote: Path | str, path: Path, *arguments: str) -> Path:
    """A clone without any configured user."""
    git(path.parent, "clone", "--quiet", *arguments, str(remote), str(path))
    return path


def make_settings(text: str = "") -> Settings:
    """What orchestrator.toml with this text says."""
    return parse_settings(f"format = 1\n{text}".encode(), "orchestrator.toml", read_schema("settings"))


def make_record(id: str = "20261124T053850-00000001", **overrides: object) -> Record:
    """An attempt that has begun."""
    values: dict[str, object] = {
        "id": id,
        "actor": "ci@example.net",
        "started": "2026-11-24T05:38:50Z",
        "environment": "production",
        "commit": "1" * 40,
        "manifest_version": "2.0.1",
        "placements": (make_placement(),),
        **overrides,
    }
    return Record(**values)  # type: ignore[arg-type]


def make_placement(**overrides: object) -> RecordPlacement:
    """shop-site on web1, from 2.0.0 to 2.0.1, before anything was done."""
    values: dict[str, object] = {
        "application": "shop-site",
        "host": "web1",
        "deployment_path": "/srv/shop-site",
        "result": "planned",
        "from_version": "2.0.0",
        "to_version": "2.0.1",
        "version": "2.0.0",
        **overrides,
    }
    return RecordPlacement(**values)  # type: ignore[arg-type]


def closed(record: Record, verdict: str = "success", result: str = "deployed") -> Record:
    """The same attempt, ended."""
    from dataclasses import replace

    placements = tuple(
        replace(one, result=result, version=one.to_version, release=f"{one.to_version}-abc")
        for one in record.placements
    )
    return replace(
        record, verdict=verdict, ended="2026-11-24T05:40:00Z", duration_seconds=70.0, placements=placements
    )


def subjects(remote: Path, settings: Settings | None = None, stack: str = "") -> list[str]:
    """The ledger's commits, oldest first."""
    ref = ledger_ref(settings or Settings(), stack)
    return git(remote, "log", "--reverse", "--format=%s", ref).splitlines()


def repository_of(clone: Path) -> DeploymentRepository:
    """The clone as commands see it."""
    return DeploymentRepository(clone)


@contextlib.contextmanager
def state_of(clone: Path, text: str = "", actor: str = "") -> Iterator[State]:
    """Lock and ledger of a clone, with this text in orchestrator.toml."""
    with open_state(repository_of(clone), make_settings(text), actor=actor) as state:
        yield state


def lock_of(clone: Path, state: State, actor: str = "one", run: str = "r1") -> EnvironmentLock:
    """The lock of production, for a run in CI."""
    holder = this_process(repository_of(clone), actor=actor, run=run, ci_url="https://ci.example.net/7")
    return state.lock("production", holder)


def lock_states(
    remote: Path, ref: str = "refs/heads/orchestrator/lock/production"
) -> list[dict[str, object]]:
    """What the lock's branch said, oldest first."""
    commits = git(remote, "rev-list", "--reverse", ref).split()
    return [json.loads(git(remote, "show", f"{commit}:lock.json")) for commit in commits]


def wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
    """Returns when the condition is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not become true in time"
        time.sleep(0.02)


def start_worker(*arguments: str) -> subprocess.Popen[str]:
    """`tests/edges/state_worker.py` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.edges.state_worker", *arguments],
        cwd=ROOT,
        env={**os.environ, **ISOLATED},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class GitDaemon:
    """`git daemon` in front of a directory, to be killed and started again."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._port = directory, free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def url(self, name: str) -> str:
        """A repository's address."""
        return f"git://127.0.0.1:{self._port}/{name}"

    def start(self) -> None:
        """It listens."""
        self._process = subprocess.Popen(
            [
                "git", "daemon", "--reuseaddr", "--export-all", "--enable=receive-pack", "--listen=127.0.0.1",
                f"--port={self._port}", f"--base-path={self._directory}", str(self._directory),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, **ISOLATED},
        )  # fmt: skip
        wait_for(self._answers)

    def kill(self) -> None:
        """It is gone at once, with everything that it was doing."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0


@contextlib.contextmanager
def serve_http(directory: Path, accounts: Mapping[str, tuple[str, str]] | None = None) -> Iterator[str]:
    """`git http-backend` in front of a directory; gives its address. Everybody may push.

    Args:
        accounts: repository → the only user that may use it, and the password; None: everybody may.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            if "chunked" in self.headers.get("Transfer-Encoding", ""):
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
            else:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._answer(body)

        def _answer(self, body: bytes) -> None:
            path, _, query = self.path.partition("?")
            if accounts is not None and not self._may(path.split("/")[1]):
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.end_headers()
                return
            variables = {
                "PATH": os.environ["PATH"],
                **ISOLATED,
                "GIT_PROJECT_ROOT": str(directory),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REMOTE_USER": "ci",
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            }
            done = subprocess.run(
                ["git", "http-backend"], env=variables, input=body, capture_output=True, check=False
            )
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            fields = dict(line.decode().split(": ", 1) for line in head.split(b"\r\n") if b": " in line)
            self.send_response(int(fields.pop("Status", "200").split()[0]))
            for name, value in fields.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def _may(self, name: str) -> bool:
            account = (accounts or {}).get(name)
            if account is None:
                return False
            expected = base64.b64encode(":".join(account).encode()).decode()
            return self.headers.get("Authorization") == f"Basic {expected}"

        def log_message(self, format: str, *arguments: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
