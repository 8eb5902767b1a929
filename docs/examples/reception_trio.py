"""A receptionist who connects, on trio: ``voxtra --backend trio run reception_trio:app`` in this folder.

In Asterisk's dialplan: ``exten => 100,1,Stasis(voxtra)``. Where Asterisk is, and as whom, comes from
``VOXTRA_ARI_URL``, ``VOXTRA_ARI_USER`` and ``VOXTRA_ARI_PASSWORD``.
"""

from voxtra_core import TransferFailed
from voxtra_trio import CallSession, VoxtraApp

app = VoxtraApp()


@app.default()
async def reception(call: CallSession) -> None:
    """Tries two people, one after the other, and says so when neither can be had."""
    await call.answer()
    for endpoint in ("PJSIP/alice", "PJSIP/bob"):
        try:
            await call.transfer_to(endpoint, timeout=15)
        except TransferFailed as failure:
            print(f"{endpoint}: {failure.end.name}")
        else:
            return  # they talk with each other
    await call.play_file("vm-goodbye")
