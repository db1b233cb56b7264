"""The tests that run after a deployment: parsed once for an application, filled in for each host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.core.checks import CommandProbe, SmokeTest
from orchestrator.core.model import Host
from orchestrator.core.probes import fill_probe, is_per_host, parse_probe
from orchestrator.core.settings import Settings
from orchestrator.core.violations import Path, Report, quote

_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SmokeTemplate:
    """A smoke test before it is known on which host.

    Attributes:
        test: its texts still have placeholders.
        port: what `{port}` becomes; None: the host's port.
    """

    test: SmokeTest
    port: int | None

    def fill(self, host: Host, deployment_path: str) -> SmokeTest:
        """Return the test of a placement on `host`."""
        current = f"{deployment_path}/current"
        return replace(self.test, probe=fill_probe(self.test.probe, host, port=self.port, current=current))


def parse_smoke(
    raw: list[Mapping[str, Any] | None], settings: Settings, report: Report, path: Path
) -> tuple[SmokeTemplate, ...]:
    """Return the smoke tests in the list at `path`."""
    found: list[SmokeTemplate] = []
    names: set[str] = set()
    for index, one in enumerate(raw):
        if one is None:
            continue
        here = (*path, index)
        name = one.get("name", "")
        if "name" not in one and (*here, "name") not in report.bad:
            report.add(here, '"name" is missing; add it, reports show it')
        elif name and name in names:
            report.add((*here, "name"), f"{quote(name)} is the name of another test; give each its own")
        names.add(name)
        template = _parse_test(one, settings, report, here)
        if template is not None:
            found.append(template)
    return tuple(found)


def _parse_test(
    raw: Mapping[str, Any], settings: Settings, report: Report, path: Path
) -> SmokeTemplate | None:
    is_command = "command" in raw or (*path, "command") in report.bad
    probe = parse_probe({"type": "command" if is_command else "http", **raw}, report, path)
    if probe is None:
        return None
    on = raw.get("on", "host")
    if on == "controller" and isinstance(probe, CommandProbe):
        if not settings.controller_commands:
            message = "documents run no command on the controller unless orchestrator.toml allows it"
            remedy = 'write controller_commands = true there, or use "on": "host" or a `url`'
            report.add((*path, "on"), f"{message}; {remedy}")
        if "user" in raw:
            message = "on the controller a command runs as whoever deploys; remove this"
            report.add((*path, "user"), message)
    # What does not differ between hosts is asked once from the controller, as with health checks.
    same = on == "controller" and not isinstance(probe, CommandProbe) and not is_per_host(probe)
    test = SmokeTest(
        name=raw.get("name", ""),
        probe=probe,
        on=on,
        once=raw.get("once", same),
        timeout_seconds=float(raw.get("timeout_seconds", _TIMEOUT_SECONDS)),
    )
    return SmokeTemplate(test=test, port=raw.get("port"))
