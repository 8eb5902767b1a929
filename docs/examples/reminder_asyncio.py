"""Reminds people of appointments, on asyncio: ``python reminder_asyncio.py`` calls them, one after another.

Where Asterisk is, and as whom, comes from ``VOXTRA_ARI_URL``, ``VOXTRA_ARI_USER`` and ``VOXTRA_ARI_PASSWORD``. Ears and
voice are those of ``pip install 'voxtra-core[local]'``; there is no model, as the handler knows what it wants to hear.
"""

import asyncio
import re
from typing import NamedTuple

from voxtra_asyncio import CallSession, VoxtraApp
from voxtra_core import OriginateFailed
from voxtra_core.providers.local import LocalActivity, LocalRecogniser, LocalVoice


class Appointment(NamedTuple):
    """Whom to call, and about what."""

    name: str
    endpoint: str
    time: str


APPOINTMENTS = [
    Appointment("Mary Miller", "PJSIP/alice", "tomorrow at ten"),
    Appointment("John Smith", "PJSIP/bob", "tomorrow at eleven"),
]
ANSWERS = {
    "rescheduled": ("another different change move reschedule later", "We will call you to find another day."),
    "cancelled": ("no not cannot cancel", "It is cancelled."),
    "confirmed": ("yes yeah sure confirm confirmed fine okay", "Thank you. We will see you then."),
}
"""The words that mean each, the more telling ones first, and what is said then."""
MACHINE = 4.0
"""Seconds: nobody says more than hello at first, but for an answering machine."""

app = VoxtraApp(stt=LocalRecogniser, tts=LocalVoice, vad=LocalActivity)


def meaning(text: str) -> str | None:
    """What somebody wants, if that can be told."""
    said = set(re.findall(r"[a-z]+", text.lower()))
    return next((outcome for outcome, (words, _) in ANSWERS.items() if said & set(words.split())), None)


async def remind(call: CallSession) -> None:
    """The handler of a call that was answered: what comes of it is in ``call.metadata["outcome"]``."""
    name, _, time = call.metadata["appointment"]
    reminder = f"This is Doctor Jones's practice. {name} has an appointment {time}."
    hello = await call.listen(timeout=2)
    if hello is not None and hello.ended - hello.began > MACHINE:
        await call.listen(timeout=3)  # to the beep
        await leave_word(call, reminder)
        return
    for question in (
        f"{reminder} Do you confirm it, cancel it, or change it?",
        "Please say confirm, cancel or change.",
    ):
        await call.say(question)  # who interrupts that is answering
        answer = await call.listen(timeout=6)
        outcome = meaning(answer.text) if answer is not None else None
        if outcome is not None:
            call.metadata["outcome"] = outcome
            await call.say(ANSWERS[outcome][1], interruptible=False)
            return
    await leave_word(call, reminder)


async def leave_word(call: CallSession, reminder: str) -> None:
    """Whoever, or whatever, listens."""
    await call.say(f"{reminder} Please call us if you cannot come. Goodbye.", interruptible=False)
    call.metadata["outcome"] = "told, and not answered"


async def outcome_of(appointment: Appointment) -> str:
    """Calls, and says what has come of it."""
    try:
        call = await app.originate(appointment.endpoint, handler=remind, metadata={"appointment": appointment})
    except OriginateFailed as failure:
        return f"not reached: {failure.end.name}"
    end = await call.wait_ended()
    return str(call.metadata.get("outcome", f"hung up early: {end}"))


async def main() -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(app.serve())
        await app.started()
        for appointment in APPOINTMENTS:
            print(f"{appointment.name}, {appointment.time}: {await outcome_of(appointment)}", flush=True)
        await app.stop()


if __name__ == "__main__":
    asyncio.run(main())
