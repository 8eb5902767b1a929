"""One media channel in Asterisk, from the request for it to its removal.

All ids are ours, and registered with :class:`~.media.MediaChannels` before the requests leave. Whatever was asked for
is removed again, and not before Asterisk has answered for it: on another connection the removal could come first.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Any

from ..ari import Bridge, Channel, Request, bridges, channels
from ..call import CallMachine, Pending
from ..errors import AriError, RequestOutcomeUnknown

if TYPE_CHECKING:
    from .media import MediaChannels

__all__ = ["BRIDGE_PREFIX", "MEDIA_PREFIX", "Ear", "Line", "Stage", "Voice"]

MEDIA_PREFIX = "voxtra-media-"
"""How the ids of media channels begin."""
BRIDGE_PREFIX = "voxtra-bridge-"
"""How those of our bridges do."""
PROXY_TIMEOUT = 10.0
"""Seconds for a proxy to be in its bridge."""
LEAD = 3
"""Frames of silence that go ahead of what a proxy whispers; several may go at once, to make up for a delay.

Asterisk takes a new whisper for 8 kHz until it comes by the next frame of the call's own, 20 ms later at most: where
that has another rate, it drops what it has of the whisper (``audiohook_set_internal_rate`` in ``main/audiohook.c``).
And it has a hole where a frame of ours is not there when one of the call's is. So there is one more in hand.
"""


class Stage(Enum):
    """How far one is."""

    PORT = auto()
    """Our port is not open yet."""
    MAKING = auto()
    """Asterisk has been asked for the channels and the bridge."""
    JOINING = auto()
    """They are there, and on their way into the bridge."""
    OPEN = auto()
    """All are in."""
    CLOSED = auto()


class Line:
    """A media channel, and what else it needs, in a bridge of their own.

    It is a :class:`~voxtra_core.media.port.MediaLine`.
    """

    def __init__(self, owner: MediaChannels, call: CallMachine, new_id: Callable[[], str]) -> None:
        assert call.audio is not None
        self.call = call
        self.line_id = new_id()
        """What Asterisk has to name when it connects, and nobody else is to know: it stands in no other id."""
        name = new_id()
        self.bridge_id = f"{BRIDGE_PREFIX}{name}"
        self.stage = Stage.PORT
        self.deadline: float | None = None
        self.opened_at = 0.0
        self.is_expected = False
        """Whether its port has been told of it: not without a link."""
        self.was_interrupted = False
        """Whether there was a time without a link while it was being made."""
        self._owner = owner
        self._audio = call.audio
        self.channel_ids = self._ids(name)
        """The channels that are ours."""
        self._media_id = self.channel_ids[0]
        self._awaited = set(self.channel_ids)
        self._answered: dict[str, bool] = {}  # what was asked for, and whether Asterisk has answered for it
        self._is_connected = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.call.id}: {self.stage.name.lower()}>"

    def _ids(self, name: str) -> list[str]:
        return [f"{MEDIA_PREFIX}{name}"]

    # ---- what its port says ----------------------------------------------------------------------------------------

    def port_ready(self, address: str, now: float) -> None:
        """Ask Asterisk for everything, side by side."""
        if self.stage is not Stage.PORT:
            return
        self.stage = Stage.MAKING
        port = self._owner.port
        self._make(
            self._media_id,
            channels.external_media(
                app=self._owner.app_name(),
                channel_id=self._media_id,
                external_host=address,
                encapsulation=port.encapsulation,
                transport=port.transport,
                format=self._audio.wire.name,
                data=self.line_id,
            ),
            now,
        )
        name = self._owner.app_name()
        self._make(self.bridge_id, bridges.create_with_id(self.bridge_id, type="mixing", name=name), now)

    def started(self, now: float) -> None:
        """Asterisk has connected."""
        self._is_connected = True
        self._go_on(now)

    def audio(self, data: bytes, now: float) -> None:
        """The far end's voice."""

    def digit(self, digit: str, now: float) -> None:
        """A key it has pressed."""

    def next_frame(self) -> bytes | None:
        """What we have to say; silence, unless it is for that."""
        return None

    def ended(self, reason: str, now: float) -> None:
        """The connection is gone, or never was."""
        self._owner.lost(self, reason, now)

    # ---- what Asterisk says ----------------------------------------------------------------------------------------

    def entered(self, channel_id: str, now: float) -> None:
        """One of its channels is in our application."""
        self._awaited.discard(channel_id)
        self._go_on(now)

    def close(self, now: float) -> None:
        """It is wanted no more: leave nothing in Asterisk."""
        self.stage = Stage.CLOSED
        self.deadline = None
        self._owner.port.release(self.line_id, now)
        for thing, is_answered in list(self._answered.items()):
            if is_answered:
                self._remove(thing, now)

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _make(self, thing: str, request: Request[Any], now: float) -> None:
        self._answered[thing] = False
        self._owner.creations += 1
        made: Pending[Any] = self._owner.ask(request, now)
        made.add_waker(partial(self._made, thing, made))

    def _made(self, thing: str, made: Pending[Channel] | Pending[Bridge]) -> None:
        now = self._owner.clock()
        self._owner.creations -= 1
        self._answered[thing] = True
        if isinstance(made.error, AriError):
            del self._answered[thing]
        if self.stage is Stage.CLOSED:
            self._remove(thing, now)
        elif self._is_well(made):
            self._go_on(now)

    def _remove(self, thing: str, now: float) -> None:
        if self._answered.pop(thing, False):
            request = bridges.destroy(thing) if thing == self.bridge_id else channels.hangup(thing)
            self._owner.remove(request, now)

    def _go_on(self, now: float) -> None:
        is_there = self._answered.get(self.bridge_id, False) and self._is_connected and not self._awaited
        if self.stage is Stage.MAKING and is_there:
            self.stage = Stage.JOINING
            joined = self._owner.ask(bridges.add_channel(self.bridge_id, channel=self.channel_ids), now)
            joined.add_waker(partial(self._assembled, joined))

    def _assembled(self, joined: Pending[None]) -> None:
        if self._is_well(joined) and self.stage is Stage.JOINING:
            self._is_there(self._owner.clock())

    def _is_there(self, now: float) -> None:
        self.stage = Stage.OPEN
        self.deadline = None
        self.opened_at = now
        self._owner.opened(self, now)

    def _is_well(self, outcome: Pending[Any]) -> bool:
        """Whether it went well, and is still wanted."""
        if self.stage is Stage.CLOSED:
            return False
        error = outcome.error
        if error is not None and not self.call.is_over:
            was_cut_off = isinstance(error, RequestOutcomeUnknown)  # while the link lives, or else it was interrupted
            self._owner.lost(self, f"{error}", self._owner.clock(), was_cut_off=was_cut_off)
        return error is None


class Voice(Line):
    """What a call speaks and hears by: the call's channel is in the bridge, too; or, while that is in a bridge with
    others, a snoop on it in its stead, its *proxy*, which is heard by the call alone.
    """

    is_retry = False
    """Whether it stands in for one that was lost."""
    is_apart = False
    """Whether the call has left the bridge, and nobody has said why yet."""
    proxy_id: str | None = None
    """The channel that stands for the call's."""
    _is_proxy_inside = False
    _is_proxy_seated = False
    _lead = 0  # frames of silence that are to go ahead

    def audio(self, data: bytes, now: float) -> None:
        """The far end's voice."""
        self._audio.receive(data, now)

    def digit(self, digit: str, now: float) -> None:
        """A key, which ARI tells as well."""
        self.call.receive_media_digit(digit, now)

    def next_frame(self) -> bytes | None:
        """Ours."""
        if not self._lead:
            return self._audio.next_frame()
        self._lead -= 1
        if not self._lead:
            self._owner.port.advance(self.line_id)
        return None

    def _assembled(self, joined: Pending[None]) -> None:
        if self._is_well(joined) and self.stage is Stage.JOINING:
            self.deadline = None  # the call comes when it is done with what it plays, and that may take its time
            self.join(self._owner.clock())

    @property
    def seat(self) -> str:
        """The channel that is to be in the bridge for the call."""
        return self.call.id if self.proxy_id is None else self.proxy_id

    def join(self, now: float) -> None:
        """Have the call come into the bridge, or its proxy; also where it has been there, and has left it."""
        if self.is_apart:
            self.is_apart, self.deadline = False, None
        if self.stage is Stage.OPEN:
            self._audio.suspend()
        if self.call.bridge is None and self.call.is_moving:
            self.call.tell_when_it_has_moved()
        elif self.call.bridge is None:
            joined = self.call.join_bridge(self.bridge_id, now)
            joined.add_waker(partial(self._joined, joined, self.proxy_id))
        else:
            self._dismiss(self.proxy_id, now)
            self._send_proxy(now)

    def follow(self, now: float) -> None:
        """The call has come into a bridge with others, moved from one to another, or come out."""
        if self.stage not in {Stage.JOINING, Stage.OPEN}:
            return
        if self.call.bridge is None or self.proxy_id is None:
            self.join(now)
        elif self._is_proxy_seated:  # where it still is: the call has not come in its place
            self._is_seated(now)

    def proxy_entered(self, now: float) -> None:
        """It is in our application."""
        self._is_proxy_inside = True
        self._seat_proxy(now)

    def _joined(self, joined: Pending[None], proxy_id: str | None) -> None:
        if self._is_well(joined) and self.call.bridge is None:
            now = self._owner.clock()
            self._dismiss(proxy_id, now)
            self._is_seated(now)

    def _is_seated(self, now: float) -> None:
        if self.stage is Stage.JOINING:
            self._is_there(now)
        else:
            self._audio.resume()

    def _send_proxy(self, now: float) -> None:
        self.proxy_id = proxy_id = self._owner.new_proxy(self)
        self._is_proxy_inside = self._is_proxy_seated = False
        self.deadline = now + PROXY_TIMEOUT
        self._answered[proxy_id] = False
        self._owner.creations += 1
        snoop = channels.snoop_channel_with_id(
            self.call.id, proxy_id, app=self._owner.app_name(), spy="in", whisper="out"
        )
        made = self._owner.ask(snoop, now)
        made.add_waker(partial(self._proxy_made, proxy_id, made))

    def _proxy_made(self, proxy_id: str, made: Pending[Channel]) -> None:
        now = self._owner.clock()
        self._owner.creations -= 1
        self._answered[proxy_id] = True
        if isinstance(made.error, AriError):
            del self._answered[proxy_id]
        if self.stage is Stage.CLOSED or proxy_id != self.proxy_id:
            self._remove(proxy_id, now)
        elif made.error is not None and self.call.is_ending:
            pass  # with it, presently
        elif self._is_well(made):
            self._seat_proxy(now)

    def _seat_proxy(self, now: float) -> None:
        proxy_id = self.proxy_id
        if proxy_id is not None and self._is_proxy_inside and self._answered.get(proxy_id, False):
            seated = self._owner.ask(bridges.add_channel(self.bridge_id, channel=[proxy_id]), now)
            seated.add_waker(partial(self._proxy_seated, proxy_id, seated))

    def _proxy_seated(self, proxy_id: str, seated: Pending[None]) -> None:
        if proxy_id != self.proxy_id or self.call.is_ending:
            return
        if self._is_well(seated):
            self._is_proxy_seated = True
            self._lead = LEAD
            self.deadline = None
            if self.call.bridge is not None:
                self._is_seated(self._owner.clock())

    def _dismiss(self, proxy_id: str | None, now: float) -> None:
        """It is of no use any more."""
        if proxy_id is None:
            return
        self._owner.dismiss_proxy(proxy_id)
        if proxy_id == self.proxy_id:
            self.proxy_id = None
            self._is_proxy_seated = False
            self._lead = 0
            self.deadline = None
        self._remove(proxy_id, now)


class Ear(Line):
    """What a call is heard by while its channel plays something, for which Asterisk takes it out of the mix: a snoop on
    it in the bridge, in its stead.
    """

    def _ids(self, name: str) -> list[str]:
        return [f"{MEDIA_PREFIX}{name}", f"{MEDIA_PREFIX}ear-{name}"]

    @property
    def snoop_id(self) -> str:
        """The channel that snoops on the call."""
        return self.channel_ids[1]

    def port_ready(self, address: str, now: float) -> None:
        """Ask for the snoop as well."""
        if self.stage is Stage.PORT:
            super().port_ready(address, now)
            snoop = channels.snoop_channel_with_id(self.call.id, self.snoop_id, app=self._owner.app_name(), spy="in")
            self._make(self.snoop_id, snoop, now)

    def audio(self, data: bytes, now: float) -> None:
        """The far end's voice, a little later than by the bridge."""
        self._audio.overhear(data, now)
