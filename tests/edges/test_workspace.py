"""The private directory of a command's playbook runs."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from orchestrator.edges.ansible_process import EventStream
from orchestrator.edges.process_identity import is_gone, this_process_identity
from orchestrator.edges.scratch import OWNER, make_scratch, remove_abandoned
from orchestrator.errors import AnsibleError
from tests.edges.remotes import make_clone, make_remote, wait_for

IDENTITY = (
    "from orchestrator.edges.process_identity import this_process_identity as me; print(me(), flush=True)"
)


def test_directories_of_commands_that_were_killed_are_removed_and_no_others(tmp_path: Path) -> None:
    dead = subprocess.run(
        [sys.executable, "-c", IDENTITY], capture_output=True, text=True, check=True
    ).stdout.strip()
    owners = {"orch-dead": dead, "orch-alive": this_process_identity(), "orch-elsewhere": "boot:1:2:3"}
    for name, identity in {**owners, "other-dead": dead}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / OWNER).write_text(identity)
    remove_abandoned(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["orch-alive", "orch-elsewhere", "other-dead"]


OPEN = {
    "commits": "from orchestrator.edges.clone import read_clone\n"
    "from orchestrator.edges.commit_objects import CommitObjects\n"
    "kept = CommitObjects(read_clone(Path(sys.argv[1])))\n",
    "signatures": "from orchestrator.edges.signatures import Signatures\n"
    "kept = Signatures({}, object_format='sha1')\n",
    "a clone that is only read": "from orchestrator.edges.clone import read_clone\n"
    "from orchestrator.edges.state_repository import StateRepository\n"
    "kept = StateRepository(read_clone(Path(sys.argv[1])), actor='ada')\n",
}


@pytest.mark.usefixtures("isolated_git")
@pytest.mark.parametrize("code", OPEN.values(), ids=OPEN)
def test_every_scratch_repository_of_a_killed_command_is_removed_by_the_next(
    tmp_path: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary, clone = tmp_path / "tmp", make_clone(make_remote(tmp_path), tmp_path / "clone")
    temporary.mkdir()
    (clone / ".git" / "orchestrator").write_text("a file in the place of our directory")
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    opened = f"import sys\nfrom pathlib import Path\n{code}print('open', flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", opened, str(clone)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        (left,) = temporary.iterdir()
        process.kill()
    own = make_scratch()
    assert list(temporary.iterdir()) == [own] != [left]


def test_process_is_gone_only_when_this_kernel_says_so() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", f"{IDENTITY}; input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        identity = process.stdout.readline().strip()
        assert not is_gone(identity)
        process.communicate("\n")
    assert is_gone(identity)
    place, started = identity.rsplit(":", 2)[0], identity.rsplit(":", 1)[1]
    assert is_gone(f"{place}:1:{int(started) + 1}")
    assert not is_gone(f"another-boot:{identity.split(':', 1)[1]}")
    assert not any(is_gone(text) for text in ("", "x", "a:b:c:d"))


def test_runner_that_cannot_be_imported_is_an_error_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ansible_runner.interface", None)
    stream = EventStream(tmp_path, tmp_path / "deploy.yml", {})
    stream.start()
    with pytest.raises(AnsibleError, match="ansible-runner failed"):
        list(stream)


def test_signal_that_another_thread_gets_is_obeyed_while_nothing_happens(tmp_path: Path) -> None:
    stream, here = EventStream(tmp_path, tmp_path / "deploy.yml", {}), threading.get_ident()
    before = signal.signal(signal.SIGUSR1, lambda number, frame: stream._events.put(None))

    def interrupt() -> None:
        wait_for(lambda: sys._current_frames()[here].f_code.co_name == "_next")
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    late = threading.Timer(60, stream._events.put, ({"event": "late"},))
    late.start()
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        assert next(iter(stream), None) is None
    finally:
        late.cancel()
        thread.join()
        signal.signal(signal.SIGUSR1, before)
