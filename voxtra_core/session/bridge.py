"""A bridge, as a user sees it: who is in it, what is played and recorded there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self

from ..call import CallMachine, Pending, PlaybackEnd
from ..recording import RecordingOptions, RecordingSink
from ..stasis.bridge import BridgeMachine
from .call import CallSession
from .playback import PlaybackHandle
from .recordable import Recordable, RecordingHome, check_wanted
from .waiting import Driver, outcome_of, taken

__all__ = ["Bridge", "BridgeHome"]


class BridgeHome(RecordingHome, Protocol):
    """What a bridge needs of the application it belongs to."""

    @property
    def asterisk_id(self) -> str:
        """Which Asterisk it is on, where there can be several."""

    def session_of(self, call: CallMachine) -> CallSession:
        """The session of a call in it."""

    def check_same_place(self, session: CallSession) -> None:
        """``LocalProtocolError`` for a call that cannot come into it."""

    def record_bridge(self, bridge: BridgeMachine, options: RecordingOptions, sink: object, now: float) -> Pending[str]:
        """Record it; settled with the recording's name when it has begun."""


class Bridge(Recordable):
    """Where calls hear each other, as many as there are. Made by the application's ``create_bridge()``.

    It is destroyed when the last call has left it, unless it was made to be kept, and at the end of ``async with``. A
    call in it needs no handler: it
    lives on when its own has returned, and is hung up then as soon as it is out. Prompts, music, keys and recordings of
    a call go on as before; what :meth:`.CallSession.audio_stream` brings is that call's voice, and what
    :meth:`.CallSession.send_audio` sends is heard by that call alone.

    Every method raises :class:`~voxtra_core.errors.BridgeGone` on a bridge that has been destroyed, and
    :class:`~voxtra_core.errors.CallEnded` where a call that it is about has ended.
    """

    def __init__(self, machine: BridgeMachine, driver: Driver, home: BridgeHome) -> None:
        super().__init__(machine, driver, home)
        self._machine = machine
        self._home = home

    def __repr__(self) -> str:
        return f"<Bridge {self.id}, {'gone' if self.is_gone else f'{len(self.calls)} in it'}>"

    @property
    def id(self) -> str:
        """ARI's."""
        return self._machine.id

    @property
    def calls(self) -> list[CallSession]:
        """Who is in it, in the order in which they came."""
        return [self._home.session_of(call) for call in self._machine.calls]

    @property
    def is_gone(self) -> bool:
        """Whether it has been destroyed."""
        return self._machine.is_gone

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        self._machine.destroy(self._driver.time())
        self._driver.wake()

    # ---- who is in it ----------------------------------------------------------------------------------------------

    async def add(self, *calls: CallSession, mute: bool = False, absorb_dtmf: bool = False) -> None:
        """Bring calls in, out of any other bridge, and return when all are, behind what is being played to them.

        With ``mute`` the others do not hear them, as by :meth:`mute`; with ``absorb_dtmf`` they do not hear their keys.
        Two who talk with each other elsewhere are to be brought in together: the one who is left behind might be hung
        up. Cancelled, they are brought out again. Raises :class:`~voxtra_core.errors.LocalProtocolError` for a call
        that is in it already, on another Asterisk, or not answered yet, and what the first of them has failed with: the
        others stay.
        """
        for call in calls:
            self._home.check_same_place(call)
        machines = [call.machine for call in calls]
        joined = self._machine.add_all(machines, self._driver.time(), mute=mute, absorb_dtmf=absorb_dtmf)
        await outcome_of(self._driver, joined)

    async def remove(self, call: CallSession) -> None:
        """Take a call out, and return when it is: it lives on, alone."""
        await outcome_of(self._driver, self._machine.remove(call.machine, self._driver.time()))

    async def mute(self, call: CallSession) -> None:
        """Let the others not hear a call, until :meth:`unmute`, or until it is out.

        Asterisk silences what comes in from the far end, for all who listen: in the call's own recording, and in its
        :meth:`.CallSession.audio_stream`, there is silence for it, and no talking is detected. Keys are heard as ever.
        """
        await outcome_of(self._driver, self._machine.mute(call.machine, self._driver.time()))

    async def unmute(self, call: CallSession) -> None:
        """Let the others hear it again."""
        await outcome_of(self._driver, self._machine.unmute(call.machine, self._driver.time()))

    async def destroy(self) -> None:
        """Destroy it: its calls live on, each alone. A second time nothing happens."""
        await outcome_of(self._driver, self._machine.destroy(self._driver.time()))

    async def wait_gone(self) -> None:
        """Return when it has been destroyed, by whomever."""
        await taken(self._driver, self._machine.wait_gone())

    # ---- what is heard in it ---------------------------------------------------------------------------------------

    async def start_music(self, moh_class: str | None = None) -> None:
        """Let all in it hear music on hold, besides each other; ``moh_class`` as in ``musiconhold.conf``."""
        await outcome_of(self._driver, self._machine.start_music(moh_class, self._driver.time()))

    async def stop_music(self) -> None:
        """End the music. Where there is none nothing happens."""
        await outcome_of(self._driver, self._machine.stop_music(self._driver.time()))

    async def play_file(
        self, media: str | Sequence[str], *, language: str | None = None, offset_ms: int = 0, skip_ms: int = 3000
    ) -> PlaybackEnd:
        """Play media to all in it, and return when it has been played, with how it ended; as
        :meth:`.CallSession.play_file`.
        """
        playback = self._machine.play(
            media, self._driver.time(), language=language, offset_ms=offset_ms, skip_ms=skip_ms
        )
        return await outcome_of(self._driver, playback.finished)

    async def start_playback(
        self, media: str | Sequence[str], *, language: str | None = None, offset_ms: int = 0, skip_ms: int = 3000
    ) -> PlaybackHandle:
        """As :meth:`play_file`, but return at once, with a handle."""
        playback = self._machine.play(
            media, self._driver.time(), language=language, offset_ms=offset_ms, skip_ms=skip_ms
        )
        await outcome_of(self._driver, playback.accepted)
        return PlaybackHandle(self._machine, playback, self._driver)

    # ---- recording -------------------------------------------------------------------------------------------------

    async def record_start(
        self,
        name: str = "",
        fmt: str = "wav",
        *,
        sink: RecordingSink | None = None,
        max_duration: int | None = None,
        max_silence: int | None = None,
    ) -> str:
        """Record all in it, mixed; otherwise as :meth:`.CallSession.record_start`. It ends with the bridge, too."""
        options = RecordingOptions(name=name, format=fmt, max_duration=max_duration, max_silence=max_silence)
        check_wanted(options, sink)
        started = self._home.record_bridge(self._machine, options, sink, self._driver.time())
        return await outcome_of(self._driver, started)
