//! Letters as lines of one width: those of the card's words. Typefaces of the system differ between machines; these do not.

use thiserror::Error;

use Piece::{Arc, Line};

/// Height of a small letter, in which letters are described, upwards from the line they stand on.
const HEIGHT: f64 = 100.0;
/// Between two letters, and between two words.
const GAP: f64 = 38.0;
const SPACE: f64 = 52.0;
/// Most degrees of an arc that are drawn as a straight line.
const STRAIGHT: f64 = 6.0;

/// A letter that is not among these.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the card has no letter {0:?}: describe it in src/bin/finish_page/card/letters.rs")]
pub struct MissingLetter(char);

/// A stroke of a letter.
enum Piece {
    /// From point to point.
    Line(&'static [[f64; 2]]),
    /// Part of an ellipse: its centre, its radii, and from which to which degree, against the clock from the right.
    Arc([f64; 2], [f64; 2], [f64; 2]),
}

/// Advance and strokes of a letter. Round sides stand out a little, as they do in print.
fn letter(letter: char) -> Option<(f64, &'static [Piece])> {
    const BOWL: Piece = Arc([38.0, 50.0], [44.0, 51.0], [0.0, 360.0]);
    const STEM: Piece = Line(&[[0.0, 0.0], [0.0, 100.0]]);
    const TALL: Piece = Line(&[[0.0, 0.0], [0.0, 148.0]]);
    Some(match letter {
        'a' => (82.0, &[BOWL, Line(&[[82.0, 100.0], [82.0, 0.0]])]),
        'b' => (76.0, &[TALL, Arc([44.0, 50.0], [44.0, 51.0], [0.0, 360.0])]),
        'c' => (62.0, &[Arc([38.0, 50.0], [44.0, 51.0], [47.0, 313.0])]),
        'd' => (82.0, &[BOWL, Line(&[[82.0, 148.0], [82.0, 0.0]])]),
        'e' => (76.0, &[Line(&[[-5.0, 52.0], [81.0, 52.0]]), Arc([38.0, 50.0], [44.0, 51.0], [3.0, 316.0])]),
        'f' => (
            46.0,
            &[
                Line(&[[18.0, 0.0], [18.0, 120.0]]),
                Arc([46.0, 120.0], [28.0, 29.0], [180.0, 84.0]),
                Line(&[[-4.0, 96.0], [46.0, 96.0]]),
            ],
        ),
        'g' => (82.0, &[BOWL, Line(&[[82.0, 100.0], [82.0, -8.0]]), Arc([40.0, -8.0], [42.0, 38.0], [0.0, -145.0])]),
        'h' => (72.0, &[TALL, Arc([36.0, 63.0], [36.0, 38.0], [180.0, 0.0]), Line(&[[72.0, 63.0], [72.0, 0.0]])]),
        'i' => (0.0, &[STEM, Line(&[[0.0, 138.0], [0.0, 139.0]])]),
        'j' => (
            0.0,
            &[
                Line(&[[0.0, 100.0], [0.0, -18.0]]),
                Arc([-26.0, -18.0], [26.0, 26.0], [0.0, -90.0]),
                Line(&[[0.0, 138.0], [0.0, 139.0]]),
            ],
        ),
        'k' => (62.0, &[TALL, Line(&[[60.0, 100.0], [0.0, 36.0]]), Line(&[[22.0, 60.0], [64.0, 0.0]])]),
        'l' => (0.0, &[TALL]),
        'm' => (
            124.0,
            &[
                STEM,
                Arc([31.0, 66.0], [31.0, 35.0], [180.0, 0.0]),
                Line(&[[62.0, 66.0], [62.0, 0.0]]),
                Arc([93.0, 66.0], [31.0, 35.0], [180.0, 0.0]),
                Line(&[[124.0, 66.0], [124.0, 0.0]]),
            ],
        ),
        'n' => (72.0, &[STEM, Arc([36.0, 63.0], [36.0, 38.0], [180.0, 0.0]), Line(&[[72.0, 63.0], [72.0, 0.0]])]),
        'o' => (76.0, &[BOWL]),
        'p' => (76.0, &[Line(&[[0.0, 100.0], [0.0, -46.0]]), Arc([44.0, 50.0], [44.0, 51.0], [0.0, 360.0])]),
        'q' => (82.0, &[BOWL, Line(&[[82.0, 100.0], [82.0, -46.0]])]),
        'r' => (38.0, &[STEM, Arc([36.0, 63.0], [36.0, 38.0], [180.0, 78.0])]),
        's' => {
            (56.0, &[Arc([29.0, 75.5], [28.0, 25.5], [38.0, 270.0]), Arc([29.0, 24.5], [31.0, 25.5], [90.0, -143.0])])
        }
        't' => (
            46.0,
            &[
                Line(&[[18.0, 132.0], [18.0, 27.0]]),
                Arc([46.0, 27.0], [28.0, 28.0], [180.0, 276.0]),
                Line(&[[-4.0, 96.0], [46.0, 96.0]]),
            ],
        ),
        'u' => (
            72.0,
            &[
                Line(&[[0.0, 100.0], [0.0, 37.0]]),
                Arc([36.0, 37.0], [36.0, 38.0], [180.0, 360.0]),
                Line(&[[72.0, 100.0], [72.0, 0.0]]),
            ],
        ),
        'v' => (68.0, &[Line(&[[-4.0, 100.0], [34.0, 0.0], [72.0, 100.0]])]),
        'w' => (112.0, &[Line(&[[-4.0, 100.0], [27.0, 0.0], [56.0, 96.0], [85.0, 0.0], [116.0, 100.0]])]),
        'x' => (64.0, &[Line(&[[0.0, 100.0], [64.0, 0.0]]), Line(&[[64.0, 100.0], [0.0, 0.0]])]),
        'y' => (68.0, &[Line(&[[-4.0, 100.0], [34.0, 0.0]]), Line(&[[72.0, 100.0], [16.0, -46.0]])]),
        'z' => (60.0, &[Line(&[[2.0, 98.0], [60.0, 98.0], [0.0, 2.0], [62.0, 2.0]])]),
        'T' => (78.0, &[Line(&[[-6.0, 138.0], [90.0, 138.0]]), Line(&[[42.0, 138.0], [42.0, 0.0]])]),
        ',' => (4.0, &[Line(&[[4.0, 4.0], [-6.0, -24.0]])]),
        '.' => (4.0, &[Line(&[[2.0, 2.0], [2.0, 3.0]])]),
        _ => return None,
    })
}

/// Words as lines, and how long they are.
pub struct Letters {
    /// From the left of the first letter to the right of the last one, in pixels.
    pub width: f64,
    lines: Vec<Vec<[f64; 2]>>,
    scale: f64,
}

impl Letters {
    /// Words with small letters of this height in pixels.
    ///
    /// # Errors
    /// A letter that is not described.
    pub fn new(words: &str, height: f64) -> Result<Self, MissingLetter> {
        let (mut at, mut lines) = (0.0, Vec::new());
        for c in words.chars() {
            if c == ' ' {
                at += SPACE;
                continue;
            }
            let (width, pieces) = letter(c).ok_or(MissingLetter(c))?;
            lines.extend(pieces.iter().map(|piece| piece.line().iter().map(|[x, y]| [at + x, *y]).collect::<Vec<_>>()));
            at += width + GAP;
        }
        let scale = height / HEIGHT;
        Ok(Self { width: scale * (at - GAP).max(0.0), lines, scale })
    }

    /// The lines in pixels, with the words on a line that begins here.
    pub fn at(&self, [left, baseline]: [f64; 2]) -> Vec<Vec<[f64; 2]>> {
        let place = |[x, y]: [f64; 2]| [left + self.scale * x, baseline - self.scale * y];
        self.lines.iter().map(|line| line.iter().copied().map(place).collect()).collect()
    }
}

impl Piece {
    fn line(&self) -> Vec<[f64; 2]> {
        match *self {
            Line(points) => points.to_vec(),
            Arc([x, y], [across, up], [from, to]) => {
                let pieces = (f64::abs(to - from) / STRAIGHT).ceil().max(1.0);
                let point = |i: usize| {
                    let angle = (from + (to - from) * i as f64 / pieces).to_radians();
                    [x + across * libm::cos(angle), y + up * libm::sin(angle)]
                };
                (0..=pieces as usize).map(point).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_small_letter_stands_on_its_line_and_is_wider_than_nothing() {
        for c in ('a'..='z').chain(['T']) {
            let words = Letters::new(&c.to_string(), 100.0).expect("a letter");
            let points: Vec<[f64; 2]> = words.at([0.0, 0.0]).concat();
            let lowest = points.iter().map(|p| p[1]).fold(f64::MIN, f64::max);
            let highest = points.iter().map(|p| p[1]).fold(f64::MAX, f64::min);
            assert!(if "gjpqy".contains(c) { lowest > 30.0 } else { lowest.abs() < 3.0 }, "{c}: {lowest}");
            assert!((-150.0..=-98.0).contains(&highest), "{c}: {highest}");
            assert!(words.width >= 0.0 && points.len() > 1, "{c}");
        }
    }

    #[test]
    fn words_follow_one_another_and_grow_with_their_height() {
        let width = |words: &str, height| Letters::new(words, height).expect("letters").width;
        assert!((width("on", 100.0) - (76.0 + GAP + 72.0)).abs() < 1e-9);
        assert!((width("on on", 50.0) * 2.0 - width("on on", 100.0)).abs() < 1e-9);
        assert!(width("on on", 100.0) > 2.0 * width("on", 100.0));
        assert_eq!(Letters::new("né", 10.0).err(), Some(MissingLetter('é')));
    }
}
