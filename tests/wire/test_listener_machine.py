"""AriListener and its links against several Asterisks, on a network that does its worst.

Deterministic but for what Hypothesis draws: the clock is a number, and bytes move when a rule moves them.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections import Counter

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from voxtra_core.ari.messages import EventReceived, LinkClosed, LinkOpened, Reply, RequestFailed
from voxtra_core.ari.request import Request
from voxtra_core.effects import Connected, Drained, EndOfStream, Failed, Input, Received
from voxtra_core.errors import RemoteProtocolError, RequestNotSent, RequestOutcomeUnknown
from voxtra_core.wire import AcceptedLink, TextReceived, WebSocketClient

from .dialling import Room, event


@attrs.define(eq=False)
class Peer:
    """One socket of an Asterisk, and the bytes under way on it."""

    conn: int
    path: str
    websocket: WebSocketClient
    up: bytearray = attrs.field(factory=bytearray)
    is_gone: bool = False
    said: list[str] = attrs.field(factory=list)
    asked: list[dict[str, str]] = attrs.field(factory=list)

    def read(self, data: bytes) -> None:
        try:
            self.websocket.receive_data(data)
        except RemoteProtocolError:
            raise AssertionError("we have sent what is no WebSocket") from None
        while (event := self.websocket.next_event()) is not None:
            if isinstance(event, TextReceived):
                self.asked.append(json.loads(event.text))


class ListenerMachine(RuleBasedStateMachine):
    room: Room

    def __init__(self) -> None:
        super().__init__()
        self.peers: list[Peer] = []
        self.names: dict[str, AcceptedLink] = {}
        self.answered: set[tuple[int, str]] = set()

    @initialize(
        max_under_way=st.integers(1, 3),
        max_waiting=st.integers(0, 3),
        reply_timeout=st.sampled_from([None, 5.0]),
        max_unsent=st.sampled_from([0, 200, 1024 * 1024]),
    )
    def begin(self, max_under_way: int, max_waiting: int, reply_timeout: float | None, max_unsent: int) -> None:
        self.room = Room(
            max_connections=3,
            max_under_way=max_under_way,
            max_waiting=max_waiting,
            reply_timeout=reply_timeout,
            max_unsent=max_unsent,
        )

    # ---- what Asterisk does

    @precondition(lambda self: len(self.peers) < 6)
    @rule()
    def dial(self) -> None:
        path = f"/{len(self.peers)}"
        credentials = ("Authorization", "Basic " + b64encode(b"obuser:obpass").decode())
        peer = Peer(self.room.connect(), path, WebSocketClient("us", path, [credentials], ["ari"]))
        self.peers.append(peer)
        self.carry_all()

    def open_peers(self) -> list[Peer]:
        return [peer for peer in self.peers if not peer.is_gone and peer.websocket.is_open]

    @precondition(lambda self: self.open_peers())
    @rule(
        data=st.data(),
        app=st.sampled_from(["a", "b"]),
        kind=st.sampled_from(["ApplicationRegistered", "ApplicationUnregistered", "Event", "Event"]),
    )
    def say(self, data: st.DataObject, app: str, kind: str) -> None:
        peer = data.draw(st.sampled_from(self.open_peers()))
        peer.said.append(event(app, kind, number=len(peer.said)))
        peer.websocket.send_text(peer.said[-1])

    def unanswered(self) -> list[tuple[Peer, dict[str, str]]]:
        return [
            (peer, asked)
            for peer in self.open_peers()
            for asked in peer.asked
            if (peer.conn, asked["request_id"]) not in self.answered
        ]

    @precondition(lambda self: self.unanswered())
    @rule(data=st.data())
    def respond(self, data: st.DataObject) -> None:
        peer, asked = data.draw(st.sampled_from(self.unanswered()))
        self.answered.add((peer.conn, asked["request_id"]))
        response = {"type": "RESTResponse", "application": "a", "status_code": 200, "message_body": asked["uri"]}
        peer.websocket.send_text(json.dumps(response | {"request_id": asked["request_id"]}))

    @precondition(lambda self: self.open_peers())
    @rule(data=st.data(), code=st.sampled_from([1000, 1001]))
    def close(self, data: st.DataObject, code: int) -> None:
        data.draw(st.sampled_from(self.open_peers())).websocket.close(code)

    @precondition(lambda self: self.peers)
    @rule(data=st.data(), gently=st.booleans())
    def cut(self, data: st.DataObject, gently: bool) -> None:
        peer = data.draw(st.sampled_from(self.peers))
        peer.is_gone = True
        if peer.conn not in self.room.closed:
            self.room.input(EndOfStream(peer.conn) if gently else Failed(peer.conn, "connection reset"))

    # ---- what the network does

    @precondition(lambda self: self.peers)
    @rule(data=st.data(), up=st.booleans(), size=st.one_of(st.none(), st.integers(1, 200)))
    def carry(self, data: st.DataObject, up: bool, size: int | None) -> None:
        peer = data.draw(st.sampled_from(self.peers))
        if up:
            self.carry_up(peer, size)
        else:
            self.carry_down(peer, size)

    def carry_up(self, peer: Peer, size: int | None) -> None:
        peer.up += peer.websocket.data_to_send()
        piece = bytes(peer.up[:size])
        del peer.up[:size]
        if piece and not peer.is_gone and peer.conn not in self.room.closed:
            self.room.input(Received(peer.conn, piece))

    def carry_down(self, peer: Peer, size: int | None) -> None:
        data = self.room.sent.pop(peer.conn, b"")
        if size is not None and data[size:]:
            self.room.sent[peer.conn] = data[size:]
        if data:
            peer.read(data[:size])
        if peer.conn not in self.room.sent and not peer.is_gone and peer.conn not in self.room.closed:
            self.room.input(Drained(peer.conn))

    @rule()
    def carry_all(self) -> None:
        for _ in range(3):
            for peer in self.peers:
                self.carry_up(peer, None)
                self.carry_down(peer, None)

    @rule(seconds=st.sampled_from([0.1, 1.0, 4.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.room.wait(seconds)

    @precondition(lambda self: any(peer.is_gone for peer in self.peers))
    @rule(data=st.data(), what=st.integers(0, 4))
    def report_something_late(self, data: st.DataObject, what: int) -> None:
        conn = data.draw(st.sampled_from([peer.conn for peer in self.peers if peer.is_gone]))
        late: list[Input] = [
            Connected(conn),
            Received(conn, b"late"),
            EndOfStream(conn),
            Failed(conn, "late"),
            Drained(conn),
        ]
        before = (len(self.room.messages), self.room.closed.copy(), sum(map(len, self.room.said.values())))
        self.room.input(late[what])
        assert before == (len(self.room.messages), self.room.closed, sum(map(len, self.room.said.values())))

    # ---- what the room above does

    @precondition(lambda self: self.room.links)
    @rule(data=st.data(), size=st.sampled_from([None, 1, 300]), response=st.sampled_from(["void", "void", "binary"]))
    def ask(self, data: st.DataObject, size: int | None, response: str) -> None:
        link = data.draw(st.sampled_from(self.room.links))
        name = f"r{len(self.names)}"
        self.names[name] = link
        body = None if size is None else {"x": "y" * size}
        request: Request[None] = Request("test", "POST", f"/{name}", body=body, response=response)
        link.send_request(name, request, self.room.now)
        self.room.run()

    @precondition(lambda self: self.names)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.names)))
        self.names[name].withdraw_request(name, self.room.now)
        self.room.run()

    @precondition(lambda self: self.room.links and len(self.names) > 3)
    @rule(data=st.data())
    def close_link(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.room.links)).close(self.room.now)
        self.room.run()

    @precondition(lambda self: len(self.names) > 5)
    @rule()
    def close_listener(self) -> None:
        self.room.listener.close(self.room.now)
        self.room.run()

    # ---- what must hold

    def outcomes(self) -> Counter[str]:
        return Counter(
            message.request_id
            for said in self.room.said.values()
            for message in said
            if isinstance(message, Reply | RequestFailed)
        )

    @invariant()
    def no_request_is_answered_twice_or_by_another_link(self) -> None:
        if not hasattr(self, "room"):
            return
        assert all(times == 1 for times in self.outcomes().values())
        for link, said in self.room.said.items():
            for message in said:
                if isinstance(message, Reply | RequestFailed):
                    assert self.names[message.request_id] is link
                if isinstance(message, Reply):
                    assert message.body == message.request_id.encode()

    @invariant()
    def each_link_opens_once_and_closes_once(self) -> None:
        if not hasattr(self, "room"):
            return
        for said in self.room.said.values():
            kinds = [type(message) for message in said]
            assert kinds.pop(0) is LinkOpened
            if LinkClosed in kinds:
                while isinstance(said[len(kinds)], RequestFailed):  # asked too late
                    kinds.pop()
                assert kinds.pop() is LinkClosed
            assert set(kinds) <= {EventReceived, Reply, RequestFailed}

    @invariant()
    def events_come_in_their_order_to_their_own_link(self) -> None:
        if not hasattr(self, "room"):
            return
        for link, said in self.room.said.items():
            (peer,) = [peer for peer in self.peers if peer.path == link.path]
            spoken = iter(peer.said)
            for message in said:
                if isinstance(message, EventReceived):
                    assert str(message.data) in spoken
                    assert json.loads(message.data)["application"] == link.application

    def teardown(self) -> None:
        if not hasattr(self, "room"):
            return
        self.room.listener.close(self.room.now)
        self.room.run()
        self.room.wait(1.0)
        assert self.room.listener.is_closed
        assert self.room.listener.next_deadline() is None
        self.no_request_is_answered_twice_or_by_another_link()
        self.each_link_opens_once_and_closes_once()
        assert set(self.outcomes()) == set(self.names)
        assert all(any(isinstance(message, LinkClosed) for message in said) for said in self.room.said.values())
        self.the_failures_told_the_truth()

    def the_failures_told_the_truth(self) -> None:
        """Asked after everything that was sent has been read."""
        for peer in self.peers:
            if data := self.room.sent.pop(peer.conn, b""):
                peer.read(data)
        arrived = Counter(asked["uri"] for peer in self.peers for asked in peer.asked)
        for said in self.room.said.values():
            for message in said:
                match message:
                    case RequestFailed(name, RequestNotSent()):
                        assert arrived[name] == 0
                    case RequestFailed(name, error):
                        assert isinstance(error, RequestOutcomeUnknown)
                        assert arrived[name] <= 1
                    case Reply(name):
                        assert arrived[name] == 1


ListenerMachine.TestCase.settings = settings(stateful_step_count=60)
TestListener = ListenerMachine.TestCase
