"""The host program and services, with a stand-in for systemd; `tests/fleet/test_service.py` has the real one."""

from __future__ import annotations

import json
import os
import pwd
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from controller_program import placements, services
from host_program import receipts, units

from tests.edges.fake_systemd import FakeSystemd
from tests.edges.host import IDENTITY, Host, make_zip
from tests.edges.test_kills import DYING, PROGRAM, UNHEALTHY

UNIT = "site.service"
USER = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def systemd(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSystemd:
    fake = FakeSystemd(tmp_path / "systemd")
    monkeypatch.setenv("PATH", fake.path)
    monkeypatch.setattr(units, "UNIT_DIRECTORY", str(fake.units))
    monkeypatch.setattr(units, "SYSTEMD", str(fake.root))
    monkeypatch.setattr(units, "is_root", lambda: True)
    return fake


def service(
    host: Host, version: str, program: str = "", *, values: dict[str, str] | None = None, **more: Any
) -> dict[str, Any]:
    """A placement of the service `site`, as the action plugin makes it, its artifact on the host already."""
    settings = {"exec": "{current}/app", "user": USER, "stable_seconds": 0.3, **more.pop("service", {})}
    archive = make_zip(
        {"app": f"{version} {program}"},
        lambda info: setattr(info, "external_attr", (stat.S_IFREG | 0o755) << 16),
    )
    artifact = host.publish(f"site-{version}.zip", archive)
    local = {
        "delivery": "controller",
        "local": True,
        "location": str(host.store / "raw" / f"site-{version}.zip"),
    }
    placement = host.placement(version, {**artifact, **local, "credentials": {}}, service=settings, **more)
    del placement["release"], placement["configuration_digest"]
    made = placements.normalise(placement, "stage")
    services.fill_in_secrets(made, "stage", IDENTITY, values or {})
    return made


def receipt(host: Host) -> dict[str, Any]:
    found: dict[str, Any] = receipts.read_receipt(directory(host))
    return found


def directory(host: Host) -> str:
    return receipts.placement_directory(IDENTITY, "site", str(host.path))


def configurations(host: Host) -> set[str]:
    folder = Path(directory(host)) / "services"
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def test_unit_is_installed_enabled_and_started_once(host: Host, systemd: FakeSystemd) -> None:
    one = service(host, "1", variables={"A": "x"})
    assert host.deploy(one)["result"] == "healthy"
    text = (systemd.units / UNIT).read_text()
    assert f"EnvironmentFile={directory(host)}/services/" in text
    assert systemd.runs(UNIT) == {"unit": text, "program": "1 "}
    assert systemd.calls() == ["daemon-reload", f"enable {UNIT}", f"restart {UNIT}"]
    assert (host.observe()[0]["running"], host.observe()[0]["problems"]) == ("active", [])
    assert host.observe()[0]["service_digest"] == one["service"]["digest"]
    assert host.deploy(one)["result"] == "unchanged"
    assert systemd.calls() == []
    assert host.deploy(service(host, "2", variables={"A": "x"}))["result"] == "healthy"
    assert systemd.calls() == [f"restart {UNIT}"]


def test_only_what_matters_restarts(host: Host, systemd: FakeSystemd) -> None:
    reload = {"on_release": "reload", "reload_exec": "/bin/kill -HUP ${MAINPID}"}
    host.deploy(service(host, "1", service=reload))
    systemd.calls()
    assert host.deploy(service(host, "1", service=reload, keep_releases=2))["result"] == "healthy"
    assert systemd.calls() == []
    assert host.deploy(service(host, "2", service=reload))["result"] == "healthy"
    assert systemd.calls() == [f"reload {UNIT}"]
    assert host.deploy(service(host, "2", service=reload, variables={"A": "1"}))["result"] == "healthy"
    assert systemd.calls() == ["daemon-reload", f"restart {UNIT}"]


@pytest.mark.parametrize("program", ["broken", "dies"])
def test_release_that_does_not_run_on_is_switched_back_with_unit_and_variables(
    host: Host, systemd: FakeSystemd, program: str
) -> None:
    host.deploy(service(host, "1", variables={"A": "1"}))
    before = systemd.runs(UNIT)
    answer = host.deploy(service(host, "2", program, variables={"A": "2"}))
    assert answer["result"] == "switched_back"
    assert UNIT in answer["message"]
    assert systemd.runs(UNIT) == before
    assert host.deploy(service(host, "1", variables={"A": "1"}))["result"] == "unchanged"


def test_settings_that_do_not_get_healthy_are_switched_back(host: Host, systemd: FakeSystemd) -> None:
    host.deploy(service(host, "1", variables={"A": "1"}))
    before, digest = systemd.runs(UNIT), host.observe()[0]["configuration_digest"]
    answer = host.deploy(service(host, "1", variables={"A": "2"}, healthchecks=[UNHEALTHY]))
    assert answer["result"] == "unknown"
    assert "configured as before again" in answer["message"]
    assert systemd.runs(UNIT) == before
    assert host.observe()[0]["configuration_digest"] == digest


def test_batch_that_failed_takes_new_settings_back(host: Host, systemd: FakeSystemd) -> None:
    host.deploy(service(host, "1", variables={"A": "1"}))
    before = systemd.runs(UNIT)
    other = service(host, "1", variables={"A": "2"})
    assert host.deploy(other)["result"] == "healthy"
    for _ in range(2):
        assert host.phase("rollback", other)["result"] == "switched_back"
        assert systemd.runs(UNIT) == before


def test_first_release_that_is_broken_leaves_nothing_running(host: Host, systemd: FakeSystemd) -> None:
    assert host.deploy(service(host, "1", "broken"))["result"] == "removed"
    assert systemd.runs(UNIT) is None
    assert list(systemd.units.iterdir()) == []
    assert receipt(host)["units"] == []


def test_health_asked_by_the_controller_does_not_hide_a_process_that_died(
    host: Host, systemd: FakeSystemd
) -> None:
    host.deploy(service(host, "1"))
    two = service(host, "2", healthchecks=[{**UNHEALTHY, "origin": "once"}])
    assert host.deploy(two)["result"] == "active"
    subprocess.run(["systemctl", "stop", UNIT], check=True)
    answer = host.phase("confirm", {**two, "healthy": True, "message": "answered 200"})
    assert answer["result"] == "switched_back"
    assert "is inactive" in answer["message"]


def test_secrets_are_in_files_of_root_only(host: Host, systemd: FakeSystemd) -> None:
    secrets = {"secrets": {"KEY": {"env": "K"}}, "values": {"env:K": 's3cret"$'}}
    host.deploy(service(host, "1", **secrets))
    (name,) = configurations(host)
    file = Path(directory(host)) / "services" / name / "secrets.env"
    assert file.read_text() == 'KEY="s3cret\\"\\$"\n'
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == file.parent.parent.stat().st_mode & 0o777 == 0o700
    assert "s3cret" not in json.dumps([receipt(host), host.observe()])
    assert "s3cret" not in (systemd.units / UNIT).read_text()
    first = host.observe()[0]["secrets_fingerprint"]
    assert host.deploy(service(host, "1", **secrets))["result"] == "unchanged"
    other = service(host, "1", secrets=secrets["secrets"], values={"env:K": "other"})
    assert host.deploy(other)["result"] == "healthy"
    assert first != host.observe()[0]["secrets_fingerprint"] != ""
    files = {"service": {"secrets_as": "files"}, **secrets, "values": {"env:K": "two\nlines"}}
    assert host.deploy(service(host, "1", **files))["result"] == "healthy"
    assert "LoadCredential=KEY:" in (systemd.units / UNIT).read_text()
    with pytest.raises(AnsibleActionFail, match="secrets_as") as caught:
        service(host, "1", secrets=secrets["secrets"], values={"env:K": "two\nlines"})
    assert "two" not in str(caught.value).replace("two placements", "")


def test_unit_that_is_not_ours_is_left_alone(host: Host, systemd: FakeSystemd) -> None:
    (systemd.units / UNIT).write_text("[Service]\nExecStart=/bin/true\n")
    answer = host.deploy(service(host, "1"))
    assert answer["problem"]["kind"] == "conflict"
    assert "is not ours" in answer["message"]
    assert (systemd.units / UNIT).read_text() == "[Service]\nExecStart=/bin/true\n"
    assert systemd.calls() == []


def test_unit_of_another_placement_is_refused(host: Host, systemd: FakeSystemd) -> None:
    host.deploy(service(host, "1"))
    host.path = host.path.with_name("other")
    answer = host.deploy(service(host, "1"))
    assert f"{UNIT} belongs to site of {IDENTITY}" in answer["message"]


def test_another_name_takes_the_old_unit_away(host: Host, systemd: FakeSystemd) -> None:
    host.deploy(service(host, "1"))
    assert host.deploy(service(host, "1", service={"unit": "web"}))["result"] == "healthy"
    assert systemd.runs(UNIT) is None
    assert systemd.runs("web.service")
    assert [path.name for path in systemd.units.iterdir()] == ["web.service"]


def test_adopted_unit_is_only_restarted(host: Host, systemd: FakeSystemd) -> None:
    adopt = {"adopt": True, "exec": None, "user": None, "unit": "legacy"}
    assert "no such unit" in host.deploy(service(host, "1", service=adopt))["message"]
    (systemd.root / "app").write_text("legacy")
    text = f"[Service]\nExecStart={systemd.root}/app\n"
    (systemd.units / "legacy.service").write_text(text)
    assert host.deploy(service(host, "1", service=adopt))["result"] == "healthy"
    assert systemd.calls() == ["restart legacy.service"]
    assert host.deploy(service(host, "1", service=adopt))["result"] == "unchanged"
    assert host.phase("absent", service(host, "1", service=adopt))["result"] == "absent"
    assert (systemd.units / "legacy.service").read_text() == text
    assert systemd.runs("legacy.service")


def test_absent_leaves_nothing_of_ours(host: Host, systemd: FakeSystemd) -> None:
    one = service(host, "1", variables={"A": "1"})
    host.deploy(one)
    assert host.phase("absent", one, check=True)["changed"]
    assert systemd.runs(UNIT)
    assert host.phase("absent", one)["result"] == "absent"
    assert (systemd.runs(UNIT), list(systemd.units.iterdir())) == (None, [])
    assert not Path(directory(host)).exists()
    assert not host.path.exists()


def test_bad_unit_is_refused_before_anything_is_switched(host: Host, systemd: FakeSystemd) -> None:
    host.deploy(service(host, "1"))
    systemd.calls()
    answer = host.deploy(service(host, "2", service={"exec": "{current}/missing"}))
    assert f"Command {host.path}/current/missing is not executable" in answer["message"]
    assert systemd.calls() == []
    assert (host.path / "current" / "app").read_text() == "1 "


def test_check_mode_changes_nothing_and_finds_what_stands_in_the_way(
    host: Host, systemd: FakeSystemd
) -> None:
    one = service(host, "1")
    assert host.phase("stage", one, check=True)["changed"]
    assert not host.path.exists()
    assert not Path(directory(host)).exists()
    one["service"]["user"] = "nobody-made-me"
    assert "useradd" in host.phase("stage", one, check=True)["problem"]["resolution"]
    host.deploy(service(host, "1"))
    changed = service(host, "1", variables={"A": "1"})
    before = configurations(host)
    assert host.phase("stage", changed, check=True)["changed"]
    assert host.phase("activate", changed, check=True)["result"] == "healthy"
    assert configurations(host) == before


def test_host_without_systemd_or_rights_is_told(
    host: Host, systemd: FakeSystemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "is_root", lambda: False)
    assert host.deploy(service(host, "1"))["problem"]["kind"] == "permission"
    monkeypatch.setattr(units, "SYSTEMD", str(systemd.root / "none"))
    assert "does not run systemd" in host.deploy(service(host, "1"))["message"]


def test_configurations_go_with_the_releases_that_had_them(host: Host, systemd: FakeSystemd) -> None:
    for number in range(5):
        host.deploy(service(host, str(number), variables={"A": str(number)}, keep_releases=2))
    assert len(configurations(host)) == 2
    host.deploy(service(host, "4", variables={"A": "x"}, keep_releases=2))
    host.deploy(service(host, "4", variables={"A": "y"}, keep_releases=2))
    # What the release before has, what this one has, and what a failed batch would go back to.
    assert len(configurations(host)) == 3


def test_service_that_becomes_a_site_has_no_unit(host: Host, systemd: FakeSystemd) -> None:
    host.deploy(service(host, "1"))
    site = {**service(host, "1"), "service": None, "configuration_digest": "other"}
    assert host.deploy(site)["result"] == "healthy"
    assert (systemd.runs(UNIT), list(systemd.units.iterdir())) == (None, [])
    assert "running" not in host.observe()[0]


def test_drift_is_said(host: Host, systemd: FakeSystemd) -> None:
    one = service(host, "1", variables={"A": "1"})
    host.deploy(one)
    (name,) = configurations(host)
    folder = Path(directory(host)) / "services" / name

    def said() -> str:
        return "; ".join(host.observe()[0]["problems"])

    subprocess.run(["systemctl", "stop", UNIT], check=True)
    assert "is inactive" in said()
    (systemd.units / UNIT).write_text("x")
    assert "was changed by hand" in said()
    (systemd.units / UNIT).unlink()
    assert "is gone" in said()
    (folder / "variables.env").write_text("x")
    assert "variables.env was changed by hand" in said()
    (folder / "variables.env").unlink()
    assert "variables.env is gone" in said()
    again = {**one, "action": "verify"}
    assert host.deploy(again)["result"] == "healthy"
    assert said() == ""
    subprocess.run(["systemctl", "disable", UNIT], check=True)
    assert "does not start at boot" in said()


def requests_of(host: Host, placement: dict[str, Any]) -> list[dict[str, Any]]:
    host.runs += 1
    return [host.request("stage", placement), host.request("activate", placement)]


def run_until(host: Host, systemd: FakeSystemd, step: int, *requests: dict[str, Any]) -> int:
    """The phases, in a process that dies at that step; asking systemd for something is a step too."""
    program = DYING.replace(
        "receipts.state_root = lambda: state",
        "receipts.state_root = lambda: state\n"
        "from host_program import units\n"
        f"units.UNIT_DIRECTORY, units.SYSTEMD = {str(systemd.units)!r}, {str(systemd.root)!r}\n"
        "units.is_root = lambda: True",
    ).replace("CHANGES = {", 'CHANGES = {"subprocess.Popen", ')
    arguments = [str(PROGRAM), receipts.state_root(), str(step), json.dumps(requests)]
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 9), done.stderr
    return done.returncode


@pytest.mark.parametrize(
    ("program", "phase", "stride", "then"),
    [
        ("", "stage", 6, "again"),
        ("", "activate", 1, "again"),
        ("broken", "activate", 2, "reverted"),
        ("", "activate", 1, "reverted"),
        ("", "activate", 1, "booted and reverted"),
    ],
)
def test_host_that_dies_at_any_step_converges(
    host: Host,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    program: str,
    phase: str,
    stride: int,
    then: str,
) -> None:
    """Whether it is asked for the same again, or git has gone back to what was live."""
    base, path, step = host.path, os.environ["PATH"], 1
    while True:
        systemd = FakeSystemd(tmp_path / f"systemd{step}")
        monkeypatch.setenv("PATH", f"{systemd.programs}{os.pathsep}{path}")
        for name, value in (("UNIT_DIRECTORY", str(systemd.units)), ("SYSTEMD", str(systemd.root))):
            monkeypatch.setattr(units, name, value)
        monkeypatch.setattr(units, "is_root", lambda: True)
        monkeypatch.setattr(receipts, "state_root", lambda number=step: str(tmp_path / f"state{number}"))
        host.path = base.with_name(f"site{step}")
        quick: dict[str, Any] = {"service": {"stable_seconds": 0.0}}
        old = service(host, "1", variables={"A": "1"}, **quick)
        # Where variables are the same, nothing but what was started tells both apart.
        values = {"A": "2" if program or then == "again" else "1"}
        new = service(host, "2", program, variables=values, **quick)
        assert host.deploy(old)["result"] == "healthy"
        stage, activate = requests_of(host, new)
        if phase == "activate":
            assert run_until(host, systemd, 0, stage) == 0
        ended = run_until(host, systemd, step, stage if phase == "stage" else activate) == 0
        if then.startswith("booted"):
            subprocess.run(["systemctl", "restart", UNIT], check=True)
        last = new if then == "again" else old
        assert host.deploy(last)["result"] in ("healthy", "unchanged"), step
        running = systemd.runs(UNIT)
        assert running is not None
        assert running["unit"] == (systemd.units / UNIT).read_text()
        assert running["program"] == (host.path / "current" / "app").read_text()
        found = host.observe()[0]
        assert (found["problems"], found["service_digest"]) == ([], last["service"]["digest"])
        assert [one.name for one in systemd.units.iterdir()] == [UNIT]
        assert not any(name.endswith(".new") for name in configurations(host))
        if ended:
            assert step > 15
            return
        step += stride
