"""Plays the Asterisk of many calls, as far as AudioSocket goes, in a process of its own.

``python callers.py PORT CALLS [silent]``: connects once for each call, says its UUID (the call's number), then sends
20 ms of audio each 20 ms, unless ``silent``, and reads whatever comes. The calls take turns within the 20 ms, as calls
do that have begun at different times. It ends with its standard input, and prints how many bytes it has read.

It needs nothing but the standard library, so that it starts fast.
"""

from __future__ import annotations

import select
import socket
import sys
from time import monotonic

GROUPS = 10
FRAME = b"\x10\x01\x40" + bytes(range(160)) * 2


def main(port: int, calls: int, is_silent: bool) -> None:
    """Until the parent has had enough."""
    poll = select.epoll()
    connections = {}
    for number in range(calls):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(b"\x01\x00\x10" + number.to_bytes(16, "big"))
        connection.setblocking(False)
        poll.register(connection, select.EPOLLIN)
        connections[connection.fileno()] = connection
    poll.register(sys.stdin.fileno(), select.EPOLLIN)
    senders = list(connections.values())
    read = turn = 0
    begun = monotonic()
    while True:
        if not is_silent:
            for connection in senders[turn % GROUPS :: GROUPS]:
                connection.send(FRAME)
        turn += 1
        due = begun + turn * 0.02 / GROUPS
        while True:
            for fd, _ in poll.poll(max(0.0, due - monotonic())):
                if fd not in connections:
                    print(read)
                    return
                read += len(connections[fd].recv(65536))
            if monotonic() >= due:
                break


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), "silent" in sys.argv)
