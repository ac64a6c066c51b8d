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
    /// The one that computes studies on the processor: a program of its own, for it needs a third of the other's.
    Study,
}

impl Slot {
    /// All.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Gpu, Self::Remote, Self::Study];
    /// Those that know the models of the plane and of images.
    pub const MODELS: [Self; 3] = [Self::Cpu, Self::Gpu, Self::Remote];
    /// Those of them on the visitor's own machine.
    pub const HERE: [Self; 2] = [Self::Cpu, Self::Gpu];
}
