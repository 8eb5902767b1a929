"""A whole telephone network for tests: Asterisk, the people who call and are called, and the link between it and you.

No sockets, no clock, no chance; a day of calls takes as long as it takes to compute. See :class:`SimulatedAsterisk`,
:class:`Caller`, :class:`Callee`, :class:`SimulatedLink`, :class:`SimulatedListener` where Asterisk connects to you, and
:class:`SimulatedMediaPort` for the audio of calls.
"""

from .asterisk import SimulatedAsterisk
from .callers import Callee, Caller, Script
from .dialplan import Extension
from .external import AudioSocketCall, FarEnd
from .hearing import Heard, HeardAudio, Hearing
from .link import SimulatedLink
from .listener import SimulatedListener
from .media_port import SimulatedMediaPort
from .messages import SimClosed, SimEvent, SimMessage, SimReply
from .people import Digit, Person
from .sounds import SOUNDS

__all__ = [
    "SOUNDS",
    "AudioSocketCall",
    "Callee",
    "Caller",
    "Digit",
    "Extension",
    "FarEnd",
    "Heard",
    "HeardAudio",
    "Hearing",
    "Person",
    "Script",
    "SimClosed",
    "SimEvent",
    "SimMessage",
    "SimReply",
    "SimulatedAsterisk",
    "SimulatedLink",
    "SimulatedListener",
    "SimulatedMediaPort",
]
