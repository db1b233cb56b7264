"""The demo: a Nexus double, small web servers, and a story that is played with real commands."""
