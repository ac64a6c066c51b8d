//! PNG files, read and written.

use std::io::Cursor;

use png::{ColorType, Decoder, Encoder, Transformations};

/// Most pixels of a picture that is read: CIFAR-10's batches have ten million.
const MOST_PIXELS: u64 = 1 << 26;
/// Most bytes that deflate makes of one.
const DENSEST: u64 = 1032;

/// A picture with 256 grey values, its channels last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 1 or 3.
    pub channels: usize,
    /// `[row, column, channel]`
    pub pixels: Vec<u8>,
}

impl Picture {
    /// Reads a picture; what is transparent counts for nothing.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let mut decoder = Decoder::new(Cursor::new(bytes));
        decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
        let mut reader = decoder.read_info().map_err(|error| error.to_string())?;
        let (width, height) = (reader.info().width, reader.info().height);
        if u64::from(width) * u64::from(height) > MOST_PIXELS {
            return Err(format!("{width} x {height} pixels are more than is read"));
        }
        let length = reader.output_buffer_size().ok_or("a picture of unknown size")?;
        // What a header says of a picture that the file cannot hold is no reason to take memory.
        if reader.info().raw_bytes() as u64 / DENSEST > bytes.len() as u64 {
            return Err(format!("{} bytes are too few for {width} x {height} pixels", bytes.len()));
        }
        let mut pixels = vec![0; length];
        let info = reader.next_frame(&mut pixels).map_err(|error| error.to_string())?;
        pixels.truncate(info.buffer_size());
        let (found, channels) = match info.color_type {
            ColorType::Grayscale => (1, 1),
            ColorType::GrayscaleAlpha => (2, 1),
            ColorType::Rgb => (3, 3),
            ColorType::Rgba => (4, 3),
            ColorType::Indexed => return Err("an indexed picture that was not expanded".to_owned()),
        };
        let pixels = if found == channels {
            pixels
        } else {
            pixels.chunks_exact(found).flat_map(|pixel| pixel[..channels].iter().copied()).collect()
        };
        Ok(Self { width: width as usize, height: height as usize, channels, pixels })
    }

    /// The file.
    ///
    /// # Errors
    /// What the writer says.
    pub fn encode(&self) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let side = |length: usize| u32::try_from(length).map_err(|error| error.to_string());
        let mut encoder = Encoder::new(&mut bytes, side(self.width)?, side(self.height)?);
        encoder.set_color(if self.channels == 1 { ColorType::Grayscale } else { ColorType::Rgb });
        let mut writer = encoder.write_header().map_err(|error| error.to_string())?;
        writer.write_image_data(&self.pixels).map_err(|error| error.to_string())?;
        writer.finish().map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    /// The picture with its channels first: `[channel, row, column]`.
    #[must_use]
    pub fn planes(&self) -> Vec<u8> {
        let plane = |channel| self.pixels.iter().skip(channel).step_by(self.channels).copied();
        (0..self.channels).flat_map(plane).collect()
    }

    /// A grid of images given as `[channel, row, column]`, `columns` of them in a row; the rest of the last row is black.
    #[must_use]
    pub fn grid(images: &[Vec<u8>], size: usize, channels: usize, columns: usize) -> Self {
        let columns = columns.clamp(1, images.len().max(1));
        let rows = images.len().div_ceil(columns);
        let (width, height) = (columns * size, rows * size);
        let mut pixels = vec![0; width * height * channels];
        for (index, image) in images.iter().enumerate() {
            let (top, left) = (index / columns * size, index % columns * size);
            for (at, value) in image.iter().enumerate().take(size * size * channels) {
                let (channel, row, column) = (at / (size * size), at / size % size, at % size);
                pixels[((top + row) * width + left + column) * channels + channel] = *value;
            }
        }
        Self { width, height, channels, pixels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_is_read_back_as_it_was_written() {
        let images: Vec<Vec<u8>> = (0..3).map(|i| (0..12).map(|v| (i * 20 + v) as u8).collect()).collect();
        let grid = Picture::grid(&images, 2, 3, 2);
        assert_eq!((grid.width, grid.height), (4, 4));
        // The second image, second row, first column: its green is number 4 + 2.
        assert_eq!(grid.pixels[(4 + 2) * 3 + 1], 20 + 6);
        let read = Picture::decode(&grid.encode().unwrap()).unwrap();
        assert_eq!(read, grid);
        assert_eq!(Picture::grid(&images[..1], 2, 3, 1).planes(), images[0]);
        assert!(Picture::decode(&grid.encode().unwrap()[..40]).is_err());
    }

    #[test]
    fn a_small_file_of_a_large_picture_is_refused_before_memory_is_taken_for_it() {
        let mut large = Vec::new();
        let encoder = Encoder::new(&mut large, 8192, 8192);
        let mut writer = encoder.write_header().unwrap();
        writer.write_chunk(png::chunk::IDAT, &[0x78, 0x9c, 0, 0, 0]).unwrap();
        drop(writer);
        let refusal = Picture::decode(&large).unwrap_err();
        assert!(refusal.ends_with("too few for 8192 x 8192 pixels"), "{refusal}");
    }
}
