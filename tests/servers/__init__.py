"""Tests against real servers that a machine may have; `make test` does not need them, see docs/forges.md."""
