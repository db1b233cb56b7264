"""`shared_paths`, `owner`, modes, `templates` and `hooks` of an application, from documents."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from orchestrator.core.model import Desired, Host, Kind, Placement
from orchestrator.core.release_settings import (
    EVENTS,
    KEYS,
    ReleaseSettings,
    Template,
    make_release_settings,
    release_problems,
)
from orchestrator.core.template_text import TemplateTextError, layout_of, render_text, template_variables
from orchestrator.core.violations import Path, Report, quote
from orchestrator.errors import DocumentError

KINDS: tuple[Kind, ...] = ("", "site", "service")


def parse_release(raw: Mapping[str, Any], report: Report, path: Path) -> ReleaseSettings:
    """Return what the entry at `path` says about its releases; what does not fit becomes violations."""
    before = len(report.bad)
    settings = {key: raw[key] for key in KEYS if key in raw}
    user = (raw.get("service") or {}).get("user", "")
    for where, problem in release_problems(settings, user):
        if (*path, *where) not in report.bad:
            report.add((*path, *where), problem)
    is_bad = len(report.bad) > before or any(where[: len(path)] == path for where in report.bad)
    return ReleaseSettings() if is_bad else make_release_settings(settings)


def release_keys(raw: Mapping[str, Any], report: Report, path: Path) -> tuple[str, ...]:
    """Which of these settings are there, wrong ones included."""
    return tuple(key for key in KEYS if key in raw or (*path, key) in report.bad)


def check_release_kind(kind: Kind, keys: tuple[str, ...], report: Report, path: Path) -> None:
    """Add violations where an application of another kind has settings of releases."""
    for key in keys if kind not in KINDS else ():
        if (*path, key) not in report.bad:
            report.add((*path, key), f"a {kind} has no releases that this could be done to; remove it")


def default_users(release: ReleaseSettings, user: str) -> ReleaseSettings:
    """The same settings, in which hooks and what is shared belong to that user where they name none."""
    if not user:
        return release
    return replace(
        release,
        shared_paths=tuple(replace(one, owner=one.owner or user) for one in release.shared_paths),
        hooks={
            event: tuple(replace(hook, user=hook.user or user) for hook in hooks)
            for event, hooks in release.hooks.items()
        },
    )


def describe_host(environment: str, host: Host) -> dict[str, Any]:
    """What templates know about where they are rendered for."""
    return {
        "environment": environment,
        "host": {
            "name": host.name,
            "address": host.address,
            "region": host.region,
            "groups": list(host.groups),
        },
    }


def variables_of(placement: Placement) -> dict[str, Any]:
    """What the templates of a placement can name."""
    return template_variables(
        application=placement.application.name,
        version=placement.application.version,
        deployment_path=placement.deployment_path,
        variables=placement.variables,
        more=placement.template_variables,
    )


def placement_layout(placement: Placement) -> list[Any]:
    """What the files of a placement's release follow from beside its artifact."""
    return layout_of(placement.release, variables_of(placement) if placement.release.templates else {})


def read_templates(desired: Desired, read: Callable[[str], bytes | None]) -> Desired:
    """The same intent with the deployment repository's templates in it, each rendered once for every placement.

    Args:
        read: a file's content, by its path relative to the manifest; None where there is none.

    Raises:
        DocumentError: with every template that is missing or cannot be rendered.
    """
    if not any(one.release.templates for one in desired.placements):
        return desired
    texts: dict[str, str] = {}
    problems: dict[str, None] = {}
    placements = []
    for placement in desired.placements:
        templates = tuple(_filled(one, read, texts, problems) for one in placement.release.templates)
        placements.append(replace(placement, release=replace(placement.release, templates=templates)))
        for template in templates:
            if template.content is not None and not problems:
                _check(template, placements[-1], problems)
    if problems:
        raise DocumentError(
            f"{len(problems)} template{'s' if len(problems) > 1 else ''} cannot be used",
            details=tuple(problems),
            resolution="correct them in the deployment repository; see docs/releases.md for what they can name",
        )
    return replace(desired, placements=tuple(placements))


def _filled(
    template: Template,
    read: Callable[[str], bytes | None],
    texts: dict[str, str],
    problems: dict[str, None],
) -> Template:
    source = template.source
    if not source:
        return template
    if source not in texts:
        content = read(source)
        if content is None:
            problems[
                f"{source}: there is no such file beside the manifest; commit it, or correct `source`"
            ] = None
        try:
            texts[source] = (content or b"").decode("utf-8")
        except UnicodeDecodeError:
            problems[f"{source}: it is no UTF-8 text; only text is rendered"] = None
            texts[source] = ""
    return replace(template, content=texts[source])


def _check(template: Template, placement: Placement, problems: dict[str, None]) -> None:
    try:
        render_text(template.content or "", variables_of(placement))
    except TemplateTextError as problem:
        where = f"{placement.application.name} on {placement.host.name}"
        problems[f"{template.source}: for {where}: {problem}"] = None


def describe_releases(
    placements: Iterable[Placement], changing: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """Application → `describe_release` of it, of those that change and have something to say."""
    lines = {
        one.application.name: describe_release(one.release)
        for one in placements
        if one.application.name in changing
    }
    return {name: said for name, said in sorted(lines.items()) if said}


def describe_release(release: ReleaseSettings) -> tuple[str, ...]:
    """What a reader of a plan should know of it, one line each."""
    lines = []
    if release.shared_paths:
        lines.append(f"shared: {', '.join(one.path for one in release.shared_paths)}")
    owned = ":".join(filter(None, (release.owner, release.group)))
    modes = " ".join(filter(None, (release.file_mode, release.directory_mode)))
    if owned or modes:
        lines.append(f"files: {' '.join(filter(None, (owned, modes)))}")
    for one in release.templates:
        where = one.source or f"{one.release_source} of the release"
        lines.append(f"template: {quote(where)} to {quote(one.path)}")
    for event in EVENTS:
        for hook in release.hooks.get(event, ()):
            user = f" as {hook.user}" if hook.user else ""
            lines.append(f"{event}: {' '.join(hook.command)}{user}")
    return tuple(lines)
