"""The page: pure text from what was measured, ratios first."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tests.bench.large import LargeProfile
from tests.bench.measuring import Measured
from tests.bench.peers import FLOOR, OURS, Way
from tests.bench.phases import Phase, staging_and_activation
from tests.bench.rounds import SCENARIOS, Rounds

MEMORY_LIMIT = 100_000_000
TITLE = """\
# Benchmarks

Written by `make bench`, one section for each run; each says on which machine. Read the ratios, not the seconds: the
hosts are containers that share the controller's cores and disk, so everything that hosts do at once takes longer here.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One size of fleet: the rounds, and the phases of one more deployment of ours."""

    ways: tuple[Way, ...]
    left_out: tuple[str, ...]
    rounds: Rounds
    phases: tuple[Phase, ...]


def render_comparison(done: Comparison, machine: str) -> str:
    """The section of one size of fleet."""
    hosts = done.rounds.hosts
    others = [way for way in done.ways if way.key != OURS]
    count = len(done.rounds.rows[SCENARIOS[0], OURS])
    parts = [
        f"## {hosts} hosts\n",
        f"A 10 MB zip of 2,000 files to {hosts} hosts with sshd and systemd. {machine}\n",
        f"{count} {'round' if count == 1 else 'rounds'}, interleaved, the order turned by one each round; medians, with minimum and maximum. Every run "
        "starts without ssh connections unless its column says otherwise, and with nothing left to be written to disk; "
        "after every run each host was looked at: "
        "the right version, all its files.\n",
        "How many times as long as ours it takes (below 1: it is faster than ours):\n",
        _table(
            ("", *(way.title for way in others)),
            (
                (scenario, *(f"**{_ratio(done.rounds, scenario, way.key):.2f}**" for way in others))
                for scenario in SCENARIOS
            ),
        ),
        "Seconds:\n",
        _figures(done, lambda one: one.seconds),
        "CPU seconds of the controller (the command, all its processes, and the ssh connections that it opened):\n",
        _figures(done, lambda one: one.cpu_seconds),
        "What each does and does not do:\n",
        "\n".join(f"- {way.title}: {way.does}." for way in done.ways) + "\n",
        *(f"Left out: {reason}.\n" for reason in done.left_out),
        "A one-file change is another version with one other file; to switch back is to deploy the version before, "
        "which is still on the hosts.\n",
        f"### Where the time goes, {hosts} hosts\n",
        "One more deployment, by what the command printed when and when its processes started:\n",
        _table(
            ("Phase", "Seconds", "What"),
            ((phase.name, f"{phase.seconds:.2f}", phase.what) for phase in done.phases),
        ),
        _against_the_floor(done),
    ]
    return "\n".join(part for part in parts if part)


def render_growth(runs: Sequence[Comparison], machine: str) -> str:
    """The section that says what one more host costs, from at least two sizes of fleet."""
    small, large = runs[0], runs[-1]
    more = large.rounds.hosts - small.rounds.hosts
    keys = {way.key for way in large.ways}
    rows = []
    for way in (way for way in small.ways if way.key in keys):
        middle = [_median(run.rounds, SCENARIOS[0], way.key, lambda one: one.cpu_seconds) for run in runs]
        each = 1000 * (middle[-1] - middle[0]) / more
        rows.append((way.title, *(f"{value:.2f} s" for value in middle), f"{each:.0f} ms"))
    sizes = (f"{run.rounds.hosts} hosts" for run in runs)
    return "\n".join(
        (
            "## Controller CPU as the fleet grows\n",
            f"A deployment, medians. {machine}\n",
            _table(("", *sizes, "each further host"), rows),
        )
    )


def render_large(done: LargeProfile, machine: str) -> str:
    """The section about a large archive."""
    large, small = done.ours, done.small
    rows = (
        ("whole command", f"{large.seconds:.1f} s", f"{small.seconds:.1f} s"),
        ("downloads of the archive", f"{done.downloads}", ""),
        ("host program: peak memory", *_pair(done.host.memory_bytes, done.small_host.memory_bytes)),
        ("host program: read from files", *_pair(done.host.read_bytes, done.small_host.read_bytes)),
        ("host program: written", *_pair(done.host.written_bytes, done.small_host.written_bytes)),
        ("controller: largest process", *_pair(large.largest_process_bytes, small.largest_process_bytes)),
        ("controller: all processes together", *_pair(large.memory_bytes, small.memory_bytes)),
    )
    verdicts = "; ".join(
        f"{where} {_megabytes(peak)}, {'met' if peak < MEMORY_LIMIT else 'not met'}"
        for where, peak in (
            ("host", done.host.memory_bytes),
            ("controller, its largest process", large.largest_process_bytes),
            ("controller, all its processes", large.memory_bytes),
        )
    )
    return "\n".join(
        (
            f"## One archive of {_megabytes(done.archive_bytes)}\n",
            f"A tar.gz that holds {_megabytes(done.unpacked_bytes)} in 5,000 files, to one host, once. {machine}\n",
            _table(("What", "This archive", "10 MB zip"), rows),
            "One pass: the bytes are hashed and unpacked while they arrive, and the archive itself is not written. The "
            f"same bytes by `curl` piped into `tar` over ssh, neither verified nor synced: {done.floor.seconds:.1f} s. "
            f"The aim for memory is under {_megabytes(MEMORY_LIMIT)}: {verdicts}.\n",
        )
    )


def replace_section(page: str, name: str, content: str) -> str:
    """The page with that section's content, which takes the place of an older one of the same name."""
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->\n"
    section = f"{begin}\n{content.rstrip()}\n\n{end}"
    if begin in page and end in page:
        before, _, rest = page.partition(begin)
        return before + section + rest.partition(end)[2]
    kept = page if page.startswith(TITLE) else TITLE
    return f"{kept.rstrip()}\n\n{section}"


def _against_the_floor(done: Comparison) -> str:
    if FLOOR not in {way.key for way in done.ways}:
        return ""
    ours = statistics.median(map(staging_and_activation, done.rounds.rows[SCENARIOS[0], OURS]))
    floor = _median(done.rounds, SCENARIOS[0], FLOOR, lambda one: one.seconds)
    return (
        f"Stage and activate of a verified deployment take {ours:.2f} s (median of the rounds), "
        f"**{ours / floor:.2f}** times the unverified shell loop's {floor:.2f} s; the loop's include its connections.\n"
    )


def _figures(done: Comparison, value: Callable[[Measured], float]) -> str:
    rows = [
        (
            scenario,
            *(_spread([value(one) for one in done.rounds.rows[scenario, way.key]]) for way in done.ways),
        )
        for scenario in SCENARIOS
    ]
    return _table(("", *(way.title for way in done.ways)), rows)


def _ratio(rounds: Rounds, scenario: str, key: str) -> float:
    ours = _median(rounds, scenario, OURS, lambda one: one.seconds)
    return _median(rounds, scenario, key, lambda one: one.seconds) / ours


def _median(rounds: Rounds, scenario: str, key: str, value: Callable[[Measured], float]) -> float:
    return statistics.median(value(one) for one in rounds.rows[scenario, key])


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def _pair(large: int, small: int) -> tuple[str, str]:
    return _megabytes(large), _megabytes(small)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"
