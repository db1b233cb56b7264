"""Where playbooks and roles are: inside the wheel, or beside the package in a checkout."""

from __future__ import annotations

from pathlib import Path

from orchestrator.errors import AnsibleError


def ansible_content() -> Path:
    """The directory that holds `playbooks/` and `roles/`."""
    package = Path(__file__).resolve().parent.parent
    for candidate in (package / "ansible", package.parent):
        if (candidate / "playbooks" / "deploy.yml").is_file() and (candidate / "roles").is_dir():
            return candidate
    raise AnsibleError(
        f"playbooks and roles are not installed beside {package}",
        resolution="install the distribution gitops-orchestrator again",
    )
