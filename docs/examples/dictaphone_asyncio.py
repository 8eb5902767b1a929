"""A dictaphone, on asyncio: ``voxtra run dictaphone_asyncio:app`` in this folder.

In Asterisk's dialplan: ``exten => 103,1,Stasis(voxtra)``. Where Asterisk is, and as whom, comes from
``VOXTRA_ARI_URL``, ``VOXTRA_ARI_USER`` and ``VOXTRA_ARI_PASSWORD``. With Asterisk on another machine, ``VoxtraApp``
needs ``media=AudioSocket(listen="0.0.0.0:9092", address="this-host:9092")``.
"""

from pathlib import Path

from voxtra_asyncio import CallSession, VoxtraApp
from voxtra_core.media import SLIN16, write_wav

app = VoxtraApp()


@app.default()
async def dictaphone(call: CallSession) -> None:
    """What is heard until the caller hangs up, or for two minutes, is in ``<call id>.wav`` afterwards."""
    await call.answer()
    await call.play_file("beep")
    heard = bytearray()
    async for chunk in call.audio_stream("slin16"):
        heard += chunk.data
        if SLIN16.seconds(len(heard)) >= 120:
            break
    name = f"{call.id.replace('/', '_')}.wav"
    Path(name).write_bytes(write_wav(bytes(heard), SLIN16))  # noqa: ASYNC240 - a local disk takes it at once
    print(f"{SLIN16.seconds(len(heard)):.1f} s in {name}")
