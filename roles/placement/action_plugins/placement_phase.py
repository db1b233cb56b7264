"""Does one phase's work for all placements of a host in one round trip.

The plugin checks its arguments on the controller, then pipes the host program and one request to the host's
`python3` (pipelining; works with become). No module is copied, no fact is gathered. Secrets are neither
variables nor arguments: the request holds their values, and travels on the program's standard input only.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shlex
import socket
import sys
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.text.converters import to_text
from ansible.plugins.action import ActionBase

PROGRAM = Path(__file__).resolve().parent.parent / "files" / "host_program"
SOCKET_VARIABLE = "ORCHESTRATOR_SECRETS_SOCKET"
MARK = "ORCHESTRATOR-ANSWER "
BOOTSTRAP = """\
import sys,json,importlib.util as u
i=sys.stdin.buffer
s=json.loads(i.readline())
class F:
 def find_spec(self,n,p=None,t=None):
  if n in s:return u.spec_from_loader(n,self,is_package=n=="host_program")
 def create_module(self,m):return None
 def exec_module(self,m):exec(compile(s[m.__name__],m.__name__,"exec"),m.__dict__)
sys.meta_path.insert(0,F())
from host_program.main import run
run(json.loads(i.readline()))
"""
ON_THE_CONTROLLER = ("verdict",)
TOLERANT = ("activate",)


class ActionModule(ActionBase):  # type: ignore[misc]
    """See the role's README for the arguments."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The task's result: `placements`, and what the phase adds (`observed`, `probe`, `verdict`)."""
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _, arguments = self.validate_argument_spec(
            argument_spec={
                "phase": {
                    "type": "str",
                    "required": True,
                    "choices": [
                        "observe",
                        "probe",
                        "stage",
                        "activate",
                        "verdict",
                        "settle",
                        "rollback",
                        "absent",
                        "fetch",
                        "check",
                    ],
                },
                "placements": {"type": "list", "elements": "dict", "default": []},
                "identity": {"type": "str", "default": "plain-playbook"},
                "run": {"type": "dict", "default": {}},
                "verify": {"type": "bool", "default": False},
                "group": {"type": "int", "default": 0},
                "policy": {"type": "dict", "default": {}},
                "verdict": {"type": "dict", "default": {}},
                "activated": {"type": "dict", "default": {}},
                "become_password": {"type": "dict", "default": {}},
            }
        )
        phase = arguments["phase"]
        placements = [normalise(placement, phase) for placement in arguments["placements"]]
        if phase == "verdict":
            result["verdict"] = self._judge(arguments, task_vars)
            return result
        if phase == "settle":
            result.update(self._settle(placements, arguments, task_vars))
            return result
        if phase in ("stage", "activate"):
            placements = [one for one in placements if phase == "stage" or one["group"] == arguments["group"]]
        if not placements and phase not in ("observe", "probe"):
            result.update(changed=False, placements=[])
            return result
        if phase == "check" and placements[0]["healthcheck"]["origin"] == "controller":
            program = load_program()
            request = {"phase": phase, "placements": placements}
            result.update(finish(phase, program.main.answer(request)))
            return result
        result.update(self._work(phase, placements, arguments))
        return result

    def _work(
        self, phase: str, placements: list[dict[str, Any]], arguments: dict[str, Any]
    ) -> dict[str, Any]:
        """One phase on the host, with an upload in between where the artifact comes from the controller."""
        refusals = [self._prepare_delivery(placement, phase) for placement in placements]
        refused = [refusal for refusal in refusals if refusal is not None]
        if refused:
            return finish(phase, {"placements": refused})
        answer = self._ask_host(phase, placements, arguments)
        waiting = [
            placement
            for placement, done in zip(placements, answer["placements"], strict=False)
            if done.get("upload")
        ]
        if waiting:
            temporary = self._make_tmp_path()
            try:
                for number, placement in enumerate(waiting):
                    target = self._connection._shell.join_path(temporary, f"artifact-{number}")
                    self._transfer_file(placement["artifact"]["location"], target)
                    self._fixup_perms2((temporary, target), execute=False)
                    placement["artifact"].update(local=True, location=target)
                answer = self._ask_host(phase, placements, arguments)
            finally:
                self._remove_tmp_path(temporary)
        if phase == "activate":
            for placement, done in zip(placements, answer["placements"], strict=False):
                done["healthcheck"] = placement["healthcheck"]
        return finish(phase, answer)

    def _prepare_delivery(self, placement: dict[str, Any], phase: str) -> dict[str, Any] | None:
        """How the host gets the artifact; in check mode the controller looks into its own, and may refuse it."""
        artifact = placement.get("artifact")
        if phase not in ("stage", "fetch") or not artifact or artifact["delivery"] != "controller":
            return None
        if self._connection.transport == "local":
            artifact["local"] = True
        elif self._task.check_mode and phase == "stage":
            program = load_program()
            try:
                artifact["looked_into"] = program.staging.look_into({**artifact, "local": True}, {})
            except program.problems.Problem as error:
                problem = error.as_json()
            except OSError as error:
                problem = program.problems.from_os_error(error).as_json()
            else:
                return None
            named = {key: placement[key] for key in ("application", "deployment_path")}
            return {**named, "changed": False, "message": problem["message"], "problem": problem}
        return None

    def _ask_host(
        self, phase: str, placements: list[dict[str, Any]], arguments: dict[str, Any]
    ) -> dict[str, Any]:
        secrets = {reference: fetch_secret(reference) for reference in sorted(references(placements, phase))}
        password = reference_of(arguments["become_password"])
        if password and self._connection.become is not None:
            self._connection.become.set_option("become_pass", fetch_secret(password))
        request = {
            "phase": phase,
            "check": bool(self._task.check_mode),
            "identity": arguments["identity"],
            "run": {**default_run(), **arguments["run"]},
            "verify": arguments["verify"],
            "placements": placements,
            "secrets": secrets,
        }
        python = self._task_python()
        command = f"{python} -I -S -X utf8 -c {shlex.quote(BOOTSTRAP)}"
        data = f"{json.dumps(program_sources())}\n{json.dumps(request)}\n".encode()
        done = self._low_level_execute_command(command, in_data=data, sudoable=True)
        return read_answer(done, python, tuple(secrets.values()))

    def _task_python(self) -> str:
        configured = self._templar.available_variables.get("ansible_python_interpreter", "python3")
        return shlex.quote(str(configured)) if configured not in ("auto", "auto_silent") else "python3"

    def _judge(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        policy = {"max_failures": 0, "rollback": "batch", "failed_hosts": [], "last": True}
        policy.update(arguments["policy"])
        hosts = {
            name: self._activated_on(task_vars["hostvars"][name])
            for name in task_vars.get("ansible_play_batch", [])
        }
        verdict: dict[str, Any] = load_program().verdict.judge(hosts, policy, bool(self._task.check_mode))
        return verdict

    def _activated_on(self, variables: dict[str, Any]) -> list[dict[str, Any]] | None:
        said = variables.get("__release_activated") or {}
        return (
            None
            if said.get("unreachable") or ("problem" in said and not said["placements"])
            else said["placements"]
        )

    def _settle(
        self, placements: list[dict[str, Any]], arguments: dict[str, Any], task_vars: dict[str, Any]
    ) -> dict[str, Any]:
        """Confirms, switches back, and lets the host fail when its own placement did."""
        verdict, name = arguments["verdict"], task_vars["inventory_hostname"]
        tasks = {(one["application"], one["deployment_path"]): one for one in verdict["hosts"].get(name, [])}
        done: list[dict[str, Any]] = []
        for do in ("confirm", "rollback"):
            chosen = []
            for placement in reversed(placements):
                task = tasks.get((placement["application"], placement["deployment_path"]))
                if task and task["do"] == do:
                    chosen.append({**placement, "healthy": task["healthy"], "message": task["message"]})
                elif do == "rollback" and (
                    (name in verdict["vanished"] and placement["group"] == arguments["group"])
                    or (verdict["roll_back_earlier"] and placement["group"] < arguments["group"])
                ):
                    chosen.append(placement)
            if chosen:
                done.extend(self._ask_host(do, chosen, arguments)["placements"])
        failed = name in verdict["failed"]
        activated = arguments["activated"].get("placements", [])
        said = [one["message"] for one in [*activated, *done] if one.get("problem")]
        message = "; ".join(dict.fromkeys(said)) or ("the release did not get healthy" if failed else "")
        settled = {"placements": done, "changed": any(one["changed"] for one in done), "failed": failed}
        return {**settled, "msg": message} if message else settled


def normalise(placement: dict[str, Any], phase: str) -> dict[str, Any]:
    """The placement with every default filled in: the form that the host program reads."""
    one = json.loads(json.dumps(placement))
    one.setdefault("group", 0)
    one.setdefault("action", "")
    one.setdefault("keep_releases", 5)
    one["healthcheck"] = normalise_health(one.get("healthcheck"))
    artifact = one.get("artifact")
    if artifact:
        location = artifact["location"]
        artifact.setdefault("delivery", "host" if "://" in location else "controller")
        artifact.setdefault("size_bytes", None)
        artifact.setdefault("strip_components", 0)
        artifact.setdefault("packing", packing_of(location))
        artifact.setdefault("filename", os.path.basename(location))
        artifact["sha256"] = str(artifact["sha256"]).lower()
        artifact["credentials"] = {
            name: {"secret": reference_of(value)} if isinstance(value, dict) else value
            for name, value in (artifact.get("credentials") or {}).items()
            if value
        }
    if phase in ("stage", "activate", "settle", "rollback") and artifact:
        content = digest([artifact[key] for key in ("sha256", "packing", "strip_components", "filename")])
        if not one.get("release"):
            one["release"] = f"{one['version']}-{content[:12]}"
        if not one.get("configuration_digest"):
            one["configuration_digest"] = digest([one["healthcheck"], one["keep_releases"]])
    return dict(one)


def normalise_health(check: dict[str, Any] | None) -> dict[str, Any] | None:
    """A health check with its defaults; None stays None."""
    if not check:
        return None
    defaults = {
        "origin": "host",
        "retries": 10,
        "interval_seconds": 2,
        "timeout_seconds": 5,
        "deadline_seconds": 60,
        "status": [],
        "body": "",
    }
    return {**defaults, **{key: value for key, value in check.items() if value is not None}}


def packing_of(location: str) -> str:
    """How a file of that name is installed: unpacked as `zip` or `tar`, or as a `file`."""
    name = location.lower()
    if name.endswith(".zip"):
        return "zip"
    tars = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tar.zst")
    return "tar" if name.endswith(tars) else "file"


def digest(value: Any) -> str:
    """SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def reference_of(value: dict[str, Any] | None) -> str:
    """`env:NAME` or `file:PATH` for a reference; empty for none."""
    return next((f"{source}:{name}" for source, name in (value or {}).items() if name), "")


def references(placements: list[dict[str, Any]], phase: str) -> set[str]:
    """Every secret that the phase needs on the host."""
    if phase not in ("stage", "fetch"):
        return set()
    return {
        value["secret"]
        for placement in placements
        for value in placement["artifact"]["credentials"].values()
        if isinstance(value, dict)
    }


def fetch_secret(reference: str) -> str:
    """The value behind a reference: asked of the orchestrator where it runs us, else read here."""
    path = os.environ.get(SOCKET_VARIABLE)
    source, _, name = reference.partition(":")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(path)
            connection.sendall(json.dumps({"reference": reference}).encode() + b"\n")
            with connection.makefile("rb") as answer:
                said = json.loads(answer.readline() or b"{}")
        if "value" not in said:
            raise AnsibleActionFail(f"the secret {reference} is not part of this deployment")
        return str(said["value"])
    try:
        value = os.environ[name] if source == "env" else Path(name).read_text(encoding="utf-8").rstrip("\n")
    except (KeyError, OSError, UnicodeDecodeError) as error:
        raise AnsibleActionFail(
            f"the secret {reference} cannot be read ({type(error).__name__}); set it before running the playbook"
        ) from None
    return value


def default_run() -> dict[str, str]:
    """What a plain playbook's receipts say about the run: one identity for all tasks of one process."""
    parent = os.getppid()
    try:
        started = Path(f"/proc/{parent}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[19]
    except OSError:
        started = ""
    actor = os.environ.get("USER", "")
    return {"id": f"playbook-{parent}-{started}", "time": "", "commit": "", "plan_id": "", "actor": actor}


def program_sources() -> dict[str, str]:
    """The host program's modules by name."""
    return {
        "host_program" if path.stem == "__init__" else f"host_program.{path.stem}": path.read_text("utf-8")
        for path in sorted(PROGRAM.glob("*.py"))
        if path.stem not in ON_THE_CONTROLLER
    }


def load_program() -> Any:
    """The host program as a package on the controller, for what is asked from here."""
    if "host_program" not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            "host_program", PROGRAM / "__init__.py", submodule_search_locations=[str(PROGRAM)]
        )
        assert spec is not None
        assert spec.loader is not None
        package = importlib.util.module_from_spec(spec)
        sys.modules["host_program"] = package
        spec.loader.exec_module(package)
    for name in ("main", "problems", "staging", "verdict"):
        importlib.import_module(f"host_program.{name}")
    return sys.modules["host_program"]


def read_answer(done: dict[str, Any], python: str, secrets: tuple[str, ...]) -> dict[str, Any]:
    """The host program's answer, or the problem that its silence means."""
    for line in done["stdout_lines"]:
        if line.startswith(MARK):
            answer: dict[str, Any] = json.loads(line[len(MARK) :])
            return answer
    said = to_text(done.get("stderr", "") + " " + done.get("stdout", "")).strip()
    for secret in secrets:
        said = said.replace(secret, "***") if secret else said
    tail = " ".join(said.splitlines()[-3:])[-400:]
    if done["rc"] == 127 or "not found" in tail or "No such file" in tail:
        return silent(
            "python", f"there is no {python} on this host", "install Python 3.9 or later, or set `python`"
        )
    if "password" in tail.lower() or "sudo" in tail.lower():
        return silent("permission", f"sudo refuses: {tail}", "check become, become_user and become_password")
    return silent("host", f"the host program ended with {done['rc']} and no answer: {tail}", "")


def silent(kind: str, message: str, resolution: str) -> dict[str, Any]:
    """An answer for a host that gave none."""
    problem = {"kind": kind, "message": message, "resolution": resolution}
    return {"placements": [], "problem": problem}


def finish(phase: str, answer: dict[str, Any]) -> dict[str, Any]:
    """The answer as a task result; activation never fails by itself, the verdict decides about it."""
    problems = [one["problem"] for one in answer["placements"] if one.get("problem")]
    if answer.get("problem"):
        problems.insert(0, answer["problem"])
    result = {**answer, "changed": any(one["changed"] for one in answer["placements"])}
    if problems:
        result["problem"] = problems[0]
        said = dict.fromkeys(
            f"{one['message']} ({one['resolution']})" if one["resolution"] else one["message"]
            for one in problems
        )
        result["msg"] = "; ".join(said)
        result["failed"] = phase not in TOLERANT
    return result
