//! States that PyTorch has saved, and descriptions that it does not write.

use std::{fs, io::Write, path::Path};

use zip::{ZipWriter, write::SimpleFileOptions};

use super::*;
use crate::read_tensor;

const WEIGHT: [f32; 6] = [0.5, -1.25, 2.0, 3.5, 0.0, -0.75];
const BIAS: [f32; 2] = [0.25, -8.0];

fn path(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/torch_state").join(name)
}

/// The defect of a file of PyTorch's.
fn defect(name: &str) -> String {
    read(&fs::read(path(name)).unwrap()).unwrap_err()
}

/// An archive with a description, and the storage `0` of four numbers.
fn archive(description: &[u8]) -> Vec<u8> {
    archive_of(&[("x/data.pkl", description), ("x/data/0", &[0; 16])])
}

fn archive_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        writer.start_file(*name, stored).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A text of a description.
fn text(text: &str) -> Vec<u8> {
    let mut code = vec![b'X'];
    code.extend_from_slice(&u32::try_from(text.len()).unwrap().to_le_bytes());
    code.extend_from_slice(text.as_bytes());
    code
}

/// `{"weight": tensor}` with a storage of `len` numbers, an offset, a shape and strides.
fn description(len: u8, offset: u8, shape: [u8; 2], strides: [u8; 2]) -> Vec<u8> {
    let mut code = vec![0x80, 2, b'}'];
    code.extend(text("weight"));
    code.extend_from_slice(b"ctorch._utils\n_rebuild_tensor_v2\n((");
    code.extend(text("storage"));
    code.extend_from_slice(b"ctorch\nFloatStorage\n");
    code.extend(text("0"));
    code.extend(text("cpu"));
    code.extend_from_slice(&[b'K', len, b't', b'Q', b'K', offset]);
    for [first, second] in [shape, strides] {
        code.extend_from_slice(&[b'K', first, b'K', second, 0x86]);
    }
    code.extend_from_slice(&[0x89, b'c']);
    code.extend_from_slice(b"collections\nOrderedDict\n)RtRs.");
    code
}

#[test]
fn tensors_of_every_type_are_those_that_were_saved() {
    for name in ["f32.pt", "f16.pt", "bf16.pt", "module.pt", "shared.pt"] {
        let path = path(name);
        assert_eq!(read_tensor(&path, "weight").unwrap(), WEIGHT, "{name}");
        assert_eq!(read_tensor(&path, "bias").unwrap(), BIAS, "{name}");
        let error = read_tensor(&path, "other").unwrap_err().to_string();
        assert!(error.contains(r#"no tensor `other`, only ["bias", "weight"]"#), "{error}");
    }
    let state = read(&fs::read(path("bf16.pt")).unwrap()).unwrap();
    assert_eq!(
        (state.tensors["weight"].dtype, &*state.tensors["weight"].shape),
        (Dtype::BF16, &[2, 3][..])
    );
}

#[test]
fn other_contents_of_pytorchs_are_refused_with_the_reason() {
    assert!(
        defect("code.pt").contains("names `torch.nn.modules.linear.Linear`"),
        "{}",
        defect("code.pt")
    );
    assert!(defect("f64.pt").contains("names `torch.DoubleStorage`"), "{}", defect("f64.pt"));
    assert!(defect("transposed.pt").contains("out of order"), "{}", defect("transposed.pt"));
}

#[test]
fn a_description_by_hand_is_read() {
    let state = read(&archive(&description(4, 0, [2, 2], [2, 1]))).unwrap();
    assert_eq!(
        (&*state.tensors["weight"].shape, state.tensors["weight"].data.len()),
        (&[2, 2][..], 16)
    );
}

#[test]
fn tensors_beyond_their_storage_are_errors() {
    for (len, offset, shape, strides, expected) in [
        (4, 1, [2, 2], [2, 1], "4 numbers from 1 on exceeds its 4"),
        (4, 0, [3, 2], [2, 1], "6 numbers from 0 on exceeds its 4"),
        (4, 0, [2, 2], [1, 2], "out of order"),
        (4, 0, [2, 2], [0, 1], "out of order"),
        // The file is shorter than the description says.
        (9, 5, [2, 2], [2, 1], "ends before the tensor"),
    ] {
        let error = read(&archive(&description(len, offset, shape, strides))).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn programs_are_refused() {
    let nested: Vec<u8> = [&b"})"[..], &[0x85; 20], b"."].concat();
    let key = [&b"}"[..], &text("a"), b"K\x01s."].concat();
    for (program, expected) in [
        (&b"cos\nsystem\n(X\x02\x00\x00\x00lstR."[..], "names `os.system`"),
        (b"cbuiltins\neval\n)R.", "names `builtins.eval`"),
        (b"\x8c\x02os\x8c\x06system\x93.", "instruction 0x8c"),
        (b"}K\x01K\x02s.", "a key"),
        (b"ccollections\nOrderedDict\nK\x01R.", "a call"),
        (b"K\x01K\x02R.", "a call"),
        (b"K\x01Q.", "a storage"),
        (b"K\x01.", "a dictionary of tensors"),
        (b"}q\x00h\x00.", "nothing is remembered at 0"),
        (b"h\x07.", "nothing is remembered at 7"),
        (b"}X\xff\xff\xff\xff", "ends too early"),
        (b"}", "ends too early"),
        (b"u.", "ends too early"),
        (b".", "a dictionary of tensors"),
        (&nested, "tuples within each other"),
        (&key, "`a` is no tensor"),
    ] {
        let error = read(&archive(program)).unwrap_err();
        assert!(error.contains(expected), "{}: {error}", program.escape_ascii());
    }
}

#[test]
fn archives_of_other_programs_are_refused() {
    let plain = description(4, 0, [2, 2], [2, 1]);
    let long = [&b"}"[..], &vec![b'N'; 20 << 10]].concat();
    let many: Vec<_> = (0..100).map(|place| format!("x/data/{place}")).collect();
    let mut files: Vec<(&str, &[u8])> = many.iter().map(|name| (name.as_str(), &b""[..])).collect();
    files.push(("x/data.pkl", &plain));
    for (bytes, expected) in [
        (MAGIC.to_vec(), "no archive"),
        (archive_of(&[("x/other", &plain)]), "no data.pkl"),
        (archive_of(&[("x/data.pkl", &plain)]), "x/data/0"),
        (archive_of(&[("x/data.pkl", &plain), ("x/byteorder", b"big")]), "big-endian"),
        (archive(&long), "at most 16384 bytes"),
        (archive_of(&files), "at most 64 files"),
        (archive_of(&[("x/data.pkl", &plain), ("x/data/0", &[0; 20])]), "at most 16 bytes"),
    ] {
        let error = read(&bytes).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_cut_file_is_an_error_at_every_place() {
    let whole = fs::read(path("f16.pt")).unwrap();
    for end in 0..whole.len() {
        assert!(read(&whole[..end]).is_err(), "the first {end} bytes");
    }
}

#[test]
fn a_changed_byte_never_stops_the_program() {
    let whole = description(4, 0, [2, 2], [2, 1]);
    for place in 0..whole.len() {
        for byte in 0..=u8::MAX {
            let mut changed = whole.clone();
            changed[place] = byte;
            // An error or a tensor, but no panic.
            if let Ok(entries) = Machine::run(&changed) {
                assert!(entries.values().all(|view| view.storage.len <= MOST_WEIGHTS));
            }
        }
    }
}
