"""The files of a new deployment repository, as text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from string import Template
from typing import Any, Literal

Forge = Literal["github", "gitlab", "jenkins"]
Form = Literal["full", "simple"]

FORGES: tuple[Forge, ...] = ("github", "gitlab", "jenkins")
EXECUTABLES = ("tests/run.sh",)
_NAME = re.compile(r"(?!.*(\.\.|\.lock$|\.$))[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class ScaffoldTemplate(Template):
    """A template whose `%%{name}` is filled in; shells, Groovy and workflows keep their dollars."""

    delimiter = "%%"
    flags = re.ASCII


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaffold:
    """What a new deployment repository is like.

    Attributes:
        environments: in the order of promotion; each has a branch of its name.
        version: of the orchestrator that its CI installs.
    """

    name: str
    application: str
    environments: tuple[str, ...]
    forges: tuple[Forge, ...]
    form: Form
    version: str


def scaffold_problem(scaffold: Scaffold) -> str:
    """Return why there can be no such repository; empty when there can."""
    if not scaffold.environments:
        return "there is no environment; name at least one"
    for what, name in (
        ("the repository", scaffold.name),
        ("the application", scaffold.application),
        *(("an environment", name) for name in scaffold.environments),
    ):
        if not _NAME.fullmatch(name):
            return f"{what} cannot be called {name[:80]!r}; use letters, digits and ._- only, 64 at most"
    if len(set(scaffold.environments)) != len(scaffold.environments):
        return "an environment is named twice"
    return ""


def codeowners_path(scaffold: Scaffold) -> str:
    """Return where the git host looks for code owners; GitHub and GitLab both look at the top."""
    return ".github/CODEOWNERS" if scaffold.forges == ("github",) else "CODEOWNERS"


def render_scaffold(scaffold: Scaffold, templates: Mapping[str, str]) -> dict[str, str]:
    """Return the files by path.

    Args:
        templates: by file name.
    """
    files = {
        "manifest.json": _json(_manifest(scaffold)),
        "orchestrator.toml": _fill(
            templates["orchestrator.toml"],
            name=scaffold.name,
            repository=_repository(scaffold),
            environments="".join(
                f'[environments.{json.dumps(name)}]\nbranch = "{name}"\n\n' for name in scaffold.environments
            ).removesuffix("\n"),
        ),
        "README.md": _readme(scaffold, templates),
        ".gitignore": templates["gitignore"],
        "tests/run.sh": templates["run-tests.sh"],
        codeowners_path(scaffold): _codeowners(scaffold),
    }
    for index, name in enumerate(scaffold.environments):
        files[f"inventories/{name}-env.json"] = _json(_environment(scaffold, index))
    if "jenkins" in scaffold.forges:
        files["Jenkinsfile"] = _jenkinsfile(scaffold, templates)
    if "github" in scaffold.forges:
        files[".github/workflows/deploy.yml"] = _fill(
            templates["github-workflow.yml"],
            version=scaffold.version,
            branches=", ".join(json.dumps(name) for name in scaffold.environments),
        )
    if "gitlab" in scaffold.forges:
        files[".gitlab-ci.yml"] = _fill(
            templates["gitlab-ci.yml"],
            version=scaffold.version,
            rules="\n".join(f'    - if: $CI_COMMIT_BRANCH == "{name}"' for name in scaffold.environments),
        )
    return dict(sorted(files.items()))


def _repository(scaffold: Scaffold) -> str:
    return "releases" if scaffold.form == "full" else "default"


def _manifest(scaffold: Scaffold) -> dict[str, Any]:
    description = f"{scaffold.application}, version by version"
    if scaffold.form == "simple":
        return {
            "manifest_version": "1.0.0",
            "description": description,
            "app_version": f"{scaffold.application}-1.0.0.zip",
            "environments": {
                name: {
                    "host": f"web-{index + 1}.example.net",
                    "deployment_path": f"/srv/{scaffold.application}",
                    "healthcheck_url": f"http://web-{index + 1}.example.net/health",
                }
                for index, name in enumerate(scaffold.environments)
            },
        }
    path = f"{scaffold.application}/{scaffold.application}-{{version}}.zip"
    return {
        "manifest_version": "1.0.0",
        "description": description,
        "applications": {
            scaffold.application: {
                "version": "1.0.0",
                "kind": "site",
                "artifact": {"repository": "releases", "path": path},
            }
        },
    }


def _environment(scaffold: Scaffold, index: int) -> dict[str, Any]:
    name = scaffold.environments[index]
    is_last = index == len(scaffold.environments) - 1
    defaults = {"user": "deploy", "become": True, "private_key": {"env": "DEPLOY_SSH_KEY"}}
    if scaffold.form == "simple":
        description = f"{name}: how its host in manifest.json is reached"
        return {"environment": name, "description": description, "defaults": defaults}
    return {
        "environment": name,
        "description": f"{name}: replace the hosts, their addresses are examples",
        "defaults": defaults,
        "hosts": {
            f"web{number}": {"address": f"192.0.2.{index % 24 * 10 + 10 + number}", "groups": ["web"]}
            for number in ((1, 2) if is_last else (1,))
        },
        "applications": {
            scaffold.application: {
                "hosts": ["web"],
                "deployment_path": f"/srv/{scaffold.application}",
                "healthcheck_url": "http://{address}/health",
            }
        },
    }


def _jenkinsfile(scaffold: Scaffold, templates: Mapping[str, str]) -> str:
    stages = [_fill(templates["Jenkinsfile.stage"], environment=name) for name in scaffold.environments]
    return _fill(
        templates["Jenkinsfile"],
        version=scaffold.version,
        stages="".join(stages).rstrip("\n"),
        branches="\n".join(f"          branch '{name}'" for name in scaffold.environments),
    )


def _codeowners(scaffold: Scaffold) -> str:
    lines = ["# Who has to approve what. Replace the teams by yours; the last line that matches counts."]
    lines.append("* @your-org/developers")
    lines += [f"/inventories/{name}-env.json @your-org/{name}-approvers" for name in scaffold.environments]
    own = ["/orchestrator.toml", f"/{codeowners_path(scaffold)}", "/tests/"]
    for forge, path in (
        ("github", "/.github/workflows/"),
        ("gitlab", "/.gitlab-ci.yml"),
        ("jenkins", "/Jenkinsfile"),
    ):
        if forge in scaffold.forges:
            own.append(path)
    lines += [f"{path} @your-org/platform" for path in own]
    return "\n".join(lines) + "\n"


def _readme(scaffold: Scaffold, templates: Mapping[str, str]) -> str:
    names = scaffold.environments
    listed = ", ".join(f"`{name}`" for name in names)
    pairs = [f"`{source}` → `{target}`" for source, target in pairwise(names)]
    rows = [f"| `{name}` | {name} | `inventories/{name}-env.json` |" for name in names]
    credential_rows = [
        row
        for name in names
        for row in (
            f"   | `{name}-nexus-password` | secret text |",
            f"   | `{name}-ssh-key` | SSH username with private key |",
        )
    ]
    sections = [
        _fill(
            templates[f"README.{forge}.md"],
            environments=listed,
            last=names[-1],
            credential_rows="\n".join(credential_rows),
        )
        for forge in scaffold.forges
    ]
    return _fill(
        templates["README.md"],
        name=scaffold.name,
        environment_rows="\n".join(rows),
        hosts_file="`inventories/`" if scaffold.form == "full" else "`manifest.json`",
        codeowners=codeowners_path(scaffold),
        first=names[0],
        last=names[-1],
        branches=" ".join(names),
        promotions=", then ".join(pairs) or "(there is one environment only)",
        forge_sections="".join(sections).rstrip("\n"),
    )


def _fill(template: str, **values: str) -> str:
    return ScaffoldTemplate(template).substitute(values)


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
