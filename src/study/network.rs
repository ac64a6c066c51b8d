//! A network for the scores of all noise levels at once (equations 2-5 and 2-6), and Langevin dynamics with it.
//!
//! The network says `sigma * score`, which is of unit size at every level: the best linear guess for data of a known
//! size, plus what a perceptron adds to it: [`Preconditioning`].

use super::context::StudyContext;
use super::error::StudyError;
use super::rows::Rows;
use super::tools::{cosine, waits};
use crate::diffusion::langevin::unadjusted;
use crate::diffusion::likelihood::JacobianProduct;
use crate::diffusion::objective::low_discrepancy_times;
use crate::diffusion::prediction::Affine;
use crate::diffusion::{Denoiser, Estimate, Level, Prediction, Schedule, Spacing, State as _};
use crate::nn::preconditioning::{Preconditioning, Scalings};
use crate::nn::score::{Form, Objective, ScoreNet};
use crate::nn::variance::VarianceNet;
use crate::rng::{Rng, Stream};

/// Numbers at once: what lies between two turns stays short.
const AT_ONCE: usize = 4096;

/// Hidden layers of networks that have to be near the exact score of points in the plane.
pub const PLANE_LAYERS: usize = 3;

/// What a network for all levels is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Numbers in a point.
    pub dimension: usize,
    /// Units of a hidden layer.
    pub width: usize,
    /// Hidden layers.
    pub depth: usize,
    /// Root mean square of the data, number by number.
    pub data: f64,
}

/// A network for all levels.
pub struct LevelNet {
    net: ScoreNet,
    size: Size,
    /// Least and largest noise it was trained at, of data of scale 1.
    trained: [f64; 2],
}

impl Size {
    fn form(self) -> Form {
        let Self { dimension, width, depth, .. } = self;
        Form { dimension, extra: Preconditioning::FEATURES, width, depth, scale: 1.0, energy: false }
    }

    /// Number of parameters.
    pub fn parameters(self) -> usize {
        self.form().shape().parameters()
    }

    fn prediction(self) -> Prediction {
        Prediction::Karras { data_std: self.data }
    }

    fn scalings(self, sigma: f64) -> Scalings {
        Preconditioning { data: self.data }.at(sigma)
    }

    /// The weight of the squared error of the noise under which that of the perceptron itself counts alike at every
    /// level: EDM's.
    pub fn even_weight(self, sigma: f64) -> f64 {
        self.scalings(sigma).output.powi(-2)
    }
}

/// How the perceptron sees a level of any schedule, and what its output means there.
#[derive(Clone, Copy)]
struct View {
    level: Level,
    input: f64,
    features: [f32; Preconditioning::FEATURES],
    data: Affine,
    noise: Affine,
}

/// Rows of the perceptron's input, and what its outputs there mean.
struct Seen {
    inputs: Vec<f32>,
    extra: Vec<f32>,
    views: Vec<View>,
}

/// Data and noise of rows by the perceptron's outputs.
fn believed(x: &Rows, outputs: &[f32], views: &[View]) -> Estimate<Rows> {
    let dimension = x.dimension;
    let [mut data, mut noise] = [(); 2].map(|()| Vec::with_capacity(x.values.len()));
    for ((x, outputs), view) in x.values.chunks_exact(dimension).zip(outputs.chunks_exact(dimension)).zip(views) {
        data.extend(x.iter().zip(outputs).map(|(x, output)| view.data.of(*x, f64::from(*output))));
        noise.extend(x.iter().zip(outputs).map(|(x, output)| view.noise.of(*x, f64::from(*output))));
    }
    Estimate::new(Rows { dimension, values: data }, Rows { dimension, values: noise })
}

/// What the perceptron regresses on in a training step.
struct Regression {
    inputs: Vec<f32>,
    extra: Vec<f32>,
    target: Vec<f32>,
    weight: Vec<f32>,
}

impl Regression {
    /// Nothing yet, with room for this many numbers.
    fn of(count: usize) -> Self {
        let [inputs, target] = [(); 2].map(|()| Vec::with_capacity(count));
        Self { inputs, target, extra: Vec::new(), weight: Vec::new() }
    }
}

impl LevelNet {
    /// The `index`-th network of the run.
    pub fn new(context: &StudyContext, size: Size, index: u32) -> Self {
        let net = ScoreNet::new(size.form(), &context.compute, context.seed(), index);
        Self { net, size, trained: [0.0, f64::INFINITY] }
    }

    /// One step of denoising score matching: `noise` is what is added to each point of `data`, in units of its `sigma`;
    /// `of_noise` is the weight of the squared error of the noise of each.
    pub fn train(
        &mut self,
        data: &[f32],
        noise: &[f32],
        sigma: impl Fn(usize) -> f64,
        of_noise: impl Fn(usize) -> f64,
        rate: f64,
    ) {
        let Regression { inputs, extra, target, weight } = self.noise_regression(data, noise, sigma, of_noise);
        self.net.train(&inputs, &extra, Objective::Regression { target: &target, weight: &weight }, rate);
    }

    /// The squared error of the noise in terms of the perceptron's output.
    fn noise_regression(
        &self,
        data: &[f32],
        noise: &[f32],
        sigma: impl Fn(usize) -> f64,
        of_noise: impl Fn(usize) -> f64,
    ) -> Regression {
        let d = self.size.dimension;
        let mut regression = Regression::of(data.len());
        for (i, (x, z)) in data.chunks_exact(d).zip(noise.chunks_exact(d)).enumerate() {
            let sigma = sigma(i);
            let Scalings { input, skip, output, features } = self.size.scalings(sigma);
            regression.extra.extend(features);
            for (x, z) in x.iter().zip(z) {
                let noisy = f64::from(*x) + sigma * f64::from(*z);
                regression.inputs.push((input * noisy) as f32);
                regression.target.push(((-f64::from(*z) - skip * noisy) / output) as f32);
            }
            regression.weight.push((of_noise(i) * output * output) as f32);
        }
        regression
    }

    /// Denoising score matching with `lambda = sigma^2` at levels of any schedule, in terms of the perceptron's output.
    fn score_regression(&self, data: &[f32], noise: &[f32], levels: &[Level]) -> Regression {
        let d = self.size.dimension;
        let mut regression = Regression::of(data.len());
        for ((x, z), level) in data.chunks_exact(d).zip(noise.chunks_exact(d)).zip(levels) {
            let Scalings { input, features, .. } = self.size.scalings(level.ratio());
            let score = self.size.prediction().convert(Prediction::Score, *level);
            regression.extra.extend(features);
            for (x, z) in x.iter().zip(z) {
                let noisy = level.mix(f64::from(*x), f64::from(*z));
                regression.inputs.push((input / level.alpha * noisy) as f32);
                let target = -f64::from(*z) / level.sigma;
                regression.target.push(((target - score.x * noisy) / score.output) as f32);
            }
            regression.weight.push((level.sigma * score.output).powi(2) as f32);
        }
        regression
    }

    /// The gradients of two losses with respect to the parameters as they are: of half the squared error of the noise,
    /// and of denoising score matching with `lambda = sigma^2`.
    pub async fn gradients(&self, data: &[f32], noise: &[f32], levels: &[Level]) -> Result<[Vec<f32>; 2], StudyError> {
        let sigma = |i: usize| levels[i].ratio();
        let of_noise = self.noise_regression(data, noise, sigma, |_| 1.0);
        let of_score = self.score_regression(data, noise, levels);
        Ok([self.gradient(&of_noise).await?, self.gradient(&of_score).await?])
    }

    async fn gradient(&self, of: &Regression) -> Result<Vec<f32>, StudyError> {
        let objective = Objective::Regression { target: &of.target, weight: &of.weight };
        let (_, gradient) = self.net.gradient(&of.inputs, &of.extra, objective);
        Ok(gradient.flat().read().await?)
    }

    /// Waits for the steps so far.
    pub async fn wait(&mut self) -> Result<(), StudyError> {
        self.net.take_losses().await?;
        Ok(())
    }

    /// `sigma * score` at points of one level, with the moving average of the weights or the last ones.
    pub async fn scaled(&self, x: &[f32], sigma: f64, averaged: bool) -> Result<Vec<f32>, StudyError> {
        let Scalings { input, skip, output, features } = self.size.scalings(sigma);
        let inputs: Vec<f32> = x.iter().map(|v| (input * f64::from(*v)) as f32).collect();
        let extra = features.repeat(x.len() / self.size.dimension);
        let raw = if averaged { self.net.scores(&inputs, &extra) } else { self.net.raw_scores(&inputs, &extra) };
        let added = raw.await?;
        Ok(x.iter().zip(added).map(|(x, v)| (skip * f64::from(*x) + output * f64::from(v)) as f32).collect())
    }

    fn view(&self, level: Level) -> View {
        let sigma = level.ratio();
        let Scalings { input, .. } = self.size.scalings(sigma);
        // What it never saw it takes for the nearest that it did.
        let features = self.size.scalings(sigma.clamp(self.trained[0], self.trained[1])).features;
        let (data, noise) = self.size.prediction().split(level);
        View { level, input: input / level.alpha, features, data, noise }
    }

    /// What the network believes about rows at levels of any schedule, one for each row: it sees `x / alpha`, whose noise
    /// is `sigma / alpha`, and data and noise are the same in both views.
    pub async fn estimate(
        &self,
        x: &Rows,
        level: impl Fn(usize) -> Level,
        averaged: bool,
    ) -> Result<Estimate<Rows>, StudyError> {
        let Seen { inputs, extra, views } = self.seen(x, level);
        let raw = if averaged { self.net.scores(&inputs, &extra) } else { self.net.raw_scores(&inputs, &extra) };
        Ok(believed(x, &raw.await?, &views))
    }

    /// How the perceptron sees rows at levels of any schedule.
    fn seen(&self, x: &Rows, level: impl Fn(usize) -> Level) -> Seen {
        let mut seen = Seen { inputs: Vec::with_capacity(x.values.len()), extra: Vec::new(), views: Vec::new() };
        for (i, row) in x.values.chunks_exact(x.dimension).enumerate() {
            let (level, last) = (level(i), seen.views.last().copied());
            let view = last.filter(|last: &View| last.level == level).unwrap_or_else(|| self.view(level));
            seen.inputs.extend(row.iter().map(|v| (view.input * v) as f32));
            seen.extra.extend(view.features);
            seen.views.push(view);
        }
        seen
    }

    /// What the network with the moving average of its weights believes about rows at a level of any schedule, and the
    /// products of the Jacobian of its noise with a direction for each.
    ///
    /// # Errors
    /// The device's.
    pub async fn multiply(&self, x: &Rows, level: Level, v: &Rows) -> Result<(Estimate<Rows>, Rows), StudyError> {
        let Seen { inputs, extra, views } = self.seen(x, |_| level);
        // What it sees of a direction is what it sees of a point.
        let along = self.seen(v, |_| level).inputs;
        let [outputs, tangents] = self.net.scores_with_tangents(&inputs, &extra, &along).await?;
        // Its noise is linear in a point and the output, and so in their changes.
        Ok((believed(x, &outputs, &views), believed(v, &tangents, &views).noise))
    }

    /// A step of Langevin dynamics of every chain.
    pub async fn langevin(
        &self,
        context: &StudyContext,
        x: &mut [f32],
        sigma: f64,
        epsilon: f64,
        rng: &mut Rng,
        averaged: bool,
    ) -> Result<(), StudyError> {
        for chunk in x.chunks_mut(self.at_once()) {
            context.yield_now().await;
            let scaled = self.scaled(chunk, sigma, averaged).await?;
            for (x, scaled) in chunk.iter_mut().zip(scaled) {
                *x = unadjusted(f64::from(*x), f64::from(scaled) / sigma, epsilon, rng.normal()) as f32;
            }
        }
        Ok(())
    }

    /// Takes out the noise of a level (Tweedie's formula): `x + sigma^2 score`.
    pub async fn denoise(&self, x: &mut [f32], sigma: f64, averaged: bool) -> Result<(), StudyError> {
        for chunk in x.chunks_mut(self.at_once()) {
            let scaled = self.scaled(chunk, sigma, averaged).await?;
            for (x, scaled) in chunk.iter_mut().zip(scaled) {
                *x += sigma as f32 * scaled;
            }
        }
        Ok(())
    }

    fn at_once(&self) -> usize {
        (AT_ONCE / self.size.dimension).max(16) * self.size.dimension
    }
}

/// Training of a network for all levels on levels whose noise is even in its logarithm.
#[derive(Clone, Copy, Debug)]
pub struct Fit {
    /// Steps.
    pub steps: usize,
    /// Points of a step.
    pub batch: usize,
    /// Learning rate, from which half a cosine falls.
    pub rate: f64,
    /// Least and largest noise, of data of scale 1.
    pub sigmas: [f64; 2],
}

impl Fit {
    /// Trains a network on what `draw` draws, points of the network's dimension, with EDM's weighting. `after` is called
    /// with the number of every step that is done; there it may draw, and tell how far the work is.
    ///
    /// # Errors
    /// The device's.
    pub async fn train(
        self,
        context: &StudyContext,
        net: &mut LevelNet,
        draw: impl FnMut(&mut Rng, usize) -> Vec<f32>,
        after: impl FnMut(usize),
    ) -> Result<(), StudyError> {
        self.train_at(context, net, &self.even(), draw, after).await
    }

    /// Noise even in its logarithm between the bounds, for `u` in `[0, 1)`.
    fn even(self) -> impl Fn(f64) -> f64 {
        let [least, most] = self.sigmas.map(f64::ln);
        move |u| (least + (most - least) * u).exp()
    }

    /// The same with noise `sigma(u)`, of data of scale 1 and within the bounds, for `u` even in `[0, 1)`: the levels of
    /// a schedule whose time is even.
    ///
    /// # Errors
    /// The device's.
    pub async fn train_at(
        self,
        context: &StudyContext,
        net: &mut LevelNet,
        sigma: &dyn Fn(f64) -> f64,
        mut draw: impl FnMut(&mut Rng, usize) -> Vec<f32>,
        mut after: impl FnMut(usize),
    ) -> Result<(), StudyError> {
        for step in 0..self.steps {
            self.step_at(context, net, sigma, &mut draw, step).await?;
            after(step + 1);
        }
        net.wait().await
    }

    /// The step of [`Fit::train`] with this number, from 0, in a turn of its own.
    ///
    /// # Errors
    /// The device's.
    pub async fn step(
        self,
        context: &StudyContext,
        net: &mut LevelNet,
        mut draw: impl FnMut(&mut Rng, usize) -> Vec<f32>,
        step: usize,
    ) -> Result<(), StudyError> {
        self.step_at(context, net, &self.even(), &mut draw, step).await
    }

    async fn step_at(
        self,
        context: &StudyContext,
        net: &mut LevelNet,
        sigma: &dyn Fn(f64) -> f64,
        draw: &mut dyn FnMut(&mut Rng, usize) -> Vec<f32>,
        step: usize,
    ) -> Result<(), StudyError> {
        context.yield_now().await;
        net.trained = self.sigmas;
        let mut rng = context.rng(Stream::Batch, step as u32);
        let data = draw(&mut rng, self.batch);
        let noise = rng.normals(data.len());
        let (sigmas, size): (Vec<f64>, _) =
            (low_discrepancy_times(self.batch, rng.uniform()).map(sigma).collect(), net.size);
        let rate = self.rate * cosine(step, self.steps);
        net.train(&data, &noise, |i| sigmas[i], |i| size.even_weight(sigmas[i]), rate);
        if waits(step) {
            net.wait().await?;
        }
        Ok(())
    }
}

/// A network for all levels as the core's denoiser, a few rows at a time, with others' turns in between.
pub struct Learned<'a> {
    context: &'a StudyContext,
    net: &'a LevelNet,
    clip: Option<f64>,
    variance: Option<&'a VarianceNet>,
}

impl<'a> Learned<'a> {
    /// The network with the moving average of its weights.
    pub fn new(context: &'a StudyContext, net: &'a LevelNet) -> Self {
        Self { context, net, clip: None, variance: None }
    }

    /// The same with its data estimates moved into the interval from minus to plus `most`, as those of grey values are.
    pub fn clipped(self, most: f64) -> Self {
        Self { clip: Some(most), ..self }
    }

    /// The same with the variance of a step that another network learned.
    pub fn with_variance(self, variance: &'a VarianceNet) -> Self {
        Self { variance: Some(variance), ..self }
    }
}

impl Denoiser<Rows> for Learned<'_> {
    type Error = StudyError;

    async fn estimate(&mut self, x: &Rows, level: Level) -> Result<Estimate<Rows>, StudyError> {
        let dimension = x.dimension;
        let [mut data, mut noise, mut learned] = [(); 3].map(|()| Rows { dimension, values: Vec::new() });
        for chunk in x.values.chunks(self.net.at_once()) {
            self.context.yield_now().await;
            let x = Rows { dimension, values: chunk.to_vec() };
            let mut of = self.net.estimate(&x, |_| level, true).await?;
            if let Some(most) = self.clip {
                of = held_within(&x, of, most, level);
            }
            data.values.extend(of.data.values);
            noise.values.extend(of.noise.values);
            if let Some(variance) = self.variance {
                learned.values.extend(learned_variance(variance, &x, level).await?.values);
            }
        }
        Ok(Estimate { variance: self.variance.map(|_| learned), ..Estimate::new(data, noise) })
    }
}

impl JacobianProduct<Rows> for Learned<'_> {
    type Error = StudyError;

    async fn estimate_with_product(
        &mut self,
        x: &Rows,
        level: Level,
        v: &Rows,
    ) -> Result<(Estimate<Rows>, Rows), StudyError> {
        let dimension = x.dimension;
        let [mut data, mut noise, mut products] = [(); 3].map(|()| Rows { dimension, values: Vec::new() });
        let at_once = self.net.at_once();
        for (x, v) in x.values.chunks(at_once).zip(v.values.chunks(at_once)) {
            self.context.yield_now().await;
            let [x, v] = [x, v].map(|values| Rows { dimension, values: values.to_vec() });
            let (of, product) = self.net.multiply(&x, level, &v).await?;
            data.values.extend(of.data.values);
            noise.values.extend(of.noise.values);
            products.values.extend(product.values);
        }
        Ok((Estimate::new(data, noise), products))
    }
}

/// An estimate with its data moved into the interval from minus to plus `most`.
pub fn held_within(x: &Rows, of: Estimate<Rows>, most: f64, level: Level) -> Estimate<Rows> {
    let mut data = of.data;
    data.values.iter_mut().for_each(|v| *v = v.clamp(-most, most));
    Estimate::from_data(x, data, level)
}

/// What a network says of the variance of a step from rows at a level of any schedule: [`Estimate::variance`].
pub async fn learned_variance(net: &VarianceNet, x: &Rows, level: Level) -> Result<Rows, StudyError> {
    let seen = x.clone().scale(1.0 / level.alpha).to_f32();
    let outputs = net.outputs(&seen, &vec![level.ratio(); x.count()]).await?;
    Ok(Rows::from_f32(x.dimension, &outputs))
}

/// `count` levels from `first` to `last`, geometric.
pub fn geometric(first: f64, last: f64, count: usize) -> Vec<f64> {
    let schedule = Schedule::Exploding { sigma_min: last, sigma_max: first };
    schedule.levels_between(Spacing::Uniform, 1.0, 0.0, count).into_iter().map(|level| level.sigma).collect()
}
