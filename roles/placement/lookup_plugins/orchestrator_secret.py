"""`lookup('orchestrator_secret', orchestrator_secrets.NAME)`: the value of a secret that documents refer to."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: orchestrator_secret
short_description: The value of a secret that documents refer to
description:
  - Asked of the orchestrator that runs the playbook; without one, read here.
  - Only secrets of this deployment are answered.
  - Give the task that uses it C(no_log).
options:
  _terms:
    description: References, each C({env NAME}) or C({file PATH}).
    required: true
"""
FILE = Path(__file__).resolve().parent.parent / "files" / "controller_program" / "orchestrator.py"


class LookupModule(LookupBase):  # type: ignore[misc]
    """See `DOCUMENTATION`."""

    def run(self, terms: list[Any], variables: Any = None, **options: Any) -> list[str]:
        """The values, one for each reference."""
        return [_fetch(term) for term in terms]


def _fetch(term: Any) -> str:
    pairs = [(source, name) for source, name in term.items() if name] if isinstance(term, Mapping) else []
    if len(pairs) != 1 or pairs[0][0] not in ("env", "file"):
        raise AnsibleError("a secret is a reference, {env: NAME} or {file: PATH}; see orchestrator_secrets")
    value: str = _orchestrator().fetch_secret(f"{pairs[0][0]}:{pairs[0][1]}")
    return value


def _orchestrator() -> Any:
    name = "orchestrator_secret_source"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, FILE)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]
