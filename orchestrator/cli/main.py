"""The entry point: only here does the process exit, and only here are errors printed."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import sys
import threading
from types import FrameType

import click

from orchestrator import __version__
from orchestrator.cli.colours import wants_no_colour
from orchestrator.cli.empty_values import refuse_empty_values
from orchestrator.cli.standard_streams import flush_what_is_left, standard_streams
from orchestrator.errors import OrchestratorError

COMMANDS = {
    "plan": ("orchestrator.cli.plan", "Show what a deployment would do, and why."),
    "deploy": ("orchestrator.cli.deploy", "Deploy a branch to its environment."),
    "adopt": ("orchestrator.cli.adopt", "Take over what is live on hosts already, without a restart."),
    "rollback": ("orchestrator.cli.rollback", "Go back to the releases that were good before."),
    "set": ("orchestrator.cli.set_", "Set versions in a branch's manifest, as a build does."),
    "promote": ("orchestrator.cli.promote", "Carry versions from one environment to another."),
    "hold": ("orchestrator.cli.hold", "Keep an environment or an application as it is."),
    "unhold": ("orchestrator.cli.unhold", "Lift holds."),
    "continue": ("orchestrator.cli.continue_", "Approve or reject a rollout that waits after its canary."),
    "status": ("orchestrator.cli.status", "Show what git wants and what hosts have."),
    "render": ("orchestrator.cli.render", "Write inventory and variables for ansible-playbook."),
    "doctor": ("orchestrator.cli.doctor", "Check that this machine can deploy there."),
    "history": ("orchestrator.cli.history", "Show what was deployed to an environment, and how it went."),
    "show": ("orchestrator.cli.show", "Show one attempt from the ledger."),
    "when": ("orchestrator.cli.when", "Show where and when a version was live."),
    "lock": ("orchestrator.cli.lock", "Look at the locks of environments, or break one."),
    "audit": ("orchestrator.cli.audit", "Show the protection in force of each environment."),
    "hosts": ("orchestrator.cli.hosts", "Look at the hosts of an environment."),
    "init": ("orchestrator.cli.init", "Write a new deployment repository with its CI files."),
    "schema": ("orchestrator.cli.schema", "Print the JSON Schema of a document."),
    "demo": ("orchestrator.cli.demo", "Run the main job on this machine, with nothing installed."),
    "completion": ("orchestrator.cli.completion", "Print the shell completion script."),
}
DEFECT = 70
# Importing makes objects that stay: looking for garbage among them is a tenth of a command's start.
COLLECT_AFTER = 100_000
CI_FLAGS = (
    "FORGEJO_ACTIONS",
    "GITEA_ACTIONS",
    "GITHUB_ACTIONS",
    "GITLAB_CI",
    "TF_BUILD",
    "BITBUCKET_BUILD_NUMBER",
    "JENKINS_URL",
    "JENKINS_HOME",
)

cancelled = threading.Event()
_signal: list[int] = []


class LazyGroup(click.Group):
    """Imports a command's module when the command is used: `--version` and `--help` stay quick."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        if not context.resilient_parsing:
            refuse_empty_values(self, args, context)
        return super().parse_args(context, args)

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[name][0])
        command: click.Command = module.command
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            context.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(context, args)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 2 changes (plan --detailed-exitcode), 64 usage, 10 and up one for each kind "
    "of failure (see `docs/exit-codes.md`), 130/143 interrupted.",
)
@click.option(
    "-C",
    "directory",
    metavar="DIR",
    default=".",
    show_default=True,
    help="The deployment repository, or one stack's directory inside it.",
)
@click.version_option(__version__, prog_name="orchestrator")
@click.pass_context
def orchestrator(context: click.Context, directory: str) -> None:
    """GitOps deployments of versioned artifacts to ordinary hosts."""
    context.obj = directory
    if wants_no_colour():
        context.color = False


def main() -> None:
    """Runs the command line and exits with its code."""
    gc.set_threshold(COLLECT_AFTER)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The command's exit code; every expected failure is rendered, none escapes as a traceback."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _on_signal)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup has to keep what it promises
        signal.signal(signal.SIGHUP, _on_signal)
    # Without git GitPython would not even be imported: what needs git says so itself.
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    with standard_streams(), _guarded_output():
        code = _run(arguments)
        flush_what_is_left()
        return code


def _run(arguments: list[str]) -> int:
    try:
        result = orchestrator.main(args=arguments, prog_name="orchestrator", standalone_mode=False)
        sys.stdout.flush()
        code = result if isinstance(result, int) else 0
    except click.exceptions.Exit as error:
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = 64
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; nothing was deployed by this command unless a line above says so", err=True)
        code = 128 + (_signal[0] if _signal else signal.SIGINT)
    except OrchestratorError as error:
        render_error(error)
        code = error.exit_code
    except Exception as error:
        code = _render_defect(error)
    return 128 + _signal[0] if _signal and code != 0 else code


def _guarded_output() -> contextlib.AbstractContextManager[None]:
    """In a CI's log nothing that a host or a document says is taken for a command."""
    if not any(flag in os.environ for flag in CI_FLAGS):
        return contextlib.nullcontext()
    from orchestrator.core.ci import name_of
    from orchestrator.edges.ci import guarded_output

    return guarded_output(name_of(os.environ))


def render_error(error: OrchestratorError) -> None:
    """What is wrong, what was seen, what to do: on standard error, one after the other."""
    _say(click.style("Error: ", fg="red", bold=True) + error.brief)
    for line in error.details:
        _say(f"  {line}")
    if error.resolution:
        _say(click.style("To do: ", bold=True) + error.resolution)


def _render_defect(error: Exception) -> int:
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile(
        "w", prefix="orchestrator-defect-", suffix=".log", delete=False, encoding="utf-8"
    ) as file:
        frames = traceback.extract_tb(error.__traceback__)
        file.write("".join(traceback.format_list(frames)) + type(error).__name__ + "\n")
    _say(
        click.style("Defect: ", fg="red", bold=True)
        + f"the orchestrator failed by its own fault ({type(error).__name__}); where is written in {file.name}"
    )
    _say("To do: please report it with that file.")
    return DEFECT


def _say(text: str) -> None:
    """On standard error; no command is under way any more that click could ask about colours."""
    click.echo(text, err=True, color=False if wants_no_colour() else None)


def _on_signal(number: int, frame: FrameType | None) -> None:
    """The first signal ends the run cleanly; without a run under way it ends the command at once."""
    first = not _signal
    _signal.append(number)
    if running.is_set() and first:
        cancelled.set()
        with contextlib.suppress(OSError):
            click.echo("\nstopping; hosts finish what they have begun", err=True)
        return
    raise KeyboardInterrupt


running = threading.Event()
