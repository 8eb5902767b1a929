"""A handler, unchanged, against a scripted caller: what comes out is the same on every loop, and each time.

Deterministic: all time is virtual, also that of trio and of asyncio.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Literal

import pytest
import trio

from voxtra_core import CallEnded, CallSession, CallState
from voxtra_core.call import EndedBy
from voxtra_core.errors import AriServerError, LocalProtocolError, ReplyTimeout
from voxtra_core.testing import Agent, Caller, Extension, Faults, flaws, run_call, run_calls
from voxtra_core.testing.faults import (
    ChannelGone,
    Fault,
    LateEvent,
    LateReply,
    LateRequest,
    LostReply,
    MediaGarbage,
    MediaLost,
    MediaStalled,
    NoReply,
    Outage,
    RefusedRequest,
    RepeatedEvent,
    RepeatedReply,
    Restart,
    StrayEvent,
)
from voxtra_trio import VoxtraApp

from .bugs import echo, menu, pin

Loop = Literal["virtual", "trio", "asyncio"]
LOOPS: list[Loop] = ["virtual", "trio", "asyncio"]
ALICE = Caller("5550100", "Alice").waits_for_prompt("hello-world").presses("1", after=0.5).waits(10.0).hangs_up()


async def greets(call: CallSession) -> None:
    @call.on_hangup
    async def note() -> None:
        call.metadata["noted"] = True

    await call.answer()
    await call.play_file("hello-world")
    call.metadata["key"] = await call.listen_dtmf(timeout=5)
    await call.play_file("vm-goodbye")


@pytest.mark.parametrize("backend", LOOPS)
def test_everything_observable_is_in_the_report(backend: Loop) -> None:
    report = run_call(greets, ALICE, backend=backend)
    assert report.prompts == ["hello-world", "vm-goodbye"]
    assert report.heard[0].start == 0.0
    assert report.heard[0].end == pytest.approx(1.42)
    assert report.digits == "1"
    assert [digit.digit for digit in report.pressed] == ["1"]
    assert report.call is not None
    assert report.call.metadata == {"key": "1", "noted": True}
    assert report.call.caller_id == "5550100"
    assert [state for _, state in report.states] == [CallState.RINGING, CallState.IN_PROGRESS, CallState.COMPLETED]
    assert [made.request.operation for made in report.requests if made.request.path.startswith("/channels/")] == [
        "channels.answer",
        "channels.play",
        "channels.play",
        "channels.hangup",
    ]
    assert report.end is not None
    assert (report.end.by, report.end.cause) == (EndedBy.LOCAL, 16)
    assert [len(callback.runs) for callback in report.callbacks] == [1]
    assert not report.hung_up_by_caller
    assert report.error is None
    assert not report.left
    assert report.run.log_lines == []
    assert report.longest_silence == pytest.approx(0.6)  # until the key is let go
    assert flaws(report.run) == []


def test_it_is_the_same_on_every_loop_and_each_time() -> None:
    first = run_call(greets, ALICE).timeline
    assert first == run_call(greets, ALICE).timeline
    for backend in LOOPS[1:]:
        assert {str(moment) for moment in run_call(greets, ALICE, backend=backend).timeline} == set(map(str, first))


def test_a_ladder_has_it_all_in_order() -> None:
    text = run_call(greets, ALICE).ladder()
    assert text.splitlines()[0].split() == ["time", "handler", "Voxtra", "Asterisk", "caller"]
    places = [
        text.index(words) for words in ("starts greets()", "answer()", "PlaybackStarted", "presses 1", "over, cause")
    ]
    assert places == sorted(places)
    assert str(run_call(greets, ALICE)) == text


def test_a_handler_that_awaits_asyncio_itself() -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await call.listen_dtmf()
        await asyncio.sleep(30)

    report = run_call(handler, backend="asyncio")
    assert report.ended_at == 90.0
    for backend in ("virtual", "trio"):
        with pytest.raises(LocalProtocolError, match="pass backend='asyncio'"):
            run_call(handler, backend=backend)


def test_a_handler_that_awaits_trio_itself() -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        with trio.move_on_after(60):
            await call.listen_dtmf()
        await trio.sleep(30)

    assert run_call(handler, backend="trio").ended_at == 90.0
    for backend in ("virtual", "asyncio"):
        with pytest.raises(LocalProtocolError, match="pass backend='trio'"):
            run_call(handler, backend=backend)


def test_what_only_yields_to_asyncio_is_found_as_well() -> None:
    async def handler(call: CallSession) -> None:
        await asyncio.sleep(0)

    with pytest.raises(LocalProtocolError, match="pass backend='asyncio'"):
        run_call(handler)


def test_on_asyncio_what_never_comes_is_no_hang() -> None:
    async def handler(call: CallSession) -> None:
        await asyncio.Event().wait()

    report = run_call(handler, Caller("1").waits(1.0).hangs_up(), backend="asyncio")
    assert report.left.handlers == ("handler",)
    assert [flaw.rule for flaw in flaws(report.run)] == ["ends"]


def test_an_unknown_backend() -> None:
    with pytest.raises(ValueError, match="'virtual', 'trio' or 'asyncio'"):
        run_call(greets, backend="curio")  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", LOOPS)
def test_what_spins_is_given_up(backend: Loop) -> None:
    async def spins(call: CallSession) -> None:
        while True:
            with contextlib.suppress(Exception):
                await call.play_file("beep")

    report = run_call(spins, Caller("1").waits(1.0).hangs_up(), backend=backend)
    assert report.run.spins
    assert "ends" in [flaw.rule for flaw in flaws(report.run)]


def test_whoever_stays_hangs_up_in_the_end() -> None:
    async def waits(call: CallSession) -> None:
        await call.answer()
        await call.wait_ended()

    report = run_call(waits, limit=100.0)
    assert report.run.reached_limit
    assert report.ended_at == 100.0
    assert report.hung_up_by_caller
    assert not report.left


def test_an_agent_is_called() -> None:
    async def handler(call: CallSession) -> None:
        await call.play_file("hello-world")
        await call.send_dtmf("12")

    report = run_call(handler, Agent("PJSIP/bob").rings(2.0).answers())
    assert report.answered_at == 2.0
    assert report.prompts[-1] == "hello-world"
    assert report.tones == "12"
    busy = run_call(handler, Agent("PJSIP/bob").rings(1.0).is_busy())
    assert busy.call is None
    assert busy.person is not None
    assert busy.person.cause == 17
    assert "17 USER_BUSY" in busy.run.log_lines[0]


def test_a_whole_application_with_several_callers() -> None:
    app = VoxtraApp("http://pbx.example:8088", "user", "secret", app_name="desk")

    @app.route(extension="100", metadata={"language": "en"})
    async def first(call: CallSession) -> None:
        await call.answer()
        await call.play_file("hello-world")

    @app.default()
    async def second(call: CallSession) -> None:
        await call.answer()
        other = await app.originate("PJSIP/bob")
        await other.play_file("beep")
        await other.hangup()
        await call.continue_in_dialplan("operator", "s")

    run = run_calls(
        app,
        [Caller("1", dials="100"), Caller("2", dials="200", after=1.0)],
        agents=[Agent("PJSIP/bob").rings(1.0).answers()],
        dialplan={("operator", "s"): Extension("Wait", "3", lasts=3.0)},
    )
    one, two, bob = run.calls
    assert bob.prompts == ["beep"]
    assert one.prompts == ["hello-world"]
    assert one.call is not None
    assert one.call.metadata == {"language": "en"}
    assert two.ended_at == pytest.approx(1.0 + 1.0 + 0.44 + 3.0)
    assert flaws(run) == []
    assert run_calls(app, [Caller("3", dials="100")]).calls[0].prompts == ["hello-world"]  # it is as it was


def test_an_application_that_listens_is_told() -> None:
    app = VoxtraApp(None, "user", "secret", listen="127.0.0.1:0")
    with pytest.raises(LocalProtocolError, match="cannot be simulated yet"):
        run_call(app)


def test_a_handlers_error_and_its_log() -> None:
    async def fails(call: CallSession) -> None:
        raise KeyError("surprise")

    report = run_call(fails)
    assert isinstance(report.error, KeyError)
    assert report.end is not None
    assert report.end.cause == 41
    assert "its handler failed" in report.run.log_lines[-1]
    assert [str(flaw) for flaw in flaws(report.run)] == [
        f"handler: fails() raised KeyError: 'surprise' ({report.error_place})"
    ]


# ---- faults ----------------------------------------------------------------------------------------------------------

FAULTS: list[Fault] = [
    LateRequest(2, 0.3),
    LateReply(2, 0.3),
    LostReply(2),
    NoReply(2),
    RepeatedReply(2),
    LateEvent(2, 0.3),
    RepeatedEvent(2),
    Outage(1.0, 1.0),
    Restart(1.0, 1.0),
    ChannelGone(2),
    RefusedRequest(2, 500),
    StrayEvent(0.5, "{"),
    MediaLost(1.0),
    MediaStalled(1.0, 1.0),
    MediaGarbage(1.0),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("handler", [menu, pin, echo])
def test_a_right_handler_keeps_what_it_must_under_every_fault(handler: object, fault: Fault) -> None:
    report = run_call(handler, Caller("1").waits(0.5).presses("12").waits(8).hangs_up(), faults=Faults(fault))  # type: ignore[arg-type]
    assert flaws(report.run) == []
    assert eval(repr(report.run.faults)) == report.run.faults


def test_what_a_fault_does_to_an_operation() -> None:
    errors: list[BaseException] = []

    async def handler(call: CallSession) -> None:
        await call.answer()
        try:
            await call.set_variable("FOO", "bar")
        except Exception as error:
            errors.append(error)
            raise

    spoilt: list[Fault] = [RefusedRequest(2, 500), NoReply(2), ChannelGone(2)]
    for fault in spoilt:
        report = run_call(handler, faults=Faults(fault))
        assert f"! {type(fault).__name__}" in report.ladder()
        assert report.requests[1].faults == [fault]
    assert [type(error) for error in errors] == [AriServerError, ReplyTimeout, CallEnded]


def test_a_fault_shows_in_the_ladder() -> None:
    report = run_call(greets, ALICE, faults=Faults(Outage(0.5, 1.0)))
    assert "! Outage(at=0.5, seconds=1.0)" in report.ladder()
    assert "connection closed" in report.ladder()


# ---- what is, and what is no flaw -----------------------------------------------------------------------------------


async def misspells(call: CallSession) -> None:
    await call.answer()
    await call.play_file(["hello-world", "helo-world"])


async def stops_on_purpose(call: CallSession) -> None:
    await call.answer()
    playback = await call.start_playback("demo-congrats")
    await call.listen_dtmf(timeout=1)
    await playback.stop()
    await call.hangup()


async def pauses(call: CallSession) -> None:
    await call.answer()
    playback = await call.start_playback("hello-world")
    await playback.pause()
    await call.listen_dtmf(timeout=10)
    await playback.resume()
    await playback.wait()


async def cuts_off(call: CallSession) -> None:
    await call.answer()
    await call.start_playback("demo-congrats")
    await call.listen_dtmf(timeout=1)


@pytest.mark.parametrize(
    ("handler", "about"),
    [
        (misspells, ["there is no helo-world: if it is one of yours, say how long it takes, as in sounds="]),
        (stops_on_purpose, []),
        (pauses, []),
        (cuts_off, ["sound:demo-congrats was cut off after 1 of 30.28 s"]),
    ],
)
def test_prompts(handler: Callable[[CallSession], Awaitable[None]], about: list[str]) -> None:
    found = flaws(run_call(handler, Caller("5550100")).run)
    assert [flaw.rule for flaw in found] == ["prompts"] * len(about)
    assert all(flaw.about.startswith(text) for flaw, text in zip(found, about, strict=True))


async def never_answers(call: CallSession) -> None:
    await call.wait_ended()


async def rings_for_long(call: CallSession) -> None:
    await call.ring()
    await call.wait_ended()


async def hands_over(call: CallSession) -> None:
    await call.answer()
    await call.continue_in_dialplan("queues", "support")


@pytest.mark.parametrize(
    ("handler", "found"),
    [
        (never_answers, ["silence: caller 5550100 heard nothing from 0 s to 60 s, for more than 30 s"]),
        (rings_for_long, []),
        (hands_over, []),
    ],
)
def test_dead_air(handler: Callable[[CallSession], Awaitable[None]], found: list[str]) -> None:
    report = run_call(
        handler,
        Caller("5550100").waits(60.0).hangs_up(),
        dialplan={("queues", "support"): Extension("Queue", "support")},
    )
    assert [str(flaw) for flaw in flaws(report.run)] == found


def test_one_task_need_not_know_what_another_has_been_told() -> None:
    """Both wait, and the call ends; the one that takes it in its stride asks for something at that moment."""

    async def talks_and_listens(call: CallSession) -> None:
        await call.answer()

        async def talk() -> None:
            with contextlib.suppress(CallEnded):
                while True:
                    await call.play_file("hello-world")

        async def listen() -> None:
            with contextlib.suppress(CallEnded):
                await call.listen_dtmf()
            with contextlib.suppress(CallEnded):
                if asks_again:
                    await call.listen_dtmf()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(talk())
            tasks.create_task(listen())

    for asks_again in (False, True):
        report = run_call(talks_and_listens, Caller("5550100").waits(5.0).hangs_up(), backend="asyncio")
        assert [flaw.rule for flaw in flaws(report.run)] == ["nothing after the end"] * asks_again


def test_a_callback_that_fails_is_named() -> None:
    async def calls_back(call: CallSession) -> None:
        @call.on_hangup
        async def tidies_up() -> None:
            raise KeyError("surprise")

        await call.answer()

    (flaw,) = flaws(run_call(calls_back, Caller("5550100")).run)
    assert str(flaw).startswith("handler: tidies_up() raised KeyError: 'surprise' (test_run_call.py:")
