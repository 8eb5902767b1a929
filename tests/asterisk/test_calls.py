"""Whole calls: the same handler, in and out, with the far end's word for what it heard and pressed."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal

import anyio
import pytest

from voxtra_core import (
    CallDirection,
    CallEnd,
    CallEnded,
    CallSession,
    CallState,
    EndedBy,
    LocalProtocolError,
    OriginateFailed,
    PlaybackEnd,
)
from voxtra_core.app import Handler
from voxtra_core.ari import ApplicationMoveFailed, ChannelStateChange, Dial, channels

from .rig import Rig, both_ways, eventually, left_in, machine_of

pytestmark = [pytest.mark.anyio, both_ways]

Side = Literal["app", "far end"]


async def ivr(call: CallSession) -> None:
    """The handler under test: nothing in it knows which loop it is on, or who called whom."""
    await call.answer()
    call.metadata["played"] = await call.play_file("hello-world")
    call.metadata["digit"] = await call.listen_dtmf(timeout=5)
    await call.send_dtmf("42#")
    await call.hold()
    call.metadata["held"] = call.state
    await call.listen_dtmf(timeout=5)
    await call.unhold()
    call.metadata["resumed"] = call.state
    if await call.listen_dtmf(timeout=5) == "9":
        await call.hangup()
    await call.listen_dtmf()


@pytest.mark.parametrize("hung_up_by", ["app", "far end"])
@pytest.mark.parametrize("direction", CallDirection)
async def test_the_same_ivr_in_and_out(rig: Rig, direction: CallDirection, hung_up_by: Side) -> None:
    calls: list[CallSession] = []
    phones: list[CallSession] = []
    hangups: list[str] = []

    async def handler(call: CallSession) -> None:
        calls.append(call)

        @call.on_hangup
        async def note() -> None:
            hangups.append(call.state)

        await ivr(call)

    async def phone(phone: CallSession) -> None:
        await phone.answer()
        async with rig.recorded(phone) as prompt:
            await eventually(lambda: "played" in calls[0].metadata)
        assert 0.8 < prompt().loud_seconds < 1.5  # hello-world is 1.4 s
        await phone.send_dtmf("7")
        assert "".join([await phone.listen_dtmf(5) or "" for _ in "42#"]) == "42#"
        async with rig.recorded(phone) as music:
            await eventually(lambda: calls[0].state is CallState.ON_HOLD)
            await anyio.sleep(1.0)
        assert music().loud_seconds > 0.5
        await phone.send_dtmf("1")
        await eventually(lambda: "resumed" in calls[0].metadata)
        async with rig.recorded(phone) as silence:
            await anyio.sleep(0.2)
        assert silence().loud_seconds < 0.1
        if hung_up_by == "app":
            with suppress(CallEnded):  # the pause behind a tone belongs to it
                await phone.send_dtmf("9")
        else:
            await phone.send_dtmf("8")
            await phone.hangup()
        phones.append(phone)

    async with rig.serving():
        if direction is CallDirection.INBOUND:
            rig.app.default()(handler)
            await phone(await rig.call(caller_id='"Alice" <5550100>'))
        else:
            rig.far.default()(phone)
            await rig.app.originate(f"Local/{rig.far.app_name}@stasis/n", caller_id="5550100", handler=handler)
            await eventually(lambda: phones)
        (call,) = calls
        end = await call.wait_ended()
        await eventually(lambda: hangups)
        far_end = await phones[0].wait_ended()
        assert (end.cause, end.name) == (far_end.cause, far_end.name) == (16, "NORMAL_CLEARING")
        assert end.by is (EndedBy.LOCAL if hung_up_by == "app" else EndedBy.REMOTE)
        assert far_end.by is (EndedBy.REMOTE if hung_up_by == "app" else EndedBy.LOCAL)
        assert call.direction is direction
        assert call.state is CallState.COMPLETED
        assert call.caller_id == "5550100"
        assert call.metadata == {
            "played": PlaybackEnd.DONE,
            "digit": "7",
            "held": CallState.ON_HOLD,
            "resumed": CallState.IN_PROGRESS,
        }
        assert hangups == [CallState.COMPLETED]
        await eventually(lambda: not left_in(machine_of(rig.app)) + left_in(machine_of(rig.far)))


async def test_a_call_that_was_answered_before_it_came(rig: Rig) -> None:
    seen: list[tuple[CallState, float, tuple[str, ...]]] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        seen.append((call.state, call.duration, call.args))
        await call.answer()

    async with rig.serving():
        phone = await rig.far.originate(f"Local/{rig.app_name}@stasis-answer/n")
        assert (await phone.wait_ended()).cause == 16
    ((state, duration, args),) = seen
    assert state is CallState.IN_PROGRESS
    assert duration < 0.1
    assert args == ("answered",)
    assert rig.requests("channels.answer") == []


async def test_the_caller_hears_ringing_before_the_answer(rig: Rig) -> None:
    """As a ``Dial RINGING``, and in the state of the caller's channel."""

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.ring()
        await anyio.sleep(0.2)
        await call.answer()
        with pytest.raises(LocalProtocolError):
            await call.ring()

    async with rig.serving():
        phone = await rig.call()
        await phone.wait_ended()
    assert [seen.dialstatus for seen in rig.far_events(Dial)] == ["", "RINGING", "ANSWER"]
    states = [seen.channel.state for seen in rig.far_events(ChannelStateChange) if seen.channel.id == phone.id]
    assert states == ["Ringing", "Up"]


async def test_a_prompt_before_the_answer_is_early_media(rig: Rig) -> None:
    @rig.app.default()
    async def handler(call: CallSession) -> None:
        call.metadata["end"] = await call.play_file("hello-world")
        assert call.state is CallState.RINGING
        assert call.duration == 0.0
        assert await call.listen_dtmf(0) is None
        await call.answer()

    async with rig.serving():
        phone = await rig.call()
        await phone.wait_ended()
    assert [seen.dialstatus for seen in rig.far_events(Dial)] == ["", "PROGRESS", "ANSWER"]


async def test_a_caller_no_route_is_for(rig: Rig) -> None:
    @rig.app.route(extension="somewhere-else")
    async def handler(call: CallSession) -> None:
        raise AssertionError("not for this one")

    async with rig.serving():
        with pytest.raises(OriginateFailed) as caught:
            await rig.call()
        assert (caught.value.end.cause, caught.value.end.name) == (1, "UNALLOCATED")
    assert rig.app_name in rig.expect_log("no route").getMessage()


async def test_routes(rig: Rig) -> None:
    """By extension; by a number in a variable of the channel; else the default. Metadata is each call's own."""
    app = rig.app = rig.new_app(rig.app_name, number_variable="DID")
    taken: list[tuple[str, str, object]] = []

    def handler(name: str) -> Handler:
        async def handle(call: CallSession) -> None:
            taken.append((name, call.called_number, list(call.metadata["who"])))
            call.metadata["who"].append("changed")
            await call.answer()

        return handle

    app.route(number="5551234", metadata={"who": ["sales"]})(handler("number"))
    app.default(metadata={"who": ["anybody"]})(handler("default"))
    async with rig.serving():
        for variables in ({"DID": "5551234"}, {"DID": "5551234"}, {"DID": "5559999"}, {}):
            phone = await rig.call(variables=variables)
            await phone.wait_ended()
    assert taken == [
        ("number", "5551234", ["sales"]),
        ("number", "5551234", ["sales"]),
        ("default", "5559999", ["anybody"]),
        ("default", rig.app_name, ["anybody"]),
    ]


async def test_a_route_by_extension(rig: Rig) -> None:
    taken: list[str] = []

    @rig.app.default()
    async def default(call: CallSession) -> None:
        taken.append("default")

    @rig.app.route(extension=rig.app_name)
    async def handler(call: CallSession) -> None:
        taken.append(call.called_number)
        await call.answer()

    async with rig.serving():
        await (await rig.call()).wait_ended()
    assert taken == [rig.app_name]


async def test_a_handler_that_raises_ends_its_call_and_no_other(rig: Rig) -> None:
    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        if await call.listen_dtmf() == "1":
            raise ValueError("this handler's bug")

    async with rig.serving():
        good, bad = await rig.call(), await rig.call()
        with suppress(CallEnded):
            await bad.send_dtmf("1")
        assert await bad.wait_ended() == CallEnd(41, EndedBy.REMOTE)
        assert good.end is None
        with suppress(CallEnded):
            await good.send_dtmf("2")
        assert await good.wait_ended() == CallEnd(16, EndedBy.REMOTE)
    record = rig.expect_log("its handler failed")
    assert f"{bad.id};2" in record.getMessage()
    assert record.exc_info is not None
    assert "this handler's bug" in str(record.exc_info[1])


async def test_calls_do_not_hear_each_other(rig: Rig) -> None:
    """Twenty at once, each with its own digits."""

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        digits = [await call.listen_dtmf(10) or "-" for _ in "1234"]
        await call.send_dtmf("".join(digits))
        await call.listen_dtmf()

    async def caller(digits: str) -> None:
        phone = await rig.call(caller_id=digits)
        await phone.send_dtmf(digits)
        assert "".join([await phone.listen_dtmf(10) or "-" for _ in digits]) == digits
        await phone.hangup()

    async with rig.serving():
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(caller, f"{1000 + 7 * number}")
        await eventually(lambda: not left_in(machine_of(rig.app)))


# ---- leaving Stasis
# --------------------------------------------------------------------------------------------------


async def test_going_on_in_the_dialplan(rig: Rig) -> None:
    """The handler's call has ended and is not hung up; the channel lives on in the dialplan."""
    ended: list[CallSession] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()

        @call.on_hangup
        async def note() -> None:
            ended.append(call)

        await call.continue_in_dialplan("after", "wait")
        with pytest.raises(CallEnded):
            await call.play_file("beep")

    async with rig.serving():
        phone = await rig.call()
        (call,) = await eventually(lambda: ended)
        assert call.end == CallEnd(0, EndedBy.DIALPLAN)
        assert call.state is CallState.COMPLETED
        await eventually(lambda: not left_in(machine_of(rig.app)))
        await anyio.sleep(0.2)
        (there,) = [c for c in rig.asterisk.channels() if c["id"] == call.id]
        assert (there["dialplan"]["context"], there["dialplan"]["exten"]) == ("after", "wait")
        assert there["state"] == "Up"
        assert phone.end is None
        await phone.hangup()


async def test_going_on_to_the_end_of_the_dialplan(rig: Rig) -> None:
    """A context alone means its ``s``; there the caller hears a beep, and is hung up."""
    calls: list[CallSession] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        calls.append(call)
        await call.answer()
        await call.listen_dtmf()
        await call.continue_in_dialplan("after")

    async with rig.serving():
        phone = await rig.call()
        await phone.send_dtmf("1")
        end = await phone.wait_ended()
        assert (end.cause, end.by) == (16, EndedBy.REMOTE)
        assert calls[0].channel is not None
        after = rig.asterisk.request("GET", "/asterisk/variable", {"variable": "AFTER"})[1]
        assert after == {"value": calls[0].channel.name}


async def test_going_on_where_nothing_is(rig: Rig) -> None:
    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.continue_in_dialplan("nowhere", "at-all", 7)

    async with rig.serving():
        phone = await rig.call()
        end = await phone.wait_ended()
        assert end.by is EndedBy.REMOTE


async def test_coming_back_from_the_dialplan_is_a_new_call(rig: Rig) -> None:
    calls: list[CallSession] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        calls.append(call)
        await call.answer()
        if call.args == ("back",):
            await call.send_dtmf("5")
            await call.listen_dtmf()
        else:
            await call.set_variable("BACKAPP", rig.app_name)
            await call.continue_in_dialplan("after", "back")

    async with rig.serving():
        phone = await rig.call()
        assert await phone.listen_dtmf(5) == "5"
        first, second = calls
        assert first.id == second.id
        assert first.end == CallEnd(0, EndedBy.DIALPLAN)
        assert second.state is CallState.IN_PROGRESS
        await phone.hangup()
        assert await second.wait_ended() == CallEnd(16, EndedBy.REMOTE)


async def test_moving_to_the_same_application_is_the_same_call(rig: Rig) -> None:
    calls: list[CallSession] = []
    digits: list[str | None] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        calls.append(call)
        await call.answer()
        digits.append(await call.listen_dtmf())
        digits.append(await call.listen_dtmf())

    async with rig.serving():
        phone = await rig.call()
        await phone.send_dtmf("1")
        await rig.app.request(channels.move(calls[0].id, app=rig.app_name, app_args="moved,twice"))
        await eventually(lambda: calls[0].args == ("moved", "twice"))
        with suppress(CallEnded):
            await phone.send_dtmf("2")
        await calls[0].wait_ended()
        assert digits == ["1", "2"]
        assert calls[0].end == CallEnd(16, EndedBy.LOCAL)
        assert len(calls) == 1


async def test_moving_to_an_application_that_is_not_there(rig: Rig) -> None:
    calls: list[CallSession] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        calls.append(call)
        await call.answer()
        await call.listen_dtmf()

    async with rig.serving():
        phone = await rig.call()
        await rig.app.request(channels.move(calls[0].id, app="nobody-has-this-name"))
        await eventually(lambda: rig.events(ApplicationMoveFailed))
        await anyio.sleep(0.5)
        assert calls[0].end is None
        with suppress(CallEnded):
            await phone.send_dtmf("1")
        assert await calls[0].wait_ended() == CallEnd(16, EndedBy.LOCAL)


async def test_moving_to_another_application_ends_it_here(rig: Rig) -> None:
    calls: list[CallSession] = []
    other = rig.new_app(f"{rig.app_name}other")
    taken: list[CallSession] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        calls.append(call)
        await call.answer()
        with pytest.raises(CallEnded):
            await call.listen_dtmf()

    @other.default()
    async def take(call: CallSession) -> None:
        taken.append(call)
        await call.listen_dtmf()

    async with rig.serving(rig.app, rig.far, other):
        phone = await rig.call()
        await rig.app.request(channels.move(calls[0].id, app=other.app_name, app_args="here"))
        (call,) = await eventually(lambda: taken)
        assert call.id == calls[0].id
        assert call.args == ("here",)
        assert (await calls[0].wait_ended()).by is EndedBy.ASTERISK
        assert call.end is None
        with suppress(CallEnded):
            await phone.send_dtmf("1")
        assert await call.wait_ended() == CallEnd(16, EndedBy.LOCAL)
