"""Using an artifact while it comes: one pass over its bytes, none of which lies on the disk by itself."""

from __future__ import annotations

import hashlib
import shutil

from host_program import archives, fetch, trees
from host_program.problems import Problem


def unpack(artifact, secrets, unpacked):
    """The tree of an archive, unpacked while it comes and verified when all of it has come; None where it cannot be.

    Without its size nobody could say whether it unpacks to absurdly more; one that unpacks to much more is verified
    first. A zip that is no good, or that has to be read from its end, comes again for that, and what the controller
    sends comes once.
    """
    is_zip = artifact["packing"] == "zip"
    is_sent = "upload" in artifact or artifact.get("local")
    if artifact["packing"] not in ("tar", "zip") or not artifact["size_bytes"] or artifact.get("image"):
        return None
    if is_zip and is_sent:
        return None
    trees.make_root(unpacked)
    # What the controller sends was looked at there.
    ratio = archives.MAX_RATIO if is_sent else archives.MAX_RATIO_UNVERIFIED
    tree = archives.Tree(unpacked, artifact["size_bytes"], artifact["strip_components"], ratio=ratio)
    arriving = Arriving(artifact, secrets)
    try:
        if is_zip:
            from host_program import zip_stream

            zip_stream.unpack(arriving, tree)
        else:
            _unpack_tar(arriving, tree)
        tree.finish()
    except Problem as problem:
        doubtful = problem.kind == "archive" and (is_zip or (tree.is_too_much and not is_sent))
        mixed = problem.kind in ("archive", "checksum") and arriving.began_anew
        if not doubtful and not mixed:
            raise
        arriving.close()
        shutil.rmtree(unpacked)
        return None
    return tree


def _unpack_tar(arriving, tree):
    try:
        archives.unpack_tar(arriving, tree)
    except Problem as problem:
        if problem.kind == "archive":
            arriving.verify()  # that these are other bytes says more
        raise
    arriving.verify()


class Arriving:
    """An artifact's bytes as a file that is read once, while they come; hashed on the way.

    Attributes:
        began_anew: a server could not go on where the connection broke. What was here already was not read again, so
            that bytes of two versions may have come together; then `verify` says so.

    Args:
        artifact, secrets: as for `fetch`.
    """

    def __init__(self, artifact, secrets):
        self._artifact, self._source = artifact, fetch.source_of(artifact, secrets)
        self._hasher, self._seen, self._rest = hashlib.sha256(), 0, memoryview(b"")
        self.began_anew = False

    def read(self, size):
        """The next bytes, so many where that many are left."""
        if len(self._rest) >= size:
            data, self._rest = self._rest[:size], self._rest[size:]
            return bytes(data)
        parts = [bytes(self._rest)]
        missing = size - len(self._rest)
        self._rest = memoryview(b"")
        while missing > 0:
            piece = self.piece()
            if not piece:
                break
            parts.append(piece[:missing])
            self._rest = memoryview(piece)[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)

    def close(self):
        """Nothing more is wanted."""
        self._source.close()

    def verify(self):
        """Everything has come, and is what was asked for.

        Raises:
            Problem: it cannot be had, or is something else.
        """
        while self.piece():
            pass
        fetch.compare(self._artifact, self._hasher.hexdigest(), self._seen)

    def piece(self):
        """The next bytes as they come, for whoever does not `read`; none at the end."""
        for offset, piece in self._source:
            self.began_anew = self.began_anew or offset < self._seen
            fresh = piece[self._seen - offset :]
            if fresh:
                self._hasher.update(fresh)
                self._seen += len(fresh)
                return fresh
        return b""
