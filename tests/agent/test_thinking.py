"""What is answered: the history, the tools, and what of an answer is kept."""

from __future__ import annotations

import attrs
import pytest

from voxtra_core.agent.commands import AskModel, Cancel, RunTool, Synthesise
from voxtra_core.agent.events import AgentResponseEvent, Said
from voxtra_core.agent.options import Conversation
from voxtra_core.agent.providers import Message, ModelItem, ToolCall
from voxtra_core.agent.speaker import Say, SayState
from voxtra_core.agent.thinking import cut_to, is_made_of
from voxtra_core.call import CallEnd, EndedBy
from voxtra_core.errors import AgentNotConfigured, CallEnded, LocalProtocolError, ProviderFailed

from .world import World

CALL = ToolCall("id1", "lookup", {"what": "it"})


def roles(world: World) -> list[tuple[str, str | None]]:
    return [(message["role"], message["content"]) for message in world.history]


def test_an_answer() -> None:
    world = World(Conversation(instructions="Be kind."))
    response = world.machine.respond("Hello?", world.now)
    world.step()
    (ask,) = world.asks(AskModel)
    assert ask.messages == [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello?"}]
    world.answer("Hel", "", "lo.")
    assert response.finished.result() == AgentResponseEvent("Hello.")
    assert roles(world) == [("user", "Hello?"), ("assistant", "Hello.")]
    assert world.machine.next_deadline() is None


def test_one_answer_is_made_at_a_time() -> None:
    world = World()
    world.machine.respond("Hello?", world.now)
    with pytest.raises(LocalProtocolError, match="one owner"):
        world.machine.respond("Hello?", world.now)
    assert roles(world) == [("user", "Hello?")]


def test_without_a_model() -> None:
    with pytest.raises(AgentNotConfigured):
        World(llm=False).machine.respond("Hello?", 0.0)


def test_a_model_that_says_nothing_in_time() -> None:
    """Empty pieces are nothing."""
    world = World()
    response = world.machine.respond("Hello?", world.now)
    world.step()
    for _ in range(4):
        world.silence(9)
        if world.open:
            world.answer("", end=False)
    with pytest.raises(ProviderFailed, match="30 s"):
        response.finished.result()
    assert response.times.first_token is None
    assert roles(world) == [("user", "Hello?")]
    assert world.open == {}


def test_of_an_answer_that_failed_nothing_is_kept() -> None:
    world = World()
    response = world.machine.respond("Hello?", world.now)
    world.step()
    world.answer("I was", CALL, error=OSError("reset"))
    with pytest.raises(ProviderFailed, match="OSError: reset"):
        response.finished.result()
    assert roles(world) == [("user", "Hello?")]


def test_of_an_answer_that_failed_while_it_was_said_is_kept_what_was_heard() -> None:
    world = World(auto_voice=True)
    say = world.machine.say_response(world.now, world.machine.respond("Hello?", world.now))
    world.step()
    world.answer("I was. There", CALL, error=OSError("reset"))
    world.silence(2)
    with pytest.raises(ProviderFailed, match="OSError: reset"):
        say.finished.result()
    assert roles(world) == [("user", "Hello?"), ("assistant", "I was. There")]
    assert "tool_calls" not in world.history[-1]


@pytest.mark.parametrize("end", ["abandoned", "failed"])
def test_what_there_is_of_an_answer_that_came_to_no_end_may_be_said(end: str) -> None:
    """Then the history has what was heard of it, too."""
    world = World(auto_voice=True)
    response = world.machine.respond("Hello?", world.now)
    world.step()
    world.answer("One is said. Two is said.", end=False)
    if end == "failed":
        world.answer(error=OSError("reset"))
    else:
        response.finished.abandon(world.now)
    assert roles(world) == [("user", "Hello?")]
    say = world.machine.say_response(world.now, response)
    world.step()
    world.silence(1.3)
    say.finished.abandon(world.now)
    world.step()
    assert roles(world) == [("user", "Hello?"), ("assistant", "One is said.")]


def test_tools_are_run_and_the_model_goes_on() -> None:
    world = World()
    response = world.machine.respond("What is it?", world.now)
    world.step()
    world.answer(CALL, ToolCall.of_text("id2", "lookup", "{"))
    assert [command.call for command in world.asks(RunTool)] == [CALL]
    world.result("5")
    messages = world.asks(AskModel)[-1].messages
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool"]
    assert messages[2]["content"] == "5"
    assert messages[3]["content"].startswith("error: the arguments are not JSON")
    world.answer("It is 5.")
    assert response.finished.result() == AgentResponseEvent("It is 5.")


def test_what_is_said_before_the_tools_run_is_spoken_while_they_do() -> None:
    world = World(auto_voice=True)
    response = world.machine.respond("What is it?", world.now)
    say = world.machine.say_response(world.now, response)
    world.step()
    world.answer("Let me see.", CALL)
    assert [command.text for command in world.asks(Synthesise)] == ["Let me see."]
    world.silence(2)
    world.result("5")
    world.answer("It is 5.")
    world.silence(2)
    assert world.said(say).text == "Let me see. It is 5."
    assert response.finished.result().text.split() == ["Let", "me", "see.", "It", "is", "5."]
    assert [m["content"] for m in world.history if m["role"] == "assistant"] == ["Let me see.", "It is 5."]


def test_a_tool_that_takes_too_long() -> None:
    world = World(Conversation(tool_timeout=5))
    world.machine.respond("What is it?", world.now)
    world.step()
    world.answer(CALL)
    world.silence(5.1)
    assert world.history[-1]["content"] == "error: no result within 5 s"
    assert len(world.asks(AskModel)) == 2
    assert len(world.asks(Cancel)) == 1


def test_tools_without_end() -> None:
    world = World(Conversation(max_rounds=2))
    response = world.machine.respond("What is it?", world.now)
    world.step()
    for number in range(2):
        world.answer(ToolCall(f"id{number}", "lookup"))
        world.result("5")
    world.answer(ToolCall("id9", "lookup"))
    with pytest.raises(ProviderFailed, match="more than 2 rounds"):
        response.finished.result()
    assert world.history[-1] == {
        "role": "tool",
        "tool_call_id": "id9",
        "content": "not run: too many tools in one turn",
    }


def test_tools_that_are_yours_to_run() -> None:
    world = World(Conversation(run_tools=False))
    response = world.machine.respond("What is it?", world.now)
    world.step()
    world.answer(CALL)
    assert response.finished.result() == AgentResponseEvent("", (CALL,))
    world.machine.thinker.add_tool_result("id1", "5")
    world.machine.respond("", world.now)
    world.step()
    assert [message["role"] for message in world.asks(AskModel)[-1].messages] == ["user", "assistant", "tool"]
    with pytest.raises(ValueError, match="no message"):
        world.machine.thinker.add_tool_result("id2", "5")


def test_a_tool_of_an_answer_that_nobody_wants_runs_on() -> None:
    """What it comes to stands behind the call, whatever was said since; and it has its time as any other."""
    world = World(Conversation(tool_timeout=5))
    response = world.machine.respond("What is it?", world.now)
    world.step()
    world.answer(CALL)
    response.finished.abandon(world.now)
    world.step()
    world.machine.respond("Never mind.", world.now)
    world.step()
    assert [m["content"] for m in world.asks(AskModel)[-1].messages if m["role"] == "tool"] == ["(no result)"]
    world.result("5")
    assert [message["role"] for message in world.history] == ["user", "assistant", "tool", "user"]


def test_a_tool_of_an_answer_that_nobody_wants_does_not_run_for_ever() -> None:
    world = World(Conversation(tool_timeout=5))
    response = world.machine.respond("What is it?", world.now)
    world.step()
    world.answer(CALL)
    response.finished.abandon(world.now)
    world.step()
    world.silence(5.1)
    assert world.open == {}
    assert world.history[-1]["content"] == "error: no result within 5 s"


def test_an_answer_that_nobody_wants_is_cancelled_and_nothing_of_it_is_kept() -> None:
    world = World()
    response = world.machine.respond("Hello?", world.now)
    world.step()
    world.answer("I was", end=False)
    response.finished.abandon(world.now)
    world.step()
    assert len(world.asks(Cancel)) == 1
    assert roles(world) == [("user", "Hello?")]
    assert world.of(AgentResponseEvent) == []


def test_to_say_nothing_ends_no_answer() -> None:
    world = World()
    response = world.machine.respond("Hello?", world.now)
    world.machine.say(world.now, "")
    world.step()
    world.answer("Hello.")
    assert response.finished.result().text == "Hello."


def test_who_reads_an_answer_goes_on_while_it_is_said() -> None:
    world = World(auto_voice=True)
    pieces: list[str] = []
    ends: list[Exception | None] = []
    response = world.machine.respond(
        "Hello?",
        world.now,
        on_text=lambda piece, now: pieces.append(piece),
        on_end=lambda error, now: ends.append(error),
    )
    world.machine.say_response(world.now, response)
    world.step()
    world.answer("Hel", "lo.")
    assert pieces == ["Hel", "lo."]
    assert ends == [None]


def test_what_was_said_of_an_answer_is_cut_there() -> None:
    """One that was made first, and then said."""
    world = World(auto_voice=True)
    world.machine.respond("Hello?", world.now)
    world.step()
    world.answer("One is said. Two is said.")
    say = world.machine.say(world.now, "One is said. Two is said.")
    world.step()
    world.silence(1.3)
    say.finished.abandon(world.now)
    world.step()
    assert roles(world) == [("user", "Hello?"), ("assistant", "One is said.")]


@pytest.mark.parametrize(
    ("text", "is_made"),
    [
        ("It is 5, and 7", True),
        ("it's 7", False),
        ("Seven.", False),
        ("7", True),
        ("It is five, and 7.", True),
        ("Es ist 5", False),
        ("It was two then", False),
        ("", False),
        ("...", False),
    ],
)
def test_what_is_made_of_an_answer(text: str, is_made: bool) -> None:
    assert is_made_of(text, "**It** is *5*,\n and\n  7.") is is_made


def test_what_is_made_of_an_answer_without_spaces() -> None:
    answer = "**您好**,我们九点开门。您要订位吗?"
    assert is_made_of("您好,我们九点开门。", answer)
    assert not is_made_of("请稍等一下。", answer)


def answered_with_markup(world: World) -> None:
    world.machine.respond("What is it?", world.now)
    world.step()
    world.answer("*Let* me see. ", CALL)
    world.result("5")
    world.answer("**One** is said. **Two** is said.")


@pytest.mark.parametrize(
    ("heard_for", "heard"), [(30.0, "Let me see. One is said. Two is said."), (2.3, "Let me see. One is said.")]
)
def test_what_is_made_of_an_answer_takes_its_place(heard_for: float, heard: str) -> None:
    """All of it, or as far as it was heard."""
    world = World(auto_voice=True)
    answered_with_markup(world)
    say = world.machine.say(world.now, "Let me see. One is said. Two is said.")
    world.step()
    world.silence(heard_for)
    say.finished.abandon(world.now)
    world.step()
    assert [role for role, _ in roles(world)] == ["user", "assistant", "tool", "assistant"]
    assert roles(world)[1] == ("assistant", None)
    assert roles(world)[-1] == ("assistant", heard)
    assert world.history[1]["tool_calls"]


def test_an_answer_of_whose_other_dress_nothing_was_heard_is_none() -> None:
    world = World(auto_voice=True)
    answered_with_markup(world)
    say = world.machine.say(world.now, "One is said. Two is said.")
    world.step()
    say.finished.abandon(world.now)
    world.step()
    assert [role for role, _ in roles(world)] == ["user", "assistant", "tool"]


def test_an_answer_that_is_said_sentence_by_sentence() -> None:
    world = World(auto_voice=True)
    world.machine.respond("What is it?", world.now)
    world.step()
    world.answer("One is said. Two is said. Three is said.")
    for sentence in ("One is said.", "Two is said."):
        world.machine.say(world.now, sentence)
        world.step()
        world.silence(3)
    assert roles(world) == [("user", "What is it?"), ("assistant", "One is said."), ("assistant", "Two is said.")]


def test_an_answer_that_is_said_sentence_by_sentence_while_it_comes() -> None:
    """Nothing is twice in the history, and the tools it calls are behind what was said before."""
    world = World(auto_voice=True)
    response = world.machine.respond("What is it?", world.now)
    world.step()
    world.answer("**One** is said. **Two**", end=False)
    world.machine.say(world.now, "One is said.")
    world.step()
    world.silence(3)
    world.answer(" is said.", CALL)
    world.machine.say(world.now, "Two is said.")
    world.step()
    world.silence(3)
    world.result("5")
    world.answer("Three is said.")
    assert response.finished.result().text == "**One** is said. **Two** is said.\n\nThree is said."
    assert roles(world) == [
        ("user", "What is it?"),
        ("assistant", "One is said."),
        ("assistant", None),
        ("tool", "5"),
        ("assistant", "Two is said."),
    ]


def test_what_is_made_of_an_answer_while_that_comes() -> None:
    """Piece by piece; interrupted, it is broken off, and no part of it is kept but what was heard."""
    world = World(auto_voice=True)
    response = world.machine.respond("What is it?", world.now)
    world.step()
    say = world.machine.say(world.now)
    world.answer("**One** is said. **Two** is said. And", end=False)
    world.machine.add_text(say, "One is said. Two is said. ", world.now)
    world.step()
    world.silence(1.3)
    say.finished.abandon(world.now)
    response.finished.abandon(world.now)
    world.step()
    assert roles(world) == [("user", "What is it?"), ("assistant", "One is said.")]


@pytest.mark.parametrize(
    ("heard", "kept"),
    [
        ("", []),
        ("Let", ["Let"]),
        ("Let me see.", ["Let me see."]),
        ("Let me see. It is", ["Let me see.", "It  is"]),
        ("Let me see. It is 5.", ["Let me see.", "It  is 5."]),
    ],
)
def test_messages_are_cut_to_what_was_heard(heard: str, kept: list[str]) -> None:
    history: list[Message] = [
        {"role": "user", "content": "What?"},
        {"role": "assistant", "content": "Let me see."},
        {"role": "assistant", "content": "It  is 5."},
    ]
    cut_to(heard, history[1:], history)
    assert [message["content"] for message in history] == ["What?", *kept]


def test_a_message_that_calls_tools_is_kept() -> None:
    history: list[Message] = [{"role": "assistant", "content": "Let me see.", "tool_calls": [{"id": "id1"}]}]
    cut_to("", history[:], history)
    assert len(history) == 1


def test_two_calls_of_one_id_are_told_apart() -> None:
    """Servers that do not number calls give all of them the same."""
    world = World()
    response = world.machine.respond("What is it?", world.now)
    world.step()
    world.answer(CALL, attrs.evolve(CALL, id="id1_2"), CALL)
    for result in ("5", "6", "7"):
        world.result(result)
    messages = world.asks(AskModel)[-1].messages
    ids = ["id1", "id1_2", "id1_3"]
    assert [call["id"] for call in messages[1]["tool_calls"]] == ids
    assert [(m["tool_call_id"], m["content"]) for m in messages[2:]] == list(zip(ids, "567", strict=True))
    assert not response.is_over


def test_a_message_whose_calls_have_one_id_has_one_result() -> None:
    world = World()
    call = {"id": "id1", "type": "function", "function": {"name": "lookup", "arguments": "{}"}}
    world.history.append({"role": "assistant", "content": None, "tool_calls": [call, call]})
    world.machine.respond("Hello?", world.now)
    world.step()
    assert [m["role"] for m in world.asks(AskModel)[-1].messages] == ["assistant", "tool", "user"]


@pytest.mark.parametrize("copied", [False, True])
def test_a_late_result_stands_behind_its_own_call(copied: bool) -> None:
    """And not behind the next that has its id; where the history was exchanged for a copy, behind the last of it."""
    world = World()
    response = world.machine.respond("One?", world.now)
    world.step()
    world.answer(CALL)
    late = world.number_of(RunTool)
    response.finished.abandon(world.now)
    if copied:
        world.history[:] = [dict(message) for message in world.history]
    else:
        world.machine.respond("Two?", world.now)
        world.step()
        world.answer(CALL)
    world.machine.receive_result(late, "of the first", world.now)
    roles = ["user", "assistant", "tool", "user", "assistant"]
    assert [message["role"] for message in world.history] == (roles[:3] if copied else roles)
    assert world.history[2]["content"] == "of the first"


def test_a_history_that_is_none() -> None:
    world = World()
    world.machine.thinker.history.append("Hello")  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError, match=r"history\[0\]"):
        world.machine.respond("Hello?", world.now)


@pytest.mark.parametrize("item", ["for ever and ever " * 100, ToolCall("1", "lookup")])
def test_a_model_that_does_not_come_to_an_end_is_stopped(item: ModelItem) -> None:
    world = World()
    response = world.machine.respond("go", world.now)
    world.step()
    for _ in range(200):
        if not response.is_over:
            world.answer(item, end=False)
    with pytest.raises(ProviderFailed, match="does not come to an end"):
        response.finished.result()


# ---- what tools say --------------------------------------------------------------------------------------------------


def with_tool(*texts: str) -> tuple[World, Say]:
    """An answer of these texts whose tool runs."""
    world = World(auto_voice=True)
    response = world.machine.respond("What is it?", world.now)
    say = world.machine.say_response(world.now, response, fillers=["Hm."], filler_after=2.0)
    world.step()
    world.answer(*texts, CALL)
    return world, say


def spoken(world: World) -> list[str]:
    return [command.text for command in world.asks(Synthesise)]


def test_what_a_tool_says_is_said_between_what_stands_before_it_and_behind() -> None:
    world, say = with_tool("Let me see")
    told = world.machine.say(world.now, "It is far.")
    world.silence(0.9)
    assert not told.finished.done
    assert spoken(world) == ["Let me see", "It is far."]
    world.silence(1.4)
    assert world.said(told) == Said("It is far.")
    assert not say.finished.done
    world.result("5")
    world.answer("It is 5.")
    world.silence(2)
    assert world.said(say) == Said("Let me see It is 5.")
    assert roles(world) == [
        ("user", "What is it?"),
        ("assistant", "Let me see"),
        ("tool", "5"),
        ("assistant", "It is far."),
        ("assistant", "It is 5."),
    ]
    assert world.machine.next_deadline() is None


def test_the_answer_goes_on_behind_what_its_tool_said_and_did_not_wait_for() -> None:
    world, say = with_tool("")
    told = [world.machine.say(world.now, "It is far."), world.machine.say(world.now, "It is near.")]
    world.step()
    world.result("5")
    world.answer("It is 5.")
    world.silence(1.1)
    assert told[0].is_over
    assert world.machine.speaker.current is say  # which was the first
    world.silence(3)
    assert world.said(say) == Said("It is 5.")
    assert told[1].is_over
    assert [said.text for said in world.of(Said)] == ["It is far.", "It is 5.", "It is near."]


def test_no_filler_is_said_over_a_tool() -> None:
    world, _ = with_tool("Let me see.")
    world.machine.say(world.now, "It is very far from here.")
    world.silence(5.0)
    assert spoken(world) == ["Let me see.", "It is very far from here."]
    world.silence(1.0)  # that was heard for 3.6 s
    assert spoken(world)[-1] == "Hm."


@pytest.mark.parametrize("after", [0.5, 2.0])
def test_an_interruption_silences_the_answer_and_its_tool(after: float) -> None:
    world, say = with_tool("Let me see.")
    told = world.machine.say(world.now, "It is very far from here.")
    world.silence(after)
    world.speak(0.5)
    world.partial("Wait")
    assert [world.said(each).by for each in (say, told)] == ["speech", "speech"]
    world.silence(1)
    world.recognise("Wait.")
    assert not world.is_audible()
    world.result("5")
    world.silence(3)
    assert len(world.asks(AskModel)) == 1
    assert world.history[-1]["role"] == ("assistant" if told.began is not None else "tool")


def test_a_tool_that_speaks_waits_while_the_caller_does() -> None:
    world, say = with_tool("Let me see.")
    world.silence(1.6)
    world.speak(0.1)
    told = world.machine.say(world.now, "It is far.")
    world.step()
    assert told.state is SayState.WAITING
    world.silence(1)
    world.recognise("")
    world.silence(1.2)
    assert world.said(told) == Said("It is far.")
    assert not say.is_over


def test_what_is_said_besides_an_answer_waits_for_its_end() -> None:
    """Where no tool runs, nobody waits for it meanwhile."""
    world = World(auto_voice=True)
    say = world.machine.say_response(world.now, world.machine.respond("What is it?", world.now))
    world.step()
    world.answer("Let me see.\n\n", end=False)
    told = world.machine.say(world.now, "It is far.")
    world.silence(2)
    assert told.state is SayState.WAITING
    world.answer("It is 5.")
    world.silence(4)
    assert [said.text for said in world.of(Said)] == ["Let me see. It is 5.", "It is far."]
    assert say.is_over


# ---- whether it was heard --------------------------------------------------------------------------------------------


def test_a_tool_may_wait_until_what_stands_before_it_was_heard() -> None:
    world, _ = with_tool("Good", "bye")  # 0.7 s
    heard = world.machine.wait_for_playout(world.number_of(RunTool))
    world.silence(0.7)
    assert not heard.done
    world.silence(0.1)
    assert heard.result() is True
    assert world.machine.wait_for_playout().result() is True


def test_what_its_tool_said_is_waited_for_as_well() -> None:
    world, _ = with_tool("Goodbye.")
    world.machine.say(world.now, "Really.")
    heard = world.machine.wait_for_playout(world.number_of(RunTool))
    world.silence(1.5)
    assert not heard.done
    world.silence(0.3)
    assert heard.result() is True


@pytest.mark.parametrize("late", [False, True])
def test_what_was_interrupted_was_not_heard(late: bool) -> None:
    """Whenever the tool asks: also while the next answer is being said."""
    world, _ = with_tool("Goodbye, and thank you.")
    run = world.number_of(RunTool)
    heard = world.machine.wait_for_playout(run)
    world.silence(0.5)
    world.machine.receive_digit(world.now)
    world.step()
    if late:
        world.machine.say_response(world.now, world.machine.respond("Wait.", world.now))
        heard = world.machine.wait_for_playout(run)
    assert heard.result() is False


def test_what_the_voice_failed_at_was_not_heard() -> None:
    world = World()
    world.machine.say(world.now, "Goodbye.")
    heard = world.machine.wait_for_playout()
    world.step()
    world.voice(0.1, error=OSError("hoarse"))
    world.silence(0.3)
    assert heard.result() is False


def test_what_nobody_waits_for_and_what_ends_with_the_call() -> None:
    world, _ = with_tool("Goodbye.")
    given_up, heard = world.machine.wait_for_playout(), world.machine.wait_for_playout()
    given_up.abandon(world.now)
    error = CallEnded("call-1", CallEnd(16, EndedBy.REMOTE))
    world.close(error)
    assert heard.error is error
    assert not given_up.done
    with pytest.raises(CallEnded):
        world.machine.wait_for_playout()


# ---- somebody else talks with the caller -----------------------------------------------------------------------------


def test_handed_over_it_says_and_answers_nothing_more_and_its_tools_end() -> None:
    world, say = with_tool("I will connect you with Bob.")
    told = world.machine.say(world.now, "One moment.", interruptible=False)
    listening = world.machine.listen(world.now, 8.0)
    world.silence(1.0)
    tools = world.machine.hand_over(world.now)
    world.step()
    assert listening.result() is None
    assert [world.said(each).interrupted for each in (say, told)] == [True, True]
    assert not world.machine.is_engaged
    assert len(world.asks(RunTool)) == 1
    world.silence(5)
    assert not world.is_audible()
    assert spoken(world) == ["I will connect you with Bob.", "One moment."]
    waits = not tools.done
    world.result("connected")
    assert waits
    assert tools.done
    assert len(world.asks(AskModel)) == 1
    assert roles(world)[-1] == ("tool", "connected")
    assert world.machine.next_deadline() is None


def test_handed_over_while_the_model_writes() -> None:
    world = World(auto_voice=True)
    response = world.machine.respond("Hello?", world.now)
    world.step()
    assert world.machine.hand_over(world.now).done
    world.step()
    assert response.is_over
    assert len(world.asks(Cancel)) == 1


def test_tools_that_are_waited_for_when_the_call_ends() -> None:
    world, _ = with_tool("One moment.")
    tools = world.machine.hand_over(world.now)
    world.step()
    world.close(CallEnded("call-1", CallEnd(16, EndedBy.REMOTE)))
    with pytest.raises(CallEnded):
        tools.result()
