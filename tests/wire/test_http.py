"""Both ends of HTTP: the same under any cutting, bounded, and honest about what may be repeated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.errors import LocalProtocolError, RemoteProtocolError
from voxtra_core.wire import HTTPClient, HTTPRequest, HTTPResponse, HTTPServer, header_value

from .streams import cut, one_by_one, same_in_any_pieces, spoilt

HOST = [("Host", "pbx:8088")]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

token = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=8)
field = st.tuples(token.map("x-".__add__), st.text("abc ,;=\u00e9", max_size=8).map(str.strip))
fields = st.lists(field, max_size=4)
bodies = st.binary(max_size=300)
methods = st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS"])
targets = st.text("abc/%?=&", max_size=20).map("/".__add__)
reasons = st.text("abc Variable\u00e9", max_size=12).map(str.strip)


def client_with(*requests: str, max_body: int = 200) -> HTTPClient:
    client = HTTPClient(max_body=max_body)
    for method in requests:
        client.send_request(method, "/", HOST)
    return client


def parsed_by_client(
    pieces: Iterable[bytes], *, eof: bool = True, max_body: int = 300
) -> tuple[list[HTTPResponse], bool, bool]:
    """The responses, whether there was an error, and whether the connection can be used again."""
    client = client_with("GET", max_body=max_body)
    error = False
    try:
        for piece in pieces:
            client.receive_data(piece)
        if eof:
            client.receive_eof()
    except RemoteProtocolError:
        error = True
    events = []
    while (event := client.next_event()) is not None:
        events.append(event)
    return events, error, client.is_idle


def parsed_by_server(pieces: Iterable[bytes]) -> tuple[list[HTTPRequest], int | None]:
    """The requests, each answered at once, and the status of the error if there was one."""
    server = HTTPServer(max_body=200, max_line=100)
    requests: list[HTTPRequest] = []

    def answer() -> None:
        while (request := server.next_event()) is not None:
            requests.append(request)
            server.send_response(200, "OK")
            if not server.is_closed:
                server.receive_data(b"")

    try:
        for piece in pieces:
            server.receive_data(piece)
            answer()
        server.receive_eof()
        answer()
    except RemoteProtocolError as exc:
        answer_to_error = exc.status
        assert answer_to_error is not None
        server.send_response(answer_to_error, "")
        assert server.is_closed
        return requests, answer_to_error
    assert server.is_closed
    return requests, None


# ---- streams that a server may send, and what a client makes of them


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    interim = draw(st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n"]))
    status = draw(st.sampled_from([b"HTTP/1.1 200 OK", b"HTTP/1.1 404 Variable Not Found", b"HTTP/1.0 500 x"]))
    head = interim + status + b"\r\n" + b"".join(f"{n}: {v}\r\n".encode("latin-1") for n, v in draw(fields))
    body = draw(bodies)
    framing = draw(st.sampled_from(["length", "chunked", "close", "eof"]))
    if framing == "eof":
        return head + b"\r\n" + body
    if framing == "chunked":
        chunks = [body[i : i + 7] for i in range(0, len(body), 7)]
        coded = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + coded + b"0\r\n\r\n"
    close = b"Connection: close\r\n" if framing == "close" else b""
    return head + close + b"Content-Length: %d\r\n\r\n" % len(body) + body


@given(cut(responses()))
def test_a_response_is_the_same_in_any_pieces(stream: tuple[bytes, list[bytes]]) -> None:
    events, error, _ = same_in_any_pieces(stream, parsed_by_client)
    assert len(events) == 1
    assert not error


@given(cut(spoilt(st.one_of(responses(), st.binary()))))
def test_what_is_no_response_is_a_protocol_error_and_the_same_in_any_pieces(stream: tuple[bytes, list[bytes]]) -> None:
    same_in_any_pieces(stream, partial(parsed_by_client, max_body=100))


@given(cut(responses()), st.booleans())
def test_more_than_the_response_is_an_error_unless_the_connection_ends_anyhow(
    stream: tuple[bytes, list[bytes]], eof: bool
) -> None:
    data, _ = stream
    events, error, idle = parsed_by_client([data], eof=False)
    if events and idle:
        more = parsed_by_client([data, OK], eof=eof)
        assert more == (events, True, False)
        assert parsed_by_client([data + OK], eof=eof) == more
        assert parsed_by_client(one_by_one(data + OK), eof=eof) == more
    elif events and not error:
        assert parsed_by_client([data, OK], eof=eof) == (events, False, False)
        assert parsed_by_client([data + OK], eof=eof) == (events, False, False)


def test_a_connection_is_kept_and_used_again() -> None:
    client = client_with("GET")
    for n in range(3):
        assert client.replies == n
        client.receive_data(OK)
        assert client.next_event() == HTTPResponse(200, "OK", (("content-length", "2"),), b"hi")
        assert client.is_idle
        client.send_request("GET", "/", HOST)
    client.receive_data(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    assert client.next_event() is not None
    assert client.is_closed
    assert not client.is_idle


def test_the_bounds_of_a_response() -> None:
    client = client_with("GET", max_body=1)
    with pytest.raises(RemoteProtocolError, match="more than 1 bytes"):
        client.receive_data(OK)
    for head in (b"Content-Length: 201", b"Transfer-Encoding: chunked\r\n\r\nc9\r\n" + b"x" * 201):
        with pytest.raises(RemoteProtocolError, match="more than 200 bytes"):  # before it is there, where that is said
            client_with("GET").receive_data(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
    client_with("HEAD").receive_data(b"HTTP/1.1 200 OK\r\nContent-Length: 201\r\n\r\n")
    endless = b"HTTP/1.1 200 OK\r\nX: " + b"x" * 17000
    for pieces in ([endless], one_by_one(endless), [endless + b"\r\nContent-Length: 0\r\n\r\n"]):
        assert parsed_by_client(pieces) == ([], True, False)


def test_a_request_may_have_a_bound_of_its_own() -> None:
    client = client_with(max_body=1)
    client.send_request("GET", "/", HOST, max_body=2)
    client.receive_data(OK)
    assert client.next_event() is not None
    client.send_request("GET", "/", HOST)
    with pytest.raises(RemoteProtocolError, match="more than 1 bytes"):
        client.receive_data(OK)


def test_bytes_without_a_request_close_the_connection() -> None:
    client = HTTPClient()
    with pytest.raises(RemoteProtocolError, match="not asked for"):
        client.receive_data(OK)
    assert client.is_closed
    client.receive_data(OK)
    assert client.next_event() is None


def test_an_idle_connection_may_end() -> None:
    client = client_with("GET")
    client.receive_data(OK)
    client.receive_eof()
    assert client.is_closed


def test_a_client_refuses_what_http_cannot_carry_and_goes_on() -> None:
    client = HTTPClient()
    for method, target, headers in [
        ("GET", "/a b", HOST),
        ("GET", "/\u20ac", HOST),
        ("G T", "/", HOST),
        ("CONNECT", "/", HOST),
        ("GET", "/", []),
        ("GET", "/", [*HOST, ("X", "a\r\nB: c")]),
        ("GET", "/", [*HOST, ("X", "\u20ac")]),
        ("GET", "/", [*HOST, ("Content-Length", "7")]),
        ("GET", "/", [*HOST, ("Upgrade", "websocket")]),
    ]:
        with pytest.raises(LocalProtocolError):
            client.send_request(method, target, headers)
        assert client.data_to_send() == b""
    client.send_request("GET", "/", HOST)
    assert client.data_to_send() == b"GET / HTTP/1.1\r\nHost: pbx:8088\r\n\r\n"
    with pytest.raises(LocalProtocolError, match="under way"):
        client.send_request("GET", "/", HOST)
    client.receive_data(OK)
    assert client.next_event() is not None


# ---- the fate of a request


@pytest.mark.parametrize(
    ("method", "reused", "handed_out", "answered", "repeat"),
    [
        ("GET", True, True, False, True),  # the server closed an idle connection
        ("DELETE", True, True, False, True),
        ("PUT", True, True, False, True),
        ("POST", True, True, False, False),  # it may have had its effect
        ("GET", False, True, False, False),  # not a stale connection: it asked for this
        ("GET", True, True, True, False),  # the server was on it
        ("POST", False, False, False, True),  # never left us
        ("POST", True, False, False, True),
    ],
)
def test_which_request_may_be_repeated(
    method: str, reused: bool, handed_out: bool, answered: bool, repeat: bool
) -> None:
    client = HTTPClient()
    assert not client.can_repeat
    if reused:
        client.send_request("POST", "/", HOST)
        client.data_to_send()
        client.receive_data(OK)
        assert not client.can_repeat
    client.send_request(method, "/", HOST)
    if handed_out:
        client.data_to_send()
    if answered:
        client.receive_data(b"H")
        with pytest.raises(RemoteProtocolError):
            client.receive_eof()
    else:
        client.receive_eof()
    assert client.is_closed
    assert client.can_repeat is repeat


# ---- streams that a client may send, and what a server makes of them


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    head = f"{draw(methods)} {draw(targets)} HTTP/1.1\r\nHost: x\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in draw(fields))
    body = draw(bodies)
    if draw(st.booleans()):
        coded = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        return head.encode("latin-1") + b"Transfer-Encoding: chunked\r\n\r\n" + coded
    return head.encode("latin-1") + b"Content-Length: %d\r\n\r\n" % len(body) + body


pipelined = st.lists(requests(), min_size=1, max_size=4).map(b"".join)


@given(cut(pipelined))
def test_requests_are_the_same_in_any_pieces(stream: tuple[bytes, list[bytes]]) -> None:
    same_in_any_pieces(stream, parsed_by_server)


@given(cut(spoilt(st.one_of(pipelined, st.binary()))))
def test_what_is_no_request_is_an_error_with_a_status_and_the_same_in_any_pieces(
    stream: tuple[bytes, list[bytes]],
) -> None:
    same_in_any_pieces(stream, parsed_by_server)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET /" + b"a" * 100 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100 + b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 100 + b"\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 10000, 431),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 201\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nc9\r\n" + b"a" * 201, 413),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na", 400),
    ],
)
def test_the_status_for_what_is_no_request(data: bytes, status: int) -> None:
    assert parsed_by_server([data]) == ([], status)
    assert parsed_by_server(one_by_one(data)) == ([], status)


@pytest.mark.parametrize("more", [b"1", b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n", b"x" * 5000])
def test_what_comes_behind_a_last_request_is_not_looked_at(more: bytes) -> None:
    """RFC 9112, 9.6. It made an error of a request that was sound, if both came in one piece (found by fuzzing)."""
    last = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    for pieces in ([last + more], [last, more], one_by_one(last + more)):
        requests, status = parsed_by_server(pieces)
        assert [request.target for request in requests] == ["/"]
        assert status is None


def test_the_answer_to_what_is_no_request_ends_the_connection() -> None:
    server = HTTPServer()
    with pytest.raises(RemoteProtocolError):
        server.receive_data(b"nonsense\r\n\r\n")
    server.send_response(400, "Bad Request", [], b"why")
    assert b"\r\nConnection: close\r\n" in server.data_to_send()
    assert server.is_closed
    server.receive_data(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    server.receive_eof()
    assert server.next_event() is None
    with pytest.raises(LocalProtocolError):
        server.send_response(200, "OK")


def test_too_much_sent_ahead_is_an_error() -> None:
    server = HTTPServer()
    with pytest.raises(RemoteProtocolError, match="ahead"):
        server.receive_data(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 100_000)


def test_a_client_that_has_said_everything_still_gets_its_answers() -> None:
    server = HTTPServer()
    server.receive_data(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n")
    server.receive_eof()
    for target in ("/1", "/2"):
        request = server.next_event()
        assert request is not None
        assert request.target == target
        server.send_response(200, "OK")
        assert server.is_closed is (target == "/2")
        server.receive_data(b"")
    assert server.data_to_send().count(b"200 OK") == 2


def test_a_server_refuses_what_http_cannot_carry_and_goes_on() -> None:
    server = HTTPServer()
    with pytest.raises(LocalProtocolError, match="no request"):
        server.send_response(200, "OK")
    server.receive_data(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    bad: list[tuple[int, str, Sequence[tuple[str, str]], bytes]] = [
        (200, "OK\r\nX: y", [], b""),
        (200, "\u20ac", [], b""),
        (200, "OK", [("X", "a\r\nb")], b""),
        (200, "OK", [("Content-Length", "3")], b""),
        (204, "No Content", [], b"x"),
        (99, "OK", [], b""),
    ]
    for status, reason, headers, body in bad:
        with pytest.raises(LocalProtocolError):
            server.send_response(status, reason, headers, body)
        assert server.data_to_send() == b""
    server.send_response(204, "No Content")
    assert server.data_to_send() == b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"


def test_a_head_request_gets_the_length_and_no_body() -> None:
    server = HTTPServer()
    server.receive_data(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
    server.send_response(200, "OK", [], b"body")
    assert server.data_to_send() == b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"


def test_a_request_keeps_its_secrets_out_of_its_repr() -> None:
    request = HTTPRequest("GET", "/ari/ping?api_key=u:secret", (("authorization", "Basic secret"),), b"secret")
    assert "secret" not in repr(request)


# ---- one end wired to the other


exchanges = st.lists(
    st.tuples(methods, targets, fields, bodies, st.sampled_from([200, 201, 404, 500]), reasons, fields, bodies),
    min_size=1,
    max_size=4,
)


@given(exchanges, st.data())
def test_what_goes_in_at_one_end_comes_out_at_the_other(
    script: list[tuple[str, str, list[tuple[str, str]], bytes, int, str, list[tuple[str, str]], bytes]],
    data: st.DataObject,
) -> None:
    client, server = HTTPClient(), HTTPServer()
    for method, target, sent, body, status, reason, returned, content in script:
        client.send_request(method, target, [*HOST, *sent], body)
        for piece in data.draw(cut(st.just(client.data_to_send())))[1]:
            assert server.next_event() is None
            server.receive_data(piece)
        request = server.next_event()
        assert request is not None
        assert (request.method, request.target, request.body) == (method, target, body)
        assert [pair for pair in request.headers if pair[0].startswith("x-")] == sent
        assert header_value(request.headers, "host") == "pbx:8088"
        server.send_response(status, reason, returned, content)
        for piece in data.draw(cut(st.just(server.data_to_send())))[1]:
            assert client.next_event() is None
            client.receive_data(piece)
        response = client.next_event()
        assert response is not None
        assert (response.status, response.reason, response.body) == (status, reason, content)
        assert [pair for pair in response.headers if pair[0].startswith("x-")] == returned
    client.receive_eof()
    server.receive_eof()
    assert client.is_closed
    assert server.is_closed


def test_an_upgrade_is_handed_over_with_what_came_after_it() -> None:
    data = b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\nframes"
    for pieces in ([data], one_by_one(data)):
        server = HTTPServer()
        for piece in pieces:
            server.receive_data(piece)
        request = server.next_event()
        assert request is not None
        assert request.wants_websocket
        assert server.hand_over() == b"frames"
        assert server.is_closed


def test_an_upgrade_that_is_refused_leaves_the_connection_in_use() -> None:
    server = HTTPServer()
    plain = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    server.receive_data(plain[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + plain)
    assert server.next_event() is not None
    server.send_response(401, "Unauthorized")
    server.receive_data(b"")
    assert server.next_event() is not None
    with pytest.raises(LocalProtocolError, match="did not ask"):
        server.hand_over()
