//! Reads and checks the header of a safetensors file.
//!
//! Format: eight bytes with the header's length (little-endian), the header as a JSON object `{name:
//! {dtype, shape, data_offsets: [begin, end]}}` with offsets from the header's end, then the tensors
//! without gaps. Sizes are checked before anything is allocated, and no tensor is read here. The crate
//! `safetensors` makes the same checks, but its errors do not name the tensor, and it needs the whole
//! file in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::Error;

/// Maximum length of the header in bytes, as in the reference implementation.
const HEADER_LIMIT: u64 = 100_000_000;
/// Maximum number of tensors; bounds the memory for a header of maximum length.
const TENSOR_LIMIT: usize = 100_000;
/// Maximum number of dimensions.
const RANK_LIMIT: usize = 8;
const LENGTH_BYTES: u64 = 8;

/// Position and type of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tensor {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<u64>,
    /// Offset of the first byte in the file.
    pub(crate) offset: u64,
    /// Size in bytes: within the file, and as dtype and shape imply.
    pub(crate) len: u64,
}

/// Dtypes of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dtype {
    pub(crate) name: &'static str,
    bits: u64,
}

impl Dtype {
    pub(crate) const F32: Self = Self { name: "F32", bits: 32 };
    pub(crate) const F16: Self = Self { name: "F16", bits: 16 };
    pub(crate) const BF16: Self = Self { name: "BF16", bits: 16 };
    const ALL: [Self; 22] = {
        const fn dtype(name: &'static str, bits: u64) -> Dtype {
            Dtype { name, bits }
        }
        [
            Self::F32,
            Self::F16,
            Self::BF16,
            dtype("F64", 64),
            dtype("I64", 64),
            dtype("U64", 64),
            dtype("C64", 64),
            dtype("I32", 32),
            dtype("U32", 32),
            dtype("I16", 16),
            dtype("U16", 16),
            dtype("I8", 8),
            dtype("U8", 8),
            dtype("BOOL", 8),
            dtype("F8_E4M3", 8),
            dtype("F8_E5M2", 8),
            dtype("F8_E8M0", 8),
            dtype("F8_E4M3FNUZ", 8),
            dtype("F8_E5M2FNUZ", 8),
            dtype("F6_E2M3", 6),
            dtype("F6_E3M2", 6),
            dtype("F4", 4),
        ]
    };

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.name == name)
    }
}

/// Reads the header of `file` and checks it against the file's length. Errors name `path`.
pub(crate) fn read_header(file: &File, path: &Path) -> Result<BTreeMap<String, Tensor>, Error> {
    let read_error = |source| Error::Read { path: path.to_owned(), source };
    let file_len = file.metadata().map_err(read_error)?.len();
    parse_header(file, file_len, path)
}

/// Reads the header of a file of `file_len` bytes.
pub(crate) fn parse_header(
    mut file: impl Read,
    file_len: u64,
    path: &Path,
) -> Result<BTreeMap<String, Tensor>, Error> {
    let read_error = |source| Error::Read { path: path.to_owned(), source };
    let damaged = |reason: String| Error::Damaged { path: path.to_owned(), reason };
    if file_len < LENGTH_BYTES {
        return Err(damaged(format!(
            "it has {file_len} bytes, fewer than the {LENGTH_BYTES} of the header's length"
        )));
    }
    let mut length = [0; LENGTH_BYTES as usize];
    file.read_exact(&mut length).map_err(read_error)?;
    let header_len = u64::from_le_bytes(length);
    if header_len > HEADER_LIMIT {
        return Err(Error::TooLarge {
            path: path.to_owned(),
            what: "header",
            found: header_len,
            limit: HEADER_LIMIT,
        });
    }
    let data_start = LENGTH_BYTES + header_len;
    if data_start > file_len {
        return Err(damaged(format!(
            "its header of {header_len} bytes goes beyond its {file_len} bytes"
        )));
    }
    let mut text = vec![0; header_len as usize]; // at most HEADER_LIMIT and within the file
    file.read_exact(&mut text).map_err(read_error)?;
    let header: Header = serde_json::from_slice(&text).map_err(|source| Error::Json {
        path: path.to_owned(),
        what: "header",
        source,
    })?;
    drop(text);
    locate(header, data_start, file_len).map_err(damaged)
}

/// Checks that the tensors of `header` fill the file from `data_start` to `file_len` without gaps.
fn locate(
    header: Header,
    data_start: u64,
    file_len: u64,
) -> Result<BTreeMap<String, Tensor>, String> {
    let mut entries: Vec<_> = header.0.into_iter().collect();
    entries.sort_by(|a, b| (a.1.data_offsets, &a.0).cmp(&(b.1.data_offsets, &b.0)));
    let data_len = file_len - data_start;
    let mut filled = 0;
    let mut tensors = BTreeMap::new();
    for (name, entry) in entries {
        let (begin, end) = entry.data_offsets;
        let dtype = Dtype::named(&entry.dtype)
            .ok_or_else(|| format!("tensor {name} has the unknown type {:?}", entry.dtype))?;
        let bits = entry
            .shape
            .iter()
            .try_fold(dtype.bits, |product, &dim| product.checked_mul(dim))
            .filter(|bits| bits % 8 == 0)
            .ok_or_else(|| format!("tensor {name} has the impossible shape {:?}", entry.shape))?;
        if end < begin || end > data_len {
            return Err(format!("tensor {name} takes bytes {begin} to {end} of {data_len}"));
        }
        if begin != filled {
            let problem = if begin < filled {
                "overlaps the one before it"
            } else {
                "leaves a hole before it"
            };
            return Err(format!(
                "tensor {name} begins at byte {begin} and {problem}, which ends at {filled}"
            ));
        }
        let len = end - begin;
        if len != bits / 8 {
            return Err(format!(
                "tensor {name} has {len} bytes, its shape {:?} of {} takes {}",
                entry.shape,
                dtype.name,
                bits / 8
            ));
        }
        filled = end;
        tensors.insert(name, Tensor { dtype, shape: entry.shape, offset: data_start + begin, len });
    }
    if filled != data_len {
        return Err(format!("its tensors take {filled} bytes, the file has {data_len} for them"));
    }
    Ok(tensors)
}

/// The header without `__metadata__`.
struct Header(BTreeMap<String, Entry>);

#[derive(serde::Deserialize)]
struct Entry {
    dtype: String,
    #[serde(deserialize_with = "short_list")]
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                    } else if entries.len() == TENSOR_LIMIT {
                        return Err(A::Error::custom(format_args!(
                            "more than {TENSOR_LIMIT} tensors"
                        )));
                    } else {
                        let entry = map.next_value()?;
                        if entries.insert(name.clone(), entry).is_some() {
                            return Err(A::Error::custom(format_args!(
                                "tensor {name} is defined twice"
                            )));
                        }
                    }
                }
                Ok(Header(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// A list of at most [`RANK_LIMIT`] numbers.
fn short_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
    struct Dims;
    impl<'de> Visitor<'de> for Dims {
        type Value = Vec<u64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of dimensions")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<u64>, A::Error> {
            let mut dims = Vec::new();
            while let Some(dim) = list.next_element()? {
                if dims.len() == RANK_LIMIT {
                    return Err(A::Error::custom(format_args!(
                        "more than {RANK_LIMIT} dimensions"
                    )));
                }
                dims.push(dim);
            }
            Ok(dims)
        }
    }
    deserializer.deserialize_seq(Dims)
}
