//! Digests of bytes: those that tell them from others by accident, not on purpose, and any as a text.

/// 32-bit FNV-1a (Fowler, Noll and Vo 1991).
#[must_use]
pub fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// 64-bit FNV-1a of numbers in single precision, four bytes each, the lowest first.
#[must_use]
pub fn fnv1a_64(values: impl IntoIterator<Item = f32>) -> u64 {
    let bytes = values.into_iter().flat_map(|value| value.to_bits().to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Two hexadecimal digits in lower case for each byte.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{fnv1a, fnv1a_64, hex};

    #[test]
    fn every_byte_is_two_digits() {
        assert_eq!((hex(&[0, 10, 255]), hex(&[])), ("000aff".to_owned(), String::new()));
    }

    #[test]
    fn digests_are_those_that_its_authors_publish() {
        assert_eq!([&b""[..], b"a", b"foobar"].map(fnv1a), [0x811c_9dc5, 0xe40c_292c, 0xbf9c_f968]);
        // Of "foobarch" as two numbers, and of nothing.
        let words = [*b"foob", *b"arch"].map(f32::from_le_bytes);
        let expected = b"foobarch".iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (u128::from(hash ^ u64::from(*byte)) * 0x0000_0100_0000_01b3 % (1 << 64)) as u64
        });
        assert_eq!([fnv1a_64([]), fnv1a_64(words)], [0xcbf2_9ce4_8422_2325, expected]);
    }
}
