"""What git is told, and what it answers: words of git 2.39 and of the hooks of git hosts."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from orchestrator.edges.git_process import (
    Answer,
    GitFailureError,
    GitProcess,
    base_environment,
    said,
    with_settings,
)
from orchestrator.edges.push_answers import judge_push, push_words

REF = "1b312fc8:refs/heads/orchestrator/ledger"


def answer(reason: str = "", errors: str = "", code: int | None = 1) -> Answer:
    output = f"To x\n!\t{REF}\t{reason}\nDone\n" if reason else ""
    return Answer(code=code, output=output.encode(), errors=errors)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (answer(code=0), "done"),
        (answer("[rejected] (stale info)"), "raced"),
        (answer("[rejected] (fetch first)"), "raced"),
        (answer("[rejected] (non-fast-forward)"), "raced"),
        (answer("[remote rejected] (failed to update ref)"), "raced"),
        (answer("[remote rejected] (incorrect old value provided)"), "raced"),
        (answer("[remote rejected] (cannot lock ref 'x': is at a but expected b)"), "raced"),
        (
            answer("[remote rejected] (failed to update ref)", "remote: error: 'x' exists; cannot create 'x/y'"),
            "refused",
        ),
        (answer("[remote rejected] (pre-receive hook declined)", "remote: GitLab: You are not allowed"), "refused"),
        (answer("[remote rejected] (protected branch hook declined)", "remote: error: GH006"), "refused"),
        (answer("[remote rejected] (push declined due to repository rule violations)"), "refused"),
        (answer("[remote rejected] (hook declined)"), "refused"),
        (answer("[remote failure] (remote failed to report status)"), "unreachable"),
        (answer("[remote rejected] (unpacker error)", "error: No space left on device"), "unreachable"),
        (answer(errors="fatal: unable to access 'x': The requested URL returned error: 403", code=128), "refused"),
        (answer(errors="ERROR: Write access to repository not granted.", code=128), "refused"),
        (answer(errors="ERROR: The key you are authenticating with has been marked as read only.", code=128), "refused"),
        (answer(errors="fatal: unable to access 'x': Could not resolve host", code=128), "unreachable"),
        (answer(errors="fatal: the remote end hung up unexpectedly", code=128), "unreachable"),
        (answer(code=None), "unreachable"),
        (answer(errors="fatal: the receiving end does not support --atomic push", code=128), "not atomic"),
    ],
)  # fmt: skip
def test_answers_of_servers_are_told_apart(found: Answer, expected: str) -> None:
    assert judge_push(found) == expected


def test_atomic_push_is_judged_by_the_branch_that_caused_its_failure() -> None:
    lines = "!\ta:refs/heads/a\t[rejected] (atomic push failed)\n!\tb:refs/heads/b\t[rejected] (stale info)\n"
    assert judge_push(Answer(code=1, output=lines.encode(), errors="")) == "raced"
    lines = lines.replace("(stale info)", "(hook declined)")
    assert judge_push(Answer(code=1, output=lines.encode(), errors="")) == "refused"


def test_words_are_the_servers_without_passwords_and_control_characters() -> None:
    errors = (
        "hint: try\nTo https://bot:hunter2@x/y\nremote: \x1b[31mno\nfatal: https://bot:hunter2@x/y is gone\n"
    )
    assert said(errors) == ("remote: [31mno", "fatal: https://x/y is gone")
    assert push_words(answer("[remote rejected] (hook declined)", "remote: no")) == (
        "remote: no",
        "[remote rejected] (hook declined)",
    )
    assert push_words(answer(code=None)) == ("git push did not end in time",)


def test_settings_go_between_the_users_and_the_environments() -> None:
    base = base_environment({"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "a.b", "GIT_CONFIG_VALUE_0": "c"})
    settings = [
        ("http.https://git.example.net/.extraheader", "x"),
        ("core.worktree", "/y"),
        ("remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"),
        ("remote.origin.url", "../z.git"),
        ("include.path", "w"),
    ]
    found = with_settings(base, settings)
    names = [found[f"GIT_CONFIG_KEY_{number}"] for number in range(int(found["GIT_CONFIG_COUNT"]))]
    assert names[:3] == ["http.https://git.example.net/.extraheader", "remote.origin.url", "a.b"]
    assert "core.worktree" not in names
    assert "BatchMode" in found["GIT_SSH_COMMAND"]
    own = with_settings(base, [("core.sshcommand", "ssh -i key")])
    assert "GIT_SSH_COMMAND" not in own
    assert "GIT_SSH_COMMAND" not in with_settings({"GIT_SSH": "x"}, [])


@pytest.mark.parametrize(("key", "is_ssh"), [("~/.ssh/id.pub", True), ("ABCDEF0123456789", False)])
def test_signing_key_of_the_settings_comes_before_gits_own(key: str, is_ssh: bool) -> None:
    found = with_settings({}, [("user.signingkey", "other")], signing_key=key)
    pairs = [
        (found[f"GIT_CONFIG_KEY_{number}"], found[f"GIT_CONFIG_VALUE_{number}"])
        for number in range(int(found["GIT_CONFIG_COUNT"]))
    ]
    assert pairs[:2] == [("user.signingkey", "other"), ("user.signingkey", key)]
    assert (("gpg.format", "ssh") in pairs) is is_ssh


def test_command_that_does_not_end_is_ended_with_its_children(tmp_path: Path) -> None:
    git = GitProcess(environment=base_environment({"PATH": "/usr/bin:/bin"}), directory=tmp_path)
    began = time.monotonic()
    found = git.run("-c", "alias.wait=!sleep 57.25 & wait", "wait", seconds=0.5)
    assert found.code is None
    assert time.monotonic() - began < 30
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "sleep 57.25" not in listed.splitlines()
    with pytest.raises(GitFailureError, match="did not end in time"):
        git.check("-c", "alias.wait=!sleep 57.25", "wait", seconds=0.5)
    with pytest.raises(GitFailureError, match="git frobnicate ended with 1"):
        git.check("frobnicate")
