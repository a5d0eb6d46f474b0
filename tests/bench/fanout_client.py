"""The receiving process of the fan-out benchmark: many raw sockets that only count bytes.

Run as `python -m tests.bench.fanout_client PORT SOCKETS`. It opens the sockets, reads until they
are silent and prints a line. Then it answers each number of bytes on stdin, awaited on every
socket, with a line at once and with the monotonic time at which the last byte had come.

A client that parsed frames would be slower than the server it measures. Every socket, each of an
account of its own, is sent as many bytes in a turn as any other, so these tell its messages.
"""

import select
import socket
import sys
import time

from tests.bench.fanout_accounts import FIRST_ACCOUNT
from tests.bench.fanout_server import SECRET
from tests.bench.machine import allow_sockets
from tests.bench.raw_socket import BUFFER_BYTES, open_stream

SILENT_S = 0.5
RECEIVE_TIMEOUT_S = 60.0


def main(port: int, count: int) -> None:
    """Open the sockets, then count for each line on stdin."""
    sockets = [open_stream(port, SECRET, FIRST_ACCOUNT + number) for number in range(count)]
    poll = select.epoll()
    by_number = {each.fileno(): each for each in sockets}
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    buffer = bytearray(BUFFER_BYTES)
    while ready := poll.poll(SILENT_S):
        for number, _ in ready:
            by_number[number].recv_into(buffer)
    print("open", flush=True)
    for line in sys.stdin:
        print("counting", flush=True)
        print(_count(poll, by_number, int(line), buffer), flush=True)


def _count(
    poll: select.epoll, sockets: dict[int, socket.socket], expected: int, buffer: bytearray
) -> float:
    """Read until every socket has had its `expected` bytes; return when that was."""
    awaited = dict.fromkeys(sockets, expected)
    while awaited:
        ready = poll.poll(RECEIVE_TIMEOUT_S)
        if not ready:
            raise TimeoutError(f"{len(awaited)} sockets wait for more in vain")
        for number, _ in ready:
            left = awaited.pop(number, 0) - sockets[number].recv_into(buffer)
            if left > 0:
                awaited[number] = left
            elif left < 0:
                raise RuntimeError("a socket was sent more than the messages of this turn")
    return time.monotonic()


if __name__ == "__main__":
    allow_sockets()
    main(*(int(argument) for argument in sys.argv[1:]))
