//! Whole visits: random rows of what a visitor, a browser and workers can do, against the session's state machine and
//! against a model of it.

use crate::session_world::World;
use scorefield::lab::DeviceChoice;
use scorefield::rng::{Rng, Stream};

/// Visits of a normal run of the tests; `SCOREFIELD_VISITS` says another number, and with 0 those below are all.
const VISITS: u32 = 1000;
/// Visits that broke a rule once: a training that never began and was taken for one that had, a file that was refused after
/// newer weights had come, a held training that another device went on with, a damaged file after a training that never
/// began, an export from the second of two workers that died in the same words, a file given before a training was to go on
/// from older weights on a device that never came.
const ONCE_BROKEN: [u32; 9] = [1684, 3133, 5826, 8510, 12517, 13417, 33848, 34639, 133_539];
/// What happens in a visit.
const STEPS: usize = 80;

/// A visit: the world it begins in, and what happens.
#[derive(Clone)]
struct Visit {
    choice: DeviceChoice,
    adapter: bool,
    steps: Vec<u32>,
}

impl Visit {
    fn random(seed: u32) -> Self {
        let mut rng = Rng::new(seed, Stream::Test, 0);
        let choice = DeviceChoice::ALL[rng.below(DeviceChoice::ALL.len() as u32) as usize];
        let adapter = rng.below(3) > 0;
        Self { choice, adapter, steps: (0..STEPS).map(|_| rng.bits()).collect() }
    }

    /// How many steps it takes to break which rule.
    fn broken(&self) -> Option<(usize, String)> {
        let mut world = World::new(self.choice, self.adapter);
        for (place, &chance) in self.steps.iter().enumerate() {
            if let Err(words) = world.step(chance).and_then(|()| world.check()) {
                return Some((place + 1, words));
            }
        }
        None
    }

    /// The same fault with as few steps as can be found by leaving some out.
    fn shrunk(mut self, length: usize, mut words: String) -> (Self, String) {
        self.steps.truncate(length);
        let mut chunk = length.div_ceil(2);
        while chunk > 0 {
            let mut place = 0;
            while place < self.steps.len() {
                let mut shorter = self.clone();
                shorter.steps.drain(place..(place + chunk).min(self.steps.len()));
                match shorter.broken() {
                    Some((at, found)) if kind(&found) == kind(&words) => {
                        shorter.steps.truncate(at);
                        (self, words) = (shorter, found);
                    }
                    _ => place += chunk,
                }
            }
            chunk = if chunk == 1 { 0 } else { chunk.div_ceil(2) };
        }
        (self, words)
    }

    fn told(&self) -> String {
        let mut world = World::new(self.choice, self.adapter);
        let mut lines = vec![format!("{:?}, adapter: {}", self.choice, self.adapter)];
        for &chance in &self.steps {
            let end = world.step(chance);
            lines.push(format!(
                "  {:2} {:9} {} {}",
                chance % 64,
                chance / 64,
                world.describe(),
                end.err().unwrap_or_default()
            ));
        }
        lines.join("\n")
    }
}

/// A broken rule without its names and numbers.
fn kind(words: &str) -> String {
    words.chars().filter(|c| !c.is_ascii_digit()).collect::<String>().split('{').next().unwrap_or_default().to_owned()
}

#[test]
fn no_visit_leads_where_there_is_no_way_out_or_loses_what_the_page_says_it_keeps() {
    let visits = std::env::var("SCOREFIELD_VISITS").ok().and_then(|count| count.parse().ok()).unwrap_or(VISITS);
    let mut kinds: std::collections::BTreeMap<String, (u32, u32)> = std::collections::BTreeMap::new();
    for seed in (0..visits).chain(ONCE_BROKEN.into_iter().filter(|seed| *seed >= visits)) {
        if let Some((_, words)) = Visit::random(seed).broken() {
            kinds.entry(kind(&words)).or_insert((0, seed)).0 += 1;
        }
    }
    let broken: u32 = kinds.values().map(|(count, _)| count).sum();
    let mut report = String::new();
    for (count, seed) in kinds.values() {
        let visit = Visit::random(*seed);
        let (length, words) = visit.broken().expect("it was broken before");
        let (visit, words) = visit.shrunk(length, words);
        report += &format!("\n{count} visits, such as {seed}: {words}\n{}\n", visit.told());
    }
    assert!(kinds.is_empty(), "{broken} of {visits} visits break a rule{report}");
}
