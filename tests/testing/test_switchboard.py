"""What a call does on a switchboard, in the simulation: bridges, transfers and recordings keep what any flow must."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal

import pytest

from voxtra_asyncio import VoxtraApp
from voxtra_core import (
    AriError,
    BridgeGone,
    CallEnded,
    CallSession,
    LocalProtocolError,
    OriginateFailed,
    TransferFailed,
)
from voxtra_core.app.routing import Handler
from voxtra_core.testing import Agent, Caller, CallReport, Faults, flaws, run_call, run_calls
from voxtra_core.testing.faults import LateReply, LostReply, RefusedRequest
from voxtra_core.testing.strategies import check_call_flow

ALICE = Agent("PJSIP/alice").rings(2.0).answers().talks("This is Alice.").waits(5.0).hangs_up()
PATIENT = Caller("5550100").waits_for_answer().waits(3.0).talks("Good morning, Alice.").waits(30.0)


def app_of(flow: str) -> VoxtraApp:
    """An application with the flow of that name."""
    app = VoxtraApp("http://pbx.example:8088", "user", "secret")

    async def bridged(call: CallSession) -> None:
        await call.answer()
        await call.record_start()
        with suppress(OriginateFailed, AriError):
            alice = await app.originate("PJSIP/alice", timeout=10)
            await alice.play_file("beep")
            assert (await call.bridge_with(alice)).startswith("voxtra-bridge-")

    async def transferred(call: CallSession) -> None:
        await call.answer()
        await call.record_start()
        try:
            await call.transfer_to("PJSIP/alice", timeout=10)
        except TransferFailed:
            await call.play_file("vm-goodbye")

    async def transferred_unanswered(call: CallSession) -> None:
        with suppress(TransferFailed):
            await call.transfer_to("PJSIP/alice", timeout=10)

    async def asked_first(call: CallSession) -> None:
        await call.answer()
        try:
            async with await call.attended_transfer_to("PJSIP/alice", timeout=10) as transfer:
                await transfer.agent.play_file("beep")
                await transfer.accept()
        except (TransferFailed, CallEnded):
            await call.play_file("vm-goodbye")

    async def conference(call: CallSession) -> None:
        await call.answer()
        bridge = await app.create_bridge()
        await bridge.add(call)
        await bridge.record_start()
        try:
            await bridge.start_music()
            alice = await app.originate("PJSIP/alice", timeout=10)
            await bridge.add(alice, mute=True)
            await bridge.stop_music()
            await bridge.play_file("beep")
            await bridge.unmute(alice)
        except (OriginateFailed, CallEnded, BridgeGone, AriError):
            pass
        finally:
            await bridge.destroy()

    async def heard(call: CallSession) -> None:
        await call.answer()
        stream = call.audio_stream("slin")
        with suppress(TransferFailed):
            await call.transfer_to("PJSIP/alice", comfort="music", timeout=10)
        async for _ in stream:
            if stream.dropped:
                break

    flows = (bridged, transferred, transferred_unanswered, asked_first, conference, heard)
    app.default()(next(each for each in flows if each.__name__ == flow))
    return app


FLOWS = ("bridged", "transferred", "transferred_unanswered", "asked_first", "conference")


@pytest.mark.soak
@pytest.mark.parametrize("flow", ["transferred", "conference"])
def test_it_keeps_what_any_flow_must(flow: str) -> None:
    check_call_flow(app_of(flow), agents=[ALICE], max_examples=30)


@pytest.mark.soak
@pytest.mark.parametrize("flow", [*FLOWS, "heard"])
def test_it_does_so_in_many_more(flow: str) -> None:
    check_call_flow(app_of(flow), agents=[ALICE])


def called(flow: str, caller: Caller = PATIENT, alice: Agent = ALICE) -> list[CallReport]:
    """A call to it, and the one to Alice."""
    run = run_calls(app_of(flow), [caller], agents=[alice])
    assert [flaw for report in run.calls for flaw in flaws(report.run)] == []
    return list(run.calls)


@pytest.mark.parametrize("flow", ["bridged", "transferred", "transferred_unanswered", "asked_first"])
def test_the_two_hear_each_other_and_the_one_hung_up_takes_the_other_along(flow: str) -> None:
    caller, alice = called(flow)
    assert caller.error is None
    assert caller.heard.chunks, "what Alice says"
    assert alice.heard.chunks, "what the caller says"
    assert caller.ended_at == pytest.approx(alice.ended_at, abs=0.5)
    assert caller.ended_at is not None
    assert caller.ended_at > 7.0, "the handler had returned long before"
    if flow in {"bridged", "transferred"}:
        assert [recorded.end for recorded in caller.recordings] == [caller.ended_at]


@pytest.mark.parametrize(
    ("alice", "cause"),
    [
        (Agent("PJSIP/alice").is_busy(), 17),
        (Agent("PJSIP/alice").rings(), 19),
        (Agent("PJSIP/alice").rings(1.0).rejects(), 21),
    ],
)
def test_a_transfer_that_fails_leaves_the_caller_there(alice: Agent, cause: int) -> None:
    failures: list[TransferFailed] = []

    async def reception(call: CallSession) -> None:
        await call.answer()
        try:
            await call.transfer_to("PJSIP/alice", timeout=5)
        except TransferFailed as failure:
            failures.append(failure)
            await call.play_file("vm-goodbye")

    report = run_call(reception, PATIENT, agents=[alice])
    assert flaws(report.run) == []
    assert [(failure.endpoint, failure.end.cause) for failure in failures] == [("PJSIP/alice", cause)]
    assert report.prompts == ["tone:ring", "vm-goodbye"]


def test_a_transfer_is_heard_as_music_where_that_is_wanted() -> None:
    async def reception(call: CallSession) -> None:
        await call.answer()
        await call.transfer_to("PJSIP/alice", comfort="music")

    report = run_call(reception, PATIENT, agents=[ALICE])
    assert [heard.what for heard in report.heard] == ["music:default"]
    assert [state for _, state in report.states] == ["ringing", "in-progress", "on-hold", "in-progress", "completed"]


def test_a_call_that_is_not_bridged_any_more_is_known() -> None:
    """Alice hangs up, and the caller's handler goes on."""

    async def reception(call: CallSession) -> None:
        await call.answer()
        await call.transfer_to("PJSIP/alice")
        await call.wait_unbridged()
        await call.play_file("vm-goodbye")

    report = run_call(reception, PATIENT, agents=[ALICE])
    assert flaws(report.run) == []
    assert report.prompts == ["tone:ring", "vm-goodbye"]


def test_a_handler_that_raises_hangs_its_call_up_in_a_bridge_or_not() -> None:
    async def reception(call: CallSession) -> None:
        await call.answer()
        await call.transfer_to("PJSIP/alice")
        raise RuntimeError("no")

    report = run_call(reception, PATIENT, agents=[ALICE])
    assert report.end is not None
    assert report.end.cause == 41
    assert not report.left


def test_a_call_cannot_be_bridged_with_itself() -> None:
    errors: list[Exception] = []

    async def reception(call: CallSession) -> None:
        await call.answer()
        try:
            await call.bridge_with(call)
        except LocalProtocolError as error:
            errors.append(error)

    assert not run_call(reception, PATIENT).left
    assert [f"{error}" for error in errors] == ["a call cannot be bridged with itself"]


@pytest.mark.parametrize("method", ["transfer_to", "attended_transfer_to"])
def test_a_caller_who_hangs_up_ends_a_transfer(method: str) -> None:
    """And nobody is left ringing."""
    ended: list[CallEnded] = []

    async def reception(call: CallSession) -> None:
        await call.answer()
        try:
            await getattr(call, method)("PJSIP/alice")
        except CallEnded as end:
            ended.append(end)

    run = run_calls(reception_app(reception), [Caller("5550100").waits(1.0).hangs_up()], agents=[ALICE])
    caller, alice = run.calls
    assert flaws(run) == []
    assert [(end.call_id, end.end.by) for end in ended] == [(caller.call.id if caller.call else "", "remote")]
    assert alice.ended_at == pytest.approx(1.0)


def reception_app(handler: Handler) -> VoxtraApp:
    app = VoxtraApp("http://pbx.example:8088", "user", "secret")
    app.default()(handler)
    return app


@pytest.mark.parametrize(
    "endpoint", ["PJSIP/sip:a@b\r\nX-Injected: yes", "PJSIP/a\nb", "PJSIP/\x00", "alice", "", "PJSIP/"]
)
@pytest.mark.parametrize("method", ["bridge", "refer"])
def test_what_is_no_endpoint_is_refused_before_asterisk_is_asked(
    endpoint: str, method: Literal["bridge", "refer"]
) -> None:
    """A line break would end up in a SIP header of the far end's REFER."""
    refused: list[ValueError] = []

    async def reception(call: CallSession) -> None:
        await call.answer()
        try:
            await call.transfer_to(endpoint, method=method)
        except ValueError as error:
            refused.append(error)

    report = run_call(reception, PATIENT)
    assert len(refused) == 1
    assert [made.request.operation for made in report.requests] == ["channels.answer", "channels.hangup"]


def test_a_ringing_tone_that_could_not_be_stopped_is_stopped_again() -> None:
    """It has no end of its own, and everything else waits behind it."""

    async def reception(call: CallSession) -> None:
        await call.answer()
        await call.transfer_to("PJSIP/alice")

    report = run_call(reception, PATIENT, agents=[ALICE], faults=Faults(RefusedRequest(4, 500)))
    assert [made.request.operation for made in report.requests].count("playbacks.stop") == 2
    assert report.error is None
    assert report.ended_at == pytest.approx(8.0, abs=0.5)


def test_an_unused_bridge_goes_with_the_handler_that_has_made_it() -> None:
    async def reception(call: CallSession) -> None:
        await call.answer()
        await app.create_bridge()

    app = reception_app(reception)
    assert not run_calls(app, [PATIENT]).left


def test_a_bridge_is_a_context() -> None:
    async def reception(call: CallSession) -> None:
        await call.answer()
        async with await app.create_bridge(keep=True) as bridge:
            await bridge.add(call)
        assert bridge.is_gone
        await call.play_file("vm-goodbye")

    app = reception_app(reception)
    run = run_calls(app, [PATIENT])
    assert flaws(run) == []
    assert run.calls[0].prompts == ["vm-goodbye"]


def test_a_handler_may_make_one_bridge_after_another() -> None:
    """Those that are gone are not kept in mind until it ends."""
    kept: list[int] = []

    async def reception(call: CallSession) -> None:
        await call.answer()
        for _ in range(5):
            async with await app.create_bridge() as bridge:
                await bridge.add(call)
            kept.append(len(call.machine.keeping._watching))

    app = reception_app(reception)
    assert flaws(run_calls(app, [PATIENT])) == []
    assert kept == [0] * 5


@pytest.mark.parametrize("late", [0.0, 0.1])
def test_who_is_brought_in_twice_is_in(late: float) -> None:
    """The reply to the first time is lost; for the second Asterisk takes it out, and in again. Of that we are told
    before the reply, or after it.
    """
    there: list[list[CallSession]] = []

    async def reception(call: CallSession) -> None:
        await call.answer()
        async with await app.create_bridge(keep=True) as bridge:
            await bridge.add(call)
            there.append(bridge.calls)
            await bridge.play_file("beep")
            there.append(bridge.calls)
            await bridge.mute(call)

    app = reception_app(reception)
    faults = Faults(LostReply(nth=3), *[LateReply(nth=4, seconds=late)] * bool(late))
    run = run_calls(app, [PATIENT], faults=faults)
    assert [made.request.operation for made in run.requests].count("bridges.add_channel") == 2
    assert run.calls[0].error is None
    assert flaws(run) == []
    assert [len(calls) for calls in there] == [1, 1]
