//! Convolutions as matrix products: what every place of the result looks at becomes a column of a matrix.
//!
//! Small images are unfolded several at a time and large ones in pieces, so that the matrices are large enough for a
//! quick product and small enough for the caches.

/// Numbers of an unfolded piece: as many as stay in the caches.
const PIECE: usize = 1 << 17;

/// Rows `first..first + count` of the result for one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Which image.
    pub image: usize,
    /// The first row.
    pub first: usize,
    /// How many rows.
    pub count: usize,
}

/// A convolution's sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Channels that come in.
    pub inputs: usize,
    /// Height of what comes in.
    pub height: usize,
    /// Its width.
    pub width: usize,
    /// Height and width of the kernel.
    pub kernel: usize,
    /// Steps between places.
    pub stride: usize,
    /// Rows and columns of zeros before.
    pub before: usize,
    /// Rows of the result.
    pub rows: usize,
    /// Columns of the result.
    pub columns: usize,
}

impl Geometry {
    /// Of images with so many channels, height and width, with zeros before and after.
    #[must_use]
    pub fn new(
        [inputs, height, width]: [usize; 3],
        kernel: usize,
        stride: usize,
        (before, after): (usize, usize),
    ) -> Self {
        let size = |length: usize| (length + before + after - kernel) / stride + 1;
        Self { inputs, height, width, kernel, stride, before, rows: size(height), columns: size(width) }
    }

    /// Rows of the unfolded matrix.
    #[must_use]
    pub fn taps(&self) -> usize {
        self.inputs * self.kernel * self.kernel
    }

    /// The work of so many images in pieces.
    #[must_use]
    pub fn pieces(&self, images: usize) -> Vec<Vec<Rows>> {
        let line = (self.taps() * self.columns).max(1);
        let together = PIECE / (line * self.rows).max(1);
        if together >= 1 {
            let whole = |image| Rows { image, first: 0, count: self.rows };
            let starts = (0..images).step_by(together);
            return starts.map(|start| (start..images.min(start + together)).map(whole).collect()).collect();
        }
        let step = (PIECE / line).clamp(1, self.rows);
        let part = |image: usize| {
            let firsts = (0..self.rows).step_by(step);
            firsts.map(move |first| vec![Rows { image, first, count: step.min(self.rows - first) }])
        };
        (0..images).flat_map(part).collect()
    }

    /// Columns of a piece.
    #[must_use]
    pub fn columns_of(&self, piece: &[Rows]) -> usize {
        piece.iter().map(|rows| rows.count).sum::<usize>() * self.columns
    }

    /// Says for each tap and row which run of a piece's matrix comes from where: start in the matrix, start in the
    /// images, length. Consecutive numbers of the run are `stride` apart in the images.
    fn runs(&self, piece: &[Rows], mut run: impl FnMut(usize, usize, usize)) {
        let Self { height, width, kernel, stride, before, columns, .. } = *self;
        let all = self.columns_of(piece);
        for tap in 0..self.taps() {
            let (channel, down, right) = (tap / (kernel * kernel), tap / kernel % kernel, tap % kernel);
            // The columns whose source is inside.
            let start = before.saturating_sub(right).div_ceil(stride);
            let end = columns.min((width + before).saturating_sub(right).div_ceil(stride));
            let mut place = tap * all;
            for Rows { image, first, count } in piece {
                for row in *first..first + count {
                    let y = (row * stride + down).checked_sub(before).filter(|y| *y < height);
                    if let Some(y) = y.filter(|_| start < end) {
                        let from = ((image * self.inputs + channel) * height + y) * width;
                        run(place + start, from + start * stride + right - before, end - start);
                    }
                    place += columns;
                }
            }
        }
    }

    /// The matrix of a piece, `[taps, columns]`.
    #[must_use]
    pub fn unfold(&self, x: &[f32], piece: &[Rows]) -> Vec<f32> {
        let mut matrix = vec![0.0; self.taps() * self.columns_of(piece)];
        self.runs(piece, |place, from, count| {
            let line = &mut matrix[place..place + count];
            if self.stride == 1 {
                line.copy_from_slice(&x[from..from + count]);
            } else {
                line.iter_mut().zip(x[from..].iter().step_by(self.stride)).for_each(|(value, x)| *value = *x);
            }
        });
        matrix
    }

    /// Adds every number of a piece's matrix to where it came from.
    pub fn fold(&self, matrix: &[f32], piece: &[Rows], x: &mut [f32]) {
        self.runs(piece, |place, from, count| {
            let line = &matrix[place..place + count];
            x[from..].iter_mut().step_by(self.stride).zip(line).for_each(|(x, value)| *x += value);
        });
    }

    /// Of results `[images, outputs, rows, columns]` those of a piece, `[outputs, columns of the piece]`.
    #[must_use]
    pub fn gather(&self, y: &[f32], outputs: usize, piece: &[Rows]) -> Vec<f32> {
        let mut found = Vec::with_capacity(outputs * self.columns_of(piece));
        for output in 0..outputs {
            for rows in piece {
                found.extend_from_slice(&y[self.places(rows, output, outputs)]);
            }
        }
        found
    }

    /// The reverse, with a number added to each output.
    pub fn scatter(&self, found: &[f32], shifts: &[f32], piece: &[Rows], y: &mut [f32]) {
        let mut at = 0;
        for (output, shift) in shifts.iter().enumerate() {
            for rows in piece {
                let line = &mut y[self.places(rows, output, shifts.len())];
                let count = line.len();
                line.iter_mut().zip(&found[at..at + count]).for_each(|(y, value)| *y = value + shift);
                at += count;
            }
        }
    }

    fn places(&self, rows: &Rows, output: usize, outputs: usize) -> std::ops::Range<usize> {
        let start = ((rows.image * outputs + output) * self.rows + rows.first) * self.columns;
        start..start + rows.count * self.columns
    }
}
