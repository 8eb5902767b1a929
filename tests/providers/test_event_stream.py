"""Event streams, as the standard has them: the same under any cutting, and bounded."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.streams import cut, one_by_one, same_in_any_pieces
from voxtra_core.errors import RemoteProtocolError
from voxtra_core.providers.event_stream import EventStreamParser, ServerSentEvent


def read(pieces: Iterable[bytes]) -> tuple[list[ServerSentEvent], str]:
    """The events, and the error that ended them."""
    parser = EventStreamParser(max_line=40, max_event=60)
    error = ""
    try:
        for piece in pieces:
            parser.receive_data(piece)
    except RemoteProtocolError as exc:
        error = str(exc)
    events = []
    while (event := parser.next_event()) is not None:
        events.append(event)
    return events, error


def texts(data: bytes) -> list[str]:
    events, error = same_in_any_pieces((data, one_by_one(data)), read)
    assert not error
    return [event.data for event in events]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        # the examples of the standard, 9.2.6
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", ["YHOO\n+2\n10"]),
        (b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
         ["first event", "second event", " third event"]),
        (b"data\n\ndata\ndata\n\ndata:", ["", "\n"]),
        (b"data:test\n\ndata: test\n\n", ["test", "test"]),
        # ends of lines
        (b"data: a\r\rdata: b\r\n\r\ndata: c\n\n", ["a", "b", "c"]),
        (b"data: a\r\ndata: b\r\n\r\n", ["a\nb"]),
        (b"\r\n\r\n\n\r\ndata: a\n\n", ["a"]),
        # the beginning and the end
        (b"\xef\xbb\xbfdata: a\n\n", ["a"]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", ["b"]),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", ["a"]),
        (b"data: a\n", []),
        (b"", []),
        # what is none of our business
        (b"retry: 10\nnonsense\nfoo: bar\n Data: x\ndata: a\n\n", ["a"]),
        (b"event: x\n\ndata: a\n\n", ["a"]),
        ("data: Gr\u00fc\u00dfe \U0001f389\n\n".encode(), ["Gr\u00fc\u00dfe \U0001f389"]),
        (b"data: \xff\xfe\n\n", ["\ufffd\ufffd"]),
    ],
)  # fmt: skip
def test_what_a_stream_says(stream: bytes, expected: list[str]) -> None:
    assert texts(stream) == expected


def test_types_and_ids() -> None:
    stream = b"event: add\nid: 7\ndata: a\n\nid: 8\0\ndata: b\n\nid\nevent\ndata: c\n\n"
    assert read([stream]) == (
        [ServerSentEvent("a", "add", "7"), ServerSentEvent("b", "message", "7"), ServerSentEvent("c", "message", "")],
        "",
    )


WORDS = [b"data", b":", b" ", b"\r", b"\n", b"\r\n", b"x", b"id", b"event", b"\xef\xbb\xbf", b"y" * 30]
alphabet = st.sampled_from(WORDS)
streams = st.lists(alphabet, max_size=40).map(b"".join)


@given(cut(streams))
def test_any_cutting_gives_the_same(stream: tuple[bytes, list[bytes]]) -> None:
    same_in_any_pieces(stream, read)


@pytest.mark.parametrize(
    ("stream", "error"),
    [
        (b"data: a\n\ndata: " + b"x" * 35 + b"\n\n", "a line of more than 40 bytes"),
        (b"data: a\n\n" + b"x" * 41, "a line of more than 40 bytes"),
        (b"data: a\n\n" + b"data: 0123456789\n" * 6 + b"\n", "an event of more than 60 bytes"),
        (b"data: a\n\n" + b"data\n" * 61, "an event of more than 60 bytes"),
    ],
)
def test_what_is_too_long(stream: bytes, error: str) -> None:
    events, found = same_in_any_pieces((stream, one_by_one(stream)), read)
    assert [event.data for event in events] == ["a"]
    assert found == f"{error} in an event stream"


def test_nothing_comes_after_an_error() -> None:
    parser = EventStreamParser(max_line=5)
    with pytest.raises(RemoteProtocolError):
        parser.receive_data(b"data: 123456789\n")
    parser.receive_data(b"\ndata\n\n")
    assert parser.next_event() is None


def test_nothing_comes_after_the_end() -> None:
    parser = EventStreamParser()
    parser.receive_data(b"data: a\n")
    parser.receive_eof()
    parser.receive_data(b"\n")
    assert parser.next_event() is None
