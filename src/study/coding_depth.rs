//! Text on predictive coding: what becomes of it in deep networks, and the three cures that are named.

use super::settings::settings;
use super::table::{Axis, Claim, Figure, Layer, Mark, Source, Study};
use crate::choice::named_variants;

named_variants! {
    /// How many depths are compared.
    Depths {
        /// Three.
        Few = "few",
        /// Seven.
        All = "all",
    }
}

settings! {
    /// What a visitor may change.
    struct Settings {
        depths: Depths = Depths::Few;
        inference_steps: usize = 20, 1..=100;
        inference_rate: f64 = 0.1, 0.01..=1.0, log;
        weight_gain: f64 = 1.0, 0.5..=2.0;
        fit_steps: usize = 170, 10..=20_000;
        fit_batch: usize = 64, 16..=2048;
        fit_rate: f64 = 1e-3, 1e-4..=0.05, log;
        fit_width: usize = 32, 8..=256;
    }
}

const RATES: &[&str] = &["one-rate", "rate-by-layer", "adam", "backpropagation"];
const SKIPS: &[&str] = &["no-skip", "plain-skip", "scaled-skip", "mupc-skip"];
/// Depths at which rates are compared and errors shown.
const DEPTHS: &[&str] = &["layers-5", "layers-10", "layers-20"];

/// The table.
pub const STUDY: Study = Study {
    id: "coding-depth",
    chapter: 6,
    live: false,
    controls: Settings::CONTROLS,
    figures: &[
        Figure::curves(
            "depth",
            Axis::free("layers"),
            Axis::fixed("accuracy", 0.0, 1.0),
            &[
                Layer::new("backpropagation", Mark::Line, 0),
                Layer::new("predictive-coding", Mark::Line, 1),
                Layer::new("error-variables", Mark::Line, 2).dashed(1),
                Layer::new("mupc-skip", Mark::Line, 3).dashed(2),
            ],
        ),
        Figure::curves(
            "profile",
            Axis::free("layer"),
            Axis::log("layer-error"),
            &[
                Layer::new("layers-5", Mark::Line, 0),
                Layer::new("layers-10", Mark::Line, 1),
                Layer::new("layers-20", Mark::Line, 2),
            ],
        ),
        Figure::curves(
            "explosion",
            Axis::free("weight-gain"),
            Axis::log("largest-error"),
            &[
                Layer::new("back-none", Mark::Line, 0),
                Layer::new("back-hundredth", Mark::Line, 2).dashed(1),
                Layer::new("back-tenth", Mark::Line, 1),
            ],
        ),
        Figure::curves(
            "growth",
            Axis::free("training-step"),
            Axis::log("largest-error"),
            &[Layer::new("back-none", Mark::Line, 0), Layer::new("back-tenth", Mark::Line, 1)],
        ),
        Figure::table(
            "rates",
            Axis::of("rate-rule", RATES),
            Axis::of("layers", DEPTHS),
            &[Layer::new("accuracy", Mark::Table, 0)],
        ),
        Figure::curves(
            "skips",
            Axis::of("skip-rule", SKIPS),
            Axis::fixed("accuracy", 0.0, 1.0),
            &[Layer::new("accuracy", Mark::Bars, 2)],
        ),
    ],
    claims: &[
        Claim { key: "deep", source: Source::Blog("§ 4") },
        Claim { key: "vanish", source: Source::Blog("§ 4") },
        Claim { key: "explode", source: Source::Blog("§ 4") },
        Claim { key: "bidirectional", source: Source::Blog("§ 5") },
        Claim { key: "bidirectional-learns", source: Source::Blog("§ 5") },
        Claim { key: "skip", source: Source::Blog("§ 6") },
        Claim { key: "plain-skip", source: Source::Blog("§ 6") },
        Claim { key: "lalr", source: Source::Blog("§ 7") },
    ],
    notes: &["reconstruction", "steps", "adaptive", "skips", "numbers"],
    brief: "fit-steps=300&fit-batch=16",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::{DEPTHS, Depths, RATES, SKIPS, Settings};
    use crate::nn::architecture::Activation;
    use crate::nn::coding::{CodingForm, Optimiser, Skip};
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;
    use crate::study::learners::{Labelled, Learner, Rows, Rule, error_sizes, form, gain, hits};
    use crate::study::tools::{at_most, mean_error};

    const FEW: [usize; 3] = [5, 10, 20];
    const ALL: [usize; 7] = [3, 5, 8, 10, 15, 20, 30];
    /// Weights of the predictions backwards, in the figure of the first batch, and layers of its network.
    const BACKWARD: [(&str, f64); 3] = [("back-none", 0.0), ("back-hundredth", 0.01), ("back-tenth", 0.1)];
    const EXPLODING: usize = 8;
    /// Networks whose errors are followed in training, each for this share of the steps of one of the others.
    const NETWORKS: usize = 10;
    const SHARE: usize = 5;
    /// Gains of the weights there; claims compare the largest with 1.
    const GAINS: [f64; 7] = [0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0];

    /// How a network learns.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum How {
        Backpropagation,
        States,
        Errors,
        MuPc,
        OneRate,
        RateByLayer,
        Plain,
        Scaled,
        BothWays,
    }

    /// The curves of the first figure.
    const CURVES: [(&str, How); 4] = [
        ("backpropagation", How::Backpropagation),
        ("predictive-coding", How::States),
        ("error-variables", How::Errors),
        ("mupc-skip", How::MuPc),
    ];
    /// Rows of the table of rates, and the bars of the skips.
    const RATED: [How; RATES.len()] = [How::OneRate, How::RateByLayer, How::States, How::Backpropagation];
    const SKIPPED: [How; SKIPS.len()] = [How::States, How::Plain, How::Scaled, How::MuPc];
    /// Claims on a difference of accuracies: which, how deep, what less what, and the bound.
    const DIFFERENCES: [(&str, usize, How, How, f64); 5] = [
        ("deep", 20, How::Backpropagation, How::States, 0.1),
        ("skip", 20, How::MuPc, How::States, 0.1),
        ("plain-skip", 20, How::Plain, How::States, 0.0),
        ("lalr", 10, How::RateByLayer, How::OneRate, 0.05),
        ("bidirectional-learns", 5, How::BothWays, How::States, 0.0),
    ];

    type Plan = (usize, How);

    struct Comparison<'a> {
        context: &'a StudyContext,
        settings: &'a Settings,
        digits: Labelled,
        held_out: Rows,
        /// What each network names rightly, digit by digit.
        done: Vec<(Plan, Vec<f64>)>,
        /// Layers trained, a step each, and of all.
        progress: [usize; 2],
    }

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let digits = Labelled::read(&context).await?;
        let held_out = digits.held_out(&context);
        let depths: &[usize] = if settings.depths == Depths::All { &ALL } else { &FEW };
        // The deepest first: it decides most.
        let mut plans: Vec<Plan> =
            depths.iter().rev().flat_map(|layers| CURVES.map(|(_, how)| (*layers, how))).collect();
        plans.extend([(20, How::Plain), (20, How::Scaled), (5, How::BothWays)]);
        plans.extend(FEW.into_iter().flat_map(|layers| [(layers, How::OneRate), (layers, How::RateByLayer)]));
        let layers = plans.iter().map(|plan| plan.0).sum::<usize>();
        let growing = 2 * EXPLODING * NETWORKS * settings.fit_steps.div_ceil(SHARE);
        let progress = [0, layers * settings.fit_steps + growing];
        let mut study =
            Comparison { context: &context, settings: &settings, digits, held_out, done: Vec::new(), progress };
        study.first_batch().await?;
        study.explosion().await?;
        for plan in plans {
            study.learn(plan).await?;
        }
        Ok(())
    }

    impl Comparison<'_> {
        fn states(&self) -> Rule {
            Rule::States(self.settings.inference_steps, self.settings.inference_rate)
        }

        fn learner(&self, (layers, how): Plan) -> Learner {
            let mut form = form(layers, self.settings.fit_width);
            let (mut rule, mut optimiser) = (self.states(), Optimiser::Adam);
            match how {
                How::Backpropagation => rule = Rule::Backpropagation,
                How::States => {}
                How::Errors => {
                    rule = Rule::Errors(self.settings.inference_steps.div_ceil(4), self.settings.inference_rate);
                }
                How::MuPc => form.skip = Skip::MuPc,
                How::OneRate => optimiser = Optimiser::Momentum,
                How::RateByLayer => optimiser = Optimiser::LayerAdaptive,
                How::Plain => form.skip = Skip::Plain,
                How::Scaled => form.skip = Skip::Scaled,
                How::BothWays => form.backward = 0.01,
            }
            let rate = self.settings.fit_rate;
            Learner::new(self.context, form, self.settings.weight_gain, 0, rule, (optimiser, rate))
        }

        /// A network with rectifiers, whose errors can grow.
        fn exploding(&self, gain: f64, backward: f64, index: u32) -> Learner {
            let form = form(EXPLODING, self.settings.fit_width);
            let form = CodingForm { activation: Activation::Relu, backward, ..form };
            Learner::new(self.context, form, gain, index, self.states(), (Optimiser::Adam, self.settings.fit_rate))
        }

        /// Errors on the first batch, before anything is learned: of each depth, and by the gain of the weights.
        async fn first_batch(&self) -> Result<(), StudyError> {
            let rows = self.digits.batch(self.context, 0, self.settings.fit_batch);
            for (layers, key) in FEW.into_iter().zip(DEPTHS) {
                let learner = self.learner((layers, How::States));
                let inference = learner.infer(self.context, &rows).await?;
                let sizes = error_sizes(&inference, learner.net().form()).await?;
                let places = sizes.iter().enumerate().filter(|(_, size)| size.rms > 0.0 && size.rms.is_finite());
                self.context.draw("profile", key, places.flat_map(|(l, size)| [l as f64 + 1.0, size.rms]));
                if layers == 10 {
                    let ratio = sizes[0].rms.max(1e-30) / sizes[layers - 2].rms;
                    self.context.conclude("vanish", ratio.log10(), 0.0, at_most(-2.0));
                }
            }
            for (key, backward) in BACKWARD {
                let mut curve = Vec::new();
                for gain in GAINS {
                    let most = self.largest(&self.exploding(gain, backward, 0), &rows).await?;
                    if most.is_finite() {
                        curve.push([gain, most]);
                    }
                }
                self.context.draw("explosion", key, curve.iter().flatten().copied());
                let at = |gain: f64| curve.iter().find(|at| at[0] == gain).map_or(f64::INFINITY, |at| at[1]);
                if backward == 0.0 {
                    self.context.conclude("explode", at(2.0) / at(1.0), 0.0, [10.0, f64::INFINITY]);
                }
            }
            Ok(())
        }

        async fn largest(&self, learner: &Learner, rows: &Rows) -> Result<f64, StudyError> {
            let inference = learner.infer(self.context, rows).await?;
            let sizes = error_sizes(&inference, learner.net().form()).await?;
            Ok(sizes.iter().fold(0.0, |most, size| size.most.max(most)))
        }

        /// The largest errors in training with weights of twice the size, without and with predictions backwards: of
        /// several networks, because they differ much.
        async fn explosion(&mut self) -> Result<(), StudyError> {
            let (steps, mut ratios) = (self.settings.fit_steps.div_ceil(SHARE), Vec::new());
            for index in 0..NETWORKS {
                let mut logs = [0.0; 2];
                for (place, (key, backward)) in [BACKWARD[0], BACKWARD[2]].into_iter().enumerate() {
                    let (mut learner, mut curve) = (self.exploding(2.0, backward, index as u32), Vec::new());
                    for step in 0..steps {
                        let rows = self.digits.batch(self.context, index * steps + step, self.settings.fit_batch);
                        let inference = learner.infer(self.context, &rows).await?;
                        let sizes = error_sizes(&inference, learner.net().form()).await?;
                        let largest = sizes.iter().fold(0.0, |most: f64, size| size.most.max(most)).clamp(1e-12, 1e12);
                        logs[place] += largest.ln() / steps as f64;
                        curve.extend([step as f64 + 1.0, largest]);
                        let gradient = learner.gradient(inference);
                        learner.follow(gradient, step, steps).await?;
                        self.advance(EXPLODING);
                    }
                    if index == 0 {
                        self.context.draw("growth", key, curve);
                    }
                }
                ratios.push(logs[1] - logs[0]);
            }
            let (log, error) = mean_error(&ratios);
            self.context.conclude("bidirectional", log.exp(), log.exp() * error, at_most(1.0));
            Ok(())
        }

        fn advance(&mut self, layers: usize) {
            self.progress[0] += layers;
            self.context.progress(self.progress[0], self.progress[1]);
        }

        /// Trains a network, and draws and concludes what it decides.
        async fn learn(&mut self, plan: Plan) -> Result<(), StudyError> {
            let (mut learner, steps) = (self.learner(plan), self.settings.fit_steps);
            for step in 0..steps {
                let rows = self.digits.batch(self.context, step, self.settings.fit_batch);
                learner.learn(self.context, &rows, step, steps).await?;
                self.advance(plan.0);
            }
            self.done.push((plan, hits(learner.net(), &self.held_out).await?));
            self.draw();
            for (key, layers, first, second, low) in DIFFERENCES {
                if plan.0 == layers
                    && [first, second].contains(&plan.1)
                    && let (Some(first), Some(second)) = (self.right((layers, first)), self.right((layers, second)))
                {
                    let (value, error) = gain(first, second);
                    self.context.conclude(key, value, error, [low, f64::INFINITY]);
                }
            }
            Ok(())
        }

        fn right(&self, plan: Plan) -> Option<&[f64]> {
            self.done.iter().find(|(done, _)| *done == plan).map(|(_, right)| right.as_slice())
        }

        fn accuracy(&self, plan: Plan) -> Option<(f64, f64)> {
            self.right(plan).map(mean_error)
        }

        fn draw(&self) {
            for (key, how) in CURVES {
                let points =
                    ALL.into_iter().filter_map(|layers| Some([layers as f64, self.accuracy((layers, how))?.0]));
                self.context.draw("depth", key, points.flatten());
            }
            let cells = RATED.iter().flat_map(|how| FEW.map(|layers| self.accuracy((layers, *how))));
            let cells = cells.flat_map(|cell| cell.map_or([f64::NAN; 2], |(value, error)| [value, error]));
            self.context.draw("rates", "accuracy", [RATED.len() as f64, FEW.len() as f64].into_iter().chain(cells));
            let bars = SKIPPED.iter().enumerate().filter_map(|(place, how)| {
                let (value, error) = self.accuracy((20, *how))?;
                Some([place as f64, value, error])
            });
            self.context.draw("skips", "accuracy", bars.flatten());
        }
    }
}
