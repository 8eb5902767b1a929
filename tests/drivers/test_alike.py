"""Whatever a machine and its peer do with a connection, in whatever order: both loops report the same, and as much
arrives.

As deterministic as the system: after each step the loop has so many turns that the sockets of this machine have nothing
more to say, unless it is very busy.
"""

from __future__ import annotations

import time

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.certificates import contexts
from voxtra_core.app import MachineDriver
from voxtra_core.effects import TLS, Close, Connect, Connected, Drained, Effect, Received, Send

from .loops import BACKENDS, TestedBackend
from .peers import Door, Peer, TLSPeer
from .script import Script, running, turns

CLIENT, SERVER = TLS(contexts.client()), contexts.server()

LITTLE, MUCH = bytes(1000), bytes(1 << 23)
"""What the system takes at once, and what it doesn't take, however often the peer reads a little."""
BUFFER = 1 << 16
"""What the peer reads at a time, and what the system buffers for it. On our side it buffers 4 MiB (``tcp_wmem``)."""

OURS: dict[str, Effect] = {"send": Send(1, LITTLE), "send much": Send(1, MUCH), "close": Close(1)}
PEERS = ["peer sends", "peer reads", "peer ends", "peer closes", "peer resets"]

steps = st.lists(
    st.lists(st.sampled_from(sorted(OURS)), min_size=1, max_size=3) | st.sampled_from(PEERS).map(lambda move: [move]),
    max_size=10,
)
"""What the machine asks for at once, or what the peer does; and then everything settles.

What both do in the same moment is a race: asyncio writes at once, trio in its next turn.
"""


@attrs.define
class Trace:
    """What was reported, and what arrived."""

    told: list[str] = attrs.field(factory=list)
    drained: int = 0
    arrived: int = 0
    end: str = "none yet"


def peer_moves(move: str, peer: Peer, trace: Trace) -> None:
    """A move of the peer. After its own end it makes no more, and whatever it gets is its own affair."""
    if trace.end not in {"none yet", "an end"}:
        return
    try:
        match move:
            case "peer sends":
                peer.send_now(LITTLE)
            case "peer reads":
                size = peer.read_now(BUFFER)
                trace.arrived += size or 0
                trace.end = "an end" if size is None else trace.end
            case "peer ends":
                peer.end()
            case "peer closes" | "peer resets":
                trace.end, trace.arrived = "its own", -1
                peer.close() if move == "peer closes" else peer.reset()
    except ConnectionResetError:
        trace.end, trace.arrived = "a reset", -1  # what else was on its way is lost
    except OSError:
        pass  # it has ended its own side, or both are closed: it will see when it reads


async def trace_of(driver: MachineDriver, steps: list[list[str]], encrypted: bool) -> Trace:
    """What becomes of these moves."""
    script, trace = Script(), Trace()
    with Door(buffer=BUFFER) as door:
        async with running(driver, script):
            script.ask(Connect(1, door.host, door.port, CLIENT if encrypted else None))
            accepted = await door.accept()
            with TLSPeer.over(accepted, SERVER) if encrypted else accepted as peer:
                if isinstance(peer, TLSPeer):
                    await peer.shake_hands()
                await script.until(Connected(1))
                for moves in steps:
                    for move in moves:
                        if move in OURS:
                            script.ask(OURS[move])
                        else:
                            peer_moves(move, peer, trace)
                    await turns(60)
                idle = 0
                while idle < 20:  # however much there is, it is read now
                    arrived_before = trace.arrived
                    peer_moves("peer reads", peer, trace)
                    idle = 0 if trace.arrived > arrived_before else idle + 1
                    await turns(1 if idle < 10 else 60)
    received = 0
    for event in script.seen:
        match event:
            case Drained():
                trace.drained += 1
            case Received(_, data):
                received += len(data)
            case _:
                trace.told.append(f"after {received} bytes: {event}")
    trace.told.append(f"{received} bytes in all")
    return trace


def compare(steps: list[list[str]], encrypted: bool, attempts: int = 3) -> None:
    """A busy system may deliver later than the loops look: a difference is what is one each time."""
    traces: dict[str, Trace] = {}
    for name, backend in BACKENDS.items():

        async def main(name: str = name, backend: TestedBackend = backend) -> None:
            traces[name] = await trace_of(backend.driver(), steps, encrypted)

        backend.run(main)
    if traces["asyncio"] != traces["trio"] and attempts > 1:
        compare(steps, encrypted, attempts - 1)
    else:
        assert traces["asyncio"] == traces["trio"]


@pytest.mark.parametrize(
    "encrypted", [pytest.param(False, id="TCP"), pytest.param(True, id="TLS", marks=pytest.mark.soak)]
)
@settings(max_examples=25)
@given(steps=steps)
def test_both_loops_report_the_same(steps: list[list[str]], encrypted: bool) -> None:
    compare(steps, encrypted)


@pytest.mark.soak
@pytest.mark.parametrize("encrypted", [False, True], ids=["TCP", "TLS"])
def test_for_longer(soak_seconds: float, encrypted: bool) -> None:
    until = time.monotonic() + soak_seconds

    @settings(max_examples=200)
    @given(steps=steps)
    def some(steps: list[list[str]]) -> None:
        compare(steps, encrypted)

    while time.monotonic() < until:
        some()
