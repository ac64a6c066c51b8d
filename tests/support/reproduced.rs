//! A link, and the digests that every browser and the program must have of it.

/// A training that is over soon, begun by the link.
pub const LINK: &str =
    "#dataset=moons&device=cpu&width=32&depth=2&batch=128&training-steps=400&samples=500&steps=10&seed=3&run=1";

/// As the page and the program say them.
pub const DIGESTS: &str = include_str!("../golden/reproduced.txt");
