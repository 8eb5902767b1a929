"""``https`` and ``wss``, both ways: the certificate of Asterisk, and ours. ``start`` says which they are."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal
from urllib.parse import urlsplit

import anyio
import pytest

from tests.certificates import contexts
from voxtra_core import (
    CallEnded,
    CallSession,
    CertificateError,
    CertificateExpired,
    CertificateHostnameMismatch,
    ConnectFailed,
    OriginateFailed,
    TLSFailed,
)
from voxtra_core.app import BaseApp
from voxtra_core.app.check import CheckMachine
from voxtra_core.app.options import make_options
from voxtra_core.ari.messages import Link
from voxtra_core.effects import TLS
from voxtra_core.wire import AriLink

from .pbx import Asterisk
from .rig import Rig, eventually

pytestmark = pytest.mark.anyio


def tls_app(rig: Rig, url: str = "", context: ssl.SSLContext | None = None) -> BaseApp:
    """The application under test, by way of TLS, and trusting our authority unless it is told whom."""
    return rig.new_app(
        rig.app_name,
        ari_url=url or rig.asterisk.tls_url,
        ssl_context=context or contexts.client(),
        observer=rig.seen.append,
    )


# ---- to Asterisk -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["http", "websocket"])
async def test_a_call(rig: Rig, way: Literal["http", "websocket"], monkeypatch: pytest.MonkeyPatch) -> None:
    app = tls_app(rig)
    at = urlsplit(rig.asterisk.tls_url)

    def link(app_name: str, new_conn: Callable[[], int]) -> Link:
        return AriLink(
            host=at.hostname or "",
            port=at.port or 0,
            tls=TLS(contexts.client()),
            user=rig.asterisk.user,
            password=rig.asterisk.password,
            app_name=app_name,
            new_conn=new_conn,
            requests=way,
        )

    monkeypatch.setattr(app, "_link", link)
    played: list[object] = []

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        played.append(await call.play_file("hello-world"))
        played.append(await call.listen_dtmf(timeout=5))
        await call.hangup()

    async with rig.serving(app, rig.far):
        phone = await rig.call()
        async with rig.recorded(phone) as prompt:
            await eventually(lambda: played)
        assert 0.8 < prompt().loud_seconds < 1.5
        with suppress(CallEnded):  # the pause behind a tone belongs to it
            await phone.send_dtmf("7")
        await phone.wait_ended()
    assert played[1] == "7"


async def failure(app: BaseApp) -> ConnectFailed:
    with pytest.raises(ConnectFailed) as caught, anyio.fail_after(5):
        await app.serve()
    return caught.value


async def found(rig: Rig, url: str, context: ssl.SSLContext | None) -> str:
    """The one line of a check."""
    asterisk, backend = rig.asterisk, rig.app.backend
    options = make_options(
        url,
        asterisk.user,
        asterisk.password,
        app_name=rig.app_name,
        number_variable=None,
        ssl_context=context,
        environ={},
    )
    machine = CheckMachine(options, new_id=backend.new_id)
    await backend.driver().run(machine)
    (finding,) = machine.findings
    return f"{finding}"


@contextmanager
def certificate(asterisk: Asterisk, name: str) -> Iterator[None]:
    """Give Asterisk another certificate for so long."""

    def give(name: str) -> None:
        shutil.copy(contexts.HERE / f"{name}.pem", asterisk.dir / "etc/http.pem")
        assert "successfully" in asterisk.cli("module reload http")

    give(name)
    try:
        yield
    finally:
        give("server")


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("expired", CertificateExpired, "is not valid any more: certificate has expired – renew it"),
        ("early", CertificateError, "is not to be trusted: certificate is not yet valid – "),
        ("other", CertificateHostnameMismatch, "is somebody else's: Hostname mismatch, certificate is not valid for"),
        ("self-signed", CertificateError, "is not to be trusted: self-signed certificate – if it should be, have its"),
    ],
)
async def test_a_certificate_that_is_not_good(rig: Rig, name: str, kind: type[ConnectFailed], said: str) -> None:
    at = urlsplit(rig.asterisk.tls_url).netloc
    with certificate(rig.asterisk, name):
        error = await failure(tls_app(rig))
        line = await found(rig, rig.asterisk.tls_url, contexts.client())
    assert type(error) is kind
    assert str(error).startswith(f"the certificate of {at} {said}")
    assert line == str(error)


async def test_an_authority_that_the_platform_does_not_know(rig: Rig) -> None:
    error = await failure(tls_app(rig, context=ssl.create_default_context()))
    assert type(error) is CertificateError
    assert await found(rig, rig.asterisk.tls_url, None) == str(error)


async def test_tls_where_there_is_none(rig: Rig) -> None:
    url = rig.asterisk.url.replace("http", "https")
    error = await failure(tls_app(rig, url))
    assert type(error) is TLSFailed
    assert "the peer does not speak TLS – is this port TLS? If not, begin the URL with http;" in str(error)
    assert await found(rig, url, contexts.client()) == str(error)


async def test_no_tls_where_there_is(rig: Rig) -> None:
    """Asterisk closes the connection without a word."""
    url = rig.asterisk.tls_url.replace("https", "http")
    error = await failure(rig.new_app(rig.app_name, ari_url=url))
    assert type(error) is ConnectFailed
    assert "closed the connection without an answer – is this port TLS? Then begin the URL with https" in str(error)
    assert await found(rig, url, None) == str(error)


# ---- from Asterisk ---------------------------------------------------------------------------------------------------


def listening_app(rig: Rig, certificate: str) -> BaseApp:
    """An application that Asterisk connects to by ``wss``: ``[ari-tls]`` of ``start``'s ``websocket_client.conf``."""
    return rig.new_app(
        "voxtra",
        ari_url=None,
        ari_user="obuser",
        ari_password="obpass",
        listen=f"127.0.0.1:{rig.asterisk.ob_port}",
        ssl_context=contexts.server(certificate),
    )


def refusals(rig: Rig) -> list[str]:
    """Why somebody was refused by the listener, each reason once; taken away from the log.

    Asterisk's persistent socket to this port is without TLS, and tries again twice a second.
    """
    refused = [record for record in rig.warnings if "refused a connection" in record.getMessage()]
    for record in refused:
        rig.caplog.get_records("call").remove(record)
    reasons = [record.getMessage().rpartition(": ")[2] for record in refused]
    return [reason for reason in reasons if reason != "TLS, the peer does not speak TLS"]


async def test_asterisk_connects_to_us(rig: Rig) -> None:
    """With ``tls_enabled=yes`` and our authority as its ``ca_list_file``; it checks our name, too."""
    app = listening_app(rig, "server")
    digits = []

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        digits.append(await call.listen_dtmf(5))
        await call.listen_dtmf()

    async with rig.serving(app, rig.far):
        phone = await rig.far.originate("Local/obtls@stasis/n")
        await phone.send_dtmf("5")
        await eventually(lambda: digits)
        await phone.hangup()
    assert digits == ["5"]
    assert refusals(rig) == []


@pytest.mark.parametrize("certificate", ["other", "self-signed", "expired"])
async def test_asterisk_does_not_connect_to_who_we_are_not(rig: Rig, certificate: str) -> None:
    """It says nothing, and goes. We log that, and the call goes on in the dialplan, which hangs it up."""
    app = listening_app(rig, certificate)
    async with rig.serving(app, rig.far):
        with pytest.raises(OriginateFailed):
            await rig.far.originate("Local/obtls@stasis/n")
    (reason,) = refusals(rig)
    assert reason.startswith(
        "TLS, ended without a word after the handshake, as Asterisk does when our certificate is not"
    )
