"""TLS without I/O: two ends of it in memory, and whatever lies between them."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.certificates import contexts
from voxtra_asyncio.tls import tls_connection
from voxtra_core.effects import TLS, Connect, Failed, FailureKind, Listen, failed
from voxtra_core.tls import TLSConnection

CLIENT, SERVER = contexts.client(), contexts.server()


def ends(client: ssl.SSLContext = CLIENT, server: ssl.SSLContext = SERVER) -> tuple[TLSConnection, TLSConnection]:
    """Both ends, the client's having begun."""
    both = tls_connection(TLS(client), "localhost"), tls_connection(TLS(server))
    both[0].start()
    return both


def carry(source: TLSConnection, target: TLSConnection, sizes: Iterator[int]) -> None:
    """Carry what one has to send, in pieces of these sizes."""
    data = source.data_to_send()
    while data:
        size = next(sizes)
        target.receive_data(data[:size])
        data = data[size:]


def shake_hands(client: TLSConnection, server: TLSConnection, sizes: Iterator[int]) -> None:
    for _ in range(3):
        carry(client, server, sizes)
        carry(server, client, sizes)


def for_ever(sizes: list[int]) -> Iterator[int]:
    while True:
        yield from sizes


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@given(
    sizes=st.lists(st.integers(1, 2000), min_size=1, max_size=5),
    sent=st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=40_000)), max_size=6),
)
def test_whatever_is_sent_arrives_however_it_is_cut(
    version: ssl.TLSVersion, sizes: list[int], sent: list[tuple[bool, bytes]]
) -> None:
    context = contexts.client()
    context.minimum_version = context.maximum_version = version
    client, server = ends(context)
    pieces = for_ever(sizes)
    shake_hands(client, server, pieces)
    assert client.is_open
    assert server.is_open
    arrived = {True: b"", False: b""}
    for by_client, data in sent:
        source, target = (client, server) if by_client else (server, client)
        source.send(data)
        carry(source, target, pieces)
        arrived[by_client] += target.received_data()
    for by_client in arrived:
        assert arrived[by_client] == b"".join(data for who, data in sent if who == by_client)
    client.close()
    carry(client, server, pieces)
    assert server.has_ended
    assert not client.has_ended
    server.send(b"the other way is open still")
    carry(server, client, pieces)


@given(sizes=st.lists(st.integers(1, 500), min_size=1, max_size=5))
def test_nothing_is_open_before_the_handshake_is_done(sizes: list[int]) -> None:
    client, server = ends()
    hello = client.data_to_send()
    server.receive_data(hello[:-1])
    assert not server.is_open
    assert server.data_to_send() == b""
    server.receive_data(hello[-1:])
    assert not server.is_open
    carry(server, client, for_ever(sizes))
    assert client.is_open


def test_the_end_comes_after_what_was_sent_before_it() -> None:
    client, server = ends()
    shake_hands(client, server, for_ever([1 << 20]))
    client.send(b"goodbye")
    client.close()
    server.receive_data(client.data_to_send() + b"whatever is behind it")
    assert server.received_data() == b"goodbye"
    assert server.has_ended
    server.receive_data(b"and even later")
    assert server.received_data() == b""


def test_what_came_before_an_error_is_not_lost() -> None:
    client, server = ends()
    shake_hands(client, server, for_ever([1 << 20]))
    client.send(b"so far, so good")
    with pytest.raises(ssl.SSLError):
        server.receive_data(client.data_to_send() + b"\x17\x03\x03\x00\x20" + bytes(32))
    assert server.received_data() == b"so far, so good"


def test_the_streams_end_in_the_middle_of_the_handshake() -> None:
    client, _ = ends()
    with pytest.raises(ConnectionAbortedError) as caught:
        client.receive_eof()
    assert failed(7, caught.value) == Failed(7, "the connection was closed in the middle of the TLS handshake")


def test_the_streams_end_after_it_is_no_error() -> None:
    client, server = ends()
    shake_hands(client, server, for_ever([1 << 20]))
    client.receive_eof()
    assert not client.has_ended


@given(garbage=st.binary(min_size=1, max_size=200))
def test_garbage_is_an_error_or_not_enough_of_it(garbage: bytes) -> None:
    for end in ends():
        with suppress(ssl.SSLError):
            end.receive_data(garbage)
        assert not end.is_open


# ---- what is told about errors ---------------------------------------------------------------------------------------


def error_of(move: Callable[[], object]) -> Failed:
    with pytest.raises(ssl.SSLError) as caught:
        move()
    return failed(1, caught.value)


@pytest.mark.parametrize(
    ("certificate", "reason", "kind"),
    [
        ("expired", "certificate has expired", FailureKind.CERTIFICATE_EXPIRED),
        ("early", "certificate is not yet valid", FailureKind.CERTIFICATE),
        (
            "other",
            "Hostname mismatch, certificate is not valid for 'localhost'",
            FailureKind.CERTIFICATE_HOSTNAME,
        ),
        ("self-signed", "self-signed certificate", FailureKind.CERTIFICATE),
        ("client", "unsuitable certificate purpose", FailureKind.CERTIFICATE),
    ],
)
def test_what_is_wrong_with_a_certificate(certificate: str, reason: str, kind: FailureKind) -> None:
    """The words are OpenSSL's (3.0), the kinds ours."""
    client, server = ends(server=contexts.server(certificate))
    assert error_of(lambda: shake_hands(client, server, for_ever([1 << 20]))) == Failed(1, reason, kind)
    assert client.data_to_send()  # tells the server


def test_an_issuer_that_nobody_knows() -> None:
    client, server = ends(ssl.create_default_context())
    assert error_of(lambda: shake_hands(client, server, for_ever([1 << 20]))).kind is FailureKind.CERTIFICATE


def test_a_context_for_the_other_end() -> None:
    for move in (lambda: tls_connection(TLS(SERVER), "localhost"), lambda: tls_connection(TLS(CLIENT))):
        found = error_of(move)
        assert found.kind is FailureKind.TLS
        assert found.reason.startswith("Cannot create a ")
        assert found.reason.endswith(" context")


def test_a_listener_needs_a_context() -> None:
    with pytest.raises(ValueError, match="needs an SSLContext with a certificate"):
        Listen(1, "127.0.0.1", 0, TLS())


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("pbx.example", "pbx.example"),
        ("pbx.example.", "pbx.example"),
        ("192.0.2.1", "192.0.2.1"),
        ("::1", "::1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_whose_certificate_is_wanted(host: str, name: str) -> None:
    assert Connect(1, host, 443, TLS()).server_name == name
