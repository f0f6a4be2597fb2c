//! `decode OUT FOLDER < NAMES`: decodes the files of a folder that standard input names, one a line.
//!
//! For each it prints a line of JSON: `{"name", "width", "height", "pixels"}`, where `pixels` is a
//! file in the folder OUT with RGB bytes, or `{"name", "error"}`, or `{"name", "panicked"}` where the
//! decoder has a fault. It is one half of `cargo xtask golden --pictures`.

use std::{
    error::Error,
    fs,
    io::{self, BufRead, Write},
    panic,
    path::Path,
};

use embedkit_image::{DecodeOptions, ImageInput, PreprocessError, decode};
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [out, folder] = &arguments[..] else { return Err("usage: decode OUT FOLDER".into()) };
    let mut lines = io::stdout().lock();
    for (index, name) in io::stdin().lock().lines().enumerate() {
        let name = name?;
        let input = ImageInput::from(Path::new(folder).join(&name));
        let decoded = panic::catch_unwind(|| decode(&input, &DecodeOptions::default()));
        let line = match decoded {
            Err(_) => json!({"name": name, "panicked": true}),
            Ok(Ok(image)) => {
                let pixels = Path::new(out).join(index.to_string());
                fs::write(&pixels, image.pixels())?;
                let (width, height) = (image.width(), image.height());
                json!({"name": name, "width": width, "height": height, "pixels": pixels})
            }
            Ok(Err(error)) => json!({"name": name, "error": reason(&error)}),
        };
        writeln!(lines, "{line}")?;
    }
    Ok(())
}

/// The error of a file, without its path.
fn reason(error: &PreprocessError) -> String {
    match error {
        PreprocessError::File { source, .. } => reason(source),
        error => error.to_string(),
    }
}
