//! Every path in the code of a crate, resolved.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, Stmt};

use super::modules::{Crate, Import, Resolution, Way, attributes, imports, is_public, item_name, only_in_tests};

/// A path somewhere in the code and what it leads to.
pub struct Use {
    /// The module that it stands in.
    pub from: usize,
    /// The line of its last word, from 1.
    pub line: usize,
    /// The path as written, imports of functions followed.
    pub path: String,
    /// How it is meant.
    pub kind: Kind,
    /// What it means.
    pub to: Resolution,
    /// The modules that it goes through.
    pub through: BTreeSet<usize>,
}

/// How a path is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `use`.
    Import,
    /// `pub use`, to anyone.
    ReExport,
    /// Code.
    Code,
}

/// Finds every path of a crate's modules that is more than the name of something in a function.
pub fn uses(of: &Crate) -> Vec<Use> {
    let mut found = Vec::new();
    for (module, declared) in of.modules.iter().enumerate() {
        let mut reader = Reader { of, module, scopes: Vec::new(), found: &mut found };
        declared.items.iter().for_each(|item| reader.visit_item(item));
    }
    found
}

/// What a function or a block declares for itself.
#[derive(Default)]
struct Scope {
    imports: BTreeMap<String, Vec<Vec<String>>>,
    items: BTreeSet<String>,
    bindings: BTreeSet<String>,
}

struct Reader<'a> {
    of: &'a Crate,
    module: usize,
    scopes: Vec<Scope>,
    found: &'a mut Vec<Use>,
}

impl Reader<'_> {
    /// Notes a path of the code.
    fn see(&mut self, path: &[String], line: usize) {
        self.see_under(self.scopes.len(), path, line, Kind::Code);
    }

    /// Notes a path that is under so many scopes.
    fn see_under(&mut self, scopes: usize, path: &[String], line: usize, kind: Kind) {
        for path in self.out_of_scopes(path, scopes) {
            let mut way = Way::default();
            let to = self.of.resolve(self.module, &path, &mut way);
            self.note(path, line, kind, to, way);
        }
    }

    fn see_macro(&mut self, path: &[String], line: usize) {
        let [name] = path else { return self.see(path, line) };
        if self.scopes.iter().any(|scope| scope.items.contains(name)) {
            return;
        }
        let mut way = Way::default();
        let to = self.of.resolve_macro(self.module, name, &mut way);
        self.note(path.to_vec(), line, Kind::Code, to, way);
    }

    fn note(&mut self, path: Vec<String>, line: usize, kind: Kind, to: Resolution, way: Way) {
        let path = path.join("::");
        self.found.push(Use { from: self.module, line, path, kind, to, through: way.through });
    }

    /// The path without the imports of blocks: none when it begins with something that a function has for itself.
    fn out_of_scopes(&self, path: &[String], inner: usize) -> Vec<Vec<String>> {
        let Some((first, rest)) = path.split_first() else { return Vec::new() };
        for (depth, scope) in self.scopes[..inner].iter().enumerate().rev() {
            if scope.items.contains(first) || rest.is_empty() && scope.bindings.contains(first) {
                return Vec::new();
            }
            if let Some(imported) = scope.imports.get(first) {
                let whole = imported.iter().map(|start| [start, rest].concat());
                return whole.flat_map(|path| self.out_of_scopes(&path, depth)).collect();
            }
        }
        vec![path.to_vec()]
    }

    fn within(&mut self, scope: Scope, visit: impl FnOnce(&mut Self)) {
        self.scopes.push(scope);
        visit(self);
        self.scopes.pop();
    }

    fn see_imports(&mut self, item: &syn::ItemUse) {
        let kind = if is_public(item) { Kind::ReExport } else { Kind::Import };
        for import in imports(item) {
            // Where a block imports, its own scope already knows the name.
            self.see_under(self.scopes.len().saturating_sub(1), &import.path, import.line, kind);
        }
    }

    /// Notes the paths among tokens that nobody has parsed: what a macro is given or made of, or an attribute. A single
    /// word counts when it is called or is written like a type or a constant.
    fn see_tokens(&mut self, tokens: TokenStream, prefix: &[String], words: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.see_tokens(group.stream(), &[], words),
                TokenTree::Literal(literal) => self.see_quoted(&literal.to_string(), literal.span().start().line),
                TokenTree::Ident(_) => {
                    at = self.see_words(&tokens, at, prefix, words);
                    continue;
                }
                TokenTree::Punct(_) => {}
            }
            at += 1;
        }
    }

    /// Notes the path that begins at a word among tokens, and answers where it ends.
    fn see_words(&mut self, tokens: &[TokenTree], start: usize, prefix: &[String], words: bool) -> usize {
        let mut path = prefix.to_vec();
        let (mut at, mut line) = (start, 0);
        while let Some(TokenTree::Ident(word)) = tokens.get(at) {
            path.push(word.to_string());
            line = word.span().start().line;
            at += 1;
            if !is_path_separator(tokens, at) {
                break;
            }
            if let Some(TokenTree::Group(group)) = tokens.get(at + 2)
                && group.delimiter() == Delimiter::Brace
            {
                self.see_tokens(group.stream(), &path, words);
                return at + 3;
            }
            at += 2;
        }
        // In a group of imports.
        path.pop_if(|last| last == "self" && !prefix.is_empty());
        let before = start.checked_sub(1).map(|before| &tokens[before]);
        let field = is_punct(before, '.') && !(start >= 2 && is_punct(tokens.get(start - 2), '.'));
        let lifetime = is_punct(before, '\'');
        let rest_of_a_path = start >= 2 && is_path_separator(tokens, start - 2);
        let fragment = is_punct(before, '$') && path[0] != "crate";
        if field || lifetime || rest_of_a_path || fragment {
            return at;
        }
        let next = tokens.get(at);
        if is_punct(next, '!') && matches!(tokens.get(at + 1), Some(TokenTree::Group(_))) {
            self.see_macro(&path, line);
        } else if path.len() > 1 || words && may_be_an_item(&path[0], before, next) {
            self.see(&path, line);
        }
        at
    }

    /// Notes a path in quotes, as serde has them.
    fn see_quoted(&mut self, literal: &str, line: usize) {
        let inner = literal.trim_matches('"');
        let path: Vec<String> = inner.split("::").map(str::to_owned).collect();
        let named = |word: &String| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || c == '_');
        if inner.len() + 2 == literal.len() && path.len() > 1 && path.iter().all(named) {
            self.see(&path, line);
        }
    }
}

fn is_punct(token: Option<&TokenTree>, sign: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == sign)
}

fn is_path_separator(tokens: &[TokenTree], at: usize) -> bool {
    is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')
}

/// Whether a single word among tokens may be an item's name: no binding, field or keyword.
fn may_be_an_item(word: &str, before: Option<&TokenTree>, next: Option<&TokenTree>) -> bool {
    let declared = matches!(before, Some(TokenTree::Ident(keyword))
        if ["fn", "struct", "enum", "trait", "type", "const", "static", "mod", "union"].iter().any(|k| keyword == k));
    let called = matches!(next, Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis);
    !declared && !is_punct(next, ':') && (called || word.starts_with(char::is_uppercase))
}

fn words_of(path: &syn::Path) -> Vec<String> {
    let start = path.leading_colon.as_ref().map(|_| String::new());
    start.into_iter().chain(path.segments.iter().map(|segment| segment.ident.to_string())).collect()
}

fn line_of(path: &syn::Path) -> usize {
    path.segments.last().map_or(0, |segment| segment.ident.span().start().line)
}

/// The names that a function binds, anywhere in it.
#[derive(Default)]
struct Bindings(BTreeSet<String>);

impl<'ast> Visit<'ast> for Bindings {
    fn visit_pat_ident(&mut self, pattern: &'ast syn::PatIdent) {
        if !is_constant(&pattern.ident) {
            self.0.insert(pattern.ident.to_string());
        }
        visit::visit_pat_ident(self, pattern);
    }
}

/// Whether a lone word in a pattern is written like a constant or a variant.
fn is_constant(word: &Ident) -> bool {
    word.to_string().starts_with(char::is_uppercase)
}

fn bindings(visit: impl FnOnce(&mut Bindings)) -> Scope {
    let mut found = Bindings::default();
    visit(&mut found);
    Scope { bindings: found.0, ..Scope::default() }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if only_in_tests(attributes(item)) {
            return;
        }
        match item {
            Item::Use(import) => self.see_imports(import),
            Item::Verbatim(tokens) => self.see_tokens(tokens.clone(), &[], true),
            _ => visit::visit_item(self, item),
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.within(bindings(|b| b.visit_item_fn(item)), |this| visit::visit_item_fn(this, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !only_in_tests(&item.attrs) {
            self.within(bindings(|b| b.visit_impl_item_fn(item)), |this| visit::visit_impl_item_fn(this, item));
        }
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        if !only_in_tests(&item.attrs) {
            visit::visit_impl_item_const(self, item);
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if !only_in_tests(&item.attrs) {
            self.within(bindings(|b| b.visit_trait_item_fn(item)), |this| visit::visit_trait_item_fn(this, item));
        }
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        if !only_in_tests(&variant.attrs) {
            visit::visit_variant(self, variant);
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if !only_in_tests(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_field_value(&mut self, field: &'ast syn::FieldValue) {
        if !only_in_tests(&field.attrs) {
            visit::visit_field_value(self, field);
        }
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if !only_in_tests(&arm.attrs) {
            visit::visit_arm(self, arm);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if !only_in_tests(&local.attrs) {
            visit::visit_local(self, local);
        }
    }

    fn visit_expr_block(&mut self, block: &'ast syn::ExprBlock) {
        if !only_in_tests(&block.attrs) {
            visit::visit_expr_block(self, block);
        }
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        let mut scope = Scope::default();
        for item in block.stmts.iter().filter_map(|stmt| if let Stmt::Item(item) = stmt { Some(item) } else { None }) {
            if let Item::Use(import) = item {
                for Import { path, name, .. } in imports(import) {
                    if let Some(name) = name {
                        scope.imports.entry(name).or_default().push(path);
                    }
                }
            }
            scope.items.extend(item_name(item));
        }
        self.within(scope, |this| visit::visit_block(this, block));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.see(&words_of(path), line_of(path));
        visit::visit_path(self, path);
    }

    fn visit_pat_ident(&mut self, pattern: &'ast syn::PatIdent) {
        if is_constant(&pattern.ident) {
            self.see(&[pattern.ident.to_string()], pattern.ident.span().start().line);
        }
        visit::visit_pat_ident(self, pattern);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.see_macro(&words_of(&called.path), line_of(&called.path));
        self.see_tokens(called.tokens.clone(), &[], true);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if ["cfg", "doc"].iter().any(|name| attribute.path().is_ident(name)) {
            return;
        }
        match &attribute.meta {
            syn::Meta::Path(path) => self.see_macro(&words_of(path), line_of(path)),
            syn::Meta::List(list) => self.see_tokens(list.tokens.clone(), &[], false),
            syn::Meta::NameValue(pair) => self.visit_expr(&pair.value),
        }
    }

    // `pub(in path)` names a module around, which says nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}
