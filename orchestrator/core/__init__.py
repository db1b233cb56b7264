"""The pure core: documents and observed state in, a plan, an inventory and variables out.

Nothing in this package reads files, the network, the clock, the environment or randomness; a test holds
that by looking at its imports.
"""
