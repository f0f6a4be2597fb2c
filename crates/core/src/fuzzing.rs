//! Entry points of fuzzers; tests call them with the inputs that are kept in `tests/corpus`.
//! Compiled for tests and by cargo-fuzz only.

use std::{fs, path::PathBuf};

use crate::onnx;

/// An ONNX file of a stranger in the folder of a model: whatever it names as its weights, what passes is
/// a file in that folder.
///
/// # Panics
/// Where it is not.
pub fn onnx_outline(data: &[u8]) {
    let folder = Folder::create();
    let model = folder.0.join("model/model.onnx");
    fs::write(&model, data).expect("it is writable");
    let Ok(names) = onnx::weight_files(&model) else { return };
    let inside = fs::canonicalize(folder.0.join("model")).expect("it was made");
    for name in names {
        let file = fs::canonicalize(inside.join(name)).expect("it was looked at");
        assert!(file.starts_with(&inside) && file.is_file(), "{}", file.display());
    }
}

/// A state of PyTorch (`.pt`) of a stranger: what is read of it is in the file, and nothing is run.
///
/// # Panics
/// A tensor of another size than its shape.
pub fn torch_state(data: &[u8]) {
    crate::layers::state::fuzz(data);
}

/// A folder with the folder `model`, in which a file may be read, and a file beside it, which may not.
struct Folder(PathBuf);

impl Folder {
    fn create() -> Self {
        let unique =
            format!("embedkit-fuzz-{}-{:?}", std::process::id(), std::thread::current().id());
        let folder = Self(std::env::temp_dir().join(unique));
        fs::create_dir_all(folder.0.join("model/w")).expect("the folder is writable");
        for file in ["secret", "model/a", "model/w/b"] {
            fs::write(folder.0.join(file), "numbers").expect("it is writable");
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink("../secret", folder.0.join("model/s")).expect("it is writable");
        folder
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn kept_inputs() {
        type Target = fn(&[u8]);
        let targets = [("onnx_outline", onnx_outline as Target), ("torch_state", torch_state)];
        for (name, target) in targets {
            let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
            let files: Vec<_> = fs::read_dir(dir).unwrap().collect();
            assert!(files.len() > 3);
            for file in files {
                target(&fs::read(file.unwrap().path()).unwrap());
            }
        }
    }
}
