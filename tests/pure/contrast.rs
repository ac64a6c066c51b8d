//! What has to be read or seen stands out from its background, in the light and in the dark theme: WCAG 2.2, success
//! criteria 1.4.3 (text 4.5 to 1) and 1.4.11 (controls and graphics 3 to 1).

use std::collections::BTreeMap;

use scorefield::plot::colour::{Rgb, SERIES};
use scorefield::plot::theme::{DARK, LIGHT, Palette};

const STYLE: &str = include_str!("../../web/style.css");

/// `#rgb`-notation of six digits.
fn hexadecimal(text: &str) -> Rgb {
    let digits = text.trim().strip_prefix('#').unwrap_or_else(|| panic!("{text} is no colour"));
    let value = u32::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("{text} is no colour"));
    assert_eq!(digits.len(), 6, "{text}");
    Rgb([(value >> 16) as u8, (value >> 8) as u8, value as u8])
}

/// `rgba(r, g, b, a)` laid over a background.
fn over(text: &str, ground: Rgb) -> Rgb {
    let parts: Vec<f64> = text
        .trim_start_matches("rgba(")
        .trim_end_matches(')')
        .split(',')
        .map(|part| part.trim().parse().unwrap_or_else(|_| panic!("{text} is no colour")))
        .collect();
    assert_eq!(parts.len(), 4, "{text}");
    Rgb(std::array::from_fn(|c| (parts[3] * parts[c] + (1.0 - parts[3]) * f64::from(ground.0[c])).round() as u8))
}

/// The custom properties that are colours in the first block after `start`.
fn variables(start: &str) -> BTreeMap<&'static str, Rgb> {
    let from = STYLE.find(start).unwrap_or_else(|| panic!("no {start} in the style sheet"));
    let block = STYLE[from..].split(['{', '}']).nth(if start.starts_with("@media") { 2 } else { 1 }).expect("a block");
    let pairs = block.split(';').filter_map(|line| line.trim().strip_prefix("--")?.split_once(':'));
    pairs.filter(|(_, value)| value.trim().starts_with('#')).map(|(k, v)| (k.trim(), hexadecimal(v))).collect()
}

/// Each theme with its name and the colours of its picture.
fn themes() -> [(&'static str, BTreeMap<&'static str, Rgb>, Palette); 2] {
    [("light", variables(":root {"), LIGHT), ("dark", variables(":root[data-theme=\"dark\"]"), DARK)]
}

/// Fails with every pair that stands out less than it must.
fn check(least: f64, pairs: &[(&str, &str)]) {
    let mut faint = Vec::new();
    for (theme, colours, _) in themes() {
        for (front, back) in pairs {
            let ratio = colours[front].contrast(colours[back]);
            if ratio < least {
                faint.push(format!("{theme}: {front} on {back} {ratio:.2}"));
            }
        }
    }
    assert!(faint.is_empty(), "below {least}: {faint:?}");
}

#[test]
fn the_dark_theme_is_the_same_whether_chosen_or_taken_from_the_system() {
    assert_eq!(variables(":root[data-theme=\"dark\"]"), variables("@media (prefers-color-scheme: dark)"));
    let names = |start| variables(start).into_keys().collect::<Vec<_>>();
    assert_eq!(names(":root {"), names(":root[data-theme=\"dark\"]"));
}

#[test]
fn text_can_be_read_on_everything_it_stands_on() {
    check(
        4.5,
        &[
            ("ink", "ground"),
            ("ink", "paper"),
            ("ink", "warn"),
            ("soft", "ground"),
            ("soft", "paper"),
            ("cool", "ground"),
            ("cool", "paper"),
            ("cool", "warn"),
            ("cool", "bad"),
            ("accent", "paper"),
            ("accent-ink", "accent"),
            ("bad-ink", "bad"),
            ("ink", "bad"),
        ],
    );
}

#[test]
fn controls_focus_and_signs_can_be_seen() {
    check(
        3.0,
        &[
            ("edge", "paper"),
            ("edge", "ground"),
            ("focus", "paper"),
            ("focus", "ground"),
            ("accent", "paper"),
            ("good", "paper"),
            ("wrong", "paper"),
            ("soft", "paper"),
        ],
    );
}

#[test]
fn curves_points_and_arrows_can_be_seen() {
    let mut faint = Vec::new();
    for (theme, colours, palette) in themes() {
        let ground = hexadecimal(palette.ground);
        let series = SERIES.iter().map(|colour| (format!("series {}", colour.css()), *colour, colours["paper"]));
        let drawn = [("data", palette.data), ("sample", palette.sample), ("arrow", palette.arrow)];
        let drawn = drawn.map(|(name, colour)| (name.to_owned(), over(colour, ground), ground));
        for (name, front, back) in series.chain(drawn) {
            let ratio = front.contrast(back);
            if ratio < 3.0 {
                faint.push(format!("{theme}: {name} {ratio:.2}"));
            }
        }
        // Arrows are drawn over the density too.
        let high = Rgb(palette.high.map(|channel| channel as u8));
        let ratio = over(palette.arrow, high).contrast(high);
        if ratio < 3.0 {
            faint.push(format!("{theme}: arrow on density {ratio:.2}"));
        }
    }
    assert!(faint.is_empty(), "below 3: {faint:?}");
}
