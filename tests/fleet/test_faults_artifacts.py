"""Artifact servers that stall, cut off, answer with error pages or lie. Each test ends by looking at every host."""

from __future__ import annotations

from tests.fleet import stepping
from tests.fleet.lying import LyingServer
from tests.fleet.promises import Promises


def test_artifact_server_that_stalls_cuts_off_or_lies(promises: Promises) -> None:
    """To one host: the other has a verified copy, and does not switch alone. What broke once goes on by itself."""
    server = promises.deployments.server
    assert isinstance(server, LyingServer)
    lies = server.lies
    promises.publish_numbers(3)
    promises.deployments.release("0")
    promises.deploy()
    # Hosts wait a second for the next byte, not half a minute.
    stepping.replace(promises.hosts[0], "STALL_SECONDS = 30", "STALL_SECONDS = 1")
    lies.to = (promises.hosts[0].address,)
    promises.deployments.release("1")
    for lies.how, code, words in (
        ("stalls", 16, "timed out"),
        ("truncates", 16, "early"),
        ("page", 14, "has the SHA-256"),
        ("other", 14, "somebody replaced the artifact"),
    ):
        assert words in promises.deploy(expect=code)["output"], lies.how
        assert promises.live() == ["0", "0"]
        promises.kept()
    for lies.how, version in (("stalls", "1"), ("truncates", "2")):
        lies.left, lies.told = 1, 0
        promises.deployments.release(version)
        promises.deploy()
        assert (lies.told, promises.live()) == (1, [version] * 2)
    promises.converged("2")
