//! What the page knows: the signals that every part of it shares.

pub mod images;
pub mod offline;
pub mod study;

use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;

use leptos::prelude::*;
use leptos::reactive::graph::ToAnySubscriber as _;

use super::scene::{Layers, Scene};
pub use super::signal::memo;
use super::signal::{Kept, Signal, unsubscribe_at_end};
use crate::data::metrics::Quality;
use crate::diffusion::Level;
use crate::diffusion::schedule::{Schedule, clean};
use crate::experiments::{self, defaults, field_of};
use crate::lab::{Correction, ExperimentId, Field, Language, RunConfig, Texts, texts};
use crate::protocol::Report;
use crate::session::Action;
use crate::session::Session;
use crate::share::Rejected;
use images::Images;
use study::{Catalogue, Told};

/// Light or dark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// As the system says.
    System,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Theme {
    /// Every theme, in the order of the switch.
    pub const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    /// Value of the option and of `data-theme`, and end of the key of its text.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// Whether the contents of the page are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// They are being fetched.
    Awaited,
    /// They are there, as HTML.
    There(&'static str),
    /// They could not be had.
    Missing,
}

/// How far a training is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Steps done.
    pub step: u32,
    /// Steps in all; 0 when that is not known.
    pub of: u32,
    /// Steps a second.
    pub rate: f64,
}

/// Does what the session asks for.
pub type Act = fn(Page, Action);

/// The page, as every part of it has it: a reference, because whatever follows a signal keeps one.
#[derive(Clone, Copy)]
pub struct Page(&'static Signals);

impl Deref for Page {
    type Target = Signals;

    fn deref(&self) -> &Signals {
        self.0
    }
}

/// The signals of the page.
pub struct Signals {
    /// The truth about the run.
    pub config: Signal<RunConfig>,
    /// The conversation with the workers.
    pub session: Signal<Session>,
    /// Language.
    pub language: Signal<Language>,
    /// Its texts.
    pub texts: Signal<Texts>,
    /// Light or dark, as wished.
    pub theme: Signal<Theme>,
    /// Light or dark, as it is.
    pub dark: Signal<bool>,
    /// Layers of the picture.
    pub layers: Signal<Layers>,
    /// Loss of every training step.
    pub losses: Signal<Vec<f32>>,
    /// Quality over training steps.
    pub quality: Signal<Vec<(u32, Quality)>>,
    /// How far the training is.
    pub progress: Signal<Progress>,
    /// Network evaluations of the last sampling run.
    pub evaluations: Signal<Option<u32>>,
    /// The last report about each subject.
    pub reports: Signal<[Option<Report>; 3]>,
    /// Number of frames kept, and the one shown.
    pub frames: Signal<(usize, usize)>,
    /// Grows when the scene has changed in a way no other signal tells.
    pub repaint: Signal<u32>,
    /// What the last link said that could not be taken as it stood.
    pub notices: Signal<Vec<Rejected>>,
    /// A message about a file, a key of the locale files; empty when there is none.
    pub file_notice: Signal<&'static str>,
    /// The copy for visits without a network.
    pub offline: Signal<offline::OfflineCopy>,
    /// The whole link.
    pub link: Signal<String>,
    /// Clouds and fields, too large and too frequent for signals.
    pub scene: StoredValue<Scene, LocalStorage>,
    /// Time of the level that is shown while there are no frames to choose from.
    pub time: Signal<f64>,
    /// Whether new frames are shown as they come, and old ones played.
    pub playing: Signal<bool>,
    /// Whether the tables of the studies are there.
    pub catalogue: Signal<Catalogue>,
    /// Whether the contents are shown, in the place of an experiment.
    pub contents: Signal<bool>,
    /// The controls that are shown, where the page is a frame of another one.
    pub embed: Signal<Option<Vec<&'static str>>>,
    /// The contents in the language of the page.
    pub listed: Signal<Listed>,
    /// Whether an experiment has been shown in this visit.
    pub visited: Kept<bool>,
    /// Fragment of a link to a study that waits for its table.
    pub awaited: Kept<Option<String>>,
    /// What the study on the page has told.
    pub told: &'static Told,
    /// Grows when the window has another size.
    pub resized: Signal<u32>,
    /// What only the experiment on images has.
    pub images: &'static Images,
    /// How the session's actions are done; empty until the bridge is there.
    pub do_action: Kept<Option<Act>>,
}

impl Page {
    /// The page at its start.
    #[must_use]
    pub fn new(config: RunConfig, language: Language, texts: Texts, theme: Theme, dark: bool) -> Self {
        // There is one page, as long as its tab.
        Self(Box::leak(Box::new(Signals {
            session: Signal::new(Session::new(config.device, config.experiment)),
            config: Signal::new(config),
            language: Signal::new(language),
            texts: Signal::new(texts),
            theme: Signal::new(theme),
            dark: Signal::new(dark),
            layers: Signal::new(Layers {
                data: true,
                samples: true,
                trajectories: false,
                density: true,
                score: false,
                expected: false,
                pairs: false,
                conditional: false,
                earlier: false,
            }),
            losses: Signal::new(Vec::new()),
            quality: Signal::new(Vec::new()),
            progress: Signal::new(Progress::default()),
            evaluations: Signal::new(None),
            reports: Signal::new([None, None, None]),
            frames: Signal::new((0, 0)),
            repaint: Signal::new(0),
            notices: Signal::new(Vec::new()),
            file_notice: Signal::new(""),
            offline: Signal::new(offline::OfflineCopy::default()),
            link: Signal::new(String::new()),
            scene: StoredValue::new_local(Scene::default()),
            time: Signal::new(0.0),
            playing: Signal::new(false),
            catalogue: Signal::new(Catalogue::Awaited),
            contents: Signal::new(false),
            embed: Signal::new(None),
            listed: Signal::new(Listed::Awaited),
            visited: Kept::new(false),
            awaited: Kept::new(None),
            told: Box::leak(Box::default()),
            resized: Signal::new(0),
            images: Box::leak(Box::new(Images::new())),
            do_action: Kept::new(None),
        })))
    }

    /// The text with this key, in the language of the moment.
    #[must_use]
    pub fn text(self, key: &str) -> String {
        self.texts.with(|texts| texts.get(key).to_owned())
    }

    /// The text with this key and its places filled; digits follow the language.
    #[must_use]
    pub fn filled(self, key: &str, values: &[(&str, &str)]) -> String {
        let text = self.texts.with(|texts| texts::fill(texts.get(key), values));
        self.language.get().digits(&text)
    }

    /// A field of the configuration as text, followed.
    #[must_use]
    pub fn value(self, field: &'static Field) -> String {
        self.config.with(|config| field.text(config))
    }

    /// Whether the page is a frame of another one, which it is from its start on.
    #[must_use]
    pub fn is_framed(self) -> bool {
        self.embed.with_untracked(Option::is_some)
    }

    /// Whether a field's control is shown: all of them are, but in a frame that names some. Followed.
    #[must_use]
    pub fn shows(self, key: &str) -> bool {
        self.embed.with(|embed| embed.as_ref().is_none_or(|shown| shown.contains(&key)))
    }

    /// Writes a field as the visitor typed or chose it, and says what of that could not be taken.
    pub fn write(self, key: &'static str, text: &str) -> Option<Correction> {
        let mut config = self.config.get_untracked();
        let field = field_of(config.experiment, key)?;
        let corrected = field.set_text(&mut config, text);
        // Images are compared across solvers: they keep the spacing that the network's noise levels ask for.
        if key == "solver" && config.experiment == ExperimentId::Plane {
            config.spacing = experiments::usual_spacing(config.solver);
        }
        if key == "experiment" {
            let (device, seed) = (config.device, config.seed);
            config = defaults(config.experiment);
            (config.device, config.seed) = (device, seed);
            self.awaited.set_value(None);
            self.tell(crate::session::Session::start_afresh);
        }
        if config != self.config.get_untracked() {
            let device = config.device;
            self.config.set(config);
            if key == "device" {
                self.tell(|session| session.choose_device(device));
            }
        }
        corrected
    }

    /// Whether a study is on the page whose table is not there, followed.
    #[must_use]
    pub fn awaits_study(self) -> bool {
        let of_study = self.config.with(|config| matches!(config.experiment, ExperimentId::Study(_)));
        self.catalogue.with(|catalogue| *catalogue != Catalogue::There) && of_study
    }

    /// Tells the session something and does what follows from it.
    pub fn tell(self, say: impl FnOnce(&mut Session)) {
        let mut actions = Vec::new();
        self.session.update(|session| {
            say(session);
            actions = session.take_actions();
        });
        let Some(act) = self.do_action.with_value(|act| *act) else { return };
        for action in actions {
            act(self, action);
        }
    }

    /// Forgets what the last run drew; a new training also forgets the losses.
    pub fn forget(self, training: bool) {
        if training {
            self.losses.set(Vec::new());
            self.quality.set(Vec::new());
            self.progress.set(Progress::default());
        }
        self.reports.update(|[likelihood, samples, control]| {
            (*samples, *control) = (None, None);
            // Of a picture that may no longer be there.
            if training || self.config.with_untracked(|config| config.experiment == ExperimentId::Images) {
                *likelihood = None;
            }
        });
        self.evaluations.set(None);
        self.playing.set(true);
        self.frames.set((0, 0));
        self.scene.update_value(|scene| scene.forget_run(training));
        self.images.forget();
        self.paint();
    }

    /// Asks for a new picture.
    pub fn paint(self) {
        self.repaint.update(|n| *n = n.wrapping_add(1));
    }

    /// The level of noise on show, followed.
    #[must_use]
    pub fn level(self) -> Level {
        let (count, index) = self.frames.get();
        let t = if count > 0 {
            let point = self.scene.with_value(|scene| scene.frames.get(index).map(|frame| frame.t));
            point.or_else(|| self.images.level(index, count)).unwrap_or(0.0)
        } else {
            self.time.get()
        };
        if t <= 0.0 { clean() } else { self.config.with(|config| Schedule::from_config(config).level(t)) }
    }
}

/// The page, from the context. Every component is under [`super::App`], which provides it.
#[must_use]
pub fn page() -> Page {
    expect_context::<Page>()
}

/// Does something now, and again whenever a signal that it reads has changed.
pub fn effect(act: impl FnMut() + 'static) {
    let mut act: Box<dyn FnMut()> = Box::new(act);
    let effect = Effect::new(move |_| act());
    unsubscribe_at_end(effect.to_any_subscriber());
}

/// Runs a task of the page. Boxed, because every type of a task would have an executor's code of its own.
pub fn start(task: impl Future<Output = ()> + 'static) {
    wasm_bindgen_futures::spawn_local(Box::pin(task) as Pin<Box<dyn Future<Output = ()>>>);
}
