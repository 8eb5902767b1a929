"""Variables and functions."""

from tests.fidelity.stage import Stage


def set_and_read(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.post(f"/channels/{call}/variable", variable="COLOUR", value="blue")
    s.get(f"/channels/{call}/variable", variable="COLOUR")
    s.post(f"/channels/{call}/variable", variable="COLOUR", value="")
    s.get(f"/channels/{call}/variable", variable="COLOUR")
    s.post(f"/channels/{call}/variable", variable="COLOUR")
    s.get(f"/channels/{call}/variable", variable="COLOUR")
    s.hang_up(call)


def inherited_names(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.post(f"/channels/{call}/variable", variable="_ONE", value="1")
    s.post(f"/channels/{call}/variable", variable="__TWO", value="2")
    s.get(f"/channels/{call}/variable", variable="ONE")
    s.get(f"/channels/{call}/variable", variable="TWO")
    s.hang_up(call)


def that_are_not_there(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.get(f"/channels/{call}/variable", variable="NOBODY")
    s.get(f"/channels/{call}/variable")
    s.post(f"/channels/{call}/variable")
    s.get(f"/channels/{call}/variable", variable="NONSENSE(x)")
    s.get(f"/channels/{s.id('nobody')}/variable", variable="X")
    s.hang_up(call)


def functions(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    for name in ("CALLERID(num)", "CALLERID(name)", "CALLERID(all)", "CHANNEL(state)", "CHANNEL(language)"):
        s.get(f"/channels/{call}/variable", variable=name)
    for name in ("EXTEN", "CONTEXT", "UNIQUEID", "CHANNEL"):
        s.get(f"/channels/{call}/variable", variable=name)
    s.hang_up(call)


def functions_are_written(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.post(f"/channels/{call}/variable", variable="CALLERID(name)", value="Zoe")
    s.post(f"/channels/{call}/variable", variable="CONNECTEDLINE(name)", value="Yan")
    s.post(f"/channels/{call}/variable", variable="NONSENSE(x)", value="1")
    s.hang_up(call)


def of_everybody(s: Stage) -> None:
    s.post("/asterisk/variable", variable=s.app, value="1")
    s.get("/asterisk/variable", variable=s.app)
    s.get("/asterisk/variable", variable=s.id("nobody"))
    s.get("/asterisk/variable")
    call, _ = s.incoming(answered=True)
    s.get(f"/channels/{call}/variable", variable=s.app)
    s.hang_up(call)


def in_a_body(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.request("POST", f"/channels/{call}/variable", body={"variable": "X", "value": "a,b ä"})
    s.get(f"/channels/{call}/variable", variable="X")
    s.request("POST", f"/channels/{call}/variable", body="{")
    s.hang_up(call)


def after_a_hangup(s: Stage) -> None:
    call = s.placed()
    s.post(f"/channels/{call}/variable", variable="X", value="1")
    s.delete(f"/channels/{call}")
    s.post(f"/channels/{call}/variable", variable="X", value="2")
    s.wait("ChannelDestroyed", channel=call)
