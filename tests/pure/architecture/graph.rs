//! Who knows whom: modules at the top of a crate, files, other crates; and the cycles among them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::modules::{Crate, Resolution, Sources, Target};
use super::uses::{Kind, Use, uses};

/// A place in the code where one side of an edge uses the other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mention {
    /// The file, from the folder of sources.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The path there.
    pub path: String,
    /// What it leads to: the file and the name of an item, the file alone for a module.
    pub to: String,
}

impl fmt::Display for Mention {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:{}: {} -> {}", self.file, self.line, self.path, self.to)
    }
}

/// Edges from who uses to who is used, with the first mention of each item in each file.
pub type Edges = BTreeMap<String, BTreeMap<String, BTreeMap<(String, String), Mention>>>;

/// What a crate's code says about its structure.
#[derive(Debug, Default)]
pub struct Graph {
    /// The modules right under the library's root, without those of the programs.
    pub modules: BTreeSet<String>,
    /// Between these modules. A path through a re-export is an edge to who re-exports and to who defines. What the root
    /// itself defines belongs to `crate`.
    pub knows: Edges,
    /// Between files, re-exports resolved: an edge leads to the file that defines what is used.
    pub files: Edges,
    /// Between modules that are declared side by side, at any depth: what lies inside a module belongs to it.
    pub siblings: Edges,
    /// The names of other crates, and the files that mention them.
    pub foreign: BTreeMap<String, BTreeSet<String>>,
    /// Paths that begin in the crate and lead nowhere: the reader of the code did not understand them.
    pub missing: BTreeSet<Mention>,
}

impl Graph {
    /// Reads the graph of a crate from its sources.
    pub fn read(name: &str, sources: &Sources) -> Self {
        let of = Crate::read(name, sources);
        let mut this = Self::default();
        let library = |module: usize| of.is_inside(module, 0);
        let tops = (0..of.modules.len()).filter(|&module| library(module)).filter_map(|m| of.modules[m].path.first());
        this.modules = tops.cloned().collect();
        for found in uses(&of) {
            this.note(&of, &found);
        }
        this
    }

    fn note(&mut self, of: &Crate, found: &Use) {
        let from = &of.modules[found.from];
        let mention = |to: &str| Mention {
            file: from.file.clone(),
            line: found.line,
            path: found.path.clone(),
            to: to.to_owned(),
        };
        let targets = match &found.to {
            Resolution::Here(targets) => targets,
            Resolution::Missing => {
                self.missing.insert(mention("nothing"));
                return;
            }
            Resolution::Foreign => {
                if let Some(name) = found.path.trim_start_matches("::").split("::").next() {
                    self.foreign.entry(name.to_owned()).or_default().insert(from.file.clone());
                }
                return;
            }
        };
        let defined = targets.iter().map(|target| match target {
            Target::Module(module) | Target::Item(module, _) => *module,
        });
        if let (Some(one), true) = (from.path.first(), of.is_inside(found.from, 0)) {
            let others = found.through.iter().copied().chain(defined).filter_map(|m| of.modules[m].path.first());
            let of_root = targets.iter().any(|target| matches!(target, Target::Item(0, _)));
            let root = "crate".to_owned();
            for other in others.chain(of_root.then_some(&root)).filter(|other| *other != one) {
                let to = targets.iter().map(|target| target.place(of)).collect::<Vec<_>>().join(", ");
                add(&mut self.knows, one, other, mention(&to));
            }
        }
        // The name of a module is also the name of a function in it: what is meant shows where it is used.
        let only_items = !targets.iter().any(|target| matches!(target, Target::Module(_)));
        for target in targets {
            let Target::Item(module, _) = target else { continue };
            let counts = match found.kind {
                Kind::Code => true,
                Kind::Import => only_items,
                Kind::ReExport => only_items && !of.is_inside(*module, found.from),
            };
            let file = target.file(of);
            let to = &of.modules[*module];
            let shared = from.path.iter().zip(&to.path).take_while(|(one, other)| one == other).count();
            if counts && shared < from.path.len().min(to.path.len()) && of.is_inside(found.from, 0) {
                let [one, other] = [from, to].map(|module| module.path[..=shared].join("::"));
                add(&mut self.siblings, &one, &other, mention(&target.place(of)));
            }
            if counts && file != from.file {
                add(&mut self.files, &from.file, file, mention(&target.place(of)));
            }
        }
    }
}

fn add(edges: &mut Edges, one: &str, other: &str, mention: Mention) {
    let mentions = edges.entry(one.to_owned()).or_default().entry(other.to_owned()).or_default();
    let first = mentions.entry((mention.file.clone(), mention.to.clone())).or_insert_with(|| mention.clone());
    if mention.line < first.line {
        *first = mention;
    }
}

impl Target {
    /// Its file, and its name when it is an item.
    fn place(&self, of: &Crate) -> String {
        match self {
            Self::Module(_) => self.file(of).to_owned(),
            Self::Item(_, name) => format!("{} {name}", self.file(of)),
        }
    }

    /// The file that defines it.
    fn file<'a>(&self, of: &'a Crate) -> &'a str {
        match self {
            Self::Module(module) | Self::Item(module, _) => &of.modules[*module].file,
        }
    }
}

/// The groups of nodes that reach one another, two or more at a time.
pub fn cycles(edges: &Edges) -> Vec<BTreeSet<String>> {
    let reach = |start: &String| {
        let mut reached = BTreeSet::new();
        let mut waiting = vec![start];
        while let Some(node) = waiting.pop() {
            for next in edges.get(node).into_iter().flat_map(BTreeMap::keys) {
                if reached.insert(next.clone()) {
                    waiting.push(next);
                }
            }
        }
        reached
    };
    let reached: BTreeMap<&String, BTreeSet<String>> = edges.keys().map(|node| (node, reach(node))).collect();
    let mut groups = BTreeSet::new();
    for (node, others) in &reached {
        if others.contains(*node) {
            let back = |other: &&String| reached.get(other).is_some_and(|those| those.contains(*node));
            groups.insert(others.iter().filter(back).cloned().collect::<BTreeSet<_>>());
        }
    }
    groups.into_iter().collect()
}

/// The uses that hold a cycle together, one a line.
pub fn describe(cycle: &BTreeSet<String>, edges: &Edges) -> String {
    let mut lines = Vec::new();
    for (one, others) in edges.iter().filter(|(one, _)| cycle.contains(*one)) {
        for (other, mentions) in others.iter().filter(|(other, _)| cycle.contains(*other)) {
            lines.push(format!("  {one} uses {other}"));
            lines.extend(mentions.values().map(|mention| format!("    {mention}")));
        }
    }
    format!("{}\n{}", cycle.iter().cloned().collect::<Vec<_>>().join(", "), lines.join("\n"))
}

/// Where the code and a table of layers differ. The table has, from the bottom to the top, each module and the names of
/// those that it knows, with spaces between them.
pub fn against_layers(graph: &Graph, layers: &[(&str, &str)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for module in graph.modules.iter().filter(|module| !layers.iter().any(|(known, _)| known == module)) {
        wrong.push(format!("{module} is missing from the table"));
    }
    for (place, (module, known)) in layers.iter().enumerate() {
        if layers[..place].iter().any(|(below, _)| below == module) {
            wrong.push(format!("{module} is in the table twice"));
        }
        if !graph.modules.contains(*module) {
            wrong.push(format!("{module} is in the table and no module"));
            continue;
        }
        let none = BTreeMap::new();
        let knows = graph.knows.get(*module).unwrap_or(&none);
        let known: Vec<&str> = known.split_whitespace().collect();
        for other in &known {
            if !layers[..place].iter().any(|(below, _)| below == other) {
                wrong.push(format!("{module} may know {other}, which is not below it"));
            }
            if !knows.contains_key(*other) {
                wrong.push(format!("{module} may know {other} and does not"));
            }
        }
        for (other, mentions) in knows.iter().filter(|(other, _)| !known.contains(&other.as_str())) {
            let mentions: Vec<String> = mentions.values().map(|mention| format!("    {mention}")).collect();
            wrong.push(format!("{module} must not know {other}\n{}", mentions.join("\n")));
        }
    }
    wrong
}
