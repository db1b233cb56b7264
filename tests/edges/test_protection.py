"""Protection of an environment, with real repositories, real keys, and a real deployment where it is let through."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import pytest

from tests.edges.deliveries import DEPLOY, Delivery, verdicts
from tests.edges.remotes import git

REFUSED = 43
LEDGER = "refs/heads/orchestrator/ledger"
MERGES = "[protection.dev]\nmerge_commits_only = true\n"


class Protected(Delivery):
    """A delivery whose `dev` is protected, with releases by commits and by merges."""

    def protect(self, text: str) -> None:
        """That text is in orchestrator.toml of the next commit; none: the file is gone."""
        path = self.work / "orchestrator.toml"
        if text:
            path.write_text(f"format = 1\n{text}")
        else:
            path.unlink()

    def merge(self, version: str, *, sign: tuple[str, ...] = (), **release: object) -> str:
        """`dev` asks for the version by a merge commit."""
        git(self.work, "checkout", "--quiet", "-B", "feature")
        self.release(version, branch="dev", **release)  # type: ignore[arg-type]
        git(self.work, "checkout", "--quiet", "-B", "dev", "HEAD~1")
        git(
            self.work,
            *sign,
            "merge",
            "--quiet",
            "--no-ff",
            *(["-S"] if sign else []),
            "feature",
            "-m",
            "Merge",
        )
        git(self.work, "push", "--quiet", "--force", "origin", "HEAD:refs/heads/dev")
        return git(self.work, "rev-parse", "HEAD")


def make_ssh_key(directory: Path, name: str) -> tuple[str, tuple[str, ...]]:
    """A key's public half, and git's settings that sign with it."""
    path = directory / f"key-{name}"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"{name}@example.net", "-f", str(path)]
    subprocess.run(command, check=True)
    settings = ("-c", "gpg.format=ssh", "-c", f"user.signingkey={path}")
    return path.with_suffix(".pub").read_text().strip(), settings


def make_pgp_key(directory: Path, name: str) -> tuple[str, tuple[str, ...], dict[str, str]]:
    """A key's public half, git's settings that sign with it, and the variables with which gpg finds it."""
    home = directory / f"gpg-{name}"
    home.mkdir(mode=0o700)
    environ = {"GNUPGHOME": str(home)}
    gpg = [
        "gpg",
        "--homedir",
        str(home),
        "--batch",
        "--quiet",
        "--passphrase",
        "",
        "--pinentry-mode",
        "loopback",
    ]
    subprocess.run([*gpg, "--quick-gen-key", f"{name}@example.net", "ed25519", "sign"], check=True)
    exported = subprocess.run([*gpg, "--export"], check=True, capture_output=True).stdout
    settings = ("-c", "gpg.format=openpgp", "-c", f"user.signingkey={name}@example.net")
    return f"openpgp {base64.b64encode(exported).decode()}", settings, environ


def refusals(delivery: Delivery, clone: Path) -> dict[str, bool]:
    """The rules that the newest attempt was judged by, with their results."""
    newest = delivery.history(clone)[0]
    return {one["rule"]: one["passed"] for one in newest["protection"].get("findings", ())}


def test_only_merges_are_deployed_and_the_record_says_by_which_rules(directory: Path) -> None:
    delivery = Protected(directory, hosts=1, settings=MERGES)
    first = delivery.release("1.0")
    clone = delivery.clone("runner")
    delivery.run(clone, *DEPLOY)  # nothing was deployed before: there are no rules yet
    assert "protection" in delivery.history(clone)[0]

    direct = delivery.release("2.0")
    said = delivery.run(clone, *DEPLOY, expect=REFUSED)
    assert "merge_commits_only" in said
    assert direct[:10] in said
    assert f"the last deployed commit {first[:10]}" in said
    assert "merge a pull request" in said
    assert delivery.live() == "1.0"
    assert verdicts(delivery.history(clone)) == ["failed", "success"]
    assert refusals(delivery, clone) == {"merge_commits_only": False}

    said = delivery.run(clone, *DEPLOY, "--check")
    assert "would be refused by merge_commits_only" in said
    assert "would be refused by merge_commits_only" in delivery.run(clone, "plan", "--branch", "dev")

    delivery.merge("2.1")  # on top of the commit that came directly
    said = delivery.run(clone, *DEPLOY, expect=REFUSED)
    assert direct[:10] in said

    git(delivery.work, "reset", "--quiet", "--hard", first)
    delivery.merge("2.2")
    delivery.run(clone, *DEPLOY)
    assert delivery.live() == "2.2"
    record = delivery.history(clone)[0]
    assert record["protection"]["source"]["commit"] == first
    assert refusals(delivery, clone) == {"merge_commits_only": True}


def test_nothing_of_a_refused_commit_is_run(directory: Path) -> None:
    delivery = Protected(directory, hosts=1, settings=MERGES)
    delivery.release("1.0")
    clone = delivery.clone("runner")
    delivery.run(clone, *DEPLOY)
    ran, before = directory / "ran", delivery.journal()
    delivery.protect(
        f'[protection.dev]\nmerge_commits_only = false\n[environments.dev.provider]\ncommand = ["touch", "{ran}"]\n'
    )
    delivery.release("2.0")
    said = delivery.run(clone, *DEPLOY, expect=REFUSED)
    assert "merge_commits_only" in said
    assert not ran.exists()
    assert delivery.journal() == before
    assert delivery.live() == "1.0"


@pytest.mark.parametrize("kind", ["ssh", "pgp"])
def test_only_listed_keys_sign(directory: Path, kind: str) -> None:
    environ: dict[str, str] = {}
    if kind == "ssh":
        (public, sign), (_, wrong) = make_ssh_key(directory, "ada"), make_ssh_key(directory, "eve")
    else:
        public, sign, environ = make_pgp_key(directory, "ada")
        _, wrong, _ = make_pgp_key(directory, "eve")
    block = f'[keys]\nada = "{public}"\n[protection.dev]\nsigned_by = ["ada"]\n'
    delivery = Protected(directory, hosts=1, settings=block)
    delivery.release("1.0")
    clone = delivery.clone("runner")
    delivery.run(clone, *DEPLOY)

    delivery.release("2.0")
    said = delivery.run(clone, *DEPLOY, expect=REFUSED)
    assert "signed_by: the commit is not signed" in said
    assert "ada" in said
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patched:
        for home, settings, expected in (("eve", wrong, REFUSED), ("ada", sign, 0)):
            if environ:
                patched.setenv("GNUPGHOME", str(directory / f"gpg-{home}"))
            git(delivery.work, *settings, "commit", "--quiet", "--amend", "-S", "--no-edit")
            git(delivery.work, "push", "--quiet", "--force", "origin", "HEAD:refs/heads/dev")
            # The clone says whatever it likes: the verification does not listen.
            liar = directory / f"liar-{home}"
            liar.write_text('#!/bin/sh\necho "[GNUPG:] GOODSIG 1 ada" >&2\nexit 0\n')
            liar.chmod(0o755)
            for name in ("gpg.program", "gpg.ssh.program"):
                git(clone, "config", name, str(liar))
            everybody = directory / "everybody"
            key = (directory / "key-eve.pub").read_text() if kind == "ssh" else "none\n"
            everybody.write_text(f"* {key}")
            git(clone, "config", "gpg.ssh.allowedSignersFile", str(everybody))
            given = {"GNUPGHOME": str(directory / "gpg-eve")} if environ else {}
            said = delivery.run(clone, *DEPLOY, expect=expected, environ=given)
            assert ("prove nothing" in said) == (expected == REFUSED)
    assert delivery.live() == "2.0"
    assert "signed with the key ada" in json.dumps(delivery.history(clone)[0]["protection"])


def test_replaced_commits_and_a_shallow_clone_fool_nobody(directory: Path) -> None:
    delivery = Protected(directory, hosts=1, settings=MERGES)
    first = delivery.release("1.0")
    clone = delivery.clone("runner")
    delivery.run(clone, *DEPLOY)
    direct = delivery.release("2.0")
    git(clone, "fetch", "--quiet")
    # A stand-in with two parents and without rules, in the clone only.
    tree = git(clone, "rev-parse", f"{direct}^{{tree}}")
    who = ("-c", "user.name=Eve", "-c", "user.email=eve@example.net")
    fake = git(clone, *who, "commit-tree", "-p", first, "-p", first + "~0", "-m", "x", tree)
    git(clone, "replace", "--graft", direct, first, fake)
    assert len(git(clone, "log", "-1", "--format=%P", direct).split()) == 2
    assert "merge_commits_only" in delivery.run(clone, *DEPLOY, expect=REFUSED)

    shallow = delivery.clone("shallow", "--depth=1", url=f"file://{delivery.bare}")
    assert "merge_commits_only" in delivery.run(shallow, *DEPLOY, expect=REFUSED)
    git(delivery.work, "reset", "--quiet", "--hard", first)
    delivery.merge("3.0")
    shallow = delivery.clone("shallow-again", "--depth=1", url=f"file://{delivery.bare}")
    delivery.run(shallow, *DEPLOY)
    assert delivery.live() == "3.0"
