"""git as a child process: a fixed environment, a time limit, and failures told apart by what git says."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import GitError

LOCAL_SECONDS = 60
REMOTE_SECONDS = 60
_SSH = "ssh -o BatchMode=yes -o ConnectTimeout=15"
_PASSWORD = re.compile(r"(?<=://)[^/\s@]+@")
# What would point git at another repository than the one that is named: set when a hook calls us.
_NOT_OURS = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_QUARANTINE_PATH",
    "GIT_CEILING_DIRECTORIES",
)
# The clone's own settings that say how to reach a remote and who signs; all others could change what we do.
_SECTIONS = ("credential", "http", "https", "url", "remote", "user", "author", "committer", "gpg", "protocol")
_KEYS = ("core.sshcommand", "core.gitproxy", "core.askpass", "ssh.variant")
_OVERRIDES = (
    ("core.hooksPath", os.devnull),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("push.followTags", "false"),
    ("push.gpgSign", "false"),
    ("push.recurseSubmodules", "no"),
    ("fetch.recurseSubmodules", "false"),
    ("fetch.prune", "false"),
    ("fetch.writeCommitGraph", "false"),
    ("remote.origin.mirror", "false"),
    ("remote.origin.promisor", "false"),
    ("advice.detachedHead", "false"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one git command said.

    Attributes:
        code: its exit code; None: it was ended after the time limit.
    """

    code: int | None
    output: bytes
    errors: str

    @property
    def text(self) -> str:
        """The standard output as text, without the last line's end."""
        return self.output.decode("utf-8", "replace").rstrip("\n")


class GitFailureError(GitError):
    """git failed at something that needs no remote; `details` are its own words."""

    def __init__(self, answer: Answer, arguments: tuple[str, ...]) -> None:
        what = "did not end in time" if answer.code is None else f"ended with {answer.code}"
        super().__init__(
            f"git {arguments[0]} {what}",
            details=said(answer.errors),
            resolution="see what git says; check the disk and the permissions of .git",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GitProcess:
    """Runs git with one environment, which is not looked up again.

    Attributes:
        directory: where git runs; relative addresses and paths in its settings start there.
        git_directory: the repository; empty: what git finds from `directory`.
    """

    environment: Mapping[str, str]
    directory: Path
    git_directory: str = ""

    def run(
        self,
        *arguments: str,
        content: bytes = b"",
        seconds: float = LOCAL_SECONDS,
        variables: Mapping[str, str] | None = None,
    ) -> Answer:
        """What `git ARGUMENTS` said; never raises for what git does.

        Its process group is its own: a Ctrl-C meant for us does not end it half-way.
        """
        where = (f"--git-dir={self.git_directory}",) if self.git_directory else ()
        with subprocess.Popen(
            ["git", *where, *arguments],
            cwd=self.directory,
            env={**self.environment, **(variables or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            try:
                output, errors = process.communicate(content, timeout=seconds)
                code: int | None = process.returncode
            except subprocess.TimeoutExpired:
                end_group(process)
                output, errors = process.communicate()
                code = None
            except BaseException:
                end_group(process)
                raise
        return Answer(code=code, output=output, errors=errors.decode("utf-8", "replace"))

    def check(
        self,
        *arguments: str,
        content: bytes = b"",
        seconds: float = LOCAL_SECONDS,
        variables: Mapping[str, str] | None = None,
    ) -> Answer:
        """As `run`, for what has to succeed.

        Raises:
            GitFailureError: it did not.
        """
        answer = self.run(*arguments, content=content, seconds=seconds, variables=variables)
        if answer.code != 0:
            raise GitFailureError(answer, arguments)
        return answer


def require_git() -> None:
    """Git is there to be run.

    Raises:
        GitError: it is not.
    """
    if shutil.which("git") is None:
        raise GitError("git is not installed here, or not on the PATH", resolution="install git")


def end_group(process: subprocess.Popen[bytes]) -> None:
    """git and its children (ssh, remote helpers) are gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def base_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for git: it asks nobody, and its messages are those we know."""
    kept = {name: value for name, value in variables.items() if name not in _NOT_OURS}
    return {
        **kept,
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
        "LANGUAGE": "",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
    }


def with_settings(
    environment: Mapping[str, str], settings: Iterable[tuple[str, str]], *, signing_key: str = ""
) -> dict[str, str]:
    """Return the environment that gives another repository the clone's settings for remotes and signing.

    They are handed on as variables (GIT_CONFIG_COUNT), not as an included file: what CI puts behind
    `includeIf "gitdir:..."` would not match there, and tokens need no second file.
    """
    kept = [(name, value) for name, value in settings if _is_about_remotes(name)]
    names = {name for name, _ in kept}
    if signing_key:
        kept.append(("user.signingkey", signing_key))
        if signing_key.startswith(("/", "~", "./", "key::", "ssh-")) or signing_key.endswith(".pub"):
            kept.append(("gpg.format", "ssh"))
    # What the environment says of git already stays above the clone's settings, as git has it.
    count = environment.get("GIT_CONFIG_COUNT", "")
    for number in range(int(count) if count.isdigit() else 0):
        name = environment.get(f"GIT_CONFIG_KEY_{number}", "")
        kept.append((name, environment.get(f"GIT_CONFIG_VALUE_{number}", "")))
    kept.extend(_OVERRIDES)
    added = {"GIT_CONFIG_COUNT": str(len(kept))}
    for number, (name, value) in enumerate(kept):
        added[f"GIT_CONFIG_KEY_{number}"] = name
        added[f"GIT_CONFIG_VALUE_{number}"] = value
    if "core.sshcommand" not in names and not {"GIT_SSH", "GIT_SSH_COMMAND"} & environment.keys():
        added["GIT_SSH_COMMAND"] = _SSH
    return {**environment, **added}


def said(text: str) -> tuple[str, ...]:
    """Return what git or the server said, for people: the telling lines, shortened, without passwords."""
    lines = [
        " ".join("".join(one if one.isprintable() else " " for one in line).split())
        for line in text.splitlines()
    ]
    telling = [line for line in lines if line and not line.startswith(("hint:", "To ", "From ", "Done"))]
    return tuple(_PASSWORD.sub("", line)[:300] for line in telling[:6])


def _is_about_remotes(name: str) -> bool:
    lowered = name.lower()
    if lowered.startswith("remote.") and lowered.endswith((".promisor", ".partialclonefilter", ".fetch")):
        return False
    return lowered in _KEYS or lowered.partition(".")[0] in _SECTIONS
