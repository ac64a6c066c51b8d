//! The studies on the CPU, in a web worker: without the models of the plane and of images, which nobody needs there.

fn main() {
    #[cfg(target_arch = "wasm32")]
    scorefield::worker::start(scorefield::lab::DeviceChoice::Cpu);
}
