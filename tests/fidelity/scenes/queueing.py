"""Calls that are handed to a queue of the dialplan's, and are followed there. Each scenario has a queue of its own."""

from tests.fidelity.stage import Far, Stage


def _queued(s: Stage, queue: str, *, answered: bool = True, **more: str) -> tuple[str, Far]:
    """A call that has left for the queue; its events are still told."""
    s.early_in_a_second()
    call, far = s.incoming(answered=answered)
    s.post(f"/applications/{s.app}/subscription", eventSource=f"channel:{call}")
    for name, value in {"queue": queue, "queue_app": s.app, "queue_called": "100", **more}.items():
        s.post(f"/channels/{call}/variable", variable=f"VOXTRA_{name.upper()}", value=value)
    s.post(f"/channels/{call}/continue", context="queueing", extension="s")
    s.wait("StasisEnd", channel=call)
    return call, far


def what_there_is(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    for function in (
        "DIALPLAN_EXISTS(queueing,s,1)",
        "DIALPLAN_EXISTS(queueing,t,1)",
        "DIALPLAN_EXISTS(nowhere,s,1)",
        "QUEUE_EXISTS(rings)",
        "QUEUE_EXISTS(nothing)",
    ):
        s.get(f"/channels/{call}/variable", variable=function)
    s.hang_up(call)


def answered_and_the_caller_hangs_up(s: Stage) -> None:
    call, far = _queued(s, "answers")
    s.sleep(3.3)
    far.hangs_up()
    s.wait("ChannelDestroyed", channel=call)


def answered_for_a_call_that_was_not(s: Stage) -> None:
    call, far = _queued(s, "answers2", answered=False)
    s.sleep(3.3)
    far.hangs_up()
    s.wait("ChannelDestroyed", channel=call)


def answered_and_the_member_hangs_up(s: Stage) -> None:
    call, _ = _queued(s, "leaves")
    s.wait("ChannelDestroyed", channel=call)


def answered_and_the_member_hangs_up_and_it_comes_back(s: Stage) -> None:
    call, _ = _queued(s, "leaves2", queue_back="1", queue_options="c")
    s.wait("StasisStart", channel=call)
    s.hang_up(call, "ChannelDestroyed")


def the_caller_gives_up(s: Stage) -> None:
    call, far = _queued(s, "rings")
    s.sleep(1.3)
    far.hangs_up()
    s.wait("ChannelDestroyed", channel=call)


def nobody_answers_in_time(s: Stage) -> None:
    call, _ = _queued(s, "rings2", queue_timeout="2")
    s.wait("ChannelDestroyed", channel=call)


def nobody_answers_in_time_and_it_comes_back(s: Stage) -> None:
    call, _ = _queued(s, "rings3", queue_timeout="2", queue_back="1")
    s.wait("StasisStart", channel=call)
    s.hang_up(call, "ChannelDestroyed")


def nobody_is_there(s: Stage) -> None:
    call, _ = _queued(s, "empty", queue_back="1")
    s.wait("StasisStart", channel=call)
    s.hang_up(call, "ChannelDestroyed")


def there_is_no_such_queue(s: Stage) -> None:
    call, _ = _queued(s, "nothing", queue_back="1")
    s.wait("StasisStart", channel=call)
    s.hang_up(call, "ChannelDestroyed")
