//! A map of embeddings: each a point in two dimensions, with labels and colours, as SVG or PNG.

mod groups;
mod labels;
mod map;
mod npy;
mod pca;
#[cfg(feature = "png")]
mod png;
mod point;
mod rows;
mod svg;

use std::path::Path;

use anyhow::Result;

use crate::report::{CliError, Report, usage};

pub(crate) use self::{
    map::{Map, Points},
    rows::{Files, Rows},
};

/// A map in a format; says how many labels had no room.
///
/// # Errors
/// Those of the format.
pub(crate) fn draw(map: &Map, format: Picture, report: &Report) -> Result<Vec<u8>> {
    let drawing = svg::draw(map, format == Picture::Svg);
    if drawing.left_out > 0 {
        report.inform(&format!(
            "{} of {} labels are left out for lack of room; each point shows its own under the \
             pointer",
            drawing.left_out, drawing.labels
        ));
    }
    match format {
        Picture::Svg => Ok(drawing.text.into_bytes()),
        #[cfg(feature = "png")]
        Picture::Png => png::render(&drawing.text),
    }
}

/// Format of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Picture {
    Svg,
    #[cfg(feature = "png")]
    Png,
}

impl Picture {
    /// The format that a file's name asks for; SVG on standard output.
    ///
    /// # Errors
    /// Usage errors: another ending, and PNG where it is not compiled in.
    pub(crate) fn of(path: &Path) -> Result<Self, CliError> {
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        match &*ending {
            "svg" => Ok(Self::Svg),
            "" if path == Path::new("-") => Ok(Self::Svg),
            #[cfg(feature = "png")]
            "png" => Ok(Self::Png),
            #[cfg(not(feature = "png"))]
            "png" => Err(usage("this build of embedkit does not draw png")
                .hint("give a file that ends in .svg, or build it with `--features png`")),
            _ => {
                Err(usage(format!("{}: expected a file that ends in .svg or .png", path.display())))
            }
        }
    }
}
