"""Which hosts of an environment are the same machine under several names."""

from __future__ import annotations

from ipaddress import ip_address

from orchestrator.core.model import Host

Machine = tuple[str, ...]


def machine_of(host: Host) -> Machine:
    """Return what tells machines apart: the way to them. Hosts with a local connection are all this one."""
    if host.connection == "local":
        return ("local",)
    return (_canonical(host.address), str(host.port), host.proxy_jump)


def record_of(host: Host) -> Machine:
    """Return what tells apart whose receipts are read there: each user of a machine has a record of its own."""
    user = (host.become_user or "root") if host.become else host.user
    return (*machine_of(host), user)


def _canonical(address: str) -> str:
    """Return one spelling of an address; one that is none, reported elsewhere, stays as it is."""
    try:
        return str(ip_address(address))
    except ValueError:
        return address.lower()
