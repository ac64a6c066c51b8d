//! What the page knows of studies: the catalogue, and what the study on the page has told.

use crate::protocol::{Failure, Floats, Measured, StudyUpdate};
use crate::study::{Figure, Study};
use crate::ui::signal::{Kept, Signal};

/// State of the catalogue of studies.
#[derive(Clone, Debug, PartialEq)]
pub enum Catalogue {
    /// The tables are being fetched.
    Awaited,
    /// The tables are there.
    There,
    /// The tables could not be had.
    Missing(Failure),
}

/// What a study has told so far.
#[derive(Default)]
pub struct Told {
    /// The numbers of every layer of every figure.
    pub layers: Kept<Vec<Vec<Floats>>>,
    /// The measurements, by claim.
    pub measured: Signal<Vec<Measured>>,
    /// Grows with every report.
    pub tick: Signal<u32>,
}

impl Told {
    /// Another study, or the same from its beginning.
    pub fn forget(&self, study: &Study) {
        let empty = |figure: &Figure| vec![Floats::default(); figure.layers.len()];
        self.layers.set_value(study.figures.iter().map(empty).collect());
        self.measured.set(Vec::new());
        self.tick.update(|n| *n += 1);
    }

    /// Takes in an update.
    pub fn take(&self, report: StudyUpdate) {
        let StudyUpdate { layers: drawings, measured, .. } = report;
        self.layers.update_value(|layers| {
            for drawing in drawings {
                let figure = layers.get_mut(usize::from(drawing.figure));
                if let Some(layer) = figure.and_then(|figure| figure.get_mut(usize::from(drawing.layer))) {
                    *layer = drawing.data;
                }
            }
        });
        if !measured.is_empty() {
            self.measured.update(|all| {
                for one in measured {
                    all.retain(|m| m.claim != one.claim);
                    all.push(one);
                }
            });
        }
        self.tick.update(|n| *n += 1);
    }
}
