"""Replies that never come, refusals of anything, events that come twice, never, or for nobody: one call's own affair.

Two calls at once. What befalls the *victim* must not show in anything that the *bystander* lives through: its whole
trace, times included, is compared with that of a run in which nothing goes wrong.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from typing import Any, TypeAlias

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from voxtra_core import CallSession, CallState, PlaybackEnd, PlaybackHandle
from voxtra_core.ari import channels
from voxtra_core.ari.messages import EventReceived, LinkMessage, Reply, RequestFailed
from voxtra_core.ari.request import Request
from voxtra_core.call import EndedBy
from voxtra_core.errors import (
    AriBadRequest,
    AriConflict,
    AriNotFound,
    AriPreconditionFailed,
    AriServerError,
    AriUnprocessable,
    CallEnded,
    ReplyTimeout,
    RequestOutcomeUnknown,
    VoxtraError,
)
from voxtra_core.testing import Caller, Faults, flaws, run_call
from voxtra_core.testing.faults import ChannelGone, LateReply, LostReply

from .test_hangup_at_any_instant import SCENARIO
from .world import SOUNDS, Delays, UnsteadyLink, World

Fault: TypeAlias = str | int
"""``"lost"``, ``"silent"``, ``"twice"``, ``"garbage"``, ``"fine"``, or a status."""

MESSAGES = 40
"""More than the victim's application is told in an undisturbed run."""
FAULTS: list[Fault] = ["fine", "lost", "silent", "twice", "garbage", 400, 404, 409, 412, 422, 500, 503]
STRAYS = [
    "",
    "{",
    "[]",
    "null",
    "17",
    '{"type": 17}',
    '{"type": "ChannelDtmfReceived"}',
    '{"type": "ChannelDtmfReceived", "digit": "1", "channel": null}',
    '{"type": "SomethingNew", "channel": {"id": "VICTIM"}}',
    '{"type": "StasisEnd", "channel": {"id": "nobody"}}',
]


_RECORDING = re.compile(r"voxtra-[0-9a-f-]{36}")


def refused(request_id: str, status: int, reason: str = "not today") -> Reply:
    return Reply(request_id, status, reason, json.dumps({"message": reason}).encode())


def spoil(message: LinkMessage, fault: Fault) -> list[LinkMessage]:
    """What comes instead."""
    match message, fault:
        case _, "silent":
            return []
        case _, "twice":
            return [message, message]
        case Reply(), "lost":
            return [RequestFailed(message.request_id, RequestOutcomeUnknown("lost"))]
        case Reply(), "garbage":
            return [Reply(message.request_id, 200, "OK", b"}{")]
        case Reply(), int(status):
            return [refused(message.request_id, status)]
        case _:
            return [message]


class Trace:
    """All that one call lives through."""

    def __init__(self, world: World) -> None:
        self.lines: list[tuple[float, str, str]] = []
        self.calls: list[CallSession] = []
        self._world = world

    def __call__(self, step: str, outcome: object) -> None:
        text = "a handle" if isinstance(outcome, PlaybackHandle) else str(outcome)  # its id depends on the other call
        text = _RECORDING.sub("voxtra-…", text)  # as a recording's name does
        self.lines.append((self._world.now, step, text))

    async def handle(self, call: CallSession) -> None:
        self.calls.append(call)

        @call.on_hangup
        async def ended() -> None:
            self("on_hangup", f"{call.state} {call.end} {call.duration}")

        for name, step in SCENARIO:
            try:
                self(name, await step(call))
            except CallEnded:
                self(name, "CallEnded")
                raise
            except VoxtraError as error:
                self(name, type(error).__name__)
        self("handler", "returns")


def two_calls(faults: Sequence[Fault], strays: list[tuple[float, str]], delays: Delays) -> tuple[Trace, list[object]]:
    """The victim's trace, and everything about the bystander."""
    with World(delays) as world:
        victim, bystander = Trace(world), Trace(world)
        world.app.route(extension="victim")(victim.handle)
        world.app.route(extension="bystander")(bystander.handle)
        world.start()
        poor = world.call(Caller("1", dials="victim").waits(600.0).hangs_up())
        lucky = world.call(Caller("2", dials="bystander").waits_for_answer().presses("42", after=0.3).waits(900.0))
        coming = list(faults)
        others: set[str] = set()  # of its playbacks, snoops and recordings

        def concerns_victim(text: str) -> bool:
            return any(id in text for id in (poor.channel_id, *others))

        def change(message: LinkMessage, request: Request[Any] | None) -> list[LinkMessage]:
            if request is not None and request.path == f"/channels/{poor.channel_id}/play":
                others.add(dict(request.query)["playbackId"])
            if request is not None and request.path.startswith(f"/channels/{poor.channel_id}/snoop/"):
                others.add(request.path.rpartition("/")[2])
            if request is not None and request.path.endswith("/record") and concerns_victim(request.path):
                others.add(dict(request.query)["name"])
            about = request.target if request is not None else ""
            if isinstance(message, EventReceived):
                about = str(message.data)
            if not victim.calls or not concerns_victim(about) or not coming:
                return [message]
            return spoil(message, coming.pop(0))

        world.link.change = change
        for at, text in strays:
            world.loop.spawn(stray(world, at, text.replace("VICTIM", poor.channel_id)))
        world.run(1000.0)
        assert len(victim.calls) <= 1
        assert sum(line[1] == "on_hangup" for line in victim.lines) == 1
        world.assert_nothing_is_left()
        world.stop()
        return victim, [bystander.lines, lucky.heard, lucky.tones, lucky.answered_at, lucky.ended_at, lucky.cause]


@cache
def undisturbed(delays: Delays) -> list[object]:
    """Everything about the bystander where nothing goes wrong: the same each time."""
    return two_calls([], [], delays)[1]


async def stray(world: World, at: float, text: str) -> None:
    await world.loop.sleep(at)
    world.link.inject(text)


instants = st.integers(0, 160).map(lambda n: n * 0.05)


@settings(max_examples=50)
@given(
    st.lists(st.sampled_from(FAULTS), max_size=25),
    st.lists(st.tuples(instants, st.sampled_from(STRAYS)), max_size=4),
    st.sampled_from([Delays(), Delays(replies=(0.1,)), Delays(requests=(0.05,), replies=(0.05,), events=(0.2,))]),
)
@example(["silent"] * 25, [], Delays())
@example([404] * 25, [], Delays())
@example(["lost"] * 25, [], Delays())
@example(["twice"] * 100, [(n * 0.5, text) for n, text in enumerate(STRAYS)], Delays())
def test_other_calls_do_not_notice(faults: list[Fault], strays: list[tuple[float, str]], delays: Delays) -> None:
    _, seen = two_calls(faults, strays, delays)
    assert seen == undisturbed(delays)


@pytest.mark.parametrize(
    "fault",
    ["lost", "silent", 404, *(pytest.param(each, marks=pytest.mark.soak) for each in ("twice", "garbage", 500))],
)
def test_one_fault_delays_no_operation_for_long(fault: Fault) -> None:
    """Wherever in the call it is: what is overdue is given up or asked after."""
    longest = 0.0
    for before in range(MESSAGES):
        victim, seen = two_calls(["fine"] * before + [fault], [], Delays())
        assert seen == undisturbed(Delays())
        times = [0.0, *(time for time, step, _ in victim.lines if step != "on_hangup")]
        longest = max(longest, *(later - earlier for earlier, later in itertools.pairwise(times)))
        assert victim.lines[-1][0] < 100.0
    assert longest <= 10.0 + 1.0


def test_events_twice_change_nothing_at_all() -> None:
    """Also not for the call itself."""
    with World() as world:
        trace = Trace(world)
        world.app.prepare = lambda link: setattr(link, "duplicate_event", lambda text: "Dtmf" not in text)
        world.app.default()(trace.handle)
        world.start()
        person = world.call(Caller("2", dials="bystander").waits_for_answer().presses("42", after=0.3).waits(900.0))
        world.run(1000.0)
        assert [trace.lines, person.heard, person.tones] == undisturbed(Delays())[:3]
        assert world.log() == []
        world.assert_nothing_is_left()


# ---- each operation, each fault ------------------------------------------------------------------------------------

OPERATIONS: dict[str, tuple[str, Callable[[CallSession], Awaitable[object]]]] = {
    "ring": ("channels.ring", lambda call: call.ring()),
    "answer": ("channels.answer", lambda call: call.answer()),
    "play_file": ("channels.play", lambda call: call.play_file("hello-world")),
    "start_playback": ("channels.play", lambda call: call.start_playback("hello-world")),
    "send_dtmf": ("channels.send_dtmf", lambda call: call.send_dtmf("1")),
    "hold": ("channels.start_moh", lambda call: call.hold()),
    "get_variable": ("channels.get_channel_var", lambda call: call.get_variable("FOO")),
    "set_variable": ("channels.set_channel_var", lambda call: call.set_variable("FOO", "bar")),
}


def one_fault(name: str, fault: Fault) -> tuple[World, list[object], float, CallSession]:
    """One operation whose reply is spoilt: what came of it, after how long."""
    operation, step = OPERATIONS[name]
    results: list[object] = []
    calls: list[CallSession] = []
    took = 0.0
    with World() as world:
        spoilt = 0

        async def handler(call: CallSession) -> None:
            nonlocal took
            calls.append(call)
            if name not in {"ring", "answer"}:
                await call.answer()
            start = world.now
            try:
                results.append(await step(call))
            except VoxtraError as error:
                results.append(error)
            took = world.now - start
            if call.end is None:
                assert await call.get_variable("GREETING") == "hello"
                await call.answer()
                assert await call.play_file("hello-world") is PlaybackEnd.DONE

        def is_spoilt(request: Request[Any] | None) -> bool:
            nonlocal spoilt
            if request is None or request.operation != operation or spoilt:
                return False
            spoilt += 1
            return True

        def refuse(request_id: str, request: Request[Any]) -> Reply | None:
            return refused(request_id, fault) if isinstance(fault, int) and is_spoilt(request) else None

        def change(message: LinkMessage, request: Request[Any] | None) -> list[LinkMessage]:
            return spoil(message, fault) if not isinstance(fault, int) and is_spoilt(request) else [message]

        def prepare(link: UnsteadyLink) -> None:
            link.refuse = refuse
            link.change = change

        world.app.default()(handler)
        world.app.prepare = prepare
        world.start()
        person = world.call(Caller("1").sets("GREETING", "hello").sets("FOO", "1").waits(100.0).hangs_up())
        world.run(200.0)
        assert spoilt == 1
        assert len(results) == 1
        assert world.log() == []
        world.assert_nothing_is_left()
        assert person.ended_at is not None
    return world, results, took, calls[0]


REFUSALS: list[tuple[int, type[VoxtraError], float]] = [
    (400, AriBadRequest, 0.0),
    (409, AriConflict, 0.5),
    (412, AriPreconditionFailed, 0.5),
    (422, AriUnprocessable, 0.0),
    (500, AriServerError, 0.5),
]


@pytest.mark.parametrize("name", sorted(OPERATIONS))
@pytest.mark.parametrize(("status", "error", "after"), REFUSALS, ids=lambda value: str(value))
def test_a_refusal_is_raised(name: str, status: int, error: type[VoxtraError], after: float) -> None:
    """At once, or held back for a moment where it could be the debris of a hangup; and the call goes on."""
    _, (result,), took, call = one_fault(name, status)
    assert type(result) is error
    assert isinstance(result, error)
    assert (result.operation, result.status, result.reason) == (  # type: ignore[attr-defined]
        OPERATIONS[name][0],
        status,
        "not today",
    )
    # tones, playbacks and synchronous requests may be answered late; what counts is how long the refusal was held
    assert took >= after
    assert took <= after + 1.2
    assert call.end is not None
    assert call.state is CallState.COMPLETED


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_a_404_is_the_end_of_the_call(name: str) -> None:
    _, (result,), took, call = one_fault(name, 404)
    assert isinstance(result, CallEnded)
    assert result.end.by is EndedBy.ASTERISK
    assert 1.0 <= took <= 2.3
    assert call.end == result.end


@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - {"answer", "play_file", "start_playback"}))
def test_a_reply_that_is_overdue(name: str) -> None:
    """The call goes on, in the state that Asterisk's events say."""
    _, (result,), took, call = one_fault(name, "silent")
    assert type(result) is ReplyTimeout
    assert took == pytest.approx(10.0)
    assert call.state is CallState.COMPLETED


@pytest.mark.parametrize("name", ["get_variable", "hold", "ring", "set_variable"])
def test_what_does_no_harm_is_asked_for_again_when_its_reply_is_lost(name: str) -> None:
    _, (result,), took, call = one_fault(name, "lost")
    assert result == ("1" if name == "get_variable" else None)
    assert took == 0.0
    assert call.state is CallState.COMPLETED


def test_tones_whose_reply_is_lost_are_not_sent_again() -> None:
    world, (result,), took, call = one_fault("send_dtmf", "lost")
    assert type(result) is RequestOutcomeUnknown
    assert took == pytest.approx(0.5)
    assert call.state is CallState.COMPLETED
    assert world.asterisk.people[0].digits == "1"


@pytest.mark.parametrize("fault", ["lost", "silent"])
def test_the_event_of_the_answer_is_as_good_as_its_reply(fault: str) -> None:
    _, (result,), took, call = one_fault("answer", fault)
    assert result is None
    assert took == 0.0
    assert call.state is CallState.COMPLETED


@pytest.mark.parametrize("fault", ["lost", "silent"])
def test_the_events_of_a_playback_are_as_good_as_its_reply(fault: str) -> None:
    _, (end,), took, _ = one_fault("play_file", fault)
    assert end is PlaybackEnd.DONE
    assert took == pytest.approx(SOUNDS["hello-world"])
    _, (handle,), took, _ = one_fault("start_playback", fault)
    assert isinstance(handle, PlaybackHandle)
    assert took == 0.0


def test_a_404_for_a_variable_is_an_answer() -> None:
    with World() as world:
        values: list[object] = []

        async def handler(call: CallSession) -> None:
            values.append(await call.get_variable("NOT_THERE"))

        world.app.default()(handler)
        world.start()
        world.call()
        world.run(1.0)
        assert values == [None]


def test_a_404_for_a_request_of_ones_own_is_raised_with_everything() -> None:
    with World() as world:
        world.start()
        with pytest.raises(AriNotFound, match="Channel not found") as error:
            world.do(lambda: world.app.request(channels.get("nobody")))
        assert (error.value.operation, error.value.status, error.value.reason) == (
            "channels.get",
            404,
            "Channel not found",
        )


def test_nothing_is_asked_again_of_a_call_that_has_left_and_may_come_back() -> None:
    """Its end was told, but for the 0.25 s in which that may be a move; the reply that was lost comes in that time."""

    async def handler(call: CallSession) -> None:
        await call.answer()

    faults = Faults(LostReply(nth=1), ChannelGone(nth=1), LateReply(nth=1, seconds=0.05))
    assert flaws(run_call(handler, Caller("5550100"), faults=faults).run) == []
