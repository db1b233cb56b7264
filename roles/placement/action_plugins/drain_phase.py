"""Asks one place, a load balancer's host or the host itself, to drain hosts of a group or to put them back.

The task runs once for each place (`run_once`, a loop, `delegate_to`), and never fails: what places say is for the
verdict to judge. Everything about transport and secrets is that of `placement_phase`.
"""

from __future__ import annotations

import importlib
import json
import shlex
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.loader import action_loader

PlacementPhase: Any = action_loader.get("placement_phase", class_only=True)
draining = importlib.import_module("controller_program.draining")
orchestrator = importlib.import_module("controller_program.orchestrator")
said = importlib.import_module("controller_program.said")
answers = importlib.import_module("controller_program.answers")
placements_ = importlib.import_module("controller_program.placements")
program = importlib.import_module("controller_program.program")


class ActionModule(PlacementPhase):  # type: ignore[misc]
    """See the README of the role `haproxy` for the arguments."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The task's result: `drains`, what the place said of each host; or `verdict`, the batch judged again."""
        super(PlacementPhase, self).run(tmp, task_vars)
        task_vars = task_vars or {}
        _, arguments = self.validate_argument_spec(
            argument_spec={
                "phase": {"type": "str", "required": True, "choices": ["drain", "undrain", "verdict"]},
                "place": {"type": "str", "default": ""},
                "group": {"type": "int", "default": -1},
                "which": {
                    "type": "str",
                    "default": "all",
                    "choices": ["all", "good", "back", "rest", "kept"],
                },
                "verdict": {"type": "dict", "default": {}},
                "policy": {"type": "dict", "default": {}},
                "socket": {"type": "str", "default": ""},
                "backend": {"type": "str", "default": ""},
                "drains": {"type": "dict", "default": {}},
                "servers": {"type": "list", "elements": "str", "default": []},
                "minimum": {"type": "int", "default": 1},
                "timeout_seconds": {"type": "float", "default": 60.0},
                "identity": {"type": "str", "default": "plain-playbook"},
                "run": {"type": "dict", "default": {}},
            }
        )
        if arguments["phase"] == "verdict":
            return {"changed": False, "verdict": self._judge_again(arguments, task_vars)}
        items, run = draining.servers_of(arguments), arguments["run"]
        alone = bool(arguments["socket"])
        if arguments["drains"]:
            items = draining.rendered(arguments["drains"], arguments["group"], arguments["place"])
        elif not alone:
            told = orchestrator.ask(
                {"ask": "drain", "group": arguments["group"], "place": arguments["place"]}
            )
            items, run = told.get("items", []), {**run, **told.get("run", {})}
        items = draining.choose(items, arguments["verdict"], arguments["which"])
        if arguments["which"] == "back":
            items = draining.back_in(items, arguments["place"], task_vars)
        if arguments["which"] == "kept":
            items = draining.kept(items, task_vars)
        found = self._work(arguments, items, run, task_vars) if items else []
        for one in found:
            one["place"] = arguments["place"]
        problems = [one["message"] for one in found if not one["ok"]]
        result = {"changed": any(one["changed"] for one in found), "drains": found}
        if problems:
            result["msg"] = "; ".join(dict.fromkeys(problems))
            result["failed"] = alone
        return result

    def _work(
        self,
        arguments: dict[str, Any],
        items: list[dict[str, Any]],
        run: dict[str, Any],
        task_vars: dict[str, Any],
    ) -> list[dict[str, Any]]:
        phase = arguments["phase"]
        place = arguments["place"] or self._task.delegate_to or task_vars["inventory_hostname"]
        variables = task_vars["hostvars"].get(place, {})
        found = self._ask_place(phase, items, arguments["identity"], run, place, variables)
        own = [
            item
            for item, one in zip(items, found, strict=True)
            if item.get("on") == "controller" and one["ok"] and not one.get("noop")
        ]
        if not own or self._task.check_mode:
            return found
        probes = importlib.import_module("host_program.probes")
        failures = draining.here(own, phase, probes.run)
        if phase == "undrain":
            settled = [
                {**item, "settled": True}
                for item in own
                if f"{item['host']}|{item['application']}" not in failures
            ]
            if settled:
                self._ask_place(phase, settled, arguments["identity"], run, place, variables)
        for one in found:
            why = failures.get(f"{one['host']}|{one['application']}")
            if why is not None:
                problem = {"kind": "drain", "message": why, "resolution": "look at that command"}
                one.update(ok=False, changed=False, message=why, problem=problem)
        return found

    def _ask_place(
        self,
        phase: str,
        items: list[dict[str, Any]],
        identity: str,
        run: dict[str, Any],
        place: str,
        variables: Any,
    ) -> list[dict[str, Any]]:
        password = placements_.reference_of(variables.get("placement_become_password"))
        if password and self._connection.become is not None:
            self._connection.become.set_option("become_pass", orchestrator.fetch_secret(password))
        request = {
            "phase": phase,
            "check": bool(self._task.check_mode),
            "identity": identity,
            "run": {**orchestrator.default_run(), **run},
            "placements": [],
            "items": items,
        }
        python = str(variables.get("ansible_python_interpreter", "python3"))
        python = shlex.quote(python) if python not in ("auto", "auto_silent") else "python3"
        command = program.command_line(python)
        data = program.first_line() + json.dumps(request).encode() + b"\n"
        try:
            done = self._low_level_execute_command(command, in_data=data, sudoable=True)
            answer = answers.read_answer(done, python, ())
        except AnsibleConnectionFailure as error:
            answer = answers.silent("unreachable", " ".join(str(error).split()), "")
        if "drains" not in answer:
            return list(draining.silent(items, place, answer["problem"]))
        return list(answer["drains"])

    def _judge_again(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        judged = arguments["verdict"]
        before = set(judged["failed_hosts"]) - set(judged["failed"])
        hosts = said.activated_in(task_vars, judged["group"], before)
        put_back = draining.said_in(task_vars, "__release_undrained")
        verdict: dict[str, Any] = draining.judge_again(judged, hosts, put_back, arguments["policy"])
        return verdict
