"""What is done on a channel: prompts, music, hold, digits, talk detection."""

from tests.fidelity.stage import Stage


def _play(s: Stage, call: str, name: str, *media: str, **query: str) -> str:
    playback = s.id(name)
    s.post(f"/channels/{call}/play/{playback}", media=",".join(media), **query)
    return playback


def one_prompt(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    playback = _play(s, call, "p1", "sound:beep")
    s.wait("PlaybackStarted", playback=playback)
    s.get(f"/playbacks/{playback}")
    s.wait("PlaybackFinished", playback=playback)
    s.sleep(0.05)
    s.get(f"/playbacks/{playback}")
    s.hang_up(call)


def asterisk_chooses_the_id(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.post(f"/channels/{call}/play", media="sound:beep", lang="fr")
    s.wait("PlaybackFinished")
    s.hang_up(call)


def a_list(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    playback = _play(s, call, "p1", "sound:beep", "sound:beeperr", "sound:hello")
    s.wait("PlaybackFinished", playback=playback)
    s.hang_up(call)


def a_prompt_that_is_missing(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    playback = _play(s, call, "p1", "sound:nobody-recorded-this")
    s.wait("PlaybackFinished", playback=playback)
    s.hang_up(call)


def a_list_with_one_that_is_missing(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    playback = _play(s, call, "p1", "sound:beep", "sound:nobody-recorded-this", "sound:beep")
    s.wait("PlaybackFinished", playback=playback)
    s.hang_up(call)


def stopped(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    playback = _play(s, call, "p1", "sound:demo-congrats")
    s.wait("PlaybackStarted", playback=playback)
    s.sleep(0.3)
    s.delete(f"/playbacks/{playback}")
    s.wait("PlaybackFinished", playback=playback)
    s.sleep(0.05)
    s.delete(f"/playbacks/{playback}")
    s.hang_up(call)


def a_list_is_stopped(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    playback = _play(s, call, "p1", "sound:demo-congrats", "sound:beep")
    s.wait("PlaybackStarted", playback=playback)
    s.sleep(0.2)
    s.delete(f"/playbacks/{playback}")
    s.wait("PlaybackFinished", playback=playback)
    s.hang_up(call)


def paused_and_resumed(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    playback = _play(s, call, "p1", "sound:hello-world")
    s.wait("PlaybackStarted", playback=playback)
    s.sleep(0.3)
    s.post(f"/playbacks/{playback}/control", operation="pause")
    s.sleep(0.5)
    s.get(f"/playbacks/{playback}")
    s.post(f"/playbacks/{playback}/control", operation="pause")
    s.post(f"/playbacks/{playback}/control", operation="unpause")
    s.wait("PlaybackFinished", playback=playback)
    s.hang_up(call)


def wound_forward(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    playback = _play(s, call, "p1", "sound:please-try-call-later", skipms="1000")
    s.wait("PlaybackStarted", playback=playback)
    s.sleep(0.2)
    s.post(f"/playbacks/{playback}/control", operation="forward")
    s.wait("PlaybackFinished", playback=playback)
    s.hang_up(call)


def wound_back(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    playback = _play(s, call, "p1", "sound:hello-world", skipms="500")
    s.wait("PlaybackStarted", playback=playback)
    s.sleep(0.8)
    s.post(f"/playbacks/{playback}/control", operation="reverse")
    s.wait("PlaybackFinished", playback=playback)
    s.hang_up(call)


def wound_beyond_both_ends(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    playback = _play(s, call, "p1", "sound:hello-world", skipms="5000")
    s.wait("PlaybackStarted", playback=playback)
    s.sleep(0.4)
    s.post(f"/playbacks/{playback}/control", operation="reverse")
    s.sleep(0.4)
    s.post(f"/playbacks/{playback}/control", operation="forward")
    s.wait("PlaybackFinished", playback=playback)
    s.hang_up(call)


def restarted(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    playback = _play(s, call, "p1", "sound:hello-world")
    s.wait("PlaybackStarted", playback=playback)
    s.sleep(0.8)
    s.post(f"/playbacks/{playback}/control", operation="restart")
    s.wait("PlaybackFinished", playback=playback)
    s.hang_up(call)


def controls_that_are_refused(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    first = _play(s, call, "p1", "sound:hello-world")
    second = _play(s, call, "p2", "sound:beep")
    s.wait("PlaybackStarted", playback=first)
    s.post(f"/playbacks/{first}/control", operation="dance")
    s.post(f"/playbacks/{first}/control")
    s.post(f"/playbacks/{first}/control", operation="unpause")
    s.post(f"/playbacks/{second}/control", operation="pause")
    s.post(f"/playbacks/{s.id('nobody')}/control", operation="pause")
    s.wait("PlaybackFinished", playback=second)
    s.hang_up(call)


def two_queued(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    _play(s, call, "p1", "sound:beep")
    second = _play(s, call, "p2", "sound:beeperr")
    s.get(f"/playbacks/{second}")
    s.wait("PlaybackFinished", playback=second)
    s.hang_up(call)


def the_queued_one_is_stopped(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    _play(s, call, "p1", "sound:beep")
    second = _play(s, call, "p2", "sound:beeperr")
    s.delete(f"/playbacks/{second}")
    s.wait("PlaybackFinished", playback=second)
    s.hang_up(call)


def hung_up_meanwhile(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    playback = _play(s, call, "p1", "sound:demo-congrats")
    _play(s, call, "p2", "sound:beep")
    s.wait("PlaybackStarted", playback=playback)
    s.sleep(0.2)
    s.hang_up(call)


def the_caller_hangs_up_meanwhile(s: Stage) -> None:
    call, far = s.incoming(answered=True)
    playback = _play(s, call, "p1", "sound:demo-congrats", "sound:beep")
    s.wait("PlaybackStarted", playback=playback)
    s.sleep(0.2)
    far.hangs_up()
    s.wait("StasisEnd", channel=call)


def goes_on_in_the_dialplan_meanwhile(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    playback = _play(s, call, "p1", "sound:beep")
    s.wait("PlaybackStarted", playback=playback)
    s.post(f"/channels/{call}/continue", context="after", extension="waits")
    s.wait("StasisEnd", channel=call)
    s.delete(f"/channels/{call}")


def before_the_answer(s: Stage) -> None:
    call, _ = s.incoming()
    playback = _play(s, call, "p1", "sound:beep")
    s.wait("PlaybackFinished", playback=playback)
    s.hang_up(call)


def numbers_and_digits(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    playback = _play(s, call, "p1", "digits:1")
    s.wait("PlaybackStarted", playback=playback)
    s.delete(f"/playbacks/{playback}")
    s.wait("PlaybackFinished", playback=playback)
    s.hang_up(call)


def a_tone_is_stopped(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    playback = _play(s, call, "p1", "tone:dial")
    s.wait("PlaybackStarted", playback=playback)
    s.sleep(0.3)
    s.delete(f"/playbacks/{playback}")
    s.wait("PlaybackFinished", playback=playback)
    s.hang_up(call)


def nothing_and_nonsense(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.post(f"/channels/{call}/play")
    s.post(f"/channels/{call}/play", media="")
    s.post(f"/channels/{call}/play/{s.id('p1')}", media="nonsense:x")
    s.sleep(0.2)
    s.get(f"/playbacks/{s.id('p1')}")
    s.hang_up(call)


def from_the_middle(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    playback = _play(s, call, "p1", "sound:hello-world", offsetms="1000")
    s.wait("PlaybackFinished", playback=playback)
    s.hang_up(call)


def held_and_music(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.post(f"/channels/{call}/hold")
    s.post(f"/channels/{call}/moh", mohClass="default")
    s.sleep(0.3)
    s.delete(f"/channels/{call}/moh")
    s.delete(f"/channels/{call}/hold")
    s.post(f"/channels/{call}/silence")
    s.delete(f"/channels/{call}/silence")
    s.hang_up(call)


def muted(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.post(f"/channels/{call}/mute", direction="in")
    s.delete(f"/channels/{call}/mute", direction="in")
    s.post(f"/channels/{call}/mute")
    s.post(f"/channels/{call}/mute", direction="sideways")
    s.hang_up(call)


def prompt_during_music(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.post(f"/channels/{call}/moh")
    s.sleep(0.2)
    playback = _play(s, call, "p1", "sound:beep")
    s.wait("PlaybackFinished", playback=playback)
    s.hang_up(call)


def digits_come_in(s: Stage) -> None:
    call, far = s.incoming()
    s.post(f"/channels/{call}/answer")
    far.presses("12*#")
    s.wait("ChannelDtmfReceived", digit="#")
    s.hang_up(call)


def digits_during_a_prompt(s: Stage) -> None:
    call, far = s.incoming()
    s.post(f"/channels/{call}/answer")
    playback = _play(s, call, "p1", "sound:hello-world")
    far.presses("5")
    s.wait("ChannelDtmfReceived", digit="5")
    s.wait("PlaybackFinished", playback=playback)
    s.hang_up(call)


def digits_from_who_is_called(s: Stage) -> None:
    call = s.placed("dtmf")
    s.wait("ChannelDtmfReceived", channel=call, digit="#")
    s.hang_up(call, "ChannelDestroyed")


def digits_go_out(s: Stage) -> None:
    call = s.placed()
    s.post(f"/channels/{call}/dtmf", dtmf="12")
    s.wait("ChannelDtmfReceived", digit="2")
    s.post(f"/channels/{call}/dtmf", dtmf="3", before="200", between="150", duration="200", after="100")
    s.wait("ChannelDtmfReceived", digit="3")
    s.hang_up(call, "ChannelDestroyed")


def digits_that_are_none(s: Stage) -> None:
    call = s.placed()
    s.post(f"/channels/{call}/dtmf")
    s.post(f"/channels/{call}/dtmf", dtmf="xyz")
    s.hang_up(call, "ChannelDestroyed")


def answered_while_digits_go_out(s: Stage) -> None:
    """Requests that wait for their turn on the channel."""
    call, _ = s.incoming(answered=True)
    s.post(f"/channels/{call}/dtmf", dtmf="12")
    s.post(f"/channels/{call}/variable", variable="X", value="1")
    s.hang_up(call)


def hung_up_while_digits_go_out(s: Stage) -> None:
    call = s.placed()
    s.post(f"/channels/{call}/dtmf", dtmf="1234567890")
    s.wait("ChannelDtmfReceived", digit="1")
    s.hang_up(call, "ChannelDestroyed")


def talk_detection(s: Stage) -> None:
    call, far = s.incoming()
    s.post(f"/channels/{call}/answer")
    s.post(f"/channels/{call}/variable", variable="TALK_DETECT(set)", value="500,256")
    far.talks()
    s.wait("ChannelTalkingStarted", channel=call)
    s.wait("ChannelTalkingFinished", channel=call)
    s.post(f"/channels/{call}/variable", variable="TALK_DETECT(remove)", value="")
    s.hang_up(call)


def what_waits_for_a_prompt(s: Stage) -> None:
    """A variable is set, and a call answered, when the prompt has ended; ringing and music are not waited for."""
    call, _ = s.incoming()
    _play(s, call, "p1", "sound:beep")
    s.wait("PlaybackStarted")
    s.post(f"/channels/{call}/ring")
    variable = s.begin("POST", f"/channels/{call}/variable", {"variable": "X", "value": "1"})
    s.sleep(0.05)
    answer = s.begin("POST", f"/channels/{call}/answer")
    s.reply_to(variable)
    s.reply_to(answer)
    s.hang_up(call)


def two_of_the_same_id(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    _play(s, call, "p1", "sound:beep")
    s.wait("PlaybackStarted")
    _play(s, call, "p1", "sound:beeperr")
    s.wait("PlaybackFinished")
    s.wait("PlaybackFinished")
    s.hang_up(call)


def stopped_while_it_is_paused(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    playback = _play(s, call, "p1", "sound:hello-world")
    s.wait("PlaybackStarted")
    s.sleep(0.2)
    s.post(f"/playbacks/{playback}/control", operation="pause")
    s.sleep(0.3)
    s.delete(f"/playbacks/{playback}")
    s.wait("PlaybackFinished", playback=playback)
    s.hang_up(call)


def hung_up_while_it_is_paused(s: Stage) -> None:
    call, far = s.incoming(answered=True)
    playback = _play(s, call, "p1", "sound:hello-world")
    s.wait("PlaybackStarted")
    s.sleep(0.2)
    s.post(f"/playbacks/{playback}/control", operation="pause")
    s.sleep(0.2)
    far.hangs_up()
    s.wait("StasisEnd", channel=call)


def to_who_is_called(s: Stage) -> None:
    call = s.placed()
    _play(s, call, "p1", "sound:beep")
    s.wait("PlaybackFinished")
    s.hang_up(call, "ChannelDestroyed")


def digits_with_pauses(s: Stage) -> None:
    call = s.placed()
    s.post(f"/channels/{call}/dtmf", dtmf="1w2W3")
    s.wait("ChannelDtmfReceived", digit="3")
    s.hang_up(call, "ChannelDestroyed")


def digits_after_a_prompt(s: Stage) -> None:
    call = s.placed()
    _play(s, call, "p1", "sound:beep")
    s.post(f"/channels/{call}/dtmf", dtmf="1")
    s.wait("ChannelDtmfReceived", digit="1")
    s.hang_up(call, "ChannelDestroyed")


def talk_detection_that_is_wrong(s: Stage) -> None:
    call, far = s.incoming(answered=True)
    s.post(f"/channels/{call}/variable", variable="TALK_DETECT(set)", value="nonsense")
    far.talks()
    s.sleep(0.5)
    s.hang_up(call)


def from_before_the_beginning(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.post(f"/channels/{call}/play", media="sound:beep", offsetms="-1")
    s.post(f"/channels/{call}/play", media="sound:beep", skipms="-1")
    s.hang_up(call)
