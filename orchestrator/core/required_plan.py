"""A plan that a deployment has to amount to: an assertion that is checked, never something that is carried out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core.plan import FORMAT, Plan, Step
from orchestrator.errors import PlanMismatchError, UsageError

_IDENTIFIER = re.compile(r"[0-9a-f]{12,64}")
_SHOWN = 20
_TO_DO = "look at the new plan, have it reviewed, and require that one"

_DOCUMENTS = {"manifest": "manifest.json", "environment": "the environment JSON"}

Place = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequiredPlan:
    """What was reviewed.

    Attributes:
        identifier: an intent id or a plan id, or its first 12 or more hex digits; empty when a whole plan is given.
        intent_id, plan_id: of the whole plan.
        identity: repository, stack and environment.
        documents: digests by name.
        artifacts: application → what the plan says of its artifact.
        from_versions: (application, host, deployment path) → what was live; None: nobody could say.
    """

    identifier: str = ""
    intent_id: str = ""
    plan_id: str = ""
    identity: Mapping[str, str] = field(default_factory=dict)
    documents: Mapping[str, str] = field(default_factory=dict)
    artifacts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    from_versions: Mapping[Place, str | None] = field(default_factory=dict)


def is_identifier(text: str) -> bool:
    """Whether that is an intent id or plan id, or enough of its beginning."""
    return bool(_IDENTIFIER.fullmatch(text.lower()))


def required_identifier(text: str) -> RequiredPlan:
    """The plan that has this id; see `is_identifier`."""
    return RequiredPlan(identifier=text.lower())


def parse_required_plan(content: bytes, label: str) -> RequiredPlan:
    """The plan that `plan --json` wrote.

    Raises:
        UsageError: it is none, or one of a newer version.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise _no_plan(label, "it is no JSON") from None
    if not isinstance(document, dict):
        raise _no_plan(label, "it is no JSON object")
    version = document.get("format")
    if version != FORMAT:
        raise _no_plan(label, f"it has format {version!r}, this version reads format {FORMAT}")
    try:
        required = RequiredPlan(
            intent_id=_text(document["intent_id"]),
            plan_id=_text(document["plan_id"]),
            identity=_texts(document["identity"]),
            documents=_texts(document.get("documents", {})),
            artifacts={
                _text(one["application"]): {key: _text(one[key]) for key in ("version", "location", "sha256")}
                for one in document["artifacts"]
            },
            from_versions={
                (_text(one["application"]), _text(one["host"]), _text(one["deployment_path"])): (
                    None if one["from_version"] is None else _text(one["from_version"])
                )
                for one in document["steps"]
            },
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise _no_plan(label, f"{error} is missing or of another type") from None
    if not required.intent_id:
        raise _no_plan(label, "it has no intent id")
    return required


def check_required_plan(required: RequiredPlan, plan: Plan) -> tuple[str, ...]:
    """What a reader should know where the plan is the required one: from-versions that could not be compared.

    Where what git asks for is live already nothing is done, so it does not matter what was live before: a plan that
    was carried out, or a part of it, can be required again.

    Raises:
        PlanMismatchError: it is another one; the details say what differs.
    """
    if required.identifier:
        return _check_identifier(required.identifier, plan)
    if required.intent_id != plan.intent_id:
        raise PlanMismatchError(
            "git asks for something else than the required plan",
            details=_cut([*_intent_differences(required, plan), *_ids(required, plan)]),
            resolution=_TO_DO,
        )
    moved, notes, done = [], [], 0
    for step in plan.steps:
        place = (step.application, step.host, step.deployment_path)
        where = f"{step.application} on {step.host}"
        if place not in required.from_versions:
            if step.changes:
                moved.append(f"{where}: the required plan leaves it out, now it would be changed")
            continue
        before = required.from_versions[place]
        if before is None or step.from_version is None:
            who = "the required plan did not know" if before is None else "nobody knows now"
            notes.append(f"{where}: {who} what was live, so it is not compared")
        elif before != step.from_version and step.action == "skip":
            done += 1
        elif before != step.from_version:
            moved.append(
                f"{where}: from {before or 'nothing'} in the required plan, from {step.from_version or 'nothing'} now"
            )
    if moved:
        raise PlanMismatchError(
            "what is live is no longer what the required plan starts from",
            details=_cut(moved),
            resolution=_TO_DO,
        )
    if done:
        notes.append(
            f"{done} step{'' if done == 1 else 's'} of the required plan {'is' if done == 1 else 'are'} done already"
        )
    return tuple(notes)


def _check_identifier(identifier: str, plan: Plan) -> tuple[str, ...]:
    if plan.plan_id.startswith(identifier):
        return ()
    if plan.intent_id.startswith(identifier):
        return tuple(
            f"{step.application} on {step.host}: nobody knows what was live"
            for step in plan.steps
            if step.from_version is None
        )
    raise _mismatch(identifier, plan)


def _mismatch(identifier: str, plan: Plan) -> PlanMismatchError:
    return PlanMismatchError(
        f"the required plan {identifier} is not the one that would be done now",
        details=(
            f"intent now: {plan.intent_id}",
            f"plan now: {plan.plan_id}",
            *(() if plan.changes else ("nothing would be done now: what git asks for is live already",)),
            *(f"{name} now: {digest}" for name, digest in sorted(plan.documents.items())),
            *(
                f"{one.application} now: {one.version}, sha256 {one.sha256 or 'unknown'}"
                for one in plan.artifacts
            ),
        )[:_SHOWN],
        resolution=f"{_TO_DO}; a plan's file (`plan --json FILE`) in place of the id tells what differs, and an intent "
        "id stays the same whatever hosts answer",
    )


def _intent_differences(required: RequiredPlan, plan: Plan) -> Iterator[str]:
    identity: dict[str, str] = {
        "repository": plan.identity.repository,
        "stack": plan.identity.stack,
        "environment": plan.identity.environment,
    }
    for name, now in identity.items():
        if required.identity.get(name, now) != now:
            yield f"{name}: {required.identity[name]} in the required plan, {now} now"
    for name in sorted(plan.documents):
        if name not in required.documents:
            yield f"{name}: the required plan does not say which it was made from"
        elif required.documents[name] != plan.documents[name]:
            yield f"{_DOCUMENTS.get(name, name)}: its content differs"
    yield from _artifact_differences(required, plan)
    now_there = {_place(step) for step in plan.steps}
    for place in sorted(required.from_versions.keys() - now_there):
        yield f"{place[0]} on {place[1]} at {place[2]}: only in the required plan"
    for place in sorted(now_there - required.from_versions.keys()):
        yield f"{place[0]} on {place[1]} at {place[2]}: not in the required plan"


def _artifact_differences(required: RequiredPlan, plan: Plan) -> Iterator[str]:
    now = {
        one.application: {"version": one.version, "location": one.location, "sha256": one.sha256}
        for one in plan.artifacts
    }
    for name in sorted(required.artifacts.keys() | now.keys()):
        if name not in now or name not in required.artifacts:
            yield f"{name}: only {'in the required plan' if name not in now else 'in the plan of now'}"
            continue
        for key, value in now[name].items():
            before = required.artifacts[name][key]
            if before != value:
                yield f"{name}: {key} {before or 'unknown'} in the required plan, {value or 'unknown'} now"


def _ids(required: RequiredPlan, plan: Plan) -> tuple[str, str]:
    return f"required intent: {required.intent_id}", f"intent now: {plan.intent_id}"


def _place(step: Step) -> Place:
    return step.application, step.host, step.deployment_path


def _cut(lines: list[str]) -> tuple[str, ...]:
    more = (f"… and {len(lines) - _SHOWN} more",) if len(lines) > _SHOWN else ()
    return (*lines[:_SHOWN], *more)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40}")
    return value


def _texts(value: Mapping[str, Any]) -> dict[str, str]:
    return {key: _text(one) for key, one in value.items()}


def _no_plan(label: str, why: str) -> UsageError:
    return UsageError(
        f"{label} is no plan: {why}", resolution="give what `orchestrator plan --json FILE` wrote, or an id"
    )
