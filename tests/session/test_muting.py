"""What of a muted member of a bridge is heard all the same. Virtual time; Asterisk's part in it is the recorded scenes'
``muting_who_is_recorded`` and ``muting_who_is_listened_to``.
"""

from __future__ import annotations

import pytest

from voxtra_core import CallSession
from voxtra_core.media import SLIN, Tone, rms_dbfs
from voxtra_core.testing import Caller

from .world import World

IS_LOUD = -30.0
"""In dBFS."""


@pytest.mark.parametrize("comes_in_muted", [True, False])
def test_whoever_is_muted_is_silent_in_their_own_recording_and_stream(comes_in_muted: bool) -> None:
    said = Tone(440, level=-10.0).read(8.0)
    heard: list[bytes] = []

    with World() as world:

        async def listens(call: CallSession) -> None:
            heard.extend([chunk.data async for chunk in call.audio_stream("slin")])

        async def handler(call: CallSession) -> None:
            await call.answer()
            await call.record_start()
            world.spawn(listens(call))
            room = await world.app.create_bridge()
            await room.add(call, mute=comes_in_muted)
            await call.listen_dtmf(timeout=2.0)
            await (room.unmute(call) if comes_in_muted else room.mute(call))
            await call.listen_dtmf(timeout=2.0)
            await call.record_stop()
            await call.hangup()

        world.app.default()(handler)
        world.start()
        person = world.call(Caller("5550100").waits_for_answer().talks(said))
        world.driver.wake()
        world.run(20.0)
        assert world.log() == []
        (recorded,) = person.line.channel.recordings
        assert recorded.file is not None
        for audio in (recorded.file.audio, b"".join(heard)):
            middle = len(audio) // 4, len(audio) * 3 // 4
            at = [rms_dbfs(audio[where - 800 : where + 800]) > IS_LOUD for where in (m // 2 * 2 for m in middle)]
            assert at == [not comes_in_muted, comes_in_muted]
        assert SLIN.seconds(len(b"".join(heard))) == pytest.approx(4.0, abs=0.5)
