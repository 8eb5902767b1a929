"""A whole telephone network for tests: Asterisk, the people who call and are called, and the link between it and you.

No sockets, no clock, no chance; a day of calls takes as long as it takes to compute. Begin with :func:`run_call`, and
with ``check_call_flow`` of :mod:`voxtra_core.testing.strategies`, which needs Hypothesis. Below them are
:class:`SimulatedAsterisk`, :class:`SimulatedLink`, :class:`SimulatedListener` where Asterisk connects to you, and
:class:`SimulatedMediaPort` for the audio of calls.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .asterisk import SimulatedAsterisk
    from .callers import Agent, Callee, Caller, Script
    from .dialplan import Extension
    from .external import AudioSocketCall, FarEnd
    from .faults import Faults
    from .flow import Flaw, flaws
    from .hearing import Heard, HeardAudio, Hearing
    from .ladder import Moment
    from .link import SimulatedLink
    from .listener import SimulatedListener
    from .media_port import SimulatedMediaPort
    from .messages import SimClosed, SimEvent, SimMessage, SimReply
    from .parts import ScriptedModel, SimulatedRecogniser, SimulatedVoice
    from .people import Digit, Person
    from .people_text import PeopleSyntaxError, format_people, parse_people
    from .queues import QueueContext, SimulatedQueue
    from .recording import Recorded
    from .report import CallReport, RunReport
    from .run import run_call, run_calls
    from .sounds import SOUNDS
    from .speech import Utterance, speak, understand

__all__ = [
    "SOUNDS",
    "Agent",
    "AudioSocketCall",
    "CallReport",
    "Callee",
    "Caller",
    "Digit",
    "Extension",
    "FarEnd",
    "Faults",
    "Flaw",
    "Heard",
    "HeardAudio",
    "Hearing",
    "Moment",
    "PeopleSyntaxError",
    "Person",
    "QueueContext",
    "Recorded",
    "RunReport",
    "Script",
    "ScriptedModel",
    "SimClosed",
    "SimEvent",
    "SimMessage",
    "SimReply",
    "SimulatedAsterisk",
    "SimulatedLink",
    "SimulatedListener",
    "SimulatedMediaPort",
    "SimulatedQueue",
    "SimulatedRecogniser",
    "SimulatedVoice",
    "Utterance",
    "flaws",
    "format_people",
    "parse_people",
    "run_call",
    "run_calls",
    "speak",
    "understand",
]

_HOMES: dict[str, str] = {
    "SimulatedAsterisk": "asterisk",
    "Agent": "callers",
    "Callee": "callers",
    "Caller": "callers",
    "Script": "callers",
    "Extension": "dialplan",
    "AudioSocketCall": "external",
    "FarEnd": "external",
    "Faults": "faults",
    "Flaw": "flow",
    "flaws": "flow",
    "Heard": "hearing",
    "HeardAudio": "hearing",
    "Hearing": "hearing",
    "Moment": "ladder",
    "SimulatedLink": "link",
    "SimulatedListener": "listener",
    "SimulatedMediaPort": "media_port",
    "SimClosed": "messages",
    "SimEvent": "messages",
    "SimMessage": "messages",
    "SimReply": "messages",
    "ScriptedModel": "parts",
    "SimulatedRecogniser": "parts",
    "SimulatedVoice": "parts",
    "Digit": "people",
    "Person": "people",
    "PeopleSyntaxError": "people_text",
    "format_people": "people_text",
    "parse_people": "people_text",
    "QueueContext": "queues",
    "SimulatedQueue": "queues",
    "Recorded": "recording",
    "CallReport": "report",
    "RunReport": "report",
    "run_call": "run",
    "run_calls": "run",
    "SOUNDS": "sounds",
    "Utterance": "speech",
    "speak": "speech",
    "understand": "speech",
}
"""Where each is: loaded when it is first asked for, as pytest loads what is in here for tests that need none of it."""


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
