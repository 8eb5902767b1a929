"""Requests over the event socket: what is said, what becomes of each, and what the link makes of the socket then."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.ari import recordings
from voxtra_core.ari.messages import EventReceived, LinkAlive, LinkClosed, LinkOpened, Reply, RequestFailed
from voxtra_core.ari.request import Request
from voxtra_core.effects import Close, Received, Send
from voxtra_core.errors import (
    ConnectFailed,
    ConnectionLost,
    LinkError,
    LocalProtocolError,
    RequestNotSent,
    RequestOutcomeUnknown,
)
from voxtra_core.wire import RequestReceived

from . import memory
from .memory import Network, new_network

SOCKET = 2
"""The event socket's number on the server."""


def open_network(**options: Any) -> Network:
    return memory.open_network(requests="websocket", **options)


def request(name: str, method: str = "GET", **fields: Any) -> Request[None]:
    return Request("test", method, f"/{name}", **fields)


def ask(network: Network, *names: str, method: str = "GET") -> None:
    """Send requests whose ids are the names, and let them reach the server."""
    for name in names:
        network.link.send_request(name, request(name, method), network.now)
    network.carry_all()


def received(network: Network) -> list[str]:
    """Which requests the server has begun to do, by their names."""
    return [said.target.lstrip("/") for said in network.server_messages if isinstance(said, RequestReceived)]


def reply(network: Network, body: bytes = b"{}") -> None:
    """Answer the newest request."""
    newest = [said for said in network.server_messages if isinstance(said, RequestReceived)][-1]
    network.server.reply(newest.request, 200, "OK", (), body, now=network.now)
    network.carry_all()


def say(network: Network, **members: Any) -> None:
    """Let the server send a message of this content."""
    network.server.send_text(SOCKET, json.dumps(members))
    network.carry_all()


def respond(network: Network, request_id: object, **members: Any) -> None:
    """The same, a response. The ids on the wire are numbers; 1 was the link's own question."""
    say(network, **({"type": "RESTResponse", "request_id": request_id, "status_code": 200} | members))


def failures(network: Network) -> dict[str, type[LinkError | LocalProtocolError]]:
    return {m.request_id: type(m.error) for m in network.messages if isinstance(m, RequestFailed)}


def closed(network: Network) -> LinkError | None:
    """Why the link ended, that being the last that it has said."""
    message = network.messages[-1]
    assert isinstance(message, LinkClosed)
    assert network.link.next_deadline() is None
    return message.error


# ---- opening


def test_it_opens_when_asterisk_has_answered_a_first_request() -> None:
    network = new_network(requests="websocket")
    network.answers_pings = False
    network.link.open(0.0)
    network.carry_all()
    assert received(network) == ["asterisk/ping"]
    assert network.messages == []
    respond(network, "1", status_code=403)  # it knows requests, and what it says of this one is no matter
    assert network.messages == [LinkOpened()]
    assert network.connects == 1


def test_events_that_come_before_it_opens_come_after_it_opened() -> None:
    network = new_network(requests="websocket")
    network.answers_pings = False
    network.link.open(0.0)
    network.carry_all()
    for n in range(3):
        network.server.send_text(SOCKET, f"{n}")
    network.carry_all()
    assert network.messages == []
    respond(network, "1")
    network.server.send_text(SOCKET, "3")
    network.carry_all()
    assert network.messages == [LinkOpened(), *(EventReceived(f"{n}") for n in range(4))]


def test_an_asterisk_that_ignores_requests() -> None:
    network = new_network(requests="websocket")
    network.answers_pings = False
    network.link.open(0.0)
    network.carry_all()
    network.link.send_request("a", request("a"), 0.0)
    network.advance(9.9)
    assert failures(network) == {"a": RequestNotSent}
    network.advance(0.1)
    error = closed(network)
    assert type(error) is ConnectFailed
    assert "before 20.14, 21.9 and 22.4" in str(error)
    assert "filter" in str(error)
    assert network.link_effects[-1] == Close(1001)


def test_an_asterisk_that_ignores_requests_and_sends_many_events() -> None:
    network = new_network(requests="websocket")
    network.answers_pings = False
    network.link.open(0.0)
    network.carry_all()
    for _ in range(10_000):
        network.server.send_text(SOCKET, "event")
    network.carry_all()
    assert network.messages == []
    network.server.send_text(SOCKET, "event")
    network.carry_all()
    assert type(closed(network)) is ConnectFailed


@pytest.mark.parametrize("how", ["close", "lose"])
def test_it_may_end_before_it_opens(how: str) -> None:
    network = new_network(requests="websocket")
    network.answers_pings = False
    network.link.open(0.0)
    network.carry_all()
    if how == "close":
        network.link.close(0.0)
        network.run()
        assert closed(network) is None
    else:
        network.cut(network.cables[0], gently=False)
        assert type(closed(network)) is ConnectFailed
    assert len(network.messages) == 1


# ---- requests and replies


def test_a_request_as_it_goes_out() -> None:
    network = open_network()
    network.link.send_request("of mine", request("x%2Fy", "POST", query=(("a", "b c"),), body={"k": "ü"}), 0.0)
    network.carry_all()
    (said,) = [said for said in network.server_messages if isinstance(said, RequestReceived)]
    assert said == RequestReceived(2, "POST", "/x%2Fy?a=b%20c", b'{"k":"\\u00fc"}', "application/json")
    assert network.connects == 1


def test_a_reply_comes_back_and_is_no_event() -> None:
    network = open_network()
    for n in range(3):
        ask(network, f"{n}")
        reply(network, '{"ä":1}'.encode())
        assert network.messages == [Reply(f"{n}", 200, "OK", '{"ä":1}'.encode())]
        network.messages.clear()
    ask(network, "last")
    respond(network, "5", status_code=204, reason_phrase="No Content")
    assert network.messages == [Reply("last", 204, "No Content", b"")]


def test_replies_are_told_apart_by_their_ids() -> None:
    network = open_network()
    ask(network, "a", "b", "c")
    for number in ("4", "2", "3"):
        respond(network, number)
    assert [message.request_id for message in network.messages if isinstance(message, Reply)] == ["c", "a", "b"]


def test_a_reply_for_nobody_is_ignored() -> None:
    network = open_network()
    ask(network, "a")
    for number in ("1", "3", "999", "", "a", None, 2, "9" * 5000, "²"):
        respond(network, number)
    assert network.messages == []
    reply(network)
    respond(network, "2")
    assert network.messages == [Reply("a", 200, "OK", b"{}")]


@pytest.mark.parametrize(
    "members",
    [
        {"status_code": "200"},
        {"status_code": None},
        {"status_code": True},
        {"status_code": 99},
        {"status_code": 1000},
        {"status_code": 200.5},
        {"status_code": []},
    ],
)
def test_a_response_without_a_status_leaves_the_outcome_unknown(members: dict[str, Any]) -> None:
    network = open_network()
    ask(network, "a")
    respond(network, "2", **members)
    assert failures(network) == {"a": RequestOutcomeUnknown}
    ask(network, "b")
    respond(network, "3", reason_phrase=None, message_body=["x"])
    assert network.messages[-1] == Reply("b", 200, "", b"")


def test_half_a_surrogate_in_a_response_is_replaced() -> None:
    network = open_network()
    ask(network, "a")
    respond(network, "2", message_body="\ud800x")
    assert network.messages == [Reply("a", 200, "", b"?x")]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "request_id": st.sampled_from(["1", "2", "3", ""]) | st.text() | st.none(),
            "status_code": st.integers() | st.text(),
            "message_body": st.text() | st.integers() | st.dictionaries(st.text(), st.text()),
            "reason_phrase": st.text() | st.booleans(),
        },
    ),
)
def test_no_response_can_upset_it(anything: object, members: dict[str, Any]) -> None:
    network = open_network()
    ask(network, "a")
    say(network, **{"x": anything, "type": "RESTResponse"} | members)
    assert not [message for message in network.messages if isinstance(message, EventReceived | LinkClosed)]
    respond(network, "2")
    assert [m.request_id for m in network.messages if isinstance(m, Reply | RequestFailed)] == ["a"]


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"ChannelVarset","value":"RESTResponse"}',
        '{"type":"ChannelVarset","value":{"type":"RESTResponse"}}',
        '["RESTResponse"]',
        '"RESTResponse"',
        '{"type":"RESTResponse"',
    ],
)
def test_what_only_speaks_of_a_response_is_an_event(text: str) -> None:
    network = open_network()
    network.server.send_text(SOCKET, text)
    network.carry_all()
    assert network.messages == [EventReceived(text)]


def test_as_many_under_way_as_allowed_then_first_come_first_served_then_no_more() -> None:
    network = open_network(max_under_way=2, max_waiting=2)
    ask(network, "a", "b", "c", "d", "e")
    assert failures(network) == {"e": RequestNotSent}
    respond(network, "5")
    respond(network, "4")
    assert not [message for message in network.messages if isinstance(message, Reply)]  # neither has been sent
    for name in "abcd":
        assert received(network)[-1] == name
        reply(network)
    assert [message.request_id for message in network.messages if isinstance(message, Reply)] == ["a", "b", "c", "d"]


def test_hang_ups_go_first_and_in_their_order() -> None:
    """As over HTTP."""
    network = open_network(max_under_way=1)
    ask(network, "a", "b", "c", method="POST")
    ask(network, "d", "e", method="DELETE")
    ask(network, "f")
    ask(network, "g", method="DELETE")
    for _ in range(6):
        reply(network)
    assert received(network) == ["a", "d", "e", "g", "b", "c", "f"]


def test_while_asterisk_does_not_read_requests_wait() -> None:
    network = open_network(max_unsent=100, max_waiting=1)
    for name in "abc":
        network.link.send_request(name, request(name, body={"x": 100 * "x"}), 0.0)
    network.run()
    assert failures(network) == {"c": RequestNotSent}
    sent = [effect for effect in network.link_effects if isinstance(effect, Send)]
    assert "b" not in received(network)
    network.carry_all()
    assert len([effect for effect in network.link_effects if isinstance(effect, Send)]) == len(sent) + 1
    reply(network)
    assert received(network) == ["a", "b"]


def test_an_id_is_used_once_at_a_time() -> None:
    network = open_network(max_under_way=1)
    ask(network, "a", "b")
    for name in ("a", "b"):
        with pytest.raises(LocalProtocolError, match="under way"):
            network.link.send_request(name, request(name), 0.0)
    reply(network)
    ask(network, "a")


def test_a_late_reply_is_not_taken_for_that_of_a_later_request_with_the_same_id() -> None:
    network = open_network(reply_timeout=3.0)
    ask(network, "a")
    network.advance(3.0)
    assert failures(network) == {"a": RequestOutcomeUnknown}
    network.messages.clear()
    ask(network, "a")
    respond(network, "2", reason_phrase="late")
    assert network.messages == []
    respond(network, "3", reason_phrase="in time")
    assert network.messages == [Reply("a", 200, "in time")]


def test_a_withdrawn_request_that_has_not_left_never_does() -> None:
    network = open_network(max_under_way=1)
    ask(network, "first")
    ask(network, "a")
    assert not network.link.withdraw_request("a", network.now)
    network.run()
    assert failures(network) == {"a": RequestNotSent}
    reply(network)
    ask(network, "b")
    assert received(network)[-2:] == ["first", "b"]


def test_a_withdrawn_request_takes_its_course_for_a_while() -> None:
    network = open_network(max_under_way=1)
    ask(network, "a")
    for _ in range(2):  # again is no error, nor is one that nobody knows
        assert network.link.withdraw_request("a", network.now)
        assert network.link.withdraw_request("unknown", network.now)
    assert received(network)[-1] == "a"
    network.advance(4.9)
    assert failures(network) == {}
    network.link.send_request("next", request("next"), network.now)
    network.advance(0.1)
    assert failures(network) == {"a": RequestOutcomeUnknown}
    network.carry_all()
    reply(network)  # to the one that was given up
    assert received(network)[-1] == "next"
    assert len(network.messages) == 1


def test_a_withdrawn_request_may_get_its_reply() -> None:
    network = open_network()
    ask(network, "a")
    network.link.withdraw_request("a", network.now)
    network.advance(4.0)
    reply(network)
    network.advance(2.0)
    assert network.messages == [Reply("a", 200, "OK", b"{}")]


# ---- what goes over HTTP all the same


def test_a_file_comes_over_http() -> None:
    network = open_network()
    ask(network, "a")
    network.link.send_request("file", recordings.get_stored_file("x"), 0.0)
    network.carry_all()
    assert network.connects == 2
    with pytest.raises(LocalProtocolError, match="under way"):
        network.link.send_request("file", request("small"), 0.0)
    reply(network, b"RIFF")
    assert network.messages == [Reply("file", 200, "OK", b"RIFF")]


def test_what_is_too_long_for_the_socket_goes_over_http() -> None:
    network = open_network()
    network.link.send_request("long", request("x", "POST", body={"x": 66_000 * "x"}), 0.0)
    network.carry_all()
    assert network.connects == 2
    assert [(message.request_id, message.status) for message in network.messages if isinstance(message, Reply)] == [
        ("long", 413)  # as Asterisk says to more than 40,960 bytes
    ]


def test_the_longest_request_that_the_socket_carries_has_65527_bytes() -> None:
    network = open_network()
    overhead = len('{"type":"RESTRequest","request_id":"99999999999999999999","method":"GET","uri":""}')
    ask(network, (65527 - overhead) * "x")
    assert network.connects == 1
    ask(network, (65528 - overhead) * "x")
    assert network.connects == 2


# ---- the end


@pytest.mark.parametrize("how", ["close frame", "end", "failure", "garbage"])
def test_when_the_socket_is_lost_so_are_the_replies(how: str) -> None:
    network = open_network(max_under_way=2)
    ask(network, "a", "b", "c")
    match how:
        case "close frame":
            network.server.close_socket(SOCKET, 1001, now=network.now)
            network.carry_all()
        case "end":
            network.cut(network.cables[0], gently=True)
            network.carry_all()
        case "failure":
            network.cut(network.cables[0], gently=False)
        case "garbage":
            network.to_link(Received(1001, b"garbage"))
    assert type(closed(network)) is ConnectionLost
    assert failures(network) == {"a": RequestOutcomeUnknown, "b": RequestOutcomeUnknown, "c": RequestNotSent}


def test_closing_lets_what_is_under_way_finish_first() -> None:
    network = open_network(max_under_way=1)
    ask(network, "a", "b")
    network.link.close(network.now)
    ask(network, "c")
    network.link.close(network.now)
    reply(network)
    say(network, type="Event")
    assert network.messages[1:] == [Reply("a", 200, "OK", b"{}"), EventReceived('{"type": "Event"}')]
    reply(network)
    assert network.messages[3:] == [Reply("b", 200, "OK", b"{}"), LinkClosed(None)]
    assert failures(network) == {"c": RequestNotSent}
    assert network.link.next_deadline() is None


def test_closing_waits_a_second_and_no_longer() -> None:
    network = open_network(max_under_way=1)
    ask(network, "a", "b")
    network.link.close(network.now)
    network.advance(0.9)
    assert network.messages == []
    network.advance(0.1)
    assert closed(network) is None
    assert failures(network) == {"a": RequestOutcomeUnknown, "b": RequestNotSent}


def test_closing_does_not_wait_for_replies_that_can_no_longer_come() -> None:
    network = open_network()
    ask(network, "a")
    network.link.close(network.now)
    network.cut(network.cables[0], gently=False)
    assert closed(network) is None
    assert failures(network) == {"a": RequestOutcomeUnknown}


# ---- signs of life


def test_a_busy_asterisk_answers_no_ping_and_is_not_lost_for_a_while() -> None:
    """As a request is done on the thread that reads the socket."""
    network = open_network()
    ask(network, "slow")
    respond(network, "3")  # for nobody, and no sign that anything was done
    network.advance(15.0 + 59.9)
    assert network.messages == []
    network.advance(0.1)
    assert type(closed(network)) is ConnectionLost
    assert "silent for 60 seconds" in str(closed(network))


def test_a_busy_asterisk_has_as_long_to_prove_that_it_is_there() -> None:
    network = open_network()
    network.answers_pings = False
    ask(network, "slow")
    network.advance(10.0)
    network.link.probe(network.now)
    network.run()
    network.advance(59.9)
    assert network.messages == []
    respond(network, "2")
    assert [type(message) for message in network.messages] == [Reply, LinkAlive]


@pytest.mark.parametrize("swallowed", [False, True])
def test_one_that_has_done_everything_answers_pings(swallowed: bool) -> None:
    network = open_network(reply_timeout=1.0)
    ask(network, "a", "b")
    if not swallowed:
        respond(network, "2")
    respond(network, "3")  # and so 2 has been done as well
    network.advance(15.0)
    network.cables[0].up.data.clear()  # the ping is lost
    network.advance(10.0)
    assert type(closed(network)) is ConnectionLost
    assert "silent for 10 seconds" in str(closed(network))


def test_one_that_does_not_read_gets_no_pings_besides() -> None:
    network = open_network(max_unsent=10)
    network.link.send_request("a", request("a"), 0.0)
    network.run()
    effects = len(network.link_effects)
    network.advance(15.0)
    assert len(network.link_effects) == effects
    network.carry_all()
    reply(network)
    network.advance(14.0)
    assert network.messages == [Reply("a", 200, "OK", b"{}")]
