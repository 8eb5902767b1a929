"""What is recorded: calls, and what snoops on them. How long a recording is is read where half a second is left over,
as Asterisk counts whole ones.
"""

from tests.fidelity.stage import Stage


def _record(s: Stage, channel: str, name: str = "r1", format: str = "wav", **query: str) -> str:
    recording = s.id(name)
    s.post(f"/channels/{channel}/record", name=recording, format=format, **query)
    return recording


def _snoop(s: Stage, call: str, name: str = "snoop", **query: str) -> str:
    ear = s.id(name)
    s.post(f"/channels/{call}/snoop/{ear}", app=s.app, **query)
    s.wait("StasisStart", channel=ear)
    return ear


def _recorded(s: Stage, channel: str, name: str = "r1", **query: str) -> str:
    recording = _record(s, channel, name, **query)
    s.wait("RecordingStarted", recording=recording)
    return recording


def _short(s: Stage, channel: str, name: str = "r1", **query: str) -> str:
    """One that is as long as it may be: until the calendar's second after the one that is allowed is over."""
    s.early_in_a_second()
    recording = _record(s, channel, name, maxDurationSeconds="1", **query)
    s.wait("RecordingFinished", recording=recording)
    return recording


def _speaking(s: Stage) -> str:
    """A call that is up, and whose phone sends frames."""
    call, far = s.incoming(answered=True)
    far.sends_silence()
    s.sleep(0.1)
    return call


def _what_is_left(s: Stage, recording: str) -> None:
    """The file of one that is over."""
    s.get(f"/recordings/live/{recording}")
    s.get(f"/recordings/stored/{recording}")
    s.get(f"/recordings/stored/{recording}/file")


# ---- from beginning to end -------------------------------------------------------------------------------------------


def of_a_call(s: Stage) -> None:
    call = _speaking(s)
    recording = _recorded(s, call)
    s.get(f"/recordings/live/{recording}")
    s.sleep(1.5)
    s.post(f"/recordings/live/{recording}/stop")
    s.wait("RecordingFinished", recording=recording)
    _what_is_left(s, recording)
    s.delete(f"/recordings/stored/{recording}")
    s.get(f"/recordings/stored/{recording}")
    s.delete(f"/recordings/stored/{recording}")
    s.get(f"/recordings/stored/{recording}/file")
    s.hang_up(call)


def of_a_snoop(s: Stage) -> None:
    """As Voxtra does it."""
    call, far = s.incoming(answered=True)
    ear = _snoop(s, call, spy="in")
    recording = _recorded(s, ear, ifExists="fail")
    far.talks()
    s.sleep(1.5)
    s.post(f"/recordings/live/{recording}/stop")
    s.wait("RecordingFinished", recording=recording)
    s.hang_up(ear)
    _what_is_left(s, recording)
    s.hang_up(call)


def of_who_is_called(s: Stage) -> None:
    call = s.placed()
    recording = _recorded(s, call)
    s.sleep(0.5)
    s.post(f"/recordings/live/{recording}/stop")
    s.wait("RecordingFinished", recording=recording)
    s.hang_up(call, "ChannelDestroyed")


def before_the_answer(s: Stage) -> None:
    call, far = s.incoming()
    recording = _record(s, call)
    s.wait("ChannelStateChange", channel=call)
    far.sends_silence()
    s.wait("RecordingStarted")
    s.sleep(0.5)
    s.post(f"/recordings/live/{recording}/stop")
    s.wait("RecordingFinished", recording=recording)
    s.hang_up(call)


def of_a_snoop_before_the_answer(s: Stage) -> None:
    call, _ = s.incoming()
    ear = _snoop(s, call, spy="both")
    recording = _recorded(s, ear)
    s.sleep(1.5)
    s.post(f"/recordings/live/{recording}/stop")
    s.wait("RecordingFinished", recording=recording)
    _what_is_left(s, recording)
    s.hang_up(call)
    s.wait("StasisEnd", channel=ear)


def other_formats(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    ear = _snoop(s, call, spy="in")
    for format in ("ulaw", "wav16", "sln16", "gsm"):
        recording = _recorded(s, ear, format, format=format)
        s.sleep(0.5)
        s.post(f"/recordings/live/{recording}/stop")
        s.wait("RecordingFinished", recording=recording)
        s.get(f"/recordings/stored/{recording}")
    s.hang_up(ear)
    s.hang_up(call)


def through_prompts(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    ear = _snoop(s, call, spy="both")
    recording = _recorded(s, ear)
    s.post(f"/channels/{call}/play/{s.id('p1')}", media="sound:beep")
    s.wait("PlaybackFinished")
    s.post(f"/channels/{call}/moh")
    s.sleep(1)
    s.post(f"/recordings/live/{recording}/stop")
    s.wait("RecordingFinished", recording=recording)
    s.hang_up(ear)
    s.hang_up(call)


def with_a_beep(s: Stage) -> None:
    call = _speaking(s)
    recording = _recorded(s, call, beep="true")
    s.sleep(1.9)
    s.post(f"/recordings/live/{recording}/stop")
    s.wait("RecordingFinished", recording=recording)
    _what_is_left(s, recording)
    s.hang_up(call)


def two_at_once(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    ears = [_snoop(s, call, name, spy="in") for name in ("s1", "s2")]
    recordings = [_recorded(s, ear, f"r{n}") for n, ear in enumerate(ears)]
    s.sleep(0.5)
    for recording in recordings:
        s.post(f"/recordings/live/{recording}/stop")
        s.wait("RecordingFinished", recording=recording)
    for ear in ears:
        s.hang_up(ear)
    s.hang_up(call)


def one_after_another(s: Stage) -> None:
    call = _speaking(s)
    for name in ("r1", "r2"):
        recording = _recorded(s, call, name)
        s.sleep(0.5)
        s.post(f"/recordings/live/{recording}/stop")
        s.wait("RecordingFinished", recording=recording)
    s.hang_up(call)


# ---- ends ------------------------------------------------------------------------------------------------------------


def we_hang_up(s: Stage) -> None:
    call = _speaking(s)
    recording = _recorded(s, call)
    s.sleep(1.5)
    s.hang_up(call)
    _what_is_left(s, recording)


def the_caller_hangs_up(s: Stage) -> None:
    call, far = s.incoming(answered=True)
    far.sends_silence()
    _recorded(s, call)
    s.sleep(0.5)
    far.hangs_up()
    s.wait("StasisEnd", channel=call)


def we_hang_up_what_a_snoop_records(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    ear = _snoop(s, call, spy="both")
    recording = _recorded(s, ear)
    s.sleep(1.5)
    s.hang_up(call)
    s.wait("StasisEnd", channel=ear)
    _what_is_left(s, recording)


def the_caller_hangs_up_what_a_snoop_records(s: Stage) -> None:
    call, far = s.incoming(answered=True)
    ear = _snoop(s, call, spy="both")
    _recorded(s, ear)
    s.sleep(0.5)
    far.hangs_up()
    s.wait("StasisEnd", channel=ear)


def the_snoop_is_hung_up(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    ear = _snoop(s, call, spy="both")
    recording = _recorded(s, ear)
    s.sleep(0.5)
    s.hang_up(ear)
    _what_is_left(s, recording)
    s.hang_up(call)


def hung_up_while_it_is_paused(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    ear = _snoop(s, call, spy="both")
    recording = _recorded(s, ear)
    s.sleep(0.3)
    s.post(f"/recordings/live/{recording}/pause")
    s.sleep(0.3)
    s.hang_up(call)
    s.wait("StasisEnd", channel=ear)


def the_longest_it_may_be(s: Stage) -> None:
    call = _speaking(s)
    recording = _short(s, call)
    _what_is_left(s, recording)
    s.hang_up(call)


def the_longest_that_a_snoop_may(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    ear = _snoop(s, call, spy="both")
    s.early_in_a_second()
    recording = _recorded(s, ear, maxDurationSeconds="2")
    s.sleep(0.5)
    s.post(f"/recordings/live/{recording}/pause")
    s.sleep(0.5)
    s.delete(f"/recordings/live/{recording}/pause")
    s.wait("RecordingFinished", recording=recording)
    _what_is_left(s, recording)
    s.hang_up(ear)
    s.hang_up(call)


def paused_beyond_the_longest_it_may_be(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    ear = _snoop(s, call, spy="both")
    s.early_in_a_second()
    recording = _recorded(s, ear, maxDurationSeconds="1")
    s.sleep(0.3)
    s.post(f"/recordings/live/{recording}/pause")
    s.sleep(1.5)
    s.get(f"/recordings/live/{recording}")
    s.delete(f"/recordings/live/{recording}/pause")
    s.wait("RecordingFinished", recording=recording)
    _what_is_left(s, recording)
    s.hang_up(ear)
    s.hang_up(call)


def muted_beyond_the_longest_it_may_be(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    ear = _snoop(s, call, spy="both")
    s.early_in_a_second()
    recording = _recorded(s, ear, maxDurationSeconds="1")
    s.sleep(0.3)
    s.post(f"/recordings/live/{recording}/mute")
    s.wait("RecordingFinished", recording=recording)
    _what_is_left(s, recording)
    s.hang_up(ear)
    s.hang_up(call)


def nobody_says_anything(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    ear = _snoop(s, call, spy="in")
    recording = _recorded(s, ear, maxSilenceSeconds="1")
    s.get(f"/recordings/live/{recording}")
    s.wait("RecordingFinished", recording=recording)
    _what_is_left(s, recording)
    s.hang_up(ear)
    s.hang_up(call)


def nobody_says_anything_any_more(s: Stage) -> None:
    call, far = s.incoming(answered=True)
    ear = _snoop(s, call, spy="in")
    recording = _recorded(s, ear, maxSilenceSeconds="2")
    far.talks()
    s.wait("RecordingFinished", recording=recording)
    _what_is_left(s, recording)
    s.hang_up(ear)
    s.hang_up(call)


def stopped_before_the_silence_is_long_enough(s: Stage) -> None:
    call, far = s.incoming(answered=True)
    ear = _snoop(s, call, spy="in")
    recording = _recorded(s, ear, maxSilenceSeconds="5")
    far.talks()
    s.sleep(2.5)
    s.post(f"/recordings/live/{recording}/stop")
    s.wait("RecordingFinished", recording=recording)
    _what_is_left(s, recording)
    s.hang_up(ear)
    s.hang_up(call)


def two_silences(s: Stage) -> None:
    call, far = s.incoming(answered=True)
    ear = _snoop(s, call, spy="in")
    recording = _recorded(s, ear, maxSilenceSeconds="5")
    far.talks()
    far.talks()  # 4.4 s later
    s.sleep(6.2)
    s.post(f"/recordings/live/{recording}/stop")
    s.wait("RecordingFinished", recording=recording)
    _what_is_left(s, recording)
    s.hang_up(ear)
    s.hang_up(call)


def a_key_ends_it_in_a_silence(s: Stage) -> None:
    call, far = s.incoming(answered=True)
    far.talks()
    s.sleep(1.8)
    recording = _recorded(s, call, maxSilenceSeconds="5", terminateOn="any")
    s.sleep(2.6)
    far.presses("1")
    s.wait("RecordingFinished", recording=recording)
    _what_is_left(s, recording)
    s.hang_up(call)


def a_voice_is_heard_while_it_is_muted(s: Stage) -> None:
    call, far = s.incoming(answered=True)
    ear = _snoop(s, call, spy="in")
    recording = _recorded(s, ear, maxSilenceSeconds="1")
    far.talks()
    s.sleep(0.4)
    s.post(f"/recordings/live/{recording}/mute")
    s.wait("RecordingFinished", recording=recording)
    _what_is_left(s, recording)
    s.hang_up(ear)
    s.hang_up(call)


def a_prompt_is_no_silence(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    ears = [_snoop(s, call, name, spy=spy) for name, spy in (("s1", "both"), ("s2", "in"))]
    s.post(f"/channels/{call}/play/{s.id('p1')}", media="sound:hello-world")
    s.wait("PlaybackStarted")
    for n, ear in enumerate(ears):
        _recorded(s, ear, f"r{n}", maxSilenceSeconds="1")
    s.wait("RecordingFinished", recording=s.id("r1"))
    s.wait("RecordingFinished", recording=s.id("r0"))
    for ear in ears:
        s.hang_up(ear)
    s.hang_up(call)


def nobody_says_anything_on_a_call(s: Stage) -> None:
    call = _speaking(s)
    recording = _recorded(s, call, maxSilenceSeconds="1")
    s.wait("RecordingFinished", recording=recording)
    _what_is_left(s, recording)
    s.hang_up(call)


def quiet_while_it_is_paused(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    ear = _snoop(s, call, spy="in")
    recording = _recorded(s, ear, maxSilenceSeconds="2")
    s.sleep(0.5)
    s.post(f"/recordings/live/{recording}/pause")
    s.wait("RecordingFinished", recording=recording)
    s.hang_up(ear)
    s.hang_up(call)


def a_key_ends_it(s: Stage) -> None:
    call, far = s.incoming(answered=True)
    recording = _recorded(s, call, terminateOn="#")
    far.presses("1#")
    s.wait("RecordingFinished", recording=recording)
    s.get(f"/recordings/stored/{recording}")
    s.hang_up(call)


def any_key_ends_it(s: Stage) -> None:
    call, far = s.incoming(answered=True)
    recording = _recorded(s, call, terminateOn="any")
    far.presses("7")
    s.wait("RecordingFinished", recording=recording)
    s.hang_up(call)


def no_key_ends_it(s: Stage) -> None:
    call, far = s.incoming(answered=True)
    recording = _recorded(s, call, terminateOn="none")
    far.presses("1#")
    s.wait("ChannelDtmfReceived", digit="#")
    s.post(f"/recordings/live/{recording}/stop")
    s.wait("RecordingFinished", recording=recording)
    s.hang_up(call)


def a_key_that_a_snoop_does_not_hear(s: Stage) -> None:
    call, far = s.incoming(answered=True)
    ear = _snoop(s, call, spy="in")
    recording = _recorded(s, ear, terminateOn="any")
    far.presses("1")
    s.wait("ChannelDtmfReceived", digit="1")
    s.sleep(0.3)
    s.post(f"/recordings/live/{recording}/stop")
    s.wait("RecordingFinished", recording=recording)
    s.hang_up(ear)
    s.hang_up(call)


def cancelled(s: Stage) -> None:
    call = _speaking(s)
    recording = _recorded(s, call)
    s.sleep(0.5)
    s.delete(f"/recordings/live/{recording}")
    s.wait("RecordingFinished", recording=recording)
    _what_is_left(s, recording)
    s.delete(f"/recordings/live/{recording}")
    s.hang_up(call)


def stopped_while_it_is_paused(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    ear = _snoop(s, call, spy="in")
    recording = _recorded(s, ear)
    s.sleep(0.3)
    s.post(f"/recordings/live/{recording}/pause")
    s.sleep(0.2)
    s.post(f"/recordings/live/{recording}/stop")
    s.wait("RecordingFinished", recording=recording)
    s.hang_up(ear)
    s.hang_up(call)


def the_application_is_away(s: Stage) -> None:
    """And finds a recording that goes on, and one that has ended meanwhile."""
    call, _ = s.incoming(answered=True)
    ears = [_snoop(s, call, name, spy="in") for name in ("s1", "s2")]
    s.early_in_a_second()
    short = _recorded(s, ears[0], "r1", maxDurationSeconds="1")
    long = _recorded(s, ears[1], "r2")
    s.close(s.app)
    s.sleep(2.4)
    s.open(s.app)
    s.get(f"/recordings/live/{short}")
    s.get(f"/recordings/stored/{short}")
    s.get(f"/recordings/live/{long}")
    s.post(f"/recordings/live/{long}/stop")
    s.wait("RecordingFinished", recording=long)
    for ear in ears:
        s.hang_up(ear)
    s.hang_up(call)


# ---- pauses and mutes ------------------------------------------------------------------------------------------------


def paused_and_resumed(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    ear = _snoop(s, call, spy="in")
    recording = _recorded(s, ear)
    s.sleep(0.4)
    s.post(f"/recordings/live/{recording}/pause")
    s.sleep(1)
    s.get(f"/recordings/live/{recording}")
    s.delete(f"/recordings/live/{recording}/pause")
    s.sleep(0.4)
    s.get(f"/recordings/live/{recording}")
    s.post(f"/recordings/live/{recording}/stop")
    s.wait("RecordingFinished", recording=recording)
    _what_is_left(s, recording)
    s.hang_up(ear)
    s.hang_up(call)


def muted_and_unmuted(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    ear = _snoop(s, call, spy="in")
    recording = _recorded(s, ear)
    s.sleep(0.4)
    s.post(f"/recordings/live/{recording}/mute")
    s.sleep(0.7)
    s.get(f"/recordings/live/{recording}")
    s.delete(f"/recordings/live/{recording}/mute")
    s.sleep(0.4)
    s.get(f"/recordings/live/{recording}")
    s.post(f"/recordings/live/{recording}/stop")
    s.wait("RecordingFinished", recording=recording)
    _what_is_left(s, recording)
    s.hang_up(ear)
    s.hang_up(call)


def controls_that_are_repeated(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    ear = _snoop(s, call, spy="in")
    recording = _recorded(s, ear)
    live = f"/recordings/live/{recording}"
    s.delete(f"{live}/pause")
    s.delete(f"{live}/mute")
    s.post(f"{live}/pause")
    s.post(f"{live}/pause")
    s.post(f"{live}/mute")
    s.get(live)
    s.delete(f"{live}/mute")
    s.delete(f"{live}/pause")
    s.delete(f"{live}/pause")
    s.post(f"{live}/mute")
    s.post(f"{live}/mute")
    s.post(f"{live}/pause")
    s.get(live)
    s.delete(f"{live}/pause")
    s.post(f"{live}/stop")
    s.wait("RecordingFinished", recording=recording)
    s.hang_up(ear)
    s.hang_up(call)


def controls_of_none(s: Stage) -> None:
    for path in ("", "/pause", "/mute"):
        s.delete(f"/recordings/live/{s.id('nobody')}{path}")
    for path in ("/stop", "/pause", "/mute"):
        s.post(f"/recordings/live/{s.id('nobody')}{path}")
    s.get(f"/recordings/live/{s.id('nobody')}")
    s.get(f"/recordings/stored/{s.id('nobody')}")


# ---- what has to wait ------------------------------------------------------------------------------------------------


def behind_a_prompt(s: Stage) -> None:
    call = _speaking(s)
    s.post(f"/channels/{call}/play/{s.id('p1')}", media="sound:hello-world")
    s.wait("PlaybackStarted")
    recording = _record(s, call)
    live = f"/recordings/live/{recording}"
    s.get(live)
    s.post(f"{live}/pause")
    s.delete(f"{live}/pause")
    s.post(f"{live}/mute")
    s.delete(f"{live}/mute")
    s.wait("RecordingStarted")
    s.sleep(0.5)
    s.post(f"{live}/stop")
    s.wait("RecordingFinished")
    s.hang_up(call)


def stopped_before_its_turn(s: Stage) -> None:
    call = _speaking(s)
    s.post(f"/channels/{call}/play/{s.id('p1')}", media="sound:beep")
    s.wait("PlaybackStarted")
    recording = _record(s, call)
    s.post(f"/recordings/live/{recording}/stop")
    s.get(f"/recordings/live/{recording}")
    s.sleep(1)
    s.get(f"/recordings/live/{recording}")
    s.post(f"/recordings/live/{recording}/stop")
    s.sleep(0.3)
    s.get(f"/recordings/stored/{recording}")
    s.hang_up(call)


def cancelled_before_its_turn(s: Stage) -> None:
    call = _speaking(s)
    s.post(f"/channels/{call}/play/{s.id('p1')}", media="sound:beep")
    s.wait("PlaybackStarted")
    recording = _record(s, call)
    s.delete(f"/recordings/live/{recording}")
    s.get(f"/recordings/live/{recording}")
    s.sleep(1)
    s.get(f"/recordings/live/{recording}")
    s.delete(f"/recordings/live/{recording}")
    s.sleep(0.3)
    s.get(f"/recordings/stored/{recording}")
    s.hang_up(call)


def hung_up_before_its_turn(s: Stage) -> None:
    call = _speaking(s)
    s.post(f"/channels/{call}/play/{s.id('p1')}", media="sound:hello-world")
    s.wait("PlaybackStarted")
    recording = _record(s, call)
    s.sleep(0.2)
    s.hang_up(call)
    _what_is_left(s, recording)


def hung_up_before_its_turn_and_not_answered(s: Stage) -> None:
    call, far = s.incoming()
    s.post(f"/channels/{call}/play/{s.id('p1')}", media="sound:hello-world")
    s.wait("PlaybackStarted")
    recording = _record(s, call)
    s.sleep(0.2)
    far.hangs_up()
    s.wait("StasisEnd", channel=call)
    _what_is_left(s, recording)


def what_waits_for_it(s: Stage) -> None:
    call = _speaking(s)
    recording = _recorded(s, call)
    s.post(f"/channels/{call}/play/{s.id('p1')}", media="sound:beep")
    variable = s.begin("POST", f"/channels/{call}/variable", {"variable": "X", "value": "1"})
    s.sleep(0.5)
    s.post(f"/recordings/live/{recording}/stop")
    s.reply_to(variable)
    s.wait("PlaybackFinished")
    s.hang_up(call)


def goes_on_in_the_dialplan_meanwhile(s: Stage) -> None:
    call = _speaking(s)
    recording = _recorded(s, call)
    s.post(f"/channels/{call}/continue", context="after", extension="waits")
    s.sleep(0.5)
    s.post(f"/recordings/live/{recording}/stop")
    s.wait("StasisEnd", channel=call)
    s.delete(f"/channels/{call}")


def the_recorded_call_goes_on_in_the_dialplan(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    ear = _snoop(s, call, spy="both")
    recording = _recorded(s, ear)
    s.post(f"/channels/{call}/continue", context="after", extension="waits")
    s.wait("StasisEnd", channel=call)
    s.sleep(0.2)
    s.get(f"/recordings/live/{recording}")
    s.delete(f"/channels/{call}")
    s.wait("StasisEnd", channel=ear)


# ---- bridges ---------------------------------------------------------------------------------------------------------


def in_a_bridge(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    bridge = s.id("b1")
    s.post(f"/bridges/{bridge}", type="mixing")
    s.post(f"/bridges/{bridge}/addChannel", channel=call)
    s.wait("ChannelEnteredBridge")
    recording = _record(s, call)
    s.wait("RecordingFailed")
    _what_is_left(s, recording)
    s.hang_up(call)
    s.delete(f"/bridges/{bridge}")


def to_a_bridge_while_it_is_recorded(s: Stage) -> None:
    call = _speaking(s)
    bridge = s.id("b1")
    s.post(f"/bridges/{bridge}", type="mixing")
    recording = _recorded(s, call)
    s.post(f"/bridges/{bridge}/addChannel", channel=call)
    s.post(f"/recordings/live/{recording}/stop")
    s.wait("RecordingFinished")
    s.post(f"/bridges/{bridge}/addChannel", channel=call)
    s.wait("ChannelEnteredBridge")
    s.hang_up(call)
    s.delete(f"/bridges/{bridge}")


def to_a_bridge_while_a_recording_waits(s: Stage) -> None:
    call = _speaking(s)
    bridge = s.id("b1")
    s.post(f"/bridges/{bridge}", type="mixing")
    s.post(f"/channels/{call}/play/{s.id('p1')}", media="sound:beep")
    s.wait("PlaybackStarted")
    recording = _record(s, call)
    s.post(f"/bridges/{bridge}/addChannel", channel=call)
    s.wait("RecordingStarted")
    s.sleep(0.3)
    s.post(f"/recordings/live/{recording}/stop")
    s.wait("RecordingFinished")
    s.hang_up(call)
    s.delete(f"/bridges/{bridge}")


def what_is_recorded_goes_to_a_bridge(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    ear = _snoop(s, call, spy="both")
    recording = _recorded(s, ear)
    bridge = s.id("b1")
    s.post(f"/bridges/{bridge}", type="mixing")
    s.post(f"/bridges/{bridge}/addChannel", channel=call)
    s.wait("ChannelEnteredBridge")
    s.sleep(0.5)
    s.post(f"/recordings/live/{recording}/stop")
    s.wait("RecordingFinished")
    s.hang_up(ear)
    s.hang_up(call)
    s.delete(f"/bridges/{bridge}")


# ---- names and files -------------------------------------------------------------------------------------------------


def a_name_that_is_in_use(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    ears = [_snoop(s, call, name, spy="in") for name in ("s1", "s2")]
    recording = _recorded(s, ears[0])
    _record(s, ears[1])
    _record(s, ears[1], ifExists="overwrite")
    _record(s, ears[1], format="ulaw", ifExists="append")
    s.get(f"/recordings/stored/{recording}")
    s.post(f"/recordings/live/{recording}/stop")
    s.wait("RecordingFinished")
    for ear in ears:
        s.hang_up(ear)
    s.hang_up(call)


def a_file_that_is_there(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    ear = _snoop(s, call, spy="in")
    recording = _short(s, ear)
    _record(s, ear)
    _record(s, ear, ifExists="fail")
    _record(s, ear, format="ulaw", ifExists="fail")
    _short(s, ear, ifExists="append")
    s.get(f"/recordings/stored/{recording}/file")
    _short(s, ear, ifExists="overwrite")
    s.get(f"/recordings/stored/{recording}/file")
    s.hang_up(ear)
    s.hang_up(call)


def two_formats_of_one_name(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    ear = _snoop(s, call, spy="in")
    recording = _short(s, ear)
    _short(s, ear, format="ulaw", ifExists="overwrite")
    s.delete(f"/recordings/stored/{recording}")
    s.delete(f"/recordings/stored/{recording}")
    s.get(f"/recordings/stored/{recording}")
    s.hang_up(ear)
    s.hang_up(call)


def copied_and_listed(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    ear = _snoop(s, call, spy="in")
    recording = _short(s, ear)
    copy = s.id("r2")
    s.post(f"/recordings/stored/{recording}/copy", destinationRecordingName=copy)
    s.post(f"/recordings/stored/{recording}/copy", destinationRecordingName=copy)
    s.post(f"/recordings/stored/{s.id('nobody')}/copy", destinationRecordingName=s.id("r3"))
    s.post(f"/recordings/stored/{recording}/copy")
    s.get("/recordings/stored")
    s.get(f"/recordings/stored/{copy}/file")
    s.delete(f"/recordings/stored/{recording}")
    s.delete(f"/recordings/stored/{copy}")
    s.get("/recordings/stored")
    s.hang_up(ear)
    s.hang_up(call)


def in_a_folder(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    ear = _snoop(s, call, spy="in")
    recording = _short(s, ear, "folder/r1")
    s.get(f"/recordings/stored/{recording.replace('/', '%2F')}")
    s.delete(f"/recordings/stored/{recording.replace('/', '%2F')}")
    s.hang_up(ear)
    s.hang_up(call)


def what_is_refused(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    record, name = f"/channels/{call}/record", s.id("r1")
    s.post(record)
    s.post(record, name=name)
    s.post(record, format="wav")
    s.post(record, name=name, format="")
    s.post(record, name="", format="wav")
    s.post(record, name=name, format="nonsense")
    s.post(record, name=f"../{name}", format="wav")
    s.post(record, name=f"../../{name}", format="wav")
    s.post(record, name=f"folder/../../{name}", format="wav")
    s.post(record, name=f"../etc/{name}", format="wav")
    s.post(record, name=name, format="wav", maxDurationSeconds="-1")
    s.post(record, name=name, format="wav", maxSilenceSeconds="-1")
    s.post(record, name=name, format="wav", terminateOn="12")
    s.post(record, name=name, format="wav", terminateOn="z")
    s.post(record, name=name, format="wav", ifExists="perhaps")
    s.post(record, name=f"../{name}", format="nonsense", terminateOn="z", ifExists="perhaps", maxSilenceSeconds="-1")
    s.post(f"/channels/{s.id('nobody')}/record", name=name, format="wav")
    s.post(f"/channels/{s.id('nobody')}/record", name=name, format="wav", maxSilenceSeconds="-1")
    s.post(f"/channels/{call}/continue", context="after", extension="waits")
    s.wait("StasisEnd", channel=call)
    s.post(record, name=name, format="wav")
    s.delete(f"/channels/{call}")
