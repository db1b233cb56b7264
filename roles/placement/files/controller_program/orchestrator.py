"""Questions to the orchestrator that runs this playbook, over its private socket; without one, answers from here.

ansible-runner writes variables, arguments and environment of its process to disk, so secrets are none of
these, and what the plan says travels the same way: it is never an Ansible variable.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any, NamedTuple

from ansible.errors import AnsibleActionFail

SOCKET_VARIABLE = "ORCHESTRATOR_SOCKET"


def ask(question: dict[str, Any]) -> dict[str, Any]:
    """The orchestrator's answer; it may take as long as the plan takes.

    Raises:
        AnsibleActionFail: there is no orchestrator, or it went away.
    """
    path = os.environ.get(SOCKET_VARIABLE)
    if not path:
        raise AnsibleActionFail("no orchestrator runs this playbook; set release_planner to variables")
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(path)
            connection.sendall(json.dumps(question).encode() + b"\n")
            with connection.makefile("rb") as answer:
                said: dict[str, Any] = json.loads(answer.readline() or b"{}")
    except OSError as error:
        raise AnsibleActionFail(f"the orchestrator does not answer any more: {error.strerror}") from None
    return said


class Taken(NamedTuple):
    """What the orchestrator has made of a connection to a host while ansible started.

    Attributes:
        descriptors: standard input, output and error of a host program that waits there; none where none does.
        failed: the host could not be reached.
        proved: the program has answered already.
    """

    descriptors: tuple[int, ...] = ()
    failed: bool = False
    proved: bool = False


def take_channel(host: str) -> Taken:
    """That host's channel, once."""
    path = os.environ.get(SOCKET_VARIABLE)
    if not path:
        return Taken()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(path)
            connection.sendall(json.dumps({"ask": "channel", "host": host}).encode() + b"\n")
            line, descriptors, _, _ = socket.recv_fds(connection, 4096, 3)
        said = json.loads(line or b"{}")
    except (OSError, ValueError):
        return Taken()
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return Taken(tuple(descriptors), bool(said.get("failed")), bool(said.get("proved")))


def channel_code(host: str) -> int | None:
    """The exit code of the program whose channel was taken; None when it is not known."""
    try:
        code = ask({"ask": "channel_code", "host": host}).get("code")
    except AnsibleActionFail:
        return None
    return code if isinstance(code, int) else None


def fetch_secret(reference: str) -> str:
    """The value behind a reference: asked of the orchestrator where it runs us, else read here."""
    source, _, name = reference.partition(":")
    if os.environ.get(SOCKET_VARIABLE):
        said = ask({"ask": "secret", "reference": reference})
        if "value" not in said:
            raise AnsibleActionFail(f"the secret {reference} is not part of this deployment")
        return str(said["value"])
    try:
        return os.environ[name] if source == "env" else Path(name).read_text(encoding="utf-8").rstrip("\n")
    except (KeyError, OSError, UnicodeDecodeError) as error:
        raise AnsibleActionFail(
            f"the secret {reference} cannot be read ({type(error).__name__}); set it before running the playbook"
        ) from None


def default_run() -> dict[str, Any]:
    """What a plain playbook's receipts say about the run: one identity for all tasks of one process."""
    parent = os.getppid()
    try:
        started = Path(f"/proc/{parent}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[19]
    except OSError:
        started = ""
    actor = os.environ.get("USER", "")
    return {
        "id": f"playbook-{parent}-{started}",
        "time": "",
        "commit": "",
        "plan_id": "",
        "actor": actor,
        "token": None,
    }
