//! Which public items of some folders nobody calls but tests.
//!
//! By name: an item counts as called when code that is itself called, or that lies outside the folders, says its name. Two
//! functions of one name stand for one another, so what is found is certainly uncalled, and a few more may be.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, Type, Visibility};

use super::modules::{Sources, attributes, only_in_tests};

/// Something that is declared in the folders.
struct Definition {
    name: String,
    /// The type whose method it is.
    owner: Option<String>,
    public: bool,
    file: String,
    mentions: BTreeSet<String>,
}

/// The words of code, but for its imports and its documentation.
#[derive(Default)]
struct Mentions(BTreeSet<String>);

impl Mentions {
    fn add_tokens(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Ident(word) => drop(self.0.insert(word.to_string())),
                TokenTree::Group(group) => self.add_tokens(group.stream()),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Mentions {
    fn visit_ident(&mut self, ident: &'ast Ident) {
        self.0.insert(ident.to_string());
    }
    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        visit::visit_macro(self, called);
        self.add_tokens(called.tokens.clone());
    }
    fn visit_item(&mut self, item: &'ast Item) {
        if !only_in_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }
    fn visit_item_use(&mut self, _: &'ast syn::ItemUse) {}
    /// What a derive is told is said too: `#[arg(default_value_t = STEPS)]`.
    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.add_tokens(list.tokens.clone());
        }
    }
}

fn mentions(visit: impl FnOnce(&mut Mentions)) -> BTreeSet<String> {
    let mut found = Mentions::default();
    visit(&mut found);
    found.0
}

/// What the files declare and say.
#[derive(Default)]
struct Reader {
    definitions: Vec<Definition>,
    /// Said by code that is always called.
    called: BTreeSet<String>,
    /// Said by what a type does as a trait has it.
    of_types: BTreeMap<String, BTreeSet<String>>,
}

impl Reader {
    fn define(
        &mut self,
        file: &str,
        name: &Ident,
        owner: Option<&str>,
        visibility: &Visibility,
        mentions: BTreeSet<String>,
    ) {
        let public = matches!(visibility, Visibility::Public(_));
        let (name, owner) = (name.to_string(), owner.map(str::to_owned));
        self.definitions.push(Definition { name, owner, public, file: file.to_owned(), mentions });
    }

    fn read(&mut self, file: &str, items: &[Item]) {
        for item in items.iter().filter(|item| !only_in_tests(attributes(item))) {
            let said = || mentions(|found| found.visit_item(item));
            match item {
                Item::Fn(f) => self.define(file, &f.sig.ident, None, &f.vis, said()),
                Item::Struct(s) => self.define(file, &s.ident, None, &s.vis, said()),
                Item::Enum(e) => self.define(file, &e.ident, None, &e.vis, said()),
                Item::Trait(t) => self.define(file, &t.ident, None, &t.vis, said()),
                Item::Type(t) => self.define(file, &t.ident, None, &t.vis, said()),
                Item::Const(c) => self.define(file, &c.ident, None, &c.vis, said()),
                Item::Static(s) => self.define(file, &s.ident, None, &s.vis, said()),
                Item::Mod(module) => self.read(file, module.content.as_ref().map_or(&[][..], |(_, items)| items)),
                Item::Impl(implementation) => self.read_impl(file, implementation),
                other => self.called.extend(mentions(|found| found.visit_item(other))),
            }
        }
    }

    fn read_impl(&mut self, file: &str, implementation: &syn::ItemImpl) {
        let owner = match &*implementation.self_ty {
            Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
            _ => None,
        };
        for item in &implementation.items {
            let said = mentions(|found| found.visit_impl_item(item));
            match (item, &implementation.trait_) {
                (ImplItem::Fn(f), None) if only_in_tests(&f.attrs) => {}
                (ImplItem::Fn(f), None) => self.define(file, &f.sig.ident, owner.as_deref(), &f.vis, said),
                (ImplItem::Const(c), None) => self.define(file, &c.ident, owner.as_deref(), &c.vis, said),
                _ => self.of_types.entry(owner.clone().unwrap_or_default()).or_default().extend(said),
            }
        }
    }
}

/// `file: name` of every public item of the folders that no code but tests calls.
///
/// # Panics
///
/// When a file is no Rust.
pub fn uncalled(sources: &Sources, folders: &[&str]) -> BTreeMap<String, String> {
    let mut reader = Reader::default();
    for (file, text) in sources {
        let parsed = syn::parse_file(text).unwrap_or_else(|e| panic!("{file}:{}: {e}", e.span().start().line));
        if folders.iter().any(|folder| file.starts_with(folder)) {
            reader.read(file, &parsed.items);
        } else {
            reader.called.extend(mentions(|found| found.visit_file(&parsed)));
        }
    }
    let Reader { definitions, mut called, of_types } = reader;
    let known: BTreeSet<&String> = definitions.iter().filter(|d| d.owner.is_none()).map(|d| &d.name).collect();
    // What a trait has foreign types do is called by whoever is generic.
    let foreign = of_types.iter().filter(|(owner, _)| !known.contains(owner));
    called.extend(foreign.flat_map(|(_, said)| said.iter().cloned()));
    let is_called = |d: &Definition, called: &BTreeSet<String>| {
        called.contains(&d.name)
            && d.owner.as_ref().is_none_or(|owner| !known.contains(owner) || called.contains(owner))
    };
    loop {
        let before = called.len();
        for definition in &definitions {
            if is_called(definition, &called) {
                called.extend(definition.mentions.iter().cloned());
                if definition.owner.is_none() {
                    called.extend(of_types.get(&definition.name).into_iter().flatten().cloned());
                }
            }
        }
        if called.len() == before {
            break;
        }
    }
    let owner_is_called = |d: &Definition| d.owner.as_ref().is_none_or(|owner| called.contains(owner));
    let left = definitions.iter().filter(|d| d.public && owner_is_called(d) && !is_called(d, &called));
    left.map(|d| (d.name.clone(), d.file.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(low: &str, high: &str) -> Vec<String> {
        let sources = [("low/mod.rs", low), ("high.rs", high)];
        let sources = sources.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
        uncalled(&sources, &["low/"]).into_keys().collect()
    }

    #[test]
    fn what_nobody_calls_is_found() {
        assert_eq!(found("pub fn lost() {} fn own() {}", ""), ["lost"]);
        assert_eq!(found("pub struct Lost; impl Lost { pub fn make() -> Self { Lost } }", ""), ["Lost"]);
        assert_eq!(found("pub struct A; impl A { pub fn lost(self) {} }", "fn f(a: low::A) {}"), ["lost"]);
        assert_eq!(found("pub const LOST: u8 = 1;", ""), ["LOST"]);
    }

    #[test]
    fn what_only_tests_imports_or_the_uncalled_call_is_found() {
        assert_eq!(found("pub fn lost() { lost() } #[cfg(test)] mod tests { fn f() { super::lost() } }", ""), ["lost"]);
        assert_eq!(found("pub fn lost() {}", "pub use low::lost; #[cfg(test)] fn f() { lost() }"), ["lost"]);
        assert_eq!(found("pub fn one() { other() } pub fn other() { one() }", ""), ["one", "other"]);
        assert_eq!(found("/// Of [`lost`].\npub fn kept() {} pub fn lost() {}", "fn f() { kept() }"), ["lost"]);
    }

    #[test]
    fn what_is_called_is_not_found() {
        let kept = |low, high| assert_eq!(found(low, high), [""; 0], "{low} {high}");
        kept("pub fn kept() {}", "fn f() { low::kept() }");
        kept("pub fn kept() {}", "fn f() { vec![kept()]; }");
        kept("pub const KEPT: u8 = 1;", "struct A { #[arg(default_value_t = low::KEPT)] b: u8 }");
        kept("pub fn one() { other() } pub fn other() {}", "fn f() { one() }");
        kept("pub struct A; impl A { pub fn kept(self) {} }", "fn f(a: low::A) { a.kept() }");
        kept("pub struct A; pub fn kept() {} impl Clone for A { fn clone(&self) -> A { kept(); A } }", "fn f(a: A) {}");
        kept("pub fn kept() {} impl Tall for f64 { fn g(self) { kept() } }", "");
    }
}
