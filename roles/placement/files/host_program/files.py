"""Phase `fetch`: one verified file at a path of the caller's choice, for the role `artifact`."""

from __future__ import annotations

import os
import re

from host_program import fetch, receipts, staging, trees
from host_program.paths import refuse_controlled, refuse_unwritable
from host_program.problems import Problem


def install_file(placement, request):
    """The file at `path` has the artifact's SHA-256 and the mode `mode` (an octal string)."""
    path, artifact = placement["path"], placement["artifact"]
    mode, parent = _mode(placement["mode"]), os.path.dirname(path)
    staging.require_absolute(path)
    refuse_controlled(parent)
    if os.path.isdir(path) or os.path.islink(path):
        raise Problem("conflict", "{} is no plain file".format(path), "move it away, or choose another path")
    if os.path.isfile(path) and trees.file_sha256(path) == artifact["sha256"]:
        same_mode = os.stat(path).st_mode & 0o7777 == mode
        if not same_mode and not request["check"]:
            os.chmod(path, mode)
        return {"changed": not same_mode, "message": "{} is there already".format(path)}
    refuse_unwritable(parent, (artifact["size_bytes"] or 0) + staging.EXTRA_BYTES, 2)
    if request["check"]:
        if artifact["delivery"] == "host":
            header = fetch.authorization(artifact.get("credentials"), request["secrets"])
            fetch.open_patiently(artifact["location"], header).close()
        elif artifact.get("local"):
            staging.look_into({**artifact, "packing": "file"}, {})
        return {"changed": True, "message": "would fetch {}".format(path)}
    if artifact["delivery"] == "controller" and not artifact.get("local"):
        return {"changed": True, "upload": True, "message": "the controller sends the artifact"}
    staging.make_directory(parent)
    refuse_controlled(parent)
    temporary = os.path.join(parent, ".{}.{}".format(os.path.basename(path), os.urandom(8).hex()))
    try:
        fetch.fetch(artifact, request["secrets"], temporary)
        os.chmod(temporary, mode)
        trees.sync_file_system(temporary)
        os.rename(temporary, path)
    except OSError as error:
        error.filename = error.filename or parent
        raise
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
    receipts.sync_directory(parent)
    return {"changed": True, "message": "fetched {}".format(path)}


def _mode(text):
    if not re.fullmatch("[0-7]{3,4}", text):
        raise Problem(
            "unsupported", "{!r} is no file mode".format(text), 'write it in quotes and octal, such as "0644"'
        )
    return int(text, 8)
