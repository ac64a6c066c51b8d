//! Tables of studies: what page, workers, links and tests know of a study before it has run.

use serde::Serialize;

use crate::lab::settings::same;
use crate::lab::{Field, Kind, RunConfig};
use crate::lasting::Reader;
use crate::plot::figure::Chart;
pub use crate::plot::figure::{Axis, Layer, Mark};

/// An experiment of the report.
#[derive(Serialize)]
pub struct Study {
    /// Stable id: word in a link, option of the menu, and part of the keys of its texts.
    pub id: &'static str,
    /// Chapter of the report.
    pub chapter: u8,
    /// Whether it starts by itself and again with every change of a control, because it is that quick.
    pub live: bool,
    /// What a visitor may change.
    pub controls: &'static [Control],
    /// What it draws, in the order of the page.
    pub figures: &'static [Figure],
    /// Sentences of the source that it checks.
    pub claims: &'static [Claim],
    /// Keys of remarks, such as corrections of a source.
    pub notes: &'static [&'static str],
    /// Settings, as in a link, under which it is over in seconds and its claims can still be decided: for tests.
    pub brief: &'static str,
}

impl Study {
    /// The study in a table, as serde writes it.
    pub(super) fn from_table(from: &mut Reader) -> Self {
        Self {
            id: from.text(),
            chapter: from.byte(),
            live: from.byte() == 1,
            controls: from.slice(|from| Control {
                field: Field::from_table(from),
                only: from.option(|from| (from.text(), from.text())),
            }),
            figures: from.slice(|from| Figure {
                key: from.text(),
                square: from.byte() == 1,
                x: Axis::from_table(from),
                y: Axis::from_table(from),
                layers: from.slice(Layer::from_table),
                handles: from.slice(|from| Handle { x: from.text(), y: from.text() }),
            }),
            claims: from.slice(|from| Claim { key: from.text(), source: Source::from_table(from) }),
            notes: from.slice(Reader::text),
            brief: from.text(),
        }
    }

    /// Asserts that every key of a control in the table is that of a control, and every choice one of its own: for a
    /// constant, so that it is the compiler that finds a misspelt one.
    ///
    /// # Panics
    /// When one is not.
    pub const fn check(&self) {
        let mut i = 0;
        while i < self.controls.len() {
            assert!(self.place_of(self.controls[i].field.key) == i, "two controls have the same key");
            if let Some((other, choice)) = self.controls[i].only {
                let Kind::Choice(ids) = self.controls[self.place_of(other)].field.kind else {
                    panic!("a control depends on one that is no choice")
                };
                let mut id = 0;
                while !same(ids[id], choice) {
                    id += 1;
                    assert!(id < ids.len(), "a control depends on a choice that there is not");
                }
            }
            i += 1;
        }
        let mut i = 0;
        while i < self.figures.len() {
            self.figures[i].check();
            let (handles, mut k) = (self.figures[i].handles, 0);
            while k < handles.len() {
                self.place_of(handles[k].x);
                self.place_of(handles[k].y);
                k += 1;
            }
            i += 1;
        }
    }

    /// The place of the control with this key.
    const fn place_of(&self, key: &str) -> usize {
        let mut i = 0;
        while !same(self.controls[i].field.key, key) {
            i += 1;
            assert!(i < self.controls.len(), "no control has this key");
        }
        i
    }

    /// Whether the control with this key has any effect under this configuration.
    #[must_use]
    pub fn shows(&self, key: &str, config: &RunConfig) -> bool {
        let Some(control) = self.controls.iter().find(|control| control.field.key == key) else { return true };
        control.only.is_none_or(|(other, choice)| {
            self.controls.iter().find(|c| c.field.key == other).is_none_or(|c| c.field.text(config) == choice)
        })
    }
}

/// A control of a study.
#[derive(Serialize)]
pub struct Control {
    /// Key, range and preset. The key is not one of [`crate::lab::FIELDS`]; the same key in two studies means the same.
    pub field: Field,
    /// Another control and the choice of it under which this one has an effect.
    pub only: Option<(&'static str, &'static str)>,
}

impl Control {
    /// A control that always has an effect.
    #[must_use]
    pub const fn new(field: Field) -> Self {
        Self { field, only: None }
    }

    /// The same, shown only under this choice of another control.
    #[must_use]
    pub const fn only(self, control: &'static str, choice: &'static str) -> Self {
        Self { field: self.field, only: Some((control, choice)) }
    }
}

/// A figure: what the page knows of it before there are numbers. Its title is the text `figure.<study>.<key>`; those of its
/// axes, the names on them and the names of its layers are the texts `plot.<key>`.
#[derive(Serialize)]
pub struct Figure {
    /// Key within the study.
    pub key: &'static str,
    /// Whether both axes have the same scale, as for points in the plane.
    pub square: bool,
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// What is drawn, from the back.
    pub layers: &'static [Layer],
    /// What can be dragged.
    pub handles: &'static [Handle],
}

impl Figure {
    /// The square of the plane from minus to plus `half`.
    #[must_use]
    pub const fn plane(key: &'static str, half: f64, layers: &'static [Layer]) -> Self {
        let (x, y) = (Axis::fixed("x", -half, half), Axis::fixed("y", -half, half));
        Self { key, square: true, x, y, layers, handles: &[] }
    }

    /// Pictures in greys, as one.
    #[must_use]
    pub const fn pictures(key: &'static str, x: Axis, y: Axis) -> Self {
        const GREY: &[Layer] = &[Layer::new("grey", Mark::Picture, 0)];
        Self { key, square: true, x, y, layers: GREY, handles: &[] }
    }

    /// Curves, bars or bands over axes of their own.
    #[must_use]
    pub const fn curves(key: &'static str, x: Axis, y: Axis, layers: &'static [Layer]) -> Self {
        Self { key, square: false, x, y, layers, handles: &[] }
    }

    /// A table of results instead of a drawing: `rows` and `columns` are axes of names, [`Axis::of`].
    #[must_use]
    pub const fn table(key: &'static str, rows: Axis, columns: Axis, layer: &'static [Layer]) -> Self {
        Self { key, square: false, x: columns, y: rows, layers: layer, handles: &[] }
    }

    /// Asserts that a table of results is alone in its figure, and that there are names for its rows and columns: for a
    /// constant.
    const fn check(&self) {
        let mut i = 0;
        while i < self.layers.len() {
            if matches!(self.layers[i].mark, Mark::Table) {
                assert!(self.layers.len() == 1, "a table of results is alone in its figure");
                assert!(!self.x.names.is_empty() && !self.y.names.is_empty(), "its rows and columns have names");
            }
            i += 1;
        }
    }

    /// The figure with the numbers of its layers.
    #[must_use]
    pub fn chart<'a>(&'a self, data: Vec<&'a [f32]>) -> Chart<'a> {
        Chart { x: &self.x, y: &self.y, square: self.square, layers: self.layers, data, now: None }
    }
}

/// Something in a figure that can be dragged: controls that are its place. The same controls have inputs of their own,
/// so nothing needs a pointer.
#[derive(Serialize)]
pub struct Handle {
    /// Control that is its horizontal place.
    pub x: &'static str,
    /// Control that is its vertical place.
    pub y: &'static str,
}

/// A sentence of a source, `claim.<study>.<key>`, and what this run measures of it, `claim.<study>.<key>.measured`.
#[derive(Serialize)]
pub struct Claim {
    /// Key within the study.
    pub key: &'static str,
    /// Where it says so.
    pub source: Source,
}

/// Where a sentence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Source {
    /// The report on diffusion models: section, equation or figure.
    Report(&'static str),
    /// The Persian article on score matching.
    Magazine,
    /// The Chinese article on score matching.
    Article,
    /// The text on predictive coding: section.
    Blog(&'static str),
    /// A paper, by its own name.
    Paper(&'static str),
}

impl Source {
    /// The source in a table, as serde writes it.
    fn from_table(from: &mut Reader) -> Self {
        match from.whole() {
            0 => Self::Report(from.text()),
            1 => Self::Magazine,
            2 => Self::Article,
            3 => Self::Blog(from.text()),
            4 => Self::Paper(from.text()),
            _ => {
                from.fail();
                Self::Magazine
            }
        }
    }

    /// End of the key of its name, `source.<id>`, and the place in it.
    #[must_use]
    pub const fn id(self) -> (&'static str, &'static str) {
        match self {
            Self::Report(place) => ("report", place),
            Self::Magazine => ("magazine", ""),
            Self::Article => ("article", ""),
            Self::Blog(place) => ("blog", place),
            Self::Paper(name) => ("paper", name),
        }
    }
}
