"""The rounds: every way does every scenario, in turn, so that a slow minute of the machine is everybody's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.bench.ground import Ground, ssh_masters
from tests.bench.measuring import Measured, measure
from tests.bench.peers import OURS, Way
from tests.bench.site import FILES, Release

SCENARIOS = ("deploy", "nothing to do", "one changed file", "switch back")
Rows = Mapping[tuple[str, str], list[Measured]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """What every way cost in every scenario.

    Attributes:
        rows: (scenario, key of the way) → one for each round.
        hosts: how many.
    """

    rows: Rows
    hosts: int


def run_rounds(ground: Ground, ways: tuple[Way, ...], rounds: int, say: Callable[[str], None]) -> Rounds:
    """Every way has deployed, done nothing, changed one file and switched back, that many times.

    Before the first round each way deploys once without being measured, so that every deployment that counts
    replaces a live site. After each run every host is looked at.

    Raises:
        BenchError: a way failed, or did not do what it was asked for.
    """
    rows: dict[tuple[str, str], list[Measured]] = {(s, way.key): [] for s in SCENARIOS for way in ways}
    first = ground.publish("warm-up", "0.1.0")
    for way in ways:
        say(f"warm-up      {way.title}: {run_way(ground, way, first).seconds:.2f} s")
    live = {first.version}
    for number in range(1, rounds + 1):
        new = ground.publish(f"round {number}", f"{number}.1.0")
        changed = ground.publish(f"round {number}", f"{number}.2.0")
        for way in (way for way in ways if way.key != OURS):
            ground.forget(way.root, live)
        turn = (number - 1) % len(ways)
        for scenario, release in zip(SCENARIOS, (new, new, changed, new), strict=True):
            for way in (*ways[turn:], *ways[:turn]):
                done = run_way(ground, way, release)
                rows[scenario, way.key].append(done)
                say(
                    f"round {number}/{rounds}  {scenario:16} {way.title}: "
                    f"{done.seconds:.2f} s, {done.cpu_seconds:.2f} s of CPU"
                )
        live = {new.version, changed.version}
    return Rounds(rows=rows, hosts=len(ground.hosts))


def run_way(ground: Ground, way: Way, release: Release) -> Measured:
    """What one run of this way cost; the release is live on every host.

    Raises:
        BenchError: it failed, or the release is not live everywhere.
    """
    command = way.prepare(ground, release)
    masters = ground.directory / "masters"
    if way.keeps_connections:
        ssh_masters(ground.hosts, masters)
    try:
        environment = {**ground.environment, **way.environment}
        done = measure(command, environment=environment, directory=ground.directory)
    finally:
        if way.keeps_connections:
            ssh_masters(ground.hosts, masters, leave=True)
    ground.verify(way.root, release.version, FILES)
    return done
