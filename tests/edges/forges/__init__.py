"""Doubles of forges' APIs: servers over HTTP, written from the forges' documentation, that know what the orchestrator uses."""
