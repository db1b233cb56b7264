"""A pull request of an attacker's: nothing of it is contacted, run, or taken for anything but data."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.core.reviews import text_outside_of_code
from tests.edges.pull_requests import SECRET, Fixture, listening, nobody_came, serving

FILES = {"/site-1.0.txt": b"one\n", "/site-2.0.txt": b"two\n"}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2RxYw4mvtJdXc0V8mNnNqfKkX5bq3O9yq1m7f0h2aZ"


class Attack(Fixture):
    """What the attacker's files leave behind when any of them is run: `trace`, which must not exist."""

    def __init__(self, directory: Path, url: str) -> None:
        super().__init__(directory, url)
        self.trace = directory / "trace"
        self.script = f'#!/bin/sh\necho "$0" >> {shlex.quote(str(self.trace))}\nexec {sys.executable} "$@"\n'

    def dark(self, *names: str) -> dict[str, Any]:
        """Hosts of the target at ports of this machine that are closed."""
        return {
            name: {"address": f"127.0.0.{number}", "port": 9, "user": "nobody"}
            for number, name in enumerate(names, start=2)
        }


@pytest.fixture
def trusted() -> Iterator[tuple[str, list[str]]]:
    with serving(FILES) as server:
        yield server


@pytest.fixture
def evil() -> Iterator[tuple[str, list[str]]]:
    with serving(FILES) as server:
        yield server


@pytest.fixture
def attack(tmp_path: Path, trusted: tuple[str, list[str]]) -> Attack:
    return Attack(tmp_path, trusted[0])


def test_nothing_of_the_head_is_contacted_or_run(
    attack: Attack, trusted: tuple[str, list[str]], evil: tuple[str, list[str]]
) -> None:
    credentials = {"token": {"env": "TOKEN"}}
    attack.environment["repositories"]["guarded"] = {
        "type": "http",
        "url": trusted[0],
        "credentials": credentials,
    }
    attack.manifest["applications"]["guarded"] = {
        "version": "1.0", "artifact": {"repository": "guarded", "path": "site-{version}.txt"}
    }  # fmt: skip
    attack.environment["applications"]["guarded"] = {
        "deployment_path": str(attack.directory / "srv" / "{host}" / "guarded")
    }
    attack.environment["applications"]["site"]["deployment_path"] = str(attack.directory / "{host}" / "site")
    names = ("address", "connection", "jump", "behind", "python", "key")
    attack.environment["hosts"] |= attack.dark(*names)
    attack.environment["hosts"]["behind"]["proxy_jump"] = "jump"
    attack.write("orchestrator.toml", f'format = 1\n[credentials]\n"env:TOKEN" = "{trusted[0]}"\n')
    attack.commit("dev")

    attack.switch("feature")
    hosts = attack.environment["hosts"]
    python = attack.directory / "clone" / "evil-python"
    with listening() as door:
        port = door.getsockname()[1]
        hosts["address"] |= {"address": "127.0.0.1", "port": port}
        hosts["jump"] |= {"address": "localhost", "port": port}
        hosts["connection"] = {"connection": "local", "python": str(python)}
        hosts["python"] |= {"python": str(python)}
        hosts["key"] |= {"host_key": KEY, "private_key": str(attack.path / "evil-key")}
        hosts["new-local"] = {"connection": "local", "python": str(python)}
        hosts["new"] = {"address": "127.0.0.1", "port": port, "proxy_jump": f"evil@127.0.0.1:{port}"}
        attack.environment["repositories"]["guarded"]["url"] = evil[0]
        attack.environment["repositories"]["theirs"] = {"type": "http", "url": evil[0]}
        attack.manifest["applications"]["site"]["version"] = "2.0"
        attack.manifest["applications"]["theirs"] = {
            "version": "1.0", "artifact": {"repository": "theirs", "path": "site-{version}.txt"}
        }  # fmt: skip
        attack.environment["applications"]["theirs"] = {
            "hosts": ["here"], "deployment_path": str(attack.directory / "srv" / "theirs")
        }  # fmt: skip
        attack.write(
            "orchestrator.toml",
            f'format = 1\nknown_hosts = "evil-hosts"\n[credentials]\n"env:TOKEN" = "{evil[0]}"\n'
            '[environments.dev]\nprovider = { command = ["./evil-provider"] }\n'
            f'[repositories.files]\ntype = "http"\nurl = "{evil[0]}"\n',
        )
        for path in (
            "evil-python",
            "evil-provider",
            "scripts/x",
            "playbooks/observe.yml",
            "roles/placement/x",
        ):
            attack.write(path, attack.script, executable=True)
        attack.write("roles/release/tasks/main.yml", f"- ansible.builtin.command: touch {attack.trace}\n")
        attack.write("ansible.cfg", "[defaults]\nlibrary = ./library\naction_plugins = ./action_plugins\n")
        code = f"open({str(attack.trace)!r}, 'a').write(__file__)\n"
        for path in (
            "sitecustomize.py",
            "click.py",
            "ansible/__init__.py",
            "action_plugins/placement_phase.py",
        ):
            attack.write(path, code)
        attack.write("group_vars/all.yml", f"ansible_python_interpreter: {python}\n")
        attack.write(".gitattributes", "* merge=evil filter=evil diff=evil\n")
        # Refused: the target's [credentials] allow the reference towards the target's origin only.
        attack.commit("feature")
        refused = attack.plan("--format", "markdown", expect=10)
        assert "allows this reference only towards" in refused
        del attack.environment["repositories"]["guarded"]["credentials"]
        attack.commit("feature")
        for name in ("merge", "filter", "diff"):
            attack.git(
                "config", f"{name}.evil.{'driver' if name == 'merge' else 'clean'}", f"touch {attack.trace}"
            )
        comment = attack.plan("--format", "markdown")
        plan = attack.plan_json()
        attack.plan("--offline")
        assert nobody_came(door)
    assert evil[1] == []
    assert not attack.trace.exists()
    assert any("site-2.0.txt" in request for request in trusted[1])
    assert not any(SECRET in request for request in trusted[1])
    versions = {(step["application"], step["host"]): step["from_version"] for step in plan["steps"]}
    assert versions[("site", "here")] == ""
    assert {host for (_, host), version in versions.items() if version is None} == {
        *names,
        "new",
        "new-local",
    }
    assert plan["pull_request"]["unasked"].keys() == {*names, "new", "new-local"}
    assert plan["pull_request"]["lookups"].keys() == {"guarded", "theirs"}
    text_outside_of_code(comment)
    for shown in (
        "orchestrator.toml is changed",
        "repository guarded is changed (url, credentials)",
        "repository theirs is new",
        "host connection is changed (user, connection, python",
        "roles, playbooks or their like are changed",
        "executables are added or changed",
        "not looked up: repository guarded is changed in this pull request",
        "reached through jump",
    ):
        assert shown in comment.replace("port, ", "").replace("address, ", ""), shown


@pytest.mark.parametrize(
    "defaults",
    [
        {"proxy_jump": "evil.example.net"},
        {"user": "mallory"},
        {"become": True},
        {"maintenance": False, "port": 23},
    ],
)
def test_changed_defaults_change_every_host(attack: Attack, defaults: dict[str, Any]) -> None:
    attack.switch("feature")
    attack.environment["defaults"] = defaults
    attack.commit("feature")
    plan = attack.plan_json()
    assert plan["steps"][0]["from_version"] is None
    assert "here" in plan["pull_request"]["unasked"]


def test_guarded_repository_of_the_target_gets_its_credential_and_nobody_else(
    attack: Attack, trusted: tuple[str, list[str]]
) -> None:
    attack.environment["repositories"]["files"]["credentials"] = {"token": {"env": "TOKEN"}}
    attack.commit("dev")
    attack.switch("feature")
    attack.manifest["applications"]["site"]["version"] = "2.0"
    attack.commit("feature")
    attack.plan()
    assert trusted[1]
    assert all(request.endswith(f"Bearer {SECRET}") for request in trusted[1])


def test_secret_that_this_machine_lacks_leaves_the_artifact_unseen(attack: Attack) -> None:
    attack.environment["repositories"]["files"]["credentials"] = {"token": {"env": "NOT_IN_THIS_CI"}}
    attack.commit("dev")
    comment = attack.plan("--format", "markdown", head="dev")
    assert "not looked up: secret env:NOT_IN_THIS_CI: the variable is not set" in comment
    assert "--require-plan" not in comment


def test_provider_is_the_targets_own_file_not_that_of_the_checkout(attack: Attack) -> None:
    good = attack.directory / "good"
    script = f"#!/bin/sh\ntouch {shlex.quote(str(good))}\ncat provided.json\n"
    attack.write("provider", script, executable=True)
    attack.write("provided.json", json.dumps(attack.environment))
    attack.write(
        "orchestrator.toml", 'format = 1\n[environments.dev]\nprovider = { command = ["./provider"] }\n'
    )
    attack.commit("dev")
    attack.switch("feature")
    attack.write("provider", attack.script, executable=True)
    attack.write("provided.json", "{}")
    attack.manifest["applications"]["site"]["version"] = "2.0"
    attack.commit("feature")
    assert attack.plan_json()["steps"][0]["to_version"] == "2.0"
    assert good.exists()
    assert not attack.trace.exists()
    attack.git("switch", "--quiet", "dev")
    provider = str(attack.path / "provider")
    attack.write(
        "orchestrator.toml", f'format = 1\n[environments.dev]\nprovider = {{ command = ["{provider}"] }}\n'
    )
    attack.commit("dev")
    attack.git("switch", "--quiet", "feature")
    assert "in the checkout" in attack.plan(expect=26)
    assert not attack.trace.exists()


@pytest.mark.parametrize("absolute", [False, True])
def test_directory_of_the_checkout_is_the_targets_own_content(attack: Attack, absolute: bool) -> None:
    path = str(attack.path / "artifacts") if absolute else "artifacts"
    attack.environment["repositories"]["files"] = {"type": "directory", "path": path}
    attack.write("artifacts/site-1.0.txt", "one\n")
    attack.write("artifacts/site-2.0.txt", "two\n")
    attack.commit("dev")
    wanted = attack.plan_json(head="dev")["artifacts"]
    attack.switch("feature")
    private = attack.directory / "private"
    private.mkdir()
    (private / "site-1.0.txt").write_text("a secret of the CI machine")
    attack.git("rm", "-r", "--quiet", "artifacts")
    (attack.path / "artifacts").symlink_to(private)
    attack.commit("feature")
    plan = attack.plan_json()
    assert plan["artifacts"] == wanted
    assert plan["artifacts"][0]["location"] == str(attack.path / "artifacts" / "site-1.0.txt")
    assert any("symbolic links" in note for note in plan["pull_request"]["notes"])
    attack.manifest["applications"]["site"]["version"] = "3.0"
    (private / "site-3.0.txt").write_text("another secret")
    attack.commit("feature")
    artifact = attack.plan_json()["artifacts"][0]
    assert (artifact["sha256"], artifact["size_bytes"]) == ("", None)


def test_documents_that_are_links_are_not_followed(attack: Attack) -> None:
    secret = attack.directory / "secret.json"
    secret.write_text('{"hidden": "value-of-the-secret"}')
    attack.switch("feature")
    attack.commit("feature")
    (attack.path / "manifest.json").unlink()
    (attack.path / "manifest.json").symlink_to(secret)
    attack.git("add", "--all")
    attack.git("commit", "--quiet", "--message", "Link")
    attack.git("push", "--quiet", "--force", "origin", "HEAD:refs/heads/feature")
    text = attack.plan("--format", "markdown", expect=10)
    assert "hidden" not in text
    assert "value-of-the-secret" not in text


def test_hostile_names_of_branches_and_files_stay_text(attack: Attack) -> None:
    branch = "@team/`x`<img/src=x>|y|](javascript-evil)$(id)"
    attack.switch("feature")
    attack.write("roles/@team/`x`|<b>![i](https://evil.example)\n# h", "x")
    attack.manifest["description"] = "--> <script>alert(1)</script> @team #1"
    attack.environment["regions"] = {"@team #1 <b>`": {"hosts": attack.environment.pop("hosts")}}
    attack.commit(branch)
    text = attack.plan("--format", "markdown", head=branch, expect=10)
    plain = text_outside_of_code(text.partition("Error: ")[0])
    for word in ("team", "evil", "script", "img", "id)"):
        assert word not in plain
