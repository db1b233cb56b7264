"""The process of ansible-runner: its environment, its events, and what of them is a report.

Follows what is known of ansible-runner 2.4: its copy of our environment is replaced because it writes that to disk,
events are only enqueued, and a cancel callback is always passed.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from orchestrator.core.host_report import HostReport
from orchestrator.errors import AnsibleError

KEPT_VARIABLES = (
    "HOME",
    "USER",
    "LOGNAME",
    "TZ",
    "SSH_AUTH_SOCK",
    "XDG_STATE_HOME",
    "XDG_CACHE_HOME",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "ORCHESTRATOR_STATE_DIRECTORY",
)
RUNNER_VARIABLES = (
    "ANSIBLE_STDOUT_CALLBACK",
    "ANSIBLE_CALLBACK_PLUGINS",
    "AWX_ISOLATED_DATA_DIR",
    "RUNNER_OMIT_EVENTS",
    "RUNNER_ONLY_FAILED_EVENTS",
)
PHASES = {
    "Observe |": "observe",
    "Probe |": "probe",
    "Stage |": "stage",
    "Once | Run": "once",
    "Activate | Switch": "activate",
    "Smoke | Run": "smoke",
    "Activate | Confirm": "settle",
    "Rollback |": "undo",
    "Absent |": "prune",
    "Drain |": "drain",
    "Undrain |": "undrain",
    "Own | Note": "own",
}
LAUNCHER = Path(__file__).with_name("ansible_launcher.py")
STATISTICS = "playbook_on_stats"
REPORT = "orchestrator_report"
CLOSING_SECONDS = 10
AWAKE_SECONDS = 0.5
_STATUS: Mapping[str, Literal["started", "ok", "failed", "unreachable"]] = {
    "runner_on_start": "started",
    "runner_on_ok": "ok",
    "runner_on_failed": "failed",
    "runner_on_unreachable": "unreachable",
}


class EventStream:
    """ansible-runner in a thread of its own.

    Attributes:
        cancelled: asked while it runs; then it is ended.
    """

    def __init__(self, directory: Path, playbook: Path, environment: Mapping[str, str]) -> None:
        self._directory, self._playbook, self._environment = directory, playbook, environment
        self.cancelled: Callable[[], bool] = lambda: False
        self._events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="ansible-runner", daemon=True)
        self._complete = self._abandoned = self._over = False
        self._lock = threading.Lock()
        self.status = ""

    def report(self, said: Mapping[str, Any]) -> bool:
        """What a host said becomes an event; false when the run has ended, and nobody would hear of it."""
        result = said.get("result")
        report = HostReport(
            host=str(said["host"]),
            phase=str(said["phase"]),
            status=said["status"],
            result=result if isinstance(result, dict) else {},
        )
        with self._lock:
            if not self._over:
                self._events.put({"event": REPORT, "report": report, "stdout": _line_of(report)})
            return not self._over

    def finish(self) -> None:
        """All has been done that there was to do: the process has only to end, and only `close` waits for that."""
        with self._lock:
            if not self._over:
                self._events.put({"event": STATISTICS})

    def start(self) -> None:
        """The process begins; its events are kept until somebody iterates."""
        # Here, and not while this thread imports something else: the process would begin much later.
        with contextlib.suppress(ImportError):  # the thread meets it again, and says so
            importlib.import_module("ansible_runner.interface")
        self._thread.start()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Events up to `finish` or the closing statistics; the process may still be ending then, see `close`."""
        while (event := self._next()) is not None:
            yield event
            if event.get("event") == STATISTICS:
                self._complete = True
                return
        if self._error is not None:
            raise AnsibleError(
                f"ansible-runner failed: {self._error}", resolution="see `orchestrator doctor`"
            ) from self._error

    def _next(self) -> dict[str, Any] | None:
        """The next event; None at the end.

        Never waited for at one stretch: a signal may interrupt another thread than this one, which would not obey it
        before something else wakes it.
        """
        while True:
            with contextlib.suppress(queue.Empty):
                return self._events.get(timeout=AWAKE_SECONDS)

    def abandon(self) -> None:
        """The process is to end, unless it has ended by itself."""
        self._abandoned = not self._complete

    def close(self) -> None:
        """The process has ended: by itself after its statistics, else because it is cancelled now."""
        self.abandon()
        if self._thread.is_alive():
            self._thread.join(CLOSING_SECONDS)

    def _work(self) -> None:
        try:
            from ansible_runner.interface import init_runner

            runner = init_runner(
                private_data_dir=str(self._directory),
                playbook=str(self._playbook),
                fact_cache_type="memory",
                quiet=True,
                event_handler=self._enqueue,
                cancel_callback=lambda: self._abandoned or self.cancelled(),
            )
            # It has copied our whole environment, which it would also write to disk.
            own = {name: runner.config.env[name] for name in RUNNER_VARIABLES if name in runner.config.env}
            own["ANSIBLE_CALLBACK_PLUGINS"] = own["ANSIBLE_CALLBACK_PLUGINS"].rpartition(os.pathsep)[2]
            runner.config.env = {**self._environment, **own}
            runner.config.command[:1] = [sys.executable, "-P", str(LAUNCHER)]
            runner.run()
            self.status = runner.status
        except BaseException as error:
            self._error = error
        finally:
            with self._lock:
                self._over = True
                self._events.put(None)

    def _enqueue(self, event: dict[str, Any]) -> bool:
        self._events.put(event)
        return False


def read_event(event: Mapping[str, Any]) -> HostReport | None:
    """The report that an event is, or None for the others."""
    if event.get("event") == REPORT:
        report: HostReport = event["report"]
        return report
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


def _line_of(report: HostReport) -> str:
    """The report as ansible's own output has it."""
    words = {"ok": "ok: [{}]", "failed": "fatal: [{}]: FAILED!", "unreachable": "fatal: [{}]: UNREACHABLE!"}
    if report.status not in words:
        return ""
    placements = report.result.get("placements") or ()
    said = report.result.get("msg") or "; ".join(str(one.get("message", "")) for one in placements)
    return f"{words[report.status].format(report.host)} => {report.phase}: {' '.join(str(said).split())}"


def ansible_environment(directory: Path, content: Path) -> dict[str, str]:
    """The whole environment of the ansible process; nothing else of ours reaches it."""
    ssh = f"-F {directory}/ssh_config -C -o ControlMaster=auto -o ControlPersist=30s"
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return {
        **kept,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_CONFIG": str(directory / "ansible.cfg"),
        "ANSIBLE_HOME": str(directory / "ansible"),
        "ANSIBLE_ROLES_PATH": f"{content / 'roles'}:{directory / 'roles'}",  # ours first: no other takes their place
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
        "ANSIBLE_INVENTORY_ENABLED": "orchestrator",
        "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "False",
        "ANSIBLE_REMOTE_TEMP": "~/.ansible/tmp",
    }
