"""How serving an application begins and ends."""

from __future__ import annotations

import logging
import signal
from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import pytest

from tests.drivers.loops import NativeTask
from tests.drivers.peers import Door, closed_port
from voxtra_core.app import BaseApp, Connection, ConnectionChanged, Reconnect
from voxtra_core.ari import asterisk
from voxtra_core.call import CallEnd, CallState, EndedBy
from voxtra_core.errors import AuthenticationFailed, CallEnded, ConnectFailed, ConnectionLost, LocalProtocolError
from voxtra_core.session import CallSession
from voxtra_core.testing import Callee, Caller

from .site import PASSWORD, USER, Served, Site, served, site, until

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

CALLER = Caller("5550100", dials="100")


async def forever(call: CallSession) -> None:
    """A handler that ends with the call."""
    await call.answer()
    await call.listen_dtmf()


# ---- the beginning ---------------------------------------------------------------------------------------------------


async def test_started_may_be_awaited_before_and_after_and_by_several(office: Site) -> None:
    app = office.make_app()
    early = [Served(app.started) for _ in range(3)]
    async with anyio.create_task_group() as tasks:
        for waiter in early:
            tasks.start_soon(waiter)
        await anyio.sleep(0.01)
        assert not any(waiter.ended for waiter in early)
        async with served(app):
            for waiter in early:
                assert await waiter.outcome() is None
            await app.started()


async def test_a_cancelled_started_leaves_the_others_alone(office: Site) -> None:
    app = office.make_app()
    with anyio.move_on_after(0.01) as scope:
        await app.started()
    assert scope.cancelled_caught
    async with served(app):
        await app.request(asterisk.ping())


async def fail_to_serve(app: BaseApp) -> list[Exception | None]:
    """What ``serve()`` raises, and ``started()`` that was awaited before."""
    waiters = [Served(app.started), Served(app.serve)]
    with anyio.fail_after(2):
        async with anyio.create_task_group() as tasks:
            for waiter in waiters:
                tasks.start_soon(waiter)
                await anyio.lowlevel.checkpoint()
    return [waiter.error for waiter in waiters]


async def answer(door: Door, response: bytes) -> None:
    """A server that says one thing to everybody."""
    while True:
        with await door.accept() as peer:
            await peer.receive()
            await peer.send(response)
            peer.end()
            await peer.ended()


def check_failures(errors: list[Exception | None], kind: type[ConnectFailed], *words: str) -> None:
    for error in errors:
        assert type(error) is kind
        for word in words:
            assert word in str(error)
        assert PASSWORD not in str(error)


async def test_nobody_listens(app_class: type[BaseApp]) -> None:
    port = closed_port()
    errors = await fail_to_serve(app_class(f"http://127.0.0.1:{port}", USER, PASSWORD))
    check_failures(errors, ConnectFailed, f"127.0.0.1:{port}", "refused")


async def test_the_password_is_wrong(office: Site, app_class: type[BaseApp]) -> None:
    errors = await fail_to_serve(app_class(office.url, USER, "wrong"))
    check_failures(errors, AuthenticationFailed, "wrong user or password", "ari.conf")


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (b"220 mail.example.com ESMTP\r\n", ("does not speak HTTP", "Asterisk's HTTP server")),
        (b"HTTP/1.1 404 Not Found\r\nServer: nginx\r\nContent-Length: 0\r\n\r\n", ("not Asterisk: status 404",)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", ("not Asterisk: status 200",)),
        (b"", ("closed the connection without an answer", "is this port TLS?")),
    ],
    ids=["a mail server", "not found", "a web page", "nothing"],
)
async def test_it_is_not_asterisk(app_class: type[BaseApp], response: bytes, words: tuple[str, ...]) -> None:
    with Door() as door:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer, door, response)
            errors = await fail_to_serve(app_class(f"http://127.0.0.1:{door.port}", USER, PASSWORD))
            tasks.cancel_scope.cancel()
    check_failures(errors, ConnectFailed, *words)


async def test_there_is_no_user(app_class: type[BaseApp], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VOXTRA_ARI_USER", raising=False)
    errors = await fail_to_serve(app_class("http://127.0.0.1:1"))
    check_failures(errors, AuthenticationFailed, "no ARI user", "VOXTRA_ARI_USER")


async def test_after_a_failure_it_can_be_served(app_class: type[BaseApp]) -> None:
    """The next ``started()`` is about the next attempt."""
    app = app_class(f"http://127.0.0.1:{closed_port()}", USER, PASSWORD)
    for _ in range(3):
        check_failures(await fail_to_serve(app), ConnectFailed, "refused")


async def test_the_environment_says_where(
    office: Site, app_class: type[BaseApp], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOXTRA_ARI_URL", f"{office.url}/ari")
    monkeypatch.setenv("VOXTRA_ARI_USER", USER)
    monkeypatch.setenv("VOXTRA_ARI_PASSWORD", PASSWORD)
    app = app_class()
    async with served(app):
        await app.request(asterisk.ping())


async def test_nothing_works_before_it_is_served(office: Site) -> None:
    app = office.make_app()
    await app.stop()
    for method in (lambda: app.originate("PJSIP/bob"), lambda: app.request(asterisk.ping())):
        with pytest.raises(LocalProtocolError, match="not being served"):
            await method()
    async with served(app):
        pass
    with pytest.raises(LocalProtocolError, match="not being served"):
        await app.originate("PJSIP/bob")


async def test_it_is_served_once_at_a_time(office: Site) -> None:
    app = office.make_app()
    async with served(app):
        with pytest.raises(LocalProtocolError, match="already"):
            await app.serve()
        await app.request(asterisk.ping())


async def test_it_can_be_served_again(office: Site) -> None:
    app = office.make_app()
    calls: list[str] = []

    async def handler(call: CallSession) -> None:
        calls.append(call.id)

    app.default()(handler)
    for number in range(1, 4):
        async with served(app):
            office.call(CALLER, app)
            await until(lambda number=number: len(calls) == number)  # type: ignore[misc]


# ---- stop() ----------------------------------------------------------------------------------------------------------


async def test_stop_lets_handlers_finish_and_takes_no_more_calls(office: Site) -> None:
    app = office.make_app()
    ended = []

    async def handler(call: CallSession) -> None:
        await call.answer()
        ended.append(await call.listen_dtmf(timeout=0.3))

    app.default()(handler)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(app.serve)
        await app.started()
        alice = office.call(CALLER.waits_for_answer(), app)
        await until(lambda: alice.answered_at is not None)
        tasks.start_soon(app.stop)
        await anyio.sleep(0.05)
        late = office.call(CALLER, app)
        await until(lambda: late.ended_at is not None)
        assert alice.ended_at is None
    assert late.cause == 34
    assert ended == [None]


async def test_stop_hangs_up_when_the_grace_is_over(office: Site) -> None:
    app = office.make_app()
    calls: list[CallSession] = []
    told = []

    async def handler(call: CallSession) -> None:
        calls.append(call)

        @call.on_hangup
        async def count() -> None:
            told.append(call.end)

        await forever(call)

    app.default()(handler)
    async with served(app, grace=0.1):
        alice = office.call(CALLER.waits_for_answer(), app)
        await until(lambda: alice.answered_at is not None)
        start = anyio.current_time()
    assert 0.09 < anyio.current_time() - start < 1.0
    assert told == [CallEnd(16, EndedBy.LOCAL)]
    assert calls[0].state is CallState.COMPLETED


@pytest.mark.parametrize("grace", [-1.0, float("nan")])
async def test_a_grace_that_cannot_be(office: Site, grace: float) -> None:
    app = office.make_app()
    async with served(app):
        with pytest.raises(ValueError, match="grace"):
            await app.stop(grace)


async def test_stop_by_several_and_by_a_handler(office: Site) -> None:
    """A handler that stops the application waits for itself: until the grace is over."""
    app = office.make_app()

    async def handler(call: CallSession) -> None:
        await call.answer()
        await app.stop(0.1)

    app.default()(handler)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(app.serve)
        await app.started()
        alice = office.call(CALLER.waits_for_answer(), app)
        await until(lambda: alice.answered_at is not None)
        for _ in range(3):
            tasks.start_soon(app.stop, 0.1)
    assert alice.cause == 16


async def test_a_second_stop_may_be_more_impatient(office: Site) -> None:
    app = office.make_app()
    app.default()(forever)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(app.serve)
        await app.started()
        alice = office.call(CALLER.waits_for_answer(), app)
        await until(lambda: alice.answered_at is not None)
        tasks.start_soon(app.stop, 60.0)
        await anyio.sleep(0.02)
        await app.stop(0.0)
    assert alice.cause == 16


async def test_stop_while_it_connects(office: Site, app_class: type[BaseApp]) -> None:
    with Door() as door:
        app = app_class(f"http://127.0.0.1:{door.port}", USER, PASSWORD)
        serving, starting = Served(app.serve), Served(app.started)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serving)
            tasks.start_soon(starting)
            with await door.accept():
                await app.stop()
        assert serving.error is None
        assert isinstance(starting.error, LocalProtocolError)


@pytest.mark.parametrize("turns", range(6))
async def test_stop_as_soon_as_it_is_served(office: Site, turns: int) -> None:
    """What has not begun to connect does not begin any more."""
    app = office.make_app()
    serving = Served(app.serve)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serving)
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()
        while not serving.ended:  # stop() before serve() has begun does nothing
            await app.stop()
            await anyio.lowlevel.checkpoint()
    assert serving.error is None


async def test_a_cancelled_stop_goes_on_stopping(office: Site) -> None:
    app = office.make_app()
    app.default()(forever)
    serving = Served(app.serve)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serving)
        await app.started()
        alice = office.call(CALLER.waits_for_answer(), app)
        await until(lambda: alice.answered_at is not None)
        with anyio.move_on_after(0.02):
            await app.stop(0.1)
        assert await serving.outcome() is None


async def test_serve_leaves_the_signals_alone(office: Site) -> None:
    """They are whose loop it is. Only ``run()`` has them."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    async with served(office.make_app()):
        assert [signal.getsignal(number) for number in numbers] == before


# ---- the ends that are not graceful ----------------------------------------------------------------------------------


@pytest.mark.parametrize("calls", [0, 1, 20])
async def test_cancelling_serve_hangs_up(office: Site, calls: int) -> None:
    app = office.make_app()
    told = []

    async def handler(call: CallSession) -> None:
        @call.on_hangup
        async def tell() -> None:
            told.append(call.end)

        await forever(call)

    app.default()(handler)
    serving = NativeTask(app.serve)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serving)
        await app.started()
        people = [office.call(CALLER.waits_for_answer(), app) for _ in range(calls)]
        await until(lambda: all(person.answered_at is not None for person in people))
        start = anyio.current_time()
        serving.cancel()
    assert anyio.current_time() - start < 1.5
    assert serving.cancelled
    assert [person.cause for person in people] == [16] * calls
    assert told == [CallEnd(16, EndedBy.LOCAL)] * calls


async def test_cancelling_serve_that_connects(app_class: type[BaseApp]) -> None:
    with Door() as door:
        app = app_class(f"http://127.0.0.1:{door.port}", USER, PASSWORD)
        serving = NativeTask(app.serve)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serving)
            with await door.accept():
                start = anyio.current_time()
                serving.cancel()
                await until(lambda: serving.cancelled)
        assert anyio.current_time() - start < 2.5


async def test_asterisk_vanishes(app_class: type[BaseApp]) -> None:
    """Where it is not waited for: handlers, those who originate and those who wait for a reply are told; callbacks run;
    then serve() raises.
    """
    told: list[CallEnd | None] = []
    waiting: list[str] = []
    errors: list[Exception] = []
    use: dict[str, Callable[[CallSession], Awaitable[object]]] = {
        "listen": lambda call: call.listen_dtmf(),
        "play": lambda call: call.play_file("long"),
        "end": lambda call: call.wait_ended(),
        "dtmf": lambda call: call.send_dtmf("1" * 50),
    }

    async def handler(call: CallSession) -> None:
        @call.on_hangup
        async def tell() -> None:
            told.append(call.end)

        await call.answer()
        waiting.append(call.id)
        try:
            await use[call.called_number](call)
        except CallEnded as error:
            errors.append(error)
            raise

    async with site(app_class) as office:
        app = office.make_app(reconnect=None)
        app.default()(handler)
        office.asterisk.add_endpoint("PJSIP/bob", Callee().rings(30.0))
        serving = Served(app.serve)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serving)
            await app.started()
            originating = Served(lambda: app.originate("PJSIP/bob"))
            tasks.start_soon(originating)
            for number in use:
                office.call(Caller("1", dials=number).waits_for_answer(), app)
            await until(lambda: len(waiting) == len(use))
            await until(lambda: len(office.asterisk.people) == len(use) + 1)
            start = anyio.current_time()
            office.server.stop()
            assert isinstance(await serving.outcome(), ConnectionLost)
            assert anyio.current_time() - start < 1.0
            assert originating.ended
    assert originating.error is not None
    lost = CallEnd(0, EndedBy.CONNECTION)
    assert told == [lost] * len(use)
    assert [error.end for error in errors if isinstance(error, CallEnded)] == [lost] * (len(use) - 1)


# ---- handlers --------------------------------------------------------------------------------------------------------


async def test_a_handler_that_fails_leaves_the_others_alone(office: Site, caplog: pytest.LogCaptureFixture) -> None:
    app = office.make_app()
    digits = []

    @app.route(extension="100")
    async def menu(call: CallSession) -> None:
        await call.answer()
        digits.append(await call.listen_dtmf())

    @app.route(extension="200")
    async def broken(call: CallSession) -> None:
        await call.answer()
        raise ZeroDivisionError("of this handler")

    async with served(app):
        alice = office.call(CALLER.waits_for_answer().presses("5", after=0.1), app)
        bob = office.call(Caller("5550101", dials="200").waits_for_answer(), app)
        await until(lambda: bob.ended_at is not None)
        assert alice.ended_at is None
        await until(lambda: alice.ended_at is not None)
    assert digits == ["5"]
    assert (alice.cause, bob.cause) == (16, 41)
    (record,) = (record for record in caplog.records if record.levelno >= logging.ERROR)
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ZeroDivisionError)


@pytest.mark.parametrize("depth", [1, 2, 3])
async def test_a_call_that_ends_in_a_handlers_own_task_group(
    office: Site, depth: int, caplog: pytest.LogCaptureFixture
) -> None:
    """However deep: that is a normal end, and no error of the handler."""
    app = office.make_app()

    async def listen(call: CallSession, depth: int) -> None:
        if depth == 0:
            await call.listen_dtmf()
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call.play_file, "long")
            tasks.start_soon(listen, call, depth - 1)

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        await listen(call, depth)

    async with served(app):
        alice = office.call(CALLER.waits_for_answer().waits(0.05).hangs_up(), app)
        await until(lambda: alice.ended_at is not None)
    assert caplog.records == []


async def test_another_error_in_the_group_is_no_normal_end(office: Site, caplog: pytest.LogCaptureFixture) -> None:
    app = office.make_app()

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()

        async def fail_at_the_end() -> None:
            await call.wait_ended()
            raise ZeroDivisionError

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call.listen_dtmf)
            tasks.start_soon(fail_at_the_end)

    async with served(app):
        alice = office.call(CALLER.waits_for_answer().waits(0.05).hangs_up(), app)
        await until(lambda: alice.ended_at is not None)
    assert "its handler failed" in caplog.text


async def test_the_users_own_timeouts(office: Site) -> None:
    """Everything around which a handler puts a timeout of its loop goes on as if it had not been asked for."""
    app = office.make_app()
    seen: list[object] = []

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        methods: list[Callable[[], Awaitable[object]]] = [
            call.listen_dtmf,
            lambda: call.play_file("long"),
            lambda: call.send_dtmf("1"),
            call.wait_ended,
        ]
        for method in methods:
            with anyio.move_on_after(0.03) as scope:
                await method()
            seen.append(scope.cancelled_caught)
        seen.append(await call.listen_dtmf(timeout=2))
        await call.play_file("beep")

    async with served(app):
        alice = office.call(CALLER.waits_for_answer().waits_for_prompt("beep", timeout=5), app)
        await until(lambda: len(seen) == 4)
        alice.line.presses("9", 0.1)
        office.driver.wake()
        await until(lambda: alice.ended_at is not None)
    assert seen == [True, True, True, True, "9"]
    assert alice.cause == 16
    long = next(heard for heard in alice.heard if heard.what == "sound:long")
    assert long.end is not None
    assert long.end - long.start < 1.0


async def test_asterisk_is_started_again(app_class: type[BaseApp]) -> None:
    """Every call ends, once; and the application is there for the next as soon as Asterisk is."""
    ends: list[CallEnd | None] = []
    changes: list[Connection] = []

    async def handler(call: CallSession) -> None:
        @call.on_hangup
        async def tell() -> None:
            ends.append(call.end)

        await call.answer()
        await call.listen_dtmf()

    async def changed(change: ConnectionChanged) -> None:
        changes.append(change.connection)

    async with site(app_class) as office:
        app = office.make_app(reconnect=Reconnect(first=0.05, longest=0.1))
        app.default()(handler)
        app.on_connection(changed)
        async with served(app):
            people = [office.call(Caller("1").waits_for_answer(), app) for _ in range(5)]
            await until(lambda: all(person.answered_at is not None for person in people))
            office.server.restart(office.driver.time(), boots=0.2)
            await until(lambda: len(ends) == len(people))
            assert {end.by for end in ends if end is not None} == {EndedBy.OUTAGE}
            assert app.connection is Connection.CONNECTED
            assert changes == [Connection.RECONNECTING, Connection.CONNECTED]
            caller = office.call(Caller("1").waits_for_answer().waits(0.05).presses("1"), app)
            await until(lambda: caller.ended_at is not None)
            assert caller.cause == 16
