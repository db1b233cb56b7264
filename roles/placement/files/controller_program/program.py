"""The host program as it travels: a line of python that starts it, and the modules that this reads first."""

from __future__ import annotations

import base64
import json
import marshal
import shlex
from importlib.machinery import SourceFileLoader
from importlib.util import MAGIC_NUMBER
from pathlib import Path

MARK = "ORCHESTRATOR-ANSWER "
PROGRAMS = Path(__file__).resolve().parent.parent
BOOTSTRAP = """\
import sys,json
if sys.version_info<(3,9):
 a={"placements":[],"problem":{"kind":"python","message":"this host has Python %d.%d"%sys.version_info[:2],
 "resolution":"install Python 3.9 or later there, or set `python`"}}
 print("\\nORCHESTRATOR-ANSWER "+json.dumps(a))
 sys.exit()
import importlib.util as u,marshal,binascii
i=sys.stdin.buffer
s=json.loads(i.readline())
k=s["code"] if s["magic"]==u.MAGIC_NUMBER.hex() else {}
s=s["source"]
class F:
 def find_spec(self,n,p=None,t=None):
  if n in s:return u.spec_from_loader(n,self,is_package=n=="host_program")
 def create_module(self,m):return None
 def exec_module(self,m):
  n=m.__name__
  exec(marshal.loads(binascii.a2b_base64(k[n])) if n in k else compile(s[n],n,"exec"),m.__dict__)
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
    """What the program reads before its first request: its modules, and what they compile to.

    Compiling costs a host more CPU than observing; one with this machine's bytecode need not do it.
    """
    program = {"magic": MAGIC_NUMBER.hex(), "code": compiled_modules(), "source": program_sources()}
    return json.dumps(program).encode() + b"\n"


def program_sources() -> dict[str, str]:
    """The host program's modules by name."""
    return {name: path.read_text("utf-8") for name, path in _modules().items()}


def compiled_modules() -> dict[str, str]:
    """Their code, marshalled, in base64; taken from Python's own cache where that is up to date."""
    found = {}
    for name, path in _modules().items():
        code = SourceFileLoader(name, str(path)).get_code(name)
        found[name] = base64.b64encode(marshal.dumps(code)).decode()
    return found


def _modules() -> dict[str, Path]:
    return {
        "host_program" if path.stem == "__init__" else f"host_program.{path.stem}": path
        for path in sorted((PROGRAMS / "host_program").glob("*.py"))
    }
