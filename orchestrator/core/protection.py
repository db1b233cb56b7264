"""Protection: what has to hold before an environment is deployed to, and whether it does.

The rules come from the last deployed commit or a policy repository, never from the commit that they judge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from orchestrator.core.protection_rules import Rules, same_place
from orchestrator.core.record import FORWARD, Record
from orchestrator.core.windows import judge_windows

BASE_VERDICTS = ("success", "partial")
Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What git says about a commit's signature.

    Attributes:
        name: the listed key's; empty: it is not signed by a listed key.
        problem: why not, one sentence.
    """

    name: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a deployment that is to be judged.

    Attributes:
        commit: empty: the work tree.
        direct: commits since the last deployed one, on the first-parent line, that are no merges of two; the
            newest first.
        base: the last deployed commit; empty: none is known.
        line_problem: why the line from the last deployed commit cannot be told; empty: it can.
        was_deployed: the commit is the last deployed one.
        signatures: by rule's names (`signed_by`).
        approvals: accounts that approved; None: nobody can be asked.
        approvals_problem: why nobody can be asked.
        plan_given: the deployment names a reviewed plan.
        unpinned: applications without a `sha256` in the manifest; None: the manifest cannot be read.
        overrides_window: `--override-window` was given.
        repository: the address of the remote, or the path of the clone without one.
        rolls_back: it goes back to releases that were good.
    """

    commit: str
    moment: datetime
    direct: tuple[str, ...] = ()
    base: str = ""
    line_problem: str = ""
    was_deployed: bool = False
    signatures: Mapping[tuple[str, ...], Signature] = field(default_factory=dict)
    approvals: tuple[str, ...] | None = None
    approvals_problem: str = ""
    plan_given: bool = False
    unpinned: tuple[str, ...] | None = ()
    overrides_window: bool = False
    repository: str = ""
    rolls_back: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One rule, and whether it holds.

    Attributes:
        why: what was seen, one sentence.
        remedy: what would satisfy it; empty when it holds.
    """

    rule: str
    passed: bool
    why: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.rule}: {'passed' if self.passed else 'refused'}, {self.why}"


def judge_protection(rules: Rules, facts: Facts) -> tuple[Finding, ...]:
    """Return each rule of an environment with its result."""
    judges: tuple[tuple[bool, Callable[[Rules, Facts], Finding]], ...] = (
        (bool(rules.only_repository), _judge_repository),
        (rules.merge_commits_only, _judge_merges),
        (bool(rules.signed_by), _judge_signature),
        (rules.approvals > 0, _judge_approvals),
        (rules.require_plan and not facts.rolls_back, _judge_plan),
        (rules.require_pinned and not facts.rolls_back, _judge_pins),
        (not rules.window_override and not facts.rolls_back, _judge_override),
        (bool(rules.windows), _judge_windows),
    )
    return tuple(judge(rules, facts) for asked, judge in judges if asked)


def choose_base(
    entries: Sequence[Entry],
    *,
    rules_of: Callable[[Entry], Any],
    counts_under: Callable[[Any, Entry], bool],
    is_overtaken: Callable[[Entry, Entry], bool],
) -> Entry | None:
    """Return the newest entry of the ledger that counts; None: none does.

    An entry counts when the keys say so that the entry before it, which counted, has listed. So a forged entry
    cannot bring the keys along that vouch for it. Signatures are looked at only where the rules change, where an entry
    is late, and at the end, so that a long ledger costs little.

    An entry is late, and does not count, when one that overtook it was told before: by the keys of its time, and by
    those that the late one has listed itself.

    Args:
        entries: of successful deployments, in the order in which the ledger was told.
        rules_of: something that is equal where the rules and keys at an entry's commit are.
        counts_under: whether an entry counts under these rules.
        is_overtaken: whether the second entry's deployment came after the first's, as both entries say.
    """
    told: list[tuple[Entry, Any]] = []  # each with the rules under which it counts, if it does
    rules: Any = None

    def counts(entry: Entry, before: Any) -> bool:
        return entry is entries[0] or counts_under(before, entry)

    def is_late(entry: Entry, earlier: Sequence[tuple[Entry, Any]]) -> bool:
        return any(
            is_overtaken(entry, one) and counts(one, before) and counts_under(rules_of(entry), one)
            for one, before in earlier
        )

    for entry in entries:
        own = rules_of(entry)
        if not told or own == rules or (counts(entry, rules) and not is_late(entry, told)):
            told.append((entry, rules))
            rules = own
    return next(
        (
            entry
            for place, (entry, before) in reversed(list(enumerate(told)))
            if counts(entry, before) and not is_late(entry, told[:place])
        ),
        None,
    )


def is_base(record: Record) -> bool:
    """Return whether rules for later commits may come from this attempt's.

    Not from a rollback (git's tip was not what it deployed), nor from an older commit that somebody has deployed on
    purpose: its rules may be those of a time before the present ones.
    """
    return (
        record.kind in FORWARD
        and record.verdict in BASE_VERDICTS
        and not record.allow_older_reason
        and bool(record.commit)
    )


def is_overtaken(record: Record, other: Record) -> bool:
    """Return whether the other attempt got the same lock later; nobody can say that of one without a lock."""
    if record.environment != other.environment or record.lock_token is None or other.lock_token is None:
        return False
    return record.lock_token < other.lock_token


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesSource:
    """Where rules come from.

    Attributes:
        kind: `ledger` (the last deployed commit), `parent` (the first parent), `policy` (a policy repository), or
            `none`.
        commit: that commit.
        record: the ledger's attempt; empty for the others.
        place: the policy repository's address and branch; empty for the others.
    """

    kind: str
    commit: str = ""
    record: str = ""
    place: str = ""

    def __str__(self) -> str:
        match self.kind:
            case "ledger":
                return f"the last deployed commit {self.commit[:10]} (record {self.record})"
            case "parent":
                return f"the first parent {self.commit[:10]}"
            case "policy":
                return f"{self.place} at {self.commit[:10]}"
            case _:
                return "nowhere: there is no commit before this one"


def protection_document(
    source: RulesSource, rules: Mapping[str, Rules], findings: Sequence[Finding]
) -> dict[str, Any]:
    """Return what a record keeps: where rules came from, and each with its result."""
    return {
        "source": asdict(source),
        "environments": sorted(rules),
        "findings": [asdict(finding) for finding in findings],
    }


def _judge_repository(rules: Rules, facts: Facts) -> Finding:
    passed = same_place(rules.only_repository, facts.repository)
    here = facts.repository or "this repository"
    return Finding(
        rule="only_repository",
        passed=passed,
        why=f"{here} is {'the' if passed else 'not the'} repository that may deploy it",
        remedy="" if passed else f"deploy from {rules.only_repository}",
    )


def _judge_merges(rules: Rules, facts: Facts) -> Finding:
    rule, remedy = "merge_commits_only", ""
    if not facts.commit:
        passed, why, remedy = False, "the work tree is no commit", "commit it and merge it by a pull request"
    elif facts.was_deployed:
        passed, why = True, "this commit is the last deployed one"
    elif facts.line_problem or facts.direct:
        shown = ", ".join(commit[:10] for commit in facts.direct[:5])
        why = facts.line_problem or f"{shown} came without a merge commit of two parents"
        passed, remedy = False, "merge a pull request into the environment's branch, with a merge commit"
        if facts.base:
            remedy = f"put the branch back to {facts.base[:10]}, the last deployed commit, and {remedy}"
    else:
        passed, why = True, "everything since the last deployed commit came by merge commits"
    return Finding(rule=rule, passed=passed, why=why, remedy=remedy)


def _judge_signature(rules: Rules, facts: Facts) -> Finding:
    signature = facts.signatures.get(rules.signed_by, Signature(problem="the work tree is no commit"))
    names = ", ".join(rules.signed_by)
    if signature.name:
        return Finding(rule="signed_by", passed=True, why=f"it is signed with the key {signature.name}")
    return Finding(
        rule="signed_by",
        passed=False,
        why=f"{signature.problem} (names of authors and committers prove nothing)",
        remedy=f"let the commit be signed with one of the keys {names}",
    )


def _judge_approvals(rules: Rules, facts: Facts) -> Finding:
    wanted = f"{rules.approvals} approval{'s' if rules.approvals > 1 else ''}"
    remedy = f"merge it by a pull request that has {wanted} of others than its author"
    if facts.approvals is None:
        return Finding(
            rule="approvals",
            passed=False,
            why=facts.approvals_problem or "no forge can be asked who approved it",
            remedy=f"let the forge say it: deploy with a token of the forge, from its repository; {remedy}",
        )
    who = sorted(set(facts.approvals))
    passed = len(who) >= rules.approvals
    why = f"{len(who)} of {wanted}{': ' if who else ''}{', '.join(who)}"
    return Finding(rule="approvals", passed=passed, why=why, remedy="" if passed else remedy)


def _judge_plan(rules: Rules, facts: Facts) -> Finding:
    return Finding(
        rule="require_plan",
        passed=facts.plan_given,
        why="it is held against a reviewed plan" if facts.plan_given else "no reviewed plan is named",
        remedy="" if facts.plan_given else "name the plan that was reviewed: --require-plan ID or FILE",
    )


def _judge_pins(rules: Rules, facts: Facts) -> Finding:
    passed = facts.unpinned == ()
    if facts.unpinned is None:
        why = "the manifest cannot be read, or its form has no `sha256`"
    elif passed:
        why = "every artifact has its sha256 in the manifest"
    else:
        why = f"without a sha256 in the manifest: {', '.join(facts.unpinned)}"
    remedy = "" if passed else "write each artifact's sha256 into the manifest"
    return Finding(rule="require_pinned", passed=passed, why=why, remedy=remedy)


def _judge_override(rules: Rules, facts: Facts) -> Finding:
    passed = not facts.overrides_window
    return Finding(
        rule="window_override",
        passed=passed,
        why="no window is overridden" if passed else "--override-window is not allowed here",
        remedy="" if passed else "deploy without it, when the environment is open",
    )


def _judge_windows(rules: Rules, facts: Facts) -> Finding:
    state = judge_windows(rules.windows, facts.moment)
    if state.is_open:
        return Finding(rule="windows", passed=True, why="it is open now")
    if facts.overrides_window:
        return Finding(rule="windows", passed=True, why=f"{state.why}; overridden by --override-window")
    return Finding(rule="windows", passed=False, why=state.why, remedy=f"it opens {state.opening}")
