"""manifest.json, simple form and full form, as one type. What depends on the environment is still open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.core.containers import image_digest, image_problem
from orchestrator.core.coordinates import (
    CoordinateError,
    exact_path,
    extension_of,
    maven_path,
    packing_of,
    split_artifact_name,
    version_problem,
)
from orchestrator.core.dependencies import find_cycles
from orchestrator.core.deployment_paths import deployment_path_problem
from orchestrator.core.healthchecks import parse_healthcheck
from orchestrator.core.model import Application, Artifact, Kind
from orchestrator.core.packages import package_format
from orchestrator.core.violations import Path, Report, quote

SITE: Kind = "site"
SERVICE: Kind = "service"
PACKAGE: Kind = "package"
CONTAINER: Kind = "container"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationDraft:
    """An application whose repository is not known yet.

    Attributes:
        kind: empty when it is none that this version implements.
        image: what a registry has; empty: the artifact is a file of a repository.
        repository: its name; empty: the environment's default.
        path: where the application stands in the manifest.
    """

    name: str
    version: str
    kind: Kind
    repository: str
    artifact_path: str
    sha256: str | None
    strip_components: int
    filename: str
    depends_on: tuple[str, ...]
    path: Path
    image: str = ""

    def complete(self, repository: str) -> Application:
        """Return the application, its artifact being in that repository."""
        extension = extension_of(self.artifact_path)
        packing = "file" if self.kind == CONTAINER else packing_of(extension)
        default = f"{self.name}.{extension}" if extension else self.name
        if self.kind == PACKAGE:
            default = f"{self.name}.{package_format(self.artifact_path)}"
        elif self.kind == CONTAINER:
            default = "image.json" if self.image else "image.tar"
        return Application(
            name=self.name,
            version=self.version,
            kind=self.kind,
            depends_on=self.depends_on,
            artifact=Artifact(
                repository=repository,
                path=self.artifact_path,
                sha256=self.sha256,
                packing=packing,
                strip_components=self.strip_components,
                filename=(self.filename or default) if packing == "file" else "",
                executable=self.kind == SERVICE and packing == "file",
                image=self.image,
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedManifest:
    """What the manifest says.

    Attributes:
        applications: by name, sorted.
        targets: the manifest's own `environments`: name → `host`, `deployment_path`, `healthcheck_url`.
    """

    manifest_version: str
    description: str
    applications: Mapping[str, ApplicationDraft]
    targets: Mapping[str, Mapping[str, str]]
    report: Report


def parse_manifest(value: Mapping[str, Any], report: Report) -> ParsedManifest:
    """Return the manifest in `value`, which fits the schema as far as `report.bad` does not say otherwise."""
    simple, full = ("app_version",), ("applications",)
    has_simple = "app_version" in value or simple in report.bad
    has_full = "applications" in value or full in report.bad
    if has_simple and has_full:
        report.add(
            simple,
            "`app_version` (simple form) and `applications` (full form) exclude each other; remove one",
        )
    elif not has_simple and not has_full:
        report.add((), "neither `applications` nor `app_version` is here; add one of them")
    applications: dict[str, ApplicationDraft] = {}
    if "applications" in value:
        for name, raw in sorted(value["applications"].items()):
            applications[name] = _parse_application(name, raw, report, ("applications", name))
        _check_dependencies(applications, report)
    elif "app_version" in value:
        draft = _parse_simple(value["app_version"], report)
        applications = {draft.name: draft} if draft else {}
    targets = {
        name: _parse_target(raw, report, ("environments", name))
        for name, raw in value.get("environments", {}).items()
    }
    return ParsedManifest(
        manifest_version=value.get("manifest_version", ""),
        description=value.get("description", ""),
        applications=applications,
        targets=targets,
        report=report,
    )


def _parse_simple(file_name: str, report: Report) -> ApplicationDraft | None:
    path: Path = ("app_version",)
    try:
        name = split_artifact_name(file_name)
    except CoordinateError as error:
        report.add(path, str(error))
        return None
    if problem := version_problem(name.version):
        report.add(path, problem)
    return ApplicationDraft(
        name=name.application,
        version=name.version,
        kind=SITE,
        repository="",
        artifact_path=file_name,
        sha256=None,
        strip_components=0,
        filename="",
        depends_on=(),
        path=path,
    )


def _parse_application(name: str, raw: Mapping[str, Any], report: Report, path: Path) -> ApplicationDraft:
    version = raw.get("version", "")
    if problem := version_problem(version):
        report.add((*path, "version"), problem)
    artifact = raw.get("artifact", {})
    # A version that is missing or moves is reported once, not for each coordinate that it goes into.
    exact = "1" if not version or version_problem(version) else version
    artifact_path = ""
    kind = "" if (*path, "kind") in report.bad else raw.get("kind", SITE)
    image = artifact.get("image", "") if (*path, "artifact", "image") not in report.bad else ""
    if image:
        _check_image(artifact, kind, report, (*path, "artifact"))
    elif "artifact" in raw and (*path, "artifact") not in report.bad:
        artifact_path = _artifact_path(artifact, exact, report, (*path, "artifact"))
    packing = "file" if kind == CONTAINER else packing_of(extension_of(artifact_path))
    if artifact_path and kind != CONTAINER and packing == "file" and artifact.get("strip_components"):
        message = "a single file has no directories to strip; remove it (only zip and tar are unpacked)"
        report.add((*path, "artifact", "strip_components"), message)
    if packing != "file" and "filename" in artifact:
        report.add(
            (*path, "artifact", "filename"), "an archive is unpacked and needs no file name; remove it"
        )
    sha256 = artifact.get("sha256")
    if kind == PACKAGE:
        _check_package(artifact, artifact_path, report, (*path, "artifact"))
    elif kind == CONTAINER:
        _check_archive(artifact, artifact_path, report, (*path, "artifact"))
    return ApplicationDraft(
        name=name,
        version=version,
        kind=kind,
        repository=artifact.get("repository", ""),
        artifact_path=artifact_path,
        sha256=image_digest(image) if image else sha256.lower() if sha256 else None,
        strip_components=artifact.get("strip_components", 0),
        filename=artifact.get("filename", ""),
        image=image,
        depends_on=tuple(name for name in raw.get("depends_on", ()) if name is not None),
        path=path,
    )


def _check_package(artifact: Mapping[str, Any], artifact_path: str, report: Report, path: Path) -> None:
    if artifact_path and not package_format(artifact_path):
        message = "a package is one file, .deb or .rpm; name that, or choose another `kind`"
        report.add((*path, "path" if "path" in artifact else "maven"), message)
    if "filename" in artifact and (*path, "filename") not in report.bad:
        report.add(
            (*path, "filename"), "a package's file needs no name, it is not installed itself; remove it"
        )


def _check_image(artifact: Mapping[str, Any], kind: Kind, report: Report, path: Path) -> None:
    if kind and kind != CONTAINER:
        report.add((*path, "image"), f"a {kind} has no image; write `kind: container`, or name a file")
    elif problem := image_problem(artifact["image"]):
        report.add((*path, "image"), problem)
    for key in ("path", "maven", "repository", "sha256", "strip_components", "filename"):
        if key in artifact and (*path, key) not in report.bad:
            report.add((*path, key), "an `image` of a registry says everything by itself; keep one of them")


def _check_archive(artifact: Mapping[str, Any], artifact_path: str, report: Report, path: Path) -> None:
    if artifact_path and packing_of(extension_of(artifact_path)) != "tar":
        message = "a container's file is an oci-archive or a docker-archive, .tar or .tar.gz; name that"
        report.add((*path, "path" if "path" in artifact else "maven"), message)
    for key in ("filename", "strip_components"):
        if key in artifact and artifact_path and (*path, key) not in report.bad:
            report.add((*path, key), "the image's file is not unpacked and needs no name; remove it")


def _artifact_path(artifact: Mapping[str, Any], version: str, report: Report, path: Path) -> str:
    """Return the exact path inside the repository; empty after a violation."""
    if any((*path, key) in report.bad for key in ("path", "maven", "search", "image")):
        return ""
    if ("path" in artifact) == ("maven" in artifact):
        report.add(path, "an artifact has exactly one of `path` and `maven`")
        return ""
    key = "path" if "path" in artifact else "maven"
    try:
        return exact_path(artifact[key], version) if key == "path" else maven_path(artifact[key], version)
    except CoordinateError as error:
        report.add((*path, key), str(error))
        return ""


def _check_dependencies(applications: Mapping[str, ApplicationDraft], report: Report) -> None:
    for draft in applications.values():
        for index, name in enumerate(draft.depends_on):
            if name not in applications:
                near = report.near_miss(name, applications)
                message = (
                    f"there is no application {quote(name)}{near}; add it to `applications` or remove it here"
                )
                report.add((*draft.path, "depends_on", index), message)
    for cycle in find_cycles({name: draft.depends_on for name, draft in applications.items()}):
        chain = " → ".join(cycle) if len(cycle) <= 20 else " → ".join((*cycle[:19], "…", cycle[-1]))
        path = (*applications[cycle[0]].path, "depends_on")
        report.add(path, f"these applications wait for each other: {chain}; remove one of the dependencies")


def _parse_target(raw: Mapping[str, str], report: Report, path: Path) -> Mapping[str, str]:
    """Return a target of the simple form without what is wrong in it."""
    target = dict(raw)
    if "deployment_path" in raw and (problem := deployment_path_problem(raw["deployment_path"])):
        report.add((*path, "deployment_path"), problem)
        del target["deployment_path"]
    if "healthcheck_url" in raw and not parse_healthcheck(
        raw["healthcheck_url"], report, (*path, "healthcheck_url")
    ):
        del target["healthcheck_url"]
    return target
