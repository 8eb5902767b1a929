"""The application as a user has it: routes, handlers, callbacks, originates, the end."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from voxtra_core import CallSession, CallState
from voxtra_core.ari import Dial, channels
from voxtra_core.call import CallDirection, EndedBy
from voxtra_core.effects import LogLevel
from voxtra_core.errors import AriServerError, CallEnded, ConnectionLost, LocalProtocolError, OriginateFailed
from voxtra_core.testing import Callee, Caller
from voxtra_core.testing.virtual import Cancelled

from .world import Delays, World


async def answers_and_listens(call: CallSession) -> None:
    await call.answer()
    await call.listen_dtmf()


# ---- many calls ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delays", [Delays(), Delays(requests=(0.1, 0.0), replies=(0.3, 0.05), events=(0.0, 0.1))])
def test_two_originates_and_three_callers_at_once(delays: Delays) -> None:
    with World(delays) as world:
        heard: dict[str, list[str | None]] = {}

        async def handler(call: CallSession) -> None:
            await call.answer()
            heard[call.caller_id] = [await call.listen_dtmf(timeout=5.0) for _ in range(2)]

        async def outbound(call: CallSession) -> None:
            assert (call.direction, call.state) == (CallDirection.OUTBOUND, CallState.IN_PROGRESS)
            await call.send_dtmf(call.called_number)

        world.app.default()(handler)
        for number in ("11", "22"):
            world.asterisk.add_endpoint(f"PJSIP/{number}", Callee().rings(0.5).answers())
        world.start()
        for number in ("31", "42", "53"):
            world.call(Caller(number).waits_for_answer().presses(number, after=0.5))
        for number in ("11", "22"):
            world.spawn(world.app.originate(f"PJSIP/{number}", handler=outbound))
        world.run(20.0)
        assert heard == {number: list(number) for number in ("31", "42", "53")}
        assert sorted(person.digits for person in world.asterisk.people) == ["", "", "", "11", "22"]
        assert world.log() == []
        world.assert_nothing_is_left()
        world.stop()


# ---- originate -----------------------------------------------------------------------------------------------------


def test_an_originated_call_is_its_makers() -> None:
    with World() as world:
        world.asterisk.add_endpoint("PJSIP/bob", Callee().rings(1.0).answers())
        world.start()
        metadata = {"campaign": 7}
        call = world.do(
            lambda: world.app.originate(
                "PJSIP/bob", caller_id='"Us" <100>', args=["a", "b"], variables={"X": "1"}, metadata=metadata
            )
        )
        assert world.now == 1.0
        assert (call.direction, call.called_number, call.caller_id) == (CallDirection.OUTBOUND, "bob", "100")
        assert (call.args, call.metadata, call.app_name) == (("a", "b"), metadata, "voxtra")
        assert world.do(lambda: call.get_variable("X")) == "1"
        world.run(100.0)
        assert call.state is CallState.IN_PROGRESS  # nobody hangs it up for its maker
        world.do(call.hangup)
        world.assert_nothing_is_left()


@pytest.mark.parametrize(
    ("callee", "cause", "dialstatus"),
    [
        (Callee().rings(0.5).is_busy(), 17, "BUSY"),
        (Callee().is_congested(), 34, "CONGESTION"),
        (Callee().rings(1.0).rejects(), 21, "NOANSWER"),
        (Callee().rings(20.0).answers(), 19, "RINGING"),
    ],
    ids=["busy", "congested", "rejected", "unanswered"],
)
def test_an_originate_that_fails(callee: Callee, cause: int, dialstatus: str) -> None:
    with World() as world:
        world.asterisk.add_endpoint("PJSIP/bob", callee)
        world.start()
        with pytest.raises(OriginateFailed) as failed:
            world.do(lambda: world.app.originate("PJSIP/bob", timeout=5.0))
        assert (failed.value.endpoint, failed.value.end.cause) == ("PJSIP/bob", cause)
        assert failed.value.end.by is EndedBy.REMOTE
        assert failed.value.dialstatus == dialstatus
        assert world.now <= 5.0
        world.assert_nothing_is_left()


def test_a_call_that_is_placed_and_not_waited_for() -> None:
    seen: list[object] = []
    with World(Delays(requests=(0.1,))) as world:  # which is on its way when this goes on
        world.asterisk.add_endpoint("PJSIP/bob", Callee().rings(1.0).answers())
        world.start()

        async def place() -> CallSession:
            call = await world.app.originate("PJSIP/bob", metadata={"a": 1}, wait_for_answer=False)
            assert (world.now, call.state, call.metadata) == (0.0, CallState.RINGING, {"a": 1})
            with call.events() as events:
                await call.wait_answered()
                await call.wait_answered()
                assert world.now == pytest.approx(1.1)
                await call.hangup()
                seen.extend([event async for event in events])
            return call

        call = world.do(place)
        dials = [event.dialstatus for event in seen if isinstance(event, Dial)]
        assert dials[-2:] == ["RINGING", "ANSWER"]
        assert call.state is CallState.COMPLETED
        world.assert_nothing_is_left()


def test_one_that_is_not_waited_for_and_comes_to_nothing() -> None:
    hung_up: list[str] = []
    with World() as world:
        world.asterisk.add_endpoint("PJSIP/bob", Callee().rings(1.0).is_busy())
        world.start()
        call = world.do(lambda: world.app.originate("PJSIP/bob", wait_for_answer=False))

        @call.on_hangup
        async def note() -> None:
            hung_up.append(call.state)

        world.run(2.0)
        assert hung_up == [CallState.FAILED]
        with pytest.raises(OriginateFailed, match="USER_BUSY"):
            world.do(call.wait_answered)
        world.assert_nothing_is_left()


def test_one_that_is_given_up() -> None:
    with World() as world:
        world.asterisk.add_endpoint("PJSIP/bob", Callee().rings(9.0).answers())
        world.start()
        call = world.do(lambda: world.app.originate("PJSIP/bob", wait_for_answer=False))
        world.run(1.0)
        world.do(call.hangup)
        assert call.state is CallState.FAILED
        assert world.asterisk.people[0].answered_at is None
        world.assert_nothing_is_left()


@pytest.mark.parametrize("answers", [True, False])
def test_its_handler_begins_when_it_has_been_answered(answers: bool) -> None:
    began: list[float] = []

    async def handler(call: CallSession) -> None:
        began.append(world.now)

    with World() as world:
        callee = Callee().rings(1.0)
        world.asterisk.add_endpoint("PJSIP/bob", callee.answers() if answers else callee.rejects())
        world.start()
        world.do(lambda: world.app.originate("PJSIP/bob", handler=handler, wait_for_answer=False))
        world.run(3.0)
        assert began == [1.0] * answers
        world.assert_nothing_is_left()


def test_whoever_has_called_is_not_waited_for() -> None:
    said: list[str] = []

    async def handler(call: CallSession) -> None:
        try:
            await call.wait_answered()
        except LocalProtocolError as error:
            said.append(str(error))
        await call.answer()
        await call.wait_answered()
        said.append("up")

    with World() as world:
        world.app.default()(handler)
        world.start()
        world.call()
        world.run(1.0)
        assert said == ["the far end has called: answer() is yours to say", "up"]


def test_an_endpoint_that_is_not_there() -> None:
    with World() as world:
        world.start()
        with pytest.raises(OriginateFailed) as failed:
            world.do(lambda: world.app.originate("PJSIP/nobody"))
        assert isinstance(failed.value.__cause__, AriServerError)
        assert failed.value.__cause__.reason == "Allocation failed"
        for endpoint in ("", "PJSIP", "PJSIP/", "/bob"):
            with pytest.raises(ValueError, match="Technology/resource"):
                world.do(lambda endpoint=endpoint: world.app.originate(endpoint))  # type: ignore[misc]
        with pytest.raises(ValueError, match="positive seconds"):
            world.do(lambda: world.app.originate("PJSIP/bob", timeout=0.0))
        world.assert_nothing_is_left()


def test_an_originate_that_is_cancelled_is_hung_up() -> None:
    with World() as world:
        world.asterisk.add_endpoint("PJSIP/bob", Callee().rings(2.0).answers())
        world.start()
        task, results = world.spawn(world.app.originate("PJSIP/bob"))
        world.run(1.0)
        assert len(world.asterisk.channel_ids) == 1
        task.cancel()
        world.run(0.1)
        assert results == []
        assert world.asterisk.people[0].answered_at is None
        assert world.asterisk.people[0].ended_at == 1.0
        world.assert_nothing_is_left()


# ---- hangup callbacks ----------------------------------------------------------------------------------------------


def test_callbacks_run_in_order_and_one_that_fails_stops_nobody() -> None:
    with World() as world:
        order: list[object] = []
        calls: list[CallSession] = []

        async def handler(call: CallSession) -> None:
            calls.append(call)

            @call.on_hangup
            async def first() -> None:
                order.append("first")
                await world.loop.sleep(1.0)

                @call.on_hangup
                async def from_within() -> None:
                    order.append(("from within", world.now))

            @call.on_hangup
            async def second() -> None:
                order.append(("second", world.now))
                raise ValueError("no such record")

            @call.on_hangup
            async def third() -> None:
                order.append("third")
                await call.hangup()
                assert await call.wait_ended() == call.end

            await call.answer()

        world.app.default()(handler)
        world.start()
        world.call()
        world.run(5.0)
        assert order == ["first", ("second", 1.0), "third", ("from within", 1.0)]
        (entry,) = [entry for entry in world.driver.log if entry.level >= LogLevel.WARNING]
        assert calls[0].id in entry.message
        assert isinstance(entry.error, ValueError)

        @calls[0].on_hangup
        async def late() -> None:
            order.append(("late", world.now))

        world.run(1.0)
        assert order[-1] == ("late", 5.0)
        world.assert_nothing_is_left()
        world.stop()
        with pytest.raises(LocalProtocolError):
            calls[0].on_hangup(late)


# ---- handlers and routes -------------------------------------------------------------------------------------------


def test_a_handler_that_raises_loses_its_own_call() -> None:
    with World() as world:

        async def broken(call: CallSession) -> None:
            await call.answer()
            raise RuntimeError("oh")

        world.app.route(extension="broken")(broken)
        world.app.default()(answers_and_listens)
        world.start()
        other = world.call(Caller("1").waits_for_answer().presses("1", after=3.0))
        victim = world.call(Caller("2", dials="broken"))
        world.run(1.0)
        assert (victim.cause, victim.ended_at, victim.hung_up_first) == (41, 0.0, False)
        (entry,) = [entry for entry in world.driver.log if entry.level >= LogLevel.WARNING]
        assert entry.level is LogLevel.ERROR
        assert victim.channel_id in entry.message
        assert isinstance(entry.error, RuntimeError)
        world.run(5.0)
        assert other.cause == 16
        assert other.ended_at == pytest.approx(3.1)
        world.assert_nothing_is_left()


def call_ended(call: CallSession) -> CallEnded:
    assert call.end is not None
    return CallEnded(call.id, call.end)


@pytest.mark.parametrize(
    ("make", "logged"),
    [
        (call_ended, False),
        (lambda call: ExceptionGroup("", [call_ended(call), call_ended(call)]), False),
        (lambda call: ExceptionGroup("", [ExceptionGroup("", [call_ended(call)])]), False),
        (lambda call: ExceptionGroup("", [call_ended(call), KeyError("x")]), True),
    ],
    ids=["alone", "group", "nested", "mixed"],
)
def test_call_ended_is_a_normal_end(make: Callable[[CallSession], Exception], logged: bool) -> None:
    with World() as world:

        async def handler(call: CallSession) -> None:
            await call.wait_ended()
            raise make(call)

        world.app.default()(handler)
        world.start()
        world.call(Caller("1").waits(1.0).hangs_up())
        world.run(5.0)
        assert bool(world.log()) == logged
        world.assert_nothing_is_left()


def test_a_call_that_nobody_wants() -> None:
    with World() as world:
        world.app.route(extension="200")(answers_and_listens)
        world.start()
        person = world.call(Caller("5550100", dials="100"))
        world.run(1.0)
        assert (person.cause, person.answered_at) == (1, None)
        (line,) = world.log()
        assert person.channel_id in line
        assert "no route" in line
        world.assert_nothing_is_left()


def test_routes_by_extension_and_by_number() -> None:
    with World(number_variable="DID") as world:
        taken: list[tuple[str, str, str]] = []

        async def note(name: str, call: CallSession) -> None:
            taken.append((name, call.caller_id, call.called_number))

        world.app.route(extension="200")(partial(note, "extension"))
        world.app.route(number="5550199")(partial(note, "number"))
        world.app.default()(partial(note, "default"))
        world.start()
        for caller in (
            Caller("1", dials="200"),
            Caller("2", dials="s").sets("DID", "5550199"),
            Caller("3", dials="200").sets("DID", "5550199"),
            Caller("4", dials="300"),
            Caller("5", dials="5550199"),
            Caller("6", dials="300").sets("DID", "200"),  # which is another's extension
        ):
            world.call(caller)
            world.run(1.0)
        assert taken == [
            ("extension", "1", "200"),
            ("number", "2", "5550199"),
            ("extension", "3", "5550199"),
            ("default", "4", "300"),
            ("number", "5", "5550199"),
            ("default", "6", "200"),
        ]
        assert world.log() == []
        with pytest.raises(ValueError, match="already"):
            world.app.route(extension="200")(answers_and_listens)
        with pytest.raises(ValueError, match="already"):
            world.app.default()(answers_and_listens)
        with pytest.raises(ValueError, match="one of them"):
            world.app.route()(answers_and_listens)


def test_a_caller_who_hangs_up_before_the_number_is_read() -> None:
    with World(Delays(replies=(1.0,)), number_variable="DID") as world:
        world.app.default()(answers_and_listens)
        world.start()
        world.call(Caller("1").sets("DID", "7").waits(0.5).hangs_up())
        world.run(5.0)
        assert world.log() == []
        world.assert_nothing_is_left()


def test_each_call_has_its_own_metadata() -> None:
    with World() as world:
        seen: list[dict[str, object]] = []

        async def handler(call: CallSession) -> None:
            seen.append(call.metadata)
            call.metadata["list"].append(call.id)

        metadata = {"list": ["a"], "tenant": "x"}
        world.app.default(metadata=metadata)(handler)
        world.start()
        first, second = world.call(), world.call()
        world.run(1.0)
        assert seen == [
            {"list": ["a", first.channel_id], "tenant": "x"},
            {"list": ["a", second.channel_id], "tenant": "x"},
        ]
        assert metadata == {"list": ["a"], "tenant": "x"}


# ---- the end of the application ------------------------------------------------------------------------------------


def test_stop_lets_handlers_finish_and_takes_no_more_calls() -> None:
    with World() as world:
        ends: list[tuple[float, object]] = []

        async def short(call: CallSession) -> None:
            await call.answer()
            await call.play_file("hello-world")
            ends.append((world.now, "short"))

        async def endless(call: CallSession) -> None:
            @call.on_hangup
            async def ended() -> None:
                ends.append((world.now, call.end and call.end.by))

            await call.answer()
            await call.listen_dtmf()

        world.app.route(extension="short")(short)
        world.app.default()(endless)
        world.start()
        world.call(Caller("1", dials="short"))
        person = world.call()
        world.run(0.5)
        stopping, _ = world.spawn(world.app.stop(grace=3.0))
        world.run(0.5)
        refused = world.call()
        world.run(0.1)
        assert refused.cause == 34
        assert person.ended_at is None
        assert world.served() is None
        world.loop.run_until(stopping.done)
        assert ends == [(1.0, "short"), (3.5, EndedBy.LOCAL)]
        assert (person.cause, world.now) == (16, 3.5)
        assert world.asterisk.channel_ids == []
        assert not world.asterisk.has_app("voxtra")
        assert world.driver.tasks == {}
        world.do(world.app.stop)  # nothing happens


def test_stop_with_nothing_to_do_returns_at_once() -> None:
    with World() as world:
        world.start()
        world.stop()
        assert world.now == 0.0


def test_stop_that_is_cancelled_still_stops() -> None:
    with World() as world:
        world.app.default()(answers_and_listens)
        world.start()
        world.call()
        world.run(0.5)
        task, _ = world.spawn(world.app.stop(grace=1.0))
        world.run(0.1)
        task.cancel()
        assert world.served() is None
        assert world.now == 1.5
        assert world.asterisk.channel_ids == []


def test_serve_that_is_cancelled_hangs_up() -> None:
    with World() as world:
        ended: list[object] = []

        async def handler(call: CallSession) -> None:
            @call.on_hangup
            async def note() -> None:
                ended.append(call.end and call.end.by)

            try:
                await answers_and_listens(call)
            except Cancelled:
                ended.append("cancelled")
                raise

        world.app.default()(handler)
        world.start()
        person = world.call()
        world.run(0.5)
        assert world.serving is not None
        world.serving.cancel()
        world.served()
        assert ended == ["cancelled", EndedBy.LOCAL]
        assert person.ended_at == 0.5
        assert world.now <= 1.5
        assert world.driver.tasks == {}


def test_the_connection_is_lost() -> None:
    """Where none is wanted instead: every handler is told, callbacks run, what waits is settled, and ``serve()`` says
    what happened.
    """
    with World(Delays(replies=(0.2,)), reconnect=None) as world:
        told: list[object] = []

        async def handler(call: CallSession) -> None:
            @call.on_hangup
            async def note() -> None:
                told.append((call.id, call.state))
                await world.loop.sleep(0.5)
                told.append("after a while")

            try:
                await answers_and_listens(call)
            except CallEnded as ended:
                told.append(ended.end.by)
                raise

        world.app.default()(handler)
        world.start()
        first, second = world.call(), world.call()
        world.run(1.0)
        request, _ = world.spawn(world.app.request(channels.list()))
        world.run(0.1)
        world.link.drop(world.now)
        assert isinstance(world.served(), ConnectionLost)
        assert told[:2] == [EndedBy.CONNECTION] * 2
        assert set(told[2:4]) == {(person.channel_id, CallState.COMPLETED) for person in (first, second)}
        assert told[4:] == ["after a while"] * 2
        assert world.now == pytest.approx(1.6)
        assert request.error is not None
        assert type(request.error).__name__ == "RequestOutcomeUnknown"
        assert world.driver.tasks == {}
        assert world.driver.machine.stasis.calls == {}
        # the channels live on: Asterisk does not hang up for us
        assert len(world.asterisk.channel_ids) == 2


def test_a_callback_that_does_not_end_is_cancelled_after_the_connection_was_lost() -> None:
    with World(reconnect=None) as world:

        async def handler(call: CallSession) -> None:
            @call.on_hangup
            async def note() -> None:
                await world.loop.sleep(3600.0)

            await answers_and_listens(call)

        world.app.default()(handler)
        world.start()
        world.call()
        world.run(1.0)
        world.link.drop(world.now)
        assert isinstance(world.served(), ConnectionLost)
        assert world.now == 6.0
        assert len(world.log()) == 1
        assert world.driver.tasks == {}


def test_serve_once_at_a_time_and_again_afterwards() -> None:
    with World() as world:
        world.app.default()(answers_and_listens)
        with pytest.raises(LocalProtocolError, match="not being served"):
            world.do(lambda: world.app.originate("PJSIP/bob"))
        world.do(world.app.stop)  # of what is not served: nothing
        _, waiting = world.spawn(world.app.started())
        world.run(1.0)
        assert waiting == []
        world.start()
        world.run(0.1)
        assert waiting == [None]
        with pytest.raises(LocalProtocolError, match="already"):
            world.do(world.app.serve)
        world.do(world.app.started)
        world.stop()
        world.start()
        person = world.call(Caller("1").waits_for_answer().presses("1"))
        world.run(1.0)
        assert person.cause == 16
        world.assert_nothing_is_left()
        world.stop()


def test_what_passes_is_shown_to_the_observer() -> None:
    seen: list[str] = []
    with World(observer=lambda what: seen.append(type(what).__name__)) as world:
        world.app.default()(answers_and_listens)
        world.start()
        world.call(Caller("1").waits_for_answer().presses("1"))
        world.run(1.0)
        assert {"StasisStart", "Request", "Reply", "CallChanged", "ChannelDtmfReceived", "StasisEnd"} <= {*seen}


def test_a_request_is_typed() -> None:
    with World() as world:
        world.app.default()(answers_and_listens)
        world.start()
        person = world.call()
        world.run(1.0)
        channel = world.do(lambda: world.app.request(channels.get(person.channel_id)))
        assert (channel.id, channel.state, channel.caller.number) == (person.channel_id, "Up", "5550100")
        assert [channel.id for channel in world.do(lambda: world.app.request(channels.list()))] == [person.channel_id]
