"""Snoop channels (``res/res_stasis_snoop.c``): what is played on one is whispered. What one hears is not modelled."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from .callers import Callee
from .channels import Channel, Place
from .lines import DirectLine
from .people import Person
from .rest import Parameters, refuse

if TYPE_CHECKING:
    from .exchange import Exchange
    from .lines import Line

__all__ = ["Snooping"]

_DIRECTIONS: Final = frozenset({"none", "both", "out", "in"})


class Snooping:
    """A request to snoop, whose parameters are looked at before anybody asks for the channel to snoop on."""

    def __init__(self, exchange: Exchange, id: str, parameters: Parameters) -> None:
        self._exchange = exchange
        self._id = id
        spy, self._whisper = (parameters.text(name) or "none" for name in ("spy", "whisper"))
        if spy not in _DIRECTIONS:
            raise refuse(400, "Invalid direction specified for spy")
        if self._whisper not in _DIRECTIONS:
            raise refuse(400, "Invalid direction specified for whisper")
        if spy == self._whisper == "none":
            raise refuse(400, "Direction must be specified for at least spy or whisper")
        self._app = parameters.text("app") or ""
        if not self._app:
            raise refuse(400, "Application name is required")
        args = parameters.text("appArgs")
        self._args = args.split(",") if args else []

    def make(self, target: Channel) -> Channel:
        """The channel; it enters its application next."""
        exchange = self._exchange
        if self._id in exchange.channels:
            raise refuse(500, "Snoop channel could not be created")
        name = f"Snoop/{target.id}-{exchange.next_snoop_number()}"
        channel = exchange.add_channel(self._id or exchange.new_channel_id(), name, "Up", Place("default", "s"))
        _SnoopLine(exchange, channel, target.line if self._whisper in {"out", "both"} else None)
        target.snoops.append(channel)
        exchange.agenda.after(0, self._enter(channel))
        return channel

    def _enter(self, channel: Channel) -> Callable[[], None]:
        def enter() -> None:
            if not channel.hung_up:
                self._exchange.enter_stasis(channel, self._app, self._args)

        return enter


class _SnoopLine(DirectLine):
    """A line with nobody at its end: what is played goes to the person who is whispered to, if there is one."""

    def __init__(self, exchange: Exchange, channel: Channel, listener: Line | None) -> None:
        super().__init__(exchange, channel, Person(Callee(), exchange.agenda))
        self._listener = listener

    def _update(self) -> None:
        super()._update()
        if self._listener is not None:
            self._listener.whisper(self, self._audible)
