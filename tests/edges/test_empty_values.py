"""An empty value is refused by every option and argument of every command: nothing is dropped without a word."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from orchestrator.cli.main import COMMANDS, orchestrator
from orchestrator.errors import UsageError

Case = tuple[list[str], str]


def _commands(words: list[str], command: click.Command) -> Iterator[tuple[list[str], click.Command]]:
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _commands([*words, name], inner)


def _cases(words: list[str], command: click.Command) -> Iterator[Case]:
    """Each parameter that takes a value, given an empty one in each of its spellings, and how it is named."""
    before: list[str] = []
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            yield [*words, *before, ""], parameter.human_readable_name.strip("[].")
            before.append("x")
        elif isinstance(parameter, click.Option) and not parameter.is_flag:
            name = max(parameter.opts, key=len)
            for spelling in parameter.opts:
                yield [*words, spelling, ""], name
                yield [*words, spelling, " \t"], name
            if name.startswith("--"):
                yield [*words, f"{name}="], name


CASES = [case for words, command in _commands([], orchestrator) for case in _cases(words, command)]


def test_cases_are_those_of_every_command() -> None:
    found = [words for words, _ in CASES]
    assert {words[0] for words in found} == {"-C", *COMMANDS} - {"demo"}
    assert {words[1] for words in found if words[0] == "lock"} == {"show", "break"}


@pytest.mark.parametrize(("words", "name"), CASES, ids=lambda value: repr(value))
def test_empty_value_is_refused_by_name(words: list[str], name: str) -> None:
    with pytest.raises(UsageError) as caught:
        orchestrator.main(args=words, standalone_mode=False)
    assert caught.value.brief == f"{name} is empty, perhaps because a variable is not set"


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["deploy", "-b", "dev", "--limit", "one", "--limit", ""], "--limit"),
        (["set", "site=1", " ", "-b", "dev"], "APP=VERSION"),
        (["-C", ".", "lock", "break", "dev", "--reason", ""], "--reason"),
    ],
)
def test_one_empty_value_of_several_is_refused(words: list[str], name: str) -> None:
    with pytest.raises(UsageError, match=f"^{name} is empty"):
        orchestrator.main(args=words, standalone_mode=False)


def test_what_may_be_left_out_can_be_left_out_as_the_message_says() -> None:
    with pytest.raises(UsageError) as optional:
        orchestrator.main(args=["rollback", "-e", "dev", "--to", ""], standalone_mode=False)
    with pytest.raises(UsageError) as required:
        orchestrator.main(args=["rollback", "-e", ""], standalone_mode=False)
    assert optional.value.resolution == "give it a value, or leave it out"
    assert required.value.resolution == "give it a value"


def test_defaults_and_completion_may_be_empty() -> None:
    context = orchestrator.make_context("orchestrator", ["deploy", "--limit", ""], resilient_parsing=True)
    assert context.command is orchestrator
    assert orchestrator.main(args=["schema", "manifest"], standalone_mode=False) == 0
