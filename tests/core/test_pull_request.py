"""Whom the plan of a pull request may ask: what the target has just so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.model import Credentials, Host, Reference, Repository
from orchestrator.core.pull_request import (
    FileChange,
    changed_keys,
    describe_changes,
    describe_files,
    describe_settings,
    review_document,
    split_hosts,
    untrusted_repositories,
)
from orchestrator.errors import DocumentError
from tests.core.reviews import make_review
from tests.core.values import make_desired, make_host, make_placement

OTHER: dict[str, Any] = {
    "region": "south",
    "order": 7,
    "address": "198.51.100.66",
    "port": 2222,
    "user": "mallory",
    "private_key": "/tmp/key",
    "host_key": ("ssh-ed25519 AAAA",),
    "proxy_jump": "evil.example.net",
    "become": True,
    "become_user": "mallory",
    "become_password": Reference(source="env", name="X"),
    "groups": (),
    "connection": "local",
    "python": "/tmp/python",
    "maintenance": True,
}


def make_target(*hosts: Host, **overrides: Any) -> Any:
    return make_desired(make_placement(host=hosts[0]), hosts=hosts, **overrides)


def test_every_field_of_a_host_is_in_this_test() -> None:
    assert OTHER.keys() == set(Host.__dataclass_fields__) - {"name"}


@pytest.mark.parametrize("field", sorted(OTHER))
def test_host_with_any_changed_field_is_not_asked(field: str) -> None:
    before = make_target(make_host("web1"), make_host("web2"))
    after = make_target(make_host("web1", **{field: OTHER[field]}), make_host("web2"))
    trusted, reasons = split_hosts(before, after)
    assert [host.name for host in trusted] == ["web2"]
    assert reasons == {"web1": f"changed in this pull request ({field}), not asked"}


def test_new_host_is_not_asked() -> None:
    trusted, reasons = split_hosts(make_target(make_host("web1")), make_target(make_host("web9")))
    assert trusted == ()
    assert reasons == {"web9": "new in this pull request, not asked"}


def test_host_behind_a_changed_host_is_not_asked() -> None:
    behind = make_host("inner", proxy_jump="first,bastion")
    before = make_target(make_host("bastion"), behind)
    after = make_target(make_host("bastion", address="198.51.100.66"), behind)
    trusted, reasons = split_hosts(before, after)
    assert trusted == ()
    assert reasons["inner"] == "reached through bastion, which this pull request changes, not asked"


def test_nobody_is_asked_without_target_or_under_another_environments_name() -> None:
    after = make_target(make_host("web1"))
    assert split_hosts(None, after)[0] == ()
    trusted, reasons = split_hosts(replace(after, environment="prod"), after)
    assert trusted == ()
    assert reasons == {"web1": "the pull request renames the environment, not asked"}


@pytest.mark.parametrize(
    "changed",
    [
        {"url": "https://evil.example.net"},
        {"type": "http"},
        {"repository": "other"},
        {"path": "/etc"},
        {"credentials": Credentials(token=Reference(source="env", name="OTHER"))},
        {"credentials": None},
    ],
)
def test_changed_repository_is_not_asked(changed: dict[str, Any]) -> None:
    token = Credentials(token=Reference(source="env", name="TOKEN"))
    repository = Repository(
        name="r", type="nexus", url="https://n.example.net", repository="x", credentials=token
    )
    same = replace(repository, name="same")
    before = make_desired(repositories={"r": repository, "same": same})
    after = make_desired(repositories={"r": replace(repository, **changed), "same": same, "new": same})
    assert untrusted_repositories(before, after) == {
        "new": "repository new is new in this pull request",
        "r": "repository r is changed in this pull request",
    }
    assert untrusted_repositories(None, before).keys() == {"r", "same"}


def test_changes_of_hosts_and_repositories_are_named() -> None:
    repository = Repository(name="r", type="http", url="https://n.example.net")
    before = make_target(make_host("web1"), make_host("gone"), repositories={"r": repository})
    after = make_target(
        make_host("web1", address="198.51.100.66", user="x"),
        make_host("new"),
        repositories={"r": replace(repository, url="https://evil.example.net")},
        environment="prod",
    )
    assert describe_changes(before, after) == (
        "repository r is changed (url); its artifacts are not looked up",
        "host gone is removed",
        "host new is new; it is not asked",
        "host web1 is changed (address, user); it is not asked",
        "the environment dev is called prod; no host is asked",
    )
    assert describe_changes(before, before) == ()
    assert describe_changes(None, after) == ()


def test_changed_keys_are_paths() -> None:
    before = {"a": {"b": 1, "c": [1], "gone": 0}, "same": {"x": None}, "flag": True}
    after = {"a": {"b": 2, "c": [2], "new": 0}, "same": {"x": None}, "flag": 1}
    assert changed_keys(before, after) == ("a.b", "a.c", "-a.gone", "+a.new", "flag")
    assert changed_keys(before, before) == ()
    assert changed_keys([], {}) == ("(top level)",)


def test_changed_settings_are_named_and_not_used() -> None:
    assert describe_settings({"name": "x"}, {"name": "x"}) == ()
    (note,) = describe_settings({}, {f"k{number:02}": 1 for number in range(12)})
    assert "+k00, +k01" in note
    assert "and 2 more" in note
    assert "the target's is used" in note


def test_code_that_a_pull_request_changes_is_named() -> None:
    changes = [
        FileChange(path="roles/web/tasks/main.yml", mode="100644", status="A"),
        FileChange(path="stacks/shop/ansible.cfg", mode="000000", status="D"),
        FileChange(path="bin/provider", mode="100755", status="M"),
        FileChange(path="artifacts", mode="120000", status="T"),
        FileChange(path="vendor", mode="160000", status="A"),
        FileChange(path="manifest.json", mode="100644", status="M"),
        FileChange(path="docs/roles", mode="100644", status="M"),
    ]
    notes = describe_files(changes)
    assert notes == (
        "executables are added or changed: bin/provider; nothing of it was run",
        "roles, playbooks or their like are changed: roles/web/tasks/main.yml, stacks/shop/ansible.cfg; "
        "nothing of it was run",
        "submodules are added or changed: vendor; nothing of it was run",
        "symbolic links are added or changed: artifacts; nothing of it was run",
    )


def test_review_for_machines_is_plain() -> None:
    document = review_document(make_review(problem=DocumentError("it is wrong")))
    assert document["source"] == "hosts"
    assert document["problem"] == "it is wrong"
    assert review_document(make_review())["problem"] == ""
    assert make_review(plan=None).unseen == ()
