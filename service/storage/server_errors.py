"""What can go wrong with an embedded server, in words that say what to do."""

from pathlib import Path


class EmbeddedError(Exception):
    """An embedded server cannot be started, run or stopped."""


class PortInUse(EmbeddedError):
    """Something else listens on the port an embedded server was given."""

    def __init__(self, server: str, port: int, port_setting: str, url_setting: str) -> None:
        super().__init__(
            f"port {port} on 127.0.0.1 is in use, {server} cannot listen there: set "
            f"{port_setting} to a free port, or set {url_setting} to use a server of your own"
        )
        self.port = port
        self.port_setting = port_setting


class NoFreePort(EmbeddedError):
    """No port is left for a server that was given none."""

    def __init__(self, first: int, last: int) -> None:
        super().__init__(
            f"no port from {first} to {last} on 127.0.0.1 is free: end what listens there, or "
            "name a port for each server"
        )


class DataDirInUse(EmbeddedError):
    """Another running process keeps its server's data in the directory."""

    def __init__(self, data_dir: Path, owner: str) -> None:
        super().__init__(
            f"{data_dir} is in use by process {owner or 'unknown'}: stop that process, or choose "
            "another data directory (TAPEWATCH_DATA_DIR)"
        )
        self.data_dir = data_dir


class ServerFailed(EmbeddedError):
    """A server ended at once, or was not ready in time. Carries the end of its log."""

    def __init__(self, what: str, log_path: Path, log_tail: str) -> None:
        super().__init__(f"{what}; the end of {log_path}:\n{log_tail}")
        self.log_tail = log_tail
