"""The names in Host and Origin headers, for the server and the page."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit


def host_name(host: str) -> str:
    """The name in a Host header, lower case and without its port.

    >>> host_name("LocalHost:8600"), host_name("[::1]:8600"), host_name("example.org")
    ('localhost', '::1', 'example.org')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def origin_host(origin: str) -> str:
    """Name and port of an Origin header; "" for one that cannot be read.

    >>> origin_host("https://Example.org:8443"), origin_host("http://["), origin_host("null")
    ('example.org:8443', '', '')
    """
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def is_address(name: str) -> bool:
    """Whether a name is an IP address: no other server can make it lead to this machine."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
