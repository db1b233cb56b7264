"""The comment on a pull request: complete, and nothing in it can be anything but text.

`REGENERATE=1 pytest tests/core/test_markdown.py` writes the golden files anew, to be reviewed as a diff.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.markdown import LIMIT, code, comment_marker, render_review
from orchestrator.core.model import Canary, Strategy
from orchestrator.core.observed import ObservedHost
from orchestrator.core.plan import Orphan
from orchestrator.core.pull_request import Review
from orchestrator.errors import DocumentError, MergeConflictError
from tests.core.reviews import make_review, text_outside_of_code
from tests.core.values import (
    make_application,
    make_desired,
    make_host,
    make_observed,
    make_placement,
    make_plan,
)

GOLDEN = Path(__file__).parent / "golden"
HOSTILE = (
    "@org/team", "#1", "![x](https://evil.example/x.png)", "[x](javascript:alert(1))", "<script>x</script>",
    "<img src=x onerror=y>", "`", "``", "a`b", "| a | b |", "--> <b>", "<!-- x", "\n\n# Heading", "\r\n- item",
    "https://evil.example", "www.evil.example", "a@evil.example", "**bold**", "~~gone~~", "\\`", "$`x`$", "a$", "$b",
    "\u202e", "\x00", "\x1b[31m", "&#64;team", "<details>", "    code", "> quote", "/close", "\u2028x", " ",
)  # fmt: skip
REFUSED = DocumentError(
    "2 things are wrong in manifest.json",
    details=("manifest.json:3: colour: this is not known", 'manifest.json:9: version: "latest" moves'),
    resolution="Correct what is listed.",
)
CONFLICT = MergeConflictError(
    "staging cannot be merged into production: 1 file changed on both sides",
    details=("conflict: manifest.json", "git merge origin/production"),
    resolution="merge production into staging",
)


@pytest.mark.parametrize(
    ("name", "review"),
    [
        ("plan", make_review()),
        ("refused", make_review(plan=None, from_version="", problem=REFUSED)),
        ("conflict", make_review(plan=None, from_version="", keys=(), notes=(), problem=CONFLICT)),
        ("ledger", make_review(source="ledger", lookups={"site": "not looked up: repository x is new"})),
    ],
)
def test_comment_is_the_golden_one(name: str, review: Review) -> None:
    path = GOLDEN / f"{name}.md"
    if os.environ.get("REGENERATE"):
        path.write_text(render_review(review))
    assert render_review(review) == path.read_text()


def test_comment_says_what_the_merge_does_and_how_to_require_it() -> None:
    comment = render_review(make_review())
    assert comment.startswith("<!-- orchestrator plan: production -->\n")
    assert "2: `north1`, `north2`" in comment
    assert "– → `2.0.0`" in comment
    assert "unknown → `2.0.0`" in comment
    plan = make_review().plan
    assert plan is not None
    assert f"orchestrator deploy --branch production --require-plan {plan.intent_id}" in comment


def test_downgrades_orphans_and_maintenance_are_warned_of() -> None:
    review = make_review()
    assert review.plan is not None
    orphan = Orphan(application="old", host="north1", deployment_path="/srv/old", version="1")
    plan = replace(review.plan, orphans=(orphan,), maintenance=("north9",), warnings=("downgrade: x",))
    comment = render_review(replace(review, plan=plan))
    for said in ("`downgrade: x`", "`old`", "`north9`", "`south2` did not answer", "1 key"):
        assert said in comment


def test_converged_placements_are_counted_not_listed() -> None:
    desired = make_desired()
    plan = make_plan(desired, make_observed("web1"))
    steps = tuple(replace(step, action="skip") for step in plan.steps)
    comment = render_review(make_review(plan=replace(plan, steps=steps), unasked={}))
    assert "Nothing to change, 1 unchanged." in comment
    assert "| application |" not in comment
    assert "**Order**" not in comment


@pytest.mark.parametrize(
    ("source", "said"),
    [("hosts", "read from the hosts"), ("ledger", "read from the ledger"), ("nobody", "nothing is known")],
)
def test_comment_says_who_said_what_is_live(source: str, said: str) -> None:
    assert said in render_review(make_review(source=source))


def test_intent_id_is_offered_only_when_every_artifact_was_seen() -> None:
    desired = make_desired()
    unseen = make_plan(desired, sha256="", size_bytes=None, digest_source="not resolved")
    reason = {"site": "not looked up: repository releases is changed in this pull request"}
    comment = render_review(make_review(plan=unseen, lookups=reason))
    assert "--require-plan" not in comment
    assert "is not final" in comment
    assert "`not looked up: repository releases is changed in this pull request`" in comment
    pinned = make_plan(desired, size_bytes=None, digest_source="manifest pin")
    comment = render_review(make_review(plan=pinned, lookups=reason))
    assert "pinned to sha256 `aaaaaaaaaaaa`" in comment
    assert "--require-plan" in comment
    assert "size unknown" in render_review(make_review(plan=pinned))


def test_branch_that_is_not_plain_is_in_no_command() -> None:
    comment = render_review(make_review(branch="x;$(id)"))
    assert "orchestrator deploy --environment NAME --require-plan" in comment
    assert "$(id)" not in comment


def test_problem_stands_beside_the_plan_that_it_is_about() -> None:
    comment = render_review(make_review(problem=DocumentError("the artifact is not there")))
    assert "--require-plan" not in comment
    assert "**This cannot be deployed as it is:** `the artifact is not there`" in comment
    assert "| application |" in comment


def test_large_plan_fits_a_comment_and_says_what_is_missing() -> None:
    applications = [make_application(f"application-{number:04}") for number in range(900)]
    hosts = [make_host(f"host-{number}", region=f"region-{number}") for number in range(3)]
    desired = make_desired(*(make_placement(one, host) for one in applications for host in hosts))
    plan = make_plan(desired, *(ObservedHost.unasked(host.name, "x" * 500) for host in hosts))
    many = tuple(f"{number} {'y' * 300}" for number in range(1000))
    comment = render_review(
        make_review(plan=plan, notes=many, keys=many, problem=DocumentError("z", details=many))
    )
    assert len(comment) < LIMIT
    assert "more (`plan --json` has all of them)" in comment
    assert plan.intent_id in comment
    text_outside_of_code(comment)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_string_is_nothing_but_code(text: str) -> None:
    comment = render_review(make_hostile(text))
    plain = text_outside_of_code(comment)
    assert "evil" not in plain
    assert "team" not in plain
    assert "Heading" not in plain
    assert all(line.startswith(("<!-- orch", "### ", "`", "|", "- ", "1.", "2.", "**", "intent `", "plan `", "To ", "… ", "The ")) for line in comment.splitlines() if line)  # fmt: skip


@given(st.text(max_size=120))
def test_no_document_string_gets_out_of_its_code_span(text: str) -> None:
    mark = "m4rk"
    plain = text_outside_of_code(render_review(make_hostile(f"{mark}{text}{mark}")))
    assert mark not in plain
    assert plain == text_outside_of_code(render_review(make_hostile("harmless")))


@given(st.text(max_size=300), st.integers(min_value=2, max_value=100))
def test_code_span_is_one_line_without_an_end_inside(text: str, limit: int) -> None:
    span = code(text, limit)
    assert span[0] == span[-1] == "`"
    inside = span[1:-1]
    assert inside.isprintable()
    assert not set("`|<>$") & set(inside)
    assert inside.strip() == inside != ""


def test_marker_is_a_comment_that_ends_where_it_should() -> None:
    assert comment_marker("production") == "<!-- orchestrator plan: production -->"
    assert comment_marker("dev", "stacks/shop") == "<!-- orchestrator plan: stacks/shop/dev -->"
    for hostile in ("a-->b", "a--", "->", "<!--", "\n", "a--!>b"):
        marker = comment_marker(hostile)
        assert marker.count("--") == 2
        assert marker.count(">") == 1
        assert "\n" not in marker


def make_hostile(text: str) -> Review:
    """A review that has the text wherever something from outside stands."""
    application = make_application(text, text)
    host = make_host(text, region=text)
    desired = make_desired(make_placement(application, host), warnings=(text,), manifest_version=text)
    plan = make_plan(desired, ObservedHost.unreachable(text, text))
    steps = tuple(replace(step, restarts=(text,), action="install", reason=text) for step in plan.steps)
    orphan = Orphan(application=text, host=text, deployment_path=text, version=text)
    return Review(
        environment=text,
        stack="",
        base=text,
        branch="",
        head=text,
        source="hosts",
        from_version=text or "x",
        plan=replace(plan, steps=steps, orphans=(orphan,), maintenance=(text,)),
        lookups={text: text},
        unasked={text: text},
        keys=(text,),
        notes=(text,),
        problem=DocumentError(text, details=(text,), resolution=text or "x"),
    )


def test_canary_is_part_of_the_order() -> None:
    desired = make_desired(*(make_placement(host=make_host(name)) for name in ("a", "b")))
    strategy = Strategy(batches=("1",), canary=Canary(pause_seconds=60))
    comment = render_review(make_review(plan=make_plan(replace(desired, strategy=strategy))))
    assert "1. wave 1, batch 1 of 2: `site` on 1 host, then a pause of 60 s\n" in comment


def test_closed_window_is_a_warning() -> None:
    comment = render_review(make_review(window="production is closed for deployments now: `x`"))
    assert "- `production is closed for deployments now: 'x'`\n" in comment
