"""Who is at the end of a link, where Asterisks connect to us: the one that was there, come back, or another.

When its connection breaks Asterisk connects again, and that may be before we know that it has: the old link is dead,
and the new one takes its place. Another Asterisk with the same entity id looks just so, and has none of the calls. (It
is ``entityid`` in ``asterisk.conf``, by default the address of a network card, which containers and clones can share.)

So every link is asked when its Asterisk was started. If the two say the same, the new one takes the place of the old
one at once. If not, the old one is asked again: a link that answers lives. Otherwise, when it ends, or has not answered
within ``patience`` seconds, the newcomer takes over. One that is refused is closed at the end of that time and no
sooner, since Asterisk connects again at once.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import attrs

from ..ari import asterisk
from ..ari.messages import Link, LinkAccepted, LinkClosed, LinkMessage, Reply, RequestFailed
from ..effects import LogLevel
from ..errors import RemoteProtocolError
from .registration import Registration

__all__ = ["MAX_HELD", "Newcomer", "Rivals"]

MAX_HELD = 10_000
"""Messages of a newcomer that wait with him; whoever has more is closed, and comes again."""

LOG_INTERVAL = 60.0
"""Seconds between two log lines about one entity id."""


@attrs.define(eq=False)
class Newcomer:
    """A link for an application that has one. It waits, and so do its messages."""

    accepted: LinkAccepted
    until: float
    question: str
    """What the old link was asked: its answer is a sign of life."""
    messages: list[LinkMessage] = attrs.field(factory=list)
    is_refused: bool = False
    """Whether the old link has answered since."""


class Rivals:
    """The newcomers, one at a time for each application, and what is known of all links.

    ``log`` is told of two Asterisks with one entity id, once a minute.
    """

    def __init__(self, patience: float, log: Callable[[LogLevel, str], None]) -> None:
        self._patience = patience
        self._log = log
        self._logged: dict[str, float] = {}
        self._serial = count(1)
        self._questions: dict[str, Link] = {}
        self._started: dict[Link, str | None] = {}
        self._newcomers: dict[Registration, Newcomer] = {}

    def meet(self, link: Link, now: float) -> None:
        """Ask a new link when its Asterisk was started, if nobody has."""
        if link not in self._started:
            self._started[link] = None
            link.withdraw_request(self._ask(link, now), now)  # whatever happens to it, it takes up no place for long

    def hold(self, registration: Registration, accepted: LinkAccepted, now: float) -> None:
        """A link has come for an application that has another. The newest counts."""
        old = registration.link
        assert old is not None
        if (earlier := self._newcomers.pop(registration, None)) is not None:
            earlier.accepted.link.close(now)
        self._newcomers[registration] = Newcomer(accepted, now + self._patience, self._ask(old, now))
        self.meet(accepted.link, now)

    def take(self, link: Link, messages: list[LinkMessage], now: float) -> list[LinkMessage]:
        """Take the answers to our own questions out of what a link says; what a newcomer says waits with him."""
        others = []
        for message in messages:
            if not isinstance(message, Reply | RequestFailed) or message.request_id not in self._questions:
                others.append(message)
                continue
            del self._questions[message.request_id]
            if isinstance(message, Reply):
                self._answered(link, message, now)
        if others and isinstance(others[-1], LinkClosed):
            self._started.pop(link, None)
        for newcomer in self._newcomers.values():
            if newcomer.accepted.link is link:
                newcomer.messages += others
                return []
        return others

    def settled(self, now: float) -> list[Newcomer]:
        """Take out those that are let in; the others that wait no longer are closed, or have gone themselves."""
        let_in = []
        for registration, newcomer in list(self._newcomers.items()):
            new, old = newcomer.accepted.link, registration.link
            is_gone = bool(newcomer.messages) and isinstance(newcomer.messages[-1], LinkClosed)
            is_late = newcomer.until <= now
            if is_gone or len(newcomer.messages) > MAX_HELD or (is_late and newcomer.is_refused):
                del self._newcomers[registration]
                new.close(now)
            elif is_late or old not in self._started or self._are_of_one(old, new):
                del self._newcomers[registration]
                let_in.append(newcomer)
        return let_in

    def _are_of_one(self, old: Link, new: Link) -> bool:
        started = self._started.get(old)
        return started is not None and started == self._started.get(new)

    def until(self, registration: Registration) -> float | None:
        """When the time of its newcomer is over, if there is one."""
        newcomer = self._newcomers.get(registration)
        return None if newcomer is None else newcomer.until

    def _ask(self, link: Link, now: float) -> str:
        question = f"voxtra-who-{next(self._serial)}"
        self._questions[question] = link
        link.send_request(question, asterisk.get_info(only="status"), now)
        return question

    def _answered(self, link: Link, reply: Reply, now: float) -> None:
        for newcomer in self._newcomers.values():
            if newcomer.question == reply.request_id:
                newcomer.is_refused = True
                self._warn(newcomer.accepted, now)
        try:
            info = asterisk.get_info().decode(reply.body) if reply.status == 200 else None
        except RemoteProtocolError:
            return
        if info is not None and info.status is not None:
            self._started[link] = info.status.startup_time

    def _warn(self, accepted: LinkAccepted, now: float) -> None:
        self._logged = {id: at for id, at in self._logged.items() if now < at + LOG_INTERVAL}
        if accepted.asterisk_id not in self._logged:
            self._logged[accepted.asterisk_id] = now
            self._log(
                LogLevel.ERROR,
                f"two Asterisks have the entity id {accepted.asterisk_id}: give each its own `entityid` in "
                f"asterisk.conf; the one that came last is refused for the application {accepted.application!r}",
            )
