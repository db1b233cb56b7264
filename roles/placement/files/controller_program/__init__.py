"""The controller's half of a phase: what the action plugin does before and after it asks the host.

Python 3.11 and later, and what ansible-core brings; loaded by path, since a role has no importable package.
"""
