//! The named choices of a run. Each has a stable id: the option value on the page and the word in a link.

use crate::choice::choices;

choices! {
    /// Who estimates data and noise when sampling.
    DenoiserId {
        /// The network trained in the page.
        Trained = "trained",
        /// The closed form on the mixture: what perfect training would give.
        Exact = "exact",
    }
}

choices! {
    /// Activation function of the network.
    Activation {
        /// `x * sigmoid(x)`
        Silu = "silu",
        /// `x * Phi(x)`
        Gelu = "gelu",
        /// `max(x, 0)`
        Relu = "relu",
        /// `tanh(x)`
        Tanh = "tanh",
    }
}

choices! {
    /// What the network's output means.
    PredictionId {
        /// The noise.
        Noise = "noise",
        /// The clean sample.
        Data = "data",
        /// `alpha * noise - sigma * data` (Salimans and Ho 2022).
        Velocity = "velocity",
        /// The score, `-noise / sigma`.
        Score = "score",
        /// EDM preconditioning (Karras et al. 2022).
        Edm = "edm",
        /// Flow matching's `noise - data`.
        Flow = "flow",
    }
}

choices! {
    /// How the loss weighs the levels.
    WeightingId {
        /// The mean square error of the network's own output, unweighted: `L_simple` for noise prediction.
        Simple = "simple",
        /// Mean square error of the data estimate times `min(snr, 5)` (Hang et al. 2023).
        MinSnr = "min-snr",
        /// EDM's `1 / c_out^2` (Karras et al. 2022).
        Edm = "edm",
        /// Likelihood weighting `g^2` of the score error (Song et al. 2021, arXiv 2101.09258).
        Likelihood = "likelihood",
    }
}

choices! {
    /// How the steps of a sampler are spread over the noise levels.
    SpacingId {
        /// Uniform in time.
        Uniform = "uniform",
        /// Quadratic in time: dense near the data.
        Quadratic = "quadratic",
        /// Uniform in log-SNR.
        LogSnr = "log-snr",
        /// Karras et al. 2022: uniform in `sigma^(1/rho)`.
        Karras = "karras",
        /// Every k-th step of a trained chain, from the cleanest (DDPM, DDIM).
        Leading = "leading",
        /// Both ends of a trained chain and equal strides between (improved DDPM).
        Linspace = "linspace",
        /// Every k-th step of a trained chain, from the noisiest (Lin et al. 2023).
        Trailing = "trailing",
        /// The grid that was searched for the weights and this number of steps (Chen et al. 2024). Weights without one,
        /// and points in the plane, have Karras's.
        Searched = "searched",
    }
}

choices! {
    /// How something known beforehand is imposed on samples of a model that was never told of it.
    ControlId {
        /// Not at all.
        None = "none",
        /// What is observed is replaced after every step (Song et al. 2021, appendix I.2).
        Replace = "replace",
        /// The same, going up and down again along the way (RePaint, Lugmayr et al. 2022).
        Repaint = "repaint",
        /// The data estimate is moved onto the observation (DDNM, Wang et al. 2022).
        Project = "project",
        /// The score is guided by the gradient of the observation's likelihood.
        Observe = "observe",
        /// The score is guided towards a class (Dhariwal and Nichol 2021; Ho and Salimans 2022).
        Class = "class",
    }
}

choices! {
    /// How the divergence of the probability flow is computed.
    DivergenceId {
        /// Exactly, by a product with every unit vector.
        Exact = "exact",
        /// Hutchinson's estimate with random signs.
        Signs = "signs",
        /// Hutchinson's estimate with normal numbers.
        Normal = "normal",
    }
}

choices! {
    /// Where a run should be computed.
    DeviceChoice {
        /// Whatever was measured to be faster.
        Auto = "auto",
        /// The CPU, or an error.
        Cpu = "cpu",
        /// WebGPU, or an error.
        Gpu = "gpu",
        /// The machine that serves the page, or an error.
        Remote = "remote",
    }
}

choices! {
    /// What a run of images makes.
    TaskId {
        /// Images from nothing.
        Generate = "generate",
        /// What is missing of an image.
        Inpaint = "inpaint",
        /// The colours of a grey image.
        Colourise = "colourise",
    }
}

choices! {
    /// How what is known of an image is imposed on a model that was never told of it.
    MethodId {
        /// Every estimate is projected onto what is known (DDNM, Wang et al. 2022).
        Project = "project",
        /// Every estimate is guided by what is known, which may be noisy (PiGDM, Song et al. 2023).
        Observe = "observe",
        /// What is known is replaced after every step (Song et al. 2021, appendix I).
        Replace = "replace",
        /// The same, going up and down again along the way (RePaint, Lugmayr et al. 2022).
        Repaint = "repaint",
    }
}

choices! {
    /// How the starting noise of one image is related to that of the next.
    ArrangementId {
        /// Not at all: image `k` has the seed of the run plus `k`.
        Independent = "independent",
        /// The first image has the seed of the run, the others are its neighbours.
        Variations = "variations",
        /// From one seed to another along a great circle.
        Interpolation = "interpolation",
    }
}

choices! {
    /// Whether estimates of images are held within the range of pixels.
    ClipId {
        /// As the network says.
        Never = "never",
        /// Always, as DDPM's sampler does.
        Always = "always",
    }
}

choices! {
    /// The numbers that a network of images computes with.
    PrecisionId {
        /// Single precision.
        Full = "f32",
        /// Half precision on GPUs that have it, for weights and most of what the layers say.
        Half = "f16",
    }
}
