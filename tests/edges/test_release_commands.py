"""Shared paths, templates and hooks of a release, by the real commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edges.rollouts import Ground


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    made = Ground(tmp_path, 1)
    (made.path / "app.conf.j2").write_text("v={{ version }} {{ variables.COLOUR }} \x1b[31m\n")
    made.settings = {
        "shared_paths": ["uploads/"],
        "variables": {"COLOUR": "{{ 7 * 7 }}"},
        "templates": [{"path": "app.conf", "source": "app.conf.j2", "trusted": True}],
        "hooks": {
            "after_activate": [
                {"command": ["/bin/sh", "-c", f"echo $ORCHESTRATOR_VERSION >> {tmp_path}/ran"]}
            ]
        },
    }
    yield made
    made.close()


def test_release_is_shared_rendered_and_hooked_and_differences_are_shown(ground: Ground) -> None:
    ground.release("1")
    assert "after_activate: /bin/sh -c" in ground.run("plan")
    ground.deploy()
    current = ground.top / "srv" / "h1" / "site" / "current"
    assert (current / "app.conf").read_text() == "v=1 {{ 7 * 7 }} \x1b[31m\n"
    (current / "uploads" / "mine").write_text("kept")
    ground.release("2")
    checked = str(ground.deploy("--check", "--diff")["output"])
    assert "h1: site: app.conf (staged)\n  -v=1 {{ 7 * 7 }} ·[31m\n  +v=2 {{ 7 * 7 }} ·[31m\n" in checked
    assert "would run after_activate" in checked
    assert "app.conf (staged)" not in str(ground.deploy()["output"])
    assert (current / "uploads" / "mine").read_text() == "kept"
    assert (ground.top / "ran").read_text() == "1\n2\n"
    assert "in sync" in ground.run("status", "--verify")
