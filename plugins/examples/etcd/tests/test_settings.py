import unittest

import settings
from problems import Misconfigured
from settings import Endpoint


def refused(argument: str, **pairs: str) -> str:
    try:
        settings.read(argument, [(key.replace("_", "-"), value) for key, value in pairs.items()], "shop")
    except Misconfigured as problem:
        return str(problem)
    raise AssertionError(f"{argument} {pairs} was accepted")


class SettingsTest(unittest.TestCase):
    def test_endpoints_keep_their_order_without_duplicates(self) -> None:
        given = "http://10.0.0.5:2379, https://Etcd.example/,http://[fd00::5]:2379,http://10.0.0.5:2379"
        self.assertEqual(
            settings.endpoints(given),
            (
                Endpoint("http", "10.0.0.5:2379"),
                Endpoint("https", "etcd.example"),
                Endpoint("http", "[fd00::5]:2379"),
            ),
        )

    def test_defaults(self) -> None:
        read, unknown = settings.read("http://a:2379", [("colour", "red")], "shop")
        self.assertEqual(read.prefix, "/convoke/shop/")
        self.assertEqual((read.ttl_s, read.look_again_ms, read.timeout_ms), (15, 2000, 1500))
        self.assertIsNone(read.user)
        self.assertTrue(read.announce)
        self.assertEqual(unknown, ["colour"])

    def test_a_prefix_ends_in_a_slash(self) -> None:
        read, _ = settings.read("http://a:2379", [("prefix", "/members")], "shop")
        self.assertEqual(read.prefix, "/members/")

    def test_an_invalid_endpoint_is_rejected_with_the_value_first(self) -> None:
        for wrong in [
            "", "10.0.0.5:2379", "etcd", "ftp://a", "http://", "http://:2379", "http://a:", "http://a:0",
            "http://a:70000", "http://a:x", "http://a b", "http://[fd00::5", "http://a/v3", "http://a?x",
            "http://a,", ",http://a", "http://a\tb",
        ]:
            with self.subTest(wrong):
                text = refused(wrong)
                self.assertTrue(text.startswith('"'), text)
                self.assertIn("expected the client URLs of etcd", text)
        self.assertIn("at most 16", refused(",".join(f"http://10.0.0.{n}" for n in range(17))))

    def test_a_password_in_an_endpoint_is_not_shown(self) -> None:
        self.assertNotIn("hunter2", refused("http://root:hunter2@a:2379"))

    def test_invalid_settings_are_rejected_with_the_value_first(self) -> None:
        for expected, pairs in [
            ('prefix = "/" would read all of etcd', {"prefix": "/"}),
            ('prefix = "" would', {"prefix": ""}),
            ('ttl-s = "2" is not a whole number from 3 to 600', {"ttl_s": "2"}),
            ('ttl-s = "15s" is not', {"ttl_s": "15s"}),
            ('look-again-ms = "-1" is not', {"look_again_ms": "-1"}),
            ('timeout-ms = "²" is not', {"timeout_ms": "²"}),
            ('announce = "yes" is neither', {"announce": "yes"}),
            ("password is not set, and user is", {"user": "root"}),
            ("user is not set, and password is", {"password": "x"}),
            ('user = "" is empty', {"user": "", "password": "x"}),
        ]:
            with self.subTest(expected):
                self.assertTrue(refused("http://a", **pairs).startswith(expected), refused("http://a", **pairs))


if __name__ == "__main__":
    unittest.main()
