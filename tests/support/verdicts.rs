//! The verdicts that the claims of the studies are expected to have, natively and in a browser.

use scorefield::protocol::Verdict;
use scorefield::report::TIMED;

/// Study, claim and verdict of every claim that does not hold, with seed 1 and the study's brief settings: sentences of
/// the sources that are wrong or too strong. All others hold.
pub const EXPECTED: &[(&str, &str, Verdict)] = &[
    ("skip", "any", Verdict::Fails),
    // Holds with the default's longer training.
    ("one-net", "training", Verdict::Fails),
    ("reverse-sde", "pc", Verdict::Fails),
    ("control-plane", "replace", Verdict::Fails),
    // Holds with the default's longer training.
    ("hierarchy", "learned", Verdict::Fails),
    ("gan", "saddle", Verdict::Fails),
    ("denoising-gan", "better-with-steps", Verdict::Fails),
    ("trilemma", "train-vae", Verdict::Fails),
    ("fid-table", "ncsn", Verdict::Fails),
    ("fid-table", "encoder", Verdict::Fails),
    ("coding-depth", "bidirectional-learns", Verdict::Fails),
    ("coding-depth", "plain-skip", Verdict::Fails),
];

/// What of these verdicts on the claims of a study, `claim, verdict`, is not as expected: a claim that is not listed and
/// does not hold, or one that is listed with another verdict. On a machine that is busy elsewhere the error of a ratio of
/// times may be too large for a verdict, which is then open and no contradiction.
pub fn unexpected(list: &[(&str, &str, Verdict)], study: &str, verdicts: &[(&str, Verdict)]) -> Vec<String> {
    let expected = |claim: &str| {
        let listed = list.iter().find(|(of, key, _)| (*of, *key) == (study, claim));
        listed.map_or(Verdict::Holds, |(_, _, verdict)| *verdict)
    };
    let told = |(claim, verdict): &(&str, Verdict)| format!("{study}: {claim}: {verdict:?}, not {:?}", expected(claim));
    let open = |claim: &str, verdict: Verdict| verdict == Verdict::Open && TIMED.contains(&(study, claim));
    let other = |(claim, verdict): &&(&str, Verdict)| expected(claim) != *verdict && !open(claim, *verdict);
    verdicts.iter().filter(other).map(told).collect()
}
