"""Whether Asterisk's events reach us, found out by sending ourselves one.

A socket that is open does not prove it. Where the old socket ends as a new one takes over the application, Asterisk 22
may deactivate it for both (``Replacing Stasis app`` and, a millisecond later, ``Deactivating Stasis app``; seen on
22.10.1, when a link that had been frozen came to life again): requests are answered, and no event ever comes.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial

from ..ari import ChannelUserevent, events
from ..call import Pending
from ..errors import AriNotFound, VoxtraError
from .orphans import Ask

__all__ = ["Heard", "Presence"]

EVENT = "voxtra-presence"
OVERDUE = 1.0
"""Seconds for the event to come after Asterisk has said that it was sent."""


class Heard(StrEnum):
    """What came of a question."""

    YES = "yes"
    """Our event came, or Asterisk will not send any to show it."""
    NO = "no"
    """It was sent, and did not come."""
    UNKNOWN = "unknown"
    """Asterisk does not know the application."""


class Presence:
    """Asks one question at a time; ``clock()`` is the time of what comes in."""

    __slots__ = ("_answer", "_ask", "_clock", "_deadline", "_new_id", "_token")

    def __init__(self, ask: Ask, *, clock: Callable[[], float], new_id: Callable[[], str]) -> None:
        self._ask = ask
        self._clock = clock
        self._new_id = new_id
        self._answer = Pending[Heard].resolved(Heard.NO)
        self._token = ""
        self._deadline: float | None = None

    def ask(self, app_name: str, now: float) -> Pending[Heard]:
        """Whether this application's events come here."""
        self._answer = answer = Pending[Heard]()
        self._token = self._new_id()
        self._deadline = None
        sent = self._ask(events.user_event(EVENT, application=app_name, variables={"token": self._token}), now)
        sent.add_waker(partial(self._sent, sent, answer))
        return answer

    def receive_event(self, event: ChannelUserevent) -> None:
        """An event that may be ours."""
        if event.eventname == EVENT and event.userevent.get("token") == self._token:
            self._settle(self._answer, Heard.YES)

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""
        return self._deadline

    def handle_timeout(self, now: float) -> None:
        """It was sent, and did not come."""
        if self._deadline is not None and self._deadline <= now:
            self._settle(self._answer, Heard.NO)

    def _sent(self, sent: Pending[None], answer: Pending[Heard]) -> None:
        try:
            sent.result()
        except AriNotFound:
            self._settle(answer, Heard.UNKNOWN)
        except VoxtraError:
            self._settle(answer, Heard.YES)
        else:
            if answer is self._answer and not answer.done:
                self._deadline = self._clock() + OVERDUE

    def _settle(self, answer: Pending[Heard], heard: Heard) -> None:
        if answer is self._answer:
            self._deadline = None
        answer.resolve(heard)
