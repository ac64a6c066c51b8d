//! What only the site that publishes the page knows: its address, which other sites want to have whole where the page's
//! picture is, and where problems are told. Both stand in `index.html`, empty or relative as it is built.

use std::path::Path;
use std::{fs, io};

use crate::card;

/// Writes the address of the page and that for problems, which may be empty, into the page.
///
/// # Errors
/// An address that is none, a page without the places for them, and files that cannot be read or written.
pub fn write(folder: &Path, address: &str, problems: &str) -> io::Result<()> {
    let path = folder.join("index.html");
    let page = placed(&fs::read_to_string(&path)?, address, problems).map_err(io::Error::other)?;
    fs::write(path, page)
}

/// The page with both addresses.
fn placed(page: &str, address: &str, problems: &str) -> Result<String, String> {
    let begins = |address: &str, schemes: &[&str]| schemes.iter().any(|scheme| address.starts_with(scheme));
    if !begins(address, &["https://", "http://"]) || address.contains(['?', '#']) {
        return Err(format!("{address}: expected the address of the page, https://HOST/PATH/"));
    }
    // A text that the visitor presses must not be a program.
    if !(problems.is_empty() || begins(problems, &["https://", "http://", "mailto:"])) {
        return Err(format!("{problems}: expected https://… or mailto:…, to which the details are appended"));
    }
    let picture = format!("{}/{}", address.trim_end_matches('/'), card::FILE);
    let page = with_content(page, "property=\"og:image\"", &picture)?;
    with_content(&page, "name=\"problems\"", problems)
}

/// The page with another content of one of its `meta` elements.
fn with_content(page: &str, of: &str, content: &str) -> Result<String, String> {
    let begin = format!("<meta {of} content=\"");
    let rest = page.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once('"')?.1)));
    let (before, after) = rest.ok_or_else(|| format!("index.html: there is no {begin}"))?;
    let content = content.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    Ok([before, &begin, &content, "\"", after].concat())
}

#[cfg(test)]
mod tests {
    use super::placed;

    const PAGE: &str = include_str!("../../../index.html");

    #[test]
    fn both_addresses_are_in_the_page_and_nothing_else_changes() {
        let problems = "https://a.example/new?template=problem.yml&details=";
        let made = placed(PAGE, "https://a.example/b", problems).unwrap();
        assert!(
            made.contains("<meta property=\"og:image\" content=\"https://a.example/b/social-card.png\">"),
            "{made}"
        );
        assert!(
            made.contains(
                "<meta name=\"problems\" content=\"https://a.example/new?template=problem.yml&amp;details=\">"
            )
        );
        let changed = PAGE.lines().zip(made.lines()).filter(|(old, new)| old != new).count();
        assert_eq!((changed, PAGE.lines().count()), (2, made.lines().count()));
        // Once more, as when the site has moved.
        assert_eq!(placed(&made, "https://a.example/b/", problems).unwrap(), made);
        assert!(placed(&made, "http://c.example", "").unwrap().contains("<meta name=\"problems\" content=\"\">"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for (address, problems) in [
            ("a.example", ""),
            ("javascript:alert(1)", ""),
            ("https://a.example/?b", ""),
            ("https://a.example", "javascript:alert(1)"),
            ("https://a.example", "problems"),
        ] {
            assert!(placed(PAGE, address, problems).is_err(), "{address} {problems}");
        }
        assert!(placed("<html></html>", "https://a.example", "").is_err());
    }
}
