"""A long ledger, and what reading it and appending to it costs: `python -m tests.edges.ledger_bench [ATTEMPTS]`."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from pathlib import Path

from orchestrator.core.ledger_entry import render_message
from orchestrator.core.ledger_state import LedgerState, fold_record, render_state
from orchestrator.core.record import Record, RecordPlacement, render_record
from tests.edges.remotes import ISOLATED, ROOT, git, make_clone, make_record, make_remote

REF = "refs/heads/orchestrator/ledger"
APPLICATIONS = ("shop-site", "shop-api")
HOSTS = ("web1", "web2")


def make_long_ledger(remote: Path, attempts: int) -> None:
    """The remote's ledger has that many attempts, each with its opening and its closing commit."""
    state = LedgerState(environment="production")
    stream: list[bytes] = []
    for number, record in enumerate(_records(attempts)):
        opened = replace(record, verdict="", ended="", duration_seconds=0.0)
        state = fold_record(state, record)
        when = 1_700_000_000 + 600 * number
        stream.append(_commit(opened, when, {f"production/open/{record.id}.json": render_record(opened)}))
        files = {"production/last.json": render_record(record), "production/state.json": render_state(state)}
        stream.append(_commit(record, when + 60, {**files, f"production/open/{record.id}.json": None}))
    head = _commit_files({"ledger.json": b'{"format": 1, "kind": "ledger"}\n', "README.md": b"# Ledger\n"})
    git(remote, "fast-import", "--quiet", "--force", content=head + b"".join(stream))


def _records(attempts: int) -> Iterator[Record]:
    for number in range(attempts):
        began = datetime.fromtimestamp(1_700_000_000 + 600 * number, UTC)
        version, before = f"2.0.{number + 1}", f"2.0.{number}"
        placements = tuple(
            RecordPlacement(
                application=application,
                host=host,
                region="north",
                deployment_path=f"/srv/{application}",
                result="deployed",
                from_version=before,
                to_version=version,
                version=version,
                release=f"{version}-{number:012x}",
                artifact_sha256=f"{number:064x}",
                configuration_digest=f"{number:064x}",
                message="healthy after 1.2 s",
            )
            for application in APPLICATIONS
            for host in HOSTS
        )
        yield make_record(
            id=f"{began:%Y%m%dT%H%M%S}-{number:08x}",
            started=f"{began:%Y-%m-%dT%H:%M:%SZ}",
            ended=f"{began + timedelta(seconds=60):%Y-%m-%dT%H:%M:%SZ}",
            duration_seconds=60.0,
            verdict="success" if number % 10 else "failed",
            commit=f"{number:040x}",
            manifest_version=version,
            lock_token=number + 1,
            placements=placements,
            tools={"orchestrator": "0.1.0", "ansible-core": "2.19.14", "ansible-runner": "2.4.3"},
        )


def _commit(record: Record, when: int, files: dict[str, bytes | None]) -> bytes:
    document = next(content for content in files.values() if content is not None)
    blob = sha1(b"blob %d\0%s" % (len(document), document)).hexdigest()
    message = render_message(record, blob).encode()
    lines = [b"commit %s\ncommitter CI <ci@example.net> %d +0000\n" % (REF.encode(), when)]
    lines.append(b"data %d\n%s\n" % (len(message), message))
    for path, content in files.items():
        if content is None:
            lines.append(b"D %s\n" % path.encode())
        else:
            lines.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(content), content))
    return b"".join(lines)


def _commit_files(files: dict[str, bytes]) -> bytes:
    lines = [b"commit %s\ncommitter CI <ci@example.net> 1 +0000\ndata 5\nFirst\n" % REF.encode()]
    for path, content in files.items():
        lines.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(content), content))
    return b"".join(lines)


def cpu_of(*arguments: str, directory: Path) -> tuple[float, str]:
    """Seconds of CPU of a command of ours with all its children, and its output."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", *arguments],
        cwd=directory,
        env={**os.environ, **ISOLATED, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr, done.stderr
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def main() -> int:
    """Prints a table."""
    attempts = int(sys.argv[1]) if sys.argv[1:] else 10_000
    with tempfile.TemporaryDirectory() as directory:
        remote = make_remote(Path(directory))
        clone = make_clone(remote, Path(directory) / "clone")
        for count in (10, attempts):
            make_long_ledger(remote, count)
            sys.stdout.write(f"{count} attempts\n")
            for command in (
                ("--version",),
                ("history", "production"),
                ("history", "production"),
                ("history", "production", "--all"),
                ("history", "production", "--all", "--json", "-"),
                ("history", "production", "--application", "shop-api", "--since", "2023-12-01", "--all"),
                ("show", "production@last"),
                ("when", "shop-site", f"2.0.{count // 2}"),
            ):
                began = time.monotonic()
                cpu, output = cpu_of(*command, directory=clone)
                wall = time.monotonic() - began
                lines = output.count("\n")
                sys.stdout.write(f"  {cpu:5.2f} s CPU {wall:5.2f} s  {' '.join(command)} ({lines} lines)\n")
            for _ in range(3):
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                began = time.monotonic()
                _append(clone)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                sys.stdout.write(f"  {cpu:5.2f} s CPU {time.monotonic() - began:5.2f} s  open + close\n")
    return 0


def _append(clone: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "tests.edges.state_worker", str(clone), "append", f"x{time.time_ns()}", "1"],
        cwd=ROOT,
        env={**os.environ, **ISOLATED},
        check=True,
        capture_output=True,
    )


if __name__ == "__main__":
    sys.exit(main())
