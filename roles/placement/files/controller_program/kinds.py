"""Packages and containers among placements: settings with every default, and what the host writes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ansible.errors import AnsibleActionFail

from . import containers, packages
from .container_units import render_container_unit
from .services import reference_of_secret
from .unit_files import unit_digest


def normalise_kind(placement: dict[str, Any]) -> list[Any]:
    """The placement's `package` or `container` is what the host program reads.

    Returns:
        What configuration follows from.

    Raises:
        AnsibleActionFail: the settings do not fit.
    """
    if placement.get("package") is not None:
        return _normalise_package(placement)
    placement["package"] = None
    return []


def _normalise_package(placement: dict[str, Any]) -> list[Any]:
    settings, artifact = placement["package"], placement.get("artifact") or {}
    application = placement["application"]
    name = artifact.get("location") or artifact.get("filename") or ""
    found = [f"package.{key}: {problem}" for key, problem in packages.package_problems(settings)]
    if not packages.package_format(name):
        found.append(f"artifact: {name.rpartition('/')[2]!r} is neither a .deb nor an .rpm file")
    if placement.get("service") or placement.get("container"):
        found.append("a package has no process; use `unit` of `package`")
    if found:
        raise AnsibleActionFail(f"the package {application} cannot be deployed: {'; '.join(found)}")
    package = packages.make_package(name, settings)
    placement["package"] = asdict(package)
    placement["deployment_path"] = placement.get("deployment_path") or packages.default_path(application)
    artifact.update(packing="file", filename=f"{application}.{package.format}")
    return [packages.configured(package)]


def normalise_container(placement: dict[str, Any]) -> list[Any]:
    """The placement's `service` is the unit of its container; see `normalise_service`.

    Raises:
        AnsibleActionFail: the settings do not fit.
    """
    settings, application = placement["container"], placement["application"]
    artifact = placement.get("artifact") or {}
    secrets = {name: reference_of_secret(value) for name, value in (placement.get("secrets") or {}).items()}
    variables = {name: str(value) for name, value in (placement.get("variables") or {}).items()}
    found = [
        f"{'.'.join(map(str, where))}: {problem}"
        for where, problem in containers.container_problems(settings, variables, tuple(secrets))
    ]
    if artifact.get("image") and (problem := containers.image_problem(artifact["image"])):
        found.append(f"artifact.image: {problem}")
    if placement.get("service"):
        found.append("service: a container runs as its own unit; remove it")
    container = containers.make_container(application, settings)
    found += [
        f"application: {said}" for _, said in containers.container_problems({"unit": application}, {}, ())
    ]
    if found:
        raise AnsibleActionFail(f"the container {application} cannot be made: {'; '.join(found)}")
    placement["secrets"] = {name: {"secret": reference} for name, reference in secrets.items()}
    placement["deployment_path"] = placement.get("deployment_path") or containers.default_path(application)
    if artifact:
        image = artifact.get("image")
        artifact.update(packing="file", filename="image.json" if image else "image.tar")
    unit_file = render_container_unit(
        container, application=application, variables=variables, secrets=tuple(secrets)
    )
    digest = placement.pop("service_digest", None) or unit_digest(unit_file, variables, tuple(secrets))
    placement["service"] = {
        "container": True,
        "unit": container.unit,
        "adopt": False,
        "on_release": "restart",
        "stable_seconds": container.stable_seconds,
        "timeout_seconds": container.start_timeout_seconds + container.stop_timeout_seconds,
        "user": "",
        "group": "",
        "secrets_as": "files",
        "unit_file": unit_file,
        "digest": digest,
        "files": {},
    }
    return [containers.container_settings(container), digest, secrets]
