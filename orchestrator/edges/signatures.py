"""Who signed a commit: git itself says so, with nothing but the keys that are listed.

The commit is looked at in a repository of its own, in an environment of its own: neither the clone's configuration nor
the user's or the machine's has a say in which program verifies, and with which keys.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from types import TracebackType

from orchestrator.core.protection import Signature
from orchestrator.core.protection_rules import is_ssh_key
from orchestrator.edges.git_process import GitProcess
from orchestrator.edges.scratch import make_scratch
from orchestrator.errors import GitError

_SECONDS = 60
_GOOD_SSH = re.compile(r'^Good "git" signature for ([A-Za-z0-9._-]+) with ', re.MULTILINE)
_GOOD_PGP = re.compile(r"^\[GNUPG:\] VALIDSIG (?:\S+ ){9}([0-9A-F]{40,64})$", re.MULTILINE)
_FINGERPRINT = re.compile(r"^pub:(?:.*\n)*?fpr:{9}([0-9A-F]{40,64}):", re.MULTILINE)
_PGP, _SSH = b"-----BEGIN PGP SIGNATURE-----", b"-----BEGIN SSH SIGNATURE-----"
_GPG_SETTINGS = "no-auto-key-retrieve\nno-auto-key-import\nno-auto-key-locate\nbatch\nno-tty\n"


class Signatures:
    """Verifies commits against listed keys. Use as a context manager.

    Args:
        keys: public keys by name, as `[keys]` has them.
        object_format: of the commits.

    Raises:
        GitError: a program that verifies is missing.
    """

    def __init__(self, keys: Mapping[str, str], *, object_format: str) -> None:
        self._directory = make_scratch()
        self._keys = dict(keys)
        self._names: dict[str, set[str]] = {}
        self._has_pgp = False
        try:
            self._prepare(object_format)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Signatures:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Keys and repository are gone."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def verify(self, raw: bytes, allowed: tuple[str, ...]) -> Signature:
        """Which of the keys `allowed` signed this commit.

        Args:
            raw: the commit as git keeps it.
        """
        head = raw.partition(b"\n\n")[0]
        if b"\ngpgsig" not in head:
            return Signature(problem="the commit is not signed")
        if _SSH in head and not any(is_ssh_key(self._keys[name]) for name in allowed):
            return Signature(problem="it is signed with an SSH key, and none of those is allowed")
        if _PGP in head and not self._has_pgp:
            return Signature(problem="it is signed with an OpenPGP key, and none of those is allowed")
        commit = self._git.check("hash-object", "-t", "commit", "-w", "--stdin", "--literally", content=raw)
        said = self._git.run("verify-commit", "--raw", commit.text, seconds=_SECONDS)
        if said.code != 0:
            return Signature(problem="git cannot verify its signature with a listed key")
        for name in self._signers(said.errors):
            if name in allowed:
                return Signature(name=name)
        return Signature(problem="it is signed with a key that is not one of them")

    def _signers(self, errors: str) -> set[str]:
        """The names of the key that made the signature which git calls good."""
        ssh, pgp = _GOOD_SSH.search(errors), _GOOD_PGP.search(errors)
        if ssh is not None and pgp is None:
            key = self._keys.get(ssh[1], "")
            return {name for name, text in self._keys.items() if text == key}
        if pgp is not None and ssh is None:
            return self._names.get(pgp[1], set())
        return set()

    def _prepare(self, object_format: str) -> None:
        home = self._directory / "home"
        home.mkdir(mode=0o700)
        (home / "gpg.conf").write_text(_GPG_SETTINGS, encoding="utf-8")
        signers = self._directory / "allowed_signers"
        lines = [
            f'{name} namespaces="git" {key}\n' for name, key in sorted(self._keys.items()) if is_ssh_key(key)
        ]
        signers.write_text("".join(lines), encoding="utf-8")
        settings = {
            "gpg.program": _program("gpg") or "/bin/false",
            "gpg.openpgp.program": _program("gpg") or "/bin/false",
            "gpg.ssh.program": _program("ssh-keygen") or "/bin/false",
            "gpg.x509.program": "/bin/false",
            "gpg.ssh.allowedSignersFile": str(signers),
            "gpg.ssh.revocationFile": "",
            "gpg.minTrustLevel": "undefined",
            "core.hooksPath": os.devnull,
        }
        settings = {name: value for name, value in settings.items() if value}
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home),
            "GNUPGHOME": str(home),
            "LC_ALL": "C",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_SYSTEM": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_COUNT": str(len(settings)),
        }
        for number, (name, value) in enumerate(settings.items()):
            environment[f"GIT_CONFIG_KEY_{number}"] = name
            environment[f"GIT_CONFIG_VALUE_{number}"] = value
        self._git = GitProcess(
            environment=environment, directory=self._directory, git_directory=str(self._directory / "git")
        )
        self._git.check("init", "--quiet", "--bare", "--template=", f"--object-format={object_format}")
        blocks = {name: key for name, key in self._keys.items() if not is_ssh_key(key)}
        if any(map(is_ssh_key, self._keys.values())) and not _program("ssh-keygen"):
            raise _missing("ssh-keygen", "openssh-client")
        if blocks and not _program("gpg"):
            raise _missing("gpg", "gpg")
        for name, key in sorted(blocks.items()):
            content = _decoded(key)
            for fingerprint in _FINGERPRINT.findall(self._gpg(environment, content, "--show-keys")):
                self._names.setdefault(fingerprint, set()).add(name)
            self._gpg(environment, content, "--import")
            self._has_pgp = True

    def _gpg(self, environment: Mapping[str, str], content: bytes, command: str) -> str:
        """What gpg says of a key; one that it cannot read is none, and verifies nothing."""
        done = subprocess.run(
            ["gpg", "--with-colons", "--fingerprint", command],
            input=content,
            env=dict(environment),
            capture_output=True,
            check=False,
            timeout=_SECONDS,
        )
        return done.stdout.decode("utf-8", "replace")


def _decoded(key: str) -> bytes:
    try:
        return base64.b64decode(key.partition(" ")[2], validate=True)
    except ValueError:
        return b""


def _program(name: str) -> str:
    return shutil.which(name) or ""


def _missing(program: str, package: str) -> GitError:
    return GitError(
        f"{program} is not on this machine, and signatures cannot be verified without it",
        resolution=f"install {package}",
    )
