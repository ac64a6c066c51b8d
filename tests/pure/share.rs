//! Links survive a round trip, and nothing in a fragment can break the page.

use scorefield::data::{DatasetId, Gaussian};
use scorefield::experiments::{all, defaults, fields_of};
use scorefield::lab::{ClassChoice, Correction, FIELDS, Kind, RunConfig, SolverId};
use scorefield::lab::{PIXELS, Picture};
use scorefield::rng::{Rng, Stream};
use scorefield::share::{Link, MAX_LENGTH, Rejected, from_fragment, settings_digest, to_fragment};
use scorefield::study::STUDIES;

fn link(config: RunConfig) -> Link {
    Link { config, ..Link::default() }
}

/// A configuration of a random experiment with every field drawn at random from its range.
fn random_config(rng: &mut Rng) -> RunConfig {
    let all: Vec<_> = all().collect();
    let mut config = defaults(all[rng.below(all.len() as u32) as usize]);
    for field in fields_of(config.experiment).filter(|f| f.key != "experiment") {
        let text = match field.kind {
            Kind::Choice(ids) => ids[rng.below(ids.len() as u32) as usize].to_owned(),
            Kind::Whole { min, max } => (f64::from(min) + rng.uniform() * f64::from(max - min)).round().to_string(),
            Kind::Real { min, max, .. } => (min + rng.uniform() * (max - min)).to_string(),
            Kind::Gaussians => {
                for _ in 0..rng.below(12) {
                    let mut gaussian = Gaussian::round([9.0 * rng.uniform() - 4.5, rng.uniform()], 2.0 * rng.uniform());
                    gaussian.set_deviation(0, 3.0 * rng.uniform());
                    gaussian.set_degrees(360.0 * rng.uniform());
                    gaussian.set_weight(rng.below(80));
                    config.gaussians.push(gaussian);
                }
                config.gaussians.remove(rng.below(3) as usize);
                config.gaussians.to_text()
            }
            Kind::Drawing => {
                for _ in 0..rng.below(40) {
                    config.drawing.push(2.0 * rng.uniform() - 1.0, 2.0 * rng.uniform() - 1.0);
                }
                config.drawing.to_text()
            }
            Kind::Word => ["", "own", "preview-32", "a.b_c", "hub:a-1/b_2.c"][rng.below(5) as usize].to_owned(),
            Kind::Class => {
                ["any", "each", "cat", "class 3", "a&b=c#d%20\"e\\", "گربهٔ سیاه"][rng.below(6) as usize].to_owned()
            }
            Kind::Picture if rng.below(2) == 0 => String::new(),
            Kind::Picture => {
                let colours = (0..3 * PIXELS).map(|_| rng.below(256) as u8).collect();
                let known = (0..PIXELS).map(|_| rng.below(2) == 0).collect();
                Picture::new(colours, known).expect("the right lengths").to_text()
            }
        };
        assert_eq!(field.set_text(&mut config, &text), None, "{} {text}", field.key);
    }
    config
}

fn assert_valid(config: &RunConfig) {
    for field in fields_of(config.experiment) {
        let mut copy = config.clone();
        assert_eq!(field.set_text(&mut copy, &field.text(config)), None, "{} out of range", field.key);
        assert_eq!(&copy, config, "{} does not survive its text", field.key);
    }
}

#[test]
fn the_defaults_of_every_experiment_make_the_shortest_link() {
    for experiment in all() {
        let fragment = to_fragment(&link(defaults(experiment)));
        assert_eq!(fragment, format!("#experiment={}", experiment.id()));
        assert_eq!(from_fragment(&fragment), (link(defaults(experiment)), vec![]));
    }
}

#[test]
fn any_configuration_survives_its_link_exactly() {
    let mut rng = Rng::new(1, Stream::Test, 0);
    for i in 0..2000 {
        let sent = Link {
            config: random_config(&mut rng),
            run: i % 2 == 0,
            language: (i % 3 == 0).then(|| "fa".to_owned()),
            embed: (i % 5 == 0).then(|| if i % 2 == 0 { vec!["seed", "device"] } else { Vec::new() }),
            ..Link::default()
        };
        let fragment = to_fragment(&sent);
        assert!(fragment.len() <= MAX_LENGTH);
        assert_eq!(from_fragment(&fragment), (sent, vec![]), "{fragment}");
    }
}

#[test]
fn ten_thousand_hostile_fragments_give_valid_configurations() {
    let own = STUDIES.iter().flat_map(|study| study.controls).map(|control| control.field.key);
    let keys: Vec<&str> = FIELDS
        .iter()
        .map(|f| f.key)
        .chain(own)
        .chain(["experiment"; 12])
        .chain(["run", "lang", "v", "embed", "controls", "", "__proto__", "steps[]"])
        .collect();
    let values = [
        "",
        "0",
        "-1",
        "1e999",
        "-1e999",
        "NaN",
        "inf",
        "4294967296",
        "0x10",
        "moons",
        "heun",
        "%",
        "%zz",
        "%00",
        "%ff%fe",
        "<script>alert(1)</script>",
        "' OR 1=1",
        "\u{202e}",
        "١٢",
        "１２",
        "🦀🦀🦀",
        "1,5",
        " 7 ",
        "1e-400",
        "null",
        "=",
        "==1",
        "AAAA",
        "A",
        "\0",
        "../../etc",
        "true",
    ];
    let mut rng = Rng::new(2, Stream::Test, 0);
    for _ in 0..12_000 {
        let mut fragment = String::from(if rng.below(2) == 0 { "#" } else { "" });
        for _ in 0..rng.below(12) {
            let key = keys[rng.below(keys.len() as u32) as usize];
            let value = match rng.below(4) {
                2 if key == "experiment" => {
                    let ids: Vec<_> = all().collect();
                    ids[rng.below(ids.len() as u32) as usize].id().to_owned()
                }
                0 => (rng.normal() * 10f64.powi(rng.below(20) as i32 - 5)).to_string(),
                1 => (0..rng.below(30)).filter_map(|_| char::from_u32(rng.below(0x3000))).collect(),
                _ => values[rng.below(values.len() as u32) as usize].to_owned(),
            };
            fragment.push_str(&format!("{key}={value}{}", ["&", "&&", "&=", "#"][rng.below(4) as usize]));
        }
        let (read, _) = from_fragment(&fragment);
        assert_valid(&read.config);
        assert_eq!(from_fragment(&to_fragment(&read)), (read, vec![]), "{fragment}");
    }
}

#[test]
fn a_class_stands_in_a_link_by_its_name_and_what_has_a_meaning_there_is_escaped() {
    for (name, part) in [
        ("cat", "cat"),
        ("class 3", "class%203"),
        ("a&b=c#d%", "a%26b%3Dc%23d%25"),
        ("گربه", "%DA%AF%D8%B1%D8%A8%D9%87"),
    ] {
        let config = RunConfig { image_class: ClassChoice::Named(name.into()), ..RunConfig::of_images() };
        let fragment = to_fragment(&link(config.clone()));
        assert_eq!(fragment, format!("#experiment=images&image-class={part}"));
        assert_eq!(from_fragment(&fragment), (link(config), vec![]));
    }
}

#[test]
fn what_was_corrected_is_said() {
    let (read, rejected) = from_fragment("#dataset=rings&steps=99999&solver=magic&colour=red&v=7");
    assert_eq!(read.config.dataset, DatasetId::Rings);
    assert_eq!(read.config.steps, 1000);
    assert_eq!(read.config.solver, RunConfig::default().solver);
    assert_eq!(
        rejected,
        [
            Rejected::Value { key: "steps", text: "99999".into(), correction: Correction::Clamped },
            Rejected::Value { key: "solver", text: "magic".into(), correction: Correction::Unreadable },
            Rejected::Key("colour".into()),
            Rejected::Version(7),
        ]
    );
}

#[test]
fn huge_links_are_cut_and_said_to_be() {
    let huge = format!("#steps=5&solver=heun&drawing={}", "é".repeat(MAX_LENGTH));
    let (read, rejected) = from_fragment(&huge);
    assert_eq!(read.config.steps, 5);
    assert_eq!(read.config.solver, SolverId::Heun);
    assert!(rejected.contains(&Rejected::TooLong));
}

#[test]
fn escaped_links_are_understood() {
    let (read, rejected) = from_fragment("#dataset=%72ings&steps=5%30");
    assert_eq!((read.config.dataset, read.config.steps, rejected), (DatasetId::Rings, 50, vec![]));
}

#[test]
fn an_address_that_asks_for_nothing_asks_for_the_contents() {
    for fragment in ["", "#", "#contents", "contents=1", "#lang=fa", "#contents&lang=fa&v=1"] {
        let (read, rejected) = from_fragment(fragment);
        assert!(read.contents && rejected.is_empty(), "{fragment}: {rejected:?}");
        assert_eq!(read.config, RunConfig::default(), "{fragment}");
    }
    for fragment in
        ["#dataset=rings", "#experiment=plane", "#contents&experiment=score-1d", "#run=1", "#nothing", "#test=1"]
    {
        assert!(!from_fragment(fragment).0.contents, "{fragment}");
    }
    let sent = Link { contents: true, language: Some("fa".to_owned()), ..Link::default() };
    assert_eq!(to_fragment(&sent), "#contents&lang=fa");
    assert_eq!(from_fragment("#contents&lang=fa"), (sent, vec![]));
}

#[test]
fn a_frame_shows_the_controls_that_its_link_names_and_says_which_there_are_not() {
    let (read, rejected) = from_fragment("#controls=steps,solver,steps,colour&experiment=plane&embed=1");
    assert_eq!(read.embed, Some(vec!["steps", "solver"]));
    assert_eq!(rejected, vec![Rejected::Key("controls=colour".to_owned())]);
    assert_eq!(to_fragment(&read), "#experiment=plane&embed=1&controls=steps,solver");
    // Controls of a study belong to that study alone.
    assert_eq!(from_fragment("#experiment=score-1d&embed=1&controls=chains").0.embed, Some(vec!["chains"]));
    assert_eq!(from_fragment("#experiment=plane&embed=1&controls=chains").0.embed, Some(vec![]));
    // Without a frame they mean nothing, and that is said.
    let (read, rejected) = from_fragment("#experiment=plane&controls=steps");
    assert_eq!((read.embed, rejected), (None, vec![Rejected::Key("controls".to_owned())]));
    assert_eq!(from_fragment("#embed=0").0.embed, None);
}

#[test]
fn the_digest_of_settings_is_of_what_is_computed_and_not_of_seed_or_device() {
    let digest = |fragment: &str| settings_digest(&from_fragment(fragment).0.config);
    let usual = digest("#experiment=score-1d");
    assert_eq!(digest("#experiment=score-1d&seed=77&device=cpu&lang=fa&run=1"), usual);
    assert_ne!(digest("#experiment=score-1d&chains=200"), usual);
    assert_ne!(digest("#experiment=gaussian-1d"), usual);
}
