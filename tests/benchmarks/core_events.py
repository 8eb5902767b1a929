"""What an event costs in the core, and what a call weighs in it."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Callable
from itertools import count

from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from voxtra_core.ari.messages import EventReceived
from voxtra_core.call import CallMachine, Pending, SnoopDirection
from voxtra_core.driving import SLICE
from voxtra_core.effects import Accepted, Received
from voxtra_core.media.formats import AudioFormat
from voxtra_core.queueing import QueueEntry
from voxtra_core.recording import RecordingOptions
from voxtra_core.session import CallSession, Driver, TransferRequests
from voxtra_core.session.agent import Talking
from voxtra_core.stasis import BridgeMachine, CallArrived, RecordingControl, StasisMachine, Subject, Visit
from voxtra_core.stasis.transfer import Comfort, Dialled, Transfer
from voxtra_core.wire import AriListener

from .row import Round, Row, rounds_of, seconds

CALLS = 500
ROUNDS = rounds_of(9)
IDLE_CALLS = 2000
ACCEPTED_HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: ari\r\n"
    b"Authorization: Basic dXNlcjp3b3Jk\r\n\r\n"
)


def channel(number: int, state: str) -> dict[str, object]:
    """A channel as Asterisk 22 describes one."""
    return {
        "id": f"asttest-1795332640.{number}",
        "name": f"PJSIP/sipp-{number:08x}",
        "state": state,
        "protocol_id": f"{number}-17200@127.0.0.1",
        "caller": {"name": "sipp", "number": f"5550{number}"},
        "connected": {"name": "", "number": ""},
        "accountcode": "",
        "dialplan": {
            "context": "sip-in",
            "exten": "100",
            "priority": 1,
            "app_name": "Stasis",
            "app_data": "benchmark,sip",
        },
        "creationtime": "2026-11-22T06:56:06.236+0000",
        "language": "en",
    }


def text(kind: str, **fields: object) -> str:
    """An event as it comes over the wire."""
    envelope = {"type": kind, "timestamp": "2026-11-22T06:56:06.236+0000", **fields}
    return json.dumps(envelope | {"asterisk_id": "02:00:00:00:00:01", "application": "benchmark"})


def life(number: int) -> list[str]:
    """The events of one call, of the kinds and in the numbers of a short voice menu."""
    ringing, up = channel(number, "Ring"), channel(number, "Up")
    events = [text("StasisStart", args=["sip"], channel=ringing), text("ChannelStateChange", channel=up)]
    for digit in "1234":
        events.append(text("ChannelVarset", variable="RTPAUDIOQOS", value="ssrc=1;themssrc=2", channel=up))
        events.append(text("ChannelDtmfReceived", digit=digit, duration_ms=100, channel=up))
    events.append(text("ChannelHangupRequest", cause=16, channel=up))
    events.append(text("StasisEnd", channel=up))
    return events


def interleaved() -> list[str]:
    """The lives of many calls, side by side."""
    return [event for step in zip(*(life(number) for number in range(CALLS)), strict=True) for event in step]


def rounds(floor: Callable[[], object], value: Callable[[], object], count: int) -> list[Round]:
    """Both in turns, in microseconds for each of so many events. A first round, which loads things, does not count."""
    return [(seconds(floor) / count * 1e6, seconds(value) / count * 1e6) for _ in range(1 + ROUNDS)][1:]


def machine() -> StasisMachine:
    """An application with ids from a counter."""
    numbers = count()
    return StasisMachine("benchmark", new_id=lambda: f"id-{next(numbers)}")


def events() -> list[Row]:
    """Decode, find the call, update it, and ask for what a driver asks for after each event."""
    texts = interleaved()

    def parse() -> None:
        for event in texts:
            json.loads(event)

    def run() -> None:
        stasis = machine()
        for now, event in enumerate(texts):
            stasis.receive(EventReceived(event), float(now))
            while stasis.next_event() is not None:
                pass
            stasis.commands_to_send()
            stasis.next_deadline()

    found = rounds(parse, run, len(texts))
    return [Row("an event in the core, above json.loads", found, "µs", limit=15, bounded="excess")]


def accepted_events() -> list[Row]:
    """The same on a socket that Asterisk has opened, from its bytes on, which are masked there.

    At least 60 % of the floor's rate is at most 1.67 times its cost.
    """
    texts = [text("ApplicationRegistered"), *interleaved()]
    client = Connection(ConnectionType.CLIENT)
    stream = b"".join(client.send(TextMessage(data=event)) for event in texts)
    pieces = [stream[start : start + SLICE] for start in range(0, len(stream), SLICE)]

    def by_hand() -> None:
        server, left = Connection(ConnectionType.SERVER), ""
        for piece in pieces:
            server.receive_data(piece)
            for event in server.events():
                assert isinstance(event, TextMessage)
                left += event.data
                if event.message_finished:
                    json.loads(left)
                    left = ""

    def run() -> None:
        listener = AriListener(host="", port=1, user="user", password="word", new_conn=lambda: 0)
        listener.start(0.0)
        listener.receive(Accepted(0, 1), 0.0)
        listener.receive(Received(1, ACCEPTED_HANDSHAKE), 0.0)
        stasis = machine()
        for now, piece in enumerate(pieces):
            listener.receive(Received(1, piece), float(now))
            for link in listener.links_with_messages():
                while (message := link.next_message()) is not None:
                    stasis.receive(message, float(now))
                    while stasis.next_event() is not None:
                        pass
                    stasis.commands_to_send()
                    stasis.next_deadline()
        assert not stasis.calls  # all have come and gone

    return [Row("an event on a socket that was accepted", rounds(by_hand, run, len(texts)), "µs", limit=1.67)]


def weight() -> list[Row]:
    """What a call that is up and waits holds, its session included."""
    texts = [event for number in range(IDLE_CALLS) for event in life(number)[:2]]

    class Home:
        asterisk_id = ""

        def late_callback(self, session: CallSession) -> None:
            pass

        def wire_format(self, wanted: AudioFormat) -> AudioFormat:
            return wanted

        def snoop(
            self, session: CallSession, now: float, *, spy: SnoopDirection, whisper: SnoopDirection
        ) -> tuple[CallSession, Pending[None]]:
            raise NotImplementedError

        def check_recording(self, session: CallSession, options: RecordingOptions) -> None:
            raise NotImplementedError

        def record(self, session: CallSession, options: RecordingOptions, sink: object, now: float) -> Pending[str]:
            raise NotImplementedError

        def stop_recording(self, subject: Subject, now: float) -> Pending[str] | None:
            raise NotImplementedError

        def control_recording(self, subject: Subject, control: RecordingControl, now: float) -> Pending[bool]:
            raise NotImplementedError

        def new_bridge(self, now: float, *, is_pair: bool) -> BridgeMachine:
            raise NotImplementedError

        def hear_transfer_requests(self, session: CallSession, driver: Driver, now: float) -> Pending[TransferRequests]:
            raise NotImplementedError

        def transfer(
            self,
            session: CallSession,
            endpoint: str,
            now: float,
            *,
            dialling: Dialled,
            comfort: Comfort,
            is_blind: bool,
        ) -> Transfer:
            raise NotImplementedError

        def session_of(self, call: CallMachine) -> CallSession:
            raise NotImplementedError

        def check_same_place(self, session: CallSession) -> None:
            raise NotImplementedError

        def enter_queue(self, session: CallSession, entry: QueueEntry, now: float) -> Visit:
            raise NotImplementedError

        def new_talk(self, session: CallSession) -> Talking:
            raise NotImplementedError

    class NoDriver:
        def time(self) -> float:
            return 0.0

        def wake(self) -> None:
            pass

        async def park(self, pending: object) -> None:
            pass

    driver, home = NoDriver(), Home()
    stasis = machine()
    sessions = []
    stasis.receive(EventReceived(texts[0]), 0.0)  # what is loaded and cached once
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for event in texts[2:]:
        stasis.receive(EventReceived(event), 0.0)
        while (happened := stasis.next_event()) is not None:
            if isinstance(happened, CallArrived):
                sessions.append(CallSession(happened.call, driver, app_name="benchmark", home=home))
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    size = (after - before) / len(sessions) / 1024
    return [Row("an idle call, its session included", [(0, size)], "KiB", limit=6, bounded="value")]
