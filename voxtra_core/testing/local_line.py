"""Local channels, whose far end is a piece of dialplan (``core_local.c``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from .lines import Line

if TYPE_CHECKING:
    from .channels import Channel, Party
    from .exchange import Exchange
    from .people import Person
    from .steps import Refuse

__all__ = ["LocalLine"]


class LocalLine(Line):
    """A Local channel: ``channel`` is its first half, and the person is a piece of dialplan that runs on the second.

    Asterisk subscribes the application that originates to both, so the second half's events are seen, too.
    """

    ANSWER_WAITS = 0.5
    """``Answer()`` goes on when a first frame comes in, or after so many seconds."""

    def __init__(self, exchange: Exchange, channel: Channel, person: Person, half: Channel) -> None:
        super().__init__(exchange, channel, person)
        self.half = half
        self._steps = 0
        half.half_of = self

    def sends_digit(self, digit: str, duration: float) -> None:
        """The second half receives what is sent on the first."""
        self._exchange.publish(self.half, "ChannelDtmfReceived", digit=digit, duration_ms=round(duration * 1000))
        super().sends_digit(digit, duration)

    def release(self, cause: int) -> None:
        """The hangup reaches the second half, unless it came from there."""
        if self.half.dialplan_ended:
            return
        self._exchange.publish(self.half, "ChannelHangupRequest", cause=cause)
        if self.half.cause is None:
            self.half.cause = cause

    def released(self, cause: int) -> None:
        """The second half goes as well."""
        self._exchange.destroy(self.half)
        super().released(cause)

    def is_told(self, party: Party) -> None:
        """To the second half that is who calls."""
        self.half.caller = party
        self._exchange.publish_caller_id(self.half)

    def runs(self, app: str, data: str) -> None:
        """The next step of the dialplan."""
        self._steps += 1
        self.half.place = attrs.evolve(self.half.place, priority=self._steps, app=app, data=data)
        self._exchange.publish(self.half, "ChannelDialplan", dialplan_app=app, dialplan_app_data=data)

    def answers(self) -> float:
        """Both halves are up; ``Answer()`` waits for a frame."""
        self.runs("Answer", "")
        self._exchange.set_state(self.half, "Up")
        if self.channel.attempt is not None:
            self.person.is_answered()
            self.channel.attempt.answer()
        return self.ANSWER_WAITS

    def hangs_up(self, cause: int | None) -> None:
        """``Hangup()``."""
        self.runs("Hangup", "" if cause is None else str(cause))
        self.end_half(16 if cause is None else cause)

    def refuses(self, how: Refuse) -> None:
        """``Busy()`` and ``Congestion()`` say so to the caller, who hangs up; ``Hangup()`` ends the call here."""
        if how.application == "Hangup":
            self.hangs_up(how.cause)
            return
        self.runs(how.application, how.data)
        self.half.cause = how.cause
        self._exchange.set_state(self.half, "Busy")
        if self.channel.attempt is not None:
            # The first half is never told the cause: it ends with 0 (seen on 22.10.1).
            self.channel.attempt.fail(0, "BUSY" if how.cause == 17 else "CONGESTION")

    def end_half(self, cause: int) -> None:
        """The second half is hung up, and with it the first."""
        self.half.cause = cause
        self._exchange.publish_dialplan_end(self.half)
        self._exchange.publish(self.channel, "ChannelHangupRequest", cause=cause)
        self._exchange.hang_up(self.channel, cause)
