"""The traders of the claims: sockets that read whatever they are sent.

Run as `python -m tests.bench.claims_client PORT SOCKETS`. It opens a socket for each of the
accounts 1 to SOCKETS, prints a line, and reads until it is killed.
"""

import select
import socket
import sys

from service.api.auth import Role, issue_token
from service.api.openapi import STREAM_PATH
from tests.bench.machine import allow_sockets

HOST = "127.0.0.1"
SECRET = "signs the tokens of the claims benchmark"
ACCOUNT_HEADER = "X-Account"
TOKEN_LIFE_S = 3_600.0
BUFFER_BYTES = 256 * 1024


def main(port: int, count: int) -> None:
    """Open the sockets and read."""
    poll = select.epoll()
    sockets = {}
    for account_id in range(1, count + 1):
        connection = _connect(port, account_id)
        sockets[connection.fileno()] = connection
        poll.register(connection.fileno(), select.EPOLLIN)
    print("open", flush=True)
    buffer = bytearray(BUFFER_BYTES)
    while sockets:
        for number, _ in poll.poll():
            if not sockets[number].recv_into(buffer):
                poll.unregister(number)
                sockets.pop(number).close()


def _connect(port: int, account_id: int) -> socket.socket:
    token = issue_token(SECRET, account_id, Role.TRADER, TOKEN_LIFE_S)
    connection = socket.create_connection((HOST, port))
    connection.sendall(
        f"GET {STREAM_PATH} HTTP/1.1\r\nHost: {HOST}:{port}\r\n"
        f"Authorization: Bearer {token}\r\n{ACCOUNT_HEADER}: {account_id}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    answer = connection.recv(BUFFER_BYTES)
    if not answer.startswith(b"HTTP/1.1 101 "):
        raise RuntimeError(f"the server refused a socket: {answer!r}")
    connection.setblocking(False)
    return connection


if __name__ == "__main__":
    allow_sockets()
    main(*(int(argument) for argument in sys.argv[1:]))
