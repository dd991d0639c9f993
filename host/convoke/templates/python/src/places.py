"""Where members may be: reads the argument. Needs no host, so it is tested without."""

from dataclasses import dataclass
from ipaddress import ip_address

PLACES_MAX = 1_024
FORM = "expected addresses such as 10.0.0.5, 10.0.0.5:6900 or [fd00::5]:6900, separated by commas"


@dataclass(frozen=True)
class Place:
    """Where a member may be listening."""

    address: str
    """An IP literal."""
    port: int | None
    """None for the cluster's own start port."""


def read(argument: str) -> list[Place]:
    """Each place once. Raises `ValueError` in words for an operator."""
    texts = argument.split(",")
    if len(texts) > PLACES_MAX:
        raise ValueError(f'"{texts[PLACES_MAX]}" is place {PLACES_MAX + 1}; at most {PLACES_MAX} are taken')
    return list(dict.fromkeys(place(text.strip()) for text in texts))


def place(text: str) -> Place:
    if text.startswith("["):
        host, bracket, port = text[1:].rpartition("]")
        if not bracket or (port and not port.startswith(":")):
            raise ValueError(f'"{text}" has an IPv6 address without its brackets; {FORM}')
        return Place(literal(host, text), port_number(port[1:], text) if port else None)
    # One colon is before a port, several are an IPv6 address.
    host, colon, port = text.partition(":")
    if colon and ":" not in port:
        return Place(literal(host, text), port_number(port, text))
    return Place(literal(text, text), None)


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
