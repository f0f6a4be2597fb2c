//! Image files to tensors on one core, compared with the libraries that programs decode and resize with.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    contestant::Contestant,
    contestants::{ImageLibrary, Setting},
    corpus,
    report::Report,
    rounds::{interleave, rates},
    scale::Scale,
    vectors,
};

/// A CLIP model's preprocessing.
const CONFIG: &str = r#"{"image_processor_type": "CLIPImageProcessor", "do_resize": true,
    "size": {"shortest_edge": 224}, "resample": 3, "do_center_crop": true, "crop_size": 224,
    "do_normalize": true, "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711]}"#;

/// Photographs: name, width, height, format, and repetitions of each in a round.
const FILES: [(&str, u32, u32, &str, usize); 5] = [
    ("12-megapixels", 4000, 3000, "jpg", 4),
    ("3-megapixels", 2048, 1536, "jpg", 16),
    ("1-megapixel", 1152, 864, "jpg", 40),
    ("3-megapixels", 2048, 1536, "png", 6),
    ("1-megapixel", 1152, 864, "png", 20),
];

/// Measures with ours and each library that can be installed.
pub(super) fn measure(
    setting: &Setting<'_>,
    scale: &Scale,
    pictures: &[String],
    ours: &mut Contestant,
    report: &mut Report,
) -> Result<()> {
    let folder = setting.folder.join("photographs");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let config = folder.join("preprocessor_config.json");
    fs::write(&config, CONFIG).with_context(|| format!("writing {}", config.display()))?;
    let mut others = Vec::new();
    for library in ImageLibrary::ALL {
        match setting.contestants.image_library(library) {
            Ok((contestant, version)) => {
                report.note(format!("{}: version {version}", library.name()));
                others.push((library, contestant));
            }
            Err(error) => report.skip(library.name(), &format!("{error:#}")),
        }
    }
    // The pictures are made by Pillow, which has both formats.
    let Some((ImageLibrary::Pillow, pillow)) = others.first_mut() else { return Ok(()) };
    let files: Vec<Value> = FILES
        .iter()
        .map(|(name, width, height, ending, _)| json!([name, width, height, ending]))
        .collect();
    let request = json!({"op": "make", "pictures": pictures, "folder": folder, "files": files});
    pillow.ask(&request)?;
    let list = folder.join("list.txt");
    let ask = |contestant: &mut Contestant, scaled: bool, to: Option<&Path>| {
        contestant.ask(&json!({
            "op": "files", "inputs": list, "config": config, "scaled": scaled, "to": to,
        }))
    };
    for (name, _, _, ending, times) in FILES {
        let path = folder.join(format!("{name}.{ending}"));
        let path = path.to_str().context("the path of a photograph is not UTF-8")?;
        corpus::write(&list, [path])?;
        // At a reduced size, too, Pillow has the same decoder.
        for scaled in [false, true] {
            let mut tensors = Vec::new();
            for contestant in [&mut *ours, &mut others[0].1] {
                let to = folder.join("tensor.f32");
                ask(contestant, scaled, Some(&to))?;
                let bytes = fs::read(&to).with_context(|| format!("reading {}", to.display()))?;
                let numbers = bytes.as_chunks().0.iter().map(|&four| f32::from_le_bytes(four));
                tensors.push(numbers.collect::<Vec<f32>>());
            }
            vectors::compare(ImageLibrary::Pillow.name(), &tensors[0], &tensors[1])?;
        }
        corpus::write(&list, vec![path; times])?;
        let ways: &[bool] = if ending == "jpg" { &[false, true] } else { &[false] };
        let contestants = 1 + others.len();
        let seconds = interleave(scale.rounds, contestants * ways.len(), |turn| {
            let contestant = match turn % contestants {
                0 => &mut *ours,
                other => &mut others[other - 1].1,
            };
            let answer = ask(contestant, ways[turn / contestants], None)?;
            let each: Vec<f64> = serde_json::from_value(answer["seconds"].clone())?;
            Ok(each.iter().sum::<f64>())
        })?;
        let format = if ending == "jpg" { "JPEG" } else { "PNG" };
        report.section(&format!("{format} of {} to tensor, on one core", name.replace('-', " ")));
        let mut names = Vec::new();
        for &scaled in ways {
            let libraries = others.iter().map(|(library, _)| library.name());
            for name in ["embedkit"].into_iter().chain(libraries) {
                names.push(if scaled { format!("{name}, scaled") } else { name.to_owned() });
            }
        }
        for (name, seconds) in names.iter().zip(&seconds) {
            report.add(name, "images/s", rates(seconds, times as f64));
        }
        for (at, name) in names.iter().enumerate().filter(|(at, _)| at % contestants > 0) {
            let ours = &seconds[at / contestants * contestants];
            report.times_faster(name, &seconds[at], ours, None);
        }
    }
    Ok(())
}
