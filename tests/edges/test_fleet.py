"""A host program that stays for all requests of a run, and what is done when it does not."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.loader import become_loader
from controller_program import placements
from controller_program.channel import Command
from controller_program.fleet import IDLE_SECONDS, Link
from controller_program.program import command_line, first_line
from host_program import receipts

from tests.edges.host import Host, make_zip

OBSERVATION = {"phase": "observe", "identity": "shop/dev", "verify": False, "placements": [], "run": {}}


def command(*words: str, python: str = sys.executable, become: Any = None, password: str = "") -> Command:
    """The host program of this machine, or other words."""
    line = f"ORCHESTRATOR_STATE_DIRECTORY={shlex.quote(receipts.state_root())} {command_line(python)}"
    return Command(
        words=words or ("sh", "-c", line),
        cwd=None,
        python=python,
        become=become,
        password=password,
        timeout_seconds=5.0,
    )


@pytest.fixture
def links() -> Iterator[list[Link]]:
    made: list[Link] = []
    yield made
    for link in made:
        channel = link._channel
        link.close()
        if channel is not None:
            channel._process.wait(10)


def make_link(links: list[Link], given: Command, *, keeps: bool = True) -> Link:
    links.append(Link(lambda: given, first_line(), keeps=keeps))
    return links[-1]


def pid_of(link: Link) -> int:
    assert link._channel is not None
    return link._channel._process.pid


def test_one_program_answers_all_requests_of_a_run(host: Host, links: list[Link]) -> None:
    link = make_link(links, command())
    artifact = host.publish("site-1.zip", make_zip({"index.html": "1"}))
    assert link.ask(OBSERVATION, ())["observed"] == []
    first = pid_of(link)
    for phase in ("stage", "activate"):
        (done,) = link.ask(host.request(phase, host.placement("1", artifact)), ())["placements"]
        assert done["problem"] is None, done
    assert (host.path / "current" / "index.html").read_text() == "1"
    assert pid_of(link) == first


def test_host_with_another_python_compiles_the_program_itself(host: Host) -> None:
    """The code that travels is of this machine's Python; it is not even looked at where that is another one."""
    program = json.loads(first_line())
    request = json.dumps(OBSERVATION)
    for magic, code in (
        (program["magic"], program["code"]),
        ("00", dict.fromkeys(program["code"], "no code")),
    ):
        told = json.dumps({**program, "magic": magic, "code": code})
        words = command(python=f"{sys.executable} -W ignore").words
        done = subprocess.run(words, input=f"{told}\n{request}\n", capture_output=True, text=True, check=True)
        assert '"observed": []' in done.stdout


def test_program_that_is_not_kept_ends_after_its_answer(host: Host, links: list[Link]) -> None:
    link = make_link(links, command(), keeps=False)
    assert link.ask(OBSERVATION, ())["observed"] == []
    assert link._channel is None


def test_program_that_was_killed_between_two_requests_is_started_again(host: Host, links: list[Link]) -> None:
    link = make_link(links, command())
    link.ask(OBSERVATION, ())
    channel, first = link._channel, pid_of(link)
    assert channel is not None
    os.kill(first, signal.SIGKILL)
    channel._process.wait(10)
    assert link.ask(OBSERVATION, ())["observed"] == []
    assert pid_of(link) != first


def test_program_that_was_silent_for_long_is_not_trusted(host: Host, links: list[Link]) -> None:
    link = make_link(links, command())
    link.ask(OBSERVATION, ())
    channel, first = link._channel, pid_of(link)
    assert channel is not None
    channel.used -= IDLE_SECONDS + 1
    assert link.ask(OBSERVATION, ())["observed"] == []
    assert pid_of(link) != first
    channel._process.wait(10)


def test_connection_that_fails_is_made_once_more_and_then_the_host_is_unreachable(
    tmp_path: Path, links: list[Link]
) -> None:
    script = f"echo >> {tmp_path}/tries; echo 'no route to host' >&2; exit 255"
    with pytest.raises(AnsibleConnectionFailure, match="no route to host"):
        make_link(links, command("sh", "-c", script)).ask(OBSERVATION, ())
    assert (tmp_path / "tries").read_text() == "\n\n"


def test_connection_that_breaks_in_a_phase_is_made_again(
    host: Host, tmp_path: Path, links: list[Link]
) -> None:
    working = command().words[2]
    assert isinstance(working, str)
    script = f"[ -e {tmp_path}/tried ] || {{ touch {tmp_path}/tried; read line; exit 255; }}; {working}"
    assert make_link(links, command("sh", "-c", script)).ask(OBSERVATION, ())["observed"] == []


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ("echo 'python9: not found' >&2; exit 127", "python"),
        ("read line; read line; exit 137", "host"),
        ("exec sleep 0", "host"),
    ],
)
def test_silence_is_a_problem_of_the_host(script: str, kind: str, links: list[Link]) -> None:
    answer = make_link(links, command("sh", "-c", script)).ask(OBSERVATION, ())
    assert answer["problem"]["kind"] == kind


def test_secret_in_what_a_dying_program_says_is_hidden(links: list[Link]) -> None:
    link = make_link(links, command("sh", "-c", "echo s3cret >&2; exit 1"))
    assert "s3cret" not in link.ask(OBSERVATION, ("s3cret",))["problem"]["message"]


FAKE_SUDO = """\
printf '%s' "$PROMPT" >&2
read -r word
[ "$word" = right ] || { echo 'Sorry, try again.' >&2; exit 1; }
echo 'lecture'; echo "$SUCCESS"
"""


def sudo(password: str) -> Command:
    """The program behind something that asks for a password as sudo does."""
    become = become_loader.get("sudo")
    become.set_options(direct={"become_pass": "x"})
    become.prompt, become.success = "[sudo] password:", "BECOME-SUCCESS-x"
    working = command().words[2]
    assert isinstance(working, str)
    names = f"PROMPT={shlex.quote(become.prompt)}; SUCCESS={become.success}"
    return command("sh", "-c", f"{names}\n{FAKE_SUDO}{working}", become=become, password=password)


def test_password_is_given_where_it_is_asked_for(host: Host, links: list[Link]) -> None:
    assert make_link(links, sudo("right")).ask(OBSERVATION, ())["observed"] == []


def test_wrong_password_is_named_and_not_tried_twice(host: Host, links: list[Link]) -> None:
    with pytest.raises(AnsibleActionFail, match="Incorrect sudo password"):
        make_link(links, sudo("wrong")).ask(OBSERVATION, ())


def test_artifacts_of_the_controller_follow_their_request(host: Host, links: list[Link]) -> None:
    """The first is refused before its bytes are read; the second gets its own, and the pipe stays usable."""
    link, made = make_link(links, command()), []
    for number in (1, 2):
        artifact = host.publish(f"site-{number}.zip", make_zip({"index.html": str(number) * 200_000}))
        location = str(host.store / "raw" / f"site-{number}.zip")
        host.path = host.path.with_name(f"site{number}")
        made.append(host.placement(str(number), {**artifact, "delivery": "controller", "location": location}))
    made[1]["application"] = "other"
    request = {**host.request("stage", made[0]), "placements": made}
    assert [one["upload"] for one in link.ask(request, ())["placements"]] == [True, True]
    made[0]["deployment_path"] = "not/absolute"
    paths = placements.upload(made)
    sizes = sum(path.stat().st_size for path in paths)
    first, second = link.ask({**request, "upload_bytes": sizes}, (), paths)["placements"]
    assert first["problem"]["kind"] == "conflict"
    assert (second["problem"], second["changed"]) == (None, True)
    (release,) = (host.path / "releases").iterdir()
    assert (release / "index.html").read_text() == "2" * 200_000
    assert link.ask(OBSERVATION, ())["observed"] == []


ORPHAN = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from controller_program.fleet import end_with_parent
if os.fork():
    time.sleep(60)
end_with_parent()
print("ready", flush=True)
time.sleep(60)
"""


def test_worker_ends_with_its_playbook() -> None:
    files = str(Path(receipts.__file__).parent.parent)
    process = subprocess.Popen([sys.executable, "-c", ORPHAN, files], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as output:
        assert output.readline() == "ready\n"
        process.kill()
        process.wait(10)
        assert output.read() == ""  # the pipe ends when the last of them has
