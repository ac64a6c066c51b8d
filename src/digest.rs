//! Digests of bytes: one that tells them from others by accident, not on purpose, and any as a text.

/// 32-bit FNV-1a (Fowler, Noll and Vo 1991).
#[must_use]
pub fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Two hexadecimal digits in lower case for each byte.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{fnv1a, hex};

    #[test]
    fn every_byte_is_two_digits() {
        assert_eq!((hex(&[0, 10, 255]), hex(&[])), ("000aff".to_owned(), String::new()));
    }

    #[test]
    fn digests_are_those_that_its_authors_publish() {
        assert_eq!([&b""[..], b"a", b"foobar"].map(fnv1a), [0x811c_9dc5, 0xe40c_292c, 0xbf9c_f968]);
    }
}
