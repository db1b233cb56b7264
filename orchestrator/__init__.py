"""GitOps deployments of versioned artifacts to ordinary hosts."""

__version__ = "0.1.0"
