"""The parsers of byte streams: what comes out does not depend on the cutting, and it is a message or
``RemoteProtocolError``. What they keep is bounded, whatever came.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable
from hashlib import sha1
from typing import TypeAlias, TypeVar

from voxtra_core.agent.providers import ModelItem
from voxtra_core.errors import LocalProtocolError, ProviderFailed, RemoteProtocolError, one_line
from voxtra_core.providers.chat_answer import MAX_ARGUMENTS, StreamedAnswer
from voxtra_core.providers.event_stream import EventStreamParser
from voxtra_core.wire import (
    AudioSocketClient,
    AudioSocketServer,
    HTTPClient,
    HTTPRequest,
    HTTPServer,
    WebSocketClient,
    WebSocketServer,
)
from voxtra_core.wire.http_messages import MAX_HEAD
from voxtra_core.wire.http_stream import HTTPStreamClient, ResponseData, request_head

from .choices import Choices
from .frames import ACCEPT
from .held import bytes_held

__all__ = ["audiosocket_client", "audiosocket_server", "chat_answer", "event_stream", "http_client", "http_server"]
__all__ += ["http_stream_client", "websocket_client", "websocket_server"]

MAX_BODY = 300
MAX_MESSAGE = 300
SLACK = 4096
"""What a parser has of its own: names of states, our own header fields."""

T = TypeVar("T")


AnyParser: TypeAlias = (
    HTTPClient
    | HTTPServer
    | HTTPStreamClient
    | WebSocketClient
    | WebSocketServer
    | AudioSocketClient
    | AudioSocketServer
    | EventStreamParser
)


Outcome: TypeAlias = tuple[list[object], str | None]
"""What came, and the error that ended it."""


def outcome(parser: AnyParser, pieces: Iterable[bytes], limit: int, react: Callable[[object], None]) -> Outcome:
    """Let it read this, and the end after it, seeing that it keeps no more than ``limit`` bytes.

    ``react`` is told of each thing that came, as soon as it has come.
    """
    came: list[object] = []
    longest = 0  # a read is one of the caller's, and what is behind the end of it dies with the parser

    def take() -> None:
        while (event := parser.next_event()) is not None:
            came.append(event)
            react(event)
        if not isinstance(parser, AudioSocketClient | AudioSocketServer | EventStreamParser):
            parser.data_to_send()

    try:
        for piece in pieces:
            longest = max(longest, len(piece))
            try:
                parser.receive_data(piece)
            finally:
                take()
        held = bytes_held(parser)
        assert held <= limit + 2 * longest, f"{held} bytes are kept"
        parser.receive_eof()
    except RemoteProtocolError as error:
        take()
        assert str(error)
        assert_is_over(parser)
        return came, "an error"  # in which words may depend on what h11 has looked at so far
    take()
    return came, None


def assert_is_over(parser: AnyParser) -> None:
    """After an error nothing more comes, and nothing more is raised."""
    parser.receive_data(b"HTTP/1.1 200 OK\r\n\r\n\x81\x05hello\x10\x00\x02hi")
    parser.receive_eof()
    assert parser.next_event() is None


def same_in_pieces(data: bytes, read: Callable[[bytes, Iterable[bytes]], T]) -> None:
    """``read`` makes the same of a stream and of its pieces; the first byte says how they are cut, the second how often
    the whole is repeated.
    """
    choices = Choices(data)
    cutting, repeated = choices.byte(), choices.byte()
    stream = choices.rest()
    if repeated >= 250 and stream:
        stream *= 40_000 // len(stream) + 1
    whole = read(stream, [stream] if stream else [])
    pieces = read(stream, Choices(bytes([cutting])).pieces(stream))
    assert whole == pieces, f"in pieces: {pieces!r}; whole: {whole!r}"


# ---- HTTP ------------------------------------------------------------------------------------------------------------


def http_client(data: bytes) -> None:
    """What a server may send to a client that asks, asks again when it is answered, and asks by HEAD at last."""

    def read(_: bytes, pieces: Iterable[bytes]) -> Outcome:
        client = HTTPClient(max_body=MAX_BODY)
        methods = ["HEAD", "POST", "GET"]

        def ask(_: object = None) -> None:
            if client.is_idle and methods:
                client.send_request(methods.pop(), "/ari/x", [("Host", "pbx")])
                client.data_to_send()

        ask()
        return outcome(client, pieces, 2 * MAX_HEAD + MAX_BODY + SLACK, ask)

    # what was sent without being asked for is an error only if it came before the answer was taken, so that the
    # cutting shows: one answer at a time is what we compare
    same_in_pieces(data, lambda stream, pieces: _first_answer(read(stream, pieces)))


def _first_answer(read: Outcome) -> object:
    came, error = read
    return came[0] if came else error


def http_stream_client(data: bytes) -> None:
    """What a server may answer to a client that wants it piece by piece, one that has been answered before."""

    def read(_: bytes, pieces: Iterable[bytes]) -> Outcome:
        client = HTTPStreamClient()
        client.send_request(request_head("POST", "/v1", [("Host", "api")], b"{}"), b"{}")
        client.data_to_send()
        came, error = outcome(client, pieces, 2 * MAX_HEAD + SLACK, lambda event: None)
        assert client.is_closed
        return _joined(came), error

    same_in_pieces(data, read)


def _joined(came: list[object]) -> list[object]:
    """Where a body is cut is nobody's business."""
    joined: list[object] = []
    for event in came:
        if isinstance(event, ResponseData):
            assert event.data
            if joined and isinstance(last := joined[-1], ResponseData):
                joined[-1] = ResponseData(last.data + event.data)
                continue
        joined.append(event)
    return joined


def http_server(data: bytes) -> None:
    """What a client may send to a server that answers at once."""

    def read(_: bytes, pieces: Iterable[bytes]) -> Outcome:
        server = HTTPServer(max_body=MAX_BODY)

        def answer(_: object) -> None:
            server.send_response(200, "OK", (), b"{}")
            server.data_to_send()
            if not server.is_closed:
                server.receive_data(b"")

        return outcome(server, pieces, 3 * MAX_HEAD + MAX_BODY + SLACK, answer)

    same_in_pieces(data, read)


# ---- WebSocket -------------------------------------------------------------------------------------------------------

NONCE, ACCEPTED = b"dGhlIHNhbXBsZSBub25jZQ==", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, 1.3
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


def accepted_key(request: bytes) -> bytes:
    """What answers the key of a client's handshake; nothing where it has none."""
    _, _, after = request.lower().partition(b"sec-websocket-key:")
    key = request[len(request) - len(after) :].partition(b"\r\n")[0].strip()
    return b64encode(sha1(key + _GUID, usedforsecurity=False).digest())


def websocket_client(data: bytes) -> None:
    """What a server may answer to the handshake, and send after it."""

    def read(stream: bytes, pieces: Iterable[bytes]) -> Outcome:
        client = WebSocketClient("pbx:8088", "/ari/events", (), ["ari"], max_message=MAX_MESSAGE, max_rejection=500)
        client._nonce = NONCE
        client.data_to_send()
        return outcome(client, pieces, 2 * MAX_HEAD + MAX_MESSAGE + SLACK, lambda event: _send_some(client))

    same_in_pieces(data.replace(ACCEPT, ACCEPTED), read)


def websocket_server(data: bytes) -> None:
    """What a client may send once its handshake has been taken; and what it may ask for in that."""
    choices = Choices(data)
    headers = _handshake(choices)
    request = HTTPRequest("GET", "/socket", headers)

    def read(_: bytes, pieces: Iterable[bytes]) -> Outcome:
        server = WebSocketServer(["ari"], max_message=MAX_MESSAGE)
        try:
            server.receive_request(request)
        except RemoteProtocolError as error:
            assert error.status is not None
            return [], str(error)
        return outcome(server, pieces, 2 * MAX_HEAD + MAX_MESSAGE + SLACK, lambda event: _send_some(server))

    same_in_pieces(choices.rest(), read)


def _handshake(choices: Choices) -> tuple[tuple[str, str], ...]:
    """A good one, unless the byte says to spoil one of its fields."""
    fields = {
        "host": "us",
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-protocol": "ari",
    }
    spoilt = choices.below(64)
    if 0 < spoilt <= len(fields):
        fields[list(fields)[spoilt - 1]] = choices.take(40).decode("latin-1")
    return tuple(fields.items())


def _send_some(websocket: WebSocketClient | WebSocketServer) -> None:
    """An open one can always send; one that is not says so."""
    try:
        websocket.send_text("here")
    except LocalProtocolError:
        assert not websocket.is_open
    else:
        assert websocket.is_open or websocket.is_closed is False
    websocket.data_to_send()


# ---- AudioSocket -----------------------------------------------------------------------------------------------------


def audiosocket_server(data: bytes) -> None:
    """What may come from Asterisk."""

    def read(_: bytes, pieces: Iterable[bytes]) -> Outcome:
        return outcome(AudioSocketServer(max_payload=MAX_MESSAGE), pieces, 2 * MAX_MESSAGE + SLACK, lambda event: None)

    same_in_pieces(data, read)


def audiosocket_client(data: bytes) -> None:
    """What may come to Asterisk."""

    def read(_: bytes, pieces: Iterable[bytes]) -> Outcome:
        return outcome(AudioSocketClient(max_payload=MAX_MESSAGE), pieces, 2 * MAX_MESSAGE + SLACK, lambda event: None)

    same_in_pieces(data, read)


# ---- providers -------------------------------------------------------------------------------------------------------


def event_stream(data: bytes) -> None:
    """What may come as ``text/event-stream``."""

    def read(_: bytes, pieces: Iterable[bytes]) -> Outcome:
        parser = EventStreamParser(max_line=MAX_BODY, max_event=MAX_MESSAGE)
        return outcome(parser, pieces, 3 * (MAX_BODY + MAX_MESSAGE) + SLACK, lambda event: None)

    same_in_pieces(data, read)


def chat_answer(data: bytes) -> None:
    """What a chat model's server may stream: it is said, or it has failed."""

    def read(_: bytes, pieces: Iterable[bytes]) -> Outcome:
        answer = StreamedAnswer(one_line, "call_")
        came: list[ModelItem] = []
        try:
            for piece in pieces:
                came.extend(answer.receive(piece))
                if answer.is_done:
                    break
            else:
                came.extend(answer.finish())
        except ProviderFailed as error:
            assert error.part in {"llm", "web"}
            return list(came), error.part
        assert bytes_held(answer) <= MAX_ARGUMENTS
        assert answer.is_done
        assert "" not in came
        return list(came), None

    same_in_pieces(data, read)
