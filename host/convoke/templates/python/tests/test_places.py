import unittest

import places
from places import Place


class PlacesTest(unittest.TestCase):
    def test_addresses_with_and_without_a_port(self) -> None:
        self.assertEqual(
            places.read("10.0.0.5, 10.0.0.5:6900,[fd00::5]:6901,[fd00::5],FD00:0::6,10.0.0.5"),
            [
                Place("10.0.0.5", None),
                Place("10.0.0.5", 6900),
                Place("fd00::5", 6901),
                Place("fd00::5", None),
                Place("fd00::6", None),
            ],
        )

    def test_what_is_no_place_is_refused_value_first(self) -> None:
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
                    places.read(f"10.0.0.1,{wrong}")
                self.assertTrue(str(refused.exception).startswith(f'"{wrong}" '), refused.exception)
                self.assertIn(why, str(refused.exception))

    def test_a_list_has_an_end(self) -> None:
        with self.assertRaisesRegex(ValueError, "at most 1024"):
            places.read(",".join(["10.0.0.5"] * 1025))


if __name__ == "__main__":
    unittest.main()
