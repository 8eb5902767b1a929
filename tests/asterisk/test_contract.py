"""The contract, line by line, on the real Asterisk: what no other test here proves. See docs/contract.md."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

from voxtra_core import CallDirection, CallEnd, CallEnded, CallSession, CallState, EndedBy, PlaybackEnd
from voxtra_core.ari import ChannelHold, ChannelUnhold, PlaybackStarted
from voxtra_core.call import StateChanged
from voxtra_core.media import SLIN, ULAW, AudioChunk
from voxtra_core.recording import RecordingMetadata

from .rig import Rig, eventually
from .sip import sip_phone

pytestmark = pytest.mark.anyio

BUSY = CallEnd(17, EndedBy.REMOTE)
"""How a call has ended whose caller has hung up with that cause."""
LONG = "demo-congrats"
"""30 s of speech."""


@attrs.define(eq=False)
class Sink:
    """Keeps what it is told."""

    told: list[RecordingMetadata] = attrs.field(factory=list)

    async def on_recording_complete(self, metadata: RecordingMetadata) -> None:
        self.told.append(metadata)


async def stays(call: CallSession) -> None:
    await call.answer()
    await call.wait_ended()


# ---- calls -----------------------------------------------------------------------------------------------------------


async def test_a_call_is_made_for_each_that_comes_in_and_each_that_is_answered(rig: Rig) -> None:
    """Of the class that this loop's package names."""
    package = importlib.import_module(f"voxtra_{rig.backend}")
    made: list[CallSession] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        made.append(call)
        await call.answer()

    async with rig.serving():
        phone = await rig.call()
        await phone.wait_ended()
    assert [type(call) for call in [*made, phone]] == [package.CallSession] * 2


# ---- attributes ------------------------------------------------------------------------------------------------------


async def test_what_a_call_that_comes_in_says_of_itself(rig: Rig) -> None:
    seen: list[tuple[object, ...]] = []

    @rig.app.default(metadata={"menu": "main"})
    async def handler(call: CallSession) -> None:
        ids = [channel["id"] for channel in rig.asterisk.channels()]
        seen.append((call.id in ids, call.caller_id, call.called_number, call.direction, call.app_name))
        assert type(call.metadata) is dict
        assert call.metadata == {"menu": "main"}
        await call.answer()

    async with rig.serving():
        await (await rig.call(caller_id='"Alice" <5550100>')).wait_ended()
    assert seen == [(True, "5550100", rig.app_name, CallDirection.INBOUND, rig.app_name)]


async def test_what_a_call_that_is_placed_says_of_itself(rig: Rig) -> None:
    async with rig.serving(rig.app):
        call = await rig.app.originate("Local/answer@far", caller_id="100", metadata={"n": 1})
        assert call.id in [channel["id"] for channel in rig.asterisk.channels()]
        assert (call.caller_id, call.called_number, call.direction) == ("100", "answer@far", CallDirection.OUTBOUND)
        assert (call.app_name, call.metadata) == (rig.app_name, {"n": 1})
        await call.hangup()


@pytest.mark.parametrize("withheld", [False, True])
async def test_a_number_that_is_withheld(rig: Rig, withheld: bool) -> None:
    numbers: list[str] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        numbers.append(call.caller_id)
        await call.answer()

    async with rig.serving(), sip_phone(rig.asterisk) as phone:
        await phone.call(rig.app_name, withheld=withheld)
        await phone.until("BYE")
        await (await rig.call(caller_id="")).wait_ended()
    assert numbers == ["" if withheld else "5550100", ""]


async def test_a_call_goes_through_its_states_and_its_duration_counts(rig: Rig) -> None:
    states: list[str] = []
    durations: list[float] = []
    calls: list[CallSession] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        calls.append(call)
        states.append(str(call.state))
        with call.events() as events:
            await anyio.sleep(0.3)
            durations.append(call.duration)
            await call.answer()
            await anyio.sleep(0.5)
            durations.append(call.duration)
            await call.hold()
            await call.unhold()
            await call.hangup()
            durations.append(call.duration)
            states.extend([str(seen.state) async for seen in events if isinstance(seen, StateChanged)])

    async with rig.serving():
        await (await rig.call()).wait_ended()
        await anyio.sleep(0.3)
        durations.append(calls[0].duration)
    assert states == ["ringing", "in-progress", "on-hold", "in-progress", "completed"]
    ringing, up, ended, later = durations
    assert ringing == 0.0
    assert 0.45 < up < 0.7
    assert up <= ended == later


# ---- lifecycle -------------------------------------------------------------------------------------------------------


async def test_answering_again_is_nothing(rig: Rig) -> None:
    @rig.app.default()
    async def handler(call: CallSession) -> None:
        for _ in range(3):
            await call.answer()
            assert call.state is CallState.IN_PROGRESS

    async with rig.serving():
        await (await rig.call()).wait_ended()
    assert len(rig.requests("channels.answer")) == 1


@pytest.mark.parametrize("by", ["us", "the caller"])
async def test_hanging_up_again_is_nothing(rig: Rig, by: str) -> None:
    ends: list[CallEnd | None] = []
    callbacks: list[str] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        @call.on_hangup
        async def note() -> None:
            callbacks.append(call.id)

        await call.answer()
        if by == "the caller":
            await call.wait_ended()
        for _ in range(3):
            await call.hangup()
        ends.append(call.end)

    async with rig.serving():
        phone = await rig.call()
        if by == "the caller":
            await phone.hangup("busy")
        await phone.wait_ended()
        await eventually(lambda: ends and callbacks)
    assert ends == [BUSY if by == "the caller" else CallEnd(16, EndedBy.LOCAL)]
    assert len(callbacks) == 1
    assert len(rig.requests("channels.hangup")) == (0 if by == "the caller" else 1)


# ---- audio and DTMF --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("media", ["hello-world", "sound:hello-world"])
async def test_a_prompt_by_its_name_or_its_uri_returns_when_it_has_been_played(rig: Rig, media: str) -> None:
    took: list[float] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        begun = anyio.current_time()
        assert await call.play_file(media) is PlaybackEnd.DONE
        took.append(anyio.current_time() - begun)

    async with rig.serving():
        await (await rig.call()).wait_ended()
    assert 1.3 < took[0] < 2.0  # it is 1.4 s
    assert [started.playback.media_uri for started in rig.events(PlaybackStarted)] == ["sound:hello-world"]


async def test_what_is_heard_is_ulaw_in_chunks_of_20_ms_until_the_call_ends(rig: Rig) -> None:
    chunks: list[AudioChunk] = []
    ended: list[CallEnd | None] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        async for chunk in call.audio_stream():
            chunks.append(chunk)  # noqa: PERF401 - they are counted meanwhile
        ended.append(call.end)

    async with rig.serving():
        phone = await rig.call()
        await phone.play_file("hello-world")
        await phone.hangup("busy")
        await eventually(lambda: ended)
    assert ended == [BUSY]
    assert {chunk.format for chunk in chunks} == {ULAW}
    assert {len(chunk.data) for chunk in chunks} == {160}
    assert 55 <= len(chunks) <= 80  # 1.4 s, but for the opening


async def test_one_digit_at_a_time_and_none_when_the_time_is_over(rig: Rig) -> None:
    digits: list[str | None] = []
    took: list[float] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        digits.extend([await call.listen_dtmf(), await call.listen_dtmf(timeout=5)])
        begun = anyio.current_time()
        digits.append(await call.listen_dtmf(timeout=0.4))
        took.append(anyio.current_time() - begun)

    async with rig.serving():
        phone = await rig.call()
        with suppress(CallEnded):
            await phone.send_dtmf("4#")
        await phone.wait_ended()
    assert digits == ["4", "#", None]
    assert took == [pytest.approx(0.4, abs=0.1)]


# ---- recording -------------------------------------------------------------------------------------------------------


async def test_a_recording_goes_to_its_own_sink_or_to_the_applications_once(rig: Rig) -> None:
    """Where the file can't be read its duration is what Asterisk's event says."""
    own, of_the_application = Sink(), Sink()
    app = rig.new_app(rig.app_name, recording_sink=of_the_application, observer=rig.seen.append)
    returned: list[str | None] = []

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        returned.append(await call.record_stop())
        for sink in (own, None):
            returned.append(await call.record_start(f"{rig.app_name}-{len(returned)}", "ulaw", sink=sink))
            await anyio.sleep(1.2)
            returned.extend([await call.record_stop(), await call.record_stop()])
        await eventually(lambda: own.told and of_the_application.told)

    async with rig.serving(app, rig.far):
        await (await rig.call()).wait_ended()
    first, second = f"{rig.app_name}-1", f"{rig.app_name}-4"
    assert returned == [None, first, first, None, second, second, None]
    for sink, name in ((own, first), (of_the_application, second)):
        (told,) = sink.told
        assert type(told) is RecordingMetadata
        assert (told.name, told.format, told.duration, told.duration_source) == (name, "ulaw", 1.0, "asterisk")
        assert (rig.asterisk.dir / f"var/spool/recording/{name}.ulaw").stat().st_size > 0.9 * 8000


async def test_a_recording_is_named_where_nobody_names_it(rig: Rig) -> None:
    sink = Sink()
    app = rig.new_app(rig.app_name, recording_sink=sink, observer=rig.seen.append)
    names: list[str] = []

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        for _ in range(2):
            names.append(await call.record_start())
            await anyio.sleep(0.1)
            assert await call.record_stop() == names[-1]
        await eventually(lambda: len(sink.told) == 2)

    async with rig.serving(app, rig.far):
        await (await rig.call()).wait_ended()
    assert len(set(names)) == 2
    assert sorted(told.name for told in sink.told) == sorted(names)
    for name in names:
        assert (rig.asterisk.dir / f"var/spool/recording/{name}.wav").exists()


@pytest.mark.parametrize("is_there", [True, False])
async def test_without_a_sink_it_is_local_file_sink(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    """Which looks for the file: where Asterisk writes them, or where it does not."""
    monkeypatch.setattr("voxtra_core.app.delivering.TRIES", 1)
    folder = rig.asterisk.dir / "var/spool/recording" if is_there else tmp_path
    app = rig.new_app(rig.app_name, recording_dir=str(folder), observer=rig.seen.append)
    names: list[str] = []

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        names.append(await call.record_start())
        await anyio.sleep(0.1)
        await call.record_stop()

    async with rig.serving(app, rig.far):
        await (await rig.call()).wait_ended()
        await eventually(lambda: is_there or len(rig.warnings) == 2)
    if not is_there:
        rig.expect_log("its file cannot be read")
        failure = rig.expect_log("its sink failed").exc_info
        assert failure is not None
        assert str(failure[1]) == f"{tmp_path}/{names[0]}.wav cannot be seen: No such file or directory"


# ---- callbacks -------------------------------------------------------------------------------------------------------


async def returns(call: CallSession) -> None:
    await call.answer()


async def raises(call: CallSession) -> None:
    await call.answer()
    raise ValueError("of this handler")


async def hangs_up(call: CallSession) -> None:
    await call.answer()
    await call.hangup()


async def goes_on(call: CallSession) -> None:
    await call.answer()
    await call.continue_in_dialplan("after", "wait")


@pytest.mark.parametrize("handler", [returns, raises, hangs_up, goes_on, stays], ids=lambda each: each.__name__)
async def test_a_hangup_callback_runs_once_whoever_ended_it(
    rig: Rig, handler: Callable[[CallSession], Awaitable[None]]
) -> None:
    runs: list[str] = []

    @rig.app.default()
    async def handle(call: CallSession) -> None:
        @call.on_hangup
        async def note() -> None:
            assert call.end is not None
            runs.append(str(call.state))

        await handler(call)

    async with rig.serving():
        phone = await rig.call()
        if handler in {stays, goes_on}:
            await anyio.sleep(0.1)
            await phone.hangup()
        await phone.wait_ended()
        await eventually(lambda: runs)
        await anyio.sleep(0.1)
    assert runs == ["completed"]
    if handler is raises:
        rig.expect_log("its handler failed")


# ---- where the contract is silent ------------------------------------------------------------------------------------


async def test_a_call_that_is_up_already_has_its_duration_from_when_it_came(rig: Rig) -> None:
    """It has been up for 0.6 s when the dialplan sends it to us again."""
    seen: list[tuple[CallState, float]] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        seen.append((call.state, call.duration))
        await call.answer()
        await anyio.sleep(0.6)
        seen.append((call.state, call.duration))
        if len(seen) == 2:
            await call.continue_in_dialplan("stasis", rig.app_name)

    async with rig.serving():
        await (await rig.call()).wait_ended()
    assert [str(state) for state, _ in seen] == ["ringing", "in-progress", "in-progress", "in-progress"]
    assert [duration for _, duration in seen] == [0.0, *(pytest.approx(each, abs=0.15) for each in (0.6, 0.0, 0.6))]
    assert len(rig.requests("channels.answer")) == 1


async def test_a_far_end_that_holds_us_is_an_event_and_no_state(rig: Rig) -> None:
    calls: list[CallSession] = []
    told: list[str] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        calls.append(call)
        await call.answer()
        async for event in call.events():
            told.append(type(event).__name__)  # noqa: PERF401 - as they come

    async with rig.serving(), sip_phone(rig.asterisk) as phone:
        await phone.call(rig.app_name)
        await phone.until("200")
        await phone.hold()
        await eventually(lambda: rig.events(ChannelHold))
        assert calls[0].state is CallState.IN_PROGRESS
        await phone.hold("sendrecv")
        await eventually(lambda: rig.events(ChannelUnhold))
        assert calls[0].state is CallState.IN_PROGRESS
        await phone.hang_up()
        await calls[0].wait_ended()
    assert [name for name in told if name in {"ChannelHold", "ChannelUnhold"}] == ["ChannelHold", "ChannelUnhold"]


# ---- when the call ends under a waiting handler ----------------------------------------------------------------------


async def talk_for_ever(call: CallSession) -> None:
    while True:
        await call.send_audio(AudioChunk(SLIN.silence(8000), SLIN))


async def set_variable_behind_a_prompt(call: CallSession) -> None:
    await call.start_playback(LONG)
    await call.set_variable("BEHIND", "the prompt")


WAITS: dict[str, Callable[[CallSession], Awaitable[object]]] = {
    "listen_dtmf": lambda call: call.listen_dtmf(),
    "listen_dtmf with a timeout": lambda call: call.listen_dtmf(timeout=60),
    "collect_digits": lambda call: call.collect_digits(4, first_digit_timeout=60),
    "menu": lambda call: call.menu(LONG, "12"),
    "play_file": lambda call: call.play_file(LONG),
    "send_dtmf": lambda call: call.send_dtmf("1" * 50),
    "send_audio": talk_for_ever,
    "set_variable, behind a prompt": set_variable_behind_a_prompt,
}


@pytest.mark.parametrize("name", WAITS)
async def test_whatever_is_awaited_says_who_ended_the_call_and_why(rig: Rig, name: str) -> None:
    """And a handler that lets it go up has ended normally: nothing is logged."""
    ended: list[tuple[bool, CallEnd]] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        try:
            await WAITS[name](call)
        except CallEnded as error:
            ended.append((error.call_id == call.id, error.end))
            raise

    async with rig.serving():
        phone = await rig.call()
        await anyio.sleep(0.3)
        await phone.hangup("busy")
        await eventually(lambda: ended)
    assert ended == [(True, BUSY)]


AFTERWARDS: dict[str, Callable[[CallSession], Awaitable[object]]] = {
    "answer": lambda call: call.answer(),
    "hold": lambda call: call.hold(),
    "unhold": lambda call: call.unhold(),
    "play_file": lambda call: call.play_file("beep"),
    "send_audio": lambda call: call.send_audio(AudioChunk(SLIN.silence(320), SLIN)),
    "listen_dtmf": lambda call: call.listen_dtmf(timeout=0),
    "send_dtmf": lambda call: call.send_dtmf("1"),
    "record_start": lambda call: call.record_start(),
    "get_variable": lambda call: call.get_variable("X"),
    "continue_in_dialplan": lambda call: call.continue_in_dialplan(),
}


async def test_the_end_of_another_call_is_no_normal_end_of_a_handler(rig: Rig) -> None:
    calls: list[CallSession] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        calls.append(call)
        await call.answer()
        if len(calls) == 1:
            await call.wait_ended()
        else:
            await calls[0].listen_dtmf()

    async with rig.serving():
        other, phone = await rig.call(), await rig.call()
        await other.hangup()
        assert await phone.wait_ended() == CallEnd(41, EndedBy.REMOTE)
    assert f"{phone.id};2" in rig.expect_log("its handler failed").getMessage()


async def test_after_the_end_methods_raise_but_for_these(rig: Rig) -> None:
    raised: list[tuple[str, CallEnd]] = []
    others: list[Any] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.wait_ended()
        for name, method in AFTERWARDS.items():
            try:
                await method(call)
            except CallEnded as error:
                raised.append((name, error.end))
        others.extend([await call.hangup(), await call.record_stop()])  # type: ignore[func-returns-value]
        others.append([chunk async for chunk in call.audio_stream()])

        @call.on_hangup
        async def late() -> None:
            others.append("late")

    async with rig.serving():
        phone = await rig.call()
        await phone.hangup("busy")
        await eventually(lambda: "late" in others)
    assert raised == [(name, BUSY) for name in AFTERWARDS]
    assert others == [None, None, [], "late"]
