"""Calls that come in: who answers, who hangs up, and what for."""

from tests.fidelity.stage import Stage


def answered_and_hung_up(s: Stage) -> None:
    call, _ = s.incoming()
    s.post(f"/channels/{call}/answer")
    s.wait("ChannelStateChange", channel=call)
    s.sleep(0.2)
    s.hang_up(call)


def answered_and_the_caller_hangs_up(s: Stage) -> None:
    call, far = s.incoming()
    s.post(f"/channels/{call}/answer")
    s.sleep(0.3)
    far.hangs_up()
    s.wait("StasisEnd", channel=call)


def the_caller_gives_up(s: Stage) -> None:
    call, far = s.incoming()
    s.sleep(0.2)
    far.hangs_up()
    s.wait("StasisEnd", channel=call)


def answered_twice(s: Stage) -> None:
    call, _ = s.incoming()
    s.post(f"/channels/{call}/answer")
    s.post(f"/channels/{call}/answer")
    s.hang_up(call)


def rung_and_answered(s: Stage) -> None:
    call, _ = s.incoming()
    s.post(f"/channels/{call}/ring")
    s.sleep(0.3)
    s.delete(f"/channels/{call}/ring")
    s.post(f"/channels/{call}/progress")
    s.post(f"/channels/{call}/answer")
    s.hang_up(call)


def refused(s: Stage) -> None:
    for reason in ("busy", "congestion", "rejected", "unallocated", "no_answer"):
        call, _ = s.incoming()
        s.delete(f"/channels/{call}", reason=reason)
        s.wait("StasisEnd", channel=call)


def hung_up_with_causes(s: Stage) -> None:
    for code in ("17", "21", "127", "34", "200", "x"):
        call, _ = s.incoming(answered=True)
        if s.delete(f"/channels/{call}", reason_code=code).status >= 400:
            s.delete(f"/channels/{call}")
        s.wait("StasisEnd", channel=call)


def hung_up_with_reasons(s: Stage) -> None:
    for reason in ("normal", "timeout", "answered_elsewhere", "failure", "interworking", "codec_mismatch"):
        call, _ = s.incoming(answered=True)
        s.delete(f"/channels/{call}", reason=reason)
        s.wait("StasisEnd", channel=call)


def hung_up_twice(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.hang_up(call)
    s.delete(f"/channels/{call}")
    s.get(f"/channels/{call}")


def everything_after_the_end(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.hang_up(call)
    for path in ("answer", "ring", "hold", "moh", "continue", "silence", "progress", "mute"):
        s.post(f"/channels/{call}/{path}")
    s.post(f"/channels/{call}/play", media="sound:beep")
    s.post(f"/channels/{call}/dtmf", dtmf="1")
    s.post(f"/channels/{call}/move", app=s.app)
    s.post(f"/channels/{call}/variable", variable="X", value="1")
    s.get(f"/channels/{call}/variable", variable="X")
    s.post(f"/channels/{call}/snoop", spy="in", app=s.app)


def sip_answered_and_hung_up(s: Stage) -> None:
    phone = s.phone([])
    phone.calls()
    call = s.wait("StasisStart")["channel"]["id"]
    s.post(f"/channels/{call}/ring")
    s.sleep(0.2)
    s.post(f"/channels/{call}/answer")
    s.wait("ChannelStateChange", channel=call)
    s.sleep(0.2)
    s.hang_up(call)


def sip_the_caller_hangs_up(s: Stage) -> None:
    phone = s.phone([])
    phone.calls()
    call = s.wait("StasisStart")["channel"]["id"]
    s.post(f"/channels/{call}/answer")
    s.sleep(0.3)
    phone.hangs_up()
    s.wait("StasisEnd", channel=call)


def sip_the_caller_gives_up(s: Stage) -> None:
    phone = s.phone([])
    phone.calls()
    call = s.wait("StasisStart")["channel"]["id"]
    s.post(f"/channels/{call}/ring")
    s.sleep(0.2)
    phone.cancels()
    s.wait("StasisEnd", channel=call)


def sip_refused(s: Stage) -> None:
    phone = s.phone([])
    for reason in ("busy", "congestion", "rejected"):
        phone.calls()
        call = s.wait("StasisStart")["channel"]["id"]
        s.delete(f"/channels/{call}", reason=reason)
        s.wait("StasisEnd", channel=call)


def sip_holds_and_resumes(s: Stage) -> None:
    phone = s.phone([])
    phone.calls()
    call = s.wait("StasisStart")["channel"]["id"]
    s.post(f"/channels/{call}/answer")
    s.sleep(0.3)
    phone.holds()
    s.wait("ChannelHold", channel=call)
    s.sleep(0.2)
    phone.resumes()
    s.wait("ChannelUnhold", channel=call)
    s.hang_up(call)


def goes_on_in_the_dialplan(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.post(f"/channels/{call}/continue", context="after", extension="waits")
    s.wait("StasisEnd", channel=call)
    s.sleep(0.2)
    s.post(f"/channels/{call}/answer")
    s.get(f"/channels/{call}")
    s.delete(f"/channels/{call}")


def goes_on_where_it_came_from(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.post(f"/channels/{call}/continue")
    s.wait("StasisEnd", channel=call)
    s.sleep(0.2)
    s.get(f"/channels/{call}")


def goes_on_at_a_label_that_is_not_there(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.post(f"/channels/{call}/continue", context="after", extension="s", label="nowhere")
    s.hang_up(call)


def goes_on_nowhere(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.post(f"/channels/{call}/continue", context="nowhere", extension="x")
    s.wait("StasisEnd", channel=call)
    s.sleep(0.2)
    s.get(f"/channels/{call}")


def goes_on_and_comes_back(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.post(f"/channels/{call}/variable", variable="BACKAPP", value=s.app)
    s.post(f"/channels/{call}/continue", context="after", extension="back")
    s.wait("StasisEnd", channel=call)
    s.wait("StasisStart", channel=call)
    s.hang_up(call)


def moved_to_another_application(s: Stage) -> None:
    other = f"{s.app}other"
    s.open(other)
    call, _ = s.incoming(answered=True)
    s.post(f"/channels/{call}/move", app=other, appArgs="a,b")
    s.wait("StasisEnd", channel=call, to=s.app)
    s.wait("StasisStart", channel=call, to=other)
    s.hang_up(call)


def moved_to_nobody(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.post(f"/channels/{call}/move", app=s.id("nobody"), appArgs="a,b")
    s.wait("ApplicationMoveFailed", channel=call)
    s.hang_up(call)


def two_at_once(s: Stage) -> None:
    one, _ = s.incoming()
    two, far = s.incoming()
    s.post(f"/channels/{two}/answer")
    s.post(f"/channels/{one}/answer")
    far.hangs_up()
    s.wait("StasisEnd", channel=two)
    s.hang_up(one)


def hung_up_while_it_rings(s: Stage) -> None:
    call, _ = s.incoming()
    s.post(f"/channels/{call}/ring")
    s.sleep(0.1)
    s.hang_up(call)


def hung_up_while_music_plays(s: Stage) -> None:
    call, far = s.incoming(answered=True)
    s.post(f"/channels/{call}/moh")
    s.post(f"/channels/{call}/hold")
    s.sleep(0.1)
    far.hangs_up()
    s.wait("StasisEnd", channel=call)


def hung_up_at_once(s: Stage) -> None:
    """The answer, and the hangup right behind it."""
    call, _ = s.incoming()
    answer = s.begin("POST", f"/channels/{call}/answer")
    s.reply_to(answer)
    s.delete(f"/channels/{call}")
    s.wait("StasisEnd", channel=call)


def goes_on_and_is_hung_up_at_once(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.post(f"/channels/{call}/continue", context="after", extension="waits")
    s.delete(f"/channels/{call}")
    s.wait("StasisEnd", channel=call)


def moved_while_a_prompt_plays(s: Stage) -> None:
    other = f"{s.app}other"
    s.open(other)
    call, _ = s.incoming(answered=True)
    s.post(f"/channels/{call}/play/{s.id('p1')}", media="sound:beep")
    s.wait("PlaybackStarted")
    s.post(f"/channels/{call}/move", app=other)
    s.wait("StasisEnd", channel=call, to=s.app)
    s.wait("StasisStart", channel=call, to=other)
    s.post(f"/channels/{call}/play/{s.id('p2')}", media="sound:beep")
    s.wait("PlaybackFinished", to=other)
    s.hang_up(call)


def moved_to_where_it_is(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.post(f"/channels/{call}/move", app=s.app, appArgs="again")
    s.wait("StasisEnd", channel=call)
    s.wait("StasisStart", channel=call)
    s.hang_up(call)
