//! Invalid and unusual arguments.

use crate::generator::Generator;

/// Length of the longest one, in bytes.
const LONG_BYTES: usize = 64 << 10;

/// The number of random arguments.
const RANDOM: usize = 24;

/// The fixed arguments, random ones, and those of the mode's author.
pub(super) fn invalid(random: &mut Generator, own: &[String]) -> Vec<String> {
    let fixed = [
        "",
        " ",
        "  \t\r\n",
        "\0",
        "a\0b",
        "\u{1}\u{7f}\u{1b}[31m",
        ",",
        ",,,;;",
        ":",
        "::",
        "[",
        "]:",
        "[]:1",
        ":0",
        "a:65536",
        "a:-1",
        "a:99999999999999999999",
        "-",
        "--help",
        "*",
        "%",
        "%00",
        "%s%n",
        "../../etc/passwd",
        "/dev/zero",
        "C:\\con",
        "http://",
        "https://",
        "http:///",
        "http://:80",
        "http://[",
        "http://a b/",
        "http://a@b:c@d/",
        "http://ä.example/",
        "ftp://a",
        "srv:",
        "tag:",
        "=",
        "a=",
        "{}",
        "[1]",
        "null",
        "\"",
        "'",
        "$(reboot)",
        "`",
        "10.0.0.300",
        "10.0.0.1-",
        "0.0.0.0/0",
        "::/0",
        "fe80::1%eth0",
        "ééé",
        "例え.テスト",
        "\u{202e}abc",
        "\u{feff}",
        "💥💥",
        "\u{10ffff}",
        "e\u{301}\u{301}\u{301}",
    ];
    let mut all: Vec<String> = fixed.iter().map(|text| (*text).to_owned()).collect();
    all.push("a".repeat(LONG_BYTES));
    all.push(",".repeat(LONG_BYTES));
    all.push("[".repeat(LONG_BYTES));
    all.push("ä".repeat(LONG_BYTES / 2));
    all.extend(own.iter().cloned());
    let samples: Vec<String> = all.iter().filter(|text| text.len() < 100).cloned().collect();
    for round in 0..RANDOM {
        all.push(match round % 2 {
            0 => random.text(60),
            _ => {
                let sample = samples[random.up_to(samples.len() - 1)].clone();
                String::from_utf8_lossy(&random.mutated(sample.as_bytes())).into_owned()
            }
        });
    }
    all
}
