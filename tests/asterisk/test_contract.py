"""probe"""
from __future__ import annotations
import pytest
from voxtra_core import CallSession
from .rig import Rig, eventually
from .sip import sip_phone
pytestmark = pytest.mark.anyio
@pytest.mark.parametrize("w",[False,True])
async def test_probe(rig: Rig, w: bool) -> None:
    seen=[]
    @rig.app.default()
    async def handler(call: CallSession) -> None:
        seen.append((call.caller_id, call.channel.caller, await call.get_variable("CALLERID(num-pres)")))
        await call.answer()
        await call.hangup()
    async with rig.serving(), sip_phone(rig.asterisk) as phone:
        await phone.call(rig.app_name, withheld=w)
        await phone.until("BYE")
    print(seen)
async def test_probe2(rig: Rig) -> None:
    seen=[]
    @rig.app.default()
    async def handler(call: CallSession) -> None:
        seen.append((call.caller_id, call.channel.caller, await call.get_variable("CALLERID(num-pres)")))
        await call.answer()
        await call.hangup()
    async with rig.serving():
        for o in ({}, {"caller_id":""}, {"caller_id": "5550100", "variables":{"CALLERID(num-pres)":"prohib"}}):
            p = await rig.call(**o)
            await p.wait_ended()
    print(seen)
