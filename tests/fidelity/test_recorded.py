"""The simulated Asterisk does in every scenario what a real 22.10.1 did when it was recorded.

Deterministic: virtual time on one side, a file on the other. ``tests/asterisk/test_fidelity.py`` does the same with a
real Asterisk instead of the files.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import attrs
import pytest

from tests.fidelity.accepted import ACCEPTED
from tests.fidelity.recordings import FOLDER, recorded
from tests.fidelity.scenes.every import SCENARIOS
from tests.fidelity.simulated import play_simulated
from tests.fidelity.stage import Scenario
from tests.fidelity.trace import Trace, differences

DOCUMENT = Path(__file__).parents[2] / "docs" / "simulated.md"


@cache
def simulated(scenario: Scenario) -> Trace:
    """What the simulated one does, as a recording of it would say."""
    return Trace.parse(Trace.of(play_simulated(scenario)).text())


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_same_as_recorded(scenario: Scenario) -> None:
    found = differences(recorded(scenario.name), simulated(scenario))
    assert not found, "\n".join(found)


def test_there_are_enough_scenarios_and_all_are_recorded() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert len(names) == len(set(names)) >= 60
    assert {path.stem for path in FOLDER.glob("*.jsonl")} == set(names)


def test_every_accepted_difference_is_documented() -> None:
    documented = re.findall(r"^\| `([a-z-]+)` \|", DOCUMENT.read_text(), re.MULTILINE)
    assert documented == list(ACCEPTED)
    assert len(documented) < 10


@pytest.mark.parametrize("name", ["rtp-quality", "sip-status", "sip-bridge", "far-half"])
def test_an_accepted_difference_is_one(name: str) -> None:
    """It is no longer accepted when there is none. The others are races, which a recording may have won."""
    assert any(differences(recorded(each.name), simulated(each), without=name) for each in SCENARIOS)


# ---- the comparison itself -------------------------------------------------------------------------------------------

SCENARIO = next(scenario for scenario in SCENARIOS if scenario.name == "played_a_list")


def changed(find: str, replace: str) -> Trace:
    """The recording, with one line changed."""
    lines = recorded(SCENARIO.name).text().splitlines()
    (index,) = (number for number, line in enumerate(lines) if find in line)
    lines[index] = lines[index].replace(find, replace)
    return Trace.parse("\n".join(lines))


@pytest.mark.parametrize(
    ("find", "replace"),
    [
        ('"event": "StasisEnd"', '"event": "StasisStart"'),
        ('"event": "PlaybackFinished"', '"event": "PlaybackContinuing"'),
        ('"status": 201', '"status": 200'),
        ('"reason": "Created"', '"reason": "OK"'),
        ('"cause": 32', '"cause": 16'),
        ("Ring at stasis,APP,1", "Down at stasis,APP,1"),
        ("DELETE /channels", "DELETE  /channels"),
    ],
)
def test_a_difference_is_found(find: str, replace: str) -> None:
    assert differences(changed(find, replace), simulated(SCENARIO))


def test_a_missing_event_and_one_too_many_are_found() -> None:
    trace = recorded(SCENARIO.name)
    without = [line for line in trace.lines if line.get("event") != "PlaybackFinished"]
    assert differences(attrs.evolve(trace, lines=without), simulated(SCENARIO))
    assert differences(trace, Trace([*simulated(SCENARIO).lines, trace.lines[1]]))


def test_what_comes_at_another_time_is_found() -> None:
    def late(line: dict[str, object]) -> dict[str, object]:
        return {**line, "at": int(str(line["at"])) + 400} if line.get("event") == "PlaybackContinuing" else line

    trace = Trace([late(dict(line)) for line in recorded(SCENARIO.name).lines])
    found = differences(trace, simulated(SCENARIO))
    assert found
    assert all(difference.startswith("time: ") for difference in found)


def test_two_that_change_places_are_found() -> None:
    lines = list(recorded(SCENARIO.name).lines)
    places = [number for number, line in enumerate(lines) if line.get("event", "").startswith("Playback")]
    lines[places[0]], lines[places[1]] = lines[places[1]], lines[places[0]]
    assert differences(Trace(lines), simulated(SCENARIO))


def test_a_recording_names_nothing_that_is_of_one_run_only() -> None:
    for scenario in SCENARIOS:
        text = recorded(scenario.name).text()
        assert not re.search(r"asttest-[0-9]|fid[0-9a-f]{10}|127\.0\.0\.1:[0-9]{4}", text), scenario.name
        for line in text.splitlines():
            assert "timestamp" not in json.loads(line)
