//! The engine on the CPU, in a web worker, with products that are fused with sums. A page starts it where the browser has
//! the instructions for that (Chrome and Edge from 114, Firefox from 145), and `worker_cpu` elsewhere.

fn main() {
    #[cfg(target_arch = "wasm32")]
    scorefield::worker::start(scorefield::lab::DeviceChoice::Cpu);
}
