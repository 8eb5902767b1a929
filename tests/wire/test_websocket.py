"""Both ends of WebSocket: the same under any cutting, bounded, and never taking garbage for a close."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.frame_protocol import FrameDecoder

from voxtra_core.errors import LocalProtocolError, RemoteProtocolError
from voxtra_core.wire import (
    BytesReceived,
    HTTPServer,
    PongReceived,
    TextReceived,
    WebSocketClient,
    WebSocketClosed,
    WebSocketEvent,
    WebSocketOpened,
    WebSocketRejected,
    WebSocketServer,
    websocket,
)

from .streams import cut, frame, one_by_one, same_in_any_pieces, spoilt

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
MASK = b"\x12\x34\x56\x78"

REJECTED = (
    b"HTTP/1.1 401 Unauthorized\r\nServer: Asterisk\r\nCache-Control: no-cache, no-store\r\n"
    b'WWW-Authenticate: Basic realm="Asterisk REST Interface"\r\nContent-type: application/json\r\n'
    b'Content-Length: 37\r\n\r\n{"message":"Authentication required"}'
)

WebSocket = WebSocketClient | WebSocketServer


def events_of(end: WebSocket) -> list[WebSocketEvent]:
    events = []
    while (event := end.next_event()) is not None:
        events.append(event)
    return events


def opened(*, max_message: int = 300) -> tuple[WebSocketClient, WebSocketServer]:
    """Both ends, with the opening handshake done."""
    client = WebSocketClient("pbx:8088", "/ari/events?app=a", [], ["ari"], max_message=max_message)
    http, server = HTTPServer(), WebSocketServer(["ari"], max_message=max_message)
    http.receive_data(client.data_to_send())
    request = http.next_event()
    assert request is not None
    server.receive_request(request)
    assert http.hand_over() == b""
    client.receive_data(server.data_to_send())
    assert events_of(client) == events_of(server) == [WebSocketOpened("ari")]
    return client, server


def opened_client(*, max_message: int = 300) -> WebSocketClient:
    return opened(max_message=max_message)[0]


def opened_server(*, max_message: int = 300) -> WebSocketServer:
    return opened(max_message=max_message)[1]


def fed(new: Callable[[], WebSocket], pieces: Iterable[bytes]) -> tuple[list[WebSocketEvent], bool]:
    """The events from a stream and its end, and whether there was an error."""
    end = new()
    error = False
    try:
        for piece in pieces:
            end.receive_data(piece)
        end.receive_eof()
    except RemoteProtocolError:
        error = True
    assert end.is_closed
    events = events_of(end)
    end.receive_data(b"more")
    end.receive_eof()
    assert end.next_event() is None
    return events, error


def exchange(a: WebSocket, b: WebSocket) -> None:
    """Carry everything to and fro until there is no more."""
    while (there := a.data_to_send()) + (back := b.data_to_send()):
        b.receive_data(there)
        a.receive_data(back)


# ---- streams of frames


@st.composite
def messages(draw: st.DrawFn, mask: bytes) -> bytes:
    """A few messages, in fragments with control frames between them, perhaps with a close at the end."""
    stream = b""
    for _ in range(draw(st.integers(0, 4))):
        opcode = draw(st.sampled_from([TEXT, BINARY]))
        payload = draw(st.text(max_size=80)).encode() if opcode == TEXT else draw(st.binary(max_size=140))
        places = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
        edges = [0, *places, len(payload)]
        for n, (start, end) in enumerate(pairwise(edges)):
            fin = n == len(edges) - 2
            stream += frame(opcode if n == 0 else CONTINUATION, payload[start:end], fin=fin, mask=mask)
            if draw(st.booleans()):
                stream += frame(draw(st.sampled_from([PING, PONG])), draw(st.binary(max_size=5)), mask=mask)
    if draw(st.booleans()):
        code = draw(st.sampled_from([b"", b"\x03\xe8", b"\x03\xe9bye", b"\x03\xf3"]))
        stream += frame(CLOSE, code, mask=mask)
    return stream


ENDS = pytest.mark.parametrize(("new", "mask"), [(opened_client, b""), (opened_server, MASK)], ids=["client", "server"])


@ENDS
@given(data=st.data())
def test_messages_are_the_same_in_any_pieces(new: Callable[[], WebSocket], mask: bytes, data: st.DataObject) -> None:
    events, error = same_in_any_pieces(data.draw(cut(messages(mask))), partial(fed, new))
    assert not error
    assert isinstance(events[-1], WebSocketClosed)


@ENDS
@given(data=st.data())
def test_garbage_is_a_protocol_error_or_events_and_the_same_in_any_pieces(
    new: Callable[[], WebSocket], mask: bytes, data: st.DataObject
) -> None:
    streams = st.one_of(messages(mask), st.binary())
    same_in_any_pieces(data.draw(cut(spoilt(streams))), partial(fed, new))


@st.composite
def texts(draw: st.DrawFn, mask: bytes) -> bytes:
    """Text frames whose lengths are about those where their encoding changes, and where a message is too long; not
    always encoded in the fewest bytes.
    """
    stream = b""
    for _ in range(draw(st.integers(1, 4))):
        length = draw(st.sampled_from([0, 1, 124, 125, 126, 127, 150, 299, 300, 301]))
        whole = frame(TEXT, b"x" * length, fin=draw(st.integers(0, 4)) > 0, mask=mask)
        if length < 126 and draw(st.integers(0, 4)) == 0:
            whole = whole[:1] + bytes([126 | whole[1] & 0x80]) + length.to_bytes(2) + whole[2:]
        stream += whole
    return stream


@ENDS
@given(data=st.data())
def test_the_short_cut_for_texts_makes_no_difference(
    new: Callable[[], WebSocket], mask: bytes, data: st.DataObject
) -> None:
    pieces = data.draw(cut(spoilt(texts(mask)) | texts(mask)))[1]
    found = fed(new, pieces)
    with patch.object(websocket._Frames, "process_buffer", FrameDecoder.process_buffer):
        assert fed(new, pieces) == found


@ENDS
@pytest.mark.parametrize("length", [0, 125, 126, 127, 255, 256, 65535, 65536])
def test_texts_of_any_length_are_whole_whether_they_come_in_one_piece_or_not(
    new: Callable[..., WebSocket], mask: bytes, length: int
) -> None:
    """Each may be cut where what follows looks like the beginning of another."""
    text = "Á~\0\x7f" * (length // 5) + "x" * (length % 5)
    whole = frame(TEXT, text.encode(), mask=mask)
    head = len(whole) - length
    stream = whole * 3
    for place in (0, 1, 2, head, head + 1, len(whole) - 1, len(whole), len(whole) + 3):
        pieces = [stream[:place], stream[place:]]
        end = new(max_message=65536)
        for piece in pieces:
            end.receive_data(piece)
        assert events_of(end) == [TextReceived(text)] * 3


@ENDS
@pytest.mark.parametrize(
    ("opcode", "payload", "fin", "code"),
    [
        (3, b"", True, 1002),  # reserved
        (0x41, b"", True, 1002),  # a reserved bit
        (CONTINUATION, b"x", True, 1002),
        (PING, b"x" * 126, True, 1002),
        (PING, b"x", False, 1002),
        (CLOSE, b"x", True, 1002),
        (CLOSE, b"\x03\xee", True, 1002),  # 1006 is never sent
        (CLOSE, b"\x03\xe8\xff", True, 1007),
        (TEXT, b"\xff", True, 1007),
        (TEXT, b"x" * 301, True, 1009),
        (BINARY, b"x" * 301, False, 1009),
    ],
)
def test_a_bad_frame_is_answered_with_a_close_and_is_no_close_itself(
    new: Callable[[], WebSocket], mask: bytes, opcode: int, payload: bytes, fin: bool, code: int
) -> None:
    end = new()
    with pytest.raises(RemoteProtocolError) as caught:
        end.receive_data(frame(opcode, payload, fin=fin, mask=mask))
    assert caught.value.status == code
    assert end.is_closed
    assert end.next_event() is None
    peer = opened_server() if new is opened_client else opened_client()
    peer.receive_data(end.data_to_send())
    assert events_of(peer) == [WebSocketClosed(code, "")]


@ENDS
def test_frames_must_be_masked_by_the_client_alone(new: Callable[[], WebSocket], mask: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="mask"):
        new().receive_data(frame(TEXT, b"x", mask=b"" if mask else MASK))


@ENDS
def test_a_message_that_never_ends_is_bounded(new: Callable[[], WebSocket], mask: bytes) -> None:
    end = new()
    end.receive_data(frame(TEXT, b"", fin=False, mask=mask))
    for _ in range(150):
        end.receive_data(frame(CONTINUATION, b"\xc3\xa9", fin=False, mask=mask))
        end.receive_data(frame(CONTINUATION, b"", fin=False, mask=mask))
    with pytest.raises(RemoteProtocolError, match="more than 300 bytes"):
        end.receive_data(frame(CONTINUATION, b"x", fin=False, mask=mask))


# ---- one end wired to the other

operations = st.lists(
    st.tuples(
        st.booleans(),
        st.one_of(
            st.text(max_size=200),
            st.binary(max_size=250),
            st.binary(max_size=125).map(lambda payload: ("ping", payload)),
        ),
    ),
    max_size=8,
)


@given(operations, st.booleans(), st.sampled_from([1000, 1001, 4000]), st.data())
def test_what_goes_in_at_one_end_comes_out_at_the_other(
    script: list[tuple[bool, str | bytes | tuple[str, bytes]]], client_closes: bool, code: int, data: st.DataObject
) -> None:
    client, server = opened(max_message=2000)
    expected: dict[WebSocket, list[WebSocketEvent]] = {client: [], server: []}
    got: dict[WebSocket, list[WebSocketEvent]] = {client: [], server: []}

    def carry() -> None:
        moved = True
        while moved:
            moved = False
            for sender, receiver in ((client, server), (server, client)):
                for piece in data.draw(cut(st.just(sender.data_to_send())))[1]:
                    receiver.receive_data(piece)
                    got[receiver] += events_of(receiver)
                    moved = True

    for by_client, what in script:
        me, other = (client, server) if by_client else (server, client)
        match what:
            case str():
                me.send_text(what)
                expected[other].append(TextReceived(what))
            case bytes():
                me.send_bytes(what)
                expected[other].append(BytesReceived(what))
            case (_, payload):
                me.ping(payload)
                expected[me].append(PongReceived(payload))
        carry()
    (client if client_closes else server).close(code, "bye")
    carry()
    assert client.is_closed
    assert server.is_closed
    assert got[client] == [*expected[client], WebSocketClosed(code, "bye")]
    assert got[server] == [*expected[server], WebSocketClosed(code, "bye")]


def test_both_may_close_at_once() -> None:
    client, server = opened()
    client.close(1000)
    server.close(1001, "going")
    exchange(client, server)
    assert events_of(client) == [WebSocketClosed(1001, "going")]
    assert events_of(server) == [WebSocketClosed(1000, "")]


def test_messages_may_come_after_our_close_but_no_more_go_out() -> None:
    client, server = opened()
    client.close()
    with pytest.raises(LocalProtocolError, match="not open"):
        client.send_text("x")
    server.send_text("last")
    server.ping(b"?")
    exchange(client, server)
    assert events_of(client) == [TextReceived("last"), WebSocketClosed(1000, "")]
    assert events_of(server) == [WebSocketClosed(1000, "")]  # and no pong


def test_garbage_after_our_close_is_an_error_and_is_not_answered() -> None:
    client = opened_client()
    client.close()
    client.data_to_send()
    with pytest.raises(RemoteProtocolError):
        client.receive_data(b"garbage")
    assert client.data_to_send() == b""
    assert client.is_closed


def test_an_empty_close_is_answered_and_has_no_code() -> None:
    client = opened_client()
    client.receive_data(frame(CLOSE))
    assert events_of(client) == [WebSocketClosed(1005, "")]
    server = opened_server()
    server.receive_data(client.data_to_send())
    assert events_of(server) == [WebSocketClosed(1005, "")]


@ENDS
def test_an_end_without_a_close_has_code_1006(new: Callable[[], WebSocket], mask: bytes) -> None:
    assert fed(new, [frame(TEXT, b"half", mask=mask)[:-1]]) == ([WebSocketClosed(1006, "")], False)


@ENDS
def test_what_the_caller_may_not_do_changes_nothing(new: Callable[[], WebSocket], mask: bytes) -> None:
    end = new()
    mistakes: list[Callable[[], None]] = [
        lambda: end.close(999),
        lambda: end.close(1005),
        lambda: end.close(1006),
        lambda: end.close(1015),
        lambda: end.close(5000),
        lambda: end.close(1000, "x" * 124),
        lambda: end.close(1000, "\ud800"),
        lambda: end.ping(b"x" * 126),
        lambda: end.send_text("\ud800"),
    ]
    for mistake in mistakes:
        with pytest.raises(LocalProtocolError):
            mistake()
        assert end.data_to_send() == b""
    assert end.is_open


# ---- the opening handshake


def new_client() -> WebSocketClient:
    return WebSocketClient("pbx", "/ari/events?app=a", [("Authorization", "Basic eA==")], ["ari"], max_rejection=40)


def accept_of(client: WebSocketClient) -> bytes:
    """What a server says that accepts."""
    http, server = HTTPServer(), WebSocketServer(["ari"])
    http.receive_data(client.data_to_send())
    request = http.next_event()
    assert request is not None
    server.receive_request(request)
    return server.data_to_send()


def test_events_may_come_with_the_handshake_and_in_any_pieces() -> None:
    frames = frame(TEXT, b"one") + frame(PING, b"?") + frame(TEXT, b"two")
    for whole in (True, False):
        client = new_client()
        data = b"HTTP/1.1 100 Continue\r\n\r\n" + accept_of(client) + frames
        for piece in [data] if whole else one_by_one(data):
            client.receive_data(piece)
        assert events_of(client) == [WebSocketOpened("ari"), TextReceived("one"), TextReceived("two")]
        assert client.data_to_send() != b""  # the pong


@given(cut(st.sampled_from([REJECTED, REJECTED + REJECTED])))
def test_a_refusal_is_whole_and_the_same_in_any_pieces(stream: tuple[bytes, list[bytes]]) -> None:
    body = b'{"message":"Authentication required"}'
    events, error = same_in_any_pieces(stream, partial(fed, new_client))
    assert (events, error) == ([WebSocketRejected(401, "Unauthorized", body)], False)


def test_a_refusal_without_end_is_not_waited_for() -> None:
    client = new_client()
    client.receive_data(b"HTTP/1.1 404 Not Found\r\n\r\n" + b"x" * 40)
    assert client.next_event() is None
    client.receive_data(b"x")
    assert client.next_event() == WebSocketRejected(404, "Not Found", b"x" * 40)
    assert client.is_closed


def test_a_refusal_is_bounded_and_may_be_cut_short() -> None:
    head = b"HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\n"
    assert fed(new_client, [head + b"x" * 100]) == ([WebSocketRejected(404, "Not Found", b"x" * 40)], False)
    assert fed(new_client, [head + b"xy"]) == ([WebSocketRejected(404, "Not Found", b"xy")], False)


@given(cut(st.one_of(st.binary(), spoilt(st.just(REJECTED)))))
def test_what_is_no_handshake_is_an_error_or_a_refusal_and_the_same_in_any_pieces(
    stream: tuple[bytes, list[bytes]],
) -> None:
    events, error = same_in_any_pieces(stream, partial(fed, new_client))
    assert error is not bool(events)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 101 x\r\nX: " + b"x" * 20000,
    ],
)
def test_another_server_is_told_apart(data: bytes) -> None:
    client = new_client()

    def receive() -> None:
        client.receive_data(data)
        client.receive_eof()

    with pytest.raises(RemoteProtocolError) as caught:
        receive()
    assert caught.value.hint == "is this Asterisk's HTTP port?"
    assert client.is_closed


@pytest.mark.parametrize(
    ("line", "by"),
    [
        (b"Sec-WebSocket-Protocol: ari", b"Sec-WebSocket-Protocol: sip"),
        (b"Sec-WebSocket-Protocol: ari", b"Sec-WebSocket-Extensions: permessage-deflate"),
        (b"Connection: Upgrade", b"Connection: keep-alive"),
    ],
)
def test_an_acceptance_of_something_else_is_refused(line: bytes, by: bytes) -> None:
    client = new_client()
    accept = accept_of(client)
    assert line in accept
    with pytest.raises(RemoteProtocolError):
        client.receive_data(accept.replace(line, by))
    assert client.next_event() is None


def test_nothing_is_sent_before_the_handshake_is_done() -> None:
    client = new_client()
    with pytest.raises(LocalProtocolError, match="not open"):
        client.send_text("x")
    with pytest.raises(LocalProtocolError, match="HTTP can carry"):
        WebSocketClient("pbx", "/a b")


KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
V13 = "Sec-WebSocket-Version: 13\r\n"


@pytest.mark.parametrize(
    ("method", "headers", "outcome"),
    [
        ("GET", UPGRADE + KEY + V13, WebSocketOpened(None)),
        ("GET", UPGRADE + KEY + "Sec-WebSocket-Version: 8\r\n", WebSocketOpened(None)),
        (
            "GET",
            UPGRADE + KEY + V13 + "Sec-WebSocket-Protocol: foo, ari\r\n",
            WebSocketOpened("ari"),
        ),
        ("GET", UPGRADE + KEY + V13 + "Sec-WebSocket-Protocol: foo\r\n", 400),
        ("GET", UPGRADE + KEY + "Sec-WebSocket-Version: 12\r\n", 400),
        ("GET", UPGRADE + KEY, 400),
        ("GET", UPGRADE + V13, 400),
        ("GET", KEY + V13, 426),
        ("POST", UPGRADE + KEY + V13, 426),
    ],
)
def test_which_handshake_a_server_takes(method: str, headers: str, outcome: WebSocketOpened | int) -> None:
    http, server = HTTPServer(), WebSocketServer(["ari"])
    http.receive_data(f"{method} / HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
    request = http.next_event()
    assert request is not None
    if isinstance(outcome, int):
        with pytest.raises(RemoteProtocolError) as caught:
            server.receive_request(request)
        assert caught.value.status == outcome
        assert server.data_to_send() == b""
    else:
        server.receive_request(request)
        assert events_of(server) == [outcome]
        assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in server.data_to_send()  # RFC 6455, 1.3
        with pytest.raises(LocalProtocolError):
            server.receive_request(request)
