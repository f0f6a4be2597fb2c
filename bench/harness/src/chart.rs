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
const LEFT: f64 = 540.0;
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

/// A point of a scatter chart.
pub(super) struct Point {
    pub(super) label: String,
    pub(super) x: f64,
    pub(super) y: f64,
}

/// Points over a logarithmic axis, numbered from the highest; a legend names them.
pub(super) fn scatter(title: &str, x_axis: &str, y_axis: &str, points: &[Point]) -> String {
    const RIGHT: f64 = 560.0;
    const LEFT: f64 = 70.0;
    const HEIGHT: f64 = 360.0;
    const BOTTOM: f64 = HEIGHT - 50.0;
    let mut sorted: Vec<&Point> =
        points.iter().filter(|point| point.x > 0.0 && point.y.is_finite()).collect();
    sorted.sort_by(|a, b| b.y.total_cmp(&a.y));
    let range = |values: &mut dyn Iterator<Item = f64>| {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        (low, if high > low { high - low } else { 1.0 })
    };
    let (left, width) = range(&mut sorted.iter().map(|point| point.x.ln()));
    let (low, height) = range(&mut sorted.iter().map(|point| point.y));
    let mut svg = head(title, HEIGHT);
    let _ = write!(
        svg,
        "<polyline points=\"{LEFT},{TOP} {LEFT},{BOTTOM} {RIGHT},{BOTTOM}\" fill=\"none\" \
         stroke=\"{FAINT}\"/>\n\
         <text x=\"{RIGHT}\" y=\"{}\" text-anchor=\"end\" fill=\"{INK}\">{}</text>\n\
         <text x=\"{}\" y=\"{}\" fill=\"{INK}\">{}</text>\n",
        BOTTOM + 34.0,
        escaped(x_axis),
        LEFT + 8.0,
        TOP + 4.0,
        escaped(y_axis),
    );
    for (number, point) in (1..).zip(&sorted) {
        let x = LEFT + 30.0 + (RIGHT - LEFT - 60.0) * (point.x.ln() - left) / width;
        let y = BOTTOM - 20.0 - (BOTTOM - TOP - 50.0) * (point.y - low) / height;
        let row = TOP + 16.0 + ROW * f64::from(number - 1);
        let _ = write!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"9\" fill=\"{OURS}\"/>\n\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"11\" \
             fill=\"#ffffff\">{number}</text>\n\
             <text x=\"{}\" y=\"{row}\" fill=\"{INK}\">{number}  {}: {:.3}, {}</text>\n",
            y + 4.0,
            RIGHT + 24.0,
            escaped(&point.label),
            point.y,
            super::report::number(point.x),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// Beginning of a chart: its frame and title.
fn head(title: &str, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"#ffffff\"/>\n\
         <text x=\"16\" y=\"24\" font-size=\"14\" font-weight=\"bold\" fill=\"{INK}\">{}</text>\n",
        escaped(title)
    )
}

fn draw(title: &str, bars: &[Bar], from: f64, place: impl Fn(f64) -> f64) -> String {
    let bottom = TOP + ROW * bars.len() as f64;
    let height = bottom + 16.0;
    let mut svg = head(title, height);
    let _ = writeln!(
        svg,
        "<line x1=\"{from:.1}\" y1=\"{TOP}\" x2=\"{from:.1}\" y2=\"{bottom}\" stroke=\"{FAINT}\"/>"
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
        assert!(svg.contains("width=\"320.0\" height=\"14\""), "{svg}");
        assert!(svg.contains("width=\"160.0\" height=\"14\""), "{svg}");
        assert_eq!(svg, amounts("Speed & more", "texts/s", &bars));
    }

    #[test]
    fn points_are_numbered_from_the_best() {
        let point = |label: &str, x, y| Point { label: label.to_owned(), x, y };
        let points =
            [point("slow", 100.0, 0.9), point("fast", 1.0, 0.5), point("none", f64::NAN, 1.0)];
        let svg = scatter("Quality", "ms", "nDCG", &points);
        assert!(svg.contains(">1  slow: 0.900, 100.0<") && svg.contains(">2  fast: 0.500, 1.000<"));
        assert!(
            svg.contains("cx=\"100.0\" cy=\"290.0\"") && svg.contains("cx=\"530.0\" cy=\"70.0\"")
        );
        assert!(!svg.contains("NaN") && !svg.contains("none: "), "{svg}");
        assert!(scatter("Empty", "x", "y", &[]).ends_with("</svg>\n"));
    }

    #[test]
    fn ratios_begin_at_one_and_mark_their_goals() {
        let mut bars = [bar("ten", 10.0, Some(10.0))];
        bars[0].range = [10.0, 10.0];
        let svg = ratios("Times", &bars);
        assert!(svg.contains("<rect x=\"540.0\""), "{svg}");
        assert!(svg.contains("<line x1=\"860.0\""), "the goal is where the bar ends: {svg}");
        // An empty chart is no failure.
        assert!(amounts("None", "x", &[]).ends_with("</svg>\n"));
        assert!(!ratios("Odd", &[bar("zero", 0.0, None)]).contains("NaN"));
    }
}
