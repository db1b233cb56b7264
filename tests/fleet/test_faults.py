"""Controllers, connections and hosts that die in the middle. Each test ends by looking at every host."""

from __future__ import annotations

from pathlib import Path

from tests.edges.remotes import wait_for
from tests.fleet import stepping
from tests.fleet.deployments import results
from tests.fleet.hosts import Host
from tests.fleet.promises import Promises
from tests.fleet.stepping import PLACING, RECORDED, SWITCHED, SWITCHING, UNPACKING, Step

# Holds a push at the git host: the one of that number, before or after its refs moved.
HOOK = """\
#!/bin/sh
cd "{directory}"
git log -1 --format=%s $(cut -d ' ' -f 2) >> subjects 2>/dev/null
[ "$(basename "$0")" = post-receive ] || echo >> pushes
while [ -e "hold-$(basename "$0")-$(wc -l < pushes | tr -d ' ')" ]; do touch held; sleep 0.02; done
exit 0
"""


def held_pushes(promises: Promises) -> Path:
    """Pushes to the git host are counted in `pushes` there, and `hold-HOOK-NUMBER` holds one."""
    bare = promises.deployments.directory / f"{promises.deployments.name}.git"
    for name in ("pre-receive", "post-receive"):
        hook = bare / "hooks" / name
        hook.write_text(HOOK.format(directory=bare))
        hook.chmod(0o755)
    return bare


BOUNDARIES: tuple[Step | str, ...] = (
    "pre-receive-1",  # the lock is asked for
    "post-receive-1",  # the lock is ours, and nobody knows yet
    Step(phase="observe"),
    Step(phase="observe", event="end"),
    "pre-receive-2",  # the plan is made, and the ledger does not have it
    "post-receive-2",
    Step(phase="stage"),
    Step(phase="stage", event="end"),
    Step(phase="activate"),
    Step(phase="activate", event="end"),
    Step(phase="smoke"),
    Step(phase="confirm"),
    Step(phase="confirm", event="end"),
    "pre-receive-3",  # all is done, nothing is recorded
    "post-receive-3",
)

# Up to there no host is changed.
QUIET = BOUNDARIES.index("post-receive-2") + 1


def test_controller_killed_at_every_step_boundary(promises: Promises) -> None:
    one, _ = promises.hosts
    deployments = promises.deployments
    deployments.settings["smoke"] = [{"name": "page", "command": ["test", "-s", "{current}/index.html"]}]
    promises.publish_numbers(len(BOUNDARIES) + 1)
    deployments.release("0")
    promises.deploy()
    git_host, live = held_pushes(promises), "0"
    for number, boundary in enumerate(BOUNDARIES, 1):
        deployments.release(str(number))
        (git_host / "pushes").write_text("")
        if isinstance(boundary, Step):
            stepping.hold(one, boundary)
            killed = promises.start()
            stepping.wait_held(one)
        else:
            (git_host / "held").unlink(missing_ok=True)
            (git_host / f"hold-{boundary}").touch()
            killed = promises.start()
            wait_for((git_host / "held").exists, 60)
        # The program alone, as when memory is short; all that it began too, as when its machine is gone.
        (killed.kill if number % 2 else killed.kill_tree)()
        promises.attempts -= boundary in BOUNDARIES[:2]
        stepping.go_on(one)
        (git_host / f"hold-{boundary}").unlink(missing_ok=True)
        assert set(promises.live()) <= ({live} if number <= QUIET else {live, str(number)}), boundary
        if number <= QUIET and isinstance(BOUNDARIES[number], Step):
            continue  # the run that comes after it is killed, too
        assert set(results(promises.deploy()).values()) <= {"deployed", "unchanged"}, boundary
        live = str(number)
        assert promises.live() == [live, live], boundary
    promises.converged(str(len(BOUNDARIES)))


def cut_sessions(host: Host) -> None:
    """Every SSH session of the host ends at once; what runs in them goes on."""
    host.run("pkill -KILL -f '^sshd: deploy'")


def test_connection_cut_in_the_middle_of_staging_and_of_activation(promises: Promises) -> None:
    """What runs on the host goes on; Ansible connects again, and waits there until it has ended."""
    one, _ = promises.hosts
    promises.publish_numbers(3)
    promises.deployments.release("0")
    promises.deploy()
    for number, step in enumerate((UNPACKING, SWITCHING), 1):
        promises.deployments.release(str(number))
        stepping.hold(one, step)
        broken = promises.start()
        stepping.wait_held(one)
        cut_sessions(one)
        stepping.go_on(one)
        assert "2 deployed." in broken.end()
        assert promises.live() == [str(number)] * 2
    promises.converged("2")


def test_connection_that_falls_silent_ends_the_run_and_never_counts_as_success(promises: Promises) -> None:
    one, _ = promises.hosts
    # Nobody waits for a silent connection as long as our defaults do.
    ssh = promises.deployments.directory / "home" / ".ssh"
    ssh.mkdir(mode=0o700)
    (ssh / "config").write_text("ServerAliveInterval 1\nServerAliveCountMax 2\n")
    promises.publish_numbers(2)
    promises.deployments.release("0")
    promises.deploy()
    promises.deployments.release("1")
    stepping.hold(one, SWITCHING)
    broken = promises.start()
    stepping.wait_held(one)
    one.disconnect()
    broken.end(expect=25)
    one.reconnect()
    stepping.go_on(one)
    # The program that was held goes on by itself; the other host was switched back with its batch.
    wait_for(lambda: promises.live() == ["1", "0"])
    promises.deploy()
    promises.converged("1")


def test_host_killed_and_started_again_in_the_middle(promises: Promises) -> None:
    one, _ = promises.hosts
    steps = ((UNPACKING, 17), (PLACING, 17), (RECORDED, 25), (SWITCHED, 25))
    promises.publish_numbers(len(steps) + 1)
    promises.deployments.release("0")
    promises.deploy()
    for number, (step, code) in enumerate(steps, 1):
        promises.deployments.release(str(number))
        stepping.hold(one, step)
        broken = promises.start()
        stepping.wait_held(one)
        one.kill()
        broken.end(expect=code)
        one.start()
        stepping.go_on(one)
        promises.watch(one)
        assert promises.live()[0] == str(number if step is SWITCHED else number - 1), step
        promises.deploy()
        assert promises.live() == [str(number)] * 2, step
    promises.converged(str(len(steps)))
