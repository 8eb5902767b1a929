"""Prompts on a channel, or in a bridge by its announcer (``res/res_stasis_playback.c``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, Final

from .sounds import SPOKEN_CHARACTER

if TYPE_CHECKING:
    from .agenda import Appointment
    from .channels import Channel
    from .exchange import Exchange

__all__ = ["NotControllable", "Playback", "Playbacks"]

_CONTROLLED: Final = frozenset({"sound", "recording", "tone"})


class NotControllable(Exception):
    """What plays now can neither be stopped nor controlled."""


class Playbacks:
    """Those that are queued or running, by id."""

    def __init__(self, exchange: Exchange, sounds: Mapping[str, float]) -> None:
        self.sounds = sounds
        """Seconds by name. A prompt that is not here does not exist."""
        self._exchange = exchange
        self._all: list[Playback] = []

    def add(
        self, channel: Channel, id: str, media: Sequence[str], *, language: str, offset: float, skip: float
    ) -> Playback:
        """A new one, queued. Ids need not be unique: Asterisk doesn't ask."""
        playback = Playback(self._exchange, channel, id, media, language=language, offset=offset, skip=skip)
        self._all.append(playback)
        return playback

    def get(self, id: str) -> Playback | None:
        """The oldest of that id, unless it has ended."""
        return next((playback for playback in self._all if playback.id == id), None)

    def remove(self, playback: Playback) -> None:
        """It has ended."""
        self._all.remove(playback)

    def length(self, uri: str) -> float | None:
        """Seconds of one item, for ever for a tone, ``None`` if it can't be played."""
        scheme, _, name = uri.partition(":")
        match scheme:
            case "sound":
                return self.sounds.get(name)
            case "digits" | "characters" if name:
                return len(name) * SPOKEN_CHARACTER
            case "number" if name.isdecimal():
                return len(name) * SPOKEN_CHARACTER
            case "tone":
                return inf
            case _:
                return None


class Playback:
    """A list of items to play, as a command of one channel."""

    def __init__(
        self,
        exchange: Exchange,
        channel: Channel,
        id: str,
        media: Sequence[str],
        *,
        language: str,
        offset: float,
        skip: float,
    ) -> None:
        self.id = id
        self.state = "queued"
        """``queued``, ``playing``, ``paused``, ``continuing``, ``done`` or ``failed``."""
        self._exchange = exchange
        self._channel = channel
        self._media = list(media)
        self._language = language
        self._offset = offset
        self._skip = skip
        self._index = 0
        self._played = 0.0  # seconds of the current item, up to when it was last resumed
        self._resumed_at = 0.0
        self._timer: Appointment | None = None
        self._finished: Callable[[], None] = lambda: None

    def snapshot(self) -> dict[str, Any]:
        """The model ``Playback``."""
        following = self._media[self._index + 1 : self._index + 2]
        return {
            "id": self.id,
            "media_uri": self._uri,
            **({"next_media_uri": following[0]} if following else {}),
            "target_uri": self._channel.target_uri,
            "language": self._language,
            "state": self.state,
        }

    # ---- as a command ------------------------------------------------------------------------------------------------

    def start(self, finished: Callable[[], None]) -> None:
        """Its turn has come."""
        self._finished = finished
        if self.state == "done":  # stopped while it was queued
            self._end()
        else:
            self._begin_item()

    def hang_up(self) -> None:
        """Cut short."""
        self.state = "failed"
        self._end()

    # ---- what one can ask of it --------------------------------------------------------------------------------------

    def control(self, operation: str) -> bool:
        """``stop``, ``pause``, ``unpause``, ``restart``, ``forward`` or ``reverse``; whether the state allows it.

        Raises :class:`NotControllable` for what can't be controlled while it plays, as digits can't.
        """
        match self.state, operation:
            case ("queued", "restart") | ("playing", "unpause") | ("paused", "pause") | ("done", "stop"):
                pass
            case "queued", "stop":
                self.state = "done"  # published when its turn comes
            case "paused", "unpause":
                self._play()
            case ("playing", _) | ("paused", "stop") if self._scheme not in _CONTROLLED:
                raise NotControllable
            case ("playing" | "paused", "stop"):
                if self._scheme == "tone":
                    self._item_ended()
                else:
                    self._end_as("done")
            case "playing", "pause":
                self._pause()
            case "playing", "restart":
                self._seek(0.0)
            case "playing", "forward":
                self._seek(self._position() + self._skip)
            case "playing", "reverse":
                self._seek(self._position() - self._skip)
            case _:
                return False
        return True

    # ---- how it goes -------------------------------------------------------------------------------------------------

    @property
    def _uri(self) -> str:
        return self._media[self._index]

    @property
    def _scheme(self) -> str:
        return self._uri.partition(":")[0]

    @property
    def _length(self) -> float | None:
        return self._exchange.playbacks.length(self._uri)

    def _begin_item(self) -> None:
        self._played = self._offset if self._scheme in {"sound", "recording"} else 0.0
        self.state = "playing"
        if self._length is None or self._channel.hung_up:
            self._publish("PlaybackStarted")
            self._item_failed()
        else:
            self._play()

    def _play(self) -> None:
        self.state = "playing"
        self._publish("PlaybackStarted")
        self._hear(self._uri)
        self._run()

    def _run(self) -> None:
        """Let the item run from where it is to its end."""
        self._stop_timer()
        self._resumed_at = self._exchange.agenda.now
        if self._length is not None and self._length < inf:
            self._timer = self._exchange.agenda.after(self._length - self._played, self._item_ended)

    def _position(self) -> float:
        return self._played + self._exchange.agenda.now - self._resumed_at

    def _pause(self) -> None:
        self._played = self._position()
        self.state = "paused"
        self._stop_timer()
        self._hear(None)

    def _seek(self, position: float) -> None:
        self._played = max(position, 0.0)
        self._run()

    def _item_ended(self) -> None:
        self._stop_timer()
        self._hear(None)
        self._next_item("done")

    def _item_failed(self) -> None:
        """A prompt that isn't there, or a channel that isn't any more.

        Of anything but a prompt nothing is published: Asterisk goes on with the next item or, after the last, forgets
        the playback without a word (seen on 22.10.1).
        """
        if self._scheme == "sound" or self._length is not None:
            self._next_item("failed")
        elif self._index + 1 < len(self._media):
            self._index += 1
            self._begin_item()
        else:
            self._exchange.playbacks.remove(self)
            self._finished()

    def _next_item(self, state: str) -> None:
        if self._index + 1 == len(self._media) or self._channel.hung_up:
            self._end_as(state)
            return
        self.state = "continuing"
        self._publish("PlaybackContinuing")
        self._index += 1
        self._begin_item()

    def _end_as(self, state: str) -> None:
        self.state = state
        self._end()

    def _end(self) -> None:
        self._stop_timer()
        self._hear(None)
        self._publish("PlaybackFinished")
        self._exchange.playbacks.remove(self)
        self._finished()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _hear(self, uri: str | None) -> None:
        if self._channel.line is not None:
            self._channel.line.play(uri)

    def _publish(self, event: str) -> None:
        self._exchange.publish_media(self._channel, event, {"playback": self.snapshot()})
