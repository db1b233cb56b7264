"""Does one phase's work for all placements of a host in one round trip.

The plugin checks its arguments on the controller, then pipes the host program and one request to the host's
`python3` (pipelining; works with become). No module is copied, no fact is gathered. Secrets are neither
variables nor arguments: the request holds their values, and travels on the program's standard input only.
"""

from __future__ import annotations

import importlib.util
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

PROGRAMS = Path(__file__).resolve().parent.parent / "files"


def _load(package: str, *modules: str) -> Any:
    """A package of the role's `files/`, and those of its modules."""
    if package not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            package,
            PROGRAMS / package / "__init__.py",
            submodule_search_locations=[str(PROGRAMS / package)],
        )
        assert spec is not None
        assert spec.loader is not None
        sys.modules[package] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[package])
    for name in modules:
        importlib.import_module(f"{package}.{name}")
    return sys.modules[package]


_load("host_program", "health")
_controller = _load(
    "controller_program",
    *("answers", "draining", "junit", "once", "orchestrator", "own", "phases", "placements", "program"),
    *("releases", "said", "services", "smoke", "verdict"),
)
answers, orchestrator, placements_ = _controller.answers, _controller.orchestrator, _controller.placements
junit, once, program, smoke = _controller.junit, _controller.once, _controller.program, _controller.smoke
activated_in, smoked_on = _controller.said.activated_in, _controller.said.smoked_on


class ActionModule(ActionBase):  # type: ignore[misc]
    """See the role's README for the arguments."""

    _supports_check_mode = True
    _supports_async = False
    link: Any = None

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The task's result: `placements`, and what the phase adds (`observed`, `probe`, `plan`, `verdict`)."""
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _, arguments = self.validate_argument_spec(
            argument_spec={
                "phase": {
                    "type": "str",
                    "required": True,
                    "choices": list(_controller.phases.PHASES),
                },
                "planner": {"type": "str", "default": "variables", "choices": ["variables", "orchestrator"]},
                "placements": {"type": "list", "elements": "dict", "default": []},
                "identity": {"type": "str", "default": "plain-playbook"},
                "run": {"type": "dict", "default": {}},
                "verify": {"type": "bool", "default": False},
                "group": {"type": "int", "default": -1},
                "policy": {"type": "dict", "default": {}},
                "verdict": {"type": "dict", "default": {}},
                "activated": {"type": "dict", "default": {}},
                "once": {"type": "list", "elements": "dict", "default": []},
                "report": {"type": "str", "default": ""},
                "fails_later": {"type": "bool", "default": False},
                "become_password": {"type": "dict", "default": {}},
            }
        )
        phase = arguments["phase"]
        if phase == "plan":
            result.update(changed=False, plan=orchestrator.ask({"ask": "plan"}))
            return result
        if phase == "rollout":
            result.update(changed=False, **self._roll_out(arguments, task_vars))
            return result
        if phase == "survey":
            _load("controller_program", "rollout").rollout.survey(
                self, {**arguments, "phase": "observe"}, task_vars
            )
            result.update(changed=False)
            return result
        if phase == "verdict":
            result["verdict"] = self._judge(arguments, task_vars)
            return result
        if phase == "once_elect":
            result.update(changed=False, **once.elect_in(task_vars, arguments["policy"], arguments["group"]))
            return result
        if phase == "once_verdict":
            policy = _controller.verdict.complete(arguments["policy"])
            result["verdict"] = once.judge_in(task_vars, arguments["once"], policy, arguments["group"])
            return result
        if phase == "smoke_verdict":
            result["verdict"] = self._judge_tests(arguments, task_vars)
            return result
        if phase == "smoke_report":
            application = arguments["placements"][0]["application"]
            content = junit.render(application, smoked_on(task_vars, "__smoke_done"))
            changed = not self._task.check_mode and junit.write(arguments["report"], content)
            result.update(changed=False, written=changed)
            return result
        if phase == "wait":
            result.update(changed=False, verdict=self.wait(arguments))
            return result
        result.update(self._perform(phase, arguments, task_vars))
        return result

    def perform(self, phase: str, arguments: dict[str, Any], host: str) -> dict[str, Any]:
        """What the phase ends with on the host that this action is for, see `controller_program.fleet`."""
        return self._perform(phase, arguments, {"inventory_hostname": host})

    def _perform(self, phase: str, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        if phase in ("once", "activate"):
            return self._activate(phase, arguments, task_vars)
        if arguments["planner"] == "orchestrator":
            self.follow_the_plan(arguments, phase, task_vars["inventory_hostname"])
        placements = [placements_.normalise(placement, phase) for placement in arguments["placements"]]
        if phase == "settle":
            return self._settle(placements, arguments, task_vars)
        if phase == "smoke":
            return self._smoke(placements, arguments, task_vars)
        if phase in ("rollback", "absent") and arguments["group"] >= 0:
            placements = [one for one in reversed(placements) if one["group"] == arguments["group"]]
        if phase == "absent" and (kept := _controller.draining.keep(placements, task_vars)):
            return answers.finish(phase, {"placements": kept})
        if not placements and phase not in ("observe", "probe"):
            return {"changed": False, "placements": []}
        if phase == "check" and placements[0]["healthchecks"][0]["origin"] == "controller":
            request = {"phase": phase, "placements": placements}
            checked: dict[str, Any] = answers.finish(
                phase, _load("host_program", "main").main.answer(request)
            )
            return checked
        done = self._work(phase, placements, arguments)
        due = once.due_on(placements) if phase == "stage" else []
        return {**done, "due": due} if due else done

    def _roll_out(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Observes all hosts of the play, asks for the plan, and does it, unless its hosts need tasks of their own."""
        rollout = _load("controller_program", "rollout").rollout
        done: dict[str, Any] = rollout.roll_out(self, arguments, task_vars)
        return done

    def python_of(self, variables: Mapping[str, Any]) -> str:
        """The interpreter on the host, as a word of a shell."""
        configured = variables.get("ansible_python_interpreter", "python3")
        return shlex.quote(str(configured)) if configured not in ("auto", "auto_silent") else "python3"

    def password_of(self, variables: Mapping[str, Any]) -> str:
        """What become may ask for on the host; empty for nothing."""
        reference = placements_.reference_of(variables.get("release_become_password"))
        return str(orchestrator.fetch_secret(reference)) if reference else ""

    def _activate(self, phase: str, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """The answer of the host for its placements of this group. Whatever goes wrong is for the verdict to judge:
        a host that failed here would be out of the play, and with it a batch that nobody judges.
        """
        group, host = max(0, arguments["group"]), task_vars["inventory_hostname"]
        try:
            if arguments["planner"] == "orchestrator":
                self.follow_the_plan(arguments, phase, host)
            every = [placements_.normalise(placement, phase) for placement in arguments["placements"]]
            placements = [one for one in every if one["group"] == group]
            if phase == "once":
                placements = once.chosen(placements, arguments["once"], host)
            elif undrained := _controller.draining.refuse(placements, task_vars):
                return {**answers.finish(phase, {"placements": undrained}), "group": group}
            if not placements:
                return {"changed": False, "placements": [], "group": group}
            return {**self._work(phase, placements, arguments), "group": group}
        except AnsibleConnectionFailure:
            raise
        except Exception as error:
            said = answers.finish(phase, answers.silent("host", str(error), ""))
            return {**said, "group": group}

    def follow_the_plan(self, arguments: dict[str, Any], phase: str, host: str) -> None:
        """What the orchestrator's plan has for this host takes the place of the variables."""
        told = orchestrator.ask({"ask": "observe" if phase == "observe" else "work", "host": host})
        if "error" in told:
            raise AnsibleActionFail(told["error"])
        removing = phase == "absent"
        arguments["placements"] = [
            one for one in told.get("placements", []) if (one["action"] == "remove") == removing
        ]
        arguments["run"] = {**arguments["run"], **told.get("run", {})}

    def _work(
        self, phase: str, placements: list[dict[str, Any]], arguments: dict[str, Any]
    ) -> dict[str, Any]:
        """One phase on the host, with an upload in between where the artifact comes from the controller."""
        refusals = [self._prepare_delivery(placement, phase) for placement in placements]
        refused = [refusal for refusal in refusals if refusal is not None]
        if refused:
            return answers.finish(phase, {"placements": refused})
        answer = self.ask_host(phase, placements, arguments)
        waiting = [
            placement
            for placement, done in zip(placements, answer["placements"], strict=False)
            if done.get("upload")
        ]
        if waiting and self.link is not None:
            answer = self.ask_host(phase, placements, arguments, placements_.upload(waiting))
        elif waiting:
            temporary = self._make_tmp_path()
            try:
                for number, placement in enumerate(waiting):
                    target = self._connection._shell.join_path(temporary, f"artifact-{number}")
                    self._transfer_file(placement["artifact"]["location"], target)
                    self._fixup_perms2((temporary, target), execute=False)
                    placement["artifact"].update(local=True, location=target)
                answer = self.ask_host(phase, placements, arguments)
            finally:
                self._remove_tmp_path(temporary)
        answer = _controller.releases.render_waiting(
            placements, answer, lambda waiting: self.ask_host(phase, waiting, arguments)
        )
        if phase == "activate":
            fill = _load("host_program", "health").health.for_version
            for placement, done in zip(placements, answer["placements"], strict=False):
                done["healthchecks"] = [fill(one, placement["version"]) for one in placement["healthchecks"]]
                done["smoke"] = bool(placement["smoke"])
        shown = _controller.releases.differences(answer)
        finished: dict[str, Any] = answers.finish(phase, answer)
        return {**finished, "diff": shown} if shown else finished

    def _prepare_delivery(self, placement: dict[str, Any], phase: str) -> dict[str, Any] | None:
        """How the host gets the artifact; in check mode the controller looks into its own, and may refuse it."""
        artifact = placement.get("artifact")
        if phase not in ("stage", "fetch") or not artifact or artifact["delivery"] != "controller":
            return None
        if self._connection.transport == "local":
            artifact["local"] = True
        elif self._task.check_mode:
            program = _load("host_program", "layout", "problems", "staging")
            as_it_is = {"packing": "file"} if phase == "fetch" else {}
            try:
                artifact["looked_into"] = program.staging.look_into(
                    {**artifact, "local": True, **as_it_is}, {}, program.layout.looked_at(placement)
                )
            except program.problems.Problem as error:
                problem = error.as_json()
            except OSError as error:
                problem = program.problems.from_os_error(error).as_json()
            else:
                return None
            named = {
                "application": placement["application"],
                "deployment_path": placement.get("deployment_path", ""),
            }
            return {**named, "changed": False, "message": problem["message"], "problem": problem}
        return None

    def ask_host(
        self,
        phase: str,
        placements: list[dict[str, Any]],
        arguments: dict[str, Any],
        uploads: Sequence[Path] = (),
    ) -> dict[str, Any]:
        """What the host program answers to that phase for these placements."""
        wanted = sorted(placements_.references(placements, phase))
        secrets = {reference: orchestrator.fetch_secret(reference) for reference in wanted}
        for placement in placements:
            _controller.services.fill_in_secrets(placement, phase, arguments["identity"], secrets)
        request = {
            "phase": phase,
            "check": bool(self._task.check_mode),
            "identity": arguments["identity"],
            "run": {**orchestrator.default_run(), **arguments["run"]},
            "verify": arguments["verify"],
            "diff": bool(self._task.diff),
            "placements": placements,
            "secrets": secrets,
        }
        if self.link is not None:
            request["upload_bytes"] = sum(path.stat().st_size for path in uploads)
            told: dict[str, Any] = self.link.ask(request, tuple(secrets.values()), uploads)
            return told
        password = placements_.reference_of(arguments["become_password"])
        if password and self._connection.become is not None:
            self._connection.become.set_option("become_pass", orchestrator.fetch_secret(password))
        python = self.python_of(self._templar.available_variables)
        data = program.first_line() + json.dumps(request).encode() + b"\n"
        done = self._low_level_execute_command(program.command_line(python), in_data=data, sudoable=True)
        answer: dict[str, Any] = answers.read_answer(done, python, tuple(secrets.values()))
        return answer

    def _judge(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        policy, group = arguments["policy"], max(0, arguments["group"])
        hosts = activated_in(task_vars, group, policy.get("failed_hosts", ()))
        if policy.get("own_done"):
            proved = {name: task_vars["hostvars"][name].get("__release_proved") for name in hosts}
            hosts = _controller.own.with_failures(hosts, proved, group)
        return self.judge_group(hosts, policy, group)

    def judge_group(
        self, hosts: dict[str, list[dict[str, Any]] | None], policy: dict[str, Any], group: int
    ) -> dict[str, Any]:
        """The verdict about a group, from what activation said on its hosts."""
        verdict: dict[str, Any] = _controller.verdict.judge(hosts, policy, bool(self._task.check_mode))
        return {**verdict, "group": group, "waited": bool(policy.get("waited"))}

    def wait(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The verdict after the canary: the rollout goes on, or stops as if the batch had failed."""
        goes_on = bool(self._task.check_mode) or bool(orchestrator.ask({"ask": "wait"}).get("goes_on"))
        rollback = arguments["policy"]["rollback"]
        return {
            **arguments["verdict"],
            "waited": True,
            "stop": not goes_on,
            "undo_batch": not goes_on and rollback != "none",
        }

    def _judge_tests(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """The verdict again, now that the group's smoke tests have run."""
        judged = arguments["verdict"]
        before = set(judged["failed_hosts"]) - set(judged["failed"])
        hosts = activated_in(task_vars, judged["group"], before)
        smoked = smoked_on(task_vars, "__release_smoked")
        verdict: dict[str, Any] = smoke.judge_tests(judged, hosts, smoked, arguments["policy"])
        return verdict

    def _smoke(
        self, placements: list[dict[str, Any]], arguments: dict[str, Any], task_vars: dict[str, Any]
    ) -> dict[str, Any]:
        """The smoke tests that are this host's to run, and those that the controller runs for it.

        Without a verdict (a plain playbook) every placement is tested, on every host of the play.
        """
        host, tested = task_vars["inventory_hostname"], arguments["verdict"].get("smoke")
        if tested is None:
            everybody = task_vars.get("ansible_play_hosts") or [host]
            tested = {placement["application"]: everybody for placement in placements}
        else:
            placements = [one for one in placements if one["group"] == arguments["group"]]
        chosen = smoke.choose(placements, tested, host)
        if not chosen or self._task.check_mode:
            return {"changed": False, "placements": []}
        remote = smoke.of_place(chosen, "host")
        said = self.ask_host("smoke", remote, arguments) if remote else {"placements": []}
        tests = _load("host_program", "smoke").smoke
        here = smoke.run_here(smoke.of_place(chosen, "controller"), tests.run_test)
        answer: dict[str, Any] = answers.finish("smoke", smoke.merge(chosen, said, here, tests.summarise))
        return answer

    def _settle(
        self, placements: list[dict[str, Any]], arguments: dict[str, Any], task_vars: dict[str, Any]
    ) -> dict[str, Any]:
        """Confirms, switches back, and lets the host fail when its own placement did."""
        verdict, name = arguments["verdict"], task_vars["inventory_hostname"]
        tasks = {(one["application"], one["deployment_path"]): one for one in verdict["hosts"].get(name, [])}
        done: list[dict[str, Any]] = []
        for do in ("confirm", "distrust", "rollback"):
            chosen = []
            for placement in reversed(placements):
                task = tasks.get((placement["application"], placement["deployment_path"]))
                if task and task["do"] == do:
                    chosen.append({**placement, **task})
                elif (
                    do == "rollback"
                    and name in verdict["vanished"]
                    and placement["group"] == max(0, arguments["group"])
                ):
                    chosen.append(placement)
            if chosen:
                done.extend(answers.of_each(chosen, self.ask_host(do, chosen, arguments)))
        failed = name in verdict["failed"] or any(one["result"] == "unknown" for one in done)
        activated = arguments["activated"].get("placements", [])
        said = [one["message"] for one in [*activated, *done] if one.get("problem")]
        message = "; ".join(dict.fromkeys(said)) or ("the release did not get healthy" if failed else "")
        settled = {
            "placements": done,
            "changed": any(one["changed"] for one in done),
            "failed": failed and not arguments["fails_later"],
        }
        return {**settled, "msg": message} if message else settled
