"""`orchestrator set`, by the real command, against real bare repositories."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.edges.branches import MANIFEST, WHO, Branches
from tests.edges.programs import require
from tests.edges.remotes import git, make_clone


@pytest.fixture
def branches(tmp_path: Path) -> Branches:
    return Branches(tmp_path, "dev", "production")


def test_build_sets_version_and_digest_on_these_lines_only(branches: Branches) -> None:
    digest = branches.publish("api", "2")
    before = branches.tip("dev")
    output = branches.run(
        "set",
        "api=2",
        "--branch",
        "dev",
        "--push",
        "--source-commit",
        "abc123",
        "--build-url",
        "https://ci/7",
    )
    expected = MANIFEST.replace('"1.0.0"', '"1.0.1"').replace(
        '            "version": "1",\n            "artifact": {\n                "path": "api-{version}.txt"\n',
        '            "version": "2",\n            "artifact": {\n                "path": "api-{version}.txt",\n'
        f'                "sha256": "{digest}"\n',
    )
    assert branches.read("dev") == expected
    assert f"pushed {branches.tip('dev')[:10]} to dev" in output
    assert git(branches.remote, "rev-list", "--parents", "-1", "dev").split()[1:] == [before]
    message = branches.message("dev")
    assert message.startswith("Set api 2 in dev\n\napi: 1 → 2 (another version)\n")
    trailers = git(branches.remote, "log", "-1", "--format=%(trailers:only)", "dev").strip()
    assert trailers == "Source-Commit: abc123\nBuild-URL: https://ci/7"
    assert branches.versions("production") == {"site": "1", "api": "1"}
    assert branches.clean()
    assert "nothing to do: dev has all of it" in branches.run("set", "api=2", "--branch", "dev", "--push")
    assert branches.message("dev") == message


def test_trailers_come_from_the_ci_job(branches: Branches) -> None:
    branches.run(
        "set",
        "api=2",
        "-b",
        "dev",
        "--push",
        GITLAB_CI="true",
        CI_COMMIT_SHA="1" * 40,
        CI_JOB_URL="https://ci.example/8",
    )
    assert f"Source-Commit: {'1' * 40}\nBuild-URL: https://ci.example/8" in branches.message("dev")


def test_without_push_it_is_only_shown(branches: Branches, tmp_path: Path) -> None:
    before = branches.tip("dev")
    result = tmp_path / "result.json"
    output = branches.run("set", "api=2", "site=3", "-b", "dev", "--json", str(result))
    assert branches.tip("dev") == before
    assert '+    "manifest_version" : "1.0.1",' in output
    assert "nothing is written: --push commits it there" in output
    document = json.loads(result.read_text())
    assert (document["changed"], document["commit"], document["manifest_version"]) == (True, "", "1.0.1")
    assert [(one["application"], one["to_version"]) for one in document["applications"]] == [
        ("api", "2"),
        ("site", "3"),
    ]


def test_several_applications_are_one_commit_and_one_version(branches: Branches) -> None:
    branches.run("set", "api=2", "site=3", "-b", "dev", "--push", "--no-pin", "--manifest-version", "7")
    manifest = branches.manifest("dev")
    assert (manifest["manifest_version"], branches.versions("dev")) == ("7", {"site": "3", "api": "2"})
    assert "sha256" not in branches.read("dev")
    assert git(branches.remote, "rev-list", "--count", "dev") == "2"


def test_pin_of_the_old_bytes_goes_with_the_old_version(branches: Branches) -> None:
    branches.run("set", "api=2", "-b", "dev", "--push")
    branches.run("set", "api=3", "-b", "dev", "--push", "--no-pin")
    assert "sha256" not in branches.read("dev")
    branches.run("set", "api=3", "-b", "dev", "--push")
    assert branches.manifest("dev")["applications"]["api"]["artifact"]["sha256"] == branches.publish(
        "api", "3"
    )
    (branches.artifacts / "api-3.txt").write_text("other bytes")
    assert "api" in branches.run("set", "api=3", "-b", "dev", "--push", expect=14)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("api=9",), 13, "api-9.txt"),
        (("sitee=2",), 64, 'manifest.json has no application "sitee" (did you mean "site"?)'),
        (("api",), 64, "'api' says no version of an application"),
        (("api=1", "api=2"), 64, "api is to have two versions"),
        (("api=2", "--pr"), 64, "--push and --pr exclude each other"),
        (("api=2", "--reviewer", "alice"), 64, "--reviewer is for a pull request"),
        (("api=a b",), 10, "has to be a version as a string"),
    ],
)
def test_what_cannot_be_set_changes_nothing(
    branches: Branches, arguments: tuple[str, ...], code: int, said: str
) -> None:
    before = branches.tip("dev")
    assert said in branches.run("set", *arguments, "-b", "dev", "--push", expect=code)
    assert branches.tip("dev") == before


def test_branch_that_is_missing_is_said(branches: Branches) -> None:
    output = branches.run("set", "api=2", "-b", "qa", "--push", expect=12)
    assert "there is no branch 'qa'" in output


def test_simple_form_and_crlf_keep_their_looks(tmp_path: Path) -> None:
    text = '{\r\n\t"manifest_version": "2026.11.9",\r\n\t"app_version": "shop-1.0.0.zip"\r\n}'
    branches = Branches(tmp_path, "dev", manifest=text)
    (branches.artifacts / "shop-1.0.1.zip").write_bytes(b"x")
    environment = branches.environment("dev")
    environment["applications"] = {"shop": {"deployment_path": "/srv/shop"}}
    branches.commit("dev", {"dev-env.json": json.dumps(environment)})
    branches.run("set", "shop=1.0.1", "-b", "dev", "--push")
    assert branches.read("dev") == text.replace("1.0.0", "1.0.1").replace("11.9", "11.10")
    output = branches.run("set", "shop=one", "-b", "dev", "--push", expect=64)
    assert '"one" cannot be the version of shop' in output


def test_stack_in_a_directory_is_set_there(branches: Branches) -> None:
    files = {f"shop/{name}": branches.read("dev", name) for name in ("manifest.json", "dev-env.json")}
    branches.commit("dev", files)
    git(branches.clone, "pull", "--quiet")
    branches.run("-C", "shop", "set", "api=2", "-b", "dev", "--pr")
    pushed = json.loads(branches.read("orchestrator/set/dev/api--shop", "shop/manifest.json"))
    assert pushed["applications"]["api"]["version"] == "2"
    assert branches.read("orchestrator/set/dev/api--shop") == MANIFEST


def test_pull_request_branch_is_one_for_the_same_applications_and_replaced(branches: Branches) -> None:
    branches.commit("dev", {"orchestrator.toml": "format = 1\n"})
    output = branches.run("set", "api=2", "-b", "dev", "--pr", "--reviewer", "alice")
    own = "orchestrator/set/dev/api"
    assert f"open a pull request from {own} into dev there, by hand" in output
    assert "ask for a review by alice" in output
    first = branches.tip(own)
    assert "is there already on" in branches.run("set", "api=2", "-b", "dev", "--pr")
    assert branches.tip(own) == first
    branches.run("set", "site=2", "-b", "dev", "--push")
    branches.run("set", "api=3", "-b", "dev", "--pr")
    assert branches.versions(own) == {"site": "2", "api": "3"}
    assert git(branches.remote, "rev-list", "--count", f"dev..{own}") == "1"


def test_mode_of_the_file_stays_and_a_link_is_refused(branches: Branches) -> None:
    work = make_clone(branches.remote, branches.top / "work")
    (work / "manifest.json").chmod(0o755)
    git(work, *WHO, "commit", "--quiet", "--all", "--message", "Executable")
    git(work, "push", "--quiet", "origin", "HEAD:dev")
    branches.run("set", "api=2", "-b", "dev", "--push")
    assert git(branches.remote, "ls-tree", "dev", "manifest.json").startswith("100755 ")
    (work / "manifest.json").unlink()
    (work / "manifest.json").symlink_to("dev-env.json")
    git(work, *WHO, "commit", "--quiet", "--all", "--message", "Link")
    git(work, "push", "--quiet", "origin", "HEAD:production")
    assert "is a symbolic link" in branches.run("set", "api=2", "-b", "production", "--push", expect=10)


def test_commit_is_signed_where_a_key_is_configured(branches: Branches) -> None:
    require("ssh-keygen")
    key = branches.top / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    for name, value in (("gpg.format", "ssh"), ("user.signingkey", f"{key}.pub")):
        git(branches.clone, "config", name, value)
    branches.run("set", "api=2", "-b", "dev", "--push")
    assert "-----BEGIN SSH SIGNATURE-----" in git(branches.remote, "cat-file", "commit", "dev")


def test_server_that_refuses_the_push_is_told(branches: Branches) -> None:
    hook = branches.remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'protected branch' >&2\nexit 1\n")
    hook.chmod(0o755)
    output = branches.run("set", "api=2", "-b", "dev", "--push", expect=11)
    assert "does not allow a push to dev" in output
    assert "use --pr" in output


def test_build_from_a_shallow_detached_clone(branches: Branches, tmp_path: Path) -> None:
    clone = make_clone(f"file://{branches.remote}", tmp_path / "shallow", "--depth=1", "--branch=production")
    git(clone, "checkout", "--quiet", "--detach")
    (clone / "manifest.json").write_text("not committed, and none of our business")
    branches.run("set", "api=2", "-b", "dev", "--push", clone=clone)
    assert branches.versions("dev")["api"] == "2"
    assert (clone / "manifest.json").read_text().startswith("not committed")
    assert git(clone, "rev-parse", "--is-shallow-repository") == "true"


def test_none_is_lost_when_eight_builds_set_at_once(tmp_path: Path) -> None:
    names = [f"app{number}" for number in range(8)]
    applications = {name: {"version": "1", "artifact": {"path": f"{name}-{{version}}.txt"}} for name in names}
    manifest = json.dumps({"manifest_version": "1.0.0", "applications": applications}, indent=2) + "\n"
    branches = Branches(tmp_path, "dev", manifest=manifest)
    environment = branches.environment("dev")
    environment["applications"] = {
        name: {"hosts": ["h1"], "deployment_path": f"/srv/{name}"} for name in names
    }
    branches.commit("dev", {"dev-env.json": json.dumps(environment)})
    for name in names:
        branches.publish(name, "2")
    clones = [make_clone(branches.remote, tmp_path / f"build-{name}") for name in names]
    running = [
        branches.start("set", f"{name}=2", "-b", "dev", "--push", "--json", "-", clone=clone)
        for name, clone in zip(names, clones, strict=True)
    ]
    for process in running:
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, output
    assert branches.versions("dev") == dict.fromkeys(names, "2")
    assert branches.manifest("dev")["manifest_version"] == "1.0.8"
    subjects = git(branches.remote, "log", "--format=%s", "-8", "dev").splitlines()
    assert sorted(subjects) == [f"Set {name} 2 in dev" for name in names]
    assert git(branches.remote, "rev-list", "--merges", "--count", "dev") == "0"
