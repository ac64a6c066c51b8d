//! Long curves made short enough to draw, and SVG paths.

use super::label::coordinate;

/// At most `most` points that show what all show: in every bin of neighbours the smallest and the largest value, in
/// their order. Spikes survive. Values that are not finite are left out.
#[must_use]
pub fn binned(points: &[[f64; 2]], most: usize) -> Vec<[f64; 2]> {
    let finite: Vec<[f64; 2]> = points.iter().copied().filter(|p| p[0].is_finite() && p[1].is_finite()).collect();
    if finite.len() <= most {
        return finite;
    }
    let bins = (most / 2).max(1);
    (0..bins)
        .flat_map(|bin| {
            let part = &finite[bin * finite.len() / bins..(bin + 1) * finite.len() / bins];
            let by_value = |a: &usize, b: &usize| part[*a][1].total_cmp(&part[*b][1]);
            let low = (0..part.len()).min_by(by_value).unwrap_or(0);
            let high = (0..part.len()).max_by(by_value).unwrap_or(0);
            let pair = [part[low.min(high)], part[low.max(high)]];
            pair.into_iter().take(if low == high { 1 } else { 2 })
        })
        .take(most)
        .collect()
}

/// Moving average with the weight `1 / span` for every new value, corrected for its start: Adam's way, so that the first
/// values are not pulled to zero. Values that are not finite are passed by.
#[must_use]
pub fn smoothed(points: &[[f64; 2]], span: f64) -> Vec<[f64; 2]> {
    let keep = (1.0 - 1.0 / span.max(1.0)).clamp(0.0, 1.0);
    let (mut sum, mut weight) = (0.0, 0.0);
    points
        .iter()
        .filter(|p| p[0].is_finite() && p[1].is_finite())
        .map(|&[x, y]| {
            sum = keep * sum + (1.0 - keep) * y;
            weight = keep * weight + (1.0 - keep);
            [x, sum / weight]
        })
        .collect()
}

/// An SVG path through the points, to a hundredth of a unit. A point that is not finite breaks the line; a lone point
/// becomes a dot where line ends are round. Empty without points.
#[must_use]
pub fn path(points: impl IntoIterator<Item = [f64; 2]>) -> String {
    let mut text = String::new();
    let mut run = 0;
    for [x, y] in points {
        if x.is_finite() && y.is_finite() {
            text.push(if run == 0 { 'M' } else { 'L' });
            text.push_str(&format!("{} {}", coordinate(x), coordinate(y)));
            run += 1;
        } else {
            end_run(&mut text, &mut run);
        }
    }
    end_run(&mut text, &mut run);
    text
}

fn end_run(text: &mut String, run: &mut usize) {
    if *run == 1 {
        text.push_str("h0");
    }
    *run = 0;
}
