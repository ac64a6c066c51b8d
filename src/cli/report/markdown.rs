//! The report as a table to read: `docs/report.md`.

use crate::lab::Texts;
use crate::protocol::Verdict;
use crate::report::{ClaimRecord, Counts, Report, StudyRecord};
use crate::study::STUDIES;

/// Every claim in a table, chapter by chapter, in the words of the page's English texts.
#[must_use]
pub fn markdown(report: &Report, texts: &Texts) -> String {
    let Counts { studies, claims, .. } = report.counts;
    let (settings, seed, all) = (report.settings.id(), report.seed, STUDIES.len());
    let mut page = format!(
        "# The claims of the sources, and what was measured of them\n\n\
         Written by `scorefield report`: {settings} settings, seed {seed}. The same numbers are in\n\
         [report.json](report.json). {studies} of {all} studies with {claims} claims; {}.\n\n\
         A claim holds where its number and three standard errors on both sides are within its bound, and does not where\n\
         they are outside; otherwise the run has not decided it. On the page a link such as `#experiment=skip` shows the\n\
         study. Numbers with a † are ratios of times: another machine measures others.\n\n",
        report.counts.words()
    );
    page.push_str(&by_source(report, texts));
    for (verdict, title) in [(Verdict::Fails, "Do not hold"), (Verdict::Open, "Not decided")] {
        let found: Vec<String> = claims_of(report)
            .filter(|(_, claim)| claim.verdict == verdict.id())
            .map(|(study, claim)| format!("- {} (`{}`)\n", sentence(study, claim, texts), study.study))
            .collect();
        if !found.is_empty() {
            page.push_str(&format!("## {title}\n\n{}\n", found.concat()));
        }
    }
    let mut chapters: Vec<u8> = report.studies.iter().map(|study| study.chapter).collect();
    chapters.dedup();
    for chapter in chapters {
        page.push_str(&format!("## {}\n\n", texts.get(&format!("chapter.{chapter}"))));
        page.push_str("| sentence | source | experiment | measured | number | verdict |\n|---|---|---|---|---|---|\n");
        for study in report.studies.iter().filter(|study| study.chapter == chapter) {
            study.claims.iter().for_each(|claim| page.push_str(&row(study, claim, texts)));
        }
        page.push('\n');
    }
    page.truncate(page.trim_end().len());
    page + "\n"
}

fn claims_of(report: &Report) -> impl Iterator<Item = (&StudyRecord, &ClaimRecord)> {
    report.studies.iter().flat_map(|study| study.claims.iter().map(move |claim| (study, claim)))
}

/// How many claims of each source have which verdict.
fn by_source(report: &Report, texts: &Texts) -> String {
    let mut table = "| source | claims | hold | do not hold | not decided |\n|---|---|---|---|---|\n".to_owned();
    for (id, name) in [
        ("report", "Report on diffusion models"),
        ("magazine", texts.get("source.magazine")),
        ("article", texts.get("source.article")),
        ("blog", "Text on predictive coding"),
        ("paper", "Papers"),
    ] {
        let of = || claims_of(report).filter(|(_, claim)| claim.source == id);
        let count = |verdict: Verdict| of().filter(|(_, claim)| claim.verdict == verdict.id()).count();
        let [holds, fails, open] = [Verdict::Holds, Verdict::Fails, Verdict::Open].map(count);
        if of().count() > 0 {
            table.push_str(&format!("| {name} | {} | {holds} | {fails} | {open} |\n", of().count()));
        }
    }
    table + "\n"
}

/// The sentence of a claim; its key where it is no longer there.
fn sentence(study: &StudyRecord, claim: &ClaimRecord, texts: &Texts) -> String {
    texts.get(&format!("claim.{}.{}", study.study, claim.claim)).to_owned()
}

fn row(study: &StudyRecord, claim: &ClaimRecord, texts: &Texts) -> String {
    let title = texts.get(&format!("choice.experiment.{}", study.study)).to_owned();
    let measured = texts.get(&format!("claim.{}.{}.measured", study.study, claim.claim)).to_owned();
    let verdict = texts.get(&format!("verdict.{}", claim.verdict)).to_owned();
    let sentence = sentence(study, claim, texts);
    let number = format!("{} {}", claim.number(texts), claim.bound(texts)).trim_end().to_owned();
    let cells = [sentence, claim.source(texts, ", "), title, measured, number, verdict].map(|text| cell(&text));
    format!("| {} |\n", cells.join(" | "))
}

/// What stands in a cell: a bar would end it.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
