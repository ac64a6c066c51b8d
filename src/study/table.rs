//! Tables of studies: what page, workers, links and tests know of a study before it has run.

use crate::lab::settings::same;
use crate::lab::{Field, Kind, RunConfig};

/// An experiment of the report.
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

/// A figure: what the page knows of it before there are numbers. Its title is `figure.<study>.<key>`.
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

    /// A chart of curves or bars.
    #[must_use]
    pub const fn chart(key: &'static str, x: Axis, y: Axis, layers: &'static [Layer]) -> Self {
        Self { key, square: false, x, y, layers, handles: &[] }
    }
}

/// An axis.
pub struct Axis {
    /// Its title is the text `plot.<key>`; without a key there is neither title nor number, for pictures.
    pub key: &'static str,
    /// Its ends; without them as far as the numbers go.
    pub range: Option<[f64; 2]>,
    /// Whether it is logarithmic.
    pub log: bool,
    /// Names instead of numbers at 0, 1, 2 and so on: texts `plot.<name>`.
    pub names: &'static [&'static str],
}

impl Axis {
    /// An even axis as long as the numbers need it.
    #[must_use]
    pub const fn free(key: &'static str) -> Self {
        Self { key, range: None, log: false, names: &[] }
    }

    /// A logarithmic axis as long as the numbers need it.
    #[must_use]
    pub const fn log(key: &'static str) -> Self {
        Self { key, range: None, log: true, names: &[] }
    }

    /// An even axis between two ends.
    #[must_use]
    pub const fn fixed(key: &'static str, from: f64, to: f64) -> Self {
        Self { key, range: Some([from, to]), log: false, names: &[] }
    }

    /// An axis of names.
    #[must_use]
    pub const fn of(key: &'static str, names: &'static [&'static str]) -> Self {
        Self { key, range: Some([-0.5, names.len() as f64 - 0.5]), log: false, names }
    }
}

/// One thing drawn in a figure. Its name in the legend is the text `plot.<key>`.
pub struct Layer {
    /// Key within the figure.
    pub key: &'static str,
    /// How it is drawn, and what its numbers mean.
    pub mark: Mark,
    /// Its colour among [`crate::plot::colour::SERIES`].
    pub colour: u8,
}

impl Layer {
    /// A layer.
    #[must_use]
    pub const fn new(key: &'static str, mark: Mark, colour: u8) -> Self {
        Self { key, mark, colour }
    }
}

/// How a layer is drawn, and the order of its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A curve through `x, y`.
    Line,
    /// The same, dashed: for what is known and not measured.
    Dashed,
    /// The area between two curves: `x, low, high`.
    Band,
    /// Dots at `x, y`.
    Dots,
    /// Pieces of lines, such as contours: `x, y, x, y`.
    Segments,
    /// Arrows of a vector field, scaled to be seen: `x, y, u, v`.
    Arrows,
    /// Bars from 0 with their errors: `x, value, error`.
    Bars,
    /// Values on a grid, `columns, rows, left, right, bottom, top, low, high` and then the values, rows from the bottom;
    /// `low` and `high` are the ends of the colours. With a bar of colours.
    Heat,
    /// The same as a picture in greys, pixel by pixel, without a bar; where a value is below `low` there is no picture.
    Picture,
}

impl Mark {
    /// Numbers to an item of the layer; 0 for a grid.
    #[must_use]
    pub const fn stride(self) -> usize {
        match self {
            Self::Line | Self::Dashed | Self::Dots => 2,
            Self::Band | Self::Bars => 3,
            Self::Segments | Self::Arrows => 4,
            Self::Heat | Self::Picture => 0,
        }
    }
}

/// Something in a figure that can be dragged: controls that are its place. The same controls have inputs of their own,
/// so nothing needs a pointer.
pub struct Handle {
    /// Control that is its horizontal place.
    pub x: &'static str,
    /// Control that is its vertical place.
    pub y: &'static str,
}

/// A sentence of a source, `claim.<study>.<key>`, and what this run measures of it, `claim.<study>.<key>.measured`.
pub struct Claim {
    /// Key within the study.
    pub key: &'static str,
    /// Where it says so.
    pub source: Source,
}

/// Where a sentence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The report on diffusion models: section, equation or figure.
    Report(&'static str),
    /// The Persian article on score matching.
    Magazine,
    /// The Chinese article on score matching.
    Article,
    /// A paper, by its own name.
    Paper(&'static str),
}

impl Source {
    /// End of the key of its name, `source.<id>`, and the place in it.
    #[must_use]
    pub const fn id(self) -> (&'static str, &'static str) {
        match self {
            Self::Report(place) => ("report", place),
            Self::Magazine => ("magazine", ""),
            Self::Article => ("article", ""),
            Self::Paper(name) => ("paper", name),
        }
    }
}
