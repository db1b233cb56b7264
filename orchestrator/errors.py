"""The one exception tree. Each class has one exit code; the CLI renders them, nothing else prints.

    OrchestratorError                 1
    ├── UsageError                   64   the command line asks for something that cannot be
    ├── DocumentError                10   manifest, environment or orchestrator.toml is wrong
    ├── GitError                     11   no git, no git repository, or its remote cannot be reached
    ├── RevisionError                12   branch, ref or environment does not exist
    ├── ArtifactNotFoundError        13   the repository does not have the artifact
    ├── ChecksumError                14   the artifact's bytes are not those that were asked for
    ├── CredentialsError             15   a credential is missing, not allowed, or refused
    ├── RepositoryError              16   the artifact repository cannot be reached or misbehaves
    ├── UnreachableError             17   a host cannot be reached
    ├── DiskFullError                18   no space or inodes on a host
    ├── HostPermissionError          19   a host refuses a write, sudo or a login
    ├── HostPythonError              20   no usable Python on a host
    ├── ConflictError                21   something else owns the path on the host
    ├── StageError                   22   staging failed for any other reason, or draining
    ├── HealthcheckError             23   a release did not get healthy and was switched back
    ├── PartialError                 24   some placements failed, within max_failures
    ├── UnknownOutcomeError          25   nobody can say what a host runs now
    ├── ProviderError                26   the environment provider failed
    ├── AnsibleError                 27   ansible-runner itself failed
    ├── DoctorError                  28   doctor has findings that prevent a deployment
    ├── LockError                    29   the environment's lock is another's, has expired, or was lost
    ├── LedgerError                  30   the ledger cannot be read or written
    ├── PlanMismatchError            31   the plan that was required is not the one that would be done now
    ├── MergeConflictError           32   source and target of a pull request contradict each other
    ├── WindowError                  33   outside of the environment's deployment windows
    ├── ApprovalError                34   a rollout was rejected after its canary, or not approved in time
    ├── RollbackError                35   there is no good release to roll back to
    ├── PruneError                   36   pruning would remove everything that is installed
     ├── ForgeError                   40   the forge (GitHub, GitLab, Gitea, Forgejo) cannot be reached or refuses
     ├── HoldError                    41   a hold forbids it for now
     ├── PromotionError               42   it was not deployed where it has to have been before
     ├── ProtectionError              43   a rule of the environment's protection does not hold
     └── OutputError                  74   standard output cannot be written

130 and 143 are SIGINT and SIGTERM, 141 is a reader that has gone (SIGPIPE), 70 is a defect in the orchestrator itself.
"""

from __future__ import annotations

from typing import ClassVar


class OrchestratorError(Exception):
    """Something that a user can act on.

    Args:
        brief: what is wrong and where, one sentence.
        details: what was seen, one line each (a server's message, the list of hosts).
        resolution: what to do about it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, brief: str, *, details: tuple[str, ...] = (), resolution: str = "") -> None:
        super().__init__(brief)
        self.brief = brief
        self.details = details
        self.resolution = resolution


class UsageError(OrchestratorError):
    """The command line asks for something that cannot be."""

    exit_code = 64


class DocumentError(OrchestratorError):
    """A document is wrong; `details` holds every violation as `file:line: path: what and what to do`."""

    exit_code = 10


class GitError(OrchestratorError):
    """There is no git, no git repository, or its remote cannot be reached."""

    exit_code = 11


class RevisionError(OrchestratorError):
    """A branch, ref or environment does not exist."""

    exit_code = 12


class ArtifactNotFoundError(OrchestratorError):
    """The repository does not have the artifact."""

    exit_code = 13


class ChecksumError(OrchestratorError):
    """The artifact's bytes are not those that were asked for."""

    exit_code = 14


class CredentialsError(OrchestratorError):
    """A credential is missing, not allowed towards that origin, or refused by the server."""

    exit_code = 15


class RepositoryError(OrchestratorError):
    """The artifact repository cannot be reached or misbehaves."""

    exit_code = 16


class UnreachableError(OrchestratorError):
    """A host cannot be reached."""

    exit_code = 17


class DiskFullError(OrchestratorError):
    """A host has no space or no inodes left."""

    exit_code = 18


class HostPermissionError(OrchestratorError):
    """A host refuses a write, sudo or a login."""

    exit_code = 19


class HostPythonError(OrchestratorError):
    """A host has no usable Python."""

    exit_code = 20


class ConflictError(OrchestratorError):
    """Something else owns the path on the host."""

    exit_code = 21


class StageError(OrchestratorError):
    """Staging failed for a reason that has no class of its own."""

    exit_code = 22


class HealthcheckError(OrchestratorError):
    """A release did not get healthy and was switched back."""

    exit_code = 23


class PartialError(OrchestratorError):
    """Some placements failed, within `max_failures`."""

    exit_code = 24


class UnknownOutcomeError(OrchestratorError):
    """Nobody can say what a host runs now."""

    exit_code = 25


class ProviderError(OrchestratorError):
    """The environment provider (URL or executable) failed."""

    exit_code = 26


class AnsibleError(OrchestratorError):
    """ansible-runner itself failed."""

    exit_code = 27


class DoctorError(OrchestratorError):
    """`doctor` has findings that prevent a deployment."""

    exit_code = 28


class LockError(OrchestratorError):
    """The environment's lock is another's, has expired, or was lost on the way."""

    exit_code = 29


class LedgerError(OrchestratorError):
    """The ledger cannot be read or written."""

    exit_code = 30


class PlanMismatchError(OrchestratorError):
    """The plan that was required is not the one that would be done now."""

    exit_code = 31


class MergeConflictError(OrchestratorError):
    """Source and target of a pull request contradict each other."""

    exit_code = 32


class WindowError(OrchestratorError):
    """It is outside of the environment's deployment windows, or inside of a freeze."""

    exit_code = 33


class ApprovalError(OrchestratorError):
    """A rollout was rejected after its canary, or not approved in time."""

    exit_code = 34


class RollbackError(OrchestratorError):
    """There is no good release to roll back to; `details` says what is kept where."""

    exit_code = 35


class PruneError(OrchestratorError):
    """Pruning would remove everything that is installed."""

    exit_code = 36


class ForgeError(OrchestratorError):
    """The forge cannot be reached, misbehaves or refuses; or it is not known which one it is."""

    exit_code = 40


class HoldError(OrchestratorError):
    """Somebody holds the environment or the application; `details` says who, why, and what lifts it."""

    exit_code = 41


class PromotionError(OrchestratorError):
    """What is asked for may not go to the environment yet; `details` says why, and what would satisfy the rule."""

    exit_code = 42


class ProtectionError(OrchestratorError):
    """A rule of the environment's protection does not hold, or cannot be read; no host was asked or touched."""

    exit_code = 43


class OutputError(OrchestratorError):
    """Standard output cannot be written, such as on a disk that is full."""

    exit_code = 74
