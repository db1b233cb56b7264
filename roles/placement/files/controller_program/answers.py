"""The host program's answer as a task result."""

from __future__ import annotations

import json
from typing import Any

from ansible.module_utils.common.text.converters import to_text

from controller_program.program import MARK

TOLERANT = ("activate", "once", "smoke")


def read_answer(done: dict[str, Any], python: str, secrets: tuple[str, ...]) -> dict[str, Any]:
    """The host program's answer, or the problem that its silence means.

    Args:
        done: `rc`, `stdout`, `stdout_lines`, `stderr` of the program.
        python: the interpreter that was asked for.
        secrets: values that must not be repeated.
    """
    for line in done["stdout_lines"]:
        if line.startswith(MARK):
            return parse_answer(line[len(MARK) :])
    said = to_text(done.get("stderr", "") + " " + done.get("stdout", "")).strip()
    for secret in secrets:
        said = said.replace(secret, "***") if secret else said
    tail = " ".join(said.splitlines()[-3:])[-400:]
    if done["rc"] == 126:
        return silent(
            "python",
            f"{python} cannot be run on this host: {tail}",
            "check its rights, and the mount's noexec",
        )
    if done["rc"] == 127 or "not found" in tail or "No such file" in tail or "Unknown option: -I" in tail:
        return silent(
            "python", f"there is no {python} on this host", "install Python 3.9 or later, or set `python`"
        )
    if "password" in tail.lower() or "sudo" in tail.lower():
        return silent("permission", f"sudo refuses: {tail}", "check become, become_user and become_password")
    message = f"the host program ended with {done['rc']} and no answer: {tail}"
    return silent(
        "host", message, "log in as this user and look; a killed process may mean too little memory"
    )


def parse_answer(text: str) -> dict[str, Any]:
    """The host program's answer, without its mark."""
    try:
        answer: dict[str, Any] = json.loads(text)
    except ValueError:
        return silent(
            "host", "the host program's answer broke off", "check the connection, then run it again"
        )
    return answer


def silent(kind: str, message: str, resolution: str) -> dict[str, Any]:
    """An answer for a host that gave none."""
    problem = {"kind": kind, "message": message, "resolution": resolution}
    return {"placements": [], "problem": problem}


def of_each(placements: list[dict[str, Any]], answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The answer's placements; where the host gave none, each is unknown for the reason of its silence."""
    problem = answer.get("problem")
    if problem is None:
        return list(answer["placements"])
    return [
        {
            "application": one["application"],
            "deployment_path": one["deployment_path"],
            "changed": False,
            "result": "unknown",
            "message": problem["message"],
            "problem": problem,
        }
        for one in placements
    ]


def finish(phase: str, answer: dict[str, Any]) -> dict[str, Any]:
    """The answer as a task result; activation never fails by itself, the verdict decides about it."""
    problems = [one["problem"] for one in answer["placements"] if one.get("problem")]
    if answer.get("problem"):
        problems.insert(0, answer["problem"])
    result = {**answer, "changed": any(one["changed"] for one in answer["placements"])}
    if problems:
        result["problem"] = problems[0]
        said = dict.fromkeys(
            f"{one['message']} ({one['resolution']})" if one["resolution"] else one["message"]
            for one in problems
        )
        result["msg"] = "; ".join(said)
        result["failed"] = phase not in TOLERANT
    return result
