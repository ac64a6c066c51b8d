//! Everything that defines a run, and nothing else: the one structure that link, page, worker and command line share, and
//! the table of its fields: for each of them its key in a link, its range, and how to read and write it.
//!
//! Links, the page's controls, the configuration file and the property tests all go through the table, so that a range is
//! stated once.

use serde::{Deserialize, Serialize};

use super::choices::{
    Activation, ArrangementId, ClipId, ControlId, DenoiserId, DeviceChoice, DivergenceId, MethodId, PrecisionId,
    PredictionId, SpacingId, TaskId, WeightingId,
};
use super::classes::ClassChoice;
use super::experiment::ExperimentId;
use super::overrides::Overrides;
use super::picture::Picture;
use super::schedule::ScheduleId;
use super::settings::{key, kind};
use super::solver::SolverId;
use super::value::{Correction, Kind, Preset, Setting, Value};
use super::word::Word;
use crate::data::{DataError, Dataset, DatasetId, Drawing, Gaussians};
use crate::decimal::real;
use crate::lasting::Reader;

/// Declares [`RunConfig`], its default and [`FIELDS`], a row for each field:
///
/// ```text
/// /// What it is.
/// #[only(|run| run.solver == SolverId::Rk45)]
/// tolerance: f64 = 1e-4, 1e-8..=0.1, log;
/// ```
///
/// with its default and, for numbers, its range, which `log` gives a logarithmic slider. `only` says under which
/// configurations it has an effect. The key in a link is the name with hyphens.
macro_rules! run_config {
    (
        $(#[$meta:meta])*
        pub struct RunConfig {
            $(
                $(#[doc = $doc:literal])+
                $(#[only($only:expr)])?
                $name:ident: $type:ident = $default:expr $(, $range:expr $(, $scale:ident)?)?;
            )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct RunConfig {
            $($(#[doc = $doc])+ pub $name: $type,)+
            /// What is set differently from its preset in a study; every setting is a field of the study's table.
            pub study: Overrides,
        }

        impl Default for RunConfig {
            fn default() -> Self {
                Self { $($name: $default,)+ study: Overrides::default() }
            }
        }

        impl RunConfig {
            /// The rows of [`FIELDS`].
            const ROWS: &'static [Field] = &[$(Field {
                key: key!($name),
                kind: kind!($type $(, $range $(, $scale)?)?),
                place: Place::Own {
                    get: |run| Value::from(&run.$name),
                    set: |run, value| {
                        if let Some(value) = Setting::from_value(value) {
                            run.$name = value;
                        }
                    },
                    only: only!($($only)?),
                },
            },)+];
        }
    };
}

/// The condition of a row, if it has one.
macro_rules! only {
    () => {
        |_| true
    };
    ($only:expr) => {
        $only
    };
}

run_config! {
    /// A run. Two equal configurations give the same initial weights, batches and noise on every machine.
    ///
    /// Every field but `study` has a row in [`FIELDS`].
    pub struct RunConfig {
        // What is run
        /// Which experiment.
        experiment: ExperimentId = ExperimentId::Plane;
        /// The data.
        dataset: DatasetId = DatasetId::Moons;
        /// The visitor's points, for [`DatasetId::Drawing`].
        #[only(|run| run.dataset == DatasetId::Drawing)]
        drawing: Drawing = Drawing::default();
        /// The visitor's mixture, for [`DatasetId::Gaussians`].
        #[only(|run| run.dataset == DatasetId::Gaussians)]
        gaussians: Gaussians = Gaussians::default();
        /// The trained network or the closed form.
        denoiser: DenoiserId = DenoiserId::Trained;

        // Network
        /// Units of a hidden layer.
        width: u32 = 64, 8..=512;
        /// Hidden layers.
        depth: u32 = 4, 1..=8;
        /// Activation function.
        activation: Activation = Activation::Gelu;
        /// What the network's output means.
        prediction: PredictionId = PredictionId::Edm;

        // Training
        /// Training steps.
        training_steps: u32 = 5700, 1..=100_000;
        /// Samples in a training batch.
        batch: u32 = 256, 1..=8192;
        /// Adam's learning rate.
        rate: f64 = 6e-3, 1e-6..=0.1, log;
        /// Decay of the moving average of the weights, per step.
        ema: f64 = 0.995, 0.0..=0.9999;
        /// Weighting of the loss over noise levels.
        #[only(|run| run.prediction != PredictionId::Edm)]
        weighting: WeightingId = WeightingId::Simple;

        // Noise
        /// The noise schedule, of training and of sampling.
        schedule: ScheduleId = ScheduleId::Edm;
        /// Smallest beta of the linear and sub-VP schedules.
        #[only(RunConfig::has_betas)]
        beta_min: f64 = 0.1, 0.0001..=1.0, log;
        /// Largest beta of the linear and sub-VP schedules.
        #[only(RunConfig::has_betas)]
        beta_max: f64 = 20.0, 1.0..=50.0;
        /// Smallest noise of the exploding, geometric and EDM schedules, for data of unit variance.
        #[only(RunConfig::has_sigmas)]
        sigma_min: f64 = 0.01, 0.001..=0.5, log;
        /// Largest noise of the exploding, geometric and EDM schedules, for data of unit variance.
        #[only(RunConfig::has_sigmas)]
        sigma_max: f64 = 20.0, 1.0..=100.0, log;
        /// Number of levels of the geometric schedule.
        #[only(|run| run.schedule == ScheduleId::Geometric)]
        levels: u32 = 20, 2..=1000;

        // Sampling
        /// The sampler.
        solver: SolverId = SolverId::DpmPp2m;
        /// Solver steps; the number of network evaluations follows from it and the solver.
        #[only(RunConfig::has_steps)]
        steps: u32 = 40, 1..=1000;
        /// Spread of the steps.
        #[only(RunConfig::has_steps)]
        spacing: SpacingId = SpacingId::LogSnr;
        /// DDIM's share of fresh noise.
        #[only(|run| run.solver == SolverId::Ddim)]
        eta: f64 = 0.0, 0.0..=1.0;
        /// EDM's `S_churn`.
        #[only(|run| run.solver == SolverId::EdmHeun)]
        churn: f64 = 0.0, 0.0..=100.0;
        /// Signal-to-noise ratio of the Langevin corrector; for annealed Langevin the step is `2 * (snr * sigma)^2`.
        #[only(RunConfig::corrects)]
        snr: f64 = 0.16, 0.01..=1.0, log;
        /// Langevin steps per level, of the corrector and of annealed Langevin.
        #[only(RunConfig::corrects)]
        corrections: u32 = 1, 1..=100;
        /// Relative and absolute tolerance of the adaptive solver.
        #[only(|run| run.solver == SolverId::Rk45)]
        tolerance: f64 = 1e-4, 1e-8..=0.1, log;
        /// Points to sample.
        samples: u32 = 2000, 1..=100_000;

        // Control
        /// How something known beforehand is imposed on the samples.
        control: ControlId = ControlId::None;
        /// Direction that is observed, in degrees: `x cos + y sin`; 0 is the x coordinate, 90 the y coordinate.
        #[only(RunConfig::observes)]
        observe_angle: f64 = 0.0, 0.0..=180.0;
        /// What was seen along it, in the data's own coordinates.
        #[only(RunConfig::observes)]
        observe_value: f64 = 0.0, -12.0..=12.0;
        /// Standard deviation of the observation's noise, in the same; of images in units of half the range of pixels.
        #[only(RunConfig::observes_with_noise)]
        observe_noise: f64 = 0.0, 0.0..=5.0;
        /// Steps that RePaint goes up at a time.
        #[only(RunConfig::goes_up)]
        jump: u32 = 10, 1..=100;
        /// How often RePaint passes each stretch.
        #[only(RunConfig::goes_up)]
        resamples: u32 = 4, 1..=20;
        /// Which class, counted from 1.
        #[only(|run| run.control == ControlId::Class)]
        class: u32 = 1, 1..=25;
        /// Scale of guidance: 1 is the conditional distribution, more exaggerates, 0 ignores the class of images.
        #[only(RunConfig::is_guided)]
        guidance: f64 = 1.0, 0.0..=10.0;
        /// Least `sigma / alpha` at which the scale of guidance holds; outside it is 1.
        #[only(RunConfig::guides)]
        guidance_from: f64 = 0.001, 0.001..=1000.0, log;
        /// Largest `sigma / alpha` at which it holds.
        #[only(RunConfig::guides)]
        guidance_to: f64 = 1000.0, 0.001..=1000.0, log;

        // Likelihood
        /// How the divergence of the probability flow is computed.
        #[only(|run| run.experiment == ExperimentId::Plane)]
        divergence: DivergenceId = DivergenceId::Exact;
        /// Probes of Hutchinson's estimate; of an image each is a random sign for every number.
        #[only(|run| run.experiment == ExperimentId::Images || run.divergence != DivergenceId::Exact)]
        probes: u32 = 1, 1..=32;
        /// Fresh data whose likelihood is computed.
        points: u32 = 500, 1..=5000;
        /// Relative and absolute tolerance of the flow behind the likelihood.
        flow_tolerance: f64 = 1e-5, 1e-6..=0.1, log;

        // Images
        /// The weights of the network of images: the id of a set, `own` for the visitor's file, `hub:owner/name` for a
        /// model of the Hugging Face hub, empty for the first set.
        weights: Word = Word::default();
        /// What a run of images makes.
        task: TaskId = TaskId::Generate;
        /// The known image, for [`TaskId::Inpaint`] and [`TaskId::Colourise`].
        #[only(RunConfig::completes)]
        picture: Picture = Picture::default();
        /// How the known image is imposed.
        #[only(RunConfig::completes)]
        method: MethodId = MethodId::Project;
        /// Images to make.
        images: u32 = 16, 1..=64;
        /// Their class, by the name that the weights have for it.
        image_class: ClassChoice = ClassChoice::Any;
        /// Whether estimates are held within the range of pixels.
        clip: ClipId = ClipId::Never;
        /// How the noise of the images is related.
        arrangement: ArrangementId = ArrangementId::Independent;
        /// How far variations are from the first image, from 0 (the same) to 1 (unrelated).
        #[only(|run| run.arrangement == ArrangementId::Variations)]
        variation: f64 = 0.3, 0.0..=1.0;
        /// Seed at the other end of an interpolation.
        #[only(|run| run.arrangement == ArrangementId::Interpolation)]
        seed_to: u32 = 2, 0..=u32::MAX;

        // Run
        /// Seed of every random number of the run.
        seed: u32 = 1, 0..=u32::MAX;
        /// Where to compute.
        device: DeviceChoice = DeviceChoice::Auto;
        /// What the network of images computes with.
        #[only(|run| run.device != DeviceChoice::Cpu)]
        precision: PrecisionId = PrecisionId::Full;
    }
}

impl RunConfig {
    /// The data set in the plane.
    ///
    /// # Errors
    /// [`DataError::EmptyDrawing`] when it is a drawing without points.
    pub fn data(&self) -> Result<Dataset, DataError> {
        Dataset::new(self.dataset, &self.drawing, &self.gaussians)
    }

    fn has_betas(&self) -> bool {
        matches!(self.schedule, ScheduleId::Linear | ScheduleId::SubVp)
    }

    fn has_sigmas(&self) -> bool {
        matches!(self.schedule, ScheduleId::Exploding | ScheduleId::Geometric | ScheduleId::Edm)
    }

    fn corrects(&self) -> bool {
        use SolverId as Solver;
        matches!(self.solver, Solver::PredictorCorrector | Solver::AnnealedCorrector | Solver::AnnealedLangevin)
    }

    /// The adaptive solver chooses its own steps.
    fn has_steps(&self) -> bool {
        self.solver != SolverId::Rk45
    }

    fn observes(&self) -> bool {
        !matches!(self.control, ControlId::None | ControlId::Class)
    }

    fn observes_with_noise(&self) -> bool {
        if self.experiment == ExperimentId::Images {
            return self.completes() && self.method == MethodId::Observe;
        }
        self.observes()
    }

    /// Whether the images begin with a known one.
    fn completes(&self) -> bool {
        self.task != TaskId::Generate
    }

    /// The adaptive solver has no grid to go up on.
    fn goes_up(&self) -> bool {
        let repaints = if self.experiment == ExperimentId::Images {
            self.completes() && self.method == MethodId::Repaint
        } else {
            self.control == ControlId::Repaint
        };
        repaints && self.has_steps()
    }

    fn guides(&self) -> bool {
        matches!(self.control, ControlId::Observe | ControlId::Class)
    }

    fn is_guided(&self) -> bool {
        if self.experiment == ExperimentId::Images { self.image_class != ClassChoice::Any } else { self.guides() }
    }

    /// What an empty link to the images starts from: EDM's noise levels for images in `[-1, 1]`, and a solver that needs
    /// few evaluations.
    #[must_use]
    pub fn of_images() -> Self {
        Self {
            experiment: ExperimentId::Images,
            schedule: ScheduleId::Edm,
            sigma_min: 0.002,
            sigma_max: 80.0,
            solver: SolverId::DpmPp2m,
            steps: 20,
            spacing: SpacingId::Karras,
            observe_noise: 0.1,
            probes: 4,
            flow_tolerance: 1e-3,
            ..Self::default()
        }
    }
}

/// One field of a [`RunConfig`].
#[derive(Serialize)]
pub struct Field {
    /// Key in links and configuration files, id of the page's control, and stem of its texts in the locale files.
    pub key: &'static str,
    /// Range.
    pub kind: Kind,
    place: Place,
}

/// Where a field's value is kept. Only tables of studies are ever written to a file.
#[derive(Serialize)]
enum Place {
    /// In [`RunConfig::study`], when it is not this one. First, because formats count only what is not skipped.
    Study(Preset),
    /// In a field of its own.
    #[serde(skip)]
    Own { get: fn(&RunConfig) -> Value, set: fn(&mut RunConfig, Value), only: fn(&RunConfig) -> bool },
}

impl Field {
    /// A setting of a study.
    #[must_use]
    pub const fn of_study(key: &'static str, kind: Kind, preset: Preset) -> Self {
        Self { key, kind, place: Place::Study(preset) }
    }

    /// A setting of a study in a table, as serde writes it.
    #[must_use]
    pub fn from_table(from: &mut Reader) -> Self {
        let (key, kind) = (from.text(), Kind::from_table(from));
        // A setting of a study is kept in one place, the first.
        if from.whole() != 0 {
            from.fail();
        }
        Self::of_study(key, kind, Preset::from_table(from))
    }

    /// Reads the field.
    #[must_use]
    pub fn get(&self, config: &RunConfig) -> Value {
        let preset = match &self.place {
            Place::Own { get, .. } => return get(config),
            Place::Study(preset) => preset,
        };
        let kept = config.study.get(self.key).and_then(|text| self.kind.read(text));
        kept.and_then(|value| self.kind.fit(value).0).unwrap_or_else(|| (*preset).into())
    }

    /// Whether it has an effect under this configuration. Of a study's it is the study's table that knows.
    #[must_use]
    pub fn matters(&self, config: &RunConfig) -> bool {
        match self.place {
            Place::Own { only, .. } => only(config),
            Place::Study(_) => true,
        }
    }

    /// The field in the type that a structure of settings has for its kind.
    #[must_use]
    pub fn read<T: Setting>(&self, config: &RunConfig) -> T {
        T::from_value(self.get(config)).unwrap_or_else(|| unreachable!("a field of this kind is held in this type"))
    }

    /// Writes the field if `value` is of its kind, moved into range. Says what had to be corrected.
    pub fn set(&self, config: &mut RunConfig, value: Value) -> Option<Correction> {
        let (value, correction) = self.kind.fit(value);
        let Some(value) = value else { return correction };
        match &self.place {
            Place::Own { set, .. } => set(config, value),
            Place::Study(_) => {
                config.study.forget(self.key);
                // Only what differs from the preset is kept, so that equal runs are equal configurations.
                if self.get(config) != value {
                    config.study.keep(self.key, value.text());
                }
            }
        }
        correction
    }

    /// Reads `text`, as it stands in a link or an input, and writes the field. Says what had to be corrected.
    pub fn set_text(&self, config: &mut RunConfig, text: &str) -> Option<Correction> {
        let text = text.trim();
        let made = match self.kind {
            Kind::Drawing => Some(Drawing::from_text(text)).map(|(it, damaged)| (Value::Drawing(it), damaged)),
            Kind::Gaussians => Some(Gaussians::from_text(text)).map(|(it, damaged)| (Value::Gaussians(it), damaged)),
            _ => None,
        };
        if let Some((value, damaged)) = made {
            self.set(config, value);
            return damaged.then_some(Correction::Trimmed);
        }
        let Some(value) = self.kind.read(text) else { return Some(Correction::Unreadable) };
        // A name of what may be: whether it is there, the weights know.
        let name = match &value {
            Value::Word(word) => Some(word.as_str()),
            Value::Class(class) => Some(class.text()),
            _ => None,
        };
        if let Some(name) = name {
            let damaged = name != text;
            self.set(config, value);
            return damaged.then_some(Correction::Trimmed);
        }
        let negative = matches!(self.kind, Kind::Whole { .. }) && text.starts_with('-') && real(text) != Some(0.0);
        let correction = self.set(config, value);
        if negative && correction.is_none() { Some(Correction::Clamped) } else { correction }
    }

    /// The field's value as it stands in a link or an input; [`Self::set_text`] reads it back exactly.
    #[must_use]
    pub fn text(&self, config: &RunConfig) -> String {
        self.get(config).text()
    }
}

/// Every field of [`RunConfig`], in the order of the page and of links.
pub const FIELDS: &[Field] = RunConfig::ROWS;

/// The field with this key, of those that every experiment has.
#[must_use]
pub fn field(key: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|f| f.key == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_within_its_range_and_survives_its_text() {
        let config = RunConfig::default();
        for field in FIELDS {
            let mut copy = config.clone();
            assert_eq!(field.set_text(&mut copy, &field.text(&config)), None, "{}", field.key);
            assert_eq!(copy, config, "{}", field.key);
        }
    }

    #[test]
    fn keys_are_unique_and_every_configuration_field_has_one() {
        // A study's settings are no field: each of them has one.
        let json = serde_json::to_value(RunConfig::default()).expect("a configuration is JSON");
        let names: Vec<String> =
            json.as_object().expect("an object").keys().map(|k| k.replace('_', "-")).filter(|k| k != "study").collect();
        let keys: Vec<&str> = FIELDS.iter().map(|f| f.key).collect();
        assert_eq!(names.len(), keys.len());
        assert!(names.iter().all(|n| keys.contains(&n.as_str())), "{names:?}");
    }

    #[test]
    fn numbers_out_of_range_move_to_the_nearest_end() {
        let mut config = RunConfig::default();
        let steps = field("steps").expect("steps");
        for (text, expected, correction) in [
            ("5000", 1000, Some(Correction::Clamped)),
            ("0", 1, Some(Correction::Clamped)),
            ("-3", 1, Some(Correction::Clamped)),
            ("1e300", 1000, Some(Correction::Clamped)),
            ("1e2", 100, None),
            ("nonsense", 100, Some(Correction::Unreadable)),
            ("NaN", 100, Some(Correction::Unreadable)),
        ] {
            assert_eq!(steps.set_text(&mut config, text), correction, "{text}");
            assert_eq!(config.steps, expected, "{text}");
        }
        let seed = field("seed").expect("seed");
        assert_eq!(seed.set_text(&mut config, "-1"), Some(Correction::Clamped));
        assert_eq!(config.seed, 0);
        let rate = field("rate").expect("rate");
        assert_eq!(rate.set_text(&mut config, "inf"), Some(Correction::Clamped));
        assert_eq!(config.rate, 0.1);
    }
}
