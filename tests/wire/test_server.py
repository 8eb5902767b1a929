"""AriServer answers as Asterisk 22.10.1 did on the wire, but for the Date, and hands on the rest."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.ari.messages import ListenFailed
from voxtra_core.effects import (
    Accepted,
    Close,
    Drained,
    Effect,
    EndOfStream,
    Failed,
    Input,
    Listen,
    Listening,
    Received,
    Send,
)
from voxtra_core.errors import LocalProtocolError
from voxtra_core.wire import (
    AriServer,
    RequestReceived,
    ServerMessage,
    SocketClosed,
    SocketOpened,
)

from .streams import cut, frame, one_by_one, same_in_any_pieces, spoilt

BASIC = "Authorization: Basic dGVzdGVyOnRlc3Rlci1zZWNyZXQ=\r\n"
UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Version: 13\r\n"
)
MASK = b"\x12\x34\x56\x78"


class Running:
    """A server that listens, and what has come of it; connections have the numbers from 1 on, the listener 100."""

    def __init__(self, **options: Any) -> None:
        numbers = count(100)
        users = {"tester": "tester-secret", "other": "x"}
        self.server = AriServer(host="::1", port=0, users=users, new_conn=lambda: next(numbers), **options)
        self.now = 0.0
        self.sent: dict[int, bytes] = {}
        self.closed: list[int] = []
        self.messages: list[ServerMessage] = []
        self.server.start(self.now)
        assert self.run() == [Listen(100, "::1", 0)]
        self.input(Listening(100, 18088))

    def run(self) -> list[Effect]:
        effects = self.server.effects_to_perform()
        for effect in effects:
            match effect:
                case Send(conn, data):
                    assert conn not in self.closed
                    self.sent[conn] = self.sent.get(conn, b"") + data
                case Close(conn):
                    assert conn not in self.closed
                    self.closed.append(conn)
        while (message := self.server.next_message()) is not None:
            self.messages.append(message)
        return effects

    def input(self, event: Input) -> None:
        self.server.receive(event, self.now)
        self.run()

    def connect(self, conn: int = 1) -> None:
        self.input(Accepted(100, conn))

    def send(self, conn: int, data: str | bytes) -> bytes:
        """Let a client send, and return what it gets for it at once."""
        self.input(Received(conn, data.encode() if isinstance(data, str) else data))
        return self.sent.pop(conn, b"")

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.server.handle_timeout(self.now)
        deadline = self.server.next_deadline()
        assert deadline is None or deadline > self.now
        self.run()

    def reply(self, request: int, **fields: Any) -> None:
        arguments: dict[str, Any] = {"status": 204, "reason": "No Content", "now": self.now} | fields
        self.server.reply(request, **arguments)
        self.run()

    def open_socket(self, conn: int = 1) -> int:
        self.connect(conn)
        assert b"101 Switching" in self.send(conn, get("/ari/events?app=a", BASIC + UPGRADE))
        self.input(Drained(conn))
        self.messages.clear()
        return conn


def get(target: str, headers: str = "", method: str = "GET") -> str:
    return f"{method} {target} HTTP/1.1\r\nHost: pbx\r\n{headers}\r\n"


def html(status: str, text: str) -> str:
    reason = status.partition(" ")[2]
    return (
        '<!DOCTYPE HTML PUBLIC "-//IETF//DTD HTML 2.0//EN">\r\n'
        f"<html><head>\r\n<title>{status}</title>\r\n</head><body>\r\n"
        f"<h1>{reason}</h1>\r\n<p>{text}</p>\r\n<hr />\r\n<address>Asterisk</address>\r\n</body></html>\r\n"
    )


def response(status: str, body: str = "", *headers: str) -> str:
    lines = [f"HTTP/1.1 {status}", "Server: Asterisk", "Cache-Control: no-cache, no-store", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body])


HTML, JSON = "Content-type: text/html", "Content-type: application/json"
NOT_FOUND = response("404 Not Found", html("404 Not Found", "The requested URL was not found on this server."), HTML)
WHO_ARE_YOU = response(
    "401 Unauthorized",
    '{"message":"Authentication required"}',
    'WWW-Authenticate: Basic realm="Asterisk REST Interface"',
    JSON,
)
NO_UPGRADE = response("426 Upgrade Required", html("426 Upgrade Required", ""), HTML)
NO_APP = response("400 Bad Request", html("400 Bad Request", "HTTP request is missing param: [app]"), HTML)
NO_REGISTRATION = response(
    "500 Internal Server Error", html("500 Internal Server Error", "Stasis app registration failed"), HTML
)
NO_WEBSOCKET = response("400 Bad Request", "", "Sec-WebSocket-Version: 7, 8, 13")


@pytest.mark.parametrize(
    ("request_text", "expected"),
    [
        (get("/foo"), NOT_FOUND),
        (get("/arid/x"), NOT_FOUND),
        (get("/ari"), WHO_ARE_YOU),
        (get("/ari/asterisk/ping"), WHO_ARE_YOU),
        (get("/ari/asterisk/ping?api_key=tester:wrong"), WHO_ARE_YOU),
        (get("/ari/asterisk/ping?api_key=tester"), WHO_ARE_YOU),
        (get("/ari/asterisk/ping?api_key=nobody:x"), WHO_ARE_YOU),
        (get("/ari/asterisk/ping?api_key=tester:tester-secret", "Authorization: Basic YmFkOng=\r\n"), WHO_ARE_YOU),
        (get("/ari/asterisk/ping", "Authorization: Basic !!\r\n"), WHO_ARE_YOU),
        (get("/ari/asterisk/ping", "Authorization: Basic //79\r\n"), WHO_ARE_YOU),
        (get("/ari/asterisk/ping", "Authorization: Bearer x\r\n"), WHO_ARE_YOU),
        (get("/ari/events?app=a", UPGRADE), WHO_ARE_YOU),
        (get("/ari/events?app=a", BASIC), NO_UPGRADE),
        (get("/ari/events", BASIC), NO_UPGRADE),
        (get("/ari/events", BASIC + UPGRADE), NO_APP),
        (get("/ari/events?app=", BASIC + UPGRADE), NO_APP),
        (get("/ari/events?app=a,,b", BASIC + UPGRADE), NO_REGISTRATION),
        (get("/ari/events?app=" + 74 * "a", BASIC + UPGRADE), NO_REGISTRATION),
        (get("/ari/events?app=a", BASIC + UPGRADE + "Sec-WebSocket-Protocol: foo\r\n"), NO_WEBSOCKET),
        (get("/ari/events?app=a", BASIC + UPGRADE.replace("13", "12")), NO_WEBSOCKET),
        (get("/ari/events?app=a", BASIC + UPGRADE.replace("-Key", "-Kex")), NO_WEBSOCKET),
    ],
)
def test_what_it_answers_itself_and_goes_on(request_text: str, expected: str) -> None:
    running = Running()
    running.connect()
    assert running.send(1, request_text).decode() == expected
    assert (
        "".join(chr(byte) for part in one_by_one(request_text.encode()) for byte in running.send(1, part)) == expected
    )
    assert running.messages == []
    assert running.closed == []


@pytest.mark.parametrize(
    ("data", "status"),
    [
        ("GARBAGE\r\n\r\n", "400 Bad Request"),
        (get("/" + 5000 * "a"), "400 Bad Request"),
        (get("/", f"X: {5000 * 'a'}\r\n"), "400 Bad Request"),
        (get("/ari/channels", "Content-Length: 40961\r\n", "POST"), "413 Request Entity Too Large"),
        (get("/", 3000 * "X: y\r\n"), "431 Request Header Fields Too Large"),
        (get("/", "Transfer-Encoding: gzip\r\n"), "501 Not Implemented"),
    ],
)
def test_what_is_no_request_ends_the_connection(data: str, status: str) -> None:
    running = Running()
    running.connect()
    expected = response(status, html(status, "Invalid Request"), HTML) + "Connection: close\r\n"
    assert sorted(running.send(1, data).decode().split("\r\n")) == sorted(expected.split("\r\n"))
    assert running.closed == [1]


@pytest.mark.parametrize(
    ("target", "headers", "handed_on"),
    [
        ("/ari/channels/a%2Fb/play?media=sound:x&lang=en", BASIC, "/channels/a%2Fb/play?media=sound:x&lang=en"),
        ("/ari/channels?api_key=tester:tester-secret&a=%26b", "", "/channels?a=%26b"),
        ("/ari/channels?api_key=tester%3Atester-secret", "", "/channels"),
        ("/ari/channels?api_key=other:x", "Authorization: Bearer x\r\n", "/channels"),
        ("/ari/", BASIC, "/"),
        ("/ari", BASIC, ""),
        ("/ari/events/user/x", BASIC, "/events/user/x"),
        ("/ari/events", BASIC, "/events"),
    ],
)
def test_what_it_hands_on(target: str, headers: str, handed_on: str) -> None:
    running = Running()
    running.connect()
    fields = f"{headers}Content-Length: 2\r\nContent-Type: application/json\r\n"
    assert running.send(1, get(target, fields, "POST") + "{}") == b""
    assert running.messages == [RequestReceived(1, "POST", handed_on, b"{}", "application/json")]
    running.reply(1, status=201, reason="Created", headers=[("Location", "/x"), ("Content-type", "a/b")], body=b"{}")
    assert running.sent[1].decode() == response("201 Created", "{}", "Location: /x", "Content-type: a/b")


def test_replies_go_out_in_the_order_of_the_requests() -> None:
    running = Running()
    running.connect()
    running.send(1, get("/ari/1", BASIC) + get("/nowhere") + get("/ari/2", BASIC) + get("/ari/3", BASIC))
    assert len(running.messages) == 1  # the others wait for its reply
    running.reply(1)
    running.reply(1)  # once is enough
    running.reply(2, headers=[("Connection", "close")])
    assert [line for line in running.sent[1].decode().split("\r\n") if line.startswith("HTTP/")] == [
        "HTTP/1.1 204 No Content",
        "HTTP/1.1 404 Not Found",
        "HTTP/1.1 204 No Content",
    ]
    assert [said.target for said in running.messages if isinstance(said, RequestReceived)] == ["/1", "/2"]
    assert running.closed == [1]


def test_a_client_may_be_gone_when_its_reply_comes() -> None:
    running = Running()
    running.connect()
    running.send(1, get("/ari/x", BASIC))
    running.input(Failed(1, "reset"))
    running.reply(1)
    running.reply(1)
    assert running.sent == {}
    with pytest.raises(LocalProtocolError, match="no request 2"):
        running.reply(2)


def test_a_client_that_has_said_everything_gets_its_reply_and_is_let_go() -> None:
    running = Running()
    running.connect(1)
    running.connect(2)
    running.connect(3)
    running.send(1, get("/ari/x", BASIC))
    for conn in (1, 2):
        running.input(EndOfStream(conn))
    assert running.closed == [2]
    running.send(3, "GET /half")
    running.input(EndOfStream(3))
    running.reply(1)
    assert b"204 No Content" in running.sent[1]
    assert b"400 Bad Request" in running.sent[3]
    assert running.closed == [2, 3, 1]


def test_a_reply_that_http_cannot_carry_leaves_the_request_to_be_answered() -> None:
    running = Running()
    running.connect()
    running.send(1, get("/ari/x", BASIC))
    with pytest.raises(LocalProtocolError):
        running.reply(1, reason="a\r\nb")
    running.reply(1)
    assert b"204 No Content" in running.sent[1]


def test_a_connection_is_kept_for_a_while() -> None:
    running = Running(inactivity=30.0, keep_alive=15.0)
    for conn in (1, 2, 3, 4):
        running.connect(conn)
    running.send(1, get("/nowhere"))
    running.send(2, get("/ari/slow", BASIC))
    running.wait(14.9)
    running.send(3, "GET /half")
    assert running.closed == []
    running.wait(0.1)
    assert running.closed == [1]
    running.wait(15.0)
    assert running.closed == [1, 4]
    running.wait(14.9)
    assert running.closed == [1, 4, 3]
    running.wait(1000.0)
    running.reply(1)
    assert running.closed == [1, 4, 3]
    running.wait(15.0)
    assert running.closed == [1, 4, 3, 2]
    assert running.server.next_deadline() is None


def test_a_client_that_reads_no_replies_is_dropped() -> None:
    running = Running(max_unsent=100)
    running.connect()
    assert running.send(1, get("/nowhere")).decode() == NOT_FOUND
    assert running.send(1, get("/nowhere", "Connection: close\r\n")) == b""
    assert running.closed == [1]


def test_there_are_only_so_many_sessions() -> None:
    running = Running(session_limit=2)
    running.open_socket(1)
    for conn in (2, 3):
        running.connect(conn)
    assert running.closed == [3]
    running.input(EndOfStream(2))
    running.connect(4)
    assert running.closed == [3, 2]
    assert running.sent == {}


# ---- event sockets


@pytest.mark.parametrize(
    ("query", "apps", "subscribe_all"),
    [
        ("app=a", ("a",), False),
        ("app=a,b%20c&subscribeAll=true", ("a", "b c"), True),
        ("app=a+b&app=c&subscribeAll=Yes", ("a b",), True),
        ("subscribeAll=0&app=%2A", ("*",), False),
    ],
)
def test_an_event_socket_says_what_it_is_for(query: str, apps: tuple[str, ...], subscribe_all: bool) -> None:
    running = Running()
    running.connect()
    sent = running.send(1, get(f"/ari/events?api_key=tester:tester-secret&{query}", UPGRADE))
    assert sent == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    )
    assert running.messages == [SocketOpened(1, apps, subscribe_all)]
    assert running.server.next_deadline() is None


def test_events_go_out_and_pings_are_answered() -> None:
    running = Running()
    socket = running.open_socket()
    running.server.send_text(socket, "ä")
    running.run()
    assert running.sent.pop(1) == frame(1, "ä".encode())
    assert running.send(1, frame(2, b"binary messages are passed over", mask=MASK)) == b""
    assert running.send(1, frame(9, b"?", mask=MASK)) == frame(10, b"?")
    assert running.messages == []


def test_what_comes_with_the_handshake_is_read() -> None:
    running = Running()
    running.connect()
    request = get("/ari/events?app=a", BASIC + UPGRADE).encode()
    assert running.send(1, request + frame(9, b"?", mask=MASK)).endswith(b"\r\n\r\n" + frame(10, b"?"))


@pytest.mark.parametrize("how", ["close", "end", "failure", "garbage", "ours", "ours, unanswered", "slow"])
def test_a_socket_ends_once(how: str) -> None:
    running = Running(max_unsent=100)
    socket = running.open_socket()
    match how:
        case "close":
            assert running.send(1, frame(8, b"\x03\xe8", mask=MASK)) == frame(8, b"\x03\xe8")
        case "end":
            running.input(EndOfStream(1))
        case "failure":
            running.input(Failed(1, "reset"))
        case "garbage":
            assert running.send(1, b"garbage") == frame(8, b"\x03\xea")
        case "slow":
            for _ in range(2):
                running.server.send_text(socket, "x" * 90)
            assert running.send(1, frame(2, b"ignored", mask=MASK)) == 2 * frame(1, b"x" * 90)
            assert running.closed == []  # as long as there is nothing more to send
            running.server.send_text(socket, "x")
            running.run()
        case _:
            running.server.close_socket(socket, 1001, now=running.now)
            running.server.close_socket(socket, 1001, now=running.now)
            running.server.send_text(socket, "too late")
            running.run()
            assert running.sent.pop(1) == frame(8, b"\x03\xe9")
            assert running.messages == []
            if how == "ours":
                running.send(1, frame(8, b"\x03\xe9", mask=MASK))
            else:
                running.wait(0.9)
                assert running.messages == []
                running.wait(0.1)
    assert running.messages == [SocketClosed(socket)]
    assert running.closed == ([] if how == "failure" else [1])
    running.server.send_text(socket, "x")
    running.server.close_socket(socket, now=running.now)
    running.input(Received(1, b"late"))
    running.input(EndOfStream(1))
    assert running.messages == [SocketClosed(socket)]
    assert 1 not in running.sent


def test_a_reader_that_keeps_up_may_get_any_amount() -> None:
    running = Running(max_unsent=100)
    socket = running.open_socket()
    for _ in range(10):
        running.server.send_text(socket, "x" * 90)
        running.run()
        running.input(Drained(socket))
    assert running.closed == []


# ---- requests over an event socket


def rest(**members: Any) -> bytes:
    return frame(1, json.dumps({"type": "RESTRequest", "method": "GET", "uri": "x"} | members).encode(), mask=MASK)


def responses(data: bytes) -> list[dict[str, Any]]:
    """The messages in the frames of a server."""
    found = []
    while data:
        length, start = data[1], 2
        if length == 126:
            length, start = int.from_bytes(data[2:4], "big"), 4
        assert data[0] == 0x81
        found.append(json.loads(data[start : start + length]))
        data = data[start + length :]
    return found


def test_a_request_over_the_socket_is_handed_on_and_its_reply_is_a_message() -> None:
    running = Running(epoch=1_795_391_825.0, asterisk_id="me")
    running.open_socket()
    running.now = 0.7531
    body = {"content_type": "application/json", "message_body": '{"a":"\u00e4"}'}
    uri = "channels/a%2Fb/play?media=sound:x"
    query = [{"name": "lang", "value": "e n"}, {"name": "x", "value": "&"}]
    members = {"method": "POST", "uri": uri, "query_strings": query, "request_id": "r1", "transaction_id": "t1"}
    assert running.send(1, rest(**members, **body)) == b""
    assert running.messages == [
        RequestReceived(
            1,
            "POST",
            "/channels/a%2Fb/play?media=sound:x&lang=e%20n&x=%26",
            '{"a":"ä"}'.encode(),
            "application/json",
        )
    ]
    running.reply(1, status=201, reason="Created", headers=[("Location", "/x")], body=b'{"id":"\xc3\xa4"}')
    (response,) = responses(running.sent[1])
    assert response == {
        "type": "RESTResponse",
        "transaction_id": "t1",
        "request_id": "r1",
        "status_code": 201,
        "reason_phrase": "Created",
        "uri": "channels/a%2Fb/play",
        "content_type": "application/json",
        "message_body": '{"id":"ä"}',
        "application": "a",
        "timestamp": "2026-11-22T23:57:05.753+0000",
        "asterisk_id": "me",
    }


def test_a_response_without_a_body_says_nothing_of_one() -> None:
    running = Running()
    running.open_socket()
    running.send(1, rest())
    running.reply(1)
    (response,) = responses(running.sent[1])
    assert (response["status_code"], response["request_id"], response["transaction_id"]) == (204, "", "")
    assert not {"content_type", "message_body"} & response.keys()


def test_a_file_is_not_for_a_socket() -> None:
    running = Running()
    running.open_socket()
    running.send(1, rest(uri="recordings/stored/x/file"))
    running.reply(1, status=200, reason="OK", headers=[("Content-Type", "audio/wav")], body=b"RIFF")
    (response,) = responses(running.sent[1])
    assert (response["status_code"], response["reason_phrase"]) == (406, "Not Acceptable.  Use HTTP GET")
    assert "message_body" not in response


def test_they_are_done_one_after_another() -> None:
    running = Running()
    running.open_socket()
    assert running.send(1, b"".join(rest(uri=f"{n}", request_id=f"{n}") for n in range(3))) == b""
    for n in range(3):
        assert [said.target for said in running.messages if isinstance(said, RequestReceived)] == [f"/{n}"]
        running.messages.clear()
        running.reply(n + 1)
        assert [response["request_id"] for response in responses(running.sent.pop(1))] == [f"{n}"]
    assert running.messages == []


@pytest.mark.parametrize(
    ("text", "reason", "message"),
    [
        ("not json", "Failed to parse request message JSON", None),
        (50_000 * "[", "Failed to parse request message JSON", None),
        ('{"type":"RESTRequest","request_id":"\\ud800"}', "Failed to parse request message JSON", None),
        ("[]", "Bad request", "No 'type' property."),
        ("{}", "Bad request", "No 'type' property."),
        ('{"type":5}', "Bad request", "No 'type' property."),
        ('{"type":"Nonsense"}', "Bad request", "Unknown request type."),
        ('{"type":"RESTRequest","method":"GET"}', "Bad request", "Empty or missing 'uri' property."),
        ('{"type":"RESTRequest","method":"GET","uri":5}', "Bad request", "Empty or missing 'uri' property."),
        ('{"type":"RESTRequest","uri":"x"}', "Bad request", "Unknown or missing 'method' property."),
        ('{"type":"RESTRequest","uri":"x","method":"BREW"}', "Bad request", "Unknown or missing 'method' property."),
        ('{"type":"RESTRequest","uri":"x","method":[]}', "Bad request", "Unknown or missing 'method' property."),
        (
            '{"type":"RESTRequest","uri":"x","method":"GET","message_body":"{}"}',
            "Bad request",
            "No 'content_type' for 'message_body'.",
        ),
        (
            '{"type":"RESTRequest","uri":"x","method":"GET","message_body":"{}","content_type":"text/plain"}',
            "Bad request",
            "Unknown content type.",
        ),
        (
            '{"type":"RESTRequest","uri":"x","method":"GET","message_body":"{","content_type":"application/json"}',
            "Bad request",
            "Unable to parse 'message_body' as 'application/json'.",
        ),
        (
            '{"type":"RESTRequest","uri":"events?app=x","method":"GET"}',
            "Bad request",
            "Can't upgrade to websocket from a websocket",
        ),
    ],
)
def test_what_it_answers_itself_over_the_socket(text: str, reason: str, message: str | None) -> None:
    running = Running()
    running.open_socket()
    (response,) = responses(running.send(1, frame(1, text.encode(), mask=MASK)))
    assert (response["status_code"], response["reason_phrase"]) == (400, reason)
    said = json.loads(response["message_body"]) if "message_body" in response else None
    assert said == (None if message is None else {"message": message})
    assert running.messages == []
    assert running.closed == []


@pytest.mark.parametrize("how", ["close", "end", "garbage"])
def test_what_was_asked_before_the_end_is_done_and_then_it_is_closed(how: str) -> None:
    running = Running()
    running.open_socket()
    running.send(1, rest(uri="1") + rest(uri="2"))
    match how:
        case "close":
            running.send(1, frame(8, b"\x03\xe8", mask=MASK))
        case "end":
            running.input(EndOfStream(1))
        case "garbage":
            running.send(1, b"garbage")
    running.reply(1)
    assert running.closed == []
    running.reply(2)
    assert running.closed == [1]
    assert running.messages[2:] == [SocketClosed(1)]


def test_it_does_not_wait_for_ever_for_what_was_asked_before_the_end() -> None:
    running = Running()
    running.open_socket()
    running.send(1, rest())
    running.wait(100.0)
    assert running.closed == []
    running.input(EndOfStream(1))
    running.wait(1.0)
    assert running.closed == [1]
    running.reply(1)
    assert 1 not in running.sent


def test_a_client_that_asks_too_much_ahead_is_dropped() -> None:
    running = Running()
    running.open_socket()
    running.send(1, 1001 * rest())
    assert running.closed == []
    running.send(1, rest())
    assert running.closed == [1]


@given(
    cut(
        st.lists(
            st.sampled_from([rest(uri="a"), rest(uri="b", request_id="r"), frame(1, b"{}", mask=MASK)]), max_size=5
        ).map(b"".join)
    )
)
def test_it_makes_no_difference_how_requests_over_the_socket_are_cut(stream: tuple[bytes, list[bytes]]) -> None:
    def outcome(pieces: Iterable[bytes]) -> tuple[list[dict[str, Any]], list[ServerMessage]]:
        running = Running()
        running.open_socket()
        for piece in pieces:
            running.input(Received(1, piece))
        for number in range(1, 6):
            if len(running.messages) == number:
                running.reply(number)
        return responses(running.sent.get(1, b"")), running.messages

    same_in_any_pieces(stream, outcome)


# ---- beginning and end


def test_it_tells_its_port_or_why_it_has_none() -> None:
    running = Running()
    assert running.server.port == 18088
    running.input(Failed(100, "Address already in use"))
    assert running.messages == [ListenFailed("Address already in use")]
    with pytest.raises(LocalProtocolError, match="once"):
        running.server.start(0.0)


def test_closing_ends_everything_within_a_second() -> None:
    running = Running()
    running.open_socket(1)
    running.open_socket(2)
    running.connect(3)
    running.send(3, get("/ari/x", BASIC))
    running.messages.clear()
    for _ in range(2):
        running.server.close(running.now)
        running.run()
    assert running.closed == [100, 3]
    assert running.sent == {1: frame(8, b"\x03\xe9"), 2: frame(8, b"\x03\xe9")}
    running.connect(4)
    assert running.closed == [100, 3, 4]
    running.sent.clear()
    running.send(1, frame(8, b"\x03\xe9", mask=MASK))
    one_is_left = running.server.is_closed
    running.wait(1.0)
    assert (one_is_left, running.server.is_closed) == (False, True)
    assert running.messages == [SocketClosed(1), SocketClosed(2)]
    assert running.server.next_deadline() is None


def test_a_server_closed_before_it_started() -> None:
    server = AriServer(host="::1", port=0, users={}, new_conn=lambda: 1)
    server.close(0.0)
    assert server.is_closed
    assert server.effects_to_perform() == []
    with pytest.raises(LocalProtocolError):
        server.start(0.0)


requests = st.sampled_from(
    [
        get("/ari/x", BASIC).encode(),
        get("/nowhere").encode(),
        get("/ari/events?app=a", BASIC + UPGRADE).encode() + frame(2, b"hi", mask=MASK),
    ]
)


@given(cut(spoilt(st.lists(requests, min_size=1, max_size=3).map(b"".join))), st.booleans())
def test_no_client_can_upset_it(stream: tuple[bytes, list[bytes]], ends: bool) -> None:
    def outcome(pieces: list[bytes]) -> tuple[bytes, list[ServerMessage], list[int]]:
        running = Running()
        running.connect()
        answered = 0
        for piece in pieces:
            running.input(Received(1, piece))
            requests = [said for said in running.messages if isinstance(said, RequestReceived)]
            while answered < len(requests):
                running.reply(requests[answered].request)
                answered += 1
                requests = [said for said in running.messages if isinstance(said, RequestReceived)]
        if ends:
            running.input(EndOfStream(1))
            assert running.closed == [1]
        return running.sent.get(1, b""), running.messages, running.closed

    data, pieces = stream
    assert outcome(pieces) == outcome([data]) == outcome(one_by_one(data))
