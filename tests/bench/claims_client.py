"""The traders of the claims: sockets that read whatever they are sent.

Run as `python -m tests.bench.claims_client PORT SOCKETS`. It opens a socket for each of the
accounts 1 to SOCKETS, prints a line, and reads until it is killed.
"""

import select
import sys

from tests.bench.machine import allow_sockets
from tests.bench.raw_socket import BUFFER_BYTES, open_stream

HOST = "127.0.0.1"
SECRET = "signs the tokens of the claims benchmark"
ACCOUNT_HEADER = "X-Account"


def main(port: int, count: int) -> None:
    """Open the sockets and read."""
    poll = select.epoll()
    sockets = {}
    for account_id in range(1, count + 1):
        connection = open_stream(port, SECRET, account_id, **{ACCOUNT_HEADER: account_id})
        sockets[connection.fileno()] = connection
        poll.register(connection.fileno(), select.EPOLLIN)
    print("open", flush=True)
    buffer = bytearray(BUFFER_BYTES)
    while sockets:
        for number, _ in poll.poll():
            if not sockets[number].recv_into(buffer):
                poll.unregister(number)
                sockets.pop(number).close()


if __name__ == "__main__":
    allow_sockets()
    main(*(int(argument) for argument in sys.argv[1:]))
