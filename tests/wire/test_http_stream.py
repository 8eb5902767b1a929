"""The client's end of HTTP whose replies come piece by piece: the same under any cutting, and bounded."""

from __future__ import annotations

from collections.abc import Iterable

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.errors import LocalProtocolError, RemoteProtocolError
from voxtra_core.wire.http_messages import MAX_HEAD
from voxtra_core.wire.http_stream import (
    HTTPStreamClient,
    HTTPStreamEvent,
    ResponseData,
    ResponseEnd,
    ResponseHead,
    request_head,
)

from .streams import cut, same_in_any_pieces, spoilt

HOST = [("Host", "api")]
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nX: y\r\n\r\nhello world"
ENDLESS = b"HTTP/1.1 200 OK\r\n\r\nhello world"
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"


def asking(method: str = "POST", body: bytes = b"{}") -> HTTPStreamClient:
    client = HTTPStreamClient()
    client.send_request(request_head(method, "/v1", HOST, body), body)
    client.data_to_send()
    return client


def taken(client: HTTPStreamClient) -> list[HTTPStreamEvent]:
    """What has come, pieces of the body that follow each other as one."""
    events: list[HTTPStreamEvent] = []
    while (event := client.next_event()) is not None:
        if events and isinstance(event, ResponseData) and isinstance(last := events[-1], ResponseData):
            events[-1] = ResponseData(last.data + event.data)
        else:
            events.append(event)
    return events


def read(pieces: Iterable[bytes]) -> tuple[list[HTTPStreamEvent], bool, bool]:
    """What came, whether there was an error, and whether the connection can be used again before its end."""
    client = asking()
    error = reusable = False
    try:
        for piece in pieces:
            client.receive_data(piece)
        reusable = client.is_idle
        client.receive_eof()
    except RemoteProtocolError:
        error = True
    assert client.is_closed
    return taken(client), error, reusable


responses = st.sampled_from([CHUNKED, SIZED, ENDLESS, INTERIM + CHUNKED, INTERIM + INTERIM + SIZED])


@given(cut(responses))
def test_a_reply_is_the_same_in_any_pieces(stream: tuple[bytes, list[bytes]]) -> None:
    events, error, _ = same_in_any_pieces(stream, read)
    assert not error
    assert isinstance(head := events[0], ResponseHead)
    assert head.status == 200
    assert events[1:] == [ResponseData(b"hello world"), ResponseEnd()]


@given(cut(spoilt(responses)))
def test_so_is_a_broken_one(stream: tuple[bytes, list[bytes]]) -> None:
    same_in_any_pieces(stream, read)


@pytest.mark.parametrize(("response", "reusable"), [(CHUNKED, True), (SIZED, True), (ENDLESS, False)])
def test_a_connection_is_kept_where_the_reply_has_an_end(response: bytes, reusable: bool) -> None:
    assert read([response])[2] is reusable


def test_one_reply_after_another() -> None:
    client = asking()
    client.receive_data(CHUNKED)
    assert [type(event) for event in taken(client)] == [ResponseHead, ResponseData, ResponseEnd]
    client.send_request(request_head("GET", "/", HOST, b""), b"")
    assert client.data_to_send() == b"GET / HTTP/1.1\r\nHost: api\r\n\r\n"
    client.receive_data(SIZED)
    assert client.is_idle
    assert taken(client)[1:] == [ResponseData(b"hello world"), ResponseEnd()]


def test_pieces_are_handed_out_as_they_come() -> None:
    client = asking()
    client.receive_data(CHUNKED[:-20])
    head, data = taken(client)
    assert isinstance(head, ResponseHead)
    assert isinstance(data, ResponseData)
    assert b"hello".startswith(data.data[:5])
    assert not client.is_idle


@pytest.mark.parametrize("size", range(1, len(CHUNKED)))
def test_a_reply_that_is_cut_short(size: int) -> None:
    client = asking()
    client.receive_data(CHUNKED[:size])
    with pytest.raises(RemoteProtocolError):
        client.receive_eof()
    assert client.is_closed
    assert ResponseEnd() not in taken(client)


def test_no_reply_at_all_is_no_error_but_shows_whether_it_was_stale() -> None:
    fresh = asking()
    fresh.receive_eof()
    assert (fresh.is_closed, fresh.is_stale) == (True, False)
    used = asking()
    used.receive_data(SIZED)
    assert not used.is_stale
    used.send_request(request_head("POST", "/", HOST, b""), b"")
    used.receive_eof()
    assert (used.is_closed, used.is_stale) == (True, True)


def test_a_reply_that_has_begun_makes_nobody_stale() -> None:
    client = asking()
    client.receive_data(SIZED)
    client.send_request(request_head("POST", "/", HOST, b""), b"")
    client.receive_data(b"H")
    assert not client.is_stale


LONG_HEAD = b"HTTP/1.1 200 OK\r\nX: " + b"y" * (MAX_HEAD + 1000)


@pytest.mark.parametrize("response", [LONG_HEAD, b"SSH-2.0-x\r\n", b"\x15\x03", b"\r\n", b"HTTP/2 200\r\n"])
def test_what_is_no_reply(response: bytes) -> None:
    client = asking()
    with pytest.raises(RemoteProtocolError):
        client.receive_data(response)
    client.receive_data(SIZED)
    client.receive_eof()
    assert taken(client) == []


def test_what_was_not_asked_for() -> None:
    client = asking()
    with pytest.raises(RemoteProtocolError, match="not asked for"):
        client.receive_data(SIZED + b"more")
    assert taken(client)[-1] == ResponseEnd()
    idle = HTTPStreamClient()
    with pytest.raises(RemoteProtocolError, match="not asked for"):
        idle.receive_data(b"HTTP/1.1 408 Request Timeout\r\n\r\n")


def test_one_at_a_time() -> None:
    client = asking()
    with pytest.raises(LocalProtocolError, match="under way"):
        client.send_request(request_head("GET", "/", HOST, b""), b"")
    client.receive_eof()
    with pytest.raises(LocalProtocolError, match="closed"):
        client.send_request(request_head("GET", "/", HOST, b""), b"")


def test_a_request() -> None:
    client = HTTPStreamClient()
    client.send_request(request_head("POST", "/v1?x=1", [*HOST, ("X-Y", "é")], b"abc"), b"abc")
    assert client.data_to_send() == (
        "POST /v1?x=1 HTTP/1.1\r\nHost: api\r\nX-Y: é\r\nContent-Length: 3\r\n\r\nabc".encode("latin-1")
    )
    assert client.data_to_send() == b""


@pytest.mark.parametrize(
    ("method", "target", "field"),
    [
        ("POST", "/", ("Authorization", "Bearer s3cret\r\nX: y")),
        ("POST", "/", ("Authorization", "Bearer s3cret \u2603")),
        ("POST", "/s3cret value", ("X", "y")),
        ("POST", "/", ("s3cret name", "y")),
        ("POST", "/", ("Content-Length", "7")),
        ("s3cret method", "/", ("X", "y")),
        ("CONNECT", "/", ("X", "y")),
    ],
)
def test_what_http_cannot_carry_is_refused_without_repeating_it(
    method: str, target: str, field: tuple[str, str]
) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        request_head(method, target, [*HOST, field], b"")
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None
    assert not isinstance(caught.value, h11.LocalProtocolError)
