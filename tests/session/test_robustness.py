"""Mistakes of the application's own code, and of its Asterisk, stay with whoever made them."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from voxtra_core.app import make_options
from voxtra_core.ari import channels
from voxtra_core.ari.messages import Reply
from voxtra_core.ari.request import Request
from voxtra_core.call import EndedBy
from voxtra_core.cli.main import main
from voxtra_core.errors import CallEnded, LocalProtocolError, RequestOutcomeUnknown
from voxtra_core.session import CallSession
from voxtra_core.testing import Caller

from .world import World


async def answers_and_listens(call: CallSession) -> None:
    await call.answer()
    await call.listen_dtmf()


def refusing_hangups(request_id: str, request: Request[Any]) -> Reply | None:
    return Reply(request_id, 500, "Internal Error") if request.operation == "channels.hangup" else None


def test_a_hangup_that_is_never_confirmed_still_runs_the_callbacks() -> None:
    with World() as world:
        ends: list[object] = []

        async def handler(call: CallSession) -> None:
            @call.on_hangup
            async def note() -> None:
                ends.append(call.end)

            await answers_and_listens(call)

        world.app.default()(handler)
        world.start()
        world.call(Caller("1"))
        world.run(1.0)
        world.link.refuse = refusing_hangups
        world.do(lambda: world.app.stop(0))
        world.run(10.0)
        assert world.served() is None
        assert [getattr(end, "by", None) for end in ends] == [EndedBy.CONNECTION]


def test_stop_lets_a_hangup_callback_finish() -> None:
    with World() as world:
        finished: list[float] = []

        async def handler(call: CallSession) -> None:
            @call.on_hangup
            async def write_a_record() -> None:
                await world.loop.sleep(2.0)
                finished.append(world.now)

            await call.answer()

        world.app.default()(handler)
        world.start()
        world.call(Caller("1"))
        world.run(0.5)
        world.do(lambda: world.app.stop(30))
        assert finished == [2.0]
        assert world.now == 2.0


def test_a_handler_may_stop_its_application() -> None:
    with World() as world:
        times: list[float] = []

        async def handler(call: CallSession) -> None:
            await call.answer()
            await world.app.stop()
            times.append(world.now)
            await call.play_file("hello-world")

        world.app.default()(handler)
        world.start()
        person = world.call(Caller("1"))
        world.run(10.0)
        assert times == [0.0]
        assert world.served() is None
        assert person.ended_at == 1.0


def test_metadata_that_cannot_be_copied_is_refused_where_it_is_given() -> None:
    with World() as world:
        with pytest.raises(ValueError, match="copied for each call"):
            world.app.default(metadata={"lock": threading.Lock()})(answers_and_listens)
        world.start()
        with pytest.raises(TypeError):
            world.do(lambda: world.app.originate("PJSIP/bob", metadata={"lock": threading.Lock()}))
        assert world.asterisk.people == [], "and nobody is called"


def test_originated_calls_share_no_metadata() -> None:
    with World() as world:
        world.start()
        campaign: dict[str, Any] = {"seen": []}
        world.app.default()(answers_and_listens)
        world.call(Caller("1"))
        with pytest.raises(LocalProtocolError):
            world.do(lambda: world.app.originate("PJSIP/bob", variables={"a": object()}, metadata=campaign))  # type: ignore[dict-item]
        assert campaign == {"seen": []}


def test_what_is_no_request_is_its_makers_error() -> None:
    with World() as world:
        world.app.default()(answers_and_listens)
        world.start()
        person = world.call(Caller("1").waits_for_answer())
        for wrong in (channels.list, "GET /channels", None):
            with pytest.raises(TypeError, match="builder"):
                world.do(lambda wrong=wrong: world.app.request(wrong))  # type: ignore[misc]
        with pytest.raises(LocalProtocolError, match="no model"):
            world.do(lambda: world.app.request(Request("mine", "GET", "/channels", response="Chanel")))
        world.run(1.0)
        assert person.ended_at is None


def test_an_observer_that_fails_is_shown_nothing_more() -> None:
    seen: list[object] = []

    def observer(what: object) -> None:
        seen.append(what)
        raise ZeroDivisionError

    with World(observer=observer) as world:
        world.app.default()(answers_and_listens)
        world.start()
        person = world.call(Caller("1").waits_for_answer().presses("1", after=1.0))
        world.run(5.0)
        assert person.answered_at == 0.0
        assert len(seen) == 1
        assert world.log() == ["the observer failed, and is shown nothing more"]


def test_after_a_bug_in_the_core_nobody_waits_for_ever() -> None:
    with World() as world:
        world.app.default()(answers_and_listens)
        world.start()
        world.link.refuse = lambda request_id, request: None
        held = []

        def swallow(message: object, request: Request[Any] | None) -> list[Any]:
            held.append(message)
            return [] if request is not None and request.operation == "channels.list" else [message]

        world.link.change = swallow
        task, _ = world.spawn(world.app.request(channels.list()))
        world.run(1.0)
        assert not task.done.done

        def bug(*_: object) -> None:
            raise ZeroDivisionError("a bug")

        world.link.handle_timeout = bug  # type: ignore[method-assign, assignment]
        world.driver.wake()
        world.run(1.0)
        assert isinstance(world.served(), ZeroDivisionError)
        assert isinstance(task.error, RequestOutcomeUnknown)


def test_the_end_of_another_call_is_no_normal_end_of_a_handler() -> None:
    with World() as world:
        calls: list[CallSession] = []

        async def handler(call: CallSession) -> None:
            calls.append(call)
            await call.answer()
            if len(calls) == 1:
                await call.wait_ended()
            else:
                await calls[0].listen_dtmf()

        world.app.default()(handler)
        world.start()
        world.call(Caller("1").waits_for_answer().waits(3.0).hangs_up())
        person = world.call(Caller("2"))
        world.run(10.0)
        assert world.log() == [f"call {person.channel_id}: its handler failed"]
        assert person.cause == 41


def test_what_could_not_be_played_is_logged() -> None:
    with World() as world:

        async def handler(call: CallSession) -> None:
            await call.answer()
            await call.play_file("helo-world")

        world.app.default()(handler)
        world.start()
        world.call(Caller("1"))
        world.run(10.0)
        (line,) = world.log()
        assert line.endswith("could not play sound:helo-world: failed")


def test_the_duration_of_a_call_that_ended_needs_no_clock() -> None:
    with World() as world:
        calls: list[CallSession] = []

        async def handler(call: CallSession) -> None:
            calls.append(call)
            await answers_and_listens(call)

        world.app.default()(handler)
        world.start()
        world.call(Caller("1").waits_for_answer().waits(3.0).hangs_up())
        world.run(10.0)
        driver = calls[0]._driver

        def no_loop() -> float:
            raise RuntimeError("must be called from async context")

        driver.time = no_loop  # type: ignore[method-assign]
        assert calls[0].duration == 3.0
        del driver.time
        with pytest.raises(CallEnded):
            world.do(calls[0].answer)


@pytest.mark.parametrize(
    "url", ["http://a:b@host:8088", "http://host:0", "http://host/a b", "ftp://host", "http://host?x=1", "http://"]
)
def test_a_url_that_cannot_be_right_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="ari_url"):
        make_options(url, "user", "secret", app_name="app", number_variable=None, environ={})


@pytest.mark.parametrize("name", ["ping_interval", "ping_timeout", "busy_timeout"])
@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_times_that_cannot_be_are_refused_at_once(name: str, seconds: float) -> None:
    times: dict[str, Any] = {name: seconds}
    with pytest.raises(ValueError, match=name):
        make_options(None, "user", "secret", app_name="app", number_variable=None, environ={}, **times)


def test_the_environment_is_for_what_is_not_given() -> None:
    environ = {"VOXTRA_ARI_URL": "http://pbx:1/x/ari/", "VOXTRA_ARI_USER": "bob", "VOXTRA_ARI_PASSWORD": "word"}
    options = make_options(None, None, None, app_name="app", number_variable=None, environ=environ)
    assert (options.host, options.port, options.path_prefix, options.user, options.password) == (
        "pbx",
        1,
        "/x",
        "bob",
        "word",
    )
    assert options.url == "http://pbx:1/x/ari"
    assert "word" not in repr(options)
    options = make_options("http://[::1]", "al", "", app_name="app", number_variable=None, environ=environ)
    assert (options.url, options.user, options.password) == ("http://[::1]:80/ari", "al", "")


def test_requests_go_over_http_unless_told_otherwise() -> None:
    options = make_options(None, "al", "", app_name="app", number_variable=None, environ={})
    assert options.requests == "http"
    with pytest.raises(ValueError, match="requests must be 'http' or 'websocket', not 'ftp'"):
        make_options(None, "al", "", app_name="app", number_variable=None, requests="ftp", environ={})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arguments", [["--backend", "asyncio", "run", "nothing"], ["run", "nothing", "--backend", "asyncio"]]
)
def test_options_stand_before_the_command_or_behind_it(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert "module:app" in capsys.readouterr().err
