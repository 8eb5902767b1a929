"""The transfers that the far ends of one application's calls ask for (SIP REFER), where somebody answers them.

Asterisk carries out a REFER by itself, unless ``PJSIP_TRANSFER_HANDLING()`` of the channel says ``ari-only``. Then it
says what has been asked for, once, and does nothing more than to pass on what we report. It keeps no record of which
report is about which of several requests: of one phone there is one at a time here, and what it asks for meanwhile gets
the answer to the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar
from weakref import ref

import attrs

from ..ari import AsteriskInfo, Channel, ChannelTransfer, asterisk, channels
from ..call import CallMachine, Feed, Pending
from ..effects import LogLevel
from ..errors import AriError, LocalProtocolError, VoxtraError
from ..timers import Timers
from .asked_transfer import AskedTransfer
from .bridge import BridgeMachine
from .orphans import Ask

__all__ = ["GRACE", "PATIENCE", "TransferRequests"]

T = TypeVar("T")

HANDLING = "PJSIP_TRANSFER_HANDLING()"
PATIENCE = 60.0
"""Seconds after which a request that nobody has answered is declined."""
GRACE = 2.0
"""Seconds for a phone to hang up that has been told of its success."""


@attrs.frozen(eq=False)
class _Listener:
    """Who answers the requests of one call; gone when nobody holds the feed any more."""

    feed: ref[Feed[Any]]
    show: Callable[[AskedTransfer], object]


class TransferRequests:
    """All of them. ``calls`` are the application's, by channel id."""

    def __init__(
        self,
        ask: Ask,
        *,
        calls: Mapping[str, CallMachine],
        new_bridge: Callable[[float], BridgeMachine],
        clock: Callable[[], float],
        log: Callable[[LogLevel, str], None],
    ) -> None:
        self.new_bridge = new_bridge
        self.clock = clock
        self._ask = ask
        self._calls = calls
        self._log = log
        self._timers = Timers()
        self._listeners: dict[CallMachine, _Listener] = {}
        self._open: dict[CallMachine, AskedTransfer] = {}

    # ---- who answers -----------------------------------------------------------------------------------------------

    def listen(
        self,
        call: CallMachine,
        show: Callable[[AskedTransfer], T],
        now: float,
        *,
        check_release: Callable[[str], None],
    ) -> Pending[Feed[T]]:
        """Have a call's transfer requests come into a feed, each as ``show`` makes it: settled when they do.

        ``check_release(version)`` raises for an Asterisk that is too old. It would take on the setting all the same.
        """
        call.check_alive()
        if call.channel is None or not call.channel.name.startswith("PJSIP/"):
            raise LocalProtocolError(f"call {call.id} is not by PJSIP: its far end cannot ask for a transfer")
        if self._heard_by(call) is not None:
            raise LocalProtocolError(f"somebody answers the transfer requests of call {call.id} already")
        feed = Feed[T](1)
        self._listeners[call] = _Listener(ref(feed), show)
        listening = Pending[Feed[T]](lambda _, now: self.stop_listening(call, feed, now))
        asked = self._ask(asterisk.get_info(only="system"), now)
        asked.add_waker(lambda: self._has_release(call, feed, asked, check_release, listening))
        return listening

    def stop_listening(self, call: CallMachine, feed: Feed[Any], now: float) -> None:
        """Nobody answers any more: what is open is declined, and Asterisk does again what it does by itself."""
        if self._heard_by(call) is not feed:
            return
        del self._listeners[call]
        feed.close()
        self._leave_to_asterisk(call, now)

    def _leave_to_asterisk(self, call: CallMachine, now: float) -> None:
        transfer = self._open.get(call)
        if transfer is not None:
            transfer.unanswered(now)
        if not call.is_ending:
            try:
                call.set_variable(HANDLING, "core", now)
            except LocalProtocolError as error:
                self._log(LogLevel.WARNING, f"call {call.id}: nobody answers its transfer requests: {error}")

    def _has_release(
        self,
        call: CallMachine,
        feed: Feed[T],
        asked: Pending[AsteriskInfo],
        check_release: Callable[[str], None],
        listening: Pending[Feed[T]],
    ) -> None:
        if self._heard_by(call) is not feed:
            return  # nobody wants it any more
        try:
            if asked.error is None:
                system = asked.result().system
                check_release(system.version if system is not None else "")
            elif not isinstance(asked.error, AriError):
                raise asked.error
            ready = call.set_variable(HANDLING, "ari-only", self.clock())
        except VoxtraError as error:
            self._not_heard(call, feed, error, listening)
        else:
            ready.add_waker(partial(self._is_ready, call, feed, ready, listening))

    def _is_ready(
        self,
        call: CallMachine,
        feed: Feed[T],
        ready: Pending[None],
        listening: Pending[Feed[T]],
    ) -> None:
        if isinstance(ready.error, VoxtraError):
            self._not_heard(call, feed, ready.error, listening)
        else:
            listening.resolve(feed)

    def _not_heard(
        self,
        call: CallMachine,
        feed: Feed[T],
        error: VoxtraError,
        listening: Pending[Feed[T]],
    ) -> None:
        if self._heard_by(call) is feed:
            del self._listeners[call]
        listening.fail(error)

    def _heard_by(self, call: CallMachine) -> Feed[Any] | None:
        listener = self._listeners.get(call)
        return listener.feed() if listener is not None else None

    # ---- what happens ----------------------------------------------------------------------------------------------

    def receive_event(self, event: ChannelTransfer, now: float) -> None:
        """A far end asks for a transfer; or an echo of what we have reported."""
        call = self._calls.get(event.referred_by.source_channel.id)
        listener = self._listeners.get(call) if call is not None else None
        if event.state is not None or call is None or listener is None or call in self._open:
            return
        told, second = event.referred_by.connected_channel, event.refer_to.destination_channel
        second_leg = self._calls.get(second.id) if second is not None else None
        target = _party_of(second_leg, event.refer_to.connected_channel, self._calls)
        transfer = AskedTransfer(self, event, call, _party_of(call, told, self._calls), second_leg, target)
        self._open[call] = transfer
        transfer.begin()
        feed = listener.feed()
        if feed is None:
            del self._listeners[call]
            self._leave_to_asterisk(call, now)
        else:
            self._timers.set(transfer, now + PATIENCE, partial(self._overdue, transfer))
            feed.put(listener.show(transfer))

    def call_over(self, call: CallMachine) -> None:
        """A call has ended: its far end asks for nothing more. What it has asked for can still be answered."""
        feed = self._heard_by(call)
        self._listeners.pop(call, None)
        if feed is not None:
            feed.end()
        if ("seen off", call) in self._timers:
            self._timers.cancel(("seen off", call))
            call.release(self.clock())

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        self._timers.handle_timeout(now)

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""
        return self._timers.next_deadline()

    def close(self, now: float) -> None:
        """There will be no link."""
        for transfer in [*self._open.values()]:
            transfer.unanswered(now)
        self._timers.clear()

    def _overdue(self, transfer: AskedTransfer, now: float) -> None:
        call = transfer.transferer
        self._log(LogLevel.WARNING, f"call {call.id}: nobody has answered its request for a transfer; declined")
        transfer.unanswered(now)

    # ---- what the transfers say ------------------------------------------------------------------------------------

    def report(self, call: CallMachine, state: str, now: float) -> Pending[None]:
        """Have the phone told how its request goes on."""
        return self._ask(channels.transfer_progress(call.id, states=state), now)

    def accepted(self, transfer: AskedTransfer) -> None:
        """Somebody has answered it."""
        self._timers.cancel(transfer)

    def over(self, transfer: AskedTransfer) -> None:
        """It has come to its end."""
        self._timers.cancel(transfer)
        del self._open[transfer.transferer]

    def see_off(self, call: CallMachine, now: float) -> None:
        """A phone that has been told of its success hangs up; one that does not is hung up."""
        if call.is_over:
            call.release(now)
        else:
            self._timers.set(("seen off", call), now + GRACE, partial(self._seen_off, call))

    def _seen_off(self, call: CallMachine, now: float) -> None:
        call.hangup(now)
        call.release(now)


def _party_of(call: CallMachine | None, told: Channel | None, calls: Mapping[str, CallMachine]) -> CallMachine | None:
    """Whom a call talks with, and nobody else: by our own account, or in a bridge that is not ours by Asterisk's."""
    bridge = call.bridge if call is not None else None
    if isinstance(bridge, BridgeMachine):
        others = [other for other in bridge.calls if other is not call]
        return others[0] if len(others) == 1 else None
    return calls.get(told.id) if told is not None else None
