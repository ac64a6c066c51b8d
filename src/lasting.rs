//! Tables that are read once and stay for as long as the program.
//!
//! They are written with serde in postcard's format and read by hand: the page, which reads nothing else of this kind, would
//! have more code of serde's visitors for them than the tables themselves take.

/// A reader of a table in postcard's format. When the bytes are none of a table it gives zeros and empty texts from there
/// on, and says so at the end.
pub struct Reader {
    rest: &'static [u8],
    failed: bool,
}

impl Reader {
    /// At the first byte.
    #[must_use]
    pub const fn new(bytes: &'static [u8]) -> Self {
        Self { rest: bytes, failed: false }
    }

    /// Whether everything was read, and all of it was there.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        !self.failed && self.rest.is_empty()
    }

    /// What was read is none of what there can be.
    pub const fn fail(&mut self) {
        (self.rest, self.failed) = (&[], true);
    }

    /// The next bytes; none when there are not as many.
    fn take(&mut self, count: usize) -> &'static [u8] {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                taken
            }
            None => {
                self.fail();
                &[]
            }
        }
    }

    /// A byte, as of a flag or a small number.
    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    /// A whole number, a length, or the place of a variant: seven bits a byte, the lowest first.
    pub fn whole(&mut self) -> u32 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            value |= u32::from(byte & 127) << shift;
            shift += 7;
            if byte < 128 {
                return value;
            }
            if shift > 28 {
                self.fail();
                return 0;
            }
        }
    }

    /// A real number.
    pub fn real(&mut self) -> f64 {
        self.take(8).try_into().map(f64::from_le_bytes).unwrap_or_default()
    }

    /// A text.
    pub fn text(&mut self) -> &'static str {
        let length = self.whole() as usize;
        std::str::from_utf8(self.take(length)).unwrap_or_else(|_| {
            self.fail();
            ""
        })
    }

    /// Something that may be missing.
    pub fn option<T>(&mut self, one: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.byte() == 1).then(|| one(self))
    }

    /// Items one after the other.
    pub fn slice<T>(&mut self, one: impl Fn(&mut Self) -> T) -> &'static [T] {
        let mut count = self.whole() as usize;
        // No item is without bytes: there cannot be more of them.
        if count > self.rest.len() {
            self.fail();
            count = 0;
        }
        let items: Vec<T> = (0..count).map(|_| one(self)).collect();
        // Nothing frees it, as nothing frees a constant: tables are read once in the life of a page.
        items.leak()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_are_read_as_postcard_writes_them() {
        let written = (u32::MAX, 300_u32, -0.25_f64, "α", Some(7_u8), None::<u8>, vec![1_u32, 128]);
        let bytes = postcard::to_allocvec(&written).expect("bytes").leak();
        let mut from = Reader::new(bytes);
        assert_eq!((from.whole(), from.whole(), from.real(), from.text()), (u32::MAX, 300, -0.25, "α"));
        assert_eq!((from.option(Reader::byte), from.option(Reader::byte)), (Some(7), None));
        assert!(!from.is_over());
        assert_eq!(from.slice(Reader::whole), [1, 128]);
        assert!(from.is_over());
    }

    #[test]
    fn what_is_cut_or_never_ends_is_told() {
        for bytes in [&[][..], &[255; 9], &[3, b'a'], &[2, 0xff, 0xff], &[200, 200, 200, 200, 200, 1]] {
            let mut from = Reader::new(bytes.to_vec().leak());
            assert_eq!(from.text(), "");
            assert!(!from.is_over(), "{bytes:?}");
        }
        let mut from = Reader::new(&[255, 255, 255, 255, 15, 1]);
        assert!(from.slice(Reader::byte).len() <= 1 && !from.is_over());
    }
}
