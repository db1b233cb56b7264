"""A small web server for one "host" of the demo: it serves what `current` points to, like any document root."""

from __future__ import annotations

import functools
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class Handler(SimpleHTTPRequestHandler):
    """Serves files; says nothing about it."""

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing is printed."""


def main() -> None:
    """`python -m orchestrator.demo.website DIRECTORY`: prints its port, then serves until it is ended."""
    handler = functools.partial(Handler, directory=sys.argv[1])
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        sys.stdout.write(f"{server.server_address[1]}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
