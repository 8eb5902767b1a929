"""A conference room, on trio: ``voxtra --backend trio run conference_trio:app`` in this folder.

In Asterisk's dialplan: ``exten => 200,1,Stasis(voxtra)``. Where Asterisk is, and as whom, comes from
``VOXTRA_ARI_URL``, ``VOXTRA_ARI_USER`` and ``VOXTRA_ARI_PASSWORD``.
"""

from voxtra_trio import Bridge, CallSession, VoxtraApp

app = VoxtraApp()
rooms: dict[str, Bridge] = {}


@app.default()
async def conference(call: CallSession) -> None:
    """Everybody who calls the same number hears each other; a star mutes, and unmutes."""
    await call.answer()
    if call.called_number not in rooms:
        made = await app.create_bridge(keep=True)
        if rooms.setdefault(call.called_number, made) is not made:
            await made.destroy()  # somebody else was quicker
    room = rooms[call.called_number]
    await room.add(call)
    await room.play_file("beep")
    is_muted = False
    while True:
        if await call.listen_dtmf() == "*":
            is_muted = not is_muted
            await (room.mute(call) if is_muted else room.unmute(call))
