//! Colours for values and series, and pictures of densities.

/// Red, green and blue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rgb(pub [u8; 3]);

impl Rgb {
    /// As CSS writes it: `#rrggbb`.
    #[must_use]
    pub fn css(self) -> String {
        let [r, g, b] = self.0;
        format!("#{r:02x}{g:02x}{b:02x}")
    }

    /// Relative luminance between 0 and 1 (WCAG 2).
    #[must_use]
    pub fn luminance(self) -> f64 {
        let [r, g, b] = self.0.map(|channel| {
            let v = f64::from(channel) / 255.0;
            if v <= 0.040_45 { v / 12.92 } else { libm::pow((v + 0.055) / 1.055, 2.4) }
        });
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    /// Contrast ratio with another colour, from 1 to 21 (WCAG 2).
    #[must_use]
    pub fn contrast(self, other: Self) -> f64 {
        let (a, b) = (self.luminance(), other.luminance());
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }
}

/// Colours of series: at least 3 to 1 against white and against the dark page, as WCAG asks of graphics.
pub const SERIES: [Rgb; 6] = [
    Rgb([0x2b, 0x7f, 0xd4]),
    Rgb([0xd0, 0x60, 0x1c]),
    Rgb([0x1e, 0x91, 0x6b]),
    Rgb([0xc2, 0x52, 0x9a]),
    Rgb([0x8a, 0x7a, 0x12]),
    Rgb([0x7d, 0x6c, 0xd9]),
];

/// Stops of the sequential map: violet, blue, green, yellow, by rising luminance.
const SEQUENTIAL: [[f64; 3]; 9] = [
    [44.0, 12.0, 74.0],
    [62.0, 40.0, 118.0],
    [56.0, 76.0, 142.0],
    [40.0, 108.0, 148.0],
    [24.0, 138.0, 142.0],
    [46.0, 168.0, 122.0],
    [106.0, 194.0, 90.0],
    [176.0, 214.0, 64.0],
    [250.0, 230.0, 50.0],
];

fn between(stops: &[[f64; 3]], position: f64) -> Rgb {
    // What is not a number is painted as the least.
    let position = if position.is_nan() { 0.0 } else { position.clamp(0.0, 1.0) };
    let place = position * (stops.len() - 1) as f64;
    let index = (place as usize).min(stops.len() - 2);
    let part = (place - index as f64).clamp(0.0, 1.0);
    Rgb(core::array::from_fn(|c| libm::round(stops[index][c] + part * (stops[index + 1][c] - stops[index][c])) as u8))
}

/// Colour of a value between 0 and 1, the brighter the larger; clamped outside.
#[must_use]
pub fn sequential(value: f64) -> Rgb {
    between(&SEQUENTIAL, value)
}

/// Red, green, blue, alpha of every pixel, rows from the top, for `put_image_data`. `value` gets the pixel's column and
/// row from the bottom, as the plane counts, and gives a colour and an opacity between 0 and 1.
#[must_use]
pub fn image(width: usize, height: usize, mut value: impl FnMut(usize, usize) -> (Rgb, f64)) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 * width * height);
    for row in (0..height).rev() {
        for column in 0..width {
            let (Rgb([r, g, b]), opacity) = value(column, row);
            bytes.extend([r, g, b, libm::round(255.0 * opacity.clamp(0.0, 1.0)) as u8]);
        }
    }
    bytes
}

/// A picture of a density on a `side` by `side` grid, rows from the bottom: the square root of its share of the largest
/// chooses the colour, which shows weak modes too, and fades the emptiest part out, so that it works on any background.
#[must_use]
pub fn density_image(densities: &[f64], side: usize) -> Vec<u8> {
    let largest = densities.iter().copied().filter(|v| v.is_finite()).fold(0.0, f64::max);
    image(side, side, |column, row| {
        let density = densities.get(row * side + column).copied().unwrap_or(0.0);
        let share = if largest > 0.0 && density > 0.0 { (density / largest).min(1.0).sqrt() } else { 0.0 };
        (sequential(share), (8.0 * share).min(1.0))
    })
}
