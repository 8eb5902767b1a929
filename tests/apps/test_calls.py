"""One voice menu, unchanged, on both loops: whatever a call can do, it does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

from voxtra_core.call import CallEnd, CallState, EndedBy, PlaybackEnd
from voxtra_core.errors import AriServerError, CallEnded, OriginateFailed
from voxtra_core.session import CallSession
from voxtra_core.testing import Callee, Caller, Person

from .site import Site, served, until

pytestmark = pytest.mark.anyio

CALLER = Caller("5550100", name="Alice", dials="100")

both_ways = pytest.mark.parametrize("requests", ["http", pytest.param("websocket", marks=pytest.mark.soak)])


async def menu(call: CallSession) -> None:
    """All that a call can do, once."""
    await call.answer()
    assert await call.play_file("hello-world") is PlaybackEnd.DONE
    digit = await call.listen_dtmf(timeout=2)
    call.metadata["digit"] = digit
    await call.send_dtmf(f"{digit}#", between=10)
    await call.hold()
    call.metadata["held"] = call.state
    await call.unhold()
    await call.play_file("beep")


class Recorder:
    """A handler that runs another, and remembers calls, errors and how often they were told of the end."""

    def __init__(self, handler: Callable[[CallSession], Awaitable[object]]) -> None:
        self.calls: list[CallSession] = []
        self.errors: list[Exception] = []
        self.hangups: list[CallSession] = []
        self._handler = handler

    async def __call__(self, call: CallSession) -> None:
        self.calls.append(call)

        @call.on_hangup
        async def count() -> None:
            assert call.end is not None
            self.hangups.append(call)

        try:
            await self._handler(call)
        except Exception as error:
            self.errors.append(error)
            raise


def pressing(script: Caller) -> Caller:
    """Who does what the menu asks for."""
    return script.waits_for_prompt("hello-world").presses("7", between=0.02, duration=0.02).waits_for_digits("7#")


def check_what_was_heard(person: Person) -> None:
    assert [heard.what for heard in person.heard] == ["sound:hello-world", "music:default", "sound:beep"]
    assert person.digits == "7#"


@both_ways
async def test_a_call_comes_in(office: Site, requests: str) -> None:
    app = office.make_app(app_name="menu", requests=requests)
    handler = Recorder(menu)
    app.route(extension="100", metadata={"menu": "main"})(handler)
    async with served(app):
        alice = office.call(pressing(CALLER.waits_for_answer()), app)
        await until(lambda: handler.hangups)
    (call,) = handler.calls
    assert handler.errors == []
    assert handler.hangups == [call]
    assert (call.caller_id, call.called_number, call.direction) == ("5550100", "100", "inbound")
    assert (call.app_name, call.state) == ("menu", CallState.COMPLETED)
    assert call.metadata == {"menu": "main", "digit": "7", "held": CallState.ON_HOLD}
    assert call.end == CallEnd(16, EndedBy.LOCAL)
    assert call.duration > 0.2
    assert not alice.hung_up_first
    assert [heard.what for heard in alice.heard if heard.what != "ringing"] == [
        "sound:hello-world",
        "music:default",
        "sound:beep",
    ]
    assert alice.digits == "7#"


@both_ways
async def test_a_call_is_placed_with_a_handler(office: Site, requests: str) -> None:
    app = office.make_app(requests=requests)
    office.asterisk.add_endpoint(
        "PJSIP/bob",
        Callee().rings(0.02).answers().waits_for_prompt("hello-world").presses("7", between=0.02, duration=0.02),
    )
    handler = Recorder(menu)
    async with served(app):
        call = await app.originate("PJSIP/bob", caller_id='"V" <100>', metadata={"n": 1}, handler=handler)
        assert call.state is CallState.IN_PROGRESS
        await until(lambda: handler.hangups)
    assert handler.calls == [call]
    assert handler.errors == []
    assert (call.direction, call.called_number, call.state) == ("outbound", "bob", CallState.COMPLETED)
    assert call.metadata == {"n": 1, "digit": "7", "held": CallState.ON_HOLD}
    assert call.end == CallEnd(16, EndedBy.LOCAL)
    check_what_was_heard(office.asterisk.people[0])


@both_ways
async def test_a_call_is_placed_without_a_handler(office: Site, requests: str) -> None:
    app = office.make_app(requests=requests)
    office.asterisk.add_endpoint("PJSIP/bob", Callee().answers().presses("7", between=0.02, duration=0.02))
    async with served(app):
        call = await app.originate("PJSIP/bob")
        await menu(call)
        assert (office.connections == 1) == (requests == "websocket")
        assert call.state is CallState.IN_PROGRESS
        await call.hangup("busy")
        assert call.end == CallEnd(17, EndedBy.LOCAL)
    check_what_was_heard(office.asterisk.people[0])


async def test_a_call_of_ones_own_ends_with_the_application(office: Site) -> None:
    app = office.make_app()
    office.asterisk.add_endpoint("PJSIP/bob", Callee().answers())
    async with served(app):
        call = await app.originate("PJSIP/bob")
    assert call.state is CallState.COMPLETED
    assert office.asterisk.channel_ids == []


@pytest.mark.parametrize(
    ("callee", "cause", "dialstatus"),
    [(Callee().rings(0.02).is_busy(), 17, "BUSY"), (Callee().rings(0.02).is_congested(), 34, "CONGESTION")],
    ids=["busy", "congested"],
)
async def test_a_call_that_is_not_taken(office: Site, callee: Callee, cause: int, dialstatus: str) -> None:
    app = office.make_app()
    office.asterisk.add_endpoint("PJSIP/bob", callee)
    handler = Recorder(menu)
    async with served(app):
        with pytest.raises(OriginateFailed) as caught:
            await app.originate("PJSIP/bob", handler=handler)
    assert caught.value.end.cause == cause
    assert caught.value.dialstatus == dialstatus
    assert handler.calls == []


async def test_a_call_that_asterisk_does_not_place(office: Site) -> None:
    app = office.make_app()
    async with served(app):
        with pytest.raises(OriginateFailed) as caught:
            await app.originate("PJSIP/nobody")
    assert isinstance(caught.value.__cause__, AriServerError)


async def test_thirty_calls_at_once(office: Site) -> None:
    app = office.make_app()
    handler = Recorder(menu)
    app.default()(handler)
    async with served(app):
        people = [office.call(pressing(CALLER.waits_for_answer()), app) for _ in range(30)]
        await until(lambda: len(handler.hangups) >= 30)
    assert handler.errors == []
    assert sorted(call.id for call in handler.hangups) == sorted(person.channel_id for person in people)
    for person in people:
        assert person.digits == "7#"
        assert [heard.what for heard in person.heard if heard.what != "ringing"] == [
            "sound:hello-world",
            "music:default",
            "sound:beep",
        ]


async def _wait_for_playback(call: CallSession) -> None:
    handle = await call.start_playback("long")
    await handle.wait()


AWAITED: dict[str, Callable[[CallSession], Awaitable[object]]] = {
    "listen_dtmf": lambda call: call.listen_dtmf(),
    "listen_dtmf with timeout": lambda call: call.listen_dtmf(timeout=60),
    "play_file": lambda call: call.play_file("long"),
    "play_file several": lambda call: call.play_file(["beep", "long"]),
    "playback.wait": _wait_for_playback,
    "send_dtmf": lambda call: call.send_dtmf("1" * 50),
}


@pytest.mark.parametrize("awaited", AWAITED)
async def test_the_caller_hangs_up_under_what_is_awaited(
    office: Site, awaited: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = office.make_app()

    async def wait(call: CallSession) -> None:
        await call.answer()
        await AWAITED[awaited](call)

    handler = Recorder(wait)
    app.default()(handler)
    async with served(app):
        office.call(CALLER.waits_for_answer().waits(0.06).hangs_up(), app)
        await until(lambda: handler.hangups)
    (call,) = handler.calls
    (error,) = handler.errors
    assert isinstance(error, CallEnded)
    assert (error.call_id, error.end) == (call.id, CallEnd(16, EndedBy.REMOTE))
    assert handler.hangups == [call]
    assert call.state is CallState.COMPLETED
    assert caplog.records == []  # which has the warnings: a call that ends is none


async def test_a_call_given_up_before_it_was_answered(office: Site) -> None:
    app = office.make_app()
    handler = Recorder(lambda call: call.listen_dtmf())
    app.default()(handler)
    async with served(app):
        office.call(CALLER.waits(0.05).hangs_up(), app)
        await until(lambda: handler.hangups)
    (call,) = handler.calls
    assert (call.state, call.duration) == (CallState.FAILED, 0.0)


async def test_all_methods_of_a_call_that_is_over(office: Site) -> None:
    app = office.make_app()
    over = anyio.Event()
    told = []

    async def use(call: CallSession) -> None:
        await call.answer()
        handle = await call.start_playback("long")
        end = await call.wait_ended()
        methods: list[Callable[[], Awaitable[object]]] = [
            call.answer,
            call.ring,
            call.hold,
            call.unhold,
            lambda: call.play_file("beep"),
            lambda: call.start_playback("beep"),
            call.listen_dtmf,
            lambda: call.send_dtmf("1"),
            lambda: call.get_variable("color"),
            lambda: call.set_variable("color", "red"),
            call.continue_in_dialplan,
            handle.wait,
        ]
        for method in methods:
            with pytest.raises(CallEnded) as caught:
                await method()
            assert caught.value.end == end
        await call.hangup()
        assert await call.wait_ended() == end

        @call.on_hangup
        async def late() -> None:
            told.append(call.end)

        await until(lambda: told)
        over.set()

    app.default()(use)
    async with served(app):
        office.call(CALLER.waits_for_answer().waits(0.05).hangs_up(), app)
        await over.wait()
    assert told == [CallEnd(16, EndedBy.REMOTE)]


async def test_a_call_that_no_route_is_for(office: Site, caplog: pytest.LogCaptureFixture) -> None:
    app = office.make_app()
    app.route(extension="200")(menu)
    async with served(app):
        alice = office.call(CALLER.waits_for_answer(), app)
        await until(lambda: alice.ended_at is not None)
    assert alice.cause == 1
    assert "no route for it" in caplog.text
