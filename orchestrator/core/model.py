"""The types that documents are parsed into. After parsing there are these, not dictionaries.

Both forms of the manifest (simple and full) end here; nothing downstream knows which one was read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from orchestrator.core.checks import Healthcheck, SmokeTest
from orchestrator.core.containers import Container
from orchestrator.core.drains import Drain
from orchestrator.core.own_roles import OwnRole
from orchestrator.core.packages import Package
from orchestrator.core.release_settings import ReleaseSettings
from orchestrator.core.units import Service
from orchestrator.core.windows import Window

Kind = str
RepositoryType = Literal["nexus", "artifactory", "http", "directory"]
Rollback = Literal["batch", "all", "none"]
Packing = Literal["zip", "tar", "file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Where a secret is found; never the secret itself.

    Attributes:
        source: `env` (an environment variable of the controller) or `file` (a file there).
        name: the variable's name or the file's path.
    """

    source: Literal["env", "file"]
    name: str

    def __str__(self) -> str:
        return f"{self.source}:{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a repository asks for: `username` and `password`, or a bearer `token`."""

    username: Reference | str | None = None
    password: Reference | None = None
    token: Reference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """Where artifacts live.

    Attributes:
        url: base URL without a trailing slash; empty for a `directory`.
        path: the directory on the controller, absolute or relative to the deployment repository's
            directory; empty for the others.
        repository: the repository's name inside Nexus or Artifactory; empty for the others.
    """

    name: str
    type: RepositoryType
    url: str = ""
    path: str = ""
    repository: str = ""
    credentials: Credentials | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """Immutable bytes in a repository.

    Attributes:
        repository: name of a `Repository` of the environment.
        path: exact path inside it, `{version}` filled in, Maven coordinates resolved; no leading slash.
        sha256: the manifest's pin, 64 lower-case hex digits, or None.
        packing: how it is installed: `zip` (zip), `tar` (tar.gz, tgz, tar.xz, tar.zst, tar), or `file`
            (everything else: installed as one file; jar and war are files).
        strip_components: leading directories dropped from an archive's members.
        filename: what a single file is called in the release.
        executable: a single file may be executed.
        image: what a registry has, `registry/name@sha256:…`; empty: the artifact is a file.
    """

    repository: str
    path: str
    sha256: str | None
    packing: Packing
    strip_components: int
    filename: str
    executable: bool = False
    image: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One deployable thing, as the manifest has it."""

    name: str
    version: str
    kind: Kind
    artifact: Artifact
    depends_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Which version of which application. `applications` is sorted by name."""

    manifest_version: str
    description: str
    applications: tuple[Application, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A target, with the region's and the environment's defaults already applied.

    Attributes:
        order: the region's; regions with a smaller one go first.
        port: SSH port, 22 when the document names none.
        private_key: a path on the controller, a `file` reference (a path as well) or an `env` reference
            (the key itself is in the variable).
        host_key: pinned public host keys, each `type base64`; empty: the user's known_hosts decide.
        become_user: empty means root.
        python: absolute path of the interpreter on the host; empty means `python3` on its PATH.
    """

    name: str
    region: str
    order: int
    address: str
    port: int
    user: str
    private_key: Reference | str | None
    host_key: tuple[str, ...]
    proxy_jump: str
    become: bool
    become_user: str
    become_password: Reference | None
    groups: tuple[str, ...]
    connection: Literal["ssh", "local"]
    python: str
    maintenance: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """What comes between the first batch of a rollout and the others: a pause, or somebody's approval.

    Attributes:
        pause_seconds: 0 where an approval is asked for.
        approval_file: a path on the controller; the rollout goes on when the file appears. Empty: `orchestrator
            continue` says so.
        approval_timeout_seconds: how long an approval is waited for; afterwards the rollout stops.
    """

    pause_seconds: int = 0
    approval_file: str = ""
    approval_timeout_seconds: int = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """How a rollout goes and what happens when it fails.

    Attributes:
        canary: None: the batches follow each other at once.
        batches: how many hosts of a wave go at once: numbers, or percentages of the wave's; the last one repeats.
        max_failures: failed hosts that are tolerated across the run, all batches together.
        max_unreachable: hosts that may be left out because they cannot be reached.
    """

    batches: tuple[str, ...] = ("100%",)
    canary: Canary | None = None
    max_failures: int = 0
    max_unreachable: int = 0
    rollback: Rollback = "batch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """One application on one host, every setting resolved.

    Attributes:
        deployment_path: absolute, `{host}`, `{application}` and `{environment}` filled in.
        healthchecks: all of them have to pass; without any the release counts as healthy.
        smoke: run when all hosts of its group have it live and healthy.
        wave: how many applications have to be there before, following `depends_on`; 0 first.
        service: how it runs; None for what does not run.
        variables: of its process, by name.
        secrets: of its process, by name.
        role: of the deployment repository, which does what our roles do not; None: there is none.
        drain: how its host leaves and joins its load balancer around activation; None: it does not.
        package: how it is installed; None for what is no package.
        container: how its image runs; None for what is no container.
        release: what its releases are beside their artifact, and what runs around them.
        template_variables: what its templates know of environment and host.
    """

    application: Application
    host: Host
    deployment_path: str
    healthchecks: tuple[Healthcheck, ...]
    keep_releases: int
    wave: int
    service: Service | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Reference] = field(default_factory=dict)
    smoke: tuple[SmokeTest, ...] = ()
    drain: Drain | None = None
    role: OwnRole | None = None
    package: Package | None = None
    container: Container | None = None
    release: ReleaseSettings = field(default_factory=ReleaseSettings)
    template_variables: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What git asks for in one environment: the result of parsing, the input of everything else.

    Attributes:
        placements: sorted by region order, region, wave, application, host. Hosts in maintenance have none.
        hosts: every host of the environment, sorted by name, those in maintenance too.
        windows: when the environment may be deployed to; no part of a plan, which does not depend on the time.
        prune: orphans are removed.
        drains: how hosts are drained, by the entry's application, empty for any other, before placeholders are
            filled in: orphans have no placement that says it.
        documents: canonical digests of the documents (`manifest`, `environment`), 64 hex digits each.
        warnings: what a reader should know, one sentence each.
    """

    environment: str
    manifest_version: str
    description: str
    repositories: Mapping[str, Repository]
    hosts: tuple[Host, ...]
    placements: tuple[Placement, ...]
    strategy: Strategy
    documents: Mapping[str, str]
    warnings: tuple[str, ...]
    windows: tuple[Window, ...] = ()
    prune: bool = False
    drains: Mapping[str, Drain | None] = field(default_factory=dict)
