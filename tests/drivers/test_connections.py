"""Connecting, sending and receiving, over real sockets of this machine.

Nothing here waits for time to pass. What must *not* be reported is looked for after the loop has had many turns, each
of which would have shown it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

import anyio.lowlevel
import pytest

from voxtra_core import driving
from voxtra_core.effects import (
    Close,
    Connect,
    Connected,
    Drained,
    Effect,
    EndOfStream,
    Failed,
    Finish,
    Input,
    Received,
    Send,
    StartTask,
    TaskDone,
)

from .loops import Measured, TestedBackend, measured
from .peers import Door, Peer, addresses, closed_port
from .script import PATIENCE, Script, in_small_turns, running, turns

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

PLENTY = bytes(range(256)) * 65536
"""16 MiB: more than the system takes for a peer that doesn't read."""


async def connect(script: Script, door: Door, conn: int = 1) -> Peer:
    """Have the machine connect to a door, and return the peer behind it."""
    script.ask(Connect(conn, door.host, door.port))
    peer = await door.accept()
    await script.until(Connected(conn))
    return peer


def received(script: Script, conn: int = 1) -> bytes:
    return b"".join(event.data for event in script.seen if isinstance(event, Received) and event.conn == conn)


# ---- connecting ------------------------------------------------------------------------------------------------------


async def test_bytes_go_both_ways(backend: TestedBackend) -> None:
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            with await connect(script, door) as peer:
                script.ask(Send(1, b"hello"))
                assert await peer.exactly(5) == b"hello"
                await peer.send(b"good ")
                await peer.send(b"morning")
                await script.until_so(lambda: received(script) == b"good morning")
    assert script.seen[:2] == [Connected(1), Drained(1)]


async def test_a_refused_connection_fails(backend: TestedBackend) -> None:
    script = Script(Connect(1, "127.0.0.1", closed_port()))
    async with running(backend.driver(), script):
        await script.until(Failed(1, "connection refused"))
        await turns()
    assert script.seen == [Failed(1, "connection refused")]


async def test_it_fails_with_the_same_words_at_a_name_with_two_addresses(
    backend: TestedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", addresses("::1", "127.0.0.1"))
    script = Script(Connect(1, "pbx.example", closed_port()))
    async with running(backend.driver(), script):
        await script.until(Failed(1, "connection refused"))


async def test_the_second_address_is_tried_when_the_first_refuses(
    backend: TestedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Door() as door:
        monkeypatch.setattr(socket, "getaddrinfo", addresses("127.0.0.2", "127.0.0.1"))
        script = Script(Connect(1, "pbx.example", door.port))
        async with running(backend.driver(), script):
            with await door.accept():
                await script.until(Connected(1))


async def test_an_address_that_does_not_answer_is_not_waited_for(
    backend: TestedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one is tried after a quarter of a second: RFC 8305, section 5."""
    with Door("127.0.0.2", backlog=0) as silent, Peer.to(silent.port, silent.host), Door(port=silent.port) as door:
        monkeypatch.setattr(socket, "getaddrinfo", addresses("127.0.0.2", "127.0.0.1"))
        driver = backend.driver()
        start = driver.time()
        script = Script(Connect(1, "pbx.example", door.port))
        async with running(driver, script):
            with await door.accept():
                await script.until(Connected(1))
                assert 0.25 <= driver.time() - start < 1.0


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (socket.EAI_NONAME, "Name or service not known"),
        (socket.EAI_AGAIN, "Temporary failure in name resolution"),
    ],
)
async def test_a_name_that_does_not_resolve_fails(
    backend: TestedBackend, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def getaddrinfo(*args: object, **kwargs: object) -> list[object]:
        raise socket.gaierror(number, words)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    script = Script(Connect(1, "pbx.invalid", 8088))
    async with running(backend.driver(), script):
        await script.until(Failed(1, words))


@pytest.mark.parametrize("host", ["pbx..example", "x" * 64])
async def test_what_is_no_host_name_fails(backend: TestedBackend, host: str) -> None:
    script = Script(Connect(1, host, 8088))
    async with running(backend.driver(), script):
        await script.until(Failed(1, "not a host name"))


# ---- sending ---------------------------------------------------------------------------------------------------------


async def test_sends_arrive_in_their_order(backend: TestedBackend) -> None:
    script = Script()
    pieces = [bytes([number % 256]) * (number * 37 % 5000) for number in range(500)]
    with Door() as door:
        async with running(backend.driver(), script):
            with await connect(script, door) as peer:
                for start in range(0, 500, 50):
                    script.ask(*(Send(1, piece) for piece in pieces[start : start + 50]))
                whole = b"".join(pieces)
                assert await peer.exactly(len(whole)) == whole


async def test_much_arrives_whole(backend: TestedBackend) -> None:
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            with await connect(script, door) as peer:
                script.ask(Send(1, PLENTY))
                assert await peer.exactly(len(PLENTY)) == PLENTY
                await script.until(Drained(1))


async def test_drained_says_that_everything_sent_has_left(backend: TestedBackend) -> None:
    """Also where a part that fits is followed, in the same step, by one that doesn't: the first alone is no news."""
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            with await connect(script, door) as peer:
                script.ask(Send(1, b"a little"), Send(1, PLENTY))
                await turns()
                assert Drained(1) not in script.seen
                await peer.exactly(8 + len(PLENTY))
                await script.until(Drained(1))
                script.ask(Send(1, b"more"))
                await script.until_so(lambda: script.seen.count(Drained(1)) == 2)
                await turns()
                assert script.seen == [Connected(1), Drained(1), Drained(1)]


async def test_several_sends_in_one_step_drain_once(backend: TestedBackend) -> None:
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            with await connect(script, door):
                script.ask(Send(1, b"one"), Send(1, b""), Send(1, b"two"))
                await script.until(Drained(1))
                await turns()
                assert script.seen == [Connected(1), Drained(1)]
                script.ask(Send(1, b""))
                await script.until_so(lambda: script.seen.count(Drained(1)) == 2)


async def test_what_is_sent_on_no_open_connection_is_nothing(backend: TestedBackend) -> None:
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            script.ask(Send(1, b"too early"), Connect(1, "127.0.0.1", door.port), Send(1, b"still too early"))
            with await door.accept() as peer:
                await script.until(Connected(1))
                script.ask(Send(1, b"in time"), Close(1), Send(1, b"too late"))
                assert await peer.to_the_end() == b"in time"
    assert Drained(1) not in script.seen


async def test_a_reply_is_sent_from_within_a_step(backend: TestedBackend) -> None:
    script = Script()

    def echo(event: Input) -> None:
        if isinstance(event, Received):
            script.ask(Send(event.conn, event.data))

    script.on_input = echo
    with Door() as door:
        async with running(backend.driver(), script):
            with await connect(script, door) as peer:
                await peer.send(b"echo")
                assert await peer.exactly(4) == b"echo"


# ---- as audio is sent ------------------------------------------------------------------------------------------------


async def test_who_does_not_ask_is_not_told_that_it_has_drained(backend: TestedBackend) -> None:
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            with await connect(script, door) as peer:
                for _ in range(50):
                    script.ask(Send(1, b"frame", tell_drained=False))
                    await turns(2)
                assert await peer.exactly(250) == b"frame" * 50
                await turns()
                assert script.seen == [Connected(1)]
                script.ask(Send(1, b"and the last"), Send(1, b"but one", tell_drained=False))
                await script.until(Drained(1))
                await turns()
                assert script.seen == [Connected(1), Drained(1)]
                assert await peer.exactly(19) == b"and the lastbut one"


async def test_who_has_asked_is_told_when_what_followed_unasked_has_left_too(backend: TestedBackend) -> None:
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            with await connect(script, door) as peer:
                script.ask(Send(1, PLENTY, tell_drained=False), Send(1, b"x"), Send(1, PLENTY, tell_drained=False))
                await turns()
                assert Drained(1) not in script.seen
                await peer.exactly(2 * len(PLENTY) + 1)
                await script.until(Drained(1))
                await turns()
                assert script.seen == [Connected(1), Drained(1)]


async def test_what_is_sent_at_once_never_overtakes_what_waits(backend: TestedBackend) -> None:
    """In small pieces, to a peer that reads now and then: some are sent at once, and some wait for room."""
    script = Script()
    pieces = [bytes([number % 256]) * 40_000 for number in range(400)]
    whole = b"".join(pieces)
    with Door() as door:
        async with running(backend.driver(), script):
            with await connect(script, door) as peer:
                got = bytearray()
                for number, piece in enumerate(pieces):
                    script.ask(Send(1, piece, tell_drained=number % 7 == 0))
                    if number % 5 == 0:
                        await turns(1)
                    if number % 50 == 49:
                        got += await peer.exactly(1_000_000)
                got += await peer.exactly(len(whole) - len(got))
                assert bytes(got) == whole


async def test_a_reset_is_one_failure_also_for_who_sends_at_once(backend: TestedBackend) -> None:
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            (await connect(script, door)).reset()
            while not isinstance(script.seen[-1], Failed):
                script.ask(*[Send(1, b"frame", tell_drained=False)] * 10)
                await turns(1)
            script.ask(Send(1, b"frame", tell_drained=False), Close(1))
            await turns()
    assert script.seen == [Connected(1), Failed(1, "connection reset by the peer")]


# ---- the peer ends or breaks it --------------------------------------------------------------------------------------


async def test_after_the_peers_end_we_can_still_send(backend: TestedBackend) -> None:
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            with await connect(script, door) as peer:
                await peer.send(b"that was all")
                peer.end()
                await script.until(EndOfStream(1))
                assert received(script) == b"that was all"
                script.ask(Send(1, b"our turn"))
                assert await peer.exactly(8) == b"our turn"
                script.ask(Send(1, PLENTY), Close(1))
                assert await peer.to_the_end() == PLENTY
    assert script.seen.count(EndOfStream(1)) == 1


@pytest.mark.parametrize(
    ("how", "end"), [("end", EndOfStream(1)), ("reset", Failed(1, "connection reset by the peer"))]
)
async def test_what_came_before_the_end_keeps_its_turns(
    backend: TestedBackend, how: str, end: Input, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Little of it fits into a turn of the loop, and the end waits for all of it."""
    monkeypatch.setattr(driving, "SLICE", 256)
    data = bytes(range(256)) * 128
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script), in_small_turns(script, 3 * 256):
            with await connect(script, door) as peer:
                await peer.send(data)
                await script.until_so(lambda: bool(received(script)))
                assert len(received(script)) < len(data)
                getattr(peer, how)()
                await script.until(end)
            await turns()
    assert received(script) == data
    assert script.seen[-1] == end


async def test_closing_forgets_what_is_read_ahead(backend: TestedBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the end that waits behind it."""
    monkeypatch.setattr(driving, "SLICE", 256)
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            with await connect(script, door) as peer:
                await peer.send(bytes(32768))
                peer.end()
                await script.until_so(lambda: bool(received(script)))
                await turns(5)
                script.ask(Close(1))
                seen = len(script.seen)
                assert await peer.to_the_end() == b""
            await turns()
    assert len(script.seen) == seen
    assert EndOfStream(1) not in script.seen


@pytest.fixture
def reading_ahead(monkeypatch: pytest.MonkeyPatch) -> Measured:
    """Little is read ahead, and the machine takes it in small steps."""
    monkeypatch.setattr(driving, "SLICE", 4096)
    return measured(monkeypatch, read_ahead=16384)


async def test_what_is_read_ahead_is_bounded(backend: TestedBackend, reading_ahead: Measured) -> None:
    """Once so much waits the socket is left alone, until the machine has taken some of it."""
    data = PLENTY[: 1 << 22]
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            with await connect(script, door) as peer:
                await peer.send(data)
                peer.end()
                await script.until(EndOfStream(1))
    assert received(script) == data
    assert 16384 <= reading_ahead.peak <= 16384 + driving.READ


async def test_closing_what_is_not_read_for_now(
    backend: TestedBackend, linger: Callable[[float], None], reading_ahead: Measured
) -> None:
    """From then on it is, for else the peer's end would not be seen."""
    linger(2 * PATIENCE)
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            with await connect(script, door) as peer:
                await peer.send(PLENTY[: 1 << 22])
                await script.until_so(lambda: reading_ahead.peak >= 16384)
                script.ask(Close(1))
                assert await peer.to_the_end() == b""


async def test_a_reset_is_a_failure(backend: TestedBackend) -> None:
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            (await connect(script, door)).reset()
            await script.until(Failed(1, "connection reset by the peer"))
            script.ask(Send(1, b"is there anybody?"), Close(1))
            await turns()
    assert script.seen == [Connected(1), Failed(1, "connection reset by the peer")]


async def test_a_reset_while_we_write_is_one_failure_and_the_same(backend: TestedBackend) -> None:
    """Reader and writer both notice; whoever is first, there is one report, in the same words."""
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            for conn in range(1, 11):
                peer = await connect(script, door, conn)
                script.ask(Send(conn, PLENTY))
                await turns(2)
                peer.reset()
                await script.until(Failed(conn, "connection reset by the peer"))
            await turns()
    assert script.seen == [
        event for conn in range(1, 11) for event in (Connected(conn), Failed(conn, "connection reset by the peer"))
    ]


async def test_a_peer_that_has_gone_is_noticed_when_we_send(backend: TestedBackend) -> None:
    """It ended in good order, and answers what we still send with a reset: the second send at the latest finds out."""
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            (await connect(script, door)).close()
            await script.until(EndOfStream(1))
            while not isinstance(script.seen[-1], Failed):
                script.ask(*[Send(1, b"hello?")] * 10)
                await turns(1)
            await turns()
    assert script.seen[-1] == Failed(1, "connection reset by the peer")
    assert sum(isinstance(event, Failed) for event in script.seen) == 1


async def test_a_peer_that_stops_reading_stops_only_itself(
    backend: TestedBackend, linger: Callable[[float], None]
) -> None:
    linger(0.05)
    script = Script()
    ran = []

    async def task() -> None:
        await anyio.lowlevel.checkpoint()
        ran.append("task")

    def on_timeout(now: float) -> None:
        if script.deadline is not None and now >= script.deadline:
            script.deadline = None
            ran.append("timer")

    script.on_timeout = on_timeout
    driver = backend.driver()
    with Door() as door:
        async with running(driver, script):
            with await connect(script, door, 1), await connect(script, door, 2) as other:
                script.ask(Send(1, PLENTY))
                await turns()
                script.ask(Send(1, PLENTY), Send(2, b"you"))
                assert await other.exactly(3) == b"you"
                await other.send(b"me")
                await script.until(Drained(2), Received(2, b"me"))
                script.deadline = driver.time() + 0.001
                script.ask(StartTask(1, "a task", task))
                await script.until(TaskDone(1))
                await script.until_so(lambda: "timer" in ran)
                assert Drained(1) not in script.seen
    assert sorted(ran) == ["task", "timer"]


# ---- closing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"goodbye", PLENTY], ids=["nothing", "little", "much"])
async def test_closing_writes_what_was_sent_and_then_ends(backend: TestedBackend, data: bytes) -> None:
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            with await connect(script, door) as peer:
                script.ask(Send(1, data), Close(1))
                assert await peer.to_the_end() == data
    assert script.seen == [Connected(1)]


async def test_closing_while_the_rest_is_being_written(backend: TestedBackend) -> None:
    """The writer has taken all of it in hand already: what it holds is not to be lost."""
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            with await connect(script, door) as peer:
                script.ask(Send(1, PLENTY))
                await turns()
                script.ask(Close(1))
                await turns()
                assert await peer.to_the_end() == PLENTY
    assert script.seen == [Connected(1)]


async def test_closing_ends_in_good_order_also_when_the_peer_goes_on_sending(backend: TestedBackend) -> None:
    """Closing a socket that has unread bytes resets it, and the peer may lose what it has not read yet."""
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            with await connect(script, door) as peer:
                await peer.send(b"x" * 100_000)
                script.ask(Send(1, b"goodbye"), Close(1))
                await turns()
                await peer.send(b"x" * 100_000)
                assert await peer.to_the_end() == b"goodbye"
                await peer.send(b"x" * 100_000)
    assert all(isinstance(event, Connected | Received) for event in script.seen)


@pytest.mark.parametrize("how", ["end", "reset", "close"])
async def test_nothing_is_reported_after_closing(
    backend: TestedBackend, how: str, linger: Callable[[float], None]
) -> None:
    linger(0.05)
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            with await connect(script, door) as peer:
                script.ask(Send(1, PLENTY), Close(1), Close(1))
                await peer.send(b"not any more")
                await turns()
                getattr(peer, how)()
                await turns()
    assert script.seen == [Connected(1)]


async def test_closing_what_has_just_been_reset(backend: TestedBackend) -> None:
    """The reset has come, and the loop has not looked yet."""
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            peer = await connect(script, door)
            peer.reset()
            script.ask(Close(1))
            await turns()
    assert script.seen == [Connected(1)]


async def test_closing_from_within_the_step_that_says_it_is_open(backend: TestedBackend) -> None:
    script = Script()
    script.on_input = lambda event: script.ask(Send(1, PLENTY), Close(1)) if event == Connected(1) else None
    with Door() as door:
        async with running(backend.driver(), script):
            script.ask(Connect(1, door.host, door.port))
            with await door.accept() as peer:
                assert await peer.to_the_end() == PLENTY
    assert script.seen == [Connected(1)]


async def test_closing_gives_up_on_a_peer_that_does_not_read(
    backend: TestedBackend, linger: Callable[[float], None]
) -> None:
    """The peer, which reads late, finds what the system had taken, and then an end, or a reset; all of it it isn't."""
    linger(0.05)
    script = Script()
    with Door() as door:
        driver = backend.driver()
        async with running(driver, script):
            with await connect(script, door) as peer:
                start = driver.time()
                script.ask(Send(1, PLENTY), Close(1), Finish())
                await script.until_finished()
                assert 0.05 <= driver.time() - start < 1.0
                assert len(await peer.to_the_end()) < len(PLENTY)
    assert script.seen == [Connected(1)]


@pytest.mark.soak  # in real time
async def test_the_peers_end_is_awaited_for_a_second(backend: TestedBackend) -> None:
    """The one test of the real bound, and so the one that takes a second."""
    script = Script()
    with Door() as door:
        driver = backend.driver()
        async with running(driver, script):
            with await connect(script, door):
                start = driver.time()
                script.ask(Close(1), Finish())
                await script.until_finished()
                assert 1.0 <= driver.time() - start < 1.5


@pytest.mark.parametrize("turn", range(12))
async def test_closing_while_connecting(backend: TestedBackend, turn: int, linger: Callable[[float], None]) -> None:
    """Withdrawn at every turn that connecting takes: it is open before, or never."""
    linger(0.01)
    script = Script()
    with Door() as door:
        async with running(backend.driver(), script):
            script.ask(Connect(1, door.host, door.port))
            await turns(turn)
            script.ask(Close(1))
            closed_at = len(script.seen)
            await turns()
            assert len(script.seen) == closed_at
    assert script.seen in ([], [Connected(1)])


async def test_closing_what_never_gets_through(backend: TestedBackend) -> None:
    """A listener whose queue is full does not answer."""
    script = Script()
    with Door(backlog=0) as door, Peer.to(door.port):
        async with running(backend.driver(), script):
            script.ask(Connect(1, door.host, door.port))
            await turns()
            script.ask(Close(1))
            await turns()
    assert script.seen == []


async def test_closing_what_is_not_there_is_no_error(backend: TestedBackend) -> None:
    script = Script(Close(77))
    async with running(backend.driver(), script):
        await turns()
    assert script.seen == []


async def test_effects_are_performed_in_their_order(backend: TestedBackend) -> None:
    """A number may be closed, and its successor opened, within one step."""
    script = Script()
    with Door() as door, Door() as other:
        async with running(backend.driver(), script):
            with await connect(script, door) as first:
                effects: list[Effect] = [Send(1, b"1"), Send(1, b"2"), Close(1), Connect(2, other.host, other.port)]
                script.ask(*effects)
                with await other.accept():
                    await script.until(Connected(2))
                assert await first.to_the_end() == b"12"
