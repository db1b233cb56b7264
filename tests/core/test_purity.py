"""The core is pure: no files, no network, no clock, no environment, no randomness."""

from __future__ import annotations

import ast
from pathlib import Path

CORE = Path(__file__).resolve().parent.parent.parent / "orchestrator" / "core"
ALLOWED = {
    "__future__", "bisect", "collections", "dataclasses", "datetime", "difflib", "enum", "functools", "hashlib", "heapq",
    "ipaddress", "itertools", "jinja2", "json", "jsonschema", "math", "operator", "orchestrator", "packaging", "re",
    "shlex",
    "sys", "tomllib", "types", "typing", "unicodedata", "urllib", "yaml", "graphlib", "string", "zoneinfo",
}  # fmt: skip
CLOCKS = {"now", "utcnow", "today"}
EFFECTS = {"open", "input", "print", "exec", "eval", "__import__"}


def test_core_imports_nothing_that_touches_the_world() -> None:
    for path in CORE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                assert name.split(".")[0] in ALLOWED, f"{path.name} imports {name}"
                assert not name.startswith(("orchestrator.edges", "orchestrator.cli")), path.name
                assert name not in ("urllib.request",), path.name
            if isinstance(node, ast.Attribute):
                assert node.attr not in CLOCKS, f"{path.name} looks at the clock"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in EFFECTS, f"{path.name} calls {node.func.id}"
