//! Which worker is meant.

/// Which worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The one that computes on the processor.
    Cpu,
    /// The one that computes on WebGPU.
    Gpu,
    /// The one that computes on the machine that serves the page.
    Remote,
}

impl Slot {
    /// All.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Gpu, Self::Remote];
    /// Those of the visitor's own machine.
    pub const HERE: [Self; 2] = [Self::Cpu, Self::Gpu];
}
