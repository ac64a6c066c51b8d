//! A WebAssembly module, as far as the build changes it: what it takes from JavaScript, and its functions, which stand in
//! another order afterwards, each of them once. No instruction becomes another one.
//!
//! Everything is read as `None` that is not as the compiler and wasm-bindgen write it.

use std::collections::HashMap;

/// Names of sections, as numbers.
const IMPORTS: u8 = 2;
const TYPES_OF_FUNCTIONS: u8 = 3;
const GLOBALS: u8 = 6;
const EXPORTS: u8 = 7;
const START: u8 = 8;
const ELEMENTS: u8 = 9;
const CODE: u8 = 10;

/// What every module begins with.
const HEAD: &[u8; 8] = b"\0asm\x01\0\0\0";
/// A function, among what is taken from outside and given to it.
const FUNCTION: u8 = 0;
/// The end of an expression.
const END: u8 = 0x0b;

/// A module in its sections.
pub struct Module {
    sections: Vec<(u8, Vec<u8>)>,
}

/// What is left to read.
struct Reading<'a>(&'a [u8]);

impl<'a> Reading<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (these, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(these)
    }

    fn byte(&mut self) -> Option<u8> {
        self.bytes(1).map(|byte| byte[0])
    }

    /// A number of seven bits a byte, the lowest first.
    fn number(&mut self) -> Option<usize> {
        let mut value = 0;
        for place in 0..5 {
            let byte = self.byte()?;
            value |= usize::from(byte & 127) << (7 * place);
            if byte < 128 {
                return Some(value);
            }
        }
        None
    }

    /// Numbers, with or without a sign, that stay as they are.
    fn pass(&mut self, numbers: usize) -> Option<()> {
        for _ in 0..numbers {
            while self.byte()? >= 128 {}
        }
        Some(())
    }

    /// As many bytes as the number before them says.
    fn counted(&mut self) -> Option<&'a [u8]> {
        let count = self.number()?;
        self.bytes(count)
    }

    /// What was read since `before`.
    fn since(&self, before: &'a [u8]) -> &'a [u8] {
        &before[..before.len() - self.0.len()]
    }

    /// An instruction; the function, if it names one.
    fn instruction(&mut self) -> Option<Option<usize>> {
        match self.byte()? {
            0x00 | 0x01 | 0x05 | END | 0x0f | 0x1a | 0x1b | 0x45..=0xc4 | 0xd1 => {}
            // A block's type, a label, a variable, a constant, the memory, the kind of a null.
            0x02..=0x04 | 0x0c | 0x0d | 0x20..=0x26 | 0x3f..=0x42 | 0xd0 => self.pass(1)?,
            0x0e => {
                let labels = self.number()?;
                self.pass(labels + 1)?;
            }
            // A call through a table; alignment and offset of what is loaded or stored.
            0x11 | 0x28..=0x3e => self.pass(2)?,
            0x1c => {
                self.counted()?;
            }
            0x43 => drop(self.bytes(4)?),
            0x44 => drop(self.bytes(8)?),
            // A call, a reference.
            0x10 | 0xd2 => return self.number().map(Some),
            0xfc => match self.number()? {
                0..=7 => {}
                9 | 11 | 13 | 15..=17 => self.pass(1)?,
                8 | 10 | 12 | 14 => self.pass(2)?,
                _ => return None,
            },
            // Vectors: what is loaded or stored, a constant or an order of bytes, a lane, both.
            0xfd => match self.number()? {
                0..=11 | 92 | 93 => self.pass(2)?,
                12 | 13 => drop(self.bytes(16)?),
                21..=34 => drop(self.byte()?),
                84..=91 => {
                    self.pass(2)?;
                    self.byte()?;
                }
                14..=0x113 => {}
                _ => return None,
            },
            _ => return None,
        }
        Some(None)
    }

    /// Copies an expression, whose functions have these numbers from now on, up to where `ends` says.
    fn expression(&mut self, new: &[usize], to: &mut Vec<u8>, ends: impl Fn(u8, &[u8]) -> bool) -> Option<()> {
        loop {
            let before = self.0;
            let named = self.instruction()?;
            to.push(before[0]);
            match named {
                Some(function) => put(to, *new.get(function)?),
                None => to.extend(&self.since(before)[1..]),
            }
            if ends(before[0], self.0) {
                return Some(());
            }
        }
    }

    /// Copies the expression of a constant.
    fn constant(&mut self, new: &[usize], to: &mut Vec<u8>) -> Option<()> {
        self.expression(new, to, |instruction, _| instruction == END)
    }
}

/// Writes a number of seven bits a byte, the lowest first.
fn put(to: &mut Vec<u8>, mut number: usize) {
    while number >= 128 {
        to.push(number as u8 | 128);
        number >>= 7;
    }
    to.push(number as u8);
}

fn put_counted(to: &mut Vec<u8>, bytes: &[u8]) {
    put(to, bytes.len());
    to.extend(bytes);
}

/// What is taken from outside.
struct Import<'a> {
    /// Where from.
    module: &'a [u8],
    name: &'a str,
    /// What it is: a function, and of which type.
    kind: &'a [u8],
}

fn imports(section: &[u8]) -> Option<Vec<Import<'_>>> {
    if section.is_empty() {
        return Some(Vec::new());
    }
    let mut from = Reading(section);
    (0..from.number()?)
        .map(|_| {
            let (module, name) = (from.counted()?, std::str::from_utf8(from.counted()?).ok()?);
            let before = from.0;
            // Tables and memories are the module's own: no program shares its memory.
            (from.byte()? == FUNCTION).then(|| from.pass(1))??;
            Some(Import { module, name, kind: from.since(before) })
        })
        .collect()
}

impl Module {
    /// The module without what is in it for tools alone: the names of its functions, who made it and for what processor.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = Reading(bytes.strip_prefix(HEAD)?);
        let mut sections = Vec::new();
        while let Some(id) = rest.byte() {
            let content = rest.counted()?;
            if id != 0 {
                sections.push((id, content.to_vec()));
            }
        }
        Some(Self { sections })
    }

    /// The module as a file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut all = HEAD.to_vec();
        for (id, content) in &self.sections {
            all.push(*id);
            put_counted(&mut all, content);
        }
        all
    }

    /// A section's content; nothing where there is none.
    fn section(&self, id: u8) -> &[u8] {
        self.sections.iter().find(|section| section.0 == id).map_or(&[], |section| &section.1)
    }

    /// Gives a section that is there another content.
    fn change(&mut self, id: u8, change: impl FnOnce(&mut Reading, &mut Vec<u8>) -> Option<()>) -> Option<()> {
        let Some((_, content)) = self.sections.iter_mut().find(|section| section.0 == id) else { return Some(()) };
        let mut changed = Vec::new();
        let mut from = Reading(content);
        change(&mut from, &mut changed)?;
        *content = from.0.is_empty().then_some(changed)?;
        Some(())
    }

    /// Changes a section that is a list.
    fn change_each(&mut self, id: u8, change: impl Fn(&mut Reading, &mut Vec<u8>) -> Option<()>) -> Option<()> {
        self.change(id, |from, to| {
            let count = from.number()?;
            put(to, count);
            (0..count).try_for_each(|_| change(from, to))
        })
    }

    /// The names of the functions that it takes from JavaScript.
    pub fn imports(&self) -> Option<Vec<&str>> {
        Some(imports(self.section(IMPORTS))?.iter().map(|import| import.name).collect())
    }

    /// Takes its functions from JavaScript by these names.
    pub fn rename_imports(&mut self, names: &[String]) -> Option<()> {
        let imports = imports(self.section(IMPORTS))?;
        let mut changed = Vec::new();
        put(&mut changed, imports.len());
        for (import, name) in imports.iter().zip(names) {
            put_counted(&mut changed, import.module);
            put_counted(&mut changed, name.as_bytes());
            changed.extend(import.kind);
        }
        self.change(IMPORTS, |from, to| {
            from.0 = &[];
            *to = changed;
            Some(())
        })
    }

    /// The functions, each with its variables.
    pub fn functions(&self) -> Option<Vec<&[u8]>> {
        let mut from = Reading(self.section(CODE));
        (0..from.number()?).map(|_| from.counted()).collect()
    }

    /// The types of the functions, by their places in the list of types.
    fn types(&self) -> Option<Vec<usize>> {
        let mut from = Reading(self.section(TYPES_OF_FUNCTIONS));
        (0..from.number()?).map(|_| from.number()).collect()
    }

    /// Keeps the first alone of functions that do the same, instruction for instruction. That each has an address of its own
    /// no program can rely on: Rust does not promise it.
    pub fn unite(&mut self) -> Option<()> {
        let (functions, types, imported) = (self.functions()?, self.types()?, self.imports()?.len());
        let mut same: Vec<usize> = (0..functions.len()).collect();
        // Those that call different functions are the same when what they call is found to be.
        loop {
            let new: Vec<usize> = (0..imported).chain(same.iter().map(|&place| imported + place)).collect();
            let mut first = HashMap::new();
            let next = (functions.iter().zip(&types).enumerate())
                .map(|(place, (function, of))| Some(*first.entry((of, renumbered(function, &new)?)).or_insert(place)))
                .collect::<Option<Vec<usize>>>()?;
            if next == same {
                break;
            }
            same = next;
        }
        let kept: Vec<usize> = (0..same.len()).filter(|&place| same[place] == place).collect();
        self.arrange(&kept, &same)
    }

    /// Puts its functions into this order, given by their places until now.
    pub fn reorder(&mut self, order: &[usize]) -> Option<()> {
        let same: Vec<usize> = (0..order.len()).collect();
        self.arrange(order, &same)
    }

    /// Puts the functions of these places one after the other. Whatever names a function names the one in its stead from now
    /// on that `same` says.
    fn arrange(&mut self, order: &[usize], same: &[usize]) -> Option<()> {
        let imported = self.imports()?.len();
        let mut places = vec![None; same.len()];
        for (place, &old) in order.iter().enumerate() {
            *places.get_mut(old)? = Some(imported + place);
        }
        let new: Vec<usize> =
            (0..imported).map(Some).chain(same.iter().map(|&old| *places.get(old)?)).collect::<Option<_>>()?;
        let functions: Vec<Vec<u8>> =
            self.functions()?.into_iter().map(|function| renumbered(function, &new)).collect::<Option<_>>()?;
        self.change(CODE, |from, to| {
            from.0 = &[];
            put(to, order.len());
            order.iter().try_for_each(|&old| functions.get(old).map(|function| put_counted(to, function)))
        })?;
        let types = self.types()?;
        self.change(TYPES_OF_FUNCTIONS, |from, to| {
            from.0 = &[];
            put(to, order.len());
            order.iter().try_for_each(|&old| types.get(old).map(|&of| put(to, of)))
        })?;
        self.change_each(GLOBALS, |from, to| {
            to.extend(from.bytes(2)?);
            from.constant(&new, to)
        })?;
        self.change_each(EXPORTS, |from, to| {
            put_counted(to, from.counted()?);
            let (kind, index) = (from.byte()?, from.number()?);
            to.push(kind);
            put(to, if kind == FUNCTION { *new.get(index)? } else { index });
            Some(())
        })?;
        self.change(START, |from, to| {
            put(to, *new.get(from.number()?)?);
            Some(())
        })?;
        self.change_each(ELEMENTS, |from, to| {
            // Of the kinds of lists, the one of functions that fill the first table from a place on.
            (from.byte()? == 0).then(|| to.push(0))?;
            from.constant(&new, to)?;
            let count = from.number()?;
            put(to, count);
            (0..count).try_for_each(|_| from.number().and_then(|old| new.get(old)).map(|&new| put(to, new)))
        })
    }
}

/// A function, with these numbers of functions from now on.
fn renumbered(function: &[u8], new: &[usize]) -> Option<Vec<u8>> {
    let mut from = Reading(function);
    for _ in 0..from.number()? {
        from.pass(1)?;
        from.byte()?;
    }
    let mut to = from.since(function).to_vec();
    from.expression(new, &mut to, |_, rest| rest.is_empty())?;
    Some(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(id: u8, content: &[u8]) -> Vec<u8> {
        let mut section = vec![id];
        put_counted(&mut section, content);
        section
    }

    fn import(name: &str) -> Vec<u8> {
        [b"\x01./".as_slice()[..2].to_vec(), vec![name.len() as u8], name.into(), vec![FUNCTION, 0]].concat()
    }

    /// A module that takes `name`, number 0, from outside, and has two functions: number 1, of the first type, calls number 0
    /// and 2, and number 2, of the second type, names number 1. Every section that names functions names `of`, one of these.
    fn module(name: &str, [caller, called]: [u8; 2], of: u8) -> Vec<u8> {
        let call = [&[1, 2, 0x7f, 0x10, 0, 0x10, called, 0x41, 0x10, 0x1a, END][..], &[]].concat();
        let refer =
            [0, 0xfd, 12, 0x10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0x1a, 0xd2, caller, 0x1a, END];
        let bodies = if caller < called { [&call[..], &refer] } else { [&refer[..], &call] };
        let mut code = vec![2];
        bodies.iter().for_each(|body| put_counted(&mut code, body));
        [
            HEAD.to_vec(),
            section(1, &[2, 0x60, 0, 0, 0x60, 1, 0x7f, 0]),
            section(IMPORTS, &[vec![1], import(name)].concat()),
            section(TYPES_OF_FUNCTIONS, &[2, caller - 1, called - 1]),
            section(GLOBALS, &[2, 0x7f, 0, 0x41, 0x10, END, 0x70, 0, 0xd2, of, END]),
            section(EXPORTS, &[2, 1, b'm', 2, 1, 1, b'f', FUNCTION, of]),
            section(START, &[of]),
            section(ELEMENTS, &[1, 0, 0x41, 1, END, 2, of, 0]),
            section(CODE, &code),
        ]
        .concat()
    }

    #[test]
    fn functions_keep_their_names_wherever_they_stand() {
        let (before, after) = (module("x", [1, 2], 2), module("x", [2, 1], 1));
        let mut read = Module::read(&before).expect("a module");
        assert_eq!(read.bytes(), before);
        read.reorder(&[0, 1]).expect("an order");
        assert_eq!(read.bytes(), before);
        read.reorder(&[1, 0]).expect("an order");
        assert_eq!(read.bytes(), after);
        assert_eq!(read.reorder(&[2, 0]), None);
    }

    #[test]
    fn functions_that_do_the_same_are_there_once() {
        // The first three call the one after the next, which is the same as the next: they are the same in turn, but for the
        // last of them, which has another type.
        let calls = |called: u8| [&[4, 0, 0x10, called][..], &[END]].concat();
        let bodies = [calls(3), calls(4), calls(3), vec![2, 0, END], vec![2, 0, END]];
        let file = |types: &[u8], bodies: &[Vec<u8>], exported: u8| {
            let count = bodies.len() as u8;
            [
                HEAD.to_vec(),
                section(TYPES_OF_FUNCTIONS, &[&[count], types].concat()),
                section(EXPORTS, &[1, 1, b'f', FUNCTION, exported]),
                section(CODE, &[vec![count], bodies.concat()].concat()),
            ]
            .concat()
        };
        let mut read = Module::read(&file(&[0, 0, 1, 0, 0], &bodies, 1)).expect("a module");
        read.unite().expect("functions");
        let united = [calls(2), calls(2), vec![2, 0, END]];
        assert_eq!(read.bytes(), file(&[0, 1, 0], &united, 0));
    }

    #[test]
    fn what_is_taken_from_outside_is_renamed_alone() {
        let mut read = Module::read(&module("__wbg_x_0123456789abcdef", [1, 2], 1)).expect("a module");
        assert_eq!(read.imports(), Some(vec!["__wbg_x_0123456789abcdef"]));
        read.rename_imports(&["f0".to_owned()]).expect("imports");
        assert_eq!(read.bytes(), module("f0", [1, 2], 1));
    }

    #[test]
    fn what_is_for_tools_is_left_out_and_what_is_damaged_is_not_read() {
        let whole = module("x", [1, 2], 1);
        let named = [&whole[..], &section(0, b"\x04name\x01\x00")].concat();
        assert_eq!(Module::read(&named).expect("a module").bytes(), whole);
        assert!(Module::read(&whole[..whole.len() - 1]).is_none());
        assert!(Module::read(b"<!DOCTYPE html>").is_none());
        // An instruction that no compiler of ours writes.
        let strange = [HEAD.to_vec(), section(CODE, &[1, 3, 0, 0xff, END])].concat();
        assert_eq!(Module::read(&strange).expect("a module").reorder(&[0]), None);
    }
}
