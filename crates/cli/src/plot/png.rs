//! A map as PNG: its SVG, drawn with the fonts of the system.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use resvg::{
    tiny_skia::{Pixmap, Transform},
    usvg::{
        Options, Tree,
        fontdb::{Database, Family, Query},
    },
};

use crate::report::{CliError, failure};

/// Pixels for each unit of the SVG.
const SCALE: f32 = 2.0;
/// Faces that are looked for, in this order.
const FACES: [&str; 6] =
    ["Helvetica", "Arial", "Liberation Sans", "DejaVu Sans", "Noto Sans", "Segoe UI"];

/// Draws an SVG of ours.
///
/// # Errors
/// The system has no fonts.
pub(super) fn render(svg: &str) -> Result<Vec<u8>> {
    let options = Options { fontdb: Arc::new(fonts()?), ..Options::default() };
    let tree = Tree::from_str(svg, &options).context("cannot draw the map")?;
    let size = tree.size().to_int_size().scale_by(SCALE).context("the map has no size")?;
    let mut pixels =
        Pixmap::new(size.width(), size.height()).context("there is no memory for the picture")?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    pixels.encode_png().context("cannot encode the picture")
}

/// The fonts of the system, with one of them as the sans serif one.
fn fonts() -> Result<Database, CliError> {
    let mut fonts = Database::new();
    fonts.load_system_fonts();
    let has = |name: &&&str| {
        fonts.query(&Query { families: &[Family::Name(name)], ..Query::default() }).is_some()
    };
    let known = FACES.iter().find(has).map(|name| (*name).to_owned());
    let first = || {
        let face = fonts.faces().find(|face| !face.monospaced).or_else(|| fonts.faces().next())?;
        face.families.first().map(|(name, _)| name.clone())
    };
    let Some(name) = known.or_else(first) else {
        return Err(failure("this system has no fonts, which the labels of a png need")
            .hint("give a file that ends in .svg, or install a font such as DejaVu Sans"));
    };
    fonts.set_sans_serif_family(name);
    Ok(fonts)
}
