//! A canvas: lines with round ends, areas and shades, in plain arithmetic, so that every machine paints the same picture.

use std::collections::BTreeMap;

/// Most colours of a palette.
const COLOURS: usize = 256;
/// How far two colours of a palette differ, of 255.
const ALIKE: f64 = 4.0;

/// A colour, red, green and blue up to 255, and its opacity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Paint {
    rgb: [f64; 3],
    opacity: f64,
}

impl Paint {
    /// A colour as CSS writes it, `#rrggbb` or `rgba(r, g, b, a)`; `None` for anything else.
    pub fn css(text: &str) -> Option<Self> {
        if let Some(digits) = text.strip_prefix('#') {
            let value = u32::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 6)?;
            return Some(Self { rgb: [16, 8, 0].map(|bits| f64::from(value >> bits & 255)), opacity: 1.0 });
        }
        let parts = text.strip_prefix("rgba(")?.strip_suffix(')')?.split(',').map(|part| part.trim().parse().ok());
        let [r, g, b, opacity] = parts.collect::<Option<Vec<f64>>>()?.try_into().ok()?;
        Some(Self { rgb: [r, g, b], opacity })
    }
}

/// A rectangle, in pixels from the upper left corner.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    /// Left edge.
    pub left: f64,
    /// Upper edge.
    pub top: f64,
    /// Right edge.
    pub right: f64,
    /// Lower edge.
    pub bottom: f64,
}

impl Area {
    /// What it has in common with another.
    fn and(self, other: Self) -> Self {
        Self {
            left: self.left.max(other.left),
            top: self.top.max(other.top),
            right: self.right.min(other.right),
            bottom: self.bottom.min(other.bottom),
        }
    }

    /// The pixels whose middles are in it.
    fn pixels(self) -> impl Iterator<Item = [usize; 2]> {
        let range = |from: f64, to: f64| (from.max(0.0).round() as usize)..(to.max(0.0).round() as usize);
        range(self.top, self.bottom).flat_map(move |y| range(self.left, self.right).map(move |x| [x, y]))
    }
}

/// A picture in the making.
pub struct Canvas {
    size: [usize; 2],
    pixels: Vec<[f64; 3]>,
}

impl Canvas {
    /// A canvas of one colour.
    pub fn new(size: [usize; 2], ground: Paint) -> Self {
        Self { size, pixels: vec![ground.rgb; size[0] * size[1]] }
    }

    fn whole(&self) -> Area {
        Area { left: 0.0, top: 0.0, right: self.size[0] as f64, bottom: self.size[1] as f64 }
    }

    fn lay(&mut self, [x, y]: [usize; 2], paint: Paint, share: f64) {
        let pixel = &mut self.pixels[y * self.size[0] + x];
        for (channel, new) in pixel.iter_mut().zip(paint.rgb) {
            *channel += share * paint.opacity * (new - *channel);
        }
    }

    /// Fills an area.
    pub fn fill(&mut self, area: Area, paint: Paint) {
        for pixel in area.and(self.whole()).pixels() {
            self.lay(pixel, paint, 1.0);
        }
    }

    /// Gives every pixel of an area the colour that its middle has.
    pub fn shade(&mut self, area: Area, colour: impl Fn([f64; 2]) -> [f64; 3]) {
        for [x, y] in area.and(self.whole()).pixels() {
            self.pixels[y * self.size[0] + x] = colour([x as f64 + 0.5, y as f64 + 0.5]);
        }
    }

    /// Draws lines with round joints and ends, within an area, all at once: where they meet they are not darker. A line
    /// of one point is a dot.
    pub fn stroke(&mut self, lines: &[Vec<[f64; 2]>], radius: f64, paint: Paint, within: Area) {
        let within = within.and(self.whole());
        let mut covered: BTreeMap<[usize; 2], f64> = BTreeMap::new();
        let pieces = lines
            .iter()
            .flat_map(|line| (0..line.len().max(2) - 1).map(move |i| [line.get(i), line.get(i + 1).or(line.get(i))]));
        for piece in pieces {
            let [Some(&from), Some(&to)] = piece else { continue };
            let reach = radius + 1.0;
            let near = Area {
                left: from[0].min(to[0]) - reach,
                top: from[1].min(to[1]) - reach,
                right: from[0].max(to[0]) + reach,
                bottom: from[1].max(to[1]) + reach,
            };
            for pixel in near.and(within).pixels() {
                let share = (radius + 0.5 - distance(pixel.map(|side| side as f64 + 0.5), from, to)).clamp(0.0, 1.0);
                if share > 0.0 {
                    let most = covered.entry(pixel).or_insert(0.0);
                    *most = most.max(share);
                }
            }
        }
        for (pixel, share) in covered {
            self.lay(pixel, paint, share);
        }
    }

    /// The picture in at most 256 colours: the palette, and a place in it for every pixel. Colours that hardly differ are one,
    /// that which most pixels have; of these the commonest are the palette, and others become the nearest of them.
    pub fn indexed(&self) -> (Vec<u8>, Vec<u8>) {
        let bin = |pixel: &[f64; 3]| pixel.map(|channel| (channel / ALIKE).round() as u8);
        let mut bins: BTreeMap<[u8; 3], BTreeMap<[u8; 3], usize>> = BTreeMap::new();
        for pixel in &self.pixels {
            let colours = bins.entry(bin(pixel)).or_default();
            *colours.entry(pixel.map(|channel| channel.round() as u8)).or_insert(0) += 1;
        }
        let commonest = |colours: &BTreeMap<[u8; 3], usize>| {
            colours.iter().max_by_key(|(_, count)| **count).map_or([0; 3], |(colour, _)| *colour)
        };
        let mut common: Vec<(usize, [u8; 3])> =
            bins.values().map(|colours| (colours.values().sum(), commonest(colours))).collect();
        common.sort_by_key(|(count, colour)| (usize::MAX - count, *colour));
        common.truncate(COLOURS);
        let apart =
            |a: &[u8; 3], b: &[u8; 3]| -> u32 { a.iter().zip(b).map(|(&a, &b)| u32::from(a.abs_diff(b)).pow(2)).sum() };
        let nearest = |colour: [u8; 3]| {
            let place = (0..common.len()).min_by_key(|&place| apart(&common[place].1, &colour));
            place.and_then(|place| u8::try_from(place).ok()).unwrap_or(0)
        };
        let places: BTreeMap<[u8; 3], u8> =
            bins.iter().map(|(bin, colours)| (*bin, nearest(commonest(colours)))).collect();
        let palette = common.iter().flat_map(|(_, colour)| *colour).collect();
        (palette, self.pixels.iter().map(|pixel| places[&bin(pixel)]).collect())
    }
}

/// From a point to a piece of a line.
fn distance([x, y]: [f64; 2], from: [f64; 2], to: [f64; 2]) -> f64 {
    let [dx, dy] = [to[0] - from[0], to[1] - from[1]];
    let length = dx * dx + dy * dy;
    let share = if length > 0.0 { (((x - from[0]) * dx + (y - from[1]) * dy) / length).clamp(0.0, 1.0) } else { 0.0 };
    let [dx, dy] = [x - from[0] - share * dx, y - from[1] - share * dy];
    (dx * dx + dy * dy).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHITE: Paint = Paint { rgb: [255.0; 3], opacity: 1.0 };
    const BLACK: Paint = Paint { rgb: [0.0; 3], opacity: 1.0 };

    #[test]
    fn lines_cover_their_area_and_are_no_darker_where_they_cross() {
        let mut canvas = Canvas::new([40, 40], WHITE);
        let everywhere = canvas.whole();
        let grey = Paint { opacity: 0.5, ..BLACK };
        canvas.stroke(&[vec![[5.0, 20.0], [35.0, 20.0]], vec![[20.0, 5.0], [20.0, 35.0]]], 2.0, grey, everywhere);
        assert_eq!(canvas.pixels[20 * 40 + 20], [127.5; 3], "the crossing");
        assert_eq!(canvas.pixels[20 * 40 + 10], [127.5; 3], "a line");
        assert_eq!(canvas.pixels[0], [255.0; 3]);
        let ink: f64 = canvas.pixels.iter().map(|pixel| 2.0 * (255.0 - pixel[0]) / 255.0).sum();
        // Two bars of 30 by 4, less their crossing of 4 by 4, and four half discs at their ends.
        let area = 2.0 * 30.0 * 4.0 - 16.0 + 2.0 * std::f64::consts::PI * 4.0;
        assert!((ink - area).abs() < 3.0, "{ink} against {area}");
    }

    #[test]
    fn what_is_outside_the_area_stays() {
        let mut canvas = Canvas::new([20, 20], WHITE);
        canvas.stroke(&[vec![[10.0, 10.0]]], 30.0, BLACK, Area { left: 10.0, top: 0.0, right: 99.0, bottom: 99.0 });
        let black = canvas.pixels.iter().filter(|pixel| pixel[0] == 0.0).count();
        assert_eq!(black, 200);
    }

    #[test]
    fn colours_are_read_as_css_writes_them() {
        assert_eq!(Paint::css("#20242c"), Some(Paint { rgb: [32.0, 36.0, 44.0], opacity: 1.0 }));
        assert_eq!(Paint::css("rgba(206, 74, 34, 0.28)"), Some(Paint { rgb: [206.0, 74.0, 34.0], opacity: 0.28 }));
        for wrong in ["", "#fff", "red", "rgba(1, 2, 3)", "rgba(1, 2, 3, x)"] {
            assert_eq!(Paint::css(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_palette_has_every_colour_as_long_as_there_are_few() {
        let mut canvas = Canvas::new([50, 4], WHITE);
        canvas.shade(canvas.whole(), |[x, _]| [5.0 * x.floor(), 0.0, 0.0]);
        let (palette, indices) = canvas.indexed();
        assert_eq!(palette.len(), 150);
        let of = |palette: &[u8], place: u8| palette[3 * usize::from(place)..][..3].to_vec();
        assert!(indices.iter().enumerate().all(|(i, &place)| of(&palette, place) == [5 * (i % 50) as u8, 0, 0]));
        // Where there are many, what most pixels have stays as it is, and the rest is near.
        let mut many = Canvas::new([100, 100], WHITE);
        many.shade(Area { top: 50.0, ..many.whole() }, |[x, y]| [2.5 * x, 2.5 * y, 0.0]);
        let (palette, indices) = many.indexed();
        assert_eq!(palette.len(), 768);
        assert_eq!(of(&palette, indices[0]), [255; 3]);
        let apart = |pixel: &[f64; 3], colour: &[u8]| -> f64 {
            pixel.iter().zip(colour).map(|(a, b)| (a - f64::from(*b)).powi(2)).sum::<f64>().sqrt()
        };
        for (pixel, &place) in many.pixels.iter().zip(&indices) {
            let least = palette.chunks(3).map(|colour| apart(pixel, colour)).fold(f64::MAX, f64::min);
            // As near as any, up to what is held to be alike.
            assert!(apart(pixel, &of(&palette, place)) <= least + 2.0 * ALIKE * 3f64.sqrt(), "{pixel:?}");
        }
    }
}
