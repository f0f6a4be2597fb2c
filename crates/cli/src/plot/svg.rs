//! A map as SVG: readable without a program, in light and in dark, with a title and a description for
//! those who cannot see it, and each point's label under the pointer.

use std::{borrow::Cow, fmt::Write as _};

use super::{
    groups::Group,
    labels::{Area, Sizes, place, width},
    map::Map,
    point::Point,
};
use crate::report::one_line;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 640.0;
/// Distance of the frame from the picture's edges; above it is the title, below and left of it the axes'.
const MARGIN: Area = Area { left: 36.0, top: 44.0, right: 16.0, bottom: 36.0 };
const FONT: f64 = 11.0;
/// Longest label that is drawn, in columns of a terminal; longer ones end in an ellipsis.
const LONGEST_LABEL: usize = 32;
const LONGEST_CATEGORY: usize = 24;
/// Longest text under the pointer.
const LONGEST_HOVER: usize = 400;
/// Colours in light and in dark.
const BACKGROUND: [&str; 2] = ["#ffffff", "#0d1117"];
const TEXT: [&str; 2] = ["#24292f", "#e6edf3"];
const LINE: [&str; 2] = ["#d0d7de", "#30363d"];

/// A drawn map.
pub(super) struct Drawing {
    pub(super) text: String,
    /// Points that have a label.
    pub(super) labels: usize,
    /// Labels for which there was no room.
    pub(super) left_out: usize,
}

/// Draws a map; `dark` says that there are colours for a dark background, too.
pub(super) fn draw(map: &Map, dark: bool) -> Drawing {
    let legend = legend_width(map);
    let frame = Area {
        left: MARGIN.left,
        top: MARGIN.top,
        right: WIDTH - MARGIN.right - legend,
        bottom: HEIGHT - MARGIN.bottom,
    };
    let sizes = Sizes { radius: radius(map.points.len()), font: FONT };
    let points = to_frame(&map.projection.points, frame, sizes.radius);
    let mut svg = begin(map, dark);
    draw_frame(&mut svg, map, frame);
    for (number, group) in map.groups.groups.iter().enumerate() {
        draw_group(&mut svg, map, number, group, &points, sizes.radius);
    }
    let names: Vec<_> =
        map.points.iter().map(|point| shortened(&point.label, LONGEST_LABEL)).collect();
    let names: Vec<_> = names.iter().map(|name| &**name).collect();
    let places = place(&points, &names, frame, sizes);
    let _ = writeln!(svg, r#"<g class="text" fill="{}" font-size="{FONT}">"#, TEXT[0]);
    for ((name, area), &[x, _]) in names.iter().zip(&places).zip(&points) {
        if let Some(area) = area {
            draw_label(&mut svg, name, *area, x);
        }
    }
    svg.push_str("</g>\n");
    if legend > 0.0 {
        draw_legend(&mut svg, &map.groups.groups, frame.right + 16.0);
    }
    svg.push_str("</svg>\n");
    let labels = names.iter().filter(|name| !name.is_empty()).count();
    let drawn = places.iter().flatten().count();
    Drawing { text: svg, labels, left_out: labels - drawn }
}

/// The beginning: sizes, title, description, colours, background.
fn begin(map: &Map, dark: bool) -> String {
    let title = escaped(&map.title).into_owned();
    let [first, second] = map.projection.explained.map(percent);
    let count = map.points.len();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"title description\" \
         font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\">\n\
         <title id=\"title\">{title}</title>\n\
         <desc id=\"description\">A map of {count} embeddings of {} components by principal component \
         analysis. The horizontal axis holds {first} of the variance, the vertical one {second}.</desc>\n",
        map.dim
    );
    if dark {
        draw_dark_style(&mut svg, map);
    }
    let _ = writeln!(
        svg,
        r#"<rect class="back" width="100%" height="100%" fill="{}"/>"#,
        BACKGROUND[0]
    );
    svg
}

/// Colours for viewers who ask for a dark picture; those of a light one are attributes.
fn draw_dark_style(svg: &mut String, map: &Map) {
    svg.push_str("<style>@media (prefers-color-scheme: dark) {\n");
    let _ = writeln!(
        svg,
        ".back {{ fill: {} }} .text {{ fill: {} }} .line {{ stroke: {} }}",
        BACKGROUND[1], TEXT[1], LINE[1]
    );
    for (number, group) in map.groups.groups.iter().enumerate() {
        let _ = writeln!(svg, ".g{number} {{ fill: {} }}", group.colours[1]);
    }
    svg.push_str("}</style>\n");
}

/// The title, the frame, and the axes' titles.
fn draw_frame(svg: &mut String, map: &Map, frame: Area) {
    let Area { left, top, right, bottom } = frame;
    let [first, second] = map.projection.explained.map(percent);
    let (middle, centre) = ((left + right) / 2.0, (top + bottom) / 2.0);
    let title = shortened(&map.title, 100);
    let _ = write!(
        svg,
        "<rect class=\"line\" x=\"{left}\" y=\"{top}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"4\" \
         fill=\"none\" stroke=\"{}\"/>\n\
         <g class=\"text\" fill=\"{}\">\n\
         <text x=\"{left}\" y=\"{:.1}\" font-size=\"15\" font-weight=\"bold\">{}</text>\n\
         <text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">first component, {first} of the \
         variance</text>\n\
         <text x=\"{:.1}\" y=\"{centre:.1}\" text-anchor=\"middle\" \
         transform=\"rotate(-90 {:.1} {centre:.1})\">second component, {second}</text>\n\
         </g>\n",
        right - left,
        bottom - top,
        LINE[0],
        TEXT[0],
        top - 16.0,
        escaped(&title),
        bottom + 23.0,
        left - 12.0,
        left - 12.0,
    );
}

/// The points of one colour.
fn draw_group(
    svg: &mut String,
    map: &Map,
    number: usize,
    group: &Group,
    points: &[[f64; 2]],
    radius: f64,
) {
    let fill = group.colours[0];
    let _ = writeln!(svg, r#"<g class="g{number}" fill="{fill}" fill-opacity="0.8">"#);
    for &at in &group.members {
        let [x, y] = points[at];
        let hover = hover(&map.points[at]);
        let _ = writeln!(
            svg,
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius}"><title>{}</title></circle>"#,
            escaped(&hover)
        );
    }
    svg.push_str("</g>\n");
}

/// A label in its area, on the side where its point is: the face may be narrower than the area.
fn draw_label(svg: &mut String, name: &str, area: Area, point: f64) {
    let (x, anchor) = if area.left > point {
        (area.left, "start")
    } else if area.right < point {
        (area.right, "end")
    } else {
        ((area.left + area.right) / 2.0, "middle")
    };
    let baseline = area.bottom - 0.3 * FONT;
    let name = escaped(name);
    let _ =
        writeln!(svg, r#"<text x="{x:.1}" y="{baseline:.1}" text-anchor="{anchor}">{name}</text>"#);
}

/// The text under the pointer.
fn hover(point: &Point) -> String {
    let mut text = point.index.to_string();
    if !point.label.is_empty() {
        let _ = write!(text, ": {}", shortened(&point.label, LONGEST_HOVER));
    }
    if let Some(category) = &point.category {
        let _ = write!(text, " ({})", shortened(category, LONGEST_CATEGORY));
    }
    text
}

fn legend_name(group: &Group) -> Cow<'_, str> {
    shortened(group.name.as_deref().unwrap_or_default(), LONGEST_CATEGORY)
}

fn legend_text(group: &Group) -> String {
    format!("{} ({})", legend_name(group), group.members.len())
}

/// Room at the right for the categories; none where there are none.
fn legend_width(map: &Map) -> f64 {
    if !map.groups.has_names() {
        return 0.0;
    }
    let widest = map.groups.groups.iter().map(|group| width(&legend_text(group)));
    widest.fold(0.0, f64::max) * FONT + 40.0
}

fn draw_legend(svg: &mut String, groups: &[Group], left: f64) {
    for (number, group) in groups.iter().enumerate() {
        let y = MARGIN.top + 8.0 + 20.0 * number as f64;
        let _ = write!(
            svg,
            "<circle class=\"g{number}\" cx=\"{:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"{}\"/>\n\
             <text class=\"text\" x=\"{:.1}\" y=\"{:.1}\" font-size=\"{FONT}\" fill=\"{}\">{}</text>\n",
            left + 5.0,
            group.colours[0],
            left + 16.0,
            y + 4.0,
            TEXT[0],
            escaped(&legend_text(group)),
        );
    }
}

fn radius(points: usize) -> f64 {
    match points {
        0..=200 => 4.0,
        201..=2000 => 3.0,
        _ => 2.0,
    }
}

/// Points in the frame, with the same scale on both axes, so that distances can be compared.
fn to_frame(points: &[[f64; 2]], frame: Area, radius: f64) -> Vec<[f64; 2]> {
    let range = |axis: usize| {
        let values = points.iter().map(|point| point[axis]);
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
    };
    let ((left, right), (low, high)) = (range(0), range(1));
    let margin = 2.0 * radius + 8.0;
    let room = |extent: f64, size: f64| {
        if extent > 0.0 { (size - 2.0 * margin) / extent } else { f64::INFINITY }
    };
    let scale = room(right - left, frame.right - frame.left)
        .min(room(high - low, frame.bottom - frame.top));
    let scale = if scale.is_finite() { scale } else { 0.0 };
    let middle = [(frame.left + frame.right) / 2.0, (frame.top + frame.bottom) / 2.0];
    let place = |&[x, y]: &[f64; 2]| {
        let (x, y) = (x - (left + right) / 2.0, y - (low + high) / 2.0);
        [middle[0] + x * scale, middle[1] - y * scale]
    };
    points.iter().map(place).collect()
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A text on one line, of so many columns at most.
fn shortened(text: &str, columns: usize) -> Cow<'static, str> {
    console::truncate_str(&one_line(text), columns, "…").into_owned().into()
}

/// A text as content of an element. Control characters are spelled out, and those that XML does not
/// allow are replaced.
fn escaped(text: &str) -> Cow<'static, str> {
    let mut escaped = String::with_capacity(text.len());
    for char in one_line(text).chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\u{FFFE}' | '\u{FFFF}' => escaped.push('\u{FFFD}'),
            char => escaped.push(char),
        }
    }
    escaped.into()
}

#[cfg(test)]
mod tests {
    use roxmltree::{Document, Node};

    use super::*;

    fn point(index: u64, values: &[f32], label: &str, category: Option<&str>) -> Point {
        let category = category.map(str::to_owned);
        Point { index, values: values.to_vec(), label: label.to_owned(), category }
    }

    fn drawn(name: &str, points: Vec<Point>) -> Drawing {
        draw(&Map::new(name, 2, points), true)
    }

    fn texts<'a>(document: &'a Document<'_>, tag: &str) -> Vec<&'a str> {
        let nodes = document.descendants().filter(|node| node.has_tag_name(tag_in(tag)));
        nodes.filter_map(|node| node.text()).collect()
    }

    fn tag_in(tag: &str) -> (&str, &str) {
        ("http://www.w3.org/2000/svg", tag)
    }

    fn circles(document: &Document<'_>) -> Vec<[f64; 2]> {
        let number = |node: &Node<'_, '_>, name| node.attribute(name).unwrap().parse().unwrap();
        let nodes = document.descendants().filter(|node| node.has_tag_name(tag_in("circle")));
        nodes.map(|node| [number(&node, "cx"), number(&node, "cy")]).collect()
    }

    #[test]
    fn points_have_their_labels_and_texts_under_the_pointer() {
        let drawing = drawn(
            "vectors.npy",
            vec![point(0, &[0.0, 1.0], "first", None), point(7, &[4.0, 0.0], "second", None)],
        );
        let document = Document::parse(&drawing.text).unwrap();
        assert_eq!(texts(&document, "title"), ["vectors.npy", "0: first", "7: second"]);
        let shown = texts(&document, "text");
        assert!(shown.contains(&"first") && shown.contains(&"second"), "{shown:?}");
        assert!(shown.contains(&"first component, 100.0 % of the variance"), "{shown:?}");
        assert!(texts(&document, "desc")[0].starts_with("A map of 2 embeddings of 2 components"));
        assert_eq!((drawing.labels, drawing.left_out), (2, 0));
    }

    #[test]
    fn hostile_texts_are_content_and_nothing_else() {
        let hostile = "</title><script>alert(1)</script>&amp;\"'\u{0}\u{8}\u{1b}[31m\u{FFFF}\n<!--";
        let drawing = drawn(
            hostile,
            vec![point(0, &[0.0, 1.0], hostile, Some(hostile)), point(1, &[1.0, 0.0], "]]>", None)],
        );
        let document = Document::parse(&drawing.text).unwrap();
        let known = ["svg", "title", "desc", "style", "rect", "g", "circle", "text"];
        for node in document.descendants().filter(Node::is_element) {
            assert!(known.contains(&node.tag_name().name()), "{node:?}");
        }
        let shown =
            "</title><script>alert(1)</script>&amp;\"'\\u{0}\\u{8}\\u{1b}[31m\u{FFFD}\\n<!--";
        assert_eq!(texts(&document, "title")[0], shown);
        assert!(texts(&document, "title")[1].starts_with(&format!("0: {shown} (</title><script>")));
    }

    #[test]
    fn both_axes_have_the_same_scale() {
        // A long rectangle, whose sides are the axes.
        let corners = [[0.0, 0.0], [10.0, 0.0], [10.0, 2.0], [0.0, 2.0]];
        let points = (0..).zip(&corners).map(|(at, corner)| point(at, corner, "", None)).collect();
        let drawing = drawn("x", points);
        let places = circles(&Document::parse(&drawing.text).unwrap());
        let (length, height) = (places[1][0] - places[0][0], places[0][1] - places[3][1]);
        assert!((length / height - 5.0).abs() < 0.01, "{places:?}");
        assert!(length > 0.0 && height > 0.0, "right and up are the positive directions");
    }

    #[test]
    fn equal_rows_and_a_single_one_are_in_the_middle() {
        for count in [1, 3] {
            let points = (0..count).map(|at| point(at, &[0.3, 0.7], "a", None)).collect();
            let drawing = drawn("x", points);
            let places = circles(&Document::parse(&drawing.text).unwrap());
            assert!(places.iter().all(|place| *place == [490.0, 324.0]), "{places:?}");
        }
    }

    #[test]
    fn categories_have_colours_in_light_and_dark_and_a_legend() {
        let points = vec![
            point(0, &[0.0, 1.0], "", Some("fruit")),
            point(1, &[1.0, 0.0], "", Some("fruit")),
            point(2, &[1.0, 1.0], "", Some("cars")),
        ];
        let drawing = drawn("x", points);
        let document = Document::parse(&drawing.text).unwrap();
        let shown = texts(&document, "text");
        assert!(shown.contains(&"fruit (2)") && shown.contains(&"cars (1)"), "{shown:?}");
        let fills: Vec<_> = document
            .descendants()
            .filter(|node| node.has_tag_name(tag_in("g")))
            .filter_map(|node| Some((node.attribute("class")?, node.attribute("fill")?)))
            .collect();
        assert!(fills.contains(&("g0", "#0072b2")) && fills.contains(&("g1", "#d55e00")));
        assert!(drawing.text.contains(".g1 { fill: #ff8f40 }"));
    }

    #[test]
    fn long_labels_end_in_an_ellipsis_and_are_whole_under_the_pointer() {
        let long = "word ".repeat(20);
        let drawing = drawn("x", vec![point(0, &[1.0], &long, None)]);
        let document = Document::parse(&drawing.text).unwrap();
        let shown = texts(&document, "text");
        assert!(shown.iter().any(|text| text.ends_with('…') && text.chars().count() <= 32));
        assert_eq!(texts(&document, "title")[1], format!("0: {long}"));
    }
}
