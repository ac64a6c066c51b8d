//! Text on predictive coding: a network that learns by lowering an energy, beside the same one with backpropagation.

use super::settings::settings;
use super::table::{Axis, Claim, Figure, Layer, Mark, Source, Study};
use crate::choice::named_variants;

named_variants! {
    /// Where the gradient of the network in question comes from.
    CodingRule {
        /// Inference of the states.
        States = "states",
        /// Inference with the errors as variables.
        Errors = "errors",
        /// Predictions frozen at the forward pass.
        Frozen = "frozen",
        /// Z-IL.
        ZeroDivergence = "z-il",
    }
}

named_variants! {
    /// How weights follow their gradient.
    OptimiserChoice {
        /// Adam.
        Adam = "adam",
        /// Momentum with one rate.
        Momentum = "momentum",
        /// Momentum with trust ratios.
        LayerAdaptive = "layer-adaptive",
    }
}

named_variants! {
    /// Connections past a layer.
    SkipChoice {
        /// None.
        None = "none",
        /// Identities.
        Plain = "plain",
        /// Identities beside scaled branches.
        Scaled = "scaled",
        /// muPC.
        MuPc = "mupc",
    }
}

named_variants! {
    /// Loss of the output.
    LossChoice {
        /// Squared error.
        Square = "square",
        /// Cross-entropy.
        CrossEntropy = "cross-entropy",
    }
}

settings! {
    /// What a visitor may change.
    struct Settings {
        coding_rule: CodingRule = CodingRule::States;
        coding_layers: usize = 5, 2..=30;
        inference_steps: usize = 20, 1..=100;
        inference_rate: f64 = 0.1, 0.01..=1.0, log;
        backward_energy: f64 = 0.01, 1e-4..=1.0, log;
        skip: SkipChoice = SkipChoice::None;
        output_loss: LossChoice = LossChoice::Square;
        optimiser: OptimiserChoice = OptimiserChoice::Adam;
        fit_steps: usize = 600, 10..=20_000;
        fit_batch: usize = 64, 16..=2048;
        fit_rate: f64 = 1e-3, 1e-4..=0.05, log;
        fit_width: usize = 48, 8..=256;
    }
}

/// Layers of the energy that are drawn by themselves, from the output down.
#[cfg(feature = "engine")]
const SHOWN: [&str; 5] = ["output-layer", "below-1", "below-2", "below-3", "below-4"];

/// The table.
pub const STUDY: Study = Study {
    id: "coding",
    chapter: 6,
    live: false,
    controls: Settings::CONTROLS,
    figures: &[
        Figure::curves(
            "accuracy",
            Axis::free("training-step"),
            Axis::fixed("accuracy", 0.0, 1.0),
            &[
                Layer::new("backpropagation", Mark::Line, 0),
                Layer::new("predictive-coding", Mark::Line, 1),
                Layer::new("error-variables", Mark::Line, 2).dashed(1),
                Layer::new("both-ways", Mark::Line, 3).dashed(2),
            ],
        ),
        Figure::curves(
            "relax",
            Axis::free("inference-step"),
            Axis::log("energy-of-layer"),
            &[
                Layer::new("whole-energy", Mark::Dashed, 5),
                Layer::new("output-layer", Mark::Line, 0),
                Layer::new("below-1", Mark::Line, 1),
                Layer::new("below-2", Mark::Line, 2),
                Layer::new("below-3", Mark::Line, 3),
                Layer::new("below-4", Mark::Line, 4),
            ],
        ),
        Figure::curves(
            "front",
            Axis::free("inference-step"),
            Axis::free("layer"),
            &[Layer::new("log-layer-error", Mark::Heat, 0)],
        ),
        Figure::curves(
            "angle",
            Axis::free("layer"),
            Axis::free("cosine"),
            &[Layer::new("before-training", Mark::Line, 0), Layer::new("after-training", Mark::Line, 1)],
        ),
        Figure::pictures("dream", Axis::free("label"), Axis::free("")),
    ],
    claims: &[
        Claim { key: "equal", source: Source::Blog("§ 9") },
        Claim { key: "energy", source: Source::Blog("§ 3") },
        Claim { key: "frozen", source: Source::Paper("Millidge et al. 2020, arXiv 2006.04182") },
        Claim { key: "local", source: Source::Paper("Whittington and Bogacz 2017, Neural Computation 29") },
    ],
    notes: &["neighbour", "reconstruction", "data", "inference"],
    brief: "fit-steps=200",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::{CodingRule, LossChoice, OptimiserChoice, SHOWN, Settings, SkipChoice};
    use crate::data::digits::PIXELS;
    use crate::nn::array::Array;
    use crate::nn::coding::{CodingForm, Inference, Optimiser, OutputLoss, Skip};
    use crate::nn::mlp::Gradient;
    use crate::rng::Stream;
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;
    use crate::study::learners::{CLASSES, HELD_OUT, Labelled, Learner, Rows, Rule, error_sizes, form, gain, hits};
    use crate::study::pictures::digit_grid;
    use crate::study::tools::at_most;

    /// Points of a curve of accuracy.
    const POINTS: usize = 30;
    /// The smallest root mean square of an error that has a colour, as a power of ten.
    const LEAST: f64 = -8.0;
    /// Step of the difference quotient, in units of the gradient.
    const STEP: f64 = 0.01;

    impl Settings {
        fn form(&self) -> CodingForm {
            let skip = match self.skip {
                SkipChoice::None => Skip::None,
                SkipChoice::Plain => Skip::Plain,
                SkipChoice::Scaled => Skip::Scaled,
                SkipChoice::MuPc => Skip::MuPc,
            };
            let loss = match self.output_loss {
                LossChoice::Square => OutputLoss::Square,
                LossChoice::CrossEntropy => OutputLoss::CrossEntropy,
            };
            CodingForm { skip, loss, ..form(self.coding_layers, self.fit_width) }
        }

        fn states(&self) -> Rule {
            Rule::States(self.inference_steps, self.inference_rate)
        }

        /// With the errors as variables: nothing has to come down layer by layer, and a quarter of the steps is enough.
        fn errors(&self) -> Rule {
            Rule::Errors(self.inference_steps.div_ceil(4), self.inference_rate)
        }

        /// The networks in the order of their curves.
        fn learners(&self, context: &StudyContext) -> [Learner; 4] {
            let chosen = match self.coding_rule {
                CodingRule::States => self.states(),
                CodingRule::Errors => self.errors(),
                CodingRule::Frozen => Rule::Frozen,
                CodingRule::ZeroDivergence => Rule::ZeroDivergence,
            };
            let optimiser = match self.optimiser {
                OptimiserChoice::Adam => Optimiser::Adam,
                OptimiserChoice::Momentum => Optimiser::Momentum,
                OptimiserChoice::LayerAdaptive => Optimiser::LayerAdaptive,
            };
            let both_ways = CodingForm { backward: self.backward_energy, ..self.form() };
            [
                (self.form(), Rule::Backpropagation),
                (self.form(), chosen),
                (self.form(), self.errors()),
                (both_ways, self.states()),
            ]
            .map(|(form, rule)| Learner::new(context, form, 1.0, 0, rule, (optimiser, self.fit_rate)))
        }
    }

    const CURVES: [&str; 4] = ["backpropagation", "predictive-coding", "error-variables", "both-ways"];

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let digits = Labelled::read(&context).await?;
        let (held_out, first) = (digits.held_out(&context), digits.batch(&context, 0, settings.fit_batch));
        let mut learners = settings.learners(&context);
        let mut falls = watch(&context, &settings, &learners, &first, true).await?;
        exact(&context, &settings, &learners[1], &first).await?;
        draw_angles(&context, "before-training", &learners, &first).await?;

        let steps = settings.fit_steps;
        let mut curves = [const { Vec::new() }; CURVES.len()];
        let mut right = [const { Vec::new() }; CURVES.len()];
        for step in 0..=steps {
            if step % steps.div_ceil(POINTS) == 0 || step == steps {
                for (place, learner) in learners.iter().enumerate() {
                    context.yield_now().await;
                    right[place] = hits(learner.net(), &held_out).await?;
                    let share = right[place].iter().sum::<f64>() / HELD_OUT as f64;
                    curves[place].extend([step as f64, share]);
                    context.draw("accuracy", CURVES[place], curves[place].iter().copied());
                }
                let (value, error) = gain(&right[0], &right[1]);
                context.tell("equal", (value, error), at_most(0.05), step == steps);
                draw_dream(&context, &learners[3]).await?;
            }
            if step < steps {
                let rows = digits.batch(&context, step, settings.fit_batch);
                for learner in &mut learners {
                    learner.learn(&context, &rows, step, steps).await?;
                }
                context.progress(step + 1, steps);
            }
        }
        falls.extend(watch(&context, &settings, &learners, &first, false).await?);
        let share = falls.iter().map(|fell| f64::from(u8::from(*fell))).sum::<f64>() / falls.len().max(1) as f64;
        context.conclude("energy", share, 0.0, [1.0, f64::INFINITY]);
        draw_angles(&context, "after-training", &learners, &first).await
    }

    /// Inference of the states step by step: whether the energy fell at each of them. Drawn or not.
    async fn watch(
        context: &StudyContext,
        settings: &Settings,
        learners: &[Learner],
        rows: &Rows,
        drawn: bool,
    ) -> Result<Vec<bool>, StudyError> {
        // The last infers its states whatever the visitor's rule, at the rate that networks of this form take.
        let Rule::States(steps, rate) = learners[3].rule() else { return Ok(Vec::new()) };
        let layers = settings.coding_layers;
        let mut inference = rows.at(learners[1].net());
        let (mut whole, mut falls) = (Vec::new(), Vec::new());
        let mut by_layer = vec![Vec::new(); layers];
        let mut errors = Vec::new();
        for step in 0..=steps {
            context.yield_now().await;
            let energies = inference.energies().read().await?;
            let sum = energies.iter().copied().map(f64::from).sum::<f64>() / settings.fit_batch as f64;
            whole.push(sum);
            for (curve, energy) in by_layer.iter_mut().zip(energies) {
                curve.push(f64::from(energy) / settings.fit_batch as f64);
            }
            if drawn {
                errors.push(sizes(&inference, settings.form()).await?);
            }
            if step < steps {
                inference.step(rate);
            }
        }
        falls.extend(whole.windows(2).map(|pair| pair[1] < pair[0]));
        if drawn {
            let curve = |values: &[f64]| -> Vec<f64> {
                // A logarithm has no place for what is still exactly 0.
                let places = values.iter().enumerate().filter(|(_, v)| **v > 0.0 && v.is_finite());
                places.flat_map(|(step, v)| [step as f64, *v]).collect()
            };
            context.draw("relax", "whole-energy", curve(&whole));
            for (key, values) in SHOWN.into_iter().zip(by_layer.iter().rev()) {
                context.draw("relax", key, curve(values));
            }
            let (columns, rows) = (errors.len() as f64, layers as f64);
            let mut map = vec![columns, rows, -0.5, columns - 0.5, 0.5, rows + 0.5, LEAST, 0.0];
            for layer in 0..layers {
                map.extend(errors.iter().map(|sizes| sizes[layer].log10().clamp(LEAST, 4.0)));
            }
            map[7] = map[8..].iter().copied().fold(LEAST + 1.0, f64::max);
            context.draw("front", "log-layer-error", map);
        }
        Ok(falls)
    }

    /// The root mean square of the errors of every layer.
    async fn sizes(inference: &Inference<'_>, form: CodingForm) -> Result<Vec<f64>, StudyError> {
        Ok(error_sizes(inference, form).await?.into_iter().map(|size| size.rms).collect())
    }

    /// What holds exactly, at the start: frozen predictions give backpropagation's gradient, and the gradient of the energy is
    /// what every layer knows by itself.
    async fn exact(
        context: &StudyContext,
        settings: &Settings,
        learner: &Learner,
        rows: &Rows,
    ) -> Result<(), StudyError> {
        let net = learner.net();
        let theirs = rows.at(net).backpropagation().flat().read().await?;
        let mut frozen = rows.at(net);
        frozen.sweep_frozen();
        let ours = frozen.gradient().flat().read().await?;
        let length = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
        let apart = length(&mut ours.iter().zip(&theirs).map(|(a, b)| f64::from(a - b)));
        let whole = length(&mut theirs.iter().copied().map(f64::from));
        context.conclude("frozen", apart / whole, 0.0, at_most(1e-5));

        let mut inference = rows.at(net);
        for _ in 0..settings.inference_steps {
            context.yield_now().await;
            inference.step(settings.inference_rate);
        }
        let gradient = inference.gradient().flat().read().await?;
        // A direction that is half the gradient's own and half chance, layer by layer.
        let mut along = gradient.clone();
        let mut rng = context.rng(Stream::Directions, 0);
        for layer in net.form().layers() {
            let part = &mut along[layer.start..layer.end()];
            let size = (part.iter().map(|g| g * g).sum::<f32>() / part.len() as f32).sqrt();
            part.iter_mut().for_each(|g| *g += size * rng.normal() as f32);
        }
        let mut energies = [0.0; 2];
        for (energy, h) in energies.iter_mut().zip([STEP, -STEP]) {
            context.yield_now().await;
            let moved = Array::new(along.clone(), 1, &context.compute.device) * h + net.parameters();
            let terms = inference.energies_with(&net.with(moved)).read().await?;
            *energy = terms.into_iter().map(f64::from).sum();
        }
        let quotient = (energies[0] - energies[1]) / (2.0 * STEP * settings.fit_batch as f64);
        let rule: f64 = gradient.iter().zip(&along).map(|(g, v)| f64::from(*g) * f64::from(*v)).sum();
        context.conclude("local", (quotient / rule - 1.0).abs(), 0.0, at_most(1e-3));
        Ok(())
    }

    /// The gradient by the rule of the network in question.
    async fn by_rule(context: &StudyContext, learner: &Learner, rows: &Rows) -> Result<Gradient, StudyError> {
        let inference = learner.infer(context, rows).await?;
        Ok(learner.gradient(inference))
    }

    /// Cosines between the gradients of a layer's weights by the rule and by backpropagation.
    async fn draw_angles(
        context: &StudyContext,
        key: &str,
        learners: &[Learner],
        rows: &Rows,
    ) -> Result<(), StudyError> {
        let learner = &learners[1];
        let ours = by_rule(context, learner, rows).await?.flat().read().await?;
        let theirs = rows.at(learner.net()).backpropagation().flat().read().await?;
        let mut numbers = Vec::new();
        for (l, layer) in learner.net().form().layers().into_iter().enumerate() {
            let [a, b] = [&ours, &theirs].map(|all| &all[layer.start..layer.bias()]);
            let product =
                |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
            let cosine = product(a, b) / (product(a, a) * product(b, b)).sqrt();
            if cosine.is_finite() {
                numbers.extend([l as f64 + 1.0, cosine]);
            }
        }
        context.draw("angle", key, numbers);
        Ok(())
    }

    /// What the network with predictions both ways sees in the labels.
    async fn draw_dream(context: &StudyContext, learner: &Learner) -> Result<(), StudyError> {
        let mut labels = vec![0.0; CLASSES * CLASSES];
        labels.iter_mut().step_by(CLASSES + 1).for_each(|v| *v = 1.0);
        let labels = Array::new(labels, CLASSES, &context.compute.device);
        let images = learner.net().imagine(labels).read().await?;
        let window = [-0.5, CLASSES as f64 - 0.5, 0.0, 1.0];
        let digit = |column: usize, _: usize| images.chunks_exact(PIXELS).nth(column);
        context.draw("dream", "grey", digit_grid([CLASSES, 1], window, digit));
        Ok(())
    }
}
