"""Packages among placements: settings with every default, and the file's name."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ansible.errors import AnsibleActionFail

from .packages import configured, default_path, make_package, package_format, package_problems


def normalise_kind(placement: dict[str, Any]) -> list[Any]:
    """The placement's `package` is what the host program reads; returns what configuration follows from.

    Raises:
        AnsibleActionFail: the settings do not fit.
    """
    settings, artifact = placement.get("package"), placement.get("artifact") or {}
    if settings is None:
        placement["package"] = None
        return []
    application = placement["application"]
    name = artifact.get("location") or artifact.get("filename") or ""
    found = [f"package.{key}: {problem}" for key, problem in package_problems(settings)]
    if not package_format(name):
        found.append(f"artifact: {name.rpartition('/')[2]!r} is neither a .deb nor an .rpm file")
    if placement.get("service"):
        found.append("service: a package has no process; use `unit` of `package`")
    if found:
        raise AnsibleActionFail(f"the package {application} cannot be deployed: {'; '.join(found)}")
    package = make_package(name, settings)
    placement["package"] = asdict(package)
    placement["deployment_path"] = placement.get("deployment_path") or default_path(application)
    artifact.update(packing="file", filename=f"{application}.{package.format}")
    return [configured(package)]
