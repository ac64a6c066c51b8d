//! scorefield: diffusion, score and energy models that train and sample in a web page.
//!
//! # Conventions
//!
//! Everything is `x = alpha * data + sigma * noise` at a [`diffusion::Level`]. Time runs from `t = 0` (data) to
//! `t = 1` (noise), for every schedule, including those whose papers count the other way or number their steps.
//!
//! | symbol | meaning | source |
//! |---|---|---|
//! | `alpha`, `sigma` | signal and noise scale of a level | Kingma et al. 2021, arXiv 2107.00630 |
//! | `log_snr` | `ln(alpha^2 / sigma^2)`, falls with `t` | the same |
//! | `beta` | rate of a variance-preserving schedule, `alpha = exp(-1/2 integral of beta)` | Song et al. 2021, arXiv 2011.13456 |
//! | `eta` | share of fresh noise in a step: 0 DDIM, 1 DDPM | Song et al. 2021, arXiv 2010.02502 |
//! | `rho` | bend of the Karras grid | Karras et al. 2022, arXiv 2206.00364 |
//! | score | gradient of the log-density with respect to the data | Hyvärinen 2005 |
//!
//! Scalars are `f64` on the CPU; tensors are `f32` on the device; noise always comes from [`rng`], never from the
//! device, so that a link shows the same picture on every machine up to rounding.
//!
//! # Modules, from the ground up
//!
//! Each knows only modules above it in this list; `tests/pure/architecture.rs` has the whole table and checks it.
//!
//! * [`base64`], [`decimal`], [`rng`], `choice` (enumerations with ids), [`digest`],
//!   `lasting` (tables read from a file), [`offline`] (the copy for visits without a network): know nothing;
//! * [`diffusion`], [`data`], [`plot`]: the mathematics; pure, no browser and no tensor library;
//! * [`lab`]: what a run is: its configuration, ranges and names;
//! * [`protocol`], [`wire`]: what page and worker say to each other, and its bytes;
//! * `nn` (feature `engine`): networks, optimisers, devices and files of weights, on Burn;
//! * [`study`]: the experiments of the report, one file each: a table, and with the engine its work;
//! * [`report`]: what was measured of their claims, as the repository keeps it;
//! * [`experiments`]: the table of all experiments; [`share`]: a run as a link; [`session`]: the page's side of the
//!   conversation with its workers, without a browser;
//! * `engine` (feature `engine`): training, sampling and measuring in short steps: the worker but for the browser;
//! * `worker` (feature `worker`, wasm32): the engine behind `postMessage`;
//! * `serve` (feature `serve`, native): static files over HTTP, for `make serve` and the tests in a browser;
//! * `cli` (feature `cli`, native): the program `scorefield`, on the same configurations and links;
//! * `ui` (feature `ui`, wasm32): the page. It never sees `nn` or `engine`.
//!
//! # What is Burn's, and what is ours
//!
//! Burn holds the tensors, the parameters of the U-Net (`Module`, `Param`) and the devices, and where it was measured to
//! be as fast, it computes. What is written here instead, because it was slower or larger (`docs/speed.md`,
//! `docs/sizes.md`):
//!
//! | where | Burn's | ours | because |
//! |---|---|---|---|
//! | CPU in a browser | tensors, matrix products | all other layers, derivatives, Adam | forward and backward of the default network 0.63 ms, in Burn's operations 0.97, with its autodiff 1.32 |
//! | WebGPU in a browser | device, memory, launching; the perceptron and the studies in its operations | the U-Net's layers in WGSL | 102 passes an evaluation instead of 691; not timed on a graphics card yet |
//! | CPU natively | tensors | layers, derivatives, matrix products, convolutions by Winograd's algorithm, optimisers | a training step of the U-Net takes 0.51 to 0.65 of PyTorch's time, with Burn's autodiff 3.1 times it |
//! | GPU natively | convolutions, autodiff, dropout | group normalisation, mixed precision, optimisers | not measured yet |

pub mod base64;
mod choice;
pub mod data;
pub mod decimal;
pub mod diffusion;
pub mod digest;
pub mod experiments;
pub mod lab;
mod lasting;
pub mod offline;
pub mod plot;
pub mod protocol;
pub mod report;
pub mod rng;
pub mod session;
pub mod share;
pub mod study;
pub mod wire;

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "engine")]
pub mod engine;
#[cfg(feature = "engine")]
pub mod nn;
#[cfg(feature = "serve")]
pub mod serve;
#[cfg(all(feature = "ui", target_arch = "wasm32"))]
pub mod ui;
#[cfg(all(feature = "worker", target_arch = "wasm32"))]
pub mod worker;
