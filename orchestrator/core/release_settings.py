"""What a release is beside its artifact, and what runs around it: settings as a value, and what is wrong with them.

This module is also `controller_program.release_settings` of the role `placement` (a link), for playbooks that no
orchestrator runs: it imports nothing but the standard library.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Where = tuple[str | int, ...]

EVENTS = ("before_stage", "after_stage", "before_activate", "after_activate")
ONCE = "run_once"
TIMEOUT_SECONDS = 300.0
# A placement of a role has a `group` already: when it is activated.
ROLE_NAMES = {"owner": "file_owner", "group": "file_group"}
KEYS = ("shared_paths", "owner", "group", "file_mode", "directory_mode", "templates", "hooks")

_SEGMENT = re.compile(r"[A-Za-z0-9._@+=,~][A-Za-z0-9._@+=,~ -]{0,250}")
_MAX_CHARACTERS = 500
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_MODE = re.compile(r"0?[0-7]{3}")
_SHARED_MODE = re.compile(r"[02]?[0-7]{3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedPath:
    """A file or directory that outlives its release.

    Attributes:
        path: relative to the release, and to the directory `shared`.
        directory: it is a directory for certain, and is made where neither has it.
        owner, group, mode: of what `shared` has; mode is octal. Empty: as it was made.
    """

    path: str
    directory: bool = False
    owner: str = ""
    group: str = ""
    mode: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A file of the release that is rendered.

    Attributes:
        path: where it goes, relative to the release.
        source: a file of the deployment repository, relative to the manifest.
        release_source: a file of the release, instead.
        content: of `source`; None: not read yet, or there is none.
        mode: octal; empty: as of the release's other files.
    """

    path: str
    source: str = ""
    release_source: str = ""
    content: str | None = None
    mode: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A command that runs on the host.

    Attributes:
        command: the program and its arguments; no shell reads them.
        user: whom it runs as; empty: the service's user, else whoever deploys.
        secrets: the application's secrets are in its environment.
        on_failure: of one that runs once: `stop` (nothing is switched) or `continue`; others have a rule by event.
    """

    command: tuple[str, ...]
    user: str = ""
    timeout_seconds: float = TIMEOUT_SECONDS
    secrets: bool = False
    on_failure: str = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseSettings:
    """What a release is beside its artifact, and what runs around it.

    Attributes:
        owner, group: of the release's files; empty: whoever deploys.
        file_mode, directory_mode: octal; empty: 0644 (0755 for what may be executed) and 0755.
        hooks: by event, see `EVENTS`, and `ONCE`.
    """

    shared_paths: tuple[SharedPath, ...] = ()
    owner: str = ""
    group: str = ""
    file_mode: str = ""
    directory_mode: str = ""
    templates: tuple[Template, ...] = ()
    hooks: Mapping[str, tuple[Hook, ...]] = field(default_factory=dict)

    @property
    def wants_secrets(self) -> bool:
        """Whether some hook is given the application's secrets."""
        return any(hook.secrets for hooks in self.hooks.values() for hook in hooks)


def make_release_settings(settings: Mapping[str, Any]) -> ReleaseSettings:
    """The value of settings that have no problems."""
    return ReleaseSettings(
        shared_paths=tuple(_make_shared(one) for one in settings.get("shared_paths") or ()),
        **{key: str(settings.get(key) or "") for key in ("owner", "group", "file_mode", "directory_mode")},
        templates=tuple(
            Template(**{key: value for key, value in one.items() if key != "trusted" and value is not None})
            for one in settings.get("templates") or ()
        ),
        hooks={
            event: tuple(_make_hook(one) for one in hooks)
            for event, hooks in (settings.get("hooks") or {}).items()
            if hooks
        },
    )


def _make_shared(given: str | Mapping[str, Any]) -> SharedPath:
    fields: dict[str, Any] = {"path": given} if isinstance(given, str) else dict(given)
    path = fields.pop("path")
    is_directory = bool(fields.pop("directory", False)) or path.endswith("/")
    more = {key: value for key, value in fields.items() if value is not None}
    return SharedPath(path=path.removesuffix("/"), directory=is_directory, **more)


def _make_hook(given: Mapping[str, Any]) -> Hook:
    fields = {key: value for key, value in given.items() if value is not None}
    fields["command"] = tuple(fields["command"])
    fields["timeout_seconds"] = float(fields.get("timeout_seconds", TIMEOUT_SECONDS))
    return Hook(**fields)


def release_problems(settings: Mapping[str, Any], service_user: str = "") -> Iterator[tuple[Where, str]]:
    """What is wrong with settings whose types fit, as (path below the application, what to do).

    Args:
        service_user: whom the application's process runs as.
    """
    shared = list(settings.get("shared_paths") or ())
    yield from _shared_problems(shared)
    if (owner := settings.get("owner")) and owner == service_user:
        yield (
            ("owner",),
            "is the user that the service runs as, and a release is not writable by its application; "
            "use `group`, and `shared_paths` for what it writes",
        )
    for key in ("owner", "group"):
        if settings.get(key) and not _NAME.fullmatch(settings[key]):
            yield (key,), "has to be the name of a user or group of the host"
    for key, least, executable in (("file_mode", 0o400, False), ("directory_mode", 0o700, True)):
        if settings.get(key) and (problem := _mode_problem(settings[key], least, executable)):
            yield (key,), problem
    yield from _template_problems(settings.get("templates") or (), [_path_of(one) for one in shared])
    for event, hooks in (settings.get("hooks") or {}).items():
        commands = [hook and hook.get("command") for hook in hooks or ()]
        for index, hook in enumerate(hooks or ()):
            for where, problem in _hook_problems(event, {"command": ["x"]} if hook is None else hook):
                yield ("hooks", event, index, *where), problem
            if event == ONCE and commands[index] and commands[index] in commands[:index]:
                yield ("hooks", event, index, "command"), "is there twice, and runs once; remove one of them"


def _shared_problems(shared: Sequence[str | Mapping[str, Any] | None]) -> Iterator[tuple[Where, str]]:
    seen: list[str] = []
    for index, one in enumerate(shared):
        path = _path_of(one)
        if one is None:
            continue
        if not path:
            yield ("shared_paths", index), '"path" is missing; add it, such as "storage/"'
            continue
        if problem := relative_problem(path):
            yield ("shared_paths", index), problem
            continue
        for other in seen:
            if _overlap(path, other):
                same = path == other
                problem = (
                    "is there twice"
                    if same
                    else "lies in the other, or has it inside: one would hide in the other"
                )
                yield ("shared_paths", index), f'"{path}" and "{other}": the path {problem}; keep one of them'
        seen.append(path)
        if isinstance(one, Mapping):
            for key in ("owner", "group"):
                if one.get(key) and not _NAME.fullmatch(one[key]):
                    yield ("shared_paths", index, key), "has to be the name of a user or group of the host"
            if one.get("mode") and not _SHARED_MODE.fullmatch(one["mode"]):
                yield ("shared_paths", index, "mode"), 'has to be an octal mode in quotes, such as "0770"'


def _path_of(one: str | Mapping[str, Any] | None) -> str:
    path = one.get("path") if isinstance(one, Mapping) else one
    return (path or "").removesuffix("/")


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def relative_problem(path: str) -> str:
    """What is wrong with a path inside a release or repository, or nothing."""
    if path.startswith("/"):
        return 'has to be relative to the release, such as "storage/uploads"'
    segments = path.split("/")
    if "" in segments or "." in segments or ".." in segments:
        return "has an empty segment, . or ..; write the path without it"
    if len(path) > _MAX_CHARACTERS or not all(_SEGMENT.fullmatch(segment) for segment in segments):
        return (
            "has characters that are not allowed, or too many; use letters, digits, spaces and ._@+=,~- "
            "(no segment begins with - or a space)"
        )
    return ""


def _mode_problem(mode: str, least: int, executable: bool) -> str:
    example = "0750" if executable else "0640"
    if not _MODE.fullmatch(mode):
        return f'has to be an octal mode in quotes, such as "{example}"'
    bits = int(mode, 8)
    if bits & 0o022:
        return "lets others than the owner write, and a release is not writable by its application; " + (
            f'use one such as "{example}", and `shared_paths` for what it writes'
        )
    if bits & least != least:
        return f'takes rights from the owner that deploying needs; use one such as "{example}"'
    if not executable and bits & 0o111:
        return (
            f'makes every file executable; leave that out, such as "{example}": programs stay what they are'
        )
    return ""


def _template_problems(
    templates: Sequence[Mapping[str, Any] | None], shared: Sequence[str]
) -> Iterator[tuple[Where, str]]:
    seen: set[str] = set()
    for index, one in enumerate(templates):
        if one is None:
            continue
        where, path = ("templates", index), one.get("path") or ""
        sources = [key for key in ("source", "release_source", "content") if one.get(key) is not None]
        if not path:
            yield where, '"path" is missing; add where in the release it goes'
        elif problem := relative_problem(path):
            yield (*where, "path"), problem
        elif path in seen:
            yield (*where, "path"), f'"{path}" is rendered twice; keep one of them'
        elif any(_overlap(path, other) for other in shared):
            yield (
                (*where, "path"),
                f'"{path}" is shared between releases, and would be written into all of them',
            )
        seen.add(path)
        if len(sources) != 1:
            yield (
                where,
                "needs either `source` (a file of the deployment repository) or `release_source` (one of the release)",
            )
        for key in ("source", "release_source"):
            if one.get(key) and (problem := relative_problem(one[key])):
                yield (
                    (*where, key),
                    problem.replace("to the release, such", "to the manifest or release, such"),
                )
        if one.get("trusted") is not True:
            yield (
                where,
                'a template is code that is run where you deploy from; write "trusted": true if it is',
            )
        if one.get("mode") and (problem := _mode_problem(one["mode"], 0o400, True)):
            yield (*where, "mode"), problem


def _hook_problems(event: str, hook: Mapping[str, Any]) -> Iterator[tuple[Where, str]]:
    command = hook.get("command")
    if not command:
        yield (), '"command" is missing; add the program and its arguments as a list'
    elif not command[0] or not all(isinstance(one, str) and "\0" not in one for one in command):
        yield ("command",), "has an empty program, or something that is no text"
    elif event == "before_stage" and "/" in command[0] and not command[0].startswith("/"):
        yield ("command", 0), "there is no release yet that this could be relative to; write an absolute path"
    if hook.get("user") and not _NAME.fullmatch(hook["user"]):
        yield ("user",), "has to be the name of a user of the host"
    if hook.get("on_failure") not in (None, "stop", "continue"):
        yield ("on_failure",), 'has to be "stop" or "continue"'
    elif event != ONCE and hook.get("on_failure"):
        yield ("on_failure",), f"only a hook {ONCE} has this; what happens here follows from {event}"


def render_release_settings(release: ReleaseSettings) -> dict[str, Any]:
    """The settings as a role takes them, without what is the default."""
    rendered: dict[str, Any] = {}
    if release.shared_paths:
        rendered["shared_paths"] = [asdict(one) for one in release.shared_paths]
    for key in ("owner", "group", "file_mode", "directory_mode"):
        if value := getattr(release, key):
            rendered[ROLE_NAMES.get(key, key)] = value
    if release.templates:
        rendered["templates"] = [_render_template(one) for one in release.templates]
    if release.hooks:
        rendered["hooks"] = {
            event: [_render_hook(event, one) for one in hooks] for event, hooks in release.hooks.items()
        }
    return rendered


def _render_hook(event: str, hook: Hook) -> dict[str, Any]:
    rendered = {**asdict(hook), "command": list(hook.command)}
    if event != ONCE:
        del rendered["on_failure"]
    return rendered


def _render_template(template: Template) -> dict[str, Any]:
    source = (
        {"release_source": template.release_source}
        if template.release_source
        else {"content": template.content}
    )
    return {"path": template.path, **source, "mode": template.mode, "trusted": True}
