//! Tinted digits: a network learns them in a basis whose first coordinate is the grey, and so the grey can be given to it.

use super::chain::repaint;
use super::walks::{MOST, SIGMAS, Walks};
use crate::data::digits::PIXELS;
use crate::diffusion::constraint::{Masked, Method};
use crate::rng::{Rng, Stream};
use crate::study::context::StudyContext;
use crate::study::error::StudyError;
use crate::study::learners::Labelled;
use crate::study::network::{Fit, Learned, LevelNet, Size};
use crate::study::pictures::colour_grid;
use crate::study::rows::Rows;
use crate::study::tools::share_error;

/// Channels of a pixel, and numbers of a digit.
const CHANNELS: usize = 3;
const NUMBERS: usize = CHANNELS * PIXELS;
/// What a hue leaves of red, green and blue: all three of one sum, so that the grey does not tell them apart.
const TINTS: [[f64; CHANNELS]; 3] = [[1.0, 0.2, 0.2], [0.2, 1.0, 0.2], [0.2, 0.2, 1.0]];
const SUM: f64 = 1.4;
/// The shares of the hues among even and odd digits.
const SHARES: [[f64; 3]; 2] = [[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]];
/// Mean colours so near that of a hue are it.
const NEAR: f64 = 0.1;
/// Root mean square of a tinted digit's numbers.
const DATA: f64 = 0.86;

/// How tinted digits are learned and grey ones coloured.
#[derive(Clone, Copy)]
pub struct TintPlan {
    /// Training steps.
    pub steps: usize,
    /// Digits of a step.
    pub batch: usize,
    /// Learning rate, from which half a cosine falls.
    pub rate: f64,
    /// Units of a hidden layer.
    pub width: usize,
    /// Passes of RePaint.
    pub passes: usize,
    /// Kinds of rows of the picture, two rows each.
    pub kinds: usize,
}

/// The orthonormal basis of colours: grey, and two across it.
fn basis() -> [[f64; CHANNELS]; CHANNELS] {
    let root = |v: f64| v.sqrt();
    [[root(1.0 / 3.0); 3], [-root(2.0 / 3.0), root(1.0 / 6.0), root(1.0 / 6.0)], [0.0, root(0.5), -root(0.5)]]
}

/// A digit in a hue, in the basis of colours, pixel by pixel.
fn tinted(digit: &[f32], hue: usize) -> impl Iterator<Item = f32> {
    let basis = basis();
    digit.iter().flat_map(move |v| {
        let light = 0.5 * (f64::from(*v) + 1.0);
        let colour = TINTS[hue].map(|tint| 2.0 * tint * light - 1.0);
        basis.map(|axis| axis.iter().zip(colour).map(|(a, c)| a * c).sum::<f64>() as f32)
    })
}

/// Red, green and blue from -1 to 1, pixel by pixel.
fn colours(row: &[f32]) -> Vec<[f64; CHANNELS]> {
    let basis = basis();
    let colour = |pixel: &[f32]| {
        let channel = |c: usize| pixel.iter().zip(&basis).map(|(v, axis)| f64::from(*v) * axis[c]).sum();
        core::array::from_fn(channel)
    };
    row.chunks_exact(CHANNELS).map(colour).collect()
}

fn hue(class: usize, rng: &mut Rng) -> usize {
    let (shares, u) = (SHARES[class % 2], rng.uniform());
    if u < shares[0] { 0 } else { 2 - usize::from(u < shares[0] + shares[1]) }
}

/// The hue that a digit's mean colour is nearest to, if it is near one.
fn nearest(row: &[f32]) -> Option<usize> {
    let mut mean = [0.0; CHANNELS];
    for colour in colours(row) {
        mean.iter_mut().zip(colour).for_each(|(sum, c)| *sum += 0.5 * (c + 1.0));
    }
    let total: f64 = mean.iter().sum();
    let far =
        |tint: &[f64; CHANNELS]| tint.iter().zip(&mean).map(|(t, m)| (t / SUM - m / total).powi(2)).sum::<f64>().sqrt();
    let distances = TINTS.each_ref().map(far);
    let nearest = (0..TINTS.len()).min_by(|a, b| distances[*a].total_cmp(&distances[*b]))?;
    (distances[nearest] < NEAR).then_some(nearest)
}

/// The value of a mark of colours.
fn packed(colour: [f64; CHANNELS]) -> f64 {
    colour.iter().fold(0.0, |sum, c| 256.0 * sum + (127.5 * (c + 1.0)).round().clamp(0.0, 255.0))
}

fn draw_coloured(context: &StudyContext, kinds: &[Vec<f32>], of: usize) {
    let (missing, across) = (of.saturating_sub(kinds.len()), 2 * of);
    let pictures: Vec<Vec<Vec<f64>>> = kinds
        .iter()
        .map(|kind| {
            kind.chunks_exact(NUMBERS)
                .take(2 * across)
                .map(|row| colours(row).into_iter().map(packed).collect())
                .collect()
        })
        .collect();
    let window = [0.5, across as f64 + 0.5, -0.5, of as f64 - 0.5];
    let pixel = |column: usize, row: usize, pixel: usize| {
        let kind = pictures.get((row / 2).checked_sub(missing)?)?;
        Some(kind.get(column + across * (1 - row % 2))?[pixel])
    };
    context.draw("coloured", "tinted", colour_grid([across; 2], window, pixel));
}

/// Learns tinted digits and colours grey ones.
pub async fn coloured(
    plan: TintPlan,
    digits: &Labelled,
    count: usize,
    walks: &mut Walks<'_>,
) -> Result<(), StudyError> {
    let context = walks.context;
    let mut rng = context.rng(Stream::Data, 2);
    let (mut originals, mut grey, mut parities) = (Vec::new(), Vec::new(), Vec::new());
    for place in 0..count {
        let (digit, class) = digits.digit(digits.known() + place);
        originals.extend(tinted(digit, hue(class, &mut rng)));
        parities.push(class % 2);
    }
    grey.extend(originals.iter().enumerate().map(|(i, v)| if i % CHANNELS == 0 { *v } else { 0.0 }));
    let mut kinds = vec![grey, originals];
    draw_coloured(context, &kinds, plan.kinds);
    let exact = SHARES.iter().flatten().enumerate();
    context.draw("hues", "true-hues", exact.flat_map(|(place, share)| [place as f64, *share, 0.0]));

    let TintPlan { steps, batch, rate, width, .. } = plan;
    let mut net = LevelNet::new(context, Size { dimension: NUMBERS, width, depth: 2, data: DATA }, 3);
    let draw = |rng: &mut Rng, count: usize| {
        let (pixels, classes) = digits.draw(rng, count);
        let of = pixels.chunks_exact(PIXELS).zip(classes);
        of.flat_map(|(digit, class)| tinted(digit, hue(class, rng)).collect::<Vec<f32>>()).collect()
    };
    let (before, all) = (walks.done, walks.all);
    let fit = Fit { steps, batch, rate, sigmas: SIGMAS };
    fit.train(context, &mut net, draw, |step| context.progress(before + step, all)).await?;
    walks.done += steps;

    let known = Rows::from_f32(NUMBERS, &kinds[0]);
    let mask: Vec<f64> = (0..NUMBERS * count).map(|i| f64::from(u8::from(i % CHANNELS == 0))).collect();
    let masked = Masked { known, mask: Rows { dimension: NUMBERS, values: mask }, noise: 0.0 };
    for (key, method) in [("replace", Method::Replace), ("repaint", repaint(plan.passes))] {
        let mut model = Learned::new(context, &net).clipped(MOST * f64::from(CHANNELS as u8).sqrt());
        let samples = walks.walk([NUMBERS, count], Some((masked.clone(), method)), &mut model).await?.to_f32();
        let hues: Vec<Option<usize>> = samples.chunks_exact(NUMBERS).map(nearest).collect();
        let share = |parity: usize, hue: usize| {
            let of = hues.iter().zip(&parities).filter(|(_, of)| **of == parity);
            of.clone().filter(|(found, _)| **found == Some(hue)).count() as f64 / of.count().max(1) as f64
        };
        let dots = (0..2).flat_map(|parity| (0..TINTS.len()).map(move |hue| (parity, hue)));
        context.draw("hues", key, dots.enumerate().flat_map(|(i, (parity, hue))| [i as f64, share(parity, hue)]));
        kinds.insert(0, samples);
        draw_coloured(context, &kinds, plan.kinds);
        let true_hues = hues.iter().filter(|hue| hue.is_some()).count() as f64 / count.max(1) as f64;
        if key == "repaint" {
            context.conclude("colour", true_hues, share_error(true_hues, count), [0.25, f64::INFINITY]);
        }
    }
    Ok(())
}
