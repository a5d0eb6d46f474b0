"""Client sockets of the benchmarks: upgraded to the stream of an account, and then read raw."""

import socket

from service.api.auth import Role, issue_token
from service.api.openapi import STREAM_PATH

HOST = "127.0.0.1"
TOKEN_LIFE_S = 3_600.0
BUFFER_BYTES = 256 * 1024


def open_stream(port: int, secret: str, account_id: int, **headers: object) -> socket.socket:
    """Return a socket on the stream of an account, not blocking; headers beside the usual ones.

    Raises RuntimeError: the server refused it.
    """
    token = issue_token(secret, account_id, Role.TRADER, TOKEN_LIFE_S)
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    connection = socket.create_connection((HOST, port))
    connection.sendall(
        f"GET {STREAM_PATH} HTTP/1.1\r\nHost: {HOST}:{port}\r\n"
        f"Authorization: Bearer {token}\r\n{more}"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    answer = connection.recv(BUFFER_BYTES)
    if not answer.startswith(b"HTTP/1.1 101 "):
        raise RuntimeError(f"the server refused a socket: {answer!r}")
    connection.setblocking(False)
    return connection
