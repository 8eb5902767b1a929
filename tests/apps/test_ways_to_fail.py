"""Whatever keeps an application from its Asterisk: one clear error for each, another one for each, and the same as
``check`` finds. Over real sockets of this machine, and on both loops.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import attrs
import pytest

from tests.certificates import contexts
from tests.check.memory import as_ari
from tests.drivers.peers import Door, Peer, TLSPeer, closed_port
from voxtra_core import (
    AuthenticationFailed,
    CertificateError,
    CertificateExpired,
    CertificateHostnameMismatch,
    ConnectFailed,
    TLSFailed,
)
from voxtra_core.app import BaseApp
from voxtra_core.app.check import CheckMachine
from voxtra_core.app.options import make_options
from voxtra_core.wire import AriLink

from .site import PASSWORD, USER, Served

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

Place = Callable[[], AbstractAsyncContextManager[str]]


@asynccontextmanager
async def nobody() -> AsyncIterator[str]:
    """Nobody listens there."""
    yield f"http://127.0.0.1:{closed_port()}"


@asynccontextmanager
async def no_way() -> AsyncIterator[str]:
    """A listener whose queue is full does not answer."""
    with Door(backlog=0) as door, Peer.to(door.port):
        yield f"http://127.0.0.1:{door.port}"


def a_server(answer: bytes | None, scheme: str = "http", certificate: str | None = None) -> Place:
    """One that gives this answer to every request, or none at all, with a certificate by TLS."""

    @asynccontextmanager
    async def place() -> AsyncIterator[str]:
        async def serve() -> None:
            while True:
                tasks.start_soon(talk, await door.accept())

        async def talk(accepted: Peer) -> None:
            with TLSPeer.over(accepted, contexts.server(certificate)) if certificate else accepted as peer:
                try:
                    if isinstance(peer, TLSPeer):
                        await peer.shake_hands()
                    if await peer.receive() and answer is not None:
                        await peer.send(answer)
                        peer.end()
                    await peer.ended()
                except (ssl.SSLError, ConnectionError):
                    return

        with Door() as door:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(serve)
                yield f"{scheme}://localhost:{door.port}"
                tasks.cancel_scope.cancel()

    return place


@attrs.frozen
class Way:
    """One way to fail: what is there, what the application raises, what check finds."""

    place: Place
    kind: type[ConnectFailed]
    error: str
    finding: str = ""
    """The same as ``error`` where it says nothing else."""


NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nServer: nginx\r\nContent-Length: 0\r\n\r\n"
UNAUTHORIZED = as_ari("401 Unauthorized", '{"message":"Authentication required"}')
FORBIDDEN = as_ari("403 Forbidden", '{"message":"Access denied by ACL"}')

WAYS: dict[str, Way] = {
    "refused": Way(nobody, ConnectFailed, "no connection to 127.0.0.1:PORT: connection refused – is Asterisk running"),
    "timeout": Way(no_way, ConnectFailed, "no connection to 127.0.0.1:PORT within 0.2 s: timeout – is the address"),
    "silent": Way(
        a_server(None), ConnectFailed, "localhost:PORT takes connections, and did not answer within 0.2 s – is it some"
    ),
    "not HTTP": Way(
        a_server(b"220 mail.example ESMTP\r\n"),
        ConnectFailed,
        "what answers at localhost:PORT does not speak HTTP – give the port of Asterisk's HTTP server",
    ),
    "HTTP, not Asterisk": Way(
        a_server(NOT_FOUND),
        ConnectFailed,
        "HTTP, but not Asterisk: status 404 at http://localhost:PORT/ari – give the port of Asterisk's HTTP server",
    ),
    "401": Way(
        a_server(UNAUTHORIZED),
        AuthenticationFailed,
        "wrong user or password: Asterisk answered 401 at http://localhost:PORT/ari; see the users in its ari.conf",
        "Asterisk refuses the user 'voxtra' with this password (401) – see the users in its ari.conf",
    ),
    "403": Way(
        a_server(FORBIDDEN),
        AuthenticationFailed,
        "Asterisk answered 403 at http://localhost:PORT/ari: this address is not permitted; see permit, deny and acl",
        "Asterisk does not let the user 'voxtra' in from this address (403) – see permit, deny and acl",
    ),
    "a bad certificate": Way(
        a_server(b"", "https", "self-signed"),
        CertificateError,
        "the certificate of localhost:PORT is not to be trusted: self-signed certificate – if it should be, have its",
    ),
    "an expired one": Way(
        a_server(b"", "https", "expired"),
        CertificateExpired,
        "the certificate of localhost:PORT is not valid any more: certificate has expired – renew it",
    ),
    "a wrong hostname": Way(
        a_server(b"", "https", "other"),
        CertificateHostnameMismatch,
        "the certificate of localhost:PORT is somebody else's: Hostname mismatch, certificate is not valid for "
        "'localhost' – put a name into the URL that it is for",
    ),
    "https to plain HTTP": Way(
        a_server(NOT_FOUND, "https"),
        TLSFailed,
        "the TLS handshake with localhost:PORT failed: the peer does not speak TLS – is this port TLS? If not, begin "
        "the URL with http;",
    ),
    "http to TLS": Way(
        a_server(None, "http", "server"),
        ConnectFailed,
        "localhost:PORT closed the connection without an answer – is this port TLS? Then begin the URL with https.",
    ),
    "by TLS, and not Asterisk": Way(
        a_server(NOT_FOUND, "https", "server"),
        ConnectFailed,
        "HTTP, but not Asterisk: status 404 at https://localhost:PORT/ari – give the port of Asterisk's HTTP server",
    ),
}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for ten seconds here."""
    assert AriLink.__init__.__kwdefaults__ is not None
    monkeypatch.setitem(AriLink.__init__.__kwdefaults__, "connect_timeout", 0.2)


def tls(url: str) -> dict[str, Any]:
    return {"ssl_context": contexts.client()} if url.startswith("https") else {}


async def raised(app_class: type[BaseApp], url: str) -> Exception:
    """What ``serve()`` raises, and ``started()`` as well."""
    app = app_class(url, USER, PASSWORD, **tls(url))
    waiters = [Served(app.started), Served(app.serve)]
    async with anyio.create_task_group() as tasks:
        for waiter in waiters:
            tasks.start_soon(waiter)
            await anyio.lowlevel.checkpoint()
    first, second = (waiter.error for waiter in waiters)
    assert first is not None
    assert (type(first), str(first)) == (type(second), str(second))
    return first


async def found(app_class: type[BaseApp], url: str) -> str:
    """The one thing that a check finds."""
    options = make_options(url, USER, PASSWORD, app_name="app", number_variable=None, environ={}, **tls(url))
    machine = CheckMachine(options, new_id=app_class.backend.new_id, timeout=0.2)
    await app_class.backend.driver().run(machine)
    (finding,) = machine.findings
    assert not finding.ok
    return f"{finding}"


def without_port(text: str) -> str:
    return re.sub(r":\d+", ":PORT", text)


@pytest.mark.parametrize("name", WAYS)
async def test_each_way_to_fail_has_one_clear_error(app_class: type[BaseApp], name: str) -> None:
    way = WAYS[name]
    async with way.place() as url:
        error = await raised(app_class, url)
        finding = await found(app_class, url)
    assert type(error) is way.kind
    assert without_port(str(error)).startswith(way.error)
    assert without_port(finding).startswith(way.finding or way.error)
    if not way.finding:
        assert str(error) == finding
    for text in (str(error), finding, repr(error)):
        assert PASSWORD not in text


def test_no_two_of_them_begin_with_the_same_words() -> None:
    """Up to the dash they say what is wrong."""
    for told in ([way.error for way in WAYS.values()], [way.finding or way.error for way in WAYS.values()]):
        assert len({text.partition(" – ")[0] for text in told}) == len(told)


@pytest.mark.parametrize(
    ("app_name", "words"),
    [
        ("", "app_name must not be empty"),
        ("a,b", "app_name must not contain a comma"),
        ("x" * 74, "app_name must not be longer than 73 bytes"),
    ],
)
async def test_a_name_that_asterisk_would_not_take(app_class: type[BaseApp], app_name: str, words: str) -> None:
    """Which is told before anybody is asked; ``tests/check/test_command.py`` has it for check."""
    with pytest.raises(ValueError, match=words):
        app_class("http://127.0.0.1", USER, PASSWORD, app_name=app_name)
