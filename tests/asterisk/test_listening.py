"""Asterisk connects to us: persistently and for each call, with sockets that break in the middle of a call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from voxtra_core import CallSession, ConnectFailed, EndedBy, OriginateFailed
from voxtra_core.app import BaseApp
from voxtra_core.app.options import DEFAULT_APP_NAME
from voxtra_core.ari import channels

from .front import Front, front
from .rig import Rig, eventually, left_in, machine_of

pytestmark = pytest.mark.anyio

PER_CALL = "Local/obpercall@stasis/n"
PERSISTENT = "Local/obpersistent@stasis/n"
WAYS = pytest.mark.parametrize("endpoint", [PER_CALL, PERSISTENT], ids=["per call", "persistent"])


def new_listening(rig: Rig, port: int, **options: Any) -> BaseApp:
    """An application that Asterisk can connect to on this port, or behind it."""
    arguments = {"ari_url": None, "ari_user": "obuser", "ari_password": "obpass", "listen": f"127.0.0.1:{port}"}
    return rig.new_app(DEFAULT_APP_NAME, **(arguments | {"requests": "http"} | options))


def port_of(app: BaseApp) -> int:
    """The port it listens on."""
    port = app.listening_port
    assert port is not None
    return port


async def connected(app: BaseApp) -> None:
    """Wait for the persistent socket."""
    await eventually(lambda: machine_of(app)._reach.default_registration)


@asynccontextmanager
async def taking_calls(rig: Rig, app: BaseApp, endpoint: str) -> AsyncIterator[None]:
    """Serve it, and the phones; calls to the endpoint come to it."""
    async with rig.serving(app, rig.far):
        if endpoint == PERSISTENT:
            await connected(app)
        yield


@asynccontextmanager
async def behind(rig: Rig, app: BaseApp, endpoint: str) -> AsyncIterator[Front]:
    """The same, with somebody in between who can break the connections."""
    async with front(rig.asterisk.ob_port) as between, rig.serving(app, rig.far):
        between.target = port_of(app)
        if endpoint == PERSISTENT:
            await connected(app)
        yield between


@WAYS
async def test_a_call(rig: Rig, endpoint: str) -> None:
    app = new_listening(rig, rig.asterisk.ob_port)
    calls: list[CallSession] = []

    @app.route(extension="obpercall")
    @app.route(extension="obpersistent")
    async def handler(call: CallSession) -> None:
        calls.append(call)
        await call.answer()
        call.metadata["digit"] = await call.listen_dtmf(5)
        await call.play_file("hello-world")
        call.metadata["name"] = (await app.request(channels.get(call.id))).name
        await call.listen_dtmf()

    async with taking_calls(rig, app, endpoint):
        phone = await rig.far.originate(endpoint)
        async with rig.recorded(phone) as prompt:
            await phone.send_dtmf("5")
            await eventually(lambda: "name" in calls[0].metadata)
        await phone.hangup()
        await eventually(lambda: calls[0].end)
    (call,) = calls
    assert call.app_name == endpoint.removeprefix("Local/").removesuffix("@stasis/n")
    assert call.metadata["digit"] == "5"
    assert 0.8 < prompt().loud_seconds < 1.5  # hello-world is 1.4 s
    assert call.channel is not None
    assert call.metadata["name"] == call.channel.name
    assert call.end is not None
    assert call.end.by is EndedBy.REMOTE


async def test_calls_side_by_side_each_on_its_own_socket(rig: Rig) -> None:
    app = new_listening(rig, rig.asterisk.ob_port)
    digits: dict[str, str | None] = {}

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        digits[call.id] = await call.listen_dtmf(5)
        await call.listen_dtmf()

    async with taking_calls(rig, app, PER_CALL):
        phones: list[CallSession] = []

        async def dial() -> None:
            phones.append(await rig.far.originate(PER_CALL))

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(dial)
        for number, phone in enumerate(phones):
            await phone.send_dtmf(str(number))
        for phone in phones:
            await phone.hangup()
    assert sorted(digits.values(), key=str) == [str(number) for number in range(10)]


@WAYS
async def test_calling_out_from_within_a_call(rig: Rig, endpoint: str) -> None:
    app = new_listening(rig, rig.asterisk.ob_port)
    outcome: list[str] = []

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        agent = await app.originate("Local/answer@far/n")
        outcome.append(f"{agent.state} {agent.direction}")
        await agent.hangup()
        outcome.append(str(agent.state))

    async with taking_calls(rig, app, endpoint):
        phone = await rig.far.originate(endpoint)
        await phone.wait_ended()
    assert outcome == ["in-progress outbound", "completed"]


@WAYS
async def test_a_socket_that_breaks_costs_no_call(rig: Rig, endpoint: str) -> None:
    app = new_listening(rig, 0)
    calls: list[CallSession] = []
    step: list[str] = []

    @app.default()
    async def handler(call: CallSession) -> None:
        calls.append(call)
        await call.answer()
        prompt = await call.start_playback("demo-congrats")  # 30 s of it
        step.append("playing")
        await prompt.wait()
        step.append("never")

    async with behind(rig, app, endpoint) as between:
        phone = await rig.far.originate(endpoint)
        await eventually(lambda: step)
        call = calls[0]
        for _ in range(3):
            before = between.accepted
            between.break_connections()
            await eventually(lambda: between.accepted > before and between.carries)  # noqa: B023 - it is awaited at once
            assert call.end is None
        await eventually(lambda: _links(app, call))
        async with rig.recorded(phone) as prompt:
            await anyio.sleep(0.5)
        assert prompt().loud_seconds > 0.2
        await phone.send_dtmf("6")
        assert await call.listen_dtmf(5) == "6"
        assert await call.get_variable("CHANNEL(state)") == "Up"
        await phone.hangup()
        await eventually(lambda: call.end)
        assert call.end is not None
        assert call.end.by is EndedBy.REMOTE
    assert step == ["playing"]
    assert len(calls) == 1
    _expect_breaks(rig)


def _links(app: BaseApp, call: CallSession) -> bool:
    registrations = machine_of(app)._reach.registrations
    return any(r.link is not None and call.id in r.stasis.calls for r in registrations)


def _expect_breaks(rig: Rig) -> None:
    """Take away what is logged about sockets that broke."""
    records = rig.caplog.get_records("call")
    for record in [record for record in records if "should it connect again" in record.getMessage()]:
        records.remove(record)


@WAYS
async def test_what_is_asked_while_there_is_no_socket_is_done_after(rig: Rig, endpoint: str) -> None:
    app = new_listening(rig, 0)
    outcome: list[object] = []
    cut, done = anyio.Event(), anyio.Event()

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        outcome.append(call)
        await cut.wait()
        await call.set_variable("ASKED", "in the gap")
        outcome.append(await call.get_variable("ASKED"))
        done.set()
        await call.listen_dtmf()

    async with behind(rig, app, endpoint) as between:
        phone = await rig.far.originate(endpoint)
        await eventually(lambda: outcome)
        call = outcome[0]
        assert isinstance(call, CallSession)
        target, between.target = between.target, None
        between.break_connections()
        await eventually(lambda: not _links(app, call))
        cut.set()
        await anyio.sleep(0.1)
        between.target = target
        with anyio.fail_after(10):
            await done.wait()
        await phone.hangup()
        await eventually(lambda: call.end)
    assert outcome[1] == "in the gap"
    _expect_breaks(rig)


async def test_a_call_that_ended_meanwhile_ends_once(rig: Rig) -> None:
    app = new_listening(rig, 0)
    calls: list[CallSession] = []
    ends: list[str] = []

    @app.default()
    async def handler(call: CallSession) -> None:
        @call.on_hangup
        async def ended() -> None:
            ends.append(call.id)

        await call.answer()
        calls.append(call)
        await call.listen_dtmf()

    async with behind(rig, app, PERSISTENT) as between:
        phones = [await rig.far.originate(PERSISTENT) for _ in range(3)]
        await eventually(lambda: len(calls) == 3)
        target, between.target = between.target, None
        between.break_connections()
        await eventually(lambda: not _links(app, calls[0]))
        await phones[1].hangup()
        await anyio.sleep(0.3)
        between.target = target
        await eventually(lambda: len(ends) == 1, within=10)
        (gone,) = (call for call in calls if call.end)
        assert ends == [gone.id]
        await phones[0].hangup()
        await phones[2].hangup()
        await eventually(lambda: len(ends) == 3)
    assert sorted(ends) == sorted(call.id for call in calls)
    _expect_breaks(rig)


@pytest.mark.parametrize("orphans", ["hangup", "adopt", "leave"])
@WAYS
async def test_calls_that_another_process_had(rig: Rig, endpoint: str, orphans: str) -> None:
    first, second = new_listening(rig, 0), new_listening(rig, 0, orphans=orphans)
    handled: list[tuple[str, CallSession]] = []

    def handler_of(name: str) -> Callable[[CallSession], Any]:
        async def handler(call: CallSession) -> None:
            await call.answer()
            handled.append((name, call))
            call.metadata["digit"] = await call.listen_dtmf()
            await call.listen_dtmf()

        return handler

    first.default()(handler_of("first"))
    second.default()(handler_of("second"))
    async with front(rig.asterisk.ob_port) as between, rig.serving(first, second, rig.far):
        between.target = port_of(first)
        if endpoint == PERSISTENT:
            await connected(first)
        phone = await rig.far.originate(endpoint)
        await eventually(lambda: handled)
        between.target = port_of(second)
        between.break_connections()
        match orphans:
            case "hangup":
                assert (await phone.wait_ended()).by is EndedBy.REMOTE
            case "adopt":
                await eventually(lambda: len(handled) == 2)
                call = handled[1][1]
                assert call.id == handled[0][1].id
                assert (call.state, call.called_number) == ("in-progress", handled[0][1].called_number)
                await phone.send_dtmf("3")
                assert call.metadata["digit"] == "3"
                await phone.hangup()
                assert (await call.wait_ended()).by is EndedBy.REMOTE
            case _:
                await anyio.sleep(2)
                assert phone.end is None
                await phone.hangup()
    lost = handled[0][1]
    assert lost.end is not None
    assert lost.end.by is EndedBy.CONNECTION
    assert [name for name, _ in handled] == (["first", "second"] if orphans == "adopt" else ["first"])
    if orphans == "hangup":
        rig.expect_log("was in 'obper")
    _expect_breaks(rig)


async def test_wrong_credentials(rig: Rig) -> None:
    app = new_listening(rig, rig.asterisk.ob_port, ari_password="another")
    async with rig.serving(app, rig.far):
        with pytest.raises(OriginateFailed):
            await rig.far.originate(PER_CALL)
    rig.expect_log("wrong user or password")


async def test_a_port_that_is_taken(rig: Rig) -> None:
    async with front(rig.asterisk.ob_port, None):
        app = new_listening(rig, rig.asterisk.ob_port)
        with pytest.raises(ConnectFailed, match="address already in use"):
            await app.serve()


@WAYS
async def test_stopping(rig: Rig, endpoint: str) -> None:
    app = new_listening(rig, rig.asterisk.ob_port)
    calls: list[CallSession] = []

    @app.default()
    async def handler(call: CallSession) -> None:
        calls.append(call)
        await call.answer()
        await call.play_file("hello-world")

    async with rig.serving(rig.far):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(app.serve)
            await app.started()
            if endpoint == PERSISTENT:
                await connected(app)
            phone = await rig.far.originate(endpoint)
            await eventually(lambda: calls)
            machine = machine_of(app)
            await app.stop()
        assert left_in(machine) == []
        end = await phone.wait_ended()
    assert end.by is EndedBy.REMOTE
    assert calls[0].end is not None
    assert calls[0].end.by is EndedBy.LOCAL
