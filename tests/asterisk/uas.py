"""A SIP phone that says no: a user agent server that answers every INVITE with one status (RFC 3261)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import UDPSocket

__all__ = ["refusing"]

REFLECTED = ("via", "from", "call-id", "cseq")


@asynccontextmanager
async def refusing(port: int, status: int) -> AsyncIterator[list[str]]:
    """Answer calls to this UDP port with ``status``; below 200 they ring for ever. Yields the methods received."""
    methods: list[str] = []
    async with (
        await anyio.create_udp_socket(local_host="127.0.0.1", local_port=port) as socket,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(_serve, socket, status, methods)
        yield methods
        tasks.cancel_scope.cancel()


async def _serve(socket: UDPSocket, status: int, methods: list[str]) -> None:
    invite = ""
    async for data, (host, port) in socket:
        request = data.decode()
        method = request.split(" ", 1)[0]
        methods.append(method)
        answers = []
        if method == "INVITE":
            invite = request
            answers = [_answer(invite, status)]
        elif method == "CANCEL":
            answers = [_answer(request, 200), _answer(invite, 487)]
        for answer in answers:
            await socket.sendto(answer, host, port)


def _answer(request: str, status: int) -> bytes:
    lines = [f"SIP/2.0 {status} Status"]
    for line in request.split("\r\n\r\n")[0].split("\r\n")[1:]:
        name = line.split(":")[0].strip().lower()
        if name in REFLECTED:
            lines.append(line)
        elif name == "to":
            lines.append(f"{line};tag=refusing")
    return "\r\n".join([*lines, "Content-Length: 0", "", ""]).encode()
