"""Entries of digits and menus on a real Asterisk: what the caller hears, and what becomes of what they press."""

from __future__ import annotations

import pytest

from voxtra_core import CallSession
from voxtra_core.call import CollectedDigits, CollectEnd

from .rig import Rig, both_ways, eventually

pytestmark = [pytest.mark.anyio, both_ways]


async def test_a_key_ends_the_prompt_and_the_whole_is_heard_in_order(rig: Rig) -> None:
    """The prompt is 30 s long; the far end hears a second of it, and then nothing."""
    entered: list[CollectedDigits] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        entered.append(await call.collect_digits(6, prompt="demo-congrats", mask=True, inter_digit_timeout=5.0))
        await call.send_dtmf("1")
        await call.listen_dtmf()

    async with rig.serving():
        phone = await rig.call()
        async with rig.recorded(phone) as heard:
            assert await phone.listen_dtmf(1) is None
            await phone.send_dtmf("8642#")
            assert await phone.listen_dtmf(5) == "1"
        await phone.hangup()
    assert [(each.digits, each.ended, each.terminator) for each in entered] == [("8642", CollectEnd.TERMINATOR, "#")]
    sound = heard()
    assert 0.3 < sound.loud_seconds < 2.0, f"of {sound.seconds} s"


async def test_what_is_pressed_ahead_skips_the_prompts(rig: Rig) -> None:
    chosen: list[str | None] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.play_file("hello-world")
        chosen.append(await call.menu("demo-congrats", ["1", "2"]))
        entered = await call.collect_digits(4, prompt="demo-congrats")
        chosen.append(entered.digits)
        await call.send_dtmf("9")
        await call.listen_dtmf()

    async with rig.serving():
        phone = await rig.call()
        await phone.send_dtmf("25678")
        assert await phone.listen_dtmf(10) == "9"
        await phone.hangup()
        await eventually(lambda: not rig.app.calls)
    assert chosen == ["2", "5678"]


async def test_who_presses_what_is_no_choice_and_who_presses_nothing(rig: Rig) -> None:
    chosen: list[str | None] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        chosen.append(await call.menu("beep", ["1"], tries=2, timeout=1.0, invalid_prompt="vm-goodbye"))
        await call.send_dtmf("0")
        chosen.append(await call.menu("beep", ["1"], tries=2, timeout=3.0, timeout_prompt="vm-goodbye"))
        await call.send_dtmf("0")
        await call.listen_dtmf()

    async with rig.serving():
        phone = await rig.call()
        async with rig.recorded(phone) as heard:
            await phone.send_dtmf("7")
            assert await phone.listen_dtmf(10) == "0"
        await phone.send_dtmf("1")
        assert await phone.listen_dtmf(10) == "0"
        await phone.hangup()
    assert chosen == [None, "1"]
    assert heard().loud_seconds > 0.8, "a beep, the goodbye for who is wrong, another beep"


async def test_a_prompt_that_nothing_interrupts_is_heard_to_its_end(rig: Rig) -> None:
    entered: list[CollectedDigits] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        entered.append(await call.collect_digits(2, prompt="auth-thankyou", interrupt_prompt=False))
        await call.send_dtmf("3")
        await call.listen_dtmf()

    async with rig.serving():
        phone = await rig.call()
        async with rig.recorded(phone) as heard:
            await phone.send_dtmf("12", between=20)
            assert await phone.listen_dtmf(10) == "3"
        await phone.hangup()
    assert entered[0].digits == "12"
    assert heard().loud_seconds > 0.4
