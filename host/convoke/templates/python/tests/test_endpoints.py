import unittest

import endpoints
from endpoints import Endpoint


class EndpointsTest(unittest.TestCase):
    def test_addresses_with_and_without_a_port(self) -> None:
        self.assertEqual(
            endpoints.parse("10.0.0.5, 10.0.0.5:6900,[fd00::5]:6901,[fd00::5],FD00:0::6,10.0.0.5"),
            [
                Endpoint("10.0.0.5", None),
                Endpoint("10.0.0.5", 6900),
                Endpoint("fd00::5", 6901),
                Endpoint("fd00::5", None),
                Endpoint("fd00::6", None),
            ],
        )

    def test_an_invalid_address_is_rejected_with_the_value_first(self) -> None:
        for wrong, why in [
            ("", "has no IP address"),
            ("db.example:6900", "has no IP address"),
            ("10.0.0.300", "has no IP address"),
            ("fe80::1%2", "has no IP address"),
            ("10.0.0.5:", "has no port"),
            ("10.0.0.5:0", "has no port"),
            ("10.0.0.5:70000", "has no port"),
            ("10.0.0.5:²", "has no port"),
            ("[fd00::5]:x", "has no port"),
            ("[fd00::5", "without its brackets"),
            ("[fd00::5]6900", "without its brackets"),
        ]:
            with self.subTest(wrong):
                with self.assertRaises(ValueError) as refused:
                    endpoints.parse(f"10.0.0.1,{wrong}")
                self.assertTrue(str(refused.exception).startswith(f'"{wrong}" '), refused.exception)
                self.assertIn(why, str(refused.exception))

    def test_the_length_of_the_list_is_limited(self) -> None:
        with self.assertRaisesRegex(ValueError, "at most 1024"):
            endpoints.parse(",".join(["10.0.0.5"] * 1025))


if __name__ == "__main__":
    unittest.main()
