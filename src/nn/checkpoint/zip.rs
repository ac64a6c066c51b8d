//! As much of the zip format as torch writes: entries stored without compression, with or without the 64-bit fields.

use super::error::CheckpointError;

const END: &[u8] = b"PK\x05\x06";
const END_LENGTH: usize = 22;
const LOCATOR: &[u8] = b"PK\x06\x07";
const LOCATOR_LENGTH: usize = 20;
const END_64: &[u8] = b"PK\x06\x06";
const DIRECTORY: &[u8] = b"PK\x01\x02";
const DIRECTORY_LENGTH: usize = 46;
const LOCAL: &[u8] = b"PK\x03\x04";
const LOCAL_LENGTH: usize = 30;
/// In place of a number that stands in a 64-bit field elsewhere.
const ELSEWHERE: u64 = 0xFFFF_FFFF;

/// A file in the archive.
pub struct Entry<'a> {
    /// Its path.
    pub name: &'a str,
    /// What is in it.
    pub data: &'a [u8],
}

fn broken(detail: impl Into<String>) -> CheckpointError {
    CheckpointError::Container { what: "torch file (zip archive)", detail: detail.into() }
}

/// Little-endian number of `length` bytes.
fn number(bytes: &[u8], at: usize, length: usize) -> Result<u64, CheckpointError> {
    let end = at.checked_add(length).ok_or_else(|| broken("it is cut short"))?;
    let bytes = bytes.get(at..end).ok_or_else(|| broken("it is cut short"))?;
    Ok(bytes.iter().rev().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
}

fn slice(bytes: &[u8], at: u64, length: u64) -> Result<&[u8], CheckpointError> {
    let start = usize::try_from(at).ok();
    let end = at.checked_add(length).and_then(|end| usize::try_from(end).ok());
    let range = start.zip(end).and_then(|(start, end)| bytes.get(start..end));
    range.ok_or_else(|| broken(format!("{length} bytes at {at} lie outside its {}", bytes.len())))
}

/// All entries, in the order of the directory, each with the checksum that the directory states.
///
/// # Errors
/// [`CheckpointError::Container`] when the archive is damaged, cut short, compressed or encrypted.
pub fn read(file: &[u8]) -> Result<Vec<Entry<'_>>, CheckpointError> {
    read_where(file, |_| true)
}

/// The entries whose names are wanted; the others may be what they like.
///
/// # Errors
/// As [`read`].
pub fn read_where(file: &[u8], wanted: impl Fn(&str) -> bool) -> Result<Vec<Entry<'_>>, CheckpointError> {
    let (start, length) = directory(file)?;
    let mut directory = slice(file, start, length)?;
    let (mut entries, mut total) = (Vec::new(), 0_u64);
    while directory.starts_with(DIRECTORY) {
        let field = |at, length| number(directory, at, length);
        let (flags, method, checksum) = (field(8, 2)?, field(10, 2)?, field(16, 4)?);
        let (name_length, extra_length, comment_length) = (field(28, 2)?, field(30, 2)?, field(32, 2)?);
        let name = slice(directory, DIRECTORY_LENGTH as u64, name_length)?;
        let name = std::str::from_utf8(name).map_err(|_| broken("a name is not UTF-8"))?;
        let extra = slice(directory, DIRECTORY_LENGTH as u64 + name_length, extra_length)?;
        let mut wide = wide_fields(extra)?;
        // The 64-bit field has only those of the three that did not fit, in this order.
        let [size, packed, offset] = [field(24, 4)?, field(20, 4)?, field(42, 4)?]
            .map(|value| if value == ELSEWHERE { wide.next().unwrap_or(ELSEWHERE) } else { value });
        let next = DIRECTORY_LENGTH as u64 + name_length + extra_length + comment_length;
        directory = slice(directory, next, (directory.len() as u64).saturating_sub(next))?;
        if !wanted(name) {
            continue;
        }
        if method != 0 || flags & 1 != 0 || size != packed {
            return Err(broken(format!(
                "{name} is compressed or encrypted (method {method}), torch stores it plainly"
            )));
        }
        // Entries may not share bytes: a small file could otherwise stand for a large one.
        total = total.saturating_add(size);
        if total > file.len() as u64 {
            return Err(broken("its entries are longer than the file"));
        }
        let header = slice(file, offset, LOCAL_LENGTH as u64)?;
        if !header.starts_with(LOCAL) {
            return Err(broken(format!("{name} does not start where the directory says")));
        }
        let skip = LOCAL_LENGTH as u64 + number(header, 26, 2)? + number(header, 28, 2)?;
        let data = slice(file, offset.saturating_add(skip), size)?;
        // torch can be told to leave checksums out: `torch.serialization.set_crc32_options(False)`.
        if checksum != 0 && u64::from(crc32(data)) != checksum {
            return Err(broken(format!("the checksum of {name} is wrong")));
        }
        entries.push(Entry { name, data });
    }
    if directory.is_empty() { Ok(entries) } else { Err(broken("its directory is damaged")) }
}

/// Offset and length of the directory.
fn directory(file: &[u8]) -> Result<(u64, u64), CheckpointError> {
    // The end record is last, but for a comment of up to 65,535 bytes.
    let latest = file.len().checked_sub(END_LENGTH).ok_or_else(|| broken("it is cut short"))?;
    let end = (latest.saturating_sub(0xFFFF)..=latest).rev().find(|&at| file[at..].starts_with(END));
    let end = end.ok_or_else(|| broken("it has no directory: it is cut short"))?;
    let (length, start) = (number(file, end + 12, 4)?, number(file, end + 16, 4)?);
    let Some(locator) = end.checked_sub(LOCATOR_LENGTH).filter(|at| file[*at..].starts_with(LOCATOR)) else {
        return Ok((start, length));
    };
    let wide = number(file, locator + 8, 8)?;
    let record = slice(file, wide, 56)?;
    if !record.starts_with(END_64) {
        return Err(broken("its 64-bit directory is damaged"));
    }
    Ok((number(record, 48, 8)?, number(record, 40, 8)?))
}

/// The numbers of the 64-bit extra field.
fn wide_fields(mut extra: &[u8]) -> Result<impl Iterator<Item = u64>, CheckpointError> {
    let mut found: &[u8] = &[];
    while extra.len() >= 4 {
        let length = number(extra, 2, 2)?;
        let field = slice(extra, 4, length)?;
        if number(extra, 0, 2)? == 1 {
            found = field;
        }
        extra = slice(extra, 4 + length, extra.len() as u64 - 4 - length)?;
    }
    Ok(found.chunks_exact(8).map(|b| b.iter().rev().fold(0, |sum, byte| (sum << 8) | u64::from(*byte))))
}

/// The checksum of zip: CRC-32, polynomial 0xEDB88320 reflected.
fn crc32(data: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let (mut value, mut bit) = (index as u32, 0);
            while bit < 8 {
                value = if value & 1 == 1 { 0xEDB8_8320 ^ (value >> 1) } else { value >> 1 };
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    !data.iter().fold(!0, |crc, byte| TABLE[((crc ^ u32::from(*byte)) & 0xFF) as usize] ^ (crc >> 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_has_its_published_check_value() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }
}
