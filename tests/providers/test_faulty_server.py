"""The chat model over real sockets, with a server that does whatever servers do."""

from __future__ import annotations

import gc
import json
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.certificates import contexts
from tests.drivers.loops import NativeTask
from tests.drivers.peers import Peer, closed_port
from voxtra_core.agent import WebRequest
from voxtra_core.agent.providers import Message, ModelItem
from voxtra_core.app import BaseApp
from voxtra_core.app import web as app_web
from voxtra_core.effects import TLS
from voxtra_core.errors import ProviderFailed
from voxtra_core.providers import chat
from voxtra_core.providers.chat import OpenAIChat

from .faulty import Answer, FaultyServer, World, served, streamed
from .worlds import KEY, delta, sse

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

PATIENCE = 10.0
MESSAGES: list[Message] = [{"role": "user", "content": "hello"}]
WORDS = ["One", ", two", ", three."]
GOOD = streamed(sse(*map(delta, WORDS), delta(finish="stop")))
SILENCE = 0.05
"""Seconds of it that are too long, where that is what is tested."""


def refused(status: int, message: str, *fields: str) -> bytes:
    body = json.dumps({"error": {"message": message}})
    lines = [f"HTTP/1.1 {status} No", "Content-Type: application/json", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join([*lines, "", body]).encode()


def model_of(server: FaultyServer, world: World, **options: Any) -> OpenAIChat:
    return OpenAIChat("gpt-x", base_url=server.url, api_key=KEY, **options).attach(world)


async def said(model: OpenAIChat) -> list[ModelItem]:
    with anyio.fail_after(PATIENCE):
        return [item async for item in model(MESSAGES, ())]


async def until_idle(world: World) -> None:
    with anyio.fail_after(PATIENCE):
        while world.port.connections > world.port.idle:  # noqa: ASYNC110 - nobody announces it
            await anyio.sleep(0.001)


async def test_a_good_stream(app_class: type[BaseApp]) -> None:
    server = FaultyServer(GOOD)
    async with served(app_class, server) as world:
        model = model_of(server, world)
        for _ in range(3):
            assert "".join(map(str, await said(model))) == "".join(WORDS)
            await until_idle(world)
    assert server.connections == 1
    assert all(request.endswith(b'"stream":true}') for request in server.requests)


async def test_it_is_handed_out_while_it_comes(app_class: type[BaseApp]) -> None:
    heard = [anyio.Event() for _ in WORDS]

    async def speak(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for word, event in zip(WORDS, heard, strict=True):
            await peer.send(sse(delta(word), done=False))
            await event.wait()  # it says nothing more before this was heard
        await peer.send(sse())
        peer.close()

    server = FaultyServer(speak)
    async with served(app_class, server) as world:
        model = model_of(server, world)
        with anyio.fail_after(PATIENCE):
            events = iter(heard)
            items = []
            async for item in model(MESSAGES, ()):
                items.append(item)
                next(events).set()
    assert items == WORDS


async def test_it_breaks_off_at_each_byte(app_class: type[BaseApp]) -> None:
    """Nothing hangs, nothing is said twice, and only what was complete is taken for an answer."""
    complete = GOOD.index(b'"stop"}]}\n\n') + len(b'"stop"}]}\n\n')
    size = 0

    async def break_off(peer: Peer) -> None:
        await peer.send(GOOD[:size])
        peer.close()

    server = FaultyServer(break_off)
    async with served(app_class, server) as world:
        model = model_of(server, world, retries=0)
        for size in range(len(GOOD)):
            heard = []
            error = None
            try:
                with anyio.fail_after(PATIENCE):
                    async for item in model(MESSAGES, ()):
                        heard.append(item)  # noqa: PERF401 - what came before the error counts
            except ProviderFailed as exc:
                error = exc
            assert "".join(WORDS).startswith("".join(map(str, heard)))
            assert (error is None) == (size >= complete), size
            assert error is None or (error.part == "llm" and KEY not in str(error))
    assert world.port.connections == 0


@pytest.mark.parametrize(
    ("answers", "slept"),
    [
        ([refused(429, "slow down", "Retry-After: 3"), GOOD], [3.0]),
        (
            [
                refused(429, "x", "Date: Sun, 06 Nov 1994 08:49:37 GMT", "Retry-After: Sun, 06 Nov 1994 08:49:39 GMT"),
                GOOD,
            ],
            [2.0],
        ),
        ([refused(500, "oops"), GOOD], [0.25]),
        ([refused(503, "oops", "Connection: close"), refused(502, "oops"), GOOD], [0.25, 0.5]),
        ([lambda peer: _closed(peer, b""), GOOD], [0.25]),
        ([lambda peer: _closed(peer, GOOD[:30]), GOOD], [0.25]),
        ([lambda peer: _reset(peer), GOOD], [0.25]),
    ],
)
async def test_it_is_asked_again(app_class: type[BaseApp], answers: list[Answer], slept: list[float]) -> None:
    server = FaultyServer(*answers)
    async with served(app_class, server) as world:
        assert "".join(map(str, await said(model_of(server, world)))) == "".join(WORDS)
        assert world.slept == slept


async def _closed(peer: Peer, data: bytes) -> None:
    await peer.send(data)
    peer.close()


async def _reset(peer: Peer) -> None:
    peer.reset()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (refused(401, f"Incorrect API key provided: {KEY}"), r"answers 401: Incorrect API key provided: \*\*\* – give"),
        (refused(404, "no such model"), "answers 404: no such model"),
        (streamed(b"data: {]\n\n"), "no JSON object: {]"),
        (streamed(b"data: " + b"x" * 2_000_000), "a line of more than"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 2_000_000, "cannot be understood"),
        (b"SSH-2.0-OpenSSH\r\n", "cannot be understood: not HTTP/1.1"),
    ],
)
async def test_it_makes_no_sense(app_class: type[BaseApp], answer: bytes, words: str) -> None:
    server = FaultyServer(answer)
    async with served(app_class, server) as world:
        model = model_of(server, world, retries=0)
        with pytest.raises(ProviderFailed, match=words) as caught:
            await said(model)
        assert KEY not in str(caught.value)
        assert caught.value.part == "llm"


async def test_nobody_is_there(app_class: type[BaseApp]) -> None:
    server = FaultyServer(GOOD)
    async with served(app_class, server) as world:
        model = OpenAIChat("gpt-x", base_url=f"http://127.0.0.1:{closed_port()}", retries=1).attach(world)
        with pytest.raises(ProviderFailed, match=r"llm: no connection to 127\.0\.0\.1:.*: connection refused – does"):
            await said(model)
        assert world.slept == [0.25]


async def test_it_drips(app_class: type[BaseApp]) -> None:
    async def drip(peer: Peer) -> None:
        for place in range(len(GOOD)):
            await peer.send(GOOD[place : place + 1])
            await anyio.lowlevel.checkpoint()

    server = FaultyServer(drip)
    async with served(app_class, server) as world:
        assert await said(model_of(server, world, idle_timeout=PATIENCE)) == WORDS


@pytest.mark.parametrize("size", [0, 20, len(GOOD) - 100])
async def test_it_falls_silent(app_class: type[BaseApp], size: int) -> None:
    async def fall_silent(peer: Peer) -> None:
        await peer.send(GOOD[:size])
        await peer.ended()

    server = FaultyServer(fall_silent)
    async with served(app_class, server) as world:
        model = model_of(server, world, idle_timeout=SILENCE, retries=0)
        with pytest.raises(ProviderFailed, match=r"nothing came from 127\.0\.0\.1:.* for 0\.05 s"):
            await said(model)
        assert world.port.connections == 0


@pytest.mark.parametrize("noise", [b"", b": ping\n\n"])
async def test_it_never_ends_an_answer_that_is_complete(
    app_class: type[BaseApp], noise: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has said why it ended; ``[DONE]`` never comes."""
    monkeypatch.setattr(chat, "END_WAIT", SILENCE)

    async def hold(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        await peer.send(sse(*map(delta, WORDS), delta(finish="stop"), done=False))
        while noise:
            await peer.send(noise)
            await anyio.sleep(SILENCE / 10)
        await peer.ended()

    server = FaultyServer(hold)
    async with served(app_class, server) as world:
        assert await said(model_of(server, world, idle_timeout=2 * PATIENCE)) == WORDS
        assert world.port.connections == 0


async def test_it_closes_connections_that_were_to_be_kept(app_class: type[BaseApp]) -> None:
    closed = [anyio.Event() for _ in range(5)]
    events = iter(closed)

    async def close(peer: Peer) -> None:
        await _closed(peer, GOOD)
        next(events).set()

    server = FaultyServer(close)
    async with served(app_class, server) as world:
        model = model_of(server, world, retries=0)
        for event in closed:
            assert "".join(map(str, await said(model))) == "".join(WORDS)
            await event.wait()
        assert world.slept == []
    assert server.connections == 5


async def test_it_has_no_time_for_a_request_on_a_kept_connection(app_class: type[BaseApp]) -> None:
    server = FaultyServer(GOOD, lambda peer: _closed(peer, b""), GOOD)
    async with served(app_class, server) as world:
        model = model_of(server, world, retries=0)
        await said(model)
        await until_idle(world)
        assert "".join(map(str, await said(model))) == "".join(WORDS)
    assert (server.connections, len(server.requests)) == (2, 3)


async def test_who_is_cancelled_in_mid_stream_tells_the_server_to_stop(app_class: type[BaseApp]) -> None:
    stopped = anyio.Event()

    async def go_on(peer: Peer) -> None:
        await peer.send(GOOD[:-100])
        await peer.ended()
        stopped.set()

    server = FaultyServer(go_on)
    async with served(app_class, server) as world:
        model = model_of(server, world)
        heard = anyio.Event()

        async def listen() -> None:
            async for _ in model(MESSAGES, ()):
                heard.set()

        listening = NativeTask(listen)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listening)
            with anyio.fail_after(PATIENCE):
                await heard.wait()
                listening.cancel()
                await stopped.wait()
        assert listening.cancelled
        assert world.port.connections == 0


async def test_who_is_cancelled_before_the_reply_does_so_too(app_class: type[BaseApp]) -> None:
    asked, stopped = anyio.Event(), anyio.Event()

    async def wait(peer: Peer) -> None:
        asked.set()
        await peer.ended()
        stopped.set()

    server = FaultyServer(wait)
    async with served(app_class, server) as world:
        model = model_of(server, world)
        asking = NativeTask(lambda: said(model))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(asking)
            with anyio.fail_after(PATIENCE):
                await asked.wait()
                asking.cancel()
                await stopped.wait()
        assert world.port.connections == 0


async def test_a_reply_that_is_dropped_is_given_up(app_class: type[BaseApp]) -> None:
    dropped = anyio.Event()

    async def go_on(peer: Peer) -> None:
        await peer.send(GOOD[:-100])
        await dropped.wait()
        await peer.send(b"more")
        await peer.ended()

    server = FaultyServer(go_on)
    async with served(app_class, server) as world:
        reply = await world.web.fetch(WebRequest("GET", server.url))
        assert reply.status == 200
        del reply
        gc.collect()
        dropped.set()
        await until_idle(world)
        assert world.port.connections == 0


async def test_who_reads_too_late_loses_the_reply(app_class: type[BaseApp], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_web, "MAX_UNREAD", 100)
    server = FaultyServer(streamed(bytes(10_000)))
    async with served(app_class, server) as world:
        reply = await world.web.fetch(WebRequest("GET", server.url))
        await until_idle(world)
        with pytest.raises(ProviderFailed, match="more than 100 bytes of the reply wait"):
            [piece async for piece in reply]
        assert world.port.connections == 0


async def test_many_at_a_time(app_class: type[BaseApp]) -> None:
    server = FaultyServer(GOOD)
    async with served(app_class, server) as world:
        model = model_of(server, world)
        answers: list[str] = []

        async def ask() -> None:
            answers.append("".join(map(str, await said(model))))

        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(ask)
        assert answers == ["".join(WORDS)] * 50
        await until_idle(world)
        assert world.port.idle <= 20


# ---- TLS -------------------------------------------------------------------------------------------------------------


async def test_a_good_stream_over_tls(app_class: type[BaseApp]) -> None:
    server = FaultyServer(GOOD, tls=contexts.server())
    async with served(app_class, server, TLS(contexts.client())) as world:
        model = model_of(server, world)
        for _ in range(3):
            assert "".join(map(str, await said(model))) == "".join(WORDS)
            await until_idle(world)
    assert server.connections == 1


@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        ("self-signed", "no connection to .*: self.signed certificate.* – if its certificate should be trusted"),
        ("expired", "no connection to .*: certificate has expired – the server's certificate has to be renewed"),
        ("other", "no connection to .*: IP address mismatch.* – the certificate is for another name"),
    ],
)
async def test_a_certificate_that_is_not_to_be_trusted(app_class: type[BaseApp], certificate: str, words: str) -> None:
    server = FaultyServer(GOOD, tls=contexts.server(certificate))
    async with served(app_class, server, TLS(contexts.client())) as world:
        with pytest.raises(ProviderFailed, match=words):
            await said(model_of(server, world, retries=0))
    assert server.requests == []
