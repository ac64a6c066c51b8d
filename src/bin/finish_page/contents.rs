//! The page's contents, one piece of HTML for a language: the chapters with a card for every experiment, and the table of
//! every claim of the sources. The page sets it as it is, and adds what has been measured on the visitor's device.

use scorefield::experiments::EXPERIMENTS;
use scorefield::lab::texts::fill;
use scorefield::lab::{Language, Texts};
use scorefield::plot::number;
use scorefield::protocol::Verdict;
use scorefield::report::{ClaimRecord, Counts, Report, Times};
use scorefield::study::{STUDIES, Study};

use crate::prose::escaped;

/// Heads of the columns of the claims.
const COLUMNS: [&str; 5] =
    ["contents.sentence", "contents.source", "contents.experiment", "contents.measured", "contents.verdict"];

/// What the contents are made of.
pub struct Contents<'a> {
    /// Their language.
    pub language: Language,
    /// Its texts, prose as HTML.
    pub texts: &'a Texts,
    /// What was measured of the claims.
    pub report: &'a Report,
    /// How long the studies take.
    pub times: &'a Times,
}

impl Contents<'_> {
    /// The HTML.
    ///
    /// # Errors
    /// The key of a text that there is not.
    pub fn html(&self) -> Result<String, String> {
        let mut html = self.head()?;
        let others: Result<String, String> =
            EXPERIMENTS.iter().map(|experiment| self.card(experiment.id.id(), None)).collect();
        html += &self.chapter(&self.words("contents.first")?, &others?);
        for studies in STUDIES.chunk_by(|a, b| a.chapter == b.chapter) {
            let cards: Result<String, String> = studies.iter().map(|study| self.card(study.id, Some(study))).collect();
            html += &self.chapter(&self.words(&format!("chapter.{}", studies[0].chapter))?, &cards?);
        }
        Ok(html + &self.table()?)
    }

    /// Title, beginning of the tour, and search.
    fn head(&self) -> Result<String, String> {
        let first = STUDIES.first().map_or("", |study| study.id);
        let [title, lead, tour, search] =
            ["contents.title", "contents.lead", "contents.tour", "contents.search"].map(|key| self.words(key));
        Ok(format!(
            "<div class=\"contents-head\"><h2 id=\"contents-title\">{}</h2><p>{}</p><div class=\"row wrap\">\
             <a class=\"tour-start\" data-testid=\"tour-start\" href=\"#experiment={first}\">{}</a>\
             <label class=\"search\"><span>{}</span> <input type=\"search\" data-testid=\"contents-search\" \
             autocomplete=\"off\" spellcheck=\"false\"></label></div>\
             <p class=\"found\" role=\"status\" data-testid=\"contents-found\"></p></div>\n",
            title?, lead?, tour?, search?
        ))
    }

    fn chapter(&self, title: &str, cards: &str) -> String {
        format!("<section class=\"chapter\"><h3>{title}</h3><ul class=\"cards\">\n{cards}</ul></section>\n")
    }

    /// An experiment: its picture, which says no more than its name, its sentence, its claims, its time.
    fn card(&self, id: &str, study: Option<&Study>) -> Result<String, String> {
        let (name, sentence) = (self.words(&format!("choice.experiment.{id}"))?, self.sentence(id)?);
        let mut notes = String::new();
        if let Some(record) = study.and_then(|study| self.report.find(study.id)) {
            notes += &format!("<p class=\"note\">{}</p>", self.verdicts("contents.claims", record.counts())?);
        }
        if let Some(&seconds) = self.times.seconds.get(id) {
            let words = self.filled("contents.seconds", &[("seconds", &number(seconds, 2))])?;
            notes += &format!("<p class=\"note\" data-takes=\"{id}\" data-seconds=\"{seconds}\">{words}</p>");
        }
        if study.is_some() {
            notes += &format!("<p class=\"note here\" data-here=\"{id}\"></p>");
        }
        Ok(format!(
            "<li class=\"card\" data-card=\"{id}\"><img src=\"pictures/{id}.svg\" alt=\"\" width=\"320\" height=\"200\" \
             loading=\"lazy\"><h4><a href=\"#experiment={id}\">{name}</a></h4><p>{sentence}</p>{notes}</li>\n"
        ))
    }

    /// What an experiment is about: its title, or where that is its name the first sentence of its introduction.
    fn sentence(&self, id: &str) -> Result<String, String> {
        let title = self.words(&format!("experiment.{id}.title"))?;
        if title != self.words(&format!("choice.experiment.{id}"))? {
            return Ok(title);
        }
        let lead = self.get(&format!("experiment.{id}.lead"))?;
        let end = [". ", "。", "؟ "].iter().filter_map(|end| Some(lead.find(end)? + end.trim_end().len())).min();
        Ok(lead[..end.unwrap_or(lead.len())].to_owned())
    }

    /// Every claim of every source, chapter by chapter, folded away.
    fn table(&self) -> Result<String, String> {
        let mut heads = String::new();
        for key in COLUMNS {
            heads += &format!("<th role=\"columnheader\" scope=\"col\">{}</th>", self.words(key)?);
        }
        let mut bodies = String::new();
        for studies in STUDIES.chunk_by(|a, b| a.chapter == b.chapter) {
            let chapter = self.words(&format!("chapter.{}", studies[0].chapter))?;
            bodies += &format!(
                "<tbody role=\"rowgroup\"><tr role=\"row\"><th role=\"rowheader\" scope=\"rowgroup\" colspan=\"5\">{chapter}</th></tr>\n"
            );
            for study in studies {
                for (place, claim) in study.claims.iter().enumerate() {
                    bodies += &self.row(study, place, claim.key)?;
                }
            }
            bodies += "</tbody>\n";
        }
        Ok(format!(
            "<details class=\"all-claims\" data-testid=\"all-claims\"><summary><h3>{}</h3></summary><p class=\"note\">{}</p>\
             <table role=\"table\" class=\"numbers claims-table\"><thead role=\"rowgroup\"><tr role=\"row\">{heads}</tr></thead>\n\
             {bodies}</table></details>\n",
            self.verdicts("contents.all", self.report.counts)?,
            self.filled("contents.how", &[("seed", &self.report.seed.to_string())])?
        ))
    }

    fn row(&self, study: &Study, place: usize, key: &str) -> Result<String, String> {
        let id = study.id;
        let record = self.report.find(id).and_then(|record| record.claims.iter().find(|claim| claim.claim == key));
        let verdict = record.map_or(Verdict::Open.id(), |claim| claim.verdict.as_str());
        let cell = |class: &str, content: &str| format!("<td role=\"cell\" class=\"{class}\">{content}</td>");
        let measured = format!(
            "{}: {}",
            self.words(&format!("claim.{id}.{key}.measured"))?,
            record.map_or_else(|| "–".to_owned(), |claim| self.number(claim))
        );
        let source = record.map(|claim| claim.source(self.texts, self.language.comma())).unwrap_or_default();
        // Names of papers keep their own digits.
        let paper = record.is_some_and(|claim| claim.source == "paper");
        let source = if paper { source } else { self.language.digits(&source) };
        let cells = [
            cell("sentence", &self.get(&format!("claim.{id}.{key}"))?),
            cell("source", &escaped(&source)),
            cell(
                "of",
                &format!("<a href=\"#experiment={id}\">{}</a>", self.words(&format!("choice.experiment.{id}"))?),
            ),
            cell("measured", &measured),
            cell(
                "judged",
                &format!(
                    "<strong class=\"verdict\">{}</strong> <span class=\"here\" data-here=\"{id}\" data-place=\"{place}\"></span>",
                    self.words(&format!("verdict.{verdict}"))?
                ),
            ),
        ];
        Ok(format!("<tr role=\"row\" data-of=\"{id}\" data-verdict=\"{verdict}\">{}</tr>\n", cells.concat()))
    }

    /// A number with its error and its bound, from left to right whatever is around it.
    fn number(&self, claim: &ClaimRecord) -> String {
        let [number, bound] =
            [claim.number(self.texts), claim.bound(self.texts)].map(|text| self.language.digits(&text));
        format!("<bdi dir=\"ltr\">{}</bdi> {}", escaped(&number), escaped(&bound))
    }

    /// A text with the number of claims and how many have which verdict; those that none has are left out.
    fn verdicts(&self, key: &str, counts: Counts) -> Result<String, String> {
        let Counts { claims, holds, fails, open, .. } = counts;
        let mut parts = Vec::new();
        for (verdict, count) in [(Verdict::Holds, holds), (Verdict::Fails, fails), (Verdict::Open, open)] {
            if count > 0 {
                parts.push(fill(&self.get(&format!("contents.{}", verdict.id()))?, &[("count", &count.to_string())]));
            }
        }
        self.filled(key, &[("claims", &claims.to_string()), ("verdicts", &parts.join(self.language.comma()))])
    }

    /// A text, which there must be.
    fn get(&self, key: &str) -> Result<String, String> {
        let text = self.texts.get(key);
        if text == key { Err(format!("{key}: there is no such text")) } else { Ok(text.to_owned()) }
    }

    /// A text that is no prose, for HTML.
    fn words(&self, key: &str) -> Result<String, String> {
        Ok(escaped(&self.get(key)?))
    }

    /// The same with its places filled, and the digits of the language.
    fn filled(&self, key: &str, values: &[(&str, &str)]) -> Result<String, String> {
        Ok(escaped(&self.language.digits(&fill(&self.get(key)?, values))))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use scorefield::experiments::all;

    use super::*;
    use crate::{prose, read_report, read_times};

    /// The contents as the build makes them.
    fn made(language: Language, report: &Report, times: &Times) -> String {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("web").join(language.file());
        let file = prose::finished(&std::fs::read_to_string(path).expect("a locale file")).expect("prose");
        let texts = Texts::read(file.leak());
        Contents { language, texts: &texts, report, times }.html().expect("every text")
    }

    fn kept() -> (Report, Times) {
        (read_report().expect("docs/report.json"), read_times().expect("docs/times.json, or none"))
    }

    /// The values of an attribute, in their order.
    fn values<'a>(html: &'a str, attribute: &str) -> Vec<&'a str> {
        html.split(&format!(" {attribute}=\"")).skip(1).filter_map(|rest| rest.split('"').next()).collect()
    }

    #[test]
    fn every_experiment_has_a_card_and_every_claim_a_row_in_every_language() {
        let (report, times) = kept();
        let experiments: Vec<String> = all().map(|experiment| experiment.id().to_owned()).collect();
        for language in Language::ALL {
            let html = made(language, &report, &times);
            assert_eq!(values(&html, "data-card"), experiments, "{language:?}");
            let rows = values(&html, "data-of");
            let claims = STUDIES.iter().flat_map(|study| study.claims.iter().map(|_| study.id));
            assert_eq!(rows, claims.collect::<Vec<_>>(), "{language:?}");
            let verdicts =
                report.studies.iter().flat_map(|study| study.claims.iter().map(|claim| claim.verdict.as_str()));
            assert_eq!(values(&html, "data-verdict"), verdicts.collect::<Vec<_>>(), "{language:?}");
            // Links lead to experiments, and the tour to the first.
            let links: BTreeSet<&str> =
                values(&html, "href").into_iter().filter(|link| link.starts_with('#')).collect();
            let known: BTreeSet<String> = experiments.iter().map(|id| format!("#experiment={id}")).collect();
            assert_eq!(links, known.iter().map(String::as_str).collect(), "{language:?}");
            assert!(html.contains(&format!("data-testid=\"tour-start\" href=\"#experiment={}\"", STUDIES[0].id)));
            assert!(!html.contains(['{', '}']), "{language:?}: a place that nobody filled");
        }
    }

    #[test]
    fn elements_end_where_they_began_and_names_are_given_once() {
        let (report, times) = kept();
        for language in Language::ALL {
            let html = made(language, &report, &times);
            let mut open: Vec<&str> = Vec::new();
            for tag in html.split('<').skip(1).map(|rest| rest.split('>').next().expect("the end of a tag")) {
                let name = tag.split([' ', '/']).find(|part| !part.is_empty()).expect("a name");
                if tag.starts_with('/') {
                    assert_eq!(open.pop(), Some(name), "{language:?}: {tag}");
                } else if !(tag.ends_with('/') || ["img", "input"].contains(&name)) {
                    open.push(name);
                }
            }
            assert!(open.is_empty(), "{language:?}: {open:?}");
            let ids = values(&html, "id");
            assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{language:?}: {ids:?}");
        }
    }

    #[test]
    fn every_card_says_what_its_experiment_is_about_in_one_sentence() {
        let (report, times) = kept();
        for language in Language::ALL {
            let html = made(language, &report, &times);
            for card in html.split("data-card=\"").skip(1) {
                let name = card.split("<h4>").nth(1).and_then(|rest| rest.split(['>', '<']).nth(2));
                let sentence =
                    card.split("</h4><p>").nth(1).and_then(|rest| rest.split("</p>").next()).expect("a sentence");
                assert!(sentence.chars().count() > 8 && Some(sentence) != name, "{language:?}: {sentence}");
            }
        }
    }

    #[test]
    fn times_are_said_where_they_were_measured_and_numbers_are_those_of_the_report() {
        let (report, _) = kept();
        let measured = STUDIES[1].id;
        let times = Times { machine: String::new(), seconds: BTreeMap::from([(measured.to_owned(), 4.25)]) };
        let english = made(Language::English, &report, &times);
        assert_eq!(values(&english, "data-takes"), [measured]);
        assert_eq!(values(&english, "data-seconds"), ["4.25"]);
        assert!(english.contains("4.3 s") || english.contains("4.2 s"), "rounded");
        let claim = &report.find("score-1d").expect("a study").claims[1];
        assert_eq!((claim.value, claim.error), (Some(0.02101), Some(0.005_814)));
        let number =
            |html: &str, value: &str, error: &str| html.replace('\u{a0}', " ").contains(&format!("{value} ± {error}"));
        assert!(number(&english, "0.02101", "0.0058"), "the number of the report");
        let persian = made(Language::Persian, &report, &times);
        assert!(number(&persian, "۰٫۰۲۱۰۱", "۰٫۰۰۵۸"), "the number of the report");
    }

    #[test]
    fn a_text_that_there_is_not_is_named() {
        let (report, times) = kept();
        let texts = Texts::read("contents.title = Contents");
        let made = Contents { language: Language::English, texts: &texts, report: &report, times: &times }.html();
        assert_eq!(made, Err("contents.lead: there is no such text".to_owned()));
    }

    #[test]
    fn a_study_that_has_not_been_measured_yet_has_a_card_and_open_claims() {
        let (mut report, times) = kept();
        report.studies.retain(|study| study.study != "score-1d");
        let html = made(Language::English, &report, &times);
        assert_eq!(values(&html, "data-card").len(), all().count());
        let of = |id: &str| html.matches(&format!("data-of=\"{id}\" data-verdict=\"open\"")).count();
        assert_eq!(of("score-1d"), STUDIES[0].claims.len());
    }
}
