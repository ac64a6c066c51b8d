//! Digests of bytes: those that tell them from others by accident, not on purpose, and any as a text.

/// 32-bit FNV-1a (Fowler, Noll and Vo 1991).
#[must_use]
pub fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// 64-bit FNV-1a.
#[must_use]
pub fn fnv1a_64(bytes: impl IntoIterator<Item = u8>) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// 64-bit FNV-1a of numbers in single precision, four bytes each, the lowest first.
#[must_use]
pub fn of_singles(values: impl IntoIterator<Item = f32>) -> u64 {
    fnv1a_64(values.into_iter().flat_map(f32::to_le_bytes))
}

/// Two hexadecimal digits in lower case for each byte.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{fnv1a, fnv1a_64, hex, of_singles};

    #[test]
    fn every_byte_is_two_digits() {
        assert_eq!((hex(&[0, 10, 255]), hex(&[])), ("000aff".to_owned(), String::new()));
    }

    #[test]
    fn digests_are_those_that_its_authors_publish() {
        assert_eq!([&b""[..], b"a", b"foobar"].map(fnv1a), [0x811c_9dc5, 0xe40c_292c, 0xbf9c_f968]);
        let long = [&b""[..], b"a", b"foobar"].map(|bytes| fnv1a_64(bytes.iter().copied()));
        assert_eq!(long, [0xcbf2_9ce4_8422_2325, 0xaf63_dc4c_8601_ec8c, 0x8594_4171_f739_67e8]);
        assert_eq!(of_singles([*b"foob", *b"arch"].map(f32::from_le_bytes)), fnv1a_64(*b"foobarch"));
    }
}
