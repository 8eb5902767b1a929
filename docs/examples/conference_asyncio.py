"""A conference room, on asyncio: ``voxtra run conference_asyncio:app`` in this folder.

In Asterisk's dialplan: ``exten => 200,1,Stasis(voxtra)``. Where Asterisk is, and as whom, comes from
``VOXTRA_ARI_URL``, ``VOXTRA_ARI_USER`` and ``VOXTRA_ARI_PASSWORD``.
"""

from voxtra_asyncio import Bridge, CallSession, VoxtraApp

app = VoxtraApp()
rooms: dict[str, Bridge] = {}


def is_to_be_made(number: str) -> bool:
    """Whether there is no room of this number, or none any more, as when Asterisk has been restarted."""
    return number not in rooms or rooms[number].is_gone


@app.default()
async def conference(call: CallSession) -> None:
    """Everybody who calls the same number hears each other; a star mutes, and unmutes."""
    await call.answer()
    number = call.called_number
    if is_to_be_made(number):
        made = await app.create_bridge(keep=True)
        if is_to_be_made(number):
            rooms[number] = made
        else:
            await made.destroy()  # somebody else was quicker
    room = rooms[number]
    await room.add(call)
    await room.play_file("beep")
    is_muted = False
    while True:
        if await call.listen_dtmf() == "*":
            is_muted = not is_muted
            await (room.mute(call) if is_muted else room.unmute(call))
