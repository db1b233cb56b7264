"""Templates, rendered: the only place where anything is evaluated, and only what is marked as trusted.

This module is also `controller_program.template_text` of the role `placement` (a link): it imports nothing but the
standard library and Jinja, whose sandbox has no lookups, no files and no Python behind its names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.core.release_settings import ReleaseSettings

MAX_SOURCE_CHARACTERS = 256 * 1024
MAX_TEXT_CHARACTERS = 1024 * 1024
# What gives another text each time: a release follows from what it is made of.
_UNSTEADY = {"filters": ("random",), "globals": ("lipsum",)}


class TemplateTextError(Exception):
    """The template cannot be rendered; the text says why, and in which line."""


def render_text(source: str, variables: Mapping[str, Any]) -> str:
    """The text that a template makes with these variables.

    Raises:
        TemplateTextError: it is no template, uses what is not there, or what no template may.
    """
    from jinja2 import StrictUndefined, TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    if len(source) > MAX_SOURCE_CHARACTERS:
        raise TemplateTextError(f"it has more than {MAX_SOURCE_CHARACTERS} characters")
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    for kind, names in _UNSTEADY.items():
        for name in names:
            getattr(environment, kind).pop(name, None)
    try:
        pieces, length = [], 0
        for piece in environment.from_string(source).generate(json.loads(json.dumps(variables))):
            length += len(piece)
            if length > MAX_TEXT_CHARACTERS:
                raise TemplateTextError(f"it makes more than {MAX_TEXT_CHARACTERS} characters")
            pieces.append(piece)
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        raise TemplateTextError(f"{error.message}{f' (line {line})' if line else ''}") from None
    except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise TemplateTextError(f"{type(error).__name__}: {error}") from None
    return "".join(pieces)


def template_variables(
    *,
    application: str,
    version: str,
    deployment_path: str,
    variables: Mapping[str, str],
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """What a template can name.

    Args:
        variables: the application's own, in `variables`.
        more: further names, such as `environment` and `host`; those above are not replaced.
    """
    return {
        **more,
        "application": application,
        "version": version,
        "deployment_path": deployment_path,
        "current": f"{deployment_path}/current",
        "shared": f"{deployment_path}/shared",
        "variables": dict(variables),
    }


def layout_of(release: ReleaseSettings, variables: Mapping[str, Any]) -> list[Any]:
    """What a release's files follow from beside its artifact, in plain JSON types; empty where there is nothing.

    A template of the deployment repository counts by its text, one of the release by what it is rendered with.

    Raises:
        TemplateTextError: a template of the deployment repository cannot be rendered.
    """
    modes = [release.owner, release.group, release.file_mode, release.directory_mode]
    shared = sorted(one.path for one in release.shared_paths)
    templates: list[list[str]] = []
    for one in release.templates:
        if one.content is None:
            made = ["release", one.release_source, _digest(json.dumps(variables, sort_keys=True))]
        else:
            made = ["text", _digest(render_text(one.content, variables))]
        templates.append([one.path, one.mode, *made])
    return [shared, modes, templates] if shared or templates or any(modes) else []


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
