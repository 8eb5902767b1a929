"""The port that the HTTP requests of conversations' parts leave from. No socket, no clock: the test is the driver."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from voxtra_core.agent.web import WebExchange, WebRequest
from voxtra_core.effects import (
    TLS,
    Close,
    Connect,
    Connected,
    Drained,
    Effect,
    EndOfStream,
    Failed,
    FailureKind,
    Received,
    Send,
)
from voxtra_core.errors import ProviderFailed
from voxtra_core.wire.web import FINISH_BYTES, FINISH_TIMEOUT, IDLE_TIMEOUT, WebPort

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
BEGUN = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
END = b"0\r\n\r\n"
URL = "https://api.example/v1?token=s3cret"
TOLD_OK = ["200", "hello", "end"]


class Listener:
    """One that remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.error: ProviderFailed | None = None
        self.on_told: Callable[[str], None] = lambda what: None
        self.exchange: WebExchange

    def _tell(self, what: str) -> None:
        self.told.append(what)
        self.on_told(what)

    def head(self, status: int, headers: tuple[tuple[str, str], ...], now: float) -> None:
        self._tell(f"{status}")

    def data(self, data: bytes, now: float) -> None:
        self._tell(data.decode())

    def end(self, now: float) -> None:
        self._tell("end")

    def failed(self, error: ProviderFailed, now: float) -> None:
        self.error = error
        self._tell("failed")


class Net:
    """A port, and what becomes of its effects."""

    def __init__(self, **options: Any) -> None:
        numbers = count(1)
        self.port = WebPort(new_conn=lambda: next(numbers), **options)
        self.now = 0.0
        self.connects: list[Connect] = []
        self.sent: dict[int, bytes] = {}
        self.closed: list[int] = []

    def ask(self, url: str = URL, *, connect_timeout: float = 10.0, idle_timeout: float = 30.0) -> Listener:
        listener = Listener()
        key = ("Authorization", "Bearer s3cret")
        request = WebRequest("POST", url, (key,), b"{}", connect_timeout=connect_timeout, idle_timeout=idle_timeout)
        listener.exchange = self.port.ask(request, listener, self.now)
        self.perform()
        return listener

    def tell(self, event: Connected | Received | EndOfStream | Failed | Drained) -> None:
        assert self.port.receive(event, self.now)
        self.perform()

    def connected(self, conn: int) -> None:
        self.tell(Connected(conn))

    def feed(self, conn: int, data: bytes) -> None:
        self.tell(Received(conn, data))

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (deadline := self.port.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.port.handle_timeout(self.now)
            after = self.port.next_deadline()
            assert after is None or after > self.now, "it spins"
            self.perform()
        self.now = end

    def perform(self) -> None:
        for effect in self.port.effects_to_perform():
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Connect():
                self.connects.append(effect)
            case Send(conn, data):
                assert conn not in self.closed
                self.sent[conn] = self.sent.get(conn, b"") + data
            case Close(conn):
                assert conn not in self.closed
                self.closed.append(conn)
            case _:
                raise AssertionError(effect)


def answered(net: Net, conn: int) -> Listener:
    """A request that was answered on a new connection, which is kept."""
    listener = net.ask()
    net.connected(conn)
    net.feed(conn, OK)
    assert listener.told == TOLD_OK
    return listener


# ---- a request and its reply -----------------------------------------------------------------------------------------


def test_a_request_and_its_reply() -> None:
    net = Net()
    listener = net.ask()
    assert net.connects == [Connect(1, "api.example", 443, TLS())]
    assert net.sent == {}
    net.connected(1)
    head, _, body = net.sent[1].partition(b"\r\n\r\n")
    first, *fields = head.decode().split("\r\n")
    assert first == "POST /v1?token=s3cret HTTP/1.1"
    assert fields[:3] == ["Host: api.example", "Authorization: Bearer s3cret", "Accept-Encoding: identity"]
    assert fields[3].startswith("User-Agent: voxtra/")
    assert fields[4:] == ["Content-Length: 2"]
    assert body == b"{}"
    net.feed(1, BEGUN)
    assert listener.told == ["200", "hello"]
    net.feed(1, END)
    assert listener.told == TOLD_OK
    assert (net.port.connections, net.port.idle, net.closed) == (1, 1, [])


@pytest.mark.parametrize(
    ("url", "host", "port", "tls", "field"),
    [
        ("http://api.example", "api.example", 80, None, b"Host: api.example\r\n"),
        ("http://localhost:11434/v1", "localhost", 11434, None, b"Host: localhost:11434\r\n"),
        ("https://[::1]:8443/", "::1", 8443, TLS(), b"Host: [::1]:8443\r\n"),
        ("https://[::1]/", "::1", 443, TLS(), b"Host: [::1]\r\n"),
        ("http://api.example:443/", "api.example", 443, None, b"Host: api.example:443\r\n"),
    ],
)
def test_where_to(url: str, host: str, port: int, tls: TLS | None, field: bytes) -> None:
    net = Net()
    net.ask(url)
    assert net.connects == [Connect(1, host, port, tls)]
    net.connected(1)
    assert field in net.sent[1]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://s3cret/", "s3cret", "http://", "https://user:s3cret@host/", "http://host:s3cret/", "http://[s3cret/",
        "http://h\u00f6st/s3cret", "http://host/s3cret value", "",
    ],
)  # fmt: skip
def test_what_is_no_url(url: str) -> None:
    net = Net()
    with pytest.raises(ProviderFailed) as caught:
        net.ask(url)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None or "s3cret" not in str(caught.value.__context__)
    assert net.connects == []
    assert net.port.next_deadline() is None


@pytest.mark.parametrize("field", [("Host", "x"), ("connection", "close"), ("Content-Length", "1"), ("X", "s3cret\n")])
def test_what_is_not_the_callers_to_set(field: tuple[str, str]) -> None:
    net = Net()
    with pytest.raises(ProviderFailed) as caught:
        net.port.ask(WebRequest("GET", URL, (field,)), Listener(), 0.0)
    assert "s3cret" not in str(caught.value)


def test_what_is_no_business_of_the_port() -> None:
    port = Net().port
    for event in (Connected(7), Received(7, b"x"), EndOfStream(7), Failed(7, "x"), Drained(7)):
        assert not port.receive(event, 0.0)


# ---- connections -----------------------------------------------------------------------------------------------------


def test_a_connection_serves_one_request_after_another() -> None:
    net = Net()
    for number in range(3):
        listener = net.ask()
        if number == 0:
            net.connected(1)
        net.feed(1, OK)
        assert listener.told == TOLD_OK
    assert len(net.connects) == 1


def test_but_not_one_to_another_server() -> None:
    net = Net()
    answered(net, 1)
    net.ask("https://other.example/")
    net.ask("http://api.example:443/")
    assert [connect.host for connect in net.connects] == ["api.example", "other.example", "api.example"]


def test_the_last_used_serves_first_and_the_first_is_closed_first() -> None:
    net = Net(max_idle=2)
    listeners = [net.ask() for _ in range(3)]
    for conn in (1, 2, 3):
        net.connected(conn)
    for conn in (1, 3, 2):
        net.feed(conn, OK)
    assert [listener.told for listener in listeners] == [TOLD_OK] * 3
    assert net.closed == [1]
    before = len(net.sent[2])
    net.ask()
    assert len(net.sent[2]) > before


def test_an_idle_one_is_closed_after_a_while() -> None:
    net = Net()
    answered(net, 1)
    net.wait(IDLE_TIMEOUT - 1)
    assert net.closed == []
    net.wait(1)
    assert net.closed == [1]
    assert net.port.next_deadline() is None
    assert net.port.connections == 0


@pytest.mark.parametrize("event", [EndOfStream(1), Received(1, b"HTTP/1.1 408 Timeout\r\n\r\n"), Failed(1, "reset")])
def test_an_idle_one_that_the_server_ends(event: EndOfStream | Received | Failed) -> None:
    net = Net()
    answered(net, 1)
    net.tell(event)
    assert net.port.connections == 0
    assert net.closed == ([] if isinstance(event, Failed) else [1])
    net.ask()
    assert len(net.connects) == 2


def test_a_reply_that_ends_with_its_connection() -> None:
    net = Net()
    listener = net.ask()
    net.connected(1)
    net.feed(1, b"HTTP/1.1 200 OK\r\n\r\nhello")
    net.tell(EndOfStream(1))
    assert listener.told == TOLD_OK
    assert net.closed == [1]


def test_one_that_is_to_be_closed_is() -> None:
    net = Net()
    listener = net.ask()
    net.connected(1)
    net.feed(1, OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert listener.told == TOLD_OK
    assert net.closed == [1]


def test_beyond_so_many_connections_requests_wait_in_order() -> None:
    net = Net(max_connections=2, max_waiting=2)
    first, second, third, fourth = (net.ask() for _ in range(4))
    assert (len(net.connects), net.port.waiting) == (2, 2)
    with pytest.raises(ProviderFailed, match=r"2 requests to .* wait already, and 2 are under way"):
        net.ask()
    net.connected(1)
    net.connected(2)
    net.feed(2, OK)
    net.feed(2, OK)
    assert (second.told, third.told, fourth.told) == (TOLD_OK, TOLD_OK, [])
    first.exchange.cancel(net.now)  # makes room for a new one, but the idle one is there already
    net.perform()
    net.feed(2, OK)
    assert fourth.told == TOLD_OK
    assert len(net.connects) == 2


def test_who_waits_for_too_long_is_told() -> None:
    net = Net(max_connections=1)
    first = net.ask(idle_timeout=100.0)
    net.connected(1)
    second = net.ask(connect_timeout=3.0)
    net.wait(3.0)
    assert first.told == []
    assert str(second.error) == "web: no connection to api.example:443 was free within 3 s: 1 are in use"
    assert net.port.waiting == 0


def test_who_waits_may_go() -> None:
    net = Net(max_connections=1)
    net.ask()
    second, third = net.ask(), net.ask()
    second.exchange.cancel(net.now)
    second.exchange.cancel(net.now)
    third.exchange.finish(net.now)
    assert net.port.waiting == 0
    net.connected(1)
    net.feed(1, OK)
    assert second.told == third.told == []


# ---- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failed", "words"),
    [
        (Failed(1, "connection refused"), "connection refused – does the server run there"),
        (Failed(1, "no such host"), "no such host – is the host's name right"),
        (Failed(1, "wrong version", FailureKind.TLS), "is this port TLS"),
        (Failed(1, "expired", FailureKind.CERTIFICATE_EXPIRED), "has to be renewed"),
        (Failed(1, "self-signed", FailureKind.CERTIFICATE), "trust its issuer"),
        (Failed(1, "mismatch", FailureKind.CERTIFICATE_HOSTNAME), "another name"),
    ],
)
def test_a_server_that_cannot_be_reached(failed: Failed, words: str) -> None:
    net = Net()
    listener = net.ask()
    net.tell(failed)
    assert listener.told == ["failed"]
    assert str(listener.error).startswith("web: no connection to api.example:443: ")
    assert words in str(listener.error)
    assert "s3cret" not in str(listener.error)
    assert net.closed == []


def test_a_connection_that_takes_too_long() -> None:
    net = Net()
    listener = net.ask(connect_timeout=4.0)
    net.wait(4.0)
    assert "no connection to api.example:443 within 4 s" in str(listener.error)
    assert net.closed == [1]


@pytest.mark.parametrize("fed", [b"", BEGUN[:10], BEGUN])
def test_a_server_that_falls_silent(fed: bytes) -> None:
    net = Net()
    listener = net.ask(idle_timeout=5.0)
    net.connected(1)
    net.wait(4.0)
    if fed:
        net.feed(1, fed)
        net.wait(4.0)
        assert listener.error is None
    net.wait(1.0)
    assert "nothing came from api.example:443 for 5 s" in str(listener.error)
    assert net.closed == [1]


def test_a_reply_with_a_limit() -> None:
    """It counts whatever comes; the last one does, and after the end none."""
    net = Net()
    listener = net.ask(idle_timeout=5.0)
    net.connected(1)
    net.feed(1, BEGUN)
    listener.exchange.limit(1.0, net.now)
    net.wait(0.9)
    listener.exchange.limit(1.0, net.now)
    net.wait(0.9)
    net.tell(Drained(1))
    net.feed(1, b"2\r\nhi\r\n")
    assert listener.error is None
    net.wait(0.1)
    assert "the reply of api.example:443 had not ended in time" in str(listener.error)
    assert net.closed == [1]
    listener.exchange.limit(1.0, net.now)
    assert net.port.next_deadline() is None


def test_a_limit_makes_nothing_longer() -> None:
    net = Net()
    listener = net.ask(idle_timeout=5.0)
    net.connected(1)
    net.feed(1, BEGUN)
    listener.exchange.limit(100.0, net.now)
    net.wait(5.0)
    assert "nothing came from api.example:443 for 5 s" in str(listener.error)


def test_a_long_request_has_left_before_it_is_the_servers_turn() -> None:
    net = Net()
    listener = net.ask(idle_timeout=5.0)
    net.connected(1)
    net.wait(4.0)
    net.tell(Drained(1))
    net.wait(4.0)
    assert listener.error is None


@pytest.mark.parametrize("size", range(len(BEGUN + END)))
@pytest.mark.parametrize("event", [EndOfStream(1), Failed(1, "connection reset by the peer")])
def test_a_reply_that_is_cut_short_at_each_byte(size: int, event: EndOfStream | Failed) -> None:
    net = Net()
    listener = net.ask()
    net.connected(1)
    if size:
        net.feed(1, (BEGUN + END)[:size])
    net.tell(event)
    assert listener.told[-1] == "failed"
    assert "hello".startswith("".join(listener.told[1:-1]))
    assert listener.told[:-1] == [] or listener.told[0] == "200"
    assert net.port.connections == 0
    assert net.port.next_deadline() is None


def test_what_is_no_http() -> None:
    net = Net()
    listener = net.ask()
    net.connected(1)
    net.feed(1, b"SSH-2.0-OpenSSH s3cret\r\n\r\n")
    assert "api.example:443 sent what cannot be understood" in str(listener.error)
    assert "s3cret" not in str(listener.error)
    assert net.closed == [1]


@pytest.mark.parametrize("event", [EndOfStream(1), Failed(1, "connection reset by the peer")])
def test_one_whose_kept_connection_was_gone_is_repeated_once(event: EndOfStream | Failed) -> None:
    net = Net()
    answered(net, 1)
    listener = net.ask()
    net.tell(event)
    assert len(net.connects) == 2
    assert listener.told == []
    net.connected(2)
    assert net.sent[2] in net.sent[1]
    net.tell(EndOfStream(2))
    assert "closed the connection before its reply" in str(listener.error)
    assert len(net.connects) == 2


def test_but_not_one_whose_reply_had_begun() -> None:
    net = Net()
    answered(net, 1)
    listener = net.ask()
    net.feed(1, b"H")
    net.tell(EndOfStream(1))
    assert listener.told == ["failed"]
    assert len(net.connects) == 1


# ---- enough of it ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fed", [None, b"", BEGUN])
def test_one_that_is_given_up(fed: bytes | None) -> None:
    net = Net()
    listener = net.ask()
    if fed is not None:
        net.connected(1)
    if fed:
        net.feed(1, fed)
    told = list(listener.told)
    listener.exchange.cancel(net.now)
    net.perform()
    assert net.closed == [1]
    assert listener.told == told
    assert net.port.next_deadline() is None
    listener.exchange.cancel(net.now)
    listener.exchange.finish(net.now)
    assert net.port.effects_to_perform() == []


def test_one_that_is_given_up_in_the_middle_of_what_it_is_told() -> None:
    net = Net()
    listener = net.ask()
    net.connected(1)
    listener.on_told = lambda what: listener.exchange.cancel(net.now)
    net.feed(1, BEGUN + END)
    assert listener.told == ["200"]
    assert net.closed == [1]
    assert (net.port.connections, net.port.idle, net.port.next_deadline()) == (0, 0, None)
    net.ask()
    assert len(net.connects) == 2


def test_one_that_is_finished_in_the_middle_of_what_it_is_told() -> None:
    net = Net()
    listener = net.ask()
    net.connected(1)
    listener.on_told = lambda what: listener.exchange.finish(net.now)
    net.feed(1, BEGUN + END)
    assert listener.told == ["200"]
    assert (net.port.connections, net.port.idle, net.closed) == (1, 1, [])


def test_one_failure_that_makes_an_end_of_the_others() -> None:
    net = Net()
    listeners = [net.ask(idle_timeout=5.0) for _ in range(3)]
    for conn in (1, 2, 3):
        net.connected(conn)

    def give_up_all(what: str) -> None:
        for listener in listeners:
            listener.exchange.cancel(net.now)

    for listener in listeners:
        listener.on_told = give_up_all
    net.wait(5.0)
    assert [listener.told for listener in listeners] == [["failed"], [], []]
    assert sorted(net.closed) == [1, 2, 3]


def test_the_rest_of_a_reply_is_thrown_away_and_the_connection_kept() -> None:
    net = Net()
    listener = net.ask()
    net.connected(1)
    net.feed(1, BEGUN)
    listener.exchange.finish(net.now)
    net.feed(1, BEGUN[-10:] + END)
    assert listener.told == ["200", "hello"]
    assert (net.port.idle, net.closed) == (1, [])


def test_but_only_for_a_moment_and_so_much() -> None:
    slow, long = Net(), Net()
    for net in (slow, long):
        listener = net.ask()
        net.connected(1)
        net.feed(1, BEGUN)
        listener.exchange.finish(net.now)
    slow.wait(FINISH_TIMEOUT / 2)
    slow.feed(1, BEGUN[-10:])
    slow.wait(FINISH_TIMEOUT / 2)
    assert slow.closed == [1]
    long.feed(1, b"ffffff\r\n" + bytes(FINISH_BYTES))
    assert long.closed == [1]


def test_the_next_is_asked_from_within_the_last_word() -> None:
    net = Net(max_connections=1)
    first = net.ask()
    net.connected(1)
    more: list[Listener] = []

    def ask_again(what: str) -> None:
        if what == "end":
            more.append(net.ask())

    first.on_told = ask_again
    net.feed(1, OK)
    net.feed(1, OK)
    assert more[0].told == TOLD_OK
    assert len(net.connects) == 1


def test_the_end_of_everything() -> None:
    net = Net(max_connections=2)
    kept = answered(net, 1)
    under_way, connecting, waiting = net.ask(), net.ask(), net.ask()
    net.port.close(net.now)
    net.perform()
    assert sorted(net.closed) == [1, 2]
    for listener in (under_way, connecting, waiting):
        assert str(listener.error) == "web: the application has ended"
    assert kept.told == TOLD_OK
    with pytest.raises(ProviderFailed, match="the application has ended"):
        net.ask()
    assert net.port.next_deadline() is None
    net.port.close(net.now)
    assert net.port.effects_to_perform() == []
