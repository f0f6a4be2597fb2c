//! Fax coding: runs of white and black, alone (T.4) or relative to the previous row (T.6).

use fax::{
    BitReader,
    maps::{Mode, black, mode, white},
};

use super::{damaged, page::Ccitt, unsupported};
use crate::preprocess::PreprocessError;

/// Decodes rows of `width` bits, 1 for black, each starting at a whole byte.
pub(super) fn decode(
    coding: Ccitt,
    bytes: &[u8],
    width: u32,
    rows: u32,
) -> Result<Vec<u8>, PreprocessError> {
    let row_bytes = width.div_ceil(8) as usize;
    let mut decoded = vec![0; row_bytes * rows as usize];
    let mut bits = Bits { bytes, at: 0 };
    let mut row = Row { width, changes: Vec::new() };
    let mut reference = Vec::new();
    for (index, line) in decoded.chunks_exact_mut(row_bytes).enumerate() {
        let is_coded_alone = match coding {
            Ccitt::Rows(unit) => {
                bits.at = bits.at.next_multiple_of(unit);
                true
            }
            Ccitt::Group3 { is_2d } => {
                bits.skip_end_of_line();
                !is_2d || bits.take(1) == 1
            }
            Ccitt::Group4 => {
                if bits.is_end_of_line() {
                    return Err(Fault::End.in_row(index)); // the end of the block
                }
                false
            }
        };
        std::mem::swap(&mut row.changes, &mut reference);
        row.changes.clear();
        let result = match is_coded_alone {
            true => row.read_alone(&mut bits),
            false => row.read_against(&reference, &mut bits),
        };
        result.map_err(|fault| fault.in_row(index))?;
        row.paint(line);
    }
    Ok(decoded)
}

/// Reasons why a row cannot be decoded.
#[derive(Debug)]
enum Fault {
    /// The bits end.
    End,
    /// No code starts with these bits, or runs do not fit the row.
    Code,
    /// Uncompressed mode, which no known writer uses.
    Extension,
}

impl Fault {
    fn in_row(&self, row: usize) -> PreprocessError {
        match self {
            Self::End => damaged(format!("facsimile data end before row {row}")),
            Self::Code => damaged(format!("facsimile data have a wrong code in row {row}")),
            Self::Extension => unsupported("the uncompressed mode of facsimile coding".to_owned()),
        }
    }
}

/// Reader of bits, highest first, with zeros after the end.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn length(&self) -> usize {
        8 * self.bytes.len()
    }

    fn next16(&self) -> u16 {
        let byte = |index: usize| u32::from(self.bytes.get(index).copied().unwrap_or(0));
        let index = self.at / 8;
        let three = byte(index) << 16 | byte(index + 1) << 8 | byte(index + 2);
        (three >> (8 - self.at % 8)) as u16
    }

    fn take(&mut self, count: u8) -> u16 {
        let bits = self.next16() >> (16 - count);
        self.at += usize::from(count);
        bits
    }

    fn is_end_of_line(&self) -> bool {
        self.next16() >> 4 == 1
    }

    /// Reads an end-of-line code with fill bits before it, if there is one.
    fn skip_end_of_line(&mut self) {
        if self.next16() >> 5 != 0 {
            return;
        }
        let rest = self.at..self.length();
        let one = rest.into_iter().find(|at| self.bytes[at / 8] >> (7 - at % 8) & 1 == 1);
        self.at = one.map_or(self.length(), |at| at + 1);
    }

    /// Reads the length of a run: codes for multiples of 64, then one for the rest.
    fn run(&mut self, is_black: bool) -> Result<u32, Fault> {
        let mut sum = 0;
        loop {
            let code = if is_black { black::decode(self) } else { white::decode(self) };
            let part = u32::from(code.ok_or_else(|| self.fault())?);
            // Longer runs fit no row and are not summed up, which avoids an overflow.
            sum = (sum + part).min(u32::MAX / 2);
            if part < 64 {
                return Ok(sum);
            }
        }
    }

    fn fault(&self) -> Fault {
        if self.at + 13 > self.length() { Fault::End } else { Fault::Code }
    }
}

impl BitReader for Bits<'_> {
    type Error = ();

    fn peek(&self, bits: u8) -> Option<u16> {
        match bits {
            0 => Some(0),
            1..=16 if self.at < self.length() => Some(self.next16() >> (16 - bits)),
            _ => None,
        }
    }

    fn consume(&mut self, bits: u8) -> Result<(), ()> {
        self.at += usize::from(bits);
        Ok(())
    }

    fn bits_to_byte_boundary(&self) -> u8 {
        (8 - (self.at % 8) as u8) % 8
    }
}

struct Row {
    width: u32,
    /// Positions where the colour changes, white to black first: ascending and within the row.
    changes: Vec<u32>,
}

impl Row {
    fn change_at(&mut self, place: u32) {
        if self.changes.last() == Some(&place) {
            self.changes.pop(); // a run of nothing
        } else if place < self.width {
            self.changes.push(place);
        }
    }

    fn end_of_run(&self, start: u32, length: u32) -> Result<u32, Fault> {
        start.checked_add(length).filter(|&end| end <= self.width).ok_or(Fault::Code)
    }

    fn read_alone(&mut self, bits: &mut Bits<'_>) -> Result<(), Fault> {
        let (mut at, mut is_black) = (0, false);
        while at < self.width {
            at = self.end_of_run(at, bits.run(is_black)?)?;
            self.change_at(at);
            is_black = !is_black;
        }
        Ok(())
    }

    fn read_against(&mut self, reference: &[u32], bits: &mut Bits<'_>) -> Result<(), Fault> {
        let (mut at, mut is_black, mut next) = (0, false, 0);
        let mut is_start = true;
        while at < self.width {
            // Index of the next change above to the other colour; even ones are to black.
            let is_right = |place: u32| place > at || (is_start && place == 0);
            while next > 0 && is_right(reference[next - 1]) {
                next -= 1;
            }
            while reference.get(next).is_some_and(|&place| !is_right(place)) {
                next += 1;
            }
            let other = next + usize::from((next % 2 == 1) != is_black);
            let above = |index: usize| reference.get(index).copied().unwrap_or(self.width);
            next = next.min(reference.len());
            match mode::decode(bits).ok_or_else(|| bits.fault())? {
                Mode::Pass => at = above(other + 1),
                Mode::Vertical(by) => {
                    let place =
                        above(other).checked_add_signed(i32::from(by)).ok_or(Fault::Code)?;
                    if place < at || place > self.width {
                        return Err(Fault::Code);
                    }
                    at = place;
                    self.change_at(at);
                    is_black = !is_black;
                }
                Mode::Horizontal => {
                    let first = self.end_of_run(at, bits.run(is_black)?)?;
                    at = self.end_of_run(first, bits.run(!is_black)?)?;
                    self.change_at(first);
                    self.change_at(at);
                }
                Mode::Extension => return Err(Fault::Extension),
                Mode::EOF => return Err(Fault::Code),
            }
            is_start = false;
        }
        Ok(())
    }

    fn paint(&self, line: &mut [u8]) {
        for run in self.changes.chunks(2) {
            let (start, end) = (run[0], run.get(1).copied().unwrap_or(self.width));
            let (first, last) = (start as usize / 8, end as usize / 8);
            let (after_start, before_end) = (0xff >> (start % 8), !(0xff >> (end % 8)));
            if first == last {
                line[first] |= after_start & before_end;
                continue;
            }
            line[first] |= after_start;
            line[first + 1..last].fill(0xff);
            // A run up to the last bit of a byte does not touch the next byte, which may not exist.
            if before_end != 0 {
                line[last] |= before_end;
            }
        }
    }
}
