"""Transfers on SIP legs: sipp calls, and sipp is called. Whatever happens at whichever step, the right two talk with
each other, which is proved by what Asterisk sends to each of them, and nothing is left.

Both loops, and one way of sending requests: what a way could break is the same for a Local channel, and is tried there
(``test_transfers.py``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress

import anyio
import attrs
import pytest

from voxtra_core import CallEnded, CallSession, CallState, TransferFailed, TransferOutcomeUnknown
from voxtra_core.ari import bridges, channels
from voxtra_core.stasis.transfer import Comfort

from .legs import Heard, Leg, strangers
from .rig import Rig, eventually
from .sipp import Sipp

pytestmark = pytest.mark.anyio

CALLER, AGENT = 700, 1100
"""What they say, in Hz: neither is in a ringing tone (440 and 480) or the other."""
RINGS = 0.3
"""Seconds that an agent's phone rings."""
TALK = 0.8
"""Seconds that two talk with each other before one of them hangs up."""


@attrs.frozen
class Agent:
    """What an agent's phone does."""

    name: str
    scenario: str
    status: str = ""
    stay: float = 8.0
    cause: int | None = None
    """With what a transfer to it fails; ``None`` where it answers."""


ANSWERS = Agent("answers", "agent-talks")
LEAVES = Agent("leaves", "agent-talks", stay=TALK + 0.4)
LEAVES_AT_ONCE = Agent("leaves-at-once", "agent-talks", stay=0.1)
BUSY = Agent("busy", "agent-refuses", "486 Busy Here", cause=17)
REFUSES = Agent("refuses", "agent-refuses", "603 Decline", cause=21)
CONGESTED = Agent("congested", "agent-refuses", "503 Service Unavailable", cause=34)
AWAY = Agent("unanswered", "phone-rings", cause=19)
BAD = (BUSY, REFUSES, CONGESTED, AWAY)


class Stage:
    """One caller, one agent, and an application between them."""

    def __init__(self, rig: Rig, sipp: Sipp, play: Callable[[Stage, CallSession], Awaitable[None]]) -> None:
        self.rig = rig
        self.said: list[str] = []
        self.endpoint = ""
        self.caller: CallSession | None = None
        self.legs: dict[str, Leg] = {}
        self._sipp = sipp
        self._play = play
        strangers(rig)
        rig.app.default()(self._handle)

    async def _handle(self, call: CallSession) -> None:
        self.caller = call
        await self._play(self, call)
        self.said.append("over")

    async def follow(self, name: str, call: CallSession) -> None:
        """Record what is sent to somebody."""
        self.legs[name] = await Leg.of(self.rig, call.id)

    async def agent(self) -> CallSession:
        """The call to the agent, once it is up."""
        legs = await eventually(lambda: [c for c in self.rig.app.calls.values() if c is not self.caller])
        await eventually(lambda: legs[0].state is not CallState.RINGING)
        return legs[0]

    async def run(self, agent: Agent | None, *, caller: str = "caller-stays", stay: float = 8.0) -> dict[str, Heard]:
        """Have it all happen, to its end. What each of the two was sent."""
        async with self.rig.serving():
            async with AsyncExitStack() as stack:
                if agent is not None:
                    phone = self._sipp.agent(
                        agent.scenario, ring=RINGS, stay=agent.stay, status=agent.status, hertz=AGENT
                    )
                    self.endpoint = await stack.enter_async_context(phone)
                await stack.enter_async_context(
                    self._sipp.caller(
                        caller,
                        self.rig.asterisk.sip_port,
                        self.rig.app_name,
                        number="7",
                        hertz=CALLER,
                        stay=stay,
                    )
                )
            await eventually(lambda: not self.rig.app.calls)
            heard = {name: await leg.heard() for name, leg in self.legs.items()}
            await nothing_is_left(self.rig)
        return heard


async def nothing_is_left(rig: Rig) -> None:
    """No channel and no bridge of this test's is in Asterisk, by its own account."""
    left: list[object] = []
    with anyio.move_on_after(5.0):
        while left := [  # noqa: ASYNC110 - there is nobody to set an event
            *(each for each in await rig.far.request(bridges.list()) if each.name.startswith(rig.app_name)),
            *(each for each in await rig.far.request(channels.list()) if rig.app_name in f"{each.dialplan} {each.id}"),
        ]:
            await anyio.sleep(0.05)
    assert left == []


def they_talk(heard: dict[str, Heard]) -> None:
    """Each is sent the other's tone, and never their own."""
    for name, other, own in (("caller", AGENT, CALLER), ("agent", CALLER, AGENT)):
        assert heard[name].seconds_of(other) >= TALK / 2, (name, heard[name].seconds_of(other))
        assert not heard[name].has_trace_of(own), name


# ---- blind -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_answered", [True, False], ids=["answered", "not-answered"])
@pytest.mark.parametrize(
    ("agent", "stay"), [(LEAVES, 8.0), (ANSWERS, RINGS + TALK + 0.6)], ids=["agent-hangs-up", "caller-hangs-up"]
)
async def test_blind(rig: Rig, sipp: Sipp, agent: Agent, stay: float, is_answered: bool) -> None:
    """Who hangs up takes the other along: there is no handler any more."""

    async def play(stage: Stage, call: CallSession) -> None:
        if is_answered:
            await call.answer()
            await stage.follow("caller", call)
        await call.transfer_to(stage.endpoint, comfort="none" if is_answered else "ringing")
        if not is_answered:
            await stage.follow("caller", call)
        await stage.follow("agent", await stage.agent())

    stage = Stage(rig, sipp, play)
    heard = await stage.run(agent, stay=stay)
    assert stage.said == ["over"]
    they_talk(heard)
    assert heard["caller"].before(AGENT).loud_seconds == 0.0  # nothing is left of the ringing


@pytest.mark.parametrize(
    ("agent", "comfort"),
    [(BUSY, "ringing"), (REFUSES, "music"), (CONGESTED, "none"), (AWAY, "ringing"), (AWAY, "music")],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
async def test_blind_to_somebody_who_cannot_be_had(rig: Rig, sipp: Sipp, agent: Agent, comfort: Comfort) -> None:
    """The caller is still there, hears what comforts as long as that is of use, and nobody."""
    failures: list[TransferFailed] = []

    async def play(stage: Stage, call: CallSession) -> None:
        await call.answer()
        await stage.follow("caller", call)
        with pytest.raises(TransferFailed) as failed:
            await call.transfer_to(stage.endpoint, comfort=comfort, timeout=1)
        failures.append(failed.value)
        assert call.state is CallState.IN_PROGRESS
        await anyio.sleep(0.5)

    stage = Stage(rig, sipp, play)
    heard = await stage.run(agent)
    assert stage.said == ["over"]
    assert failures[0].end.cause == agent.cause
    assert not heard["caller"].has_trace_of(CALLER)
    assert not heard["caller"].has_trace_of(AGENT)
    assert (heard["caller"].loud_seconds > 0) is (comfort != "none")
    assert Heard(heard["caller"].windows[-1:]).loud_seconds == 0  # it has ended


@pytest.mark.parametrize("caller", ["caller-stays", "caller-gives-up"])
async def test_blind_when_the_caller_goes_while_it_rings(rig: Rig, sipp: Sipp, caller: str) -> None:
    """Nobody is left ringing: the agent's phone sees its CANCEL."""

    async def play(stage: Stage, call: CallSession) -> None:
        if caller == "caller-stays":
            await call.answer()
        with pytest.raises(CallEnded) as ended:
            await call.transfer_to(stage.endpoint)
        assert ended.value.call_id == call.id

    stage = Stage(rig, sipp, play)
    await stage.run(AWAY, caller=caller, stay=0.6)
    assert stage.said == ["over"]


@pytest.mark.parametrize("after", [-0.02, 0.02, 0.05])
async def test_blind_when_the_caller_goes_as_the_agent_answers(rig: Rig, sipp: Sipp, after: float) -> None:
    """Whichever is first: the agent is not left with nobody."""

    async def play(stage: Stage, call: CallSession) -> None:
        await call.answer()
        with suppress(CallEnded):
            await call.transfer_to(stage.endpoint)

    stage = Stage(rig, sipp, play)
    await stage.run(ANSWERS, stay=RINGS + after)
    assert stage.said == ["over"]


async def test_blind_when_the_agent_goes_at_once(rig: Rig, sipp: Sipp) -> None:
    """They have met, or not quite: either way the caller is not left with nobody, by whom it was not told."""

    async def play(stage: Stage, call: CallSession) -> None:
        await call.answer()
        try:
            await call.transfer_to(stage.endpoint)
        except TransferFailed:
            assert call.end is None
            await call.play_file("beep")

    stage = Stage(rig, sipp, play)
    await stage.run(LEAVES_AT_ONCE)
    assert stage.said == ["over"]


# ---- attended --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agent", "stay"),
    [(attrs.evolve(LEAVES, stay=TALK + 1.0), 8.0), (ANSWERS, RINGS + TALK + 1.2)],
    ids=["agent-hangs-up", "caller-hangs-up"],
)
async def test_attended(rig: Rig, sipp: Sipp, agent: Agent, stay: float) -> None:
    """Until it is accepted the agent hears us alone, and the caller music; and then each other, and nothing else."""

    async def play(stage: Stage, call: CallSession) -> None:
        await call.answer()
        await stage.follow("caller", call)
        transfer = await call.attended_transfer_to(stage.endpoint)
        await stage.follow("agent", transfer.agent)
        await anyio.sleep(0.5)
        await transfer.accept()

    stage = Stage(rig, sipp, play)
    heard = await stage.run(agent, stay=stay)
    assert stage.said == ["over"]
    they_talk(heard)
    assert heard["agent"].before(CALLER).loud_seconds == 0.0
    assert len(heard["agent"].before(CALLER).windows) >= 2
    assert heard["caller"].loud_seconds > heard["caller"].seconds_of(AGENT) + 0.2  # music


async def test_attended_and_declined(rig: Rig, sipp: Sipp) -> None:
    """The agent is hung up, and the caller is alone with us again."""

    async def play(stage: Stage, call: CallSession) -> None:
        await call.answer()
        await stage.follow("caller", call)
        async with await call.attended_transfer_to(stage.endpoint) as transfer:
            await stage.follow("agent", transfer.agent)
            await anyio.sleep(0.4)
            await transfer.decline()
            assert transfer.agent.end is not None
            assert call.state is CallState.IN_PROGRESS
            await anyio.sleep(0.5)

    stage = Stage(rig, sipp, play)
    heard = await stage.run(ANSWERS)
    assert stage.said == ["over"]
    assert not heard["caller"].has_trace_of(AGENT)
    assert not heard["agent"].has_trace_of(CALLER)
    assert Heard(heard["caller"].windows[-1:]).loud_seconds == 0


@pytest.mark.parametrize("agent", BAD, ids=lambda agent: agent.name)
async def test_attended_to_somebody_who_cannot_be_had(rig: Rig, sipp: Sipp, agent: Agent) -> None:
    async def play(stage: Stage, call: CallSession) -> None:
        await call.answer()
        with pytest.raises(TransferFailed) as failed:
            await call.attended_transfer_to(stage.endpoint, timeout=1)
        assert failed.value.end.cause == agent.cause
        assert call.state is CallState.IN_PROGRESS

    stage = Stage(rig, sipp, play)
    await stage.run(agent)
    assert stage.said == ["over"]


async def test_attended_when_the_caller_goes_while_it_rings(rig: Rig, sipp: Sipp) -> None:
    async def play(stage: Stage, call: CallSession) -> None:
        await call.answer()
        with pytest.raises(CallEnded):
            await call.attended_transfer_to(stage.endpoint)

    stage = Stage(rig, sipp, play)
    await stage.run(AWAY, stay=0.6)
    assert stage.said == ["over"]


@pytest.mark.parametrize("who", ["caller", "agent"])
async def test_attended_when_one_of_them_goes_before_it_is_accepted(rig: Rig, sipp: Sipp, who: str) -> None:
    """Whoever is left may be talked to, and accepting says who has gone."""

    async def play(stage: Stage, call: CallSession) -> None:
        await call.answer()
        async with await call.attended_transfer_to(stage.endpoint) as transfer:
            gone, left = (call, transfer.agent) if who == "caller" else (transfer.agent, call)
            await gone.wait_ended()
            with pytest.raises(CallEnded if who == "caller" else TransferFailed):
                await transfer.accept()
            await left.play_file("beep")

    stage = Stage(rig, sipp, play)
    await stage.run(
        ANSWERS if who == "caller" else attrs.evolve(LEAVES, stay=0.4), stay=0.9 if who == "caller" else 8.0
    )
    assert stage.said == ["over"]


@pytest.mark.parametrize("wait", [0.06, 0.1, 0.14])
async def test_attended_when_the_agent_goes_as_it_is_accepted(rig: Rig, sipp: Sipp, wait: float) -> None:
    """Whichever is first: it has come about, or it has not and the caller is ours."""

    async def play(stage: Stage, call: CallSession) -> None:
        await call.answer()
        async with await call.attended_transfer_to(stage.endpoint) as transfer:
            await anyio.sleep(wait)
            try:
                await transfer.accept()
            except TransferFailed:
                await call.play_file("beep")

    stage = Stage(rig, sipp, play)
    await stage.run(LEAVES_AT_ONCE)
    assert stage.said == ["over"]


# ---- by REFER --------------------------------------------------------------------------------------------------------

ELSEWHERE = "PJSIP/sip:elsewhere@127.0.0.1:9"


async def test_refer(rig: Rig, sipp: Sipp) -> None:
    """Its phone goes where it was sent, and hangs up here."""

    async def play(stage: Stage, call: CallSession) -> None:
        await call.answer()
        await anyio.sleep(0.2)  # until its ACK is there
        await call.transfer_to(ELSEWHERE, method="refer", timeout=5)
        assert call.end is not None

    stage = Stage(rig, sipp, play)
    await stage.run(None, caller="caller-is-referred", stay=0.5)
    assert stage.said == ["over"]


@pytest.mark.parametrize("endpoint", [ELSEWHERE, "PJSIP/uas", "PJSIP/uas/sip:elsewhere@127.0.0.1:9"])
async def test_refer_before_it_is_answered(rig: Rig, sipp: Sipp, endpoint: str) -> None:
    """By 302, which ends the call here."""

    async def play(stage: Stage, call: CallSession) -> None:
        await call.transfer_to(endpoint, method="refer", timeout=2)
        assert call.state is CallState.FAILED

    stage = Stage(rig, sipp, play)
    await stage.run(None, caller="caller-is-sent-on")
    assert stage.said == ["over"]


@pytest.mark.parametrize("caller", ["caller-refuses-to-go", "caller-fails-elsewhere"])
async def test_refer_to_a_phone_that_does_not_go(rig: Rig, sipp: Sipp, caller: str) -> None:
    """It refuses, or is on its way for longer than we wait, and then cannot: Asterisk tells neither. The call is ours
    as before, only that Asterisk does nothing for it while its phone is on its way.
    """

    async def play(stage: Stage, call: CallSession) -> None:
        await call.answer()
        await anyio.sleep(0.2)
        with pytest.raises(TransferOutcomeUnknown):
            await call.transfer_to(ELSEWHERE, method="refer", timeout=1)
        assert call.state is CallState.IN_PROGRESS
        await call.play_file("beep")

    stage = Stage(rig, sipp, play)
    await stage.run(None, caller=caller)
    assert stage.said == ["over"]
