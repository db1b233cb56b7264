"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes is the machine's affair, and it may be busy.
settings.register_profile("ours", deadline=None)
settings.load_profile("ours")
