"""What Asterisk refuses: a connection, an operation, a name that is taken; and every operation there is, typed."""

from __future__ import annotations

import socket
from typing import Any

import anyio
import pytest

from voxtra_core import (
    AriBadRequest,
    AriConflict,
    AriError,
    AriForbidden,
    AriNotFound,
    AriPreconditionFailed,
    AriServerError,
    AriUnprocessable,
    AuthenticationFailed,
    CallSession,
    ConnectFailed,
    LocalProtocolError,
)
from voxtra_core.app import BaseApp
from voxtra_core.ari import (
    Application,
    AsteriskInfo,
    AsteriskPing,
    Bridge,
    Channel,
    Request,
    applications,
    asterisk,
    bridges,
    channels,
    endpoints,
    recordings,
    sounds,
)

from .rig import Rig, both_ways, eventually

pytestmark = pytest.mark.anyio


async def start(app: BaseApp, error: type[Exception]) -> Exception:
    """Serve what cannot start: both who serves and who waits for the start are told."""
    errors: list[Exception] = []

    async def serve() -> None:
        with pytest.raises(error) as caught:
            await app.serve()
        errors.append(caught.value)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        with pytest.raises(error) as caught:
            await app.started()
    assert str(errors[0]) == str(caught.value)
    with pytest.raises(LocalProtocolError):
        await app.originate("Local/answer@far")
    return caught.value


# ---- the connection
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"ari_password": "wrong"}, {"ari_user": "nobody"}])
async def test_a_wrong_user_or_password(rig: Rig, options: dict[str, str]) -> None:
    error = await start(rig.new_app(rig.app_name, **options), AuthenticationFailed)
    assert "401" in str(error)
    assert rig.asterisk.password not in str(error)
    assert "wrong user or password" in str(error)


async def test_a_host_nobody_knows(rig: Rig) -> None:
    error = await start(rig.new_app(rig.app_name, ari_url="http://asterisk.invalid:8088"), ConnectFailed)
    assert type(error) is ConnectFailed
    assert "asterisk.invalid:8088" in str(error)


async def test_a_port_where_nobody_listens(rig: Rig) -> None:
    with socket.socket() as bound:  # and not listening
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        error = await start(rig.new_app(rig.app_name, ari_url=url), ConnectFailed)
    assert "connection refused" in str(error)


async def test_a_url_that_is_not_aris(rig: Rig) -> None:
    url = f"{rig.asterisk.url.removesuffix('/ari')}/elsewhere"
    error = await start(rig.new_app(rig.app_name, ari_url=url), ConnectFailed)
    assert "404" in str(error)


@both_ways
async def test_a_user_who_may_only_read(rig: Rig) -> None:
    """Calls come in, and every command is refused, the hangup too: the application gives up and says so."""
    refused: list[AriError] = []
    rig.app = rig.new_app(rig.app_name, ari_user=rig.asterisk.ro_user)

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        for operation in (call.answer, call.ring, call.hangup):
            with pytest.raises(AriForbidden) as caught:
                await operation()
            refused.append(caught.value)
        await call.wait_ended()

    async with rig.serving():
        assert isinstance(await rig.app.request(asterisk.ping()), AsteriskPing)
        with anyio.move_on_after(0.3):
            await rig.call()
        await eventually(lambda: len(refused) == 3)
        assert [error.operation for error in refused] == ["channels.answer", "channels.ring", "channels.hangup"]
        assert {error.status for error in refused} == {403}


# ---- operations
# ------------------------------------------------------------------------------------------------------


@both_ways
async def test_operations_that_reply(rig: Rig) -> None:
    async with rig.serving():
        request = rig.app.request
        ping = await request(asterisk.ping())
        assert (ping.ping, ping.asterisk_id) == ("pong", "02:00:00:00:00:01")
        info: AsteriskInfo = await request(asterisk.get_info())
        assert info.system is not None
        assert info.system.version.startswith("22.")
        mine: Application = await request(applications.get(rig.app_name))
        assert (mine.name, mine.channel_ids) == (rig.app_name, ())
        assert rig.app_name in {app.name for app in await request(applications.list())}
        call = await rig.app.originate("Local/answer@far/n")
        there: Channel = await request(channels.get(call.id))
        assert (there.id, there.state) == (call.id, "Up")
        assert call.id in {channel.id for channel in await request(channels.list())}
        await request(channels.set_channel_var(call.id, variable="X", value="ü"))
        assert (await request(channels.get_channel_var(call.id, variable="X"))).value == "ü"
        bridge: Bridge = await request(bridges.create(type="mixing", name="ours"))
        await request(bridges.add_channel(bridge.id, channel=[call.id]))
        assert (await request(bridges.get(bridge.id))).channels == (call.id,)
        await request(bridges.destroy(bridge.id))
        assert (await request(sounds.get("hello-world"))).id == "hello-world"
        assert "PJSIP" in {endpoint.technology for endpoint in await request(endpoints.list())}
        await request(channels.hangup(call.id))
        await call.wait_ended()


@both_ways
async def test_operations_that_are_refused(rig: Rig) -> None:
    @rig.far.default()
    async def phone(phone: CallSession) -> None:
        await phone.wait_ended()

    async with rig.serving():
        request, far_end = rig.app.request, "Local/answer@far/n"
        call = await rig.app.originate(far_end)
        down = await request(channels.create(endpoint=far_end, app=rig.far.app_name))
        outside = await request(channels.originate(endpoint=far_end, extension="echo", context="far"))
        await eventually(lambda: rig.asterisk.get(f"/channels/{outside.id}")[1]["dialplan"]["app_name"] == "Echo")
        refusals: list[tuple[Request[Any], type[AriError], int, str]] = [
            (channels.get("nobody"), AriNotFound, 404, "Channel not found"),
            (channels.answer("../asterisk"), AriNotFound, 404, "Channel not found"),
            (channels.hangup(call.id, reason_code="x"), AriBadRequest, 400, "Invalid reason"),
            (channels.originate(endpoint="Local", app="x"), AriBadRequest, 400, "Invalid endpoint specified"),
            (channels.answer(outside.id), AriConflict, 409, "Channel not in Stasis application"),
            (channels.answer(down.id), AriPreconditionFailed, 412, "Channel in invalid state"),
            (channels.record(call.id, name="x", format="y"), AriUnprocessable, 422, "specified format is unknown"),
            (channels.originate(endpoint="Nonsense/x", app="x"), AriServerError, 500, "Allocation failed"),
            (recordings.get_live("none"), AriNotFound, 404, "Recording not found"),
        ]
        for operation, kind, status, reason in refusals:
            with pytest.raises(kind) as caught:
                await request(operation)
            error = caught.value
            assert type(error) is kind
            assert (error.operation, error.status) == (operation.operation, status)
            assert reason in error.reason
            assert str(error) == f"{operation.operation}: {status} {error.reason}"
        assert call.end is None
        for channel in (down, outside):
            await request(channels.hangup(channel.id))
        await call.hangup()
