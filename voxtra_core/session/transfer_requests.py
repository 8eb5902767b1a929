"""The transfers that the far end of a call asks for, as a user answers them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ..ari import ChannelTransfer
from ..call import CallMachine, Feed, Pending
from ..errors import TransferFailed
from ..stasis.asked_transfer import AskedTransfer, Refusal
from ..stasis.transfer import Comfort, Dialled
from .call import CallSession
from .streams import FeedStream
from .waiting import Driver, outcome_of

__all__ = ["TransferHome", "TransferRequest", "TransferRequests"]


class TransferHome(Protocol):
    """What the requests need of the application that the calls belong to."""

    def session_of(self, call: CallMachine) -> CallSession:
        """The session of a call that lives."""

    def ignore_transfer_requests(self, session: CallSession, feed: Feed[TransferRequest], now: float) -> None:
        """Nobody wants that feed any more."""

    def accept_transfer(
        self, asked: AskedTransfer, endpoint: str | None, now: float, *, dialling: Dialled, comfort: Comfort
    ) -> Pending[str]:
        """Do what a far end has asked for: connect those whom it names, or with ``endpoint``."""


class TransferRequest:
    """A far end asks for the party it talks with to be connected with somebody else, and waits for the answer.

    Its phone hangs up when it is told of success, or before; the transfer goes on all the same. Unanswered, the request
    is declined when the handler of the call that asks has ended (without one: that of the party it talks with), when
    its :class:`TransferRequests` are closed, and after 60 s, with a warning in the log.
    """

    def __init__(self, asked: AskedTransfer, transferer: CallSession, driver: Driver, home: TransferHome) -> None:
        self.transferer = transferer
        """The call that asks."""
        self.transferee = home.session_of(asked.transferee) if asked.transferee is not None else None
        """The one party it talks with, who is to be connected; ``None`` where there is none, or several."""
        self.target = home.session_of(asked.target) if asked.target is not None else None
        """Whom to be connected with, where the phone has a second call here, with them (an attended transfer)."""
        self._asked = asked
        self._driver = driver
        self._home = home

    def __repr__(self) -> str:
        return f"<TransferRequest to {self.destination!r}: {self._asked.stage.name.lower()}>"

    @property
    def destination(self) -> str:
        """Whom the phone's user has dialled. It can be anything: look it up before it becomes part of an endpoint."""
        return self._asked.destination

    @property
    def event(self) -> ChannelTransfer:
        """All that Asterisk says of it."""
        return self._asked.event

    async def accept(
        self,
        endpoint: str | None = None,
        *,
        comfort: Comfort = "ringing",
        timeout: float = 30.0,
        caller_id: str | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> str:
        """Connect :attr:`transferee` with :attr:`target`, or with ``endpoint``, which is dialled, and return when the
        two talk with each other, with their bridge's id, and the phone has been told. As
        :meth:`.CallSession.transfer_to` otherwise; the party hears ``comfort`` meanwhile.

        What has asked is hung up 2 s later, unless its phone has done so. Where the transfer comes to nothing the phone
        is told so (SIP 603 for one who is busy or refuses, 503 for anything else), and the two are still connected with
        each other, if the phone has not hung up.

        Raises :class:`~voxtra_core.errors.TransferFailed` where the other side cannot be had, where it is too late,
        and, declining it, where there is no one transferee; :class:`~voxtra_core.errors.CallEnded` where the transferee
        has gone; ``ValueError`` where there is no target and no endpoint; and
        :class:`~voxtra_core.errors.LocalProtocolError` for one that has been accepted or declined already. Cancelled,
        the phone is told that it came to nothing.
        """
        now = self._driver.time()
        dialling = Dialled(timeout, caller_id, variables)
        try:
            accepted = self._home.accept_transfer(self._asked, endpoint, now, dialling=dialling, comfort=comfort)
        except TransferFailed:
            self._driver.wake()  # the phone may have to be told
            raise
        return await outcome_of(self._driver, accepted)

    async def decline(self, reason: Refusal = "declined") -> None:
        """Tell the phone that it comes to nothing, by SIP 603 or, ``"unavailable"``, 503: the two talk on. On one that
        is over nothing happens; one that is being accepted is given up.
        """
        await outcome_of(self._driver, self._asked.decline(self._driver.time(), reason))


class TransferRequests(FeedStream[TransferRequest]):
    """What a far end asks for, one :class:`TransferRequest` after another, for ``async for``. Made by
    :meth:`.CallSession.transfer_requests`; best used by ``async with``, behind which Asterisk carries out by itself
    what is asked for::

        async with await agent.transfer_requests() as requests:
            async for request in requests:
                try:
                    await request.accept(f"PJSIP/{DESKS[request.destination]}")
                except TransferFailed:
                    pass  # the agent's phone says so, and the two talk on

    It ends with the call. While a request is open what the phone asks for besides gets the answer to that one.

    While somebody listens, a REFER with ``Refer-Sub: false`` crashes an Asterisk without the change of July 2026 for
    its issue 2021 (seen on 22.10.1): there, listen to phones that are trusted.
    """

    def __init__(self, session: CallSession, feed: Feed[TransferRequest], driver: Driver, home: TransferHome) -> None:
        super().__init__(feed, driver.park)
        self._session = session
        self._driver = driver
        self._home = home

    def __repr__(self) -> str:
        return f"<TransferRequests of {self._session.id}>"

    def close(self) -> None:
        """Answer no more: what is open is declined."""
        self._home.ignore_transfer_requests(self._session, self._feed, self._driver.time())
        self._driver.wake()
