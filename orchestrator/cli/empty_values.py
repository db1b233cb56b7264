"""No option and no argument takes an empty value: mostly a variable of the CI is not set then."""

from __future__ import annotations

from typing import Any

import click


def refuse_empty_values(command: click.Command, arguments: list[str], context: click.Context) -> None:
    """Nothing that is given to the command, or to a command inside of it, is empty or only blanks.

    Only what is written on the command line counts, so a default may be empty. It is looked at before any of it is
    converted or obeyed, for all commands here, so that no option can forget it: an empty `--limit` would be no limit.

    Raises:
        UsageError: something is; the message names it.
    """
    given, rest, _ = command.make_parser(context).parse_args(list(arguments))
    for parameter in command.get_params(context):
        if _is_empty(given.get(parameter.name or "")):
            _refuse(parameter)
    if isinstance(command, click.Group) and rest:
        inner = command.get_command(context, rest[0])
        if inner is not None:
            below = click.Context(inner, context, info_name=rest[0], **inner.context_settings)
            refuse_empty_values(inner, rest[1:], below)


def _is_empty(value: Any) -> bool:
    """Whether the value, or one of several, is."""
    if isinstance(value, list | tuple):
        return any(_is_empty(one) for one in value)
    return isinstance(value, str) and not value.strip()


def _refuse(parameter: click.Parameter) -> None:
    from orchestrator.errors import UsageError

    if isinstance(parameter, click.Option):
        name = max(parameter.opts, key=len)
    else:
        name = parameter.human_readable_name.strip("[].")
    raise UsageError(
        f"{name} is empty, perhaps because a variable is not set",
        resolution="give it a value" if parameter.required else "give it a value, or leave it out",
    )
