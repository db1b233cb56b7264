"""What follows the link: the process of a service, a container, or the package that is installed. Sites have none."""

from __future__ import annotations

from host_program import processes, services


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
    return services.stage(placement, request)


def start(here, name):
    """What that release, the live one, is beside its files is there and runs.

    Returns:
        (what is wrong, or an empty string; whether anything was changed).
    """
    if not _package(here.receipt, name):
        removed = _remove_package(here)
        problem, changed = processes.start(here, name)
        return problem, changed or removed
    from host_program import packages

    removed = processes.remove(here)
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
    return processes.stays(here, name, restarted=restarted)


def remove(here):
    """Nothing of the placement runs or is installed; true when something was."""
    removed = _remove_package(here)
    removed = processes.remove(here) or removed
    if here.receipt.get("images"):
        from host_program import containers

        removed = containers.remove(here) or removed
    return removed


def prune(here):
    """Nothing is left of releases that are kept no longer."""
    services.prune(here.directory, here.receipt)
    if here.receipt.get("images"):
        from host_program import containers

        containers.prune(here)


def observe(directory, receipt, name, verify):
    """(what the observation adds, what contradicts the receipt) for the live release of that name."""
    if _package(receipt, name):
        from host_program import packages

        return packages.observe(receipt, receipt["releases"][name], verify)
    found, problems = processes.observe(directory, receipt, name)
    if (receipt["releases"].get(name) or {}).get("image"):
        from host_program import containers

        problems = [*problems, *containers.contradictions(receipt["releases"][name])]
    return found, problems


def _package(receipt, name):
    return (receipt["releases"].get(name) or {}).get("package")


def _remove_package(here):
    if not here.receipt.get("package"):
        return False
    from host_program import packages

    return packages.remove(here)
