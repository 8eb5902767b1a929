"""A whole telephone network for tests: Asterisk, the people who call and are called, and the link between it and you.

No sockets, no clock, no chance; a day of calls takes as long as it takes to compute. See :class:`SimulatedAsterisk`,
:class:`Caller`, :class:`Callee`, :class:`SimulatedLink`, and :class:`SimulatedListener` where Asterisk connects to you.
"""

from .asterisk import SimulatedAsterisk
from .callers import Callee, Caller, Script
from .dialplan import Extension
from .link import SimulatedLink
from .listener import SimulatedListener
from .messages import SimClosed, SimEvent, SimMessage, SimReply
from .people import Digit, Heard, Person
from .sounds import SOUNDS

__all__ = [
    "SOUNDS",
    "Callee",
    "Caller",
    "Digit",
    "Extension",
    "Heard",
    "Person",
    "Script",
    "SimClosed",
    "SimEvent",
    "SimMessage",
    "SimReply",
    "SimulatedAsterisk",
    "SimulatedLink",
    "SimulatedListener",
]
