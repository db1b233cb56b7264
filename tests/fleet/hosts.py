"""Real test hosts: systemd and sshd in containers, on a network of their own.

    python -m tests.fleet.hosts image                    build or find the image, print its name
    python -m tests.fleet.hosts up 3 [--prefix P]        start P's hosts host1 … host3, print them
    python -m tests.fleet.hosts up --names web,db        the same, by name
    python -m tests.fleet.hosts list [--prefix P] [--json]
    python -m tests.fleet.hosts down [--prefix P]        remove P's hosts, network and keys

Hosts of `up` stay until `down`. Those that a test session starts go with it, or, when it was killed, with the
next one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from tests.fleet.fleet import Fleet
from tests.fleet.host import Host, HostFactory, HostSpec
from tests.fleet.image import ensure_image
from tests.fleet.podman import FleetError, unavailable_reason
from tests.fleet.sessions import describe, remove, remove_stale
from tests.fleet.snapshot import LOGIN_TRACES, Entry, Snapshot, changes

__all__ = [
    "LOGIN_TRACES",
    "Entry",
    "Fleet",
    "FleetError",
    "Host",
    "HostFactory",
    "HostSpec",
    "Snapshot",
    "changes",
    "describe",
    "ensure_image",
    "remove",
    "remove_stale",
    "unavailable_reason",
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; 0, or 1 with one line on standard error."""
    parser = argparse.ArgumentParser(prog="python -m tests.fleet.hosts", description="Real test hosts.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("image", help="build or find the image, print its name")
    up = commands.add_parser("up", help="start hosts that stay until `down`")
    up.add_argument("count", type=int, nargs="?", default=0)
    up.add_argument("--names", default="", help="comma-separated, instead of or besides a count")
    listing = commands.add_parser("list", help="print the hosts that `up` started")
    for command in (up, listing):
        command.add_argument("--json", action="store_true")
    for command in (up, listing, commands.add_parser("down", help="remove hosts, network and keys")):
        command.add_argument("--prefix", default="manual", help="which fleet (default: %(default)s)")
    options = parser.parse_args(arguments)
    reason = unavailable_reason()
    if reason is not None:
        print(reason, file=sys.stderr)  # noqa: T201
        return 1
    try:
        _run(options)
    except FleetError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _run(options: argparse.Namespace) -> None:
    match options.command:
        case "image":
            print(ensure_image())  # noqa: T201
        case "up":
            names = [name for name in options.names.split(",") if name]
            names += [f"host{number}" for number in range(1, options.count + 1)]
            fleet = Fleet.create(options.prefix, kept=True)
            try:
                fleet.start(*(HostSpec(name=name) for name in names))
            except BaseException:
                fleet.close()
                raise
            _print(options.prefix, as_json=options.json)
        case "list":
            _print(options.prefix, as_json=options.json)
        case "down":
            remove(options.prefix)


def _print(session: str, *, as_json: bool) -> None:
    hosts = describe(session)
    if as_json:
        print(json.dumps(hosts, indent=2))  # noqa: T201
        return
    for host in hosts:
        print(f"{host['name']}\tssh -i {host['private_key']} deploy@{host['address']}")  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
