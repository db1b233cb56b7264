"""Artifact repositories: where the artifacts of a deployment are, how large, and with which SHA-256."""

from orchestrator.edges.repositories.locations import Origin, origin_of
from orchestrator.edges.repositories.resolve import resolve_artifacts, resolve_offline

__all__ = ["Origin", "origin_of", "resolve_artifacts", "resolve_offline"]
