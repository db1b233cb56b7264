"""What follows the link: the process of a service, a container, or the package that is installed. Sites have none.

What a kind needs is imported where that kind is met: most hosts have one, and an import costs them more than the work.
"""

from __future__ import annotations

import os


def stage(placement, request):
    """What the placement is made from lies ready beside what is live, verified as its kind is."""
    if placement.get("action") == "adopt":
        from host_program import adoption

        return adoption.stage(placement, request)
    if placement.get("package"):
        from host_program import packages

        return packages.stage(placement, request)
    if (placement.get("service") or {}).get("container"):
        from host_program import containers

        return containers.stage(placement, request)
    if placement.get("service"):
        from host_program import services

        return services.stage(placement, request)
    from host_program import staging

    return staging.stage(placement, request)


def prove(here, name):
    """The live release of that name is started, asked for its health, as far as this host can, and runs on.

    Returns:
        (whether it is healthy, one sentence, whether starting it has changed anything).
    """
    problem, restarted = start(here, name)
    healthy, message = (False, problem) if problem else _ask_health(here, name)
    if healthy:
        problem = stays(here, name, restarted=restarted)
        healthy, message = not problem, problem or message
    return healthy, message, restarted


def _ask_health(here, name):
    checks = [check for check in here.wanted["healthchecks"] if check["origin"] == "host"]
    if not checks:
        return True, ""
    from host_program.health import check_all, for_version

    return check_all([for_version(check, here.version_of(name)) for check in checks])


def start(here, name):
    """What that release, the live one, is beside its files is there and runs.

    Returns:
        (what is wrong, or an empty string; whether anything was changed).
    """
    if not _package(here.receipt, name):
        removed = _remove_package(here)
        if not _process(here.receipt, name):
            return "", removed
        from host_program import processes

        problem, changed = processes.start(here, name)
        return problem, changed or removed
    from host_program import packages

    removed = _remove_process(here)
    problem, changed = packages.start(here, name)
    return problem, changed or removed


def stays(here, name, *, restarted):
    """An empty string when it runs on as long as it has to, or what happened to it.

    Args:
        restarted: by this run; else it only has to run now.
    """
    if _package(here.receipt, name):
        from host_program import packages

        return packages.stays(here, restarted=restarted)
    if not _process(here.receipt, name):
        return ""
    from host_program import processes

    return processes.stays(here, name, restarted=restarted)


def remove(here):
    """Nothing of the placement runs or is installed; true when something was."""
    removed = _remove_package(here)
    removed = _remove_process(here) or removed
    if here.receipt.get("images"):
        from host_program import containers

        removed = containers.remove(here) or removed
    return removed


def prune(here):
    """Nothing is left of releases that are kept no longer."""
    if os.path.isdir(os.path.join(here.directory, "services")):
        from host_program import services

        services.prune(here.directory, here.receipt)
    if here.receipt.get("images"):
        from host_program import containers

        containers.prune(here)


def observe(directory, receipt, name, verify):
    """(what the observation adds, what contradicts the receipt) for the live release of that name."""
    if _package(receipt, name):
        from host_program import packages

        return packages.observe(receipt, receipt["releases"][name], verify)
    if not _process(receipt, name):
        return {}, []
    from host_program import processes

    found, problems = processes.observe(directory, receipt, name)
    if (receipt["releases"].get(name) or {}).get("image"):
        from host_program import containers

        problems = [*problems, *containers.contradictions(receipt["releases"][name])]
    return found, problems


def _package(receipt, name):
    return (receipt["releases"].get(name) or {}).get("package")


def _process(receipt, name):
    """Whether that release runs, or something of the placement still does."""
    record = receipt["releases"].get(name) or {}
    return record.get("service") or receipt.get("units") or receipt.get("process")


def _remove_process(here):
    if not _process(here.receipt, ""):
        return False
    from host_program import processes

    return processes.remove(here)


def _remove_package(here):
    if not here.receipt.get("package"):
        return False
    from host_program import packages

    return packages.remove(here)
