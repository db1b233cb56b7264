"""The CI around a process: its event, its log, its groups."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.edges.ci import GuardedStream, LogGroups, detect_ci, guarded_output

ROOT = Path(__file__).resolve().parent.parent.parent
SHA, HEAD = "a" * 40, "b" * 40
PULL_REQUEST = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_EVENT_NAME": "pull_request",
    "GITHUB_REF": "refs/pull/7/merge",
    "GITHUB_SHA": SHA,
}


def test_pull_request_of_github_names_its_source_commit(tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"head": {"sha": HEAD}}}))
    assert detect_ci({**PULL_REQUEST, "GITHUB_EVENT_PATH": str(event)}).commit == HEAD


@pytest.mark.parametrize("content", ["[]", "{", "\xff", '{"pull_request": null}', "[" * 100_000])
def test_event_that_cannot_be_read_is_none(tmp_path: Path, content: str) -> None:
    event = tmp_path / "event.json"
    event.write_text(content, encoding="latin-1")
    assert detect_ci({**PULL_REQUEST, "GITHUB_EVENT_PATH": str(event)}).commit == SHA
    assert detect_ci({**PULL_REQUEST, "GITHUB_EVENT_PATH": str(tmp_path)}).commit == SHA
    assert detect_ci(PULL_REQUEST).commit == SHA


def test_guarded_stream_hands_on_whole_lines_that_command_nothing() -> None:
    beneath = io.StringIO()
    stream = GuardedStream(beneath)
    stream.write("web1: ok\n::set-env name=A::b\nrest")
    assert beneath.getvalue() == "web1: ok\n| ::set-env name=A::b\n"
    stream.flush()
    stream.write(" of it\n")
    assert beneath.getvalue().endswith("\nrest of it\n")


def test_command_in_pieces_is_broken_too() -> None:
    beneath = io.StringIO()
    stream = GuardedStream(beneath)
    for piece in (":", ":set-env::x\n", "##", "[add-mask]x\n", "#", "#vso[x]\n"):
        stream.write(piece)
        stream.flush()
    assert beneath.getvalue() == ": :set-env::x\n## [add-mask]x\n## vso[x]\n"


def test_guarded_stream_is_a_text_stream() -> None:
    stream = GuardedStream(io.StringIO())
    with pytest.raises(TypeError):
        stream.write(b"x")  # type: ignore[arg-type]
    assert stream.writable()
    assert not stream.isatty()


def test_own_commands_stand_on_lines_of_their_own() -> None:
    beneath = io.StringIO()
    stream = GuardedStream(beneath)
    groups = LogGroups("github", stream)
    stream.write("begun")
    with groups.group("Staging"), groups.group("inner"):
        stream.write("::endgroup::\n")
    assert beneath.getvalue() == "begun\n::group::Staging\n| ::endgroup::\n::endgroup::\n"


def test_sections_of_gitlab_nest_and_have_names_of_their_own() -> None:
    beneath = io.StringIO()
    groups = LogGroups("gitlab", beneath, clock=lambda: 5.0)
    with groups.group("a"), groups.group("a", collapsed=True):
        pass
    starts = [line for line in beneath.getvalue().split("\n") if "section_start" in line]
    assert [start.split(":")[2].split("\r")[0] for start in starts] == [
        "orchestrator_1_a",
        "orchestrator_2_a[collapsed=true]",
    ]


def test_group_ends_when_its_work_fails() -> None:
    beneath = io.StringIO()
    with pytest.raises(ValueError, match="no"), LogGroups("azure", beneath).group("x"):
        raise ValueError("no")
    assert beneath.getvalue().endswith("##[endgroup]\n")


def test_other_cis_have_no_groups() -> None:
    beneath = io.StringIO()
    with LogGroups("jenkins", beneath).group("x"):
        pass
    assert beneath.getvalue() == ""


PROGRAM = """
import sys
import click
from rich.console import Console
from orchestrator.cli.options import write_json
from orchestrator.edges.ci import LogGroups, guarded_output

with guarded_output(sys.argv[1]):
    click.echo("::error::by click")
    click.echo("##[error]by click", err=True)
    with LogGroups(sys.argv[1]).group("All"):
        Console(markup=False, highlight=False).print("::error::by rich")
        print("one", end="")
    write_json("-", {"said": "##[error]x ::error::"})
click.echo("::error::after")
"""


def run(name: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, name],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    return done.stdout


def test_click_and_rich_write_through_the_guard_and_in_order() -> None:
    said = run("github").splitlines()
    assert said[:6] == [
        "| ::error::by click",
        "## [error]by click",
        "::group::All",
        "| ::error::by rich",
        "one",
        "::endgroup::",
    ]
    assert json.loads("".join(said[6:9])) == {"said": "##[error]x ::error::"}
    assert not any("##[" in line for line in said)
    assert said[9:] == ["::error::after"]


def test_nothing_changes_outside_of_a_ci() -> None:
    assert "| ::" not in run("plain")
    with guarded_output("plain"):
        assert not isinstance(sys.stdout, GuardedStream)


@pytest.mark.parametrize(("redirect", "guarded"), [("> out 2> err", False), ("> out 2>&1", True)])
def test_only_a_file_of_its_own_is_no_log(tmp_path: Path, redirect: str, guarded: bool) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    subprocess.run(
        f"{sys.executable} {program} jenkins {redirect}",
        shell=True,
        cwd=tmp_path,
        check=True,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert ("| ::error::by click" in (tmp_path / "out").read_text()) == guarded
