"""Parses and formats the values of members in etcd."""

import json
from dataclasses import dataclass, field
from ipaddress import ip_address

ADDRESSES_MAX = 16
VALUE_FORM = 'expected 10.0.0.5:6900, [fd00::5]:6900 or {"address": "10.0.0.5", "port": 6900}'


@dataclass(frozen=True)
class Candidate:
    """The address of a candidate."""

    address: str
    """An IP literal."""
    port: int | None
    """None for the cluster's start port."""
    attributes: dict[str, str] = field(default_factory=dict, hash=False)


def write(member_id: str, addresses: list[str], port: int, attributes: list[tuple[str, str]]) -> bytes:
    """A value for which `read` returns these addresses."""
    value = {"addresses": addresses, "port": port, "member-id": member_id, "attributes": dict(attributes)}
    return json.dumps(value, ensure_ascii=False).encode()


def read(value: bytes) -> list[Candidate]:
    """Raises `ValueError` with the value and the reason."""
    try:
        text = value.decode().strip()
    except UnicodeDecodeError:
        raise ValueError(f"the value is not text; {VALUE_FORM}") from None
    if not text.startswith("{"):
        return [candidate(text)]
    try:
        return described(json.loads(text))
    except (json.JSONDecodeError, RecursionError):
        raise ValueError(f"{quoted(text)} is not JSON; {VALUE_FORM}") from None


def candidate(text: str) -> Candidate:
    """`10.0.0.5:6900`, `10.0.0.5`, `[fd00::5]:6900` or `fd00::5`."""
    try:
        return Candidate(literal(text), None)
    except ValueError:
        pass
    host, colon, port = text.rpartition(":")
    if not colon or (host.startswith("[") != host.endswith("]")):
        raise ValueError(f"{quoted(text)} is not an IP address and a port; {VALUE_FORM}")
    if ":" in host and not host.startswith("["):
        raise ValueError(f"{quoted(text)} is not an IP address and a port; {VALUE_FORM}")
    return Candidate(literal(host.removeprefix("[").removesuffix("]")), port_number(port))


def described(value: dict) -> list[Candidate]:
    addresses = value.get("addresses", [value.get("address")])
    if not isinstance(addresses, list) or not addresses or len(addresses) > ADDRESSES_MAX:
        raise ValueError(f"it has no list of 1 to {ADDRESSES_MAX} addresses; {VALUE_FORM}")
    port = value.get("port")
    port = None if port is None else port_number(port)
    attributes = value.get("attributes") or {}
    if not isinstance(attributes, dict):
        raise ValueError(f"{quoted(attributes)} are not valid attributes; expected an object of strings")
    attributes = {key: text for key, text in attributes.items() if isinstance(text, str)}
    if isinstance(value.get("member-id"), str):
        attributes["member-id"] = value["member-id"]
    return [Candidate(literal(address), port, attributes) for address in addresses]


def literal(address: object) -> str:
    # ip_address also accepts numbers, and IPv6 addresses with a zone.
    if not isinstance(address, str) or "%" in address:
        raise ValueError(f"{quoted(address)} is not an IP address; {VALUE_FORM}")
    try:
        return str(ip_address(address))
    except ValueError:
        raise ValueError(f"{quoted(address)} is not an IP address; {VALUE_FORM}") from None


def port_number(port: object) -> int:
    text = str(port) if isinstance(port, (int, str)) else ""
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise ValueError(f"{quoted(port)} is not a port, 1 to 65535; {VALUE_FORM}")
    return int(text)


def quoted(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return '"' + (text if len(text) <= 80 else text[:80] + "…") + '"'
