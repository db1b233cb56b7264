"""What roles of the deployment repository are to do on a host, and whether what they did is healthy."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

from ansible.plugins.loader import action_loader

PlacementPhase: Any = action_loader.get("placement_phase", class_only=True)
health = importlib.import_module("host_program.health")
own = importlib.import_module("controller_program.own")
placements_ = importlib.import_module("controller_program.placements")


class ActionModule(PlacementPhase):  # type: ignore[misc]
    """`work`: the host's items of one entry point; `failed`: what one failed at; `prove`: its health."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The task's result: `items`, `own`, or `failures` (application → why it is not healthy)."""
        super(PlacementPhase, self).run(tmp, task_vars)
        task_vars = task_vars or {}
        _, arguments = self.validate_argument_spec(
            argument_spec={
                "phase": {"type": "str", "required": True, "choices": ["work", "failed", "prove", "settle"]},
                "entry": {
                    "type": "str",
                    "default": "activate",
                    "choices": ["stage", "activate", "rollback", "absent"],
                },
                "group": {"type": "int", "default": -1},
                "said": {"type": "dict", "default": {}},
                "application": {"type": "str", "default": ""},
                "message": {"type": "str", "default": ""},
                "failures": {"type": "list", "elements": "dict", "default": []},
                "identity": {"type": "str", "default": "plain-playbook"},
                "run": {"type": "dict", "default": {}},
                "become_password": {"type": "dict", "default": {}},
                "planner": {"type": "str", "default": "orchestrator", "choices": ["orchestrator"]},
                "placements": {"type": "list", "elements": "dict", "default": []},
                "verify": {"type": "bool", "default": False},
            }
        )
        phase, entry = arguments["phase"], arguments["entry"]
        if phase == "failed":
            message = f"the role's {entry}.yml failed: {' '.join(arguments['message'].split())}"
            note = {"application": arguments["application"], "entry": entry, "message": message}
            return {"changed": False, "own": {**note, "group": arguments["group"]}}
        self.follow_the_plan(
            arguments, "absent" if entry == "absent" else "stage", task_vars["inventory_hostname"]
        )
        placements = [
            placements_.normalise(one, "activate")
            for one in arguments["placements"]
            if arguments["group"] < 0 or one["group"] == arguments["group"]
        ]
        if phase == "work":
            return {"changed": False, "items": self._items(entry, placements, arguments)}
        failed = {
            one["application"]: one["message"]
            for one in arguments["failures"]
            if one["group"] == arguments["group"] and one["entry"] == entry
        }
        if phase == "prove":
            found = self._prove(entry, placements, failed, arguments)
            return {"changed": False, "group": arguments["group"], "failures": found}
        return self._settle_back(placements, failed, arguments)

    def _items(
        self, entry: str, placements: list[dict[str, Any]], arguments: dict[str, Any]
    ) -> list[dict[str, Any]]:
        said = {one["application"]: one for one in arguments["said"].get("placements") or ()}
        if entry == "absent":
            observed = self.ask_host("observe", [], arguments).get("observed") or ()
            roles = {(one["application"], one["deployment_path"]): one.get("role") for one in observed}
            for one in placements:
                name = roles.get((one["application"], one["deployment_path"]))
                if name and _has_entry(name, "absent"):
                    one["role"] = {"name": name, "entries": ["absent"]}
                    said[one["application"]] = {"from_version": one["version"]}
        items: list[dict[str, Any]] = own.items_for(entry, placements, said)
        return items

    def _prove(
        self,
        entry: str,
        placements: list[dict[str, Any]],
        failed: dict[str, str],
        arguments: dict[str, Any],
    ) -> dict[str, str]:
        """Why what its role activated is not healthy; what the host itself can tell about it."""
        failures = {} if self._task.check_mode and entry == "rollback" else dict(failed)
        asked = []
        for one in placements:
            checks = [check for check in one["healthchecks"] if check["origin"] == "host"]
            if one.get("role") and one["application"] not in failures and checks:
                fill = health.for_version
                asked.append({**one, "healthchecks": [fill(check, one["version"]) for check in checks]})
        if self._task.check_mode:
            return failures
        if not asked:
            self._low_level_execute_command("true")
            return failures
        for one in self.ask_host("check", asked, arguments)["placements"]:
            if one.get("problem"):
                failures[one["application"]] = one["message"]
        return failures

    def _settle_back(
        self, placements: list[dict[str, Any]], failed: dict[str, str], arguments: dict[str, Any]
    ) -> dict[str, Any]:
        """What a role has made live again is asked for its health, and is recorded as healthy."""
        said = {one["application"]: one for one in arguments["said"].get("placements") or ()}
        back = [
            {**one, "version": str(said[one["application"]].get("version", ""))}
            for one in placements
            if one.get("role")
            and said.get(one["application"], {}).get("result") == "switched_back"
            and one["application"] not in failed
        ]
        if not back or self._task.check_mode:
            return {"changed": False}
        problems = self._prove("rollback", back, {}, arguments)
        good = [
            {**one, "healthy": True, "message": "healthy again"}
            for one in back
            if one["application"] not in problems
        ]
        if good:
            self.ask_host("confirm", good, arguments)
        for application, message in problems.items():
            note = {"application": application, "entry": "rollback", "group": arguments["group"]}
            return {"changed": False, "own": {**note, "message": f"it is not healthy either: {message}"}}
        return {"changed": False}


def _has_entry(role: str, entry: str) -> bool:
    """Whether one of the directories that ansible was told to look in has it."""
    return any(
        (Path(directory) / role / "tasks" / f"{entry}.{ending}").is_file()
        for directory in os.environ.get("ANSIBLE_ROLES_PATH", "").split(":")[1:]
        for ending in ("yml", "yaml")
    )
