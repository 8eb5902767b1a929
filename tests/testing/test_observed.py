"""What a run sees beyond the caller's own call: who else is on the line, what is left behind, what never ends, and what
goes wrong where nobody looks.

Deterministic: all time is virtual.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
import trio
from trio._core._run_context import RunContext

from voxtra_core import CallSession
from voxtra_core.errors import ConnectionLost, LocalProtocolError
from voxtra_core.testing import Agent, Caller, CallReport, Extension, Faults, RunReport, flaws, run_call, run_calls
from voxtra_core.testing.faults import Outage
from voxtra_core.testing.strategies import CallFlowError, check_call_flow
from voxtra_trio import VoxtraApp

from .test_run_call import LOOPS, Loop, greets

BOB = Agent("PJSIP/bob").answers()
Body = Callable[[VoxtraApp, CallSession], Awaitable[None]]


def app_with(body: Body, **options: Any) -> VoxtraApp:
    """An application whose handler gets it as well."""
    app = VoxtraApp("http://pbx.example:8088", "user", "secret", **options)

    @app.default()
    async def handler(call: CallSession) -> None:
        await body(app, call)

    return app


def rules(run: RunReport) -> list[str]:
    return [flaw.rule for flaw in flaws(run)]


# ---- what is left ----------------------------------------------------------------------------------------------------


async def forgets_bob(app: VoxtraApp, call: CallSession) -> None:
    await call.answer()
    await app.originate("PJSIP/bob")
    await call.play_file("hello-world")


def test_a_leg_that_nobody_hangs_up_is_left() -> None:
    run = run_calls(app_with(forgets_bob), [Caller("1")], agents=[BOB])
    assert len(run.left.channels) == 1
    assert not run.reached_limit
    assert run.seconds < 120
    assert rules(run) == ["nothing left", "silence"]
    with pytest.raises(CallFlowError, match="nothing left: channels in Asterisk"):
        check_call_flow(app_with(forgets_bob), agents=[BOB], max_examples=1)


def test_a_leg_that_ends_by_itself_is_not() -> None:
    run = run_calls(app_with(forgets_bob), [Caller("1")], agents=[BOB.waits(20.0).hangs_up()])
    assert rules(run) == []
    assert run.calls[1].ended_at == 20.0


def test_a_leg_is_left_also_by_a_caller_who_stays_to_the_limit() -> None:
    async def body(app: VoxtraApp, call: CallSession) -> None:
        await call.answer()
        await app.originate("PJSIP/bob")
        await call.wait_ended()

    run = run_calls(app_with(body), [Caller("1")], agents=[BOB], limit=20.0)
    assert run.reached_limit
    assert "nothing left" in rules(run)
    assert run.calls[0].ended_at == 20.0


def test_a_leg_with_a_handler_of_its_own_lives_on() -> None:
    async def talks(call: CallSession) -> None:
        for _ in range(60):
            await call.play_file("tt-monkeys")

    async def body(app: VoxtraApp, call: CallSession) -> None:
        await call.answer()
        await app.originate("PJSIP/bob", handler=talks)

    run = run_calls(app_with(body), [Caller("1")], agents=[BOB], limit=400.0)
    assert rules(run) == []
    assert run.calls[1].ended_at == 400.0
    assert run.calls[1].operations[0].name == "play_file"
    assert run.calls[1].handled is not None
    assert run.calls[1].handled.name == "talks"


def test_so_does_one_that_is_handed_to_the_dialplan() -> None:
    async def body(app: VoxtraApp, call: CallSession) -> None:
        await call.answer()
        bob = await app.originate("PJSIP/bob")
        await bob.continue_in_dialplan("operator", "s")

    dialplan = {("operator", "s"): Extension("Wait", "200", lasts=200.0)}
    run = run_calls(app_with(body), [Caller("1")], agents=[BOB], dialplan=dialplan)
    assert not run.left
    assert run.calls[1].ended_at == 200.0


def test_and_one_that_its_handler_waits_for() -> None:
    async def body(app: VoxtraApp, call: CallSession) -> None:
        await call.answer()
        bob = await app.originate("PJSIP/bob")
        await bob.hold()
        await bob.wait_ended()

    run = run_calls(app_with(body), [Caller("1").waits(5.0).hangs_up()], agents=[BOB], limit=100.0)
    assert not run.left
    assert run.calls[0].ended_at == 5.0
    assert run.calls[1].ended_at == 160.0  # a minute more than who has a handler or none


def test_one_that_a_hangup_callback_hangs_up_is_not_left() -> None:
    async def body(app: VoxtraApp, call: CallSession) -> None:
        await call.answer()
        bob = await app.originate("PJSIP/bob")

        @call.on_hangup
        async def hang_up_bob() -> None:
            await bob.play_file("vm-goodbye")
            await bob.hangup()

        await call.play_file("hello-world")

    assert rules(run_calls(app_with(body), [Caller("1")], agents=[BOB])) == []


# ---- everybody else --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", LOOPS)
def test_whoever_is_called_has_a_report(backend: Loop) -> None:
    async def body(app: VoxtraApp, call: CallSession) -> None:
        await call.answer()
        await call.play_file("beep")
        bob = await app.originate("PJSIP/bob")
        await bob.play_file("hello-world")
        call.metadata["key"] = await bob.listen_dtmf(timeout=5)
        await bob.hangup()
        with contextlib.suppress(Exception):
            await app.originate("PJSIP/carol")

    agents = [Agent("PJSIP/carol").is_busy(), BOB.waits_for_prompt("hello-world").presses("7"), Agent("PJSIP/dave")]
    report, bob, carol = run_calls(app_with(body), [Caller("1")], agents=agents, backend=backend).calls
    assert [one.who for one in (report, bob, carol)] == ["caller 1", "PJSIP/bob", "PJSIP/carol"]
    assert (report.prompts, bob.prompts, bob.digits) == (["beep"], ["hello-world"], "7")
    assert [operation.name for operation in bob.operations] == ["play_file", "listen_dtmf", "hangup"]
    assert carol.call is None
    assert "presses 7" in bob.ladder()
    assert "handler() has the call" in bob.ladder()
    assert "originate('PJSIP/bob')" in report.ladder()
    assert [made.request.operation for made in report.requests] == [
        "channels.answer",
        "channels.play",
        "channels.hangup",
    ]
    assert flaws(report.run) == []


def test_an_agent_who_is_the_one_called_comes_once() -> None:
    async def handler(call: CallSession) -> None:
        await call.play_file("hello-world")

    run = run_calls(handler, [BOB, Caller("1")], agents=[Agent("PJSIP/carol")])
    assert [report.who for report in run.calls] == ["PJSIP/bob", "caller 1"]


def test_what_is_done_to_a_leg_after_its_end_is_seen() -> None:
    async def body(app: VoxtraApp, call: CallSession) -> None:
        await call.answer()
        bob = await app.originate("PJSIP/bob")
        for _ in range(2):
            with contextlib.suppress(Exception):
                await bob.play_file("tt-monkeys")

    run = run_calls(app_with(body), [Caller("1")], agents=[BOB.waits(1.0).hangs_up()])
    assert [str(flaw) for flaw in flaws(run)] == [
        "nothing after the end: handler() awaited play_file('tt-monkeys') although it had got CallEnded before"
    ]


def test_so_is_what_is_done_to_a_snoop() -> None:
    async def handler(call: CallSession) -> None:
        await call.answer()
        snoop = await call.snoop()
        await snoop.hangup()
        for _ in range(2):
            with contextlib.suppress(Exception):
                await snoop.play_file("beep")

    run = run_calls(handler, [Caller("1")])
    assert [report.who for report in run.calls] == ["caller 1"]
    (snoop,) = run.snoops
    assert snoop.who.startswith("Snoop/")
    assert [operation.name for operation in snoop.operations] == ["hangup", "play_file", "play_file"]
    assert rules(run) == ["nothing after the end"]
    assert "handler() has the call" in run.ladder()


# ---- what never ends -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", LOOPS)
def test_what_catches_everything_is_given_up_as_well(backend: Loop) -> None:
    async def spins(call: CallSession) -> None:
        while True:
            try:
                await call.play_file("beep")
            except:  # noqa: E722
                continue

    report = run_call(spins, Caller("1").waits(1.0).hangs_up(), backend=backend)
    assert report.run.spins
    assert "ends" in rules(report.run)


@pytest.mark.parametrize("backend", LOOPS)
def test_so_is_a_callback_that_does(backend: Loop) -> None:
    async def handler(call: CallSession) -> None:
        @call.on_hangup
        async def spins() -> None:
            while True:
                try:
                    await call.play_file("beep")
                except:  # noqa: E722
                    continue

        await call.answer()

    assert run_call(handler, backend=backend).run.spins


@pytest.mark.parametrize("backend", [*LOOPS][:1])
def test_so_is_who_originates_again_and_again(backend: Loop) -> None:
    async def body(app: VoxtraApp, call: CallSession) -> None:
        while True:
            with contextlib.suppress(Exception):
                await app.originate("PJSIP/nobody")

    assert run_calls(app_with(body), [Caller("1").hangs_up()], backend=backend).spins


def test_a_hangup_callback_that_never_ends() -> None:
    async def handler(call: CallSession) -> None:
        @call.on_hangup
        async def lingers() -> None:
            await asyncio.sleep(1000)

        await call.answer()

    report = run_call(handler, Caller("1").waits(1.0).hangs_up(), backend="asyncio")
    assert report.left.handlers == ("lingers",)
    assert rules(report.run) == ["ends"]


def test_one_that_waits_for_what_never_comes() -> None:
    async def body(app: VoxtraApp, call: CallSession) -> None:
        await call.answer()

        @call.on_hangup
        async def waits() -> None:
            await app.backend.park(never)

    from voxtra_core.call import Pending

    never = Pending[None]()
    run = run_calls(app_with(body), [Caller("1")], limit=50.0)
    assert run.left.handlers == ("waits",)
    assert run.calls[0].callbacks[0].runs == [0.0]
    assert run.calls[0].callbacks[0].ended_at is not None  # it was cancelled


# ---- the wrong loop --------------------------------------------------------------------------------------------------


async def opens_a_nursery() -> None:
    async with trio.open_nursery():
        pass


async def sleeps_in_trio() -> None:
    await trio.sleep(1)


async def has_a_group() -> None:
    async with asyncio.TaskGroup():
        pass


ASYNCIO: list[Callable[[], Any]] = [
    lambda: asyncio.Event().wait(),
    lambda: asyncio.Queue[int]().get(),
    lambda: asyncio.sleep(1),
    has_a_group,
]
TRIO: list[Callable[[], Any]] = [opens_a_nursery, sleeps_in_trio, lambda: trio.Event().wait()]
WRONG = [
    *[(wait, "asyncio", backend) for wait in ASYNCIO for backend in ("virtual", "trio")],
    *[(wait, "trio", backend) for wait in TRIO for backend in ("virtual", "asyncio")],
]


@pytest.mark.parametrize("swallows", [False, True])
@pytest.mark.parametrize("in_callback", [False, True])
@pytest.mark.parametrize(("wait", "needs", "backend"), WRONG)
def test_the_wrong_loop(wait: Callable[[], Any], needs: str, backend: Loop, in_callback: bool, swallows: bool) -> None:
    async def waits() -> None:
        try:
            await wait()
        except Exception:
            if not swallows:
                raise

    async def handler(call: CallSession) -> None:
        await call.answer()
        if in_callback:
            call.on_hangup(waits)
        else:
            await waits()

    with pytest.raises(LocalProtocolError, match=f"pass backend='{needs}'"):
        run_call(handler, backend=backend)
    with pytest.raises(LocalProtocolError, match=f"pass backend='{needs}'"):
        check_call_flow(handler, backend=backend, max_examples=1)


def test_what_runs_on_both_loops_needs_one_of_them() -> None:
    async def handler(call: CallSession) -> None:
        await anyio.sleep(1)

    with pytest.raises(LocalProtocolError, match="pass backend='asyncio' or 'trio'"):
        run_call(handler)
    for backend in LOOPS[1:]:
        assert run_call(handler, backend=backend).error is None


def test_who_only_asks_for_a_loop_or_needs_none_is_right() -> None:
    async def handler(call: CallSession) -> None:
        with pytest.raises(asyncio.QueueEmpty):
            asyncio.Queue[int]().get_nowait()
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        with pytest.raises(RuntimeError):
            trio.lowlevel.current_task()
        assert not trio.lowlevel.in_trio_run()
        asyncio.run(asyncio.sleep(0))
        async with asyncio.Lock():
            await call.answer()

    assert run_call(handler).error is None


def test_nothing_of_the_loops_stays_replaced() -> None:
    before = [asyncio.events.get_running_loop, asyncio.tasks.current_task]
    test_who_only_asks_for_a_loop_or_needs_none_is_right()
    assert [asyncio.events.get_running_loop, asyncio.tasks.current_task] == before
    assert not hasattr(RunContext, "__getattr__")


# ---- runs that come to nothing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", LOOPS)
def test_what_the_simulation_fails_with_is_raised(backend: Loop) -> None:
    wrong = {"hello-world": "long"}
    with pytest.raises(TypeError):
        run_call(greets, sounds=wrong, backend=backend)  # type: ignore[arg-type]


async def forgets_nothing(call: CallSession) -> None:
    await call.answer()
    await call.wait_ended()


def test_so_is_what_the_application_fails_with() -> None:
    async def body(app: VoxtraApp, call: CallSession) -> None:
        await forgets_nothing(call)

    app = app_with(body, reconnect=None)
    with pytest.raises(ConnectionLost):
        run_calls(app, [Caller("1")], faults=Faults(Outage(1.0, 1.0)))
    assert run_calls(app, [Caller("1").waits(1.0).hangs_up()]).error is None


def test_a_property_reports_it_as_a_flaw(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(self: VoxtraApp) -> None:
        raise OSError("no way")

    monkeypatch.setattr(VoxtraApp, "serve", fails)
    monkeypatch.setattr(VoxtraApp, "started", fails)

    async def body(app: VoxtraApp, call: CallSession) -> None:
        await forgets_nothing(call)

    with pytest.raises(CallFlowError, match="application: it failed: OSError: no way"):
        check_call_flow(app_with(body), max_examples=1)


def test_a_loop_within_a_loop_is_no_run() -> None:
    async def in_asyncio() -> None:
        with pytest.raises(LocalProtocolError, match="asyncio runs here already"):
            run_call(forgets_nothing, backend="asyncio")
        assert run_call(forgets_nothing).ended_at == 600.0

    async def in_trio() -> None:
        with pytest.raises(LocalProtocolError, match="trio runs here already"):
            run_call(forgets_nothing, backend="trio")
        assert run_call(forgets_nothing, backend="asyncio").ended_at == 600.0

    asyncio.run(in_asyncio())
    trio.run(in_trio)


# ---- where it happened -----------------------------------------------------------------------------------------------


def line_of(function: Callable[..., Any], more: int) -> str:
    return f"test_observed.py:{function.__code__.co_firstlineno + more}, in {function.__name__}"


def divides() -> None:
    1 / 0  # noqa: B018


async def menu(call: CallSession) -> None:
    await call.answer()
    divides()


async def has_callbacks(call: CallSession) -> None:
    @call.on_hangup
    async def note() -> None:
        raise KeyError("who")

    await call.send_dtmf("no key")


@pytest.mark.parametrize("backend", LOOPS)
def test_the_place_of_an_error(backend: Loop) -> None:
    report = run_call(menu, backend=backend)
    assert report.error_place == line_of(divides, 1)
    assert f"! ZeroDivisionError: division by zero ({report.error_place})" in report.ladder()


def test_it_is_where_the_users_code_is() -> None:
    report = run_call(has_callbacks)
    assert report.error is not None
    assert report.error_place == line_of(has_callbacks, 5)
    assert run_call(forgets_nothing).error_place == ""


def test_a_callback_that_fails_is_named() -> None:
    report: CallReport = run_call(has_callbacks)
    (note,) = report.callbacks
    assert note.name == "note"
    assert isinstance(note.error, KeyError)
    assert note.error_place == f"test_observed.py:{has_callbacks.__code__.co_firstlineno + 3}, in note"
    assert f"! KeyError: 'who' ({note.error_place})" in report.ladder()


def test_in_a_group_it_is_that_of_the_first() -> None:
    async def grouped(call: CallSession) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(menu(call))

    assert run_call(grouped, backend="asyncio").error_place == line_of(divides, 1)
