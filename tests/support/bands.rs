//! Pictures for a short training.

/// Records as in CIFAR-10's official files: its 32 by 32 pixels, here bands of two colours for each of ten classes.
pub fn records(count: usize) -> Vec<u8> {
    let record = |i: usize| {
        let class = i % 10;
        let pixel = move |k: usize| {
            let (channel, row) = (k / 1024, k % 1024 / 32);
            let band = (row + i) / 8 % 2;
            (40 + 20 * class + 60 * band * (channel + 1) / 3) as u8
        };
        std::iter::once(class as u8).chain((0..3072).map(pixel))
    };
    (0..count).flat_map(record).collect()
}
