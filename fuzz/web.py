"""Where HTTP requests of conversations' parts leave from, on a network that is as the bytes say."""

from __future__ import annotations

from itertools import count

from voxtra_core.agent.web import WebExchange, WebRequest
from voxtra_core.errors import ProviderFailed
from voxtra_core.wire.http_messages import MAX_HEAD
from voxtra_core.wire.web import WebPort

from .choices import Choices
from .held import bytes_held
from .wired import Wired

__all__ = ["web_port"]

STEPS = 150
SLACK = 50_000
SECRET = "s3cret-word"
URLS = ("https://a/x", "http://a/x", "http://b:8080/", "http://[::1]/?key=s3cret-word", "s3cret-word")


class Listener:
    """Told ``head data* end``, or ``failed`` in place of what does not come; and nothing once it wants no more."""

    def __init__(self, mood: int) -> None:
        self.exchange: WebExchange | None = None
        self.has_head = False
        self.is_over = False
        self._mood = mood
        """1 and 2 want no more as soon as they are told something: nothing at all, or no more of the body."""

    def leave(self, now: float, *, at_once: bool) -> None:
        """Want no more."""
        assert self.exchange is not None
        self.is_over = True
        if at_once:
            self.exchange.cancel(now)
        else:
            self.exchange.finish(now)

    def _react(self, now: float) -> None:
        if self._mood in {1, 2}:
            self.leave(now, at_once=self._mood == 1)

    def head(self, status: int, headers: tuple[tuple[str, str], ...], now: float) -> None:
        assert self.exchange is not None
        assert not self.is_over
        assert not self.has_head
        assert 200 <= status <= 999
        self.has_head = True
        self._react(now)

    def data(self, data: bytes, now: float) -> None:
        assert data
        assert self.has_head
        assert not self.is_over

    def end(self, now: float) -> None:
        assert self.has_head
        assert not self.is_over
        self.is_over = True

    def failed(self, error: ProviderFailed, now: float) -> None:
        assert self.exchange is not None
        assert not self.is_over
        assert error.part == "web"
        assert SECRET not in str(error)
        self.is_over = True


def web_port(data: bytes) -> None:
    """Whatever comes from whichever server: each request has one end, and what is kept is bounded."""
    choices = Choices(data)
    numbers = count(1)
    port = WebPort(
        new_conn=lambda: next(numbers),
        max_connections=1 + choices.below(3),
        max_waiting=choices.below(4),
        max_idle=choices.below(3),
    )
    wired = Wired(port)
    listeners: list[Listener] = []
    for _ in range(STEPS):
        if not choices:
            break
        match choices.below(10):
            case 0 | 1:
                listener = Listener(choices.below(6))
                request = WebRequest("POST", choices.of(URLS), (("X-Key", SECRET),), b"{}")
                try:
                    listener.exchange = port.ask(request, listener, wired.now)
                except ProviderFailed as error:
                    assert SECRET not in str(error)
                else:
                    listeners.append(listener)
                wired.perform()
            case 2 | 3 | 4 if wired.open:
                conn = choices.of(wired.open)
                for piece in choices.pieces(_from_server(choices)):
                    wired.feed(conn, piece)
            case 5 if listeners:
                choices.of(listeners).leave(wired.now, at_once=choices.flag())
                wired.perform()
            case 6:
                wired.wait(choices.of([0.0, 0.5, 1.0, 10.0, 60.0]))
            case _:
                wired.happen(choices)
        assert bytes_held(port) <= len(listeners) * 2000 + port.connections * 3 * MAX_HEAD + SLACK
    wired.wait(200.0)
    assert all(listener.is_over for listener in listeners)
    assert (port.connections, port.waiting, port.next_deadline()) == (0, 0, None)
    port.close(wired.now)
    wired.perform()
    assert wired.open == wired.connecting == []


def _from_server(choices: Choices) -> bytes:
    """What a server may say."""
    match choices.below(7):
        case 0 | 1:
            return b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
        case 2:
            return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
        case 3:
            return b"0\r\n\r\n"
        case 4:
            return b"HTTP/1.1 429 Slow down\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
        case 5:
            return b"HTTP/1.1 100 Continue\r\n\r\n"
        case _:
            return choices.take()
