"""The Asterisk that the other tests run against is what they take it for."""

from __future__ import annotations

from .pbx import Asterisk


def test_it_is_the_version_we_promise_to_work_with(asterisk: Asterisk) -> None:
    status, info = asterisk.get("/asterisk/info")
    assert status == 200
    assert info["system"]["version"].startswith("22.")
    assert asterisk.cli("core show version").startswith(f"Asterisk {info['system']['version']}")


def test_its_users_have_the_rights_they_are_named_for(asterisk: Asterisk) -> None:
    variable = {"variable": "RIGHTS", "value": "yes"}
    assert asterisk.request("POST", "/asterisk/variable", variable)[0] == 204
    assert asterisk.request("POST", "/asterisk/variable", variable, user=asterisk.ro_user)[0] == 403
    assert asterisk.request("GET", "/asterisk/ping", user="nobody")[0] == 401


def test_a_far_end_answers_and_goes(asterisk: Asterisk, app_name: str) -> None:
    caller = {"endpoint": "Local/answer@far/n", "extension": "echo", "context": "far", "channelId": app_name}
    status, channel = asterisk.request("POST", "/channels", caller)
    assert status == 200
    assert channel["id"] in {c["id"] for c in asterisk.channels_but_of_others(app_name)}
    asterisk.hang_up(app_name)
