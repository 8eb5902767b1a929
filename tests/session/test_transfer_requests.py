"""What a far end asks for by REFER, and how it ends: virtual time, and an Asterisk that says what the test wants. The
real one is asked in ``tests/asterisk/test_transfer_requests.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from voxtra_asyncio import VoxtraApp
from voxtra_core import (
    AriError,
    BridgeGone,
    CallEnded,
    CallSession,
    CallState,
    LocalProtocolError,
    OriginateFailed,
    RequestNotSent,
    TransferFailed,
)
from voxtra_core.ari import Request
from voxtra_core.ari.messages import Reply, RequestFailed
from voxtra_core.effects import LogLevel
from voxtra_core.session.transfer_requests import TransferRequest
from voxtra_core.stasis.transfer_requests import PATIENCE
from voxtra_core.testing import Agent, Callee, Caller
from voxtra_core.testing.strategies import check_call_flow

from .world import Delays, World

DESKS = {
    "PJSIP/free": Callee().rings(1.0).answers(),
    "PJSIP/busy": Callee().rings(1.0).is_busy(),
    "PJSIP/away": Callee().rings(99.0).answers(),
    "PJSIP/short": Callee().rings(1.0).answers().waits(0.1).hangs_up(),
}


class Scene(World):
    """A caller talks with an agent, and the agent's phone asks for a transfer; the caller's handler hears of it."""

    def __init__(self, agent: Callee | None = None, caller: Caller | None = None, delays: Delays | None = None) -> None:
        super().__init__(delays)
        for endpoint, callee in {**DESKS, "PJSIP/agent": agent or Callee().answers()}.items():
            self.asterisk.add_endpoint(endpoint, callee)
        self.caller: CallSession
        self.agent: CallSession
        self.requests: list[TransferRequest] = []
        self.may_end = False
        self.told: list[str] = []
        """What the phone was told."""
        self.app.default()(self.handle)
        self.app.prepare = lambda link: setattr(link, "refuse", self.tell)
        self.start()
        self.call(caller or Caller("5550100"))
        self.run(1.0)

    def tell(self, request_id: str, request: Request[Any]) -> Reply | None:
        if request.operation != "channels.transfer_progress":
            return None
        self.told.append(dict(request.query)["states"])
        return Reply(request_id, 204, "", b"")

    async def handle(self, call: CallSession) -> None:
        await call.answer()
        self.caller, self.agent = call, await self.app.originate("PJSIP/agent")
        await call.bridge_with(self.agent)
        async with await self.agent.transfer_requests() as requests:
            async for request in requests:
                self.requests.append(request)
        while not self.may_end:
            await self.loop.sleep(0.1)

    def asks(self, by: CallSession | None = None, **refer_to: Any) -> TransferRequest:
        """The agent's phone sends its REFER."""
        before = len(self.requests)
        self.link.inject(self.refer(by or self.agent, **refer_to))
        self.run(0.01)
        assert len(self.requests) == before + 1
        return self.requests[-1]

    def refer(self, by: CallSession, **refer_to: Any) -> str:
        """The event of a REFER."""
        return json.dumps(
            {
                "type": "ChannelTransfer",
                "application": "voxtra",
                "timestamp": "2026-11-29T21:15:35.800+0000",
                "refer_to": {"requested_destination": {"destination": "200"}, **refer_to},
                "referred_by": {"source_channel": self.snapshot(by)},
            }
        )

    def snapshot(self, call: CallSession) -> dict[str, Any]:
        """Its channel, as Asterisk describes it."""
        return self.asterisk._exchange.channels[call.id].snapshot()

    def second_line(self) -> tuple[CallSession, CallSession]:
        """The agent's phone has another call, with a desk: our ends of the two."""

        async def call() -> tuple[CallSession, CallSession]:
            line, desk = await self.app.originate("PJSIP/agent"), await self.app.originate("PJSIP/free")
            await line.bridge_with(desk)
            return line, desk

        return self.do(call)

    def outcome(self, body: Callable[[], Any]) -> tuple[Any, list[Any]]:
        return self.spawn(body())

    def together(self) -> set[str]:
        """The channels that are in a bridge."""
        return {
            channel_id
            for bridge in self.asterisk._exchange.bridges.values()
            for channel_id in bridge.snapshot()["channels"]
        }

    def over(self) -> None:
        """All hang up, and nothing is left."""
        self.may_end = True
        requests = self.driver.machine.stasis.transfer_requests
        assert self.log(LogLevel.ERROR) == []
        self.stop()
        self.assert_nothing_is_left()
        assert (requests._open, requests._listeners, len(requests._timers)) == ({}, {}, 0)

    def handling(self) -> list[str]:
        """How Asterisk was asked to handle the transfers of its phones."""
        told = [dict(r.query) for r in self.link.requests.values() if r.operation == "channels.set_channel_var"]
        return [each["value"] for each in told if each["variable"] == "PJSIP_TRANSFER_HANDLING()"]


def test_accepted() -> None:
    """The caller is moved when they have answered, not before; and the phone that does not hang up is hung up."""
    with Scene() as scene:
        request = scene.asks()
        assert (request.destination, request.transferee, request.target) == ("200", scene.caller, None)
        assert request.event.refer_to.requested_destination.destination == "200"
        task, results = scene.outcome(lambda: request.accept("PJSIP/free"))
        scene.run(0.5)
        assert scene.together() == {scene.caller.id, scene.agent.id}
        scene.run(0.6)
        assert task.error is None
        assert results == [scene.caller.machine.bridge.id if scene.caller.machine.bridge else ""]
        assert scene.told == ["channel_progress", "channel_answered"]
        assert scene.caller.id in scene.together()
        assert scene.agent.id not in scene.together()
        scene.run(1.7)
        assert scene.agent.end is None
        scene.run(0.3)
        assert scene.agent.state is CallState.COMPLETED
        assert scene.caller.end is None
        scene.over()


@pytest.mark.parametrize(
    ("endpoint", "told"), [("PJSIP/busy", "channel_declined"), ("PJSIP/away", "channel_unavailable")]
)
def test_it_comes_to_nothing(endpoint: str, told: str) -> None:
    """The two talk on."""
    with Scene() as scene:
        request = scene.asks()
        task, _ = scene.outcome(lambda: request.accept(endpoint, timeout=3))
        scene.run(5.0)
        assert isinstance(task.error, TransferFailed)
        assert scene.told == ["channel_progress", told]
        assert scene.together() == {scene.caller.id, scene.agent.id}
        scene.asks()  # and may ask again
        scene.over()


@pytest.mark.parametrize("reason", ["declined", "unavailable"])
def test_declined(reason: Any) -> None:
    with Scene() as scene:
        request = scene.asks()
        for _ in range(2):
            scene.do(lambda: request.decline(reason))
        assert scene.told == [f"channel_{reason}"]
        with pytest.raises(LocalProtocolError, match="already"):
            scene.do(lambda: request.accept("PJSIP/free"))
        assert scene.together() == {scene.caller.id, scene.agent.id}
        scene.over()


def test_declined_while_it_is_being_accepted() -> None:
    with Scene() as scene:
        request = scene.asks()
        task, _ = scene.outcome(lambda: request.accept("PJSIP/free"))
        scene.run(0.5)
        scene.do(request.decline)
        assert isinstance(task.error, TransferFailed)
        assert scene.told == ["channel_progress", "channel_declined"]
        assert len(scene.asterisk.channel_ids) == 2
        scene.over()


@pytest.mark.parametrize("after", [0.0, 0.5, 1.0, 1.005])
def test_cancelled_while_it_is_being_accepted(after: float) -> None:
    """Nobody is left ringing, or with nobody."""
    with Scene() as scene:
        request = scene.asks()
        task, _ = scene.outcome(lambda: request.accept("PJSIP/free"))
        scene.run(after)
        task.cancel()
        scene.run(1.0)
        if "channel_answered" not in scene.told:
            assert scene.told == ["channel_progress", "channel_declined"]
            assert scene.together() == {scene.caller.id, scene.agent.id}
        scene.over()


def test_nobody_answers_it() -> None:
    with Scene() as scene:
        request = scene.asks()
        scene.run(PATIENCE - 0.1)
        assert scene.told == []
        scene.run(0.1)
        assert scene.told == ["channel_declined"]
        assert any("nobody has answered" in line for line in scene.log())
        with pytest.raises(TransferFailed, match="nobody had answered"):
            scene.do(lambda: request.accept("PJSIP/free"))
        scene.over()


def test_the_handler_ends() -> None:
    with Scene() as scene:
        request = scene.asks()
        task = scene.handler_task(scene.caller.id)
        assert task is not None
        task.cancel()
        scene.run(0.1)
        assert scene.told == ["channel_declined"]
        assert scene.together() == {scene.caller.id, scene.agent.id}
        with pytest.raises(TransferFailed, match="nobody had answered"):
            scene.do(lambda: request.accept("PJSIP/free"))
        scene.over()


def test_the_handler_ends_while_it_is_being_accepted() -> None:
    """Somebody else waits for it: the caller is kept for them."""
    with Scene() as scene:
        request = scene.asks()
        _, results = scene.outcome(lambda: request.accept("PJSIP/free"))
        scene.may_end = True
        scene.do(scene.agent.hangup)
        scene.run(0.2)
        assert scene.handler_task(scene.caller.id) is None
        assert scene.caller.end is None
        scene.run(1.0)
        assert len(results) == 1
        assert scene.caller.id in scene.together()
        scene.over()


def test_the_phone_hangs_up_at_once() -> None:
    """The request can be accepted all the same; for the caller's handler it is not alone meanwhile."""
    with Scene(Callee().answers().waits(2.0).hangs_up()) as scene:
        request = scene.asks()
        waiting, unbridged = scene.spawn(scene.caller.wait_unbridged())
        scene.run(3.0)
        assert scene.agent.end is not None
        assert scene.caller.machine.bridge is None
        assert not waiting.done.done
        _, results = scene.outcome(lambda: request.accept("PJSIP/short"))
        scene.run(1.05)
        assert len(results) == 1
        assert scene.told == []
        assert not waiting.done.done
        scene.run(1.0)
        assert unbridged == [None]
        scene.over()


def test_the_phone_hangs_up_and_it_comes_to_nothing() -> None:
    with Scene(Callee().answers().waits(2.0).hangs_up()) as scene:
        request = scene.asks()
        scene.run(3.0)
        waiting, unbridged = scene.spawn(scene.caller.wait_unbridged())
        scene.run(1.0)
        assert not waiting.done.done
        scene.do(request.decline)
        scene.run(0.1)
        assert unbridged == [None]
        assert scene.told == []
        scene.over()


def test_the_caller_hangs_up_before_anybody_answers_it() -> None:
    with Scene(caller=Caller("5550100").waits_for_answer().waits(3.0).hangs_up()) as scene:
        request = scene.asks()
        scene.run(3.0)
        assert scene.told == ["channel_unavailable"]
        with pytest.raises(CallEnded):
            scene.do(lambda: request.accept("PJSIP/free"))
        scene.over()


def test_the_caller_hangs_up_meanwhile() -> None:
    with Scene(caller=Caller("5550100").waits_for_answer().waits(3.0).hangs_up()) as scene:
        request = scene.asks()
        task, _ = scene.outcome(lambda: request.accept("PJSIP/away"))
        scene.run(3.0)
        assert isinstance(task.error, CallEnded)
        assert scene.told == ["channel_progress", "channel_unavailable"]
        assert scene.asterisk.channel_ids == [scene.agent.id]
        scene.over()


def test_what_it_asks_for_meanwhile_gets_the_answer_to_the_first() -> None:
    with Scene() as scene:
        request = scene.asks()
        with pytest.raises(AssertionError):
            scene.asks()
        scene.do(request.decline)
        assert scene.told == ["channel_declined"]
        scene.over()


def test_attended() -> None:
    """The party on the phone's second line is who the caller is connected with."""
    with Scene() as scene:
        line, desk = scene.second_line()
        request = scene.asks(destination_channel=scene.snapshot(line))
        assert (request.transferee, request.target) == (scene.caller, desk)
        bridge_id = scene.do(request.accept)
        assert scene.told == ["channel_progress", "channel_answered"]
        assert scene.asterisk._exchange.bridges[bridge_id].snapshot()["channels"] == [scene.caller.id, desk.id]
        scene.run(2.0)
        assert {*scene.asterisk.channel_ids} == {scene.caller.id, desk.id}
        scene.over()


def test_attended_and_the_other_goes() -> None:
    with Scene() as scene:
        line, desk = scene.second_line()
        request = scene.asks(destination_channel=scene.snapshot(line))
        scene.do(desk.hangup)
        with pytest.raises(TransferFailed):
            scene.do(request.accept)
        assert scene.told == ["channel_unavailable"]
        assert scene.together() == {scene.caller.id, scene.agent.id}
        scene.do(line.hangup)
        scene.over()


def test_with_no_endpoint_and_nobody_on_another_line() -> None:
    with Scene() as scene:
        request = scene.asks()
        with pytest.raises(ValueError, match="endpoint"):
            scene.do(request.accept)
        scene.do(request.decline)  # it is still open
        assert scene.told == ["channel_declined"]
        scene.over()


def test_with_several_there_is_no_one_to_transfer() -> None:
    with Scene() as scene:

        async def conference() -> None:
            bridge = await scene.app.create_bridge()
            for call in (scene.caller, scene.agent, await scene.app.originate("PJSIP/free")):
                await bridge.add(call)

        scene.do(conference)
        request = scene.asks()
        assert request.transferee is None
        with pytest.raises(TransferFailed, match="several"):
            scene.do(lambda: request.accept("PJSIP/free"))
        assert scene.told == ["channel_declined"]
        scene.over()


def test_what_has_been_answered_is_not_overdue() -> None:
    with Scene() as scene:
        request = scene.asks()
        scene.do(request.decline)
        accepted = scene.asks()
        scene.do(lambda: accepted.accept("PJSIP/free"))
        scene.run(2 * PATIENCE)
        assert scene.told == ["channel_declined", "channel_progress", "channel_answered"]
        assert scene.log() == []
        scene.over()


def test_what_is_being_accepted_is_not_overdue() -> None:
    with Scene() as scene:
        request = scene.asks()
        task, _ = scene.outcome(lambda: request.accept("PJSIP/away", timeout=PATIENCE + 20))
        scene.run(PATIENCE + 10)
        assert not task.done.done
        assert scene.log() == []
        scene.over()


class Listening(Scene):
    """The agent's own handler has the requests, and does what the test wants; the caller's just stays."""

    def __init__(self, listen: Callable[[Listening, CallSession], Coroutine[Any, Any, None]]) -> None:
        self.listen = listen
        super().__init__()

    async def handle(self, call: CallSession) -> None:
        await call.answer()
        self.caller = call
        self.agent = await self.app.originate("PJSIP/agent", handler=self.handle_agent)
        await call.bridge_with(self.agent)
        while not self.may_end:
            await self.loop.sleep(0.1)

    async def handle_agent(self, agent: CallSession) -> None:
        while agent.machine.bridge is None:
            await self.loop.sleep(0.01)
        await self.listen(self, agent)


def test_it_waits_for_the_handler_of_the_one_who_asks() -> None:
    """That of the other ends meanwhile."""

    async def listen(scene: Listening, agent: CallSession) -> None:
        async with await agent.transfer_requests() as requests:
            async for request in requests:
                scene.requests.append(request)

    with Listening(listen) as scene:
        request = scene.asks()
        scene.may_end = True
        scene.run(1.0)
        assert scene.handler_task(scene.caller.id) is None
        assert scene.told == []
        scene.do(lambda: request.accept("PJSIP/free"))
        scene.run(5.0)
        assert scene.agent.end is not None
        assert len(scene.together()) == 2
        scene.over()


def test_behind_the_block_asterisk_does_what_it_does() -> None:
    """What is open is declined, and who waits for more hears that there is none."""

    async def listen(scene: Listening, agent: CallSession) -> None:
        requests = await agent.transfer_requests()
        scene.requests.append(await anext(requests))
        waiting, _ = scene.spawn(anext(requests))
        await scene.loop.sleep(1.0)
        requests.close()
        requests.close()
        await scene.loop.sleep(1.0)
        assert isinstance(waiting.error, StopAsyncIteration)
        await agent.wait_ended()

    with Listening(listen) as scene:
        scene.asks()
        scene.run(0.5)
        assert (scene.told, scene.handling()) == ([], ["ari-only"])
        scene.run(3.0)
        assert (scene.told, scene.handling()) == (["channel_declined"], ["ari-only", "core"])
        scene.do(scene.agent.hangup)
        scene.over()


def test_nobody_holds_the_stream_any_more() -> None:
    """The first that asks is declined, and then Asterisk does what it does."""

    async def listen(scene: Listening, agent: CallSession) -> None:
        await agent.transfer_requests()
        await agent.wait_ended()

    with Listening(listen) as scene:
        scene.link.inject(scene.refer(scene.agent))
        scene.run(0.1)
        assert (scene.told, scene.handling()) == (["channel_declined"], ["ari-only", "core"])
        scene.do(scene.agent.hangup)
        scene.over()


def test_a_call_that_ends_is_not_asked_for_anything() -> None:
    with Scene() as scene:
        scene.do(scene.agent.hangup)
        scene.run(1.0)
        assert scene.handling() == ["ari-only"]
        scene.over()


def ask_first(answer: Callable[[str, Request[Any]], Any], endpoint: str = "PJSIP/agent") -> BaseException | None:
    """What comes of listening where Asterisk's release is asked for in vain."""
    with World() as world:
        world.asterisk.add_endpoint(endpoint, Callee().answers())
        world.app.prepare = lambda link: setattr(link, "refuse", answer)
        world.start()
        call = world.do(lambda: world.app.originate(endpoint))
        task, _ = world.spawn(call.transfer_requests())
        world.run(1.0)
        assert task.done.done
        world.do(call.hangup)
        world.stop()
        world.assert_nothing_is_left()
        return task.error


def test_whoever_may_not_ask_for_the_release_listens_all_the_same() -> None:
    def answer(request_id: str, request: Request[Any]) -> Reply | None:
        return Reply(request_id, 403, "Forbidden", b"") if request.operation == "asterisk.get_info" else None

    assert ask_first(answer) is None


def test_where_it_cannot_be_asked_nobody_listens() -> None:
    def answer(request_id: str, request: Request[Any]) -> RequestFailed | None:
        asks = request.operation == "asterisk.get_info"
        return RequestFailed(request_id, RequestNotSent("too many")) if asks else None

    assert isinstance(ask_first(answer), RequestNotSent)


def test_what_is_not_by_pjsip_asks_for_nothing() -> None:
    error = ask_first(lambda request_id, request: None, "SIP/agent")
    assert isinstance(error, LocalProtocolError)
    assert "not by PJSIP" in str(error)


@pytest.mark.parametrize(("destination", "is_connected"), [("free", True), ("busy", False)])
def test_a_phone_that_asks_by_itself(destination: str, is_connected: bool) -> None:
    """The whole of it, with nothing that the test has put into Asterisk's mouth."""
    phone = Callee().answers().waits(1.0).asks_for_transfer(destination).waits(30.0).hangs_up()
    with World() as world:
        for endpoint, callee in {**DESKS, "PJSIP/agent": phone}.items():
            world.asterisk.add_endpoint(endpoint, callee)
        done: list[object] = []

        @world.app.default()
        async def handler(call: CallSession) -> None:
            await call.answer()
            agent = await world.app.originate("PJSIP/agent")
            await call.bridge_with(agent)
            async with await agent.transfer_requests() as requests:
                async for request in requests:
                    try:
                        done.append(await request.accept(f"PJSIP/{request.destination}"))
                    except TransferFailed as error:
                        done.append(error)
            done.append(agent.end)

        world.start()
        world.call()
        world.run(5.0)
        (bridge_id,) = world.asterisk.bridge_ids
        assert (done[0] == bridge_id) is is_connected
        assert len(done) == (2 if is_connected else 1)  # who is connected has hung up
        assert len(world.app.calls) == 2
        world.stop()
        world.assert_nothing_is_left()


def test_an_asterisk_that_is_too_old() -> None:
    """It would take on the setting without a word."""
    with World() as world:
        world.asterisk.add_endpoint("PJSIP/agent", Callee().answers())
        old = json.dumps({"system": {"version": "20.12.1", "entity_id": "x"}}).encode()

        def answer(request_id: str, request: Request[Any]) -> Reply | None:
            return Reply(request_id, 200, "", old) if request.operation == "asterisk.get_info" else None

        world.app.prepare = lambda link: setattr(link, "refuse", answer)
        world.start()
        call = world.do(lambda: world.app.originate("PJSIP/agent"))
        with pytest.raises(LocalProtocolError, match=r"Asterisk 20\.12\.1 is too old: this takes 20\.13, 21\.8, 22\.3"):
            world.do(call.transfer_requests)
        world.do(call.hangup)
        world.stop()
        world.assert_nothing_is_left()


# ---- anybody may hang up at any instant ------------------------------------------------------------------------------

SLOW = Delays(requests=(0.01, 0.03), replies=(0.02,), events=(0.0, 0.04))
JOINING = [0.04 * step for step in range(10)]
INSTANTS = {False: [0.0, 0.1, 0.5, *(0.95 + instant for instant in JOINING)], True: JOINING}
"""Seconds after it was accepted: without, and with a second line. A desk rings for one second."""


@pytest.mark.parametrize("delays", [Delays(), SLOW], ids=["at-once", "slow"])
@pytest.mark.parametrize("who", ["caller", "agent", "desk"])
@pytest.mark.parametrize("is_attended", [False, True], ids=["blind", "attended"])
def test_whoever_hangs_up_whenever_nothing_is_left(delays: Delays, who: str, is_attended: bool) -> None:
    """And the two who are left are together, if they had been or were to be, and the agent has been told."""
    outcomes = {somebody_hangs_up(delays, who, is_attended, instant) for instant in INSTANTS[is_attended]}
    assert "done" in outcomes


def somebody_hangs_up(delays: Delays, who: str, is_attended: bool, instant: float) -> str:
    """What becomes of the transfer."""
    with Scene(delays=delays) as scene:
        line, desk = scene.second_line() if is_attended else (None, None)
        request = scene.asks() if line is None else scene.asks(destination_channel=scene.snapshot(line))
        known = {*scene.app.calls}
        task, _ = scene.outcome(lambda: request.accept(None if is_attended else "PJSIP/free"))
        scene.run(instant)
        if desk is None:
            desk = next(call for call_id, call in scene.app.calls.items() if call_id not in known)
        scene.do({"caller": scene.caller, "agent": scene.agent, "desk": desk}[who].hangup)
        scene.run(1.5)
        assert task.done.done, instant
        assert task.error is None or isinstance(task.error, TransferFailed | CallEnded), (instant, task.error)
        together, is_done = scene.together(), task.error is None
        if who == "agent":
            assert is_done, (instant, task.error)
            assert together == {scene.caller.id, desk.id}, instant
        else:
            assert scene.told[-1] == "channel_answered" if is_done else scene.told[-1] != "channel_answered", instant
        assert who != "desk" or is_done or isinstance(task.error, TransferFailed), (instant, task.error)
        if who == "desk" and not is_done:
            assert together == {scene.caller.id, scene.agent.id}, instant
        for call in (line, desk):
            if call is not None:
                scene.do(call.hangup)
        scene.over()
        return "done" if is_done else type(task.error).__name__


# ---- whatever Asterisk, the link and the people do -------------------------------------------------------------------


BOB = Agent("PJSIP/bob").rings(1.0)


@pytest.mark.soak
@pytest.mark.parametrize(
    "bob",
    [
        pytest.param(BOB.answers().waits(3.0).hangs_up(), id="answers"),
        pytest.param(BOB.is_busy(), id="busy", marks=pytest.mark.soak),
    ],
)
def test_it_keeps_what_any_flow_must(bob: Agent) -> None:
    app = VoxtraApp("http://pbx.example:8088", "user", "secret")

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        with suppress(OriginateFailed, AriError, BridgeGone, CallEnded):
            agent = await app.originate("PJSIP/alice", timeout=10)
            await call.bridge_with(agent)
            async with await agent.transfer_requests() as requests:
                async for request in requests:
                    with suppress(TransferFailed):
                        await request.accept(f"PJSIP/{request.destination}")

    alice = Agent("PJSIP/alice").rings(1.0).answers().waits(1.0).asks_for_transfer("bob").waits(1.0).hangs_up()
    check_call_flow(app, agents=[alice, bob], max_silence=300.0, max_examples=60)
