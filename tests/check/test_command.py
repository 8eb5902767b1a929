"""``check`` as a command, on both loops, against servers on loopback that say what they are told, and at once."""

from __future__ import annotations

import socket
import socketserver
import ssl
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.certificates import contexts
from voxtra_core.cli import main

from .memory import APPLICATION, ASTERISK, DEVICE, as_ari

BACKENDS = ["asyncio", "trio"]
USER = ["--user", "tester", "--password", "s3cret-sesame"]


@contextmanager
def serving(answers: Mapping[str, bytes], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Answer each connection's request as the first of ``answers`` that it begins with; yields the URL."""

    class Server(socketserver.TCPServer):
        def get_request(self) -> tuple[socket.socket, Any]:
            accepted, address = super().get_request()
            return accepted if tls is None else tls.wrap_socket(accepted, server_side=True), address

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            request = self.rfile.readline().decode()
            while self.rfile.readline().strip():
                pass
            for beginning, answer in answers.items():
                if request.startswith(beginning):
                    self.wfile.write(answer)
                    return

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_all_is_well(backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(ASTERISK) as url:
        status = main(["check", "--ari-url", url, *USER, "--extension", "100@in"], backend=backend)
    assert status == 0
    *said, extension = capsys.readouterr().out.splitlines()
    assert said == [
        f"ok     Asterisk 22.10.1 answers at {url}/ari",
        "ok     it is new enough for calls",
        "ok     the user 'tester' may write",
        "ok     the modules for calls are loaded",
        "ok     the application's name 'voxtra' is free",
    ]
    assert extension.startswith(
        "ok     the dialplan has 100@in; that it runs Stasis(voxtra) only `dialplan show 100@in`"
    )


def test_a_fault_is_a_line_and_the_exit_status(backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    with serving({**ASTERISK, APPLICATION: as_ari("200 OK", '{"name":"ivr"}')}) as url:
        status = main(["check", "--ari-url", url, *USER, "--app", "ivr", "--needs", "refer"], backend=backend)
    assert status == 1
    said = capsys.readouterr()
    assert [line[:6].strip() for line in said.out.splitlines()] == ["ok", "ok", "ok", "ok", "fault"]
    assert said.out.splitlines()[1].endswith("new enough for calls, refer")
    assert said.out.splitlines()[4].startswith("fault  the application 'ivr' is in use")
    assert "sesame" not in said.out + said.err


def test_nobody_there(backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    with serving({}) as url:
        pass
    assert main(["-v", "check", "--ari-url", url, *USER], backend=backend) == 1
    said = capsys.readouterr()
    assert said.out.startswith(
        f"fault  no connection to {url.removeprefix('http://')}: connection refused – is Asterisk"
    )
    assert said.out.count("\n") == 1
    assert "sesame" not in said.out + said.err


def test_by_tls_with_an_authority_of_ones_own(backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(ASTERISK, contexts.server()) as url:
        command = ["check", "--ari-url", url.replace("127.0.0.1", "localhost"), *USER]
        assert main([*command, "--ca", str(contexts.CA)], backend=backend) == 0
        assert "https://localhost:" in capsys.readouterr().out
        assert main(command, backend=backend) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("fault  the certificate of localhost:")
    assert "--ca FILE" in line


def test_requests_over_the_socket(backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(ASTERISK) as url:
        assert main(["check", "--ari-url", url, *USER, "--requests", "websocket"], backend=backend) == 0
    assert "new enough for calls, rest-over-websocket" in capsys.readouterr().out


APPLICATIONS = """
from voxtra_{backend} import VoxtraApp
calling = VoxtraApp("{url}", "tester", "s3cret-sesame", app_name="orders", requests="websocket")
listening = VoxtraApp(listen="127.0.0.1:{port}", ari_user="asterisk", ari_password="s3cret-sesame")
pooled = VoxtraApp("{url}", "tester", "s3cret-sesame")

@pooled.on_offer
async def choose(offer):
    return True
"""


def test_an_application_is_checked_as_it_is_configured(
    backend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is, as whom, with which name, and what it needs; whether it can listen where it says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def check(*arguments: str) -> tuple[int, str]:
        status = main(["check", *arguments], backend=backend)
        said = capsys.readouterr()
        assert "sesame" not in said.out + said.err
        return status, said.out + said.err

    with serving(ASTERISK) as url, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / f"of_{backend}.py").write_text(APPLICATIONS.format(backend=backend, url=url, port=port))
        status, said = check(f"of_{backend}:calling")
        assert status == 0
        assert "new enough for calls, rest-over-websocket" in said
        assert "the application's name 'orders' is free" in said
        assert "for calls, broadcast" in check(f"of_{backend}:pooled")[1]
        status, said = check(f"of_{backend}:listening", "--ari-url", url, *USER)
        assert status == 1
        assert f"fault  it cannot listen on 127.0.0.1:{port}: address already in use" in said
        assert "new enough for calls, outbound-websocket" in said
        taken.close()
        assert check(f"of_{backend}:listening")[0] == 0
        assert f"it can listen on 127.0.0.1:{port}" in check("--listen", f"127.0.0.1:{port}")[1]
        assert check(f"of_{backend}:calling", "--ari-url", url)[0] == 2
        assert check(f"of_{backend}:calling", "--app", "x")[0] == 2
        assert check(f"of_{backend}:nothing")[0] == 1


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("/nonexistent.pem", "no such file or directory"),
        (__file__, "no certificate or crl found"),
        ("/", "is a directory"),
    ],
)
def test_authorities_that_cannot_be_read(
    backend: str, file: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--ari-url", "https://localhost", *USER, "--ca", file], backend=backend) == 2
    assert f"no certificates in PEM in {file!r}: {reason}" in capsys.readouterr().err


def test_who_and_where_come_from_the_environment(
    backend: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving({**ASTERISK, DEVICE: b""}) as url:
        for name, value in {"URL": url, "USER": "bob", "PASSWORD": "sesame"}.items():
            monkeypatch.setenv(f"VOXTRA_ARI_{name}", value)
        assert main(["check"], backend=backend) == 0
    assert "the user 'bob' may write" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ari-url", "https:/nowhere"], "ari_url must look like http://localhost:8088"),
        (["--app", ""], "app_name must not be empty"),
        (["--app", "a,b"], "app_name must not contain a comma"),
        (["--app", "x" * 74], "app_name must not be longer than 73 bytes"),
        (["--extension", "100"], "an extension must look like 100@from-phones"),
        (["--timeout", "0"], "timeout must be more than 0 seconds"),
        (["--listen", "8090"], "listen must be host:port"),
        (["--listen", "[::]:8090", "--requests", "http"], "with --listen the applications are those of Asterisk's"),
    ],
)
def test_what_cannot_be_right_is_refused(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", *USER, *arguments], backend="asyncio") == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"python -m voxtra_asyncio: {words}")
    assert said.out == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ari-url", "https:/nowhere"], "ari_url must look like http://localhost:8088"),
        (
            ["--ari-url", "https://localhost", "--ca", "/nonexistent.pem"],
            "no certificates in PEM in '/nonexistent.pem'",
        ),
        (
            ["--ari-url", "http://localhost", "--ca", str(contexts.CA)],
            "an ssl_context needs an ari_url that begins with",
        ),
        (["--ca", str(contexts.CA)], "--ca, --user, --password, --call and --calls go with --ari-url"),
        (["--user", "tester"], "--ca, --user, --password, --call and --calls go with --ari-url"),
    ],
)
def test_the_demo_takes_only_what_fits(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", *arguments], backend="asyncio") == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"python -m voxtra_asyncio: {words}")
    assert said.out == ""


def test_the_demo_trusts_an_authority_of_ones_own(backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It comes as far as to be refused."""
    with serving({"GET": as_ari("401 Unauthorized", "{}")}, contexts.server()) as url:
        command = ["demo", "--ari-url", url.replace("127.0.0.1", "localhost"), *USER]
        assert main([*command, "--ca", str(contexts.CA)], backend=backend) == 1
        assert "401" in capsys.readouterr().err
        assert main(command, backend=backend) == 1
        assert "the certificate of localhost:" in capsys.readouterr().err


def test_a_feature_that_nobody_knows(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["check", "--needs", "telepathy"], backend="asyncio")
    assert stop.value.code == 2
    assert "invalid choice: 'telepathy'" in capsys.readouterr().err
