"""A call's audio over real sockets: the simulated Asterisk connects to the application, on both loops."""

from __future__ import annotations

from random import Random

import pytest

from voxtra_core import CallSession
from voxtra_core.app.media import AudioSocket
from voxtra_core.errors import MediaFailed
from voxtra_core.media.chunk import AudioChunk
from voxtra_core.media.formats import SLIN
from voxtra_core.testing import Caller

from .site import Site, served, until

SAID = Random(1).randbytes(4800)


async def test_an_echo_comes_back(office: Site) -> None:
    """However late each frame is, none is lost."""
    app = office.make_app()

    @app.default()
    async def echo(call: CallSession) -> None:
        await call.answer()
        async for heard in call.audio_stream("slin"):
            await call.send_audio(heard)

    async with served(app):
        person = office.call(Caller("100").waits_for_answer().waits(0.3).talks(SAID), app)
        await until(lambda: sum(len(chunk.data) for chunk in person.heard.chunks) >= len(SAID))
        assert b"".join(bytes(chunk.data) for chunk in person.heard.chunks) == SAID
        person.line.hangs_up(16)
        office.driver.wake()
        await until(lambda: not office.asterisk.channel_ids and not office.asterisk.bridge_ids)


@pytest.mark.soak  # a second of talk, in real time
async def test_a_key_in_mid_talk_is_heard_once(office: Site) -> None:
    app = office.make_app()
    keys: list[str | None] = []

    @app.default()
    async def listen(call: CallSession) -> None:
        await call.answer()
        await call.send_audio(AudioChunk(SAID, SLIN))
        await call.drain_audio()
        keys.extend([await call.listen_dtmf(timeout=2.0), await call.listen_dtmf(timeout=0.3)])
        await call.hangup()

    async with served(app):
        caller = Caller("100").waits_for_answer().talks(1.0, waits=False).waits(0.4).presses("5")
        person = office.call(caller, app)
        await until(lambda: person.ended_at is not None)
        assert keys == ["5", None]
        assert b"".join(bytes(chunk.data) for chunk in person.heard.chunks) == SAID
        await until(lambda: not office.asterisk.bridge_ids)


async def test_nobody_listens_where_asterisk_is_told_to_connect(office: Site) -> None:
    app = office.make_app(media=AudioSocket(address="127.0.0.1:9"))
    raised: list[str] = []

    @app.default()
    async def speak(call: CallSession) -> None:
        await call.answer()
        try:
            await call.send_audio(AudioChunk(SAID, SLIN))
            await call.drain_audio()
        except MediaFailed as error:
            raised.append(f"{error}")
        await call.hangup()

    async with served(app):
        person = office.call(Caller("100"), app)
        await until(lambda: person.ended_at is not None)
        assert len(raised) == 1
        assert "500" in raised[0]
        await until(lambda: not office.asterisk.bridge_ids)
