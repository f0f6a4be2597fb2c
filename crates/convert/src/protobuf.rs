//! Encoder for the part of protobuf's wire format that ONNX files need.
//!
//! Protobuf crates need a code generator for ONNX's schema (`onnx.proto`). This encoder is shorter than
//! their build scripts and streams weights of any size, since a message's length is known before its
//! content is read.

/// Wire type of a field.
const VARINT: u64 = 0;
const LENGTH_DELIMITED: u64 = 2;
const FIXED32: u64 = 5;

/// Builder of a protobuf message: encoded fields in a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message(pub(crate) Vec<u8>);

impl Message {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// An integer or enum field.
    pub(crate) fn int(mut self, field: u64, value: i64) -> Self {
        self.key(field, VARINT);
        self.varint(value.cast_unsigned()); // negative numbers take ten bytes, as the format says
        self
    }

    /// A float field.
    pub(crate) fn float(mut self, field: u64, value: f32) -> Self {
        self.key(field, FIXED32);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// A string, bytes or message field.
    pub(crate) fn bytes(self, field: u64, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        let mut this = self.announce(field, value.len() as u64);
        this.0.extend_from_slice(value);
        this
    }

    /// Key and length of a field whose `length` bytes the caller writes next.
    pub(crate) fn announce(mut self, field: u64, length: u64) -> Self {
        self.key(field, LENGTH_DELIMITED);
        self.varint(length);
        self
    }

    /// Applies `add` once for each of `items`.
    pub(crate) fn each<T>(
        self,
        items: impl IntoIterator<Item = T>,
        add: impl FnMut(Self, T) -> Self,
    ) -> Self {
        items.into_iter().fold(self, add)
    }

    fn key(&mut self, field: u64, wire_type: u64) {
        self.varint(field << 3 | wire_type);
    }

    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Examples from protobuf's documentation.
    #[test]
    fn fields_are_encoded_as_the_format_says() {
        assert_eq!(Message::new().int(1, 150).0, [0x08, 0x96, 0x01]);
        assert_eq!(Message::new().bytes(2, "testing").0, *b"\x12\x07testing");
        assert_eq!(Message::new().bytes(3, Message::new().int(1, 150)).0, [0x1a, 3, 8, 0x96, 1]);
        assert_eq!(Message::new().int(1, -2).0.len(), 11);
        assert_eq!(Message::new().float(2, 1.0).0, [0x15, 0, 0, 0x80, 0x3f]);
        assert_eq!(Message::new().announce(9, 300).0, [0x4a, 0xac, 0x02]);
    }
}
