from __future__ import annotations

from orchestrator.core.fingerprints import fingerprint


def test_fingerprint_differs_with_value_name_identity_and_application() -> None:
    made = {
        fingerprint("shop/dev", "api", {"KEY": "one"}),
        fingerprint("shop/dev", "api", {"KEY": "two"}),
        fingerprint("shop/dev", "api", {"YEK": "one"}),
        fingerprint("shop/prod", "api", {"KEY": "one"}),
        fingerprint("shop/dev", "site", {"KEY": "one"}),
    }
    assert len(made) == 5
    assert all("one" not in one for one in made)


def test_fingerprint_is_the_same_for_the_same_and_empty_for_nothing() -> None:
    assert fingerprint("a", "b", {"X": "1", "Y": "2"}) == fingerprint("a", "b", {"Y": "2", "X": "1"})
    assert fingerprint("a", "b", {}) == ""
