//! One matrix per word, in a NumPy file that is mapped into memory: only the words in use are read.

use std::path::Path;

use embedkit_core::{Error, MappedFile};
use half::f16;

/// The longest header that NumPy itself writes for three dimensions is below 128 bytes.
const MAX_HEADER: usize = 4096;

/// Matrices `[words + 1, hidden, numbers per word]`; the first is that of unknown words.
#[derive(Debug)]
pub(super) struct Weights {
    map: MappedFile,
    start: usize,
    element: Element,
    fortran: bool,
    shape: [usize; 3],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    F16,
    F32,
    F64,
}

impl Element {
    fn size(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The element at the start of `bytes`, little-endian.
    fn read(self, bytes: &[u8]) -> f64 {
        fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
            bytes.first_chunk().copied().unwrap_or([0; N])
        }
        match self {
            Self::F16 => f16::from_le_bytes(first(bytes)).to_f64(),
            Self::F32 => f32::from_le_bytes(first(bytes)).into(),
            Self::F64 => f64::from_le_bytes(first(bytes)),
        }
    }
}

impl Weights {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let invalid = |reason: String| Error::InvalidFile { path: path.to_owned(), reason };
        let map = MappedFile::open(path)?;
        let Header { start, element, fortran, shape } = Header::parse(&map).map_err(&invalid)?;
        let size = shape.iter().try_fold(element.size(), |size, &dim| size.checked_mul(dim));
        let found = map.len() - start;
        if size != Some(found) || shape.contains(&0) {
            return Err(invalid(format!(
                "{found} bytes of elements do not make an array of {shape:?}"
            )));
        }
        Ok(Self { map, start, element, fortran, shape })
    }

    /// Number of matrices.
    pub(super) fn rows(&self) -> usize {
        self.shape[0]
    }

    /// Width of the token vectors.
    pub(super) fn hidden(&self) -> usize {
        self.shape[1]
    }

    /// Numbers per word.
    pub(super) fn numbers(&self) -> usize {
        self.shape[2]
    }

    /// `tanh(vector · matrix)` for the matrix of a row.
    pub(super) fn apply(&self, row: usize, vector: &[f32]) -> Vec<f32> {
        let mut sums = vec![0.0; self.numbers()];
        for (i, &x) in vector.iter().enumerate() {
            for (o, sum) in sums.iter_mut().enumerate() {
                *sum += f64::from(x) * self.element(row, i, o);
            }
        }
        #[expect(clippy::cast_possible_truncation, reason = "the original computes in f32")]
        sums.into_iter().map(|sum| (sum as f32).tanh()).collect()
    }

    fn element(&self, row: usize, i: usize, o: usize) -> f64 {
        let [rows, hidden, numbers] = self.shape;
        let place = if self.fortran {
            (o * hidden + i) * rows + row
        } else {
            (row * hidden + i) * numbers + o
        };
        self.element.read(&self.map[self.start + place * self.element.size()..])
    }
}

/// What the start of a NumPy file says.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    /// Where the elements begin.
    start: usize,
    element: Element,
    fortran: bool,
    shape: [usize; 3],
}

impl Header {
    /// Reads formats 1 to 3: a magic number, the length of a Python literal, and the literal, such as
    /// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4, 5), }`.
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let no_numpy = || "it is not a NumPy file of format 1, 2 or 3".to_owned();
        let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or_else(no_numpy)?;
        let (length, begin) = match rest {
            [1, _, a, b, ..] => (usize::from(u16::from_le_bytes([*a, *b])), 10),
            [2 | 3, _, a, b, c, d, ..] => {
                let length = u32::from_le_bytes([*a, *b, *c, *d]);
                (usize::try_from(length).unwrap_or(usize::MAX), 12)
            }
            _ => return Err(no_numpy()),
        };
        let end = (length <= MAX_HEADER).then_some(begin + length);
        let literal = end.and_then(|end| bytes.get(begin..end));
        let literal = literal.and_then(|literal| std::str::from_utf8(literal).ok());
        let literal = literal.ok_or("its header is cut short or too long")?;
        let value = |key: &str| {
            let (_, value) = literal.split_once(&format!("'{key}':"))?;
            Some(value.trim_start())
        };
        let element = match value("descr") {
            Some(value) if value.starts_with("'<f2'") => Element::F16,
            Some(value) if value.starts_with("'<f4'") => Element::F32,
            Some(value) if value.starts_with("'<f8'") => Element::F64,
            _ => return Err(format!("its elements are not little-endian floats: {literal}")),
        };
        let fortran = match value("fortran_order") {
            Some(value) if value.starts_with("True") => true,
            Some(value) if value.starts_with("False") => false,
            _ => return Err(format!("its header does not say the order of elements: {literal}")),
        };
        let shape = value("shape").and_then(|value| value.strip_prefix('(')?.split_once(')'));
        let shape: Option<Vec<usize>> = shape.and_then(|(shape, _)| {
            let dims = shape.split(',').map(str::trim).filter(|dim| !dim.is_empty());
            dims.map(|dim| dim.parse().ok()).collect()
        });
        let shape = shape.and_then(|shape| <[usize; 3]>::try_from(shape).ok());
        let shape = shape.ok_or_else(|| {
            format!("its array is not of three dimensions [words, hidden, numbers]: {literal}")
        })?;
        Ok(Self { start: begin + length, element, fortran, shape })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(version: u8, literal: &str, elements: &[u8]) -> tempfile::NamedTempFile {
        let mut bytes = b"\x93NUMPY".to_vec();
        bytes.extend([version, 0]);
        let length = u32::try_from(literal.len()).unwrap().to_le_bytes();
        bytes.extend(if version == 1 { &length[..2] } else { &length[..] });
        bytes.extend(literal.as_bytes());
        bytes.extend(elements);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, bytes).unwrap();
        file
    }

    fn literal(descr: &str, fortran: &str, shape: &str) -> String {
        format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n")
    }

    #[test]
    fn types_and_orders_give_the_same() {
        // Two words, three inputs, two numbers: element [w, i, o] is 100 w + 10 i + o.
        let value = |w: usize, i: usize, o: usize| (100 * w + 10 * i + o) as f64;
        let c: Vec<f64> = (0..12).map(|n| value(n / 6, n / 2 % 3, n % 2)).collect();
        let fortran: Vec<f64> = (0..12).map(|n| value(n % 2, n / 2 % 3, n / 6)).collect();
        let f64s = |values: &[f64]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>();
        let f32s = c.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect::<Vec<_>>();
        let f16s = c.iter().flat_map(|&x| f16::from_f64(x).to_le_bytes()).collect::<Vec<_>>();
        for (version, descr, order, bytes) in [
            (1, "<f4", "False", f32s),
            (2, "<f2", "False", f16s),
            (3, "<f8", "False", f64s(&c)),
            (1, "<f8", "True", f64s(&fortran)),
        ] {
            let file = file(version, &literal(descr, order, "(2, 3, 2)"), &bytes);
            let weights = Weights::open(file.path()).unwrap();
            assert_eq!((weights.rows(), weights.hidden(), weights.numbers()), (2, 3, 2));
            for (w, i, o) in [(0, 0, 0), (1, 2, 1), (1, 0, 1), (0, 2, 0)] {
                assert_eq!(weights.element(w, i, o), value(w, i, o), "{descr} {order}");
            }
            let applied = weights.apply(1, &[1e-3, 0.0, -1e-3]);
            assert!((applied[0] - (-0.02f32).tanh()).abs() < 1e-7, "{applied:?}");
        }
    }

    #[test]
    fn damaged_files_are_refused() {
        let good = literal("<f4", "False", "(1, 2, 1)");
        assert!(Weights::open(file(1, &good, &[0; 8]).path()).is_ok());
        for (literal, elements) in [
            (good.clone(), 7),
            (good.clone(), 9),
            (literal("<i4", "False", "(1, 2, 1)"), 8),
            (literal(">f4", "False", "(1, 2, 1)"), 8),
            (literal("<f4", "Maybe", "(1, 2, 1)"), 8),
            (literal("<f4", "False", "(2,)"), 8),
            (literal("<f4", "False", "(0, 2, 1)"), 0),
            (literal("<f4", "False", "(18446744073709551615, 9, 9)"), 8),
            (literal("<f4", "False", "(1, -2, 1)"), 8),
            (format!("{good}{}", " ".repeat(5000)), 8),
            (String::new(), 0),
        ] {
            let refused = Weights::open(file(1, &literal, &vec![0; elements]).path());
            assert!(matches!(refused, Err(Error::InvalidFile { .. })), "{literal} {elements}");
        }
        let empty = tempfile::NamedTempFile::new().unwrap();
        Weights::open(empty.path()).unwrap_err();
        for bytes in [
            &b"\x93NUMPY"[..],
            b"\x93NUMPY\x01\x00\xff",
            b"PK\x03\x04",
            b"\x93NUMPY\x09\x00\x01\x00",
        ] {
            std::fs::write(&empty, bytes).unwrap();
            Weights::open(empty.path()).unwrap_err();
        }
    }
}
