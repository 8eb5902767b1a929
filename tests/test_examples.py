"""The examples of the documentation, run: they have to do what they say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from voxtra_core.testing.asterisk import SimulatedAsterisk
from voxtra_core.testing.callers import Caller
from voxtra_core.testing.people import Person
from voxtra_core.testing.virtual import VirtualApp, VirtualLoop

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call_menu(caller: Caller) -> Person:
    """One call to the menu, in virtual time; who called, with all they heard."""
    loop = VirtualLoop()
    asterisk = SimulatedAsterisk(new_id=loop.new_id)
    app = VirtualApp(loop, asterisk)
    app.default()(load("menu_asyncio").menu)
    people: list[Person] = []

    async def use() -> None:
        await app.started()
        people.append(asterisk.call(caller, app.app_name, loop.now))
        await loop.sleep(120)
        await app.stop()

    async def main() -> None:
        await loop.together(app.serve, use)

    loop.run(main)
    return people[0]


def test_the_two_menus_differ_in_their_loop_only() -> None:
    on_asyncio, on_trio = ((EXAMPLES / f"menu_{loop}.py").read_text() for loop in ("asyncio", "trio"))
    assert on_trio.replace("--backend trio ", "").replace("trio", "asyncio") == on_asyncio


def test_a_wrong_key_says_goodbye(capsys: pytest.CaptureFixture[str]) -> None:
    caller = call_menu(Caller("5550100").waits_for_prompt("hello-world").presses("9", after=0.5))
    assert [heard.what for heard in caller.heard] == ["sound:hello-world", "sound:vm-goodbye"]
    assert not caller.hung_up_first
    assert "16 NORMAL_CLEARING, by us" in capsys.readouterr().out


def test_two_plays_music_until_a_key_is_pressed() -> None:
    script = (
        Caller("5550100").waits_for_prompt("hello-world").presses("2", after=0.5).waits(3.0).presses("#").hangs_up()
    )
    caller = call_menu(script)
    music = next(heard for heard in caller.heard if heard.what == "music:default")
    assert music.end is not None
    assert 3.0 <= music.end - music.start <= 4.0
    assert caller.hung_up_first


def test_zero_hands_the_call_to_the_dialplan(capsys: pytest.CaptureFixture[str]) -> None:
    call_menu(Caller("5550100").waits_for_prompt("hello-world").presses("0", after=0.5))
    assert "handed to the dialplan" in capsys.readouterr().out
