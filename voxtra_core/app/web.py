"""HTTP to be awaited, over the application's port."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self
from weakref import ref

from ..errors import ProviderFailed
from ..pending import Pending
from ..session import Driver, outcome_of

if TYPE_CHECKING:
    from ..agent.web import WebExchange, WebPort, WebRequest

__all__ = ["MAX_UNREAD", "AppWeb"]

MAX_UNREAD = 16 * 1024 * 1024
"""Bytes of a reply that wait for whoever reads it: five minutes of ``slin24``. Nobody is made to send more slowly, so
that a reader who is later than that loses the reply."""


class AppWeb:
    """A :class:`~voxtra_core.agent.web.Web`."""

    def __init__(self, port: WebPort, driver: Driver) -> None:
        self._port = port
        self._driver = driver

    async def fetch(self, request: WebRequest) -> _Reply:
        """Send it, and return when the head of its reply is here."""
        listener = _Listener(self._driver)
        listener.exchange = self._port.ask(request, listener, self._driver.time())
        return await outcome_of(self._driver, listener.arriving())


class _Listener:
    """A :class:`~voxtra_core.agent.web.WebListener`. Of the reply it knows only as long as somebody holds that: one
    that was dropped is given up when more of it comes.
    """

    exchange: WebExchange

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._arrived: Pending[_Reply] | None = Pending(lambda _, now: self.exchange.cancel(now))
        self._reply: ref[_Reply] | None = None

    def arriving(self) -> Pending[_Reply]:
        """The reply. To be asked for once, at the beginning."""
        assert self._arrived is not None
        return self._arrived

    def head(self, status: int, headers: tuple[tuple[str, str], ...], now: float) -> None:
        """The reply has begun."""
        arrived, self._arrived = self._arrived, None
        assert arrived is not None
        reply = _Reply(self._driver, self.exchange, status, headers)
        self._reply = ref(reply)
        arrived.resolve(reply)

    def data(self, data: bytes, now: float) -> None:
        """More of it."""
        reply = self._held()
        if reply is None or not reply.put(data):
            self.exchange.cancel(now)

    def end(self, now: float) -> None:
        """All of it."""
        if (reply := self._held()) is not None:
            reply.end()

    def failed(self, error: ProviderFailed, now: float) -> None:
        """None of it, or not all."""
        if self._arrived is not None:
            self._arrived.fail(error)
        elif (reply := self._held()) is not None:
            reply.end(error)

    def _held(self) -> _Reply | None:
        return self._reply() if self._reply is not None else None


class _Reply:
    """A :class:`~voxtra_core.agent.web.WebReply`."""

    def __init__(
        self, driver: Driver, exchange: WebExchange, status: int, headers: tuple[tuple[str, str], ...]
    ) -> None:
        self.status = status
        self.headers = headers
        self._driver = driver
        self._exchange = exchange
        self._unread = bytearray()
        self._is_over = False
        self._is_left = False
        self._error: ProviderFailed | None = None
        self._ready: Pending[None] | None = None

    def __repr__(self) -> str:
        return f"<reply {self.status}, {len(self._unread)} bytes waiting>"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """All that has come by now."""
        while True:
            await self._driver.park(self._readiness())
            if self._unread:
                piece = bytes(self._unread)
                self._unread.clear()
                return piece
            if self._error is not None:
                raise self._error.with_traceback(None)
            if self._is_over:
                raise StopAsyncIteration

    def limit(self, seconds: float) -> None:
        """The rest may take so long."""
        if not self._is_left:
            self._exchange.limit(seconds, self._driver.time())
            self._driver.wake()

    def finish(self) -> None:
        """All that matters has come."""
        if not self._is_left:
            self._exchange.finish(self._driver.time())
            self._leave()

    def close(self) -> None:
        """No more of it."""
        if not self._is_left:
            self._exchange.cancel(self._driver.time())
            self._leave()

    def put(self, data: bytes) -> bool:
        """More has come; whether there is room for it."""
        if len(self._unread) + len(data) > MAX_UNREAD:
            self.end(ProviderFailed("web", f"more than {MAX_UNREAD} bytes of the reply wait for its reader"))
            return False
        self._unread += data
        self._settle()
        return True

    def end(self, error: ProviderFailed | None = None) -> None:
        """No more comes; what waits can still be taken."""
        self._is_over, self._error = True, error
        self._settle()

    def _leave(self) -> None:
        self._is_left = True
        self._unread.clear()
        self.end()
        self._driver.wake()

    def _readiness(self) -> Pending[None]:
        if self._unread or self._is_over:
            return Pending.resolved(None)
        if self._ready is None:
            self._ready = Pending()
        return self._ready

    def _settle(self) -> None:
        ready, self._ready = self._ready, None
        if ready is not None:
            ready.resolve(None)
