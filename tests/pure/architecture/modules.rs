//! The modules of a crate, what each declares, and what a path means in one of them.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::punctuated::Punctuated;
use syn::{Attribute, Item, Meta, Token, UseTree, Visibility};

/// Texts of files by their path from the folder of sources, with `/` between folders.
pub type Sources = BTreeMap<String, String>;

/// A module, without its tests.
pub struct Module {
    /// The names from the root to here; the root has none.
    pub path: Vec<String>,
    /// The file that it is in.
    pub file: String,
    /// What it declares, but for the modules in it and tests.
    pub items: Vec<Item>,
    parent: Option<usize>,
    names: BTreeMap<String, Vec<Named>>,
    globs: Vec<Vec<String>>,
    macros: BTreeSet<String>,
    /// Every word in the macros that are called among its items: one of them may be the name of what the macro declares.
    words: BTreeSet<String>,
}

/// What a name is in the module that declares it.
enum Named {
    Item,
    Import(Vec<String>),
    Child(usize),
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A module.
    Module(usize),
    /// A function, a type, a constant, a macro: the module that defines it, and its name there.
    Item(usize, String),
}

/// The answer of [`Crate::resolve`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Something of another crate, of the language or of the function around.
    Foreign,
    /// It begins in this crate and then goes nowhere.
    Missing,
    /// It leads here; more than one thing where a module and an item have the same name.
    Here(BTreeSet<Target>),
}

/// Where a path was followed.
#[derive(Default)]
pub struct Way {
    /// The modules that it goes through, re-exports followed.
    pub through: BTreeSet<usize>,
    imports: Vec<(usize, Vec<String>)>,
}

/// One imported name.
pub struct Import {
    /// The whole path, without a trailing `self`.
    pub path: Vec<String>,
    /// The name that it has here, or none for a glob.
    pub name: Option<String>,
    /// The line of its last word.
    pub line: usize,
}

/// A crate: its modules, and the programs beside its library, which are roots of their own.
pub struct Crate {
    name: String,
    /// All modules; the library's root comes first.
    pub modules: Vec<Module>,
}

impl Crate {
    /// Reads the library `lib.rs` and the programs `bin/*.rs` and `bin/*/main.rs`, and every file that they declare as a module outside tests.
    ///
    /// # Panics
    ///
    /// When a file is missing, is no Rust or is found by `#[path]`.
    pub fn read(name: &str, sources: &Sources) -> Self {
        let mut this = Self { name: name.to_owned(), modules: Vec::new() };
        // A program is a file of its own, or the first of a folder.
        let is_root = |file: &str| !file.contains('/') || file.ends_with("/main.rs");
        let programs = sources.keys().filter(|file| file.strip_prefix("bin/").is_some_and(is_root));
        for root in std::iter::once("lib.rs").chain(programs.map(String::as_str)) {
            let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
            this.add_file(sources, root, folder, None, Vec::new());
        }
        this
    }

    fn add_file(
        &mut self,
        sources: &Sources,
        file: &str,
        folder: &str,
        parent: Option<usize>,
        path: Vec<String>,
    ) -> usize {
        let text = sources.get(file).unwrap_or_else(|| panic!("{file} is a source"));
        let parsed = syn::parse_file(text).unwrap_or_else(|e| panic!("{file}:{}: {e}", e.span().start().line));
        self.add(sources, file, folder, parent, path, parsed.items)
    }

    /// Adds a module whose children are files of a folder.
    fn add(
        &mut self,
        sources: &Sources,
        file: &str,
        folder: &str,
        parent: Option<usize>,
        path: Vec<String>,
        items: Vec<Item>,
    ) -> usize {
        let here = self.modules.len();
        self.modules.push(Module {
            path,
            file: file.to_owned(),
            items: Vec::new(),
            parent,
            names: BTreeMap::new(),
            globs: Vec::new(),
            macros: BTreeSet::new(),
            words: BTreeSet::new(),
        });
        for item in items.into_iter().filter(|item| !only_in_tests(attributes(item))) {
            if let Item::Mod(child) = item {
                self.add_child(sources, here, folder, child);
                continue;
            }
            if let Item::Macro(called) = &item
                && let Some(name) = called.ident.as_ref().map(ToString::to_string)
                && called.attrs.iter().any(|a| a.path().is_ident("macro_export"))
            {
                let path = [&["crate".to_owned()], &self.modules[here].path[..], std::slice::from_ref(&name)].concat();
                let root = self.root(here);
                self.modules[root].names.entry(name).or_default().push(Named::Import(path));
            }
            self.modules[here].declare(item);
        }
        here
    }

    fn add_child(&mut self, sources: &Sources, here: usize, folder: &str, child: syn::ItemMod) {
        let name = child.ident.to_string();
        let file = self.modules[here].file.clone();
        assert!(!child.attrs.iter().any(|a| a.path().is_ident("path")), "{file}: #[path] of {name} is not followed");
        let path = [&self.modules[here].path[..], std::slice::from_ref(&name)].concat();
        let inner = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        let added = match child.content {
            Some((_, items)) => self.add(sources, &file, &inner, Some(here), path, items),
            None => {
                let places = [format!("{inner}.rs"), format!("{inner}/mod.rs")];
                let found = places.iter().find(|place| sources.contains_key(*place));
                let found = found.unwrap_or_else(|| panic!("{file}: none of {places:?} is a source"));
                self.add_file(sources, found, &inner, Some(here), path)
            }
        };
        if child.attrs.iter().any(|a| a.path().is_ident("macro_use")) {
            let macros = self.modules[added].macros.clone();
            for name in macros {
                let path =
                    ["self".to_owned(), self.modules[added].path.last().cloned().unwrap_or_default(), name.clone()];
                self.modules[here].names.entry(name.clone()).or_default().push(Named::Import(path.to_vec()));
                self.modules[here].macros.insert(name);
            }
        }
        self.modules[here].names.entry(name).or_default().push(Named::Child(added));
    }

    fn root(&self, mut module: usize) -> usize {
        while let Some(parent) = self.modules[module].parent {
            module = parent;
        }
        module
    }

    /// Whether a module is another one or lies inside it.
    pub fn is_inside(&self, mut inner: usize, outer: usize) -> bool {
        while inner != outer {
            match self.modules[inner].parent {
                Some(parent) => inner = parent,
                None => return false,
            }
        }
        true
    }

    /// What a path means in a module.
    pub fn resolve(&self, module: usize, path: &[String], way: &mut Way) -> Resolution {
        let (mut start, mut rest, mut anchored) = (module, path, false);
        while let Some((first, tail)) = rest.split_first() {
            start = match first.as_str() {
                "crate" => self.root(start),
                "self" => start,
                "super" => match self.modules[start].parent {
                    Some(parent) => parent,
                    None => return Resolution::Missing,
                },
                _ => break,
            };
            (rest, anchored) = (tail, true);
        }
        if anchored {
            return self.follow(start, rest, way);
        }
        let Some((first, tail)) = rest.split_first() else { return Resolution::Missing };
        match self.look_up(start, first, way) {
            Resolution::Missing if *first == self.name => self.follow(0, tail, way),
            Resolution::Missing => Resolution::Foreign,
            _ => self.follow(start, rest, way),
        }
    }

    /// The macro with this name where a module calls it by the name alone: those of the modules around it are in sight.
    pub fn resolve_macro(&self, module: usize, name: &str, way: &mut Way) -> Resolution {
        let mut around = Some(module);
        while let Some(here) = around {
            if self.modules[here].macros.contains(name) {
                way.through.insert(here);
                return self.look_up(here, name, way);
            }
            around = self.modules[here].parent;
        }
        self.resolve(module, &[name.to_owned()], way)
    }

    fn follow(&self, module: usize, path: &[String], way: &mut Way) -> Resolution {
        way.through.insert(module);
        let Some((first, rest)) = path.split_first() else {
            return Resolution::Here(BTreeSet::from([Target::Module(module)]));
        };
        match self.look_up(module, first, way) {
            Resolution::Here(targets) if !rest.is_empty() => {
                let modules: Vec<usize> = targets.iter().filter_map(Target::module).collect();
                if modules.is_empty() {
                    // The rest is a variant, a constant or a function of a type.
                    return Resolution::Here(targets);
                }
                modules.into_iter().fold(Resolution::Missing, |found, m| found.or(self.follow(m, rest, way)))
            }
            other => other,
        }
    }

    fn look_up(&self, module: usize, name: &str, way: &mut Way) -> Resolution {
        let here = &self.modules[module];
        let mut found = Resolution::Missing;
        for named in here.names.get(name).into_iter().flatten() {
            found = found.or(match named {
                Named::Item => Resolution::Here(BTreeSet::from([Target::Item(module, name.to_owned())])),
                Named::Child(child) => Resolution::Here(BTreeSet::from([Target::Module(*child)])),
                Named::Import(path) => self.import(module, path, way),
            });
        }
        for glob in &here.globs {
            if found != Resolution::Missing {
                break;
            }
            found = match self.import(module, glob, way) {
                Resolution::Here(targets) => targets
                    .iter()
                    .filter_map(Target::module)
                    .fold(found, |found, m| found.or(self.look_up(m, name, way))),
                other => other,
            };
        }
        if found == Resolution::Missing && here.words.contains(name) {
            found = Resolution::Here(BTreeSet::from([Target::Item(module, name.to_owned())]));
        }
        found
    }

    /// Follows an import once: `pub use gallery::gallery` looks up the name that it declares.
    fn import(&self, module: usize, path: &[String], way: &mut Way) -> Resolution {
        let import = (module, path.to_vec());
        if way.imports.contains(&import) {
            return Resolution::Missing;
        }
        way.imports.push(import);
        let found = self.resolve(module, path, way);
        way.imports.pop();
        found
    }
}

impl Target {
    fn module(&self) -> Option<usize> {
        match self {
            Self::Module(module) => Some(*module),
            Self::Item(..) => None,
        }
    }
}

impl Resolution {
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Here(mut one), Self::Here(two)) => {
                one.extend(two);
                Self::Here(one)
            }
            (here @ Self::Here(_), _) | (_, here @ Self::Here(_)) => here,
            (Self::Foreign, _) | (_, Self::Foreign) => Self::Foreign,
            _ => Self::Missing,
        }
    }
}

impl Module {
    fn declare(&mut self, item: Item) {
        match &item {
            Item::Use(import) => {
                for Import { path, name, .. } in imports(import) {
                    match name {
                        Some(name) => self.names.entry(name).or_default().push(Named::Import(path)),
                        None => self.globs.push(path),
                    }
                }
            }
            Item::Macro(called) => match &called.ident {
                Some(name) => {
                    self.macros.insert(name.to_string());
                }
                None => words(called.mac.tokens.clone(), &mut self.words),
            },
            _ => {}
        }
        if let Some(name) = item_name(&item) {
            self.names.entry(name).or_default().push(Named::Item);
        }
        self.items.push(item);
    }
}

/// The names that a `use` brings in. Those after a leading `::` are another crate's and come with an empty first word.
pub fn imports(import: &syn::ItemUse) -> Vec<Import> {
    fn collect(tree: &UseTree, path: &[String], found: &mut Vec<Import>) {
        let with = |ident: &syn::Ident| [path, &[ident.to_string()]].concat();
        // `self` at the end means the module before it.
        let whole = |ident: &syn::Ident| if ident == "self" && !path.is_empty() { path.to_vec() } else { with(ident) };
        match tree {
            UseTree::Path(tree) => collect(&tree.tree, &with(&tree.ident), found),
            UseTree::Name(tree) => {
                let path = whole(&tree.ident);
                let name = path.last().cloned();
                found.push(Import { path, name, line: tree.ident.span().start().line });
            }
            UseTree::Rename(tree) => found.push(Import {
                path: whole(&tree.ident),
                name: Some(tree.rename.to_string()),
                line: tree.ident.span().start().line,
            }),
            UseTree::Glob(tree) => {
                found.push(Import { path: path.to_vec(), name: None, line: tree.star_token.span.start().line });
            }
            UseTree::Group(tree) => tree.items.iter().for_each(|tree| collect(tree, path, found)),
        }
    }
    let mut found = Vec::new();
    let start = import.leading_colon.as_ref().map(|_| String::new());
    collect(&import.tree, start.as_slice(), &mut found);
    found
}

/// Whether an import is also a re-export.
pub fn is_public(import: &syn::ItemUse) -> bool {
    !matches!(import.vis, Visibility::Inherited)
}

/// The name that an item declares, when it declares one that is no module and no import.
pub fn item_name(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

/// The attributes of an item.
pub fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether attributes leave something out of everything but tests.
pub fn only_in_tests(attributes: &[Attribute]) -> bool {
    fn asks_for_tests(condition: &Meta) -> bool {
        let parts = |list: &syn::MetaList| {
            list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
                .expect("conditions of cfg")
                .into_iter()
        };
        match condition {
            Meta::Path(path) => path.is_ident("test"),
            Meta::List(list) if list.path.is_ident("all") => parts(list).any(|part| asks_for_tests(&part)),
            Meta::List(list) if list.path.is_ident("any") => parts(list).all(|part| asks_for_tests(&part)),
            _ => false,
        }
    }
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && asks_for_tests(&attribute.parse_args().expect("a condition of one cfg"))
    })
}

fn words(tokens: TokenStream, found: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(word) => {
                found.insert(word.to_string());
            }
            TokenTree::Group(group) => words(group.stream(), found),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}
