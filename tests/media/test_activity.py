"""Speech by its energy: told once when it starts and once when it ends. Noise is drawn from a seed."""

from __future__ import annotations

import random
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.media import Activity, SpeechEnded, SpeechStarted, VoiceActivity, dtmf_tones

from .sound import cuts, sine


def noise(level: float, seconds: float, rate: int = 8000, seed: int = 1) -> bytes:
    """White noise at so many dBFS."""
    chance = random.Random(seed)
    rms = 23_170 * 10 ** (level / 20)
    return array(
        "h", [max(-32768, min(32767, round(chance.gauss(0, rms)))) for _ in range(round(seconds * rate))]
    ).tobytes()


def told(data: bytes, **limits: float) -> list[Activity]:
    activity = VoiceActivity(**limits)  # type: ignore[arg-type]
    return activity.detect(data) + activity.flush()


@given(
    st.lists(st.tuples(st.sampled_from([-80, -60, -45, -30, -15, -3]), st.integers(1, 80)), min_size=1, max_size=6),
    cuts,
)
def test_starts_and_ends_take_turns_however_it_is_cut(parts: list[tuple[int, int]], lengths: list[int]) -> None:
    sound = b"".join(sine(440, frames * 0.01, 8000, peak=32767 * 10 ** (level / 20)) for level, frames in parts)
    activity, events = VoiceActivity(hangover=0.2), []
    start = turn = 0
    while start < len(sound):
        end = start + 2 * lengths[turn % len(lengths)]
        events += activity.detect(sound[start:end])
        start, turn = end, turn + 1
    events += activity.flush()
    assert events == told(sound, hangover=0.2)
    assert [type(event) for event in events] == ([SpeechStarted, SpeechEnded] * len(events))[: len(events)]
    assert len(events) % 2 == 0
    times = [event.at for event in events]
    assert times == sorted(times)
    assert all(0 <= at <= len(sound) / 16000 for at in times)


def test_one_sample_at_a_time_as_well() -> None:
    sound = noise(-60, 0.2) + noise(-20, 0.3) + noise(-60, 0.6)
    activity, events = VoiceActivity(), []
    for start in range(0, len(sound), 2):
        events += activity.detect(sound[start : start + 2])
    assert events == [SpeechStarted(0.2), SpeechEnded(0.5)]


@pytest.mark.parametrize("rate", ["slin", "slin16", "slin48"])
def test_a_word_has_its_times(rate: str) -> None:
    hertz = VoiceActivity(rate).format.rate
    sound = bytes(hertz) + sine(300, 0.4, hertz) + bytes(2 * hertz)
    assert VoiceActivity(rate).detect(sound) == [SpeechStarted(0.5), SpeechEnded(0.9)]


def test_it_is_told_as_soon_as_attack_and_hangover_are_over() -> None:
    activity = VoiceActivity(attack=0.1, hangover=0.3)
    loud, quiet = sine(300, 0.02, 8000), bytes(320)
    assert [bool(activity.detect(loud)) for _ in range(5)] == [False] * 4 + [True]
    assert activity.speaking
    assert [bool(activity.detect(quiet)) for _ in range(15)] == [False] * 14 + [True]
    assert not activity.speaking


def test_a_click_is_no_speech_and_a_pause_between_words_no_end() -> None:
    word, pause = sine(300, 0.3, 8000), bytes(2 * 3200)
    assert told(bytes(1600) + sine(300, 0.04, 8000) + bytes(8000)) == []
    assert told(word + pause + word + pause) == [SpeechStarted(0.0), SpeechEnded(1.0)]


def test_silence_is_not_worth_a_word() -> None:
    assert told(bytes(160_000)) == []
    assert told(noise(-55, 10)) == []


@pytest.mark.parametrize("floor", [-66, -58, -50, -42])
def test_speech_is_told_from_the_noise_it_is_in(floor: int) -> None:
    """The noise is there first, and rises slowly enough to be learnt as what it is."""
    rising = b"".join(noise(level, 0.5, seed=level + 200) for level in range(-80, floor, 4))
    sound = rising + noise(floor, 2) + noise(floor + 20, 1, seed=2) + noise(floor, 2, seed=3)
    start = len(rising) / 16000 + 2
    assert [event.at for event in told(sound)] == pytest.approx([start, start + 1], abs=0.021)


def test_noise_that_has_come_to_stay_ends_being_speech() -> None:
    sound = noise(-70, 2) + noise(-35, 20)
    started, ended = told(sound)
    assert started == SpeechStarted(2.0)
    assert ended.at < 20
    assert told(sound, floor_rise=6.0)[1].at < ended.at


def test_without_a_rise_it_stays_speech() -> None:
    assert told(noise(-70, 1) + noise(-35, 10), floor_rise=0.0) == [SpeechStarted(1.0), SpeechEnded(11.0)]


def test_after_the_end_it_begins_anew() -> None:
    activity = VoiceActivity()
    for _ in range(2):
        assert activity.detect(bytes(1600) + sine(300, 0.305, 8000)) == [SpeechStarted(0.1)]
        assert activity.flush() == [SpeechEnded(0.4)]
        assert activity.flush() == []


def test_digits_are_sound_too() -> None:
    assert told(bytes(8000) + dtmf_tones("12") + bytes(16000)) == [SpeechStarted(0.5), SpeechEnded(0.8)]


@pytest.mark.parametrize(
    "limits",
    [
        {"threshold": 0.5},
        {"threshold": 41},
        {"hysteresis": 11},
        {"hysteresis": -1},
        {"min_level": 1},
        {"min_level": -91},
        {"attack": 0},
        {"attack": 1.1},
        {"hangover": 0.01},
        {"hangover": 11},
        {"floor_rise": -1},
        {"floor_rise": 21},
        {"floor_rise": float("nan")},
    ],
)
def test_limits_that_cannot_be(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(limits))} must be"):
        VoiceActivity(**limits)  # type: ignore[arg-type]


def test_other_formats_are_to_be_transcoded_first() -> None:
    with pytest.raises(ValueError, match="Transcoder"):
        VoiceActivity("ulaw")
    with pytest.raises(ValueError, match="whole number"):
        VoiceActivity().detect(b"\1")
