"""What ``check_call_flow`` tries, and how it says what it has found: the printed code does the same again.

Virtual time; Hypothesis chooses, the same each time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import assume, find, given, settings
from hypothesis import strategies as st

from voxtra_asyncio import VoxtraApp
from voxtra_core import AudioChunk, CallSession
from voxtra_core.app.parts import AgentParts
from voxtra_core.errors import VoxtraError
from voxtra_core.media import SLIN
from voxtra_core.testing import (
    SOUNDS,
    Agent,
    Caller,
    CallReport,
    Extension,
    ScriptedModel,
    SimulatedRecogniser,
    SimulatedVoice,
)
from voxtra_core.testing.callers import HangUp, Hold, Press, Wait, WaitForDigits
from voxtra_core.testing.faults import Faults, LostReply, Outage
from voxtra_core.testing.strategies import (
    CallFlowError,
    CallScenario,
    call_scenarios,
    callers,
    check_call_flow,
    faults,
)
from voxtra_core.testing.strategies.shrinking import shrunk

from .searching import the_same_each_time

__all__ = ["the_same_each_time"]

pytestmark = pytest.mark.usefixtures("the_same_each_time")


def fails(target: Any, **arguments: Any) -> CallFlowError:
    with pytest.raises(CallFlowError) as error:
        check_call_flow(target, **arguments)
    return error.value


def happens_again(error: CallFlowError, **names: Any) -> str:
    """What the printed code fails with. It is given what a test's module has, and no imports."""
    program = str(error).partition("It takes this to see it:\n")[2].partition("\n\ntime ")[0]
    scope: dict[str, Any] = dict(names)
    code = "\n".join(line.removeprefix("  ") for line in program.splitlines())
    with pytest.raises((AssertionError, KeyError, ZeroDivisionError)) as again:
        exec(code, scope)
    if "assert not flaws(" in code:
        assert isinstance(again.value, AssertionError)
        assert {flaw.rule for flaw in eval(code.rpartition("assert not ")[2], scope)} & error.rules
    return str(again.value)


def only(caller: Caller, *wrong: Any, agents: tuple[Agent, ...] = ()) -> st.SearchStrategy[CallScenario]:
    return st.just(CallScenario(caller, Faults(*wrong), agents))


QUIET = only(Caller("5550100"))


# ---- the routes of an application ------------------------------------------------------------------------------------


def application(**options: Any) -> VoxtraApp:
    return VoxtraApp("http://pbx.example:8088", "user", "secret", **options)


async def breaks(call: CallSession) -> None:
    await call.answer()
    raise KeyError("pin")


async def is_fine(call: CallSession) -> None:
    await call.answer()
    await call.play_file("hello-world")


def test_an_application_is_called_on_its_routes() -> None:
    app = application()
    app.route(extension="200")(breaks)
    error = fails(app)
    assert error.rules == {"handler"}
    assert error.scenario.caller == Caller("5550100", dials="200")
    happens_again(error, app=app)


@pytest.mark.parametrize("variable", [None, "DID"])
def test_each_of_them(variable: str | None) -> None:
    app = application(number_variable=variable)
    app.route(extension="100")(is_fine)
    app.default()(is_fine)
    check_call_flow(app, max_examples=5)
    app.route(number="5550199")(breaks)
    error = fails(app)
    assert error.rules == {"handler"}
    quiet = Caller("5550100")
    assert error.scenario.caller == (quiet.sets("DID", "5550199") if variable else Caller("5550100", dials="5550199"))


def test_where_no_call_reaches_a_handler_nothing_has_been_checked() -> None:
    app = application()
    app.route(extension="200")(breaks)
    assert "no call has reached a handler" in str(fails(application()))
    assert r"callers(dials=['200'])" in str(
        fails(app, scenarios=call_scenarios(callers(dials=["201"])), max_examples=5)
    )


# ---- who is called ---------------------------------------------------------------------------------------------------

BOB = Agent("PJSIP/bob").rings(2.0).answers().waits(5.0)


def desk(reach: type[Exception] = VoxtraError, gone: Exception | None = None) -> VoxtraApp:
    """``reach`` is what it expects where Bob is not reached, ``gone`` what it raises when he has hung up."""
    app = application()

    @app.default()
    async def reaches_bob(call: CallSession) -> None:
        await call.ring()
        try:
            colleague = await app.originate("PJSIP/bob", timeout=10)
        except reach:
            await call.hangup()
            return
        await call.answer()
        try:
            await colleague.play_file("demo-thanks")
            await colleague.hangup()
        except VoxtraError:
            if gone is not None:
                raise gone from None

    return app


def test_agents_are_busy_and_do_not_answer() -> None:
    error = fails(desk(reach=KeyError), agents=[BOB])
    assert error.rules == {"handler"}
    assert error.scenario == CallScenario(Caller("5550100"), agents=(Agent("PJSIP/bob").is_busy(),))
    happens_again(error, app=desk(reach=KeyError))


def test_agents_hang_up() -> None:
    stays = Agent("PJSIP/bob").answers()
    (agent,) = fails(desk(gone=ValueError("gone")), agents=[stays], max_examples=5).scenario.agents
    assert agent == Agent("PJSIP/bob").rings(1.0).answers().waits(0.5).hangs_up()


def test_who_takes_that_into_account_passes() -> None:
    check_call_flow(desk(), agents=[BOB], max_examples=30)


def test_agents_are_as_ones_own_scenarios_have_them() -> None:
    scenarios = only(Caller("5550100"), agents=(Agent("PJSIP/bob").is_congested(),))
    error = fails(desk(reach=KeyError), agents=[BOB], scenarios=scenarios)
    assert "agents=[Agent('PJSIP/bob').is_congested()]" in error.code
    check_call_flow(desk(reach=KeyError), agents=[BOB], scenarios=QUIET)


# ---- what callers do -------------------------------------------------------------------------------------------------


@pytest.mark.soak
def test_callers_hold_and_take_back_and_listen_and_withhold_their_number() -> None:
    caller = find(callers(), lambda one: any(step == Hold(True) for step in one.steps))
    at = caller.steps.index(Hold(True))
    assert isinstance(caller.steps[at + 1], Wait)
    assert caller.steps[at + 2] == Hold(False)
    find(callers(), lambda one: one.number == "")
    find(callers(tones=["12"]), lambda one: WaitForDigits("12", None) in one.steps)
    quiet = settings(max_examples=200)
    given_nothing = callers(keys="", talks=False, holds=False, numbers=["1"])

    @quiet
    @given(given_nothing)
    def only_waits(one: Caller) -> None:
        assert one.number == "1"
        assert not [step for step in one.steps if not isinstance(step, Wait | HangUp)]

    only_waits()


# ---- what goes wrong -------------------------------------------------------------------------------------------------


def drawn(strategy: st.SearchStrategy[Faults]) -> list[Any]:
    all_of_them: list[Any] = []

    @settings(max_examples=400, database=None)
    @given(strategy)
    def collect(some: Faults) -> None:
        all_of_them.extend(some.faults)

    collect()
    return all_of_them


def test_a_broken_connection_is_the_most_frequent() -> None:
    some = drawn(faults())
    outages = sum(isinstance(fault, Outage) for fault in some)
    lost = sum(isinstance(fault, LostReply) for fault in some)
    assert outages > 2 * lost


@pytest.mark.soak
def test_what_goes_wrong_may_do_so_late() -> None:
    ats = [fault.at for fault in drawn(faults(within=120.0)) if hasattr(fault, "at")]
    assert max(ats) > 60.0
    assert sum(at <= 10.0 for at in ats) > len(ats) / 3
    assert max(fault.at for fault in drawn(faults()) if hasattr(fault, "at")) <= 10.0
    assert {fault.at for fault in drawn(faults(within=0.5)) if hasattr(fault, "at")} == {0.25, 0.5}


def test_the_check_draws_over_the_length_of_the_call() -> None:
    outages: list[float] = []

    async def long(call: CallSession) -> None:
        await call.answer()
        await call.play_file("demo-instruct")

    def note(report: CallReport) -> None:
        outages.extend(
            fault.at for fault in report.run.faults.faults if isinstance(fault, Outage) and fault.at % 0.25 == 0
        )

    check_call_flow(long, check=note, max_examples=60, max_silence=100.0)
    assert max(outages) > 30.0


# ---- what is printed does it again -----------------------------------------------------------------------------------


async def greets(call: CallSession) -> None:
    await call.answer()
    await call.play_file("welcome")
    await call.hangup()


async def hangs_up_early(call: CallSession) -> None:
    await call.answer()
    await call.start_playback("welcome")
    await call.listen_dtmf(timeout=2)
    await call.hangup()


async def needs_metadata(call: CallSession) -> None:
    if call.metadata.get("language") is not None:
        raise ValueError(call.metadata["language"])


async def needs_asyncio(call: CallSession) -> None:
    import asyncio

    await call.answer()
    await asyncio.sleep(1)
    raise ValueError("after a while")


async def needs_an_answer(call: CallSession) -> None:
    if call.state.value == "in-progress":
        raise ValueError("answered")


async def lets_outages_go_up(call: CallSession) -> None:
    await call.answer()
    await call.play_file("hello-world")
    if await call.listen_dtmf(timeout=5) is not None:
        raise ValueError("a key")


async def waits_for_ever(call: CallSession) -> None:
    await call.answer()
    await call.listen_dtmf()


async def asks_a_model(call: CallSession) -> None:
    await call.answer()
    raise ValueError((await call.agent.respond("Hello.")).text)


PARTS = AgentParts(
    stt=SimulatedRecogniser, llm=lambda: ScriptedModel(["Hello?"], otherwise="Fine."), tts=SimulatedVoice()
)


async def talks(call: CallSession) -> None:
    await call.answer()
    await call.converse(greeting="Hello.")


def test_a_conversation_keeps_what_any_call_flow_must() -> None:
    said: list[str] = []

    def check(report: CallReport) -> None:
        said.extend(text for _, _, text in report.heard_speech)

    check_call_flow(talks, parts=PARTS, check=check, max_examples=5)
    assert {"Hello.", "Are you still there?"} <= {*said}


def broken(report: CallReport) -> float:
    return 1 / 0


OWN_SOUNDS = {**SOUNDS, "welcome": 3.0}
UNWRITABLE = {"language": object()}


@pytest.mark.parametrize(
    ("handler", "arguments", "says"),
    [
        (hangs_up_early, {"sounds": OWN_SOUNDS}, "Caller('5550100'), sounds={**SOUNDS, 'welcome': 3.0})"),
        (hangs_up_early, {"sounds": {"welcome": 4.0}}, "sounds={'welcome': 4.0})"),
        (needs_metadata, {"metadata": {"language": "en"}}, "metadata={'language': 'en'})"),
        (needs_metadata, {"metadata": UNWRITABLE}, "# metadata is what you gave: it cannot be written as code"),
        (needs_asyncio, {"backend": "asyncio"}, "backend='asyncio')"),
        (needs_an_answer, {"answered": True}, "answered=True)"),
        (waits_for_ever, {}, "limit=120.0)"),
        (waits_for_ever, {"max_silence": 5.0, "patience": 6.0}, "assert not flaws(report.run, max_silence=5.0)"),
        (
            lets_outages_go_up,
            {"scenarios": only(Caller("5550100").waits(2.0).presses("1"), Outage(1.0, 0.2))},
            "from voxtra_core.testing.faults import Outage",
        ),
        (
            lets_outages_go_up,
            {"scenarios": QUIET, "dialplan": {("far", "s"): Extension("Queue", "sales")}, "check": broken},
            "dialplan={('far', 's'): Extension(application='Queue', data='sales'",
        ),
        (
            lets_outages_go_up,
            {"scenarios": only(Caller("5550100").talks(AudioChunk(bytes(1600), SLIN)).waits(2.0).presses("1"))},
            "# audio is what is said, 0.1 s of it: it cannot be written as code",
        ),
        (asks_a_model, {"parts": PARTS}, "# parts is what you gave: it cannot be written as code"),
        (partial(needs_metadata), {"metadata": {"language": "en"}}, "# handler is a partial of needs_metadata"),
    ],
)  # fmt: skip
def test_what_is_printed_does_it_again(handler: Any, arguments: dict[str, Any], says: str) -> None:
    error = fails(handler, **arguments)
    assert says in str(error)
    names = {
        getattr(handler, "__name__", "handler"): handler,
        "metadata": arguments.get("metadata"),
        "parts": PARTS,
        "audio": AudioChunk(bytes(1600), SLIN),
        "broken": broken,
    }
    happens_again(error, **names)


def test_agents_are_printed() -> None:
    async def calls_back(call: CallSession) -> None:
        raise ValueError("whatever")

    error = fails(calls_back, agents=[BOB])
    assert "agents=[Agent('PJSIP/bob').rings().waits(2.0).answers().waits(5.0)]" in error.code
    happens_again(error, calls_back=calls_back)


def test_a_method_is_called_handler() -> None:
    class Desk:
        async def answer(self, call: CallSession) -> None:
            raise ValueError("no")

    error = fails(Desk().answer)
    assert "# handler is test_a_method_is_called_handler.<locals>.Desk.answer\n" in error.code
    happens_again(error, handler=Desk().answer)


# ---- a check of one's own --------------------------------------------------------------------------------------------


def looks_for_a_pin(report: CallReport) -> None:
    assert report.call is not None
    report.call.metadata["pin"]


def test_a_check_that_fails_itself_says_so() -> None:
    error = fails(is_fine, check=looks_for_a_pin)
    assert error.flaws == ["your check failed itself: KeyError: 'pin'"]
    assert isinstance(error.__cause__, KeyError)
    assert "plays hello-world" in str(error)
    assert happens_again(error, is_fine=is_fine, looks_for_a_pin=looks_for_a_pin) == "'pin'"


def test_so_does_one_that_has_pytest_fail() -> None:
    def has_it_fail(report: CallReport) -> None:
        pytest.fail("not so")

    assert fails(is_fine, check=has_it_fail).flaws == ["your check: not so"]


@pytest.mark.filterwarnings("ignore:Using `assume` outside")
def test_one_may_assume_something() -> None:
    seen = []

    def about_those_with_a_key(report: CallReport) -> None:
        assume(report.pressed)
        seen.append(report)

    check_call_flow(is_fine, check=about_those_with_a_key, max_examples=10)
    assert seen


def test_what_stops_the_tests_is_no_flaw() -> None:
    def stops(report: CallReport) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_call_flow(is_fine, check=stops)


# ---- smaller ---------------------------------------------------------------------------------------------------------


async def sell(call: CallSession) -> None:
    """Of docs/find-the-race.md."""
    call.metadata.update(reserved=False, sold=False)
    await call.answer()
    await call.play_file("hello-world")
    if await call.listen_dtmf(timeout=5) != "1":
        return
    call.metadata["reserved"] = True
    await call.play_file("auth-thankyou")
    call.metadata["sold"] = True


def no_ticket_is_lost(report: CallReport) -> None:
    assert report.call is not None
    assert report.call.metadata["reserved"] == report.call.metadata["sold"]


LONG = [
    CallScenario(Caller("5550100").waits(0.5).talks(0.3).presses("129", after=0.25).waits(0.25).hangs_up(None)),
    CallScenario(Caller("5550100").presses("1").waits(1.32).hangs_up(), Faults(Outage(4.0, 1.0))),
    CallScenario(Caller("").waits(0.1).waits(0.1).waits(0.5).presses("1").waits(0.25).waits(1.0).hangs_up()),
    CallScenario(Caller("5550100").talks(1.0).holds().waits(1.0).resumes().presses("111").hangs_up()),
]


def judged(handler: Any, check: Callable[[CallReport], object]) -> Callable[[CallScenario], CallFlowError | None]:
    def judge(scenario: CallScenario) -> CallFlowError | None:
        try:
            check_call_flow(handler, scenarios=st.just(scenario), check=check)
        except CallFlowError as error:
            return error
        return None

    return judge


@pytest.mark.soak
@pytest.mark.parametrize("scenario", [*LONG[:2], *(pytest.param(each, marks=pytest.mark.soak) for each in LONG[2:])])
def test_what_was_found_is_made_smaller(scenario: CallScenario) -> None:
    judge = judged(sell, no_ticket_is_lost)
    error = judge(scenario)
    assert error is not None
    budget = iter(range(200))
    small = shrunk(error, judge, lambda: next(budget, None) is not None, ())
    assert not small.scenario.faults
    assert small.scenario.caller.steps == (Press("1", 2.0, 0.25, 0.1), HangUp(16))


@pytest.mark.soak
def test_it_is_made_smaller_in_the_same_way_each_time() -> None:
    judge = judged(sell, no_ticket_is_lost)
    error = judge(LONG[1])
    assert error is not None
    first, second = (shrunk(error, judge, iter([True] * 200).__next__, ()) for _ in range(2))
    assert first.scenario == second.scenario


def test_no_more_is_tried_than_may_be() -> None:
    judge = judged(sell, no_ticket_is_lost)
    error = judge(LONG[0])
    assert error is not None
    tried = []

    def note(scenario: CallScenario) -> CallFlowError | None:
        tried.append(scenario)
        return judge(scenario)

    budget = iter([True] * 7)
    shrunk(error, note, lambda: next(budget, False), ())
    assert len(tried) == 7


def test_another_rule_is_another_story() -> None:
    """What is left out must not lead to something else that is wrong."""

    async def raises_or_hangs(call: CallSession) -> None:
        await call.answer()
        if await call.listen_dtmf(timeout=5) is None:
            raise ValueError("nobody there")
        await call.listen_dtmf()

    judge = judged(raises_or_hangs, lambda report: None)
    error = judge(CallScenario(Caller("5550100").waits(1.0).presses("12", after=1.0)))
    assert error is None
    error = judge(CallScenario(Caller("5550100").waits(1.0).presses("1", after=1.0)))
    assert error is not None
    assert error.rules == {"silence"}
    small = shrunk(error, judge, lambda: True, ())
    assert small.rules == {"silence"}
    assert small.scenario.caller == Caller("5550100").presses("1")


def test_the_race_is_found_in_its_smallest_form() -> None:
    error = fails(sell, check=no_ticket_is_lost)
    assert error.code.splitlines()[2] == "report = run_call(sell, Caller('5550100').presses('1', after=2.0).hangs_up())"
    happens_again(error, sell=sell, no_ticket_is_lost=no_ticket_is_lost)


def test_ones_own_scenarios_are_those_alone() -> None:
    """Without what they always have, a check of one's own may mean something else."""
    scenario = CallScenario(Caller("5550100").waits(0.5).presses("1").waits(1.0).hangs_up())
    assert fails(sell, check=no_ticket_is_lost, scenarios=st.just(scenario)).scenario == scenario
