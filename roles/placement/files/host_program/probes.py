"""One look at whether something is healthy: an HTTP answer, an open port, a command, a unit's state.

What a type needs is imported for that type: an import costs more than the look.
"""

from __future__ import annotations

import socket


def subject(check):
    """What is looked at, for messages."""
    if check["type"] == "http":
        return check["url"]
    if check["type"] == "tcp":
        return "{} port {}".format(check["host"], check["port"])
    if check["type"] == "command":
        from host_program import commands

        return commands.describe(check["command"])
    return check["unit"]


def make_probe(check):
    """A function of the seconds that one look may take, which returns (healthy, what was seen)."""
    if check["type"] == "http":
        from host_program import http_probe

        return lambda seconds: http_probe.ask(check, seconds)
    if check["type"] == "tcp":
        from host_program.deadlines import bounded

        return lambda seconds: bounded(seconds, lambda cut: _connect(check, seconds))
    if check["type"] == "command":
        return lambda seconds: run(check, seconds)
    return _Unit(check["unit"])


def run(check, seconds, environment=None):
    """Whether the check's command ends with 0, and the end of its output when it does not."""
    from host_program import commands

    try:
        code, output = commands.run(check["command"], seconds, check["user"], environment)
    except commands.CommandError as error:
        return False, str(error)
    if code == 0:
        return True, "succeeded"
    said = commands.tail(output)
    if code is None:
        how = "did not end within {:.1f} s".format(seconds)
    elif code < 0:
        how = "was ended by {}".format(_signal_name(-code))
    else:
        how = "ended with {}".format(code)
    return False, "{}: {}".format(how, said) if said else how


def _signal_name(number):
    import signal

    try:
        return signal.Signals(number).name
    except ValueError:
        return "signal {}".format(number)


def _connect(check, seconds):
    try:
        socket.create_connection((check["host"], check["port"]), timeout=seconds).close()
    except socket.timeout:
        return False, "did not answer within {:.1f} s".format(seconds)
    return True, "accepts connections"


class _Unit:
    """Looks at a unit of systemd; one that was restarted since the last look is not healthy."""

    def __init__(self, unit):
        self._unit, self._invocation = unit, ""

    def __call__(self, seconds):
        from host_program import commands

        arguments = [
            "systemctl",
            "show",
            "--property=LoadState,ActiveState,SubState,Result,InvocationID",
            "--",
            self._unit,
        ]
        try:
            code, output = commands.run(arguments, seconds)
        except commands.CommandError as error:
            return False, "systemctl {}".format(error)
        if code != 0:
            return False, "is not known to systemctl: {}".format(commands.tail(output) or "it did not answer")
        state = dict(line.partition("=")[::2] for line in output.decode("utf-8", "replace").splitlines())
        return self._judge(state)

    def _judge(self, state):
        before, self._invocation = self._invocation, state.get("InvocationID", "")
        if state.get("LoadState") == "not-found":
            return False, "is no unit of this host"
        found = "is {} ({})".format(state.get("ActiveState", "unknown"), state.get("SubState", "unknown"))
        if state.get("ActiveState") != "active":
            result = state.get("Result", "success")
            return False, found if result == "success" else "{}, its last result is {}".format(found, result)
        if before and before != self._invocation:
            return False, "{}, and was restarted meanwhile".format(found)
        return True, found
