"""ansible-runner: one playbook run from a private directory that is gone afterwards.

Follows what is known of ansible-runner 2.4: settings and extra-vars are files of ours (0600 in a 0700
directory), the process environment is scrubbed because the runner writes it to disk, events are only
enqueued, a cancel callback is always passed, and a run without `playbook_on_stats` is not a finished one.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from orchestrator.core.model import Host, Reference
from orchestrator.core.outcome import HostReport
from orchestrator.core.ssh import render_known_hosts, render_ssh_config
from orchestrator.core.unsafe_yaml import render_unsafe_yaml
from orchestrator.edges.ansible_content import ansible_content
from orchestrator.edges.credentials import SecretSource
from orchestrator.edges.secrets_server import SecretsServer
from orchestrator.errors import AnsibleError

SOCKET_VARIABLE = "ORCHESTRATOR_SECRETS_SOCKET"
KEPT_VARIABLES = (
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "TZ",
    "SSH_AUTH_SOCK",
    "XDG_STATE_HOME",
    "TMPDIR",
)
PHASES = {
    "Observe |": "observe",
    "Probe |": "probe",
    "Stage |": "stage",
    "Activate | Switch": "activate",
    "Activate | Confirm": "settle",
}
_STATUS: Mapping[str, Literal["started", "ok", "failed", "unreachable"]] = {
    "runner_on_start": "started",
    "runner_on_ok": "ok",
    "runner_on_failed": "failed",
    "runner_on_unreachable": "unreachable",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybookRun:
    """How a playbook run ended.

    Attributes:
        finished: ansible wrote its closing statistics.
        cancelled: a signal ended it.
        reports: one for each task of ours on each host, in the order in which they came.
        output: what ansible printed.
    """

    finished: bool
    cancelled: bool
    reports: tuple[HostReport, ...]
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A private directory for all playbook runs of one command; ssh connections are shared by them."""

    path: Path
    hosts: tuple[Host, ...]
    secrets: SecretSource
    known_hosts: str = ""

    @classmethod
    @contextlib.contextmanager
    def open(
        cls, hosts: tuple[Host, ...], secrets: SecretSource, known_hosts: str = ""
    ) -> Iterator[Workspace]:
        """The directory exists while the context is open, its ssh connections too."""
        path = Path(tempfile.mkdtemp(prefix="orch-"))
        try:
            for name in ("env", "inventory", "cp"):
                (path / name).mkdir(mode=0o700)
            write_private(path / "known_hosts", render_known_hosts(hosts))
            write_private(
                path / "ssh_config",
                render_ssh_config(hosts, directory=str(path), known_hosts=known_hosts),
            )
            with _keys_in_agent(hosts, secrets):
                yield cls(path=path, hosts=hosts, secrets=secrets, known_hosts=known_hosts)
        finally:
            _close_connections(path / "cp")
            shutil.rmtree(path, ignore_errors=True)

    def run(
        self,
        playbook: str,
        inventory: Mapping[str, Any],
        extra_vars: Mapping[str, Any],
        *,
        references: frozenset[Reference] = frozenset(),
        check: bool = False,
        diff: bool = False,
        forks: int = 10,
        on_report: Callable[[HostReport], None] = lambda report: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> PlaybookRun:
        """Runs one of our playbooks and returns what each host answered.

        Raises:
            AnsibleError: ansible-runner could not be started.
        """
        content = ansible_content()
        for name in ("env", "inventory", "artifacts"):
            shutil.rmtree(self.path / name, ignore_errors=True)
            (self.path / name).mkdir(mode=0o700)
        write_private(self.path / "inventory" / "hosts.yml", render_unsafe_yaml(inventory))
        write_private(self.path / "env" / "extravars", render_unsafe_yaml(dict(extra_vars)))
        flags = " ".join(flag for flag, wanted in (("--check", check), ("--diff", diff)) if wanted)
        write_private(self.path / "env" / "cmdline", f"--forks {forks} {flags}\n")
        write_private(self.path / "ansible.cfg", "[defaults]\n")
        write_private(self.path / "env" / "settings", "pexpect_timeout: 0.2\npexpect_use_poll: true\n")
        socket = self.path / "secrets"
        with SecretsServer(socket, self.secrets, references):
            environment = ansible_environment(self.path, content)
            environment[SOCKET_VARIABLE] = str(socket)
            return self._run(content / "playbooks" / f"{playbook}.yml", environment, on_report, cancelled)

    def _run(
        self,
        playbook: Path,
        environment: Mapping[str, str],
        on_report: Callable[[HostReport], None],
        cancelled: Callable[[], bool],
    ) -> PlaybookRun:
        import ansible_runner

        events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        done: dict[str, Any] = {}

        def enqueue(event: dict[str, Any]) -> bool:
            events.put(event)
            return False

        def work() -> None:
            try:
                done["runner"] = ansible_runner.run(
                    private_data_dir=str(self.path),
                    playbook=str(playbook),
                    quiet=True,
                    event_handler=enqueue,
                    cancel_callback=cancelled,
                )
            except BaseException as error:
                done["error"] = error
            finally:
                events.put(None)

        reports: list[HostReport] = []
        finished, output = False, []
        with scrubbed_environment(environment):
            thread = threading.Thread(target=work, name="ansible-runner", daemon=True)
            thread.start()
            while (event := events.get()) is not None:
                finished = finished or event.get("event") == "playbook_on_stats"
                if event.get("stdout"):
                    output.append(event["stdout"])
                report = read_event(event)
                if report is not None:
                    reports.append(report)
                    on_report(report)
            thread.join()
        if "error" in done:
            raise AnsibleError(
                f"ansible-runner failed: {done['error']}", resolution="see `orchestrator doctor`"
            ) from done["error"]
        status = done["runner"].status
        if not finished and not reports and status != "canceled":
            raise AnsibleError(
                "ansible-playbook ended before it did anything",
                details=tuple("\n".join(output).splitlines()[-15:]),
                resolution="the lines above are ansible's own; `orchestrator doctor` checks this machine",
            )
        return PlaybookRun(
            finished=finished,
            cancelled=status == "canceled",
            reports=tuple(reports),
            output="\n".join(output),
        )


def read_event(event: Mapping[str, Any]) -> HostReport | None:
    """The report that an event of ansible-runner is, or None for the others."""
    status, data = _STATUS.get(str(event.get("event"))), event.get("event_data") or {}
    task = str(data.get("task", ""))
    phase = next((phase for start, phase in PHASES.items() if task.startswith(start)), None)
    if status is None or phase is None:
        return None
    result = data.get("res")
    return HostReport(
        host=str(data.get("host", "")),
        phase=phase,
        status=status,
        result=result if isinstance(result, dict) else {},
    )


def ansible_environment(directory: Path, content: Path) -> dict[str, str]:
    """The whole environment of the ansible process; nothing else of ours reaches it."""
    ssh = f"-F {directory}/ssh_config -C -o ControlMaster=auto -o ControlPersist=30s"
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return {
        **kept,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "LANG": kept.get("LANG", "C.UTF-8"),
        "ANSIBLE_CONFIG": str(directory / "ansible.cfg"),
        "ANSIBLE_HOME": str(directory / "ansible"),
        "ANSIBLE_ROLES_PATH": str(content / "roles"),
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_SSH_ARGS": ssh,
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(directory / "cp"),
        "ANSIBLE_SSH_RETRIES": "1",
        "ANSIBLE_TIMEOUT": "15",
        "ANSIBLE_GATHERING": "explicit",
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_DEPRECATION_WARNINGS": "False",
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "False",
        "ANSIBLE_INVENTORY_ENABLED": "yaml",
        "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "False",
        "ANSIBLE_REMOTE_TEMP": "~/.ansible/tmp",
    }


@contextlib.contextmanager
def scrubbed_environment(environment: Mapping[str, str]) -> Iterator[None]:
    """`os.environ` is exactly that while the context is open; ansible-runner copies it to its process."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def write_private(path: Path, content: str) -> None:
    """A file that only we can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)


def _close_connections(directory: Path) -> None:
    leaving = [
        subprocess.Popen(
            ["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "leaving"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for socket in (directory.iterdir() if directory.is_dir() else ())
    ]
    for process in leaving:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=2)


@contextlib.contextmanager
def _keys_in_agent(hosts: tuple[Host, ...], secrets: SecretSource) -> Iterator[None]:
    """Keys that lie in environment variables are in an agent of our own; they never touch a disk."""
    keys = {
        host.private_key
        for host in hosts
        if isinstance(host.private_key, Reference) and host.private_key.source == "env"
    }
    if not keys:
        yield
        return
    agent = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    found = dict(part.split(";")[0].split("=", 1) for part in agent.splitlines() if "=" in part)
    before = {name: os.environ.get(name) for name in found}
    os.environ.update(found)
    try:
        for key in sorted(keys, key=str):
            text = secrets.value(key).rstrip("\n") + "\n"
            added = subprocess.run(
                ["ssh-add", "-q", "-"], input=text, text=True, capture_output=True, check=False
            )
            if added.returncode != 0:
                raise AnsibleError(
                    f"the private key in {key} cannot be used",
                    resolution="it has to be an OpenSSH private key without a passphrase",
                )
        yield
    finally:
        with contextlib.suppress(ProcessLookupError, KeyError, ValueError):
            os.kill(int(found["SSH_AGENT_PID"]), 15)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
