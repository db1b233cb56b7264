"""Whether a directory that somebody else made is a release: its files against those that the release has.

That directory may be anybody's: no link in it is followed, and nothing in it is waited for.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat

from host_program import layout, trees

SHOWN_DIFFERENCES = 5
CHUNK_BYTES = 1 << 20
RENDERED = "rendered"


class Comparison:
    """What was found.

    Attributes:
        count: how many differences there are.
        differences: the first of them, one sentence each.
        others: how many files and directories have another owner or mode than in the release.
        example: one of these.
    """

    def __init__(self):
        self.count, self.differences, self.others, self.example = 0, [], 0, ""

    def add(self, path, what):
        self.count += 1
        if len(self.differences) < SHOWN_DIFFERENCES:
            self.differences.append("{} {}".format(trees.shown(path), what))

    def hold_against(self, path, status, entry):
        """Notes another owner or mode, which is no difference."""
        found = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
        wanted = (entry["mode"], entry.get("uid", os.geteuid()), entry.get("gid", os.getegid()))
        if found != wanted:
            self.others += 1
            said = "{}: {:04o} of {}:{} becomes {:04o} of {}:{}"
            self.example = self.example or said.format(trees.shown(path), *found, *wanted)

    def describe_differences(self):
        more = self.count - len(self.differences)
        said = "; ".join(self.differences) + ("; and {} more".format(more) if more else "")
        return "{} difference{}: {}".format(self.count, "s" if self.count > 1 else "", said)

    def describe_others(self):
        """Empty when all have the same."""
        if not self.others:
            return ""
        return "owner or mode of {} of its files and directories will be the release's ({})".format(
            self.others, self.example
        )


def compare(tree, entries, shared):
    """The `Comparison` of that directory with the entries of a release.

    Args:
        tree: a directory, no link.
        shared: paths that are left out, with all below them.
    """
    comparison, found = Comparison(), set()
    for folder, directories, files, descriptor in os.fwalk(tree, onerror=_raise, follow_symlinks=False):
        at = os.path.relpath(folder, tree)
        left_out = set()
        for name in sorted([*directories, *files]):
            path = name if at == "." else posixpath.join(at, name)
            if path in shared:
                left_out.add(name)
                continue
            found.add(path)
            entry, status = entries.get(path), os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            what = _difference(entry, status, name, descriptor)
            if what:
                comparison.add(path, what)
                left_out.add(name)
            elif "mode" in entry:
                comparison.hold_against(path, status, entry)
        directories[:] = sorted(set(directories) - left_out)
    spared = {above for path in shared for above in _above(path)} | set(shared)
    for path in sorted(set(entries) - found - spared):
        above = posixpath.dirname(path)
        if not above or above in found:
            comparison.add(path, "is missing")
    return comparison


def foresee(placement, entries):
    """The entries that the release of that artifact is going to have, as far as they can be told beforehand.

    A file whose text is not rendered yet has the type RENDERED; whatever is there is not compared with it.
    """
    foreseen = {path: dict(entry) for path, entry in entries.items()}
    for template in placement.get("templates", ()):
        path, content = template["path"], template.get("text", "").encode("utf-8", "surrogatepass")
        old = foreseen.get(path, {}).get("mode", 0o644)
        mode = int(template["mode"], 8) if template.get("mode") else old
        digest = hashlib.sha256(content).hexdigest()
        foreseen[path] = {"type": "file", "mode": mode, "size": len(content), "sha256": digest}
        if "text" not in template:
            foreseen[path] = {"type": RENDERED}
    named = [one["path"] for key in ("templates", "shared_paths") for one in placement.get(key, ())]
    for above in [above for path in named for above in _above(path)]:
        foreseen.setdefault(above, {"type": "directory", "mode": 0o755})
    layout.owned(placement, foreseen)
    return foreseen


def _above(path):
    """The directories that the path lies in."""
    while posixpath.dirname(path):
        path = posixpath.dirname(path)
        yield path


def _difference(entry, status, name, descriptor):
    """What is different about that name in the directory behind the descriptor; empty when nothing is."""
    kind = _kind(status)
    if entry is None:
        return "is only there"
    if entry["type"] == RENDERED:
        return ""
    if kind != entry["type"]:
        return "is a {}, and a {} in the release".format(kind, entry["type"])
    if kind == "link":
        target = os.readlink(name, dir_fd=descriptor)
        if target != entry["target"]:
            return "leads to {}, and to {} in the release".format(
                trees.shown(target), trees.shown(entry["target"])
            )
    elif kind == "file" and not (
        status.st_size == entry["size"] and _sha256(name, descriptor) == entry["sha256"]
    ):
        return "has other content"
    return ""


def _kind(status):
    for kind, is_kind in (("link", stat.S_ISLNK), ("directory", stat.S_ISDIR), ("file", stat.S_ISREG)):
        if is_kind(status.st_mode):
            return kind
    return "device, socket or pipe"


def _sha256(name, descriptor):
    """Of a file that was one a moment ago: what takes its place meanwhile is neither followed nor waited for."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    hasher = hashlib.sha256()
    with os.fdopen(os.open(name, flags, dir_fd=descriptor), "rb", buffering=0) as file:
        for chunk in iter(lambda: file.read(CHUNK_BYTES), b""):
            hasher.update(chunk)
    return hasher.hexdigest()


def _raise(error):
    raise error
