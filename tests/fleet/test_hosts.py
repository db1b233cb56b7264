"""The test hosts themselves: what other tests take for granted about them."""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet.conftest import without_hosts
from tests.fleet.hosts import (
    LOGIN_TRACES,
    Fleet,
    FleetError,
    Host,
    HostFactory,
    HostSpec,
    changes,
    describe,
    remove,
    remove_stale,
    unavailable_reason,
)


@pytest.fixture(scope="module")
def three(fleet: Fleet) -> Iterator[list[Host]]:
    """`web1` and two more that are left as they were."""
    more = fleet.start(HostSpec(name="web2"), HostSpec(name="web3"))
    yield [fleet.hosts["web1"], *more]
    fleet.remove("web2", "web3")


@pytest.fixture
def web1(fleet: Fleet) -> Host:
    return fleet.hosts["web1"]


@pytest.fixture
def server(fleet: Fleet, tmp_path: Path) -> Iterator[str]:
    (tmp_path / "greeting").write_text("hello from the gateway")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(tmp_path))  # type: ignore[arg-type]

        def log_message(self, format: str, *arguments: object) -> None:
            return

    with http.server.ThreadingHTTPServer((fleet.gateway, 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://{fleet.gateway}:{running.server_port}/greeting"
        running.shutdown()
        thread.join()


def test_reason_names_what_is_missing_and_the_package(tmp_path: Path) -> None:
    reason = unavailable_reason(path=str(tmp_path), effective_uid=0)
    assert reason is not None
    assert "podman, runc, iptables" in reason
    assert "apt-get install iptables openssh-client podman runc util-linux" in reason


def test_reason_asks_an_ordinary_user_for_root() -> None:
    assert "need root" in str(unavailable_reason(effective_uid=1000))


def test_missing_hosts_skip_with_the_reason() -> None:
    with pytest.raises(pytest.skip.Exception, match="no podman"):
        without_hosts("no podman", required=False)


def test_missing_hosts_fail_where_they_are_required() -> None:
    with pytest.raises(pytest.fail.Exception, match="REQUIRE_FLEET=1, but: no podman"):
        without_hosts("no podman", required=True)


@pytest.mark.parametrize("user", ["root", "deploy", "operator", "plain"])
def test_every_user_logs_in_with_the_key(web1: Host, user: str) -> None:
    assert web1.ssh("id -un", user=user, check=True).stdout == f"{user}\n"


def test_host_without_the_key_is_not_entered(web1: Host, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    command = web1.ssh_command()
    command[command.index(str(web1.private_key))] = str(tmp_path / "other")
    refused = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    assert refused.returncode == 255
    assert "Permission denied" in refused.stderr


def test_hosts_have_host_keys_of_their_own(three: list[Host]) -> None:
    keys = [host.host_key for host in three]
    assert len(set(keys)) == len(keys)
    for host in three:
        scanned = subprocess.run(
            ["ssh-keyscan", "-t", "ed25519", host.address], capture_output=True, text=True, check=True
        )
        assert scanned.stdout.strip() == f"{host.address} {host.host_key}"


def test_deploy_becomes_root_without_a_password(web1: Host) -> None:
    assert web1.ssh("sudo -n id -un", user="deploy", check=True).stdout == "root\n"


def test_operator_becomes_root_with_the_password_only(web1: Host) -> None:
    assert web1.ssh("sudo -n id -un", user="operator").returncode == 1
    answered = web1.ssh("sudo -S -p '' id -un", user="operator", stdin=f"{web1.sudo_password}\n")
    assert answered.stdout == "root\n"
    assert web1.ssh("sudo -S -p '' id -un", user="operator", stdin="wrong\n").returncode == 1


def test_plain_never_becomes_root(web1: Host) -> None:
    refused = web1.ssh("sudo -S -p '' id -un", user="plain", stdin=f"{web1.sudo_password}\n")
    assert refused.returncode == 1
    assert refused.stdout == ""


def test_systemd_runs_a_sandboxed_unit(web1: Host) -> None:
    sandbox = "-p ProtectSystem=strict -p PrivateTmp=yes -p DynamicUser=yes"
    assert "uid=" in web1.run(f"systemd-run --quiet --wait --pipe {sandbox} id").stdout


def test_kernel_settings_of_this_machine_are_out_of_reach(web1: Host) -> None:
    refused = web1.run("cat /proc/sys/vm/swappiness > /proc/sys/vm/swappiness", check=False)
    assert "Read-only file system" in refused.stderr


def test_server_on_the_gateway_is_reached_from_hosts(three: list[Host], server: str) -> None:
    for host in three:
        assert host.run(["curl", "--silent", "--fail", server]).stdout == "hello from the gateway"


def test_failing_command_raises_with_what_it_said(web1: Host) -> None:
    with pytest.raises(FleetError, match="no such thing"):
        web1.run("echo no such thing >&2; exit 3")


def test_snapshot_is_equal_when_nothing_changed(web1: Host) -> None:
    before = web1.snapshot(["/"], exclude=LOGIN_TRACES)
    web1.ssh("cat /etc/passwd && sudo ls /root", check=True)
    assert changes(before, web1.snapshot(["/"], exclude=LOGIN_TRACES)) == []
    assert before["/usr/bin/python3"].target == "python3.11"
    assert before["/etc/sudoers.d/deploy"].mode == 0o440


@pytest.mark.parametrize(
    ("command", "field"),
    [
        ("echo new > file", "sha256"),
        ("touch -d '2001-01-01' file", "mtime_ns"),
        ("chmod 0600 file", "mode"),
        ("chown plain file", "uid"),
        ("chgrp users file", "gid"),
        ("cp -p file other && mv other file", "inode"),
        ("ln -sfn elsewhere link", "target"),
        ("rm -r directory && touch -r file directory", "kind"),
        ("mkfifo added", "appeared"),
        ("rm file", "disappeared"),
    ],
)
def test_snapshot_shows_every_kind_of_change(web1: Host, command: str, field: str) -> None:
    web1.run("rm -rf /srv/tree && mkdir -p /srv/tree/directory && cd /srv/tree && echo old > file")
    web1.run("ln -s file /srv/tree/link")
    before = web1.snapshot(["/srv/tree"])
    web1.run(f"cd /srv/tree && {command}")
    assert any(field in line for line in changes(before, web1.snapshot(["/srv/tree"])))


def test_snapshot_says_that_an_asked_path_is_missing(web1: Host) -> None:
    before = web1.snapshot(["/srv/later"])
    assert before["/srv/later"].kind == "missing"
    web1.run("mkdir /srv/later")
    assert any(
        "kind 'missing' -> 'directory'" in line for line in changes(before, web1.snapshot(["/srv/later"]))
    )
    web1.run("rmdir /srv/later")


def test_login_leaves_only_the_known_traces(hosts: HostFactory) -> None:
    (host,) = hosts(1)
    before = host.snapshot(["/"], exclude=LOGIN_TRACES)
    host.ssh("sudo -n true", check=True)
    host.ssh("sudo -S -p '' true", user="operator", stdin=f"{host.sudo_password}\n", check=True)
    assert changes(before, host.snapshot(["/"], exclude=LOGIN_TRACES)) == []


def test_small_file_system_gets_full(hosts: HostFactory) -> None:
    (host,) = hosts(HostSpec(name="small", tmpfs={"/small": "size=8m"}))
    assert host.run("head -c 7M /dev/zero > /small/fits", check=False).returncode == 0
    full = host.run("head -c 9M /dev/zero > /small/file", check=False)
    assert "No space left on device" in full.stderr


def test_host_without_python_can_still_be_looked_at(hosts: HostFactory) -> None:
    (host,) = hosts(HostSpec(name="bare", python=False))
    assert "not found" in host.ssh("python3 --version").stderr
    assert host.snapshot(["/etc/hostname"])["/etc/hostname"].kind == "file"


def test_host_behind_another_is_reached_through_it_only(hosts: HostFactory, server: str) -> None:
    jump, inner, other = hosts(
        HostSpec(name="jump"), HostSpec(name="inner", behind="jump"), HostSpec(name="other")
    )
    assert inner.ssh("hostname", via=jump, check=True).stdout == "inner\n"
    assert "Connection refused" in inner.ssh("true").stderr
    assert inner.ssh("true", via=other).returncode == 255
    assert inner.ssh(f"curl --silent --fail {server}", via=jump).stdout == "hello from the gateway"


def test_barrier_stands_again_after_a_boot(hosts: HostFactory) -> None:
    jump, inner = hosts(HostSpec(name="jump"), HostSpec(name="inner", behind="jump"))
    inner.kill()
    inner.start()
    assert inner.ssh("true", via=jump).returncode == 0
    assert inner.ssh("true").returncode == 255


def test_disconnected_host_does_not_answer_until_reconnected(hosts: HostFactory) -> None:
    (host,) = hosts(1)
    host.disconnect()
    assert "timed out" in host.ssh("true").stderr
    assert host.run("echo still here").stdout == "still here\n"
    host.reconnect()
    assert host.ssh("true").returncode == 0


def test_killed_host_is_gone_and_comes_back_with_its_disk(hosts: HostFactory) -> None:
    (host,) = hosts(1)
    host.run("echo kept > /srv/kept && echo lost > /tmp/lost")
    before = host.snapshot(["/srv"])
    host.kill()
    assert host.ssh("true").returncode == 255
    host.start()
    assert host.ssh("cat /srv/kept", check=True).stdout == "kept\n"
    assert changes(before, host.snapshot(["/srv"])) == []
    assert host.snapshot(["/tmp/lost"])["/tmp/lost"].kind == "missing"


def test_stopped_host_shuts_its_units_down(hosts: HostFactory) -> None:
    (host,) = hosts(1)
    host.run("systemd-run --quiet --property=ExecStop='/bin/touch /srv/stopped' sleep infinity")
    host.stop()
    host.start()
    assert host.snapshot(["/srv/stopped"])["/srv/stopped"].kind == "file"


def test_paused_host_answers_when_it_goes_on(hosts: HostFactory) -> None:
    (host,) = hosts(1)
    host.pause()
    with subprocess.Popen([*host.ssh_command(), "echo awake"], stdout=subprocess.PIPE, text=True) as waiting:
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(0.5)
        host.unpause()
        assert waiting.communicate(timeout=20)[0] == "awake\n"


def test_names_are_unique_in_a_fleet(fleet: Fleet) -> None:
    with pytest.raises(FleetError, match="has a host 'web1' already"):
        fleet.start(HostSpec(name="web1"))


def test_host_of_the_same_name_has_an_address_that_was_never_used(fleet: Fleet, hosts: HostFactory) -> None:
    (first,) = hosts(1)
    fleet.remove("fresh1")
    (second,) = fleet.start(HostSpec(name="fresh1"))
    assert second.address != first.address
    assert second.ssh("true").returncode == 0


def test_fleet_of_a_killed_process_is_removed_by_the_next(fleet: Fleet) -> None:
    program = (
        "import sys\n"
        "from tests.fleet.hosts import Fleet, HostSpec\n"
        "fleet = Fleet.create('doomed')\n"
        "fleet.start(HostSpec(name='orphan'))\n"
        "print(fleet.session, fleet.directory, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as doomed:
        assert doomed.stdout is not None
        session, directory = doomed.stdout.readline().split()
        assert session not in remove_stale()
        os.kill(doomed.pid, signal.SIGKILL)
        doomed.wait()
    assert [host["name"] for host in describe(session)] == ["orphan"]
    assert session in remove_stale()
    assert describe(session) == []
    assert not Path(directory).exists()
    assert fleet.hosts["web1"].ssh("true").returncode == 0


def test_hosts_of_the_command_line_stay_until_down(fleet: Fleet) -> None:
    session = f"{fleet.session}-kept"
    command = [sys.executable, "-m", "tests.fleet.hosts"]
    try:
        up = subprocess.run(
            [*command, "up", "1", "--prefix", session], capture_output=True, text=True, check=True
        )
        assert up.stdout.startswith("host1\tssh -i ")
        assert session not in remove_stale()
        (host,) = describe(session)
        assert (host["name"], host["state"]) == ("host1", "running")
        again = subprocess.run(
            [*command, "up", "1", "--prefix", session], capture_output=True, text=True, check=False
        )
        assert again.returncode == 1
        assert f"down --prefix {session}" in again.stderr
        subprocess.run([*command, "down", "--prefix", session], check=True)
        assert describe(session) == []
    finally:
        remove(session)


def test_removing_a_session_touches_no_container_of_others(fleet: Fleet) -> None:
    remove(f"{fleet.session}-another")
    fleet.settle()
    assert [host["state"] for host in describe(fleet.session)] == ["running"] * len(fleet.hosts)
