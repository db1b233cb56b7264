"""A unit that runs is taken over with its application: never restarted, never written, and systemd is told nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from host_program import processes, receipts

from tests.edges.fake_systemd import FakeSystemd
from tests.edges.host import IDENTITY, Host
from tests.edges.test_kills import UNHEALTHY
from tests.edges.test_services import UNIT, service, systemd

__all__ = ["systemd"]
THEIRS = {"adopt": True, "exec": None, "user": None, "unit": "legacy", "stable_seconds": 0}


def adopting(host: Host, version: str = "1", **more: Any) -> dict[str, Any]:
    return {**service(host, version, **more), "action": "adopt"}


def by_hand(host: Host, version: str = "1") -> None:
    current = host.path / "current"
    current.mkdir(parents=True)
    (current / "app").write_text(f"{version} ")
    (current / "app").chmod(0o755)


def install(systemd: FakeSystemd, name: str, text: str, *verbs: str) -> None:
    """The unit file is there, and systemd was told these things about it."""
    (systemd.units / name).write_text(text)
    for verb in ("daemon-reload", *verbs):
        subprocess.run(["systemctl", verb, name], check=True)
    systemd.calls()


def receipt(host: Host) -> dict[str, Any]:
    found: dict[str, Any] = receipts.read_receipt(
        receipts.placement_directory(IDENTITY, "site", str(host.path))
    )
    return found


def test_unit_that_stays_as_it_is_goes_on_and_the_next_release_restarts_it(
    host: Host, systemd: FakeSystemd
) -> None:
    by_hand(host)
    install(systemd, "legacy.service", f"[Service]\nExecStart={host.path}/current/app\n", "restart")
    before = systemd.state("legacy.service")
    assert host.phase("stage", adopting(host, service=THEIRS), check=True)["problem"] is None
    assert host.deploy(adopting(host, service=THEIRS))["result"] == "healthy"
    assert (systemd.calls(), systemd.state("legacy.service")) == ([], before)
    assert host.observe()[0]["problems"] == []
    assert host.deploy(service(host, "1", service=THEIRS))["result"] == "unchanged"
    assert systemd.calls() == []
    assert host.deploy(service(host, "2", service=THEIRS))["result"] == "healthy"
    assert systemd.calls() == ["restart legacy.service"]


def test_unit_that_is_what_we_would_write_is_ours_from_then_on(host: Host, systemd: FakeSystemd) -> None:
    by_hand(host)
    placement = adopting(host)
    install(systemd, UNIT, placement["service"]["unit_file"], "enable", "restart")
    before, file = systemd.state(UNIT), (systemd.units / UNIT).stat()
    assert host.deploy(placement)["result"] == "healthy"
    assert (systemd.calls(), systemd.state(UNIT)) == ([], before)
    assert (systemd.units / UNIT).stat() == file
    assert (receipt(host)["units"], host.observe()[0]["problems"]) == ([UNIT], [])
    assert host.deploy(service(host, "1"))["result"] == "unchanged"
    assert host.deploy(service(host, "2", variables={"A": "1"}))["result"] == "healthy"
    assert systemd.runs(UNIT)
    assert host.phase("absent", service(host, "2"))["result"] == "absent"
    assert (systemd.runs(UNIT), list(systemd.units.iterdir())) == (None, [])


def refused(host: Host, systemd: FakeSystemd, placement: dict[str, Any]) -> str:
    check, answer = host.phase("stage", placement, check=True), host.deploy(placement)
    assert check["problem"] == answer["problem"] is not None
    assert systemd.calls() == []
    assert (host.path / "current" / "app").read_text() == "1 "
    assert not (host.path / "current").is_symlink()
    return str(answer["problem"]["message"] + " | " + answer["problem"]["resolution"])


def test_unit_that_differs_is_refused_and_no_value_of_it_is_shown(host: Host, systemd: FakeSystemd) -> None:
    by_hand(host)
    placement = adopting(host)
    ours = placement["service"]["unit_file"]
    theirs = ours.replace("UMask=", "Environment=PASSWORD=hunter2\nUMask=9").replace("PrivateTmp=", "#")
    install(systemd, UNIT, theirs, "enable", "restart")
    message = refused(host, systemd, placement)
    assert "[Service]Environment is only there" in message
    assert "[Service]PrivateTmp is missing there (ours: PrivateTmp=" in message
    assert "[Service]UMask is another there (ours: UMask=" in message
    assert "hunter2" not in message
    assert "`service`: {`unit`: site.service, `adopt`: true}" in message
    install(systemd, UNIT, f"# mine\n{ours}", "enable", "restart")
    assert "its comments, or the order of its lines, are others" in refused(host, systemd, placement)
    install(systemd, UNIT, "[Service]\n" + "".join(f"A{number}=1\n" for number in range(9)))
    assert "more settings differ" in refused(host, systemd, placement)


def test_unit_that_does_not_run_as_it_would_is_refused(host: Host, systemd: FakeSystemd) -> None:
    by_hand(host)
    placement = adopting(host)
    assert "systemd has no site.service whose process could go on running" in refused(
        host, systemd, placement
    )
    assert "systemd has no legacy.service" in refused(host, systemd, adopting(host, service=THEIRS))
    ours = placement["service"]["unit_file"]
    install(systemd, UNIT, ours)
    message = refused(host, systemd, placement)
    assert "site.service is inactive (dead)" in message
    assert "it does not start at boot (`systemctl enable site.service`)" in message
    install(systemd, UNIT, ours, "enable", "restart")
    (systemd.units / UNIT).write_text(ours + "# later\n")
    assert "changed since systemd read it (`systemctl daemon-reload`)" in refused(host, systemd, placement)
    install(systemd, UNIT, ours)
    message = refused(host, systemd, adopting(host, variables={"A": "1"}))
    assert "[Service]EnvironmentFile is missing there" in message


def test_file_in_another_place_is_no_unit_of_ours(
    host: Host, systemd: FakeSystemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_hand(host)
    placement = adopting(host)
    install(systemd, UNIT, placement["service"]["unit_file"], "enable", "restart")
    from host_program import units

    monkeypatch.setattr(units, "UNIT_DIRECTORY", "/etc/systemd/system")
    assert f"its file is {systemd.units}/{UNIT}, and would be /etc/systemd/system/{UNIT}" in refused(
        host, systemd, placement
    )


def test_takeover_that_is_not_healthy_leaves_the_unit_running_and_not_ours(
    host: Host, systemd: FakeSystemd
) -> None:
    by_hand(host)
    placement = adopting(host, healthcheck=UNHEALTHY)
    install(systemd, UNIT, placement["service"]["unit_file"], "enable", "restart")
    before = systemd.state(UNIT)
    assert host.deploy(placement)["result"] == "switched_back"
    assert (systemd.calls(), systemd.state(UNIT)) == ([], before)
    assert (receipt(host)["units"], receipt(host)["process"]) == ([], None)
    assert not (host.path / "current").is_symlink()


@pytest.mark.parametrize("action", ["verify", "adopt"])
@pytest.mark.parametrize("claims", [False, True])
def test_takeover_that_died_before_the_process_was_recorded_is_gone_on_with_without_a_restart(
    host: Host, systemd: FakeSystemd, monkeypatch: pytest.MonkeyPatch, claims: bool, action: str
) -> None:
    by_hand(host)
    settings: dict[str, Any] = {} if claims else {"service": THEIRS}
    placement = adopting(host, **settings)
    unit = UNIT if claims else "legacy.service"
    text = placement["service"]["unit_file"] or f"[Service]\nExecStart={host.path}/current/app\n"
    install(systemd, unit, text, "enable", "restart")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(processes, "_take_over", die)
        with pytest.raises(KeyboardInterrupt):
            host.deploy(placement)
    assert (host.path / "current").is_symlink()
    assert host.observe()[0]["state"] == "active"
    again = {**service(host, "1", **settings), "action": action}
    assert host.deploy(again)["result"] == "healthy"
    assert systemd.calls() == []
    assert host.deploy(service(host, "1", **settings))["result"] == "unchanged"
    assert (receipt(host)["process"] is not None, host.observe()[0]["problems"]) == (True, [])


def test_second_attempt_that_is_not_healthy_gives_back_what_was_there_before_the_first(
    host: Host, systemd: FakeSystemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    from host_program import adoption

    by_hand(host)
    placement = adopting(host, healthcheck=UNHEALTHY)
    install(systemd, UNIT, placement["service"]["unit_file"], "enable", "restart")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(adoption, "take", die)
        with pytest.raises(KeyboardInterrupt):
            host.deploy(placement)
    assert receipt(host)["units"] == [UNIT]
    answer = host.phase("absent", service(host, "1"))
    assert answer["problem"]["kind"] == "conflict"
    assert systemd.calls() == [], "what was not taken over is not removed"
    assert host.deploy(placement)["result"] == "switched_back"
    assert (receipt(host)["units"], Path(systemd.units / UNIT).exists()) == ([], True)
