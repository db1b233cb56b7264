"""`make bench`, or `python -m tests.bench [--hosts 10,40] [--rounds N] [--archive-mb 500] [--write]`.

Prints the page's sections; `--write` puts them into docs/benchmarks.md, where those of other runs stay.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import sys
from pathlib import Path

from tests.bench.ground import open_ground
from tests.bench.large import profile_large
from tests.bench.measuring import BenchError
from tests.bench.peers import OURS, find_ways
from tests.bench.phases import find_phases
from tests.bench.report import (
    TITLE,
    Comparison,
    render_comparison,
    render_growth,
    render_large,
    replace_section,
)
from tests.bench.rounds import run_rounds, run_way
from tests.fleet.deployments import ROOT
from tests.fleet.hosts import FleetError, remove_stale, unavailable_reason

PAGE_ROUNDS = 5
PAGE = ROOT / "docs" / "benchmarks.md"


def main() -> int:
    """0 when everything was measured, 1 with the reason when not."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Our whole command, compared.")
    parser.add_argument(
        "--hosts", type=_sizes, default=(10,), metavar="N[,N]", help="sizes of fleet, such as 10,40 [10]"
    )
    parser.add_argument(
        "--ways",
        type=lambda text: frozenset(text.split(",")),
        metavar="KEY[,KEY]",
        help="only these besides ours, such as pyinfra,loop: playbooks on many hosts take hours [all]",
    )
    parser.add_argument("--rounds", type=int, default=5, help="at least 5 for the page [5]")
    parser.add_argument(
        "--archive-mb", type=int, metavar="N", help="profile one archive of that size instead"
    )
    parser.add_argument("--write", action="store_true", help="update docs/benchmarks.md")
    options = parser.parse_args()
    if options.write and options.rounds < PAGE_ROUNDS and not options.archive_mb:
        parser.error(f"the page takes {PAGE_ROUNDS} rounds or more")
    reason = unavailable_reason()
    if reason is not None:
        sys.stderr.write(f"{reason}\n")
        return 1
    remove_stale()
    try:
        sections = (
            _large(options.archive_mb)
            if options.archive_mb
            else _compare(options.hosts, options.rounds, options.ways)
        )
    except (BenchError, FleetError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("\n" + "\n".join(sections.values()))
    if options.write:
        page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else TITLE
        for name, content in sections.items():
            page = replace_section(page, name, content)
        PAGE.write_text(page, encoding="utf-8")
    return 0


def _compare(sizes: tuple[int, ...], rounds: int, wanted: frozenset[str] | None) -> dict[str, str]:
    machine, runs, sections = describe_machine(), [], {}
    for size in sizes:
        with open_ground(size) as ground:
            ways, left_out = find_ways(ground)
            if wanted is not None:
                kept = tuple(way for way in ways if way.key in wanted | {OURS})
                left_out += tuple(f"{way.title}: not asked for" for way in ways if way not in kept)
                ways = kept
            for missing in left_out:
                _say(f"left out: {missing}")
            done = run_rounds(ground, ways, rounds, _say)
            ours = next(way for way in ways if way.key == OURS)
            phases = find_phases(run_way(ground, ours, ground.publish("phases", "1000.1.0")))
        runs.append(Comparison(ways=ways, left_out=left_out, rounds=done, phases=phases))
        sections[f"{size} hosts"] = render_comparison(runs[-1], machine)
    if len(runs) > 1:
        sections["growth"] = render_growth(runs, machine)
    return sections


def _large(megabytes: int) -> dict[str, str]:
    with open_ground(1) as ground:
        return {"large archive": render_large(profile_large(ground, megabytes), describe_machine())}


def describe_machine() -> str:
    """Cores, memory, kernel and the versions that matter, in a sentence."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    versions = [f"Python {platform.python_version()}"]
    for name in ("ansible-core", "ansible-runner", "pyinfra"):
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"no {name}")
    kernel = ".".join(platform.release().split(".")[:2])
    return (
        f"{os.cpu_count()} cores ({model}), {memory:.0f} GB, Linux {kernel}; {', '.join(versions)}; "
        f"load when it began {os.getloadavg()[0]:.1f}."
    )


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(sorted({int(part) for part in text.split(",")}))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
