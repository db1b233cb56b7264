"""The target's own files, in place of a checkout that holds those of a pull request."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path

from orchestrator.edges.git import DeploymentRepository
from orchestrator.edges.merge import Merge
from orchestrator.edges.scratch import make_scratch


class TargetFiles:
    """Written when they are first asked for, gone with `stack`."""

    def __init__(self, merge: Merge, clone: DeploymentRepository, stack: ExitStack) -> None:
        self._merge = merge
        self._clone = clone
        self._stack = stack
        self._top: Path | None = None

    def stack_directory(self) -> Path:
        """Where orchestrator.toml is."""
        return self._directory() / self._clone.stack

    def in_place_of(self, path: Path) -> Path | None:
        """The target's file for an absolute path in the checkout; None for a path elsewhere."""
        inside = self.inside_checkout(path)
        return None if inside is None else self._directory() / inside

    def inside_checkout(self, path: Path) -> Path | None:
        """An absolute path relative to the checkout's top, by whatever name it leads there; None elsewhere."""
        top = self._clone.top
        if path.is_absolute():
            for one in (path, *path.parents):
                if one == top or (one.exists() and one.samefile(top)):
                    return path.relative_to(one)
        return None

    def _directory(self) -> Path:
        if self._top is None:
            scratch = make_scratch()
            self._stack.callback(shutil.rmtree, scratch, ignore_errors=True)
            self._top = scratch.resolve() / "target"
            self._top.mkdir()
            self._merge.extract_base(self._top)
        return self._top
