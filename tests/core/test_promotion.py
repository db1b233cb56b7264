from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.manifest_edit import ManifestText
from orchestrator.core.promotion import (
    Promotion,
    Row,
    Source,
    block_rows,
    carry,
    compare_manifests,
    describe_moves,
    find_downgrades,
    find_skipped,
    promotion_document,
    source_of,
)
from orchestrator.errors import UsageError
from tests.core.test_manifest_edit import manifest_of


def stack(manifest_version: str, **versions: str) -> ManifestText:
    applications = {
        name: {"version": version, "artifact": {"path": f"{name}-{{version}}.zip"}}
        for name, version in versions.items()
    }
    return manifest_of({"manifest_version": manifest_version, "applications": applications})


def simple(name: str) -> ManifestText:
    return manifest_of({"manifest_version": "1", "app_version": name})


def moved(
    source: Source, target: ManifestText, *names: str, entries: Any = None
) -> tuple[dict[str, str], Any]:
    rows = compare_manifests(source, target, names, entries)
    after = json.loads(target.rewritten(carry(source, target, rows)).content)
    return {row.application: f"{row.verdict}: {row.why}" for row in rows}, after


def test_whole_applications_move_and_all_of_them_bring_the_source_s_version() -> None:
    source, target = source_of(stack("2.0", a="2", b="1", c="1"), "dev@1"), stack("1.7", b="1", a="1", d="1")
    said, after = moved(source, target)
    assert said == {
        "a": "moves: another version",
        "b": "there: already there",
        "c": "moves: new there",
        "d": "stays: not in dev@1; nothing is removed",
    }
    assert {name: one["version"] for name, one in after["applications"].items()} == {
        "b": "1",
        "a": "2",
        "c": "1",
        "d": "1",
    }
    assert after["manifest_version"] == "2.0"


def test_part_of_them_counts_the_target_s_own_version_up() -> None:
    source, target = source_of(stack("2.0", a="2", b="2"), "dev"), stack("1.7", a="1", b="1")
    said, after = moved(source, target, "b")
    assert (said, after["manifest_version"]) == ({"b": "moves: another version"}, "1.8")
    assert {name: one["version"] for name, one in after["applications"].items()} == {"a": "1", "b": "2"}


def test_nothing_to_carry_leaves_the_target_as_it_is() -> None:
    target = stack("1.7", a="1")
    source = source_of(stack("9", a="1"), "dev")
    assert carry(source, target, compare_manifests(source, target, (), None)) is target.tree


def test_other_settings_of_the_same_version_move() -> None:
    source = stack("2", a="1")
    target = manifest_of(source.text.replace("a-{version}.zip", "old-{version}.zip"))
    said, after = moved(source_of(source, "dev"), target)
    assert said == {"a": "moves: other settings in the manifest"}
    assert after == json.loads(source.text)


def test_what_the_environment_does_not_know_and_what_is_unclear_stays() -> None:
    source = replace(source_of(stack("2.0", a="2", b="2"), "p@1"), unclear={"c": "two versions were live"})
    said, after = moved(source, stack("1", a="1", b="1"), entries=["b"])
    assert said == {
        "a": "stays: the target's environment JSON has no entry for it; add one there first",
        "b": "moves: another version",
        "c": "stays: two versions were live",
    }
    assert after["manifest_version"] == "2"


def test_simple_forms_carry_their_artifact_of_the_same_application_only() -> None:
    source = source_of(simple("shop-2.0.zip"), "dev")
    said, after = moved(source, simple("shop-1.0.zip"))
    assert (said["shop"], after["app_version"]) == ("moves: another version", "shop-2.0.zip")
    said, after = moved(source, simple("other-1.0.zip"))
    assert said["shop"].startswith("stays: the target's only application is another")
    assert after["app_version"] == "other-1.0.zip"


@pytest.mark.parametrize(
    ("source", "target", "names", "said"),
    [
        (simple("shop-1.0.zip"), stack("1", shop="1"), (), "is in simple form, the target's in full form"),
        (stack("1", shop="1"), simple("shop-1.0.zip"), (), "is in full form, the target's in simple form"),
        (
            stack("1", shop="1"),
            stack("1", shop="1"),
            ("shops",),
            'no application "shops" (did you mean "shop"?)',
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    source: ManifestText, target: ManifestText, names: tuple[str, ...], said: str
) -> None:
    with pytest.raises(UsageError, match=r".*") as caught:
        compare_manifests(source_of(source, "dev"), target, names, None)
    assert said in caught.value.brief


def row(verdict: Any = "moves", name: str = "a", before: str = "1", after: str = "2", why: str = "x") -> Row:
    return Row(application=name, verdict=verdict, from_version=before, to_version=after, why=why)


def test_reasons_block_what_would_move_and_nothing_else() -> None:
    rows = (row(), row(name="b"), row("there", "c"))
    blocked = block_rows(rows, {"a": "held", "c": "held"})
    assert [(one.application, one.verdict, one.why) for one in blocked] == [
        ("a", "blocked", "held"),
        ("b", "moves", "x"),
        ("c", "there", "x"),
    ]
    promotion = Promotion(source="dev", target="qa", rows=blocked, manifest_version="1")
    assert [one.application for one in promotion.moves] == ["b"]
    assert [one.application for one in promotion.blocked] == ["a"]
    assert promotion_document(promotion, commit="1")["rows"][0]["verdict"] == "blocked"
    assert promotion_document(promotion, commit="1")["commit"] == "1"


def test_moves_are_described() -> None:
    rows = (row(before=""), row(name="b"), row(name="c", before="2", why="other settings"), row("there", "d"))
    promotion = Promotion(source="dev", target="qa", rows=rows, manifest_version="1")
    assert describe_moves(promotion) == ("a: nothing → 2", "b: 1 → 2", "c: 2, other settings")


def test_downgrades_are_found_where_versions_can_be_compared() -> None:
    rows = (
        row(before="2", after="1"),
        row(before="x", after="y"),
        row(before="", after="1"),
        row("there", before="2", after="1"),
    )
    assert find_downgrades(rows) == ("downgrade: a goes from 2 back to 1",)


@pytest.mark.parametrize(
    ("source", "target", "skipped"),
    [
        ("dev", "production", ("qa", "staging")),
        ("qa", "staging", ()),
        ("production", "dev", ()),
        ("dev", "elsewhere", ()),
        ("elsewhere", "dev", ()),
    ],
)
def test_skipped_environments_lie_between(source: str, target: str, skipped: tuple[str, ...]) -> None:
    assert find_skipped(("dev", "qa", "staging", "production"), source, target) == skipped
