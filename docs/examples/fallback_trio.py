"""Speech, and keys where that fails, on trio: ``voxtra --backend trio run fallback_trio:app`` in this folder.

In Asterisk's dialplan: ``exten => 106,1,Stasis(voxtra)``. Where Asterisk is, and as whom, comes from
``VOXTRA_ARI_URL``, ``VOXTRA_ARI_USER`` and ``VOXTRA_ARI_PASSWORD``. Ears and voice are those of
``pip install 'voxtra-core[local]'``; any others may fail, too.
"""

from voxtra_core import ProviderFailed
from voxtra_core.providers.local import LocalActivity, LocalRecogniser, LocalVoice
from voxtra_trio import CallSession, VoxtraApp

KEYS = {"1": "sales", "2": "support"}

app = VoxtraApp(stt=LocalRecogniser, tts=LocalVoice, vad=LocalActivity)


@app.default()
async def fallback(call: CallSession) -> None:
    """Finds out whom the caller wants: by speech, else by keys, else, with no voice either, by Asterisk's prompts."""
    await call.answer()
    wanted = await by_speech(call) or await by_keys(call)
    call.metadata["wanted"] = wanted
    print(f"{call.caller_id} wants {wanted or 'nothing that we have'}")
    if wanted is not None:
        await tell(call, f"Thank you. I have noted {wanted}.", "auth-thankyou")
    else:
        await tell(call, "Goodbye.", "goodbye")


async def by_speech(call: CallSession) -> str | None:
    """Asks twice. ``None`` where that has not helped, or cannot."""
    for question in ("Do you want sales, or support?", "I did not understand. Please say sales, or support."):
        try:
            await call.say(question)
            answer = await call.listen(timeout=6)
        except ProviderFailed as failure:
            print(f"{call.caller_id}: {failure}")
            return None
        said = answer.text.lower() if answer is not None else ""
        if (wanted := next((name for name in KEYS.values() if name in said), None)) is not None:
            return wanted
    return None


async def by_keys(call: CallSession) -> str | None:
    """Asks three times."""
    try:
        for _ in range(3):
            await call.say("Please press one for sales, or two for support.")
            pressed = await call.collect_digits(1)  # also what has interrupted that
            if pressed.digits in KEYS:
                return KEYS[pressed.digits]
    except ProviderFailed:
        key = await call.menu("basic-pbx-ivr-main", KEYS)
        return KEYS[key] if key is not None else None
    return None


async def tell(call: CallSession, text: str, prompt: str) -> None:
    """By voice, or else by a prompt of Asterisk's."""
    try:
        await call.say(text)
    except ProviderFailed:
        await call.play_file(prompt)
