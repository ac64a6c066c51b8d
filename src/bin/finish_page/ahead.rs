//! The script that asks for the page's files ahead of its program: written by the build because their addresses have the
//! digests of this very build.

use std::path::Path;
use std::{fs, io};

use scorefield::experiments::EXPERIMENTS;
use scorefield::lab::Language;
use scorefield::offline::RELAXED_MODULE;
use scorefield::study;

/// The script's name, beside the page, as `index.html` has it.
const SCRIPT: &str = "ahead.js";
/// Under which name the page keeps its language (`src/ui/memory.rs`).
const LANGUAGE_KEY: &str = "scorefield-language";

/// Writes the script.
///
/// # Errors
/// When it cannot be written.
pub fn write(folder: &Path) -> io::Result<()> {
    fs::write(folder.join(SCRIPT), script())
}

/// The script: the addresses are those that the page's program asks for, to the letter.
fn script() -> String {
    let line = |language: &Language| {
        let texts = format!("./{}?v={}", language.file(), env!("SCOREFIELD_LOCALES"));
        let contents = format!("./{}?v={}", language.contents(), env!("SCOREFIELD_CONTENTS"));
        format!("    {}: ['{texts}', '{contents}'],", language.tag())
    };
    let quoted = |text: &str| format!("'{text}'");
    let models: Vec<&str> = EXPERIMENTS.iter().map(|experiment| experiment.id.id()).collect();
    // The cards that the contents begin with.
    let pictures = models.iter().map(|id| format!("'pictures/{id}.svg'"));
    include_str!("ahead.js.txt")
        .replace("  FILES\n", &(Language::ALL.iter().map(line).collect::<Vec<_>>().join("\n") + "\n"))
        .replace("TABLE-FILE", &format!("./{}?v={}", study::FILE, env!("SCOREFIELD_WIRE")))
        .replace("PICTURE-FILES", &pictures.collect::<Vec<_>>().join(", "))
        .replace("MODEL-NAMES", &models.iter().map(|id| quoted(id)).collect::<Vec<_>>().join(", "))
        .replace("LANGUAGE-KEY", LANGUAGE_KEY)
        .replace("RELAXED-MODULE", &RELAXED_MODULE.map(|byte| byte.to_string()).join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str) -> String {
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path)
    }

    #[test]
    fn every_place_is_filled_and_the_page_begins_with_the_script() {
        let script = script();
        for language in Language::ALL {
            let line = format!("{}: ['./{}?v=", language.tag(), language.file());
            assert!(script.contains(&line) && script.contains(&format!("'./{}?v=", language.contents())), "{script}");
        }
        assert!(script.contains("'pictures/plane.svg'") && script.contains("['plane', 'images']"), "{script}");
        for place in ["FILES\n", "TABLE-FILE", "PICTURE-FILES", "MODEL-NAMES", "LANGUAGE-KEY", "RELAXED-MODULE"] {
            assert!(!script.contains(place), "{place}");
        }
        assert!(source("index.html").contains(&format!("<script src=\"{SCRIPT}\" async></script>")));
    }

    #[test]
    fn what_the_script_knows_of_the_page_is_what_the_page_does() {
        assert!(source("src/ui/memory.rs").contains(&format!("\"{LANGUAGE_KEY}\"")));
        assert!(source("src/share.rs").contains(r#"matches!(key.as_str(), "contents" | "lang" | "v")"#));
        for (file, address) in [
            ("src/ui/words.rs", r#""./{}?v={}", language.file(), env!("SCOREFIELD_LOCALES")"#),
            ("src/ui/contents.rs", r#""./{}?v={}", language.contents(), env!("SCOREFIELD_CONTENTS")"#),
            ("src/ui/catalogue.rs", r#""./{}?v={}", study::FILE, env!("SCOREFIELD_WIRE")"#),
            ("src/ui/bridge.rs", r#""./{}_bg.wasm", stem(slot)"#),
        ] {
            assert!(source(file).contains(address), "{file}");
        }
    }
}
