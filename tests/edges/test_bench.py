"""The benchmark's own parts: what it counts, how it divides a run into phases, what it writes."""

from __future__ import annotations

import os
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from tests.bench.large import HostPeaks, LargeProfile
from tests.bench.measuring import BenchError, Measured, measure
from tests.bench.peers import OURS, Way
from tests.bench.phases import find_phases, staging_and_activation
from tests.bench.report import (
    TITLE,
    Comparison,
    render_comparison,
    render_growth,
    render_large,
    replace_section,
)
from tests.bench.rounds import SCENARIOS, Rounds
from tests.bench.site import FILES, make_site

_BURN = "import time\nwhile time.process_time() < 0.3: pass\n"
_LEAVE_BEHIND = f"""
import os, sys, time
print("hello", flush=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        {_BURN.strip().replace(chr(10), chr(10) + "        ")}
        open(sys.argv[1], "w").write(str(os.getpid()))
        time.sleep(60)
    os._exit(0)
os.wait()
while not os.path.exists(sys.argv[1]) or not open(sys.argv[1]).read():
    time.sleep(0.01)
"""
_LINES = (
    (1.3, "Deployment of dev at branch dev (1234567), manifest 1.0.0"),
    (1.4, "site  web1  install  -  1.0.0"),
    (1.8, "stage    web1: staged (site: release 1.0.0 staged)"),
    (2.0, "stage    web2: staged (site: release 1.0.0 staged)"),
    (2.2, "activate web2: activated (site: healthy)"),
    (2.5, "activate web1: activated (site: healthy)"),
)


def make_run(seconds: float = 3.0, cpu_seconds: float = 1.0, lines: tuple[tuple[float, str], ...] = _LINES) -> Measured:  # fmt: skip
    return Measured(
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        started={"ansible-playbook": 0.3, "ssh": 0.9},
        lines=lines,
    )


def make_comparison(hosts: int, ours_seconds: float, loop_seconds: float) -> Comparison:
    ways = tuple(
        Way(key=key, title=title, does="it works", root="/srv/x", prepare=lambda ground, release: [])
        for key, title in ((OURS, "ours"), ("loop", "shell loop"))
    )
    rows = {}
    for scenario in SCENARIOS:
        rows[scenario, OURS] = [make_run(ours_seconds, hosts / 10)] * 3
        rows[scenario, "loop"] = [make_run(loop_seconds, hosts / 20)] * 3
    return Comparison(
        ways=ways, left_out=(), rounds=Rounds(rows=rows, hosts=hosts), phases=find_phases(make_run())
    )


def test_measure_counts_and_ends_what_a_command_leaves_in_the_background(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    done = measure(
        [sys.executable, "-c", _LEAVE_BEHIND, str(pid_file)], environment=dict(os.environ), directory=tmp_path
    )
    assert done.cpu_seconds > 0.29
    assert [line for _, line in done.lines] == ["hello"]
    assert not Path(f"/proc/{pid_file.read_text()}").exists()


def test_measure_ends_with_the_words_of_a_command_that_fails(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"(?s)ended with 3.*no such host"):
        measure(["sh", "-c", "echo no such host >&2; exit 3"], environment=dict(os.environ), directory=tmp_path)  # fmt: skip


def test_measure_sees_memory_and_programs(tmp_path: Path) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!{sys.executable}\nimport time\nheap = b'x' * 50_000_000\ntime.sleep(0.5)\n")
    ssh.chmod(0o755)
    done = measure([str(ssh)], environment=dict(os.environ), directory=tmp_path, memory=True)
    assert 50_000_000 < done.largest_process_bytes <= done.memory_bytes < 100_000_000
    assert set(done.started) == {"ssh"}


def test_phases_are_the_whole_run() -> None:
    phases = find_phases(make_run())
    assert {phase.name: round(phase.seconds, 2) for phase in phases} == {
        "start": 0.3,
        "read": 0.6,
        "observe": 0.4,
        "stage": 0.7,
        "activate": 0.5,
        "end": 0.5,
    }
    assert round(staging_and_activation(make_run()), 2) == 1.2


def test_phases_refuse_output_that_they_do_not_know() -> None:
    with pytest.raises(BenchError, match="does not show when its phases end"):
        find_phases(make_run(lines=_LINES[:2]))


def test_two_versions_of_a_site_differ_in_one_file() -> None:
    one, other = (zipfile.ZipFile(BytesIO(make_site("seed", version))) for version in ("1", "2"))
    assert one.namelist() == other.namelist()
    assert len(one.namelist()) == FILES
    assert [name for name in one.namelist() if one.read(name) != other.read(name)] == ["index.html"]


def test_comparison_has_the_ratios_first() -> None:
    text = render_comparison(make_comparison(10, 3.0, 1.5), "2 cores.")
    assert text.index("| deploy | **0.50** |") < text.index("3.00 (3.00–3.00)")
    assert "1.20 s (median of the rounds), **0.80** times the unverified shell loop's 1.50 s" in text
    assert "- ours: it works." in text


def test_growth_says_what_one_more_host_costs() -> None:
    text = render_growth([make_comparison(10, 3, 1), make_comparison(40, 6, 2)], "2 cores.")
    assert "| ours | 1.00 s | 4.00 s | 100 ms |" in text
    assert "| shell loop | 0.50 s | 2.00 s | 50 ms |" in text


def test_large_archive_says_which_limit_is_not_met() -> None:
    def measured(total: int, largest: int) -> Measured:
        return Measured(
            seconds=9,
            cpu_seconds=1,
            memory_bytes=total,
            largest_process_bytes=largest,
            started={},
            lines=(),
        )

    text = render_large(
        LargeProfile(
            archive_bytes=500_000_000,
            unpacked_bytes=500_000_000,
            ours=measured(119_000_000, 59_000_000),
            small=measured(118_000_000, 59_000_000),
            host=HostPeaks(memory_bytes=29_000_000, read_bytes=503_000_000),
            small_host=HostPeaks(memory_bytes=25_000_000),
            downloads=1,
            floor=measured(0, 0),
        ),
        "2 cores.",
    )
    assert "host 29 MB, met; controller, its largest process 59 MB, met" in text
    assert "controller, all its processes 119 MB, not met" in text


def test_sections_of_other_runs_and_text_by_hand_stay() -> None:
    page = replace_section("# An older page\n", "10 hosts", "## 10 hosts\n\nold\n")
    page = replace_section(page + "\n## What was tried\n", "40 hosts", "## 40 hosts\n")
    page = replace_section(page, "10 hosts", "## 10 hosts\n\nnew\n")
    assert page.startswith(TITLE)
    assert "old" not in page.removeprefix(TITLE)
    assert page.index("new") < page.index("## What was tried") < page.index("## 40 hosts")
