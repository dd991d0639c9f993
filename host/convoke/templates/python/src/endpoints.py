"""Parses the argument: a list of addresses. Imports nothing from the host, so the tests need none."""

from dataclasses import dataclass
from ipaddress import ip_address

ENDPOINTS_MAX = 1_024
FORM = "expected addresses such as 10.0.0.5, 10.0.0.5:6900 or [fd00::5]:6900, separated by commas"


@dataclass(frozen=True)
class Endpoint:
    """An address at which a member may listen."""

    address: str
    """An IP literal."""
    port: int | None
    """None for the cluster's start port."""


def parse(argument: str) -> list[Endpoint]:
    """Returns the endpoints without duplicates. Raises `ValueError` with a text for operators."""
    texts = argument.split(",")
    if len(texts) > ENDPOINTS_MAX:
        raise ValueError(f'"{texts[ENDPOINTS_MAX]}" is address {ENDPOINTS_MAX + 1}; at most {ENDPOINTS_MAX} are supported')
    return list(dict.fromkeys(endpoint(text.strip()) for text in texts))


def endpoint(text: str) -> Endpoint:
    if text.startswith("["):
        host, bracket, port = text[1:].rpartition("]")
        if not bracket or (port and not port.startswith(":")):
            raise ValueError(f'"{text}" has an IPv6 address without its brackets; {FORM}')
        return Endpoint(literal(host, text), port_number(port[1:], text) if port else None)
    # A single colon precedes a port; several belong to an IPv6 address.
    host, colon, port = text.partition(":")
    if colon and ":" not in port:
        return Endpoint(literal(host, text), port_number(port, text))
    return Endpoint(literal(text, text), None)


def literal(host: str, text: str) -> str:
    try:
        if "%" not in host:
            return str(ip_address(host))
    except ValueError:
        pass
    raise ValueError(f'"{text}" has no IP address; {FORM}')


def port_number(port: str, text: str) -> int:
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise ValueError(f'"{text}" has no port from 1 to 65535; {FORM}')
    return int(port)
