//! The macro that declares the settings of a study, and the choices that several studies have.

use crate::choice::named_variants;

named_variants! {
    /// The weight `lambda(sigma)` of a noise level in equation 2-6.
    Lambda {
        /// `sigma^2`
        Squared = "sigma-squared",
        /// `sigma`
        Linear = "sigma",
        /// `1`
        One = "one",
    }
}

impl Lambda {
    /// The weight of half the squared error of the noise, `lambda / sigma^2` of the score's.
    #[cfg(feature = "engine")]
    pub fn of_noise(self, sigma: f64) -> f64 {
        match self {
            Self::Squared => 1.0,
            Self::Linear => 1.0 / sigma,
            Self::One => 1.0 / (sigma * sigma),
        }
    }
}

named_variants! {
    /// Where the score comes from.
    ScoreSource {
        /// The distribution's own.
        Exact = "exact",
        /// A network's.
        Learned = "learned",
    }
}

named_variants! {
    /// Data in the plane, standardised.
    PlaneData {
        /// The report's two far modes, unequal in weight.
        Two = "two",
        /// Eight equal modes on a circle.
        Eight = "eight",
        /// Three modes that touch, unequal in weight and width.
        Three = "three",
    }
}

named_variants! {
    /// The stochastic differential equations of chapter 4 (Song et al. 2021, arXiv 2011.13456).
    Sde {
        /// Variance exploding, the limit of NCSN.
        Ve = "ve",
        /// Variance preserving, the limit of DDPM.
        Vp = "vp",
        /// Its relative with less variance.
        SubVp = "sub-vp",
    }
}

named_variants! {
    /// Data in the plane with many equal modes, standardised.
    PlaneModes {
        /// Eight on a circle.
        Eight = "eight",
        /// Twenty-five on a square grid.
        Grid = "grid",
    }
}

named_variants! {
    /// The betas of a chain.
    ChainTable {
        /// Ho et al. 2020: from 1e-4 to 0.02 for a thousand steps.
        Linear = "linear",
        /// Nichol and Dhariwal 2021.
        Cosine = "cosine",
    }
}

named_variants! {
    /// The fixed variance of a chain's steps back (Ho et al. 2020, section 3.2).
    ChainVariance {
        /// The posterior's.
        Small = "small",
        /// The forward step's.
        Large = "large",
    }
}

named_variants! {
    /// Whether something is done.
    Switch {
        /// It is.
        On = "on",
        /// It is not.
        Off = "off",
    }
}

/// Declares the settings of a study, a row each:
///
/// ```text
/// struct Settings {
///     weight: f64 = 0.8, 0.5..=0.99;
///     fit_rate: f64 = 5e-3, 1e-4..=0.05, log;
///     chains: usize = 1500, 100..=20_000;
///     score_source: ScoreSource = ScoreSource::Exact;
///     #[only(score_source = ScoreSource::Learned)]
///     fit_steps: usize = 1500, 10..=20_000;
/// }
/// ```
///
/// with what each starts from and, for numbers, its range, which `log` gives a logarithmic slider. `only` names the
/// choice of another setting under which this one has an effect. The key in a link is the name with hyphens.
///
/// Gives the structure, `CONTROLS` for the table of the study, and `read`, which fills the structure from a run. Fields
/// are the module's own, so that the compiler warns of a setting that the work never reads.
macro_rules! settings {
    (
        $(#[$meta:meta])*
        struct $settings:ident {
            $(
                $(#[only($other:ident = $choice:expr)])?
                $name:ident: $type:ident = $preset:expr $(, $range:expr $(, $scale:ident)?)?;
            )+
        }
    ) => {
        $(#[$meta])*
        #[cfg_attr(not(feature = "engine"), allow(dead_code, reason = "the page has the table and not the work"))]
        struct $settings {
            $($name: $type,)+
        }

        impl $settings {
            /// The table's rows, in the order of the fields.
            const CONTROLS: &'static [$crate::study::Control; [$(stringify!($name)),+].len()] = &[$(
                $crate::study::Control::new($crate::lab::Field::of_study(
                    $crate::lab::settings::key!($name),
                    $crate::lab::settings::kind!($type $(, $range $(, $scale)?)?),
                    $crate::lab::settings::preset!($type, $preset),
                ))
                $(.only($crate::lab::settings::key!($other), $choice.id()))?,
            )+];

            /// The settings of a run.
            #[cfg(feature = "engine")]
            fn read(config: &$crate::lab::RunConfig) -> Self {
                let [$($name),+] = Self::CONTROLS;
                Self { $($name: $name.field.read(config),)+ }
            }
        }
    };
}
pub(crate) use settings;
