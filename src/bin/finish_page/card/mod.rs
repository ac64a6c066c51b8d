//! The picture that other sites show of a link to the page: its name, its sentence, and a figure that this program computes:
//! points of noise on their way to the data, by the exact score.

mod canvas;
mod letters;

use std::io;

use png::{BitDepth, ColorType, Compression, Encoder, Filter};
use scorefield::data::{Dataset, Exact};
use scorefield::diffusion::schedule::clean;
use scorefield::diffusion::{NoiseUse, Sampler, infallible, now};
use scorefield::lab::{RunConfig, ScheduleId, Texts};
use scorefield::plot::plane::Projection;
use scorefield::plot::theme::LIGHT;
use scorefield::rng::{Rng, Stream};

use canvas::{Area, Canvas, Paint};
use letters::{Letters, MissingLetter};

/// The picture's name beside the page.
pub const FILE: &str = "social-card.png";
/// Width and height that sites ask for.
const SIZE: [usize; 2] = [1200, 630];
/// What the page's look is made of.
const STYLE: &str = include_str!("../../../../web/style.css");
/// Samples, and how many of them show their way.
const SAMPLES: usize = 500;
const WAYS: usize = 60;
/// Tones of the density, whose steps nobody sees.
const TONES: f64 = 40.0;
/// Left edge of the words, and how far they reach.
const MARGIN: f64 = 60.0;
const LINE: f64 = 470.0;
/// Heights of small letters, in pixels: of the name and of the sentence.
const NAME: f64 = 54.0;
const SENTENCE: f64 = 22.0;

/// The picture as a PNG file.
///
/// # Errors
/// A letter that the card cannot write, a colour that the style sheet does not have, and what the writer of the file says.
pub fn png(texts: &Texts) -> io::Result<Vec<u8>> {
    let canvas = painted(texts)?;
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, SIZE[0] as u32, SIZE[1] as u32);
    let (palette, indices) = canvas.indexed();
    encoder.set_color(ColorType::Indexed);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_palette(palette);
    encoder.set_compression(Compression::High);
    encoder.set_filter(Filter::NoFilter);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&indices)?;
    writer.finish()?;
    Ok(bytes)
}

fn painted(texts: &Texts) -> io::Result<Canvas> {
    let colour = |name: &str| {
        Paint::css(property(name).unwrap_or_default())
            .ok_or_else(|| io::Error::other(format!("web/style.css: no colour --{name}")))
    };
    let mut canvas = Canvas::new(SIZE, colour("ground")?);
    figure(&mut canvas)?;
    let side = SIZE[1] as f64;
    let left = SIZE[0] as f64 - side;
    canvas.fill(Area { left: left - 1.0, top: 0.0, right: left, bottom: side }, colour("rule")?);
    words(&mut canvas, texts, [colour("ink")?, colour("soft")?, colour("accent")?]).map_err(io::Error::other)?;
    Ok(canvas)
}

/// A custom property of the style sheet's light theme, which is its first block.
fn property(name: &str) -> Option<&'static str> {
    let block = STYLE.split_once(":root {")?.1.split('}').next()?;
    Some(block.split_once(&format!("--{name}:"))?.1.split(';').next()?.trim())
}

/// The name, a stroke under it, and the sentence.
fn words(canvas: &mut Canvas, texts: &Texts, [ink, soft, accent]: [Paint; 3]) -> Result<(), MissingLetter> {
    let everywhere = Area { left: 0.0, top: 0.0, right: SIZE[0] as f64, bottom: SIZE[1] as f64 };
    let name = Letters::new("scorefield", NAME)?;
    canvas.stroke(&name.at([MARGIN, 276.0]), 0.085 * NAME, ink, everywhere);
    canvas.stroke(&[vec![[MARGIN, 320.0], [MARGIN + 0.2 * name.width, 320.0]]], 2.5, accent, everywhere);
    let mut lines = vec![String::new()];
    for word in texts.get("page.tagline").split(' ') {
        let last = lines.len() - 1;
        let longer = format!("{} {word}", lines[last]).trim_start().to_owned();
        if Letters::new(&longer, SENTENCE)?.width <= LINE { lines[last] = longer } else { lines.push(word.to_owned()) }
    }
    for (place, line) in lines.iter().enumerate() {
        let baseline = 378.0 + 50.0 * place as f64;
        canvas.stroke(&Letters::new(line, SENTENCE)?.at([MARGIN, baseline]), 0.075 * SENTENCE, soft, everywhere);
    }
    Ok(())
}

/// The data's density, samples of it, and the ways that some of them took from noise, in a square at the right.
fn figure(canvas: &mut Canvas) -> io::Result<()> {
    let config = run();
    let data = config.data().map_err(io::Error::other)?;
    let pixels = SIZE[1] as f64;
    let window = Projection { centre: data.window_centre, half: data.window, pixels };
    let left = SIZE[0] as f64 - pixels;
    let square = Area { left, top: 0.0, right: SIZE[0] as f64, bottom: pixels };
    let place = |point: [f64; 2]| {
        let [x, y] = window.to_pixels(point);
        [left + x, y]
    };

    // The square root of the density, so that what is thin is seen; as in the page's own picture.
    let marginal = data.mixture.at(clean());
    let log = |point: [f64; 2]| marginal.log_density(point);
    let most = data.mixture.means.iter().map(|&mean| log(mean)).fold(f64::NEG_INFINITY, f64::max);
    canvas.shade(square, |[x, y]| {
        let share = libm::exp(0.5 * (log(window.to_data([x - left, y])) - most)).min(1.0);
        let tone = (TONES * share).round() / TONES;
        std::array::from_fn(|c| LIGHT.low[c] + tone * (LIGHT.high[c] - LIGHT.low[c]))
    });

    let frames = frames(&config, &data);
    let colour = |css: &str| Paint::css(css).ok_or_else(|| io::Error::other(format!("{css} is no colour")));
    let (way, sample) = (colour(LIGHT.way)?, colour(LIGHT.sample)?);
    for of in 0..WAYS {
        let line: Vec<_> = frames.iter().filter_map(|points| points.get(of).copied().map(place)).collect();
        canvas.stroke(&[line], 0.7, way, square);
    }
    for &point in frames.last().into_iter().flatten() {
        canvas.stroke(&[vec![place(point)]], 2.4, sample, square);
    }
    Ok(())
}

/// What is run: by a schedule that preserves the variance, so that noise and data are in one square.
fn run() -> RunConfig {
    RunConfig { schedule: ScheduleId::Cosine, ..RunConfig::default() }
}

/// Where the samples are at every level of the run, with the closed form in the place of a network.
fn frames(config: &RunConfig, data: &Dataset) -> Vec<Vec<[f64; 2]>> {
    let start = Rng::new(config.seed, Stream::Prior, 0).normal_points(SAMPLES);
    let mut sampler = Sampler::from_config(config, start);
    let mut model = Exact::new(&data.standard);
    let mut noise =
        |x: &Vec<[f64; 2]>, usage: NoiseUse| Rng::new(config.seed, usage.stream, usage.index).normal_points(x.len());
    let shown = |x: &[[f64; 2]]| x.iter().map(|&point| data.from_standard(point)).collect();
    let mut frames = vec![shown(sampler.x())];
    while infallible(now(sampler.step(&mut model, &mut noise))).is_some() {
        frames.push(shown(sampler.x()));
    }
    frames
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn english() -> Texts {
        let file =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/web/locales/en.txt")).expect("a locale file");
        Texts::read(file.leak())
    }

    /// The picture as sites decode it: red, green and blue of every pixel.
    fn decoded(bytes: &[u8]) -> (u32, u32, Vec<u8>) {
        let mut decoder = png::Decoder::new(io::Cursor::new(bytes));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().expect("a PNG file");
        let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
        let info = reader.next_frame(&mut pixels).expect("its pixels");
        assert_eq!(info.color_type, ColorType::Rgb);
        (info.width, info.height, pixels)
    }

    #[test]
    fn the_card_has_the_size_that_sites_ask_for_is_small_and_is_the_same_each_time() {
        let card = png(&english()).expect("a card");
        assert!(card.len() < 60_000, "{} bytes", card.len());
        assert!(card == png(&english()).expect("a card"));
        let (width, height, pixels) = decoded(&card);
        assert_eq!((width, height), (1200, 630));
        let at = |x: usize, y: usize| &pixels[3 * (1200 * y + x)..][..3];
        // The words at the left have the page's ink on its ground; the figure at the right its own ground.
        assert_eq!(at(0, 0), [0xf3, 0xf1, 0xec]);
        assert_eq!(at(1199, 0), [0xfb, 0xfa, 0xf7]);
        let left: BTreeSet<&[u8]> =
            (0..630).flat_map(|y| (0..570).map(move |x| (x, y))).map(|(x, y)| at(x, y)).collect();
        assert!(left.contains(&[0x20, 0x24, 0x2c][..]) && left.contains(&[0xb6, 0x3e, 0x18][..]), "ink and accent");
        let colours: BTreeSet<&[u8]> = pixels.chunks_exact(3).collect();
        assert!(colours.len() > 100, "{} colours", colours.len());
    }

    #[test]
    fn the_figure_shows_noise_that_became_the_data() {
        let config = run();
        let data = config.data().expect("data");
        let frames = frames(&config, &data);
        assert!(frames.len() > 10, "{} frames", frames.len());
        let mean = |points: &[[f64; 2]]| {
            points.iter().map(|&point| data.mixture.log_density(point, clean())).sum::<f64>() / points.len() as f64
        };
        let fresh = data.mixture.draw(&mut Rng::new(1, Stream::Data, 0), 4000);
        let (first, last, data) = (mean(&frames[0]), mean(&frames[frames.len() - 1]), mean(&fresh));
        // Log-densities of the moons scatter by about 1: by 0.04 in a mean of 500.
        assert!((last - data).abs() < 0.3, "{last} against {data}");
        assert!(first < data - 10.0, "{first} against {data}");
    }

    #[test]
    fn the_page_names_the_card_with_its_size_and_says_what_its_title_says() {
        let page = include_str!("../../../../index.html");
        let content = |name: &str| {
            let rest = page.split_once(&format!("=\"{name}\" content=\"")).unwrap_or_else(|| panic!("no {name}")).1;
            rest.split('"').next().unwrap_or_default()
        };
        assert_eq!(content("og:image"), format!("./{FILE}"));
        assert_eq!([content("og:image:width"), content("og:image:height")], SIZE.map(|side| side.to_string()));
        assert_eq!(content("og:title"), english().get("page.title"));
        assert_eq!(content("og:description"), content("description"));
        assert_eq!((content("og:type"), content("twitter:card")), ("website", "summary_large_image"));
        assert!(content("og:image:alt").len() > 20);
    }

    #[test]
    fn a_letter_that_is_not_there_is_named() {
        let texts = Texts::read("page.tagline = noise Ω");
        assert!(png(&texts).expect_err("a letter").to_string().contains('Ω'));
    }
}
