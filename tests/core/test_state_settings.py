from __future__ import annotations

import subprocess

import pytest

from orchestrator.core.settings import Settings
from orchestrator.core.state_refs import is_lock_ref_of, is_state_branch, ledger_ref, lock_ref
from orchestrator.core.state_settings import LedgerSettings, LockSettings
from tests.core.builders import make_settings, settings_problems


def test_defaults() -> None:
    settings = make_settings("[ledger]\n[lock]\n")

    assert settings == Settings()
    assert settings.ledger == LedgerSettings(ref="refs/heads/orchestrator/ledger")
    assert settings.lock == LockSettings(expiry_seconds=600)


@pytest.mark.parametrize(
    "repository",
    [
        "https://git.example.net/ops/records.git",
        "http://git.example.net/records",
        "ssh://git@git.example.net:2222/ops/records.git",
        "ssh://git.example.net/records",
        "git@git.example.net:ops/records.git",
        "host:records.git",
        "../records.git",
        "/srv/git/records.git",
        "~/records.git",
        "file:///srv/git/records.git",
    ],
)
def test_everything_is_read(repository: str) -> None:
    settings = make_settings(
        f'[ledger]\nref = "records"\nrepository = "{repository}"\nsigning_key = "~/.ssh/id_ed25519.pub"\n'
        f'[lock]\nrepository = "{repository}"\nexpiry_seconds = 5\n'
    )

    assert settings.ledger == LedgerSettings(
        ref="refs/heads/records", repository=repository, signing_key="~/.ssh/id_ed25519.pub"
    )
    assert settings.lock == LockSettings(repository=repository, expiry_seconds=5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[ledger]\nref = 'a..b'", "3: ledger.ref: has to be a branch's name"),
        ("[ledger]\nref = 'refs'", "3: ledger.ref: has to be a branch's name"),
        ("[ledger]\nref = 'orchestrator'", "3: ledger.ref: this is where locks are kept; name another"),
        ("[ledger]\nref = 'refs/heads/orchestrator/lock'", "3: ledger.ref: this is where locks are kept"),
        ("[ledger]\nref = 'orchestrator/lock/x'", "3: ledger.ref: this is where locks are kept"),
        (
            "[environments.production]\nbranch = 'main'\n[ledger]\nref = 'main'",
            "5: ledger.ref: this is the branch of environment production; name another",
        ),
        ("[ledger]\nrepository = ''", "3: ledger.repository: has to be a git repository"),
        ("[ledger]\nrepository = 'ext::sh -c id'", "3: ledger.repository: has to be a git repository"),
        ("[ledger]\nrepository = '-u x'", "3: ledger.repository: has to be a git repository"),
        ("[ledger]\nrepository = 'ssh://-oProxyCommand=x/y'", "3: ledger.repository: has to be a git"),
        (
            "[lock]\nrepository = 'https://bot:hunter2@git.example.net/x'",
            "3: lock.repository: this URL holds credentials; remove them, git's own credentials are used",
        ),
        ("[lock]\nrepository = 'https://'", "3: lock.repository: this URL has no valid host and port"),
        ("[lock]\nexpiry_seconds = 4", "3: lock.expiry_seconds: has to be a number of seconds from 5"),
        ("[lock]\nexpiry_seconds = true", "3: lock.expiry_seconds: has to be a number of seconds from 5"),
        ("[ledger]\nsigning_key = '-x'", "3: ledger.signing_key: has to be the name of a key"),
        ("[lock]\nexpiry = 4", '3: lock.expiry: unknown key "expiry"'),
    ],
)
def test_what_is_wrong_is_explained_with_its_line(text: str, expected: str) -> None:
    (found,) = settings_problems(f"format = 1\n{text}")

    assert found.startswith(f"orchestrator.toml:{expected}")
    assert "hunter2" not in found


def test_refs_name_environment_and_stack() -> None:
    assert ledger_ref(Settings(), "") == "refs/heads/orchestrator/ledger"
    assert ledger_ref(Settings(), "shop") == "refs/heads/orchestrator/ledger--shop"
    assert ledger_ref(make_settings('[ledger]\nref = "records"'), "shop") == "refs/heads/records--shop"
    assert lock_ref("production", "") == "refs/heads/orchestrator/lock/production"
    assert lock_ref("production", "shop") == "refs/heads/orchestrator/lock/production--shop"


ENVIRONMENTS = (
    "production",
    "Production.eu",
    "a--b",
    "a",
    "x.lock",
    "a..b",
    "a.",
    "a-",
    "b",
    "A" * 64,
    "a--shop",
)
STACKS = (
    "",
    "shop",
    "teams/shop",
    "teams-shop",
    "Shop",
    "a b",
    "é/ü",
    ".hidden",
    "x.lock",
    "-",
    "a" * 200,
    "shop-",
)


def test_every_ref_is_valid_and_no_two_are_the_same_or_in_each_others_way() -> None:
    refs = [lock_ref(environment, stack) for environment in ENVIRONMENTS for stack in STACKS]
    refs += [ledger_ref(Settings(), stack) for stack in STACKS]

    assert len(set(refs)) == len(refs)
    assert not [ref for ref in refs for other in refs if other.startswith(f"{ref}/")]
    for ref in refs:
        subprocess.run(["git", "check-ref-format", ref], check=True)


@pytest.mark.parametrize("stack", STACKS)
def test_locks_of_a_stack_are_found_by_their_refs(stack: str) -> None:
    for environment in ENVIRONMENTS:
        for other in STACKS:
            assert is_lock_ref_of(lock_ref(environment, other), stack) is (stack == other)
    assert not is_lock_ref_of("refs/heads/orchestrator/lock/--shop", "shop")
    assert not is_lock_ref_of("refs/heads/dev", stack)


@pytest.mark.parametrize(
    ("branch", "expected"),
    [
        ("orchestrator/ledger", True),
        ("orchestrator/ledger--shop", True),
        ("refs/heads/orchestrator/ledger", True),
        ("orchestrator/lock/production", True),
        ("records", True),
        ("records--shop", True),
        ("orchestrator/ledgers", False),
        ("orchestrator", False),
        ("recordsx", False),
        ("production", False),
        ("", False),
    ],
)
def test_pushes_to_state_branches_are_told_from_others(branch: str, expected: bool) -> None:
    assert is_state_branch(branch, make_settings('[ledger]\nref = "records"')) is expected
