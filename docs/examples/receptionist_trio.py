"""A receptionist to talk with, on trio: ``voxtra --backend trio run receptionist_trio:app`` in this folder.

In Asterisk's dialplan: ``exten => 105,1,Stasis(voxtra)``. Where Asterisk is, and as whom, comes from
``VOXTRA_ARI_URL``, ``VOXTRA_ARI_USER`` and ``VOXTRA_ARI_PASSWORD``. Ears and voice are those of
``pip install 'voxtra-core[local]'``. The model is the one named in ``VOXTRA_LLM_MODEL``, at ``VOXTRA_LLM_BASE_URL``
with the key in ``VOXTRA_LLM_API_KEY``; without that it is a few rules.
"""

import os
from typing import Literal

from voxtra_core import CallEnded, Conversation, ProviderFailed, TransferFailed
from voxtra_core.providers import OpenAIChat
from voxtra_core.providers.local import LocalActivity, LocalRecogniser, LocalVoice, Rule, RuleBasedModel
from voxtra_trio import CallSession, VoxtraApp

INSTRUCTIONS = """You are the receptionist of a small company, on the telephone. Answer in one or two short sentences.
Use your tools for opening hours, to take messages, and to connect callers with Alice (sales) or Bob (support)."""
ENDPOINTS = {"Alice": "PJSIP/alice", "Bob": "PJSIP/bob"}

Person = Literal["Alice", "Bob"]
Day = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


def opening_hours(day: Day) -> str:
    """When we are open."""
    hours = {"Saturday": "from ten to two", "Sunday": "not at all"}.get(day, "from nine to six")
    return f"On {day} we are open {hours}."


async def take_message(call: CallSession, words: str) -> str:
    """Write down what the caller wants to tell us."""
    call.metadata["message"] = words
    print(f"{call.caller_id} left a message: {words}")
    return "Thank you. It will be read today."


async def connect(call: CallSession, person: Person) -> str:
    """Connect the caller with somebody. It is done as soon as you have said what this tells you."""
    call.metadata["wanted"] = person
    return f"One moment, I will see whether {person} is free."


RULES = RuleBasedModel(  # they say what the tools say
    [
        Rule(r"\b(Alice|Bob)\b", call="connect", arguments={"person": "{1}"}),
        Rule(r"\b((?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day)\b", call="opening_hours", arguments={"day": "{1}"}),
        Rule(r"\btell (?:them|him|her) (?:that )?(.+)", call="take_message", arguments={"words": "{1}"}),
        Rule(r"\b(?:message|yes)\b", "Gladly. Please say, tell them, and then your message."),
    ],
    fallback="I can say when we are open on a day, take a message, or connect you with Alice or Bob.",
)

app = VoxtraApp(
    stt=LocalRecogniser,
    llm=OpenAIChat(os.environ["VOXTRA_LLM_MODEL"]) if "VOXTRA_LLM_MODEL" in os.environ else RULES,
    tts=LocalVoice,
    vad=LocalActivity,
    conversation=Conversation(instructions=INSTRUCTIONS, tools=[opening_hours, take_message, connect]),
)


@app.default()
async def receptionist(call: CallSession) -> None:
    """Talks until the caller is silent, or connected."""
    await call.answer()
    greeting = "Good day, this is the company. How can I help you?"
    while await call.converse(greeting=greeting, until=lambda turn, said: "wanted" in call.metadata) == "until":
        person: Person = call.metadata.pop("wanted")
        if await put_through(call, person):
            return  # they talk with each other
        greeting = f"I am sorry, {person} is not free. Can I take a message?"
    await call.say("Goodbye.")


async def put_through(call: CallSession, person: Person) -> bool:
    """Asks the colleague first, while the caller hears music."""
    try:
        async with await call.attended_transfer_to(ENDPOINTS[person], timeout=20) as transfer:
            colleague = transfer.agent
            number = " ".join(call.caller_id) or "Somebody"  # a voice says the digits then
            await colleague.say(f"{number} is on the line for you. Do you take the call?")
            answer = await colleague.listen(timeout=6)
            if answer is None or "yes" not in answer.text.lower():
                return False  # and they are hung up
            await transfer.accept()
    except (TransferFailed, ProviderFailed) as failure:
        print(f"{person}: {failure}")
        return False
    except CallEnded:
        if call.end is not None:
            raise
        return False  # it was the colleague who hung up
    return True
