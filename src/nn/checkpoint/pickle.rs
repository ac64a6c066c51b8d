//! Pickles, as far as weights need them: numbers, strings, lists, tuples, dictionaries and tensors.
//!
//! Python's pickles are programs. Nothing of one is executed: of the names that it may call this knows torch's
//! constructors of tensors and `OrderedDict`, which it understands instead of calling; what any other name would make is
//! a value of no use here, and the name is kept for whoever wants to say so ([`Tree::foreign`]). Values live in one table
//! and refer to each other by index, so that a pickle that shares or nests without end costs no more than its length.

use std::collections::HashMap;

use super::error::CheckpointError;
use super::number::Number;

/// Most values of a pickle.
const MOST_NODES: usize = 1 << 20;

/// Index of a value.
pub type Id = u32;

/// A value.
#[derive(Debug)]
pub enum Node<'a> {
    /// Something of no use here: none, a long integer, a set.
    Other,
    /// What a foreign name would make, with the arguments it would be called with, or the state it would then be given: an
    /// array of numpy has its numbers there, and a module of torch its tensors.
    Object(Option<Id>),
    /// Bytes, or a string that is no text.
    Bytes(&'a [u8]),
    /// An integer or a truth value.
    Int(i64),
    /// A number with a point.
    Float(f64),
    /// A string.
    Str(&'a str),
    /// A list or a tuple.
    Items(Vec<Id>),
    /// A dictionary, keys and values in turn.
    Dict(Vec<Id>),
    /// A name that may be called.
    Global(Global),
    /// The numbers behind tensors.
    Storage(Place<'a>),
    /// A view of them.
    Tensor(Box<View<'a>>),
}

/// A name that may be called.
#[derive(Clone, Copy, Debug)]
pub enum Global {
    /// `collections.OrderedDict`
    Dict,
    /// `torch._utils._rebuild_tensor_v2`
    Tensor,
    /// `torch._utils._rebuild_parameter`
    Parameter,
    /// `torch.storage._load_from_bytes`, which files of others have their storages in
    StorageOfBytes,
    /// `torch.FloatStorage` and the like
    Storage(Number),
    /// Any other: see [`Tree::foreign`].
    Foreign,
}

/// The numbers behind tensors.
#[derive(Clone, Copy, Debug)]
pub struct Storage<'a> {
    /// What they are filed under.
    pub key: &'a str,
    /// Their kind.
    pub number: Number,
    /// How many there are.
    pub count: usize,
}

/// Where the numbers behind tensors are.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// Filed beside the pickle.
    Beside(Storage<'a>),
    /// In a file of torch's older format within the pickle.
    Within(&'a [u8]),
}

/// A plain setting.
#[derive(Clone, Debug, PartialEq)]
pub enum Plain {
    /// A number or a truth value.
    Number(f64),
    /// A short text.
    Text(String),
}

/// A view of a storage.
#[derive(Debug)]
pub struct View<'a> {
    /// The storage.
    pub storage: Place<'a>,
    /// Where it starts, in numbers.
    pub offset: usize,
    /// Lengths of the dimensions.
    pub shape: Vec<usize>,
    /// Distances of neighbours, in numbers.
    pub strides: Vec<usize>,
}

/// What a pickle built.
#[derive(Debug)]
pub struct Tree<'a> {
    /// All values.
    pub nodes: Vec<Node<'a>>,
    /// The last one.
    pub root: Id,
    /// How many bytes of the input it took.
    pub length: usize,
    /// Names that it would call or refer to, and that are no tensors', each once and at most a few.
    pub foreign: Vec<String>,
}

impl<'a> Tree<'a> {
    /// A value.
    #[must_use]
    pub fn node(&self, id: Id) -> Option<&Node<'a>> {
        self.nodes.get(id as usize)
    }
}

struct Machine<'a> {
    input: &'a [u8],
    at: usize,
    nodes: Vec<Node<'a>>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    foreign: Vec<String>,
}

/// Most foreign names that are kept.
const MOST_FOREIGN: usize = 16;

type Outcome<T = ()> = Result<T, CheckpointError>;

/// Reads the pickle that `input` begins with.
///
/// # Errors
/// [`CheckpointError::Pickle`] when it is damaged.
pub fn read(input: &[u8]) -> Outcome<Tree<'_>> {
    let (stack, marks) = (Vec::new(), Vec::new());
    let mut machine =
        Machine { input, at: 0, nodes: Vec::new(), stack, marks, memo: HashMap::new(), foreign: Vec::new() };
    loop {
        let opcode = machine.byte()?;
        if opcode == b'.' {
            let root = machine.pop()?;
            return Ok(Tree { nodes: machine.nodes, root, length: machine.at, foreign: machine.foreign });
        }
        machine.step(opcode)?;
    }
}

impl<'a> Machine<'a> {
    fn broken<T>(&self, detail: impl Into<String>) -> Outcome<T> {
        Err(CheckpointError::Pickle { at: self.at, detail: detail.into() })
    }

    fn take(&mut self, length: usize) -> Outcome<&'a [u8]> {
        let input = self.input;
        match self.at.checked_add(length).and_then(|end| input.get(self.at..end)) {
            Some(bytes) => {
                self.at += length;
                Ok(bytes)
            }
            None => self.broken("it is cut short"),
        }
    }

    fn byte(&mut self) -> Outcome<u8> {
        Ok(self.take(1)?[0])
    }

    /// Little-endian number without sign.
    fn size(&mut self, bytes: usize) -> Outcome<usize> {
        let value = self.take(bytes)?.iter().rev().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        usize::try_from(value).or_else(|_| self.broken("a length beyond memory"))
    }

    fn text(&mut self, length: usize) -> Outcome<&'a str> {
        std::str::from_utf8(self.take(length)?).or_else(|_| self.broken("a string is not UTF-8"))
    }

    fn line(&mut self) -> Outcome<&'a str> {
        let rest = self.input.get(self.at..).unwrap_or_default();
        match rest.iter().position(|byte| *byte == b'\n') {
            Some(length) => {
                let text = self.text(length)?;
                self.at += 1;
                Ok(text)
            }
            None => self.broken("it is cut short"),
        }
    }

    fn push(&mut self, node: Node<'a>) -> Outcome {
        if self.nodes.len() >= MOST_NODES {
            return Err(CheckpointError::TooMany { what: "values in a pickle", most: MOST_NODES });
        }
        self.stack.push(self.nodes.len() as Id);
        self.nodes.push(node);
        Ok(())
    }

    fn pop(&mut self) -> Outcome<Id> {
        // What lies below a mark is not to be taken before the mark is.
        if self.stack.len() <= self.marks.last().copied().unwrap_or(0) {
            return self.broken("it takes more than it has put down");
        }
        match self.stack.pop() {
            Some(id) => Ok(id),
            None => self.broken("it takes more than it has put down"),
        }
    }

    fn pop_many(&mut self, count: usize) -> Outcome<Vec<Id>> {
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(self.pop()?);
        }
        items.reverse();
        Ok(items)
    }

    fn pop_mark(&mut self) -> Outcome<Vec<Id>> {
        match self.marks.pop() {
            Some(mark) if mark <= self.stack.len() => Ok(self.stack.split_off(mark)),
            _ => self.broken("there is no mark"),
        }
    }

    fn node(&self, id: Id) -> &Node<'a> {
        self.nodes.get(id as usize).unwrap_or(&Node::Other)
    }

    fn int(&self, id: Id) -> Outcome<usize> {
        match self.node(id) {
            Node::Int(value) if *value >= 0 => {
                usize::try_from(*value).or_else(|_| self.broken("a length beyond memory"))
            }
            _ => self.broken("a length was expected"),
        }
    }

    fn ints(&self, id: Id) -> Outcome<Vec<usize>> {
        match self.node(id) {
            Node::Items(items) if items.len() <= 8 => items.iter().map(|&item| self.int(item)).collect(),
            _ => self.broken("a list of up to 8 lengths was expected"),
        }
    }

    fn step(&mut self, opcode: u8) -> Outcome {
        match opcode {
            // PROTO, FRAME: nothing to do.
            0x80 => self.take(1).map(|_| ()),
            0x95 => self.take(8).map(|_| ()),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            // POP, POP_MARK, DUP.
            b'0' => self.pop().map(|_| ()),
            b'1' => self.pop_mark().map(|_| ()),
            b'2' => {
                let top = self.pop()?;
                self.stack.extend([top, top]);
                Ok(())
            }
            b'N' => self.push(Node::Other),
            0x88 => self.push(Node::Int(1)),
            0x89 => self.push(Node::Int(0)),
            b'K' => self.integer(1),
            b'M' => self.integer(2),
            b'J' => {
                let value = self.size(4)? as u32 as i32;
                self.push(Node::Int(i64::from(value)))
            }
            0x8a => {
                let length = self.size(1)?;
                let bytes = self.take(length)?;
                let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
                let start = if negative { -1_i64 } else { 0 };
                let value = bytes.iter().rev().fold(start, |sum, byte| (sum << 8) | i64::from(*byte));
                self.push(if length <= 8 { Node::Int(value) } else { Node::Other })
            }
            b'G' => {
                let bytes = self.take(8)?.first_chunk::<8>().copied().unwrap_or_default();
                self.push(Node::Float(f64::from_be_bytes(bytes)))
            }
            b'X' | b'T' => self.string(4),
            0x8c | b'U' => self.string(1),
            0x8d => self.string(8),
            b'B' | 0x8b => self.bytes(4),
            b'C' => self.bytes(1),
            0x8e | 0x96 => self.bytes(8),
            // Numbers as text: INT, which truth values are too, LONG, FLOAT.
            b'I' | b'L' => {
                let value = self.line()?.trim_end_matches('L').parse();
                self.push(value.map_or(Node::Other, Node::Int))
            }
            b'F' => {
                let value = self.line()?.parse();
                self.push(value.map_or(Node::Other, Node::Float))
            }
            // Sets hold no tensors.
            0x8f => self.push(Node::Other),
            0x90 => self.pop_mark().map(|_| ()),
            0x91 => {
                self.pop_mark()?;
                self.push(Node::Other)
            }
            // An object of a class by its arguments, by name or not.
            0x81 => self.object(1),
            0x92 => self.object(2),
            b')' | b']' => self.push(Node::Items(Vec::new())),
            b'}' => self.push(Node::Dict(Vec::new())),
            b't' | b'l' => {
                let items = self.pop_mark()?;
                self.push(Node::Items(items))
            }
            0x85..=0x87 => {
                let items = self.pop_many(usize::from(opcode - 0x84))?;
                self.push(Node::Items(items))
            }
            b'q' => self.remember(1),
            b'r' => self.remember(4),
            0x94 => self.keep(self.memo.len() as u32),
            b'h' => self.recall(1),
            b'j' => self.recall(4),
            b'a' => {
                let item = self.pop_many(1)?;
                self.extend(item, false)
            }
            b'e' => {
                let items = self.pop_mark()?;
                self.extend(items, false)
            }
            b's' => {
                let pair = self.pop_many(2)?;
                self.extend(pair, true)
            }
            b'u' => {
                let pairs = self.pop_mark()?;
                self.extend(pairs, true)
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(module, name)
            }
            0x93 => {
                let names = self.pop_many(2)?;
                match (self.node(names[0]), self.node(names[1])) {
                    (&Node::Str(module), &Node::Str(name)) => self.global(module, name),
                    _ => self.broken("a name was expected"),
                }
            }
            b'Q' => self.storage(),
            b'R' => self.reduce(),
            // BUILD gives an ordered dictionary attributes: torch keeps versions of modules there.
            b'b' => {
                let state = self.pop()?;
                let top = self.stack.last().copied().unwrap_or(Id::MAX);
                match self.nodes.get_mut(top as usize) {
                    Some(Node::Object(kept)) => *kept = Some(state),
                    Some(Node::Dict(_)) => {}
                    _ => return self.broken("attributes for something that has none"),
                }
                Ok(())
            }
            _ => self.broken(format!("instruction {opcode:#04x} is not one that weights need")),
        }
    }

    fn integer(&mut self, bytes: usize) -> Outcome {
        let value = self.size(bytes)?;
        self.push(Node::Int(value as i64))
    }

    /// A string, which Python 2 took for bytes too.
    fn string(&mut self, bytes: usize) -> Outcome {
        let length = self.size(bytes)?;
        let bytes = self.take(length)?;
        self.push(std::str::from_utf8(bytes).map_or(Node::Bytes(bytes), Node::Str))
    }

    fn bytes(&mut self, bytes: usize) -> Outcome {
        let length = self.size(bytes)?;
        let bytes = self.take(length)?;
        self.push(Node::Bytes(bytes))
    }

    fn keep(&mut self, key: u32) -> Outcome {
        match self.stack.last() {
            Some(&id) => {
                self.memo.insert(key, id);
                Ok(())
            }
            None => self.broken("there is nothing to remember"),
        }
    }

    fn remember(&mut self, bytes: usize) -> Outcome {
        let key = self.size(bytes)? as u32;
        self.keep(key)
    }

    fn recall(&mut self, bytes: usize) -> Outcome {
        let key = self.size(bytes)? as u32;
        match self.memo.get(&key) {
            Some(&id) => {
                self.stack.push(id);
                Ok(())
            }
            None => self.broken("it recalls what it never remembered"),
        }
    }

    /// Adds items to the list, or keys and values to the dictionary, that is on top.
    fn extend(&mut self, mut items: Vec<Id>, pairs: bool) -> Outcome {
        let top = self.stack.last().copied().unwrap_or(Id::MAX);
        let even = items.len().is_multiple_of(2);
        match self.nodes.get_mut(top as usize) {
            Some(Node::Items(list)) if !pairs => list.append(&mut items),
            Some(Node::Dict(list)) if pairs && even => list.append(&mut items),
            // What a foreign name made may be a list or a dictionary.
            Some(Node::Other | Node::Object(_)) => {}
            _ => return self.broken("items for something that holds none"),
        }
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Outcome {
        let known = match (module, name) {
            ("collections", "OrderedDict") => Some(Global::Dict),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Global::Tensor),
            ("torch._utils", "_rebuild_parameter") => Some(Global::Parameter),
            ("torch.storage", "_load_from_bytes") => Some(Global::StorageOfBytes),
            ("torch" | "torch.storage", storage) => Number::from_torch(storage).map(Global::Storage),
            _ => None,
        };
        let global = known.unwrap_or_else(|| {
            let name: String = format!("{module}.{name}").chars().take(120).collect();
            if self.foreign.len() < MOST_FOREIGN && !self.foreign.contains(&name) {
                self.foreign.push(name);
            }
            Global::Foreign
        });
        self.push(Node::Global(global))
    }

    /// An object of a class that stands below its arguments.
    fn object(&mut self, arguments: usize) -> Outcome {
        let parts = self.pop_many(arguments + 1)?;
        self.push(Node::Object(parts.get(1).copied()))
    }

    /// `("storage", class, key, place, count)`, and none after it in the older format.
    fn storage(&mut self) -> Outcome {
        let id = self.pop()?;
        let Node::Items(items) = self.node(id) else { return self.broken("a storage was expected") };
        let [kind, class, key, _, count, rest @ ..] = &items[..] else {
            return self.broken("a storage was expected");
        };
        let plain = rest.iter().all(|id| matches!(self.node(*id), Node::Other));
        match (self.node(*kind), self.node(*class), self.node(*key)) {
            (Node::Str("storage"), &Node::Global(Global::Storage(number)), &Node::Str(key)) if plain => {
                let count = self.int(*count)?;
                self.push(Node::Storage(Place::Beside(Storage { key, number, count })))
            }
            _ => self.broken("a storage was expected"),
        }
    }

    fn reduce(&mut self) -> Outcome {
        let (arguments, function) = (self.pop()?, self.pop()?);
        if matches!(self.node(function), Node::Global(Global::Foreign) | Node::Object(_)) {
            return self.push(Node::Object(Some(arguments)));
        }
        let Node::Items(items) = self.node(arguments) else { return self.broken("arguments were expected") };
        match (self.node(function), &items[..]) {
            (Node::Global(Global::Dict), []) => self.push(Node::Dict(Vec::new())),
            (Node::Global(Global::Parameter), [tensor, ..]) => {
                let tensor = *tensor;
                if !matches!(self.node(tensor), Node::Tensor(_)) {
                    return self.broken("a tensor was expected");
                }
                self.stack.push(tensor);
                Ok(())
            }
            (Node::Global(Global::StorageOfBytes), [bytes]) => {
                let &Node::Bytes(bytes) = self.node(*bytes) else {
                    return self.broken("the bytes of a storage were expected");
                };
                self.push(Node::Storage(Place::Within(bytes)))
            }
            (Node::Global(Global::Tensor), [storage, offset, shape, strides, ..]) => {
                let Node::Storage(storage) = self.node(*storage) else {
                    return self.broken("a storage was expected");
                };
                let view = View {
                    storage: *storage,
                    offset: self.int(*offset)?,
                    shape: self.ints(*shape)?,
                    strides: self.ints(*strides)?,
                };
                self.push(Node::Tensor(Box::new(view)))
            }
            _ => self.broken("a call that weights do not need"),
        }
    }
}
