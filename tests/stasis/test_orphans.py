"""Which of the channels that Asterisk lists with an application are in it, and nobody's."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest

from voxtra_core.ari import Application, Channel, Request, channels
from voxtra_core.call import Pending
from voxtra_core.stasis.orphans import ASIDE_PREFIX, DOUBT, Orphans

from .bench import channel


@attrs.define
class Switchboard:
    """An Asterisk that is asked about its applications, by name with their channels, and about those."""

    applications: dict[str, list[str]]
    dialplan: tuple[str, str] = ("Stasis", "app")
    """What the dialplan runs on every channel, and its arguments."""

    def ask(self, request: Request[Any], now: float) -> Pending[Any]:
        listed = [
            Application(
                name=name,
                channel_ids=tuple(ids),
                bridge_ids=(),
                endpoint_ids=(),
                device_names=(),
                events_allowed=(),
                events_disallowed=(),
            )
            for name, ids in self.applications.items()
        ]
        match request.operation:
            case "applications.get":
                return Pending.resolved(listed[0])
            case "applications.list":
                return Pending.resolved(tuple(listed))
            case _:
                return Pending.resolved(self.channel(request))

    def channel(self, request: Request[Any]) -> Channel:
        assert request.path == channels.get("1").path
        raw = channel("1")
        raw["dialplan"] = raw["dialplan"] | dict(zip(("app_name", "app_data"), self.dialplan, strict=True))
        found = request.decode(json.dumps(raw).encode())
        assert isinstance(found, Channel)
        return found


def found_in(switchboard: Switchboard) -> list[str]:
    found: list[str] = []
    orphans = Orphans(
        switchboard.ask,
        clock=lambda: 0.0,
        is_known=lambda _: False,
        found=lambda channel, is_orphan: found.append(channel.id),
    )
    orphans.look("app", 0.0, after_outage=False)
    assert orphans.next_deadline() == DOUBT
    orphans.handle_timeout(DOUBT)
    return found


@pytest.mark.parametrize("arguments", ["app", "app,1,2"])
def test_one_that_is_in_the_application(arguments: str) -> None:
    assert found_in(Switchboard({"app": ["1"]}, ("Stasis", arguments))) == ["1"]


@pytest.mark.parametrize("dialplan", [("Stasis", "other"), ("Stasis", "apple,1"), ("Wait", "300"), ("", "")])
def test_one_that_is_elsewhere_and_only_followed(dialplan: tuple[str, str]) -> None:
    """As is the half of a Local channel that we call, in whose application it may be."""
    assert found_in(Switchboard({"app": ["1"]}, dialplan)) == []


def test_others_may_follow_it_as_well() -> None:
    assert found_in(Switchboard({"app": ["1"], "monitor": ["1"]})) == ["1"]


def test_who_had_the_name_and_follows_it_still_has_it() -> None:
    assert found_in(Switchboard({"app": ["1"], f"{ASIDE_PREFIX}1": ["1"]})) == []


@pytest.mark.parametrize(("elsewhere", "found"), [([], ["1"]), (["1"], [])])
def test_of_a_claimed_one_only_the_lists_tell_whose_it_is(elsewhere: list[str], found: list[str]) -> None:
    claimed = ("StasisBroadcast", "5000,,app:1")
    assert found_in(Switchboard({"app": ["1"], "other": elsewhere}, claimed)) == found
