"""Bridges that a process before us has left: which are ours to remove, and when."""

from __future__ import annotations

from typing import Any

import pytest

from voxtra_core.ari import Bridge, Request, bridges
from voxtra_core.call import Pending
from voxtra_core.errors import AriServerError
from voxtra_core.stasis.leftovers import LATER, SETTLING, Leftovers
from voxtra_core.stasis.media_line import BRIDGE_PREFIX


def bridge(name: str, of: str = "app", *, members: int = 0, prefix: str = BRIDGE_PREFIX) -> Bridge:
    return Bridge(
        id=f"{prefix}{name}",
        technology="simple_bridge",
        bridge_type="mixing",
        bridge_class="stasis",
        creator="Stasis",
        name=of,
        channels=tuple(f"channel-{number}" for number in range(members)),
        creationtime="now",
    )


class House:
    """An Asterisk with these bridges."""

    def __init__(self, *there: Bridge, in_use: str = "") -> None:
        self.now = 100.0
        self.there = list(there)
        self.error: Exception | None = None
        self.removed: list[str] = []
        self.looks = 0
        self.leftovers = Leftovers(
            self._ask,
            remove=self._remove,
            in_use=lambda: {f"{BRIDGE_PREFIX}{in_use}"},
            clock=lambda: self.now,
        )

    def _ask(self, request: Request[Any], now: float, timeout: float | None = None) -> Pending[Any]:
        assert request == bridges.list()
        self.looks += 1
        pending = Pending[Any]()
        if self.error is not None:
            pending.fail(self.error)
        else:
            pending.resolve(tuple(self.there))
        return pending

    def _remove(self, request: Request[None], now: float) -> None:
        self.removed.append(request.path.removeprefix(f"/bridges/{BRIDGE_PREFIX}"))

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (deadline := self.leftovers.next_deadline()) is not None and deadline <= end:
            self.now = deadline
            self.leftovers.handle_timeout(self.now)
        self.now = end


@pytest.mark.parametrize(
    ("found", "is_left"),
    [
        (bridge("a"), True),
        (bridge("a", of="app:PJSIP/alice"), True),
        (bridge("a", of="another"), False),
        (bridge("a", of="application"), False),
        (bridge("a", prefix="their-"), False),
        (bridge("a", members=1), False),
        (bridge("used"), False),
    ],
)
def test_which_are_removed(found: Bridge, is_left: bool) -> None:
    house = House(found, in_use="used")
    house.leftovers.look("app:PJSIP/bob", house.now)
    assert house.removed == [], "it may have been made just now"
    house.wait(SETTLING - 0.1)
    assert house.removed == []
    house.wait(0.2)
    assert house.removed == ["a"] * is_left


def test_one_with_a_channel_is_looked_at_again_later() -> None:
    house = House(bridge("a", members=1))
    house.leftovers.look("app", house.now)
    house.wait(LATER - 0.1)
    assert house.looks == 1
    house.there = [bridge("a")]
    house.wait(0.2 + SETTLING)
    assert house.removed == ["a"]
    house.there = []
    house.wait(1000.0)
    assert house.leftovers.next_deadline() is None


def test_one_that_is_used_meanwhile_is_left_alone() -> None:
    house = House(bridge("a"))
    house.leftovers.look("app", house.now)
    house.there = [bridge("a", members=2)]
    house.wait(SETTLING)
    assert house.removed == []


@pytest.mark.parametrize("how", ["error", "stop"])
def test_nothing_is_looked_for_without_an_answer(how: str) -> None:
    house = House(bridge("a"))
    if how == "error":
        house.error = AriServerError("bridges.list", 503, "")
    house.leftovers.look("app", house.now)
    if how == "stop":
        house.leftovers.stop(house.now)
    house.wait(1000.0)
    assert (house.looks, house.removed) == (1, [])
