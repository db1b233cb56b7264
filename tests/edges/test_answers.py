"""What the controller makes of a host program's answer, and of its silence."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest
from controller_program.answers import MARK, of_each, read_answer
from controller_program.said import activated_on

from tests.role_docs import ROLES


def load_plugin() -> ModuleType:
    """The action plugin, imported by its path as ansible does."""
    path = ROLES / "placement" / "action_plugins" / "placement_phase.py"
    spec = importlib.util.spec_from_file_location("placement_phase", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def said(stdout: str = "", stderr: str = "", rc: int = 0) -> dict[str, Any]:
    return {"rc": rc, "stdout": stdout, "stdout_lines": stdout.splitlines(), "stderr": stderr}


def test_answer_is_found_behind_banners_and_lectures() -> None:
    stdout = "Welcome to web1!\nWe trust you have received the usual lecture\n\n"
    assert read_answer(said(stdout + MARK + '{"placements": []}\n'), "python3", ()) == {"placements": []}


@pytest.mark.parametrize(
    ("done", "kind", "words"),
    [
        (said(MARK + '{"placements": [{"app'), "host", "broke off"),
        (said(rc=127, stderr="sh: 1: python3: not found"), "python", "no python3"),
        (said(rc=126, stderr="/opt/python: Permission denied"), "python", "cannot be run"),
        (said(rc=2, stderr="Unknown option: -I\nusage: python"), "python", "no python3"),
        (said(rc=1, stderr="sudo: a password is required"), "permission", "sudo refuses"),
        (said(rc=137), "host", "ended with 137"),
    ],
)
def test_silence_has_a_reason_and_a_remedy(done: dict[str, Any], kind: str, words: str) -> None:
    problem = read_answer(done, "python3", ())["problem"]
    assert problem["kind"] == kind
    assert words in problem["message"]
    assert problem["resolution"]


def test_placements_of_a_silent_host_are_unknown() -> None:
    placements = [{"application": "site", "deployment_path": "/srv/site"}]
    (one,) = of_each(placements, read_answer(said(rc=137), "python3", ()))
    assert (one["application"], one["result"], one["changed"]) == ("site", "unknown", False)
    assert of_each(placements, {"placements": [{"result": "healthy"}]}) == [{"result": "healthy"}]


def test_old_python_is_told_so_before_anything_of_ours_is_compiled() -> None:
    plugin = load_plugin()
    program = f"import sys; sys.version_info = (3, 6, 8)\n{plugin.BOOTSTRAP}"
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    answer = read_answer(said(done.stdout), "python3", ())
    assert answer["problem"]["kind"] == "python"
    assert answer["problem"]["message"] == "this host has Python 3.6"


def test_host_whose_activation_said_nothing_has_vanished() -> None:
    for said in ({"failed": True, "msg": "x"}, {"unreachable": True}, {"problem": {"kind": "host"}}):
        assert activated_on(said) is None
    assert activated_on({}) == []
    assert activated_on({"placements": [1]}) == [1]


def test_program_is_json_that_any_host_can_read() -> None:
    assert json.dumps(load_plugin().program_sources()).isascii()
