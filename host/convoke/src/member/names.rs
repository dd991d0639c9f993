//! Generated names for members without a configured one.

const FIRST: [&str; 16] = [
    "amber", "brisk", "calm", "dusky", "eager", "fleet", "gentle", "hardy", "ivory", "jolly",
    "keen", "lucid", "merry", "nimble", "quiet", "ruddy",
];
const SECOND: [&str; 16] = [
    "avocet", "bunting", "curlew", "dunlin", "egret", "finch", "godwit", "heron", "ibis",
    "jackdaw", "kestrel", "linnet", "martin", "osprey", "plover", "redstart",
];

/// Two words and a number, from the random end of the member's id.
pub(crate) fn generate(id: &[u8; 16]) -> String {
    let (first, second) = (id[13] >> 4, id[13] & 15);
    let number = u16::from_be_bytes([id[14], id[15]]) % 1_000;
    format!("{}-{}-{number}", FIRST[usize::from(first)], SECOND[usize::from(second)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_two_words_and_a_number() {
        let mut id = [0; 16];
        id[13] = 0x12;
        id[15] = 7;
        assert_eq!(generate(&id), "brisk-curlew-7");
    }
}
