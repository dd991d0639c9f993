//! Seeded generator of malformed input.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Characters that are significant in many formats.
const MARKS: &[char] = &[
    '.', ':', ',', ';', '/', '-', '[', ']', '{', '}', '"', '\'', '%', '*', '=', '<', '>', '&', '#',
    '@', '\\', ' ', '\n', '\0', '0', '1', '9', 'a', 'z', 'é', '\u{202e}', '💥',
];

/// A generator; the same seed gives the same input.
#[derive(Debug)]
pub(crate) struct Generator(StdRng);

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// A number from 0 to `max`.
    pub(crate) fn up_to(&mut self, max: usize) -> usize {
        self.0.random_range(0..=max)
    }

    /// Up to `max` bytes.
    pub(crate) fn bytes(&mut self, max: usize) -> Vec<u8> {
        let mut bytes = vec![0; self.up_to(max)];
        self.0.fill(&mut bytes[..]);
        bytes
    }

    /// Up to `max` characters.
    pub(crate) fn text(&mut self, max: usize) -> String {
        (0..self.up_to(max))
            .map(|_| match self.up_to(9) {
                0 => self.0.random(),
                _ => MARKS[self.up_to(MARKS.len() - 1)],
            })
            .collect()
    }

    /// `sample` with a few bytes changed, removed or repeated.
    pub(crate) fn mutated(&mut self, sample: &[u8]) -> Vec<u8> {
        let mut bytes = sample.to_vec();
        for _ in 0..=self.up_to(4) {
            if bytes.is_empty() {
                return self.bytes(16);
            }
            let at = self.up_to(bytes.len() - 1);
            match self.up_to(5) {
                0 => bytes[at] ^= 1 << self.up_to(7),
                1 => bytes[at] = self.0.random(),
                2 => bytes.truncate(at),
                3 => {
                    bytes.remove(at);
                }
                4 => {
                    let end = (at + 1 + self.up_to(15)).min(bytes.len());
                    let part = bytes[at..end].to_vec();
                    bytes.splice(at..at, part);
                }
                _ => {
                    let text = self.text(4);
                    bytes.splice(at..at, text.into_bytes());
                }
            }
        }
        bytes
    }

    /// A body for an HTTP response: empty, random bytes, up to `nesting_max` brackets, or a
    /// mutated one of `samples`.
    pub(crate) fn body(&mut self, samples: &[Vec<u8>], nesting_max: usize) -> Vec<u8> {
        match self.up_to(9) {
            0 => Vec::new(),
            1 => self.bytes(2_000),
            2 => self.text(2_000).into_bytes(),
            3 => b"[".repeat(self.up_to(nesting_max)),
            4 => b"{\"a\":".repeat(self.up_to(nesting_max.min(20_000))),
            5 => b"<a>".repeat(self.up_to(nesting_max.min(20_000))),
            _ if samples.is_empty() => self.text(200).into_bytes(),
            _ => {
                let at = self.up_to(samples.len() - 1);
                self.mutated(&samples[at])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Generator;

    #[test]
    fn the_output_depends_only_on_the_seed() {
        let made = |seed| {
            let mut random = Generator::new(seed);
            (
                random.bytes(50),
                random.text(50),
                random.mutated(b"10.0.0.1:6900"),
                random.body(&[], 9),
            )
        };
        assert_eq!(made(7), made(7));
        assert_ne!(made(7), made(8));
    }
}
