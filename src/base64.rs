//! Base64url letters (RFC 4648, section 5): six bits each, fit for a link.

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Letter of the lowest six bits of a value.
#[must_use]
pub fn letter(value: u8) -> char {
    char::from(LETTERS[usize::from(value & 63)])
}

/// Value of a letter, 0 to 63; `None` for any other byte.
#[must_use]
pub fn value(letter: u8) -> Option<u8> {
    LETTERS.iter().position(|&known| known == letter).map(|place| place as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_a_letter_of_its_own_and_other_bytes_have_none() {
        for six in 0..64 {
            assert_eq!(value(letter(six) as u8), Some(six));
        }
        let letters = (0..=255).filter(|byte| value(*byte).is_some()).count();
        assert_eq!(letters, 64);
        assert_eq!((letter(0), letter(26), letter(62), letter(63)), ('A', 'a', '-', '_'));
    }
}
