"""What a pull request changes, held against its target: whom the plan of the merge may ask, and what it shows.

The head of a pull request is data. Hosts and repositories are trusted as the target has them, field by field;
what the head makes of them is named, and nobody is contacted because of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from orchestrator.core.model import Desired, Host, Repository
from orchestrator.core.plan import Plan
from orchestrator.core.settings import Settings
from orchestrator.core.violations import Path, render_path
from orchestrator.errors import OrchestratorError

Source = Literal["hosts", "ledger", "nobody"]

SHOWN_NAMES = 10
_CODE_FOLDERS = frozenset(
    {
        "action_plugins", "callback_plugins", "collections", "connection_plugins", "filter_plugins", "group_vars",
        "host_vars", "library", "lookup_plugins", "module_utils", "playbooks", "plugins", "providers", "roles",
        "scripts", "strategy_plugins", "templates", "vars_plugins",
    }
)  # fmt: skip
_CODE_NAMES = frozenset({"ansible.cfg", ".gitattributes", ".gitmodules"})
_EXECUTABLE, _LINK, _SUBMODULE = "100755", "120000", "160000"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """One path that the merge changes.

    Attributes:
        mode: git's, after the merge; `000000` when the file is gone.
        status: git's letter: A (added), D (deleted), M (modified), T (its type changed).
    """

    path: str
    mode: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """A pull request as its readers see it.

    Attributes:
        environment: the target's.
        stack: the stack's directory, or empty.
        base: the target, such as `production@1a2b3c4d5e`.
        branch: the target's branch, or empty.
        head: the source, likewise.
        commit: the source's.
        source: who said what is live.
        from_version: the target's manifest version; empty when there is none.
        plan: of the merged documents; None when there can be none (see `problem`).
        lookups: application → why nobody has seen its artifact.
        unasked: host → why it was not asked.
        keys: what changes in the environment JSON.
        notes: what the pull request changes and this plan does not use, one sentence each.
        window: that it could not be deployed now; empty when it could.
        problem: why there is no plan, or why it cannot be carried out.
        settings: the target's.
    """

    environment: str
    stack: str = ""
    base: str
    branch: str = ""
    head: str
    commit: str = ""
    source: Source
    from_version: str = ""
    plan: Plan | None = None
    lookups: Mapping[str, str] = field(default_factory=dict)
    unasked: Mapping[str, str] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    window: str = ""
    problem: OrchestratorError | None = None
    settings: Settings = field(default_factory=Settings)

    @property
    def unseen(self) -> tuple[str, ...]:
        """Applications without a digest: with them the intent id is another one when the merge is deployed."""
        return tuple(one.application for one in self.plan.artifacts if not one.sha256) if self.plan else ()


def review_document(review: Review) -> dict[str, Any]:
    """What `plan --json` says of the pull request beside the plan, in plain JSON types."""
    return {
        "base": review.base,
        "head": review.head,
        "source": review.source,
        "from_version": review.from_version,
        "lookups": dict(review.lookups),
        "unasked": dict(review.unasked),
        "keys": list(review.keys),
        "notes": list(review.notes),
        "problem": review.problem.brief if review.problem else "",
    }


def split_hosts(target: Desired | None, merged: Desired) -> tuple[tuple[Host, ...], dict[str, str]]:
    """The hosts that may be asked, and for each other one why not.

    A host may be asked when the merge leaves every field of it as the target has it, and the hosts that it is
    reached through as well.

    Args:
        target: None: its documents cannot be read, so nobody is trusted.
    """
    known = {host.name: host for host in target.hosts} if target else {}
    if target and target.environment != merged.environment:
        return (), {host.name: "the pull request renames the environment, not asked" for host in merged.hosts}
    reasons = {}
    for host in merged.hosts:
        before = known.get(host.name)
        if before is None:
            reasons[host.name] = "new in this pull request, not asked"
        elif before != host:
            changed = ", ".join(_changed_fields(before, host))
            reasons[host.name] = f"changed in this pull request ({changed}), not asked"
    for host in merged.hosts:
        through = [hop for hop in host.proxy_jump.split(",") if hop in reasons]
        if through and host.name not in reasons:
            reasons[host.name] = f"reached through {through[0]}, which this pull request changes, not asked"
    return tuple(host for host in merged.hosts if host.name not in reasons), reasons


def untrusted_repositories(target: Desired | None, merged: Desired) -> dict[str, str]:
    """Repositories that are not asked → why: the pull request adds or changes them."""
    known = target.repositories if target else {}
    return {
        name: f"repository {name} is {'changed' if name in known else 'new'} in this pull request"
        for name, repository in sorted(merged.repositories.items())
        if known.get(name) != repository
    }


def describe_changes(target: Desired | None, merged: Desired) -> tuple[str, ...]:
    """What the merge makes of repositories and hosts, one sentence each."""
    if target is None:
        return ()
    notes = [
        *_describe("repository", target.repositories, merged.repositories, "its artifacts are not looked up"),
        *_describe("host", _by_name(target.hosts), _by_name(merged.hosts), "it is not asked"),
    ]
    if target.environment != merged.environment:
        notes.append(f"the environment {target.environment} is called {merged.environment}; no host is asked")
    return tuple(notes)


def describe_settings(before: Any, after: Any) -> tuple[str, ...]:
    """What the merge changes in orchestrator.toml, as one sentence; nothing when it changes nothing."""
    keys = changed_keys(before, after)
    if not keys:
        return ()
    return (
        f"orchestrator.toml is changed ({_some(keys)}); the target's is used, and after the merge the plan "
        "can be another one",
    )


def describe_files(changes: Iterable[FileChange]) -> tuple[str, ...]:
    """Code that the merge changes, one sentence for each kind; nothing of it was run."""
    named: dict[str, list[str]] = {}
    for change in changes:
        if what := _kind_of(change):
            named.setdefault(what, []).append(change.path)
    return tuple(f"{what}: {_some(paths)}; nothing of it was run" for what, paths in sorted(named.items()))


def changed_keys(before: Any, after: Any) -> tuple[str, ...]:
    """Paths of the values that differ, objects entered, lists not; `+` was added, `-` is gone."""
    return tuple(_changed(before, after, ()))


def _changed(before: Any, after: Any, path: Path) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            here = (*path, key)
            if key not in before:
                yield f"+{render_path(here)}"
            elif key not in after:
                yield f"-{render_path(here)}"
            else:
                yield from _changed(before[key], after[key], here)
    elif before != after or type(before) is not type(after):
        yield render_path(path)


def _describe(
    what: str, before: Mapping[str, Any], after: Mapping[str, Any], consequence: str
) -> Iterator[str]:
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            yield f"{what} {name} is new; {consequence}"
        elif name not in after:
            yield f"{what} {name} is removed"
        elif before[name] != after[name]:
            changed = ", ".join(_changed_fields(before[name], after[name]))
            yield f"{what} {name} is changed ({changed}); {consequence}"


def _changed_fields(before: Host | Repository, after: Host | Repository) -> list[str]:
    old, new = asdict(before), asdict(after)
    return [one.name for one in fields(before) if old[one.name] != new[one.name]]


def _by_name(hosts: Iterable[Host]) -> dict[str, Host]:
    return {host.name: host for host in hosts}


def _kind_of(change: FileChange) -> str:
    folders = change.path.split("/")
    if change.mode == _LINK:
        return "symbolic links are added or changed"
    if change.mode == _SUBMODULE:
        return "submodules are added or changed"
    if not _CODE_FOLDERS.isdisjoint(folders[:-1]) or folders[-1] in _CODE_NAMES:
        return "roles, playbooks or their like are changed"
    if change.mode == _EXECUTABLE:
        return "executables are added or changed"
    return ""


def _some(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - SHOWN_NAMES} more" if len(every) > SHOWN_NAMES else ""
    return ", ".join(every[:SHOWN_NAMES]) + more
