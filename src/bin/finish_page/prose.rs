//! Prose of the locale files as HTML: formulas, which stand in LaTeX between dollar signs, become MathML, and
//! `[words](#settings)` become links to other experiments of the page.
//!
//! The page sets this HTML as it is. Browsers lay formulas out from left to right inside Persian too, and read them aloud.

use math_core::{LatexToMathML, MathCoreConfig, MathDisplay};

/// A locale file with its prose as HTML.
///
/// # Errors
/// A sentence that names the text: a formula that does not end or is no LaTeX, or one where the page shows plain text.
pub fn finished(file: &str) -> Result<String, String> {
    let converter = LatexToMathML::new(MathCoreConfig::default()).map_err(|error| format!("{error:?}"))?;
    let mut lines = String::with_capacity(file.len() * 5 / 4);
    for line in file.lines() {
        match line.split_once(" = ") {
            Some((key, text)) if !line.starts_with('#') && is_prose(key) => {
                let html = html(text, &converter).map_err(|error| format!("{key}: {error}"))?;
                lines.extend([key, " = ", &html]);
            }
            Some((key, text)) if !line.starts_with('#') && text.contains('$') => {
                return Err(format!("{key}: expected plain text, found a formula"));
            }
            _ => lines.push_str(line),
        }
        lines.push('\n');
    }
    Ok(lines)
}

/// Whether the page shows the text with this key as HTML: introductions, claims and remarks.
fn is_prose(key: &str) -> bool {
    let parts: Vec<&str> = key.split('.').collect();
    matches!(parts[..], ["experiment", _, "lead" | "see"] | ["claim", _, _] | ["note", ..])
}

fn html(text: &str, converter: &LatexToMathML) -> Result<String, String> {
    let mut html = String::with_capacity(text.len());
    for (i, part) in text.split('$').enumerate() {
        if i % 2 == 0 {
            html.push_str(&linked(&escaped(part)));
        } else {
            let formula = converter.convert_with_local_state(part, MathDisplay::Inline);
            html.push_str(&formula.map_err(|error| format!("{part}: {error:?}"))?.mathml);
        }
    }
    if text.matches('$').count().is_multiple_of(2) { Ok(html) } else { Err("a formula without an end".to_owned()) }
}

/// Plain text for HTML.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Escaped text with its links: `[words](#settings)`, and no other address.
fn linked(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(middle) = rest.find("](#") {
        let (before, after) = rest.split_at(middle);
        let Some((start, end)) = before.rfind('[').zip(after.find(')')) else { break };
        html.extend([&before[..start], "<a href=\"", &after[2..end], "\">", &before[start + 1..], "</a>"]);
        rest = &after[end + 1..];
    }
    html + rest
}

#[cfg(test)]
mod tests {
    use super::finished;
    use scorefield::lab::Language;

    #[test]
    fn formulas_of_prose_become_mathml_and_the_rest_is_escaped() {
        let file = "# a < b\nnote.a.b = If a < b, $x_t$ & $\\sqrt{2}$.\npage.title = a < b\n";
        let made = finished(file).unwrap();
        let lines: Vec<&str> = made.lines().collect();
        assert_eq!((lines[0], lines[2]), ("# a < b", "page.title = a < b"));
        assert!(lines[1].starts_with("note.a.b = If a &lt; b, <math>"), "{}", lines[1]);
        assert!(lines[1].contains("<msub><mi>x</mi><mi>t</mi></msub>") && lines[1].contains("<msqrt>"), "{}", lines[1]);
        assert!(lines[1].contains("</math> &amp; <math>") && lines[1].ends_with("</math>."), "{}", lines[1]);
    }

    #[test]
    fn links_of_prose_lead_to_settings_of_the_page_and_nothing_else_is_one() {
        let made = finished("note.a.b = In [0, 1] a [picture](#experiment=images&task=inpaint) and [x](http://y).\n");
        let expected =
            "note.a.b = In [0, 1] a <a href=\"#experiment=images&amp;task=inpaint\">picture</a> and [x](http://y).\n";
        assert_eq!(made.unwrap(), expected);
    }

    #[test]
    fn what_is_no_formula_is_an_error_with_the_name_of_its_text() {
        for (file, found) in [
            ("note.a.b = costs $5", "note.a.b: a formula without an end"),
            ("claim.a.b = $\\nothing$", "claim.a.b: \\nothing"),
            ("page.title = $x$", "page.title: expected plain text"),
            ("claim.a.b.measured = $x$", "claim.a.b.measured: expected plain text"),
        ] {
            let error = finished(file).unwrap_err();
            assert!(error.starts_with(found), "{error}");
        }
    }

    #[test]
    fn every_text_of_the_page_can_be_finished() {
        for language in Language::ALL {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("web").join(language.file());
            let made = finished(&std::fs::read_to_string(path).unwrap()).unwrap();
            assert!(made.contains("<math>"), "{language:?}");
        }
    }
}
