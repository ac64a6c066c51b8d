//! The numbers of a chart as tables and as comma-separated values: what its picture shows, for who does not see it.

use super::figure::{Axis, Chart, Layer, Mark};
use super::label::number;
use crate::decimal::shortest;

/// Most rows of a table of anything but results.
pub const MOST_ROWS: usize = 25;
/// Significant digits of a place on an axis.
const DIGITS: usize = 4;

/// A table of numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Head of the rows' heads.
    pub corner: String,
    /// Heads of the columns.
    pub columns: Vec<String>,
    /// Every row: its head, and value and error of every cell. A value that is NaN leaves its cell blank.
    pub rows: Vec<(String, Vec<[f64; 2]>)>,
}

/// The words of a chart, in the language of the reader.
pub struct Words<'a> {
    /// The word of an axis, a layer, or a name on an axis.
    pub of: &'a dyn Fn(&str) -> String,
    /// What the lower and the upper curve of a band, and the end of a piece, are called after its name.
    pub parts: [String; 3],
}

impl Words<'_> {
    /// A place on an axis: its name there, if it has one.
    fn place(&self, axis: &Axis, at: f64) -> String {
        match name(axis, at) {
            Some(name) => (self.of)(name),
            None => number(at, DIGITS),
        }
    }
}

/// The key of the name at a place of an axis of names.
fn name(axis: &Axis, at: f64) -> Option<&'static str> {
    // Negative and other numbers that are no place round to one only by a cast, which is why the way back is compared.
    axis.names.get(at as usize).filter(|_| at.fract() == 0.0 && at >= 0.0).copied()
}

/// At most `most` of the numbers below `count`, evenly, both ends among them.
fn thinned(count: usize, most: usize) -> Vec<usize> {
    if count <= most {
        return (0..count).collect();
    }
    (0..most).map(|i| i * (count - 1) / (most - 1)).collect()
}

/// The first line of comma-separated values.
pub const CSV_HEAD: &str = "figure,layer,x,y,value,error,low,high,x_end,y_end\n";

/// The columns of [`CSV_HEAD`] after its first two that the numbers of an item stand in.
fn columns(mark: Mark) -> &'static [usize] {
    match mark {
        Mark::Line | Mark::Dashed | Mark::Dots => &[0, 1],
        Mark::Polygon => &[0, 2],
        Mark::Band => &[0, 4, 5],
        Mark::Segments | Mark::Arrows => &[0, 1, 6, 7],
        Mark::Bars => &[0, 2, 3],
        Mark::Heat | Mark::Picture | Mark::Colours => &[0, 1, 2],
        Mark::Table => &[0, 1, 2, 3],
    }
}

/// The numbers of a layer, an item after the other in the order of [`columns`]; none of damaged ones.
fn items(chart: &Chart<'_>, layer: &Layer, data: &[f32]) -> Vec<f64> {
    let at = |i: usize| data.get(i).map_or(f64::NAN, |&v| f64::from(v));
    let mut items = Vec::new();
    match layer.mark {
        Mark::Heat | Mark::Picture | Mark::Colours => {
            let (columns, rows) = (at(0) as usize, at(1) as usize);
            if data.len().checked_sub(8) != columns.checked_mul(rows) {
                return items;
            }
            for i in 0..data.len() - 8 {
                let along = |axis: usize, i: usize, of: usize| {
                    let (from, to) = (at(2 + 2 * axis), at(3 + 2 * axis));
                    from + (to - from) * (i as f64 + 0.5) / of as f64
                };
                items.extend([along(0, i % columns, columns), along(1, i / columns, rows), at(8 + i)]);
            }
        }
        Mark::Table => {
            let (rows, columns) = (chart.y.names.len(), chart.x.names.len());
            if [at(0), at(1)] != [rows as f64, columns as f64] {
                return items;
            }
            for i in 0..rows * columns {
                items.extend([(i % columns) as f64, (i / columns) as f64, at(2 + 2 * i), at(3 + 2 * i)]);
            }
        }
        mark => {
            for i in 0..data.len() / mark.stride() * mark.stride() {
                let from = if mark == Mark::Arrows && i % 4 > 1 { at(i - 2) } else { 0.0 };
                items.push(from + at(i));
            }
        }
    }
    items
}

/// The tables of a chart, with a row for every place on the horizontal axis; curves that have the same places are side by
/// side. Pictures have none, and long layers are thinned. A table of results has a row for every name on the vertical axis.
#[must_use]
pub fn tables(chart: &Chart<'_>, words: &Words<'_>) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for (layer, data) in chart.drawn().filter(|(layer, _)| !matches!(layer.mark, Mark::Picture | Mark::Colours)) {
        let items = items(chart, layer, data);
        let (name, columns) = ((words.of)(layer.key), columns(layer.mark));
        let [x, y] = [chart.x, chart.y].map(|axis| (words.of)(axis.key));
        let mut table = Table { corner: x.clone(), ..Table::default() };
        if layer.mark == Mark::Table {
            table.corner = y;
            for item in items.chunks_exact(4) {
                if item[1] == 0.0 {
                    table.columns.push(words.place(chart.x, item[0]));
                }
                if item[0] == 0.0 {
                    table.rows.push((words.place(chart.y, item[1]), Vec::new()));
                }
                if let Some((_, cells)) = table.rows.last_mut() {
                    cells.push([item[2], item[3]]);
                }
            }
        } else {
            for &column in &columns[1..] {
                let part = column.checked_sub(4).and_then(|part| words.parts.get(part.min(2)));
                table.columns.push(match (column, part) {
                    (1, _) if columns.len() > 2 => y.clone(),
                    // An error stands in the cell of its value.
                    (3, _) => continue,
                    (6, Some(part)) => format!("{x}, {part}"),
                    (7, Some(part)) => format!("{y}, {part}"),
                    (_, Some(part)) => format!("{name}, {part}"),
                    _ => name.clone(),
                });
            }
            for i in thinned(items.len() / columns.len(), MOST_ROWS) {
                let item = &items[i * columns.len()..][..columns.len()];
                let mut cells: Vec<[f64; 2]> = Vec::new();
                for (&column, &value) in columns.iter().zip(item).skip(1) {
                    match cells.last_mut() {
                        Some([_, error]) if column == 3 => *error = value,
                        _ => cells.push([value, f64::NAN]),
                    }
                }
                table.rows.push((words.place(chart.x, item[0]), cells));
            }
        }
        let same = |other: &&mut Table| {
            other.rows.len() == table.rows.len() && other.rows.iter().zip(&table.rows).all(|(a, b)| a.0 == b.0)
        };
        if let Some(other) = tables.iter_mut().find(same) {
            other.columns.append(&mut table.columns);
            for (row, mut more) in other.rows.iter_mut().zip(table.rows) {
                row.1.append(&mut more.1);
            }
        } else if !table.rows.is_empty() {
            tables.push(table);
        }
    }
    tables
}

/// All numbers of a chart as lines of comma-separated values, in the columns of [`CSV_HEAD`]; what a mark has not is
/// empty. Places on an axis of names are written by their keys.
#[must_use]
pub fn csv(figure: &str, chart: &Chart<'_>) -> String {
    let mut text = String::new();
    for (layer, data) in chart.drawn() {
        let columns = columns(layer.mark);
        for item in items(chart, layer, data).chunks_exact(columns.len()) {
            text.push_str(figure);
            text.push(',');
            text.push_str(layer.key);
            for column in 0..8 {
                text.push(',');
                let Some(place) = columns.iter().position(|&known| known == column) else { continue };
                let axis = [chart.x, chart.y].get(column).copied();
                match axis.and_then(|axis| name(axis, item[place])) {
                    Some(name) => text.push_str(name),
                    None if item[place].is_nan() => {}
                    None => text.push_str(&shortest(item[place])),
                }
            }
            text.push('\n');
        }
    }
    text
}
