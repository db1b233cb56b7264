"""Receipts: what this host records about each placement, out of the applications' reach.

<state>/placements/<environment>--<application>--<12 hex>/
    receipt.json     format 1, see `new_receipt`
    trees/<dir>.json what every file of a release has to be, for `--verify`
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re

from host_program.problems import Problem

FORMAT = 1
RECORD = dict.fromkeys(("release", "version", "artifact_sha256", "configuration_digest", "state"), str)
RECORD["sequence"] = int
FIELDS = {
    "live": {"directory": str, "previous": str, "proven": bool, "run": str},
    "staged": {"run": str, "directory": str},
}


def state_root():
    """Where receipts live: the system's state directory for root, else the user's.

    ORCHESTRATOR_STATE_DIRECTORY names another one where hosts are directories of one machine (demo, tests);
    sudo does not let it through.
    """
    given = os.environ.get("ORCHESTRATOR_STATE_DIRECTORY", "")
    if os.path.isabs(given):
        return given
    if os.geteuid() == 0:
        return "/var/lib/gitops-orchestrator"
    base = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(base):
        base = os.path.expanduser("~/.local/state")
    if not os.path.isabs(base):
        raise Problem(
            "host",
            "nobody knows the home directory of uid {}".format(os.geteuid()),
            "give that user one in /etc/passwd or HOME, or deploy as another (become)",
        )
    return os.path.join(base, "gitops-orchestrator")


def placement_directory(identity, application, deployment_path):
    """The directory of one placement's receipt."""
    key = hashlib.sha256("\0".join([identity, application, deployment_path]).encode()).hexdigest()[:12]
    environment = identity.rsplit("/", 1)[-1]
    return os.path.join(state_root(), "placements", "--".join([environment, application, key]))


def new_receipt(identity, application, deployment_path):
    """An empty receipt.

    `releases` maps a directory name to `release` (the plan's name for it), `version`, `artifact_sha256`,
    `tree_sha256`, `size_bytes`, `configuration_digest`, `state` (staged, active, healthy, bad), `sequence`
    (grows with each staging and each switch), `staged_at` and `activated_at` (the controller's clock).
    A release that is a service has `service` (a configuration, see `services.py`) and `secrets_fingerprint` too;
    `units` and `process`, see `processes.py`, are of the placement. `once` has the commands that ran there for its
    artifact, once for all hosts.
    `live` is what the last switch meant to make live: `directory`, `previous` (a directory or ""), `proven`
    (it was live and healthy before that run), `restore` (what it was configured with then, where switching back goes
    no further), `run`, `commit`, `plan_id`, `actor`, `time`; after a takeover `adopted`: where what was live before
    is (`kept`, a directory, or `link`, where `current` led), and the receipt's `process` and `units` of before.
    `undone` is there when the last switch was gone back from: by which `run` and `phase`, and why (`reason`), from that
    `directory`, `to` which one (the same: configured as before; "": none; None: what was not ours).
    `staged` is what the last staging offers to activation: `run`, `directory`.
    """
    return {
        "format": FORMAT,
        "identity": identity,
        "application": application,
        "deployment_path": deployment_path,
        "sequence": 0,
        "releases": {},
        "live": None,
        "staged": None,
    }


def unrecorded(name):
    """The record of a release that is there although no receipt knows it: its receipt was lost."""
    return {
        "release": name,
        "version": re.sub(r"-[0-9a-f]{12}([.][0-9]+)?$", "", name),
        "artifact_sha256": "",
        "tree_sha256": "",
        "size_bytes": 0,
        "configuration_digest": "",
        "state": "active",
        "sequence": 0,
        "staged_at": "",
        "activated_at": "",
    }


def read_receipt(directory):
    """The receipt in that directory, or None.

    Raises:
        Problem: it is no receipt, or a newer orchestrator's.
    """
    try:
        with open(os.path.join(directory, "receipt.json"), encoding="utf-8") as file:
            receipt = json.load(file)
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError):
        receipt = None
    written = receipt.get("format") if isinstance(receipt, dict) else None
    if isinstance(written, int) and written > FORMAT:
        raise Problem(
            "conflict",
            "the receipt in {} was written by a newer orchestrator".format(directory),
            "use that version or a later one",
        )
    if not _is_receipt(receipt):
        raise Problem(
            "conflict",
            "the receipt in {} is not readable".format(directory),
            "move that directory away; the next deployment stages and verifies everything again",
        )
    return receipt


def forget_process(receipt, name):
    """The receipt does not say any more what the process was started with, unless it is the release of that name.

    Between a switch of the link and the restart that follows, a boot starts what the link leads to.
    """
    process = receipt.get("process")
    if process and process["directory"] != name:
        receipt["process"] = dict(process, directory="")


def _is_receipt(value):
    releases = value.get("releases") if isinstance(value, dict) else None
    return (
        isinstance(releases, dict)
        and _has(value, {"identity": str, "application": str, "deployment_path": str, "sequence": int})
        and all(_has(record, RECORD) for record in releases.values())
        and all(value.get(key, "") is None or _has(value.get(key), FIELDS[key]) for key in FIELDS)
    )


def _has(value, fields):
    return isinstance(value, dict) and all(isinstance(value.get(key), kind) for key, kind in fields.items())


def write_receipt(directory, receipt):
    """The receipt is on disk, whole, or the old one still is."""
    write_json(os.path.join(directory, "receipt.json"), receipt)


def write_json(path, value):
    """A private file is replaced at once, and survives a power cut."""
    make_private(os.path.dirname(path))
    temporary = path + ".new"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            # At once: `json.dump` is the same in pure Python, and a release may have thousands of members.
            file.write(json.dumps(value, sort_keys=True, separators=(",", ":")) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        # A write that fails does not say where.
        error.filename = error.filename or path
        raise
    os.replace(temporary, path)
    sync_directory(os.path.dirname(path))


def make_private(path):
    """The directory exists; what of its path is missing is made for us alone, whatever the umask says."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for one in reversed(missing):
        with contextlib.suppress(FileExistsError):
            os.mkdir(one, 0o700)


def sync_directory(path):
    """Renames inside that directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def all_receipts(environment=""):
    """Every (directory, receipt) of this host, whoever owns it; unreadable ones are left out.

    Args:
        environment: a receipt of an environment of that name must not be left out: nothing is known of its
            placement, and nothing would be said of it.
    """
    base = os.path.join(state_root(), "placements")
    try:
        names = sorted(os.listdir(base))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        directory = os.path.join(base, name)
        try:
            receipt = read_receipt(directory)
        except (Problem, OSError):
            if environment and name.startswith(environment + "--"):
                raise
            continue
        if receipt is not None:
            yield directory, receipt
