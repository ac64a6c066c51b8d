//! IDX, the form in which MNIST and the sets after its pattern are published: `train-images-idx3-ubyte` and
//! `train-labels-idx1-ubyte`, `t10k-…` for the test half, gzipped or not. Grey images with a class each.
//!
//! A file is a head of four bytes (0, 0, 8 for bytes, the number of dimensions), the dimensions as big-endian numbers of 32
//! bits, and the bytes. It says no names of classes: those of Fashion-MNIST (Xiao, Rasul and Vollgraf 2017) are known by its
//! labels, others have numbers.

use std::io::Read as _;

use flate2::read::GzDecoder;

use super::cifar10::finish;
use super::half::Half;
use super::store::Store;
use crate::cli::failure::{Failure, Outcome};
use crate::data::ImageSet;
use crate::lab::FASHION_MNIST;
use crate::nn::checkpoint::sha256;

/// Digests of the files of labels of Fashion-MNIST's two halves, unpacked.
const FASHION_LABELS: [&str; 2] = [
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
];
/// Networks halve an image up to three times: its side is made a multiple of this by a black border.
const MULTIPLE: usize = 8;
/// Most bytes of a file, unpacked.
const MOST_BYTES: u64 = 1 << 30;

/// Whether a file has the name of one of a set's.
#[must_use]
pub fn is_part(path: &str) -> bool {
    part(path).is_some()
}

/// The half and what it has of it, `images` or `labels`.
fn part(path: &str) -> Option<(Half, &'static str)> {
    let name = path.rsplit('/').next().unwrap_or(path).to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    // Some unpackers write a dot for the last hyphen but one.
    [("train", Half::Train), ("t10k", Half::Test)].into_iter().find_map(|(begins, half)| {
        let rest = name.strip_prefix(begins)?.strip_prefix('-')?;
        match rest.replace('.', "-").as_str() {
            "images-idx3-ubyte" => Some((half, "images")),
            "labels-idx1-ubyte" => Some((half, "labels")),
            _ => None,
        }
    })
}

/// The images of a half.
///
/// # Errors
/// When one of its two files is missing, damaged, or of something else than square images.
pub fn read(source: &str, store: &Store, half: Half) -> Outcome<ImageSet> {
    let file = |wanted: &'static str| -> Outcome<(String, Vec<usize>, Vec<u8>, usize)> {
        let name = store.names().into_iter().find(|name| part(name) == Some((half, wanted)));
        let name = name
            .ok_or_else(|| Failure::input(source, format!("the {wanted} of the {} half are missing", half.word())))?;
        let bad = |why: String| Failure::input(source, format!("{name}: {why}"));
        let bytes = unpacked(name, store.read(name)?).map_err(bad)?;
        let (dimensions, start) = head(&bytes).map_err(bad)?;
        Ok((name.to_owned(), dimensions, bytes, start))
    };
    let (name, dimensions, mut images, start) = file("images")?;
    let pixels = images.split_off(start);
    let [_, height, width] = dimensions[..] else {
        return Err(Failure::input(
            source,
            format!("{name} has {} dimensions, where images have three", dimensions.len()),
        ));
    };
    if height != width {
        return Err(Failure::input(
            source,
            format!("{name}: {height} x {width} pixels: only square images are trained on"),
        ));
    }
    let (name, dimensions, file, start) = file("labels")?;
    if dimensions.len() != 1 {
        return Err(Failure::input(
            source,
            format!("{name} has {} dimensions, where labels have one", dimensions.len()),
        ));
    }
    let labels = &file[start..];
    let classes = labels.iter().max().map_or(0, |most| usize::from(*most) + 1);
    let names = if FASHION_LABELS.contains(&sha256(&file).as_str()) {
        FASHION_MNIST.map(str::to_owned).to_vec()
    } else {
        (0..classes).map(|class| class.to_string()).collect()
    };
    let (side, pixels) = bordered(pixels, height);
    if side != height {
        eprintln!("{height} x {height} pixels, with a black border to {side} x {side}");
    }
    finish(source, side, 1, pixels, labels.iter().copied().map(u32::from).collect(), names)
}

fn unpacked(name: &str, bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    if !name.to_lowercase().ends_with(".gz") {
        return Ok(bytes);
    }
    let mut all = Vec::new();
    let read = GzDecoder::new(&bytes[..]).take(MOST_BYTES + 1).read_to_end(&mut all);
    match read {
        Ok(_) if all.len() as u64 > MOST_BYTES => Err(format!("more than {MOST_BYTES} bytes")),
        Ok(_) => Ok(all),
        Err(error) => Err(format!("not a whole gzipped file: {error}")),
    }
}

/// The dimensions that a file says, and where its bytes begin; as many as the dimensions say.
fn head(bytes: &[u8]) -> Result<(Vec<usize>, usize), String> {
    let [0, 0, kind, count, ..] = *bytes else { return Err("not an IDX file".to_owned()) };
    if kind != 8 {
        return Err(format!("numbers of kind {kind}, where bytes (8) are read"));
    }
    let start = 4 + 4 * usize::from(count);
    let sizes = bytes.get(4..start).ok_or("it ends in its head")?;
    let sizes = sizes.chunks_exact(4).map(|size| size.iter().fold(0, |all, byte| all << 8 | usize::from(*byte)));
    let dimensions: Vec<usize> = sizes.collect();
    let wanted = dimensions.iter().try_fold(1_usize, |all, size| all.checked_mul(*size));
    let found = bytes.len() - start;
    if wanted != Some(found) {
        return Err(format!("{found} bytes where its head says {dimensions:?}: it is damaged"));
    }
    Ok((dimensions, start))
}

/// Images in the middle of black ones of a side that networks can halve, and that side.
fn bordered(pixels: Vec<u8>, side: usize) -> (usize, Vec<u8>) {
    let wide = side.next_multiple_of(MULTIPLE);
    if wide == side || side == 0 {
        return (side, pixels);
    }
    let (before, images) = ((wide - side) / 2, pixels.len() / (side * side));
    let mut all = vec![0; images * wide * wide];
    for (row, line) in pixels.chunks_exact(side).enumerate() {
        let (image, row) = (row / side, row % side);
        let start = (image * wide + before + row) * wide + before;
        all[start..start + side].copy_from_slice(line);
    }
    (wide, all)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write as _;

    use super::*;

    fn idx(dimensions: &[u32], bytes: &[u8]) -> Vec<u8> {
        let sizes = dimensions.iter().flat_map(|size| size.to_be_bytes());
        [0, 0, 8, dimensions.len() as u8].into_iter().chain(sizes).chain(bytes.iter().copied()).collect()
    }

    fn set(images: Vec<u8>, labels: Vec<u8>) -> Outcome<ImageSet> {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&labels).expect("bytes");
        let files =
            [("t10k-images.idx3-ubyte", images), ("deep/t10k-labels-idx1-ubyte.gz", packed.finish().expect("bytes"))];
        let files: BTreeMap<_, _> = files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect();
        read("made up", &Store::Archive(files), Half::Test)
    }

    #[test]
    fn grey_images_lie_in_the_middle_of_black_ones() {
        let pixels: Vec<u8> = (1..=72).collect();
        let found = set(idx(&[2, 6, 6], &pixels), idx(&[2], &[3, 0])).expect("a set");
        assert_eq!((found.len(), found.size(), found.channels()), (2, 8, 1));
        assert_eq!((found.label(0), found.label(1)), (Some(3), Some(0)));
        assert_eq!(found.classes(), ["0", "1", "2", "3"]);
        let second = found.image(1);
        assert_eq!(second[..9], [0; 9]);
        assert_eq!(second[9..15], pixels[36..42]);
        assert_eq!(second[6 * 8 + 1..6 * 8 + 7], pixels[66..72]);
        assert!(second[7 * 8..].iter().all(|pixel| *pixel == 0));
    }

    #[test]
    fn what_is_damaged_missing_or_something_else_is_told() {
        let (images, labels) = (idx(&[1, 8, 8], &[7; 64]), idx(&[1], &[0]));
        let told = |images: &[u8], labels: &[u8], word: &str| {
            let error = set(images.to_vec(), labels.to_vec()).expect_err(word).message;
            assert!(error.contains(word), "{error}");
        };
        told(&images[..images.len() - 1], &labels, "damaged");
        told(&images[..7], &labels, "head");
        told(b"GIF89a", &labels, "not an IDX file");
        told(&idx(&[1, 8, 4], &[7; 32]), &labels, "square");
        told(&labels, &labels, "dimensions");
        told(&images, &idx(&[2], &[0, 1]), "labels");
        let mut singles = images.clone();
        singles[2] = 13;
        told(&singles, &labels, "kind 13");
        let one = BTreeMap::from([("train-images-idx3-ubyte".to_owned(), images)]);
        let error = read("made up", &Store::Archive(one), Half::Train).expect_err("labels are missing").message;
        assert!(error.contains("labels of the training half are missing"), "{error}");
    }

    #[test]
    fn files_are_known_by_their_names() {
        for name in ["train-images-idx3-ubyte", "a/t10k-labels-idx1-ubyte.gz", "train-labels.idx1-ubyte"] {
            assert!(is_part(name), "{name}");
        }
        for name in ["train-images.png", "images-idx3-ubyte", "train-images-idx3-ubyte.zip"] {
            assert!(!is_part(name), "{name}");
        }
    }
}
