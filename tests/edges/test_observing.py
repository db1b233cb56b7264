"""Hosts are asked what they have without ansible where ssh alone gets there; the ssh of these tests runs it here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.edges.observing import observe_hosts
from orchestrator.errors import HealthcheckError, UnreachableError
from tests.edges.rollouts import Ground, results

# The last word is the command; a host that is down is one that the directory has a file for.
SSH = """\
#!/bin/sh
[ "$1" = -Q ] && exit 0
for last; do :; done
case " $* " in
*" Port=2201 "*) host=h1 ;;
*) host=h2 ;;
esac
[ -e {directory}/$host.down ] && {{ echo "connect to host $host: no route" >&2; exit 255; }}
echo $host >> {directory}/connections
exec sh -c "$last"
"""
# Ansible notes that it was started, and never gets ready.
WITHOUT_ANSIBLE = """
import sys
from pathlib import Path
from orchestrator.edges import ansible_process
ansible_process.LAUNCHER = Path(sys.argv.pop(1))
from orchestrator.cli.main import main
main()
"""


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    (tmp_path / "bin").mkdir()
    ssh = tmp_path / "bin" / "ssh"
    ssh.write_text(SSH.format(directory=tmp_path))
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    made = Ground(tmp_path, 2)
    for name, host in made.environment["hosts"].items():
        host.update(connection="ssh", address="127.0.0.1", port=2200 + int(name[1]))
    made.release("1")
    yield made
    made.close()


def connections(ground: Ground) -> list[str]:
    """The hosts that were connected to, in order of names; forgotten then."""
    path = ground.top / "connections"
    found = sorted(path.read_text().split()) if path.exists() else []
    path.unlink(missing_ok=True)
    return found


def forbid_ansible(ground: Ground) -> Path:
    """Ansible cannot work any more; what is returned exists once it was started."""
    launcher, started = ground.top / "launcher.py", ground.top / "started"
    launcher.write_text(f"import time\nopen({str(started)!r}, 'w')\ntime.sleep(600)\n")
    ground.program = ("-c", WITHOUT_ANSIBLE, str(launcher))
    return started


def test_each_host_is_connected_to_once_in_a_deployment(ground: Ground) -> None:
    """The channel that has observed is the one over which the action works."""
    assert set(results(ground.deploy()).values()) == {"deployed"}
    assert connections(ground) == ["h1", "h2"]
    assert set(ground.live().values()) == {"1"}


def test_failed_deployment_has_the_whole_account_of_ansible(ground: Ground) -> None:
    """One that went well says itself that it is over."""
    log = ground.top / "log"
    ground.sick = {("h2", "1")}
    document = ground.deploy("--log", str(log), expect=HealthcheckError.exit_code)
    assert results(document)["h2"] == "removed"
    assert "PLAY RECAP" in log.read_text()


def test_deployment_with_nothing_to_do_needs_no_ansible(ground: Ground) -> None:
    ground.deploy()
    connections(ground)
    forbid_ansible(ground)
    document = ground.deploy()
    assert (document["verdict"], set(results(document).values())) == ("success", {"unchanged"})
    assert connections(ground) == ["h1", "h2"]


def test_deployment_that_converged_starts_none_until_a_branch_moves(ground: Ground) -> None:
    for _ in range(2):
        ground.deploy()
    started = forbid_ansible(ground)
    ground.deploy()
    assert not started.exists()
    ground.program = ("-m", "orchestrator")
    ground.release("2")
    assert set(results(ground.deploy()).values()) == {"deployed"}


def test_ansible_that_nobody_expected_to_need_starts_when_it_is_needed(ground: Ground) -> None:
    ground.deploy()
    connections(ground)
    shutil.rmtree(ground.top / "srv" / "h1" / "site")
    assert results(ground.deploy()) == {"h1": "deployed", "h2": "unchanged"}
    assert connections(ground) == ["h1", "h2"]
    assert set(ground.live().values()) == {"1"}


def test_commands_that_only_look_start_no_ansible(ground: Ground) -> None:
    started = forbid_ansible(ground)
    assert "2 to change on 2 hosts" in ground.run("plan")
    assert "in sync" not in ground.run("status", "dev")
    assert not started.exists()


def test_host_that_ssh_does_not_reach_is_left_to_ansible(ground: Ground) -> None:
    (ground.top / "h2.down").touch()
    text = ground.run("status", "dev")
    assert "connect to host h2: no route" in text
    assert connections(ground) == ["h1"]
    document = ground.deploy(expect=UnreachableError.exit_code)
    assert results(document) == {"h1": "not started", "h2": "left out"}
    assert ground.live() == {"h1": "", "h2": ""}


def test_every_file_is_read_by_the_playbook(ground: Ground) -> None:
    """That takes its time, in which channels would get old."""
    ground.deploy()
    (ground.top / "srv" / "h1" / "site" / "current" / "site.txt").write_text("tampered")
    assert "drift" in ground.run("status", "dev", "--verify")


def test_command_that_is_cancelled_while_hosts_answer_starts_no_ansible() -> None:
    class Silent:
        hosts, closed = frozenset({"a"}), False

        def ask(self, host: str, request: bytes, accept: object) -> Future[str | None]:
            return Future()

        def close(self) -> None:
            self.closed = True

    channels = Silent()
    workspace: Any = SimpleNamespace(connect=lambda names, forks: channels)  # and nothing that would start it
    inventory: dict[str, Any] = {"all": {"hosts": {"a": {}}}}
    run = observe_hosts(workspace, inventory, {}, b"{}\n", cancelled=lambda: True)
    assert (run.finished, run.cancelled, channels.closed) == (False, True, True)
