"""A clone that nothing can be kept in: what was done is said and recorded all the same."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.edges.pending import PendingRecords
from tests.edges.remotes import make_record
from tests.edges.rollouts import Ground


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    made = Ground(tmp_path, 1)
    yield made
    made.close()


def test_log_that_cannot_be_written_is_no_failure(ground: Ground) -> None:
    ground.release("1")
    logs = ground.path / ".git" / "orchestrator" / "logs"
    logs.parent.mkdir()
    logs.write_text("no directory")
    document = ground.deploy()
    assert document["verdict"] == "success"
    assert "warning: the log" in str(document["output"])
    assert ground.live_on("h1") == "1"


def test_record_that_was_pushed_and_cannot_be_removed_here_is_no_defect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pending = PendingRecords(tmp_path)
    pending.keep(make_record())

    def refuse(path: Path, *, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    pending.remove(make_record())
    assert pending.read() == [make_record()]


def test_file_that_is_no_record_and_cannot_be_put_aside_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pending = PendingRecords(tmp_path)
    pending.keep(make_record())
    (tmp_path / "0000+broken.json").write_text("{")

    def refuse(path: Path, target: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "rename", refuse)
    assert pending.read() == [make_record()]
