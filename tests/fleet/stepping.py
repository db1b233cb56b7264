"""A host's `python3` that stands still at a step of the host program, so that a fault can be injected right there."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.edges.remotes import wait_for
from tests.fleet.hosts import Host

DIRECTORY = "/var/lib/stepping"
PYTHON = f"{DIRECTORY}/python"
# Runs the real program in its own process; it only looks at what the program is about to do.
_PROGRAM = """\
#!/usr/bin/python3 -IS
import json, os, re, sys, time
directory = "/var/lib/stepping"
sources, phase, wanted, reached = sys.stdin.buffer.readline(), "", {}, True
if os.path.exists(directory + "/replace.json"):
    with open(directory + "/replace.json") as file:
        old, new = json.load(file)
    program = json.loads(sources)
    names = [name for name, text in program["source"].items() if old in text]
    assert len(names) == 1 and program["source"][names[0]].count(old) == 1, old
    program["source"][names[0]] = program["source"][names[0]].replace(old, new)
    program["code"].pop(names[0], None)
    sources = json.dumps(program).encode() + b"\\n"
def begin(asked):
    global phase, wanted, reached
    request, reached = json.loads(asked), True
    phase = request["phase"]
    try:
        with open(directory + "/wanted.json") as file:
            wanted = json.load(file)
    except FileNotFoundError:
        wanted = {}
    reached = request["check"] or wanted.get("phase") != phase
    look("begin", phase)
def look(event, detail):
    global reached
    if reached or event != wanted["event"] or not re.search(wanted["match"], detail):
        return
    wanted["number"] -= 1
    if wanted["number"] > 0:
        return
    reached = True
    with open(directory + "/held", "w") as file:
        file.write(str(os.getpid()))
    while os.path.exists(directory + "/wanted.json"):
        time.sleep(0.01)
class Output:
    def write(self, text):
        look("end", text)
        return sys.__stdout__.write(text)
    def flush(self):
        sys.__stdout__.flush()
class Buffer:
    unread = [sources]
    def readline(self):
        if self.unread:
            return self.unread.pop()
        line = sys.__stdin__.buffer.readline()
        if line:
            begin(line)
        return line
    def read(self, size):
        return sys.__stdin__.buffer.read(size)
class Input:
    buffer = Buffer()
sys.stdin, sys.stdout = Input, Output()
sys.addaudithook(lambda event, arguments: reached or look(event, repr(arguments)))
exec(compile(sys.argv[-1], "<bootstrap>", "exec"), {"__name__": "__main__"})
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What the host program is about to do.

    Attributes:
        phase: `observe`, `stage`, `activate`, `smoke`, `confirm`, `rollback`, …
        event: `begin` or `end` of the phase (all is done, nothing is answered yet), or an audit event of Python
            such as `os.rename`.
        match: a regular expression that its arguments have to match, as Python shows them.
        number: the how manieth of those that do.
    """

    phase: str
    event: str = "begin"
    match: str = ""
    number: int = 1

    def __str__(self) -> str:
        return " ".join(filter(None, (self.phase, self.event, self.match)))


DOWNLOADING = Step(phase="stage", event="open", match=r"\.download")
UNPACKING = Step(phase="stage", event="open", match=r"\.release/")
PLACING = Step(phase="stage", event="os.rename", match=r"\.release'.*/releases/")
RECORDED = Step(phase="activate", event="os.symlink", match="releases/")
SWITCHING = Step(phase="activate", event="os.rename", match="/current'")
SWITCHED = Step(phase="activate", event="open", match="receipt.json.new", number=2)


def install(*hosts: Host) -> None:
    """`PYTHON` is there, to be named as the hosts' `python`."""
    for host in hosts:
        host.run(
            f"mkdir -p {DIRECTORY}; rm -f {DIRECTORY}/held; cat > {PYTHON}; chmod 755 {PYTHON}",
            stdin=_PROGRAM,
        )


def hold(host: Host, step: Step) -> None:
    """The next program that reaches that step stands still there."""
    wanted = {"phase": step.phase, "event": step.event, "match": step.match, "number": step.number}
    host.run(
        f"rm -f {DIRECTORY}/held; cat > {DIRECTORY}/wanted.json.new; "
        f"mv {DIRECTORY}/wanted.json.new {DIRECTORY}/wanted.json",
        stdin=json.dumps(wanted),
    )


def wait_held(host: Host, seconds: float = 60) -> int:
    """The process that stands still, when it does."""
    wait_for(lambda: host.run(f"test -s {DIRECTORY}/held", check=False).returncode == 0, seconds)
    return int(host.run(f"cat {DIRECTORY}/held").stdout)


def replace(host: Host, old: str, new: str) -> None:
    """The host program is changed in that place: a wait that is too long for a test."""
    host.run(f"cat > {DIRECTORY}/replace.json", stdin=json.dumps([old, new]))


def go_on(*hosts: Host) -> None:
    """Nothing is held any more."""
    for host in hosts:
        host.run(f"rm -f {DIRECTORY}/wanted.json")


def end(*hosts: Host) -> None:
    """Nothing is held or replaced any more."""
    for host in hosts:
        host.run(f"rm -f {DIRECTORY}/*.json")
