"""A call whose link is lost, or in doubt: what is asked when it is there again, what is late, and what is said of it.

No clock: the test says what time it is.
"""

from __future__ import annotations

import pytest

from voxtra_core.call import EndedBy, PlaybackEnd
from voxtra_core.call.commands import AskPlayback, Continue, GetVariable, Hangup, Play, SetVariable, StopPlayback
from voxtra_core.call.hanging_up import HANGUP_TIMEOUT
from voxtra_core.call.outage import MAX_REPEATS
from voxtra_core.call.player import LATE
from voxtra_core.call.requests import REPLY_TIMEOUT
from voxtra_core.errors import CallEnded, ReplyTimeout, RequestNotSent, RequestOutcomeUnknown

from .bench import Bench, channel, error_of, inbound, outbound, playback_finished, talking_started

LOST = RequestOutcomeUnknown("lost with the link")


def is_back(bench: Bench, *, there: bool = True) -> None:
    """There is a link again, and Asterisk has told."""
    bench.call.link_restored(channel(state="Up") if there else None, bench.now)
    bench.collect()


# ---- playbacks -------------------------------------------------------------------------------------------------------


def test_a_playback_is_asked_after_as_soon_as_there_is_a_link() -> None:
    """Its end was announced to nobody: whoever waits for it need not wait until it is asked after anyhow."""
    bench = inbound()
    playback = bench.call.play("sound:hello", bench.now)
    bench.reply(bench.last(Play))
    bench.call.link_lost(bench.now)
    bench.wait(0.5)
    assert bench.all(AskPlayback) == []
    is_back(bench)
    [question] = bench.all(AskPlayback)
    assert question.playback_id == playback.id
    bench.refuse(question, 404)
    bench.wait(LATE)
    assert playback.finished.result() is PlaybackEnd.UNKNOWN


def test_one_that_still_plays_goes_on() -> None:
    bench = inbound()
    playback = bench.call.play("sound:hello", bench.now)
    bench.reply(bench.last(Play))
    bench.call.link_lost(bench.now)
    is_back(bench)
    bench.reply(bench.last(AskPlayback))
    bench.wait(1.0)
    assert not playback.finished.done
    bench.event(playback_finished(playback.id))
    assert playback.finished.result() is PlaybackEnd.DONE


def test_a_playback_whose_reply_is_lost_is_asked_after_and_not_played_again() -> None:
    bench = inbound()
    playback = bench.call.play("sound:hello", bench.now)
    [played] = bench.all(Play)
    bench.call.link_lost(bench.now)
    bench.refuse(played, LOST)
    [question] = bench.all(AskPlayback)
    assert question.playback_id == playback.id
    assert not playback.accepted.done
    is_back(bench)
    bench.reply(question)
    assert playback.accepted.result() is None
    bench.event(playback_finished(playback.id))
    assert playback.finished.result() is PlaybackEnd.DONE
    assert bench.all(Play) == [played]
    assert bench.all(StopPlayback) == []


def test_a_playback_that_asterisk_has_never_heard_of() -> None:
    """It was refused, or has been played, or the request was lost: nobody can know."""
    bench = inbound()
    playback = bench.call.play("sound:hello", bench.now)
    bench.call.link_lost(bench.now)
    bench.refuse(bench.last(Play), LOST)
    is_back(bench)
    bench.refuse(bench.last(AskPlayback), 404)
    assert not playback.accepted.done
    bench.wait(LATE)
    assert error_of(playback.accepted) is LOST
    assert error_of(playback.finished) is LOST


# ---- time ------------------------------------------------------------------------------------------------------------


def test_no_reply_is_late_without_a_link_and_the_time_for_it_begins_anew() -> None:
    bench = inbound()
    pending = bench.call.get_variable("NAME", bench.now)
    bench.wait(REPLY_TIMEOUT - 1.0)
    bench.call.link_lost(bench.now)
    assert bench.call.next_deadline() is None
    bench.wait(100.0)
    assert not pending.done
    is_back(bench)
    assert bench.call.next_deadline() == bench.now + REPLY_TIMEOUT
    bench.wait(REPLY_TIMEOUT - 0.1)
    assert not pending.done
    bench.wait(0.1)
    assert isinstance(error_of(pending), ReplyTimeout)


def test_a_hangup_has_its_time_from_when_it_is_sent() -> None:
    bench = inbound()
    bench.call.link_lost(bench.now)
    pending = bench.call.hangup(bench.now)
    bench.wait(HANGUP_TIMEOUT + 1.0)
    assert not pending.done
    assert bench.all(Hangup) == []
    is_back(bench)
    assert len(bench.all(Hangup)) == 1
    bench.wait(HANGUP_TIMEOUT - 0.1)
    assert not pending.done
    bench.wait(0.1)
    assert pending.failed


@pytest.mark.parametrize("answered", [False, True])
def test_of_the_time_to_ring_what_was_left_is_left(answered: bool) -> None:
    """Of a request that was sent; one that has yet to be has all of it."""
    bench, pending, originate = outbound(timeout=20.0)
    if answered:
        bench.reply(originate)
    bench.wait(5.0)
    bench.call.link_lost(bench.now)
    bench.wait(100.0)
    assert not pending.done
    bench.call.link_restored(channel(state="Ring") if answered else None, bench.now, in_stasis=False)
    if not answered:
        bench.reply(originate)
    bench.wait(20.0 + REPLY_TIMEOUT - (5.0 if answered else 0.0) - 0.1)
    assert bench.all(Hangup) == []
    bench.wait(0.1)
    assert [command.reason for command in bench.all(Hangup)] == ["no_answer"]


# ---- a link in doubt -------------------------------------------------------------------------------------------------


def test_nothing_is_overdue_before_the_link_has_proved_to_be_alive() -> None:
    bench = inbound()
    bench.is_link_alive = False
    pending = bench.call.get_variable("NAME", bench.now)
    bench.wait(REPLY_TIMEOUT + 50.0)
    assert not pending.done
    bench.call.link_is_alive(bench.now)
    bench.collect()
    assert isinstance(error_of(pending), ReplyTimeout)


def test_a_reply_that_comes_while_the_link_is_in_doubt() -> None:
    bench = inbound()
    bench.is_link_alive = False
    pending = bench.call.set_variable("NAME", "value", bench.now)
    bench.wait(REPLY_TIMEOUT)
    bench.reply(bench.last(SetVariable))
    assert pending.result() is None
    bench.call.link_is_alive(bench.now)
    assert bench.collect() == []


def test_a_link_that_was_in_doubt_and_is_lost() -> None:
    """It was for the link: the request is sent again on the next one, and has all its time."""
    bench = inbound()
    bench.is_link_alive = False
    pending = bench.call.get_variable("NAME", bench.now)
    bench.wait(REPLY_TIMEOUT + 5.0)
    bench.call.link_lost(bench.now)
    bench.refuse(bench.last(GetVariable), LOST)
    bench.call.link_is_alive(bench.now)  # what an old link has to say
    is_back(bench)
    assert len(bench.all(GetVariable)) == 2
    bench.is_link_alive = True
    bench.wait(REPLY_TIMEOUT - 0.1)
    assert not pending.done


# ---- what is said ----------------------------------------------------------------------------------------------------


def test_what_was_never_sent_is_said_to_be_so() -> None:
    bench = inbound()
    bench.has_left = lambda request_id: False
    pending = bench.call.get_variable("NAME", bench.now)
    playback = bench.call.play("sound:hello", bench.now)
    bench.wait(REPLY_TIMEOUT)
    assert type(error_of(pending)) is RequestNotSent
    assert type(error_of(playback.finished)) is RequestNotSent
    assert bench.all(StopPlayback) == []


def test_what_was_sent_before_the_outage_is_not_said_to_be_unsent_after_it() -> None:
    late, refused = inbound(), inbound()
    for bench in (late, refused):
        pending = bench.call.get_variable("NAME", bench.now)
        bench.call.link_lost(bench.now)
        bench.refuse(bench.last(GetVariable), LOST)
        is_back(bench)
        if bench is late:
            bench.has_left = lambda request_id: False
            bench.wait(REPLY_TIMEOUT)
            assert type(error_of(pending)) is ReplyTimeout
        else:
            bench.refuse(bench.last(GetVariable), RequestNotSent("the link is gone for good"))
            bench.wait(1.0)
            assert type(error_of(pending)) is RequestOutcomeUnknown


def test_what_is_lost_each_time_is_given_up() -> None:
    bench = inbound()
    pending = bench.call.get_variable("NAME", bench.now)
    for _ in range(MAX_REPEATS + 1):
        bench.call.link_lost(bench.now)
        bench.refuse(bench.last(GetVariable), LOST)
        is_back(bench)
    bench.wait(1.0)
    assert error_of(pending) is LOST


@pytest.mark.parametrize("when", ["before", "lost", "accepted", "during"])
def test_a_continue_counts_only_where_it_has_left(when: str) -> None:
    bench = inbound()
    pending = None
    if when != "during":
        pending = bench.call.continue_in_dialplan(bench.now)
        bench.collect()
    if when == "accepted":
        bench.reply(bench.last(Continue))
    bench.call.link_lost(bench.now)
    if when == "lost":
        bench.refuse(bench.last(Continue), LOST)
    if pending is None:
        pending = bench.call.continue_in_dialplan(bench.now)
        bench.collect()
    is_back(bench, there=False)
    end = bench.call.end
    assert end is not None
    if when in {"lost", "accepted"}:
        assert end.by is EndedBy.DIALPLAN
        assert pending.result() is None
    else:  # "before": the link still had it, and says that it was not sent by saying nothing
        assert end.by is EndedBy.OUTAGE
        assert isinstance(error_of(pending), CallEnded)


@pytest.mark.parametrize("when", ["done", "lost", "late", "before", "during"])
def test_a_hangup_counts_only_where_it_has_left(when: str) -> None:
    bench = inbound()
    if when == "during":
        bench.call.link_lost(bench.now)
    pending = bench.call.hangup(bench.now, "busy")
    if when == "done":
        bench.reply(bench.last(Hangup))
    if when == "late":
        bench.wait(REPLY_TIMEOUT)
    bench.call.link_lost(bench.now)
    if when == "lost":
        bench.refuse(bench.last(Hangup), LOST)
    is_back(bench, there=False)
    assert pending.result() is None
    end = bench.call.end
    assert end is not None
    expected = (17, EndedBy.LOCAL) if when in {"done", "lost", "late"} else (0, EndedBy.OUTAGE)
    assert (end.cause, end.by) == expected


def test_whether_somebody_talks_is_not_known_without_a_link() -> None:
    bench = inbound()
    bench.event(talking_started())
    bench.call.link_lost(bench.now)
    assert not bench.call.talking
    bench.event(talking_started())  # what has been said since is newer than the answer to our question
    is_back(bench)
    assert bench.call.talking
