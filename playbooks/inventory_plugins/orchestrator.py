"""The inventory that the orchestrator writes while ansible starts: waits until it is there, then reads it as YAML."""

from __future__ import annotations

import json
import os
import socket
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible.plugins.loader import inventory_loader

DOCUMENTATION = """
name: orchestrator
short_description: The inventory of the orchestrator that runs this playbook
description:
  - Waits for the orchestrator's word that the file is written, then reads it as the plugin C(yaml) does.
options: {}
"""

SOCKET_VARIABLE = "ORCHESTRATOR_SOCKET"


class InventoryModule(BaseInventoryPlugin):  # type: ignore[misc]
    """See DOCUMENTATION."""

    NAME = "orchestrator"

    def verify_file(self, path: str) -> bool:
        """Whether that is the orchestrator's inventory."""
        return SOCKET_VARIABLE in os.environ and path.endswith("hosts.yml")

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """The inventory has the orchestrator's hosts."""

        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.connect(os.environ[SOCKET_VARIABLE])
                connection.sendall(json.dumps({"ask": "inventory"}).encode() + b"\n")
                with connection.makefile("rb") as answer:
                    said = json.loads(answer.readline() or '{"error": "the orchestrator has ended"}')
        except OSError as error:
            raise AnsibleParserError(f"the orchestrator does not answer: {error.strerror}") from None
        if "error" in said:
            raise AnsibleParserError(said["error"])
        inventory_loader.get("yaml").parse(inventory, loader, path, cache=False)
