"""Asking until something is healthy, and stays so, or its time is over. The controller uses this module too."""

from __future__ import annotations

import time

from host_program import probes

SHORTEST_SECONDS = 0.1
VERSION = "{version}"
VERSIONED = ("url", "body", "json", "header", "headers", "command")


def check_all(checks, check=None):
    """Whether all of them are healthy, asked at the same time, and what was seen.

    Returns:
        (healthy, one sentence); when some are not healthy it is about these.
    """
    check = check or check_health
    if len(checks) == 1:
        return check(checks[0])
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=max(1, len(checks))) as pool:
        found = list(pool.map(check, checks))
    said = [message for healthy, message in found if not healthy]
    return not said, "; ".join(said or [message for _, message in found])


def for_version(check, version):
    """The check with `{version}` filled in: of the release that is live while it is asked."""
    return {**check, **{name: _fill(check[name], version) for name in VERSIONED if name in check}}


def check_health(check, clock=time.monotonic, sleep=time.sleep):
    """Whether it got healthy and stayed so, and what the last attempt saw.

    Args:
        check: `type` and what that needs, see `controller_program.checks`; `initial_delay_seconds`, `retries`
            (attempts that may fail), `interval_seconds`, `timeout_seconds` (of one attempt), `deadline_seconds`
            (until it is healthy, all attempts and the delay together), `successes` (in a row) and
            `stays_healthy_seconds` (how long no attempt may fail afterwards).

    Returns:
        (healthy, one sentence).
    """
    started, look = clock(), probes.make_probe(check)
    deadline, attempts, failures, successes = check["deadline_seconds"], 0, 0, 0
    sleep(min(check["initial_delay_seconds"], deadline))
    while True:
        attempts += 1
        left = deadline - (clock() - started)
        healthy, seen = look(max(SHORTEST_SECONDS, min(check["timeout_seconds"], left)))
        took = clock() - started
        successes = successes + 1 if healthy else 0
        failures += 0 if healthy else 1
        if successes >= check["successes"]:
            break
        if failures > check["retries"] or took + check["interval_seconds"] >= deadline:
            if healthy:
                seen += ", only {} of {} times in a row".format(successes, check["successes"])
            return False, _summary(check, seen, attempts, took)
        sleep(check["interval_seconds"])
    return _watch(check, look, (healthy, seen), attempts, started, clock, sleep)


def _watch(check, look, found, attempts, started, clock, sleep):
    """It is healthy, and has to be so at every look until its time is over."""
    begun = clock()
    until = begun + check["stays_healthy_seconds"]
    while found[0] and clock() < until:
        sleep(min(max(check["interval_seconds"], SHORTEST_SECONDS), max(0.0, until - clock())))
        attempts += 1
        found = look(check["timeout_seconds"])
        if not found[0]:
            seen = "{}, {:.1f} s after it was healthy".format(found[1], clock() - begun)
            return False, _summary(check, seen, attempts, clock() - started)
    return True, _summary(check, found[1], attempts, clock() - started)


def _summary(check, seen, attempts, took):
    return "{} {} after {} attempt{}, {:.1f} s".format(
        probes.subject(check), seen, attempts, "" if attempts == 1 else "s", took
    )


def _fill(value, version):
    if isinstance(value, str):
        return value.replace(VERSION, version)
    if isinstance(value, dict):
        return {name: _fill(one, version) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_fill(one, version) for one in value]
    return value
