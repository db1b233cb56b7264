"""What is asked of an application, by health checks and smoke tests: the types, and how the roles take them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, assert_never

Method = Literal["GET", "HEAD", "OPTIONS", "POST"]
Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpProbe:
    """A request that has to be answered as expected.

    `{version}` stays in every text: it is the version of the release that is live while somebody asks.

    Attributes:
        headers: of the request.
        status: what counts as healthy; empty means any of 200..299.
        body: text that the response has to contain, or empty.
        json: dotted path in the response → what has to be there.
        header: name → value that the response has to have.
        ca_file: certificates that are trusted instead of the system's, a path where it is asked; or empty.
        insecure: nothing is verified.
    """

    url: str
    method: Method = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    status: tuple[int, ...] = ()
    body: str = ""
    json: Mapping[str, Scalar] = field(default_factory=dict)
    header: Mapping[str, str] = field(default_factory=dict)
    ca_file: str = ""
    insecure: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpProbe:
    """A port that has to accept connections."""

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandProbe:
    """A program that has to end with 0; no shell reads it.

    Attributes:
        command: the program and its arguments.
        user: whom it runs as; empty: whoever the deployment works as on the host.
    """

    command: tuple[str, ...]
    user: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemdProbe:
    """A unit that has to be active, and not to be restarted while it is watched."""

    unit: str


Probe = HttpProbe | TcpProbe | CommandProbe | SystemdProbe


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck:
    """How a release proves that it is healthy.

    Attributes:
        probe: its placeholders but `{version}` are filled in once a placement is made.
        origin: who asks. `once`: the controller, one time for the application (nothing that differs between
            hosts is asked for); `controller`: the controller, for each host; `host`: each host itself.
        retries: attempts that may fail.
        interval_seconds: pause between attempts.
        timeout_seconds: of one attempt, from beginning to end.
        deadline_seconds: until it is healthy, all attempts and `initial_delay_seconds` together.
        successes: how many attempts in a row have to succeed.
        stays_healthy_seconds: how long no attempt may fail afterwards.
    """

    probe: Probe
    origin: Literal["once", "controller", "host"]
    retries: int = 10
    interval_seconds: float = 2.0
    timeout_seconds: float = 5.0
    deadline_seconds: float = 60.0
    initial_delay_seconds: float = 0.0
    successes: int = 1
    stays_healthy_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SmokeTest:
    """A test that runs once after an application was deployed to a group of hosts.

    Attributes:
        on: who runs it.
        once: it runs for one host only, and speaks for all of them.
    """

    name: str
    probe: Probe
    on: Literal["host", "controller"]
    once: bool
    timeout_seconds: float


def render_smoke_test(test: SmokeTest) -> dict[str, Any]:
    """Return the test as the roles take it, in plain JSON types."""
    return {
        **render_probe(test.probe),
        "name": test.name,
        "on": test.on,
        "once": test.once,
        "timeout_seconds": test.timeout_seconds,
    }


def render_healthcheck(check: Healthcheck) -> dict[str, Any]:
    """Return the check as the roles take it, in plain JSON types."""
    timing = {name: value for name, value in asdict(check).items() if name != "probe"}
    return {**render_probe(check.probe), **timing}


def render_probe(probe: Probe) -> dict[str, Any]:
    """Return `type` and the settings of that type."""
    settings = {
        name: list(value) if isinstance(value, tuple) else value for name, value in asdict(probe).items()
    }
    return {"type": type_of(probe), **settings}


def type_of(probe: Probe) -> str:
    """Return what documents call the probe's type."""
    match probe:
        case HttpProbe():
            return "http"
        case TcpProbe():
            return "tcp"
        case CommandProbe():
            return "command"
        case SystemdProbe():
            return "systemd"
        case _:
            assert_never(probe)
