"""The keys that the far end presses: who is given them, for how long somebody waits for one, and who may see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from ..pending import Pending
from .collecting import CollectedDigits, Collection, Wanted
from .counters import Counters
from .dtmf import DigitQueue, Listener, Taker, TwinDigits
from .playback import Playback
from .player import Player
from .requests import Requests

__all__ = ["Keypad"]


class Keypad:
    """That of one far end. Prompts for what is to be entered are played by ``player``."""

    __slots__ = ("_collections", "_digits", "_player", "_requests", "_twins")

    def __init__(self, requests: Requests, player: Player, counters: Counters) -> None:
        self._requests = requests
        self._player = player
        self._digits = DigitQueue(counters)
        self._collections: tuple[Collection, ...] = ()
        self._twins: TwinDigits | None = None

    @property
    def dropped(self) -> int:
        """How many digits nobody listened for, beyond those that are kept."""
        return self._digits.dropped

    @property
    def is_masked(self) -> bool:
        """Whether a digit is being collected in secret."""
        return any(collection.is_masked and not collection.done for collection in self._collections)

    # ---- what is pressed -------------------------------------------------------------------------------------------

    def press(self, digit: str, now: float, *, by_media: bool) -> bool:
        """A key, as ARI tells it or a media channel. ``False`` for one that the other has told already."""
        twins = self._twins
        if twins is not None and not twins.is_news(
            digit, now, by_media=by_media, is_played_to=bool(self._player.queue)
        ):
            return False
        self._settled(*self._digits.press(digit, now))
        return True

    def told_by_media(self) -> None:
        """From now on a media channel tells of keys as well."""
        self._twins = TwinDigits()

    def link_restored(self) -> None:
        """What ARI has not told by now it never will."""
        if self._twins is not None:
            self._twins.link_restored()

    def flush(self) -> int:
        """Forget the digits that nobody has had; how many those were."""
        return self._digits.flush()

    def close(self, error: Exception) -> None:
        """The call has ended."""
        self._digits.close(error)
        collections, self._collections = self._collections, ()
        for collection in collections:
            collection.fail(error)

    # ---- one digit -------------------------------------------------------------------------------------------------

    def listen(self, now: float, timeout: float | None) -> Pending[str | None]:
        """The next digit, those pressed before included; ``None`` after ``timeout`` seconds."""
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"timeout must be 0 or more seconds, or None, not {timeout!r}")
        listener = Listener(self._give_up)
        self._digits.listen(listener, now)
        if timeout is not None and not listener.done:
            if timeout == 0:
                self._listened(listener)
            else:
                self._requests.arm(listener, now + timeout, lambda _: self._listened(listener))
        return listener

    def _listened(self, listener: Listener) -> None:
        self._digits.forget(listener)
        listener.resolve(None)

    def _give_up(self, pending: Pending[str | None], now: float) -> None:
        listener = cast(Listener, pending)
        self._settled(listener, *self._digits.give_up(listener, now))

    # ---- an entry of several ---------------------------------------------------------------------------------------

    def collect(
        self, wanted: Wanted, now: float, *, prompt: str | Sequence[str] | None, language: str | None
    ) -> Pending[CollectedDigits]:
        """Digits as ``wanted``, those pressed before included. Where some wait and may interrupt the prompt, it is not
        played.
        """
        wanted.check()
        self._digits.check_room()
        playback = None
        if prompt is not None and not (wanted.interrupt_prompt and len(self._digits)):
            playback = self._player.play(prompt, now, language=language)
        collection = Collection(
            wanted,
            timers=self._requests.timers,
            stop=self._player.unwanted,
            over=self._digits.forget,
            undo=self._give_up_collection,
        )
        collection.start(playback, now)
        self._digits.listen(collection, now)
        self._collections = (*(each for each in self._collections if not each.done), collection)
        self._requests.changed()
        return collection

    def playback_ended(self, playback: Playback, now: float) -> None:
        """It may have been somebody's prompt."""
        for collection in self._collections:
            if not collection.done:
                collection.prompt_ended(playback, now)
                if collection.failed:
                    self._settled(*self._digits.give_up(collection, now))

    def _give_up_collection(self, pending: Pending[CollectedDigits], now: float) -> None:
        collection = cast(Collection, pending)
        collection.stop_clock()
        collection.stop_prompt(now)
        self._collections = tuple(each for each in self._collections if each is not collection)
        self._settled(*self._digits.give_up(collection, now))

    # ---- either ----------------------------------------------------------------------------------------------------

    def _settled(self, *takers: Taker) -> None:
        """These have the digits that they wanted."""
        for taker in takers:
            self._requests.timers.cancel(taker)
        self._requests.changed()
