"""Listening and accepting, on ports of this machine that the system chooses."""

from __future__ import annotations

import errno
import resource
import socket
from collections.abc import Callable

import pytest

from voxtra_core.effects import (
    Accepted,
    Close,
    Connect,
    Connected,
    EndOfStream,
    Failed,
    Finish,
    Input,
    Listen,
    Listening,
    Received,
    Send,
)

from .loops import TestedBackend
from .peers import HERE, Door, Peer, addresses
from .script import Script, running, turns

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]


async def listen(script: Script, listener: int = 1) -> int:
    """Have the machine listen, and return the port."""
    script.ask(Listen(listener, "127.0.0.1", 0))
    await script.until_so(lambda: any(isinstance(event, Listening | Failed) for event in script.seen))
    (event,) = (event for event in script.seen if isinstance(event, Listening) and event.listener == listener)
    return event.port


async def test_peers_are_accepted_under_numbers_of_the_machine(backend: TestedBackend) -> None:
    script = Script()

    def echo(event: Input) -> None:
        if isinstance(event, Received):
            script.ask(Send(event.conn, event.data.upper()))

    script.on_input = echo
    async with running(backend.driver(), script):
        port = await listen(script)
        with Peer.to(port) as first:
            await script.until(Accepted(1, 1000, HERE))
            with Peer.to(port) as second:
                await script.until(Accepted(1, 1001, HERE))
                await second.send(b"two")
                assert await second.exactly(3) == b"TWO"
                await first.send(b"one")
                assert await first.exactly(3) == b"ONE"
                second.end()
                await script.until(EndOfStream(1001))
                script.ask(Send(1001, b"bye"), Close(1001))
                assert await second.to_the_end() == b"bye"
                first.reset()
                await script.until(Failed(1000, "connection reset by the peer"))


async def test_accepted_connections_outlive_their_listener(backend: TestedBackend) -> None:
    script = Script()
    async with running(backend.driver(), script):
        port = await listen(script)
        with Peer.to(port) as peer:
            await script.until(Accepted(1, 1000, HERE))
            script.ask(Close(1))
            await turns()
            with pytest.raises(ConnectionRefusedError):
                Peer.to(port)
            script.ask(Send(1000, b"still here"), Close(1000))
            assert await peer.to_the_end() == b"still here"


async def test_many_at_once(backend: TestedBackend) -> None:
    script = Script()
    async with running(backend.driver(), script):
        port = await listen(script)
        peers = [Peer.to(port) for _ in range(50)]
        await script.until(*(Accepted(1, 1000 + number, HERE) for number in range(50)))
        for peer in peers:
            peer.close()
        await script.until(*(EndOfStream(1000 + number) for number in range(50)))


async def test_a_port_that_is_in_use(backend: TestedBackend) -> None:
    with Door() as door:
        script = Script(Listen(1, "127.0.0.1", door.port))
        async with running(backend.driver(), script):
            await script.until(Failed(1, "address already in use"))
            script.ask(Close(1))
            await turns()
    assert script.seen == [Failed(1, "address already in use")]


@pytest.mark.parametrize(
    ("host", "words"), [("192.0.2.1", "address not available"), ("pbx..example", "not a host name")]
)
async def test_an_address_that_is_not_ours(backend: TestedBackend, host: str, words: str) -> None:
    script = Script(Listen(1, host, 0))
    async with running(backend.driver(), script):
        await script.until(Failed(1, words))


@pytest.mark.parametrize("turn", range(6))
async def test_closing_while_failing(backend: TestedBackend, turn: int) -> None:
    with Door() as door:
        script = Script(Listen(1, "127.0.0.1", door.port))
        async with running(backend.driver(), script):
            await turns(turn)
            script.ask(Close(1))
            said = list(script.seen)
            await turns()
            assert script.seen == said
    assert script.seen in ([], [Failed(1, "address already in use")])


async def test_a_name_with_two_addresses_one_of_which_is_not_ours(
    backend: TestedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is both or none."""
    monkeypatch.setattr(socket, "getaddrinfo", addresses("127.0.0.1", "192.0.2.1"))
    script = Script(Listen(1, "pbx.example", 0))
    async with running(backend.driver(), script):
        await script.until(Failed(1, "address not available"))


async def test_a_name_with_two_addresses(backend: TestedBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    with Door("127.0.0.2") as door:
        port = door.port
    monkeypatch.setattr(socket, "getaddrinfo", addresses("127.0.0.1", "127.0.0.2"))
    script = Script(Listen(1, "pbx.example", port))
    async with running(backend.driver(), script):
        await script.until(Listening(1, port))
        with Peer.to(port), Peer.to(port, "127.0.0.2"):
            await script.until(Accepted(1, 1000, HERE), Accepted(1, 1001, HERE))


@pytest.mark.parametrize("turn", range(8))
async def test_closing_while_opening(backend: TestedBackend, turn: int) -> None:
    """At every turn that listening takes: what was said before stands, nothing comes after, and nothing is left."""
    script = Script()
    async with running(backend.driver(), script):
        script.ask(Listen(1, "127.0.0.1", 0))
        await turns(turn)
        script.ask(Close(1))
        said = list(script.seen)
        await turns()
        assert script.seen == said
        for event in said:
            assert isinstance(event, Listening)
            with pytest.raises(ConnectionRefusedError):
                Peer.to(event.port)


@pytest.mark.parametrize("turn", range(8))
async def test_closing_while_somebody_connects(
    backend: TestedBackend, turn: int, linger: Callable[[float], None]
) -> None:
    """Whoever is not accepted by then never is, and finds a connection that ends."""
    linger(0.02)
    script = Script()
    async with running(backend.driver(), script):
        port = await listen(script)
        with Peer.to(port) as peer:
            await turns(turn)
            script.ask(Close(1))
            accepted = Accepted(1, 1000, HERE) in script.seen
            await turns()
            assert (Accepted(1, 1000, HERE) in script.seen) == accepted
            if not accepted:
                await peer.ended()


@pytest.mark.parametrize("turn", range(8))
async def test_finishing_while_somebody_connects(
    backend: TestedBackend, turn: int, linger: Callable[[float], None]
) -> None:
    linger(0.02)
    script = Script()
    async with running(backend.driver(), script):
        port = await listen(script)
        with Peer.to(port) as peer:
            await turns(turn)
            script.ask(Finish())
            await peer.ended()
            await script.until_finished()


async def test_without_descriptors_it_is_tried_again(backend: TestedBackend, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody connects while this process has no file descriptor left. That is logged, and they are not forgotten."""
    script = Script()
    async with running(backend.driver(), script):
        port = await listen(script)
        with Peer.to(port):
            limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
            try:
                while not caplog.records:
                    await turns(1)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            assert script.seen == [Listening(1, port)]
            await script.until(Accepted(1, 1000, HERE))
    assert {record.levelname for record in caplog.records} == {"ERROR"}


@pytest.mark.filterwarnings("ignore:unclosed transport")  # asyncio's own, half made, and its socket is closed
async def test_who_has_gone_already_ends_nothing(backend: TestedBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Setting the options of such a socket fails on macOS. trio does without them, and is told of the end."""

    def setsockopt(sock: socket.socket, level: int, option: int, value: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    script = Script()
    async with running(backend.driver(), script):
        port = await listen(script)
        with Peer.to(port) as gone:
            gone.end()
            with monkeypatch.context() as patched:
                patched.setattr(socket.socket, "setsockopt", setsockopt)
                await turns()
            with Peer.to(port) as late:
                await late.send(b"hello")
                await script.until_so(lambda: b"hello" in [e.data for e in script.seen if isinstance(e, Received)])


async def test_one_machine_is_both_ends(backend: TestedBackend) -> None:
    script = Script()
    async with running(backend.driver(), script):
        port = await listen(script)
        script.ask(Connect(2, "127.0.0.1", port))
        await script.until(Connected(2), Accepted(1, 1000, HERE))
        script.ask(Send(2, b"to myself"), Close(2))
        await script.until(Received(1000, b"to myself"), EndOfStream(1000))


@pytest.mark.parametrize(("host", "peer"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1")])
async def test_who_has_come_is_told(backend: TestedBackend, host: str, peer: str) -> None:
    """By its address, so that a machine may turn it away."""
    script = Script(Listen(1, host, 0))
    async with running(backend.driver(), script):
        await script.until_so(lambda: bool(script.seen))
        (listening,) = script.seen
        assert isinstance(listening, Listening)
        with Peer.to(listening.port, host):
            await script.until(Accepted(1, 1000, peer))
