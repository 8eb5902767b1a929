"""Ten bugs, planted in handlers and in test-only copies of the core, for ``check_call_flow`` to find."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

from voxtra_core import CallSession, VoxtraError
from voxtra_core.ari import bridges
from voxtra_core.call.dtmf import DigitQueue, TwinDigits
from voxtra_core.stasis.machine import StasisMachine

__all__ = ["BUGS", "Bug", "collects_while_it_listens", "echo", "has_music_until_the_caller_goes", "menu", "pin"]

Patch = Callable[[pytest.MonkeyPatch], None]


# ---- handlers that are right -----------------------------------------------------------------------------------------


async def menu(call: CallSession) -> None:
    """Three tries at a menu of two."""

    @call.on_hangup
    async def note() -> None:
        pass

    await call.answer()
    for _ in range(3):
        await call.play_file("hello-world")
        match await call.listen_dtmf(timeout=8):
            case "1":
                await call.play_file("demo-thanks")
            case "2":
                await call.hold()
                await call.listen_dtmf(timeout=20)
                await call.unhold()
            case _:
                await call.play_file("vm-goodbye")
                return


async def pin(call: CallSession) -> None:
    """Four digits."""
    await call.answer()
    await call.play_file("agent-pass")
    digits = ""
    while len(digits) < 4:
        digit = await call.listen_dtmf(timeout=5)
        if digit is None:
            break
        digits += digit
    call.metadata["pin"] = digits
    await call.play_file("auth-thankyou")


async def echo(call: CallSession) -> None:
    """What the caller says, back to them, for as long as they like; any key ends it."""
    await call.answer()
    async for chunk in call.audio_stream():
        await call.send_audio(chunk)
        if await call.listen_dtmf(timeout=0) is not None:
            return


async def collects_while_it_listens(call: CallSession) -> None:
    """Up to four digits, of a caller whose voice is heard meanwhile."""
    await call.answer()
    voice = call.audio_stream()
    await call.play_file("agent-pass")
    for _ in range(4):
        if await call.listen_dtmf(timeout=3) is None:
            break
    voice.close()


async def has_music_until_the_caller_goes(call: CallSession) -> None:
    """As a queue does."""
    await call.answer()
    await call.hold()
    await call.wait_ended()


# ---- handlers that are wrong -----------------------------------------------------------------------------------------


async def does_not_wait_for_the_prompt(call: CallSession) -> None:
    await call.answer()
    await call.play_file("hello-world")
    if await call.listen_dtmf(timeout=5) == "2":
        await call.start_playback("vm-goodbye")
        await call.hangup()


async def goes_on_after_the_hangup(call: CallSession) -> None:
    await call.answer()
    digits = ""
    for _ in range(4):
        try:
            digits += await call.listen_dtmf(timeout=5) or ""
        except VoxtraError:  # CallEnded is one of them
            break
    await call.play_file("vm-goodbye")


async def needs_a_digit(call: CallSession) -> None:
    await call.answer()
    await call.play_file("hello-world")
    for _ in range(int(await call.listen_dtmf(timeout=5) or "1")):
        await call.play_file("beep")


async def waits_for_ever(call: CallSession) -> None:
    await call.answer()
    await call.play_file("hello-world")
    if await call.listen_dtmf(timeout=5) == "*":
        await call.listen_dtmf()


async def tries_again_and_again(call: CallSession) -> None:
    await call.answer()
    while True:
        try:
            await call.play_file("hello-world")
            if await call.listen_dtmf(timeout=1) is None:
                return
        except Exception:
            continue


# ---- cores that are wrong --------------------------------------------------------------------------------------------


def loses_a_digit(patch: pytest.MonkeyPatch) -> None:
    """A key that comes while nobody listens, and another waits already, is forgotten."""
    press = DigitQueue.press

    def wrong(self: DigitQueue, digit: str, now: float) -> Any:
        return [] if len(self) else press(self, digit, now)

    patch.setattr(DigitQueue, "press", wrong)


def doubles_a_digit(patch: pytest.MonkeyPatch) -> None:
    """A key that both ARI and the media channel tell of is two."""
    patch.setattr(TwinDigits, "is_news", lambda self, digit, now, *, by_media, is_played_to=False: True)


def calls_back_twice(patch: pytest.MonkeyPatch) -> None:
    """Each hangup callback is handed out as often as it was registered, and once more."""
    take = CallSession.take_callback

    def wrong(self: CallSession) -> Any:
        callback = take(self)
        if callback is not None and not self.metadata.get("again"):
            self.metadata["again"] = True
            self._callbacks.append(callback)
        return callback

    patch.setattr(CallSession, "take_callback", wrong)


def misses_an_end(patch: pytest.MonkeyPatch) -> None:
    """Calls that ended while there was no connection are not looked for."""
    patch.setattr(StasisMachine, "link_restored", lambda self, now, *, subscribe=False: None)


def leaks_a_bridge(patch: pytest.MonkeyPatch) -> None:
    """The bridge of a call and its media channel stays."""
    patch.setattr("voxtra_core.ari.operations.bridges.destroy", bridges.get)


@attrs.frozen
class Bug:
    """What is planted, and which rule finds it."""

    name: str
    handler: Callable[[CallSession], Any]
    rule: str
    patch: Patch = lambda patch: None

    @contextlib.contextmanager
    def planted(self) -> Iterator[None]:
        """While it lasts, the bug is there."""
        with pytest.MonkeyPatch.context() as patch:
            self.patch(patch)
            yield


BUGS = [
    Bug("no wait for the playback's end", does_not_wait_for_the_prompt, "prompts"),
    Bug("hangup during collect", goes_on_after_the_hangup, "nothing after the end"),
    Bug("a key that is no number", needs_a_digit, "handler"),
    Bug("no timeout", waits_for_ever, "silence"),
    Bug("an end that is caught", tries_again_and_again, "ends"),
    Bug("double callback", menu, "callbacks once", calls_back_twice),
    Bug("a lost digit", pin, "digits", loses_a_digit),
    Bug("a digit twice", collects_while_it_listens, "digits", doubles_a_digit),
    Bug("a missed event across a reconnect", has_music_until_the_caller_goes, "ends", misses_an_end),
    Bug("a leaked bridge", echo, "nothing left", leaks_a_bridge),
]
