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
//! * [`rng`], [`decimal`], [`diffusion`], [`data`], [`plot`]: pure, no browser and no tensor library;
//! * [`lab`], [`share`], [`protocol`], [`wire`]: what a run is, as a link, and what page and worker say to each other;
//!   pure too;
//! * [`study`]: the experiments of the report, one file each;
//! * `nn`, `engine` (feature `engine`): networks, training and sampling on Burn;
//! * `worker` (feature `worker`, wasm32): the engine behind `postMessage`;
//! * `serve` (feature `serve`, native): static files over HTTP, for `make serve` and the tests in a browser;
//! * `cli` (feature `cli`, native): the program `scorefield`, on the same configurations and links;
//! * `ui` (feature `ui`, wasm32): the page. It never sees `nn` or `engine`.

pub mod base64;
mod choice;
pub mod data;
pub mod decimal;
pub mod diffusion;
pub mod experiments;
pub mod lab;
pub mod plot;
pub mod protocol;
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
