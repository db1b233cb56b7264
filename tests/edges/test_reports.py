"""Reports as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.edges.reports import check_report_path, write_report
from orchestrator.errors import UsageError


def test_report_replaces_and_summary_is_appended(tmp_path: Path) -> None:
    path = str(tmp_path / "junit.xml")
    check_report_path(path, "--junit")
    write_report(path, "one\n", "--junit")
    write_report(path, "two\n", "--junit")
    write_report(path, "\udcff three\n", "--summary", append=True)
    assert Path(path).read_text() == "two\n? three\n"


def test_place_that_cannot_be_written_is_known_before(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    wrong = (tmp_path, "it is a directory"), (tmp_path / "file" / "x", "correct --junit")
    for path, said in (*wrong, (tmp_path / "deep" / "x", "no directory")):
        with pytest.raises(UsageError) as caught:
            check_report_path(str(path), "--junit")
        assert said in caught.value.brief + caught.value.resolution
    assert not (tmp_path / "deep").exists()
    with pytest.raises(UsageError):
        write_report(str(tmp_path), "x", "--junit")
