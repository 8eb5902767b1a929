"""Entries of digits and menus, as a caller has them: what they hear, and what becomes of what they press."""

from __future__ import annotations

import pytest

from voxtra_core import CallSession
from voxtra_core.app.events import AppUpdate
from voxtra_core.ari import ChannelDtmfReceived
from voxtra_core.call import CollectEnd
from voxtra_core.session import EventStream
from voxtra_core.testing import Caller, CallReport, run_call
from voxtra_core.testing.strategies import check_call_flow

from .world import World

ALICE = Caller("5550100", "Alice")

PROMPT = "vm-password"


async def pin(call: CallSession) -> None:
    """Three tries at a PIN of four digits."""
    await call.answer()
    for _ in range(3):
        entered = await call.collect_digits(4, min_digits=4, prompt=PROMPT, mask=True)
        call.metadata.setdefault("tries", []).append(entered)
        if entered.digits == "1234":
            await call.play_file("auth-thankyou")
            return
        await call.flush_dtmf()
        await call.play_file("vm-incorrect")


def tries(report: CallReport) -> list[tuple[str, CollectEnd]]:
    assert report.call is not None
    return [(entered.digits, entered.ended) for entered in report.call.metadata["tries"]]


def test_a_key_ends_the_prompt() -> None:
    report = run_call(pin, Caller("5550100").presses("1234", after=0.2))
    assert tries(report) == [("1234", CollectEnd.COMPLETE)]
    assert report.prompts == [PROMPT, "auth-thankyou"]
    cut, thanks = report.heard
    assert cut.end is not None
    assert cut.end - cut.start == pytest.approx(0.3)
    assert thanks.start == pytest.approx(1.35)


@pytest.mark.parametrize("flushes", [False, True])
def test_what_was_pressed_before_counts_unless_it_is_forgotten(flushes: bool) -> None:
    flushed: list[int] = []

    async def handle(call: CallSession) -> None:
        await call.answer()
        await call.play_file("hello-world")
        if flushes:
            flushed.append(await call.flush_dtmf())
        call.metadata["tries"] = [await call.collect_digits(4, prompt=PROMPT)]

    report = run_call(handle, Caller("5550100").presses("99").waits(1.5).presses("12#"))
    if flushes:
        assert (flushed, report.prompts) == ([2], ["hello-world", PROMPT])
        assert tries(report) == [("12", CollectEnd.TERMINATOR)]
    else:
        assert report.prompts == ["hello-world"]
        assert tries(report) == [("9912", CollectEnd.COMPLETE)]


def test_who_presses_nothing_is_asked_three_times() -> None:
    report = run_call(pin, Caller("5550100"))
    assert tries(report) == [("", CollectEnd.NO_DIGIT)] * 3
    assert report.prompts == [PROMPT, "vm-incorrect"] * 3


@pytest.mark.soak
def test_it_is_a_right_call_flow_whatever_happens() -> None:
    check_call_flow(pin, max_examples=60)


def test_what_is_masked_is_nowhere_to_be_seen() -> None:
    """Neither in the events of the call, nor in those of the application, nor in what is logged or printed."""
    seen: list[object] = []

    async def enter(call: CallSession) -> None:
        await call.answer()
        with call.events() as of_call:
            entered = await call.collect_digits(4, mask=True)
            await call.listen_dtmf()
            await call.hangup()
            seen.extend([item async for item in of_call])
        seen.append(entered)

    with World() as world:
        world.app.default()(enter)
        world.start()
        with world.app.events() as of_app:
            world.call(ALICE.waits(0.5).presses("8642").waits(1.0).presses("9"))
            world.run(10.0)
            world.stop()
            seen.extend(world.do(lambda: rest_of(of_app)))
    digits = [item.digit for item in seen if isinstance(item, ChannelDtmfReceived)]
    assert digits == [*"????9"] * 2
    assert "<CollectedDigits '????' complete>" in repr(seen)


async def rest_of(events: EventStream[AppUpdate]) -> list[AppUpdate]:
    return [event async for event in events]


# ---- menus -----------------------------------------------------------------------------------------------------------


async def menu(call: CallSession) -> None:
    await call.answer()
    call.metadata["choice"] = await call.menu(
        "demo-moreinfo",
        ["1", "2", "22", "*"],
        invalid_prompt="pm-invalid-option",
        timeout_prompt="vm-sorry",
    )


@pytest.mark.parametrize(
    ("caller", "choice", "prompts"),
    [
        (ALICE.presses("1"), "1", 1),
        (ALICE.presses("*", after=1.0), "*", 1),
        (ALICE.presses("22"), "22", 1),
        (ALICE.presses("2").waits(5.0).presses("2"), "2", 1),
        (ALICE.presses("9").waits(1.0).presses("1"), "1", 2),
        (ALICE.presses("21").waits(1.0).presses("1"), "1", 2),
        (ALICE, None, 5),
    ],
)
def test_choices(caller: Caller, choice: str | None, prompts: int) -> None:
    report = run_call(menu, caller)
    assert report.call is not None
    assert report.call.metadata["choice"] == choice
    assert len(report.prompts) == prompts


def test_who_is_wrong_and_who_is_silent_hear_why() -> None:
    report = run_call(menu, ALICE.presses("9").waits(1.0).waits_for_prompt("demo-moreinfo"))
    assert report.prompts == [
        *("demo-moreinfo", "pm-invalid-option", "demo-moreinfo"),
        *("vm-sorry", "demo-moreinfo"),
    ]


def test_a_menu_is_a_right_call_flow_whatever_happens() -> None:
    check_call_flow(menu, max_examples=60)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"choices": []}, "choices"),
        ({"choices": ["x"]}, "choices"),
        ({"choices": [""]}, "choices"),
        ({"tries": 0}, "tries"),
    ],
)
def test_a_menu_that_cannot_be(options: dict[str, object], says: str) -> None:
    async def wrong(call: CallSession) -> None:
        await call.menu("demo-moreinfo", **({"choices": ["1"]} | options))  # type: ignore[arg-type]

    with pytest.raises(ValueError, match=says):
        raise run_call(wrong, ALICE).error or AssertionError
