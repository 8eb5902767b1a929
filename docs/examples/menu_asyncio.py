"""A voice menu with three choices, on asyncio: ``voxtra run menu_asyncio:app`` in this folder.

In Asterisk's dialplan: ``exten => 100,1,Stasis(voxtra)``. Where Asterisk is, and as whom, comes from
``VOXTRA_ARI_URL``, ``VOXTRA_ARI_USER`` and ``VOXTRA_ARI_PASSWORD``.
"""

from voxtra_asyncio import CallSession, VoxtraApp

app = VoxtraApp()


@app.default()
async def menu(call: CallSession) -> None:
    """Press 1 for the time of a call, 2 for music, 0 for the dialplan's operator; three tries."""

    @call.on_hangup
    async def note() -> None:
        print(f"{call.caller_id or 'somebody'} talked for {call.duration:.0f} s; {call.end}")

    await call.answer()
    for _ in range(3):
        await call.play_file("hello-world")
        match await call.listen_dtmf(timeout=8):
            case "1":
                await call.play_file(f"number:{round(call.duration)}")
            case "2":
                await call.hold()
                await call.listen_dtmf(timeout=30)  # any key ends the music
                await call.unhold()
            case "0":
                await call.continue_in_dialplan("operator")
                return  # it is the dialplan's call now
            case _:
                await call.play_file("vm-goodbye")
                return
