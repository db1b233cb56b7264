"""What releases are beside their artifacts, and what runs around them: settings as the host program reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleActionFail

from .release_settings import (
    KEYS,
    ROLE_NAMES,
    make_release_settings,
    release_problems,
    render_release_settings,
)
from .template_text import TemplateTextError, layout_of, render_text, template_variables

EVENTS_OF_PHASE = {
    "once": ("run_once",),
    "stage": ("before_stage", "after_stage"),
    "activate": ("before_activate", "after_activate"),
}


def normalise_release(placement: dict[str, Any]) -> list[Any]:
    """The placement's settings are what the host program reads; returns what its files follow from.

    A template has its `text`, or `release_source` where the host has to say first what is to be rendered.

    Raises:
        AnsibleActionFail: a setting is wrong, or a template cannot be rendered.
    """
    names = {key: ROLE_NAMES.get(key, key) for key in KEYS}
    settings = {key: placement.pop(name) for key, name in names.items() if name in placement}
    more = placement.pop("template_variables", None) or {}
    if not any(settings.values()):
        return []
    user = (placement.get("service") or {}).get("user") or ""
    problems = [f"{'.'.join(map(str, where))}: {said}" for where, said in release_problems(settings, user)]
    if problems:
        _refuse(placement, "; ".join(problems))
    release = make_release_settings(settings)
    variables = template_variables(
        application=placement["application"],
        version=placement["version"],
        deployment_path=placement["deployment_path"],
        variables={name: str(value) for name, value in (placement.get("variables") or {}).items()},
        more=more,
    )
    placement.update(render_release_settings(release))
    for one in placement.get("shared_paths", ()):
        one["owner"] = one["owner"] or user
    for hooks in placement.get("hooks", {}).values():
        for hook in hooks:
            hook["user"] = hook["user"] or user
    try:
        layout = layout_of(release, variables if release.templates else {})
        for template in placement.get("templates", ()):
            if "content" in template:
                template["text"] = render_text(template.pop("content"), variables)
    except TemplateTextError as problem:
        _refuse(placement, f"a template cannot be rendered: {problem}")
    if release.templates:
        placement["template_names"] = variables
    return layout


def hook_references(placement: dict[str, Any], phase: str) -> set[str]:
    """The secrets that hooks of that phase are given."""
    hooks = placement.get("hooks") or {}
    events = EVENTS_OF_PHASE.get(phase, ())
    if not any(hook.get("secrets") for event in events for hook in hooks.get(event, ())):
        return set()
    return {one["secret"] for one in placement["secrets"].values()}


def render_waiting(
    placements: list[dict[str, Any]],
    answer: dict[str, Any],
    ask: Callable[[list[dict[str, Any]]], dict[str, Any]],
) -> dict[str, Any]:
    """The answer once templates that lie in releases are rendered, for those placements that have some.

    Args:
        ask: asks the host again, for some placements.

    Raises:
        AnsibleActionFail: one cannot be rendered.
    """
    said = list(answer["placements"])
    waiting = [number for number, done in enumerate(said) if done.get("render")]
    if not waiting:
        return answer
    for number in waiting:
        _fill(placements[number], said[number])
    again = ask([placements[number] for number in waiting])
    for number, done in zip(waiting, again["placements"], strict=False):
        hooks = said[number].get("hooks", []) + done.get("hooks", [])
        said[number] = {**done, **({"hooks": hooks} if hooks else {})}
    problem = {"problem": again["problem"]} if again.get("problem") else {}
    return {**answer, "placements": said, **problem}


def _fill(placement: dict[str, Any], done: dict[str, Any]) -> None:
    placement["work"] = done["work"]
    for template in placement["templates"]:
        source = template.get("release_source")
        if source in done["render"]:
            try:
                template["text"] = render_text(done["render"][source], placement["template_names"])
            except TemplateTextError as problem:
                _refuse(placement, f"{source} of the release cannot be rendered: {problem}")


def differences(answer: dict[str, Any]) -> list[dict[str, str]]:
    """What `--diff` shows of templates."""
    found = []
    for done in answer["placements"]:
        for one in done.pop("rendered", ()):
            name = f"{done['application']}: {one['path']}"
            found.append(
                {
                    "before_header": f"{name} (live)",
                    "after_header": f"{name} (staged)",
                    "before": one["before"],
                    "after": one["after"],
                }
            )
    return found


def _refuse(placement: dict[str, Any], said: str) -> None:
    raise AnsibleActionFail(f"the release of {placement['application']} cannot be made: {said}")
