"""Protection: which rules there are, which entries of a ledger count, and what refuses a deployment."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from orchestrator.core.protection import (
    Facts,
    Finding,
    RulesSource,
    Signature,
    choose_base,
    is_base,
    is_overtaken,
    judge_protection,
    protection_document,
)
from orchestrator.core.protection_rules import (
    Policy,
    Protection,
    Rules,
    is_ssh_key,
    ledger_signers,
    parse_public_key,
    place_of,
    same_place,
)
from orchestrator.core.record import Record
from tests.core.builders import KEY, make_settings, settings_problems

PGP = "openpgp " + "mDMEZ" * 20
COMMIT, BASE = "1" * 40, "2" * 40
MONDAY = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
FACTS = Facts(commit=COMMIT, base=BASE, moment=MONDAY, repository="https://git.example.net/shop/deploy.git")
RECORD = Record(
    id="a-1",
    actor="ci",
    started="2026-11-24T05:38:50Z",
    environment="production",
    commit=COMMIT,
    verdict="success",
)


def test_every_rule_is_read() -> None:
    protection = make_settings(
        f'[keys]\nada = "{KEY} ada@example.net"\nci = "{PGP}"\n'
        '[policy]\nurl = "git@git.example.net:ops/policy.git"\nbranch = "stable"\n'
        "[protection.production]\nmerge_commits_only = true\nsigned_by = ['ada']\nledger_signed_by = ['ci']\n"
        "approvals = 2\nrequire_plan = true\nrequire_pinned = true\nwindow_override = false\n"
        "only_repository = 'https://git.example.net/shop/production.git'\n"
        "windows = [{ allow = 'mon-fri 09:00-17:00' }]\n"
    ).protection
    rules = protection.rules["production"]

    assert protection.keys == {"ada": KEY, "ci": PGP}
    assert protection.policy == Policy(url="git@git.example.net:ops/policy.git", branch="stable")
    assert rules == Rules(
        merge_commits_only=True,
        signed_by=("ada",),
        ledger_signed_by=("ci",),
        approvals=2,
        require_plan=True,
        require_pinned=True,
        windows=rules.windows,
        window_override=False,
        only_repository="https://git.example.net/shop/production.git",
    )
    assert list(rules.in_force()) == list(Rules.__dataclass_fields__)
    assert rules.in_force()["signed_by"] == "ada"
    assert rules.in_force()["window_override"] == "false"
    assert Rules().in_force() == {}
    assert make_settings("[policy]\nurl = '../policy'").protection.policy == Policy(
        url="../policy", branch="main"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[protection.production]\nsigned_by = ['adda']",
            'signed_by[0]: [keys] has no key "adda"; add it there',
        ),
        ("[keys]\nada = 'none'", 'keys.ada: this is no public key; write "ssh-ed25519 AAAA…"'),
        ("[keys]\n'a b' = 'x'", 'keys["a b"]: "a b" is no name for a key'),
        ("[protection.production]\nsigned_by = [1]", "signed_by[0]: is no name for a key"),
        ("[policy]\nbranch = 'main'", 'policy: "url" is missing; add it'),
        ("[policy]\nurl = 'https://ci:hunter2@git.example.net/x'", "policy.url: this URL holds credentials"),
        ("[protection.production]\napprovals = -1", "approvals: has to be a number of approvals"),
        ("[protection.production]\nwindows = [{ allow = 'never' }]", "windows[0]"),
        ("[protection.'a b']", 'protection["a b"]: "a b" is no environment name'),
        (
            "[protection.production]\nonly_repository = 'ext::sh -c x'",
            "only_repository: has to be a git repository",
        ),
        ("[protection.production]\nmerge_only = true", 'unknown key "merge_only"'),
    ],
)
def test_what_is_wrong_with_rules_is_explained(text: str, expected: str) -> None:
    found = settings_problems(f"format = 1\n{text}")

    assert any(expected in line for line in found), found
    assert "hunter2" not in "".join(found)


def test_keys_are_plain_keys_without_options() -> None:
    assert parse_public_key(f" {KEY} ada's laptop\n") == KEY
    assert parse_public_key(f'command="x" {KEY}') == ""
    assert parse_public_key(f"{KEY}\n{KEY}") == ""
    assert parse_public_key("cert-authority " + KEY) == ""
    assert is_ssh_key(KEY)
    assert not is_ssh_key(PGP)


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("https://git.example.net/shop/deploy.git", "git.example.net/shop/deploy"),
        ("https://ci@Git.Example.net:443/shop/deploy/", "git.example.net/shop/deploy"),
        ("ssh://git@git.example.net:22/shop/deploy", "git.example.net/shop/deploy"),
        ("git@git.example.net:shop/deploy.git", "git.example.net/shop/deploy"),
        ("git@git.example.net:/shop/deploy.git", "git.example.net/shop/deploy"),
        ("https://git.example.net:8443/shop/deploy", "git.example.net:8443/shop/deploy"),
        ("ext://git.example.net/shop", "git.example.net/shop"),
        ("file:///srv/git/deploy.git", "/srv/git/deploy"),
        ("/srv/git/deploy", "/srv/git/deploy"),
    ],
)
def test_one_place_has_one_name_over_every_protocol(address: str, place: str) -> None:
    assert place_of(address) == place
    assert same_place(address, address)
    assert not same_place(address, "https://git.example.net/shop/other")
    assert not same_place("", "")


JUDGED: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    ({"merge_commits_only": True}, {}, "", "everything since"),
    ({"merge_commits_only": True}, {"was_deployed": True, "direct": (COMMIT,)}, "", "the last deployed one"),
    ({"merge_commits_only": True}, {"commit": ""}, "commit it", "the work tree is no commit"),
    ({"merge_commits_only": True}, {"direct": (COMMIT,)}, "put the branch back to 2222222222", "1111111111 came without"),
    ({"merge_commits_only": True}, {"direct": (COMMIT,), "base": ""}, "merge a pull request", "came without"),
    ({"merge_commits_only": True}, {"line_problem": "it leads nowhere"}, "put the branch back", "it leads nowhere"),
    ({"signed_by": ("ada",)}, {"signatures": {("ada",): Signature(name="ada")}}, "", "with the key ada"),
    (
        {"signed_by": ("ada", "eve")},
        {"signatures": {("ada", "eve"): Signature(problem="the commit is not signed")}},
        "one of the keys ada, eve",
        "not signed (names of authors and committers prove nothing)",
    ),
    ({"signed_by": ("ada",)}, {"commit": ""}, "signed", "the work tree is no commit"),
    ({"approvals": 2}, {}, "token of the forge", "no forge can be asked"),
    ({"approvals": 2}, {"approvals_problem": "it is away"}, "token of the forge", "it is away"),
    ({"approvals": 2}, {"approvals": ("ada", "ada")}, "2 approvals of others", "1 of 2 approvals: ada"),
    ({"approvals": 1}, {"approvals": ()}, "1 approval of others", "0 of 1 approval"),
    ({"approvals": 2}, {"approvals": ("bob", "ada")}, "", "2 of 2 approvals: ada, bob"),
    ({"require_plan": True}, {}, "--require-plan", "no reviewed plan"),
    ({"require_plan": True}, {"plan_given": True}, "", "held against"),
    ({"require_pinned": True}, {}, "", "every artifact"),
    ({"require_pinned": True}, {"unpinned": ("shop",)}, "sha256", "without a sha256 in the manifest: shop"),
    ({"require_pinned": True}, {"unpinned": None}, "sha256", "cannot be read"),
    ({"window_override": False}, {}, "", "no window"),
    ({"window_override": False}, {"overrides_window": True}, "without it", "is not allowed here"),
    ({"only_repository": "git@git.example.net:shop/deploy"}, {}, "", "is the repository"),
    ({"only_repository": "git@git.example.net:shop/other"}, {}, "deploy from git@", "is not the repository"),
    ({"only_repository": "/srv/x"}, {"repository": ""}, "deploy from /srv/x", "this repository is not"),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "facts", "remedy", "why"), JUDGED)
def test_a_rule_says_what_it_saw_and_what_would_satisfy_it(
    rules: dict[str, Any], facts: dict[str, Any], remedy: str, why: str
) -> None:
    (found,) = judge_protection(Rules(**rules), replace(FACTS, **facts))

    assert found.passed == (not remedy)
    assert remedy in found.remedy
    assert why in found.why
    assert str(found).startswith(f"{found.rule}: {'refused' if remedy else 'passed'}, ")


def test_windows_of_the_rules_bind() -> None:
    windows = (
        make_settings("[protection.production]\nwindows = [{ allow = 'mon-fri 09:00-17:00' }]")
        .protection.rules["production"]
        .windows
    )
    rules, sunday = Rules(windows=windows), datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

    assert [one.passed for one in judge_protection(rules, FACTS)] == [True]
    (closed,) = judge_protection(rules, replace(FACTS, moment=sunday))
    assert not closed.passed
    assert "it opens" in closed.remedy
    (overridden,) = judge_protection(rules, replace(FACTS, moment=sunday, overrides_window=True))
    assert overridden.passed
    assert "overridden" in overridden.why


def test_a_rollback_needs_no_plan_and_no_pins() -> None:
    rules = Rules(merge_commits_only=True, require_plan=True, require_pinned=True, window_override=False)

    found = judge_protection(rules, replace(FACTS, rolls_back=True))

    assert [one.rule for one in found] == ["merge_commits_only"]


def test_only_deployments_of_a_branch_give_rules() -> None:
    assert is_base(RECORD)
    assert is_base(replace(RECORD, verdict="partial"))
    for change in (
        {"kind": "rollback"}, {"verdict": "failed"}, {"verdict": ""}, {"allow_older_reason": "x"}, {"commit": ""},
    ):  # fmt: skip
        assert not is_base(replace(RECORD, **change))  # type: ignore[arg-type]


def base_of(*entries: tuple[str, str, str] | tuple[str, str, str, int]) -> str:
    """The chosen entry's name; entries are (name, rules at its commit, who signed it), rules name who has to.

    The fourth is the lock's token.
    """
    found = choose_base(
        entries,
        rules_of=lambda entry: entry[1],
        counts_under=lambda rules, entry: rules in ("", entry[2]),
        is_overtaken=lambda one, other: len(one) == len(other) == 4 and one[3] < other[3],
    )
    return found[0] if found else ""


def test_an_entry_counts_by_the_keys_that_were_listed_before_it() -> None:
    assert base_of() == ""
    assert base_of(("a", "", ""), ("b", "", "")) == "b"
    assert base_of(("a", "", ""), ("b", "ci", "")) == "b"
    assert base_of(("a", "ci", ""), ("b", "ci", "ci"), ("c", "ci", "ci")) == "c"
    assert base_of(("a", "ci", "ci"), ("forged", "eve", "eve"), ("forged", "", "")) == "a"
    assert base_of(("a", "ci", "ci"), ("forged", "ci", "eve")) == "a"
    assert base_of(("a", "ci", "ci"), ("b", "new", "ci"), ("c", "new", "new"), ("forged", "new", "ci")) == "c"


def test_an_entry_that_is_told_late_does_not_count() -> None:
    assert base_of(("b", "new", "", 2), ("late", "", "new", 1)) == "b"
    assert base_of(("a", "ci", "ci", 1), ("c", "ci", "ci", 3), ("late", "", "ci", 2)) == "c"
    assert base_of(("a", "ci", "ci", 1), ("c", "ci", "ci", 3), ("late", "ci", "ci", 2)) == "c"
    assert (
        base_of(("a", "ci", "ci", 1), ("c", "ci", "ci", 3), ("d", "new", "ci"), ("late", "", "new", 2)) == "d"
    )
    assert base_of(("a", "ci", "ci", 1), ("b", "old", "ci", 2), ("c", "new", "old", 3)) == "c"


def test_an_entry_without_a_lock_is_neither_late_nor_makes_others_late() -> None:
    assert base_of(("a", "ci", "ci", 2), ("b", "", "ci")) == "b"
    assert base_of(("a", "ci", "ci"), ("b", "", "ci", 1)) == "b"
    assert base_of(("a", "", "", 2), ("b", "", ""), ("late", "", "", 1)) == "b"


def test_a_forged_token_makes_no_entry_late() -> None:
    forged = ("forged", "ci", "eve", 9)
    assert base_of(("a", "ci", "ci", 1), forged, ("b", "new", "ci", 2)) == "b"
    assert base_of(("a", "ci", "ci", 1), forged, ("b", "", "ci", 2)) == "b"
    assert base_of(("a", "ci", "ci", 1), forged, ("b", "ci", "ci", 2)) == "b"
    assert base_of(("forged", "", "eve", 9), ("a", "ci", "ci", 1)) == "a", (
        "the first one is believed, and no more"
    )


def test_attempts_of_one_lock_overtake_each_other() -> None:
    one, two = replace(RECORD, lock_token=1), replace(RECORD, lock_token=2)
    assert is_overtaken(one, two)
    assert not is_overtaken(two, one)
    assert not is_overtaken(one, one)
    assert not is_overtaken(one, replace(two, environment="qa"))
    assert not is_overtaken(RECORD, two)
    assert not is_overtaken(one, RECORD)


def test_a_source_is_named_for_people_and_machines() -> None:
    source = RulesSource(kind="ledger", commit=COMMIT, record="a-1")

    assert str(source) == "the last deployed commit 1111111111 (record a-1)"
    assert "first parent 1111111111" in str(RulesSource(kind="parent", commit=COMMIT))
    assert str(RulesSource(kind="policy", commit=COMMIT, place="the policy")) == "the policy at 1111111111"
    assert "no commit before" in str(RulesSource(kind="none"))
    finding = Finding(rule="approvals", passed=False, why="0 of 1", remedy="approve it")
    document = protection_document(source, {"production": Rules()}, [finding])
    assert json.loads(json.dumps(document)) == {
        "source": {"kind": "ledger", "commit": COMMIT, "record": "a-1", "place": ""},
        "environments": ["production"],
        "findings": [{"rule": "approvals", "passed": False, "why": "0 of 1", "remedy": "approve it"}],
    }


def test_entries_count_that_the_rules_keys_signed_else_any_listed_key() -> None:
    keys = {"ci": "ssh-ed25519 A", "ada": "ssh-ed25519 B"}
    rules = {"production": Rules(ledger_signed_by=("ci",)), "qa": Rules()}
    protection = Protection(keys=keys, rules=rules)
    assert ledger_signers(protection, ("production", "prod")) == ("ci",)
    assert ledger_signers(protection, ("qa",)) == ("ada", "ci")
