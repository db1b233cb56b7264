"""Role READMEs from their argument_specs: `python -m tests.role_docs [--check]`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).resolve().parent.parent / "roles"
EXAMPLES = {
    "release": """\
- hosts: web
  roles:
    - role: release
      vars:
        release_placements:
          - application: my-website
            version: 2.0.0
            deployment_path: /srv/my-website
            artifact:
              location: https://nexus.example.net/repository/releases/my-website-2.0.0.zip
              sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
              credentials: {username: ci, password: {env: NEXUS_PASSWORD}}
            healthcheck: {url: "http://127.0.0.1:8080/health"}
""",
    "service": """\
- hosts: app
  become: true
  roles:
    - role: service
      vars:
        service_placements:
          - application: shop-api
            version: 1.18.2
            deployment_path: /opt/shop-api
            artifact:
              location: https://nexus.example.net/repository/releases/shop-api-1.18.2.jar
              sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
              filename: shop-api.jar
            service: {exec: "/usr/bin/java -jar {current}/shop-api.jar", user: shop}
            variables: {SHOP_DB_URL: "postgresql://db.example.net/shop"}
            secrets: {SHOP_DB_PASSWORD: {env: SHOP_DB_PASSWORD}}
            healthcheck: {url: "http://127.0.0.1:9000/health"}
""",
    "container": """\
- hosts: app
  become: true
  roles:
    - role: container
      vars:
        container_placements:
          - application: shop-web
            version: 5.2.0
            artifact:
              location: https://nexus.example.net/repository/releases/shop-web-5.2.0.tar
              sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
            container: {ports: ["8080:80"], volumes: ["shop-data:/data"]}
            secrets: {SHOP_DB_PASSWORD: {env: SHOP_DB_PASSWORD}}
            healthcheck: {url: "http://127.0.0.1:8080/health"}
""",
    "package": """\
- hosts: app
  become: true
  roles:
    - role: package
      vars:
        package_placements:
          - application: shop-agent
            version: 1.4.0
            artifact:
              location: https://nexus.example.net/repository/releases/shop-agent_1.4.0_amd64.deb
              sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
            package: {unit: shop-agent}
            healthcheck: {url: "http://127.0.0.1:9100/health"}
""",
    "artifact": """\
- hosts: web
  roles:
    - role: artifact
      vars:
        artifact_location: https://nexus.example.net/repository/releases/tool-1.0
        artifact_sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
        artifact_path: /usr/local/bin/tool
        artifact_mode: "0755"
""",
    "smoke": """\
- hosts: web
  roles:
    - role: smoke
      vars:
        smoke_junit: reports/smoke.xml
        smoke_tests:
          - {name: front page, url: "http://127.0.0.1:8080/", body: Welcome}
          - {name: orders, command: [/opt/shop/bin/smoke, --quick], user: shop}
          - {name: from outside, url: "https://shop.example.net/", "on": controller, once: true}
""",
    "haproxy": """\
- hosts: web
  serial: 1
  tasks:
    - ansible.builtin.include_role: {name: haproxy, tasks_from: drain, apply: {delegate_to: lb1}}
      vars: &server {haproxy_backend: web, haproxy_servers: ["{{ inventory_hostname }}"]}
    # ... what changes the host ...
    - ansible.builtin.include_role: {name: haproxy, tasks_from: undrain, apply: {delegate_to: lb1}}
      vars: *server
""",
    "healthcheck": """\
- hosts: web
  roles:
    - role: healthcheck
      vars:
        healthcheck_url: http://127.0.0.1:8080/health
""",
}


def render(role: Path) -> str:
    """The README of one role."""
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    about = yaml.safe_load((role / "meta" / "main.yml").read_text())["galaxy_info"]["description"]
    lines = [
        f"# {role.name}",
        "",
        f"{about}.",
        "",
        "Generated from `meta/argument_specs.yml`; edit that.",
        "",
    ]
    if role.name in EXAMPLES:
        lines += ["```yaml", EXAMPLES[role.name].rstrip(), "```", ""]
    first = next(iter(specs.values()))
    lines += ["## Entry points", ""]
    lines += [f"- `{name}`: {spec['short_description']}" for name, spec in specs.items()]
    lines += ["", "## Variables", "", "| Name | Type | Default | Means |", "|---|---|---|---|"]
    lines += list(_rows(first["options"], "", {}))
    return "\n".join(lines) + "\n"


def _rows(options: dict[str, Any], prefix: str, known: dict[int, str]) -> list[str]:
    """One row for each option; options that stand elsewhere already, as a YAML alias, are named."""
    rows = []
    for name, option in options.items():
        default = (
            "required"
            if option.get("required")
            else f"`{option['default']!r}`"
            if "default" in option
            else ""
        )
        choices = f" ({', '.join(option['choices'])})" if "choices" in option else ""
        inner, about = option.get("options", {}), option["description"]
        if id(inner) in known:
            about += f" Options as `{known[id(inner)]}`."
        rows.append(f"| `{prefix}{name}` | {option['type']}{choices} | {default} | {about} |")
        if inner and id(inner) not in known:
            known[id(inner)] = f"{prefix}{name}"
            rows += _rows(inner, f"{prefix}{name}.", known)
    return rows


def main() -> int:
    """Writes the READMEs, or with `--check` fails when one differs."""
    stale = []
    for role in sorted(path for path in ROLES.iterdir() if path.is_dir()):
        readme, text = role / "README.md", render(role)
        if "--check" in sys.argv:
            stale += [str(readme)] if not readme.exists() or readme.read_text() != text else []
        else:
            readme.write_text(text)
    if stale:
        sys.stderr.write(f"out of date: {', '.join(stale)}; run python -m tests.role_docs\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
