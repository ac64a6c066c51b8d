//! Predictive coding networks (Rao and Ballard 1999; Whittington and Bogacz 2017): every layer predicts the activity of
//! the next, states move until the errors of the predictions are small, and weights learn from what is beside them.
//!
//! | symbol | meaning |
//! |---|---|
//! | `x_0`, `x_L` | image and label, clamped; `x_1` to `x_(L-1)` are the states |
//! | `u_l` | prediction of layer l, `s_l W_l f(x_(l-1)) + b_l`, with `x_(l-1)` added where there is a skip; `f` is the identity on the image |
//! | `e_l` | error `x_l - u_l`; of the output, with cross-entropy, `x_L - softmax(u_L)` |
//! | `E` | energy, `sum_(l<L) abs(e_l)^2 / 2 + loss(u_L, x_L)`, summed over the rows |
//! | `d_l` | error of the backward prediction, `x_l - (V_(l+1) f(x_(l+1)) + c)`; `f` is the identity on the label (Oliviers et al. 2025, arXiv 2505.23415) |
//!
//! With predictions backwards `E` gains `a_b sum_(l<L) abs(d_l)^2 / 2`.

mod form;
mod inference;
mod net;
mod training;

pub use form::{CodingForm, OutputLoss, Skip};
pub use inference::Inference;
pub use net::CodingNet;
pub use training::{CodingTraining, Optimiser};
