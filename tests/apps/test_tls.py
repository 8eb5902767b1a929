"""An application whose Asterisk, a simulated one, speaks ``https`` and ``wss``. The errors: ``test_ways_to_fail``."""

from __future__ import annotations

import ssl

import pytest

from tests.certificates import contexts
from voxtra_core.app import BaseApp
from voxtra_core.ari import asterisk
from voxtra_core.effects import TLS
from voxtra_core.errors import TLSFailed
from voxtra_core.session import CallSession
from voxtra_core.testing import Caller

from .site import PASSWORD, USER, served, site, until

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]


async def test_calls_and_requests(app_class: type[BaseApp]) -> None:
    async with site(app_class, TLS(contexts.server())) as office:
        app = office.make_app(ssl_context=contexts.client())
        heard = []

        @app.default()
        async def handler(call: CallSession) -> None:
            await call.answer()
            await call.play_file("hello-world")
            heard.append(await call.listen_dtmf(5))

        async with served(app):
            for n in range(10):
                office.call(Caller(f"555{n}").waits_for_prompt("hello-world").presses("4"), app)
            info = await app.request(asterisk.get_info())
            assert info.system is not None
            await until(lambda: len(heard) == 10)
        assert heard == ["4"] * 10


async def test_the_address_says_that_it_is_encrypted(app_class: type[BaseApp]) -> None:
    app = app_class("wss://pbx.example/prefix/ari", USER, PASSWORD)
    assert f"{app!r}" == "<VoxtraApp 'voxtra' at https://pbx.example:443/prefix/ari>"


@pytest.mark.parametrize("url", ["http://pbx.example", "ws://pbx.example:8088"])
async def test_a_context_is_for_encrypted_connections(app_class: type[BaseApp], url: str) -> None:
    words = f"an ssl_context needs an ari_url that begins with https, not with {url.partition(':')[0]}"
    with pytest.raises(ValueError, match=words):
        app_class(url, USER, PASSWORD, ssl_context=contexts.client())


async def test_a_context_without_a_certificate(app_class: type[BaseApp]) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with pytest.raises(ValueError, match=r"this ssl_context cannot be listened with: no shared cipher; .* certificate"):
        app_class(None, USER, PASSWORD, listen="127.0.0.1:0", ssl_context=context)


async def test_a_context_for_the_other_end(app_class: type[BaseApp]) -> None:
    """Which is told at once, and not to nobody by a listener that nobody can connect to."""
    with pytest.raises(ValueError, match="Cannot create a server socket with a PROTOCOL_TLS_CLIENT context"):
        app_class(None, USER, PASSWORD, listen="127.0.0.1:0", ssl_context=contexts.client())
    app = app_class("https://localhost", USER, PASSWORD, ssl_context=contexts.server())
    with pytest.raises(TLSFailed, match="Cannot create a client socket with a PROTOCOL_TLS_SERVER context"):
        await app.serve()
