"""Artifact servers that stall, cut off, answer with error pages or lie. Each test ends by looking at every host."""

from __future__ import annotations

import pytest

from tests.fleet import stepping
from tests.fleet.lying import LyingServer
from tests.fleet.promises import Promises


@pytest.fixture
def liar(promises: Promises) -> LyingServer:
    """Version 0 is live, 1 is what git asks for; hosts wait a second for the next byte, not half a minute."""
    server = promises.deployments.server
    assert isinstance(server, LyingServer)
    promises.publish_numbers(2)
    promises.deployments.release("0")
    promises.deploy()
    promises.deployments.release("1")
    stepping.replace(promises.hosts[0], "STALL_SECONDS = 30", "STALL_SECONDS = 1")
    server.lies.to = (promises.hosts[0].address,)
    return server


@pytest.mark.parametrize(
    ("how", "code", "words"),
    [
        ("stalls", 16, "timed out"),
        ("truncates", 16, "early"),
        ("page", 14, "has the SHA-256"),
        ("other", 14, "somebody replaced the artifact"),
    ],
)
def test_artifact_server_that_misbehaves_towards_one_host(
    promises: Promises, liar: LyingServer, how: str, code: int, words: str
) -> None:
    liar.lies.how = how
    said = promises.deploy(expect=code)["output"]
    assert words in said
    assert liar.lies.told >= 1
    # The other host has a verified copy, and does not switch alone.
    assert promises.live() == ["0", "0"]
    promises.kept()
    liar.lies.how = ""
    promises.deploy()
    promises.converged("1")


@pytest.mark.parametrize("how", ["stalls", "truncates"])
def test_download_that_broke_once_goes_on_by_itself(promises: Promises, liar: LyingServer, how: str) -> None:
    liar.lies.how, liar.lies.left = how, 1
    promises.deploy()
    assert liar.lies.told == 1
    promises.converged("1")
