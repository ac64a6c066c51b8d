//! The engine on the CPU: networks, training, sampling of points and images, studies.

#[path = "../support/counting.rs"]
mod counting;
#[path = "../support/golden.rs"]
mod golden;
#[path = "../support/networks.rs"]
mod networks;
#[path = "../support/page.rs"]
mod page;
#[path = "../support/reproduce.rs"]
mod reproduce;
#[path = "../support/reproduced.rs"]
mod reproduced;
#[path = "../support/set.rs"]
mod set;
#[cfg(feature = "gpu")]
#[path = "../support/skip.rs"]
mod skip;
#[path = "../support/unet_weights.rs"]
mod unet_weights;
#[path = "../support/verdicts.rs"]
mod verdicts;

mod engine_network;
mod engine_quality;
mod engine_reproducible;
mod engine_serve;
mod engine_training;
mod engine_weights;
mod images_classes;
mod images_constraint;
mod images_half;
mod images_hub;
mod images_likelihood;
mod images_memory;
mod images_pool;
mod images_run;
mod images_serve;
mod nn_checkpoint;
mod nn_classifier;
mod nn_coding;
mod nn_diffusers;
mod nn_flax;
mod nn_generative;
mod nn_improved;
mod nn_refine;
#[cfg(feature = "gpu")]
mod nn_shaders;
mod nn_song;
mod nn_tangent;
mod nn_unet;
mod study;
mod study_serve;
