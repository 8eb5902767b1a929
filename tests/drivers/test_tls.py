"""TLS over real sockets of this machine. The other end is the standard library's, and does nothing by itself.

As in ``test_connections``: nothing waits for time to pass, and what must *not* be reported is looked for after many
turns of the loop.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import ModuleType

import anyio
import pytest

import voxtra_asyncio.driver
import voxtra_asyncio.tls
import voxtra_trio.driver
import voxtra_trio.tls
from tests.certificates import contexts
from voxtra_core import driving
from voxtra_core.effects import (
    TLS,
    Accepted,
    AcceptFailed,
    Close,
    Connect,
    Connected,
    Drained,
    EndOfStream,
    Failed,
    FailureKind,
    Finish,
    Input,
    Listen,
    Listening,
    Received,
    Send,
)

from .loops import TestedBackend
from .peers import HERE, Door, Peer, TLSPeer
from .script import Script, in_small_turns, running, turns

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

PLENTY = bytes(range(256)) * 65536
"""16 MiB: more than the system takes for a peer that doesn't read."""

CLIENT, SERVER = TLS(contexts.client()), TLS(contexts.server())


async def connect(script: Script, door: Door, context: ssl.SSLContext | None = None) -> TLSPeer:
    """Have the machine connect to a door, and return the peer behind it, hands shaken."""
    script.ask(Connect(1, "localhost" if door.host == "127.0.0.1" else door.host, door.port, CLIENT))
    peer = TLSPeer.over(await door.accept(), context or contexts.server())
    await peer.shake_hands()
    await script.until(Connected(1))
    return peer


@asynccontextmanager
async def connected(backend: TestedBackend) -> AsyncIterator[tuple[Script, TLSPeer]]:
    """A machine that runs, and the peer that it is connected to."""
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            with await connect(script, door) as peer:
                yield script, peer


async def listen(script: Script, tls: TLS = SERVER) -> int:
    """Have the machine listen, and return the port."""
    script.ask(Listen(1, "127.0.0.1", 0, tls))
    await script.until_so(lambda: any(isinstance(event, Listening) for event in script.seen))
    (event,) = (event for event in script.seen if isinstance(event, Listening))
    return event.port


def client_to(port: int) -> TLSPeer:
    """Somebody who connects, and has not said anything yet."""
    return TLSPeer.over(Peer.to(port), contexts.client(), "localhost")


def received(script: Script, conn: int = 1) -> bytes:
    return b"".join(event.data for event in script.seen if isinstance(event, Received) and event.conn == conn)


# ---- connecting ------------------------------------------------------------------------------------------------------


async def test_bytes_go_both_ways(backend: TestedBackend) -> None:
    async with connected(backend) as (script, peer):
        script.ask(Send(1, b"hello"))
        assert await peer.exactly(5) == b"hello"
        await peer.send(b"good ")
        await peer.send(b"morning")
        await script.until_so(lambda: received(script) == b"good morning")
    assert script.seen[0] == Connected(1)
    assert script.seen.count(Drained(1)) == 1


async def test_it_is_open_when_both_have_shaken_hands(backend: TestedBackend) -> None:
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            script.ask(Connect(1, "localhost", door.port, CLIENT), Send(1, b"too early: it is not open"))
            with TLSPeer.over(await door.accept(), contexts.server()) as peer:
                await turns()
                assert script.seen == []
                await peer.shake_hands()
                await script.until(Connected(1))
                script.ask(Send(1, b"now"))
                assert await peer.exactly(3) == b"now"


async def test_what_comes_with_the_end_of_the_handshake(backend: TestedBackend) -> None:
    """In TLS 1.2 the server has the last word, so that what it says next may come together with that."""
    context = contexts.server()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            script.ask(Connect(1, "localhost", door.port, CLIENT))
            peer = TLSPeer.over(await door.accept(), context)
            await peer.shake_hands(with_the_last=b"welcome")
            with peer:
                await script.until(Connected(1))
                await script.until_so(lambda: received(script) == b"welcome")


async def test_much_goes_both_ways_at_once(backend: TestedBackend) -> None:
    async with connected(backend) as (script, peer), anyio.create_task_group() as tasks:
        script.ask(Send(1, PLENTY))
        tasks.start_soon(peer.send, PLENTY)
        assert await peer.exactly(len(PLENTY)) == PLENTY
        await script.until_so(lambda: sum(len(e.data) for e in script.seen if isinstance(e, Received)) == len(PLENTY))
    assert received(script) == PLENTY
    assert script.seen.count(Drained(1)) == 1


async def test_it_is_drained_when_the_system_has_all_of_it(backend: TestedBackend) -> None:
    """Which is what asyncio's own TLS can't tell."""
    async with connected(backend) as (script, peer):
        script.ask(Send(1, PLENTY))
        await turns()
        assert Drained(1) not in script.seen
        await peer.exactly(len(PLENTY))
        await script.until(Drained(1))


@pytest.fixture
def platform_trusts(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets whose certificates the platform trusts; without that, nobody's."""

    def trust(path: str) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", path)
        monkeypatch.setenv("SSL_CERT_DIR", "/nonexistent")
        for module in (voxtra_asyncio.tls, voxtra_trio.tls):
            module.client_context.cache_clear()

    return trust


@pytest.mark.parametrize("trusted", [True, False])
async def test_the_defaults_are_the_platforms(
    backend: TestedBackend, trusted: bool, platform_trusts: Callable[[str], None]
) -> None:
    platform_trusts(str(contexts.CA) if trusted else "/nonexistent")
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            script.ask(Connect(1, "localhost", door.port, TLS()))
            with TLSPeer.over(await door.accept(), contexts.server()) as peer:
                if trusted:
                    await peer.shake_hands()
                    await script.until(Connected(1))
                else:
                    with pytest.raises(ssl.SSLError, match=r"(?i)unknown ca"):
                        await peer.shake_hands()
                    words = "unable to get local issuer certificate"
                    await script.until(Failed(1, words, FailureKind.CERTIFICATE))
    platform_trusts("/nonexistent")  # forget it


@pytest.mark.parametrize(
    ("certificate", "host", "reason", "kind"),
    [
        ("expired", "localhost", "certificate has expired", FailureKind.CERTIFICATE_EXPIRED),
        ("early", "localhost", "certificate is not yet valid", FailureKind.CERTIFICATE),
        ("self-signed", "localhost", "self-signed certificate", FailureKind.CERTIFICATE),
        (
            "other",
            "localhost",
            "Hostname mismatch, certificate is not valid for 'localhost'",
            FailureKind.CERTIFICATE_HOSTNAME,
        ),
        (
            "other",
            "127.0.0.1",
            "IP address mismatch, certificate is not valid for '127.0.0.1'",
            FailureKind.CERTIFICATE_HOSTNAME,
        ),
    ],
)
async def test_a_certificate_that_is_not_good(
    backend: TestedBackend, certificate: str, host: str, reason: str, kind: FailureKind
) -> None:
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            script.ask(Connect(1, host, door.port, CLIENT))
            with TLSPeer.over(await door.accept(), contexts.server(certificate)) as peer:
                with pytest.raises(ssl.SSLError, match=r"(?i)alert"):  # it is told why
                    await peer.shake_hands()
                await script.until(Failed(1, reason, kind))
                await peer.ended()
                await turns()
    assert script.seen == [Failed(1, reason, kind)]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_a_certificate_for_an_address(backend: TestedBackend, address: str) -> None:
    script = Script()
    with Door(address) as door:
        async with running(backend.driver(), script):
            script.ask(Connect(1, address, door.port, CLIENT))
            with TLSPeer.over(await door.accept(), contexts.server()) as peer:
                await peer.shake_hands()
                await script.until(Connected(1))


@pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n", b"\0" * 100])
async def test_who_does_not_speak_tls(backend: TestedBackend, greeting: bytes) -> None:
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            script.ask(Connect(1, "localhost", door.port, CLIENT))
            with await door.accept() as peer:
                await peer.send(greeting)
                await script.until(Failed(1, "the peer does not speak TLS", FailureKind.TLS))
                await peer.ended()


@pytest.mark.parametrize("how", ["end", "close"])
@pytest.mark.parametrize("after", ["at once", "after our first word"])
async def test_who_ends_in_the_middle_of_the_handshake(backend: TestedBackend, how: str, after: str) -> None:
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            script.ask(Connect(1, "localhost", door.port, CLIENT))
            with await door.accept() as peer:
                if after == "after our first word":
                    await peer.receive()
                getattr(peer, how)()
                await script.until_so(lambda: bool(script.seen))
    (event,) = script.seen
    assert event in {
        Failed(1, "the connection was closed in the middle of the TLS handshake"),
        Failed(1, "connection reset by the peer"),  # it had not read what we said
    }


async def test_versions_that_have_nothing_in_common(backend: TestedBackend) -> None:
    context = contexts.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    server = contexts.server()
    server.minimum_version = ssl.TLSVersion.TLSv1_3
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            script.ask(Connect(1, "localhost", door.port, TLS(context)))
            with TLSPeer.over(await door.accept(), server) as peer:
                with pytest.raises(ssl.SSLError, match=r"(?i)unsupported protocol"):
                    await peer.shake_hands()
                await script.until(Failed(1, "tlsv1 alert protocol version", FailureKind.TLS))


async def test_a_certificate_of_ours_is_wanted(backend: TestedBackend) -> None:
    """In TLS 1.3 the server says so when all is open for us already."""
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            script.ask(Connect(1, "localhost", door.port, CLIENT))
            with TLSPeer.over(await door.accept(), contexts.server(asks_for_certificate=True)) as peer:
                with pytest.raises(ssl.SSLError):
                    await peer.shake_hands()
                await script.until(Failed(1, "tlsv13 alert certificate required", FailureKind.TLS))
            script.ask(Connect(2, "localhost", door.port, TLS(contexts.client("client"))))
            with TLSPeer.over(await door.accept(), contexts.server(asks_for_certificate=True)) as peer:
                await peer.shake_hands()
                await script.until(Connected(2))
    assert script.seen == [
        Connected(1),
        Failed(1, "tlsv13 alert certificate required", FailureKind.TLS),
        Connected(2),
    ]


async def test_a_context_for_a_server(backend: TestedBackend) -> None:
    script = Script(Connect(1, "localhost", 1, SERVER))
    async with running(backend.driver(), script):
        await script.until(
            Failed(1, "Cannot create a client socket with a PROTOCOL_TLS_SERVER context", FailureKind.TLS)
        )


@pytest.mark.parametrize("turn", range(12))
@pytest.mark.parametrize("effect", [Close(1), Finish()])
async def test_closing_in_the_middle_of_the_handshake(
    backend: TestedBackend, turn: int, effect: Close | Finish, linger: Callable[[float], None]
) -> None:
    """At every turn that it takes, with a peer that goes along, or stops at some time: it was open before, or never."""
    linger(0.02)
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            script.ask(Connect(1, "localhost", door.port, CLIENT))
            async with anyio.create_task_group() as tasks:

                async def shake_hands() -> None:
                    with TLSPeer.over(await door.accept(), contexts.server()) as peer:
                        try:
                            await peer.shake_hands()
                        except OSError:
                            return
                        await peer.ended()

                tasks.start_soon(shake_hands)
                await turns(turn)
                script.ask(effect)
                seen = list(script.seen)
                await turns()
                assert script.seen == seen
                tasks.cancel_scope.cancel()
    assert script.seen in ([], [Connected(1)])


async def test_who_never_answers_is_given_up_when_it_is_withdrawn(backend: TestedBackend) -> None:
    """And at once: nothing is left to be said."""
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            script.ask(Connect(1, "localhost", door.port, CLIENT))
            with await door.accept() as peer:
                await peer.receive()
                await turns()
                script.ask(Close(1))
                await peer.ended()
    assert script.seen == []


# ---- ending ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"goodbye", PLENTY], ids=["nothing", "little", "much"])
async def test_closing_writes_what_was_sent_and_says_that_it_was_all(backend: TestedBackend, data: bytes) -> None:
    async with connected(backend) as (script, peer):
        script.ask(Send(1, data), Close(1))
        assert await peer.to_the_end() == data
        assert peer.said_end
    assert script.seen == [Connected(1)]


async def test_closing_ends_in_good_order_also_when_the_peer_goes_on_sending(backend: TestedBackend) -> None:
    """Which asyncio's own TLS does not."""
    async with connected(backend) as (script, peer):
        await peer.send(b"x" * 100_000)
        script.ask(Send(1, b"goodbye"), Close(1))
        await turns()
        await peer.send(b"x" * 100_000)
        assert await peer.to_the_end() == b"goodbye"
        assert peer.said_end
        await peer.send(b"x" * 100_000)
    assert all(isinstance(event, Connected | Received) for event in script.seen)


async def test_closing_gives_up_on_a_peer_that_does_not_read(
    backend: TestedBackend, linger: Callable[[float], None]
) -> None:
    linger(0.05)
    driver = backend.driver()
    script = Script()
    with Door() as door:
        async with running(driver, script):
            with await connect(script, door) as peer:
                start = driver.time()
                script.ask(Send(1, PLENTY), Close(1), Finish())
                await script.until_finished()
                assert 0.05 <= driver.time() - start < 1.0
                assert len(await peer.to_the_end()) < len(PLENTY)
    assert script.seen == [Connected(1)]


@pytest.mark.parametrize("is_said", [True, False], ids=["close_notify", "no close_notify"])
async def test_the_peers_end_is_an_end(backend: TestedBackend, is_said: bool) -> None:
    """It is one, and it is told once. The other way stays open (RFC 8446, 6.1)."""
    async with connected(backend) as (script, peer):
        await peer.send(b"the last")
        if is_said:
            await peer.say_end()
            await script.until(EndOfStream(1))
            script.ask(Send(1, b"still here"))
            assert await peer.exactly(10) == b"still here"
        Peer.end(peer)
        await script.until(EndOfStream(1))
        await turns()
        script.ask(Send(1, b"bye"), Close(1))
        assert await peer.to_the_end() == b"bye"
        assert peer.said_end
    assert [event for event in script.seen if not isinstance(event, Drained)] == [
        Connected(1),
        Received(1, b"the last"),
        EndOfStream(1),
    ]


async def test_a_reset_is_no_end(backend: TestedBackend) -> None:
    async with connected(backend) as (script, peer):
        peer.reset()
        await script.until(Failed(1, "connection reset by the peer"))
    assert script.seen == [Connected(1), Failed(1, "connection reset by the peer")]


async def test_garbage_breaks_an_open_connection(backend: TestedBackend) -> None:
    async with connected(backend) as (script, peer):
        await peer.send(b"so far")
        await peer.send_plain(b"\x17\x03\x03\x00\x20" + bytes(32))
        await script.until_so(lambda: isinstance(script.seen[-1], Failed))
        await peer.ended()
        script.ask(Send(1, b"nobody hears this"), Close(1))
        await turns()
    assert [type(event) for event in script.seen] == [Connected, Received, Failed]
    assert script.seen[1] == Received(1, b"so far")
    assert isinstance(script.seen[2], Failed)
    assert script.seen[2].kind is FailureKind.TLS


@pytest.mark.parametrize("how", ["close_notify", "end", "garbage"])
async def test_what_came_before_the_end_keeps_its_turns(
    backend: TestedBackend, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driving, "SLICE", 256)
    data = PLENTY[:32768]
    async with connected(backend) as (script, peer), in_small_turns(script, 3 * 256):
        await peer.send(data)
        await script.until_so(lambda: bool(received(script)))
        assert len(received(script)) < len(data)
        match how:
            case "close_notify":
                await peer.say_end()
            case "end":
                Peer.end(peer)
            case "garbage":
                await peer.send_plain(b"\x17\x03\x03\x00\x20" + bytes(32))
        await script.until_so(lambda: isinstance(script.seen[-1], EndOfStream | Failed))
        await turns()
    assert received(script) == data
    ends = [event for event in script.seen if isinstance(event, EndOfStream | Failed)]
    assert [type(end) for end in ends] == [Failed if how == "garbage" else EndOfStream]


# ---- accepting -------------------------------------------------------------------------------------------------------


async def test_who_has_shaken_hands_is_accepted(backend: TestedBackend) -> None:
    script = Script()

    def echo(event: Input) -> None:
        if isinstance(event, Received):
            script.ask(Send(event.conn, event.data.upper()))

    script.on_input = echo
    async with running(backend.driver(), script):
        port = await listen(script)
        with client_to(port) as first, client_to(port) as second:
            await turns()
            assert script.seen == [Listening(1, port)]
            await second.shake_hands()  # the second is the first
            await script.until(Accepted(1, 1000, HERE))
            await first.shake_hands()
            await script.until(Accepted(1, 1001, HERE))
            await second.send(b"two")
            assert await second.exactly(3) == b"TWO"
            await first.send(b"one")
            assert await first.exactly(3) == b"ONE"
            script.ask(Send(1001, b"bye"), Close(1001))
            assert await first.to_the_end() == b"bye"
            assert first.said_end


async def test_what_a_client_says_with_its_last_word_of_the_handshake(backend: TestedBackend) -> None:
    script = Script()
    async with running(backend.driver(), script):
        with client_to(await listen(script)) as peer:
            await peer.shake_hands(with_the_last=b"hello")
            await script.until(Accepted(1, 1000, HERE))
            await script.until_so(lambda: received(script, 1000) == b"hello")


BROKEN = AcceptFailed(1, "connection reset by the peer", FailureKind.SYSTEM)
ENDED = AcceptFailed(1, "the connection was closed in the middle of the TLS handshake", FailureKind.SYSTEM)


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", b"\0" * 100, b"\x16\x03\x01\x00\x05hello" * 3],
    ids=["http", "zeros", "nearly TLS"],
)
async def test_who_says_something_else_is_not_accepted(backend: TestedBackend, data: bytes) -> None:
    """What is wrong is said in OpenSSL's words."""
    script = Script()
    async with running(backend.driver(), script):
        port = await listen(script)
        with Peer.to(port) as peer:
            await peer.send(data)
            await peer.ended()
            await script.until_so(lambda: isinstance(script.seen[-1], AcceptFailed))
        with Peer.to(port) as peer:
            peer.reset()
            await script.until(BROKEN)
        with Peer.to(port) as peer:
            peer.end()
            await peer.ended()
            await script.until(ENDED)
        with client_to(port) as good:
            await good.shake_hands()
            await script.until(Accepted(1, 1000, HERE))
    listening, nonsense, *others = script.seen[:5]
    assert [listening, *others] == [Listening(1, port), BROKEN, ENDED, Accepted(1, 1000, HERE)]
    assert isinstance(nonsense, AcceptFailed)
    assert nonsense.kind is FailureKind.TLS


async def test_a_client_that_does_not_trust_us_says_so(backend: TestedBackend) -> None:
    script = Script()
    async with running(backend.driver(), script):
        port = await listen(script)
        with TLSPeer.over(Peer.to(port), ssl.create_default_context(), "localhost") as peer:
            with pytest.raises(ssl.SSLCertVerificationError):
                await peer.shake_hands()
            await script.until(AcceptFailed(1, "tlsv1 alert unknown ca"))


def without_certificate() -> ssl.SSLContext:
    return ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)


def chosen_by_name() -> ssl.SSLContext:
    context = without_certificate()
    context.sni_callback = lambda connection, name, of: setattr(connection, "context", contexts.server())
    return context


def of_old() -> ssl.SSLContext:
    context = contexts.server()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def that_wants_a_certificate() -> ssl.SSLContext:
    context = contexts.server()
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.mark.parametrize("make", [contexts.server, chosen_by_name, of_old, that_wants_a_certificate])
async def test_a_context_that_can_be_listened_with(backend: TestedBackend, make: Callable[[], ssl.SSLContext]) -> None:
    backend.check_server_context(make())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (without_certificate, "no shared cipher"),
        (contexts.client, "Cannot create a server socket with a PROTOCOL_TLS_CLIENT context"),
    ],
)
async def test_a_context_that_cannot(backend: TestedBackend, make: Callable[[], ssl.SSLContext], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        backend.check_server_context(make())


@pytest.fixture
def drivers() -> list[ModuleType]:
    """Where the bounds of handshakes are read."""
    return [voxtra_asyncio.driver, voxtra_trio.driver]


async def test_who_says_nothing_has_so_much_time(
    backend: TestedBackend, drivers: list[ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in drivers:
        monkeypatch.setattr(module, "HANDSHAKE_TIMEOUT", 0.05)
    driver = backend.driver()
    script = Script()
    async with running(driver, script):
        port = await listen(script)
        with Peer.to(port) as silent, client_to(port) as other:
            start = driver.time()
            await other.shake_hands()
            await silent.ended()
            assert 0.04 < driver.time() - start < 1.0
            await turns()
            await other.send(b"who was quick stays")
            await script.until(Received(1000, b"who was quick stays"))


async def test_of_too_many_the_oldest_has_to_go(
    backend: TestedBackend, drivers: list[ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in drivers:
        monkeypatch.setattr(module, "MAX_HANDSHAKES", 3)
    script = Script()
    async with running(backend.driver(), script):
        port = await listen(script)
        peers = []
        for _ in range(5):
            peers.append(client_to(port))
            await turns()
        for peer in peers[:2]:
            await Peer.receive(peer)  # its end
        for number, peer in enumerate(peers[2:]):
            await peer.shake_hands()
            await script.until(Accepted(1, 1000 + number, HERE))
        for peer in peers:
            peer.close()


@pytest.mark.parametrize("turn", range(10))
@pytest.mark.parametrize("effect", [Close(1), Finish()])
async def test_closing_the_listener_while_somebody_shakes_hands(
    backend: TestedBackend, turn: int, effect: Close | Finish, linger: Callable[[float], None]
) -> None:
    """Whoever is not accepted by then never is, and finds a connection that ends."""
    linger(0.02)
    script = Script()
    async with running(backend.driver(), script):
        port = await listen(script)
        with client_to(port) as peer:
            async with anyio.create_task_group() as tasks:

                async def shake_hands() -> None:
                    try:
                        await peer.shake_hands()
                    except OSError:
                        return

                tasks.start_soon(shake_hands)
                await turns(turn)
                script.ask(effect)
                accepted = Accepted(1, 1000, HERE) in script.seen
                await turns()
                assert (Accepted(1, 1000, HERE) in script.seen) == accepted
                if not accepted or isinstance(effect, Finish):
                    await peer.ended()
                tasks.cancel_scope.cancel()


async def test_who_is_still_shaking_hands_goes_with_the_listener(backend: TestedBackend) -> None:
    script = Script()
    async with running(backend.driver(), script):
        port = await listen(script)
        with Peer.to(port) as silent, client_to(port) as other:
            await other.shake_hands()
            await script.until(Accepted(1, 1000, HERE))
            script.ask(Close(1))
            await silent.ended()
            script.ask(Send(1000, b"who was accepted stays"))
            assert await other.exactly(22) == b"who was accepted stays"


async def test_a_context_for_a_client(backend: TestedBackend) -> None:
    script = Script(Listen(1, "127.0.0.1", 0, CLIENT))
    async with running(backend.driver(), script):
        words = "Cannot create a server socket with a PROTOCOL_TLS_CLIENT context"
        await script.until(Failed(1, words, FailureKind.TLS))


async def test_one_machine_is_both_ends(backend: TestedBackend) -> None:
    script = Script()
    async with running(backend.driver(), script):
        port = await listen(script)
        script.ask(Connect(2, "localhost", port, CLIENT))
        await script.until(Connected(2), Accepted(1, 1000, HERE))
        script.ask(Send(2, b"to myself"), Close(2))
        await script.until(Received(1000, b"to myself"), EndOfStream(1000))
