"""Downloads of a host: redirects, resumed transfers, TLS, and what a server may learn and say."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from host_program import fetch
from host_program.problems import Problem

from tests.edges.host import PASSWORD, Host, make_tar, make_zip, member
from tests.edges.servers import Reply, make_certificate, serving

FORMS = {"real": False, "check": True}


@pytest.fixture
def artifact(host: Host) -> dict[str, Any]:
    """A small zip, published."""
    return host.publish("site-1.zip", make_zip({"i": "1"}))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits between attempts."""
    monkeypatch.setattr(fetch, "time", type("Clock", (), {"sleep": staticmethod(lambda seconds: None)}))


def content_of(host: Host, artifact: dict[str, Any]) -> bytes:
    return (host.store / "raw" / str(artifact["filename"])).read_bytes()


def stage_at(host: Host, artifact: dict[str, Any], url: str, *, check: bool = False) -> dict[str, Any]:
    """What staging from there says."""
    return host.phase("stage", host.placement("1", {**artifact, "location": url}), check=check)


def test_credentials_do_not_follow_a_redirect_to_another_origin(host: Host, artifact: dict[str, Any]) -> None:
    content = content_of(host, artifact)
    with serving(lambda method, target: (200, {}, content)) as store:
        redirect: Reply = (302, {"Location": f"{store.url}/signed?signature=x"}, b"")
        with serving(lambda method, target: redirect) as first:
            found = stage_at(host, artifact, f"{first.url}/site-1.zip")
    assert found["problem"] is None
    assert "authorization" in first.requests[0].headers
    # Both servers are at the same address: the port alone makes another origin.
    assert len(store.requests) == 1
    assert "authorization" not in store.requests[0].headers


def test_credentials_follow_a_redirect_within_the_origin_and_not_back_from_another(
    host: Host, artifact: dict[str, Any]
) -> None:
    content = content_of(host, artifact)
    urls: dict[str, str] = {}

    def at_first(method: str, target: str) -> Reply:
        if target == "/start":
            return 302, {"Location": "/inside"}, b""
        if target == "/inside":
            return 302, {"Location": f"{urls['other']}/there"}, b""
        return 200, {}, content

    with serving(at_first) as first:
        back: Reply = (302, {"Location": f"{first.url}/back"}, b"")
        with serving(lambda method, target: back) as other:
            urls["other"] = other.url
            assert stage_at(host, artifact, f"{first.url}/start")["problem"] is None
    carried = {one.target: "authorization" in one.headers for one in (*first.requests, *other.requests)}
    assert carried == {"/start": True, "/inside": True, "/there": False, "/back": False}


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("http://h/a", "http://h:80/b", True),
        ("https://h:443/a", "https://H/b", True),
        ("http://h/a", "http://h:8080/b", False),
        ("http://h/a", "https://h/b", False),
        ("http://h/a", "http://h.example.net/b", False),
        ("http://h/a", "http://user@h:80/b", True),
    ],
)
def test_origin_is_scheme_host_and_port_however_they_are_written(old: str, new: str, same: bool) -> None:
    request = fetch.urllib.request.Request(old, headers={"Authorization": "Bearer x", "X-JFrog-Art-Api": "y"})
    redirected = fetch._Redirects().redirect_request(request, None, 302, "Found", {}, new)
    assert ("Authorization" in redirected.headers) is same
    assert ("X-jfrog-art-api" in redirected.headers) is same
    assert "user" not in redirected.full_url


@pytest.mark.parametrize("check", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://127.0.0.1:x/", "//"])
def test_redirect_to_something_else_than_http_is_refused(
    host: Host, artifact: dict[str, Any], location: str, check: bool
) -> None:
    with serving(lambda method, target: (302, {"Location": location}, b"")) as served:
        found = stage_at(host, artifact, f"{served.url}/site-1.zip", check=check)
    assert found["problem"]["kind"] == "download"
    assert found["problem"]["resolution"]


def test_broken_download_is_resumed_and_verified(host: Host) -> None:
    content = make_zip({"i": os.urandom(400_000).hex()})
    artifact = host.publish("site-1.zip", content)
    ranges: list[str] = []

    class Breaking(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            ranges.append(wanted)
            start = int(wanted[6:-1]) if wanted else 0
            self.send_response(206 if wanted else 200)
            self.send_header("ETag", '"one"')
            self.send_header("Content-Length", str(len(content) - start))
            if wanted:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            self.wfile.write(content[start:] if wanted else content[:1000])

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Breaking)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}/site-1.zip"
    found = host.deploy(host.placement("1", {**artifact, "location": url}))
    server.shutdown()
    server.server_close()
    thread.join()
    assert found["result"] == "healthy"
    assert len(ranges) == 2
    assert ranges[0] == ""


def test_server_that_sends_a_byte_now_and_then_does_not_hold_the_host(
    host: Host, artifact: dict[str, Any], impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "SLOW_SECONDS", 0.3)
    content = content_of(host, artifact)

    class Dripping(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            for number in range(len(content)):
                self.wfile.write(content[number : number + 1])
                if gone.wait(0.05):
                    return

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing is printed."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A client that hangs up is no error."""

    gone = threading.Event()
    server = Server(("127.0.0.1", 0), Dripping)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    began = time.monotonic()
    found = stage_at(host, artifact, f"http://127.0.0.1:{server.server_address[1]}/site-1.zip")
    gone.set()
    server.shutdown()
    server.server_close()
    thread.join()
    assert found["problem"]["kind"] == "download"
    assert time.monotonic() - began < 0.05 * len(content)


@pytest.mark.parametrize("check", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("name", ["site-1.zip", "site-1.tar", "site-1.jar"])
def test_repository_that_does_not_answer_is_named_with_the_reason(
    host: Host, name: str, check: bool, impatient: None
) -> None:
    artifact = host.publish(name, make_tar((member("i"), b"1"), mode="w"))
    with serving(lambda method, target: (503, {}, b"")) as served:
        busy = stage_at(host, artifact, f"{served.url}/{name}", check=check)["problem"]
    assert len(served.requests) == fetch.ATTEMPTS
    gone = stage_at(host, artifact, f"{served.url}/{name}", check=check)["problem"]
    for problem, reason in ((busy, "503"), (gone, "refused")):
        assert problem["kind"] == "download"
        assert f"{served.url}/{name} " in problem["message"]
        assert reason in problem["message"]
        assert problem["resolution"]


@pytest.mark.parametrize(
    "reply",
    [
        (200, {"Content-Length": "99"}, b""),
        (206, {"Content-Range": "bytes 0-9/*", "Content-Length": "5"}, b"x"),
        (206, {"Content-Range": "bytes 0-9/10", "Content-Length": "5"}, b"x"),
    ],
)
def test_answer_that_makes_no_sense_is_a_problem_and_no_artifact(
    host: Host, artifact: dict[str, Any], reply: Reply, impatient: None
) -> None:
    with serving(lambda method, target: reply) as served:
        for check in (False, True):
            found = stage_at(host, artifact, f"{served.url}/site-1.zip", check=check)
            assert found["problem"]["kind"] in ("download", "checksum", "archive")
            assert found["problem"]["resolution"]


@pytest.mark.parametrize("check", FORMS.values(), ids=FORMS)
def test_server_that_echoes_the_secret_does_not_put_it_into_our_answer(
    host: Host, artifact: dict[str, Any], check: bool
) -> None:
    import base64

    basic = base64.b64encode(f"ci:{PASSWORD}".encode()).decode()
    body = f"not with {PASSWORD}, nor with {basic}\x1b[31m".encode()
    with serving(lambda method, target: (403, {}, body)) as served:
        found = stage_at(host, artifact, f"{served.url}/site-1.zip", check=check)
    assert found["problem"]["kind"] == "credentials"
    assert "not with ***, nor with ***" in found["message"]
    assert PASSWORD not in str(found)
    assert basic not in str(found)
    assert found["message"].isprintable()


@pytest.mark.parametrize("token", ["one\ntwo", "sécret", "two words", "\u2028"])
def test_token_that_no_header_can_carry_is_refused_without_being_shown(
    host: Host, artifact: dict[str, Any], token: str
) -> None:
    refused = {**artifact, "credentials": {"token": token}}
    found = host.phase("stage", host.placement("1", refused))
    assert found["problem"]["kind"] == "credentials"
    assert not [part for part in token.split() if part in str(found)]


@pytest.mark.parametrize(
    "url", ["http://ci:pa55@127.0.0.1:9/x.zip", "http://127.0.0.1:x/x.zip", "foo://x", "http:///x"]
)
def test_location_that_is_no_url_is_refused_and_its_password_not_shown(
    host: Host, artifact: dict[str, Any], url: str
) -> None:
    found = stage_at(host, artifact, url)
    assert found["problem"]["kind"] == "download"
    assert "pa55" not in str(found)


@pytest.mark.parametrize("check", FORMS.values(), ids=FORMS)
def test_certificate_that_nobody_vouches_for_is_refused_at_once_and_named(
    host: Host, artifact: dict[str, Any], check: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, content = make_certificate(tmp_path), content_of(host, artifact)
    with serving(lambda method, target: (200, {}, content), certificate) as served:
        url = f"{served.url}/site-1.zip"
        began = time.monotonic()
        found = stage_at(host, artifact, url, check=check)
        assert time.monotonic() - began < 2
        assert found["problem"]["kind"] == "download"
        assert served.url in found["message"]
        assert "certificate: self" in found["message"]
        assert "trust the issuer" in found["problem"]["resolution"]
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert stage_at(host, artifact, url, check=check)["problem"] is None


@pytest.mark.parametrize("check", FORMS.values(), ids=FORMS)
def test_redirect_from_https_to_http_is_refused(
    host: Host, artifact: dict[str, Any], check: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, content = make_certificate(tmp_path), content_of(host, artifact)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(lambda method, target: (200, {}, content)) as plain:
        redirect: Reply = (302, {"Location": f"{plain.url}/x.zip?signature=s3cret"}, b"")
        with serving(lambda method, target: redirect, certificate) as served:
            found = stage_at(host, artifact, f"{served.url}/site-1.zip", check=check)
    assert found["problem"]["kind"] == "download"
    assert f"{served.url}/site-1.zip redirects from https to http" in found["message"]
    assert "s3cret" not in str(found)
    assert plain.requests == []


def test_disk_that_fills_up_under_a_local_copy_leaves_no_verified_file(tmp_path: Path) -> None:
    """The kernel writes what still fits and says how much that was; only the next write fails."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(3 << 19))
    program = f"""
import hashlib, resource, sys
sys.path.insert(0, {str(Path(fetch.__file__).parent.parent)!r})
from host_program import fetch
content = open({str(source)!r}, "rb").read()
artifact = {{"local": True, "location": {str(source)!r}, "sha256": hashlib.sha256(content).hexdigest()}}
resource.setrlimit(resource.RLIMIT_FSIZE, (5 << 18, 5 << 18))
try:
    fetch.fetch(artifact, {{}}, {str(target)!r})
except OSError:
    sys.exit(3)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 3
    assert not target.exists()


def test_problem_of_a_missing_artifact_shows_what_the_server_says(
    host: Host, artifact: dict[str, Any]
) -> None:
    header = fetch.authorization({"username": "ci", "password": PASSWORD}, {})
    with pytest.raises(Problem) as caught:
        fetch.open_url(f"{host.server.url}/repository/raw/none.zip", header)
    assert caught.value.kind == "missing"
    assert "the path is not in the repository" in caught.value.message
