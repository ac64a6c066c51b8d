//! How a network was trained, as the command line says it.

use crate::nn::objective::Objective;

/// Reads an objective's name.
///
/// # Errors
/// The names there are.
pub fn objective(id: &str) -> Result<Objective, String> {
    Objective::from_id(id).ok_or_else(|| {
        let known: Vec<&str> = Objective::ALL.into_iter().map(Objective::id).collect();
        format!("one of {}", known.join(", "))
    })
}
