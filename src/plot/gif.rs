//! Moving pictures as GIF files (CompuServe, GIF89a specification, 1990): what a denoising is saved as.
//!
//! Every frame has a palette of its own, made by median cut (Heckbert 1982): the first frames of a denoising are noise
//! over all colours, the last ones a few tones.

/// Colours of a palette.
const COLOURS: usize = 256;
/// Bits of a channel that tell colours apart.
const BITS: u32 = 5;
/// Codes of the compressor (Lempel, Ziv and Welch): 12 bits at most.
const CODES: usize = 4096;

/// A moving picture in the making.
#[derive(Clone, Debug)]
pub struct Gif {
    width: usize,
    zoom: usize,
    /// Width and height of the file, as they are written.
    size: [u8; 4],
    out: Vec<u8>,
    compressor: Compressor,
}

impl Gif {
    /// A film without frames, of `width` by `height` pixels, each of which becomes `zoom` by `zoom` of the file. It
    /// repeats for ever. `None` when the size is none, or too large for the format.
    #[must_use]
    pub fn new(width: usize, height: usize, zoom: usize) -> Option<Self> {
        let side = |pixels: usize| u16::try_from(pixels.checked_mul(zoom)?).ok().filter(|side| *side > 0);
        let ([a, b], [c, d]) = (side(width)?.to_le_bytes(), side(height)?.to_le_bytes());
        let size = [a, b, c, d];
        let mut out = b"GIF89a".to_vec();
        out.extend(size);
        // No palette for the whole file, no background, square pixels.
        out.extend([0x70, 0, 0]);
        out.extend(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00");
        Some(Self { width, zoom, size, out, compressor: Compressor::default() })
    }

    /// Adds a frame: red, green, blue of every pixel, line by line from the top, shown for `delay` hundredths of a
    /// second. Pixels that are not there become those of the first colour.
    pub fn add(&mut self, pixels: &[u8], delay: u16) {
        let out = &mut self.out;
        out.extend([0x21, 0xf9, 4, 0]);
        out.extend(delay.to_le_bytes());
        out.extend([0, 0, 0x2c, 0, 0, 0, 0]);
        out.extend(self.size);
        out.push(0x87);
        let (palette, of) = palette(pixels);
        out.extend(&palette);
        let [a, b, c, d] = self.size;
        let length = usize::from(u16::from_le_bytes([a, b])) * usize::from(u16::from_le_bytes([c, d]));
        let mut indices = Vec::with_capacity(length);
        for line in pixels.chunks_exact(3 * self.width) {
            let start = indices.len();
            for pixel in line.chunks_exact(3) {
                indices.extend(std::iter::repeat_n(of[bin(pixel)], self.zoom));
            }
            let end = indices.len();
            for _ in 1..self.zoom {
                indices.extend_from_within(start..end);
            }
        }
        indices.resize(length, 0);
        self.compressor.write(&indices, out);
    }

    /// The file.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.out.push(0x3b);
        self.out
    }
}

/// The number of a colour among `2^(3 BITS)`.
fn bin(pixel: &[u8]) -> usize {
    pixel.iter().fold(0, |bin, &value| (bin << BITS) | usize::from(value >> (8 - BITS)))
}

/// The bins of a box of colours, and how many pixels are in them.
struct Cut {
    bins: Vec<usize>,
    weight: u32,
}

/// A palette for a frame, and the colour of each bin.
fn palette(frame: &[u8]) -> (Vec<u8>, Vec<u8>) {
    // Pixels and the sums of their channels, by bin.
    let mut sums = vec![[0u32; 4]; 1 << (3 * BITS)];
    for pixel in frame.chunks_exact(3) {
        let sum = &mut sums[bin(pixel)];
        sum[3] += 1;
        for (channel, &value) in pixel.iter().enumerate() {
            sum[channel] += u32::from(value);
        }
    }
    let channel = |bin: usize, channel: usize| (bin >> (BITS as usize * (2 - channel))) & ((1 << BITS) - 1);
    let used: Vec<usize> = (0..sums.len()).filter(|&bin| sums[bin][3] > 0).collect();
    let weigh = |bins: &[usize]| bins.iter().map(|&bin| sums[bin][3]).sum::<u32>();
    let mut cuts = vec![Cut { weight: weigh(&used), bins: used }];
    while cuts.len() < COLOURS {
        // The heaviest box that can still be divided.
        let heaviest = cuts.iter().enumerate().filter(|(_, cut)| cut.bins.len() > 1).max_by_key(|(_, cut)| cut.weight);
        let Some((index, _)) = heaviest else { break };
        let mut cut = cuts.swap_remove(index);
        let extent = |axis: usize| {
            let values = cut.bins.iter().map(|&bin| channel(bin, axis));
            values.clone().max().unwrap_or(0) - values.min().unwrap_or(0)
        };
        let axis = (0..3).max_by_key(|&axis| extent(axis)).unwrap_or(0);
        // By a pass for each tone: a sort would be more code than the rest.
        let by_tone = (0..1 << BITS).flat_map(|tone| cut.bins.iter().filter(move |&&bin| channel(bin, axis) == tone));
        cut.bins = by_tone.copied().collect();
        let (mut weight, mut middle) = (0, 0);
        while middle + 1 < cut.bins.len() && (middle == 0 || 2 * weight < cut.weight) {
            weight += sums[cut.bins[middle]][3];
            middle += 1;
        }
        let above = cut.bins.split_off(middle);
        cuts.push(Cut { weight: cut.weight - weight, bins: above });
        cuts.push(Cut { weight, bins: cut.bins });
    }
    let mut of = vec![0; sums.len()];
    let mut palette = vec![0; 3 * COLOURS];
    for (index, cut) in cuts.iter().enumerate() {
        let mut total = [0u32; 4];
        for &bin in &cut.bins {
            of[bin] = index as u8;
            for (all, one) in total.iter_mut().zip(sums[bin]) {
                *all += one;
            }
        }
        for (channel, value) in palette[3 * index..3 * index + 3].iter_mut().enumerate() {
            *value = (total[channel] / total[3].max(1)) as u8;
        }
    }
    (palette, of)
}

/// Writes indices of 8 bits as the blocks of an image.
#[derive(Clone, Debug)]
struct Compressor {
    /// By code and next index: the code of both together, or 0.
    next: Vec<u16>,
}

impl Default for Compressor {
    fn default() -> Self {
        Self { next: vec![0; CODES * COLOURS] }
    }
}

impl Compressor {
    fn write(&mut self, indices: &[u8], out: &mut Vec<u8>) {
        const CLEAR: u16 = COLOURS as u16;
        const END: u16 = CLEAR + 1;
        out.push(8);
        let mut bytes = Vec::new();
        let (mut held, mut bits, mut width, mut free) = (0u32, 0, 9, END + 1);
        let mut put = |code: u16, width: u32| {
            held |= u32::from(code) << bits;
            bits += width;
            while bits >= 8 {
                bytes.push(held as u8);
                held >>= 8;
                bits -= 8;
            }
        };
        put(CLEAR, width);
        self.next.fill(0);
        let mut rest = indices.iter();
        if let Some(&first) = rest.next() {
            let mut code = u16::from(first);
            for &index in rest {
                let place = usize::from(code) * COLOURS + usize::from(index);
                if self.next[place] != 0 {
                    code = self.next[place];
                    continue;
                }
                put(code, width);
                if usize::from(free) == CODES {
                    put(CLEAR, width);
                    self.next.fill(0);
                    (width, free) = (9, END + 1);
                } else {
                    self.next[place] = free;
                    // The reader knows a code one step later than the writer.
                    if free == 1 << width {
                        width += 1;
                    }
                    free += 1;
                }
                code = u16::from(index);
            }
            put(code, width);
            // The reader makes a code of this one too, which may need another bit.
            if free == 1 << width && width < 12 {
                width += 1;
            }
        }
        put(END, width);
        put(0, 7);
        for block in bytes.chunks(255) {
            out.push(block.len() as u8);
            out.extend(block);
        }
        out.push(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The frames of a GIF file of ours, by a reader that follows the specification's text.
    fn read(file: &[u8]) -> (usize, usize, Vec<Vec<u8>>) {
        let number = |at: usize| usize::from(u16::from_le_bytes([file[at], file[at + 1]]));
        let (width, height) = (number(6), number(8));
        let (mut at, mut frames) = (13, Vec::new());
        loop {
            match file[at] {
                0x21 => {
                    at += 2;
                    while file[at] != 0 {
                        at += usize::from(file[at]) + 1;
                    }
                    at += 1;
                }
                0x2c => {
                    assert_eq!([number(at + 5), number(at + 7)], [width, height]);
                    let palette = &file[at + 10..at + 10 + 768];
                    at += 10 + 768 + 1;
                    let mut data = Vec::new();
                    while file[at] != 0 {
                        let length = usize::from(file[at]);
                        data.extend_from_slice(&file[at + 1..=at + length]);
                        at += length + 1;
                    }
                    at += 1;
                    let indices = unpack(&data);
                    assert_eq!(indices.len(), width * height);
                    frames.push(
                        indices.iter().flat_map(|&i| palette[3 * usize::from(i)..][..3].to_vec()).collect::<Vec<u8>>(),
                    );
                }
                0x3b => break,
                other => panic!("block {other:#x}"),
            }
        }
        assert_eq!(at + 1, file.len());
        (width, height, frames)
    }

    fn unpack(data: &[u8]) -> Vec<u8> {
        let (mut table, mut width, mut out): (Vec<Vec<u8>>, usize, Vec<u8>) = (Vec::new(), 9, Vec::new());
        let mut last: Option<Vec<u8>> = None;
        let mut bit = 0;
        loop {
            let code = (0..width).fold(0, |code, i| {
                let (byte, shift) = ((bit + i) / 8, (bit + i) % 8);
                code | (usize::from(data[byte] >> shift & 1) << i)
            });
            bit += width;
            match code {
                256 => {
                    table = (0..258).map(|i| vec![i as u8]).collect();
                    (width, last) = (9, None);
                }
                257 => return out,
                _ => {
                    let known = table.get(code).cloned();
                    let entry = match (&known, &last) {
                        (Some(entry), _) => entry.clone(),
                        (None, Some(last)) => [last.as_slice(), &last[..1]].concat(),
                        (None, None) => panic!("code {code} before any other"),
                    };
                    if let Some(last) = &last
                        && table.len() < 4096
                    {
                        table.push([last.as_slice(), &entry[..1]].concat());
                        if table.len() == 1 << width && width < 12 {
                            width += 1;
                        }
                    }
                    out.extend(&entry);
                    last = Some(entry);
                }
            }
        }
    }

    fn film(width: usize, height: usize, zoom: usize, pixels: &[u8]) -> Vec<u8> {
        let mut gif = Gif::new(width, height, zoom).expect("a size");
        for frame in pixels.chunks_exact(3 * width * height) {
            gif.add(frame, 5);
        }
        gif.finish()
    }

    #[test]
    fn few_colours_come_back_exactly_and_enlarged() {
        let colours = [[0, 0, 0], [255, 255, 255], [200, 30, 40], [9, 90, 190]];
        let pixels: Vec<u8> = (0..2 * 6 * 5).flat_map(|i| colours[(i * i + i / 7) % 4]).collect();
        let (width, height, frames) = read(&film(6, 5, 3, &pixels));
        assert_eq!((width, height, frames.len()), (18, 15, 2));
        for (frame, original) in frames.iter().zip(pixels.chunks_exact(3 * 30)) {
            for place in 0..18 * 15 {
                let source = 3 * ((place / 18 / 3) * 6 + place % 18 / 3);
                assert_eq!(frame[3 * place..][..3], original[source..][..3]);
            }
        }
    }

    #[test]
    fn noise_of_all_colours_fills_the_tables_and_comes_back_near() {
        // Noise makes the most codes: the table is cleared many times.
        let mut state = 1u32;
        let pixels: Vec<u8> = (0..3 * 96 * 96)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        let (_, _, frames) = read(&film(96, 96, 1, &pixels));
        let error = frames[0].iter().zip(&pixels).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>();
        // 256 boxes divide the cube of 256 tones into about 6.35 parts a side, 40 tones wide: 10 tones of mean error.
        assert!(error / (pixels.len() as f64) < 14.0, "{}", error / pixels.len() as f64);
    }

    #[test]
    fn every_length_up_to_several_clears_can_be_read_back() {
        // The end of the data must have the width that the reader expects there, wherever it falls.
        for length in (1..700).chain([3837, 3838, 3839, 3840, 3841, 4096, 8000]) {
            let pixels: Vec<u8> =
                (0..length).flat_map(|i: usize| [(i * 89 % 251) as u8, (i * 7 % 13 * 19) as u8, 0]).collect();
            let (width, _, frames) = read(&film(length, 1, 1, &pixels));
            assert_eq!((width, frames.len()), (length, 1));
        }
    }

    #[test]
    fn what_is_no_size_makes_no_file_and_missing_pixels_no_damage() {
        for (width, height, zoom) in [(0, 4, 1), (4, 0, 1), (4, 4, 0), (40_000, 1, 2), (1, usize::MAX, 2)] {
            assert!(Gif::new(width, height, zoom).is_none());
        }
        let mut gif = Gif::new(3, 2, 1).expect("a size");
        gif.add(&[9, 9, 9], 5);
        assert_eq!(read(&gif.finish()).2.len(), 1);
    }
}
