"""Somebody whom a caller may be transferred to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from ..stasis.transfer import Transfer
from .waiting import Driver, outcome_of

if TYPE_CHECKING:
    from .call import CallSession

__all__ = ["AttendedTransfer"]


class AttendedTransfer:
    """Somebody who has answered, and whom the caller may be transferred to, while the caller hears music. Made by
    :meth:`CallSession.attended_transfer_to`; best used by ``async with``, which declines what was not accepted::

        try:
            async with await call.attended_transfer_to("PJSIP/alice") as transfer:
                await transfer.agent.play_file("call-waiting")
                if await transfer.agent.listen_dtmf(timeout=10) == "1":
                    await transfer.accept()
        except (TransferFailed, CallEnded):
            ...

    Either of the two may go at any moment: the caller's end is a ``CallEnded`` of whatever is asked of that call and of
    :meth:`accept`, theirs one of whatever is asked of :attr:`agent`, which is a failure of a handler that lets it go
    up. When the handler ends they are hung up, unless joined.
    """

    def __init__(self, transfer: Transfer, agent: CallSession, driver: Driver) -> None:
        self.agent = agent
        """The call to them."""
        self._transfer = transfer
        self._driver = driver

    def __repr__(self) -> str:
        return f"<AttendedTransfer to {self.agent.called_number}: {self._transfer.stage.name.lower()}>"

    async def accept(self) -> str:
        """Join the two, and return when they talk with each other, with the bridge's id; as
        :meth:`CallSession.transfer_to` otherwise. Raises :class:`~voxtra_core.errors.TransferFailed` when they have
        gone.
        """
        bridge_id = await outcome_of(self._driver, self._transfer.accept(self._driver.time()))
        self.agent.end_conversation()  # they talk with each other now
        return bridge_id

    async def decline(self) -> None:
        """Hang up on them, and return when that is done: the caller hears no music any more, and is yours again. When
        the two are joined nothing happens.
        """
        await outcome_of(self._driver, self._transfer.decline(self._driver.time()))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        self._transfer.decline(self._driver.time())
        self._driver.wake()
