"""How podman is asked for an image, and what its refusals mean. Its words are those of podman 4.3."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from host_program import containers
from host_program.paths import Paths
from host_program.problems import Problem

REFERENCE = "registry.example.net/shop/web@sha256:" + "a" * 64
ID = "b" * 64


class Podman:
    """Stands for the program: what it answers, and what it was asked."""

    def __init__(self, directory: Path) -> None:
        self.program, self.said = directory / "podman", directory / "said"

    def answers(self, output: str, code: int = 0) -> None:
        keep = f'for one; do echo "$one"; [ ! -f "$one" ] || (cat "$one"; echo); done > {self.said}'
        self.program.write_text(f"#!/bin/sh\n{keep}\ncat <<'END'\n{output}\nEND\nexit {code}\n")
        self.program.chmod(0o755)

    @property
    def asked(self) -> list[str]:
        return self.said.read_text().splitlines()


@pytest.fixture
def podman(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Podman:
    made = Podman(tmp_path)
    monkeypatch.setattr(containers, "PODMAN", str(made.program))
    monkeypatch.setattr(containers, "AUTH_FILE", str(tmp_path / "auth.json"))
    made.answers(ID)
    return made


def test_image_is_pulled_with_what_podman_itself_finds(podman: Podman) -> None:
    assert containers._pull(REFERENCE, None, {}) == ID
    assert podman.asked == ["pull", "--quiet", REFERENCE]


def test_passwords_of_the_host_are_used_where_it_has_such_a_file(podman: Podman, tmp_path: Path) -> None:
    (tmp_path / "auth.json").write_text("{}")
    containers._pull(REFERENCE, None, {})
    assert podman.asked[2:4] == ["--authfile", str(tmp_path / "auth.json")]


def test_password_of_the_role_goes_before_those_of_the_host_and_leaves_no_file(
    podman: Podman, tmp_path: Path
) -> None:
    (tmp_path / "auth.json").write_text("{}")
    credentials: dict[str, Any] = {"username": "ci", "password": {"secret": "env:PASSWORD"}}
    containers._pull(REFERENCE, credentials, {"env:PASSWORD": "s3cret"})
    assert json.loads(podman.asked[4]) == {"auths": {"registry.example.net": {"auth": "Y2k6czNjcmV0"}}}
    assert not Path(podman.asked[3]).exists()


@pytest.mark.parametrize(
    ("source", "words", "kind", "remedy"),
    [
        (
            REFERENCE,
            "Error: reading manifest: unauthorized: authentication required",
            "credentials",
            "podman login",
        ),
        (
            REFERENCE,
            "Error: reading manifest: requested access to the resource is denied",
            "credentials",
            "login",
        ),
        (
            REFERENCE,
            "Error: reading manifest: manifest unknown: manifest unknown",
            "missing",
            "push the image",
        ),
        (
            REFERENCE,
            "Error: reading manifest: name unknown: repository name not known",
            "missing",
            "correct its",
        ),
        (REFERENCE, "Error: pinging registry: connection refused", "download", "reaches the registry"),
        (
            REFERENCE,
            "Error: x509: certificate signed by unknown authority",
            "download",
            "trusts its certificate",
        ),
        (REFERENCE, "Error: writing blob: write /x: no space left on device", "disk_full", "free some space"),
        ("oci-archive:/a", "Error: writing blob: no space left on device", "disk_full", "free some space"),
        ("oci-archive:/a", "Error: unexpected EOF", "archive", "skopeo copy"),
        ("docker-archive:/a", "Error: open /a: permission denied", "archive", "skopeo copy"),
    ],
)
def test_refusal_says_what_kind_it_is_and_what_to_do(
    podman: Podman, source: str, words: str, kind: str, remedy: str
) -> None:
    podman.answers(words, 125)
    with pytest.raises(Problem, match="podman cannot pull") as caught:
        containers._pull(source, None, {})
    assert caught.value.kind == kind
    assert words in caught.value.message
    assert remedy in caught.value.resolution


def test_answer_without_an_id_is_refused(podman: Podman) -> None:
    podman.answers("Trying to pull")
    with pytest.raises(Problem, match="does not say which image"):
        containers._pull(REFERENCE, None, {})


def test_name_that_a_killed_run_pulled_an_image_by_is_known_and_goes_with_it(
    podman: Podman, tmp_path: Path
) -> None:
    receipt: dict[str, Any] = {"releases": {"1-a": {}}}
    placement = {"artifact": {"image": REFERENCE, "filename": "image.json"}}
    here = (placement, {"secrets": {}}, Paths(str(tmp_path)), str(tmp_path), receipt, "1-a")
    podman.answers("Error: killed", 1)  # podman does not have it, and dies
    with pytest.raises(Problem):
        containers._load(*here)
    podman.answers(ID)  # podman has it
    containers._load(*here)
    written = json.loads((tmp_path / "receipt.json").read_text())
    assert list(written["images"].values()) == [REFERENCE]


def test_name_of_an_image_that_was_there_before_is_left_to_whoever_pulled_it(
    podman: Podman, tmp_path: Path
) -> None:
    receipt: dict[str, Any] = {"releases": {"1-a": {}}}
    placement = {"artifact": {"image": REFERENCE, "filename": "image.json"}}
    containers._load(placement, {"secrets": {}}, Paths(str(tmp_path)), str(tmp_path), receipt, "1-a")
    assert list(receipt["images"].values()) == [""]
    assert receipt["releases"]["1-a"]["image"] == ID
