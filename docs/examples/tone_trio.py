"""A test tone, on trio: ``voxtra --backend trio run tone_trio:app`` in this folder.

In Asterisk's dialplan: ``exten => 102,1,Stasis(voxtra)``. Where Asterisk is, and as whom, comes from
``VOXTRA_ARI_URL``, ``VOXTRA_ARI_USER`` and ``VOXTRA_ARI_PASSWORD``. With Asterisk on another machine, ``VoxtraApp``
needs ``media=AudioSocket(listen="0.0.0.0:9092", address="this-host:9092")``.
"""

from voxtra_core.media import SLIN, AudioChunk, Tone
from voxtra_trio import CallSession, VoxtraApp

app = VoxtraApp()


@app.default()
async def tone(call: CallSession) -> None:
    """1004 Hz at 0 dBm0 for ten seconds, or until a key is pressed."""
    await call.answer()
    await call.send_audio(AudioChunk(Tone(1004, level=0.0).read(10.0), SLIN))
    if await call.listen_dtmf(timeout=10) is not None:
        seconds = await call.flush_audio()
        print(f"stopped after {seconds:.2f} s")
    await call.drain_audio()
