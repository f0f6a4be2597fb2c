//! A NumPy array file (format version 1.0): (N, D) for vectors and (N,) for scores, little-endian
//! 32-bit floats, C order.
//!
//! The header comes first and holds N, which is known last. In a file it is written twice, and until
//! then no reader takes it for one; a pipe cannot be gone back in, so there the rows are kept in
//! memory.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use embedkit::Output;

use super::target::{Buffered, Sink};
use crate::record::Record;

/// Fixed, so that the header can be overwritten: 64-byte aligned as NumPy has it, with room for any
/// 64-bit N and D.
const HEADER: usize = 128;

/// The shape of a row of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowShape {
    Number,
    Vector(usize),
}

pub(crate) struct Npy {
    out: Buffered,
    /// The rows where the header cannot be patched.
    kept: Option<Vec<u8>>,
    row: Vec<u8>,
    rows: u64,
    /// The shape of a row, once there is one.
    shape: Option<RowShape>,
    /// A failed write of an array without rows.
    expected: Option<RowShape>,
}

impl Npy {
    pub(crate) fn new(sink: Sink, expected: Option<RowShape>) -> Self {
        let kept = (!sink.is_regular()).then(Vec::new);
        let out = Buffered::new(sink);
        Self { out, kept, row: Vec::new(), rows: 0, shape: None, expected }
    }

    pub(crate) fn write(&mut self, record: &Record) -> Result<()> {
        let values = match record.output() {
            Ok(Output::Dense(values)) => values,
            Ok(Output::Score(score)) => std::slice::from_ref(score),
            Ok(_) => bail!("input {}: there is no place for it in an array", record.index),
            Err(why) => bail!("input {}: {why}", record.index),
        };
        let shape = match record.output() {
            Ok(Output::Score(_)) => RowShape::Number,
            _ => RowShape::Vector(values.len()),
        };
        if self.shape.is_none() && self.kept.is_none() {
            self.out.write(&unfinished(0, shape))?;
        }
        let before = *self.shape.get_or_insert(shape);
        ensure!(
            shape == before,
            "input {}: the vector has {} components, those before it {}",
            record.index,
            values.len(),
            match before {
                RowShape::Number => 1,
                RowShape::Vector(dim) => dim,
            }
        );
        self.row.clear();
        self.row.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        match &mut self.kept {
            Some(kept) => kept.extend_from_slice(&self.row),
            None => self.out.write(&self.row)?,
        }
        self.rows += 1;
        Ok(())
    }

    pub(crate) fn complete(&mut self) -> Result<()> {
        // A failed run that never had a row to see may know no shape: there is no array then.
        let Some(shape) = self.shape.or(self.expected) else { return self.out.complete() };
        let header = header(self.rows, shape);
        match &self.kept {
            Some(kept) => {
                self.out.write(&header)?;
                self.out.write(kept)?;
            }
            None => self.out.write_first(&header)?,
        }
        self.out.complete()
    }

    pub(crate) fn is_part(&self) -> bool {
        self.out.is_part()
    }

    /// Leaves whole rows.
    pub(crate) fn leave(self) -> Option<PathBuf> {
        let shape = self.shape.unwrap_or(RowShape::Number);
        let row = match shape {
            RowShape::Number => 4,
            RowShape::Vector(dim) => 4 * dim as u64,
        };
        self.out.leave_rows(row, |rows| unfinished(rows, shape))
    }
}

/// A header that no reader takes for one.
fn unfinished(rows: u64, shape: RowShape) -> [u8; HEADER] {
    let mut header = header(rows, shape);
    header[0] = 0;
    header
}

/// Magic, version, length of the description, the description padded with spaces, a line feed.
fn header(rows: u64, shape: RowShape) -> [u8; HEADER] {
    const START: &[u8] = b"\x93NUMPY\x01\x00";
    let array = match shape {
        RowShape::Number => format!("({rows},)"),
        RowShape::Vector(dim) => format!("({rows}, {dim})"),
    };
    let description = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {array}, }}");
    let mut header = [b' '; HEADER];
    header[..8].copy_from_slice(START);
    header[8..10].copy_from_slice(&((HEADER - 10) as u16).to_le_bytes());
    header[10..10 + description.len()].copy_from_slice(description.as_bytes());
    header[HEADER - 1] = b'\n';
    header
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{input::Origin, output::Target};

    fn begin(path: &std::path::Path, shape: Option<RowShape>) -> Npy {
        Npy::new(Target::open(Some(path), &Origin::Arguments).unwrap().begin().unwrap(), shape)
    }

    #[test]
    fn the_header_has_room_for_all_numbers() {
        let header = header(u64::MAX, RowShape::Vector(u32::MAX as usize));
        assert_eq!(header[..10], *b"\x93NUMPY\x01\x00\x76\x00");
        assert_eq!(header[HEADER - 1], b'\n');
        assert_eq!((10 + 118) % 64, 0);
        let text = std::str::from_utf8(&header[10..]).unwrap();
        assert!(text.contains("'shape': (18446744073709551615, 4294967295), }"), "{text}");
    }

    #[test]
    fn rows_follow_the_header_and_are_counted_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.npy");
        fs::write(&path, vec![7; 4096]).unwrap();
        let mut npy = begin(&path, None);
        for index in 0..3 {
            npy.write(&Record::good(index, vec![index as f32, -1.5])).unwrap();
        }
        let wide = npy.write(&Record::good(3, vec![1.0]));
        assert!(wide.unwrap_err().to_string().contains("has 1 components, those before it 2"));
        assert_eq!(fs::read(&path).unwrap().len(), 4096, "complete or as it was");
        npy.complete().unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes.len(), HEADER + 3 * 2 * 4);
        assert!(String::from_utf8_lossy(&bytes[..HEADER]).contains("'shape': (3, 2), }"));
        assert_eq!(bytes[HEADER + 8..HEADER + 12], 1f32.to_le_bytes());
        assert_eq!(bytes[HEADER + 12..HEADER + 16], (-1.5f32).to_le_bytes());
    }

    #[test]
    fn scores_are_a_list() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.npy");
        let mut npy = begin(&path, None);
        for (index, score) in [(0, 2.5), (1, -1.0)] {
            npy.write(&Record::good(index, score)).unwrap();
        }
        npy.complete().unwrap();
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes.len(), HEADER + 2 * 4);
        assert!(String::from_utf8_lossy(&bytes[..HEADER]).contains("'shape': (2,), }"));
        assert_eq!(bytes[HEADER + 4..], (-1f32).to_le_bytes());
    }
    #[test]
    fn an_array_may_have_no_rows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.npy");
        begin(&path, Some(RowShape::Vector(384))).complete().unwrap();
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes.len(), HEADER);
        assert!(String::from_utf8_lossy(&bytes).contains("'shape': (0, 384), }"));
    }

    #[test]
    fn an_unfinished_array_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.npy");
        assert!(begin(&path, None).leave().is_none());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let mut npy = begin(&path, None);
        npy.write(&Record::good(0, vec![1.0, 2.0])).unwrap();
        npy.out.write(&[0; 7]).unwrap();
        let part = npy.leave().unwrap();
        let bytes = fs::read(&part).unwrap();
        assert_eq!((bytes[0], bytes.len()), (0, HEADER + 8));
        assert!(String::from_utf8_lossy(&bytes).contains("'shape': (1, 2), }"));
        assert!(!path.exists());
    }
}
