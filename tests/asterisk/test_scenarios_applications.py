"""Scenarios of Asterisk's own test suite about applications, events and requests, each with its name there."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import anyio
import pytest

from voxtra_core import (
    AriBadRequest,
    AriError,
    AriNotFound,
    AriUnprocessable,
    CallEnd,
    CallEnded,
    CallSession,
    EndedBy,
    OperationTimeout,
    OriginateFailed,
)
from voxtra_core.ari import (
    ChannelDestroyed,
    ChannelUserevent,
    ChannelVarset,
    StasisEnd,
    StasisStart,
    applications,
    asterisk,
    events,
)
from voxtra_core.wire import AriLink

from .pbx import Asterisk
from .rig import Rig, both_ways, eventually, machine_of

pytestmark = pytest.mark.anyio


# ---- what is told ----------------------------------------------------------------------------------------------------

ENOUGH = ["StasisStart", "StasisEnd", "ChannelStateChange", "PlaybackStarted", "PlaybackFinished", "RESTResponse"]
"""The events, and the response, that a call can't do without."""


@both_ways
async def test_an_event_filter_that_allows_just_enough(rig: Rig) -> None:
    """``applications/event-filter/allowed``: calls come and go as ever; what is not allowed is not told."""
    ends: list[CallEnd | None] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.play_file("beep")
        await call.hangup()
        ends.append(call.end)

    async with rig.serving():
        allowed = {"allowed": [{"type": kind} for kind in ENOUGH]}
        await rig.app.request(applications.filter(rig.app_name, filter=allowed))
        before = len(rig.seen)
        await (await rig.call()).wait_ended()
        call = await rig.app.originate("Local/answer@far/n")
        await call.hangup()
        await rig.settled()
        assert ends == [CallEnd(16, EndedBy.LOCAL)] == [call.end]
        told = {type(seen).__name__ for seen in rig.seen[before:]} & {kind.__name__ for kind in EVENT_KINDS}
        assert told == {"StasisStart", "StasisEnd"}
        await rig.app.request(applications.filter(rig.app_name))


EVENT_KINDS = (StasisStart, StasisEnd, ChannelDestroyed, ChannelVarset)


@both_ways
async def test_an_event_filter_that_swallows_responses(rig: Rig, way: str) -> None:
    """Over HTTP it does not matter. Over the event socket every request fails in its time, and none before."""
    async with rig.serving():
        allowed = {"allowed": [{"type": "StasisStart"}]}
        with suppress(OperationTimeout):
            await rig.app.request(applications.filter(rig.app_name, filter=allowed), timeout=0.5)
        if way == "http":
            await rig.app.request(asterisk.ping())
        else:
            with pytest.raises(OperationTimeout, match="no reply from Asterisk"):
                await rig.app.request(asterisk.ping(), timeout=0.2)
        assert rig.asterisk.request("PUT", f"/applications/{rig.app_name}/eventFilter", body={})[0] == 200
        await rig.app.request(asterisk.ping())


@both_ways
async def test_a_subscription_outlives_the_call(rig: Rig) -> None:
    """``applications/channel-subscriptions/basic_subscription``: what the dialplan says after Stasis is told."""

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await rig.app.request(applications.subscribe(rig.app_name, event_source=[f"channel:{call.id}"]))
        await call.continue_in_dialplan("far", "read")

    async with rig.serving():
        phone = await rig.call()
        with suppress(CallEnded):
            await phone.send_dtmf("42#")
        (said,) = await eventually(lambda: rig.events(ChannelUserevent))
        assert said.userevent["digits"] == "42"
        assert [type(seen) for seen in rig.seen if isinstance(seen, StasisEnd | ChannelUserevent)] == [
            StasisEnd,
            ChannelUserevent,
        ]
        await phone.hangup()


@both_ways
@pytest.mark.parametrize("channelvars", ["CHANNEL(language)", "CHANNEL(language),COLOUR"])
async def test_variables_that_every_event_carries(rig: Rig, throwaway: Asterisk, channelvars: str) -> None:
    """``events/variables``: ``channelvars`` in ``ari.conf``."""
    config = throwaway.dir / "etc/ari.conf"
    before = config.read_text()
    config.write_text(before.replace("[general]", f"[general]\nchannelvars={channelvars}", 1))
    throwaway.cli("module reload res_ari.so")
    rig.app = rig.new_app(rig.app_name, ari_url=throwaway.url, observer=rig.seen.append)
    try:
        async with rig.serving(rig.app):
            call = await rig.app.originate("Local/answer@far/n", variables={"COLOUR": "blue"})
            await call.hangup()
            await eventually(lambda: rig.events(ChannelDestroyed))
    finally:
        config.write_text(before)
        throwaway.cli("module reload res_ari.so")
    expected = {"CHANNEL(language)": "en", "COLOUR": "blue"}
    for event in rig.events(StasisStart) + rig.events(StasisEnd):
        assert event.channel.channelvars == {name: expected[name] for name in channelvars.split(",")}


@both_ways
async def test_user_events(rig: Rig) -> None:
    """``events/user/multi`` and ``invalid``: one about a channel, and those that are refused."""
    refused: list[tuple[dict[str, Any], type[AriError]]] = [
        ({"application": "nobody-has-this-name"}, AriNotFound),
        ({"application": rig.app_name, "source": ["nonsense:x"]}, AriBadRequest),
        ({"application": rig.app_name, "source": ["channel:nobody"]}, AriUnprocessable),
    ]
    async with rig.serving():
        call = await rig.app.originate("Local/answer@far/n")
        about = events.user_event(
            "Told", application=rig.app_name, source=[f"channel:{call.id}"], variables={"n": 1, "list": [True]}
        )
        await rig.app.request(about)
        (told,) = await eventually(lambda: rig.events(ChannelUserevent))
        assert (told.eventname, told.channel and told.channel.id) == ("Told", call.id)
        assert (told.userevent["n"], told.userevent["list"]) == (1, [True])
        for arguments, kind in refused:
            with pytest.raises(kind):
                await rig.app.request(events.user_event("Told", **arguments))
        await call.hangup()
        await rig.settled()


# ---- what the dialplan finds -----------------------------------------------------------------------------------------


@both_ways
async def test_the_status_that_the_dialplan_finds(rig: Rig) -> None:
    """``applications/stasisstatus``: after a call that went on, without an application, and when it has gone."""

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.continue_in_dialplan()

    async def status_for(app_name: str) -> str:
        seen = len(rig.far_seen)
        with suppress(OriginateFailed):
            await rig.far.originate(f"Local/{app_name}@stasis/n", timeout=5)
        statuses = await eventually(lambda: [*told(seen)])
        return statuses[-1]

    def told(since: int) -> list[str]:
        new = [event for event in rig.far_seen[since:] if isinstance(event, ChannelVarset)]
        return [event.value for event in new if event.variable == "STASISSTATUS" and event.value]

    async with rig.serving(rig.far), anyio.create_task_group() as tasks:
        assert await status_for("nobody-has-this-name") == "FAILED"
        tasks.start_soon(rig.app.serve)
        await rig.app.started()
        assert await status_for(rig.app_name) == "SUCCESS"
        await rig.app.stop(0)
        assert await status_for(rig.app_name) == "FAILED"


# ---- requests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "method", "path", "status"),
    [
        ("viewer", "GET", "/channels", 200),
        ("viewer", "POST", "/channels", 403),
        ("viewer", "DELETE", "/channels/x", 403),
        ("tester", "POST", "/channels", 400),
        ("tester", "PUT", "/channels", 405),
        ("tester", "DELETE", "/channels", 405),
        ("nobody", "GET", "/channels", 401),
    ],
)
def test_who_may_do_what(asterisk: Asterisk, user: str, method: str, path: str, status: int) -> None:
    """``authentication``: what a user's rights are, and what is no operation."""
    assert asterisk.request(method, path, user=user)[0] == status


BAD = [
    "no JSON",
    "[]",
    json.dumps({"method": "GET", "uri": "asterisk/ping"}),
    json.dumps({"type": "Nonsense", "method": "GET", "uri": "asterisk/ping"}),
    json.dumps({"type": "RESTRequest", "method": "GET"}),
    json.dumps({"type": "RESTRequest", "method": "GET", "uri": ""}),
    json.dumps({"type": "RESTRequest", "uri": "asterisk/ping"}),
    json.dumps({"type": "RESTRequest", "method": "POST", "uri": "bridges", "message_body": "{}"}),
    json.dumps(
        {
            "type": "RESTRequest",
            "method": "POST",
            "uri": "bridges",
            "content_type": "application/json",
            "message_body": "{",
        }
    ),
]


@both_ways
@pytest.mark.parametrize("text", BAD)
async def test_a_bad_request_harms_no_other(rig: Rig, way: str, text: str) -> None:
    """``websocket/rest_over_websocket/bad_requests``: their responses name nobody; the socket stays usable."""
    async with rig.serving(rig.app):
        (registration,) = machine_of(rig.app)._reach.registrations
        link = registration.link
        assert isinstance(link, AriLink)
        link._socket.send_text(text)
        await rig.app.request(asterisk.ping())
        with pytest.raises(AriNotFound):
            await rig.app.request(applications.get("nobody-has-this-name"))
        await rig.app.request(asterisk.ping())
