"""Whether a terminal gets colours, see https://no-color.org."""

from __future__ import annotations

import os


def wants_no_colour() -> bool:
    """Whether the user has said so, or the terminal has none."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
