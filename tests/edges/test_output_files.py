"""Values that no option can mean, and files of results that cannot be written: refused before anything is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.edges.branches import Branches
from tests.edges.test_command_line import Clone


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


@pytest.mark.parametrize("option", ["--json", "--junit", "--summary", "--log"])
def test_place_for_a_result_is_made_before_anything_is_deployed(
    clone: Clone, tmp_path: Path, option: str
) -> None:
    (clone.path / "deep").write_text("no directory")
    said = clone.run("deploy", option, "deep/down/x", expect=64)
    assert "deep/down/x cannot be written: Not a directory" in said
    assert f"correct {option}" in said
    assert not (tmp_path / "srv").exists()


@pytest.mark.parametrize("option", ["--junit", "--summary", "--log"])
def test_only_json_goes_to_standard_output(clone: Clone, tmp_path: Path, option: str) -> None:
    assert f"{option} is not written to standard output" in clone.run("deploy", option, "-", expect=64)
    assert not (tmp_path / "srv").exists()


def test_nothing_is_pushed_when_the_result_cannot_be_written(tmp_path: Path) -> None:
    branches = Branches(tmp_path, "dev", "production")
    before = branches.tip("dev")
    (tmp_path / "file").write_text("no directory")
    result = str(tmp_path / "file" / "x")
    branches.run("set", "api=2", "-b", "dev", "--push", "--json", result, expect=64)
    assert branches.tip("dev") == before


@pytest.mark.parametrize("seconds", ["nan", "1e999", "inf", "-1"])
def test_lock_timeout_is_a_number_of_seconds(clone: Clone, seconds: str) -> None:
    assert "--lock-timeout" in clone.run("deploy", "--lock-timeout", seconds, expect=64)


def test_limit_of_history_is_a_number_that_there_can_be(clone: Clone) -> None:
    assert "--limit" in clone.run("history", "dev", "--limit", "99999999999999999999999", expect=64)
