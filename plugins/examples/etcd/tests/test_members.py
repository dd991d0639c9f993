import unittest

import members
from members import Candidate


class MembersTest(unittest.TestCase):
    def test_addresses_with_and_without_a_port(self) -> None:
        for value, candidate in [
            (b"10.0.0.5:6900", Candidate("10.0.0.5", 6900)),
            (b" 10.0.0.5\n", Candidate("10.0.0.5", None)),
            (b"[fd00::5]:6900", Candidate("fd00::5", 6900)),
            (b"FD00:0::5", Candidate("fd00::5", None)),
        ]:
            with self.subTest(value):
                self.assertEqual(members.read(value), [candidate])

    def test_json(self) -> None:
        self.assertEqual(members.read(b'{"address": "10.0.0.5", "port": 6900}'), [Candidate("10.0.0.5", 6900)])
        self.assertEqual(members.read(b'{"address": "10.0.0.5"}'), [Candidate("10.0.0.5", None)])
        self.assertEqual(
            members.read(b'{"address": "10.0.0.5", "port": "6900", "attributes": {"zone": "b", "n": 1}}'),
            [Candidate("10.0.0.5", 6900, {"zone": "b"})],
        )

    def test_values_round_trip(self) -> None:
        value = members.write("m-1", ["10.0.0.5", "fd00::5"], 6900, [("zone", "b")])
        attributes = {"zone": "b", "member-id": "m-1"}
        self.assertEqual(
            members.read(value), [Candidate("10.0.0.5", 6900, attributes), Candidate("fd00::5", 6900, attributes)]
        )

    def test_an_invalid_value_is_rejected_with_the_value(self) -> None:
        for value, expected in [
            (b"", '"" is not an IP address and a port'),
            (b"db.example:6900", '"db.example" is not an IP address'),
            (b"10.0.0.300:6900", '"10.0.0.300" is not an IP address'),
            (b"10.0.0.5:0", '"0" is not a port'),
            (b"10.0.0.5:70000", '"70000" is not a port'),
            (b"[fd00::5:6900", '"[fd00::5:6900" is not'),
            (b"fd00::5:6900:x", '"fd00::5:6900:x" is not'),
            (b"fe80::1%2", '"fe80::1%2" is not'),
            (b"\xff", "the value is not text"),
            (b"{", '"{" is not JSON'),
            (b"{" * 5000, "is not JSON"),
            (b"{}", '"null" is not an IP address'),
            (b'{"address": 5}', '"5" is not an IP address'),
            (b'{"addresses": []}', "it has no list of 1 to 16 addresses"),
            (b'{"addresses": "10.0.0.5"}', "it has no list"),
            (b'{"address": "10.0.0.5", "port": true}', '"true" is not a port'),
            (b'{"address": "10.0.0.5", "port": 1.5}', '"1.5" is not a port'),
            (b'{"address": "10.0.0.5", "attributes": "x"}', '"x" are not valid attributes'),
        ]:
            with self.subTest(value[:40]):
                with self.assertRaises(ValueError) as refused:
                    members.read(value)
                self.assertIn(expected, str(refused.exception))
                self.assertLess(len(str(refused.exception)), 300)


if __name__ == "__main__":
    unittest.main()
