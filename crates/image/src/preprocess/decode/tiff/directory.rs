//! First directory of a file: tags and their values.

use std::collections::BTreeMap;

use super::{damaged, unsupported};
use crate::preprocess::PreprocessError;

/// Tags of the first page. Directories of later pages are ignored.
pub(super) struct Directory<'a> {
    bytes: &'a [u8],
    is_big_endian: bool,
    fields: BTreeMap<u16, Field<'a>>,
}

#[derive(PartialEq)]
struct Field<'a> {
    kind: u16,
    /// The values, or an error that is returned when they are needed.
    values: Result<&'a [u8], &'static str>,
}

/// Maximum values of a tag; they take memory before anything else is known of the page.
const MOST_VALUES: usize = 1 << 22;

// Types of values.
const BYTE: u16 = 1;
const SHORT: u16 = 3;
const LONG: u16 = 4;
const RATIONAL: u16 = 5;
const SBYTE: u16 = 6;
const UNDEFINED: u16 = 7;
const SSHORT: u16 = 8;
const SLONG: u16 = 9;
const SRATIONAL: u16 = 10;
const FLOAT: u16 = 11;
const DOUBLE: u16 = 12;
const IFD: u16 = 13;
const LONG8: u16 = 16;
const SLONG8: u16 = 17;
const IFD8: u16 = 18;

fn width_of(kind: u16) -> Option<u64> {
    Some(match kind {
        BYTE | 2 | SBYTE | UNDEFINED => 1,
        SHORT | SSHORT => 2,
        LONG | SLONG | FLOAT | IFD => 4,
        RATIONAL | SRATIONAL | DOUBLE | LONG8 | SLONG8 | IFD8 => 8,
        _ => return None,
    })
}

impl<'a> Directory<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, PreprocessError> {
        // The first two bytes decide the byte order, even if the next two are in the other.
        let is_big_endian = bytes.starts_with(b"MM");
        let is_big_tiff = matches!(bytes, [_, _, 43, 0, ..] | [_, _, 0, 43, ..]);
        let mut directory = Self { bytes, is_big_endian, fields: BTreeMap::new() };
        directory.read_fields(is_big_tiff).ok_or_else(|| {
            damaged("the file ends before or within its first directory".to_owned())
        })?;
        Ok(directory)
    }

    fn read_fields(&mut self, is_big_tiff: bool) -> Option<()> {
        // Sizes of an entry and of its values or their offset, and the offset of the first entry.
        let (entry_width, inline, first, count) = if is_big_tiff {
            let at = self.number_at(8, 8)?;
            (20, 8, at.checked_add(8)?, self.number_at(at, 8)?)
        } else {
            let at = self.number_at(4, 4)?;
            (12, 4, at + 2, self.number_at(at, 2)?)
        };
        // Avoids looping over a count that no file has room for.
        let end = first.checked_add(count.checked_mul(entry_width)?)?;
        if end > self.bytes.len() as u64 {
            return None;
        }
        for entry in (first..end).step_by(entry_width as usize) {
            let tag = self.number_at(entry, 2)? as u16;
            let kind = self.number_at(entry + 2, 2)? as u16;
            let count = self.number_at(entry + 4, inline)?;
            let Some(width) = width_of(kind) else { continue };
            if count == 0 {
                continue;
            }
            let inside = entry + 4 + inline;
            let values = count.checked_mul(width).and_then(|length| {
                let at = if length <= inline { inside } else { self.number_at(inside, inline)? };
                self.slice(at, length)
            });
            let mut field = Field { kind, values: values.ok_or("lie beyond the end of the file") };
            // Duplicate tags: some programs use the first, some the last.
            if self.fields.get(&tag).is_some_and(|first| *first != field) {
                field.values = Err("contradict each other");
            }
            self.fields.insert(tag, field);
        }
        Some(())
    }

    pub(super) fn is_big_endian(&self) -> bool {
        self.is_big_endian
    }

    pub(super) fn file_length(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// A part of the file; `None` if the file is too short.
    pub(super) fn slice(&self, at: u64, length: u64) -> Option<&'a [u8]> {
        let (start, end) =
            (usize::try_from(at).ok()?, usize::try_from(at.checked_add(length)?).ok()?);
        self.bytes.get(start..end)
    }

    /// The file from an offset on.
    pub(super) fn from(&self, at: u64) -> Option<&'a [u8]> {
        self.bytes.get(usize::try_from(at).ok()?..)
    }

    fn number_at(&self, at: u64, width: u64) -> Option<u64> {
        self.slice(at, width).map(|bytes| self.number(bytes))
    }

    fn number(&self, bytes: &[u8]) -> u64 {
        let join = |number: u64, &byte: &u8| number << 8 | u64::from(byte);
        match self.is_big_endian {
            true => bytes.iter().fold(0, join),
            false => bytes.iter().rev().fold(0, join),
        }
    }

    pub(super) fn has(&self, tag: u16) -> bool {
        self.fields.contains_key(&tag)
    }

    /// Type and bytes of a tag's values.
    fn field(&self, tag: u16) -> Result<Option<(u16, &'a [u8])>, PreprocessError> {
        let Some(field) = self.fields.get(&tag) else { return Ok(None) };
        let values =
            field.values.map_err(|reason| damaged(format!("the values of tag {tag} {reason}")))?;
        Ok(Some((field.kind, values)))
    }

    /// Values of an integer tag.
    pub(super) fn integers(&self, tag: u16) -> Result<Option<Vec<u64>>, PreprocessError> {
        let Some((kind, values)) = self.field(tag)? else { return Ok(None) };
        let is_signed = match kind {
            BYTE | SHORT | LONG | LONG8 => false,
            SBYTE | SSHORT | SLONG | SLONG8 => true,
            _ => return Err(unsupported(format!("values of type {kind} in tag {tag}"))),
        };
        let width = width_of(kind).unwrap_or(1) as usize;
        if values.len() / width > MOST_VALUES {
            return Err(unsupported(format!("{} values in tag {tag}", values.len() / width)));
        }
        let numbers: Vec<u64> = values.chunks_exact(width).map(|one| self.number(one)).collect();
        let limit = 1u64 << (8 * width - 1);
        if is_signed && numbers.iter().any(|&number| number >= limit) {
            return Err(damaged(format!("tag {tag} has a negative value")));
        }
        Ok(Some(numbers))
    }

    /// First value of an integer tag.
    pub(super) fn integer(&self, tag: u16) -> Result<Option<u64>, PreprocessError> {
        Ok(self.integers(tag)?.and_then(|values| values.first().copied()))
    }

    /// The single value of an integer tag. Programs disagree on several values.
    pub(super) fn single(&self, tag: u16) -> Result<Option<u64>, PreprocessError> {
        match self.integers(tag)?.as_deref() {
            None => Ok(None),
            Some([value]) => Ok(Some(*value)),
            Some(more) => Err(damaged(format!("tag {tag} has {} values", more.len()))),
        }
    }

    /// A width or height.
    pub(super) fn side(&self, tag: u16) -> Result<u32, PreprocessError> {
        let value = self.integer(tag)?;
        let value =
            value.ok_or_else(|| damaged(format!("tag {tag}, the width or height, is missing")))?;
        u32::try_from(value)
            .map_err(|_| damaged(format!("tag {tag}, the width or height, is {value}")))
    }

    /// Values of a tag that may have fractions.
    pub(super) fn floats(&self, tag: u16) -> Result<Option<Vec<f64>>, PreprocessError> {
        let Some((kind, values)) = self.field(tag)? else { return Ok(None) };
        let width = width_of(kind).unwrap_or(1) as usize;
        let floats: Option<Vec<f64>> =
            values.chunks_exact(width).map(|one| self.float(kind, one)).collect();
        Ok(floats)
    }

    fn float(&self, kind: u16, bytes: &[u8]) -> Option<f64> {
        let half = bytes.len() / 2;
        let fraction = |to_float: fn(u32) -> f64| {
            to_float(self.number(&bytes[..half]) as u32)
                / to_float(self.number(&bytes[half..]) as u32)
        };
        let number = self.number(bytes);
        Some(match kind {
            SHORT | LONG | IFD | LONG8 | IFD8 => number as f64,
            SBYTE => f64::from((number as u8).cast_signed()),
            SSHORT => f64::from((number as u16).cast_signed()),
            SLONG => f64::from((number as u32).cast_signed()),
            SLONG8 => number.cast_signed() as f64,
            RATIONAL => fraction(f64::from),
            SRATIONAL => fraction(|number| f64::from(number.cast_signed())),
            FLOAT => f64::from(f32::from_bits(number as u32)),
            DOUBLE => f64::from_bits(number),
            _ => return None,
        })
    }

    /// Uninterpreted bytes of a tag.
    pub(super) fn bytes(&self, tag: u16) -> Result<Option<&'a [u8]>, PreprocessError> {
        let field = self.field(tag)?;
        Ok(field.and_then(|(kind, values)| matches!(kind, BYTE | UNDEFINED).then_some(values)))
    }
}
