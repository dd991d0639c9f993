"""A client for etcd's JSON gateway, version 3.

https://etcd.io/docs/v3.5/dev-guide/api_grpc_gateway/
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass

from problems import Denied, Failed, Misconfigured, Temporary
from settings import Endpoint, Settings

KEYS_MAX = 4_096
# etcd's responses are nested only a few levels deep.
DEPTH_MAX = 64
ALL_BUT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")

# etcd's error texts. Several causes share a status.
WRONG_PASSWORD = "authentication failed, invalid user ID or password"
NO_USER = "user name is empty"
AUTH_IS_OFF = "authentication is not enabled"
# gRPC codes of a stream that failed: not found, permission denied, unauthenticated.
HTTP_OF_GRPC = {5: 404, 7: 403, 16: 401}
STALE_TOKEN = ("invalid auth token", "revision of auth store is old")


@dataclass(frozen=True)
class Answer:
    """An HTTP response."""

    status: int
    body: bytes


class Unreachable(Exception):
    """The request failed, with the reason."""


class Refused(Unreachable):
    """The host denied the request."""


Send = Callable[[Endpoint, str, list[tuple[str, str]], bytes, int], Answer]
"""Posts a body to a path of an endpoint, with headers and a timeout in milliseconds.
Raises `Unreachable`."""


class LeaseGone(Exception):
    """The lease does not exist."""


class StaleToken(Exception):
    """The token has expired."""


class Gateway:
    """Tries the endpoints in order, starting with the one that responded last."""

    def __init__(self, settings: Settings, send: Send) -> None:
        self._settings = settings
        self._send = send
        self._endpoints = list(settings.endpoints)
        self._token: str | None = None

    def below(self, prefix: str) -> tuple[list[tuple[str, bytes]], bool]:
        """Keys and values below a prefix, and whether there are more."""
        key = prefix.encode()
        request = {"key": text(key), "range_end": text(prefix_end(key)), "limit": KEYS_MAX}
        found = self._call("/v3/kv/range", request)
        pairs = [
            (data(pair.get("key", "")).decode(errors="replace"), data(pair.get("value", "")))
            for pair in found.get("kvs", [])
        ]
        return pairs, found.get("more", False) is True

    def grant(self, ttl_s: int) -> tuple[str, int]:
        """Creates a lease; returns its id and its TTL in seconds, as chosen by etcd."""
        granted = self._call("/v3/lease/grant", {"TTL": ttl_s, "ID": 0})
        return str(granted["ID"]), int(granted["TTL"])

    def put(self, key: str, value: bytes, lease: str) -> None:
        """Raises `LeaseGone`."""
        self._call("/v3/kv/put", {"key": text(key.encode()), "value": text(value), "lease": lease})

    def keep_alive(self, lease: str) -> int:
        """Renews a lease; returns its TTL in seconds. Raises `LeaseGone`."""
        kept = self._call("/v3/lease/keepalive", {"ID": lease})
        # An expired lease has a TTL of zero, which the JSON encoding of proto3 omits.
        ttl_s = int(kept.get("result", {}).get("TTL", 0))
        if ttl_s <= 0:
            raise LeaseGone
        return ttl_s

    def revoke(self, lease: str) -> None:
        """Ends a lease, and removes its keys. Raises `LeaseGone`."""
        self._call("/v3/lease/revoke", {"ID": lease})

    def _call(self, path: str, message: dict) -> dict:
        try:
            return self._ask(path, message, self._authenticated())
        except StaleToken:
            self._token = None
        try:
            return self._ask(path, message, self._authenticated())
        except StaleToken:
            raise Temporary(f'user "{self._settings.user}": etcd rejects the token it has just issued') from None

    def _authenticated(self) -> str:
        """A token; empty if none is needed."""
        if self._settings.user is None:
            return ""
        if self._token is None:
            who = {"name": self._settings.user, "password": self._settings.password}
            self._token = self._ask("/v3/auth/authenticate", who, "").get("token", "")
        return self._token

    def _ask(self, path: str, message: dict, token: str) -> dict:
        body = json.dumps(message).encode()
        headers = [("authorization", token)] if token else []
        failures: list[str] = []
        all_refused = True
        for _ in self._settings.endpoints:
            endpoint = self._endpoints[0]
            try:
                answer = plain(self._send(endpoint, path, headers, body, self._settings.timeout_ms))
            except Unreachable as why:
                all_refused = all_refused and isinstance(why, Refused)
                failures.append(f"{endpoint} {why}")
            else:
                all_refused = False
                if not passes(answer.status):
                    return self._read(endpoint, path, answer)
                failures.append(f"{endpoint} returned HTTP {answer.status} {complaint(answer)}".rstrip())
            self._endpoints.append(self._endpoints.pop(0))
        words = "; ".join(failures)
        raise Denied(words) if all_refused else Temporary(words)

    def _read(self, endpoint: Endpoint, path: str, answer: Answer) -> dict:
        if answer.status == 200:
            try:
                value = read_json(answer.body)
            except ValueError:
                value = None
            if isinstance(value, dict):
                return value
            raise Failed(f"{endpoint} returned an invalid response for {path}; check that it is etcd's client URL")
        words = complaint(answer)
        if path == "/v3/lease/keepalive" and answer.status == 401 and self._token is not None:
            # etcd 3.4 ignores the token here; later versions check it, with varying error
            # texts.
            raise StaleToken()
        if AUTH_IS_OFF in words:
            # A configured user is ignored if authentication is off.
            return {}
        raise self._problem(endpoint, path, answer.status, words)

    def _problem(self, endpoint: Endpoint, path: str, status: int, words: str) -> Exception:
        # What can be fixed at etcd is temporary: the member waits, and needs no restart.
        user, prefix = self._settings.user, self._settings.prefix
        if "lease not found" in words:
            return LeaseGone()
        if NO_USER in words:
            return Misconfigured(f"user is not set, and {endpoint} requires authentication; add user and password to settings")
        if WRONG_PASSWORD in words:
            return Temporary(f'user "{user}": {endpoint} rejects this name or password; check user and password')
        if user is not None and any(stale in words for stale in STALE_TOKEN):
            return StaleToken()
        if status in (401, 403):
            does = "write" if path in ("/v3/kv/put", "/v3/lease/revoke") else "read"
            who = f'user "{user}"' if user else "an anonymous client"
            return Temporary(
                f'"{prefix}": {who} may not {does} it in {endpoint} ({words or f"HTTP {status}"}); allow it: '
                f"etcdctl role grant-permission ROLE --prefix=true readwrite {prefix}"
            )
        if status == 404:
            return Misconfigured(
                f"{endpoint} has no {path}; configure a client URL of etcd 3.4 or later, with the JSON gateway enabled"
            )
        return Failed(f"{endpoint} returned HTTP {status} for {path}: {words}".rstrip())


def read_json(body: bytes) -> object:
    """Limits the nesting depth for `json.loads`, which would exhaust the stack of a component.
    Raises `ValueError`."""
    depth = deepest = 0
    for byte in body.translate(None, ALL_BUT_BRACKETS):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    if deepest > DEPTH_MAX:
        raise ValueError(f"nested {deepest} deep")
    return json.loads(body)


def plain(answer: Answer) -> Answer:
    """Unwraps the error of a failed stream, which is in a response with status 200."""
    if answer.status == 200 and answer.body.startswith(b'{"error"'):
        try:
            error = read_json(answer.body)["error"]
            status = error.get("http_code") or HTTP_OF_GRPC.get(error.get("code"), 500)
            return Answer(int(status), json.dumps(error).encode())
        except (ValueError, AttributeError, TypeError):
            pass
    return answer


def passes(status: int) -> bool:
    """Whether the request may succeed at another endpoint, or later."""
    return status >= 500 or status in (408, 429)


def complaint(answer: Answer) -> str:
    """The error text: in `message`, in `error` (etcd 3.4), or, for streams, in the `message` of
    an `error`."""
    try:
        value = read_json(answer.body)
        if isinstance(value.get("error"), dict):
            value = value["error"]
        words = value.get("message") or value.get("error")
    except (ValueError, AttributeError):
        words = None
    return words if isinstance(words, str) else ""


def prefix_end(prefix: bytes) -> bytes:
    """The first key after all keys that start with `prefix`."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else b"\0"


def text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def data(value: str) -> bytes:
    return base64.b64decode(value)
