//! Draws the screen of a terminal.

use std::fmt::Write as _;

use vt100::{Cell, Color, Screen};

use super::escaped;

/// Size of a cell, and of the letters in it.
const CELL: (f64, f64) = (7.8, 18.0);
const FONT: f64 = 13.0;
/// Side margin, and height of the window's head.
const MARGIN: f64 = 16.0;
const HEAD: f64 = 36.0;
/// A dark window, which is readable on light and dark pages.
const BACKGROUND: &str = "#161b22";
const INK: &str = "#e6edf3";
const FRAME: &str = "#3d444d";
/// The sixteen colours that programs name by number.
const PALETTE: [&str; 16] = [
    "#484f58", "#ff7b72", "#3fb950", "#d29922", "#58a6ff", "#bc8cff", "#39c5cf", "#b1bac4",
    "#6e7681", "#ffa198", "#56d364", "#e3b341", "#79c0ff", "#d2a8ff", "#56d4dd", "#ffffff",
];

/// Look of a cell.
#[derive(Clone, PartialEq)]
struct Look {
    ink: String,
    bold: bool,
    dim: bool,
    underline: bool,
}

/// Cells of one look beside each other.
struct Run {
    column: u16,
    columns: u16,
    text: String,
    look: Look,
}

/// Draws the first rows of a screen as a window.
pub(super) fn draw(screen: &Screen, rows: u16) -> String {
    let columns = screen.size().1.get();
    let width = f64::from(columns) * CELL.0 + 2.0 * MARGIN;
    let height = HEAD + f64::from(rows) * CELL.1 + MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"ui-monospace, SFMono-Regular, Menlo, \
         Consolas, 'DejaVu Sans Mono', monospace\" font-size=\"{FONT}\">\n\
         <rect x=\"0.5\" y=\"0.5\" width=\"{:.0}\" height=\"{:.0}\" rx=\"8\" fill=\"{BACKGROUND}\" \
         stroke=\"{FRAME}\"/>\n",
        width - 1.0,
        height - 1.0,
    );
    for (place, colour) in ["#ff5f57", "#febc2e", "#28c840"].iter().enumerate() {
        let x = MARGIN + 4.0 + 18.0 * place as f64;
        let _ = writeln!(svg, "<circle cx=\"{x}\" cy=\"18\" r=\"5.5\" fill=\"{colour}\"/>");
    }
    for row in 0..rows {
        let y = HEAD + f64::from(row) * CELL.1 + FONT;
        for run in runs(screen, row, columns) {
            draw_run(&mut svg, &run, y);
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// A length for each run keeps columns below each other, whatever font a reader has.
fn draw_run(svg: &mut String, run: &Run, y: f64) {
    let Look { ink, bold, dim, underline } = &run.look;
    let mut attributes = format!("fill=\"{ink}\"");
    for (set, attribute) in [
        (*bold, " font-weight=\"600\""),
        (*dim, " opacity=\"0.65\""),
        (*underline, " text-decoration=\"underline\""),
    ] {
        attributes.push_str(if set { attribute } else { "" });
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{y:.1}\" textLength=\"{:.1}\" lengthAdjust=\"spacingAndGlyphs\" \
         xml:space=\"preserve\" {attributes}>{}</text>",
        MARGIN + f64::from(run.column) * CELL.0,
        f64::from(run.columns) * CELL.0,
        escaped(&run.text),
    );
}

/// Runs of a row, without the blanks around them.
fn runs(screen: &Screen, row: u16, columns: u16) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for column in 0..columns {
        let Some(cell) = screen.cell(row, column).filter(|cell| cell.has_contents()) else {
            continue;
        };
        let look = look(cell);
        let columns = if cell.is_wide() { 2 } else { 1 };
        match runs.last_mut() {
            Some(run) if run.look == look && run.column + run.columns == column => {
                run.text.push_str(cell.contents());
                run.columns += columns;
            }
            _ => runs.push(Run { column, columns, text: cell.contents().to_owned(), look }),
        }
    }
    for run in &mut runs {
        let trimmed = run.text.trim_end_matches(' ').len();
        run.columns -= (run.text.len() - trimmed) as u16;
        run.text.truncate(trimmed);
    }
    runs.retain(|run| !run.text.is_empty());
    runs
}

fn look(cell: &Cell) -> Look {
    Look {
        ink: colour(cell.fgcolor()),
        bold: cell.bold(),
        dim: cell.dim(),
        underline: cell.underline(),
    }
}

fn colour(colour: Color) -> String {
    match colour {
        Color::Default => INK.to_owned(),
        Color::Idx(index @ 0..16) => PALETTE[usize::from(index)].to_owned(),
        // A cube of six levels for each component.
        Color::Idx(index @ 16..232) => {
            let level = |place: u8| match (index - 16) / place % 6 {
                0 => 0,
                level => 55 + 40 * level,
            };
            format!("#{:02x}{:02x}{:02x}", level(36), level(6), level(1))
        }
        Color::Idx(index) => {
            let grey = 8 + 10 * (index - 232);
            format!("#{grey:02x}{grey:02x}{grey:02x}")
        }
        Color::Rgb(red, green, blue) => format!("#{red:02x}{green:02x}{blue:02x}"),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use vt100::Parser;

    use super::*;

    fn drawn(bytes: &[u8], rows: u16) -> String {
        let size = |cells| NonZeroU16::new(cells).expect("a size");
        let mut terminal = Parser::new(size(5), size(40), 0);
        terminal.process(bytes);
        draw(terminal.screen(), rows)
    }

    #[test]
    fn colours_and_columns_are_kept() {
        let svg = drawn(b"\x1b[1;32mok\x1b[0m   <a & b>\r\n\x1b[38;5;196mx\x1b[0m", 2);
        assert!(svg.contains("fill=\"#3fb950\" font-weight=\"600\">ok</text>"), "{svg}");
        let plain = "<text x=\"31.6\" y=\"49.0\" textLength=\"78.0\"";
        assert!(svg.contains(plain) && svg.contains(">   &lt;a &amp; b&gt;</text>"), "{svg}");
        assert!(svg.contains("fill=\"#ff0000\">x</text>"), "{svg}");
        assert!(svg.contains("height=\"88\""), "two rows: {svg}");
    }

    #[test]
    fn what_is_erased_is_not_drawn() {
        let svg = drawn(b"10 % done\r\x1b[2Kresult\r\n\r\n", 3);
        assert!(svg.contains(">result</text>") && !svg.contains("done"), "{svg}");
    }
}
