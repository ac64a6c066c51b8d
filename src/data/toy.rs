//! The data sets of the plane, each defined as a mixture of Gaussians, so that its density and score are exact.

use crate::lab::{DatasetId, Drawing};

use super::mixture::Mixture;

/// A data set of the plane and the frame its model works in.
///
/// Models see data of mean zero and unit variance, `(point - centre) / scale`; plots show the data's own coordinates.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// The distribution in the data's own coordinates.
    pub mixture: Mixture,
    /// The mixture in the model's coordinates.
    pub standard: Mixture,
    /// Mean of the data.
    pub centre: [f64; 2],
    /// Root mean square deviation per axis.
    pub scale: f64,
    /// Half the side of the square window, centred at `window_centre`, in which the data are shown.
    pub window: f64,
    /// Centre of the window, in the data's own coordinates.
    pub window_centre: [f64; 2],
}
