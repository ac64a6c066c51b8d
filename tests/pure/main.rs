//! What needs no engine: mathematics, data, plots, the session of the page, and what the sources themselves must be.
//! One program, for to link one for every file took longer than to run them.

#[path = "../support/session_worker.rs"]
mod session_worker;
#[path = "../support/session_world.rs"]
mod session_world;
#[path = "../support/sources.rs"]
mod sources;
#[path = "../support/mod.rs"]
mod support;

mod architecture;
mod blocks;
mod contrast;
mod control_plane;
mod data_metrics;
mod data_mixture;
mod data_toy;
mod diffusion_control;
mod diffusion_golden;
mod diffusion_grid_search;
mod diffusion_laws;
mod diffusion_likelihood;
mod diffusion_objectives;
mod diffusion_orders;
mod diffusion_robust;
mod diffusion_weak;
mod diffusion_weights;
mod docs;
mod locales;
mod pictures;
mod plot_geometry;
mod plot_scales;
mod plot_values;
mod session_faults;
mod session_runs;
mod share;
mod study_tables;
mod supply_chain;
mod unsafe_code;
