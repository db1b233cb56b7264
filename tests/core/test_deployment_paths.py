from __future__ import annotations

import pytest

from orchestrator.core.deployment_paths import ancestors, deployment_path_problem, fill_path


@pytest.mark.parametrize(
    "path", ["/srv/a", "/app", "/srv/{environment}/{application}-{host}", "/home/deploy/a.b", "/tmp/x"]
)
def test_directories_of_their_own_are_fine(path: str) -> None:
    assert deployment_path_problem(path) == ""


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", "has to be an absolute path"),
        ("srv/a", "has to be an absolute path"),
        ("~/a", "has to be an absolute path"),
        ("/", "is the root directory"),
        ("//srv/a", "has an empty segment"),
        ("/srv/../etc", "has an empty segment, . or .."),
        ("/srv/./a", "has an empty segment, . or .."),
        ("/srv/a/", "ends with /; remove it"),
        ("/srv/a b", "characters that are not allowed"),
        ("/srv/a\n", "characters that are not allowed"),
        ("/srv/-rf", "characters that are not allowed"),
        ("/srv/$(id)", "characters that are not allowed"),
        ("/srv/\u0430", "characters that are not allowed"),
        ("/srv/{{ x }}", '"{" is no placeholder here'),
        ("/srv/{hots}", '"{hots}" is no placeholder here; only {host}, {application}, {environment} are'),
        ("/srv/" + "a" * 256, "a segment of more than 255 characters"),
        ("/srv" + "/a" * 600, "is too long"),
        ("/etc", "is a directory of the system"),
        ("/usr/local/bin", "is a directory of the system"),
        ("/var", "is a directory of the system"),
        ("/proc/self", "nothing may be deployed to"),
        ("/dev/shm/a", "nothing may be deployed to"),
        ("/var/lib/gitops-orchestrator", "nothing may be deployed to"),
        ("/var/lib/gitops-orchestrator/a", "nothing may be deployed to"),
    ],
)
def test_path_that_is_no_directory_of_its_own_is_refused(path: str, problem: str) -> None:
    assert problem in deployment_path_problem(path)


def test_placeholders_are_filled_in() -> None:
    assert fill_path("/srv/{host}/{host}", {"{host}": "web1"}) == "/srv/web1/web1"
    assert fill_path("/srv/a", {"{host}": "web1"}) == "/srv/a"


def test_ancestors_are_all_directories_above() -> None:
    assert ancestors("/srv/a/b") == ["/srv", "/srv/a"]
    assert ancestors("/srv") == []
