//! Reads the protobuf wire format: fields as slices of the file, with every length checked.
//!
//! Unknown fields keep their bytes, so a rewritten model loses nothing.

/// Maximum length of a name of a value or an operator, in bytes; real names have a few hundred. Names
/// are compared often, and the work grows with their length times the number of nodes.
const NAME_LIMIT: usize = 4096;

/// Description of a defect in a message.
pub type Malformed = String;

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    pub number: u64,
    pub value: Value<'a>,
    /// The bytes of the field, its key included.
    pub raw: &'a [u8],
}

/// The content of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Number(u64),
    /// Four or eight bytes.
    Fixed(&'a [u8]),
    /// A string, a message, or numbers packed together.
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    /// The content of a string, bytes or message field.
    pub fn bytes(&self) -> Result<&'a [u8], Malformed> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(format!("field {} is not a message or string", self.number)),
        }
    }

    /// The content of a string field.
    pub fn text(&self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?)
            .map_err(|_| format!("field {} is not UTF-8", self.number))
    }

    /// The content of a string field that names a value, an operator or its domain.
    pub fn name(&self) -> Result<&'a str, Malformed> {
        match self.text()? {
            name if name.len() <= NAME_LIMIT => Ok(name),
            name => {
                Err(format!("expected a name of at most {NAME_LIMIT} bytes, got {}", name.len()))
            }
        }
    }

    /// The numbers of a repeated integer field, packed or not.
    pub fn numbers(&self, into: &mut Vec<u64>) -> Result<(), Malformed> {
        match self.value {
            Value::Number(number) => into.push(number),
            Value::Bytes(mut bytes) => {
                while !bytes.is_empty() {
                    into.push(varint(&mut bytes)?);
                }
            }
            Value::Fixed(_) => return Err(format!("field {} is not an integer", self.number)),
        }
        Ok(())
    }
}

/// The fields of a message, in order.
pub fn fields(message: &[u8]) -> Result<Vec<Field<'_>>, Malformed> {
    let mut rest = message;
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let start = rest;
        let key = varint(&mut rest)?;
        let value = match key & 7 {
            0 => Value::Number(varint(&mut rest)?),
            1 => Value::Fixed(take(&mut rest, 8)?),
            2 => {
                let length = varint(&mut rest)?;
                Value::Bytes(take(&mut rest, length)?)
            }
            5 => Value::Fixed(take(&mut rest, 4)?),
            other => return Err(format!("wire type {other} at a field")),
        };
        let raw = &start[..start.len() - rest.len()];
        fields.push(Field { number: key >> 3, value, raw });
    }
    Ok(fields)
}

fn take<'a>(bytes: &mut &'a [u8], length: u64) -> Result<&'a [u8], Malformed> {
    usize::try_from(length)
        .ok()
        .and_then(|length| bytes.split_off(..length))
        .ok_or_else(|| format!("a field of {length} bytes where {} are left", bytes.len()))
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first().ok_or("it ends within a number")?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("a number of more than ten bytes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text, a float and a number.
    const MESSAGE: [&[u8]; 4] =
        [&[2 << 3 | 2, 4], b"name", &[3 << 3 | 5, 0, 0, 0xc0, 0x3f], &[4 << 3, 0xac, 2]];

    #[test]
    fn reads_each_kind_of_field() {
        let message = MESSAGE.concat();
        let found = fields(&message).unwrap();
        assert_eq!(found[0].text().unwrap(), "name");
        assert_eq!(found[1].value, Value::Fixed(&1.5f32.to_le_bytes()));
        assert_eq!(found[2].value, Value::Number(300));
        assert_eq!(found.iter().map(|field| field.number).collect::<Vec<_>>(), [2, 3, 4]);
        let together: Vec<u8> = found.iter().flat_map(|field| field.raw).copied().collect();
        assert_eq!(together, message);
        let all_bits = [[1 << 3].as_slice(), &[0xff; 9], &[1]].concat();
        assert_eq!(fields(&all_bits).unwrap()[0].value, Value::Number(u64::MAX));
    }

    #[test]
    fn packed_numbers_are_those_one_by_one() {
        let mut numbers = Vec::new();
        for field in fields(&[1 << 3, 5, 1 << 3 | 2, 3, 6, 0xac, 2]).unwrap() {
            field.numbers(&mut numbers).unwrap();
        }
        assert_eq!(numbers, [5, 6, 300]);
    }

    #[test]
    fn names_have_a_longest_length() {
        let name = |length: usize| {
            let name = "é".repeat(length / 2);
            let field = Field { number: 1, value: Value::Bytes(name.as_bytes()), raw: &[] };
            field.name().map(str::len)
        };
        assert_eq!(name(NAME_LIMIT), Ok(NAME_LIMIT));
        assert_eq!(name(5000).unwrap_err(), "expected a name of at most 4096 bytes, got 5000");
    }

    #[test]
    fn every_cut_is_an_error_or_a_shorter_message() {
        let whole = MESSAGE.concat();
        let count = fields(&whole).unwrap().len();
        for end in 0..whole.len() {
            assert!(fields(&whole[..end]).map_or(0, |fields| fields.len()) < count);
        }
        assert!(fields(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).is_err());
        assert!(fields(&[0xff; 11]).is_err());
        assert!(fields(&[0x0b]).is_err(), "groups are not read");
    }
}
