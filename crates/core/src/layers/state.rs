//! A state of a module that PyTorch has saved (`.pt`): an archive of a pickled dictionary and the numbers of
//! its tensors.
//!
//! A pickled file is a program. This reader runs none: it knows the instructions and the three names that a
//! dictionary of plain tensors consists of, and refuses every other one. It calls nothing, imports nothing,
//! and makes no object but numbers, texts, tuples, dictionaries and tensors.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    io::{Cursor, Read},
    rc::Rc,
};

use safetensors::Dtype;
use zip::{CompressionMethod, ZipArchive};

use super::MOST_WEIGHTS;

/// Most bytes of the pickled dictionary; one of two tensors has 300.
const MOST_PICKLED: u64 = 16 << 10;
/// Most files of an archive: those of PyTorch, and one for each tensor.
const MOST_FILES: usize = 64;
/// Most tensors of a dictionary; a linear layer has two.
const MOST_TENSORS: usize = 8;
/// Most tuples within each other; PyTorch's go three deep.
const DEPTH: usize = 8;

/// The first bytes of an archive.
pub(super) const MAGIC: &[u8] = b"PK\x03\x04";

/// Tensors by name.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) tensors: BTreeMap<String, Tensor>,
}

#[derive(Debug)]
pub(super) struct Tensor {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) data: Vec<u8>,
}

/// Reads the tensors of a state.
///
/// # Errors
/// The defect in words: no archive, another content than plain tensors, sizes beyond the limits.
pub(super) fn read(bytes: &[u8]) -> Result<State, String> {
    let mut archive = ZipArchive::new(Cursor::new(bytes))
        .map_err(|error| format!("it is no archive: {error}"))?;
    if archive.len() > MOST_FILES {
        return Err(format!(
            "expected an archive of at most {MOST_FILES} files, got {}",
            archive.len()
        ));
    }
    let names = archive.file_names().map(|name| name.map(Cow::into_owned));
    let names: Vec<String> = names.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    let Some(pickled) = names.iter().find(|name| name.ends_with("/data.pkl")) else {
        return Err("the archive has no data.pkl, so PyTorch has not saved it".to_owned());
    };
    let folder = pickled.trim_end_matches("data.pkl").to_owned();
    let order = format!("{folder}byteorder");
    if names.contains(&order) && entry(&mut archive, &order, MOST_PICKLED)? != b"little" {
        return Err("its numbers are big-endian; save it again on a usual processor".to_owned());
    }
    let program = entry(&mut archive, pickled, MOST_PICKLED)?;
    let views = Machine::run(&program)?;
    if views.len() > MOST_TENSORS {
        return Err(format!("expected at most {MOST_TENSORS} tensors, got {}", views.len()));
    }
    let mut state = State::default();
    for (name, view) in views {
        let data = view.data(&mut archive, &folder)?;
        state.tensors.insert(name, Tensor { dtype: view.storage.dtype, shape: view.shape, data });
    }
    Ok(state)
}

type Archive<'a> = ZipArchive<Cursor<&'a [u8]>>;

/// A file of the archive, of at most `limit` bytes.
fn entry(archive: &mut Archive<'_>, name: &str, limit: u64) -> Result<Vec<u8>, String> {
    let mut file = archive.by_name(name).map_err(|error| format!("{name}: {error}"))?;
    if file.size() > limit {
        return Err(format!("expected {name} of at most {limit} bytes, got {}", file.size()));
    }
    // So the content is no longer than the archive.
    if file.compression() != CompressionMethod::Stored {
        return Err(format!("{name} is compressed, which PyTorch does not do"));
    }
    let mut content = Vec::new();
    // Sizes in an archive are claims.
    (&mut file)
        .take(limit + 1)
        .read_to_end(&mut content)
        .map_err(|error| format!("{name}: {error}"))?;
    if content.len() as u64 > limit {
        return Err(format!("expected {name} of at most {limit} bytes, got more"));
    }
    Ok(content)
}

/// Numbers in a file of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Storage {
    dtype: Dtype,
    key: String,
    len: usize,
}

/// A tensor over a part of its storage.
#[derive(Debug, Clone, PartialEq, Eq)]
struct View {
    storage: Storage,
    offset: usize,
    shape: Vec<usize>,
    /// Product of the shape.
    size: usize,
}

impl View {
    fn data(&self, archive: &mut Archive<'_>, folder: &str) -> Result<Vec<u8>, String> {
        let Storage { dtype, key, len } = &self.storage;
        let each = if *dtype == Dtype::F32 { 4 } else { 2 };
        let name = format!("{folder}data/{key}");
        let content = entry(archive, &name, (len * each) as u64)?;
        let range = self.offset * each..(self.offset + self.size) * each;
        content
            .get(range)
            .map(<[u8]>::to_vec)
            .ok_or_else(|| format!("{name} ends before the tensor: it has {} bytes", content.len()))
    }
}

/// A value of the dictionary's description.
#[derive(Debug, Clone, PartialEq)]
enum Item {
    Mark,
    None,
    Bool,
    Int(i64),
    Text(Rc<str>),
    Name(Name),
    Tuple { depth: usize, items: Rc<[Item]> },
    Dict(Rc<BTreeMap<String, Item>>),
    Storage(Rc<Storage>),
    Tensor(Rc<View>),
}

/// A name that the description may use.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Name {
    OrderedDict,
    RebuildTensor,
    Storage(Dtype),
}

const NAMES: [(&str, Name); 5] = [
    ("collections OrderedDict", Name::OrderedDict),
    ("torch._utils _rebuild_tensor_v2", Name::RebuildTensor),
    ("torch FloatStorage", Name::Storage(Dtype::F32)),
    ("torch HalfStorage", Name::Storage(Dtype::F16)),
    ("torch BFloat16Storage", Name::Storage(Dtype::BF16)),
];

/// The stack and the memo of the description's instructions.
struct Machine<'a> {
    rest: &'a [u8],
    stack: Vec<Item>,
    memo: BTreeMap<u32, Item>,
}

type Step<T> = Result<T, String>;

impl<'a> Machine<'a> {
    fn run(program: &'a [u8]) -> Step<BTreeMap<String, View>> {
        let mut machine = Self { rest: program, stack: Vec::new(), memo: BTreeMap::new() };
        while machine.step()? {}
        let Some(Item::Dict(entries)) = machine.stack.pop() else {
            return Err("expected a dictionary of tensors".to_owned());
        };
        let tensor = |(name, item): (&String, &Item)| match item {
            Item::Tensor(view) => Ok((name.clone(), View::clone(view))),
            _ => Err(format!("`{name}` is no tensor")),
        };
        entries.iter().map(tensor).collect()
    }

    /// Follows one instruction; `false` after the last one. The codes are those of Python's `pickletools`.
    fn step(&mut self) -> Step<bool> {
        match self.byte()? {
            0x80 => drop(self.byte()?), // the version of the format
            b'.' => return Ok(false),
            b'(' => self.push(Item::Mark)?,
            b'N' => self.push(Item::None)?,
            0x88 | 0x89 => self.push(Item::Bool)?,
            b'K' => {
                let number = self.byte()?;
                self.push(Item::Int(number.into()))?;
            }
            b'M' => {
                let number = u16::from_le_bytes(self.bytes()?);
                self.push(Item::Int(number.into()))?;
            }
            b'J' => {
                let number = i32::from_le_bytes(self.bytes()?);
                self.push(Item::Int(number.into()))?;
            }
            b'X' => self.text()?,
            b'c' => self.name()?,
            b'}' => self.push(Item::Dict(Rc::default()))?,
            b')' => self.tuple(0)?,
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b't' => {
                let items = self.stack.len() - self.mark()? - 1;
                self.tuple(items)?;
                let tuple = self.pop()?;
                self.pop()?; // the mark
                self.push(tuple)?;
            }
            b'q' => {
                let place = self.byte()?;
                self.remember(place.into())?;
            }
            b'r' => {
                let place = u32::from_le_bytes(self.bytes()?);
                self.remember(place)?;
            }
            b'h' => {
                let place = self.byte()?;
                self.recall(place.into())?;
            }
            b'j' => {
                let place = u32::from_le_bytes(self.bytes()?);
                self.recall(place)?;
            }
            b'Q' => self.storage()?,
            b'R' => self.call()?,
            b's' => {
                let at = self.stack.len().checked_sub(2).ok_or_else(short)?;
                self.set_items(at)?;
            }
            b'u' => {
                let at = self.mark()?;
                self.stack.remove(at);
                self.set_items(at)?;
            }
            // Attributes of the dictionary, such as the version of the module.
            b'b' => drop(self.pop()?),
            other => {
                return Err(format!(
                    "it has the instruction 0x{other:02x}, which no plain tensor needs"
                ));
            }
        }
        Ok(true)
    }

    fn byte(&mut self) -> Step<u8> {
        self.bytes::<1>().map(|[byte]| byte)
    }

    fn bytes<const N: usize>(&mut self) -> Step<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or_else(short)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn push(&mut self, item: Item) -> Step<()> {
        self.stack.push(item);
        Ok(())
    }

    fn pop(&mut self) -> Step<Item> {
        self.stack.pop().ok_or_else(short)
    }

    /// Place of the last mark.
    fn mark(&self) -> Step<usize> {
        self.stack.iter().rposition(|item| *item == Item::Mark).ok_or_else(short)
    }

    fn text(&mut self) -> Step<()> {
        let len = u32::from_le_bytes(self.bytes()?) as usize;
        let (text, rest) = self.rest.split_at_checked(len).ok_or_else(short)?;
        self.rest = rest;
        let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
        self.push(Item::Text(text.into()))
    }

    /// A name of Python's, from a whitelist.
    fn name(&mut self) -> Step<()> {
        let mut lines = self.rest.splitn(3, |&byte| byte == b'\n');
        let (Some(module), Some(name), Some(rest)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(short());
        };
        self.rest = rest;
        let found = format!("{} {}", module.escape_ascii(), name.escape_ascii());
        let known = NAMES.iter().find(|(known, _)| *known == found);
        let (_, name) = known.ok_or_else(|| {
            format!(
                "it names `{}`, which a file of plain tensors does not",
                found.replace(' ', ".")
            )
        })?;
        self.push(Item::Name(*name))
    }

    /// Makes a tuple of the last items.
    fn tuple(&mut self, count: usize) -> Step<()> {
        let from = self.stack.len().checked_sub(count).ok_or_else(short)?;
        let items: Rc<[Item]> = self.stack.drain(from..).collect();
        let within = |item: &Item| if let Item::Tuple { depth, .. } = item { *depth } else { 0 };
        let depth = 1 + items.iter().map(within).max().unwrap_or(0);
        if depth > DEPTH {
            return Err(format!("it has more than {DEPTH} tuples within each other"));
        }
        self.push(Item::Tuple { depth, items })
    }

    fn remember(&mut self, place: u32) -> Step<()> {
        let item = self.stack.last().ok_or_else(short)?.clone();
        self.memo.insert(place, item);
        Ok(())
    }

    fn recall(&mut self, place: u32) -> Step<()> {
        match self.memo.get(&place) {
            // It may have changed since.
            None | Some(Item::Dict(_) | Item::Mark) => {
                Err(format!("nothing is remembered at {place}"))
            }
            Some(item) => self.push(item.clone()),
        }
    }

    /// Replaces `("storage", type, key, place, length)` by the storage.
    fn storage(&mut self) -> Step<()> {
        let id = self.pop()?;
        let Item::Tuple { items, .. } = &id else { return Err(odd("a storage")) };
        let [
            Item::Text(kind),
            Item::Name(Name::Storage(dtype)),
            Item::Text(key),
            Item::Text(_),
            Item::Int(len),
        ] = &items[..]
        else {
            return Err(odd("a storage"));
        };
        let len = usize::try_from(*len).ok().filter(|&len| len <= MOST_WEIGHTS);
        let digits = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit());
        match len {
            Some(len) if &**kind == "storage" && digits => {
                let storage = Storage { dtype: *dtype, key: key.to_string(), len };
                self.push(Item::Storage(Rc::new(storage)))
            }
            _ => Err(odd("a storage")),
        }
    }

    /// One of the two calls that there are.
    fn call(&mut self) -> Step<()> {
        let (arguments, name) = (self.pop()?, self.pop()?);
        let Item::Tuple { items, .. } = &arguments else { return Err(odd("a call")) };
        let made = match (name, &items[..]) {
            (Item::Name(Name::OrderedDict), []) => Item::Dict(Rc::default()),
            (Item::Name(Name::RebuildTensor), arguments) => Item::Tensor(Rc::new(view(arguments)?)),
            _ => return Err(odd("a call")),
        };
        self.push(made)
    }

    /// Puts the keys and values from `at` on into the dictionary before them.
    fn set_items(&mut self, at: usize) -> Step<()> {
        let items: Vec<_> = self.stack.drain(at..).collect();
        let Some(Item::Dict(entries)) = self.stack.last_mut() else {
            return Err(odd("a dictionary"));
        };
        // A copy where it is remembered; that one is not given out.
        let entries = Rc::make_mut(entries);
        let (pairs, rest) = items.as_chunks::<2>();
        for [key, value] in pairs {
            let Item::Text(key) = key else { return Err(odd("a key")) };
            entries.insert(key.to_string(), value.clone());
        }
        if rest.is_empty() { Ok(()) } else { Err(short()) }
    }
}

/// A tensor of `(storage, offset, shape, strides, …)`, whose rows follow each other.
fn view(arguments: &[Item]) -> Step<View> {
    let [
        Item::Storage(storage),
        Item::Int(offset),
        Item::Tuple { items: shape, .. },
        Item::Tuple { items: strides, .. },
        ..,
    ] = arguments
    else {
        return Err(odd("a tensor"));
    };
    let size = |item: &Item| match item {
        Item::Int(number) => usize::try_from(*number).ok(),
        _ => None,
    };
    let sizes = |items: &[Item]| items.iter().map(size).collect::<Option<Vec<_>>>();
    let (Some(offset), Some(shape), Some(strides)) =
        (usize::try_from(*offset).ok(), sizes(shape), sizes(strides))
    else {
        return Err(odd("a tensor"));
    };
    let mut expected = Vec::new();
    let mut total = 1_usize;
    for &dim in shape.iter().rev() {
        expected.insert(0, total);
        total = total
            .checked_mul(dim)
            .filter(|total| (1..=MOST_WEIGHTS).contains(total))
            .ok_or_else(|| odd("a tensor"))?;
    }
    let counts = shape.iter().zip(strides.iter().zip(&expected));
    let contiguous = strides.len() == shape.len()
        && counts.into_iter().all(|(&dim, (stride, expected))| dim <= 1 || stride == expected);
    if !contiguous {
        return Err("a tensor is stored out of order; save a contiguous one".to_owned());
    }
    if offset.checked_add(total).is_none_or(|end| end > storage.len) {
        return Err(format!(
            "a tensor of {total} numbers from {offset} on exceeds its {}",
            storage.len
        ));
    }
    Ok(View { storage: Storage::clone(storage), offset, shape, size: total })
}

fn short() -> String {
    "its description of the tensors ends too early".to_owned()
}

fn odd(part: &str) -> String {
    format!("its description has {part} of another form than PyTorch writes")
}

/// A state of a stranger: each tensor that is read has the size of its shape, and is in the file.
///
/// # Panics
/// A tensor that breaks one of these rules.
#[cfg(all(feature = "onnx", any(test, fuzzing)))]
pub(crate) fn fuzz(bytes: &[u8]) {
    let Ok(state) = read(bytes) else { return };
    for Tensor { dtype, shape, data } in state.tensors.values() {
        let each = if *dtype == Dtype::F32 { 4 } else { 2 };
        assert_eq!(data.len(), each * shape.iter().product::<usize>());
        assert!(data.len() <= bytes.len());
    }
}

#[cfg(test)]
mod tests;
