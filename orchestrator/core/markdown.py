"""A pull request's review as one comment in Markdown.

What comes from documents, git or servers stands in code spans, and nothing in it can end one: so it makes no
markup, link, image or HTML, mentions nobody and refers to no issue (GitHub, GitLab, Gitea and Bitbucket leave code
spans alone). Everything outside of code spans is written here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.core.once_plan import describe_once
from orchestrator.core.plan import Plan, PlannedArtifact, Step
from orchestrator.core.pull_request import Review
from orchestrator.core.rollout_text import describe_canary, describe_place, describe_policy, stages_of
from orchestrator.core.sizes import human_bytes

# GitHub takes 65,536 characters; the rest is for what a CI puts around the comment.
LIMIT = 60_000
_TABLE_ROOM, _LIST_ROOM = 30_000, 4_500
_WORD, _SENTENCE = 80, 400
_SHOWN_HOSTS = 3
_REPLACED = str.maketrans({"`": "'", "|": "\u00a6", "<": "\u2039", ">": "\u203a", "$": "\uff04"})
_PLAIN_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_SOURCES = {
    "hosts": "What is live was read from the hosts.",
    "ledger": "No host was asked: what is live was read from the ledger.",
    "nobody": "No host was asked, so nothing is known of what is live.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """Lines that belong together; `rows` may be cut."""

    head: tuple[str, ...]
    rows: tuple[str, ...]
    room: int = _LIST_ROOM
    listed: bool = True


def code(text: str, limit: int = _WORD) -> str:
    """Any text as a code span that renders as one, on one line, whatever is in it.

    What is not printable is written as an escape; backticks, pipes, angle brackets and dollar signs become
    characters that look like them, since not every renderer knows their escapes inside of tables.
    """
    shown = "".join(one if one.isprintable() else _escape(one) for one in text[: limit + 1])
    shown = shown.translate(_REPLACED).strip()
    if len(text) > limit or len(shown) > 2 * limit:
        shown = shown[: limit - 1] + "…"
    return f"`{shown or '(empty)'}`"


def comment_marker(environment: str, stack: str = "") -> str:
    """The hidden first line by which a CI finds its comment again: one for each stack and environment."""
    name = re.sub(r"[^A-Za-z0-9._/-]", "_", f"{stack}/{environment}" if stack else environment)[:200]
    return f"<!-- orchestrator plan: {re.sub('-(?=-|$)', '_', name)} -->"


def render_review(review: Review) -> str:
    """The comment: what the merge will do, what to beware of, and how to require just that.

    Long tables and lists are cut, and say how much is missing.
    """
    plan = review.plan
    title = [comment_marker(review.environment, review.stack), f"### Plan for {code(review.environment)}", ""]
    versions = ""
    if plan:
        before = code(review.from_version) if review.from_version else "none"
        versions = f", manifest {before} → {code(plan.manifest_version)}"
    title.append(f"{code(review.head)} → {code(review.base)}{versions}")
    blocks = [_render_problem(review)]
    if plan:
        title += ["", f"**{_summary(plan, review)}** {_SOURCES[review.source]}"]
        blocks += [_render_table(review, plan), _render_order(plan), _render_list("Runs once", _once(plan))]
        blocks.append(_render_list("Warnings", _warnings(review, plan)))
    blocks.append(
        _render_list("Changed in the environment JSON", [code(key, _SENTENCE) for key in review.keys])
    )
    blocks.append(
        _render_list(
            "Shown, not used: the target's own are", [code(note, _SENTENCE) for note in review.notes]
        )
    )
    lines = title
    for block in blocks:
        lines += _fit(block)
    return "\n".join([*lines, *(_render_ids(review, plan) if plan else []), ""])


def _escape(character: str) -> str:
    return f"\\u{{{ord(character):x}}}"


def _fit(block: _Block) -> list[str]:
    if not block.rows:
        return []
    lines, room = ["", *block.head], block.room
    for number, row in enumerate(block.rows):
        room -= len(row) + 1
        if room < 0:
            more = f"… and {len(block.rows) - number} more (`plan --json` has all of them)"
            return [*lines, f"- {more}"] if block.listed else [*lines, "", more]
        lines.append(row)
    return lines


def _render_problem(review: Review) -> _Block:
    error = review.problem
    if error is None:
        return _Block(head=(), rows=())
    rows = [f"- {code(line, _SENTENCE)}" for line in error.details]
    remedy = [f"- To do: {code(error.resolution, _SENTENCE)}"] if error.resolution else []
    what = "This cannot be deployed as it is" if review.plan else "There is no plan"
    return _Block(
        head=(f"**{what}:** {code(error.brief, _SENTENCE)}", ""),
        rows=(*remedy, *rows) or ("- Nothing more is known.",),
        room=2 * _LIST_ROOM,
    )


def _summary(plan: Plan, review: Review) -> str:
    unchanged = sum(step.action == "skip" for step in plan.steps)
    hosts = len({step.host for step in plan.changes})
    parts = [f"{_count(len(plan.changes), 'placement')} to change on {_count(hosts, 'host')}"]
    if not plan.changes:
        parts = ["Nothing to change"]
    parts.append(f"{unchanged} unchanged")
    if review.unasked:
        parts.append(f"{_count(len(review.unasked), 'host')} not asked")
    if plan.unknown_hosts:
        parts.append(f"{_count(len(plan.unknown_hosts), 'host')} without an answer")
    return ", ".join(parts) + "."


def _render_table(review: Review, plan: Plan) -> _Block:
    artifacts = {one.application: one for one in plan.artifacts}
    rows: dict[tuple[object, ...], list[Step]] = {}
    for step in plan.steps:
        if step.action != "skip":
            key = (
                step.group, step.application, step.region, step.action, step.from_version, step.to_version,
                step.restarts, step.reason,
            )  # fmt: skip
            rows.setdefault(key, []).append(step)
    return _Block(
        head=(
            "| application | region | hosts | from → to | action | restarts | artifact | why |",
            "|---|---|---|---|---|---|---|---|",
        ),
        rows=tuple(_row(steps, artifacts.get(steps[0].application), review) for steps in rows.values()),
        room=_TABLE_ROOM,
        listed=False,
    )


def _row(steps: list[Step], artifact: PlannedArtifact | None, review: Review) -> str:
    first = steps[0]
    found = "–"
    if artifact is not None and first.action != "remove":
        found = _artifact(artifact, review.lookups.get(first.application, ""))
    cells = (
        code(first.application),
        code(first.region) if first.region else "–",
        _hosts(step.host for step in steps),
        f"{_version(first.from_version)} → {_version(first.to_version)}",
        first.action,
        _names(first.restarts) or "–",
        found,
        code(first.reason, _SENTENCE),
    )
    return f"| {' | '.join(cells)} |"


def _artifact(artifact: PlannedArtifact, unseen: str) -> str:
    pinned = f"sha256 {code(artifact.sha256[:12])}" if artifact.sha256 else ""
    if unseen:
        return f"{code(unseen, _SENTENCE)}, pinned to {pinned}" if pinned else code(unseen, _SENTENCE)
    size = "size unknown" if artifact.size_bytes is None else human_bytes(artifact.size_bytes)
    return f"found: {pinned} ({artifact.digest_source}), {size}"


def _render_order(plan: Plan) -> _Block:
    rows = []
    for stage in stages_of(plan):
        region = f"region {code(stage.group.region)}, " if stage.group.region else ""
        hosts = _count(len(stage.hosts), "host")
        place = describe_place(stage.group)
        rows.append(f"{stage.number}. {region}{place}: {_names(stage.applications)} on {hosts}")
        if stage.group.canary and plan.strategy.canary is not None:
            rows[-1] += f", then {describe_canary(plan.strategy.canary)}"
    policy = f"**Order.** {describe_policy(plan.strategy)}" if rows else ""
    return _Block(head=(policy, ""), rows=tuple(rows))


def _once(plan: Plan) -> list[str]:
    rows = []
    for one in plan.once:
        what = f"{code(one.application)}: {code(' '.join(one.command), _SENTENCE)}"
        rows.append(f"{what}: {code(describe_once(plan, one), _SENTENCE)}")
    return rows


def _warnings(review: Review, plan: Plan) -> list[str]:
    unasked: dict[str, list[str]] = {}
    for host, reason in review.unasked.items():
        unasked.setdefault(reason, []).append(host)
    return [
        *([code(review.window, _SENTENCE)] if review.window else []),
        *(code(warning, _SENTENCE) for warning in plan.warnings),
        *(
            f"unknown: {_hosts([host])} did not answer: {code(why, _SENTENCE)}"
            for host, why in plan.unknown_hosts.items()
        ),
        *(f"unknown: {_hosts(hosts)}: {code(why, _SENTENCE)}" for why, hosts in unasked.items()),
        *(f"left out for maintenance: {code(host)}" for host in plan.maintenance),
        *(
            f"orphan: {code(one.application)} {code(one.version)} on {code(one.host)} is no longer asked for; "
            "nothing is removed"
            for one in plan.orphans
        ),
        *(
            [f"the environment JSON changes: {_count(len(review.keys), 'key')}, see below"]
            if review.keys
            else []
        ),
    ]


def _render_list(title: str, rows: Iterable[str]) -> _Block:
    return _Block(head=(f"**{title}**", ""), rows=tuple(f"- {row}" for row in rows))


def _render_ids(review: Review, plan: Plan) -> list[str]:
    lines = ["", f"intent `{plan.intent_id}`  ", f"plan `{plan.plan_id}`", ""]
    if review.problem is not None:
        return lines
    if review.unseen:
        names = _names(review.unseen)
        return [*lines, f"The intent id is not final: nobody has seen the bytes of {names}."]
    branch = review.branch if _PLAIN_BRANCH.fullmatch(review.branch) else ""
    target = f"--branch {branch}" if branch else "--environment NAME"
    return [
        *lines,
        "To deploy this and nothing else after the merge: "
        f"`orchestrator deploy {target} --require-plan {plan.intent_id}`",
    ]


def _hosts(names: Iterable[str]) -> str:
    every = list(names)
    return f"{len(every)}: {_names(every)}" if len(every) > 1 else code(every[0])


def _names(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - _SHOWN_HOSTS} more" if len(every) > _SHOWN_HOSTS else ""
    return ", ".join(code(name) for name in every[:_SHOWN_HOSTS]) + more


def _version(version: str | None) -> str:
    return "unknown" if version is None else code(version) if version else "–"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
