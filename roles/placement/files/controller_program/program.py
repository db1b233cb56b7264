"""The host program as it travels: a line of python that starts it, and the modules that this reads first."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

PROGRAMS = Path(__file__).resolve().parent.parent
BOOTSTRAP = """\
import sys,json
if sys.version_info<(3,9):
 a={"placements":[],"problem":{"kind":"python","message":"this host has Python %d.%d"%sys.version_info[:2],
 "resolution":"install Python 3.9 or later there, or set `python`"}}
 print("\\nORCHESTRATOR-ANSWER "+json.dumps(a))
 sys.exit()
import importlib.util as u
i=sys.stdin.buffer
s=json.loads(i.readline())
class F:
 def find_spec(self,n,p=None,t=None):
  if n in s:return u.spec_from_loader(n,self,is_package=n=="host_program")
 def create_module(self,m):return None
 def exec_module(self,m):exec(compile(s[m.__name__],m.__name__,"exec"),m.__dict__)
sys.meta_path.insert(0,F())
from host_program.main import serve
serve(i)
"""


def command_line(python: str) -> str:
    """What starts the program on a host.

    Args:
        python: the interpreter there, as a word of a shell.
    """
    return f"{python} -I -S -X utf8 -c {shlex.quote(BOOTSTRAP)}"


def first_line() -> bytes:
    """What the program reads before its first request."""
    return json.dumps(program_sources()).encode() + b"\n"


def program_sources() -> dict[str, str]:
    """The host program's modules by name."""
    return {
        "host_program" if path.stem == "__init__" else f"host_program.{path.stem}": path.read_text("utf-8")
        for path in sorted((PROGRAMS / "host_program").glob("*.py"))
    }
