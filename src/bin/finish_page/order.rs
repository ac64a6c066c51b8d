//! The order of functions in which those that are alike are near each other. What a server compresses a file with looks
//! back a few pages only; wasm-bindgen puts the largest function first and the smallest last.

use std::collections::{HashMap, VecDeque};
use std::io;

/// Bytes that are compared: an instruction or two.
const PATTERN: usize = 5;
/// Patterns in more functions than that make no two of them alike.
const COMMON: usize = 200;
/// Bytes of functions before the next one that it is compared with: which of them makes a program smallest is chance, a few
/// hundred bytes of it.
const REACHES: [usize; 6] = [8000, 4000, 5000, 6000, 12_000, 16_000];
/// Of more bytes than that one order is made: it takes many seconds.
const LARGE: usize = 4_000_000;

/// What a pattern counts for that so many functions have: a whole number, so that sums do not depend on their order.
fn weight(holders: usize) -> usize {
    (1000.0 / (holders as f64).sqrt()) as usize
}

/// The places of the functions in their new order: of a few the one whose functions have the smallest size, compressed.
///
/// # Errors
/// When their size cannot be told.
pub fn smallest(functions: &[&[u8]], size: impl Fn(&[u8]) -> io::Result<usize>) -> io::Result<Vec<usize>> {
    let likeness = Likeness::of(functions);
    let tried = if functions.iter().map(|function| function.len()).sum::<usize>() > LARGE { 1 } else { REACHES.len() };
    let sized = |reach: &usize| {
        let order = likeness.order(functions, *reach);
        let all: Vec<u8> = order.iter().flat_map(|&place| functions[place]).copied().collect();
        Ok((size(&all)?, order))
    };
    let orders: io::Result<Vec<(usize, Vec<usize>)>> = REACHES[..tried].iter().map(sized).collect();
    Ok(orders?.into_iter().min().map(|(_, order)| order).unwrap_or_default())
}

/// What functions have in common.
struct Likeness {
    /// The functions that have a pattern, for every pattern that some have and few.
    shared: Vec<Vec<usize>>,
    /// The patterns of a function.
    patterns: Vec<Vec<usize>>,
}

impl Likeness {
    fn of(functions: &[&[u8]]) -> Self {
        let mut holders: HashMap<&[u8], Vec<usize>> = HashMap::new();
        for (place, function) in functions.iter().enumerate() {
            for pattern in function.windows(PATTERN) {
                let holders = holders.entry(pattern).or_default();
                if holders.last() != Some(&place) {
                    holders.push(place);
                }
            }
        }
        let shared: Vec<Vec<usize>> =
            holders.into_values().filter(|holders| (2..=COMMON).contains(&holders.len())).collect();
        let mut patterns: Vec<Vec<usize>> = vec![Vec::new(); functions.len()];
        for (pattern, holders) in shared.iter().enumerate() {
            for &place in holders {
                patterns[place].push(pattern);
            }
        }
        Self { shared, patterns }
    }

    /// The order in which each function is compared with so many bytes before it.
    fn order(&self, functions: &[&[u8]], furthest: usize) -> Vec<usize> {
        let Self { shared, patterns } = self;
        // How many functions within reach have a pattern, and what all patterns of a function count for that any of them has.
        let mut near = vec![0_usize; shared.len()];
        let mut known = vec![0_usize; functions.len()];
        let mut within = VecDeque::new();
        let mut reach = 0;
        let mut left: Vec<usize> = (0..functions.len()).collect();
        let mut order = Vec::with_capacity(functions.len());
        // Of a long function more is known by chance; by the share of it that is known the shortest would come first.
        let roots: Vec<f64> = functions.iter().map(|function| ((function.len() + 20) as f64).sqrt()).collect();
        // The first of the most alike.
        while let Some((next, _)) = left
            .iter()
            .map(|&place| known[place] as f64 / roots[place])
            .enumerate()
            .rev()
            .max_by(|(_, a), (_, b)| a.total_cmp(b))
        {
            let place = left.remove(next);
            order.push(place);
            within.push_back(place);
            reach += functions[place].len();
            for &pattern in &patterns[place] {
                near[pattern] += 1;
                if near[pattern] == 1 {
                    let weight = weight(shared[pattern].len());
                    shared[pattern].iter().for_each(|&holder| known[holder] += weight);
                }
            }
            while reach > furthest && within.len() > 1 {
                let Some(far) = within.pop_front() else { break };
                reach -= functions[far].len();
                for &pattern in &patterns[far] {
                    near[pattern] -= 1;
                    if near[pattern] == 0 {
                        let weight = weight(shared[pattern].len());
                        shared[pattern].iter().for_each(|&holder| known[holder] -= weight);
                    }
                }
            }
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_that_are_alike_come_one_after_the_other_and_none_is_lost() {
        // Three families, mixed; each member with an end of its own.
        let functions: Vec<Vec<u8>> =
            (0..30_u8).map(|i| (0..40).map(|k| 60 * (i % 3) + k).chain([200 + i; 3]).collect()).collect();
        let tried = std::cell::Cell::new(0);
        let size = |all: &[u8]| {
            tried.set(tried.get() + 1);
            Ok(all.len())
        };
        let order = smallest(&functions.iter().map(Vec::as_slice).collect::<Vec<_>>(), size).unwrap();
        assert_eq!(tried.get(), REACHES.len());
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..30).collect::<Vec<_>>());
        let changes = order.windows(2).filter(|pair| pair[0] % 3 != pair[1] % 3).count();
        assert_eq!(changes, 2, "{order:?}");
        assert_eq!(smallest(&[], size).unwrap(), [0; 0]);
        assert!(smallest(&[], |_| Err(io::ErrorKind::Other.into())).is_err());
    }

    #[test]
    fn the_order_with_the_smallest_size_is_kept() {
        // Each of four of forty blocks: what a function shares with others is further back than some reaches.
        let mut state = 1_u32;
        let mut drawn = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 16
        };
        let blocks: Vec<Vec<u8>> = (0..40).map(|_| (0..300).map(|_| drawn() as u8).collect()).collect();
        let functions: Vec<Vec<u8>> =
            (0..60).map(|_| (0..4).flat_map(|_| blocks[drawn() as usize % blocks.len()].clone()).collect()).collect();
        let functions: Vec<&[u8]> = functions.iter().map(Vec::as_slice).collect();
        let likeness = Likeness::of(&functions);
        let joined = |order: &[usize]| order.iter().flat_map(|&place| functions[place]).copied().collect::<Vec<u8>>();
        let orders = REACHES.map(|reach| joined(&likeness.order(&functions, reach)));
        let wanted = orders.iter().rev().find(|order| **order != orders[0]).expect("orders differ");
        let found = smallest(&functions, |all| Ok(usize::from(all != wanted))).unwrap();
        assert!(joined(&found) == *wanted);
    }
}
