"""Applications: who is told what."""

from tests.fidelity.stage import Stage


def replaced(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.open(s.app)
    s.wait("ApplicationReplaced")
    s.hang_up(call)


def gone_and_back(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.close(s.app)
    s.sleep(0.2)
    s.get(f"/applications/{s.app}")
    s.post(f"/channels/{call}/variable", variable="X", value="1")
    s.sleep(0.1)
    s.open(s.app)
    s.sleep(0.1)
    s.hang_up(call)


def not_there(s: Stage) -> None:
    s.close(s.app)
    s.sleep(0.2)
    s.get(f"/applications/{s.app}")
    s.originate("Local/answer@far/n")
    s.sleep(0.7)
    s.get(f"/channels/{s.id('c1')}")


def subscribed_to_a_channel(s: Stage) -> None:
    other = f"{s.app}other"
    s.open(other)
    call, far = s.incoming()
    s.post(f"/applications/{other}/subscription", eventSource=f"channel:{call}")
    s.post(f"/channels/{call}/answer")
    s.wait("ChannelStateChange", to=other)
    far.presses("1")
    s.wait("ChannelDtmfReceived", to=other)
    s.delete(f"/applications/{other}/subscription", eventSource=f"channel:{call}")
    s.delete(f"/applications/{other}/subscription", eventSource=f"channel:{call}")
    s.hang_up(call)


def a_subscription_outlives_the_call(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.post(f"/applications/{s.app}/subscription", eventSource=f"channel:{call}")
    s.hang_up(call)
    s.wait("ChannelDestroyed", channel=call)


def what_is_refused(s: Stage) -> None:
    s.get(f"/applications/{s.id('nobody')}")
    s.post(f"/applications/{s.id('nobody')}/subscription", eventSource="channel:x")
    s.post(f"/applications/{s.app}/subscription")
    s.post(f"/applications/{s.app}/subscription", eventSource="nonsense:x")
    s.post(f"/applications/{s.app}/subscription", eventSource="channel:nobody")
    s.post(f"/applications/{s.app}/subscription", eventSource="bridge:nobody")
    s.delete(f"/applications/{s.app}/subscription", eventSource="channel:nobody")


def a_filter(s: Stage) -> None:
    path = f"/applications/{s.app}/eventFilter"
    s.request("PUT", path, body={"disallowed": [{"type": "ChannelVarset"}]})
    call, _ = s.incoming(answered=True)
    s.post(f"/channels/{call}/variable", variable="X", value="1")
    s.request("PUT", path, body={"allowed": [{"type": "StasisEnd"}, {"type": "ChannelVarset"}]})
    s.post(f"/channels/{call}/variable", variable="X", value="2")
    s.hang_up(call)
    s.request("PUT", path, body={})
    s.request("PUT", path, body={"allowed": "x"})


def told_by_a_user(s: Stage) -> None:
    s.request("POST", "/events/user/Told", {"application": s.app}, {"variables": {"n": 1, "list": [True]}})
    s.wait("ChannelUserevent")
    s.request("POST", "/events/user/Told", {"application": s.id("nobody")})
    s.request("POST", "/events/user/Told")
    s.request("POST", "/events/user/Told", {"application": s.app, "source": "nonsense:x"})
    s.request("POST", "/events/user/Told", {"application": s.app, "source": "channel:nobody"})


def told_about_a_channel(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.request(
        "POST", "/events/user/Told", {"application": s.app, "source": f"channel:{call}"}, {"variables": {"a": "b"}}
    )
    s.wait("ChannelUserevent")
    s.hang_up(call)


def offered_and_claimed(s: Stage) -> None:
    s.offer()
    call = s.wait("CallBroadcast")["channel"]["id"]
    s.post("/events/claim", channelId=call, application=s.app)
    s.wait("StasisStart", channel=call)
    s.post("/events/claim", channelId=call, application=s.app)
    s.hang_up(call)
    s.post("/events/claim", channelId=call, application=s.app)


def offered_to_two(s: Stage) -> None:
    other = f"{s.app}other"
    s.open(other)
    s.offer()
    call = s.wait("CallBroadcast", to=s.app)["channel"]["id"]
    s.wait("CallBroadcast", to=other)
    s.post("/events/claim", channelId=call, application=other)
    s.post("/events/claim", channelId=call, application=s.app)
    s.wait("StasisStart", channel=call, to=other)
    s.hang_up(call)


def offered_and_nobody_claims(s: Stage) -> None:
    s.offer()
    call = s.wait("CallBroadcast")["channel"]["id"]
    s.sleep(1.3)
    s.post("/events/claim", channelId=call, application=s.app)


def offered_and_the_caller_hangs_up(s: Stage) -> None:
    far = s.offer()
    s.wait("CallBroadcast")
    s.sleep(0.2)
    far.hangs_up()
    s.sleep(1.2)


def claims_that_are_refused(s: Stage) -> None:
    s.post("/events/claim", channelId=s.id("nobody"), application=s.app)
    s.post("/events/claim", application=s.app)
    s.post("/events/claim", channelId=s.id("nobody"))
    call, _ = s.incoming(answered=True)
    s.post("/events/claim", channelId=call, application=s.app)
    s.hang_up(call)


def offered_and_claimed_for_nobody(s: Stage) -> None:
    s.offer()
    call = s.wait("CallBroadcast")["channel"]["id"]
    s.post("/events/claim", channelId=call, application=s.id("nobody"))
    s.sleep(0.3)
    s.get(f"/channels/{call}")


def a_filter_that_bans_and_allows(s: Stage) -> None:
    path = f"/applications/{s.app}/eventFilter"
    both = {"allowed": [{"type": "StasisStart"}, {"type": "StasisEnd"}], "disallowed": [{"type": "StasisEnd"}]}
    s.request("PUT", path, body=both)
    call, _ = s.incoming()
    s.post(f"/channels/{call}/answer")
    s.delete(f"/channels/{call}")
    s.sleep(0.3)
    s.get(f"/applications/{s.app}")


def subscribed_twice(s: Stage) -> None:
    other = f"{s.app}other"
    s.open(other)
    call, _ = s.incoming()
    s.post(f"/applications/{other}/subscription", eventSource=f"channel:{call}")
    s.post(f"/applications/{other}/subscription", eventSource=f"channel:{call}")
    s.delete(f"/applications/{other}/subscription", eventSource=f"channel:{call}")
    s.post(f"/channels/{call}/answer")
    s.sleep(0.1)
    s.hang_up(call)


def subscribed_to_a_channel_in_the_dialplan(s: Stage) -> None:
    query = {"endpoint": "Local/ring2@far/n", "context": "after", "extension": "waits"}
    s.request("POST", f"/channels/{s.id('c1')}", query)
    s.post(f"/applications/{s.app}/subscription", eventSource=f"channel:{s.id('c1')}")
    s.get(f"/applications/{s.app}")
    s.wait("ChannelDialplan", channel=s.id("c1"), dialplan_app="Wait")
    s.delete(f"/applications/{s.app}/subscription", eventSource=f"channel:{s.id('c1')}")
    s.delete(f"/applications/{s.app}/subscription", eventSource=f"channel:{s.id('c1')}")
    s.delete(f"/channels/{s.id('c1')}")


def subscribed_and_gone(s: Stage) -> None:
    """A subscription keeps an application. Until when is chance among others: any call's end makes Asterisk look."""
    other = f"{s.app}other"
    call, _ = s.incoming(answered=True)
    s.open(other)
    s.post(f"/applications/{other}/subscription", eventSource=f"channel:{call}")
    s.close(other)
    s.sleep(0.2)
    s.get(f"/applications/{other}")
    s.hang_up(call)
