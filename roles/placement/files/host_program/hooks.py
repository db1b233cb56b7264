"""Hooks: commands of the deployment that run on this host around staging and activation."""

from __future__ import annotations

import os
import time

from host_program.problems import Problem

TIMEOUT_SECONDS = 300.0


def of_event(placement, event):
    """The placement's hooks of that event."""
    return (placement.get("hooks") or {}).get(event) or []


def would(placement, *events):
    """What check mode says about them, as the end of a sentence; empty when there are none."""
    wanted = [(event, hook["command"]) for event in events for hook in of_event(placement, event)]
    if not wanted:
        return ""
    from host_program import commands

    told = ["{} {}".format(event, commands.describe(command)) for event, command in wanted]
    return "; would run {}".format(", ".join(told))


def run(event, placement, request, around, before=()):
    """Every hook of that event has run and succeeded.

    Args:
        around: `release` (its directory, empty before there is one), `previous_release`, `previous_version`.
        before: what others of the same phase did.

    Returns:
        What they all did, see `run_one`.

    Raises:
        Problem: one failed; the others after it have not run.
    """
    done = list(before)
    for hook in of_event(placement, event):
        result = run_one(event, hook, placement, request, around)
        done.append(result)
        if result["exit"] != 0:
            problem = failure(result)
            problem.hooks = done
            raise problem
    return done


def failure(result):
    """The problem that a hook which did not succeed is."""
    return Problem(
        "hook",
        "hook {}".format(result["message"]),
        "look at the host; correct the hook or what it found, then deploy again",
    )


def run_one(event, hook, placement, request, around):
    """The hook has run: `event`, `command`, `exit` (None: not started, or its time was over), `seconds`, `message`."""
    from host_program import commands

    began = time.monotonic()
    secrets = _secrets(hook, placement, request)
    told = commands.describe(hook["command"])
    seconds = hook.get("timeout_seconds") or TIMEOUT_SECONDS
    try:
        code, output = commands.run(
            hook["command"],
            seconds,
            hook.get("user") or "",
            more={**_environment(event, placement, request, around), **secrets},
            directory=around["release"] or "/",
        )
    except commands.CommandError as error:
        code, said = None, str(error)
    else:
        for value in sorted(filter(None, secrets.values()), key=len, reverse=True):
            output = output.replace(value.encode("utf-8", "surrogateescape"), b"***")
        ended = "failed" if code else "ended well"
        said = "{} with {}".format(ended, code) if code else ended
        said = "did not end within {:.0f} s".format(seconds) if code is None else said
        tail = commands.tail(output)
        said += ": " + tail if tail else ""
    return {
        "event": event,
        "command": told,
        "exit": code,
        "seconds": round(time.monotonic() - began, 3),
        "message": "{} {} {}".format(event, told, said),
    }


def _secrets(hook, placement, request):
    if not hook.get("secrets"):
        return {}
    return {
        name: request["secrets"][one["secret"]]
        for name, one in (placement.get("secrets") or {}).items()
        if one["secret"] in request["secrets"]
    }


def _environment(event, placement, request, around):
    return {
        **{name: str(value) for name, value in (placement.get("variables") or {}).items()},
        "ORCHESTRATOR_HOOK": event,
        "ORCHESTRATOR_APPLICATION": placement["application"],
        "ORCHESTRATOR_VERSION": placement["version"],
        "ORCHESTRATOR_ENVIRONMENT": request["identity"].rsplit("/", 1)[-1],
        "ORCHESTRATOR_DEPLOYMENT_PATH": placement["deployment_path"],
        "ORCHESTRATOR_RELEASE": around["release"],
        "ORCHESTRATOR_PREVIOUS_RELEASE": around["previous_release"],
        "ORCHESTRATOR_PREVIOUS_VERSION": around["previous_version"],
    }


def around_of(receipt, paths, name, previous):
    """What a hook is told of the release of that directory name, and of the one before it; either may be empty."""
    record = ((receipt or {}).get("releases") or {}).get(previous) or {}
    there = bool(previous) and os.path.isdir(paths.release(previous))
    return {
        "release": paths.release(name) if name else "",
        "previous_release": paths.release(previous) if there else "",
        "previous_version": record.get("version", "") if there else "",
    }
