"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes is the machine's affair, and it may be busy.
settings.register_profile("ours", deadline=None)
settings.load_profile("ours")

LONGEST_BYTES_AS_NAME = 40


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Names no case by bytes that a clock may have made: all workers must collect the same names."""
    if isinstance(val, bytes) and len(val) > LONGEST_BYTES_AS_NAME:
        return argname
    return None
