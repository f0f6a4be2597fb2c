//! Tensors of a checkpoint, in one safetensors file or in shards, read as f32.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use half::{bf16, f16};

use crate::Error;
use crate::safetensors::{self, Dtype, Tensor};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Names of weights in PyTorch's own format.
const PICKLED: [&str; 3] =
    ["pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model.pt"];
/// Maximum size of a shard index in bytes: a hundred bytes for each of 100,000 tensors.
const INDEX_LIMIT: u64 = 10_000_000;
/// Maximum number of shards; each keeps a file open.
const SHARD_LIMIT: usize = 256;
/// Bytes of one read.
const CHUNK: usize = 1 << 20;

/// Tensors of a checkpoint. Their headers are checked; their numbers are read on demand.
pub(crate) struct Checkpoint {
    dir: PathBuf,
    shards: Vec<Shard>,
    tensors: BTreeMap<String, Located>,
}

struct Shard {
    path: PathBuf,
    file: File,
}

/// A tensor and the shard that holds it.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    shard: usize,
    tensor: Tensor,
}

#[derive(serde::Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Opens `model.safetensors` in `dir` or, without it, the shards of its index, and checks the
    /// headers.
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        let mut this = Self { dir: dir.to_owned(), shards: Vec::new(), tensors: BTreeMap::new() };
        let index_path = dir.join(INDEX);
        if dir.join(SINGLE).exists() {
            let tensors = this.add_shard(dir.join(SINGLE))?;
            this.tensors = tensors
                .into_iter()
                .map(|(name, tensor)| (name, Located { shard: 0, tensor }))
                .collect();
        } else if index_path.exists() {
            this.add_indexed(&index_path)?;
        } else if let Some(path) =
            PICKLED.map(|name| dir.join(name)).into_iter().find(|p| p.exists())
        {
            return Err(Error::Pickled { path });
        } else {
            return Err(Error::NoWeights { dir: dir.to_owned() });
        }
        Ok(this)
    }

    fn add_shard(&mut self, path: PathBuf) -> Result<BTreeMap<String, Tensor>, Error> {
        let file = open_file(&path)?;
        let tensors = safetensors::read_header(&file, &path)?;
        self.shards.push(Shard { path, file });
        Ok(tensors)
    }

    fn add_indexed(&mut self, path: &Path) -> Result<(), Error> {
        let text = read_small(path, INDEX_LIMIT)?;
        let index: Index = serde_json::from_slice(&text).map_err(|source| Error::Json {
            path: path.to_owned(),
            what: "content",
            source,
        })?;
        let wrong = |reason| Error::Index { path: path.to_owned(), reason };
        let mut by_file: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, file) in index.weight_map {
            by_file.entry(file).or_default().push(name);
        }
        if by_file.len() > SHARD_LIMIT {
            return Err(wrong(format!(
                "expected at most {SHARD_LIMIT} files, got {}",
                by_file.len()
            )));
        }
        for (shard, (file, names)) in by_file.into_iter().enumerate() {
            // A shard is beside its index; anything else would read files of the index's choice.
            let mut parts = Path::new(&file).components();
            if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
                return Err(wrong(format!("{file:?} is not the name of a file beside it")));
            }
            let mut tensors = self.add_shard(self.dir.join(&file))?;
            for name in names {
                let Some(tensor) = tensors.remove(&name) else {
                    return Err(wrong(format!("{file} lacks the tensor {name}")));
                };
                self.tensors.insert(name, Located { shard, tensor });
            }
        }
        Ok(())
    }

    /// The files that hold the weights.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.shards.iter().map(|shard| shard.path.as_path())
    }

    /// The first tensor of `names` that exists, with its name.
    pub(crate) fn find(&self, names: &[String]) -> Result<(&str, &Located), Error> {
        names
            .iter()
            .find_map(|name| self.tensors.get_key_value(name))
            .map(|(name, located)| (name.as_str(), located))
            .ok_or_else(|| Error::MissingTensor { dir: self.dir.clone(), tried: names.to_vec() })
    }

    /// The first tensor of `names` that exists, with its name, if it has `shape` and a supported dtype.
    pub(crate) fn find_shaped(
        &self,
        names: &[String],
        shape: &[usize],
    ) -> Result<(&str, &Located), Error> {
        let (name, located) = self.find(names)?;
        let (path, tensor) = (self.path_of(located), name.to_owned());
        if !located.shape().iter().copied().eq(shape.iter().map(|&size| size as u64)) {
            let (expected, found) = (format!("{shape:?}"), located.shape().to_vec());
            return Err(Error::Shape { path, tensor, expected, found });
        }
        let dtype = located.tensor.dtype;
        if ![Dtype::F32, Dtype::F16, Dtype::BF16].contains(&dtype) {
            return Err(Error::Dtype { path, tensor, found: dtype.name });
        }
        Ok((name, located))
    }

    /// The file that holds a tensor.
    pub(crate) fn path_of(&self, located: &Located) -> PathBuf {
        self.shards[located.shard].path.clone()
    }

    /// Reads a tensor as little-endian f32 and passes it to `sink` in pieces, in order.
    pub(crate) fn stream(
        &self,
        located: &Located,
        mut sink: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let shard = &self.shards[located.shard];
        let failed = |source| Error::Read { path: shard.path.clone(), source };
        let mut file = &shard.file;
        file.seek(SeekFrom::Start(located.tensor.offset)).map_err(failed)?;
        let mut left = located.tensor.len;
        let mut raw = vec![0; CHUNK.min(usize::try_from(left).unwrap_or(CHUNK))];
        let mut wide = Vec::new();
        while left > 0 {
            let piece = &mut raw[..CHUNK.min(usize::try_from(left).unwrap_or(CHUNK))];
            file.read_exact(piece).map_err(failed)?; // the file may have shrunk since it was checked
            sink(widen(piece, located.tensor.dtype, &mut wide))?;
            left -= piece.len() as u64;
        }
        Ok(())
    }
}

impl Located {
    pub(crate) fn shape(&self) -> &[u64] {
        &self.tensor.shape
    }

    /// Part `index` of `count` equal parts of the rows, which `count` divides.
    pub(crate) fn part(&self, index: usize, count: usize) -> Self {
        let mut part = self.clone();
        let (index, count) = (index as u64, count as u64);
        if let Some(rows) = part.tensor.shape.first_mut() {
            *rows /= count;
        }
        part.tensor.len /= count;
        part.tensor.offset += index * part.tensor.len;
        part
    }
}

/// Converts `raw` to little-endian f32; `wide` is a work buffer.
fn widen<'a>(raw: &'a [u8], dtype: Dtype, wide: &'a mut Vec<u8>) -> &'a [u8] {
    if dtype == Dtype::F32 {
        return raw;
    }
    wide.clear();
    let halves = raw.as_chunks::<2>().0.iter();
    if dtype == Dtype::F16 {
        wide.extend(halves.flat_map(|&bytes| f16::from_le_bytes(bytes).to_f32().to_le_bytes()));
    } else {
        wide.extend(halves.flat_map(|&bytes| bf16::from_le_bytes(bytes).to_f32().to_le_bytes()));
    }
    wide
}

/// Opens a regular file for reading; a folder or a device is an error.
fn open_file(path: &Path) -> Result<File, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    // Checked before opening, because opening a pipe would wait for its other end.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(failed(std::io::Error::other("it is not a regular file")));
    }
    File::open(path).map_err(failed)
}

/// Reads a file of at most `limit` bytes.
pub(crate) fn read_small(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let file = open_file(path)?;
    let mut text = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut text)
        .map_err(|source| Error::Read { path: path.to_owned(), source })?;
    if text.len() as u64 > limit {
        let found = path.metadata().map_or(text.len() as u64, |metadata| metadata.len());
        return Err(Error::TooLarge { path: path.to_owned(), what: "size", found, limit });
    }
    Ok(text)
}
