//! NumPy array files: the rows of a two-dimensional array of floats.

use std::io::Read;

use anyhow::{Context as _, Result};
use half::f16;

use super::point::MOST_DIM;
use crate::report::failure;

/// First bytes of such a file.
pub(crate) const MAGIC: &[u8] = b"\x93NUMPY";
/// Longest description of an array; NumPy's own have some hundred bytes.
const LONGEST_HEADER: usize = 1 << 16;

/// An array whose rows are read one by one.
#[derive(Debug)]
pub(crate) struct Array<R> {
    reader: R,
    place: String,
    float: Float,
    rows: u64,
    next: u64,
    row: Vec<u8>,
}

/// Type of a number, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Float {
    F16,
    F32,
    F64,
}

impl Float {
    fn bytes(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    fn decode(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F16 => {
                bytes.as_chunks().0.iter().map(|&two| f16::from_le_bytes(two).into()).collect()
            }
            Self::F32 => bytes.as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect(),
            #[expect(clippy::cast_possible_truncation, reason = "what becomes infinite is refused")]
            Self::F64 => {
                bytes.as_chunks().0.iter().map(|&eight| f64::from_le_bytes(eight) as f32).collect()
            }
        }
    }
}

impl<R: Read> Array<R> {
    /// Reads the description of an array in a file of `length` bytes, and checks that the file holds
    /// just the numbers that it states.
    ///
    /// # Errors
    /// Not such a file, or an array that is none of embeddings.
    pub(crate) fn open(mut reader: R, length: u64, place: String) -> Result<Self> {
        let header = read_header(&mut reader, &place)?;
        let refused = |why: String| failure(format!("{place}: {why}"));
        let Description { descr, fortran_order, shape } =
            describe(&header.text).map_err(|why| refused(why.to_owned()))?;
        let float = match descr {
            "<f2" => Float::F16,
            "<f4" => Float::F32,
            "<f8" => Float::F64,
            other => {
                let why = format!("expected an array of <f2, <f4 or <f8, got {other}");
                return Err(refused(why).hint(SAVE).into());
            }
        };
        if fortran_order {
            let why = "expected rows one after another, got Fortran order".to_owned();
            return Err(refused(why).hint(SAVE).into());
        }
        let [rows, dim] = *shape else {
            let why = format!("expected the shape (rows, components), got {shape:?}");
            return Err(refused(why).hint("each row of the array is an embedding").into());
        };
        let Some(dim) = usize::try_from(dim).ok().filter(|dim| (1..=MOST_DIM).contains(dim)) else {
            return Err(refused(format!("expected 1 to {MOST_DIM} components, got {dim}")).into());
        };
        let expected = rows
            .checked_mul((dim * float.bytes()) as u64)
            .and_then(|numbers| numbers.checked_add(header.bytes));
        if expected != Some(length) {
            let expected = expected.map_or_else(|| "more than 2^64".to_owned(), |n| n.to_string());
            let why = format!(
                "expected {expected} bytes for an array of the shape ({rows}, {dim}), got {length}"
            );
            return Err(refused(why).into());
        }
        Ok(Self { reader, place, float, rows, next: 0, row: vec![0; dim * float.bytes()] })
    }
}

impl<R: Read> Iterator for Array<R> {
    type Item = Result<Vec<f32>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.rows {
            return None;
        }
        self.next += 1;
        Some(match self.reader.read_exact(&mut self.row) {
            Ok(()) => Ok(self.float.decode(&self.row)),
            Err(error) => {
                self.next = self.rows;
                Err(error).with_context(|| format!("cannot read {}", self.place))
            }
        })
    }
}

const SAVE: &str = "save it so: numpy.save(FILE, numpy.ascontiguousarray(array, dtype=\"<f4\"))";

struct Header {
    text: String,
    /// Length of everything before the numbers.
    bytes: u64,
}

/// Magic, version, length of the description, and that.
fn read_header(reader: &mut impl Read, place: &str) -> Result<Header> {
    let cannot = || format!("cannot read the header of {place}");
    let mut start = [0; 8];
    reader.read_exact(&mut start).with_context(cannot)?;
    let [.., major, _] = start;
    if !start.starts_with(MAGIC) || !(1..=3).contains(&major) {
        return Err(failure(format!("{place} is no NumPy array of version 1, 2 or 3")).into());
    }
    let (length, width) = if major == 1 {
        let mut two = [0; 2];
        reader.read_exact(&mut two).with_context(cannot)?;
        (usize::from(u16::from_le_bytes(two)), 2)
    } else {
        let mut four = [0; 4];
        reader.read_exact(&mut four).with_context(cannot)?;
        (u32::from_le_bytes(four) as usize, 4)
    };
    if length > LONGEST_HEADER {
        let what = format!("{place}: expected a header of at most {LONGEST_HEADER} bytes");
        return Err(failure(format!("{what}, got {length}")).into());
    }
    let mut text = vec![0; length];
    reader.read_exact(&mut text).with_context(cannot)?;
    let text = String::from_utf8(text)
        .map_err(|_| failure(format!("{place}: the header is not UTF-8")))?;
    Ok(Header { text, bytes: (8 + width + length) as u64 })
}

/// The three keys of a header.
#[derive(Debug, PartialEq)]
struct Description<'a> {
    descr: &'a str,
    fortran_order: bool,
    shape: Box<[u64]>,
}

/// Reads the dictionary, a literal of Python, of a header.
fn describe(text: &str) -> Result<Description<'_>, &'static str> {
    const BROKEN: &str = "the header is no description of an array";
    let mut rest = text.trim().strip_prefix('{').ok_or(BROKEN)?.trim_start();
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    while !rest.starts_with('}') {
        let (key, after) = quoted(rest).ok_or(BROKEN)?;
        let value = after.trim_start().strip_prefix(':').ok_or(BROKEN)?.trim_start();
        rest = match key {
            "descr" => {
                if value.starts_with('[') {
                    return Err("expected an array of numbers, got one of records");
                }
                let (name, after) = quoted(value).ok_or(BROKEN)?;
                descr = Some(name);
                after
            }
            "fortran_order" => {
                let (order, after) = value
                    .strip_prefix("True")
                    .map(|after| (true, after))
                    .or_else(|| value.strip_prefix("False").map(|after| (false, after)))
                    .ok_or(BROKEN)?;
                fortran_order = Some(order);
                after
            }
            "shape" => {
                let inner = value.strip_prefix('(').ok_or(BROKEN)?;
                let (numbers, after) = inner.split_once(')').ok_or(BROKEN)?;
                let numbers = numbers.trim().trim_end_matches(',').split(',').map(str::trim);
                let numbers = numbers.filter(|number| !number.is_empty());
                shape =
                    Some(numbers.map(str::parse).collect::<Result<_, _>>().map_err(|_| BROKEN)?);
                after
            }
            _ => return Err(BROKEN),
        }
        .trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    match (descr, fortran_order, shape) {
        (Some(descr), Some(fortran_order), Some(shape)) if rest == "}" => {
            Ok(Description { descr, fortran_order, shape })
        }
        _ => Err(BROKEN),
    }
}

/// A string of Python without escapes, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    text[1..].split_once(quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(version: u8, header: &str, numbers: &[u8]) -> Vec<u8> {
        let mut bytes = [MAGIC, &[version, 0]].concat();
        if version == 1 {
            bytes.extend((header.len() as u16).to_le_bytes());
        } else {
            bytes.extend((header.len() as u32).to_le_bytes());
        }
        bytes.extend(header.as_bytes());
        bytes.extend(numbers);
        bytes
    }

    fn header(descr: &str, order: &str, shape: &str) -> String {
        format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}   \n")
    }

    fn read(bytes: &[u8]) -> Result<Vec<Vec<f32>>> {
        Array::open(bytes, bytes.len() as u64, "x".to_owned())?.collect()
    }

    #[test]
    fn rows_of_each_type_are_read() {
        let expected = [[1.0, -2.0], [0.5, 3.0]];
        let numbers = expected.as_flattened();
        let f16s: Vec<u8> = numbers.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect();
        let f32s: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        let f64s: Vec<u8> = numbers.iter().flat_map(|&x| f64::from(x).to_le_bytes()).collect();
        for (descr, numbers) in [("<f2", f16s), ("<f4", f32s), ("<f8", f64s)] {
            for version in 1..=3 {
                let bytes = file(version, &header(descr, "False", "(2, 2)"), &numbers);
                assert_eq!(read(&bytes).unwrap(), expected, "{descr} {version}");
            }
        }
        assert!(read(&file(1, &header("<f4", "False", "(0, 2)"), &[])).unwrap().is_empty());
    }

    #[test]
    fn other_arrays_are_refused_with_what_was_expected() {
        for (header, numbers, why) in [
            (header(">f4", "False", "(1, 1)"), 4, "expected an array of <f2, <f4 or <f8, got >f4"),
            (header("<i4", "False", "(1, 1)"), 4, "got <i4"),
            (header("<f4", "True", "(1, 1)"), 4, "got Fortran order"),
            (header("<f4", "False", "(1,)"), 4, "(rows, components), got [1]"),
            (header("<f4", "False", "()"), 4, "(rows, components), got []"),
            (header("<f4", "False", "(1, 1, 1)"), 4, "got [1, 1, 1]"),
            (header("<f4", "False", "(1, 0)"), 0, "components, got 0"),
            (header("<f4", "False", "(1, 2)"), 4, "bytes for an array of the shape (1, 2)"),
            (header("<f4", "False", "(1, 1)"), 5, "bytes for an array of the shape (1, 1)"),
            (header("<f4", "False", "(-1, 1)"), 4, "no description"),
            ("{'descr': [('x', '<f4')], 'shape': (1, 1)}".into(), 4, "got one of records"),
            ("{'descr': '<f4', 'shape': (1, 1)}".into(), 4, "no description"),
            ("{'descr': '<f4".into(), 4, "no description"),
            ("{'é".into(), 4, "no description"),
            (String::new(), 4, "no description"),
            ("é".into(), 4, "no description"),
        ] {
            let error = read(&file(1, &header, &vec![0; numbers])).unwrap_err().to_string();
            assert!(error.starts_with("x: ") && error.contains(why), "{header}: {error}");
        }
        for bytes in [&b""[..], b"\x93NUMPY\x01", b"\x93NUMPY\x01\0\xff\xff{", b"\x93NUMPY\x04\0"] {
            assert!(read(bytes).unwrap_err().to_string().contains('x'));
        }
    }

    #[test]
    fn sizes_that_a_header_states_are_not_believed() {
        for shape in
            ["(18446744073709551615, 262144)", "(1000000000000, 4096)", "(4611686018427387904, 1)"]
        {
            let bytes = file(1, &header("<f4", "False", shape), &[0; 16]);
            let error = read(&bytes).unwrap_err().to_string();
            assert!(error.contains("got ") && error.contains("bytes for an array"), "{error}");
        }
        let error = read(&file(1, &header("<f4", "False", "(1, 99999999999)"), &[0; 16]));
        assert!(error.unwrap_err().to_string().contains("components, got 99999999999"));
        let mut long = file(2, "", &[]);
        long[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(read(&long).unwrap_err().to_string().contains("a header of at most 65536 bytes"));
    }
}
