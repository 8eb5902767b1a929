"""An echo, on trio: ``voxtra --backend trio run echo_trio:app`` in this folder.

In Asterisk's dialplan: ``exten => 101,1,Stasis(voxtra)``. Where Asterisk is, and as whom, comes from
``VOXTRA_ARI_URL``, ``VOXTRA_ARI_USER`` and ``VOXTRA_ARI_PASSWORD``. With Asterisk on another machine, ``VoxtraApp``
needs ``media=AudioSocket(listen="0.0.0.0:9092", address="this-host:9092")``.
"""

from voxtra_trio import CallSession, VoxtraApp

app = VoxtraApp()


@app.default()
async def echo(call: CallSession) -> None:
    """Whatever the caller says comes back, until they hang up."""
    await call.answer()
    async for chunk in call.audio_stream():
        await call.send_audio(chunk)
