"""Secret references and credentials, and where they may be sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.core.model import Credentials, Reference
from orchestrator.core.urls import origin_of
from orchestrator.core.violations import Path, Report, quote


def parse_reference(value: Mapping[str, Any]) -> Reference | None:
    """Return the reference of `{"env": NAME}` or `{"file": PATH}`; None for one that was refused."""
    if "env" in value:
        return Reference(source="env", name=value["env"])
    if "file" in value:
        return Reference(source="file", name=value["file"])
    return None


def parse_credentials(value: Mapping[str, Any], report: Report, path: Path) -> Credentials | None:
    """Return the credentials at `path`, which are `username` and `password`, or a `token`."""
    names = {
        name for name in ("username", "password", "token") if name in value or (*path, name) in report.bad
    }
    if names not in ({"username", "password"}, {"token"}):
        report.add(path, "has to have both `username` and `password`, or only `token`")
        return None
    username = value.get("username")
    return Credentials(
        username=parse_reference(username) if isinstance(username, dict) else username,
        password=parse_reference(value.get("password", {})),
        token=parse_reference(value.get("token", {})),
    )


def check_origin(
    credentials: Credentials, url: str, allowed: Mapping[str, str] | None, report: Report, path: Path
) -> None:
    """Add a violation for each reference that orchestrator.toml does not allow towards `url`.

    A user name's reference need not be listed: it goes only where its password may go.

    Args:
        allowed: reference → origin, the table `[credentials]`; None: there is none, all are allowed.
        path: where the credentials are.
    """
    if allowed is None:
        return
    origin = origin_of(url)
    for name, reference in (
        ("username", credentials.username),
        ("password", credentials.password),
        ("token", credentials.token),
    ):
        if not isinstance(reference, Reference):
            continue
        listed = allowed.get(str(reference))
        if listed is None and name != "username":
            near = report.near_miss(str(reference), allowed)
            line = f"{quote(str(reference))} = {quote(origin)}"
            message = (
                f"[credentials] of orchestrator.toml does not list this reference{near}; add {line} there"
            )
            report.add((*path, name), message)
        elif listed is not None and listed != origin:
            message = f"[credentials] of orchestrator.toml allows this reference only towards {listed}"
            report.add((*path, name), f"{message}, not towards {origin}; use another reference")
