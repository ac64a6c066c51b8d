//! A program of the page, its own or a worker's, made smaller than wasm-bindgen leaves it without a change of what it does:
//! nothing in it that is for tools, short names of what it takes from its script, every function once, in an order that
//! compresses well.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use super::copies::gzip;
use super::module::Module;
use super::order::smallest;

/// How the file of a program ends; that of its script is called as it is otherwise.
pub const ENDING: &str = "_bg.wasm";

/// Finishes a program and its script.
///
/// # Errors
/// When they cannot be read or written, or are not of the kind that wasm-bindgen writes.
pub fn finish(program: &Path) -> io::Result<()> {
    let script = program.to_str().and_then(|path| path.strip_suffix(ENDING)).map(|stem| format!("{stem}.js"));
    let script = script.ok_or_else(|| unknown(program))?;
    let (module, text) =
        finished(&fs::read(program)?, &fs::read_to_string(&script)?).ok_or_else(|| unknown(program))?;
    fs::write(program, module)?;
    fs::write(script, text)
}

fn unknown(program: &Path) -> io::Error {
    io::Error::other(format!("{}: a program of a kind that is not known here", program.display()))
}

fn finished(module: &[u8], script: &str) -> Option<(Vec<u8>, String)> {
    let mut module = Module::read(module)?;
    let old = module.imports()?;
    // wasm-bindgen's names end with digests of sixteen letters, which nothing makes smaller.
    let new: Vec<String> = (0..old.len()).map(|place| format!("f{place}")).collect();
    let script = renamed(script, old.into_iter().zip(&new).collect())?;
    module.rename_imports(&new)?;
    module.unite()?;
    let order = smallest(&module.functions()?, |all| Ok(gzip(all)?.len())).ok()?;
    module.reorder(&order)?;
    Some((module.bytes(), script))
}

/// The script with other names for what it hands to the program, each of which is in a line of it, `name: function`; `None`
/// where one is not.
fn renamed(script: &str, mut names: HashMap<&str, &String>) -> Option<String> {
    let lines = script.split_inclusive('\n').map(|line| {
        let key = line.trim_start();
        let indent = &line[..line.len() - key.len()];
        match key.split_once(": ").and_then(|(name, function)| Some((names.remove(name)?, function))) {
            Some((name, function)) => format!("{indent}{name}: {function}"),
            None => line.to_owned(),
        }
    });
    let renamed = lines.collect();
    names.is_empty().then_some(renamed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_hands_over_the_same_under_other_names() {
        let script = "    const all = {\n        __wbg_a_01: function(b) { return { c: b }; },\n        __wbg_b_02: f,\n    };\n";
        let short = "    const all = {\n        f0: function(b) { return { c: b }; },\n        f1: f,\n    };\n";
        let (a, b) = ("f0".to_owned(), "f1".to_owned());
        let names = HashMap::from([("__wbg_a_01", &a), ("__wbg_b_02", &b)]);
        assert_eq!(renamed(script, names.clone()).as_deref(), Some(short));
        assert_eq!(renamed(short, names.clone()), None);
        assert_eq!(renamed(&script.replace("b_02", "a_01"), names), None);
    }
}
