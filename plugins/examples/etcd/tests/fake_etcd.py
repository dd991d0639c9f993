"""A fake etcd: keys, leases, users. Leases expire when a test says so."""

import base64
import http.client
import http.server
import json
import threading

from gateway import Answer, Unreachable
from settings import Endpoint


class FakeEtcd:
    """Listens on 127.0.0.1 until `stop`."""

    def __init__(self, port: int = 0) -> None:
        self.keys: dict[bytes, tuple[bytes, str]] = {}
        self.leases: dict[str, int] = {}
        self.users: dict[str, str] = {}
        self.tokens: set[str] = set()
        self.forbidden: set[str] = set()
        self.broken: int | None = None
        self.requests: list[str] = []
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def set(self, key: str, value: str, lease: str = "") -> None:
        self.keys[key.encode()] = (value.encode(), lease)

    def expire_leases(self) -> None:
        self.keys = {key: pair for key, pair in self.keys.items() if pair[1] not in self.leases}
        self.leases.clear()

    def answer(self, path: str, message: dict, token: str) -> tuple[int, object]:
        self.requests.append(path)
        if self.broken is not None:
            return self.broken, error(14, "etcdserver: no leader")
        if path == "/v3/auth/authenticate":
            return self._authenticate(message)
        if self.users and not token:
            return 400, error(3, "etcdserver: user name is empty")
        if self.users and token not in self.tokens:
            refusal = error(16, "etcdserver: invalid auth token")
            if path == "/v3/lease/keepalive":
                # The format of etcd 3.7.3: the error of a stream is nested one level deeper.
                return 401, {"error": {"code": 16, "message": refusal["message"]}}
            return 401, refusal
        if path in self.forbidden:
            return 403, error(7, "etcdserver: permission denied")
        match path:
            case "/v3/kv/range":
                return self._range(message)
            case "/v3/kv/put":
                return self._put(message)
            case "/v3/lease/grant":
                lease = str(7587848390313130250 + len(self.leases))
                self.leases[lease] = int(message["TTL"])
                return 200, {"header": {}, "ID": lease, "TTL": str(message["TTL"])}
            case "/v3/lease/keepalive":
                return self._keep_alive(str(message["ID"]))
            case "/v3/lease/revoke":
                return self._revoke(str(message["ID"]))
        return 404, "404 page not found"

    def _authenticate(self, message: dict) -> tuple[int, object]:
        if not self.users:
            return 400, error(9, "etcdserver: authentication is not enabled")
        if self.users.get(message["name"]) != message["password"]:
            return 400, error(3, "etcdserver: authentication failed, invalid user ID or password")
        token = f"token.{len(self.requests)}"
        self.tokens.add(token)
        return 200, {"header": {}, "token": token}

    def _range(self, message: dict) -> tuple[int, object]:
        start, end = decoded(message["key"]), decoded(message["range_end"])
        found = sorted(key for key in self.keys if start <= key < end)
        kept = found[: message["limit"]]
        kvs = [{"key": encoded(key), "value": encoded(self.keys[key][0])} for key in kept]
        answer: dict = {"header": {}}
        if kvs:
            # The JSON encoding of proto3 omits empty, zero and false values.
            answer |= {"kvs": kvs, "count": str(len(found))}
        if len(found) > len(kept):
            answer["more"] = True
        return 200, answer

    def _put(self, message: dict) -> tuple[int, object]:
        if message["lease"] not in self.leases:
            return 404, error(5, "etcdserver: requested lease not found")
        self.keys[decoded(message["key"])] = (decoded(message["value"]), message["lease"])
        return 200, {"header": {}}

    def _keep_alive(self, lease: str) -> tuple[int, object]:
        result: dict = {"header": {}, "ID": lease}
        if lease in self.leases:
            result["TTL"] = str(self.leases[lease])
        return 200, {"result": result}

    def _revoke(self, lease: str) -> tuple[int, object]:
        if self.leases.pop(lease, None) is None:
            return 404, error(5, "etcdserver: requested lease not found")
        self.keys = {key: pair for key, pair in self.keys.items() if pair[1] != lease}
        return 200, {"header": {}}

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                message = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status, answer = fake.answer(self.path, message, self.headers.get("authorization", ""))
                body = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def send(
    endpoint: Endpoint, path: str, headers: list[tuple[str, str]], body: bytes, timeout_ms: int
) -> Answer:
    """The interface of `transport.send`, without a host."""
    connection = http.client.HTTPConnection(endpoint.authority, timeout=timeout_ms / 1000)
    try:
        connection.request("POST", path, body, dict(headers))
        response = connection.getresponse()
        return Answer(response.status, response.read())
    except OSError as error:
        raise Unreachable(f"cannot be reached: {error}") from None
    finally:
        connection.close()


def error(code: int, words: str) -> dict:
    return {"error": words, "code": code, "message": words}


def encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


def decoded(value: str) -> bytes:
    return base64.b64decode(value)
