"""A server that is reached through a fault proxy: the proxy, and the address that leads through."""

from urllib.parse import urlsplit

from tests.faultproxy import LOOPBACK, FaultProxy


def in_front_of(url: str) -> FaultProxy:
    """Return a proxy to the server of an address; it runs while it is entered."""
    parts = urlsplit(url)
    return FaultProxy(str(parts.hostname), int(str(parts.port)))


def through(proxy: FaultProxy, url: str) -> str:
    """Return an address as `url`, but for its server: the proxy is that."""
    parts = urlsplit(url)
    login, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{login}{at}{LOOPBACK}:{proxy.port}").geturl()
