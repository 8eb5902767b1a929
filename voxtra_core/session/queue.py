"""The way of a call through a queue, as whoever has sent it there sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ..call import Pending
from ..queueing import QueueMember, QueueOutcome
from ..stasis.queues import QueueUpdate, Visit
from .streams import EventStream

__all__ = ["QueueVisit"]


class QueueVisit(EventStream[QueueUpdate]):
    """The way of a call through a queue, for ``async for``: all that has happened since it left, up to and including
    the :class:`~voxtra_core.queueing.QueueOutcome`. Made by :meth:`CallSession.transfer_to_queue`.

    A member's telephone rings (:class:`~voxtra_core.queueing.MemberRinging`), or does so no more
    (:class:`~voxtra_core.queueing.MemberFailed`), or is answered (:class:`~voxtra_core.queueing.MemberAnswered`); an
    :class:`~voxtra_core.call.outage.Outage` says that nothing was heard for a while. Nobody has to look: of what nobody
    takes the last 1000 are kept. Otherwise as :class:`EventStream`.
    """

    def __init__(self, visit: Visit, park: Callable[[Pending[Any]], Awaitable[None]]) -> None:
        super().__init__(visit.feed, park)
        self._visit = visit

    def __repr__(self) -> str:
        return f"<QueueVisit to {self.queue!r}, {len(self._visit.feed)} waiting, {self.dropped} dropped>"

    @property
    def queue(self) -> str:
        """The name of the queue."""
        return self._visit.entry.queue

    @property
    def ringing(self) -> tuple[QueueMember, ...]:
        """Whose telephones ring now."""
        return self._visit.ringing

    @property
    def answered_by(self) -> QueueMember | None:
        """Who has answered; ``None`` while nobody has."""
        return self._visit.answered_by

    @property
    def outcome(self) -> QueueOutcome | None:
        """How it has ended; ``None`` while it has not."""
        return self._visit.outcome.result() if self._visit.outcome.done else None

    async def wait(self) -> QueueOutcome:
        """Wait until it has ended, and say how. May be cancelled and called again, also where updates are taken."""
        await self._park(self._visit.outcome)
        return self._visit.outcome.result()
