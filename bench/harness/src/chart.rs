//! Horizontal bar charts as SVG; the same figures always give the same bytes.

use std::fmt::Write as _;

use super::report::number;

/// A bar of a chart.
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) value: f64,
    /// Minimum and maximum of the rounds.
    pub(super) range: [f64; 2],
    /// Goal, drawn as a mark.
    pub(super) goal: Option<f64>,
    /// Highlights our own bar.
    pub(super) ours: bool,
}

const WIDTH: f64 = 940.0;
/// Left end of the bars, after the labels.
const LEFT: f64 = 500.0;
/// Right end of the longest bar, before its number.
const RIGHT: f64 = 860.0;
const ROW: f64 = 24.0;
const TOP: f64 = 40.0;
const BAR: f64 = 14.0;

const OURS: &str = "#2f6fb0";
const THEIRS: &str = "#b8c0c8";
const INK: &str = "#24292f";
const FAINT: &str = "#d0d7de";
const GOAL: &str = "#c0392b";

/// Bars from zero, for amounts of one unit.
pub(super) fn amounts(title: &str, unit: &str, bars: &[Bar]) -> String {
    let most = bars.iter().map(|bar| bar.range[1].max(bar.value)).fold(0.0, f64::max);
    let place = |value: f64| LEFT + (RIGHT - LEFT) * if most > 0.0 { value / most } else { 0.0 };
    draw(&format!("{title} ({unit})"), bars, LEFT, place)
}

/// Bars from 1 on a logarithmic scale, for ratios.
pub(super) fn ratios(title: &str, bars: &[Bar]) -> String {
    let values = || {
        let one = |bar: &Bar| [bar.value, bar.range[0], bar.range[1], bar.goal.unwrap_or(1.0), 1.0];
        bars.iter().flat_map(one).filter(|value| *value > 0.0)
    };
    let low = values().fold(1.0, f64::min).ln();
    let high = values().fold(1.0, f64::max).ln();
    let width = if high > low { high - low } else { 1.0 };
    let place =
        |value: f64| LEFT + (RIGHT - LEFT) * (value.max(f64::MIN_POSITIVE).ln() - low) / width;
    draw(&format!("{title} (times, logarithmic)"), bars, place(1.0), place)
}

fn draw(title: &str, bars: &[Bar], from: f64, place: impl Fn(f64) -> f64) -> String {
    let bottom = TOP + ROW * bars.len() as f64;
    let height = bottom + 16.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"#ffffff\"/>\n\
         <text x=\"16\" y=\"24\" font-size=\"14\" font-weight=\"bold\" fill=\"{INK}\">{}</text>\n\
         <line x1=\"{from:.1}\" y1=\"{TOP}\" x2=\"{from:.1}\" y2=\"{bottom}\" stroke=\"{FAINT}\"/>\n",
        escaped(title)
    );
    for (row, bar) in bars.iter().enumerate() {
        let y = TOP + ROW * row as f64;
        let middle = y + ROW / 2.0;
        let (start, end) = (from.min(place(bar.value)), from.max(place(bar.value)));
        let [low, high] = bar.range.map(&place);
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"{INK}\">{}</text>\n\
             <rect x=\"{start:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{}\"/>\n\
             <line x1=\"{low:.1}\" y1=\"{middle:.1}\" x2=\"{high:.1}\" y2=\"{middle:.1}\" \
             stroke=\"{INK}\"/>\n",
            LEFT - 8.0,
            middle + 4.0,
            escaped(&bar.label),
            middle - BAR / 2.0,
            (end - start).max(0.5),
            if bar.ours { OURS } else { THEIRS },
        );
        if let Some(goal) = bar.goal.map(&place) {
            let _ = writeln!(
                svg,
                "<line x1=\"{goal:.1}\" y1=\"{:.1}\" x2=\"{goal:.1}\" y2=\"{:.1}\" \
                 stroke=\"{GOAL}\" stroke-width=\"2\"/>",
                y + 3.0,
                y + ROW - 3.0
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{INK}\">{}</text>",
            end.max(high) + 6.0,
            middle + 4.0,
            number(bar.value)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(label: &str, value: f64, goal: Option<f64>) -> Bar {
        Bar { label: label.to_owned(), value, range: [value * 0.9, value * 1.1], goal, ours: true }
    }

    #[test]
    fn the_largest_amount_fills_the_width() {
        let mut bars = [bar("a <b>", 50.0, None), bar("c", 100.0, None)];
        bars[1].range = [100.0, 100.0];
        let svg = amounts("Speed & more", "texts/s", &bars);
        assert!(svg.contains("Speed &amp; more (texts/s)"), "{svg}");
        assert!(svg.contains("a &lt;b&gt;"), "{svg}");
        assert!(svg.contains("width=\"360.0\" height=\"14\""), "{svg}");
        assert!(svg.contains("width=\"180.0\" height=\"14\""), "{svg}");
        assert_eq!(svg, amounts("Speed & more", "texts/s", &bars));
    }

    #[test]
    fn ratios_begin_at_one_and_mark_their_goals() {
        let mut bars = [bar("ten", 10.0, Some(10.0))];
        bars[0].range = [10.0, 10.0];
        let svg = ratios("Times", &bars);
        assert!(svg.contains("<rect x=\"500.0\""), "{svg}");
        assert!(svg.contains("<line x1=\"860.0\""), "the goal is where the bar ends: {svg}");
        // An empty chart is no failure.
        assert!(amounts("None", "x", &[]).ends_with("</svg>\n"));
        assert!(!ratios("Odd", &[bar("zero", 0.0, None)]).contains("NaN"));
    }
}
