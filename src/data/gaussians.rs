//! The visitor's own mixture of Gaussians, round or stretched, small enough to travel in a link.
//!
//! A stretched Gaussian is one along its length, of everything that a round Gaussian can be put on: it is written as a row of round
//! ones, like the curves of `data::toy`, so that what is known of those in closed form is known of it. For deviations `a > b`
//! the centres of the row are normal with variance `a^2 - b^2`; at the spacing below the density ripples by 1 in 10^4.

use core::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::mixture::Mixture;
use crate::base64;

/// Gaussians that a mixture can have.
pub const MAX_GAUSSIANS: usize = 12;
/// Half the side of the square that centres lie in.
pub const REACH: f64 = 5.0;
/// The least and the largest standard deviation.
pub const DEVIATIONS: [f64; 2] = [0.05, 3.0];
/// The most that one standard deviation is of the other.
pub const MOST_STRETCH: f64 = 8.0;
/// The largest weight; the least is 1.
pub const MOST_WEIGHT: u32 = 64;

/// Numbers that a letter of a link can be.
const LETTERS: u8 = 64;
/// Places along a side of the square, two letters.
const PLACES: u16 = 4096;
/// Letters of a Gaussian.
const LENGTH: usize = 8;

/// A Gaussian of the plane, in the steps that a link can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gaussian {
    /// From the left and from the bottom of the square.
    place: [u16; 2],
    /// Standard deviations along `turn` and across, in equal ratios.
    deviations: [u8; 2],
    /// The first one's direction, in parts of half a turn.
    turn: u8,
    /// One less than the weight.
    weight: u8,
}

/// The step nearest to a share of a range, of so many.
fn step(share: f64, count: f64) -> f64 {
    if share.is_finite() { libm::round(share * (count - 1.0)).max(0.0).min(count - 1.0) } else { 0.0 }
}

impl Gaussian {
    /// A round one of weight 1.
    #[must_use]
    pub fn round(centre: [f64; 2], deviation: f64) -> Self {
        let mut gaussian = Self { place: [0; 2], deviations: [0; 2], turn: 0, weight: 0 };
        gaussian.set_centre(centre);
        gaussian.set_deviation(0, deviation);
        gaussian.set_deviation(1, deviation);
        gaussian
    }

    /// Its centre.
    #[must_use]
    pub fn centre(&self) -> [f64; 2] {
        self.place.map(|place| (f64::from(place) / f64::from(PLACES - 1) * 2.0 - 1.0) * REACH)
    }

    /// Moves the centre to the nearest place there is.
    pub fn set_centre(&mut self, centre: [f64; 2]) {
        self.place = centre.map(|v| step((v / REACH + 1.0) / 2.0, f64::from(PLACES)) as u16);
    }

    /// Standard deviations along its direction, and across.
    #[must_use]
    pub fn deviations(&self) -> [f64; 2] {
        let [least, most] = DEVIATIONS;
        self.deviations.map(|i| least * libm::pow(most / least, f64::from(i) / f64::from(LETTERS - 1)))
    }

    /// Changes one of them, and the other with it where one would be more than [`MOST_STRETCH`] times the other.
    pub fn set_deviation(&mut self, which: usize, deviation: f64) {
        let [least, most] = DEVIATIONS;
        let ratio = libm::log(most / least);
        self.deviations[which] = step(libm::log(deviation / least) / ratio, f64::from(LETTERS)) as u8;
        self.bound(which);
    }

    /// Moves what was not set last so near that the stretch is allowed.
    fn bound(&mut self, which: usize) {
        let [least, most] = DEVIATIONS;
        let steps = (libm::log(MOST_STRETCH) / libm::log(most / least) * f64::from(LETTERS - 1)) as u8;
        let set = self.deviations[which];
        let other = &mut self.deviations[1 - which];
        *other = (*other).max(set.saturating_sub(steps)).min(set.saturating_add(steps));
    }

    /// Its direction in degrees, from 0 to 180, against the clock from the right.
    #[must_use]
    pub fn degrees(&self) -> f64 {
        f64::from(self.turn) / f64::from(LETTERS) * 180.0
    }

    /// Turns it.
    pub fn set_degrees(&mut self, degrees: f64) {
        if degrees.is_finite() {
            let turned = libm::round(degrees / 180.0 * f64::from(LETTERS));
            let whole = f64::from(LETTERS);
            self.turn = (turned - whole * (turned / whole).floor()) as u8;
        }
    }

    /// Its weight beside the others', from 1 to [`MOST_WEIGHT`].
    #[must_use]
    pub fn weight(&self) -> u32 {
        u32::from(self.weight) + 1
    }

    /// Changes the weight.
    pub fn set_weight(&mut self, weight: u32) {
        self.weight = (weight.clamp(1, MOST_WEIGHT) - 1) as u8;
    }

    /// Unit vector of its direction.
    #[must_use]
    pub fn direction(&self) -> [f64; 2] {
        let angle = f64::from(self.turn) / f64::from(LETTERS) * PI;
        [libm::cos(angle), libm::sin(angle)]
    }

    /// The round Gaussians that it is a row of: weight, centre and standard deviation.
    fn row(&self) -> Vec<(f64, [f64; 2], f64)> {
        let ([x, y], [along, across], [c, s]) = (self.centre(), self.deviations(), self.direction());
        let (long, short, direction) = if along >= across { (along, across, [c, s]) } else { (across, along, [-s, c]) };
        let spread = (long * long - short * short).max(0.0).sqrt();
        let weight = f64::from(self.weight());
        if spread == 0.0 {
            return vec![(weight, [x, y], short)];
        }
        let spacing = 1.4 * short * spread / long;
        let side = (4.0 * spread / spacing).ceil() as i32;
        let density = |i: i32| libm::exp(-0.5 * (f64::from(i) * spacing / spread) * (f64::from(i) * spacing / spread));
        let total: f64 = (-side..=side).map(density).sum();
        (-side..=side)
            .map(|i| {
                let at = f64::from(i) * spacing;
                (weight * density(i) / total, [x + at * direction[0], y + at * direction[1]], short)
            })
            .collect()
    }

    fn letters(&self) -> [u8; LENGTH] {
        let [[a, b], [c, d]] = self.place.map(|place| [(place / 64) as u8, (place % 64) as u8]);
        let [along, across] = self.deviations;
        [a, b, c, d, along, across, self.turn, self.weight]
    }

    /// The Gaussian of these letters, and whether its stretch had to be bounded.
    fn from_letters([a, b, c, d, along, across, turn, weight]: [u8; LENGTH]) -> (Self, bool) {
        let place = [[a, b], [c, d]].map(|[high, low]| u16::from(high) * 64 + u16::from(low));
        let mut gaussian = Self { place, deviations: [along, across], turn, weight };
        gaussian.bound(0);
        (gaussian, gaussian.deviations[1] != across)
    }
}

/// Gaussians in the order in which they were added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Gaussians {
    all: Vec<Gaussian>,
}

impl Default for Gaussians {
    /// Three to begin with, one of them stretched.
    fn default() -> Self {
        let mut stretched = Gaussian::round([-1.5, 2.0], 0.4);
        stretched.set_deviation(0, 1.6);
        stretched.set_degrees(30.0);
        let mut heavy = Gaussian::round([2.5, -0.5], 0.5);
        heavy.set_weight(2);
        Self { all: vec![stretched, heavy, Gaussian::round([-2.0, -2.5], 0.3)] }
    }
}

impl Gaussians {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Gaussian] {
        &self.all
    }

    /// One of them, to be changed; none when there are not so many.
    pub fn at(&mut self, index: usize) -> Option<&mut Gaussian> {
        self.all.get_mut(index)
    }

    /// Adds one, unless there are as many as there can be.
    pub fn push(&mut self, gaussian: Gaussian) {
        if self.all.len() < MAX_GAUSSIANS {
            self.all.push(gaussian);
        }
    }

    /// Takes one away, but for the last.
    pub fn remove(&mut self, index: usize) {
        if index < self.all.len() && self.all.len() > 1 {
            self.all.remove(index);
        }
    }

    /// The mixture of round Gaussians that they are, and which of them each of it belongs to.
    #[must_use]
    pub fn mixture(&self) -> (Mixture, Vec<usize>) {
        let rows: Vec<_> = self.all.iter().map(Gaussian::row).collect();
        let classes = rows.iter().enumerate().flat_map(|(class, row)| row.iter().map(move |_| class)).collect();
        (Mixture::from_components(rows.into_iter().flatten()), classes)
    }

    /// Eight letters of base64url for each.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.all.iter().flat_map(Gaussian::letters).map(base64::letter).collect()
    }

    /// Reads [`Self::to_text`]. One with an unknown letter is left out, what is over the limit is dropped, and of nothing comes
    /// [`Self::default`]. The flag says whether anything was corrected.
    #[must_use]
    pub fn from_text(text: &str) -> (Self, bool) {
        let bytes = text.as_bytes();
        let mut damaged = !bytes.len().is_multiple_of(LENGTH) || bytes.len() > LENGTH * MAX_GAUSSIANS;
        let mut all = Vec::new();
        for chunk in bytes.chunks_exact(LENGTH).take(MAX_GAUSSIANS) {
            let mut letters = [0; LENGTH];
            let known = chunk.iter().zip(&mut letters).all(|(letter, place)| {
                let value = base64::value(*letter);
                *place = value.unwrap_or(0);
                value.is_some()
            });
            let (gaussian, bounded) = Gaussian::from_letters(letters);
            damaged |= bounded || !known;
            if known {
                all.push(gaussian);
            }
        }
        if all.is_empty() { (Self::default(), true) } else { (Self { all }, damaged) }
    }
}

impl From<Gaussians> for String {
    fn from(gaussians: Gaussians) -> Self {
        gaussians.to_text()
    }
}

impl From<String> for Gaussians {
    fn from(text: String) -> Self {
        Self::from_text(&text).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::Level;

    #[test]
    fn gaussians_survive_their_text() {
        let mut gaussians = Gaussians::default();
        for i in 0..2 * MAX_GAUSSIANS {
            let mut gaussian = Gaussian::round([i as f64 * 0.7 - 8.0, 4.0 - i as f64 * 0.3], 0.05 + 0.1 * i as f64);
            gaussian.set_deviation(i % 2, 0.9);
            gaussian.set_degrees(37.0 * i as f64 - 200.0);
            gaussian.set_weight(3 * i as u32);
            gaussians.push(gaussian);
        }
        assert_eq!(gaussians.all().len(), MAX_GAUSSIANS);
        assert_eq!(Gaussians::from_text(&gaussians.to_text()), (gaussians, false));
    }

    #[test]
    fn damaged_text_loses_only_what_is_damaged() {
        let whole = Gaussians::default().to_text();
        let (left, damaged) = Gaussians::from_text(&format!("{}*{}", &whole[..LENGTH], &whole[LENGTH + 1..]));
        assert!(damaged);
        assert_eq!(left.all(), [Gaussians::default().all[0], Gaussians::default().all[2]]);
        assert_eq!(Gaussians::from_text(""), (Gaussians::default(), true));
        assert_eq!(Gaussians::from_text(&whole.repeat(5)).0.all().len(), MAX_GAUSSIANS);
        // Stretched beyond what is allowed.
        let (gaussian, damaged) = Gaussians::from_text("ggggA_AA");
        assert!(damaged);
        let [along, across] = gaussian.all()[0].deviations();
        assert!(across / along <= MOST_STRETCH * 1.001);
    }

    #[test]
    fn what_is_set_is_said_to_the_nearest_step() {
        let mut gaussian = Gaussian::round([1.234, -4.321], 0.7);
        gaussian.set_deviation(0, 2.0);
        gaussian.set_degrees(-45.0);
        assert!(gaussian.centre().iter().zip([1.234, -4.321]).all(|(a, b)| (a - b).abs() < 2e-3));
        assert!(gaussian.deviations().iter().zip([2.0, 0.7]).all(|(a, b)| (a / b - 1.0).abs() < 0.04));
        assert!((gaussian.degrees() - 135.0).abs() < 1.5);
        for wild in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            let mut gaussian = Gaussian::round([wild; 2], wild);
            gaussian.set_degrees(wild);
            let row = gaussian.row();
            assert!(row.iter().all(|(w, c, s)| w.is_finite() && c.iter().all(|v| v.abs() <= REACH) && *s > 0.0));
        }
    }

    #[test]
    fn a_row_is_the_gaussian_it_stands_for() {
        let mut gaussian = Gaussian::round([0.5, -1.0], 0.25);
        for along in [0.27, 0.4, 1.0, 2.0] {
            gaussian.set_deviation(0, along);
            gaussian.set_degrees(60.0);
            let (mixture, _) = Gaussians { all: vec![gaussian] }.mixture();
            let ([a, b], [c, s], [x, y]) = (gaussian.deviations(), gaussian.direction(), gaussian.centre());
            let exact = |[u, v]: [f64; 2]| {
                let (p, q) = ((u - x) * c + (v - y) * s, (v - y) * c - (u - x) * s);
                -0.5 * (p * p / (a * a) + q * q / (b * b)) - libm::log(2.0 * PI * a * b)
            };
            let clean = mixture.at(Level { t: 0.0, alpha: 1.0, sigma: 0.0 });
            for i in 0..200 {
                let (r, angle) = (3.0 * f64::from(i) / 200.0, 2.4 * f64::from(i));
                let (p, q) = (a * r * libm::cos(angle), b * r * libm::sin(angle));
                let point = [x + p * c - q * s, y + p * s + q * c];
                let apart = clean.log_density(point) - exact(point);
                assert!(apart.abs() < 2e-3, "{along}: {apart} at {r} deviations");
            }
            let covariance = mixture.covariance();
            let wanted = [a * a * c * c + b * b * s * s, (a * a - b * b) * c * s];
            assert!((covariance[0][0] / wanted[0] - 1.0).abs() < 2e-3, "{covariance:?} {wanted:?}");
            assert!((covariance[0][1] - wanted[1]).abs() < 2e-3 * a * a, "{covariance:?} {wanted:?}");
        }
    }
}
