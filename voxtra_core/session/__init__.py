"""The one async API to calls and bridges, the same on every loop: short coroutines over the machines and a
:class:`Driver` of three members. Which loop that belongs to, or whether there is one at all, makes no
difference here.
"""

from ..call.audio import AudioStats
from .bridge import Bridge, BridgeHome
from .call import CallHome, CallSession, HangupCallback, OutageCallback
from .playback import PlaybackHandle
from .queue import QueueVisit
from .streams import AudioStream, EventStream
from .transfer import AttendedTransfer
from .waiting import Driver, outcome_of, taken

__all__ = [
    "AttendedTransfer",
    "AudioStats",
    "AudioStream",
    "Bridge",
    "BridgeHome",
    "CallHome",
    "CallSession",
    "Driver",
    "EventStream",
    "HangupCallback",
    "OutageCallback",
    "PlaybackHandle",
    "QueueVisit",
    "outcome_of",
    "taken",
]
