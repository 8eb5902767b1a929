"""A handler that hands its call to a queue, and what it can learn of its way. Virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from voxtra_core import CallSession, EndedBy
from voxtra_core.ari.messages import Reply
from voxtra_core.ari.request import Request
from voxtra_core.call import Outage as CallOutage
from voxtra_core.errors import AriServerError, CallEnded, LocalProtocolError, QueueUnavailable
from voxtra_core.queueing import MemberAnswered, MemberFailed, MemberRinging, QueueEnd, QueueMember, QueueOutcome
from voxtra_core.session import QueueVisit
from voxtra_core.testing import Caller, Faults, QueueContext, SimulatedQueue, flaws, run_call
from voxtra_core.testing.faults import LostReply, NoReply, Outage
from voxtra_core.testing.report import CallReport
from voxtra_core.testing.strategies import check_call_flow

from .world import Delays, World

Handler = Callable[[CallSession], Awaitable[None]]
PATIENT = Caller("5550100", dials="200")
QUEUES = {
    ("voxtra-queue", "s"): QueueContext(
        queues={
            "support": SimulatedQueue(answers_after=3.0, talks=10.0),
            "nobody": SimulatedQueue(),
            "empty": SimulatedQueue(member=""),
        }
    )
}
AGENT = "PJSIP/agent"


def play(handler: Handler, caller: Caller = PATIENT, faults: Faults | None = None, **more: Any) -> CallReport:
    """Run it; nothing is left of it, nor wrong with it."""
    report = run_call(handler, caller, faults=faults or Faults(), dialplan=QUEUES, **more)
    assert report.error is None, report.ladder()
    assert not report.left
    assert report.run.error is None
    return report


async def never(call: CallSession) -> None:
    raise AssertionError("nobody was to come back")


class Handed:
    """A handler: hands its call to a queue, and takes all there is to be known. What comes back is ``back``'s."""

    def __init__(self, queue: str, back: Handler = never, **options: Any) -> None:
        self._queue = queue
        self._back = back
        self._options = options
        self.calls: list[CallSession] = []
        self.told: list[object] = []
        self.outcome: QueueOutcome | None = None
        self.visit: QueueVisit

    async def __call__(self, call: CallSession) -> None:
        self.calls.append(call)
        if call.args[:1] == ("queue",):
            await self._back(call)
            return
        await call.answer()
        self.visit = visit = await call.transfer_to_queue(self._queue, **self._options)
        assert call.end is not None
        assert call.end.by is EndedBy.DIALPLAN
        self.told = [update async for update in visit]
        self.outcome = await visit.wait()
        assert visit.outcome == self.outcome == self.told[-1]


def test_a_member_answers() -> None:
    handed = Handed("support")
    report = play(handed, PATIENT)
    assert flaws(report.run) == []
    assert handed.outcome is not None
    member = handed.outcome.answered_by
    assert member is not None
    assert member.interface == AGENT
    assert handed.visit.answered_by == member
    assert handed.outcome == QueueOutcome(QueueEnd.COMPLETED, "", member, waited=3.0, talked=10.0, cause=16)
    assert handed.told == [MemberRinging(member), MemberAnswered(member, 3.0), handed.outcome]


def test_the_caller_has_enough() -> None:
    handed = Handed("nobody", come_back=True)
    play(handed, PATIENT.waits_for_answer().waits(5.0).hangs_up())
    assert handed.outcome is not None
    assert (handed.outcome.end, handed.outcome.waited) == (QueueEnd.ABANDONED, 5.0)
    assert handed.visit.ringing == ()


@pytest.mark.parametrize(
    ("queue", "options", "status", "seconds"),
    [
        ("nobody", {"timeout": 6.5}, "TIMEOUT", 7.0),
        ("empty", {}, "JOINEMPTY", 0.0),
        ("support", {"options": "c"}, "CONTINUE", 3.0),
    ],
)
def test_it_comes_back(queue: str, options: dict[str, Any], status: str, seconds: float) -> None:
    async def back(call: CallSession) -> None:
        assert call.args == ("queue", status, queue, "200")
        assert call.called_number == "200"
        assert call.caller_id == "5550100"
        await call.play_file("vm-goodbye")

    handed = Handed(queue, back, come_back=True, **options)
    report = play(handed)
    assert report.prompts[-1] == "vm-goodbye"
    first, second = handed.calls
    assert first is not second
    assert first.id == second.id
    assert handed.outcome is not None
    assert (handed.outcome.end, handed.outcome.status) == (QueueEnd.CAME_BACK, status)
    assert handed.outcome.waited == seconds


def test_it_is_hung_up_unanswered() -> None:
    handed = Handed("nobody", timeout=4)
    report = play(handed)
    assert handed.outcome is not None
    assert (handed.outcome.end, handed.outcome.status) == (QueueEnd.UNANSWERED, "TIMEOUT")
    assert any(isinstance(update, MemberFailed) for update in handed.told)
    assert report.person is not None
    assert not report.person.hung_up_first


def test_a_handler_need_not_stay() -> None:
    """A call that was handed over is not hung up when its handler returns."""

    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.transfer_to_queue("support")

    report = play(handler)
    assert report.run.log_lines == []
    (answered,) = [at for at, kind, what in report.run.trace if "BRIDGEPEER" in f"{what}" and AGENT in f"{what}"]
    assert answered == pytest.approx(3.0, abs=0.5)


# ---- it cannot be handed over ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("queue", "options", "words"),
    [
        ("support", {"context": "elsewhere"}, "no elsewhere,s: put what `voxtra provision --queues` prints"),
        ("sales", {}, "no queue 'sales'"),
        ("../support", {}, "no queue '../support'"),
    ],
)
def test_what_is_missing_is_said_and_the_call_goes_on(queue: str, options: dict[str, Any], words: str) -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        with pytest.raises(QueueUnavailable, match=words):
            await call.transfer_to_queue(queue, **options)
        await call.play_file("vm-goodbye")

    report = play(handler)
    assert report.prompts == ["vm-goodbye"]
    assert not [what for _, _, what in report.run.trace if "VOXTRA_QUEUE" in f"{what}"]


@pytest.mark.parametrize("name", ["", "a,b", "a\nb", "${X}", "x" * 10_000])
def test_a_name_that_could_mean_something_else_is_refused_before_asterisk_is_asked(name: str) -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        with pytest.raises(ValueError, match="queue's name"):
            await call.transfer_to_queue(name)
        await call.hangup()

    report = play(handler)
    assert [request for request in report.run.trace if "EXISTS" in f"{request}"] == []


@pytest.mark.parametrize(
    ("function", "reason", "error", "words"),
    [
        ("DIALPLAN_EXISTS", "Unable to read provided function", QueueUnavailable, "func_dialplan"),
        ("QUEUE_EXISTS", "Unable to read provided function", QueueUnavailable, "app_queue"),
        ("QUEUE_EXISTS", "Allocation failed", AriServerError, "Allocation failed"),
    ],
)
def test_a_module_is_missing(function: str, reason: str, error: type[Exception], words: str) -> None:
    def refuse(request_id: str, request: Request[Any]) -> Reply | None:
        name = dict(request.query).get("variable", "") if request.operation == "channels.get_channel_var" else ""
        body = b'{"message": "%s"}' % reason.encode()
        return Reply(request_id, 500, "", body) if name.startswith(function) else None

    with World() as world:
        world.asterisk.add_extension(*next(iter(QUEUES)), next(iter(QUEUES.values())))
        errors: list[Exception] = []

        @world.app.default()
        async def handler(call: CallSession) -> None:
            await call.answer()
            try:
                await call.transfer_to_queue("support")
            except Exception as raised:
                errors.append(raised)

        world.app.prepare = lambda link: setattr(link, "refuse", refuse)
        world.start()
        world.call()
        world.run(10.0)
        (raised,) = errors
        assert type(raised) is error
        assert words in f"{raised}"
        world.assert_nothing_is_left()


def test_not_twice_at_once() -> None:
    with World(Delays(replies=(0.1,))) as world:
        world.asterisk.add_extension(*next(iter(QUEUES)), next(iter(QUEUES.values())))
        outcomes: list[object] = []

        @world.app.default()
        async def handler(call: CallSession) -> None:
            await call.answer()

            async def transfer() -> None:
                try:
                    outcomes.append(await call.transfer_to_queue("support"))
                except LocalProtocolError as error:
                    outcomes.append(error)

            tasks = [world.loop.spawn(transfer()) for _ in range(2)]
            for task in tasks:
                await world.loop.park(task.done)

        world.start()
        world.call()
        world.run(60.0)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["LocalProtocolError", "QueueVisit"]
        world.assert_nothing_is_left()


def test_the_caller_hangs_up_at_any_moment() -> None:
    """Before the call has left its handler gets ``CallEnded``, afterwards its way ends so: nothing else ever comes."""
    seen = set()
    for step in range(40):
        with World(Delays(requests=(0.01,), replies=(0.02,), events=(0.03,))) as world:
            world.asterisk.add_extension(*next(iter(QUEUES)), next(iter(QUEUES.values())))
            ends: list[object] = []

            @world.app.default()
            async def handler(call: CallSession, ends: list[object] = ends) -> None:
                try:
                    await call.answer()
                    visit = await call.transfer_to_queue("nobody")
                except CallEnded as error:
                    ends.append(error.end.by)
                    raise
                ends.append((await visit.wait()).end)

            world.start()
            world.call(Caller("5550100").waits(0.01 * step).hangs_up())
            world.run(10.0)
            assert len(ends) == 1
            assert world.log() == []
            world.assert_nothing_is_left()
            seen.add(ends[0])
    assert seen == {EndedBy.REMOTE, QueueEnd.ABANDONED}


# ---- the application, and its connection -----------------------------------------------------------------------------


def test_the_application_stops() -> None:
    with World() as world:
        world.asterisk.add_extension(*next(iter(QUEUES)), next(iter(QUEUES.values())))
        handed = Handed("nobody")
        visits: list[QueueVisit] = []

        @world.app.default()
        async def handler(call: CallSession) -> None:
            await call.answer()
            visits.append(await call.transfer_to_queue("nobody"))

        world.start()
        person = world.call()
        world.run(1.0)
        world.stop()
        assert handed.told == []
        (visit,) = visits
        assert visit.outcome is not None
        assert visit.outcome.end is QueueEnd.UNKNOWN
        assert person.ended_at is None  # it waits on
        assert len(world.driver.machine.stasis.queues) == 0


def test_answered_during_an_outage() -> None:
    handed = Handed("support")
    play(handed, faults=Faults(Outage(2.0, 3.0)))
    assert handed.outcome is not None
    assert handed.outcome.end is QueueEnd.COMPLETED
    assert handed.outcome.answered_by is not None
    assert handed.outcome.answered_by.interface == AGENT
    assert isinstance(handed.outcome.answered_by, QueueMember)
    assert handed.outcome.talked is None
    assert [type(update) for update in handed.told][-3:] == [CallOutage, MemberAnswered, QueueOutcome]


def test_the_end_of_a_talk_during_an_outage() -> None:
    handed = Handed("support")
    play(handed, faults=Faults(Outage(8.0, 12.0)))
    assert handed.outcome is not None
    assert (handed.outcome.end, handed.outcome.waited) == (QueueEnd.COMPLETED, 3.0)
    assert handed.outcome.talked is None


def test_over_during_an_outage() -> None:
    handed = Handed("nobody")
    play(handed, PATIENT.waits(3.0).hangs_up(), faults=Faults(Outage(2.0, 3.0)))
    assert handed.outcome is not None
    assert handed.outcome.end is QueueEnd.UNKNOWN


@pytest.mark.parametrize("wrong", [NoReply, LostReply])
def test_a_reply_that_does_not_come(wrong: Any) -> None:
    """To any one of the requests: it is handed over, or its handler fails, and hangs it up."""
    for nth in range(1, 12):
        handed = Handed("support")
        report = run_call(handed, PATIENT, dialplan=QUEUES, faults=Faults(wrong(nth)))
        assert not report.left
        assert report.error is not None or handed.outcome is not None


async def in_good_and_bad_days(call: CallSession) -> None:
    await call.answer()
    if call.args[:1] == ("queue",):
        await call.play_file("vm-goodbye")
        return
    visit = await call.transfer_to_queue("support", timeout=2, come_back=True)
    assert (await visit.wait()).end in set(QueueEnd) - {QueueEnd.LEFT}


@pytest.mark.soak
def test_whatever_goes_wrong() -> None:
    check_call_flow(in_good_and_bad_days, dialplan=QUEUES, max_examples=100)
