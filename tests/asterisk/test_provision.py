"""What ``provision`` prints, loaded by Asterisk: callers who come while the application is away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

import anyio
import pytest

from voxtra_core import CallSession, EndedBy
from voxtra_core.ari import ChannelStateChange
from voxtra_core.cli import main

from .front import front
from .pbx import Asterisk
from .rig import Rig, eventually
from .test_listening import new_listening, port_of

pytestmark = pytest.mark.anyio

Load = Callable[..., None]


@pytest.fixture
def load(asterisk: Asterisk, app_name: str, capsys: pytest.CaptureFixture[str]) -> Iterator[Load]:
    """Have Asterisk load the dialplan that the command prints for extension 100, in a context of this test's own."""
    conf = asterisk.dir / "etc" / "extensions.conf"
    before = conf.read_text()

    def load(*options: str) -> None:
        assert main(["provision", "--extension", "100", "--context", app_name, *options], backend="asyncio") == 0
        conf.write_text(f"{before}\n{capsys.readouterr().out}")
        asterisk.cli("dialplan reload")
        assert "(10 priorities)" in asterisk.cli(f"dialplan show 100@{app_name}")

    yield load
    conf.write_text(before)
    asterisk.cli("dialplan reload")


def ringing(rig: Rig) -> bool:
    """Whether a phone hears ringing."""
    return any(event.channel.state == "Ringing" for event in rig.far_events(ChannelStateChange))


async def test_an_application_that_is_there(rig: Rig, load: Load) -> None:
    load("--app", rig.app_name)
    numbers: list[str] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        numbers.append(call.called_number)
        await call.answer()
        await call.listen_dtmf()

    async with rig.serving():
        phone = await rig.far.originate(f"Local/100@{rig.app_name}/n")
        assert not ringing(rig)
        await phone.hangup()
    assert numbers == ["100"]


async def test_an_application_that_comes_back_in_time(rig: Rig, load: Load) -> None:
    load("--app", rig.app_name)
    numbers: list[str] = []

    @rig.app.route(extension="100")
    async def handler(call: CallSession) -> None:
        numbers.append(call.called_number)
        await call.answer()
        await call.listen_dtmf()

    async with rig.serving(rig.far):
        phones: list[CallSession] = []

        async def dial() -> None:
            phones.append(await rig.far.originate(f"Local/100@{rig.app_name}/n"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(dial)
            await eventually(lambda: ringing(rig))
            await anyio.sleep(2)  # tried, and tried again
            assert phones == []
            async with rig.serving(rig.app):
                await eventually(lambda: phones)
                assert numbers == ["100"]
                await phones[0].hangup()


async def test_an_application_that_does_not(rig: Rig, load: Load) -> None:
    load("--app", rig.app_name, "--retry", "2", "--fallback", "Goto(far,answer,1)")
    async with rig.serving(rig.far):
        began = anyio.current_time()
        phone = await rig.far.originate(f"Local/100@{rig.app_name}/n")
        assert 1 < anyio.current_time() - began < 5  # ``EPOCH`` counts whole seconds
        assert ringing(rig)
        assert [c["dialplan"]["exten"] for c in rig.asterisk.channels() if c["dialplan"]["context"] == "far"] == [
            "answer"
        ]
        await phone.hangup()


async def test_what_comes_after_a_call_is_the_end(rig: Rig, load: Load) -> None:
    """A call that its handler gives back to the dialplan is not tried again, nor does it get the fallback."""
    load("--app", rig.app_name, "--fallback", "Goto(far,answer,1)")
    numbers: list[str] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        numbers.append(call.called_number)
        await call.answer()
        await call.continue_in_dialplan()

    async with rig.serving():
        phone = await rig.far.originate(f"Local/100@{rig.app_name}/n")
        assert (await phone.wait_ended()).by is EndedBy.REMOTE
    assert numbers == ["100"]


async def test_a_connection_for_each_call(rig: Rig, load: Load) -> None:
    """Nobody answers Asterisk at first. Then somebody does, and is gone in the middle of the call, for longer than
    Asterisk tries to bring that connection back: the caller gets to whoever answers next.
    """
    load("--app", "obpercall")
    first, second = new_listening(rig, 0), new_listening(rig, 0)
    handled: list[tuple[str, CallSession]] = []
    phones: list[CallSession] = []

    def handler_of(name: str) -> Callable[[CallSession], Awaitable[None]]:
        async def handler(call: CallSession) -> None:
            handled.append((name, call))
            await call.answer()
            await call.listen_dtmf()

        return handler

    first.default()(handler_of("first"))
    second.default()(handler_of("second"))

    async def dial() -> None:
        phones.append(await rig.far.originate(f"Local/100@{rig.app_name}/n"))

    async with front(rig.asterisk.ob_port) as between, rig.serving(first, second, rig.far):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(dial)
            await eventually(lambda: ringing(rig), within=10)
            between.target = port_of(first)
        between.target = None
        between.break_connections()
        await anyio.sleep(2)  # Asterisk tries for 0.6 s to bring it back
        between.target = port_of(second)
        await eventually(lambda: len(handled) == 2, within=10)
        assert [name for name, _ in handled] == ["first", "second"]
        assert handled[0][1].id == handled[1][1].id
        assert phones[0].end is None
        await phones[0].hangup()
