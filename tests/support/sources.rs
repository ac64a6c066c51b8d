//! The project's own sources, as texts.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Every source file below a folder of the project, by its name there.
pub fn sources(folder: &str) -> BTreeMap<String, String> {
    fn collect(folder: &Path, prefix: &str, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).expect("a folder of sources").map(|e| e.expect("an entry")) {
            let name = format!("{prefix}{}", entry.file_name().to_str().expect("a name in UTF-8"));
            if entry.path().is_dir() {
                collect(&entry.path(), &format!("{name}/"), found);
            } else if name.ends_with(".rs") {
                found.insert(name, fs::read_to_string(entry.path()).expect("a readable source"));
            }
        }
    }
    let mut found = BTreeMap::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), "", &mut found);
    found
}
