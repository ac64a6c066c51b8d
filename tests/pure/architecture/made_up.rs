//! The reader of the code on made-up crates: it finds what it is there to find.

use super::graph::{Edges, Graph, against_layers, cycles};
use super::modules::Sources;

/// The graph of a crate named `made_up`.
fn graph(files: &[(&str, &str)]) -> Graph {
    let sources: Sources = files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
    let graph = Graph::read("made_up", &sources);
    assert!(graph.missing.is_empty(), "{:?}", graph.missing);
    graph
}

/// Edges as `one -> other`.
fn pairs(edges: &Edges) -> Vec<String> {
    edges.iter().flat_map(|(one, others)| others.keys().map(move |other| format!("{one} -> {other}"))).collect()
}

/// The modules `low` and `high`, with this code in a file deep inside `low`.
fn deep_in_low(code: &str) -> Graph {
    graph(&[
        ("lib.rs", "pub mod high; pub mod low;"),
        ("low/mod.rs", "mod inner;"),
        ("low/inner.rs", code),
        (
            "high.rs",
            "pub struct Tower; pub fn climb() {} pub const TOP: u8 = 1; pub mod roof { pub struct Tile; }
             #[macro_export] macro_rules! shout { () => {} }",
        ),
    ])
}

#[track_caller]
fn assert_found(code: &str) {
    assert_eq!(pairs(&deep_in_low(code).knows), ["low -> high"], "{code}");
}

#[track_caller]
fn assert_not_found(code: &str) {
    assert_eq!(pairs(&deep_in_low(code).knows), [""; 0], "{code}");
}

#[test]
fn a_path_up_by_super_is_found() {
    assert_found("use super::super::high::Tower;");
    assert_found("use super::super::high;");
    assert_found("fn f() { super::super::high::climb() }");
    assert_found("mod deeper { use super::super::super::high::Tower; }");
}

#[test]
fn a_path_in_a_group_is_found() {
    assert_found("use crate::{low, high};");
    assert_found("use crate::{low::inner, high::{climb, roof::{self, Tile}}};");
    assert_found("use {std::fmt, super::{super::{high as above}}};");
    assert_found("use crate::high::*;");
}

#[test]
fn a_path_in_code_is_found() {
    assert_found("fn f() -> crate::high::Tower { todo!() }");
    assert_found("struct Holds(Vec<Option<crate::high::Tower>>);");
    assert_found("impl From<crate::high::Tower> for u8 { fn from(_: crate::high::Tower) -> u8 { 1 } }");
    assert_found("const OURS: u8 = crate::high::TOP;");
    assert_found("fn f(x: u8) -> bool { match x { crate::high::TOP => true, _ => false } }");
    assert_found("fn f<T>() where T: Into<crate::high::roof::Tile> {}");
    assert_found("fn f() { use crate::high as above; above::climb() }");
}

#[test]
fn a_path_in_a_macro_or_an_attribute_is_found() {
    assert_found("fn f() { println!(\"{}\", crate::high::TOP) }");
    assert_found("fn f() { assert!([1].iter().any(|x| *x == super::super::high::TOP)) }");
    assert_found("macro_rules! ours { () => { $crate::high::climb() } }");
    assert_found("macro_rules! ours { () => { use $crate::{low, high::{self, Tower}}; } }");
    assert_found("#[derive(Debug)] #[serde(with = \"crate::high::roof\")] struct Ours;");
    assert_found("struct Ours { #[arg(value_parser = crate::high::climb)] field: u8 }");
    assert_found("fn f() { crate::shout!() }");
}

#[test]
fn tests_comments_texts_and_names_of_a_functions_own_are_left_out() {
    assert_not_found("#[cfg(test)] use crate::high::Tower;");
    assert_not_found("#[cfg(all(test, unix))] mod tests { use crate::high::Tower; }");
    assert_not_found("struct S; impl S { #[cfg(test)] fn f() { crate::high::climb() } }");
    assert_not_found("/// [`crate::high::Tower`] // crate::high\nfn f() {}");
    assert_not_found("fn f() { let high = 1; println!(\"crate::high {high}\") }");
    assert_not_found("fn f() { mod_like(high::x) } use other::high; fn mod_like(_: u8) {}");
    assert_found("#[cfg(any(test, unix))] use crate::high::Tower;");
}

#[test]
fn a_re_export_is_an_edge_of_who_has_it_and_leads_to_who_defines() {
    let graph = graph(&[
        ("lib.rs", "mod ground; mod middle; mod top;"),
        ("ground.rs", "pub struct Stone;"),
        ("middle/mod.rs", "mod wall; pub use crate::ground::Stone; pub use wall::*; pub use wall::wall as built;"),
        ("middle/wall.rs", "pub struct Brick; pub fn wall() {}"),
        ("top.rs", "use super::middle::{Brick, Stone}; fn f() { super::middle::built() }"),
    ]);
    assert_eq!(pairs(&graph.knows), ["middle -> ground", "top -> ground", "top -> middle"]);
    assert_eq!(pairs(&graph.files), ["middle/mod.rs -> ground.rs", "top.rs -> ground.rs", "top.rs -> middle/wall.rs"]);
    let mentions = graph.files["top.rs"]["ground.rs"].values().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(mentions, ["top.rs:1: super::middle::Stone -> ground.rs Stone"]);
}

#[test]
fn the_table_is_exactly_what_the_code_does() {
    let graph = graph(&[
        ("lib.rs", "mod low; mod middle; mod high;"),
        ("low.rs", "pub struct A;"),
        ("middle.rs", "use crate::low::A; pub struct B;"),
        ("high.rs", "use crate::middle::B;"),
    ]);
    let wrong = |layers: &[(&str, &str)]| against_layers(&graph, layers);
    assert_eq!(wrong(&[("low", ""), ("middle", "low"), ("high", "middle")]), [""; 0]);
    assert_eq!(
        wrong(&[("low", ""), ("middle", ""), ("high", "middle")]),
        ["middle must not know low\n    middle.rs:1: crate::low::A -> low.rs A"]
    );
    assert_eq!(wrong(&[("low", ""), ("middle", "low"), ("high", "low middle")]), ["high may know low and does not"]);
    assert_eq!(wrong(&[("low", ""), ("middle", "low")]), ["high is missing from the table"]);
    assert_eq!(
        wrong(&[("low", ""), ("middle", "low"), ("high", "middle"), ("gone", "")]),
        ["gone is in the table and no module"]
    );
    assert_eq!(
        wrong(&[("middle", "low"), ("low", ""), ("high", "middle")]),
        ["middle may know low, which is not below it"]
    );
    assert_eq!(
        wrong(&[("low", ""), ("middle", "low"), ("high", "middle"), ("low", "")]),
        ["low is in the table twice"]
    );
}

#[test]
fn files_that_use_one_another_are_a_cycle() {
    let graph = graph(&[
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "pub struct A(crate::b::B);"),
        ("b.rs", "pub struct B(Box<super::c::C>);"),
        ("c.rs", "pub struct C(Option<Box<crate::a::A>>);"),
    ]);
    let found = cycles(&graph.files);
    assert_eq!(found.len(), 1);
    assert!(found[0].iter().eq(["a.rs", "b.rs", "c.rs"]), "{found:?}");
}

#[test]
fn a_child_that_uses_what_its_parent_defines_is_a_cycle_once_the_parent_uses_the_child() {
    let with = |parent: &str| {
        let parent = format!("mod child; pub struct Parent; {parent}");
        let files =
            [("lib.rs", "mod a;"), ("a/mod.rs", parent.as_str()), ("a/child.rs", "pub struct Child(super::Parent);")];
        cycles(&graph(&files).files).len()
    };
    assert_eq!(with(""), 0);
    assert_eq!(with("pub use child::Child;"), 0);
    assert_eq!(with("use child::Child;"), 1);
    assert_eq!(with("struct Holds(child::Child);"), 1);
    assert_eq!(with("pub use child::Child; struct Holds(Option<Child>);"), 1);
    assert_eq!(with("pub use child::Child; fn f() { call!(Child) }"), 1);
}

#[test]
fn a_macro_of_a_parent_is_the_parents() {
    let with = |parent: &str| {
        let files = [("lib.rs", "mod a;"), ("a/mod.rs", parent), ("a/child.rs", "pub fn f() { say!() }")];
        pairs(&graph(&files).files)
    };
    assert_eq!(with("macro_rules! say { () => {} } mod child;"), ["a/child.rs -> a/mod.rs"]);
    assert_eq!(
        with("macro_rules! say { () => { $crate::a::child::f() } } mod child;"),
        ["a/child.rs -> a/mod.rs", "a/mod.rs -> a/child.rs"]
    );
}

#[test]
fn what_a_macro_declares_belongs_to_where_it_is_called() {
    let graph = graph(&[
        ("lib.rs", "mod kinds; mod user; mod ids;"),
        ("ids.rs", "macro_rules! ids { ($name:ident) => { pub enum $name {} } } pub(crate) use ids;"),
        ("kinds.rs", "crate::ids::ids! { Kind }"),
        ("user.rs", "use crate::kinds::Kind;"),
    ]);
    assert_eq!(pairs(&graph.files), ["kinds.rs -> ids.rs", "user.rs -> kinds.rs"]);
}

#[test]
fn modules_can_form_a_cycle_though_their_files_do_not() {
    let graph = graph(&[
        ("lib.rs", "mod a;"),
        ("a/mod.rs", "mod one; mod two;"),
        ("a/one/mod.rs", "mod base; pub struct One(super::two::Two);"),
        ("a/one/base.rs", "pub struct Base;"),
        ("a/two.rs", "pub struct Two(super::one::base::Base);"),
    ]);
    assert!(cycles(&graph.files).is_empty());
    let found = cycles(&graph.siblings);
    assert_eq!(found.len(), 1);
    assert!(found[0].iter().eq(["a::one", "a::two"]), "{found:?}");
}

#[test]
fn an_acyclic_crate_has_no_cycle() {
    let graph = graph(&[
        ("lib.rs", "pub mod a; pub mod b;"),
        ("a/mod.rs", "mod base; mod built; pub use built::Built; pub use base::base;"),
        ("a/base.rs", "pub struct Base; pub fn base() {}"),
        ("a/built.rs", "use super::base::Base; pub struct Built(Base); fn f() { super::base() }"),
        ("b.rs", "use crate::a::{self, Built}; fn f(_: Built) { a::base() }"),
        ("bin/program.rs", "fn main() { made_up::b::f(); tool::run() }"),
    ]);
    assert!(cycles(&graph.files).is_empty() && cycles(&graph.siblings).is_empty());
    assert_eq!(
        pairs(&graph.files),
        ["a/built.rs -> a/base.rs", "b.rs -> a/base.rs", "b.rs -> a/built.rs", "bin/program.rs -> b.rs"]
    );
    assert_eq!(pairs(&graph.knows), ["b -> a"]);
    assert!(graph.foreign["tool"].iter().eq(["bin/program.rs"]));
}

#[test]
fn a_path_that_leads_nowhere_is_told() {
    let sources = [("lib.rs", "mod a;"), ("a.rs", "use crate::b::C;")];
    let sources = sources.map(|(file, text)| (file.to_owned(), text.to_owned()));
    let missing = Graph::read("made_up", &Sources::from(sources)).missing;
    assert_eq!(missing.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a.rs:1: crate::b::C -> nothing"]);
}
