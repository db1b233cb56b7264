"""What ssh reads: known hosts from pinned keys, and a configuration that checks them."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping

from orchestrator.core.inventory import jump_chain, private_key_path
from orchestrator.core.model import Host

CONNECT_SECONDS = 15
SLOW_KEY_EXCHANGE = "sntrup761"
QUICK_KEY_EXCHANGES = ("mlkem768x25519-sha256", "curve25519-sha256", "curve25519-sha256@libssh.org")


def render_known_hosts(hosts: Iterable[Host]) -> str:
    """One line for each pinned key, under the address and port that ssh looks it up by."""
    return "".join(
        f"{known_name(host)} {key}\n"
        for host in sorted(hosts, key=lambda host: host.name)
        for key in host.host_key
    )


def known_name(host: Host) -> str:
    """The host as known_hosts names it."""
    return host.address if host.port == 22 else f"[{host.address}]:{host.port}"


def quick_key_exchange(supported: Collection[str]) -> str:
    """`KexAlgorithms` that puts the quick ones first; empty where ssh does so by itself.

    OpenSSH 9.0 to 9.9 prefer sntrup761x25519, which costs a client 70 ms of CPU where curve25519 takes 5; ML-KEM,
    from 9.9 on, is post-quantum and quick.

    Args:
        supported: what `ssh -Q kex` lists.
    """
    if not any(name.startswith(SLOW_KEY_EXCHANGE) for name in supported):
        return ""
    quick = [name for name in QUICK_KEY_EXCHANGES if name in supported]
    return f"^{','.join(quick)}" if quick else ""


def render_ssh_config(
    hosts: Iterable[Host], *, directory: str, known_hosts: str, agent: str = "", key_exchange: str = ""
) -> str:
    """A configuration in which a pinned key is the only one accepted, and others need a known_hosts entry.

    Args:
        directory: where `known_hosts` of `render_known_hosts` lies, absolute.
        known_hosts: another file of the user's, or empty.
        agent: the socket of an agent to ask instead of the user's; empty: the user's.
        key_exchange: `KexAlgorithms` where the user has not said otherwise; empty: ssh's own.
    """
    lines = []
    remote = sorted((host for host in hosts if host.connection == "ssh"), key=lambda host: host.name)
    for host in remote:
        if host.host_key:
            lines += [
                f"Match host {host.address}",
                f"  UserKnownHostsFile {directory}/known_hosts",
                "  GlobalKnownHostsFile /dev/null",
            ]
    for jump, key in sorted(_jump_keys(remote).items()):
        lines += [f"Match host {jump}", f"  IdentityFile {_quote(key)}"]
    others = f"~/.ssh/known_hosts {_quote(known_hosts)}" if known_hosts else "~/.ssh/known_hosts"
    lines += [
        "Match all",
        f"  UserKnownHostsFile {directory}/known_hosts {others}",
        "  StrictHostKeyChecking yes",
        *([f"  IdentityAgent {_quote(agent)}"] if agent else []),
        "  Include ~/.ssh/config",
        "  Include /etc/ssh/ssh_config",
        # A host that vanishes without a word is noticed, where nobody has said otherwise: else a run waits for it,
        # and holds its lock, for ever.
        "Match all",
        "  ServerAliveInterval 15",
        "  ServerAliveCountMax 4",
        *([f"  KexAlgorithms {key_exchange}"] if key_exchange else []),
    ]
    return "\n".join(lines) + "\n"


def render_ssh_command(
    host: Host, hosts: Mapping[str, Host], *, config: str, command: str
) -> tuple[str, ...]:
    """The words that run a command there as Ansible does (user, port, key, jumps, sudo), and ask nobody anything.

    Args:
        hosts: of the environment, by name.
        config: the file that `render_ssh_config` is in.
        command: one line for the host's shell.
    """
    words = ["ssh", "-F", config, "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_SECONDS}"]
    words += ["-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", f"Port={host.port}"]
    if host.user:
        words += ["-l", host.user]
    key = private_key_path(host.private_key)
    if key:
        words += ["-o", f"IdentityFile={_quote(key)}"]
    if host.proxy_jump:
        words += ["-J", jump_chain(host, hosts)]
    line = f"/bin/sh -c {shlex.quote(command)}"
    if host.become:
        line = f"sudo -H -n -u {shlex.quote(host.become_user or 'root')} {line}"
    return (*words, "--", host.address, line)


def _jump_keys(hosts: list[Host]) -> dict[str, str]:
    """Jump host → key: its own where it is a host of the environment, else that of the host behind it."""
    by_name = {host.name: host for host in hosts}
    found = {}
    for host in hosts:
        for hop in host.proxy_jump.split(",") if host.proxy_jump else ():
            target = by_name.get(hop)
            key = private_key_path((target or host).private_key)
            address = target.address if target else _bare(hop)
            if key:
                found[address] = key
    return found


def _bare(hop: str) -> str:
    """The address of `[user@]host[:port]`, without the brackets of IPv6."""
    place = hop.rpartition("@")[2]
    return place[1:].partition("]")[0] if place.startswith("[") else place.partition(":")[0]


def _quote(path: str) -> str:
    return f'"{path}"'
