"""Requests over the event socket, and sockets that Asterisk opens to us, on a real Asterisk and blocking sockets."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, Protocol

import pytest

from tests.wire.blocking import BlockingDriver, BlockingListener
from voxtra_core.ari import applications, channels, recordings
from voxtra_core.ari import asterisk as pbx
from voxtra_core.ari.messages import (
    EventReceived,
    LinkAccepted,
    LinkClosed,
    LinkMessage,
    LinkOpened,
    Reply,
    RequestFailed,
)
from voxtra_core.ari.request import Request
from voxtra_core.errors import ConnectFailed, ConnectionLost, RequestNotSent
from voxtra_core.wire import AcceptedLink, AriLink, AriListener

from .pbx import Asterisk

pytestmark = pytest.mark.asterisk


def is_event(message: LinkMessage, kind: str) -> bool:
    return isinstance(message, EventReceived) and json.loads(message.data)["type"] == kind


def is_answer(message: LinkMessage, request_id: str) -> bool:
    return isinstance(message, Reply | RequestFailed) and message.request_id == request_id


# ---- requests over the event socket


class Open(Protocol):
    def __call__(self, **options: Any) -> BlockingDriver:
        """A driver with a link over the event socket that has been opened, or has ended with an error."""


@pytest.fixture
def open_link(asterisk: Asterisk, app_name: str) -> Iterator[Open]:
    drivers: list[BlockingDriver] = []

    def open_link(**options: Any) -> BlockingDriver:
        numbers = count(1)
        arguments: dict[str, Any] = {
            "host": asterisk.host,
            "port": asterisk.port,
            "user": asterisk.user,
            "password": asterisk.password,
            "app_name": app_name,
            "new_conn": lambda: next(numbers),
            "requests": "websocket",
        }
        link = AriLink(**(arguments | options))
        driver = BlockingDriver(link)
        drivers.append(driver)
        link.open(time.monotonic())
        driver.run_until(lambda message: isinstance(message, LinkOpened | LinkClosed))
        return driver

    yield open_link
    for driver in drivers:
        driver.close()


def ask(driver: BlockingDriver, request: Request[Any]) -> Reply:
    request_id = f"{len(driver.messages)}"
    driver.link.send_request(request_id, request, time.monotonic())
    message = driver.run_until(lambda message: is_answer(message, request_id))
    assert isinstance(message, Reply)
    return message


def originate(driver: BlockingDriver, app_name: str, channel_id: str) -> None:
    """A channel of ours, answered, in Stasis."""
    request = channels.originate(endpoint="Local/answer@far/n", app=app_name, channel_id=channel_id)
    assert ask(driver, request).status == 200
    if not any(is_event(message, "StasisStart") for message in driver.messages):
        driver.run_until(lambda message: is_event(message, "StasisStart"))


def test_requests_are_answered_on_the_event_socket(open_link: Open) -> None:
    driver = open_link()
    assert driver.messages == [LinkOpened()]
    for _ in range(5):
        reply = ask(driver, pbx.ping())
        assert (reply.status, reply.reason) == (200, "OK")
        assert json.loads(reply.body)["ping"] == "pong"
    assert driver.connects == 1


def test_many_requests_at_once(open_link: Open) -> None:
    driver = open_link()
    for n in range(200):
        request = pbx.ping() if n % 2 else channels.get(f"nobody-{n}")
        driver.link.send_request(f"{n}", request, time.monotonic())
    left = {f"{n}" for n in range(200)}
    while left:
        message = driver.run_until(lambda message: isinstance(message, Reply | RequestFailed))
        assert isinstance(message, Reply)
        left.remove(message.request_id)
        assert message.status == (200 if int(message.request_id) % 2 else 404)
    assert driver.connects == 1


def test_refusals_are_those_of_http(open_link: Open, app_name: str) -> None:
    driver = open_link()
    channel = f"{app_name}-x"
    refused = {
        "not there": (channels.get("nobody"), 404, "Channel not found"),
        "a parameter is missing": (Request("x", "POST", "/channels"), 400, "Endpoint must be specified"),
        "no such resource": (Request("x", "GET", "/nowhere"), 404, "Resource not found"),
        "wrong method": (Request("x", "PUT", "/channels"), 405, "Invalid method"),
        "NUL in the body": (Request("x", "POST", "/channels", body={"app": "a\0b"}), 400, "Unable to parse"),
        "half a surrogate": (Request("x", "POST", "/channels", body={"app": "\ud800"}), 400, "Unable to parse"),
    }
    for request, status, message in refused.values():
        reply = ask(driver, request)
        assert (reply.status, json.loads(reply.body)["message"][: len(message)]) == (status, message)
    originate(driver, app_name, channel)
    assert ask(driver, channels.answer(f"{channel};2")).status == 409  # that half is not in Stasis
    assert ask(driver, channels.hangup(channel)).status == 204
    assert driver.connects == 1


def test_a_read_only_user(open_link: Open, asterisk: Asterisk) -> None:
    driver = open_link(user=asterisk.ro_user)
    assert ask(driver, channels.list()).status == 200
    assert ask(driver, channels.answer("nobody")).status == 403


@pytest.mark.parametrize("value", [5000 * "x", 'Ä ☃ 😀 "\\ \x01 &=%?#+', "", 5000 * "ü"])
def test_a_variable_comes_back_as_it_was_set(open_link: Open, app_name: str, value: str) -> None:
    driver = open_link()
    assert ask(driver, pbx.set_global_var(variable=app_name, value=value)).status == 204
    reply = ask(driver, pbx.get_global_var(variable=app_name))
    assert json.loads(reply.body) == {"value": value}
    assert driver.connects == 1


def test_the_longest_message_that_asterisk_takes(open_link: Open) -> None:
    driver = open_link()
    overhead = len('{"type":"RESTRequest","request_id":"99999999999999999999","method":"GET","uri":""}')
    longest: Request[None] = Request("x", "GET", "/" + (65527 - overhead) * "x")
    assert ask(driver, longest).status == 404
    assert driver.connects == 1
    assert ask(driver, Request("x", "GET", longest.path + "x")).status == 400  # over HTTP
    assert driver.connects == 2
    assert ask(driver, pbx.ping()).status == 200


def test_a_reply_longer_than_any_event(open_link: Open, app_name: str) -> None:
    driver = open_link()
    channel = f"{app_name}-v"
    originate(driver, app_name, channel)
    names = ["A", "B", "C"]
    for name in names:
        assert ask(driver, channels.set_channel_var(channel, variable=name, value=40_000 * name)).status == 204
    reply = ask(driver, channels.get_channel_vars(channel, variables=names))
    assert json.loads(reply.body)["variables"] == {name: 40_000 * name for name in names}
    assert ask(driver, channels.hangup(channel)).status == 204


def test_an_event_that_speaks_of_a_response_is_an_event(open_link: Open, app_name: str) -> None:
    driver = open_link()
    body = {"variables": {"who": '{"type":"RESTResponse","request_id":"1","status_code":200}'}}
    query = (("application", app_name),)
    driver.link.send_request("1", Request("x", "POST", "/events/user/x", query=query, body=body), time.monotonic())
    driver.run_until(lambda message: is_event(message, "ChannelUserevent"))


def test_a_recording_is_fetched_over_http(open_link: Open, app_name: str) -> None:
    driver = open_link()
    channel = f"{app_name}-r"
    originate(driver, app_name, channel)
    assert ask(driver, channels.record(channel, name=app_name, format="wav")).status == 201
    driver.rest(0.3)
    assert ask(driver, recordings.stop(app_name)).status == 204
    assert driver.connects == 1
    reply = ask(driver, recordings.get_stored_file(app_name))
    assert (reply.status, reply.body[:4]) == (200, b"RIFF")
    assert driver.connects == 2
    assert ask(driver, recordings.delete_stored(app_name)).status == 204
    assert ask(driver, channels.hangup(channel)).status == 204


def test_while_asterisk_waits_for_a_playback_it_answers_no_ping_and_is_not_given_up(
    open_link: Open, asterisk: Asterisk, app_name: str
) -> None:
    driver = open_link(ping_interval=0.1, ping_timeout=0.2, busy_timeout=10.0)
    channel = f"{app_name}-p"
    originate(driver, app_name, channel)
    play = channels.play(channel, media=["sound:demo-congrats"], playback_id=app_name)
    assert ask(driver, play).status == 201
    driver.link.send_request("behind it", channels.set_channel_var(channel, variable="A", value="b"), time.monotonic())
    driver.link.send_request("and behind that", pbx.ping(), time.monotonic())
    driver.rest(1.5)
    assert not any(
        isinstance(message, Reply) and message.request_id == "and behind that" for message in driver.messages
    )
    assert asterisk.request("DELETE", f"/playbacks/{app_name}")[0] == 204
    assert isinstance(driver.run_until(lambda message: is_answer(message, "and behind that")), Reply)
    driver.rest(0.5)
    assert not isinstance(driver.messages[-1], LinkClosed)
    assert ask(driver, channels.hangup(channel)).status == 204


def test_an_event_filter_that_swallows_the_responses(open_link: Open, asterisk: Asterisk, app_name: str) -> None:
    first = open_link(requests="http")
    channel = f"{app_name}-f"
    originate(first, app_name, channel)  # so that the application outlives its socket
    assert ask(first, applications.filter(app_name, filter={"allowed": [{"type": "StasisEnd"}]})).status == 200
    (message,) = open_link(connect_timeout=0.5).messages
    assert isinstance(message, LinkClosed)
    assert type(message.error) is ConnectFailed
    assert "filter" in str(message.error)
    assert ask(first, channels.hangup(channel)).status == 204


def test_closing_lets_requests_finish(open_link: Open, asterisk: Asterisk, app_name: str) -> None:
    driver = open_link(max_under_way=2)
    for n in range(10):
        driver.link.send_request(f"{n}", pbx.ping(), time.monotonic())
    begun = time.monotonic()
    driver.link.close(begun)
    assert driver.run_until(lambda message: isinstance(message, LinkClosed)) == LinkClosed(None)
    assert time.monotonic() - begun < 0.9
    assert [message.request_id for message in driver.messages if isinstance(message, Reply)] == [
        str(n) for n in range(10)
    ]
    assert driver.sockets == {}
    assert app_name not in {app["name"] for app in asterisk.get("/applications")[1]}


# ---- sockets that Asterisk opens to us


class Listen(Protocol):
    def __call__(self, **options: Any) -> BlockingListener:
        """A listener where the sections of ``start``'s ``websocket_client.conf`` connect to."""


@pytest.fixture
def listen(asterisk: Asterisk) -> Iterator[Listen]:
    env = dict(line.split("=", 1) for line in (asterisk.dir / "env").read_text().splitlines())
    listening: list[BlockingListener] = []

    def listen(**options: Any) -> BlockingListener:
        numbers = count(1)
        arguments: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": int(env["AST_OB_PORT"]),
            "user": "obuser",
            "password": "obpass",
            "new_conn": lambda: next(numbers),
        }
        listening.append(BlockingListener(AriListener(**(arguments | options))))
        return listening[-1]

    yield listen
    for listener in listening:
        listener.close()


PERSISTENT = "obpersistent"


def newest(listener: BlockingListener, application: str) -> AcceptedLink | None:
    """The newest link of an application, or of all whose names begin so."""
    links = (found.link for found in reversed(listener.accepted) if found.application.startswith(application))
    return next((link for link in links if isinstance(link, AcceptedLink)), None)


def another(listener: BlockingListener, application: str, *, than: AcceptedLink | None = None) -> AcceptedLink:
    """Wait for a link of an application that is not the one known."""
    listener.run_until(lambda: newest(listener, application) not in {None, than})
    link = newest(listener, application)
    assert link is not None
    return link


def wait_for(listener: BlockingListener, link: AcceptedLink, done: Callable[[LinkMessage], bool]) -> LinkMessage:
    """Wait for a message on a link, which may have come already."""
    listener.run_until(lambda: any(map(done, listener.messages[link])))
    return next(filter(done, listener.messages[link]))


def ask_over(listener: BlockingListener, link: AcceptedLink, request: Request[Any]) -> Reply:
    request_id = f"{time.monotonic()}"
    link.send_request(request_id, request, time.monotonic())
    message = wait_for(listener, link, lambda message: is_answer(message, request_id))
    assert isinstance(message, Reply)
    return message


def kinds(messages: list[LinkMessage]) -> list[str]:
    return [json.loads(message.data)["type"] for message in messages if isinstance(message, EventReceived)]


def test_asterisk_registers_its_application_with_us(listen: Listen, app_name: str) -> None:
    listener = listen(ping_interval=0.1, ping_timeout=2.0)
    link = another(listener, PERSISTENT)
    (accepted,) = listener.accepted
    assert accepted == LinkAccepted(link, PERSISTENT, "/persistent", "02:00:00:00:00:01")
    wait_for(listener, link, lambda message: is_event(message, "ApplicationRegistered"))
    assert listener.messages[link][0] == LinkOpened()
    assert json.loads(ask_over(listener, link, pbx.ping()).body)["ping"] == "pong"
    assert ask_over(listener, link, channels.get("nobody")).status == 404
    channel = f"{app_name}-p"
    originate = channels.originate(endpoint="Local/answer@far/n", app=PERSISTENT, channel_id=channel)
    assert ask_over(listener, link, originate).status == 200
    wait_for(listener, link, lambda message: is_event(message, "StasisStart"))
    link.send_request("file", recordings.get_stored_file("x"), time.monotonic())
    failed = wait_for(listener, link, lambda message: is_answer(message, "file"))
    assert isinstance(failed, RequestFailed)
    assert isinstance(failed.error, RequestNotSent)
    assert ask_over(listener, link, channels.hangup(channel)).status == 204
    wait_for(listener, link, lambda message: is_event(message, "StasisEnd"))
    pause = time.monotonic() + 0.5
    listener.run_until(lambda: time.monotonic() > pause)  # pings are answered
    assert not any(isinstance(message, LinkClosed) for message in listener.messages[link])


def test_asterisk_comes_back_and_has_kept_what_happened_meanwhile(
    listen: Listen, asterisk: Asterisk, app_name: str
) -> None:
    listener = listen()
    old = another(listener, PERSISTENT)
    listener.listener.close(time.monotonic())
    listener.run_until(lambda: listener.listener.is_closed)
    assert listener.messages[old][-1] == LinkClosed(None)
    listener.close()
    channel = f"{app_name}-m"
    query = {"endpoint": "Local/answer@far/n", "app": PERSISTENT, "channelId": channel}
    assert asterisk.request("POST", "/channels", query)[0] == 200
    while asterisk.get(f"/channels/{channel}")[1]["dialplan"]["app_name"] != "Stasis":
        time.sleep(0.02)
    again = listen()
    link = another(again, PERSISTENT)
    assert ask_over(again, link, pbx.ping()).status == 200  # at once, before it is registered again
    wait_for(again, link, lambda message: is_event(message, "ApplicationRegistered"))
    seen = kinds(again.messages[link])
    assert seen.index("StasisStart") < seen.index("ApplicationRegistered")
    assert ask_over(again, link, channels.hangup(channel)).status == 204
    wait_for(again, link, lambda message: is_event(message, "StasisEnd"))


def test_asterisk_with_another_password_is_refused_until_it_is_ours(listen: Listen) -> None:
    listener = listen(password="another")
    pause = time.monotonic() + 1.5
    listener.run_until(lambda: time.monotonic() > pause)
    assert listener.accepted == []
    listener.close()
    assert another(listen(), PERSISTENT).application == PERSISTENT


def test_a_call_on_a_socket_of_its_own_survives_a_reconnect(listen: Listen, asterisk: Asterisk, app_name: str) -> None:
    listener = listen()
    far = {"extension": "answer", "context": "far", "priority": "1"}
    query = {"endpoint": "Local/obpercall@stasis", "channelId": f"{app_name}-c"} | far
    assert asterisk.request("POST", "/channels", query)[0] == 200
    link = another(listener, "obpercall:")
    assert link.path == "/percall"
    start = wait_for(listener, link, lambda message: is_event(message, "StasisStart"))
    assert isinstance(start, EventReceived)
    channel = json.loads(start.data)["channel"]
    assert link.application == f"obpercall:{channel['name']}"
    assert kinds(listener.messages[link]) == ["ApplicationRegistered", "StasisStart"]
    assert ask_over(listener, link, channels.answer(channel["id"])).status == 204
    subscribe = applications.subscribe(link.application, event_source=[f"channel:{channel['id']}"])
    assert ask_over(listener, link, subscribe).status == 200  # the name is good for requests as it is

    listener.drop_all()
    again = another(listener, "obpercall:", than=link)
    lost = listener.messages[link][-1]
    assert isinstance(lost, LinkClosed)
    assert isinstance(lost.error, ConnectionLost)
    assert again.application == link.application
    play = channels.play(channel["id"], media=["sound:beep"])
    assert ask_over(listener, again, play).status == 201
    wait_for(listener, again, lambda message: is_event(message, "PlaybackFinished"))
    assert "StasisStart" not in kinds(listener.messages[again])

    assert ask_over(listener, again, channels.hangup(channel["id"])).status == 204
    wait_for(listener, again, lambda message: is_event(message, "StasisEnd"))
    closed = wait_for(listener, again, lambda message: isinstance(message, LinkClosed))
    assert closed == LinkClosed(None)


def test_calls_have_sockets_of_their_own(listen: Listen, asterisk: Asterisk, app_name: str) -> None:
    listener = listen()
    far = {"extension": "answer", "context": "far", "priority": "1"}
    for n in range(5):
        query = {"endpoint": "Local/obpercall@stasis", "channelId": f"{app_name}-{n}"} | far
        assert asterisk.request("POST", "/channels", query)[0] == 200

    def links() -> list[AcceptedLink]:
        links = (found.link for found in listener.accepted if found.path == "/percall")
        return [link for link in links if isinstance(link, AcceptedLink)]

    listener.run_until(lambda: len(links()) == 5)
    for link in links():
        start = wait_for(listener, link, lambda message: is_event(message, "StasisStart"))
        assert isinstance(start, EventReceived)
        event = json.loads(start.data)
        assert event["application"] == link.application == f"obpercall:{event['channel']['name']}"
        assert ask_over(listener, link, channels.hangup(event["channel"]["id"])).status == 204
    for link in links():
        assert wait_for(listener, link, lambda message: isinstance(message, LinkClosed)) == LinkClosed(None)
    assert len({link.application for link in links()}) == 5


def test_an_application_is_unregistered_when_asterisks_console_says_so(listen: Listen, throwaway: Asterisk) -> None:
    """That socket does not come back by itself."""
    listener = listen(port=throwaway.ob_port)
    link = another(listener, PERSISTENT)
    wait_for(listener, link, lambda message: is_event(message, "ApplicationRegistered"))
    listener.drop_all()
    link = another(listener, PERSISTENT, than=link)
    wait_for(listener, link, lambda message: is_event(message, "ApplicationRegistered"))
    throwaway.cli("ari shutdown websocket sessions")
    wait_for(listener, link, lambda message: is_event(message, "ApplicationUnregistered"))
    closed = wait_for(listener, link, lambda message: isinstance(message, LinkClosed))
    assert closed == LinkClosed(None)
    assert newest(listener, PERSISTENT) is link


def test_requests_have_the_rights_of_the_local_user(listen: Listen, asterisk: Asterisk, app_name: str) -> None:
    """``local_ari_user`` is one that may only read."""
    listener = listen()
    far = {"extension": "answer", "context": "far", "priority": "1"}
    query = {"endpoint": "Local/obviewer@stasis", "channelId": f"{app_name}-v"} | far
    assert asterisk.request("POST", "/channels", query)[0] == 200
    link = another(listener, "obviewer:")
    start = wait_for(listener, link, lambda message: is_event(message, "StasisStart"))
    assert isinstance(start, EventReceived)
    channel = json.loads(start.data)["channel"]["id"]
    assert ask_over(listener, link, channels.get(channel)).status == 200
    assert ask_over(listener, link, channels.answer(channel)).status == 403
    assert ask_over(listener, link, channels.hangup(channel)).status == 403
    assert asterisk.request("DELETE", f"/channels/{channel}", {})[0] == 204
    wait_for(listener, link, lambda message: is_event(message, "StasisEnd"))
