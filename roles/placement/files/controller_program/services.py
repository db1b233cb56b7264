"""The services among placements: settings become a unit file, references become files with secrets."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

from ansible.errors import AnsibleActionFail

from .fingerprints import fingerprint
from .unit_files import (
    CREDENTIALS,
    SECRETS_FILE,
    VARIABLES_FILE,
    render_environment,
    render_unit,
    unit_digest,
)
from .units import UNIT_NAME, Service, make_service, service_problems

_PLACE = re.compile(r"(/[A-Za-z0-9._@+=,~-]+)+")


def normalise_service(placement: dict[str, Any]) -> list[Any]:
    """The placement's `service` is what the host program reads; returns what configuration follows from.

    `service` becomes: `unit`, `adopt`, `on_release`, `stable_seconds`, `timeout_seconds` (of starting and stopping),
    `user`, `group`, `unit_file`, `digest`, `files` (name → text). `secrets` are by name, each `{"secret": "env:NAME"}`.

    Raises:
        AnsibleActionFail: the settings do not make a unit.
    """
    secrets = {name: reference_of_secret(value) for name, value in (placement.get("secrets") or {}).items()}
    variables = {name: str(value) for name, value in (placement.get("variables") or {}).items()}
    placement["secrets"] = {name: {"secret": reference} for name, reference in secrets.items()}
    settings = placement.get("service")
    if not settings:
        placement["service"] = None
        return []
    application, path = placement["application"], placement["deployment_path"]
    _refuse_problems(application, path, settings, variables, tuple(secrets))
    service = make_service(application, settings)
    unit_file = "" if service.adopt else _unit_file(service, placement, variables, tuple(secrets))
    digest = placement.pop("service_digest", None) or unit_digest(unit_file, variables, tuple(secrets))
    placement["service"] = {
        "unit": service.unit,
        "adopt": service.adopt,
        "on_release": service.on_release,
        "stable_seconds": service.stable_seconds,
        "timeout_seconds": service.start_timeout_seconds + service.stop_timeout_seconds,
        "user": service.user,
        "group": service.group,
        "secrets_as": service.secrets_as,
        "unit_file": unit_file,
        "digest": digest,
        "files": {VARIABLES_FILE: render_environment(variables)} if variables else {},
    }
    return [asdict(service), digest, secrets]


def service_references(placement: dict[str, Any], phase: str) -> set[str]:
    """The secrets whose values the phase needs."""
    if phase == "stage" or (phase == "activate" and not placement.get("secrets_fingerprint")):
        return {value["secret"] for value in placement.get("secrets", {}).values()}
    return set()


def fill_in_secrets(placement: dict[str, Any], phase: str, identity: str, values: dict[str, str]) -> None:
    """The placement has its secrets' fingerprint, and what the host writes for its process.

    Raises:
        AnsibleActionFail: a value cannot be an environment variable.
    """
    service, secrets = placement.get("service"), placement.get("secrets")
    if not service or not secrets or phase not in ("stage", "activate"):
        return
    found = {name: values[one["secret"]] for name, one in secrets.items() if one["secret"] in values}
    if not placement.get("secrets_fingerprint"):
        placement["secrets_fingerprint"] = fingerprint(identity, placement["application"], found)
    if phase != "stage":
        return
    if service["secrets_as"] == "files":
        service["files"].update({f"{CREDENTIALS}/{name}": value for name, value in found.items()})
        return
    try:
        service["files"][SECRETS_FILE] = render_environment(found)
    except ValueError as error:
        raise AnsibleActionFail(
            f"{placement['application']}: the secret {error}, and cannot be a variable; set secrets_as to files"
        ) from None


def _unit_file(
    service: Service, placement: dict[str, Any], variables: dict[str, str], secrets: tuple[str, ...]
) -> str:
    return render_unit(
        service,
        application=placement["application"],
        deployment_path=placement["deployment_path"],
        variables=bool(variables),
        secrets=secrets,
    )


def _refuse_problems(
    application: str,
    path: str,
    settings: dict[str, Any],
    variables: dict[str, str],
    secrets: tuple[str, ...],
) -> None:
    found = [
        f"{'.'.join(map(str, where))}: {problem}"
        for where, problem in service_problems(settings, variables, secrets)
    ]
    if not UNIT_NAME.fullmatch(application):
        found.append("application: it names the unit; use letters, digits and _.:- only")
    if not _PLACE.fullmatch(path) or ".." in path.split("/"):
        found.append("deployment_path: has to be absolute, of letters, digits and ._@+=,~- only")
    if found:
        raise AnsibleActionFail(f"the service {application} cannot be made: {'; '.join(found)}")


def reference_of_secret(value: Any) -> str:
    pairs = list(value.items()) if isinstance(value, dict) else []
    chosen = [(source, name) for source, name in pairs if name]
    if len(chosen) != 1 or chosen[0][0] not in ("env", "file"):
        raise AnsibleActionFail("a secret is a reference, {env: NAME} or {file: PATH}, never a value")
    return f"{chosen[0][0]}:{chosen[0][1]}"
