"""What the simulated Asterisk records; its words and times are compared with a real one's in ``tests/fidelity``."""

from __future__ import annotations

from typing import Any

import pytest

from tests.testing.world import World, body_of
from voxtra_core.media import AudioChunk, read_wav
from voxtra_core.media.formats import format_of
from voxtra_core.media.g711 import ulaw_to_slin
from voxtra_core.media.level import rms_dbfs
from voxtra_core.testing import Callee, Caller, Person, run_call


def record(world: World, channel: str, name: str = "r1", format: str = "wav", **more: object) -> None:
    query = "&".join(f"{key}={value}" for key, value in {"name": name, "format": format, **more}.items())
    assert world.ask("POST", f"/channels/{channel}/record?{query}").status == 201


def snoop(world: World, person: Person, spy: str = "in") -> str:
    reply = world.ask("POST", f"/channels/{person.channel_id}/snoop/ear?app=app&spy={spy}")
    assert reply.status == 200
    return "ear"


def stop(world: World, name: str = "r1") -> None:
    assert world.ask("POST", f"/recordings/live/{name}/stop").status == 204


def wav(world: World, name: str = "r1") -> AudioChunk:
    return read_wav(world.ask("GET", f"/recordings/stored/{name}/file").body)


def loud(chunk: AudioChunk) -> list[tuple[float, float]]:
    """From when to when there is something in it, to the frame."""
    size = chunk.format.bytes_for(0.02)
    frames = [chunk.data[at : at + size] for at in range(0, len(chunk.data), size)]
    spans: list[tuple[float, float]] = []
    for number, frame in enumerate(frames):
        if any(frame):
            start = round(number * 0.02, 2)
            begin = spans.pop()[0] if spans and spans[-1][1] == start else start
            spans.append((begin, round(start + 0.02, 2)))
    return spans


# ---- what is in the file ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_snoop", [False, True])
def test_what_somebody_says(by_snoop: bool) -> None:
    world = World()
    person = world.call(Caller("1").waits(1.0).talks(0.5).waits(0.5).talks(0.2), answered=True)
    record(world, snoop(world, person) if by_snoop else person.channel_id)
    world.run(3.0)
    stop(world)
    chunk = wav(world)
    assert chunk.format == format_of("slin", 8000)
    assert loud(chunk) == [(1.0, 1.5), (2.0, 2.2)]
    assert len(chunk.data) == 2 * 3 * 8000
    assert rms_dbfs(chunk.data[16_000:24_000]) == pytest.approx(-14.7, abs=0.1)


def test_what_was_being_said_already() -> None:
    world = World()
    person = world.call(Caller("1").talks(2.0), answered=True)
    world.run(0.5)
    record(world, person.channel_id)
    world.run(2.0)
    assert loud(wav(world)) == [(0.0, 1.5)], "the file is there while it is being written"


@pytest.mark.parametrize(
    ("spy", "expected"), [("in", [(1.0, 1.5)]), ("out", [(2.0, 2.4)]), ("both", [(1.0, 1.5), (2.0, 2.4)])]
)
def test_what_is_said_in_a_bridge(spy: str, expected: list[tuple[float, float]]) -> None:
    world = World()
    person = world.call(Caller("1").waits(1.0).talks(0.5), answered=True)
    agent = world.reach(Callee().answers().waits(2.0).talks(0.4), channelId="agent")
    record(world, snoop(world, person, spy))
    world.ask("POST", "/bridges/b1")
    world.request("POST", f"/bridges/b1/addChannel?channel={person.channel_id},{agent.channel_id}")
    world.run(3.0)
    stop(world)
    assert loud(wav(world)) == expected


def test_pauses_are_left_out_and_mutes_are_silent() -> None:
    world = World()
    person = world.call(Caller("1").talks(6.0), answered=True)
    record(world, person.channel_id)
    for seconds, method, what in [(1.0, "POST", "pause"), (1.0, "DELETE", "pause"), (1.0, "POST", "mute")]:
        world.run(seconds)
        world.ask(method, f"/recordings/live/r1/{what}")
    world.run(1.0)
    world.ask("DELETE", "/recordings/live/r1/mute")
    world.run(1.0)
    stop(world)
    assert world.last("RecordingFinished")["recording"]["duration"] == 4
    assert loud(wav(world)) == [(0.0, 2.0), (3.0, 4.0)]


def test_what_is_said_in_a_bridge_during_a_pause_is_left_out() -> None:
    world = World()
    person = world.call(Caller("1"), answered=True)
    agent = world.reach(Callee().answers().talks(3.0), channelId="agent")
    record(world, snoop(world, person, "out"))
    world.ask("POST", "/bridges/b1")
    world.request("POST", f"/bridges/b1/addChannel?channel={person.channel_id},{agent.channel_id}")
    for method in ("POST", "DELETE"):
        world.run(1.0)
        world.ask(method, "/recordings/live/r1/pause")
    world.run(2.0)
    stop(world)
    (span,) = loud(wav(world))
    assert span == (0.0, 2.0)


@pytest.mark.parametrize(("format", "rate"), [("wav", 8000), ("wav16", 16_000)])
def test_the_rate_is_the_formats(format: str, rate: int) -> None:
    world = World()
    person = world.call(Caller("1", rate=16_000).talks(1.0), answered=True)
    record(world, person.channel_id, format=format)
    world.run(1.5)
    stop(world)
    chunk = wav(world)
    assert chunk.format.rate == rate
    assert len(chunk.data) == pytest.approx(2 * 1.5 * rate, abs=100)
    assert rms_dbfs(chunk.data[:rate]) == pytest.approx(-14.7, abs=0.1)


def test_other_formats() -> None:
    world = World()
    person = world.call(Caller("1").talks(1.0), answered=True)
    files = {}
    for format in ("wav", "sln", "ulaw", "gsm"):
        record(world, person.channel_id, format, format)
        world.run(0.2)
        stop(world, format)
        files[format] = world.ask("GET", f"/recordings/stored/{format}/file").body
    assert files["wav"][44:] == files["sln"]
    assert rms_dbfs(ulaw_to_slin(files["ulaw"])) == pytest.approx(rms_dbfs(files["sln"]), abs=0.1)
    assert files["gsm"] == b"", "which nobody here can write"


@pytest.mark.parametrize("rates", [(8000, 8000), (8000, 16_000)])
def test_what_is_appended(rates: tuple[int, int]) -> None:
    world = World()
    for rate in rates:
        person = world.call(Caller("1", rate=rate).talks(0.5), answered=True)
        record(world, person.channel_id, ifExists="append")
        world.run(1.0)
        stop(world)
    assert world.last("RecordingFinished")["recording"]["duration"] == 2
    halves = [wav(world).data[at : at + 8000] for at in (0, 8000, 16_000, 24_000)]
    assert [rms_dbfs(half) > -40 for half in halves] == [True, False, True, False]


def test_no_time_is_spent_while_nobody_says_anything() -> None:
    world = World()
    person = world.call(Caller("1"), answered=True)
    record(world, person.channel_id)
    assert world.asterisk.next_deadline() is None


# ---- silence ---------------------------------------------------------------------------------------------------------


def test_a_voice_in_a_bridge_is_no_silence() -> None:
    """What comes from the bridge has no beginning and no end there but its frames."""
    world = World()
    person = world.call(Caller("1"), answered=True)
    agent = world.reach(Callee().answers().waits(1.0).talks(3.0), channelId="agent")
    record(world, snoop(world, person, "both"), maxSilenceSeconds=2)
    world.ask("POST", "/bridges/b1")
    world.request("POST", f"/bridges/b1/addChannel?channel={person.channel_id},{agent.channel_id}")
    world.run(5.9)
    assert "RecordingFinished" not in world.types()
    world.run(0.2)
    assert "RecordingFinished" in world.types()


# ---- ends ------------------------------------------------------------------------------------------------------------


def test_a_restart_leaves_what_had_been_written() -> None:
    world = World()
    person = world.call(Caller("1").talks(5.0), answered=True)
    record(world, person.channel_id)
    record(world, snoop(world, person), "r2")
    world.run(1.0)
    world.asterisk.restart(world.now)
    world.run(1.0)
    assert "RecordingFinished" not in world.types()
    assert world.ask("GET", "/recordings/live/r1").status == 404
    assert [file["name"] for file in body_of(world.ask("GET", "/recordings/stored"))] == ["r1", "r2"]
    assert loud(wav(world)) == [(0.0, 1.0)]
    made = person.line.channel.recordings
    assert [(each.ended, each.end, each.seconds) for each in made] == [("asterisk-restarted", 1.0, 1.0)] * 2
    assert world.asterisk.next_deadline() is None


def test_one_that_waits_when_asterisk_restarts_has_never_been() -> None:
    world = World()
    person = world.call(Caller("1"), answered=True)
    world.ask("POST", f"/channels/{person.channel_id}/play?media=sound:tt-monkeys")
    record(world, person.channel_id)
    world.asterisk.restart(world.now)
    assert person.line.channel.recordings == []
    assert body_of(world.ask("GET", "/recordings/stored")) == []


# ---- the report ------------------------------------------------------------------------------------------------------


def test_what_was_recorded_of_a_call() -> None:
    async def handler(call: Any) -> None:
        await call.answer()
        await call.record_start("first", "ulaw")
        await call.play_file("hello-world")
        await call.record_stop()
        await call.record_start("second")
        await call.wait_ended()

    report = run_call(handler, Caller("5550100").waits(2.0).talks(1.0).hangs_up())
    first, second = report.recordings
    assert (first.name, first.format, first.start, first.ended) == ("first", "ulaw", 0.0, "stopped")
    assert first.end == pytest.approx(1.42, abs=0.02)
    assert first.seconds == pytest.approx(1.42, abs=0.02)
    assert (second.name, second.format, second.end, second.ended) == ("second", "wav", 3.0, "hangup")
    assert second.file is not None
    (span,) = loud(read_wav(second.file.content))
    assert span == pytest.approx((0.58, 1.58), abs=0.03)


def test_one_that_could_not_be() -> None:
    world = World()
    person = world.call(Caller("1"), answered=True)
    world.ask("POST", "/bridges/b1")
    world.request("POST", f"/bridges/b1/addChannel?channel={person.channel_id}")
    record(world, person.channel_id)
    (made,) = person.line.channel.recordings
    assert (made.ended, made.start, made.end, made.seconds, made.file) == ("failed", 0.0, 0.0, 0.0, None)
