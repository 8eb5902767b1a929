"""``check`` against a real Asterisk: each thing that can be wrong is found out, and nothing there is changed by it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from voxtra_core import CallSession
from voxtra_core.app.check import CheckMachine
from voxtra_core.app.options import make_options
from voxtra_core.app.versions import FEATURES
from voxtra_core.ari import ApplicationReplaced, applications

from .rig import Rig

pytestmark = pytest.mark.anyio


async def check(rig: Rig, url: str = "", user: str = "", password: str = "", **options: Any) -> list[str]:
    """The lines of a check, with ``ok`` or ``fault`` in front, run on this test's loop."""
    asterisk, backend = rig.asterisk, rig.app.backend
    machine = CheckMachine(
        make_options(
            url or asterisk.url,
            user or asterisk.user,
            password or asterisk.password,
            app_name=rig.app_name,
            number_variable=None,
            environ={},
        ),
        new_id=backend.new_id,
        **options,
    )
    await backend.driver().run(machine)
    return [f"{'ok' if finding.ok else 'fault'} {finding}" for finding in machine.findings]


async def test_all_is_well_and_stays_as_it_was(rig: Rig) -> None:
    def state() -> tuple[object, ...]:
        status, modules = rig.asterisk.get("/asterisk/modules")
        for module in modules:
            del module["use_count"]  # of what another test has left to its timers
        return (rig.asterisk.get("/applications"), rig.asterisk.channels(), status, modules)

    before = state()
    lines = await check(rig, extension="s@after", needs=list(FEATURES.values())[:-1])
    assert [line.partition(" ")[0] for line in lines] == ["ok"] * 6
    assert lines[0].startswith("ok Asterisk 22.")
    assert lines[5].startswith("ok the dialplan has s@after")
    assert state() == before


async def test_a_wrong_password(rig: Rig) -> None:
    assert [line.split(" – ")[0] for line in await check(rig, password="sesame")] == [
        f"fault Asterisk refuses the user {rig.asterisk.user!r} with this password (401)"
    ]


async def test_a_user_that_may_only_read(rig: Rig) -> None:
    lines = await check(rig, user=rig.asterisk.ro_user)
    assert [line.partition(" ")[0] for line in lines] == ["ok", "ok", "fault", "ok", "ok"]
    assert lines[2].startswith(f"fault the user {rig.asterisk.ro_user!r} may only read (403)")


async def test_a_user_that_is_not_let_in_from_here(rig: Rig) -> None:
    (line,) = await check(rig, user="stranger")
    assert line.startswith("fault Asterisk does not let the user 'stranger' in from this address (403)")


async def test_another_path_than_aris(rig: Rig) -> None:
    (line,) = await check(rig, url=rig.asterisk.url.replace("/ari", "/prefix/ari"))
    assert line.startswith(
        f"fault Asterisk's HTTP server answers, and has no ARI at {rig.asterisk.url[:-4]}/prefix/ari"
    )


async def test_a_port_of_asterisks_that_is_not_http(rig: Rig) -> None:
    place = f"{rig.asterisk.host}:{rig.asterisk.sip_port}"  # SIP's, over TCP
    (line,) = await check(rig, url=f"http://{place}", timeout=0.3)
    assert line.startswith(f"fault {place} takes connections, and did not answer within 0.3 s")


async def test_an_extension_that_does_not_exist(rig: Rig) -> None:
    for extension in ("nobody@after", "s@nowhere"):
        *lines, last = await check(rig, extension=extension)
        assert [line.partition(" ")[0] for line in lines] == ["ok"] * 5
        assert last.startswith(f"fault the dialplan has no {extension} – put `exten => ")


async def test_an_application_that_runs_keeps_its_name_and_its_calls(rig: Rig) -> None:
    calls: list[CallSession] = []

    @rig.app.default()
    async def handler(call: CallSession) -> None:
        calls.append(call)
        await call.answer()

    async with rig.serving():
        *lines, last = await check(rig, extension=f"anything@stasis-{rig.app_name}")
        assert lines[-1].startswith(f"fault the application {rig.app_name!r} is in use, or was a moment ago – end the ")
        assert last.startswith("ok ")
        phone = await rig.call()
        await phone.wait_ended()
        assert len(calls) == 1
        assert rig.events(ApplicationReplaced) == []


async def test_an_application_that_has_left_something_behind(rig: Rig) -> None:
    """Asterisk still knows it, and does not say that nobody is connected any more."""
    channel = rig.app_name
    caller = {"endpoint": "Local/answer@far/n", "context": "after", "extension": "wait", "channelId": channel}
    async with rig.serving():
        assert rig.asterisk.request("POST", "/channels", caller)[0] == 200
        await rig.app.request(applications.subscribe(rig.app_name, event_source=[f"channel:{channel}"]))
    lines = await check(rig)
    rig.asterisk.hang_up(channel)
    assert lines[-1].startswith(f"fault the application {rig.app_name!r} is in use, or was a moment ago")


@pytest.mark.parametrize("password", ["", "sesame"])
def test_the_command(rig: Rig, password: str) -> None:
    asterisk = rig.asterisk
    command = [sys.executable, "-m", f"voxtra_{rig.backend}", "check", "--ari-url", asterisk.url]
    run = subprocess.run(
        [*command, "--user", asterisk.user, "--password", password or asterisk.password, "--app", rig.app_name],
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stderr) == ((1, "") if password else (0, ""))
    assert {line.split()[0] for line in run.stdout.splitlines()} == ({"fault"} if password else {"ok"})
