//! Section 5-1-3: samples that are good, of all kinds, and quickly made: what each family of generative models has of it
//! when all are equally large and see the same data.

use super::settings::{PlaneModes, settings};
use super::table::{Axis, Claim, Figure, Layer, Mark, Source, Study};

settings! {
    /// What a visitor may change.
    struct Settings {
        gan_data: PlaneModes = PlaneModes::Eight;
        latent_size: usize = 2, 1..=16;
        budget: f64 = 1.0, 0.1..=2.0;
        fit_batch: usize = 128, 16..=512;
        sample_count: usize = 2000, 100..=4000;
        rounds: usize = 1, 1..=4;
    }
}

/// Half the side of the window of standardised data.
const HALF: f64 = 2.4;
/// Samplers, in the order of the tables; the data stand before them.
const ROWS: &[&str] = &["data", "vae-model", "gan-model", "ddpm-1000", "ddim-50", "ddim-10", "ddim-4", "denoising-gan"];
const QUALITY: &[&str] = &["near-a-mode", "precision", "recall", "mass-to-move"];
const PRICE: &[&str] = &["evaluations", "samples-per-second", "training-seconds", "parameters-alone", "networks"];
/// Corners of the triangle, from the lower left on clockwise.
const CORNERS: &[&str] = &["corner-coverage", "corner-quality", "corner-speed"];

const DATA: Layer = Layer::new("data", Mark::Dots, 0);
const VAE: Layer = Layer::new("vae-model", Mark::Dots, 1);
const GAN: Layer = Layer::new("gan-model", Mark::Dots, 2);
const DDPM: Layer = Layer::new("ddpm-1000", Mark::Dots, 3);
const DDIM: Layer = Layer::new("ddim-fewer", Mark::Dots, 4);
const CHAIN: Layer = Layer::new("denoising-gan", Mark::Dots, 5);

/// Samples of a model over the data.
const fn cloud(key: &'static str, layers: &'static [Layer; 2]) -> Figure {
    Figure::plane(key, HALF, layers)
}

/// The table.
pub const STUDY: Study = Study {
    id: "trilemma",
    chapter: 5,
    live: false,
    controls: Settings::CONTROLS,
    figures: &[
        Figure {
            key: "triangle",
            square: false,
            x: Axis::of("trilemma-corner", CORNERS),
            y: Axis::fixed("trilemma-share", 0.0, 1.25),
            layers: &[
                Layer::new("all-three", Mark::Polygon, 0).dashed(1),
                Layer::new("vae-model", Mark::Polygon, 1),
                Layer::new("gan-model", Mark::Polygon, 2),
                Layer::new("ddpm-1000", Mark::Polygon, 3),
                Layer::new("denoising-gan", Mark::Polygon, 5),
            ],
            handles: &[],
        },
        Figure::curves(
            "quality",
            Axis::fixed("recall", 0.0, 1.05),
            Axis::fixed("precision", 0.0, 1.05),
            &[Layer::new("standard-errors", Mark::Segments, 0), DATA, VAE, GAN, DDPM, DDIM, CHAIN],
        ),
        Figure::table(
            "table",
            Axis::of("model", ROWS),
            Axis::of("quantity", QUALITY),
            &[Layer::new("results", Mark::Table, 0)],
        ),
        Figure::table(
            "price",
            Axis::of("model", ROWS),
            Axis::of("quantity", PRICE),
            &[Layer::new("results", Mark::Table, 0)],
        ),
        cloud("vae", &[DATA, VAE]),
        cloud("gan", &[DATA, GAN]),
        cloud("ddpm", &[DATA, DDPM]),
        cloud("ddim-10", &[DATA, DDIM]),
        cloud("ddim-4", &[DATA, DDIM]),
        cloud("denoising-gan", &[DATA, CHAIN]),
        Figure::curves(
            "cost",
            Axis::log_fixed("seconds-per-thousand", 1e-4, 100.0),
            Axis::fixed("precision", 0.0, 1.05),
            &[VAE, GAN, DDPM, DDIM, CHAIN],
        ),
    ],
    claims: &[
        Claim { key: "gan", source: Source::Report("5-1-3") },
        Claim { key: "vae", source: Source::Report("5-1-3") },
        Claim { key: "diffusion", source: Source::Report("5-1-3") },
        Claim { key: "slow", source: Source::Report("5-1-3") },
        Claim { key: "tackled", source: Source::Report("5-1-3, [19]") },
        Claim { key: "train-vae", source: Source::Report("5-1-3") },
        Claim { key: "train-gan", source: Source::Report("5-1-3") },
    ],
    notes: &["measure", "table", "training", "seeds", "network"],
    brief: "fit-batch=56&sample-count=1000",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::{PRICE, QUALITY, ROWS, Settings};
    use crate::data::Mixture;
    use crate::data::metrics::{Floor, precision_recall};
    use crate::diffusion::Sampler;
    use crate::rng::{Rng, Stream};
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;
    use crate::study::families::{CHAIN, Family, LARGE_STEPS, Model, since_turn};
    use crate::study::generative::total_variation;
    use crate::study::rows::Rows;
    use crate::study::tools::{difference, flat, median_error, middle_mean, near};

    /// Points drawn of a cloud, and samples that are judged while a model is trained, so many times.
    const SHOWN: usize = 500;
    const GLANCED: usize = 400;
    const GLANCES: usize = 24;
    /// Evaluations of a diffusion at a glance.
    const QUICK: usize = 20;
    /// Sets of fresh data that stand for perfect samples.
    const FLOORS: u32 = 4;
    /// Rounds of timing; in each so many steps of training and evaluations for so many samples.
    const TIMINGS: usize = 15;
    const STEPS_TIMED: usize = 16;
    const EVALUATIONS_TIMED: usize = 8;
    const SAMPLES_TIMED: usize = 1000;

    /// A way to sample: its place in the tables, its family and evaluations, and where its cloud is, figure and layer.
    struct Way {
        row: usize,
        family: Family,
        evaluations: usize,
        cloud: Option<&'static str>,
        layer: &'static str,
    }

    const fn way(
        row: usize,
        family: Family,
        evaluations: usize,
        cloud: Option<&'static str>,
        layer: &'static str,
    ) -> Way {
        Way { row, family, evaluations, cloud, layer }
    }

    const WAYS: [Way; 7] = [
        way(1, Family::Autoencoder, 1, Some("vae"), "vae-model"),
        way(2, Family::Game, 1, Some("gan"), "gan-model"),
        way(3, Family::Diffusion, CHAIN, Some("ddpm"), "ddpm-1000"),
        way(4, Family::Diffusion, 50, None, "ddim-fewer"),
        way(5, Family::Diffusion, 10, Some("ddim-10"), "ddim-fewer"),
        way(6, Family::Diffusion, 4, Some("ddim-4"), "ddim-fewer"),
        way(7, Family::Chain, LARGE_STEPS, Some("denoising-gan"), "denoising-gan"),
    ];
    /// Rows that the claims are about.
    const VAE: usize = 1;
    const GAN: usize = 2;
    const DDPM: usize = 3;
    const DDIM_4: usize = 6;
    const DENOISING: usize = 7;

    /// A number with its standard error.
    type Number = (f64, f64);

    /// What is told of samples, in the order of the table's columns.
    #[derive(Clone, Copy)]
    struct Judged([Number; QUALITY.len()]);

    impl Judged {
        fn precision(&self) -> Number {
            self.0[1]
        }
        fn recall(&self) -> Number {
            self.0[2]
        }
    }

    /// The mean of what several trainings gave: its error is what their samples leave, or what the trainings do where that
    /// is more.
    fn pooled(values: &[Number]) -> Number {
        let n = values.len() as f64;
        let sampling = values.iter().map(|(_, error)| error * error).sum::<f64>().sqrt() / n;
        let between = Floor::of(&values.iter().map(|(value, _)| *value).collect::<Vec<_>>());
        (between.mean, sampling.max(between.spread / n.sqrt()))
    }

    struct Study<'a> {
        settings: &'a Settings,
        mixture: Mixture,
        /// What each row's samples gave, a round each.
        judged: [Vec<Judged>; ROWS.len()],
        /// Parameters, seconds of training, and milliseconds of an evaluation of many samples, by the place in
        /// [`Family::ALL`].
        parameters: [f64; 4],
        trained: [f64; 4],
        evaluation: [f64; 4],
        /// Precision and recall of a few fresh data.
        glanced: [f64; 2],
        done: usize,
        all: usize,
    }

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let mixture = settings.gan_data.mixture();
        let steps: usize = Family::ALL.iter().map(|family| steps(*family, &settings)).sum();
        let walks: usize = WAYS.iter().filter(|way| way.family == Family::Diffusion).map(|way| way.evaluations).sum();
        let mut study = Study {
            settings: &settings,
            mixture,
            judged: Default::default(),
            parameters: [f64::NAN; 4],
            trained: [f64::NAN; 4],
            evaluation: [f64::NAN; 4],
            glanced: [1.0; 2],
            done: 0,
            all: settings.rounds * (steps + walks) + TIMINGS * STEPS_TIMED,
        };
        draw_triangle(&context, "all-three", [1.0; 3]);
        for round in 0..settings.rounds {
            // A round is what the same study is with the next seed.
            let here = context.with_seed(context.seed().wrapping_add(round as u32));
            study.round(&here, round == 0).await?;
        }
        Ok(())
    }

    /// Steps of a family's training.
    fn steps(family: Family, settings: &Settings) -> usize {
        ((family.steps() as f64 * settings.budget).round() as usize).max(1)
    }

    impl Study<'_> {
        fn tick(&mut self, context: &StudyContext) {
            self.done += 1;
            context.progress(self.done, self.all);
        }

        async fn round(&mut self, context: &StudyContext, first: bool) -> Result<(), StudyError> {
            let count = self.settings.sample_count;
            let data = self.mixture.draw(&mut context.rng(Stream::Data, 0), count);
            for cloud in WAYS.iter().filter_map(|way| way.cloud) {
                context.draw(cloud, "data", data.iter().take(SHOWN).copied().flatten());
            }
            self.floor(context, &data).await;
            let mut models = Vec::new();
            for (place, family) in Family::ALL.into_iter().enumerate() {
                models.push(self.train(context, place, family, &data, first).await?);
                for way in WAYS.iter().filter(|way| way.family == family) {
                    let samples = self.sample(context, &models[place], way).await?;
                    let judged = self.judge(context, &samples, &data).await;
                    self.judged[way.row].push(judged);
                    self.draw(context);
                }
                self.conclude(context);
            }
            if first {
                self.time(context, &mut models).await?;
                self.draw(context);
            }
            Ok(())
        }

        async fn judge(&self, context: &StudyContext, samples: &[[f64; 2]], data: &[[f64; 2]]) -> Judged {
            context.yield_now().await;
            let found = precision_recall(samples, data).unwrap_or_default();
            context.yield_now().await;
            Judged([
                near(samples, &self.mixture),
                (found.precision, found.precision_error),
                (found.recall, found.recall_error),
                total_variation(samples, &self.mixture, context.seed()),
            ])
        }

        /// What fresh data are judged like: the mean of a few sets of them.
        async fn floor(&mut self, context: &StudyContext, data: &[[f64; 2]]) {
            let (mut all, mut glances) = (Vec::new(), [0.0; 2]);
            for set in 0..FLOORS {
                let fresh = self.mixture.draw(&mut context.rng(Stream::Data, 1 + set), data.len());
                all.push(self.judge(context, &fresh, data).await);
                let [precision, recall] = glance(&fresh, data);
                glances[0] += precision / f64::from(FLOORS);
                glances[1] += recall / f64::from(FLOORS);
            }
            let mean = |which: usize| pooled(&all.iter().map(|judged| judged.0[which]).collect::<Vec<_>>());
            self.judged[0].push(Judged(core::array::from_fn(mean)));
            self.glanced = glances;
        }

        /// Trains a family's model, and draws what it has of the three on the way.
        async fn train(
            &mut self,
            context: &StudyContext,
            place: usize,
            family: Family,
            data: &[[f64; 2]],
            first: bool,
        ) -> Result<Model, StudyError> {
            let steps = steps(family, self.settings);
            let (mut model, parameters) =
                family.begin(context, self.settings.latent_size, steps, self.settings.fit_batch);
            self.parameters[place] = parameters as f64;
            let mixture = self.mixture.clone();
            let draw = |rng: &mut Rng, count: usize| flat(&mixture.draw(rng, count));
            let way = WAYS.iter().find(|way| way.family == family);
            let mut lasted = 0.0;
            for step in 0..steps {
                if let (true, Some(way)) = (step.is_multiple_of(steps.div_ceil(GLANCES)), way) {
                    let samples = model.samples(context, GLANCED, QUICK, &mut |_| {}).await?;
                    let seen = glance(&samples, data);
                    let [precision, recall] = [0, 1].map(|which| seen[which] / self.glanced[which].max(0.01));
                    draw_triangle(context, way.layer, [recall, precision, speed(way.evaluations)]);
                    if let Some(cloud) = way.cloud {
                        context.draw(cloud, way.layer, samples.into_iter().flatten());
                    }
                }
                model.step(context, step, &draw).await?;
                lasted += since_turn(context).await;
                self.tick(context);
            }
            if first {
                self.trained[place] = lasted / 1000.0;
            }
            Ok(model)
        }

        async fn sample(
            &mut self,
            context: &StudyContext,
            model: &Model,
            way: &Way,
        ) -> Result<Vec<[f64; 2]>, StudyError> {
            let count = self.settings.sample_count;
            let mut look = |sampler: &Sampler<Rows>| {
                self.tick(context);
                if let (true, Some(cloud)) = (context.due(), way.cloud) {
                    context.draw(cloud, way.layer, sampler.x().points().into_iter().take(SHOWN).flatten());
                }
            };
            let samples = model.samples(context, count, way.evaluations, &mut look).await?;
            if let Some(cloud) = way.cloud {
                context.draw(cloud, way.layer, samples.iter().take(SHOWN).copied().flatten());
            }
            Ok(samples)
        }

        /// The mean of a row's numbers over the rounds so far.
        fn mean(&self, row: usize, of: impl Fn(&Judged) -> Number) -> Option<Number> {
            let all: Vec<Number> = self.judged[row].iter().map(of).collect();
            (!all.is_empty()).then(|| pooled(&all))
        }

        /// Everything that is known so far.
        fn draw(&self, context: &StudyContext) {
            let [mut crosses, mut cells] = [Vec::new(), vec![ROWS.len() as f64, QUALITY.len() as f64]];
            let mut dots: Vec<(&str, Vec<f64>)> = vec![("data", Vec::new())];
            dots.extend(WAYS.iter().map(|way| (way.layer, Vec::new())));
            dots.dedup_by_key(|dots| dots.0);
            for row in 0..ROWS.len() {
                for column in 0..QUALITY.len() {
                    let (value, error) = self.mean(row, |judged| judged.0[column]).unwrap_or((f64::NAN, 0.0));
                    cells.extend([value, error]);
                }
                let layer = WAYS.iter().find(|way| way.row == row).map_or("data", |way| way.layer);
                for judged in &self.judged[row] {
                    let ((x, x_error), (y, y_error)) = (judged.recall(), judged.precision());
                    crosses.extend([x - x_error, y, x + x_error, y, x, y - y_error, x, y + y_error]);
                    dots.iter_mut().filter(|dots| dots.0 == layer).for_each(|dots| dots.1.extend([x, y]));
                }
            }
            context.draw("quality", "standard-errors", crosses);
            dots.into_iter().for_each(|(layer, dots)| context.draw("quality", layer, dots));
            context.draw("table", "results", cells);
            self.draw_price(context);
            let floor = self.mean(0, Judged::precision).zip(self.mean(0, Judged::recall));
            for way in WAYS.iter().filter(|way| way.layer != "ddim-fewer") {
                let of = self.mean(way.row, Judged::precision).zip(self.mean(way.row, Judged::recall));
                if let (Some((precision, recall)), Some((most, all))) = (of, floor) {
                    let corners = [recall.0 / all.0, precision.0 / most.0, speed(way.evaluations)];
                    draw_triangle(context, way.layer, corners);
                }
            }
        }

        fn draw_price(&self, context: &StudyContext) {
            let mut cells = vec![ROWS.len() as f64, PRICE.len() as f64];
            cells.extend([f64::NAN; 2 * PRICE.len()]);
            let mut points: Vec<(&str, Vec<f64>)> = WAYS.iter().map(|way| (way.layer, Vec::new())).collect();
            points.dedup_by_key(|points| points.0);
            for way in &WAYS {
                let place = Family::ALL.iter().position(|family| *family == way.family).unwrap_or(0);
                let seconds = self.evaluation[place] * way.evaluations as f64 / 1000.0;
                let networks = if way.family == Family::Diffusion { 1.0 } else { 2.0 };
                let per_second = SAMPLES_TIMED as f64 / seconds;
                let numbers =
                    [way.evaluations as f64, per_second, self.trained[place], self.parameters[place], networks];
                cells.extend(numbers.into_iter().flat_map(|number| [number, 0.0]));
                if let (true, Some((precision, _))) = (seconds.is_finite(), self.mean(way.row, Judged::precision)) {
                    let numbers = [1000.0 * seconds / SAMPLES_TIMED as f64, precision];
                    points.iter_mut().filter(|of| of.0 == way.layer).for_each(|of| of.1.extend(numbers));
                }
            }
            context.draw("price", "results", cells);
            points.into_iter().for_each(|(layer, points)| context.draw("cost", layer, points));
        }

        /// The claims on samples, as far as there are samples; of several rounds the mean.
        fn conclude(&self, context: &StudyContext) {
            let above = |low: f64| [low, f64::INFINITY];
            let precision = |row: usize| self.mean(row, Judged::precision);
            let recall = |row: usize| self.mean(row, Judged::recall);
            if let (Some(all), Some(gan)) = (recall(0), recall(GAN)) {
                let (less, error) = difference(all, gan);
                context.conclude("gan", less, error, above(0.1));
            }
            if let (Some(most), Some(vae)) = (precision(0), precision(VAE)) {
                let (less, error) = difference(most, vae);
                context.conclude("vae", less, error, above(0.1));
            }
            let least = |row: usize| {
                let (precision, recall) = (precision(row)?, recall(row)?);
                Some(if precision.0 < recall.0 { precision } else { recall })
            };
            let share = |floor: Option<Number>, of: Option<Number>| {
                let ((floor, floor_error), (value, error)) = (floor?, of?);
                Some((value / floor, (error / floor).hypot(value * floor_error / floor.powi(2))))
            };
            let shares = [share(precision(0), precision(DDPM)), share(recall(0), recall(DDPM))];
            if let [Some(precision), Some(recall)] = shares {
                let (share, error) = if precision.0 < recall.0 { precision } else { recall };
                context.conclude("diffusion", share, error, above(0.9));
            }
            if let (Some(few), Some(ddim)) = (least(DENOISING), least(DDIM_4)) {
                let (more, error) = difference(few, ddim);
                context.conclude("tackled", more, error, above(0.3));
            }
        }

        /// Times steps of training and evaluations of all models side by side, so that whatever else the machine does slows
        /// all of them.
        async fn time(&mut self, context: &StudyContext, models: &mut [Model]) -> Result<(), StudyError> {
            let mixture = self.mixture.clone();
            let draw = |rng: &mut Rng, count: usize| flat(&mixture.draw(rng, count));
            let [mut training, mut sampling] = [const { Vec::<[f64; 4]>::new() }; 2];
            for round in 0..TIMINGS {
                let [mut train, mut sample] = [(); 2].map(|()| [const { Vec::new() }; 4]);
                for step in round * STEPS_TIMED..(round + 1) * STEPS_TIMED {
                    for (place, model) in models.iter_mut().enumerate() {
                        model.step(context, step, &draw).await?;
                        train[place].push(since_turn(context).await);
                        if step.is_multiple_of(STEPS_TIMED / EVALUATIONS_TIMED) {
                            sample[place].push(model.evaluation_time(context, SAMPLES_TIMED).await?);
                        }
                    }
                    self.tick(context);
                }
                // Where the machine was busy elsewhere in some few, that is nothing of the models'.
                training.push(train.map(|times| middle_mean(&times).0));
                sampling.push(sample.map(|times| middle_mean(&times).0));
            }
            for (place, evaluation) in self.evaluation.iter_mut().enumerate() {
                *evaluation = median_error(&sampling.iter().map(|times| times[place]).collect::<Vec<_>>()).0;
            }
            let place = |family: Family| Family::ALL.iter().position(|other| *other == family).unwrap_or(0);
            let [vae, gan, diffusion] = [Family::Autoencoder, Family::Game, Family::Diffusion].map(place);
            let ratio = |times: &[[f64; 4]], [above, below]: [usize; 2], scale: f64| {
                median_error(&times.iter().map(|times| scale * times[above] / times[below]).collect::<Vec<_>>())
            };
            let (slow, error) = ratio(&sampling, [diffusion, gan], CHAIN as f64);
            context.conclude("slow", slow, error, [100.0, f64::INFINITY]);
            let (times, error) = ratio(&training, [vae, diffusion], 1.0);
            context.conclude("train-vae", times, error, [2.0, f64::INFINITY]);
            let (times, error) = ratio(&training, [gan, diffusion], 1.0);
            context.conclude("train-gan", times, error, [1.25, f64::INFINITY]);
            Ok(())
        }
    }

    /// Precision and recall of a few samples.
    fn glance(samples: &[[f64; 2]], data: &[[f64; 2]]) -> [f64; 2] {
        let [samples, data] = [samples, data].map(|points| &points[..points.len().min(GLANCED)]);
        let found = precision_recall(samples, data).unwrap_or_default();
        [found.precision, found.recall]
    }

    /// How quick so many evaluations are: 1 for a single one, and 0 for a thousand, even in the logarithm.
    fn speed(evaluations: usize) -> f64 {
        1.0 - (evaluations.max(1) as f64).log10() / 3.0
    }

    /// A triangle that reaches from the middle towards the corners as far as these shares of the way.
    fn draw_triangle(context: &StudyContext, layer: &str, shares: [f64; 3]) {
        let corners = shares.into_iter().enumerate().map(|(corner, share)| [corner as f64, share.clamp(0.0, 1.1)]);
        context.draw("triangle", layer, corners.flatten());
    }
}
