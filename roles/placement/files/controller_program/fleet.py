"""All hosts of a play, worked on at once by one action: a thread and a channel for each, reports as they come."""

from __future__ import annotations

import copy
import functools
import json
import os
import resource
import select
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from host_program.problems import from_defect

from controller_program import answers, orchestrator, program, reach
from controller_program.channel import Channel, Command, LostError, Waiting

IDLE_SECONDS = 20.0
KEPT_CHANNELS = 200
DESCRIPTORS = 8192
DESCRIPTORS_OF_A_PROGRAM = 3
NOTHING_TAKEN = (None, False)
PHASES = {"rollback": "undo", "absent": "prune"}
Start = Callable[[], Command]


class Link:
    """The way to one host's program, which is started when it is asked, and again when it was lost.

    Args:
        start: how it is started; called in the thread that asks.
        program: what it reads first.
        keeps: the program stays for further requests.
        take: one that waits already, or None, and whether somebody could not reach the host just now; asked once.
    """

    def __init__(
        self,
        start: Start,
        program: bytes,
        *,
        keeps: bool,
        take: Callable[[], tuple[Waiting | None, bool]] = lambda: NOTHING_TAKEN,
    ) -> None:
        self._start, self._program, self._keeps, self._take = start, program, keeps, take
        self._tried = False
        self._command: Command | None = None
        self._channel: Channel | None = None

    def ask(
        self, request: dict[str, Any], secrets: tuple[str, ...], uploads: Iterable[Path] = ()
    ) -> dict[str, Any]:
        """The host program's answer; where it gives none, the problem that its silence means.

        A connection that breaks is made once more: every phase may be done again.

        Raises:
            AnsibleConnectionFailure: the host cannot be reached.
            AnsibleActionFail: it does not let us become who we have to be.
        """
        line = json.dumps(request).encode() + b"\n"
        if self._command is None:
            self._command = self._start()
        attempt = 0
        while True:
            attempt += 1
            channel: Channel | None = None
            try:
                channel = self._open(self._command)
                answer = channel.ask(line, tuple(uploads))
            except LostError as lost:
                self.close()
                if channel is not None and channel.is_untried:
                    attempt = 0  # why, the next one says
                    continue
                if lost.refused:
                    raise AnsibleActionFail(lost.refused) from None
                if not lost.is_unreachable:
                    said: dict[str, Any] = answers.read_answer(lost.done, self._command.python, secrets)
                    return said
                if attempt + self._tried >= 2:
                    why = lost.done["stderr"].strip()
                    raise AnsibleConnectionFailure(f"Failed to connect to the host via ssh: {why}") from None
            except OSError as error:
                self.close()
                raise AnsibleActionFail(f"ssh cannot be run here: {error.strerror}") from None
            else:
                if not self._keeps:
                    self.close(wait=True)
                return answers.parse_answer(answer)

    def close(self, *, wait: bool = False) -> None:
        """The program ends, and has ended when we `wait`; the next question starts another."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close(wait=wait)

    def _open(self, command: Command) -> Channel:
        channel = self._channel
        # What was silent for long may have been forgotten by something in between.
        if channel is not None and (time.monotonic() - channel.used > IDLE_SECONDS or not channel.is_open()):
            self.close()
        if self._channel is None:
            take, self._take = self._take, lambda: NOTHING_TAKEN
            waiting, self._tried = take()
            self._channel = Channel(command, self._program, waiting)
        return self._channel


class Fleet:
    """Actions on all hosts.

    Args:
        actions: host → the action that does its phases, by `perform(phase, arguments, host)`; it has a `link`.
        forks: how many hosts are worked on at once.
    """

    def __init__(self, actions: Mapping[str, Any], forks: int) -> None:
        self._actions = actions
        self._pool = ThreadPoolExecutor(max_workers=max(1, min(forks, len(actions) or 1)))

    def each(
        self, phase: str, hosts: Iterable[str], arguments: Callable[[str], dict[str, Any]]
    ) -> dict[str, dict[str, Any]]:
        """Host → what the phase ended with there, as a task's result; the orchestrator has been told.

        Raises:
            AnsibleActionFail: the orchestrator has ended; nothing more was begun.
        """
        running = {
            name: self._pool.submit(self._one, phase, name, arguments)
            for name in hosts
            if name in self._actions
        }
        return {name: future.result() for name, future in running.items()}

    def close(self, hosts: Iterable[str] | None = None) -> None:
        """The programs on these hosts, or on all, end."""
        for name in self._actions if hosts is None else hosts:
            self._actions[name].link.close()

    def _one(self, phase: str, name: str, arguments: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
        report(phase, name, "started", {})
        status = "ok"
        try:
            result: dict[str, Any] = self._actions[name].perform(phase, copy.deepcopy(arguments(name)), name)
            if result.get("failed"):
                status = "failed"
        except AnsibleConnectionFailure as error:
            status, result = "unreachable", {"unreachable": True, "msg": str(error)}
        except AnsibleError as error:
            status, result = "failed", {"failed": True, "msg": str(error)}
        except Exception as error:
            problem = from_defect(error).as_json()
            status, result = "failed", {"failed": True, "msg": problem["message"], "problem": problem}
        report(phase, name, status, result)
        return result


def report(phase: str, host: str, status: str, result: dict[str, Any]) -> None:
    """The orchestrator knows it.

    Raises:
        AnsibleActionFail: it has ended, or is ending.
    """
    told = {"host": host, "phase": PHASES.get(phase, phase), "status": status, "result": result}
    said = orchestrator.ask({"ask": "report", **told})
    if "error" in said:
        raise AnsibleActionFail(said["error"])


def open_fleet(action: Any, hosts: Mapping[str, Mapping[str, Any]], forks: int) -> Fleet:
    """The fleet of these hosts.

    Args:
        hosts: name → variables.
    """
    _allow_descriptors()
    making, actions, first_line = threading.Lock(), {}, program.first_line()

    def start(one: Any, variables: Mapping[str, Any]) -> Start:
        def command() -> Command:
            with making:  # ansible's plugins are not made for threads
                python = one.python_of(variables)
                line = program.command_line(python)
                return reach.command_of(one, line, python, one.password_of(variables))

        return command

    for name, variables in hosts.items():
        one = actions[name] = reach.action_on(action, name, variables)
        one.link = Link(
            start(one, variables),
            first_line,
            keeps=len(hosts) <= KEPT_CHANNELS,
            take=functools.partial(take_over, name),
        )
    return Fleet(actions, forks)


def take_over(host: str) -> tuple[Waiting | None, bool]:
    """The program that the orchestrator has started there while ansible started, and whether it could not."""
    taken = orchestrator.take_channel(host)
    if len(taken.descriptors) != DESCRIPTORS_OF_A_PROGRAM:
        return None, taken.failed
    code = functools.partial(orchestrator.channel_code, host)
    return Waiting(taken.descriptors, code, is_proved=taken.proved), False


def end_with_parent() -> None:
    """This process ends when the playbook's does: workers outlive a playbook that is killed."""
    try:
        parent = os.pidfd_open(os.getppid())
    except (AttributeError, OSError):
        return

    def watch() -> None:
        select.select([parent], [], [])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _allow_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
