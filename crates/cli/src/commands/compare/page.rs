//! The comparison as a page and as JSON.

use std::fmt::Write as _;

use embedkit::OutputKind;
use serde::Serialize;

use super::{
    agreement::{Agreement, Hit, mean, words},
    numbered::Numbered,
    side::Side,
};
use crate::report::one_line;

/// A comparison as scripts read it.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    a: Model,
    b: Model,
    /// Texts or images a second of B for each one of A.
    speed_ratio: f64,
    inputs: usize,
    queries: usize,
    top_k: usize,
    /// Mean share of the neighbours that both models have.
    overlap: Option<f64>,
    /// Mean of Spearman's rank correlation.
    correlation: Option<f64>,
    /// Queries for which neither model finds anything.
    without_neighbours: usize,
    most_different: Vec<Difference>,
}

/// One of the models.
#[derive(Debug, Serialize)]
struct Model {
    id: String,
    output: &'static str,
    dim: Option<usize>,
    model_bytes: Option<u64>,
    inputs_per_second: f64,
}

impl Model {
    fn of(side: &Side) -> Self {
        Self {
            id: side.selected.id().to_owned(),
            output: side.selected.output().name(),
            dim: side.model.dim(),
            model_bytes: side.selected.model_bytes(),
            inputs_per_second: side.timed as f64 / side.time.as_secs_f64().max(1e-9),
        }
    }
}

/// A query on whose neighbours the models differ.
#[derive(Debug, Serialize)]
struct Difference {
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    query: String,
    common: usize,
    overlap: f64,
    correlation: Option<f64>,
    a: Vec<Neighbour>,
    b: Vec<Neighbour>,
}

#[derive(Debug, Serialize)]
struct Neighbour {
    index: u64,
    score: f32,
    text: String,
    /// True if the other model has it, too.
    common: bool,
}

impl Comparison {
    /// The comparison with the `show` queries on which the models differ most.
    pub(super) fn new(
        sides: &[Side; 2],
        inputs: &[Numbered],
        mut agreements: Vec<Agreement>,
        top_k: usize,
        show: usize,
    ) -> Self {
        let [a, b] = sides.each_ref().map(Model::of);
        let overlap = mean(agreements.iter().map(|agreement| agreement.overlap));
        let correlation = mean(agreements.iter().map(|agreement| agreement.correlation));
        let queries = agreements.len();
        agreements.retain(|agreement| agreement.overlap.is_some());
        let without_neighbours = queries - agreements.len();
        // Stable: of equal ones the first query comes first.
        agreements.sort_by(|a, b| {
            let key = |agreement: &Agreement| {
                (agreement.overlap.unwrap_or(1.0), agreement.correlation.unwrap_or(1.0))
            };
            let ((a, a_order), (b, b_order)) = (key(a), key(b));
            a.total_cmp(&b).then(a_order.total_cmp(&b_order))
        });
        agreements.truncate(show);
        let difference = |agreement| Difference::of(agreement, inputs);
        Self {
            speed_ratio: b.inputs_per_second / a.inputs_per_second,
            a,
            b,
            inputs: inputs.len(),
            queries,
            top_k,
            overlap,
            correlation,
            without_neighbours,
            most_different: agreements.into_iter().filter_map(difference).collect(),
        }
    }
}

impl Difference {
    /// `None` where the models have all neighbours in common.
    fn of(agreement: Agreement, inputs: &[Numbered]) -> Option<Self> {
        let overlap = agreement.overlap.filter(|overlap| *overlap < 1.0)?;
        let [a, b] = &agreement.neighbours;
        let list = |own: &[Hit], other: &[Hit]| {
            let neighbour = |hit: &Hit| Neighbour {
                index: inputs[hit.at].index,
                score: hit.score,
                text: words(&inputs[hit.at].input).into_owned(),
                common: other.iter().any(|other| other.at == hit.at),
            };
            own.iter().map(neighbour).collect()
        };
        Some(Self {
            a: list(a, b),
            b: list(b, a),
            index: agreement.query.index,
            query: agreement.query.text,
            common: agreement.common,
            overlap,
            correlation: agreement.correlation,
        })
    }
}

/// The comparison for a terminal of so many columns.
pub(super) fn render(comparison: &Comparison, columns: usize) -> String {
    let Comparison { a, b, inputs, queries, top_k, .. } = comparison;
    let wide = a.id.len().max(b.id.len()).max(16);
    let mut page = String::new();
    let mut row = |name: &str, a: &str, b: &str, note: &str| {
        let line = format!("{name:8}  {a:wide$}  {b:wide$}  {note}");
        page.push_str(line.trim_end());
        page.push('\n');
    };
    row("", "A", "B", "");
    row("model", &a.id, &b.id, "");
    row("output", &output(a), &output(b), "");
    row("file", &size(a.model_bytes), &size(b.model_bytes), "");
    row(
        "speed",
        &format!("{:.1} inputs/s", a.inputs_per_second),
        &format!("{:.1} inputs/s", b.inputs_per_second),
        &format!("B is {:.2} times as fast as A", comparison.speed_ratio),
    );
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |x| format!("{x:.3}"));
    let _ = write!(
        page,
        "\n{queries} queries, {inputs} inputs\n\
         overlap@{top_k}        {}  mean share of the {top_k} nearest that both have\n\
         rank correlation  {}  Spearman's, mean over the queries\n",
        number(comparison.overlap),
        number(comparison.correlation),
    );
    if comparison.without_neighbours > 0 {
        let _ = writeln!(page, "{} queries have no neighbours", comparison.without_neighbours);
    }
    if comparison.most_different.is_empty() {
        page.push_str("\nboth models have the same neighbours\n");
    }
    for difference in &comparison.most_different {
        render_difference(&mut page, difference, columns);
    }
    page
}

/// The two lists beside each other; neighbours of one model alone are marked.
fn render_difference(page: &mut String, difference: &Difference, columns: usize) {
    let most = difference.a.len().max(difference.b.len());
    let index = difference.index.map(|index| format!("{index} ")).unwrap_or_default();
    let head = format!(
        "{} of {most} in common  {index}{}",
        difference.common,
        one_line(&difference.query)
    );
    let half = (columns.max(60) - 4) / 2;
    let _ = writeln!(page, "\n{}", console::truncate_str(&head, columns.max(60), "…"));
    for at in 0..most {
        let cell = |list: &[Neighbour]| {
            let text = list.get(at).map_or_else(String::new, |neighbour| {
                let mark = if neighbour.common { ' ' } else { '*' };
                let Neighbour { index, score, text, .. } = neighbour;
                format!("{mark} {score:>7.4} {index:>5}  {}", one_line(text))
            });
            console::pad_str(&text, half, console::Alignment::Left, Some("…")).into_owned()
        };
        let line = format!("  {}  {}", cell(&difference.a), cell(&difference.b));
        page.push_str(line.trim_end());
        page.push('\n');
    }
}

fn output(model: &Model) -> String {
    let dim = model.dim.map(|dim| format!(" of {dim}")).unwrap_or_default();
    match model.output {
        name if name == OutputKind::Dense.name() => format!("one vector{dim}"),
        name if name == OutputKind::MultiVector.name() => format!("vectors{dim}"),
        name if name == OutputKind::Hybrid.name() => "several embeddings".to_owned(),
        _ => "weighted terms".to_owned(),
    }
}

fn size(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "-".to_owned(), |bytes| format!("{:.1} MB", bytes as f64 / 1e6))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(id: &str, speed: f64) -> Model {
        Model {
            id: id.to_owned(),
            output: "dense",
            dim: Some(384),
            model_bytes: Some(90_405_214),
            inputs_per_second: speed,
        }
    }

    fn neighbour(index: u64, text: &str, common: bool) -> Neighbour {
        Neighbour { index, score: 0.5, text: text.to_owned(), common }
    }

    #[test]
    fn the_page_fits_and_marks_what_one_model_alone_has() {
        let comparison = Comparison {
            a: model("a/model", 50.0),
            b: model("another/model", 100.0),
            speed_ratio: 2.0,
            inputs: 10,
            queries: 10,
            top_k: 2,
            overlap: Some(0.5),
            correlation: None,
            without_neighbours: 1,
            most_different: vec![Difference {
                index: Some(7),
                query: "two\nlines".to_owned(),
                common: 1,
                overlap: 0.5,
                correlation: None,
                a: vec![neighbour(1, &"long ".repeat(50), true), neighbour(2, "alone", false)],
                b: vec![neighbour(1, "日本語", true)],
            }],
        };
        let page = render(&comparison, 80);
        let lines: Vec<_> = page.lines().collect();
        assert_eq!(lines[1], "model     a/model           another/model");
        assert_eq!(lines[2], "output    one vector of 384  one vector of 384");
        assert_eq!(lines[3], "file      90.4 MB           90.4 MB");
        assert!(lines[4].ends_with("100.0 inputs/s    B is 2.00 times as fast as A"));
        assert!(lines[7].starts_with("overlap@2        0.500"), "{page}");
        assert!(lines[8].starts_with("rank correlation  -"), "{page}");
        assert!(page.contains("\n1 of 2 in common  7 two\\nlines\n"), "{page}");
        assert!(page.contains("\n    *  0.5000     2  alone\n") || page.contains("* "), "{page}");
        assert!(lines.iter().all(|line| console::measure_text_width(line) <= 80), "{page}");
    }
}
