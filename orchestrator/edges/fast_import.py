"""What `git fast-import` reads: a commit with its files in one process, instead of six."""

from __future__ import annotations

from collections.abc import Mapping

# One pack for each commit: unpacking it would be another process.
FAST_IMPORT = ("-c", "fastimport.unpackLimit=1", "fast-import", "--quiet", "--done", "--date-format=raw")
PLAIN = "100644"


def render_commit(
    ref: str,
    signatures: tuple[str, str],
    message: str,
    *,
    parent: str,
    files: Mapping[str, bytes | str | None],
    modes: Mapping[str, str],
) -> bytes:
    """The stream that makes a commit, whose name git then prints.

    Args:
        ref: what is to lead to it; must not exist.
        signatures: author and committer, `NAME <EMAIL> SECONDS ZONE`.
        parent: a commit that is there with its trees; empty: none.
        files: path → content, or the name of a blob that is there, or None: removed.
        modes: of files that are not plain, as git writes them.
    """
    author, committer = signatures
    stream = [f"commit {ref}\nmark :1\nauthor {author}\ncommitter {committer}\n".encode()]
    stream.append(_data(f"{message.rstrip()}\n".encode()))
    if parent:
        stream.append(f"from {parent}\n".encode())
    # Removals first: a file may stand where a directory is to be.
    stream += [f"D {_quoted(path)}\n".encode() for path, content in files.items() if content is None]
    for path, content in files.items():
        if content is None:
            continue
        source = content if isinstance(content, str) else "inline"
        stream.append(f"M {modes.get(path, PLAIN)} {source} {_quoted(path)}\n".encode())
        if isinstance(content, bytes):
            stream.append(_data(content))
    return b"".join((*stream, b"get-mark :1\ndone\n"))


def _data(content: bytes) -> bytes:
    return b"data %d\n%b\n" % (len(content), content)


def _quoted(path: str) -> str:
    """A path, whatever is in it."""
    escaped = (
        chr(one) if 32 <= one < 127 and one not in b'"\\' else f"\\{one:03o}"
        for one in path.encode("utf-8", "surrogateescape")
    )
    return f'"{"".join(escaped)}"'
