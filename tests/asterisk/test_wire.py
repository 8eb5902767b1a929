"""AriLink against a real Asterisk, on blocking sockets."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, Protocol

import pytest

from tests.wire.blocking import BlockingDriver
from voxtra_core.ari.messages import EventReceived, LinkClosed, LinkOpened, Reply, RequestFailed
from voxtra_core.ari.request import Request
from voxtra_core.errors import AuthenticationFailed, ConnectFailed
from voxtra_core.wire import AriLink

from .pbx import Asterisk

pytestmark = pytest.mark.asterisk

PING: Request[None] = Request("asterisk.ping", "GET", "/asterisk/ping")


class Open(Protocol):
    def __call__(self, **options: Any) -> BlockingDriver:
        """A driver with a link that has been opened, or has ended with an error."""


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
    message = driver.run_until(
        lambda message: isinstance(message, Reply | RequestFailed) and message.request_id == request_id
    )
    assert isinstance(message, Reply)
    return message


def event(kind: str) -> Callable[[object], bool]:
    return lambda message: isinstance(message, EventReceived) and json.loads(message.data)["type"] == kind


def test_requests_are_answered_and_share_a_connection(open_link: Open) -> None:
    driver = open_link()
    assert driver.messages == [LinkOpened()]
    for _ in range(5):
        reply = ask(driver, PING)
        assert (reply.status, reply.reason) == (200, "OK")
        assert json.loads(reply.body)["ping"] == "pong"
    reply = ask(driver, Request("channels.get", "GET", "/channels/nope"))
    assert (reply.status, json.loads(reply.body)) == (404, {"message": "Channel not found"})
    assert driver.connects == 2


def test_a_body_goes_out_and_its_event_comes_in(open_link: Open, app_name: str) -> None:
    driver = open_link()
    query = (("application", app_name),)
    body = {"variables": {"who": "Ä \u2603"}}
    request: Request[None] = Request("events.userEvent", "POST", "/events/user/hello", query=query, body=body)
    driver.link.send_request("1", request, time.monotonic())
    for _ in range(2):  # the event and the reply, in either order
        message = driver.run_until(lambda message: isinstance(message, EventReceived | Reply))
        if isinstance(message, EventReceived):
            assert json.loads(message.data)["userevent"]["who"] == "Ä \u2603"
        else:
            assert message == Reply("1", 204, "No Content")
    assert len(driver.messages) == 3


def test_a_body_that_asterisk_finds_too_large(open_link: Open) -> None:
    driver = open_link()
    reply = ask(driver, Request("x", "POST", "/channels", body={"x": 41_000 * "x"}))
    assert reply.status == 413
    assert ask(driver, PING).status == 200


def test_many_requests_at_once(open_link: Open) -> None:
    driver = open_link(max_under_way=4)
    for n in range(50):
        driver.link.send_request(f"{n}", PING, time.monotonic())
    left = {f"{n}" for n in range(50)}
    while left:
        message = driver.run_until(lambda message: isinstance(message, Reply | RequestFailed))
        assert isinstance(message, Reply)
        left.remove(message.request_id)
    assert driver.connects == 5


def test_a_wrong_password(open_link: Open) -> None:
    (message,) = open_link(password="wrong").messages
    assert isinstance(message, LinkClosed)
    assert isinstance(message.error, AuthenticationFailed)


def test_a_wrong_prefix(open_link: Open) -> None:
    (message,) = open_link(path_prefix="/nowhere").messages
    assert isinstance(message, LinkClosed)
    assert type(message.error) is ConnectFailed
    assert "404" in str(message.error)


def test_a_port_where_nobody_listens(open_link: Open) -> None:
    with socket.socket() as bound:  # and not listening
        bound.bind(("127.0.0.1", 0))
        (message,) = open_link(host="127.0.0.1", port=bound.getsockname()[1]).messages
    assert isinstance(message, LinkClosed)
    assert type(message.error) is ConnectFailed


def test_a_second_client_replaces_the_first_whose_link_stays_open(open_link: Open, app_name: str) -> None:
    first = open_link()
    second = open_link()
    assert second.messages == [LinkOpened()]
    replaced = first.run_until(event("ApplicationReplaced"))
    assert isinstance(replaced, EventReceived)
    assert json.loads(replaced.data)["application"] == app_name
    for driver in (first, second):
        assert ask(driver, PING).status == 200


def test_it_closes_in_good_order(open_link: Open, asterisk: Asterisk, app_name: str) -> None:
    driver = open_link()
    driver.link.send_request("1", PING, time.monotonic())
    begun = time.monotonic()
    driver.link.close(begun)
    assert driver.run_until(lambda message: isinstance(message, LinkClosed)) == LinkClosed(None)
    assert time.monotonic() - begun < 0.9
    assert isinstance(driver.messages[1], Reply)
    assert driver.sockets == {}
    status, apps = asterisk.get("/applications")
    assert status == 200
    assert app_name not in {app["name"] for app in apps}


def test_pings_are_answered(open_link: Open) -> None:
    driver = open_link(ping_interval=0.1, ping_timeout=0.5)
    driver.rest(1.5)
    assert driver.messages == [LinkOpened()]


@pytest.mark.soak
def test_a_connection_that_asterisk_closed_is_not_missed(open_link: Open) -> None:
    driver = open_link(idle_timeout=60.0)
    assert ask(driver, PING).status == 200
    driver.rest(16.0)  # session_keep_alive is 15 s
    assert ask(driver, PING).status == 200
    assert driver.connects == 3


@pytest.mark.soak
def test_a_connection_that_asterisk_closed_while_nobody_looked(open_link: Open) -> None:
    driver = open_link(idle_timeout=60.0, ping_interval=60.0)
    assert ask(driver, PING).status == 200
    time.sleep(16.0)
    assert ask(driver, PING).status == 200  # repeated on a fresh connection
    assert driver.connects == 3
