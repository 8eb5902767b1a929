"""AriLink: what it says to Asterisk, what becomes of each request, and why it ends."""

from __future__ import annotations

import json
from base64 import b64encode
from itertools import count
from typing import Any, Literal
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.ari.codec import reason_of
from voxtra_core.ari.messages import EventReceived, Link, LinkAlive, LinkClosed, LinkOpened, Reply, RequestFailed
from voxtra_core.ari.request import Request
from voxtra_core.effects import TLS, Close, Connect, Connected, EndOfStream, Failed, FailureKind, Received, Send
from voxtra_core.errors import (
    AuthenticationFailed,
    CertificateError,
    CertificateExpired,
    CertificateHostnameMismatch,
    ConnectFailed,
    ConnectionLost,
    LinkError,
    LocalProtocolError,
    RequestNotSent,
    RequestOutcomeUnknown,
    TLSFailed,
)
from voxtra_core.wire import AriLink, RequestReceived, SocketOpened

from .memory import Cable, Network, new_network, open_network
from .streams import frame


def request(name: str, method: str = "GET", **fields: Any) -> Request[None]:
    return Request("test", method, f"/{name}", **fields)


def send(network: Network, *names: str, method: str = "GET") -> None:
    """Send requests that are named in their paths, and let them reach the server."""
    for name in names:
        network.link.send_request(name, request(name, method), network.now)
    network.carry_all()


def received(network: Network) -> list[RequestReceived]:
    return [said for said in network.server_messages if isinstance(said, RequestReceived)]


def reply(network: Network, *, last: bool = False, body: bytes = b"") -> None:
    """Answer the newest request."""
    headers = [("Connection", "close")] if last else []
    network.server.reply(received(network)[-1].request, 200, "Fine", headers, body, now=network.now)
    network.carry_all()


def failures(network: Network) -> dict[str, type[LinkError | LocalProtocolError]]:
    return {m.request_id: type(m.error) for m in network.messages if isinstance(m, RequestFailed)}


def only_error(network: Network) -> LinkError | None:
    """Why the link ended, that being all it has said."""
    (closed,) = network.messages
    assert isinstance(closed, LinkClosed)
    return closed.error


def bare_link(**options: Any) -> AriLink:
    numbers = count(1)
    arguments: dict[str, Any] = {"host": "pbx", "port": 8088, "user": "tester", "password": "s3cret", "app_name": "app"}
    return AriLink(**(arguments | {"new_conn": lambda: next(numbers)} | options))


def answered_with(data: bytes, **options: Any) -> LinkError | None:
    """What the link ends with if a server answers its WebSocket handshake so, and hangs up."""
    link = bare_link(**options)
    link.open(0.0)
    link.receive(Connected(1), 0.0)
    link.receive(Received(1, data), 0.0)
    link.receive(EndOfStream(1), 0.0)
    message = link.next_message()
    assert isinstance(message, LinkClosed)
    assert link.next_message() is None
    assert link.effects_to_perform()[-1] == Close(1)
    assert link.next_deadline() is None
    return message.error


# ---- opening


def test_the_handshake_as_it_goes_out() -> None:
    link = bare_link(host="::1%lo", path_prefix="/pbx/", app_name="my app/2")
    as_protocol: Link = link
    as_protocol.open(0.0)
    assert link.effects_to_perform() == [Connect(1, "::1%lo", 8088)]
    link.receive(Connected(1), 0.1)
    (sent,) = link.effects_to_perform()
    assert isinstance(sent, Send)
    lines = sent.data.decode().split("\r\n")
    assert lines[0] == "GET /pbx/ari/events?app=my%20app%2F2 HTTP/1.1"
    assert "Host: [::1]:8088" in lines
    assert "Authorization: Basic dGVzdGVyOnMzY3JldA==" in lines
    assert "Sec-WebSocket-Protocol: ari" in lines


def test_it_opens_and_events_come_in() -> None:
    network = open_network(app_name="my app")
    (opened,) = network.server_messages
    assert opened == SocketOpened(2, ("my app",), subscribe_all=False)
    network.server.send_text(2, '{"type":"Ä"}')
    network.carry_all()
    assert network.messages == [EventReceived('{"type":"Ä"}')]


def test_an_event_may_come_with_the_handshake() -> None:
    network = new_network()
    network.link.open(0.0)
    network.run()
    network.accept(network.connecting[0])
    network.carry_up(network.cables[0])
    network.server.send_text(2, "first")
    network.run()
    network.carry_down(network.cables[0])
    assert network.messages == [LinkOpened(), EventReceived("first")]


@pytest.mark.parametrize("wrong", [{"user": "nobody"}, {"password": "x"}, {"password": "s3cret2"}])
def test_wrong_credentials(wrong: dict[str, Any]) -> None:
    network = new_network(**wrong)
    network.link.open(0.0)
    network.carry_all()
    error = only_error(network)
    assert isinstance(error, AuthenticationFailed)
    assert "wrong user or password" in str(error)


@pytest.mark.parametrize(
    ("head", "kind", "says"),
    [
        (b"403 Forbidden", AuthenticationFailed, "acl"),
        (b"404 Not Found", ConnectFailed, "res_ari"),
        (b"426 Upgrade Required", ConnectFailed, "proxy"),
        (b"500 Internal Server Error", ConnectFailed, "73 characters"),
        (b"503 Service Unavailable", ConnectFailed, "not finished booting"),
        (b"418 I'm a teapot", ConnectFailed, "at http://pbx:8088/ari with status 418"),
    ],
)
def test_other_refusals_say_what_to_check(head: bytes, kind: type[LinkError], says: str) -> None:
    error = answered_with(b"HTTP/1.1 " + head + b"\r\nContent-Length: 26\r\n\r\n<address>Asterisk</address")
    assert type(error) is kind
    assert says in str(error)


@pytest.mark.parametrize("body", [b'["no way"]', b'{"message":7}', b"<html>", b"\xff", b""])
@pytest.mark.parametrize("head", [b"200 OK", b"401 Unauthorized", b"403 Forbidden", b"404 Not Found", b"500 Oops"])
def test_a_refusal_in_other_words_than_asterisks_is_somebody_elses(head: bytes, body: bytes) -> None:
    """Not even 401 says that our password is wrong."""
    error = answered_with(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (head, len(body), body))
    assert type(error) is ConnectFailed
    assert str(error).startswith(
        f"HTTP, but not Asterisk: status {int(head[:3])} at http://pbx:8088/ari – give the port"
    )


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "what answers at pbx:8088 does not speak HTTP, it is SSH – give the port"),
        (b"Asterisk Call Manager/9.0.0\r\n", "does not speak HTTP, it is Asterisk's manager interface, AMI – give"),
        (b"\x15\x03\x01\x00\x02", "what answers at pbx:8088 does not speak HTTP, it is TLS – begin the URL with https"),
        (b"220 s3cret\r\n", "what answers at pbx:8088 does not speak HTTP – give the port of Asterisk's HTTP server"),
        (b"HTTP/1.1 200", "no event socket from Asterisk at pbx:8088: the connection was closed before"),
        (b"", "pbx:8088 closed the connection without an answer – is this port TLS? Then begin the URL with https."),
    ],
)
def test_another_server(data: bytes, said: str) -> None:
    error = answered_with(data)
    assert type(error) is ConnectFailed
    assert said in str(error)
    assert "s3cret" not in str(error)


@pytest.mark.parametrize("tls", [None, TLS()])
def test_all_connections_are_encrypted_or_none(tls: TLS | None) -> None:
    network = open_network(tls=tls)
    for number in range(3):
        network.link.send_request(f"{number}", Request("x", "GET", "/asterisk/ping"), network.now)
    network.run()
    assert [effect.tls for effect in network.link_effects if isinstance(effect, Connect)] == [tls] * 4


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (FailureKind.TLS, TLSFailed),
        (FailureKind.CERTIFICATE, CertificateError),
        (FailureKind.CERTIFICATE_EXPIRED, CertificateExpired),
        (FailureKind.CERTIFICATE_HOSTNAME, CertificateHostnameMismatch),
    ],
)
@pytest.mark.parametrize("when", ["before it is open", "when it is open for us"])
def test_what_fails_by_tls_has_an_error_of_its_own(kind: FailureKind, error: type[ConnectFailed], when: str) -> None:
    """In TLS 1.3 a server that wants a certificate of ours says so when all is open for us."""
    link = bare_link(tls=TLS())
    link.open(0.0)
    if when == "when it is open for us":
        link.receive(Connected(1), 0.0)
    link.receive(Failed(1, "this is why", kind), 0.0)
    message = link.next_message()
    assert isinstance(message, LinkClosed)
    assert type(message.error) is error
    assert "pbx:8088" in str(message.error)
    assert ": this is why – " in str(message.error)


def test_a_refused_connection() -> None:
    network = new_network()
    network.link.open(0.0)
    network.run()
    network.refuse(network.connecting[0])
    error = only_error(network)
    assert type(error) is ConnectFailed
    assert "127.0.0.1:8088" in str(error)
    assert "Connection refused" in str(error)


@pytest.mark.parametrize("connected", [False, True])
def test_a_server_that_says_nothing(connected: bool) -> None:
    network = new_network()
    network.link.open(0.0)
    network.run()
    if connected:
        network.accept(network.connecting[0])
    network.advance(9.9)
    assert network.messages == []
    network.advance(0.1)
    assert type(only_error(network)) is ConnectFailed
    assert network.link_effects[-1] == Close(1001)


# ---- requests


def test_a_request_as_it_goes_out() -> None:
    network = open_network(path_prefix="")
    body = {"variables": {"k": "ü"}}
    network.link.send_request("1", request("x%2Fy", "POST", query=(("a", "b c"),), body=body), 0.0)
    network.run()
    network.accept(network.connecting[0])
    lines = bytes(network.cables[1].up.data).decode().split("\r\n")
    assert lines == [
        "POST /ari/x%2Fy?a=b%20c HTTP/1.1",
        "Host: 127.0.0.1:8088",
        "Authorization: Basic dGVzdGVyOnMzY3JldA==",
        "Content-Type: application/json",
        "Content-Length: 28",
        "",
        '{"variables":{"k":"\\u00fc"}}',
    ]


def test_a_reply_comes_back_and_the_connection_is_used_again() -> None:
    network = open_network()
    for n in range(3):
        send(network, f"{n}", method="POST")
        reply(network, body=b"body")
        assert network.messages == [Reply(f"{n}", 200, "Fine", b"body")]
        network.messages.clear()
    assert network.connects == 2


def test_a_reply_may_come_in_pieces() -> None:
    network = open_network()
    send(network, "a")
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi":
        assert network.messages == []
        network.to_link(Received(1002, bytes([byte])))
    assert network.messages == [Reply("a", 200, "OK", b"hi")]


def test_a_connection_is_not_used_again_after_connection_close() -> None:
    network = open_network()
    for n in range(2):
        send(network, f"{n}")
        reply(network, last=True)
    assert [message.request_id for message in network.messages if isinstance(message, Reply)] == ["0", "1"]
    assert network.connects == 3
    assert network.gone == [1002, 1003]


def test_as_many_connections_as_needed_then_first_come_first_served_then_no_more() -> None:
    network = open_network(max_under_way=2, max_waiting=2)
    send(network, "a", "b", "c", "d", "e")
    assert failures(network) == {"e": RequestNotSent}
    assert network.connects == 3
    for name in ("b", "c", "d"):
        assert received(network)[-1].target == f"/{name}"
        reply(network)
    assert network.connects == 3


def test_hang_ups_go_first_and_in_their_order() -> None:
    """Also when everybody hangs up at once; what else waits keeps its order behind them."""
    network = open_network(max_under_way=1)
    send(network, "a", "b", "c", method="POST")
    send(network, "d", "e", method="DELETE")
    send(network, "f")
    send(network, "g", method="DELETE")
    for _ in range(6):
        reply(network)
    assert [said.target for said in received(network)] == ["/a", "/d", "/e", "/g", "/b", "/c", "/f"]


def test_who_waits_gets_a_connection_when_another_is_lost_or_refused() -> None:
    network = open_network(max_under_way=1)
    send(network, "a", "b", "c", "d", method="POST")
    reply(network, last=True)
    assert received(network)[-1].target == "/b"
    network.cut(network.cables[2], gently=False)
    network.refuse(network.connecting[0])
    network.carry_all()
    assert failures(network) == {"b": RequestOutcomeUnknown, "c": RequestNotSent}
    assert received(network)[-1].target == "/d"


def test_the_connection_used_last_is_used_first_and_the_others_end() -> None:
    network = open_network()
    send(network, "a", "b", "c")
    for number in (3, 1, 2):  # so that it is neither the first nor the last that was opened
        network.server.reply(number, 204, "No Content", now=network.now)
        network.carry_all()
    for n in range(9):
        network.advance(2.0)
        send(network, f"{n}")
        reply(network)
    assert sorted(network.gone) == [1002, 1004]
    assert network.connects == 4


def test_an_idle_connection_is_closed_before_asterisk_does() -> None:
    network = open_network()
    send(network, "a")
    reply(network)
    network.advance(9.9)
    assert network.gone == []
    network.advance(0.1)
    assert network.gone == [1002]


@pytest.mark.parametrize("gently", [True, False])
@pytest.mark.parametrize(("method", "repeated"), [("GET", True), ("DELETE", True), ("POST", False)])
def test_a_request_on_a_stale_connection_is_repeated_if_that_does_no_harm(
    method: str, repeated: bool, gently: bool
) -> None:
    network = open_network()
    send(network, "a")
    reply(network)
    network.cut(network.cables[1], gently=True)
    network.link.send_request("b", request("b", method), network.now)  # before it has seen the end
    network.run()
    if not gently:
        network.cut(network.cables[1], gently=False)
    network.carry_all()
    assert [message.target for message in received(network)] == (["/a", "/b"] if repeated else ["/a"])
    assert failures(network) == ({} if repeated else {"b": RequestOutcomeUnknown})
    if repeated:
        network.cut(network.cables[2], gently=gently)  # and not again
        network.carry_all()
        assert failures(network) == {"b": RequestOutcomeUnknown}
        assert network.connects == 3


def test_what_failed_before_it_left_says_so() -> None:
    network = open_network()
    network.link.send_request("a", request("a", "POST"), 0.0)
    network.run()
    network.refuse(network.connecting[0])
    network.link.send_request("b", request("b", "POST"), 0.0)
    network.run()
    network.advance(10.0)
    assert failures(network) == {"a": RequestNotSent, "b": RequestNotSent}
    assert network.gone == [1002, 1003]


def test_a_repeat_that_finds_no_connection_may_have_had_its_effect_the_first_time() -> None:
    network = open_network()
    send(network, "a")
    reply(network)
    send(network, "b", method="DELETE")
    network.cut(network.cables[1], gently=True)
    network.carry_down(network.cables[1])
    network.refuse(network.connecting[0])
    assert failures(network) == {"b": RequestOutcomeUnknown}


def test_a_reply_that_is_no_http() -> None:
    network = open_network()
    send(network, "a")
    network.to_link(Received(1002, b"HTTP/1.1 nonsense\r\n\r\n"))
    assert failures(network) == {"a": RequestOutcomeUnknown}
    assert network.gone == [1002]


def test_a_reply_that_never_comes_is_left_to_whoever_asked() -> None:
    network = open_network()
    send(network, "a")
    for _ in range(100):
        network.advance(1.0)
        network.carry_all()
    assert network.messages == []


def test_a_reply_that_comes_too_late_for_a_reply_timeout() -> None:
    network = open_network(reply_timeout=3.0, max_under_way=1)
    send(network, "a", "b")
    network.advance(2.9)
    assert network.messages == []
    network.advance(0.1)
    assert failures(network) == {"a": RequestOutcomeUnknown}
    network.carry_all()
    assert received(network)[-1].target == "/b"


@pytest.mark.parametrize("when", ["waiting", "connecting"])
def test_a_withdrawn_request_that_has_not_left_never_does(when: str) -> None:
    network = open_network(max_under_way=1)
    if when == "waiting":
        send(network, "first")
    network.link.send_request("a", request("a"), network.now)
    network.run()
    assert not network.link.withdraw_request("a", network.now)
    network.run()
    assert failures(network) == {"a": RequestNotSent}
    assert network.link.withdraw_request("a", network.now), "it is nothing that anybody knows any more"
    if when == "waiting":
        reply(network)
    send(network, "b")
    assert [request.target for request in received(network)][-1] == "/b"
    assert "/a" not in [request.target for request in received(network)]


def test_a_withdrawn_request_takes_its_course_for_a_while() -> None:
    network = open_network(max_under_way=1)
    network.link.send_request("a", request("a"), network.now)
    network.run()
    network.carry_all()
    for _ in range(2):  # again is no error, nor is one that nobody knows
        assert network.link.withdraw_request("a", network.now)
        assert network.link.withdraw_request("unknown", network.now)
    network.carry_all()
    assert received(network)[-1].target == "/a"
    network.advance(4.9)
    assert failures(network) == {}
    network.advance(0.1)
    assert failures(network) == {"a": RequestOutcomeUnknown}


def test_a_withdrawn_request_may_get_its_reply() -> None:
    network = open_network()
    send(network, "a")
    network.link.withdraw_request("a", network.now)
    network.advance(4.0)
    reply(network)
    network.advance(2.0)
    assert network.messages == [Reply("a", 200, "Fine")]
    send(network, "b")
    assert network.connects == 2


def test_a_server_that_has_stopped_reading_requests() -> None:
    network = open_network(max_unsent=10)
    send(network, "a")
    reply(network)
    for name in ("b", "c"):
        network.link.send_request(name, request(name), network.now)
        network.run()
        network.to_link(Received(1002, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))  # unread, and yet answered
    assert network.gone == [1002]
    network.carry_all()
    assert received(network)[-1].target == "/c"  # which never left on the old connection


def test_a_server_that_reads_may_get_any_amount() -> None:
    network = open_network(max_unsent=10)
    for n in range(10):
        send(network, f"{n}")
        reply(network)
    assert network.connects == 2


def test_requests_while_the_link_is_not_open() -> None:
    network = new_network()
    network.link.send_request("a", request("a"), 0.0)
    network.link.open(0.0)
    network.link.send_request("b", request("b"), 0.0)
    network.carry_all()
    network.link.close(0.0)
    network.link.send_request("c", request("c"), 0.0)
    network.carry_all()
    network.link.send_request("d", request("d"), 0.0)
    network.run()
    assert failures(network) == dict.fromkeys("abcd", RequestNotSent)


@pytest.mark.parametrize(
    "bad",
    [
        request("a b"),
        request("ä"),
        request("x", method="GET / HTTP/1.1\r\nX:"),
        request("x", body={"x": object()}),
        request("x", body={"x": float("nan")}),
    ],
)
def test_what_cannot_be_sent_is_refused_and_changes_nothing(bad: Request[None]) -> None:
    network = open_network()
    with pytest.raises(LocalProtocolError):
        network.link.send_request("a", bad, 0.0)
    network.run()
    assert network.messages == []
    assert network.connects == 1


def test_an_id_is_used_once_at_a_time() -> None:
    network = open_network(max_under_way=1)
    send(network, "a", "b")
    for name in ("a", "b"):
        with pytest.raises(LocalProtocolError, match="under way"):
            network.link.send_request(name, request(name), 0.0)
    reply(network)
    network.link.send_request("a", request("a"), 0.0)


# ---- the end


def requests_in_every_state(network: Network) -> None:
    """One sent, one for which a connection is being opened, one waiting; the pool has two connections."""
    send(network, "sent")
    network.link.send_request("connecting", request("connecting"), network.now)
    network.link.send_request("waiting", request("waiting"), network.now)
    network.run()


OUTCOMES = {"sent": RequestOutcomeUnknown, "connecting": RequestNotSent, "waiting": RequestNotSent}


@pytest.mark.parametrize("how", ["close frame", "end", "failure", "garbage", "too big", "silence"])
def test_when_the_event_socket_ends_so_does_everything(how: str) -> None:
    network = open_network(max_under_way=2, max_message=1000)
    requests_in_every_state(network)
    match how:
        case "close frame":
            network.server.close_socket(2, 1001, now=network.now)
            network.run()
            network.carry_down(network.cables[0])
        case "end":
            network.to_link(EndOfStream(1001))
        case "failure":
            network.cut(network.cables[0], gently=False)
        case "garbage":
            network.to_link(Received(1001, b"garbage"))
        case "too big":
            network.to_link(Received(1001, frame(1, b"x" * 1001)))
        case "silence":
            network.accept(network.connecting[0])  # or its connect timeout would be first
            network.cut(network.cables[2], gently=True)
            network.carry_down(network.cables[2])
            network.messages.clear()
            network.advance(25.0)
    closed = network.messages[-1]
    assert isinstance(closed, LinkClosed)
    assert type(closed.error) is ConnectionLost
    assert how == "silence" or failures(network) == OUTCOMES
    assert network.link.next_deadline() is None
    assert not [cable for cable in [*network.cables, *network.connecting] if cable.client is not None]


def test_a_lively_event_socket_gets_no_pings_and_a_quiet_one_is_not_lost() -> None:
    network = open_network()
    sent = len(network.link_effects)
    for n in range(100):
        network.server.send_text(2, f"{n}")
        network.carry_all()
        network.advance(1.0)
    assert len(network.link_effects) == sent
    for _ in range(100):
        network.advance(1.0)
        network.carry_all()
    assert len(network.link_effects) == sent + 6  # a ping every 15 s and a bit
    assert not [message for message in network.messages if isinstance(message, LinkClosed)]


def test_a_link_that_is_to_prove_itself_is_pinged_at_once() -> None:
    """Once, until the answer is there; then what was asked is answered."""
    network = open_network()
    sent = len(network.link_effects)
    network.advance(5.0)
    for _ in range(2):
        network.link.probe(network.now)
        network.run()
    assert len(network.link_effects) == sent + 1
    assert network.messages == []
    network.carry_all()
    assert network.messages == [LinkAlive()]
    network.carry_all()
    assert network.messages == [LinkAlive()]
    network.advance(14.9)
    assert len(network.link_effects) == sent + 1


def test_a_ping_that_is_out_already_will_do() -> None:
    network = open_network()
    network.advance(15.0)
    sent = len(network.link_effects)
    network.advance(9.0)
    network.link.probe(network.now)
    network.run()
    assert len(network.link_effects) == sent
    network.advance(1.0)
    assert isinstance(network.messages[-1], LinkClosed)


def test_anything_at_all_proves_that_a_link_is_alive() -> None:
    """Behind what it said: a reply that came with it is no longer missed."""
    network = open_network()
    network.link.probe(network.now)
    network.server.send_text(2, "an event")
    network.run()
    network.carry_down(network.cables[0])
    assert network.messages == [EventReceived("an event"), LinkAlive()]


def test_a_link_that_cannot_prove_itself_is_lost() -> None:
    network = open_network()
    network.advance(5.0)
    network.link.probe(network.now)
    network.run()
    network.advance(9.9)
    assert network.messages == []
    network.advance(0.1)
    assert [type(message) for message in network.messages] == [LinkClosed]


def test_a_link_that_ends_has_proved_nothing() -> None:
    network = open_network()
    network.link.probe(network.now)
    network.server.close_socket(2, 1001, now=network.now)
    network.run()
    network.carry_down(network.cables[0])
    assert [type(message) for message in network.messages] == [LinkClosed]
    network.link.probe(network.now)
    assert network.link.next_deadline() is None


def test_a_ping_is_answered_and_a_flood_of_them_is_not_buffered_for_ever() -> None:
    network = open_network(max_unsent=1000)
    for n in range(200):
        network.to_link(Received(1001, frame(9, b"%d" % n) + frame(1, b"and an event")))
    closed = network.messages[-1]
    assert isinstance(closed, LinkClosed)
    assert "stopped reading" in str(closed.error)
    assert sum(len(e.data) for e in network.link_effects if isinstance(e, Send)) < 1500


def test_binary_messages_and_pongs_are_passed_over() -> None:
    network = open_network()
    network.to_link(Received(1001, frame(2, b"x") + frame(10) + frame(1, b"y")))
    assert network.messages == [EventReceived("y")]


def test_closing_lets_what_is_under_way_finish() -> None:
    network = open_network(max_under_way=1)
    send(network, "a", "b")
    network.link.close(network.now)
    network.link.close(network.now)
    network.carry_all()
    assert network.messages == []
    reply(network)
    reply(network)
    assert network.messages == [Reply("a", 200, "Fine"), Reply("b", 200, "Fine"), LinkClosed(None)]
    assert network.link.next_deadline() is None


def test_closing_waits_a_second_and_no_longer() -> None:
    network = open_network(max_under_way=2)
    requests_in_every_state(network)
    network.link.close(network.now)
    network.advance(0.9)
    assert network.messages == []
    network.advance(0.1)
    assert network.messages.pop() == LinkClosed(None)
    assert failures(network) == OUTCOMES
    assert network.link.next_deadline() is None


def test_closing_when_a_ping_was_due() -> None:
    network = open_network()
    network.advance(14.5)
    network.link.close(network.now)
    network.advance(1.0)
    assert network.messages == [LinkClosed(None)]


def test_closing_when_the_server_has_stopped_reading() -> None:
    network = open_network(max_unsent=5)
    network.advance(15.0)  # a ping, unread
    network.link.close(network.now)
    network.run()
    assert network.messages == [LinkClosed(None)]


def test_closing_while_the_server_goes_as_well() -> None:
    network = open_network()
    send(network, "a")
    network.link.close(network.now)
    network.run()
    network.cut(network.cables[0], gently=False)
    assert network.messages == []
    reply(network)
    assert network.messages == [Reply("a", 200, "Fine"), LinkClosed(None)]


@pytest.mark.parametrize("opening", [False, True])
def test_closing_before_it_is_open(opening: bool) -> None:
    network = new_network()
    if opening:
        network.link.open(0.0)
    network.link.close(0.0)
    network.carry_all()
    assert network.messages == [LinkClosed(None)]
    with pytest.raises(LocalProtocolError, match="once"):
        network.link.open(0.0)


@pytest.mark.parametrize("way", ["refused", "lost", "mistake", "repr"])
def test_the_password_is_never_told(way: str) -> None:
    link = bare_link()
    told = repr(link)
    link.open(0.0)
    link.receive(Connected(1), 0.0)
    match way:
        case "refused":
            link.receive(Received(1, b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"), 0.0)
        case "lost":
            link.receive(Failed(1, "reset"), 0.0)
        case "mistake":
            with pytest.raises(LocalProtocolError) as caught:
                link.send_request("1", request("a b"), 0.0)
            told += repr(caught.value)
        case "repr":
            link.send_request("1", request("a"), 0.0)
    told += repr(link) + repr(link.effects_to_perform())
    while (message := link.next_message()) is not None:
        told += repr(message)
    assert "s3cret" not in told
    assert "dGVzdGVy" not in told


ECHOES = [
    b"%s",
    b"HTTP/1.1 %s\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n%s\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: \0%s\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1%s\r\n",
    b"HTTP/1.1 502 %s\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 404 No\r\nContent-Length: 200\r\n\r\nAsterisk %-191s",
    b'HTTP/1.1 502 No\r\nContent-Length: 301\r\n\r\n{"message":"bad header Authorization: Basic %-256s"}',
    b'HTTP/1.1 403 No\r\nContent-Length: 301\r\n\r\n{"message":"bad header Authorization: Basic %-256s"}',
]
"""What a server can answer any request of ours with, of which it repeats something."""


@given(
    secret=st.uuids().map(str) | st.text(st.characters(exclude_categories=["Cs"]), max_size=30).map("s3cret{}".format),
    form=st.sampled_from(["plain", "quoted", "Base64", "JSON", "JSON with slashes"]),
    template=st.sampled_from(ECHOES),
    requests=st.sampled_from(["http", "websocket"]),
    when=st.sampled_from(["opening", "open", "asked"]),
)
def test_no_secret_is_repeated_even_if_the_server_repeats_it(
    secret: str, form: str, template: bytes, requests: Literal["http", "websocket"], when: str
) -> None:
    """Neither in an error, nor in what errors are made of."""
    credentials = b64encode(f"tester:{secret}".encode()).decode()
    forms = {
        "plain": secret,
        "quoted": quote(secret, safe=""),
        "Base64": credentials,
        "JSON": json.dumps(secret)[1:-1],
        "JSON with slashes": credentials.replace("/", r"\/"),
    }
    echo = forms[form].encode()
    network = new_network(requests=requests, password=secret, accepted=secret)
    network.link.open(0.0)
    if when == "opening":
        answer(network, template % echo)
    else:
        network.carry_all()
        network.link.send_request("1", request("x"), 0.0)
        if when == "open":
            network.to_link(Received(1001, frame(8, b"\x0f\xa1" + echo[:120])))
        elif requests == "http":
            network.run()
            answer(network, template % echo)
        else:
            network.carry_all()
            body = b'{"message":"bad header Authorization: Basic %s"}' % echo
            network.server.reply(received(network)[-1].request, 502, echo.decode(), (), body, now=0.0)
            network.carry_all()
    assert len(network.messages) > (when != "opening")
    for message in network.messages:
        told = f"{message!r} {getattr(message, 'error', '')}"
        if isinstance(message, Reply) and message.status >= 300:
            told += reason_of(message.reason, message.body)
        for found in (secret, credentials.rstrip("="), quote(secret, safe="")):
            assert found not in told


def answer(network: Network, data: bytes) -> None:
    """To the newest connection of the link, by something else than the server."""
    network.run()
    conn = network.connecting.pop().client
    assert conn is not None
    network.cables.append(Cable(conn))
    network.to_link(Connected(conn))
    network.to_link(Received(conn, data))
    network.to_link(EndOfStream(conn))


@pytest.mark.parametrize(
    "bad",
    [
        {"host": ""},
        {"app_name": ""},
        {"port": 0},
        {"port": 65536},
        {"max_under_way": 0},
        {"max_waiting": -1},
        {"connect_timeout": 0},
        {"reply_timeout": 0},
        {"ping_interval": 0},
        {"busy_timeout": 0},
        {"requests": "carrier pigeons"},
        {"user": "a:b"},
        {"path_prefix": "pbx"},
        {"path_prefix": "/a b"},
    ],
)
def test_arguments_out_of_range(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must"):
        bare_link(**bad)


def test_a_file_may_be_larger_than_other_replies() -> None:
    """A recording of twenty minutes is."""
    network = open_network()
    for name, kind in (("file", "binary"), ("other", "void")):
        network.link.send_request(name, request(name, response=kind), network.now)
        network.carry_all()
        reply(network, body=bytes(16 * 1024 * 1024 + 1))
    (file,) = (message for message in network.messages if isinstance(message, Reply))
    assert (file.request_id, len(file.body)) == ("file", 16 * 1024 * 1024 + 1)
    assert failures(network) == {"other": RequestOutcomeUnknown}
