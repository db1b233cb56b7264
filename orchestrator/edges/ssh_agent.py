"""Private keys that lie in environment variables: in an agent of our own, never on a disk."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator

from orchestrator.core.model import Host, Reference
from orchestrator.edges.credentials import SecretSource
from orchestrator.errors import AnsibleError


@contextlib.contextmanager
def keys_in_agent(hosts: tuple[Host, ...], secrets: SecretSource) -> Iterator[str]:
    """While the context is open, ssh finds these hosts' keys of environment variables in the agent at that socket.

    Where no key lies in one there is no agent, and the socket is empty.
    """
    keys = {
        host.private_key
        for host in hosts
        if isinstance(host.private_key, Reference) and host.private_key.source == "env"
    }
    if not keys:
        yield ""
        return
    agent = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    found = dict(part.split(";")[0].split("=", 1) for part in agent.splitlines() if "=" in part)
    before = {name: os.environ.get(name) for name in found}
    os.environ.update(found)
    try:
        for key in sorted(keys, key=str):
            text = secrets.value(key).rstrip("\n") + "\n"
            added = subprocess.run(
                ["ssh-add", "-q", "-"], input=text, text=True, capture_output=True, check=False
            )
            if added.returncode != 0:
                raise AnsibleError(
                    f"the private key in {key} cannot be used",
                    resolution="it has to be an OpenSSH private key without a passphrase",
                )
        yield found["SSH_AUTH_SOCK"]
    finally:
        with contextlib.suppress(ProcessLookupError, KeyError, ValueError):
            os.kill(int(found["SSH_AGENT_PID"]), 15)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
