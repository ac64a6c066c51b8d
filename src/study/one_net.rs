//! Sections 4-3 and 5-2: one network, sampled as a variance exploding and as a variance preserving model.

use super::settings::{PlaneData, settings};
use super::table::{Axis, Claim, Figure, Layer, Mark, Source, Study};

/// Half the side of the window of standardised data.
const HALF: f64 = 3.5;

settings! {
    /// What a visitor may change.
    struct Settings {
        plane_data: PlaneData = PlaneData::Eight;
        evaluations: usize = 60, 10..=400;
        sample_count: usize = 1000, 100..=2000;
        fit_steps: usize = 2500, 10..=20_000;
        fit_batch: usize = 256, 16..=2048;
        fit_rate: f64 = 4e-3, 1e-4..=0.05, log;
        fit_width: usize = 64, 8..=256;
    }
}

const WAYS: &[Layer] = &[Layer::new("flow-paths", Mark::Segments, 1), Layer::new("flow-ends", Mark::Dots, 2)];

/// The table.
pub const STUDY: Study = Study {
    id: "one-net",
    chapter: 4,
    live: false,
    controls: Settings::CONTROLS,
    figures: &[
        Figure::plane("ve", HALF, WAYS),
        Figure::plane("vp", HALF, WAYS),
        Figure::plane("sub-vp", HALF, WAYS),
        Figure::curves(
            "levels",
            Axis::fixed("sde-time", 0.0, 1.0),
            Axis::free("log-snr"),
            &[Layer::new("ve", Mark::Line, 1), Layer::new("vp", Mark::Line, 2), Layer::new("sub-vp", Mark::Line, 3)],
        ),
        Figure::curves(
            "agree",
            Axis::log("evaluations"),
            Axis::log("ends-distance"),
            &[Layer::new("own-times", Mark::Line, 1), Layer::new("same-levels", Mark::Line, 2)],
        ),
        Figure::curves(
            "trained",
            Axis::of("trained-sampled", &["ve-ve", "ve-vp", "vp-ve", "vp-vp"]),
            Axis::free("sliced-distance"),
            &[Layer::new("sliced-distance", Mark::Bars, 2)],
        ),
    ],
    claims: &[
        Claim { key: "change", source: Source::Report("4-3, 5-2") },
        Claim { key: "time-grid", source: Source::Report("4-3, 5-2") },
        Claim { key: "training", source: Source::Report("5-2") },
    ],
    notes: &["general", "mean", "weights"],
    brief: "fit-steps=1000&sample-count=600",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::Settings;
    use crate::data::Mixture;
    use crate::data::metrics::{Slices, bootstrap, modes};
    use crate::diffusion::schedule::clean;
    use crate::diffusion::{Level, Sampler, Solver, Spacing, State as _};
    use crate::rng::{Rng, Stream};
    use crate::study::chain::{fresh_noise, start, walk};
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;
    use crate::study::network::{Fit, Learned, LevelNet, PLANE_LAYERS, Size, geometric};
    use crate::study::rows::Rows;
    use crate::study::settings::Sde;
    use crate::study::tools::{at_most, curve, flat, mean_error, pieces, slope, span, squares};

    /// The equations and their names among figures and layers.
    const EACH: [(Sde, &str); 3] = [(Sde::Ve, "ve"), (Sde::Vp, "vp"), (Sde::SubVp, "sub-vp")];
    /// Evaluations of the chart; those of the power are from the second on.
    const COUNTS: [usize; 5] = [10, 20, 40, 80, 160];
    /// Paths that are drawn.
    const PATHS: usize = 40;
    /// Directions of a distance, and points of its reference for each sample.
    const DIRECTIONS: usize = 64;
    const REFERENCE: usize = 4;
    /// Samples of the networks of two trainings for each of the other figures'.
    const MORE: usize = 4;
    /// A distance that is shown in the place of a smaller one: below it is rounding.
    const ROUNDING: f64 = 1e-8;

    /// An equation's levels with these noises, and then none.
    fn same_levels(sde: Sde, count: usize) -> Vec<Level> {
        let [least, most] = Sde::SIGMAS;
        let level = |ratio: f64| sde.schedule().level_at_log_snr(-2.0 * ratio.ln());
        geometric(most, least, count).into_iter().map(level).chain([clean()]).collect()
    }

    /// An equation's levels between the same two noises, even in its own time, and then none.
    fn own_levels(sde: Sde, count: usize) -> Vec<Level> {
        let schedule = sde.schedule();
        let [last, first] = Sde::SIGMAS.map(|ratio: f64| schedule.time_at_log_snr(-2.0 * ratio.ln()));
        schedule.levels_between(Spacing::Uniform, first, last, count).into_iter().chain([clean()]).collect()
    }

    struct Study<'a> {
        context: &'a StudyContext,
        count: usize,
        done: usize,
        all: usize,
    }

    impl Study<'_> {
        /// The ends of the flow of an equation along levels, from the same noise in every equation's units. `look` sees
        /// where the points are.
        async fn ends(
            &mut self,
            net: &LevelNet,
            sde: Sde,
            levels: Vec<Level>,
            look: &mut dyn FnMut(&Rows),
        ) -> Result<Vec<[f64; 2]>, StudyError> {
            let from = start(self.context, 2, self.count, 0).scale(levels[0].alpha * Sde::SIGMAS[1]);
            look(&from);
            let sampler = Sampler::new(Solver::Ddim { eta: 0.0 }, sde.schedule(), levels, from);
            let mut look = |sampler: &Sampler<Rows>| {
                self.done += 1;
                self.context.progress(self.done, self.all);
                look(sampler.x());
            };
            let mut model = Learned::new(self.context, net);
            let ends = walk(self.context, sampler, &mut model, &mut fresh_noise(self.context), &mut look).await?;
            Ok(ends.points())
        }
    }

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let mixture = settings.plane_data.mixture();
        for (sde, key) in EACH {
            let schedule = sde.schedule();
            let times = span(schedule.time_range().1, 1.0, 200);
            context.draw("levels", key, curve(times, |t| schedule.log_snr(t)));
        }
        let Settings { fit_steps: steps, fit_batch: batch, fit_rate: rate, .. } = settings;
        let evaluations = settings.evaluations;
        let walks = EACH.len() * evaluations + 4 * COUNTS.iter().sum::<usize>() + 4 * evaluations;
        let mut study = Study { context: &context, count: settings.sample_count, done: 0, all: 2 * steps + walks };

        // Levels even in the time of either equation.
        let mut nets = Vec::new();
        for (index, sde) in [Sde::Ve, Sde::Vp].into_iter().enumerate() {
            // Alike at the start, and from the same batches.
            let size = Size { dimension: 2, width: settings.fit_width, depth: PLANE_LAYERS, data: 1.0 };
            let mut net = LevelNet::new(&context, size, 0);
            let schedule = sde.schedule();
            let sigma = |u: f64| schedule.training_level(u).ratio();
            let fit = Fit { steps, batch, rate, sigmas: [sigma(0.0), sigma(1.0)] };
            let draw = |rng: &mut Rng, count: usize| flat(&mixture.draw(rng, count));
            let after = |step: usize| context.progress(index * steps + step, study.all);
            fit.train_at(&context, &mut net, &sigma, draw, after).await?;
            nets.push(net);
        }
        study.done = 2 * steps;

        let mut ends = Vec::new();
        for (sde, key) in EACH {
            let mut ways = Vec::new();
            let mut look = |x: &Rows| {
                let points: Vec<[f64; 2]> = x.values.as_chunks().0.iter().take(PATHS).copied().collect();
                ways.push(points);
            };
            ends.push(study.ends(&nets[0], sde, same_levels(sde, evaluations), &mut look).await?);
            context.draw(key, "flow-paths", pieces(&ways));
            context.draw(key, "flow-ends", ends[ends.len() - 1].iter().copied().flatten());
        }
        // Both other equations beside the first.
        let apart: Vec<f64> = ends[1..].iter().flat_map(|other| squares(&ends[0], other)).collect();
        let (square, error) = mean_error(&apart);
        context.conclude("change", square.sqrt(), 0.5 * error / square.sqrt().max(1e-12), at_most(1e-5));

        agree(&context, &mut study, &nets[0]).await?;
        trained(&context, &mut study, &nets, &mixture, evaluations).await
    }

    /// How far apart the ends of both equations are, by the number of evaluations.
    async fn agree(context: &StudyContext, study: &mut Study<'_>, net: &LevelNet) -> Result<(), StudyError> {
        let mut apart: Vec<[f64; COUNTS.len()]> = vec![[0.0; COUNTS.len()]; study.count];
        let [mut own, mut same] = [const { Vec::new() }; 2];
        for (place, count) in COUNTS.into_iter().enumerate() {
            for of_own in [true, false] {
                let levels = if of_own { own_levels } else { same_levels };
                let mut ends = Vec::new();
                for sde in [Sde::Ve, Sde::Vp] {
                    ends.push(study.ends(net, sde, levels(sde, count), &mut |_| {}).await?);
                }
                let distances: Vec<f64> = squares(&ends[0], &ends[1]).into_iter().map(f64::sqrt).collect();
                let curve = if of_own { &mut own } else { &mut same };
                curve.extend([count as f64, mean_error(&distances).0.max(ROUNDING)]);
                if of_own {
                    apart.iter_mut().zip(distances).for_each(|(row, distance)| row[place] = distance);
                }
            }
            context.draw("agree", "own-times", own.iter().copied());
            context.draw("agree", "same-levels", same.iter().copied());
        }
        let power = |rows: &[[f64; COUNTS.len()]]| {
            let mean = |place: usize| rows.iter().map(|row| row[place]).sum::<f64>() / rows.len().max(1) as f64;
            let logs = (1..COUNTS.len()).map(|place| [COUNTS[place] as f64, mean(place)].map(f64::ln));
            slope(&logs.collect::<Vec<_>>()).0
        };
        let error = bootstrap(&apart, 20, context.seed(), power);
        context.conclude("time-grid", power(&apart), error, [-1.3, -0.7]);
        Ok(())
    }

    /// Networks trained at the levels of either equation, sampled as either.
    async fn trained(
        context: &StudyContext,
        study: &mut Study<'_>,
        nets: &[LevelNet],
        mixture: &Mixture,
        evaluations: usize,
    ) -> Result<(), StudyError> {
        study.count *= MORE;
        let reference = mixture.draw(&mut context.rng(Stream::Data, 0), REFERENCE * study.count);
        let slices = Slices::new(&reference, DIRECTIONS, context.seed());
        let (mut bars, mut as_ve) = (Vec::new(), Vec::new());
        for (place, (net, sde)) in [(0, Sde::Ve), (0, Sde::Vp), (1, Sde::Ve), (1, Sde::Vp)].into_iter().enumerate() {
            let ends = study.ends(&nets[net], sde, own_levels(sde, evaluations), &mut |_| {}).await?;
            context.yield_now().await;
            let error = bootstrap(&ends, 20, context.seed(), |ends| slices.distance(ends));
            bars.extend([place as f64, slices.distance(&ends), error]);
            context.draw("trained", "sliced-distance", bars.iter().copied());
            if sde == Sde::Ve {
                // Sample by sample: both begin with the same noise.
                as_ve.push(ends.iter().map(|end| modes(&[*end], mixture).near).collect::<Vec<f64>>());
            }
        }
        if let [at_ve, at_vp] = &as_ve[..] {
            let more: Vec<f64> = at_vp.iter().zip(at_ve).map(|(vp, ve)| vp - ve).collect();
            let (more, error) = mean_error(&more);
            context.conclude("training", more, error, [-0.05, f64::INFINITY]);
        }
        Ok(())
    }
}
