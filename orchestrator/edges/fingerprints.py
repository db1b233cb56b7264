"""Fingerprints of applications' secrets, as far as this machine has the secrets."""

from __future__ import annotations

from orchestrator.core.fingerprints import fingerprint
from orchestrator.core.model import Desired, Placement
from orchestrator.core.observed import Identity
from orchestrator.edges.credentials import SecretSource
from orchestrator.errors import CredentialsError


def fingerprints_of(desired: Desired, identity: Identity, secrets: SecretSource) -> dict[str, str]:
    """The fingerprint of each application with secrets whose values are all at hand; others are left out."""
    applications = {one.application.name: one for one in desired.placements if one.secrets and one.service}
    found = {}
    for name, placement in sorted(applications.items()):
        try:
            found[name] = _fingerprint(placement, identity, secrets)
        except CredentialsError:
            continue
    return found


def _fingerprint(placement: Placement, identity: Identity, secrets: SecretSource) -> str:
    values = {name: secrets.value(reference) for name, reference in placement.secrets.items()}
    return fingerprint(str(identity), placement.application.name, values)
