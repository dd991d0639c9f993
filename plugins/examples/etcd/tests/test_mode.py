import unittest

import gateway
import members
from gateway import Refused
from mode import Etcd, Member
from problems import Denied, Failed, Misconfigured, Temporary
from fake_etcd import FakeEtcd, send

ME = Member("shop", "m-1", ["10.0.0.1", "fd00::1"], 6900, [("zone", "a")])


class ModeTest(unittest.TestCase):
    def setUp(self) -> None:
        self.etcd = self.start()
        self.lines: list[tuple[str, str, dict[str, str]]] = []

    def start(self, port: int = 0) -> FakeEtcd:
        etcd = FakeEtcd(port)
        self.addCleanup(etcd.stop)
        return etcd

    def mode(self, argument: str = "", me: Member = ME, **pairs: str) -> Etcd:
        def log(level: str, message: str, fields: dict[str, str]) -> None:
            self.lines.append((level, message, fields))

        settings = [(key.replace("_", "-"), value) for key, value in pairs.items()]
        return Etcd(argument or self.etcd.url, settings, me, send, log)

    def addresses(self, mode: Etcd) -> list[str]:
        return [candidate.address for candidate in mode.look().candidates]

    def problem(self, kind: type[Exception], call: object) -> str:
        with self.assertRaises(kind) as raised:
            call()
        return str(raised.exception)

    # Discovering.

    def test_no_members_are_an_empty_result(self) -> None:
        look = self.mode().look()
        self.assertEqual((look.candidates, look.complete, look.again_ms), ([], True, 2000))

    def test_only_keys_below_the_prefix_are_read(self) -> None:
        self.etcd.set("/convoke/shop/a", "10.0.0.5:6900")
        self.etcd.set("/convoke/shop/b", '{"address": "fd00::6", "port": 6901}')
        self.etcd.set("/convoke/shop", "10.0.0.7:6900")
        self.etcd.set("/convoke/shop0", "10.0.0.8:6900")
        self.etcd.set("/convoke/other/a", "10.0.0.9:6900")
        self.assertEqual(self.addresses(self.mode()), ["10.0.0.5", "fd00::6"])
        self.assertEqual(self.addresses(self.mode(prefix="/convoke/other")), ["10.0.0.9"])

    def test_an_invalid_value_is_logged_once_and_the_others_are_used(self) -> None:
        self.etcd.set("/convoke/shop/a", "10.0.0.300:6900")
        self.etcd.set("/convoke/shop/b", "10.0.0.5:6900")
        mode = self.mode()
        for _ in range(2):
            look = mode.look()
            self.assertEqual([candidate.address for candidate in look.candidates], ["10.0.0.5"])
            self.assertFalse(look.complete)
            self.assertEqual(look.invalid, ["/convoke/shop/a"])
        self.assertEqual(len(self.lines), 1)
        self.assertEqual(self.lines[0][2]["key"], "/convoke/shop/a")

    def test_a_result_with_too_many_keys_is_not_complete(self) -> None:
        for n in range(gateway.KEYS_MAX + 1):
            self.etcd.set(f"/convoke/shop/{n:05}", "10.0.0.5:6900")
        look = self.mode().look()
        self.assertEqual((len(look.candidates), look.complete), (gateway.KEYS_MAX, False))

    def test_an_unknown_setting_is_logged(self) -> None:
        self.mode(colour="red")
        self.assertEqual(self.lines, [("warn", "unknown setting ignored", {"setting": "colour"})])

    # Endpoints.

    def test_endpoints_are_tried_in_order_and_the_working_one_is_kept(self) -> None:
        broken = self.start()
        broken.broken = 503
        mode = self.mode(f"{broken.url},{self.etcd.url}")
        self.etcd.set("/convoke/shop/a", "10.0.0.5:6900")
        self.assertEqual(self.addresses(mode), ["10.0.0.5"])
        self.assertEqual(self.addresses(mode), ["10.0.0.5"])
        self.assertEqual(len(broken.requests), 1)

    def test_if_no_endpoint_responds_all_reasons_are_reported(self) -> None:
        gone = FakeEtcd()
        gone.stop()
        self.etcd.broken = 503
        text = self.problem(Temporary, self.mode(f"{gone.url},{self.etcd.url}").look)
        self.assertIn(f"{gone.url} cannot be reached", text)
        self.assertIn(f"{self.etcd.url} returned HTTP 503 etcdserver: no leader", text)

    def test_it_is_denied_only_if_no_endpoint_is_granted(self) -> None:
        def refuse(endpoint: object, *_: object) -> gateway.Answer:
            if str(endpoint) == "http://a":
                raise Refused("is not granted")
            raise gateway.Unreachable("cannot be reached")

        def mode(argument: str) -> Etcd:
            return Etcd(argument, [], ME, refuse, lambda *_: None)

        self.assertEqual(self.problem(Denied, mode("http://a").look), "http://a is not granted")
        self.problem(Temporary, mode("http://a,http://b").look)

    def test_a_server_that_is_not_etcd(self) -> None:
        def other(status: int, body: bytes) -> Etcd:
            return Etcd("http://a", [], ME, lambda *_: gateway.Answer(status, body), lambda *_: None)

        text = self.problem(Misconfigured, other(404, b"404 page not found").look)
        self.assertTrue(text.startswith("http://a has no /v3/kv/range"), text)
        for body in (b"<html>", b"[" * 100_000, b'{"a":' * 1_000):
            self.assertIn("check that it is etcd's client URL", self.problem(Failed, other(200, body).look))
        self.assertIn("HTTP 418", self.problem(Failed, other(418, b"").look))

    def test_the_error_of_a_failed_stream_is_unwrapped(self) -> None:
        body = b'{"error":{"grpc_code":14,"http_code":503,"message":"etcdserver: no leader"}}'
        mode = Etcd("http://a", [], ME, lambda *_: gateway.Answer(200, body), lambda *_: None)
        self.assertIn("HTTP 503 etcdserver: no leader", self.problem(Temporary, mode.look))
        body = b'{"error":{"code":7,"message":"etcdserver: permission denied"}}'
        mode = Etcd("http://a", [], ME, lambda *_: gateway.Answer(200, body), lambda *_: None)
        self.assertIn("may not read it", self.problem(Temporary, mode.look))

    # Users.

    def test_an_expired_token_is_requested_again(self) -> None:
        self.etcd.users["convoke"] = "secret"
        mode = self.mode(user="convoke", password="secret")
        mode.look()
        mode.look()
        self.assertEqual(self.etcd.requests.count("/v3/auth/authenticate"), 1)
        self.etcd.tokens.clear()
        mode.look()
        self.assertEqual(self.etcd.requests.count("/v3/auth/authenticate"), 2)

    def test_a_user_is_ignored_if_authentication_is_off(self) -> None:
        self.assertEqual(self.mode(user="convoke", password="secret").look().candidates, [])

    def test_authentication_failures_are_reported(self) -> None:
        self.etcd.users["convoke"] = "secret"
        text = self.problem(Misconfigured, self.mode().look)
        self.assertTrue(text.startswith("user is not set, and http://127.0.0.1:"), text)
        text = self.problem(Temporary, self.mode(user="convoke", password="hunter2").look)
        self.assertTrue(text.startswith('user "convoke": http://127.0.0.1:'), text)
        self.assertNotIn("hunter2", text)
        self.etcd.forbidden.add("/v3/kv/range")
        text = self.problem(Temporary, self.mode(user="convoke", password="secret").look)
        self.assertTrue(text.startswith('"/convoke/shop/": user "convoke" may not read it'), text)
        self.assertIn("etcdctl role grant-permission ROLE --prefix=true readwrite /convoke/shop/", text)

    def test_an_expired_token_is_detected_by_a_keep_alive(self) -> None:
        self.etcd.users["convoke"] = "secret"
        mode = self.mode(user="convoke", password="secret")
        mode.announce()
        self.etcd.tokens.clear()
        mode.announce()
        self.assertEqual(self.etcd.requests.count("/v3/auth/authenticate"), 2)
        self.assertEqual(self.etcd.requests.count("/v3/kv/put"), 1, "the lease is the same")

    def test_a_keep_alive_is_rejected_with_any_text(self) -> None:
        for body in (b'{"error":{"code":16,"message":"etcdserver: invalid auth token"}}', b"", b"<html>"):
            requests: list[str] = []

            def refuse(_: object, path: str, *__: object) -> gateway.Answer:
                requests.append(path)
                if path == "/v3/auth/authenticate":
                    return gateway.Answer(200, b'{"token": "t"}')
                return gateway.Answer(401, body)

            settings = [("user", "convoke"), ("password", "secret")]
            mode = Etcd("http://a", settings, ME, refuse, lambda *_: None)
            mode._lease = "1"
            self.assertIn("rejects the token it has just issued", self.problem(Temporary, mode.announce))
            self.assertEqual(requests.count("/v3/auth/authenticate"), 2)

    # Announcing.

    def test_an_announcement_is_found_and_kept_alive(self) -> None:
        mode = self.mode(ttl_s="30")
        self.assertEqual(mode.announce(), 10_000)
        self.assertEqual(mode.announce(), 10_000)
        self.assertEqual(self.etcd.requests.count("/v3/kv/put"), 1)
        candidate = self.mode().look().candidates[0]
        self.assertEqual(candidate, members.Candidate("10.0.0.1", 6900, {"zone": "a", "member-id": "m-1"}))
        self.assertEqual(self.addresses(self.mode()), ["10.0.0.1", "fd00::1"])

    def test_an_expired_announcement_is_repeated(self) -> None:
        mode = self.mode()
        mode.announce()
        self.etcd.expire_leases()
        self.assertEqual(self.addresses(self.mode()), [])
        mode.announce()
        self.assertEqual(self.addresses(self.mode()), ["10.0.0.1", "fd00::1"])

    def test_a_removed_announcement_is_repeated(self) -> None:
        mode = self.mode()
        mode.announce()
        self.etcd.keys.clear()
        mode.look()
        mode.announce()
        self.assertEqual(self.addresses(self.mode()), ["10.0.0.1", "fd00::1"])

    def test_a_withdrawn_announcement_is_gone(self) -> None:
        mode = self.mode()
        mode.announce()
        mode.withdraw()
        mode.withdraw()
        self.assertEqual(self.etcd.keys, {})
        self.assertEqual(self.etcd.requests.count("/v3/lease/revoke"), 1)

    def test_withdrawing_an_expired_lease_is_not_an_error(self) -> None:
        mode = self.mode()
        mode.announce()
        self.etcd.expire_leases()
        mode.withdraw()

    def test_a_member_without_a_port_is_not_announced(self) -> None:
        nowhere = Member("shop", "m-1", ["10.0.0.1"], 0, [])
        self.assertIsNone(self.mode(me=nowhere).announce())
        self.assertIsNone(self.mode(announce="false").announce())
        self.assertEqual(self.etcd.requests, [])

    def test_a_missing_write_permission_is_reported(self) -> None:
        self.etcd.forbidden.add("/v3/kv/put")
        text = self.problem(Temporary, self.mode().announce)
        self.assertTrue(text.startswith('"/convoke/shop/": an anonymous client may not write it'), text)


if __name__ == "__main__":
    unittest.main()
