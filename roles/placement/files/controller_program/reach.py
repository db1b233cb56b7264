"""Ansible's own way to a host, for an action that works on all hosts of its play.

Connection, shell and become plugins come from ansible's loader, and their options from the host's variables: ssh's
arguments, host keys, jumps, users and the interpreter are those of any other task.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ansible import constants
from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import become_loader, connection_loader

from controller_program.channel import Command

# Ours is the only process that uses the connection, so there is no master in between, and what it sends is not worth
# compressing: a program of some KB, and archives.
ALONE, COMPRESSION = (b"-o", b"ControlMaster=no", b"-o", b"ControlPath=none"), b"-C"


def action_on(action: ActionBase, name: str, variables: Mapping[str, Any]) -> ActionBase:
    """An action like the given one, on another host; nothing is connected yet.

    Args:
        variables: the host's.
    """
    context = action._play_context.copy()
    context.remote_addr = str(variables.get("ansible_host", name))
    kind = str(variables.get("ansible_connection", "ssh"))
    connection = connection_loader.get(
        kind, context, task_uuid=action._task._uuid, ansible_playbook_pid=str(os.getppid())
    )
    if connection is None:
        raise AnsibleActionFail(f"there is no connection plugin {kind}")
    become = None
    if boolean(variables.get("ansible_become", False)):
        become = become_loader.get(str(variables.get("ansible_become_method", "sudo")))
    connection.set_become_plugin(become)
    for sort, plugin in (("connection", connection), ("shell", connection._shell), ("become", become)):
        if plugin is not None:
            names = constants.config.get_plugin_vars(sort, plugin._load_name)
            plugin.set_options(var_options={one: variables[one] for one in names if one in variables})
    return type(action)(
        task=action._task,
        connection=connection,
        play_context=context,
        loader=action._loader,
        templar=action._templar,
        shared_loader_obj=action._shared_loader_obj,
    )


def command_of(action: ActionBase, command: str, python: str, password: str) -> Command:
    """The local process that ansible would start to run that command, with become, on the action's host.

    Args:
        password: for become; empty: none.
    """
    connection = action._connection
    if password and connection.become is not None:
        connection.become.set_option("become_pass", password)
    taken: list[Any] = []

    def take(words: Any, *given: Any, **options: Any) -> tuple[int, bytes, bytes]:
        taken.append(words)
        return 0, b"", b""

    if connection.transport == "ssh":
        connection._run = take
    elif connection.transport == "local":
        connection.exec_command = take
    else:
        raise AnsibleActionFail(f"hosts are reached by ssh or local, not by {connection.transport}")
    action._low_level_execute_command(command, in_data=b"-", sudoable=True)
    (words,) = taken
    seconds = 2.0
    if connection.transport == "ssh":
        words = [words[0], *ALONE, *(word for word in words[1:] if word != COMPRESSION)]
        seconds += float(connection.get_option("timeout"))
    else:
        words = [constants.DEFAULT_EXECUTABLE or "/bin/sh", "-c", words]
        seconds += 10.0
    return Command(
        words=words,
        cwd=connection.cwd if connection.transport == "local" else None,
        python=python,
        become=connection.become if connection.become is not None and connection.become.success else None,
        password=password,
        timeout_seconds=seconds,
    )
