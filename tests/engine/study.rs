//! The studies whole, with fixed seeds: the numbers behind their figures and claims.

use std::path::Path;

use crate::verdicts::{EXPECTED, unexpected};
use scorefield::diffusion::now;
use scorefield::experiments;
use scorefield::lab::{DeviceChoice, ExperimentId, FIELDS};
use scorefield::nn::checkpoint::Manifest;
use scorefield::nn::device::open;
use scorefield::protocol::{Measured, StudyUpdate, Verdict};
use scorefield::share::from_fragment;
use scorefield::study::{Mark, STUDIES, Study, StudyError, begin, complete, neighbours};

/// Runs a study with these settings.
fn run(study: &Study, settings: &str) -> StudyUpdate {
    let (link, rejected) = from_fragment(&format!("#experiment={}&{settings}", study.id));
    assert_eq!(rejected, [], "{}", study.id);
    let compute = now(open(DeviceChoice::Cpu)).expect("this build has the CPU device");
    let update = now(complete(&link.config, &compute, Path::new(env!("CARGO_MANIFEST_DIR")).join("web").as_path()))
        .expect("the study goes through");
    for m in &update.measured {
        let claim = study.claims[usize::from(m.claim)].key;
        println!("{} {settings} {claim}: {:.4} ± {:.2e} in [{}, {}]", study.id, m.value, m.error, m.low, m.high);
    }
    update
}

fn find(id: &str) -> &'static Study {
    ExperimentId::named(id).and_then(experiments::study).expect("a study")
}

fn claim(study: &Study, update: &StudyUpdate, key: &str) -> Measured {
    let place = study.claims.iter().position(|claim| claim.key == key).expect("a claim of the table");
    *update.measured.iter().find(|m| usize::from(m.claim) == place).expect("it was measured")
}

fn layer<'n>(study: &Study, update: &'n StudyUpdate, figure: &str, layer: &str) -> &'n [f32] {
    let f = study.figures.iter().position(|f| f.key == figure).expect("a figure of the table");
    let l = study.figures[f].layers.iter().position(|l| l.key == layer).expect("a layer of the table");
    let drawing = update.layers.iter().find(|d| (usize::from(d.figure), usize::from(d.layer)) == (f, l));
    &drawing.expect("it was drawn").data.0
}

/// Runs a study briefly: every claim is measured, settled and has the verdict that is expected of it, every layer is
/// drawn, of finite numbers in whole items.
fn whole(id: &str) -> StudyUpdate {
    let study = find(id);
    let update = run(study, &format!("{}&seed=1", study.brief));
    let verdicts: Vec<(&str, Verdict)> =
        study.claims.iter().map(|claim| (claim.key, self::claim(study, &update, claim.key).verdict())).collect();
    let unexpected = unexpected(EXPECTED, id, &verdicts);
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    for figure in study.figures {
        for drawn in figure.layers {
            let data = layer(study, &update, figure.key, drawn.key);
            let what = format!("{id}: {} of {}", drawn.key, figure.key);
            // A table of results has blanks where nothing can be measured.
            let told = |v: &f32| v.is_finite() || drawn.mark == Mark::Table;
            assert!(!data.is_empty() && data.iter().all(told), "{what}");
            if drawn.mark == Mark::Table {
                assert_eq!([data[0], data[1]], [figure.y.names.len() as f32, figure.x.names.len() as f32], "{what}");
                assert_eq!(data.len(), 2 + 2 * (data[0] * data[1]) as usize, "{what}");
            } else if drawn.mark.stride() > 0 {
                assert_eq!(data.len() % drawn.mark.stride(), 0, "{what}");
            } else {
                assert!(matches!(drawn.mark, Mark::Heat | Mark::Picture | Mark::Colours));
                assert_eq!(data.len(), 8 + (data[0] * data[1]) as usize, "{what}");
                assert!(data[6] < data[7], "{what}");
            }
        }
    }
    update
}

#[test]
fn the_tables_are_sound() {
    for study in STUDIES {
        for (i, control) in study.controls.iter().enumerate() {
            let key = control.field.key;
            assert!(FIELDS.iter().all(|field| field.key != key), "{}: {key} is a field of every run", study.id);
            assert!(study.controls[..i].iter().all(|other| other.field.key != key), "{}: {key} twice", study.id);
            if let Some((other, _)) = control.only {
                assert!(study.controls.iter().any(|c| c.field.key == other), "{}: {key}", study.id);
            }
        }
        for handle in study.figures.iter().flat_map(|figure| figure.handles) {
            for key in [handle.x, handle.y] {
                assert!(study.controls.iter().any(|c| c.field.key == key), "{}: handle {key}", study.id);
            }
        }
        assert!(!study.claims.is_empty() && !study.figures.is_empty(), "{}", study.id);
        assert_eq!(STUDIES.iter().filter(|other| other.id == study.id).count(), 1);
    }
    let walked: Vec<&str> =
        std::iter::successors(Some(STUDIES[0]), |study| neighbours(study)[1]).map(|s| s.id).collect();
    assert_eq!(walked, STUDIES.iter().map(|s| s.id).collect::<Vec<_>>(), "the tour passes every study once");
    assert!(STUDIES.is_sorted_by_key(|study| study.chapter), "chapter by chapter");
}

#[test]
fn a_verdict_that_is_not_expected_is_told() {
    let list = [("a", "x", Verdict::Fails), ("b", "y", Verdict::Open)];
    let of = |study, verdicts: &[(&str, Verdict)]| unexpected(&list, study, verdicts).len();
    assert_eq!(of("a", &[("x", Verdict::Fails), ("y", Verdict::Holds)]), 0);
    assert_eq!(of("a", &[("x", Verdict::Holds), ("y", Verdict::Open)]), 2);
    assert_eq!(of("b", &[("x", Verdict::Fails), ("y", Verdict::Open)]), 1);
    for (study, claim, _) in EXPECTED {
        let study = find(study);
        assert!(study.claims.iter().any(|known| known.key == *claim), "{}: there is no claim {claim}", study.id);
    }
}

#[test]
fn score_of_a_density_on_the_line() {
    let study = find("score-1d");
    let update = whole(study.id);
    // The same numbers again, whoever runs it.
    assert_eq!(run(study, &format!("{}&seed=1", study.brief)), update);
    // One Gaussian: the score is a straight line through its mean.
    let update = run(study, "weight-2=0&weight-3=0&mean-1=1&width-1=0.5&langevin-steps=1&chains=100");
    for pair in layer(study, &update, "score", "exact-score").chunks_exact(2).filter(|p| (p[0] - 1.0).abs() < 1.5) {
        assert!((pair[1] + (pair[0] - 1.0) / 0.25).abs() < 2e-3, "{pair:?}");
    }
}

#[test]
fn score_matching_of_a_gaussian() {
    let study = find("gaussian-1d");
    let update = whole(study.id);
    let closed = layer(study, &update, "surface", "closed-form");
    let path = layer(study, &update, "surface", "descent");
    let end = &path[path.len() - 2..];
    assert!((end[0] - closed[0]).abs() < 1e-4 && (end[1] / closed[1] - 1.0).abs() < 1e-4, "{end:?} {closed:?}");
    // The printed loss: the variance rises at every step, and ends far above that of the data.
    let runaway = layer(study, &update, "runaway", "printed-loss");
    assert!(runaway.chunks_exact(2).zip(runaway.chunks_exact(2).skip(1)).all(|(a, b)| b[1] > a[1]));
    assert!(runaway[runaway.len() - 1] > 20.0 * closed[1], "{}", runaway[runaway.len() - 1]);
}

#[test]
fn energy_models_by_three_ways() {
    let study = find("energy");
    whole(study.id);
    for training in ["denoising", "contrast"] {
        let update = run(study, &format!("fit-steps=500&energy-training={training}&seed=1"));
        assert!(claim(study, &update, "learned").value < 0.25, "{training}");
        assert_eq!(claim(study, &update, "constant-free").verdict(), Verdict::Holds, "{training}");
    }
}

#[test]
fn four_kinds_of_score_matching() {
    whole("score-matching");
}

#[test]
fn data_on_a_curve() {
    whole("manifold");
}

#[test]
fn low_density_regions() {
    let study = find("low-density");
    let update = whole(study.id);
    // The error falls from the rarest bins to the densest by far more than an order of magnitude.
    let bins = layer(study, &update, "error-by-density", "mean-error");
    assert!(bins[1] > 10.0 * bins[bins.len() - 1], "{bins:?}");
}

#[test]
fn langevin_dynamics_misses_the_weights_and_annealing_finds_them() {
    let study = find("langevin-weights");
    let update = whole(study.id);
    assert_eq!(run(study, &format!("{}&seed=1", study.brief)), update);
    // A chain goes where its start belongs: beyond the line on which both modes pull alike, x + y = -ln(4) / 10. The sum
    // of two numbers even in [-8, 8] is above -s with probability 1/2 + s / 16 - s^2 / 512.
    let s = 4f64.ln() / 10.0;
    let basin = 0.5 + s / 16.0 - s * s / 512.0;
    for key in ["plain", "adjusted"] {
        let m = claim(study, &update, key);
        // Noise takes as many across one way as the other, to within a hundredth.
        assert!((m.value - basin).abs() < 4.0 * m.error + 0.01, "{key}: {} and {basin}", m.value);
    }
    // More steps a level bring the annealed share nearer to the truth.
    let slow = run(study, "level-steps=400&langevin-steps=10&seed=1");
    let (quick, slow) = (claim(study, &update, "annealed"), claim(study, &slow, "annealed"));
    assert!((slow.value - 0.8).abs() < 4.0 * slow.error, "{slow:?}");
    assert!((quick.value - 0.8).abs() < 0.05, "{quick:?}");
}

#[test]
fn a_network_for_all_noise_levels() {
    whole("ncsn");
}

#[test]
fn a_network_for_all_noise_levels_of_digits() {
    let study = find("ncsn-digits");
    let update = whole(study.id);
    // The network knows more of digits than their size, at every level but the noisiest few, and as much of digits that
    // it has not seen.
    let [blind, held_out] =
        ["no-network", "held-out-loss"].map(|key| layer(study, &update, "by-level", key).chunks_exact(2));
    for (blind, held_out) in blind.zip(held_out).filter(|(blind, _)| blind[0] < 2.0) {
        assert!(held_out[1] < 0.9 * blind[1], "{blind:?} {held_out:?}");
    }
}

#[test]
fn a_learned_score_misses_the_weights_as_the_exact_one_does() {
    let study = find("langevin-weights");
    let update = run(study, "score-source=learned&seed=1");
    for key in ["plain", "adjusted", "annealed"] {
        assert_eq!(claim(study, &update, key).verdict(), Verdict::Holds, "{key}");
    }
}

#[test]
fn the_choices_of_ncsnv2() {
    let study = find("ncsnv2");
    let update = whole(study.id);
    // Nothing is changed: what was chosen is what NCSNv2 chooses, chain by chain.
    for (figure, key) in [("shares", "share"), ("widths", "excess"), ("quality", "frechet")] {
        let bars = layer(study, &update, figure, key);
        assert_eq!(bars[1..3], bars[4..6], "{figure}");
    }
    // Each switch by itself does what its spoiled variant says: worse than all choices together.
    for switch in
        ["sigma-choice=own&sigma-first=1", "ratio-choice=own", "step-choice=own&step-share=0.002", "last-denoising=off"]
    {
        let update = run(study, &format!("chains=400&{switch}&seed=1"));
        let bars = layer(study, &update, "quality", "frechet");
        assert!(bars[1] > 1.2 * bars[4], "{switch}: {bars:?}");
    }
}

#[test]
fn noise_by_the_chain_and_at_once() {
    let study = find("forward");
    let update = whole(study.id);
    // The density of one step back, given the data, is that of the closed form: its peak is where 3-12 has its mean.
    let given = layer(study, &update, "posterior", "step-back-given-data");
    let peak = given.chunks_exact(2).max_by(|a, b| a[1].total_cmp(&b[1])).expect("it was drawn");
    assert!(peak[0].is_finite() && peak[1] > 1.0, "{peak:?}");
    // The divergence of a step back from a Gaussian, by another program's quadrature.
    let golden: serde_json::Value = serde_json::from_str(include_str!("../golden/step_back.json")).expect("it is JSON");
    for case in golden.as_array().expect("a list of cases") {
        let number = |key: &str| case[key].as_f64().expect("a number");
        let (steps, step, noisy) = (number("steps"), number("step"), number("noisy"));
        let settings = format!("chain-steps={steps}&look-at={}&x-noisy={noisy}&chains=100", step / steps);
        let found = claim(study, &run(study, &settings), "posterior").value;
        assert!((found - number("divergence")).abs() < 1e-9 + 1e-6 * number("divergence"), "{case} {found}");
    }
    // A chain of few steps has bumps: a step back is then no Gaussian, but given the data it still is.
    let few = run(study, "chain-steps=20&look-at=0.1&x-noisy=-1&seed=1");
    assert_eq!(claim(study, &few, "posterior").verdict(), Verdict::Fails, "bumps");
    assert_eq!(claim(study, &few, "exact").verdict(), Verdict::Holds);
}

#[test]
fn noise_becomes_data_and_not_by_the_printed_formula() {
    let study = find("ancestral");
    let update = whole(study.id);
    // The same size as in the forward process all the way, and as printed less than half of it in the end.
    let last = |key: &str| *layer(study, &update, "spread", key).last().expect("it was drawn");
    assert!((last("right-formula") - 1.0).abs() < 0.1, "{}", last("right-formula"));
    let learned = run(study, "score-source=learned&chain-steps=200&chains=1000&seed=1");
    assert_eq!(claim(study, &learned, "samples").verdict(), Verdict::Holds, "learned");
}

#[test]
fn the_bound_of_a_chain_term_by_term() {
    let study = find("bound");
    let update = whole(study.id);
    let independent = layer(study, &update, "bits", "independent-pixels")[1];
    let uniform = layer(study, &update, "bits", "uniform-greys")[1];
    assert!((uniform - 17f32.log2()).abs() < 1e-6 && independent < 0.65 * uniform, "{uniform} {independent}");
    // The cumulative shares rise to all but the end of the chain, which costs next to nothing.
    for key in ["trained-simple", "trained-bound"] {
        let shares = layer(study, &update, "cumulative", key);
        assert!(shares.chunks_exact(2).zip(shares.chunks_exact(2).skip(1)).all(|(a, b)| b[0] > a[0] && b[1] >= a[1]));
        assert!((shares[shares.len() - 1] - 1.0).abs() < 1e-3, "{key}");
        // A term is the weight times the error of the noise, and what no network changes.
        let [errors, terms] = ["errors", "terms"].map(|figure| layer(study, &update, figure, key));
        let weights = layer(study, &update, "errors", "bound-weight");
        let by_error = errors.chunks_exact(2).skip(1).zip(weights.chunks_exact(2));
        for ((error, weight), term) in by_error.zip(terms.chunks_exact(2)) {
            assert!(error[0] == term[0] && term[1] >= 0.999 * error[1] * weight[1], "{error:?} {weight:?} {term:?}");
        }
    }
}

#[test]
fn skipping_the_beginning_of_the_way_back() {
    let study = find("skip");
    let update = whole(study.id);
    // The erratum: it is the linear schedule that destroys images quickly, at every step between the ends.
    let [linear, cosine] = ["linear-8", "cosine-8"].map(|key| layer(study, &update, "known", key).chunks_exact(2));
    assert!(linear.zip(cosine).skip(1).take(99).all(|(linear, cosine)| linear[1] < cosine[1]));
    // Larger images keep more of themselves.
    let [large, small] = ["linear-64", "linear-8"].map(|key| layer(study, &update, "mismatch", key).chunks_exact(2));
    assert!(large.zip(small).all(|(large, small)| large[1] > 10.0 * small[1]));
    // At 8 by 8 pixels the claims are still those of 64 by 64, and neither schedule minds skipping a fifth.
    let small = run(study, &format!("{}&resolution=8&chain-walk=30&seed=1", study.brief));
    assert_eq!(small.measured.len(), study.claims.len());
    assert_eq!(claim(study, &small, "cosine").verdict(), Verdict::Holds);
    for key in ["linear-table", "cosine-table"] {
        let curve: Vec<&[f32]> = layer(study, &small, "skip", key).chunks_exact(2).collect();
        let fifth = curve.iter().rev().find(|at| at[0] < 0.23).expect("a fifth is among the shares");
        assert!(fifth[1] < 1.25 * curve[0][1], "{key}: {curve:?}");
    }
}

#[test]
fn a_learned_variance_of_the_steps() {
    let study = find("variance");
    let update = whole(study.id);
    let [small, large, best, learned] = ["small-variance", "large-variance", "best-constant", "learned-variance"]
        .map(|key| layer(study, &update, "bits", key).chunks_exact(2).map(<[f32]>::to_vec).collect::<Vec<_>>());
    assert_eq!(small.iter().map(|bits| bits[0]).collect::<Vec<_>>(), [10.0, 25.0, 100.0, 1000.0]);
    for (chain, learned) in learned.iter().enumerate() {
        assert!(learned[1] < large[chain][1] && learned[1] < small[chain][1], "{learned:?}");
        // No constant is better than the best, and a variance of each pixel's own is worth more than that.
        assert!(best[chain][1] <= large[chain][1].min(small[chain][1]), "{:?}", best[chain]);
    }
}

#[test]
fn few_steps_back() {
    let study = find("few-steps");
    let update = whole(study.id);
    // More evaluations without fresh noise are better, as far as there is much to gain.
    let still: Vec<&[f32]> = layer(study, &update, "quality", "eta-none").chunks_exact(2).collect();
    assert_eq!(still.iter().map(|at| at[0]).collect::<Vec<_>>(), [4.0, 10.0, 20.0, 50.0, 100.0, 200.0]);
    assert!(still[0][1] > 1.5 * still[1][1] && still[1][1] > still[3][1], "{still:?}");
    // Every rule goes through, with fresh noise in pictures and ways as well.
    for subset in ["leading", "trailing", "quadratic"] {
        let settings = format!("fit-steps=10&fit-width=8&sample-count=100&fewest=10&eta-share=0.7&subset={subset}");
        let update = run(study, &settings);
        assert_eq!(update.measured.len(), study.claims.len(), "{subset}");
        let drawn = layer(study, &update, "quality", "sigma-hat");
        assert_eq!(drawn.len(), 2 * 4, "{subset}");
        assert!(drawn.iter().all(|v| v.is_finite()), "{subset}");
    }
}

#[test]
fn chains_and_their_differential_equations() {
    let study = find("sdes");
    let update = whole(study.id);
    // The chain of DDPM is not its limit, by less for longer ones; that of NCSN is at every length.
    let vp = layer(study, &update, "limit", "gap-vp");
    assert!(vp.chunks_exact(2).zip(vp.chunks_exact(2).skip(1)).all(|(a, b)| b[1] < a[1]), "{vp:?}");
    assert!(layer(study, &update, "limit", "gap-ve").chunks_exact(2).all(|gap| gap[1] < 1e-9));
    // Each equation has a prior of its own, and both equations with a drift forget the data.
    let table = layer(study, &update, "table", "sde-ends");
    assert_eq!([table[2], table[12], table[22]], [50.0, 1.0, 1.0]);
    // Noise that ends where the data are still seen is no prior.
    let weak = run(study, "sde=ve&sigma-most=5&chains=200&seed=1");
    assert_eq!(claim(study, &weak, "prior").verdict(), Verdict::Fails);
}

#[test]
fn one_network_for_every_equation() {
    let study = find("one-net");
    let update = whole(study.id);
    let same = layer(study, &update, "agree", "same-levels");
    assert!(same.chunks_exact(2).all(|at| at[1] < 1e-4), "{same:?}");
}

#[test]
fn solvers_of_the_reverse_equation() {
    let study = find("reverse-sde");
    let update = whole(study.id);
    // The same evaluations for all of them: a corrector has half the steps.
    for key in ["euler-maruyama", "reverse-diffusion", "ancestral", "predictor-corrector"] {
        let near: Vec<&[f32]> = layer(study, &update, "near", key).chunks_exact(2).collect();
        assert_eq!(near.iter().map(|at| at[0]).collect::<Vec<_>>(), [10.0, 20.0, 50.0, 100.0, 200.0, 400.0], "{key}");
    }
}

#[test]
fn the_probability_flow_and_its_likelihood() {
    let study = find("flow");
    let update = whole(study.id);
    // Paths of the SDE change places in about half of the pairs, those of the flow in none.
    let crossed = layer(study, &update, "order", "pairs-crossed");
    assert!((crossed[1] - 0.5).abs() < 0.05 && crossed[4] == 0.0, "{crossed:?}");
    // A tighter tolerance takes more evaluations, and what it gives is nearer.
    for key in ["rk45-ends", "rk45-density"] {
        let costs: Vec<&[f32]> = layer(study, &update, "cost", key).chunks_exact(2).collect();
        assert!(costs.windows(2).all(|pair| pair[1][0] >= pair[0][0]), "{key}: {costs:?}");
        assert!(costs[costs.len() - 1][1] < 0.1 * costs[0][1], "{key}: {costs:?}");
    }
    let settings = "fit-steps=10&fit-width=8&points-judged=100&chains=100";
    for more in ["sde=ve&plane-data=two", "sde=sub-vp&plane-data=three"] {
        let update = run(study, &format!("{settings}&{more}&seed=1"));
        assert_eq!(update.measured.len(), study.claims.len(), "{more}");
    }
}

#[test]
fn control_in_the_plane() {
    let study = find("control-plane");
    let update = whole(study.id);
    // Guided samples have the exact shares, each to within what a draw of them varies.
    let exact = layer(study, &update, "shares", "exact-share").chunks_exact(3).map(|bar| bar[1]);
    let guided = layer(study, &update, "shares", "guided").chunks_exact(2).map(|dot| dot[1]);
    assert!(exact.zip(guided).all(|(exact, guided)| (exact - guided).abs() < 0.04));
    // A class is obeyed by guidance alone.
    let class = run(study, "condition=class&wanted-mode=2&chains=1000&seed=1");
    let obeyed: Vec<f32> = layer(study, &class, "obey", "obeyed").chunks_exact(3).map(|bar| bar[1]).collect();
    assert!(obeyed[4] > 0.9 && obeyed[..4].iter().all(|share| *share < 0.45), "{obeyed:?}");
    assert_eq!(class.measured.len(), study.claims.len());
    let noisy =
        run(study, "condition=grey&observed-noise=0.5&score-source=learned&fit-steps=10&fit-width=8&chains=100");
    assert_eq!(noisy.measured.len(), study.claims.len());
}

#[test]
fn digits_completed_made_to_order_and_coloured() {
    let study = find("control-digits");
    let update = whole(study.id);
    // Stronger guidance is obeyed more; without it a digit is any of ten.
    let right: Vec<&[f32]> = layer(study, &update, "right", "judged-right").chunks_exact(2).collect();
    assert!((right[0][1] - 0.1).abs() < 0.06 && right.windows(2).all(|pair| pair[1][1] > pair[0][1]), "{right:?}");
    for hole in ["upper", "left", "right", "random"] {
        let settings =
            format!("hole={hole}&scale=0.5&passes=2&fit-steps=10&fit-width=8&sample-count=100&colour-steps=10");
        let update = run(study, &settings);
        assert_eq!(update.measured.len(), study.claims.len(), "{hole}");
    }
}

#[test]
fn two_networks_agree_on_the_code_of_a_point() {
    let study = find("codes");
    let update = whole(study.id);
    // Heun's method: half the step, a quarter of the error at most.
    for key in ["first-network", "other-network"] {
        let back: Vec<&[f32]> = layer(study, &update, "back", key).chunks_exact(2).collect();
        assert_eq!(back.iter().map(|at| at[0]).collect::<Vec<_>>(), [8.0, 15.0, 30.0, 60.0]);
        assert!(back.windows(2).all(|pair| pair[1][1] < 0.25 * pair[0][1]), "{key}: {back:?}");
    }
    // Turned as well as can be they agree no less.
    let bars = layer(study, &update, "agreement", "r-squared");
    assert!(bars[10] > bars[7] && bars[10] <= 1.0, "{bars:?}");
    // A network agrees with itself.
    let same = run(study, "fit-steps=20&fit-width=8&other-width=8&other-seed=0&points-judged=100");
    assert_eq!(same.measured.len(), study.claims.len());
    let bars = layer(study, &same, "agreement", "r-squared");
    assert!(bars[7] > 0.9999 && bars[13] > 0.9999, "{bars:?}");
}

#[test]
fn a_variational_autoencoder_and_its_price() {
    let study = find("vae");
    let update = whole(study.id);
    // The two terms make up the bound, and it ends above the exact value.
    let [bound, reconstruction, divergence] = ["negative-bound", "reconstruction-term", "latent-divergence"]
        .map(|key| layer(study, &update, "elbo", key).chunks_exact(2).last().expect("it was drawn")[1]);
    assert!((bound - reconstruction - divergence).abs() < 1e-4, "{bound} {reconstruction} {divergence}");
    assert!(bound > layer(study, &update, "elbo", "exact-likelihood")[1]);
    // Every setting goes through: one latent number, a fixed decoder, the grid.
    let settings = "vae-data=grid&latent-size=1&hidden-layers=1&decoder-noise=fixed&kl-weight=0.5&fit-steps=40";
    let update = run(study, &format!("{settings}&fit-width=8&digit-steps=10&sample-count=100"));
    assert_eq!(update.measured.len(), study.claims.len());
    assert_eq!(layer(study, &update, "latent", "mode-1")[1], 0.0);
}

#[test]
fn a_diffusion_model_as_a_hierarchical_autoencoder() {
    let study = find("hierarchy");
    let update = whole(study.id);
    // Level by level the same, to within what 4000 points leave.
    let [bars, dots] = [("bound-term", 3), ("hierarchy-term", 2)].map(|(key, stride)| {
        layer(study, &update, "terms", key).chunks_exact(stride).map(|item| item[1]).collect::<Vec<_>>()
    });
    assert_eq!((bars.len(), dots.len()), (4, 4));
    assert!(bars.iter().zip(&dots).all(|(bar, dot)| (bar - dot).abs() < 0.15), "{bars:?} {dots:?}");
    let update = run(study, "rungs=1&score-source=learned&fit-steps=20&fit-width=8&plane-data=three");
    assert_eq!(update.measured.len(), study.claims.len());
}

#[test]
fn adversarial_networks_leave_modes_out() {
    let study = find("gan");
    let update = whole(study.id);
    // With endless data the critic is not too sure of them: the diffusion stays short.
    assert!(layer(study, &update, "adaptive", "noisy-game").chunks_exact(2).all(|at| at[1] < 100.0));
    // Every setting goes through.
    let settings = "gan-data=grid&saturating=yes&data-supply=hundred&diffusion-noise=0&diffusion-longest=10";
    let update = run(study, &format!("{settings}&fit-steps=30&fit-width=8&hidden-layers=1&latent-size=1&fit-batch=16"));
    assert_eq!(update.measured.len(), study.claims.len());
    assert!(layer(study, &update, "shares", "plain-game").iter().all(|v| v.is_finite()));
}

#[test]
fn a_few_large_steps_by_adversarial_networks() {
    let study = find("denoising-gan");
    let update = whole(study.id);
    assert_eq!(layer(study, &update, "quality", "near-a-mode").len(), 3 * 4);
    for steps in [1, 3] {
        let settings = format!("big-steps={steps}&fit-steps=30&fit-width=8&hidden-layers=1&fit-batch=16");
        let update = run(study, &settings);
        assert_eq!(update.measured.len(), study.claims.len(), "{steps}");
        assert_eq!(layer(study, &update, "quality", "near-a-mode").len(), 3 * 4, "{steps}");
    }
}

#[test]
fn every_family_gives_up_one_of_three() {
    let study = find("trilemma");
    let update = whole(study.id);
    // All networks are as large as one another, to 12 %.
    let price = layer(study, &update, "price", "results");
    let parameters: Vec<f32> = (1..8).map(|row| price[2 + 2 * (5 * row + 3)]).collect();
    let [least, most] = [f32::min, f32::max].map(|of| parameters.iter().copied().reduce(of).expect("seven models"));
    assert!(least > 15_000.0 && most < 1.12 * least, "{parameters:?}");
    // More evaluations take as many times as long.
    let speeds: Vec<f32> = (3..7).map(|row| price[2 + 2 * (5 * row + 1)]).collect();
    assert!((speeds[1] / speeds[0] / 20.0 - 1.0).abs() < 1e-4 && speeds[3] > speeds[2], "{speeds:?}");
    // Every further round keeps the points of those before.
    let settings = "rounds=2&budget=0.1&fit-batch=16&sample-count=100&gan-data=grid&latent-size=16";
    let update = run(study, settings);
    assert_eq!(update.measured.len(), study.claims.len());
    for (key, count) in [("data", 2), ("vae-model", 2), ("ddpm-1000", 2), ("ddim-fewer", 6), ("denoising-gan", 2)] {
        assert_eq!(layer(study, &update, "quality", key).len(), 2 * count, "{key}");
    }
}

#[test]
fn the_table_of_distances() {
    let study = find("fid-table");
    let update = whole(study.id);
    let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/web/weights/cifar-32/manifest.json"));
    let fid = Manifest::from_json(&manifest.unwrap()).unwrap().fid.unwrap();
    let table = layer(study, &update, "table", "results");
    let cell = |row: usize, column: usize| table[2 + 2 * (7 * row + column)];
    let rows = [
        [25.32, 1000.0, 30.1, 10.87],
        [10.87, 1161.0, 29.7, f32::NAN],
        [3.17, 1000.0, 35.7, 3.17],
        [2.20, 2000.0, 107.6, 2.20],
        [2.41, 1000.0, 106.6, 2.41],
        [1.97, 35.0, 55.7, f32::NAN],
        // The weights that come with the page, as their manifest says.
        [fid.value as f32, fid.evaluations as f32, f32::NAN, f32::NAN],
    ];
    for (row, known) in rows.iter().enumerate() {
        for (column, known) in [0, 1, 4, 6].into_iter().zip(known) {
            let found = cell(row, column);
            assert!(found == *known || found.is_nan() && known.is_nan(), "row {row}, column {column}: {found}");
        }
    }
    assert_eq!([cell(0, 2), cell(0, 3), cell(6, 2), cell(6, 3)], [50_000.0, 50_000.0, fid.images as f32, 5000.0]);
    let networks = layer(study, &update, "architectures", "results");
    let counted = architectures();
    println!("{counted:?}");
    for (row, counted) in counted.iter().enumerate() {
        for (column, counted) in counted.iter().enumerate() {
            let said = f64::from(networks[2 + 2 * (5 * row + column)]);
            assert!(
                (said - counted).abs() < 6e-4 * counted.max(1.0),
                "row {row}, column {column}: {said} for {counted}"
            );
        }
        assert_eq!(networks[2 + 2 * (5 * row + 4)], cell(row, 0));
    }
    let blocks = |key: &str, stride: usize| -> Vec<f32> {
        layer(study, &update, "counts", key).chunks_exact(stride).map(|item| item[1]).collect()
    };
    assert_eq!(blocks("blocks-printed", 3), [6.0, 8.0, 16.0, 16.0]);
    assert_eq!(blocks("blocks-encoder", 2), [8.0, 8.0, 16.0, 32.0]);
    assert_eq!(blocks("blocks-decoder", 2), [20.0, 12.0, 20.0, 36.0]);
}

/// Of the published networks, residual blocks, millions of parameters, billions of products and the receptive field.
fn architectures() -> [[f64; 4]; 6] {
    use scorefield::nn::unet::{Refine, Song, Style, UNetConfig};
    let song = |song, multipliers: &[usize], layers| UNetConfig {
        multipliers: multipliers.to_vec(),
        layers,
        style: Style::Song(song),
        ..UNetConfig::cifar10()
    };
    let deep = &[1, 2, 2, 2];
    let networks = [
        UNetConfig::refine(Refine::NCSN, 128),
        UNetConfig::refine(Refine::NCSN_V2, 128),
        UNetConfig::cifar10(),
        song(Song::NCSN_PP, deep, 8),
        song(Song::DDPM_PP, deep, 8),
        song(Song::DDPM_PP, &[2, 2, 2], 4),
    ];
    networks.map(|config| {
        let network = config.init(0, &burn::tensor::Device::flex()).unwrap();
        let parameters = network.parameters();
        // One first convolution a block; RefineNet's units on the way up have two convolutions each.
        let named = |part: &str| parameters.iter().filter(|parameter| parameter.name.contains(part)).count();
        let units = parameters.iter().filter(|p| {
            let chained = p.name.contains(".adapt.") || p.name.contains(".output.");
            chained && p.name.ends_with(".conv.weight")
        });
        let blocks = named(".conv1.weight") + units.count() / 2;
        let learned = parameters.iter().filter(|p| !["time_proj.weight", "sigmas.weight"].contains(&p.name.as_str()));
        let millions = learned.map(scorefield::nn::unet::Parameter::count).sum::<usize>() as f64 / 1e6;
        let products = network.cost(32).products as f64 / 1e9;
        [blocks as f64, millions, products, network.receptive_field() as f64]
    })
}

#[test]
fn the_table_of_distances_says_that_its_own_row_is_missing() {
    let study = find("fid-table");
    let (link, _) = from_fragment(&format!("#experiment={}", study.id));
    let compute = now(open(DeviceChoice::Cpu)).expect("this build has the CPU device");
    for file in [Err("it is not there".to_owned()), Ok(b"{}".to_vec())] {
        let mut running = begin(&link.config, &compute).expect("it is a study");
        let ended = loop {
            match now(running.advance(true, || 0.0)) {
                Ok(false) if running.wanted().is_some() => running.give(file.clone()),
                Ok(false) => {}
                ended => break ended,
            }
        };
        assert!(matches!(ended, Err(StudyError::Unreachable(_) | StudyError::File(_))), "{file:?}: {ended:?}");
        // All that is published is there.
        let update = running.take();
        assert_eq!(update.measured.len(), study.claims.len());
        let table = layer(study, &update, "table", "results");
        assert!(table[2] == 25.32 && table[2 + 2 * 7 * 6].is_nan());
    }
}

#[test]
fn predictive_coding_learns_as_backpropagation_does() {
    let study = find("coding");
    let update = whole(study.id);
    // Errors come down by a layer a step: in the map of them, what is not reached yet has the lowest colour.
    let map = layer(study, &update, "front", "log-layer-error");
    let [columns, rows] = [map[0] as usize, map[1] as usize];
    for (place, value) in map[8..].iter().enumerate() {
        let (step, layer) = (place % columns, place / columns + 1);
        assert_eq!(*value == map[6], layer + step < rows, "layer {layer}, step {step}: {value}");
    }
    // Gradients of frozen predictions and of Z-IL are those of backpropagation, whatever the form.
    for settings in ["coding-rule=frozen&skip=plain", "coding-rule=z-il&output-loss=cross-entropy&skip=scaled"] {
        let update = run(study, &format!("fit-steps=20&coding-layers=7&{settings}&seed=1"));
        for key in ["before-training", "after-training"] {
            let cosines = layer(study, &update, "angle", key);
            assert!(cosines.chunks_exact(2).all(|at| at[1] > 0.9999), "{settings} {key}: {cosines:?}");
        }
    }
    for settings in ["coding-rule=errors&optimiser=momentum&skip=mupc", "optimiser=layer-adaptive&coding-layers=2"] {
        let update = run(study, &format!("fit-steps=20&{settings}&seed=1"));
        assert_eq!(update.measured.len(), study.claims.len(), "{settings}");
    }
}

#[test]
fn predictive_coding_in_deep_networks() {
    let study = find("coding-depth");
    let update = whole(study.id);
    let accuracy = |key: &str| layer(study, &update, "depth", key).to_vec();
    assert_eq!(accuracy("predictive-coding").iter().step_by(2).copied().collect::<Vec<_>>(), [5.0, 10.0, 20.0]);
    // With the errors as variables depth costs less.
    assert!(accuracy("error-variables")[5] > accuracy("predictive-coding")[5]);
    let all = run(study, "depths=all&fit-steps=10&fit-width=8&fit-batch=16&seed=1");
    assert_eq!(layer(study, &all, "depth", "mupc-skip").len(), 2 * 7);
}
