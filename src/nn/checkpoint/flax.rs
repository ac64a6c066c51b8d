//! Checkpoints of flax: nested dictionaries in MessagePack, whose arrays are extensions of type 1 that hold a shape, the name
//! of a kind of number and the numbers.
//!
//! The file is walked once. Beside it no more memory is asked for than names and shapes take, and a length is believed only
//! where the bytes are there. Nothing is executed: there is nothing that could be.

use std::collections::BTreeMap;

use super::error::CheckpointError;
use super::limits::{LONGEST_NAME, MOST_TENSORS};
use super::number::Number;
use super::tensors::Stored;
use super::torch::Found;

/// Deepest nesting of dictionaries.
const DEEPEST: usize = 16;
/// Most values of all kinds: an optimiser has two for each parameter.
const MOST_VALUES: usize = 8 * MOST_TENSORS;
/// Most dimensions of an array.
const MOST_DIMENSIONS: usize = 8;
/// The key of an array that was cut into pieces of a gigabyte.
const CHUNKED: &str = "__msgpack_chunked_array__";

/// Whether a file begins as a dictionary whose first key is a text.
pub fn begins(file: &[u8]) -> bool {
    let key = |byte: Option<&u8>| matches!(byte, Some(0xa1..=0xbf | 0xd9));
    match file.first() {
        Some(0x81..=0x8f) => key(file.get(1)),
        Some(0xde) => key(file.get(3)),
        _ => false,
    }
}

fn broken<T>(detail: impl Into<String>) -> Result<T, CheckpointError> {
    Err(CheckpointError::Container { what: "flax checkpoint", detail: detail.into() })
}

/// A value, as far as it is looked at.
enum Value<'a> {
    /// So many pairs of a key and a value follow.
    Map(usize),
    /// So many values follow.
    List(usize),
    Text(&'a str),
    Bytes(&'a [u8]),
    Whole(u64),
    /// An extension and its type.
    Extension(i8, &'a [u8]),
    /// What is not looked at.
    Other,
}

/// What is left of a file.
struct Reader<'a> {
    rest: &'a [u8],
    values: usize,
}

impl<'a> Reader<'a> {
    fn new(rest: &'a [u8]) -> Self {
        Self { rest, values: 0 }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], CheckpointError> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else { return broken("it is cut short") };
        self.rest = rest;
        Ok(taken)
    }

    /// A whole number of so many bytes, the highest first.
    fn whole(&mut self, bytes: usize) -> Result<u64, CheckpointError> {
        Ok(self.take(bytes)?.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    fn length(&mut self, bytes: usize) -> Result<usize, CheckpointError> {
        let length = self.whole(bytes)?;
        usize::try_from(length).or_else(|_| broken("a length beyond all memory"))
    }

    fn text(&mut self, length: usize) -> Result<Value<'a>, CheckpointError> {
        match std::str::from_utf8(self.take(length)?) {
            Ok(text) => Ok(Value::Text(text)),
            Err(_) => broken("a text that is none"),
        }
    }

    fn extension(&mut self, length: usize) -> Result<Value<'a>, CheckpointError> {
        let kind = self.take(1)?[0] as i8;
        Ok(Value::Extension(kind, self.take(length)?))
    }

    fn next(&mut self) -> Result<Value<'a>, CheckpointError> {
        self.values += 1;
        if self.values > MOST_VALUES {
            return Err(CheckpointError::TooMany { what: "values in the checkpoint", most: MOST_VALUES });
        }
        let first = self.take(1)?[0];
        Ok(match first {
            0x00..=0x7f => Value::Whole(u64::from(first)),
            0x80..=0x8f => Value::Map(usize::from(first & 0x0f)),
            0x90..=0x9f => Value::List(usize::from(first & 0x0f)),
            0xa0..=0xbf => self.text(usize::from(first & 0x1f))?,
            0xc4..=0xc6 => {
                let length = self.length(1 << (first - 0xc4))?;
                Value::Bytes(self.take(length)?)
            }
            0xc7..=0xc9 => {
                let length = self.length(1 << (first - 0xc7))?;
                self.extension(length)?
            }
            0xcc..=0xcf => Value::Whole(self.whole(1 << (first - 0xcc))?),
            0xd4..=0xd8 => self.extension(1 << (first - 0xd4))?,
            0xd9..=0xdb => {
                let length = self.length(1 << (first - 0xd9))?;
                self.text(length)?
            }
            0xdc | 0xdd => Value::List(self.length(2 << (first - 0xdc))?),
            0xde | 0xdf => Value::Map(self.length(2 << (first - 0xde))?),
            // Nothing, truth values, floating-point and negative numbers.
            0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => Value::Other,
            0xca | 0xcb => {
                self.take(4 << (first - 0xca))?;
                Value::Other
            }
            0xd0..=0xd3 => {
                self.take(1 << (first - 0xd0))?;
                Value::Other
            }
            0xc1 => return broken("a byte that no value begins with"),
        })
    }
}

/// The arrays of a checkpoint, each under the keys that lead to it.
///
/// # Errors
/// A [`CheckpointError`] when it is damaged, or has more than is looked at.
pub fn open(file: &[u8]) -> Result<Found<'_>, CheckpointError> {
    let mut found = Found { tensors: Vec::new(), foreign: Vec::new(), settings: BTreeMap::new() };
    let mut reader = Reader::new(file);
    visit(&mut reader, "", 0, &mut found.tensors)?;
    if !reader.rest.is_empty() {
        return broken(format!("{} bytes after its end", reader.rest.len()));
    }
    Ok(found)
}

fn visit<'a>(
    reader: &mut Reader<'a>,
    path: &str,
    depth: usize,
    found: &mut Vec<(String, Stored<'a>)>,
) -> Result<(), CheckpointError> {
    if depth > DEEPEST {
        return broken(format!("dictionaries more than {DEEPEST} deep"));
    }
    if path.len() > LONGEST_NAME {
        return broken(format!("a name of {} bytes", path.len()));
    }
    let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}/{key}") };
    match reader.next()? {
        Value::Map(count) => {
            for _ in 0..count {
                let key = match reader.next()? {
                    Value::Text(CHUNKED) => return broken(format!("{path} is in pieces, which are not read")),
                    Value::Text(key) => join(key),
                    Value::Whole(key) => join(&key.to_string()),
                    _ => return broken("a key that is no text"),
                };
                visit(reader, &key, depth + 1, found)?;
            }
        }
        Value::List(count) => {
            for at in 0..count {
                visit(reader, &join(&at.to_string()), depth + 1, found)?;
            }
        }
        Value::Extension(1, bytes) => {
            if found.len() >= MOST_TENSORS {
                return Err(CheckpointError::TooMany { what: "tensors", most: MOST_TENSORS });
            }
            if let Some(stored) = array(path, bytes)? {
                found.push((path.to_owned(), stored));
            }
        }
        Value::Text(_) | Value::Bytes(_) | Value::Whole(_) | Value::Extension(..) | Value::Other => {}
    }
    Ok(())
}

/// The array that an extension holds; none of kinds that are no weights: keys of random numbers.
fn array<'a>(path: &str, bytes: &'a [u8]) -> Result<Option<Stored<'a>>, CheckpointError> {
    let mut reader = Reader::new(bytes);
    let (Value::List(3), Value::List(dimensions)) = (reader.next()?, reader.next()?) else {
        return broken(format!("{path} is no array"));
    };
    if dimensions > MOST_DIMENSIONS {
        return broken(format!("{path} has {dimensions} dimensions"));
    }
    let mut shape = Vec::with_capacity(dimensions);
    for _ in 0..dimensions {
        match reader.next()? {
            Value::Whole(length) if usize::try_from(length).is_ok() => shape.push(length as usize),
            _ => return broken(format!("a length of {path} is no whole number")),
        }
    }
    let Value::Text(kind) = reader.next()? else { return broken(format!("the numbers of {path} are of no kind")) };
    let Value::Bytes(numbers) = reader.next()? else { return broken(format!("{path} has no numbers")) };
    let number = match kind {
        "float64" => Number::F64,
        "float32" => Number::F32,
        "float16" => Number::F16,
        "bfloat16" => Number::Bf16,
        "uint32" | "int32" | "int64" | "uint8" | "bool" => return Ok(None),
        other => {
            return Err(CheckpointError::Kind { tensor: path.to_owned(), found: other.chars().take(40).collect() });
        }
    };
    let needs = shape.iter().try_fold(1_usize, |product, length| product.checked_mul(*length)).unwrap_or(usize::MAX);
    let has = numbers.len() / number.bytes();
    if needs != has || numbers.len() % number.bytes() != 0 {
        return Err(CheckpointError::Extent { tensor: path.to_owned(), needs, has });
    }
    Ok(Some(Stored::dense(number, shape, numbers)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_found_by_the_keys_that_lead_to_them() {
        let mut inner = vec![0x93, 0x91, 2, 0xa7];
        inner.extend(b"float32");
        inner.extend([0xc4, 8]);
        inner.extend([1.5_f32, -2.0].into_iter().flat_map(f32::to_le_bytes));
        let mut file = vec![0x82, 0xa4];
        file.extend(b"step");
        file.extend([0xce, 0, 1, 0, 0, 0xa1, b'a', 0x81, 0xa1, b'b', 0xc7, inner.len() as u8, 1]);
        file.extend(&inner);
        assert!(begins(&file));
        let found = open(&file).unwrap().tensors;
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].0.as_str(), found[0].1.decode("").unwrap()), ("a/b", vec![1.5, -2.0]));
        for length in 0..file.len() {
            assert!(open(&file[..length]).is_err(), "{length}");
        }
        // Lists within lists, and a list that says it is longer than all memory.
        assert!(open(&[0x91; 100]).is_err());
        assert!(open(&[0xdd, 0xff, 0xff, 0xff, 0xff, 0]).is_err());
        let whole = vec![0xc0; 3].into_iter().chain([0xdf, 0xff, 0xff, 0xff, 0xff]).collect::<Vec<u8>>();
        assert!(open(&whole).is_err());
    }
}
