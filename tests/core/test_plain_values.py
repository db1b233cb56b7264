from __future__ import annotations

import pytest

from tests.core.builders import make_manifest, problems


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\nb", "character 2 is a control or invisible character (U+000A); remove it"),
        ("\x00", "U+0000"),
        ("\x1b[31m", "U+001B"),
        ("\x85", "U+0085"),
        ("\u202egpj", "U+202E"),
        ("a\u200b", "U+200B"),
        ("a\u061cb", "U+061C"),
        ("a\u00adb", "U+00AD"),
        ("a\u206ab", "U+206A"),
        ("a\U000e0041b", "U+E0041"),
        ("\u2028", "U+2028"),
        ("\ufeff", "U+FEFF"),
        ("\ud800", "U+D800"),
        ("x" * 20_000, "this has 20000 characters; 16384 at most are allowed"),
    ],
)
def test_text_that_is_not_plain_is_refused_once(text: str, message: str) -> None:
    found = problems(make_manifest(description=text))

    assert len(found) == 1
    assert found[0].startswith("manifest.json: description: ")
    assert message in found[0]


@pytest.mark.parametrize("number", ["1e999", "NaN", "-Infinity", "9007199254740993", "12345678901234567890"])
def test_number_that_readers_disagree_on_is_refused(number: str) -> None:
    found = problems(f'{{"manifest_version": "1", "app_version": "a-1.zip", "extra": [{number}]}}')

    assert (
        "manifest.json: extra[0]: this is no number that every JSON reader understands; use a smaller one"
        in found
    )


@pytest.mark.parametrize("key", ["__ansible_unsafe", "__ansible_vault", "__ANSIBLE"])
def test_keys_of_ansible_are_refused_at_any_depth(key: str) -> None:
    manifest = make_manifest()
    manifest["applications"]["shop"]["artifact"]["sha256"] = {"deep": [{key: "x"}]}

    found = problems(manifest)

    expected = (
        f'manifest.json: applications.shop.artifact.sha256.deep[0].{key}: the key "{key}" is Ansible\'s own'
    )
    assert any(line.startswith(expected) for line in found)


def test_key_with_a_control_character_is_refused() -> None:
    assert problems(make_manifest(**{"a\nb": 1})) == [
        'manifest.json: ["a\\nb"]: the key: character 2 is a control or invisible character (U+000A); remove it'
    ]


def test_too_many_levels_are_refused() -> None:
    found = problems('{"manifest_version": "1", "app_version": "a-1.zip", "a": ' + "[" * 70 + "]" * 70 + "}")

    assert any("nested more than 64 levels deep; flatten it" in line for line in found)
