from __future__ import annotations

import pytest

from orchestrator.core.coordinates import (
    CoordinateError,
    exact_path,
    extension_of,
    maven_path,
    packing_of,
    split_artifact_name,
    version_problem,
)


@pytest.mark.parametrize(
    ("file_name", "application", "version"),
    [
        ("my-website-2.0.0.zip", "my-website", "2.0.0"),
        ("a-1.tar.gz", "a", "1"),
        ("My_App-1.0-rc1+build.7.war", "My_App", "1.0-rc1+build.7"),
        ("a-2-tool-1.0.zip", "a", "2-tool-1.0"),
    ],
)
def test_artifact_name_says_application_and_version(file_name: str, application: str, version: str) -> None:
    name = split_artifact_name(file_name)

    assert (name.application, name.version) == (application, version)


@pytest.mark.parametrize(
    "file_name", ["website.zip", "website-2.0.0", "-1.0.zip", "a-1..0.zip", ".a-1.zip", "a-b.zip"]
)
def test_file_name_without_name_version_or_extension_is_refused(file_name: str) -> None:
    with pytest.raises(CoordinateError, match=r"has to be <name>-<version>.<extension>"):
        split_artifact_name(file_name)


@pytest.mark.parametrize(
    ("path", "extension", "packing"),
    [
        ("x/a-1.0.zip", "zip", "zip"),
        ("a.ZIP", "ZIP", "zip"),
        ("a-1.0.tar.gz", "tar.gz", "tar"),
        ("a.tgz", "tgz", "tar"),
        ("a.tar.xz", "tar.xz", "tar"),
        ("a.txz", "txz", "tar"),
        ("a.tar.zst", "tar.zst", "tar"),
        ("a.tar.bz2", "tar.bz2", "tar"),
        ("a.tar", "tar", "tar"),
        ("a-1.0.jar", "jar", "file"),
        ("a.war", "war", "file"),
        ("a.gz", "gz", "file"),
        ("dir.d/tool", "", "file"),
        ("tool-1.0", "", "file"),
        (".zip", "", "file"),
    ],
)
def test_packing_follows_the_extension(path: str, extension: str, packing: str) -> None:
    assert extension_of(path) == extension
    assert packing_of(extension_of(path)) == packing


@pytest.mark.parametrize("version", ["1.0-SNAPSHOT", "1.0-snapshot", "LATEST", "RELEASE"])
def test_versions_that_move_are_refused_by_name(version: str) -> None:
    assert "not implemented yet" in version_problem(version)
    with pytest.raises(CoordinateError, match="not implemented yet"):
        maven_path(f"g:a:{version}", "1.0")


def test_exact_version_has_no_problem() -> None:
    assert version_problem("1.0") == ""


def test_version_is_filled_into_paths() -> None:
    assert exact_path("a/{version}/a-{version}.zip", "1:2.0") == "a/1:2.0/a-1:2.0.zip"


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", "has to name a file"),
        ("/etc/passwd", "relative to the repository"),
        ("a//b", "single slashes"),
        ("a/", "single slashes"),
        ("../a", "a segment . or .."),
        ("a/./b", "a segment . or .."),
        ("a?b", "characters that are not allowed"),
        ("a#b", "characters that are not allowed"),
        ("a%2e%2e", "characters that are not allowed"),
        ("a\\b", "characters that are not allowed"),
        ("a/ b", "characters that are not allowed"),
        ("a\n", "characters that are not allowed"),
        ("caf\u00e9", "characters that are not allowed"),
        ("{{ x }}", '"{" is no placeholder here'),
        ("{versoin}", '"{versoin}" is no placeholder here; only {version} is'),
        ("a/" * 513 + "b", "is too long"),
    ],
)
def test_path_that_leads_elsewhere_is_refused(path: str, problem: str) -> None:
    with pytest.raises(CoordinateError) as caught:
        exact_path(path, "1.0")

    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("coordinates", "path"),
    [
        ("com.example:a:{version}", "com/example/a/1.0/a-1.0.jar"),
        ("com.example:a:2.0", "com/example/a/2.0/a-2.0.jar"),
        ("com.example:a:{version}:war", "com/example/a/1.0/a-1.0.war"),
        ("com.example:a_b:{version}:tar.gz:dist", "com/example/a_b/1.0/a_b-1.0-dist.tar.gz"),
    ],
)
def test_maven_coordinates_become_the_maven_layout(coordinates: str, path: str) -> None:
    assert maven_path(coordinates, "1.0") == path


@pytest.mark.parametrize(
    ("coordinates", "problem"),
    [
        ("a:b", "has to be group:artifact:version"),
        ("a:b:1:jar:c:d", "has to be group:artifact:version"),
        ("a/b:c:1", "the group is no Maven group"),
        ("a..b:c:1", "the group is no Maven group"),
        ("a.:c:1", "the group is no Maven group"),
        ("a:../c:1", "the artifact is no Maven artifact"),
        ("a:b:[1,2)", "the version is no Maven version"),
        ("a:b:1:", "the packaging is no Maven packaging"),
        ("a:b:1:jar:", "the classifier is no Maven classifier"),
        ("a:b:{v}", '"{v}" is no placeholder here'),
    ],
)
def test_what_are_no_maven_coordinates_is_explained(coordinates: str, problem: str) -> None:
    with pytest.raises(CoordinateError) as caught:
        maven_path(coordinates, "1.0")

    assert problem in str(caught.value)
