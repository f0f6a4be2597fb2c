//! What a fuzzer calls, and what the tests call with the inputs that are kept in `tests/corpus`.
//! Compiled for tests and by cargo-fuzz only.

use std::{env, fs, process, thread};

use embedkit_core::tokenizer::Tokens;

use crate::table::Table;

/// A table from a stranger: whatever it says, tokens are added up to a vector of its dimension or are an
/// error.
///
/// # Panics
/// Where that does not hold.
pub fn static_table(data: &[u8]) {
    let name = format!("embedkit-fuzzing-{}-{:?}", process::id(), thread::current().id());
    let path = env::temp_dir().join(name);
    fs::write(&path, data).expect("the folder for temporary files is writable");
    let table = Table::open(&path);
    fs::remove_file(&path).expect("it was just written");
    let Ok(table) = table else { return };
    for ids in [vec![], vec![0], vec![1, 2, 3], vec![0, 0, 3, 1 << 20, u32::MAX]] {
        let tokens = Tokens { ids, ..Tokens::default() };
        if let Ok((sum, _)) = table.sum(&tokens, Some(2)) {
            assert_eq!(sum.len(), table.dim());
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn kept_inputs() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/static_table");
        let files: Vec<_> = std::fs::read_dir(dir).unwrap().collect();
        assert!(files.len() > 3);
        for file in files {
            super::static_table(&std::fs::read(file.unwrap().path()).unwrap());
        }
    }
}
