"""The offline set understands its own voice over a telephone as docs/dependencies.md says, and no text kills it."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("ctranslate2")
pytest.importorskip("espeakng_loader")

from voxtra_core.agent.providers import ActivityDetector, Model, Recogniser, SpokenWord, Voice
from voxtra_core.providers.local import (
    DIGITS,
    LocalActivity,
    LocalGrammar,
    LocalRecogniser,
    LocalVoice,
    Rule,
    RuleBasedModel,
)

from .local_speech import normalised, telephone, understood, word_errors

pytestmark = pytest.mark.soak

SENTENCES = """
Your appointment is on Tuesday at three o'clock.
Thank you for calling, how can I help you today?
I am transferring you to the reception now.
We are open from Monday to Friday, nine to five.
Could you please tell me your name?
Would you like to book another appointment?
The doctor is not available on Wednesday morning.
Your next appointment is on the fifth of March.
Please hold the line for a moment.
I have cancelled your appointment.
Is there anything else I can do for you?
Our office is closed on Sunday.
You can park behind the building.
The price of the room is ninety dollars a night.
I'm sorry, I did not understand that.
Please call again tomorrow morning.
The first free appointment is on Friday at ten.
Do you want to speak to a doctor or to the reception?
Your order will be delivered next week.
The restaurant is on the second floor.
We have moved your meeting to Thursday afternoon.
The meeting will take about twenty minutes.
Please bring your insurance card with you.
Goodbye and have a nice day.
Yes, we have a table for four people tonight.
Breakfast is served from seven until ten.
You will receive a letter in the next few days.
All our agents are busy at the moment.
Please press one for sales or two for support.
Your call is very important to us.
I would like to make an appointment.
What are your opening hours?
I need to speak to a doctor, please.
Can you move my appointment to Friday?
My name is John Smith.
How much does a room cost?
Yes, please.
No, thank you.
I want to cancel my appointment.
Where is your office?
Do you have a table for two tonight?
Could you transfer me to the sales department?
What time does the restaurant open?
I have a question about my bill.
Is there a free appointment on Monday morning?
Thank you very much, goodbye.
When is my next appointment?
I am calling about my order.
Can I park near the building?
Please repeat that.
""".strip().splitlines()
"""Typical of a reception and of its callers; none was left out. The voice was chosen by these."""

HELD_OUT = """
Good afternoon, this is the dental practice.
Your reservation has been confirmed for Saturday evening.
Our sales team will call you back within an hour.
I have sent the invoice to your email address.
The delivery is expected before noon.
Please wait while I check the calendar.
Unfortunately all rooms are taken this weekend.
You have no new messages.
The technician will visit you on Monday.
Your account has been closed.
Do you need directions to our store?
The waiting time is about ten minutes.
I will connect you with a colleague.
Your payment was received yesterday.
The shop opens again in January.
Can I have your phone number, please?
We offer free parking for our guests.
The train leaves at half past six.
I want to talk to someone about a refund.
My internet connection does not work.
I lost my credit card.
Could I change the date of my booking?
How long do I have to wait?
I would like to order two pizzas.
Please send me a copy of the contract.
Is the swimming pool open today?
I am looking for a birthday present.
Which documents do I need to bring?
Can someone repair my washing machine?
I will be there in an hour.
""".strip().splitlines()
"""More of them; nothing was chosen by these."""

LETTERS = ("abc XYZ", "0123456789.,:/$%€-", "()[]{}<>\"'&;", "\0\1\x1b\x7f\u200d\u202e\ufeff\ud800", "😀é中文ЖΩ\u0301")


@pytest.mark.parametrize("sentences", [SENTENCES, HELD_OUT], ids=["chosen by", "held out"])
def test_one_word_in_twelve_is_wrong_at_most(sentences: list[str]) -> None:
    recogniser = LocalRecogniser()
    errors = sum(
        word_errors(normalised(text), normalised(understood(recogniser, telephone(text)))) for text in sentences
    )
    assert errors <= sum(len(normalised(text)) for text in sentences) / 12


def test_any_text_is_spoken(soak_seconds: float) -> None:
    """By the number of texts, some four a second, not by the clock: the same each time."""
    voice, chance = LocalVoice(speed=450), random.Random(8)
    for _ in range(round(4 * soak_seconds)):
        alphabet = "".join(chance.sample(LETTERS, chance.randint(1, 3)))
        text = "".join(chance.choices(alphabet, k=chance.randint(0, 600)))
        said = [item.text for item in voice(text) if isinstance(item, SpokenWord)]
        assert "".join(said) == "".join(text.split())


def parts() -> tuple[ActivityDetector, Recogniser, Recogniser, Model, Voice]:
    """For the type checker: each is what a conversation asks for."""
    model = RuleBasedModel([Rule("hello", "Hello.")])
    return LocalActivity(), LocalRecogniser(), LocalGrammar(DIGITS), model, LocalVoice()
