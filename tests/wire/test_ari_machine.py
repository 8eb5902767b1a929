"""AriLink against AriServer on a network that does its worst, requests going either way.

Deterministic but for what Hypothesis draws: the clock is a number, and bytes move when a rule moves them.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from voxtra_core.ari.messages import EventReceived, LinkClosed, LinkOpened, Reply, RequestFailed
from voxtra_core.ari.request import Request
from voxtra_core.effects import Connected, Drained, EndOfStream, Failed, Input, Received
from voxtra_core.errors import RequestNotSent, RequestOutcomeUnknown
from voxtra_core.wire import RequestReceived, SocketClosed, SocketOpened

from .memory import Cable, Network, new_network


class LinkMachine(RuleBasedStateMachine):
    network: Network

    def __init__(self) -> None:
        super().__init__()
        self.methods: dict[str, str] = {}
        self.events_sent: list[str] = []
        self.answered: set[int] = set()
        self.effects_when_closed: int | None = None

    @initialize(
        requests=st.sampled_from(["http", "websocket"]),
        max_under_way=st.integers(1, 3),
        max_waiting=st.integers(0, 3),
        reply_timeout=st.sampled_from([None, 5.0]),
        max_unsent=st.sampled_from([0, 300, 1024 * 1024]),
        at_once=st.sampled_from([True, True, True, False]),
    )
    def begin(
        self,
        requests: Literal["http", "websocket"],
        max_under_way: int,
        max_waiting: int,
        reply_timeout: float | None,
        max_unsent: int,
        at_once: bool,
    ) -> None:
        self.network = new_network(
            requests=requests,
            max_under_way=max_under_way,
            max_waiting=max_waiting,
            reply_timeout=reply_timeout,
            max_unsent=max_unsent,
        )
        self.network.link.open(0.0)
        self.network.run()
        if at_once:
            self.network.carry_all()

    # ---- what the application does

    @rule(
        method=st.sampled_from(["GET", "POST", "DELETE"]),
        size=st.sampled_from([None, 1, 500]),
        response=st.sampled_from(["void", "void", "binary"]),
    )
    def send_request(self, method: str, size: int | None, response: str) -> None:
        request_id = str(len(self.methods))
        self.methods[request_id] = method
        body = None if size is None else {"x": "y" * size}
        request: Request[None] = Request("test", method, f"/r/{request_id}", body=body, response=response)
        self.network.link.send_request(request_id, request, self.network.now)
        self.network.run()

    @precondition(lambda self: self.methods)
    @rule(data=st.data())
    def withdraw_request(self, data: st.DataObject) -> None:
        self.network.link.withdraw_request(data.draw(st.sampled_from(sorted(self.methods))), self.network.now)
        self.network.run()

    @precondition(lambda self: len(self.methods) > 5)
    @rule()
    def close(self) -> None:
        self.network.link.close(self.network.now)
        self.network.run()

    # ---- what the network does

    def some_cable(self, data: st.DataObject, cables: list[Cable]) -> Cable:
        return cables[data.draw(st.integers(0, len(cables) - 1))]

    @precondition(lambda self: self.network.connecting)
    @rule(data=st.data(), accept=st.sampled_from([True, True, True, False]))
    def answer_a_connect(self, data: st.DataObject, accept: bool) -> None:
        cable = self.some_cable(data, self.network.connecting)
        if accept:
            self.network.accept(cable)
        else:
            self.network.refuse(cable)

    @precondition(lambda self: self.network.moving())
    @rule(data=st.data(), up=st.booleans(), size=st.one_of(st.none(), st.integers(1, 200)))
    def carry(self, data: st.DataObject, up: bool, size: int | None) -> None:
        cable = self.some_cable(data, self.network.moving())
        if up:
            self.network.carry_up(cable, size)
        else:
            self.network.carry_down(cable, size)

    @rule()
    def carry_all(self) -> None:
        self.network.carry_all()

    @precondition(lambda self: len(self.network.cables) > 1)
    @rule(data=st.data(), gently=st.booleans())
    def cut_the_way_of_a_request(self, data: st.DataObject, gently: bool) -> None:
        self.network.cut(self.some_cable(data, self.network.cables[1:]), gently=gently)

    @precondition(lambda self: self.network.cables and len(self.methods) > 5)
    @rule(gently=st.booleans())
    def cut_the_way_of_the_events(self, gently: bool) -> None:
        self.network.cut(self.network.cables[0], gently=gently)

    @rule(seconds=st.sampled_from([0.1, 1.0, 4.0]))
    def wait(self, seconds: float) -> None:
        self.network.advance(seconds)

    @rule(seconds=st.integers(3, 20))
    def wait_while_everything_is_carried(self, seconds: int) -> None:
        for _ in range(seconds):
            self.network.carry_all()
            self.network.advance(1.0)

    @precondition(lambda self: self.network.gone)
    @rule(data=st.data(), what=st.integers(0, 4))
    def report_something_late(self, data: st.DataObject, what: int) -> None:
        conn = data.draw(st.sampled_from(self.network.gone))
        late: list[Input] = [
            Connected(conn),
            Received(conn, b"late"),
            EndOfStream(conn),
            Failed(conn, "late"),
            Drained(conn),
        ]
        before = (len(self.network.messages), len(self.network.link_effects))
        self.network.to_link(late[what])
        assert (len(self.network.messages), len(self.network.link_effects)) == before

    # ---- what the server does

    def requests_received(self) -> list[RequestReceived]:
        return [said for said in self.network.server_messages if isinstance(said, RequestReceived)]

    def open_sockets(self) -> list[int]:
        opened = [said.socket for said in self.network.server_messages if isinstance(said, SocketOpened)]
        closed = {said.socket for said in self.network.server_messages if isinstance(said, SocketClosed)}
        return [socket for socket in opened if socket not in closed]

    @precondition(lambda self: len(self.requests_received()) > len(self.answered))
    @rule()
    def reply_to_all(self) -> None:
        for request in self.requests_received():
            if request.request not in self.answered:
                self.answered.add(request.request)
                body = request.target.encode()
                self.network.server.reply(request.request, 200, "OK", [], body, now=self.network.now)
        self.network.carry_all()

    @precondition(lambda self: len(self.requests_received()) > len(self.answered))
    @rule(data=st.data(), last=st.booleans())
    def reply(self, data: st.DataObject, last: bool) -> None:
        waiting = [request for request in self.requests_received() if request.request not in self.answered]
        request = data.draw(st.sampled_from(waiting))
        self.answered.add(request.request)
        headers = [("Connection", "close")] if last else []
        self.network.server.reply(request.request, 200, "OK", headers, request.target.encode(), now=self.network.now)
        self.network.run()

    @precondition(lambda self: self.open_sockets())
    @rule()
    def send_event(self) -> None:
        for socket in self.open_sockets():  # one at most, and never a second
            self.events_sent.append(f"event {len(self.events_sent)}")
            self.network.server.send_text(socket, self.events_sent[-1])
        self.network.run()

    @precondition(lambda self: self.open_sockets() and len(self.methods) > 5)
    @rule()
    def close_the_socket(self) -> None:
        for socket in self.open_sockets():
            self.network.server.close_socket(socket, 1001, now=self.network.now)
        self.network.run()

    # ---- what must hold

    def answers(self) -> Counter[str]:
        return Counter(m.request_id for m in self.network.messages if isinstance(m, Reply | RequestFailed))

    @invariant()
    def no_request_is_answered_twice(self) -> None:
        assert all(times == 1 for times in self.answers().values())

    @invariant()
    def what_came_is_what_was_sent(self) -> None:
        events = [message.data for message in self.network.messages if isinstance(message, EventReceived)]
        assert events == self.events_sent[: len(events)]
        for message in self.network.messages:
            if isinstance(message, Reply):
                assert message.body == f"/r/{message.request_id}".encode()

    @invariant()
    def it_opens_once_and_closes_once(self) -> None:
        kinds = [type(message) for message in self.network.messages if not isinstance(message, RequestFailed)]
        if LinkClosed in kinds:
            assert kinds.pop() is LinkClosed
        if kinds:
            assert kinds.pop(0) is LinkOpened
        assert set(kinds) <= {EventReceived, Reply}

    @invariant()
    def nothing_is_done_after_it_closed(self) -> None:
        effects = len(self.network.link_effects)
        if self.effects_when_closed is not None:
            assert effects == self.effects_when_closed
        elif any(isinstance(message, LinkClosed) for message in self.network.messages):
            self.effects_when_closed = effects
            assert self.network.link.next_deadline() is None

    def teardown(self) -> None:
        if not hasattr(self, "network"):
            return
        self.network.link.close(self.network.now)
        self.network.advance(1.0)
        self.no_request_is_answered_twice()
        self.it_opens_once_and_closes_once()
        self.nothing_is_done_after_it_closed()
        assert any(isinstance(message, LinkClosed) for message in self.network.messages)
        assert set(self.answers()) == set(self.methods)
        assert self.network.link.next_deadline() is None
        assert all(cable.client is None for cable in [*self.network.cables, *self.network.connecting])
        self.network.carry_all()
        self.the_failures_told_the_truth()

    def the_failures_told_the_truth(self) -> None:
        """Asked after everything that was under way has reached the server."""
        arrived = Counter(request.target.removeprefix("/r/") for request in self.requests_received())
        for request_id, method in self.methods.items():
            assert arrived[request_id] <= (1 if method == "POST" else 2)
        for message in self.network.messages:
            match message:
                case RequestFailed(request_id, RequestNotSent()):
                    assert arrived[request_id] == 0
                case RequestFailed(_, error):
                    assert isinstance(error, RequestOutcomeUnknown)
                case Reply(request_id):
                    assert arrived[request_id] >= 1


LinkMachine.TestCase.settings = settings(stateful_step_count=60)
TestLink = LinkMachine.TestCase
