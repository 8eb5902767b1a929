"""Requests that are no good, or come at the wrong time."""

from tests.fidelity.stage import Stage


def paths_and_methods(s: Stage) -> None:
    s.get("/nonsense")
    s.get("/channels/")
    s.request("PUT", "/channels")
    s.request("DELETE", "/channels")
    s.request("PATCH", "/channels")
    s.get("/channels/x/nonsense")
    s.get("/channels/x/answer")
    s.get(f"/channels/{s.id('nobody')}")
    s.get("/asterisk/ping/x")
    s.get("/bridges/x/nonsense")


def originate(s: Stage) -> None:
    endpoint = "Local/answer@far/n"
    s.request("POST", "/channels")
    s.request("POST", "/channels", {"endpoint": endpoint})
    s.request("POST", "/channels", {"endpoint": "Local", "app": s.app})
    s.request("POST", "/channels", {"endpoint": "Local/", "app": s.app})
    s.request("POST", "/channels", {"endpoint": endpoint, "app": s.app, "originator": "x", "formats": "slin"})
    s.request("POST", "/channels", {"endpoint": endpoint, "app": s.app, "originator": s.id("nobody")})
    s.request("POST", "/channels", {"endpoint": endpoint, "app": s.app, "channelId": s.id("x" * 150)})
    s.request("POST", "/channels", {"endpoint": endpoint, "extension": "x", "context": "after", "label": "nowhere"})
    s.request("POST", "/channels", {"endpoint": endpoint, "app": s.app}, body="{")
    s.request("POST", "/channels", {"endpoint": endpoint, "app": s.app}, body={"variables": {"X": 1}})


def hangup(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.delete(f"/channels/{s.id('nobody')}")
    s.delete(f"/channels/{call}", reason="nonsense")
    s.delete(f"/channels/{call}", reason="busy", reason_code="17")
    s.hang_up(call)


def out_of_stasis(s: Stage) -> None:
    """Everything that needs a channel to be in an application, for one that is not."""
    call = s.placed()
    half = f"{call};2"
    for path in ("answer", "ring", "hold", "moh", "continue", "silence", "progress"):
        s.post(f"/channels/{half}/{path}")
    s.post(f"/channels/{half}/play", media="sound:beep")
    s.post(f"/channels/{half}/dtmf", dtmf="1")
    s.post(f"/channels/{half}/variable", variable="X", value="1")
    s.get(f"/channels/{half}/variable", variable="EXTEN")
    s.hang_up(call, "ChannelDestroyed")


def while_it_rings(s: Stage) -> None:
    s.originate("Local/ringing@far/n")
    s.wait("Dial", dialstatus="RINGING")
    call = s.id("c1")
    for path in ("answer", "ring", "hold", "moh", "continue", "silence", "progress"):
        s.post(f"/channels/{call}/{path}")
    s.post(f"/channels/{call}/play", media="sound:beep")
    s.delete(f"/channels/{call}")
    s.wait("ChannelDestroyed", channel=call)


def in_odd_order(s: Stage) -> None:
    """A playback before the answer, an answer while it plays, a hangup before the replies."""
    call, _ = s.incoming()
    s.post(f"/channels/{call}/play/{s.id('p1')}", media="sound:hello")
    answer = s.begin("POST", f"/channels/{call}/answer")
    s.sleep(0.1)
    s.delete(f"/channels/{call}")
    s.reply_to(answer)
    s.wait("StasisEnd", channel=call)


def two_answers_at_once(s: Stage) -> None:
    call, _ = s.incoming()
    first = s.begin("POST", f"/channels/{call}/answer")
    second = s.begin("POST", f"/channels/{call}/answer")
    s.reply_to(first)
    s.reply_to(second)
    s.hang_up(call)


def lists(s: Stage) -> None:
    s.get("/asterisk/ping/")
    s.get(f"/playbacks/{s.id('nobody')}")
    s.delete(f"/playbacks/{s.id('nobody')}")
    s.get(f"/bridges/{s.id('nobody')}")
    s.delete(f"/bridges/{s.id('nobody')}")
    s.request("OPTIONS", "/channels")


def an_id_that_is_taken(s: Stage) -> None:
    """After which a real 22.10 has a channel too many, until it ends."""
    call = s.placed()
    endpoint = {"endpoint": "Local/answer@far/n", "app": s.app}
    s.request("POST", f"/channels/{call}", endpoint)
    s.request("POST", "/channels", {**endpoint, "channelId": call})
    s.request("POST", "/channels", {**endpoint, "channelId": s.id("free"), "otherChannelId": call})
    s.request("POST", "/channels", {**endpoint, "channelId": s.id("same"), "otherChannelId": s.id("same")})
    s.hang_up(call, "ChannelDestroyed")
