"""HTTP through the host; needs the grant `http`."""

import re
from dataclasses import fields, is_dataclass
from typing import Self

from componentize_py_types import Err
from wit_world.imports import monotonic_clock, outgoing_handler
from wit_world.imports import wasi_http_types as http
from wit_world.imports.poll import Pollable, poll
from wit_world.imports.streams import StreamError_Closed

from gateway import Answer, Refused, Unreachable
from settings import Endpoint

ANSWER_BYTES_MAX = 8 << 20
READ_BYTES = 64 << 10


class Deadline:
    """The deadline of a request, for all its waits."""

    def __init__(self, timeout_ms: int) -> None:
        self._timeout_ms = timeout_ms
        self._timer = monotonic_clock.subscribe_duration(timeout_ms * 1_000_000)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._timer.__exit__(None, None, None)

    def wait(self, ready: Pollable) -> None:
        """Raises `Unreachable` when the deadline has passed."""
        # Handles are released at once: the host limits their number.
        with ready:
            if 0 not in poll([ready, self._timer]):
                raise Unreachable(f"did not respond within {self._timeout_ms} ms")


def send(
    endpoint: Endpoint, path: str, headers: list[tuple[str, str]], body: bytes, timeout_ms: int
) -> Answer:
    """Posts JSON. Raises `Unreachable`."""
    head = [("content-type", "application/json"), ("content-length", str(len(body))), *headers]
    try:
        request = http.OutgoingRequest(
            http.Fields.from_list([(name, value.encode()) for name, value in head])
        )
        request.set_method(http.Method_Post())
        request.set_scheme(http.Scheme_Https() if endpoint.scheme == "https" else http.Scheme_Http())
        request.set_authority(endpoint.authority)
        request.set_path_with_query(path)
    except Err:
        raise Unreachable("cannot be requested: the HTTP request is invalid") from None
    with Deadline(timeout_ms) as deadline:
        outgoing = request.body()
        try:
            # Without options: the host would keep a handle for each.
            future = outgoing_handler.handle(request, None)
        except Err as error:
            raise unreachable(endpoint, error.value) from None
        with future:
            write(outgoing, body, deadline)
            deadline.wait(future.subscribe())
            arrived = future.get().value
            if isinstance(arrived, Err):
                raise unreachable(endpoint, arrived.value)
            with arrived.value as response:
                return Answer(response.status(), read(response, deadline))


def write(outgoing: http.OutgoingBody, body: bytes, deadline: Deadline) -> None:
    # If the connection fails, the response has a better error text.
    try:
        with outgoing.write() as stream:
            while body:
                room = stream.check_write()
                if room == 0:
                    deadline.wait(stream.subscribe())
                else:
                    stream.write(body[:room])
                    body = body[room:]
            stream.flush()
            deadline.wait(stream.subscribe())
        http.OutgoingBody.finish(outgoing, None)
    except Err:
        pass


def read(response: http.IncomingResponse, deadline: Deadline) -> bytes:
    body = bytearray()
    with response.consume() as incoming, incoming.stream() as stream:
        while True:
            try:
                piece = stream.read(READ_BYTES)
            except Err as error:
                if isinstance(error.value, StreamError_Closed):
                    return bytes(body)
                raise Unreachable("closed the connection before the end of the response") from None
            if not piece:
                deadline.wait(stream.subscribe())
            body += piece
            if len(body) > ANSWER_BYTES_MAX:
                raise Unreachable(f"returned more than {ANSWER_BYTES_MAX >> 20} MiB")


def unreachable(endpoint: Endpoint, code: http.ErrorCode) -> Unreachable:
    if isinstance(code, http.ErrorCode_HttpRequestDenied):
        return Refused(f'is not granted; to allow it: grant = {{ http = ["{endpoint}"] }}')
    return Unreachable(f"cannot be reached: {error_text(code)}")


def error_text(code: object) -> str:
    """The text of an error code: "connection refused" for `ErrorCode_ConnectionRefused`."""
    words = type(code).__name__.rpartition("_")[2]
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", words).lower()
    return " ".join([words, *details(code)])


def details(value: object) -> list[str]:
    if is_dataclass(value):
        return [words for field in fields(value) for words in details(getattr(value, field.name))]
    return [] if value is None else [str(value)]
