//! The engine on the CPU, in a web worker.

fn main() {
    #[cfg(target_arch = "wasm32")]
    scorefield::worker::start(scorefield::lab::DeviceChoice::Cpu);
}
