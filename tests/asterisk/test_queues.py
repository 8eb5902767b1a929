"""Queues of a real Asterisk, by way of the very dialplan that ``provision --queues`` prints.

Members are the far end's application (``Local/FAR@stasis``), which does as each test says, and ``Local/ringing@far``.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from voxtra_core import CallEnded, CallSession, EndedBy, Outage
from voxtra_core.app import BaseApp
from voxtra_core.ari import ChannelEnteredBridge, applications
from voxtra_core.cli import main
from voxtra_core.errors import QueueUnavailable
from voxtra_core.queueing import MemberAnswered, MemberFailed, MemberRinging, QueueEnd, QueueOutcome
from voxtra_core.recording import RecordingEnd, RecordingMetadata
from voxtra_core.session import QueueVisit

from .proxy import proxy
from .rig import Rig, both_ways, eventually, machine_of
from .sip import sip_phone
from .test_listening import new_listening
from .test_staying import SOON

pytestmark = [pytest.mark.anyio, both_ways]

STRANGE = "../Müller & Söhne'? #1%2F|*"
"""What a queue may be called that is carried everywhere, and pasted nowhere."""
QUEUES = """
[{app}]
strategy = ringall
timeout = 10
member => Local/{app}far@stasis/n

[{app} {strange}]
strategy = ringall
timeout = 10
member => Local/{app}far@stasis/n

[{app}-slow]
strategy = ringall
timeout = 1
retry = 1
context = {app}-keys
member => Local/ringing@far/n

[{app}-empty]
joinempty = no

[{app}-sip]
strategy = ringall
timeout = 10
member => PJSIP/agent@uas,0,Agent Smith,Custom:{app}

[{app}-several]
strategy = ringall
timeout = 10
setinterfacevar = yes
member => Local/busy@far/n
member => Local/ringing@far/n
member => Local/{app}far@stasis/n,0,Agent Smith
"""
KEYS = """
[{app}-keys]
exten => 0,1,Wait(300)
"""


@pytest.fixture(autouse=True)
def _configured(rig: Rig, capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Asterisk has the queues of this test, and the dialplan that the command prints."""
    assert main(["provision", "--queues"], backend="asyncio") == 0
    etc = rig.asterisk.dir / "etc"
    added = {
        etc / "extensions.conf": capsys.readouterr().out + KEYS.format(app=rig.app_name),
        etc / "queues.conf": QUEUES.format(app=rig.app_name, strange=STRANGE),
    }
    before = {path: path.read_text() for path in added}
    for path, text in added.items():
        path.write_text(f"{before[path]}\n{text}")
    reload(rig)
    assert "Queue(${VOXTRA_QUEUE}," in rig.asterisk.cli("dialplan show s@voxtra-queue")
    yield
    for path, text in before.items():
        path.write_text(text)
    reload(rig)


def reload(rig: Rig) -> None:
    rig.asterisk.cli("dialplan reload")
    rig.asterisk.cli("queue reload all")


class Office:
    """Callers who are handed to a queue, and a member that rings, answers, listens for two keys, and presses two."""

    def __init__(self, rig: Rig, queue: str, *, answers_call: bool = True, stays: bool = True, **options: Any) -> None:
        self.rig = rig
        self.queue = f"{rig.app_name}{queue}"
        self.calls: list[CallSession] = []
        self.visits: list[QueueVisit] = []
        self.outcomes: list[QueueOutcome] = []
        self.back: list[CallSession] = []
        self.heard: list[str] = []
        self.members: list[CallSession] = []
        self._answers_call = answers_call
        self._stays = stays
        self._options = options
        rig.app.default()(self.hand_over)
        rig.far.default()(self.member)

    async def hand_over(self, call: CallSession) -> None:
        if call.args[0] == "queue":
            self.back.append(call)
            await call.answer()
            await call.wait_ended()
            return
        self.calls.append(call)
        if self._answers_call:
            await call.answer()
        visit = await call.transfer_to_queue(self.queue, **self._options)
        assert call.end is not None
        assert call.end.by is EndedBy.DIALPLAN
        self.visits.append(visit)
        if self._stays:
            self.outcomes.append(await visit.wait())

    async def member(self, call: CallSession) -> None:
        self.members.append(call)
        await call.ring()
        await anyio.sleep(0.3)
        await call.answer()
        entered = await call.collect_digits(2, first_digit_timeout=None)
        self.heard.append(entered.digits)
        await call.send_dtmf("78")
        await call.wait_ended()

    @property
    async def outcome(self) -> QueueOutcome:
        """The only one, when it is there."""
        await eventually(lambda: self.outcomes, within=10.0)
        (outcome,) = self.outcomes
        return outcome

    async def inside(self) -> QueueVisit:
        """The way of the only call, once that has left for the queue."""
        await eventually(lambda: self.visits)
        (visit,) = self.visits
        return visit

    @property
    def member_interface(self) -> str:
        return f"Local/{self.rig.app_name}far@stasis/n"


async def updates(visit: QueueVisit) -> list[object]:
    return [update async for update in visit]


def free_port() -> int:
    """A UDP port that nobody listens on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_followed_no_more(rig: Rig) -> bool:
    return len(machine_of(rig.app).stasis.queues) == 0


async def talk(phone: CallSession) -> str:
    """Press two keys, and hear two, on a line that is up."""
    await phone.send_dtmf("42")
    return (await phone.collect_digits(2)).digits


# ---- answered --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("queue", ["", f" {STRANGE}"])
async def test_answered_and_heard(rig: Rig, queue: str) -> None:
    office = Office(rig, queue)
    async with rig.serving():
        phone = await rig.call()
        visit = await office.inside()
        await eventually(lambda: visit.answered_by)
        assert await talk(phone) == "78"
        assert office.heard == ["42"]
        assert visit.outcome is None
        await phone.hangup()
        outcome = await office.outcome
        assert (outcome.end, outcome.status, outcome.cause) == (QueueEnd.COMPLETED, "", 16)
        assert 0.2 < outcome.waited < 3.0
        assert outcome.talked is not None
        assert outcome.talked > 0.2
        told = await updates(visit)
        assert [type(update) for update in told] == [MemberRinging, MemberAnswered, QueueOutcome]
        member = visit.answered_by
        assert member is not None
        assert member.interface == office.member_interface
        assert told == [MemberRinging(member), MemberAnswered(member, outcome.waited), outcome]
        assert member.channel.startswith(f"Local/{rig.app_name}far@stasis-")
        assert is_followed_no_more(rig)


async def test_a_handler_need_not_stay(rig: Rig) -> None:
    office = Office(rig, "", stays=False)
    async with rig.serving():
        phone = await rig.call()
        visit = await office.inside()
        await eventually(lambda: visit.answered_by)
        assert await talk(phone) == "78"
        await phone.hangup()
        assert (await visit.wait()).end is QueueEnd.COMPLETED
        assert is_followed_no_more(rig)


async def test_the_member_hangs_up(rig: Rig) -> None:
    office = Office(rig, "")
    async with rig.serving():
        phone = await rig.call()
        visit = await office.inside()
        await eventually(lambda: visit.answered_by)
        await office.members[0].hangup()
        assert (await phone.wait_ended()).by is EndedBy.REMOTE
        assert (await office.outcome).end is QueueEnd.COMPLETED


async def test_the_member_hangs_up_and_the_call_comes_back(rig: Rig) -> None:
    office = Office(rig, "", options="c", come_back=True)
    async with rig.serving():
        phone = await rig.call()
        visit = await office.inside()
        await eventually(lambda: visit.answered_by)
        await office.members[0].hangup()
        await eventually(lambda: office.back)
        outcome = await office.outcome
        assert (outcome.end, outcome.status) == (QueueEnd.CAME_BACK, "CONTINUE")
        assert outcome.answered_by == visit.answered_by
        await phone.hangup()


async def test_several_members(rig: Rig) -> None:
    office = Office(rig, "-several")
    async with rig.serving():
        phone = await rig.call()
        visit = await office.inside()
        await eventually(lambda: visit.answered_by)
        assert await talk(phone) == "78"
        await phone.hangup()
        outcome = await office.outcome
        assert outcome.answered_by is not None
        assert (outcome.answered_by.interface, outcome.answered_by.name) == (office.member_interface, "Agent Smith")
        told = await updates(visit)
        ringing = {update.member.interface for update in told if isinstance(update, MemberRinging)}
        assert ringing == {office.member_interface, "Local/ringing@far/n"}
        failed = [(u.member.interface, u.dialstatus) for u in told if isinstance(u, MemberFailed)]
        assert sorted(failed) == [("Local/busy@far/n", "BUSY"), ("Local/ringing@far/n", "CANCEL")]


async def test_a_call_is_not_answered_before_a_member_is(rig: Rig) -> None:
    office = Office(rig, "", answers_call=False)
    async with rig.serving():
        phone = await rig.far.originate(f"Local/{rig.app_name}@stasis/n", wait_for_answer=False)
        await eventually(lambda: office.members)
        assert phone.channel is not None
        assert phone.state == "ringing"
        await phone.wait_answered()
        assert len(office.members) == 1
        assert await talk(phone) == "78"
        await phone.hangup()
        assert (await office.outcome).end is QueueEnd.COMPLETED


async def test_a_sip_call_for_a_sip_member(rig: Rig) -> None:
    """The caller hears ringing, and is answered when the member answers."""
    office = Office(rig, "-sip", answers_call=False)
    async with (
        rig.serving(),
        sip_phone(rig.asterisk, pause=0.3) as member,
        sip_phone(rig.asterisk, port=free_port()) as phone,
    ):
        await phone.call(rig.app_name)
        visit = await office.inside()
        await phone.until("180")
        await member.until("ACK")
        await phone.until("200")
        assert phone.received == ["100", "180", "200"]
        await phone.hang_up()
        await member.until("BYE")
        assert (await office.outcome).end is QueueEnd.COMPLETED
        assert visit.answered_by is not None
        assert visit.answered_by.interface == "PJSIP/agent@uas"
        assert visit.answered_by.channel.startswith("PJSIP/uas-")


async def test_wherever_the_call_was(rig: Rig) -> None:
    """On hold, recorded, and with its audio open, which puts it into a bridge."""
    office = Office(rig, "")
    told: list[RecordingMetadata] = []

    class Sink:
        async def on_recording_complete(self, metadata: RecordingMetadata) -> None:
            told.append(metadata)

    @rig.app.route(extension=rig.app_name)
    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.record_start(rig.app_name, sink=Sink())
        await call.hold()
        async with call.audio_stream() as stream:
            await eventually(lambda: rig.events(ChannelEnteredBridge))
            office.visits.append(await call.transfer_to_queue(rig.app_name))
            async for _ in stream:
                pass  # to its end
        office.outcomes.append(await office.visits[0].wait())

    async with rig.serving():
        phone = await rig.call()
        visit = await office.inside()
        await eventually(lambda: visit.answered_by)
        assert await talk(phone) == "78"
        assert office.heard == ["42"]
        await phone.hangup()
        assert (await office.outcome).end is QueueEnd.COMPLETED
        await eventually(lambda: told)
        assert told[0].ended is RecordingEnd.CALL_ENDED


async def test_where_asterisk_connects_for_each_call(rig: Rig) -> None:
    """Its connection lasts as long as the channel does. With another one for the way back Asterisk has two of one name,
    which take that from each other again and again.
    """
    app = new_listening(rig, rig.asterisk.ob_port)
    visits: list[QueueVisit] = []

    @app.route(extension="obpercall")
    async def handler(call: CallSession) -> None:
        await call.answer()
        with pytest.raises(QueueUnavailable, match="come back"):
            await call.transfer_to_queue(f"{rig.app_name}-slow", come_back=True)
        visits.append(await call.transfer_to_queue(f"{rig.app_name}-slow"))

    async with rig.serving(app, rig.far):
        phone = await rig.far.originate("Local/obpercall@stasis/n")
        await eventually(lambda: visits and visits[0].ringing)
        await phone.hangup()
        assert (await visits[0].wait()).end is QueueEnd.ABANDONED


# ---- not answered ----------------------------------------------------------------------------------------------------


async def test_abandoned(rig: Rig) -> None:
    office = Office(rig, "-slow", come_back=True)
    async with rig.serving():
        phone = await rig.call()
        visit = await office.inside()
        await eventually(lambda: visit.ringing)
        await phone.hangup()
        outcome = await office.outcome
        assert (outcome.end, outcome.status, outcome.cause) == (QueueEnd.ABANDONED, "", 16)
        assert outcome.answered_by is None
        assert outcome.talked == 0.0
        assert visit.ringing == ()
        assert office.back == []


async def test_nobody_answers_and_the_call_comes_back(rig: Rig) -> None:
    office = Office(rig, "-slow", timeout=1.5, come_back=True)
    async with rig.serving():
        phone = await rig.call()
        outcome = await office.outcome
        assert (outcome.end, outcome.status) == (QueueEnd.CAME_BACK, "TIMEOUT")
        assert 0.9 < outcome.waited < 4.0
        await eventually(lambda: office.back)
        (back,), (call,) = office.back, office.calls
        assert (back.id, back.called_number) == (call.id, call.called_number)
        assert back.args == ("queue", "TIMEOUT", office.queue, rig.app_name)
        assert back is not call
        await back.play_file("beep")
        assert is_followed_no_more(rig)
        (mine,) = (a for a in await rig.app.request(applications.list()) if a.name == rig.app_name)
        assert mine.channel_ids == (call.id,)
        await phone.hangup()
        assert (await back.wait_ended()).by is EndedBy.REMOTE


async def test_there_and_back_again(rig: Rig) -> None:
    """A second visit knows nothing of the first."""
    office = Office(rig, "-empty", come_back=True)
    ends: list[QueueOutcome] = []

    @rig.app.route(extension=rig.app_name)
    async def handler(call: CallSession) -> None:
        if call.args[0] == "queue":
            visit = await call.transfer_to_queue(f"{rig.app_name}-slow", timeout=1)
        else:
            await call.answer()
            visit = await call.transfer_to_queue(office.queue, come_back=True)
        ends.append(await visit.wait())

    async with rig.serving():
        phone = await rig.call()
        await phone.wait_ended()
        await eventually(lambda: len(ends) == 2)
        assert [(o.end, o.status) for o in ends] == [
            (QueueEnd.CAME_BACK, "JOINEMPTY"),
            (QueueEnd.UNANSWERED, "TIMEOUT"),
        ]


async def test_out_by_a_key(rig: Rig) -> None:
    office = Office(rig, "-slow", come_back=True)
    async with rig.serving():
        phone = await rig.call()
        visit = await office.inside()
        await eventually(lambda: visit.ringing)
        await phone.send_dtmf("0")
        outcome = await office.outcome
        assert (outcome.end, outcome.answered_by) == (QueueEnd.LEFT, None)
        await phone.hangup()


async def test_the_application_is_away_when_it_comes_back(rig: Rig) -> None:
    """Another run of it, which knows nothing of the queue, gets the call."""
    office = Office(rig, "-slow", timeout=2, come_back=True)
    again = rig.new_app(rig.app_name)
    back: list[CallSession] = []

    @again.default()
    async def handler(call: CallSession) -> None:
        back.append(call)
        await call.wait_ended()

    async with rig.serving(rig.far):
        async with running(rig.app):
            phone = await rig.call()
            await office.inside()
            assert office.outcomes == []
        assert [outcome.end for outcome in office.outcomes] in ([], [QueueEnd.UNKNOWN])
        await anyio.sleep(3.0)
        async with running(again):
            await eventually(lambda: back)
            assert back[0].args == ("queue", "TIMEOUT", office.queue, rig.app_name)
            assert back[0].called_number == rig.app_name
            await phone.hangup()


@asynccontextmanager
async def running(app: BaseApp) -> AsyncIterator[None]:
    """Serve an application for as long as the block lasts."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(app.serve)
        await app.started()
        yield
        await app.stop(0)


# ---- it cannot be handed over ----------------------------------------------------------------------------------------


async def refused(rig: Rig, transfer: Callable[[CallSession], Awaitable[object]]) -> BaseException:
    """What a transfer raises; the call is still there afterwards, and nothing of it is followed."""
    errors: list[BaseException] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        try:
            await transfer(call)
        except Exception as error:
            errors.append(error)
        assert is_followed_no_more(rig)
        assert await call.get_variable("VOXTRA_QUEUE") is None
        await call.play_file("beep")

    async with rig.serving():
        phone = await rig.call()
        await phone.wait_ended()
        (error,) = errors
        return error


async def test_the_context_is_missing(rig: Rig) -> None:
    error = await refused(rig, lambda call: call.transfer_to_queue(rig.app_name, context="nowhere"))
    assert isinstance(error, QueueUnavailable)
    assert "nowhere,s" in f"{error}"
    assert "voxtra provision --queues" in f"{error}"


async def test_the_queue_is_missing(rig: Rig) -> None:
    error = await refused(rig, lambda call: call.transfer_to_queue("no such queue"))
    assert isinstance(error, QueueUnavailable)
    assert f"{error}" == "Asterisk has no queue 'no such queue'"


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b?c=d&e#f", "it's %41 100% * | ^ ! ~ <>", "ü" * 64, "a" * 128])
async def test_a_strange_name_is_carried(rig: Rig, name: str) -> None:
    error = await refused(rig, lambda call: call.transfer_to_queue(name))
    assert isinstance(error, QueueUnavailable)
    assert repr(name) in f"{error}"


async def test_a_call_that_ends_meanwhile(rig: Rig) -> None:
    """Its end is told, at whatever point it comes."""
    ends: list[CallEnded] = []
    gone: list[CallSession] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        gone.append(call)
        try:
            visit = await call.transfer_to_queue(f"{rig.app_name}-slow")
        except CallEnded as ended:
            ends.append(ended)
            raise
        assert (await visit.wait()).end is QueueEnd.ABANDONED
        gone.pop()

    async with rig.serving():
        for wait in range(12):
            phone = await rig.call()
            await anyio.sleep(wait * 0.002)
            await phone.hangup()
        await rig.settled()
        assert len(ends) == len(gone)
        assert {ended.end.by for ended in ends} <= {EndedBy.REMOTE}
        assert is_followed_no_more(rig)


# ---- without a connection --------------------------------------------------------------------------------------------


async def test_what_happens_while_there_is_no_connection(rig: Rig) -> None:
    """One call is answered meanwhile, one is hung up, one comes back, and one waits on."""
    names = ["", "-slow", "-slow", "-slow"]
    options: list[dict[str, Any]] = [{}, {}, {"timeout": 3, "come_back": True}, {}]
    visits: list[QueueVisit] = []
    back: list[CallSession] = []
    away = anyio.Event()
    async with proxy(rig.asterisk) as between:
        app = rig.new_app(
            rig.app_name,
            ari_url=between.url,
            reconnect=SOON,
            ping_interval=0.5,
            ping_timeout=0.5,
            observer=rig.seen.append,
        )

        @app.default()
        async def handler(call: CallSession) -> None:
            if call.args[0] == "queue":
                back.append(call)
                await call.wait_ended()
            await call.answer()
            nth = len(visits)
            visits.append(await call.transfer_to_queue(f"{rig.app_name}{names[nth]}", **options[nth]))

        @rig.far.default()
        async def member(call: CallSession) -> None:
            await away.wait()
            await call.answer()
            await call.wait_ended()

        async with rig.serving(app, rig.far):
            phones: list[CallSession] = []
            for _ in range(4):
                phones.append(await rig.call())
                await eventually(lambda: len(visits) == len(phones))
            await eventually(lambda: visits[1].ringing)
            between.cut()
            away.set()
            await phones[1].hangup()
            await anyio.sleep(4.5)
            between.mend()
            await eventually(lambda: visits[0].answered_by, within=10.0)
            assert visits[0].answered_by is not None
            assert visits[0].answered_by.interface == f"Local/{rig.app_name}far@stasis"
            assert (await visits[1].wait()).end is QueueEnd.UNKNOWN
            came_back = await visits[2].wait()
            assert (came_back.end, came_back.status) == (QueueEnd.CAME_BACK, "TIMEOUT")
            await eventually(lambda: back)
            assert (back[0].called_number, back[0].args[1]) == (rig.app_name, "TIMEOUT")
            for nth in (0, 2, 3):
                await phones[nth].hangup()
            assert (await visits[0].wait()).end is QueueEnd.COMPLETED
            assert (await visits[3].wait()).end is QueueEnd.ABANDONED
            assert [type(u) for u in await updates(visits[0])][-3:] == [Outage, MemberAnswered, QueueOutcome]
    rig.expect_logs("trying again")
