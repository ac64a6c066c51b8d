//! Small pictures of the experiments for the page's table of contents: of every study a figure of its own, with the numbers
//! that it draws, and of the two experiments that are no studies what their programs make.

use std::path::Path;

use crate::cli::failure::{Failure, Outcome};
use crate::cli::sample::Generator;
use crate::cli::{files, index};
use crate::lab::{ExperimentId, RunConfig};
use crate::nn::device::ComputeDevice;
use crate::plot::mosaic::Mosaic;
use crate::plot::svg;
use crate::protocol::StudyUpdate;
use crate::rng::{Rng, Stream};
use crate::study::{Figure, Layer, Mark, Study};

/// The figure of a study that says most, where that is not the first that is drawn.
const SHOWN: &[(&str, &str)] = &[("score-matching", "growth"), ("ncsn", "last"), ("skip", "known")];
/// Columns of the density of points in the plane, and the points.
const SIDE: usize = 56;
const POINTS: usize = 400;
/// Images of the picture, and how many stand in a line.
const IMAGES: u32 = 8;
const COLUMNS: usize = 4;

/// Writes the picture of a study.
///
/// # Errors
/// When it cannot be written.
pub fn of_study(folder: &Path, study: &Study, update: &StudyUpdate) -> Outcome {
    let place = shown(study);
    let figure = &study.figures[place];
    let data = |layer: usize| {
        let drawn = update.layers.iter().find(|drawn| [drawn.figure, drawn.layer].map(usize::from) == [place, layer]);
        drawn.map_or(&[][..], |drawn| drawn.data.0.as_slice())
    };
    write(folder, study.id, &svg::svg(&figure.chart((0..figure.layers.len()).map(data).collect())))
}

/// The place of the figure that is shown.
fn shown(study: &Study) -> usize {
    let named = SHOWN.iter().find(|(id, _)| *id == study.id);
    let is_shown = |figure: &Figure| match named {
        Some((_, key)) => figure.key == *key,
        None => figure.layers.iter().all(|layer| layer.mark != Mark::Table),
    };
    study.figures.iter().position(is_shown).unwrap_or(0)
}

/// Writes the pictures of the experiments that are no studies: data of the plane with their density, and images from the
/// weights beside the page.
///
/// # Errors
/// When the weights cannot be used, or nothing can be written.
pub fn of_others(folder: &Path, web: &Path, compute: &ComputeDevice) -> Outcome {
    write(folder, ExperimentId::Plane.id(), &plane()?)?;
    let config = RunConfig { images: IMAGES, ..RunConfig::of_images() };
    let folder_of_weights = web.join("weights");
    let sets = index::read(&folder_of_weights.join("index.json"))?.sets;
    // That which the page has itself; the others are fetched from elsewhere.
    let own = sets.iter().map(|set| folder_of_weights.join(&set.id)).find(|folder| folder.is_dir());
    let weights =
        own.ok_or_else(|| Failure::input(folder_of_weights.display(), "no set of weights is in this folder"))?;
    let set = Generator::new(&weights, None, config, compute, 1)?.draw(IMAGES as usize)?.set;
    let mosaic = Mosaic { count: set.len(), side: set.size(), columns: COLUMNS, zoom: 1 };
    let [width, height] = mosaic.size();
    // A set keeps its images plane by plane.
    let area = set.size() * set.size();
    let of = |image: &[u8]| (0..3 * area).map(|i| image[i % 3 * area + i / 3]).collect::<Vec<u8>>();
    let images: Vec<u8> = set.pixels().chunks_exact(3 * area).flat_map(of).collect();
    // What is clear between two images is grey on both pages.
    let pixels = mosaic.pixels(&images);
    let colours: Vec<u8> =
        pixels.chunks_exact(4).flat_map(|p| if p[3] > 0 { [p[0], p[1], p[2]] } else { [134; 3] }).collect();
    let picture = svg::of_pixels(width, height, &colours);
    write(folder, ExperimentId::Images.id(), &picture.ok_or_else(|| Failure::other("no images"))?)
}

fn plane() -> Outcome<String> {
    const LAYERS: &[Layer] = &[Layer::new("density", Mark::Heat, 0), Layer::new("samples", Mark::Dots, 1)];
    let config = RunConfig::default();
    let data = config.data().map_err(Failure::other)?;
    let ([x, y], half) = (data.window_centre, data.window);
    let cell = |centre: f64, i: usize| centre + half * ((2 * i + 1) as f64 / SIDE as f64 - 1.0);
    // The square root, so that what is thin is seen.
    let density = |i: usize| data.mixture.density([cell(x, i % SIDE), cell(y, i / SIDE)]).sqrt() as f32;
    let values: Vec<f32> = (0..SIDE * SIDE).map(density).collect();
    let most = values.iter().copied().fold(0.0, f32::max);
    let mut heat = vec![SIDE as f32, SIDE as f32];
    heat.extend([x - half, x + half, y - half, y + half].map(|end| end as f32));
    heat.extend([0.0, most]);
    heat.extend(values);
    let mut rng = Rng::new(config.seed, Stream::Data, 0);
    let points: Vec<f32> = data.mixture.draw(&mut rng, POINTS).iter().flatten().map(|v| *v as f32).collect();
    let figure = Figure::plane("plane", half, LAYERS);
    let axes = [0, 1].map(|axis: usize| {
        let (centre, of) = (data.window_centre[axis], [figure.x, figure.y][axis]);
        crate::plot::Axis { range: Some([centre - half, centre + half]), ..of }
    });
    let chart = crate::plot::Chart { x: &axes[0], y: &axes[1], ..figure.chart(vec![&heat, &points]) };
    Ok(svg::svg(&chart))
}

fn write(folder: &Path, id: &str, drawing: &str) -> Outcome {
    files::make_folder(folder)?;
    files::write(&folder.join(format!("{id}.svg")), drawing.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::STUDIES;

    #[test]
    fn what_is_shown_of_a_study_is_a_drawing_that_it_has() {
        for study in STUDIES {
            let figure = &study.figures[shown(study)];
            assert!(figure.layers.iter().all(|layer| layer.mark != Mark::Table), "{}", study.id);
        }
        for (id, key) in SHOWN {
            let study = STUDIES.iter().find(|study| study.id == *id).expect("a study");
            assert_eq!(study.figures[shown(study)].key, *key);
        }
    }
}
