"""What people, other users and clocks do to a host. Each test ends by looking at every host."""

from __future__ import annotations

from tests.fleet import stepping
from tests.fleet.deployments import PASSWORD, results
from tests.fleet.promises import Promises
from tests.fleet.stepping import UNPACKING
from tests.fleet.watching import search

CLOCK = f"{stepping.DIRECTORY}/clock"
GENEROUS = f"{stepping.DIRECTORY}/generous"


def deployed(promises: Promises, versions: int = 2) -> None:
    """Version 0 is live everywhere; there are so many versions."""
    promises.publish_numbers(versions)
    promises.deployments.release("0")
    promises.deploy()


def test_release_that_was_tampered_with_is_drift_and_deploying_repairs_it(promises: Promises) -> None:
    deployed(promises)
    host = promises.hosts[0]
    # Else the watcher would say, rightly, that what is live is broken.
    promises.end()
    host.run(f"echo evil >> {promises.path}/current/index.html; touch {promises.path}/current/added")
    host.run(f"rm {promises.path}/current/c/empty; chmod 600 {promises.path}/current/a/b/data")
    said = promises.deployments.command("status", "--verify")
    assert said.count("in sync") == 1
    for words in ("added was added", "index.html was changed", "c/empty is gone", "a/b/data was changed"):
        assert words in said
    assert set(results(promises.deploy()).values()) == {"unchanged"}
    assert results(promises.deploy("--verify")) == {
        host.name: "deployed",
        promises.hosts[1].name: "unchanged",
    }
    promises.begin()
    promises.converged("0")


def test_current_that_somebody_replaced_by_a_directory_is_refused_and_kept(promises: Promises) -> None:
    deployed(promises)
    host, current = promises.hosts[0], f"{promises.path}/current"
    promises.end()
    host.run(f"rm {current}; mkdir {current}; echo precious > {current}/index.html")
    before = host.snapshot([promises.path, "/srv/decoy"])
    promises.deployments.release("1")
    for arguments in (("--check",), ()):
        said = promises.deployments.deploy(*arguments, expect=21)["output"]
        assert f"{current} is not a link; somebody put it there by hand" in said
        assert "move it away (nothing in it was touched), then deploy again" in said
        assert host.snapshot([promises.path, "/srv/decoy"]) == before
    promises.attempts += 1
    host.run(
        f"mv {current} {promises.path}/moved; ln -s releases/$(ls {promises.path}/releases | grep ^0-) {current}"
    )
    promises.begin()
    promises.deploy()
    promises.converged("1")
    assert host.run(f"cat {promises.path}/moved/index.html").stdout == "precious\n"


def test_clock_of_a_host_that_is_wrong_by_a_day(promises: Promises) -> None:
    """What is live, kept, pruned and gone back to does not depend on it, and neither do the records' times."""
    one, two = promises.hosts
    for host in promises.hosts:
        promises.deployments.hosts[host.name]["python"] = CLOCK
    promises.deployments.settings["keep_releases"] = 2
    promises.publish_numbers(4)
    for version, offsets in (("0", "-+"), ("1", "-+"), ("2", "+-"), ("3", "-+")):
        for host, offset in zip((one, two), offsets, strict=True):
            script = f'#!/bin/sh\nexec faketime -f {offset}1d {stepping.PYTHON} "$@"\n'
            host.run(f"cat > {CLOCK}; chmod 755 {CLOCK}", stdin=script)
        promises.deployments.release(version)
        promises.deploy()
    promises.converged("3")
    for host in promises.hosts:
        kept = host.run(f"ls {promises.path}/releases").stdout.split()
        assert sorted(name.partition("-")[0] for name in kept) == ["2", "3", "by"]
    started = [one["started"] for one in promises.recorded()]
    assert started == sorted(started, reverse=True)


def test_root_never_follows_what_an_applications_user_put_there(promises: Promises) -> None:
    """Their directory above, below, or on the way: refused, before anything is written or removed."""
    deployed(promises)
    host, base = promises.hosts[0], f"{promises.path}-theirs"
    for prepare in (
        f"install -d -o plain {base}/site",  # the deployment path is theirs
        f"install -d -o plain {base}; ln -s /srv/decoy {base}/site; chown -h plain {base}/site",
        f"mkdir -p {base}/site; ln -s /srv/decoy/releases {base}/site/releases; chown -h plain {base}/site/releases",
    ):
        host.run(f"rm -rf {base}; {prepare}")
        before = host.snapshot([base, "/srv/decoy", "/opt/decoy"])
        promises.deployments.settings["deployment_path"] = f"{base}/site"
        promises.deployments.release("1")
        said = promises.deploy("--limit", host.name, expect=19)["output"]
        assert "root would follow what they put there" in said, prepare
        assert host.snapshot([base, "/srv/decoy", "/opt/decoy"]) == before, prepare
    promises.deployments.settings["deployment_path"] = promises.path
    promises.deployments.release("1")
    promises.deploy()
    promises.converged("1")


def test_directory_that_is_swapped_for_a_link_while_root_unpacks_there(promises: Promises) -> None:
    """Whoever managed that in the middle of staging: nothing is written, changed or removed where the link leads."""
    deployed(promises)
    host, path = promises.hosts[0], promises.path
    promises.deployments.release("1")
    stepping.hold(host, UNPACKING)
    broken = promises.start()
    stepping.wait_held(host)
    promises.end()
    host.run(f"mv {path} {path}-away; ln -s /srv/decoy {path}")
    before = host.snapshot(["/srv/decoy"])
    stepping.go_on(host)
    broken.end(expect=22)
    assert host.snapshot(["/srv/decoy"]) == before
    host.run(f"rm {path}; mv {path}-away {path}")
    promises.begin()
    assert promises.live() == ["0", "0"]
    promises.deploy()
    promises.converged("1")


def test_crash_of_the_host_program_leaves_no_memory_behind(promises: Promises) -> None:
    """It holds secrets, and where core dumps are allowed the kernel would write them to a file."""
    deployed(promises)
    host = promises.hosts[0]
    host.run(
        f"cat > {GENEROUS}; chmod 755 {GENEROUS}",
        stdin=f'#!/bin/sh\nulimit -c $(ulimit -H -c)\nexec {stepping.PYTHON} "$@"\n',
    )
    promises.deployments.hosts[host.name]["python"] = GENEROUS
    promises.deployments.release("1")
    stepping.hold(host, UNPACKING)
    broken = promises.start()
    process = stepping.wait_held(host)
    limits = host.run(f"grep '^Max core file size' /proc/{process}/limits").stdout
    host.run(f"kill -SEGV {process}")
    ended = broken.ended()
    assert int(limits.split()[4]) <= 1, limits
    assert ended == 22, broken.text
    stepping.go_on(host)
    dumped = host.run("find / -xdev -type f -name 'core*' -newer /var/lib/promises/wanted.json").stdout
    assert [path for path in dumped.split() if not path.startswith(("/sys/", "/proc/"))] == []
    assert search(host, [PASSWORD], "/home", "/root", "/srv", "/tmp", "/var") == ""
    promises.deploy()
    promises.converged("1")
