"""AriListener: whom it lets in, which links come of it, and how each of them ends."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.ari import recordings
from voxtra_core.ari.messages import (
    EventReceived,
    Link,
    LinkAccepted,
    LinkAlive,
    LinkClosed,
    LinkMessage,
    LinkOpened,
    ListenFailed,
    Reply,
    RequestFailed,
)
from voxtra_core.ari.request import Request
from voxtra_core.effects import (
    TLS,
    Accepted,
    AcceptFailed,
    EndOfStream,
    Failed,
    FailureKind,
    Input,
    Listen,
    LogLevel,
    Received,
)
from voxtra_core.errors import ConnectionLost, LocalProtocolError, RequestNotSent, RequestOutcomeUnknown
from voxtra_core.wire import (
    AcceptedLink,
    AriListener,
    PongReceived,
    WebSocketOpened,
    WebSocketRejected,
)

from .dialling import LISTENER, Asterisk, Room, event, persistent, registered
from .streams import cut, frame, one_by_one, same_in_any_pieces, spoilt

PER_CALL = "obpercall:Local/obpercall@stasis-00000036;2"
MASK = b"\x12\x34\x56\x78"


def handshake(*extra: str, path: str = "/persistent", credentials: str = "b2J1c2VyOm9icGFzcw==") -> bytes:
    """As recorded from Asterisk 22.10.1."""
    lines = [
        f"GET {path} HTTP/1.1",
        "Sec-WebSocket-Version: 13",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Host: 127.0.0.1:28190",
        f"Authorization: Basic {credentials}",
        "Sec-WebSocket-Protocol: ari",
        "Sec-WebSocket-Key: haedPQAAAABYTJBaAAAAAA==",
    ]
    return "\r\n".join([*lines, *extra, "", ""]).encode()


def request(name: str, **fields: Any) -> Request[None]:
    return Request("test", "GET", f"/{name}", **fields)


def ask(room: Room, *names: str, link: AcceptedLink | None = None) -> None:
    """Ask over a link, the newest if none is given, with ids that are the names."""
    for name in names:
        (link or room.link()).send_request(name, request(name), room.now)
    room.run()


def outcomes(told: list[LinkMessage]) -> dict[str, type]:
    return {m.request_id: type(m.error) for m in told if isinstance(m, RequestFailed)}


# ---- the handshake


def test_the_handshake_of_asterisk_is_answered_without_any_extension() -> None:
    room = Room()
    conn = room.connect()
    room.input(Received(conn, handshake("Sec-WebSocket-Extensions: permessage-deflate")))
    assert room.sent[conn].decode().split("\r\n") == [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Accept: 2STx4GpNB038ne8wsBgNHmw0dZ0=",
        "Sec-WebSocket-Protocol: ari",
        "",
        "",
    ]


def test_a_client_that_names_no_subprotocol_is_let_in() -> None:
    asterisk = Asterisk(Room(), subprotocols=())
    assert asterisk.heard == [WebSocketOpened(None)]


@pytest.mark.parametrize(
    "credentials",
    ["obuser:wrong", "wrong:obpass", "obuser", "obuser:obpass2", ":", "OBUSER:obpass", "obuser:obpäss"],
)
def test_wrong_credentials(credentials: str) -> None:
    room = Room()
    asterisk = Asterisk(room, credentials=credentials)
    assert asterisk.heard == [WebSocketRejected(401, "Unauthorized", b"wrong user or password\n")]
    assert room.closed == [asterisk.conn]
    assert room.logs == ["refused a connection to ::1:28190: 401, wrong user or password"]
    assert room.listener.next_deadline() is None


@pytest.mark.parametrize("field", ["Basic !!!", "Basic ä", "Bearer b2J1c2VyOm9icGFzcw==", "b2J1c2VyOm9icGFzcw==", ""])
def test_what_are_no_credentials(field: str) -> None:
    room = Room()
    conn = room.connect()
    request = handshake().replace(b"Basic b2J1c2VyOm9icGFzcw==", field.encode("latin-1"))
    room.input(Received(conn, request))
    assert b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic " in room.sent[conn]
    assert room.closed == [conn]


def test_credentials_may_be_any_text() -> None:
    room = Room(user="ü", password="p:a ß")
    assert isinstance(Asterisk(room, credentials="ü:p:a ß").heard[0], WebSocketOpened)


def test_what_is_no_websocket_is_not_found() -> None:
    room = Room()
    conn = room.connect()
    room.input(Received(conn, b"GET /persistent HTTP/1.1\r\nHost: x\r\n\r\n"))
    assert room.sent[conn].startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert b"Connection: close\r\n" in room.sent[conn]
    assert room.closed == [conn]
    assert room.logs == []


def test_another_subprotocol_is_refused() -> None:
    room = Room()
    (rejected,) = Asterisk(room, subprotocols=("media",)).heard
    assert rejected == WebSocketRejected(400, "Bad Request", b"none of the subprotocols is spoken here\n")
    assert room.logs == ["refused a connection to ::1:28190: 400, none of the subprotocols is spoken here"]


@pytest.mark.parametrize("data", [b"garbage\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"])
def test_what_is_no_http(data: bytes) -> None:
    room = Room()
    conn = room.connect()
    room.input(Received(conn, data))
    assert room.sent[conn].startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert room.closed == [conn]


def test_refusals_are_logged_once_a_minute() -> None:
    room = Room()
    for _ in range(130):
        Asterisk(room, credentials="x:y")
        room.wait(0.5)
    assert len(room.logs) == 2


def test_each_reason_is_logged_by_itself() -> None:
    room = Room()
    for _ in range(2):
        Asterisk(room, credentials="x:y")
        room.input(AcceptFailed(LISTENER, "tlsv1 alert unknown ca"))
        room.input(AcceptFailed(LISTENER, "connection reset by the peer", FailureKind.SYSTEM))
    assert [(log.level, log.message.removeprefix("refused a connection to ::1:28190: ")) for log in room.logged] == [
        (LogLevel.WARNING, "401, wrong user or password"),
        (LogLevel.WARNING, "TLS, tlsv1 alert unknown ca"),
        (LogLevel.DEBUG, "TLS, connection reset by the peer"),
    ]


@pytest.mark.parametrize("how", [EndOfStream, lambda conn: Failed(conn, "connection reset by the peer")])
@pytest.mark.parametrize("said", [b"", b"GET"])
@pytest.mark.parametrize("encrypted", [True, False])
def test_who_has_seen_our_certificate_and_goes_is_logged(
    how: Callable[[int], Input], said: bytes, encrypted: bool
) -> None:
    """And nobody who merely looks whether the port is open."""
    room = Room(tls=TLS(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)) if encrypted else None)
    conn = room.connect()
    if said:
        room.input(Received(conn, said))
    room.input(how(conn))
    assert ["not for the host in its uri" in line for line in room.logs] == ([True] if encrypted and not said else [])


def test_reasons_that_somebody_makes_up_do_not_fill_the_log() -> None:
    room = Room()
    for number in range(200):
        room.input(AcceptFailed(LISTENER, f"reason {number}"))
    assert len(room.logs) == 100
    room.wait(60.0)
    room.input(AcceptFailed(LISTENER, "a new minute"))
    assert len(room.logs) == 101


# ---- links


def test_a_persistent_socket_is_a_link_once_its_application_is_registered() -> None:
    room = Room()
    asterisk = Asterisk(room, path="/persistent?tenant=7")
    assert room.messages == []
    asterisk.say(registered("app"))
    link: Link = room.link()
    assert room.messages == [LinkAccepted(room.link(), "app", "/persistent?tenant=7", "me")]
    assert (room.link().application, room.link().asterisk_id) == ("app", "me")
    assert room.link().path == "/persistent?tenant=7"
    link.open(room.now)
    assert room.told() == [LinkOpened(), EventReceived(registered("app"))]
    asterisk.say(event("app", "StasisStart"))
    assert room.told() == [EventReceived(event("app", "StasisStart"))]
    link.receive(EndOfStream(asterisk.conn), room.now)
    link.handle_timeout(1e9)
    assert link.next_deadline() is None
    assert "tenant" not in repr(room.messages) + repr(room.link())


def test_the_first_message_may_come_with_the_handshake() -> None:
    room = Room()
    conn = room.connect()
    room.input(Received(conn, handshake() + frame(1, registered("app").encode(), mask=MASK)))
    assert room.told() == [LinkOpened(), EventReceived(registered("app"))]


def test_a_per_call_socket_is_a_link_named_after_the_call() -> None:
    room = Room()
    asterisk = Asterisk(room, path="/percall")
    asterisk.say(registered(PER_CALL), event(PER_CALL, "StasisStart"))
    assert room.link().application == PER_CALL
    assert room.told()[2:] == [EventReceived(event(PER_CALL, "StasisStart"))]


def test_after_a_reconnect_the_same_application_is_reported_again() -> None:
    room = Room()
    first = persistent(room, PER_CALL)
    old = room.link()
    first.hang_up()
    assert isinstance(room.told(old)[-1], LinkClosed)
    persistent(room, PER_CALL)
    assert room.link() is not old
    assert [message.application for message in room.messages if isinstance(message, LinkAccepted)] == 2 * [PER_CALL]
    assert room.told() == [LinkOpened(), EventReceived(registered(PER_CALL))]


def test_what_asterisk_had_queued_comes_first_and_to_its_own_link() -> None:
    room = Room()
    asterisk = Asterisk(room)
    queued = [event("a", "1"), event("b", "2"), event("a", "3")]
    asterisk.say(*queued, registered("a"), registered("b"), event("b", "4"))
    a, b = room.links
    assert room.told(a) == [LinkOpened(), *map(EventReceived, [queued[0], queued[2], registered("a")])]
    assert room.told(b) == [LinkOpened(), *map(EventReceived, [queued[1], registered("b"), event("b", "4")])]


def test_several_applications_share_a_socket_and_get_their_own() -> None:
    room = Room()
    asterisk = persistent(room, "a", "b")
    a, b = room.links
    asterisk.say(event("b", "1"), event("a", "2"), event("b", "3"))
    assert room.told(a)[2:] == [EventReceived(event("a", "2"))]
    assert room.told(b)[2:] == [EventReceived(event("b", "1")), EventReceived(event("b", "3"))]
    ask(room, "x", "y", link=a)
    ask(room, "x", link=b)
    asked = asterisk.requests()
    assert [request["uri"] for request in asked] == ["x", "y", "x"]
    for request, status in zip(asked, (201, 202, 203), strict=True):
        asterisk.respond(request, status)
    assert room.told(a) == [Reply("x", 201, "OK"), Reply("y", 202, "OK")]
    assert room.told(b) == [Reply("x", 203, "OK")]


def test_two_asterisks_may_have_the_same_application() -> None:
    room = Room()
    one, other = persistent(room, "app"), persistent(room, "app")
    one.say(event("app", "1"))
    other.say(event("app", "2"))
    assert [room.told(link)[2:] for link in room.links] == [
        [EventReceived(event("app", "1"))],
        [EventReceived(event("app", "2"))],
    ]


@pytest.mark.parametrize("text", ["not json", "[]", "{}", '{"application":7}', '{"application":""}', 9999 * "["])
def test_what_is_nobodys_is_told_to_everybody(text: str) -> None:
    room = Room()
    asterisk = Asterisk(room)
    asterisk.say(text)
    assert room.messages == []
    asterisk.say(registered("a"), registered("b"), text)
    for link in room.links:
        assert room.told(link)[2:] == [EventReceived(text)]


def test_an_event_is_handed_on_with_what_was_read_in_it() -> None:
    """Which application it is for stands in its JSON, that need not be parsed again."""
    room = Room()
    asterisk = persistent(room, "app")
    asterisk.say(event("app", value="half of a pair: \ud83d"), "no json")
    assert [message.parsed for message in room.told()[2:] if isinstance(message, EventReceived)] == [
        {"type": "Event", "value": "half of a pair: ?", "application": "app", "asterisk_id": "me"},
        None,
    ]


def test_an_asterisk_that_does_not_say_which_it_is() -> None:
    room = Room()
    Asterisk(room).say('{"type":"ApplicationRegistered","application":"app","asterisk_id":7}')
    assert room.link().asterisk_id == ""


def test_a_second_registration_on_the_same_socket_is_an_event() -> None:
    room = Room()
    asterisk = persistent(room, "app")
    asterisk.say(registered("app"))
    assert len(room.links) == 1
    assert room.told()[1:] == 2 * [EventReceived(registered("app"))]


def test_an_application_that_is_unregistered_ends() -> None:
    room = Room()
    asterisk = persistent(room, "a", "b")
    a, b = room.links
    ask(room, "x", link=a)
    room.told(a)
    gone = event("a", "ApplicationUnregistered")
    asterisk.say(gone, event("a", "trailing"), event("b", "still there"))
    told = room.told(a)
    assert told[0] == EventReceived(gone)
    assert outcomes(told) == {"x": RequestOutcomeUnknown}
    assert told[2:] == [LinkClosed(None)]
    assert room.told(b)[-1] == EventReceived(event("b", "still there"))
    assert len(room.links) == 2
    asterisk.say(registered("a"), event("a", "again"))
    assert room.told() == [LinkOpened(), EventReceived(registered("a")), EventReceived(event("a", "again"))]


def test_a_socket_without_any_application_left_is_left_to_asterisk() -> None:
    room = Room()
    asterisk = persistent(room, "app")
    asterisk.say(event("app", "ApplicationUnregistered"))
    for _ in range(10):
        room.wait(10.0)
        asterisk.look()
    assert asterisk.closed_with() is None


def test_a_socket_that_names_too_many_applications() -> None:
    room = Room()
    asterisk = persistent(room, *(f"{n}" for n in range(1000)))
    assert room.closed == []
    asterisk.say(event("999"), event("1000"))
    assert room.closed == [asterisk.conn]
    assert len(room.links) == 1000
    assert all(isinstance(room.told(link)[-1], LinkClosed) for link in room.links)


def test_pings_of_asterisk_are_answered_with_their_payload() -> None:
    asterisk = persistent(Room(), "app")
    asterisk.ping(b"WS_CLIENT_PING")
    assert asterisk.heard[-1] == PongReceived(b"WS_CLIENT_PING")


# ---- requests


def test_requests_go_over_the_same_socket() -> None:
    room = Room()
    asterisk = persistent(room, "app")
    room.told()
    room.link().send_request("1", Request("test", "POST", "/a%2Fb", query=(("x", "y z"),), body={"k": "ü"}), room.now)
    (asked,) = asterisk.requests()
    assert asked == {
        "type": "RESTRequest",
        "request_id": "1",
        "method": "POST",
        "uri": "a%2Fb?x=y%20z",
        "content_type": "application/json",
        "message_body": '{"k":"\\u00fc"}',
    }
    asterisk.respond(asked, 404, message_body='{"message":"Ä"}')
    assert room.told() == [Reply("1", 404, "OK", '{"message":"Ä"}'.encode())]


@pytest.mark.parametrize(
    "impossible", [recordings.get_stored_file("x"), request("x", body={"x": 66_000 * "x"})], ids=["a file", "too long"]
)
def test_what_a_socket_cannot_carry_is_refused(impossible: Request[Any]) -> None:
    room = Room()
    asterisk = persistent(room, "app")
    room.told()
    room.link().send_request("1", impossible, room.now)
    room.run()
    (failed,) = room.told()
    assert isinstance(failed, RequestFailed)
    assert isinstance(failed.error, RequestNotSent)
    assert "only HTTP" in str(failed.error)
    assert asterisk.requests() == []


def test_a_mistake_in_a_request_is_told_at_once_in_every_state() -> None:
    room = Room()
    asterisk = persistent(room, "app")
    ask(room, "1")
    for bad in (request("1"), request("a b"), request("x", body={"x": object()})):
        with pytest.raises(LocalProtocolError):
            room.link().send_request("1" if bad.path == "/1" else "2", bad, room.now)
    asterisk.hang_up()
    with pytest.raises(LocalProtocolError):
        room.link().send_request("2", request("a b"), room.now)


def test_a_withdrawn_request_is_given_up_at_its_time() -> None:
    room = Room(ping_interval=100.0)
    persistent(room, "app")
    ask(room, "1")
    room.wait(3.0)
    room.link().withdraw_request("1", room.now)
    assert room.listener.next_deadline() == 8.0
    room.told()
    room.wait(4.9)
    assert room.told() == []
    room.wait(0.1)
    assert outcomes(room.told()) == {"1": RequestOutcomeUnknown}


def test_a_reply_timeout_is_kept() -> None:
    room = Room(ping_interval=100.0, reply_timeout=2.0)
    persistent(room, "app")
    ask(room, "1")
    room.wait(2.0)
    assert outcomes(room.told()) == {"1": RequestOutcomeUnknown}


def test_only_so_many_are_under_way_on_each_link() -> None:
    room = Room(max_under_way=1, max_waiting=1)
    asterisk = persistent(room, "a", "b")
    for link in room.links:
        ask(room, "1", "2", "3", link=link)
        assert outcomes(room.told(link)) == {"3": RequestNotSent}
    assert [request["uri"] for request in asterisk.requests()] == ["1", "1"]
    asterisk.respond(asterisk.requests()[1])
    assert [request["uri"] for request in asterisk.requests()] == ["1", "1", "2"]


def test_requests_wait_while_asterisk_does_not_read() -> None:
    room = Room(max_unsent=10)
    asterisk = persistent(room, "app")
    ask(room, "1", "2")
    assert len(room.sent[asterisk.conn]) < 100
    assert [request["uri"] for request in asterisk.requests()] == ["1", "2"]


# ---- the end of a link


@pytest.mark.parametrize("how", ["1000", "1001", "end", "failure", "garbage", "silence"])
def test_links_end_with_their_socket(how: str) -> None:
    room = Room(max_under_way=1)
    asterisk = persistent(room, "a", "b")
    for link in room.links:
        ask(room, "sent", "waiting", link=link)
        room.told(link)
    match how:
        case "1000" | "1001":
            asterisk.close(int(how))
        case "end":
            asterisk.hang_up()
        case "failure":
            room.input(Failed(asterisk.conn, "connection reset"))
        case "garbage":
            room.input(Received(asterisk.conn, b"garbage"))
        case "silence":
            room.wait(15.0 + 60.0)  # it has requests to do
    for link in room.links:
        told = room.told(link)
        assert outcomes(told) == {"sent": RequestOutcomeUnknown, "waiting": RequestNotSent}
        closed = told[-1]
        assert isinstance(closed, LinkClosed)
        assert closed.error is None if how == "1000" else isinstance(closed.error, ConnectionLost)
        ask(room, "late", link=link)
        assert outcomes(room.told(link)) == {"late": RequestNotSent}
        link.close(room.now)
        link.withdraw_request("late", room.now)
        assert room.told(link) == []
    assert room.closed == ([] if how == "failure" else [asterisk.conn])
    assert room.listener.next_deadline() is None


def test_a_quiet_asterisk_is_asked_for_a_sign_of_life_and_lost_without_one() -> None:
    room = Room()
    asterisk = persistent(room, "app")
    for _ in range(10):
        room.wait(10.0)
        asterisk.look()
    room.told()
    room.wait(24.9)
    assert room.told() == []
    room.wait(0.1)
    assert isinstance(room.told()[-1], LinkClosed)


def test_links_that_are_to_prove_themselves() -> None:
    """All of a socket are as alive as it is; those are told that have asked."""
    room = Room()
    asterisk = persistent(room, "app", "other")
    asterisk.look()
    for link in room.links:
        room.told(link)
    asked, other = room.links
    asked.probe(room.now)
    room.wait(0.0)
    asterisk.look()
    assert room.told(asked) == [LinkAlive()]
    assert room.told(other) == []
    other.probe(room.now)
    room.wait(10.0)
    for link in room.links:
        assert [type(message) for message in room.told(link)] == [LinkClosed]
        link.probe(room.now)
    assert room.listener.next_deadline() is None


def test_closing_a_link_lets_its_requests_finish_and_then_closes_the_socket() -> None:
    room = Room(max_under_way=1)
    asterisk = persistent(room, "app")
    ask(room, "1", "2")
    room.told()
    room.link().close(room.now)
    room.link().close(room.now)
    ask(room, "3")
    for n in range(2):
        assert not room.closed
        asterisk.respond(asterisk.requests()[n])
    told = room.told()
    assert outcomes(told) == {"3": RequestNotSent}
    assert told[1:] == [Reply("1", 200, "OK"), Reply("2", 200, "OK"), LinkClosed(None)]
    assert asterisk.closed_with() == 1000
    assert room.closed == [asterisk.conn]
    assert room.listener.next_deadline() is None


def test_closing_a_link_waits_a_second_and_no_longer() -> None:
    room = Room()
    asterisk = persistent(room, "app")
    ask(room, "1")
    asterisk.look()
    room.told()
    room.link().close(room.now)
    room.wait(0.9)
    assert room.told() == []
    room.wait(0.1)
    told = room.told()
    assert outcomes(told) == {"1": RequestOutcomeUnknown}
    assert told[1:] == [LinkClosed(None)]
    assert room.closed == []
    room.wait(1.0)  # for the closing handshake
    assert room.closed == [asterisk.conn]


def test_closing_one_link_leaves_the_others_of_its_socket() -> None:
    room = Room()
    asterisk = persistent(room, "a", "b")
    a, b = room.links
    a.close(room.now)
    assert room.told(a)[-1] == LinkClosed(None)
    asterisk.say(event("a", "late"), event("b", "in time"))
    assert room.told(a) == []
    assert room.told(b)[-1] == EventReceived(event("b", "in time"))
    assert asterisk.closed_with() is None
    b.close(room.now)
    assert asterisk.closed_with() == 1000


def test_a_link_that_is_closing_when_its_socket_goes() -> None:
    room = Room()
    asterisk = persistent(room, "app")
    ask(room, "1")
    room.link().close(room.now)
    asterisk.hang_up()
    assert outcomes(told := room.told()) == {"1": RequestOutcomeUnknown}
    assert told[-1] == LinkClosed(None)


def test_a_socket_that_is_closing_takes_no_new_application() -> None:
    room = Room()
    asterisk = persistent(room, "app")
    room.link().close(room.now)
    room.run()
    room.input(Received(asterisk.conn, frame(1, registered("another").encode(), mask=MASK)))
    assert len(room.links) == 1


# ---- the listener


def test_it_tells_its_port_or_why_it_has_none() -> None:
    room = Room()
    assert room.listener.port == 28190
    asterisk = persistent(room, "app")
    room.input(Failed(LISTENER, "address already in use"))
    assert room.messages[1:] == [ListenFailed("address already in use")]
    asterisk.say(event("app"))
    assert room.told()[-1] == EventReceived(event("app"))
    with pytest.raises(LocalProtocolError, match="once"):
        room.listener.start(0.0)


def test_closing_ends_everything_within_a_second() -> None:
    room = Room()
    visitor = room.connect()
    friendly, busy, deaf = persistent(room, "a"), persistent(room, "b", "c"), persistent(room, "d")
    unnamed = Asterisk(room)
    ask(room, "1", link=room.links[1])
    busy.look()
    for _ in range(2):
        room.listener.close(room.now)
        room.run()
    assert room.closed == [LISTENER, visitor]
    friendly.look()
    unnamed.look()
    assert friendly.closed_with() == unnamed.closed_with() == 1000
    late = room.connect()
    assert room.closed == [LISTENER, visitor, friendly.conn, unnamed.conn, late]
    some_are_left = room.listener.is_closed
    room.wait(1.0)
    assert (some_are_left, room.listener.is_closed) == (False, True)
    assert sorted(room.closed[5:]) == [busy.conn, deaf.conn]
    assert [room.told(link)[-1] for link in room.links] == 4 * [LinkClosed(None)]
    assert room.listener.next_deadline() is None
    with pytest.raises(LocalProtocolError):
        room.listener.start(room.now)


def test_a_listener_closed_before_it_started() -> None:
    listener = AriListener(host="::1", port=0, user="u", password="p", new_conn=lambda: 1)
    listener.close(0.0)
    assert listener.is_closed
    assert listener.effects_to_perform() == []


def test_a_handshake_has_its_time_and_so_has_the_first_message() -> None:
    room = Room(handshake_timeout=3.0)
    silent, slow = room.connect(), room.connect()
    asterisk = Asterisk(room)
    named = persistent(room, "app")
    room.wait(1.0)
    room.input(Received(slow, handshake()[:50]))
    room.wait(1.9)
    assert room.closed == []
    room.wait(0.1)
    assert room.closed == [silent, slow, asterisk.conn]
    room.wait(3.0)
    named.look()
    assert room.closed == [silent, slow, asterisk.conn]


def test_a_deadline_is_nobody_elses_business() -> None:
    """With a thousand sockets there is a ping every 15 ms: each must not cost a look at all of them."""
    room = Room()
    first = persistent(room, "first")
    room.wait(5.0)
    persistent(room, "second")
    room.listener.links_with_messages()
    room.wait(10.0)
    assert first.websocket.is_open
    assert room.listener.links_with_messages() == room.links[:1]


def test_a_connection_that_ends_during_the_handshake() -> None:
    room = Room()
    conns = [room.connect(), room.connect()]
    room.input(Received(conns[0], handshake()[:50]))
    room.input(EndOfStream(conns[0]))
    room.input(Failed(conns[1], "connection reset"))
    assert room.closed == [conns[0]]
    assert room.sent == {}


def test_there_are_only_so_many_websockets() -> None:
    room = Room(max_connections=2)
    one, two = persistent(room, "a"), persistent(room, "b")
    three = room.connect()
    assert room.closed == [three]
    assert room.logs == ["refused a connection to ::1:28190: there are 2 already"]
    one.close()
    persistent(room, "c")
    assert room.closed == [three, one.conn]
    assert two.closed_with() is None


def test_handshakes_that_are_not_done_make_room_for_new_ones() -> None:
    room = Room()
    conns = [room.connect() for _ in range(100)]
    room.input(Received(conns[0], handshake()[:50]))
    persistent(room, "app")
    assert room.closed == [conns[0]]
    assert len(room.links) == 1


def test_what_is_not_about_its_connections_is_ignored() -> None:
    room = Room()
    for late in (Received(77, b"x"), EndOfStream(77), Failed(77, "x"), Accepted(77, 1), AcceptFailed(77, "x")):
        room.input(late)
    assert (room.sent, room.closed, room.messages, room.logs) == ({}, [], [], [])


@pytest.mark.parametrize("way", ["repr", "refused", "garbled", "accepted", "closed", "broken"])
def test_the_password_is_never_told(way: str) -> None:
    room = Room()
    told = repr(room.listener)
    if way == "refused":
        Asterisk(room, credentials="obuser:obpasS")
    elif way == "garbled":
        conn = room.connect()
        room.input(Received(conn, b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization Basic b2J1c2VyOm9icGFzcw==\r\n\r\n"))
        told += room.sent[conn].decode()
    elif way in {"accepted", "closed", "broken"}:
        asterisk = persistent(room, "app")
        if way == "closed":
            room.input(Received(asterisk.conn, frame(8, b"\x0f\xa1obpass b2J1c2VyOm9icGFzcw==", mask=b"mask")))
        elif way == "broken":
            room.input(Received(asterisk.conn, frame(3, b"obpass b2J1c2VyOm9icGFzcw==", mask=b"mask")))
        told += f"{room.link()!r} {[(told, getattr(told, 'error', '')) for told in room.told()]}"
    told += repr(room.messages) + repr(room.logs) + repr(room.listener)
    assert "obpas" not in told
    assert "b2J1c2Vy" not in told


@pytest.mark.parametrize(
    "bad",
    [
        {"port": -1},
        {"port": 65536},
        {"user": ""},
        {"user": "a:b"},
        {"password": ""},
        {"max_connections": 0},
        {"max_under_way": 0},
        {"max_waiting": -1},
        {"handshake_timeout": 0},
        {"reply_timeout": 0},
        {"ping_interval": 0},
        {"busy_timeout": 0},
    ],
)
def test_arguments_out_of_range(bad: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"host": "::1", "port": 0, "user": "u", "password": "p", "new_conn": lambda: 1}
    with pytest.raises(ValueError, match=r"must"):
        AriListener(**(arguments | bad))


def test_by_tls_it_needs_a_certificate() -> None:
    arguments: dict[str, Any] = {"host": "::1", "port": 0, "user": "u", "password": "p", "new_conn": lambda: 1}
    with pytest.raises(ValueError, match="a listener with TLS needs an SSLContext with a certificate"):
        AriListener(tls=TLS(), **arguments)
    tls = TLS(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    listener = AriListener(tls=tls, **arguments)
    listener.start(0.0)
    assert listener.effects_to_perform() == [Listen(1, "::1", 0, tls)]


# ---- whatever is sent


texts = st.sampled_from(
    [registered("a"), registered("b"), event("a"), event("b", "ApplicationUnregistered"), "{}", "no json"]
)
frames = st.lists(texts.map(lambda text: frame(1, text.encode(), mask=MASK)) | st.just(frame(9, b"x", mask=MASK)))


def outcome(pieces: Iterable[bytes]) -> tuple[bytes, list[list[LinkMessage]], list[int]]:
    """What one connection gets, what each link says, and whether the connection is closed."""
    room = Room()
    conn = room.connect()
    for piece in pieces:
        room.input(Received(conn, piece))
    return room.sent.get(conn, b""), [room.told(link) for link in room.links], room.closed


@given(cut(frames.map(lambda parts: handshake() + b"".join(parts))))
def test_it_makes_no_difference_how_the_stream_is_cut(stream: tuple[bytes, list[bytes]]) -> None:
    same_in_any_pieces(stream, outcome)


@given(cut(spoilt(frames.map(lambda parts: handshake() + b"".join(parts)))))
def test_nobody_can_upset_it(stream: tuple[bytes, list[bytes]]) -> None:
    data, pieces = stream
    for sent, links, closed in (outcome(pieces), outcome(one_by_one(data))):
        assert len(closed) <= 1
        assert sent == b"" or sent.startswith(b"HTTP/1.1 ")
        for told in links:
            assert told[0] == LinkOpened()
            assert [type(message) for message in told].count(LinkClosed) <= 1


@given(st.recursive(st.none() | st.booleans() | st.text() | st.integers(), lambda x: st.dictionaries(st.text(), x)))
def test_no_event_can_upset_it(anything: object) -> None:
    room = Room()
    asterisk = persistent(room, "app")
    for name in ("type", "application", "asterisk_id"):
        asterisk.say(json.dumps({"type": "X", "application": "b", "asterisk_id": "me"} | {name: anything}))
    assert room.closed == []
