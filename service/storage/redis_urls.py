"""Addresses of Redis: one server's, or `redis+cluster://host:port,host:port` for a cluster's."""

from urllib.parse import urlsplit

CLUSTER = "+cluster"


def is_cluster(url: str) -> bool:
    """Tell whether an address is a cluster's."""
    return urlsplit(url).scheme.endswith(CLUSTER)


def node_urls(url: str) -> list[str]:
    """Return the address of each node that a Redis address names."""
    parts = urlsplit(url)
    if not is_cluster(url):
        return [url]
    user, at, hosts = parts.netloc.rpartition("@")
    scheme = parts.scheme.removesuffix(CLUSTER)
    return [f"{scheme}://{user}{at}{host}" for host in hosts.split(",")]


def url_beside(asked: str, host: str, port: int) -> str:
    """Return the address of a node as the one at `asked` names it: without a host it means its own.

    How to log in, and whether by TLS, is the same everywhere in a cluster.
    """
    parts = urlsplit(asked)
    user, at, _ = parts.netloc.rpartition("@")
    name = host or str(parts.hostname)
    named = f"[{name}]" if ":" in name else name
    return parts._replace(netloc=f"{user}{at}{named}:{port}").geturl()
