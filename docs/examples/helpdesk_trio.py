"""A helpdesk, on trio: ``voxtra --backend trio run helpdesk_trio:app`` in this folder.

In Asterisk's dialplan: ``exten => 104,1,Stasis(voxtra)``, and what ``voxtra provision --queues`` prints. In its
``queues.conf`` a queue ``[support]`` with ``member => PJSIP/alice``. Where Asterisk is, and as whom, comes from
``VOXTRA_ARI_URL``, ``VOXTRA_ARI_USER`` and ``VOXTRA_ARI_PASSWORD``.
"""

from voxtra_core.queueing import MemberAnswered, MemberRinging, QueueOutcome
from voxtra_trio import CallSession, VoxtraApp

app = VoxtraApp()


@app.default()
async def helpdesk(call: CallSession) -> None:
    """Whom nobody has answered within a minute comes back, and may leave a message."""
    if call.args[:1] == ("queue",):
        await leave_message(call)
        return
    await call.answer()
    await call.play_file("hello-world")
    visit = await call.transfer_to_queue("support", timeout=60, come_back=True)
    async for update in visit:  # the call is in the queue now, and out of our hands
        match update:
            case MemberRinging(member):
                print(f"{call.caller_id}: {member.interface} rings")
            case MemberAnswered(member, waited):
                print(f"{call.caller_id}: answered by {member.interface}, after {waited:.0f} s")
            case QueueOutcome(end, status):
                print(f"{call.caller_id}: {end} {status}".rstrip())


async def leave_message(call: CallSession) -> None:
    """It is in Asterisk's spool directory afterwards."""
    await call.play_file("vm-intro")
    name = await call.record_start(max_duration=120, beep=True, terminate_on="#")
    await call.listen_dtmf(timeout=120)
    await call.record_stop()
    print(f"{call.caller_id}: left a message, {name}")
