"""Calls that are placed: each way in which they come up, and in which they don't."""

from tests.fidelity.stage import Stage


def answered_and_hung_up(s: Stage) -> None:
    call = s.placed()
    s.sleep(0.2)
    s.hang_up(call, "ChannelDestroyed")


def answered_after_ringing(s: Stage) -> None:
    call = s.placed("ring2")
    s.hang_up(call, "ChannelDestroyed")


def the_far_end_hangs_up(s: Stage) -> None:
    call = s.placed("hang1")
    s.wait("ChannelDestroyed", channel=call)


def with_caller_variables_and_arguments(s: Stage) -> None:
    body = {"variables": {"COLOUR": "blue", "CALLERID(name)": "Zoe"}}
    query = {"endpoint": "Local/answer@far/n", "app": s.app, "appArgs": "a,b c", "callerId": "Al <100>"}
    s.request("POST", f"/channels/{s.id('c1')}", query, body)
    s.wait("StasisStart", channel=s.id("c1"))
    s.get(f"/channels/{s.id('c1')}/variable", variable="COLOUR")
    s.hang_up(s.id("c1"), "ChannelDestroyed")


def busy(s: Stage) -> None:
    s.originate("Local/busy@far/n")
    s.wait("ChannelDestroyed", channel=s.id("c1"))


def congested(s: Stage) -> None:
    s.originate("Local/congestion@far/n")
    s.wait("ChannelDestroyed", channel=s.id("c1"))


def rejected(s: Stage) -> None:
    s.originate("Local/reject@far/n")
    s.wait("ChannelDestroyed", channel=s.id("c1"))


def nobody_answers(s: Stage) -> None:
    s.originate("Local/ringing@far/n", timeout="1")
    s.wait("ChannelDestroyed", channel=s.id("c1"))


def given_up_while_it_rings(s: Stage) -> None:
    s.originate("Local/ringing@far/n")
    s.wait("Dial", dialstatus="RINGING")
    s.sleep(0.2)
    s.delete(f"/channels/{s.id('c1')}")
    s.wait("ChannelDestroyed", channel=s.id("c1"))


def no_such_extension(s: Stage) -> None:
    s.originate("Local/nobody-is-here@far/n")
    s.wait("ChannelDestroyed", channel=s.id("c1"))


def no_such_endpoint(s: Stage) -> None:
    s.originate("PJSIP/nobody")
    s.originate("Nonsense/x")
    s.originate("nonsense")


def for_an_application_that_is_not_there(s: Stage) -> None:
    query = {"endpoint": "Local/answer@far/n", "app": s.id("nobody")}
    s.request("POST", f"/channels/{s.id('c1')}", query)
    s.sleep(0.5)
    s.get(f"/channels/{s.id('c1')}")


def into_the_dialplan(s: Stage) -> None:
    query = {"endpoint": "Local/answer@far/n", "context": "after", "extension": "waits"}
    s.request("POST", f"/channels/{s.id('c1')}", query)
    s.sleep(0.5)
    s.get(f"/channels/{s.id('c1')}")
    s.delete(f"/channels/{s.id('c1')}")


def both_halves_have_an_id(s: Stage) -> None:
    query = {"endpoint": "Local/answer@far/n", "app": s.app, "otherChannelId": s.id("other")}
    s.request("POST", f"/channels/{s.id('c1')}", query)
    s.wait("StasisStart", channel=s.id("c1"))
    s.get(f"/channels/{s.id('other')}")
    s.hang_up(s.id("c1"), "ChannelDestroyed")


def the_other_half_is_hung_up(s: Stage) -> None:
    call = s.placed()
    s.delete(f"/channels/{call};2")
    s.wait("ChannelDestroyed", channel=call)


def asterisk_chooses_the_id(s: Stage) -> None:
    made = s.request("POST", "/channels", {"endpoint": "Local/answer@far/n", "app": s.app})
    s.wait("StasisStart", channel=made.body["id"])
    s.hang_up(made.body["id"], "ChannelDestroyed")


def goes_on_in_the_dialplan(s: Stage) -> None:
    call = s.placed()
    s.post(f"/channels/{call}/continue", context="after", extension="waits")
    s.wait("StasisEnd", channel=call)
    s.sleep(0.2)
    s.delete(f"/channels/{call}")
    s.wait("ChannelDestroyed", channel=call)


def goes_on_and_comes_back(s: Stage) -> None:
    call = s.placed()
    s.post(f"/channels/{call}/variable", variable="BACKAPP", value=s.app)
    s.post(f"/channels/{call}/continue", context="after", extension="back")
    s.wait("StasisEnd", channel=call)
    s.wait("StasisStart", channel=call)
    s.hang_up(call, "ChannelDestroyed")


def sip_answered_and_hung_up(s: Stage) -> None:
    phone = s.phone([180, 200])
    s.originate(phone.endpoint, callerId="Al <100>")
    s.wait("StasisStart", channel=s.id("c1"))
    s.sleep(0.2)
    s.hang_up(s.id("c1"), "ChannelDestroyed")


def sip_the_far_end_hangs_up(s: Stage) -> None:
    phone = s.phone([180, 200])
    s.originate(phone.endpoint)
    s.wait("StasisStart", channel=s.id("c1"))
    s.sleep(0.2)
    phone.hangs_up()
    s.wait("ChannelDestroyed", channel=s.id("c1"))


def sip_early_media(s: Stage) -> None:
    phone = s.phone([183])
    s.originate(phone.endpoint)
    s.wait("Dial", dialstatus="PROGRESS")
    s.sleep(0.2)
    phone.answers(200)
    s.wait("StasisStart", channel=s.id("c1"))
    s.hang_up(s.id("c1"), "ChannelDestroyed")


def _sip_refuses(s: Stage, status: int) -> None:
    phone = s.phone([180, status])
    s.originate(phone.endpoint)
    s.wait("ChannelDestroyed", channel=s.id("c1"))


def sip_busy(s: Stage) -> None:
    _sip_refuses(s, 486)


def sip_rejected(s: Stage) -> None:
    _sip_refuses(s, 603)


def sip_not_found(s: Stage) -> None:
    _sip_refuses(s, 404)


def sip_no_circuit(s: Stage) -> None:
    _sip_refuses(s, 503)


def sip_unavailable(s: Stage) -> None:
    _sip_refuses(s, 480)


def sip_incomplete_number(s: Stage) -> None:
    _sip_refuses(s, 484)


def sip_no_common_codec(s: Stage) -> None:
    _sip_refuses(s, 488)


def sip_broken(s: Stage) -> None:
    _sip_refuses(s, 500)


def sip_refused_without_ringing(s: Stage) -> None:
    phone = s.phone([486])
    s.originate(phone.endpoint)
    s.wait("ChannelDestroyed", channel=s.id("c1"))


def sip_nobody_answers(s: Stage) -> None:
    phone = s.phone([180])
    s.originate(phone.endpoint, timeout="1")
    s.wait("ChannelDestroyed", channel=s.id("c1"))


def sip_given_up_while_it_rings(s: Stage) -> None:
    phone = s.phone([180])
    s.originate(phone.endpoint)
    s.wait("Dial", dialstatus="RINGING")
    s.sleep(0.2)
    s.delete(f"/channels/{s.id('c1')}")
    s.wait("ChannelDestroyed", channel=s.id("c1"))


def sip_moved_and_hung_up(s: Stage) -> None:
    other = f"{s.app}other"
    s.open(other)
    phone = s.phone([180, 200])
    s.originate(phone.endpoint)
    s.wait("StasisStart", channel=s.id("c1"))
    s.post(f"/channels/{s.id('c1')}/move", app=other)
    s.wait("StasisStart", channel=s.id("c1"), to=other)
    s.hang_up(s.id("c1"), "ChannelDestroyed")


def for_another_application(s: Stage) -> None:
    """Who asks is not who is told."""
    other = f"{s.app}other"
    s.open(other)
    s.request("POST", f"/channels/{s.id('c1')}", {"endpoint": "Local/answer@far/n", "app": other})
    s.wait("StasisStart", channel=s.id("c1"), to=other)
    s.hang_up(s.id("c1"), "ChannelDestroyed")


def sip_hung_up_with_a_reason(s: Stage) -> None:
    phone = s.phone([180, 200])
    s.originate(phone.endpoint)
    s.wait("StasisStart", channel=s.id("c1"))
    s.delete(f"/channels/{s.id('c1')}", reason="busy")
    s.wait("ChannelDestroyed", channel=s.id("c1"))


def with_a_reason_while_it_rings(s: Stage) -> None:
    s.originate("Local/ringing@far/n")
    s.wait("Dial", dialstatus="RINGING")
    s.delete(f"/channels/{s.id('c1')}", reason="answered_elsewhere")
    s.wait("ChannelDestroyed", channel=s.id("c1"))
