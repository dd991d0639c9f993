"""Parses and validates the configuration."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from problems import Misconfigured

ENDPOINTS_MAX = 16
ENDPOINT_FORM = "expected the client URLs of etcd, such as http://10.0.0.5:2379,http://10.0.0.6:2379"


@dataclass(frozen=True)
class Endpoint:
    """One etcd server."""

    scheme: str
    """`http` or `https`."""
    authority: str
    """`10.0.0.5:2379`, `[fd00::5]:2379` or `etcd.example`."""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


@dataclass(frozen=True)
class Settings:
    """The parsed configuration."""

    endpoints: tuple[Endpoint, ...]
    """Tried in order; at least one."""
    prefix: str
    """Ends in `/`."""
    user: str | None
    """None to connect without authentication."""
    password: str
    look_again_ms: int
    timeout_ms: int
    """Timeout of one request to one endpoint, in milliseconds."""
    ttl_s: int
    """TTL of an announcement, in seconds."""
    announce: bool


def read(argument: str, pairs: list[tuple[str, str]], cluster_name: str) -> tuple[Settings, list[str]]:
    """The settings, and the unknown keys of `pairs`.

    Raises `Misconfigured`.
    """
    given = dict(pairs)

    def take(key: str, default: str) -> str:
        return given.pop(key, default)

    user = given.pop("user", None)
    password = given.pop("password", None)
    if user == "":
        raise Misconfigured('user = "" is empty; remove it, or set a user of etcd')
    if (user is None) != (password is None):
        missing, present = ("password", "user") if password is None else ("user", "password")
        raise Misconfigured(f"{missing} is not set, and {present} is; set both or neither")
    settings = Settings(
        endpoints=endpoints(argument),
        prefix=prefix(take("prefix", f"/convoke/{cluster_name}/")),
        user=user,
        password=password or "",
        look_again_ms=number("look-again-ms", take("look-again-ms", "2000"), 100, 300_000),
        timeout_ms=number("timeout-ms", take("timeout-ms", "1500"), 100, 8_000),
        ttl_s=number("ttl-s", take("ttl-s", "15"), 3, 600),
        announce=truth("announce", take("announce", "true")),
    )
    return settings, list(given)


def endpoints(argument: str) -> tuple[Endpoint, ...]:
    """Raises `Misconfigured`."""
    texts = [text.strip() for text in argument.split(",")]
    if texts == [""]:
        raise Misconfigured(f'"" contains no endpoint; {ENDPOINT_FORM}')
    if len(texts) > ENDPOINTS_MAX:
        raise Misconfigured(f'"{argument}" has {len(texts)} endpoints; at most {ENDPOINTS_MAX} are allowed')
    # A dict removes duplicates and keeps the order.
    return tuple(dict.fromkeys(endpoint(text) for text in texts))


def endpoint(text: str) -> Endpoint:
    """Raises `Misconfigured`."""

    def wrong(why: str) -> Misconfigured:
        return Misconfigured(f'"{text}" {why}; {ENDPOINT_FORM}')

    if any(c <= " " or c == "\x7f" for c in text):
        raise wrong("has white space")
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise wrong("is not a URL") from None
    if url.scheme not in ("http", "https"):
        raise wrong("is not an http:// or https:// URL")
    if url.username is not None:
        # The text is not shown: it may contain a password.
        raise Misconfigured(f"an endpoint holds a user; use the settings user and password; {ENDPOINT_FORM}")
    if not url.hostname or port == 0 or url.netloc.endswith(":"):
        raise wrong("is not a URL")
    if url.path.strip("/") or url.query or url.fragment:
        raise wrong("has a path")
    return Endpoint(url.scheme, url.netloc.lower())


def prefix(text: str) -> str:
    """Raises `Misconfigured`."""
    if not text.strip("/"):
        raise Misconfigured(f'prefix = "{text}" would read all of etcd; expected one such as /convoke/members/')
    return text if text.endswith("/") else text + "/"


def number(key: str, text: str, least: int, most: int) -> int:
    """Raises `Misconfigured`."""
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise Misconfigured(f'{key} = "{text}" is not a whole number from {least} to {most}')
    return int(text)


def truth(key: str, text: str) -> bool:
    """Raises `Misconfigured`."""
    if text not in ("true", "false"):
        raise Misconfigured(f'{key} = "{text}" is neither true nor false')
    return text == "true"
