"""Voice activity of the offline set: speech over a telephone is found in time, however loud, and noise is none."""

from __future__ import annotations

import random
from array import array

import pytest

pytest.importorskip("fast_vad")
pytest.importorskip("espeakng_loader")

from voxtra_core.media import SLIN, SLIN16, AudioFormat, SpeechEnded, SpeechStarted
from voxtra_core.providers.local import LocalActivity

from .local_speech import telephone

TEXT = "I would like to make an appointment."


def louder(data: bytes, factor: float) -> bytes:
    return array("h", [round(sample * factor) for sample in array("h", data)]).tobytes()


@pytest.mark.parametrize("format", [SLIN, SLIN16], ids=str)
@pytest.mark.parametrize("factor", [1.0, 0.05])
def test_speech_is_found_in_time_however_loud(format: AudioFormat, factor: float) -> None:
    speech = louder(telephone(TEXT, format), factor)
    around = format.silence(format.bytes_for(1))
    started, ended = LocalActivity(format).detect(around + speech + around)
    assert isinstance(started, SpeechStarted)
    assert started.at == pytest.approx(1, abs=0.07)
    assert isinstance(ended, SpeechEnded)
    assert ended.at == pytest.approx(1 + format.seconds(len(speech)), abs=0.15)


def test_edges_do_not_depend_on_how_it_is_cut() -> None:
    sound = telephone(TEXT, SLIN) + bytes(16_000)
    whole, cut = LocalActivity(), LocalActivity()
    events = [event for start in range(0, len(sound), 320) for event in cut.detect(sound[start : start + 320])]
    assert events == whole.detect(sound)
    assert events


def noise(rms: float, seconds: float) -> bytes:
    chance = random.Random(4)
    return array("h", [round(chance.gauss(0, rms)) for _ in range(round(8000 * seconds))]).tobytes()


def test_a_quiet_noise_is_no_speech() -> None:
    assert LocalActivity().detect(noise(20, 3)) == []


@pytest.mark.parametrize("before", [b"", bytes(16_000)], ids=["from the start", "after a silence"])
def test_a_loud_noise_that_has_come_to_stay_is_speech_for_some_seconds_only(before: bytes) -> None:
    started, ended = LocalActivity().detect(before + noise(2000, 30))
    assert ended.at - started.at <= 6


def test_in_a_noise_that_is_known_speech_is_found() -> None:
    loud, speech = array("h", noise(300, 10)), array("h", telephone(TEXT, SLIN))
    for place, sample in enumerate(speech, 7 * 8000):
        loud[place] = max(-32768, min(32767, loud[place] + sample))
    *_, started, ended = LocalActivity().detect(loud.tobytes())
    assert started.at == pytest.approx(7, abs=0.2)
    assert ended.at == pytest.approx(7 + len(speech) / 8000, abs=0.3)


def test_who_speaks_from_the_first_frame_on_is_heard() -> None:
    assert isinstance(LocalActivity().detect(telephone(TEXT, SLIN))[0], SpeechStarted)


def test_speech_that_has_not_ended_ends_with_the_audio() -> None:
    activity = LocalActivity()
    assert [type(event) for event in activity.detect(telephone(TEXT, SLIN)[:8000])] == [SpeechStarted]
    assert [type(event) for event in activity.flush()] == [SpeechEnded]


@pytest.mark.parametrize(
    ("format", "limits", "complaint"),
    [
        ("ulaw", {}, "slin, not in ulaw"),
        ("slin48", {}, "one of 8000, 16000 Hz, not 48000"),
        ("slin", {"threshold": 1.0}, "threshold"),
        ("slin", {"threshold": 0.0}, "threshold"),
        ("slin", {"attack": 0.0}, "attack"),
        ("slin", {"hangover": 11.0}, "hangover"),
    ],
)
def test_what_it_refuses(format: str, limits: dict[str, float], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        LocalActivity(format, **limits)
