//! Reads the tensors of a file that PyTorch before 1.6 wrote: five pickles, then the numbers.
//!
//! A pickle is a program. This reader supports only the opcodes and the few names that such files need,
//! and never calls anything. Everything else is an error.

use std::{collections::BTreeMap, rc::Rc};

use anyhow::{Context, Result, bail, ensure};

/// Magic number in the first pickle.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const PROTOCOL: i128 = 1001;
/// Maximum values on the stack or in the memo; a file of this kind has thousands.
const MOST_VALUES: usize = 1 << 20;

/// A tensor of f32 in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tensor {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

/// F32 tensors in `file`, by name.
pub(super) fn read(file: &[u8]) -> Result<BTreeMap<String, Tensor>> {
    let mut reader = Reader { bytes: file };
    ensure!(pickle(&mut reader)? == Value::Int(MAGIC), "it is not a file of this kind");
    ensure!(pickle(&mut reader)? == Value::Int(PROTOCOL), "its protocol is not {PROTOCOL}");
    pickle(&mut reader).context("in the description of the system")?;
    let Value::Items(named) = pickle(&mut reader).context("in the list of tensors")? else {
        bail!("it holds no dictionary of tensors");
    };
    let Value::Items(keys) = pickle(&mut reader).context("in the list of storages")? else {
        bail!("it names no storages");
    };
    let mut views = Vec::new();
    let mut kinds = BTreeMap::new();
    for pair in named.as_slice() {
        let Value::Tuple(pair) = pair else { bail!("a tensor has no name") };
        let [Value::Text(name), Value::View(view)] = pair.as_slice() else {
            continue; // what is no tensor
        };
        kinds.insert(Rc::clone(&view.key), view.kind);
        views.push((name, view));
    }
    let mut storages = BTreeMap::new();
    for key in keys.as_slice() {
        let Value::Text(key) = key else { bail!("a storage has no name") };
        let kind = kinds.get(key).with_context(|| format!("nothing uses the storage {key}"))?;
        let count = usize::try_from(reader.int::<8>()?).context("a storage has no size")?;
        let size = count.checked_mul(kind.size()).context("a storage is too large")?;
        storages.insert(Rc::clone(key), reader.take(size)?);
    }
    let floats = views.into_iter().filter(|(_, view)| view.kind == Kind::Float);
    let read = |(name, view): (&Rc<str>, &Rc<View>)| {
        let storage = storages.get(&view.key).with_context(|| format!("{name} has no storage"))?;
        let tensor = view.read(storage).with_context(|| format!("the tensor {name}"))?;
        Ok((name.to_string(), tensor))
    };
    floats.map(read).collect()
}

/// Element type of a storage.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Float,
    Long,
}

impl Kind {
    fn size(self) -> usize {
        match self {
            Self::Float => 4,
            Self::Long => 8,
        }
    }
}

/// Names that a pickle may use.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Name {
    Dictionary,
    Rebuild,
    Storage(Kind),
}

/// View of a storage: its tensor arguments.
#[derive(Debug, PartialEq)]
struct View {
    key: Rc<str>,
    kind: Kind,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Nothing,
    Bool,
    Int(i128),
    Text(Rc<str>),
    Tuple(Rc<Vec<Value>>),
    /// A list, or a dictionary as pairs.
    Items(Rc<Vec<Value>>),
    Name(Name),
    Stored(Rc<str>, Kind),
    View(Rc<View>),
}

impl View {
    /// Reads the arguments of PyTorch's tensor constructor.
    fn new(arguments: &[Value]) -> Result<Self> {
        let [
            Value::Stored(key, kind),
            Value::Int(offset),
            Value::Tuple(shape),
            Value::Tuple(strides),
            ..,
        ] = arguments
        else {
            bail!("a tensor is not described as expected");
        };
        let sizes = |values: &[Value]| -> Result<Vec<usize>> {
            let size = |value: &Value| match value {
                Value::Int(number) => usize::try_from(*number).context("a size is negative"),
                _ => bail!("a size is no number"),
            };
            values.iter().map(size).collect()
        };
        let (shape, strides) = (sizes(shape)?, sizes(strides)?);
        ensure!(shape.len() == strides.len() && shape.len() <= 8, "a tensor has a wrong rank");
        let offset = usize::try_from(*offset).context("an offset is negative")?;
        Ok(Self { key: Rc::clone(key), kind: *kind, offset, shape, strides })
    }

    /// Elements in row-major order, from strided storage.
    fn read(&self, storage: &[u8]) -> Result<Tensor> {
        let (numbers, _) = storage.as_chunks::<4>();
        let product = |product: usize, &size: &usize| product.checked_mul(size);
        let count = self.shape.iter().try_fold(1, product).context("it is too large")?;
        ensure!(count <= numbers.len(), "it is larger than its storage");
        let mut places = vec![self.offset];
        for (&size, &stride) in self.shape.iter().zip(&self.strides) {
            let steps =
                |&place: &usize| (0..size).map(move |i| i.checked_mul(stride)?.checked_add(place));
            places =
                places.iter().flat_map(steps).collect::<Option<_>>().context("it is too large")?;
        }
        let value = |place: usize| numbers.get(place).map(|bytes| f32::from_le_bytes(*bytes));
        let values: Option<_> = places.into_iter().map(value).collect();
        Ok(Tensor { shape: self.shape.clone(), values: values.context("it leaves its storage")? })
    }
}

/// Reads one pickle.
fn pickle(reader: &mut Reader<'_>) -> Result<Value> {
    let mut machine = Machine::default();
    loop {
        let opcode = reader.take(1)?[0];
        if opcode == b'.' {
            return machine.pop();
        }
        machine
            .step(opcode, reader)
            .with_context(|| format!("pickle instruction {opcode:#04x}"))?;
        ensure!(machine.stack.len() + machine.memo.len() <= MOST_VALUES, "a pickle is too large");
    }
}

/// Stack and memo.
#[derive(Default)]
struct Machine {
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: BTreeMap<u32, Value>,
}

impl Machine {
    fn step(&mut self, opcode: u8, reader: &mut Reader<'_>) -> Result<()> {
        let value = match opcode {
            // PROTO
            0x80 => {
                reader.take(1)?;
                return Ok(());
            }
            b'(' => {
                self.marks.push(self.stack.len());
                return Ok(());
            }
            // BINPUT and LONG_BINPUT
            b'q' | b'r' => {
                let key = if opcode == b'q' { reader.size::<1>()? } else { reader.size::<4>()? };
                let top = self.stack.last().context("nothing to keep")?.clone();
                self.memo.insert(key, top);
                return Ok(());
            }
            // BINGET and LONG_BINGET. A memoised list may have grown since; files of this kind fetch
            // none.
            b'h' | b'j' => {
                let key = if opcode == b'h' { reader.size::<1>()? } else { reader.size::<4>()? };
                let kept = self.memo.get(&key).context("nothing was kept under this number")?;
                ensure!(!matches!(kept, Value::Items(_)), "a list is used twice");
                kept.clone()
            }
            b'N' => Value::Nothing,
            // NEWTRUE and NEWFALSE
            0x88 | 0x89 => Value::Bool,
            b'J' => Value::Int(reader.int::<4>()?),
            b'K' => Value::Int(reader.size::<1>()?.into()),
            b'M' => Value::Int(reader.size::<2>()?.into()),
            // LONG1
            0x8a => Value::Int(reader.long()?),
            b'X' => {
                let length = reader.size::<4>()? as usize;
                Value::Text(std::str::from_utf8(reader.take(length)?)?.into())
            }
            b')' => Value::Tuple(Rc::default()),
            b't' => Value::Tuple(self.pop_to_mark()?.into()),
            // TUPLE1, TUPLE2 and TUPLE3
            0x85..=0x87 => {
                let start = self.stack.len().checked_sub(usize::from(opcode - 0x84));
                Value::Tuple(self.stack.split_off(start.context("too few values")?).into())
            }
            b']' | b'}' => Value::Items(Rc::default()),
            // APPENDS, SETITEM and SETITEMS
            b'e' => {
                let items = self.pop_to_mark()?;
                return self.extend(items);
            }
            b's' => {
                let start = self.stack.len().checked_sub(2).context("too few values")?;
                let items = self.stack.split_off(start);
                return self.extend(pairs(&items)?);
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                return self.extend(pairs(&items)?);
            }
            b'c' => Value::Name(name(reader.line()?, reader.line()?)?),
            b'R' => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                call(&function, &arguments)?
            }
            // BUILD: PyTorch's attributes of the dictionary are not needed.
            b'b' => {
                self.pop()?;
                return Ok(());
            }
            b'Q' => stored(&self.pop()?)?,
            _ => bail!("no tensors need it"),
        };
        self.stack.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Value> {
        self.stack.pop().context("the stack is empty")
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>> {
        let mark = self.marks.pop().context("nothing is marked")?;
        ensure!(mark <= self.stack.len(), "what was marked is gone");
        Ok(self.stack.split_off(mark))
    }

    /// Appends to the list or dictionary on top of the stack.
    fn extend(&mut self, items: Vec<Value>) -> Result<()> {
        let Some(Value::Items(list)) = self.stack.last_mut() else { bail!("there is no list") };
        Rc::make_mut(list).extend(items);
        Ok(())
    }
}

/// Pairs of alternating keys and values.
fn pairs(items: &[Value]) -> Result<Vec<Value>> {
    ensure!(items.len().is_multiple_of(2), "a key has no value");
    Ok(items.chunks_exact(2).map(|pair| Value::Tuple(pair.to_vec().into())).collect())
}

fn name(module: &str, name: &str) -> Result<Name> {
    Ok(match (module, name) {
        ("collections", "OrderedDict") => Name::Dictionary,
        ("torch._utils", "_rebuild_tensor_v2") => Name::Rebuild,
        ("torch", "FloatStorage") => Name::Storage(Kind::Float),
        ("torch", "LongStorage") => Name::Storage(Kind::Long),
        _ => bail!("{module:?} {name:?} is not allowed"),
    })
}

fn call(function: &Value, arguments: &Value) -> Result<Value> {
    match (function, arguments) {
        (Value::Name(Name::Dictionary), Value::Tuple(none)) if none.is_empty() => {
            Ok(Value::Items(Rc::default()))
        }
        (Value::Name(Name::Rebuild), Value::Tuple(arguments)) => {
            Ok(Value::View(View::new(arguments)?.into()))
        }
        _ => bail!("something is called that is no tensor"),
    }
}

/// A storage from its description: type, key, place, size.
fn stored(description: &Value) -> Result<Value> {
    let Value::Tuple(parts) = description else { bail!("a storage is not described") };
    match parts.as_slice() {
        [Value::Text(kind), Value::Name(Name::Storage(element)), Value::Text(key), ..]
            if &**kind == "storage" =>
        {
            Ok(Value::Stored(Rc::clone(key), *element))
        }
        _ => bail!("a storage is not described as expected"),
    }
}

/// Reads the rest of the file.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) =
            self.bytes.split_at_checked(count).context("the file ends too early")?;
        self.bytes = rest;
        Ok(taken)
    }

    /// An unsigned little-endian number of at most four bytes.
    fn size<const N: usize>(&mut self) -> Result<u32> {
        let digits = self.take(N)?.iter().rev();
        Ok(digits.fold(0, |number, &byte| number << 8 | u32::from(byte)))
    }

    /// A signed little-endian number.
    fn int<const N: usize>(&mut self) -> Result<i128> {
        Ok(signed(self.take(N)?))
    }

    /// A signed number after its length in bytes.
    fn long(&mut self) -> Result<i128> {
        let length = self.size::<1>()? as usize;
        ensure!((1..=16).contains(&length), "a number is too long");
        Ok(signed(self.take(length)?))
    }

    /// Reads a line, without its end.
    fn line(&mut self) -> Result<&'a str> {
        let end = self.bytes.iter().take(256).position(|&byte| byte == b'\n');
        let line = self.take(end.context("a name does not end")?)?;
        self.take(1)?;
        Ok(std::str::from_utf8(line)?)
    }
}

/// At most 16 bytes, the lowest first.
fn signed(bytes: &[u8]) -> i128 {
    let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
    let start = if negative { -1 } else { 0 };
    bytes.iter().rev().fold(start, |number, &byte| number << 8 | i128::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with the tensor `w`, 2 x 3 of the numbers 0 to 5, kept column by column.
    fn file() -> Vec<u8> {
        let mut file = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.".to_vec();
        file.extend(b"\x80\x02M\xe9\x03.");
        file.extend(b"\x80\x02}.");
        file.extend(b"\x80\x02ccollections\nOrderedDict\nq\x00)R(X\x01\x00\x00\x00w");
        file.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage");
        file.extend(b"ctorch\nFloatStorage\nX\x01\x00\x00\x00kX\x03\x00\x00\x00cpuK\x06NtQ");
        file.extend(b"K\x00K\x02K\x03\x86K\x01K\x02\x86\x89h\x00)RtRu}X\x01\x00\x00\x00aK\x01sb.");
        file.extend(b"\x80\x02](X\x01\x00\x00\x00ke.");
        file.extend(6u64.to_le_bytes());
        file.extend([0f32, 3.0, 1.0, 4.0, 2.0, 5.0].iter().flat_map(|number| number.to_le_bytes()));
        file
    }

    #[test]
    fn tensors_come_in_row_major_order() {
        let tensors = read(&file()).expect("a whole file");
        let expected = Tensor { shape: vec![2, 3], values: vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0] };
        assert_eq!(tensors, BTreeMap::from([("w".to_owned(), expected)]));
    }

    #[test]
    fn what_is_cut_or_changed_is_an_error_or_another_tensor() {
        let whole = file();
        for length in 0..whole.len() {
            read(&whole[..length]).expect_err("a part of a file");
        }
        for place in 0..whole.len() {
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[place] ^= 1 << bit;
                let _ = read(&damaged); // does not panic
            }
        }
    }

    #[test]
    fn nothing_else_is_called() {
        let evil = b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00echo\x85R.";
        let error = format!("{:#}", read(evil).expect_err("a program"));
        assert!(error.contains("\"posix\" \"system\" is not allowed"), "{error}");
    }

    #[test]
    fn numbers_have_signs() {
        assert_eq!(signed(&[0xfe, 0xff]), -2);
        assert_eq!(signed(&[0x00, 0x80, 0x00]), 0x8000);
        assert_eq!(signed(&[]), 0);
    }
}
