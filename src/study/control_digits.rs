//! Section 4-2 with pictures: digits completed, made to order and coloured by networks that were told of none of it.

use super::settings::settings;
use super::table::{Axis, Claim, Figure, Layer, Mark, Source, Study};
use crate::choice::named_variants;

named_variants! {
    /// Which part of a digit is missing.
    Hole {
        /// The lower half.
        Lower = "lower",
        /// The upper half.
        Upper = "upper",
        /// The left half.
        Left = "left",
        /// The right half.
        Right = "right",
        /// Half of the pixels, the same of every digit.
        Random = "random",
    }
}

settings! {
    /// What a visitor may change.
    struct Settings {
        hole: Hole = Hole::Lower;
        passes: usize = 5, 1..=10;
        scale: f64 = 2.0, 0.0..=8.0;
        sample_count: usize = 300, 100..=400;
        fit_steps: usize = 2000, 10..=20_000;
        fit_batch: usize = 128, 16..=2048;
        fit_rate: f64 = 4e-3, 1e-4..=0.05, log;
        fit_width: usize = 128, 8..=256;
        colour_steps: usize = 900, 10..=20_000;
    }
}

/// Ways to fill a hole, from the bottom of the picture.
const FILLINGS: &[&str] = &["repaint", "replace", "given", "original"];
/// Scales of guidance of the chart, and rows of the picture, from the bottom, the last of which is the visitor's.
#[cfg(feature = "engine")]
const SCALES: [f64; 4] = [0.0, 1.0, 2.0, 4.0];
const SCALE_ROWS: &[&str] = &["scale-0", "scale-1", "scale-2", "scale-4", "scale-chosen"];
const KEPT: &[&str] = &["nothing-known", "replace", "repaint", "least-squares"];
const COLOURINGS: &[&str] = &["repaint", "replace", "given-grey", "original"];

/// The table.
pub const STUDY: Study = Study {
    id: "control-digits",
    chapter: 4,
    live: false,
    controls: Settings::CONTROLS,
    figures: &[
        Figure::pictures("inpaint", Axis::free("digit"), Axis::of("filling", FILLINGS)),
        Figure::pictures("class", Axis::free("wanted-class"), Axis::of("scale", SCALE_ROWS)),
        Figure {
            key: "coloured",
            square: true,
            x: Axis::free("digit"),
            y: Axis::of("filling", COLOURINGS),
            layers: &[Layer::new("tinted", Mark::Colours, 0)],
            handles: &[],
        },
        Figure::curves(
            "kept",
            Axis::of("filling", KEPT),
            Axis::fixed("class-kept", 0.0, 1.0),
            &[Layer::new("class-kept", Mark::Bars, 2)],
        ),
        Figure::curves(
            "right",
            Axis::free("scale"),
            Axis::fixed("share", 0.0, 1.0),
            &[Layer::new("judged-right", Mark::Line, 1), Layer::new("recall", Mark::Line, 2).dashed(1)],
        ),
        Figure::curves(
            "hues",
            Axis::of("hue", &["even-red", "even-green", "even-blue", "odd-red", "odd-green", "odd-blue"]),
            Axis::fixed("share", 0.0, 1.0),
            &[
                Layer::new("true-hues", Mark::Bars, 0),
                Layer::new("replace", Mark::Dots, 2),
                Layer::new("repaint", Mark::Dots, 3),
            ],
        ),
    ],
    claims: &[
        Claim { key: "class", source: Source::Report("4-2") },
        Claim { key: "diverse", source: Source::Report("4-2") },
        Claim { key: "inpaint", source: Source::Report("4-2") },
        Claim { key: "colour", source: Source::Report("4-2") },
    ],
    notes: &["judge", "blurred", "hues"],
    brief: "fit-steps=1500&fit-batch=64&fit-width=96&passes=4&colour-steps=800",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::{COLOURINGS, FILLINGS, Hole, KEPT, SCALE_ROWS, SCALES, Settings};
    use crate::data::digits::PIXELS;
    use crate::data::metrics::gaussian::{GaussianFit, precision_recall};
    use crate::diffusion::constraint::{Masked, Method};
    use crate::diffusion::linear::solve;
    use crate::nn::classifier::Classifier;
    use crate::rng::Stream;
    use crate::study::chain::repaint;
    use crate::study::classes::{ClassPlan, Guided, named};
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;
    use crate::study::learners::{CLASSES, HELD_OUT, Labelled, gain};
    use crate::study::network::{Fit, Learned, LevelNet, Size};
    use crate::study::pictures::{DATA, SIDE, digit_grid, fit};
    use crate::study::rows::Rows;
    use crate::study::tints::{TintPlan, coloured};
    use crate::study::tools::{difference, share_error};
    use crate::study::walks::{MOST, SIGMAS, STEPS, Walks};

    /// The judge learned from digits with this much noise.
    const JUDGED: f64 = 0.15;
    const JUDGE: ClassPlan = ClassPlan { index: 2, steps: 800, batch: 64, rate: 2e-3, sigmas: [JUDGED; 2] };
    /// Added to the variances of pixels, a hundredth of a grey value squared.
    const RIDGE: f64 = 1e-4;
    /// Neighbours of recall, and pictures along a side.
    const NEIGHBOURS: usize = 5;
    const ACROSS: usize = 2 * FILLINGS.len();

    impl Hole {
        /// 1 where a pixel is known.
        fn mask(self, context: &StudyContext) -> Vec<f64> {
            let mut order: Vec<usize> = (0..PIXELS).collect();
            let mut rng = context.rng(Stream::Directions, 0);
            for i in (1..PIXELS).rev() {
                order.swap(i, rng.below(i as u32 + 1) as usize);
            }
            let known = |pixel: usize| match self {
                Self::Lower => pixel / SIDE < SIDE / 2,
                Self::Upper => pixel / SIDE >= SIDE / 2,
                Self::Left => pixel % SIDE >= SIDE / 2,
                Self::Right => pixel % SIDE < SIDE / 2,
                Self::Random => order[pixel] < PIXELS / 2,
            };
            (0..PIXELS).map(|pixel| f64::from(u8::from(known(pixel)))).collect()
        }
    }

    /// Digits with what is not known of them from what is, by linear least squares: the mean under the Gaussian of these
    /// moments.
    fn least_squares(of: &GaussianFit, mask: &[f64], digits: &[f32]) -> Vec<f32> {
        let (known, unknown): (Vec<usize>, Vec<usize>) = (0..PIXELS).partition(|pixel| mask[*pixel] > 0.0);
        let covariance = |a: usize, b: usize| of.covariance[a * PIXELS + b];
        // Pixels that are always black say nothing, and would make the equations singular.
        let entry = |a: usize, b: usize| covariance(a, b) + if a == b { RIDGE } else { 0.0 };
        let mut filled = digits.to_vec();
        for digit in filled.chunks_exact_mut(PIXELS) {
            let off = |pixel: usize| f64::from(digit[pixel]) - of.mean[pixel];
            let row = |a: &usize| known.iter().map(|b| entry(*a, *b)).chain([off(*a)]).collect();
            let weights = solve(known.iter().map(row).collect());
            for &pixel in &unknown {
                let more: f64 = known.iter().zip(&weights).map(|(k, w)| w * covariance(pixel, *k)).sum();
                digit[pixel] = (of.mean[pixel] + more) as f32;
            }
        }
        filled
    }

    /// The digits that networks do not see, as many as there are to be samples.
    struct Asked<'a> {
        context: &'a StudyContext,
        settings: &'a Settings,
        digits: &'a Labelled,
        judge: &'a Classifier,
        count: usize,
    }

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let digits = Labelled::read(&context).await?;
        let Settings { fit_steps: steps, fit_batch: batch, fit_rate: rate, colour_steps, passes, .. } = settings;
        // Of free, replaced and guided walks one pass, of RePaint, up and down, as many as there are and again.
        let rounds = SCALES.len() + 4 + 2 * (2 * passes - 1);
        let guiding = ClassPlan { index: 1, steps: 3 * steps / 5, batch, rate: 3e-3, sigmas: SIGMAS };
        let all = JUDGE.steps + guiding.steps + steps + colour_steps + rounds * STEPS;
        let judge = JUDGE.train(&context, &digits, |step| context.progress(step, all)).await?;
        let mut before = JUDGE.steps;
        let mut net =
            LevelNet::new(&context, Size { dimension: PIXELS, width: settings.fit_width, depth: 2, data: DATA }, 0);
        let learning = Fit { steps, batch, rate, sigmas: SIGMAS };
        learning
            .train(
                &context,
                &mut net,
                |rng, count| digits.draw(rng, count).0,
                |step| {
                    context.progress(before + step, all);
                },
            )
            .await?;
        before += steps;
        let count = settings.sample_count.min(HELD_OUT);
        let asked = Asked { context: &context, settings: &settings, digits: &digits, judge: &judge, count };
        let mut walks = Walks { context: &context, done: before, all };
        asked.complete(&mut walks, &net).await?;
        before = walks.done;
        let guide = guiding.train(&context, &digits, |step| context.progress(before + step, all)).await?;
        walks.done += guiding.steps;
        asked.order(&mut walks, &net, &guide).await?;
        let width = settings.fit_width;
        let plan = TintPlan { steps: colour_steps, batch, rate, width, passes, kinds: COLOURINGS.len() };
        coloured(plan, &digits, count, &mut walks).await
    }

    impl Asked<'_> {
        fn original(&self, place: usize) -> (&[f32], usize) {
            self.digits.digit(self.digits.known() + place)
        }

        /// Whether the judge names digits by these classes, 1 or 0 for each.
        async fn hits(&self, digits: &[f32], class: impl Fn(usize) -> usize) -> Result<Vec<f64>, StudyError> {
            let named = named(self.context, self.judge, digits, JUDGED).await?;
            Ok(named.iter().enumerate().map(|(i, found)| f64::from(u8::from(*found == class(i)))).collect())
        }

        /// Digits with a hole, completed.
        async fn complete(&self, walks: &mut Walks<'_>, net: &LevelNet) -> Result<(), StudyError> {
            let Self { context, settings, digits, count, .. } = *self;
            let mask = settings.hole.mask(context);
            let originals: Vec<f32> = (0..count).flat_map(|i| self.original(i).0).copied().collect();
            let known = Rows::from_f32(PIXELS, &originals);
            let whole = Rows { dimension: PIXELS, values: mask.repeat(count) };
            let masked = Masked { known, mask: whole, noise: 0.0 };
            let over = |filling: &[f32]| -> Vec<f32> {
                let pixel = |(i, v): (usize, &f32)| if mask[i % PIXELS] > 0.0 { originals[i] } else { *v };
                filling.iter().enumerate().map(pixel).collect()
            };
            // What is not known is of a middle grey.
            let given = over(&vec![0.0; originals.len()]);

            let mut rows: Vec<Vec<f32>> = Vec::new();
            let mut bars = Vec::new();
            let mut hits = Vec::new();
            let seen = fit((0..digits.known()).map(|place| digits.digit(place).0));
            for (place, way) in KEPT.iter().enumerate() {
                let mut model = Learned::new(context, net).clipped(MOST);
                let constraint = match *way {
                    "replace" => Some((masked.clone(), Method::Replace)),
                    "repaint" => Some((masked.clone(), repaint(settings.passes))),
                    _ => None,
                };
                let filled = if *way == "least-squares" {
                    least_squares(&seen, &mask, &originals)
                } else {
                    walks.walk([PIXELS, count], constraint, &mut model).await?.to_f32()
                };
                let filled = over(&filled);
                let found = self.hits(&filled, |i| self.original(i).1).await?;
                let share = found.iter().sum::<f64>() / count.max(1) as f64;
                bars.extend([place as f64, share, share_error(share, count)]);
                context.draw("kept", "class-kept", bars.iter().copied());
                hits.push(found);
                if ["replace", "repaint"].contains(way) {
                    rows.insert(0, filled);
                }
                let shown: Vec<&[f32]> =
                    rows.iter().map(Vec::as_slice).chain([given.as_slice(), originals.as_slice()]).collect();
                let missing = FILLINGS.len() - shown.len();
                let digit = |column: usize, row: usize| {
                    // Two rows of every kind.
                    let kind = shown.get((row / 2).checked_sub(missing)?)?;
                    kind.chunks_exact(PIXELS).nth(column + ACROSS * (1 - row % 2))
                };
                let window = [0.5, ACROSS as f64 + 0.5, -0.5, FILLINGS.len() as f64 - 0.5];
                context.draw("inpaint", "grey", digit_grid([ACROSS; 2], window, digit));
            }
            let (more, error) = gain(&hits[2], &hits[0]);
            context.conclude("inpaint", more, error, [0.05, f64::INFINITY]);
            Ok(())
        }

        /// Digits of wanted classes.
        async fn order(&self, walks: &mut Walks<'_>, net: &LevelNet, guide: &Classifier) -> Result<(), StudyError> {
            let Self { context, settings, digits, count, .. } = *self;
            let classes: Vec<usize> = (0..count).map(|i| i % CLASSES).collect();
            let data: Vec<f32> = (0..count).flat_map(|place| digits.digit(place).0).copied().collect();
            let draw = |rows: &[Vec<f32>]| {
                let digit = |column: usize, row: usize| {
                    rows.get(row / 2)?.chunks_exact(PIXELS).nth(column + CLASSES * (row % 2))
                };
                let window = [-0.5, CLASSES as f64 - 0.5, -0.5, SCALE_ROWS.len() as f64 - 0.5];
                context.draw("class", "grey", digit_grid([CLASSES, 2 * SCALE_ROWS.len()], window, digit));
            };
            let mut rows: Vec<Vec<f32>> = Vec::new();
            let (mut right, mut recalls) = (Vec::new(), Vec::new());
            for scale in SCALES.into_iter().chain([settings.scale]) {
                if let Some(same) = right.iter().position(|at: &[f64; 2]| at[0] == scale) {
                    rows.push(rows[same].clone());
                    draw(&rows);
                    continue;
                }
                let mut plain = Learned::new(context, net);
                let model = &mut plain;
                let mut guided = Guided { context, model, guide, classes: &classes, scale, most: MOST };
                let samples = walks.walk([PIXELS, count], None, &mut guided).await?.to_f32();
                context.yield_now().await;
                let hits = self.hits(&samples, |i| classes[i]).await?;
                let share = hits.iter().sum::<f64>() / count.max(1) as f64;
                let recall = precision_recall(&samples, &data, PIXELS, NEIGHBOURS).map_or(f64::NAN, |found| found.1);
                right.push([scale, share]);
                recalls.push([scale, recall]);
                rows.push(samples);
                for (key, curve) in [("judged-right", &right), ("recall", &recalls)] {
                    let mut curve = curve.clone();
                    curve.sort_by(|a, b| a[0].total_cmp(&b[0]));
                    context.draw("right", key, curve.into_iter().flatten());
                }
                draw(&rows);
                if scale == 1.0 {
                    context.conclude("class", share, share_error(share, count), [0.5, f64::INFINITY]);
                }
            }
            let [of_none, of_two] = [0, 2].map(|place| (recalls[place][1], share_error(recalls[place][1], count)));
            let (less, error) = difference(of_two, of_none);
            context.conclude("diverse", less, error, [-0.1, f64::INFINITY]);
            Ok(())
        }
    }
}
