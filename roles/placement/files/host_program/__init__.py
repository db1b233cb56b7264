"""What runs on a host: one phase's work for all placements of that host, in one round trip.

Standard library only, Python 3.9 and later. The action plugin `placement_phase` pipes these modules and one
request to the host's `python3`; nothing is installed there. Modules are imported when they are needed, so
that asking a host costs little.
"""
