//! `plot`: embeddings in, a picture out.

use std::fs;

use roxmltree::Document;

use crate::program::{Outcome, Program, arg, file, names};

const LINES: &str = "{\"index\":0,\"embedding\":[0.0,1.0,0.5],\"text\":\"a < b\",\"kind\":\"sum\"}\n\
                     {\"index\":1,\"embedding\":[1.0,0.0,0.5],\"text\":\"second\",\"kind\":\"word\"}\n\
                     {\"index\":2,\"embedding\":[1.0,1.0,0.25],\"label\":\"third\",\"text\":\"x\"}\n";

fn plot<'a>(args: impl IntoIterator<Item = &'a str>) -> Program {
    Program::new(["plot"]).args(args)
}

/// Texts of all elements with this name.
fn texts(svg: &str, tag: &str) -> Vec<String> {
    let document = Document::parse(svg).unwrap();
    let nodes = document.descendants().filter(|node| node.tag_name().name() == tag);
    nodes.filter_map(|node| node.text().map(str::to_owned)).collect()
}

fn drawn(outcome: Outcome) -> String {
    outcome.silent_success().text().to_owned()
}

#[test]
fn lines_are_drawn_with_their_labels() {
    let (_dir, input) = file("vectors.jsonl", LINES);
    let svg = drawn(plot([arg(&input), "-", "--color-by", "kind"]).run());
    let titles = texts(&svg, "title");
    assert_eq!(titles, ["vectors.jsonl", "0: a < b (sum)", "1: second (word)", "2: third"]);
    let shown = texts(&svg, "text");
    for text in ["a < b", "second", "third", "sum (1)", "word (1)", "none (1)"] {
        assert!(shown.iter().any(|shown| shown == text), "{text} in {shown:?}");
    }
    let piped = drawn(plot(["-", "-", "--title", "vectors.jsonl"]).stdin(LINES).run());
    assert_eq!(texts(&piped, "title")[3], "2: third");
}

#[test]
fn an_array_and_lines_of_the_same_embeddings_give_the_same_map() {
    let embedded = |args: &[&str]| {
        let outcome = Program::embed(["hello world", "the quick brown fox", "a"]).args(args).run();
        outcome.silent_success().stdout
    };
    let (_dir, lines) = file("vectors.jsonl", embedded(&[]));
    let (_dir, array) = file("vectors.npy", embedded(&["--format", "npy"]));
    let (_dir, labels) = file("labels.txt", "one\ntwo\n\n");
    let run = |input| plot([input, "-", "--labels", arg(&labels), "--title", "x"]).run();
    let svg = drawn(run(arg(&lines)));
    assert_eq!(svg, drawn(run(arg(&array))));
    assert_eq!(texts(&svg, "title"), ["x", "0: one", "1: two", "2"]);
}

#[test]
fn labels_and_categories_come_from_files() {
    let (_dir, input) = file("vectors.jsonl", LINES);
    let (_dir, labels) = file(
        "texts.jsonl",
        "{\"text\":\"eins\",\"topic\":7}\n{\"text\":\"zwei\",\"topic\":8}\n{\"image\":\"3.png\"}\n",
    );
    let svg =
        drawn(plot([arg(&input), "-", "--labels", arg(&labels), "--color-by", "topic"]).run());
    assert_eq!(texts(&svg, "title")[1..], ["0: eins (7)", "1: zwei (8)", "2: 3.png"]);
    let (_dir, categories) = file("topics.txt", "a\nb\na\n");
    let svg = drawn(plot([arg(&input), "-", "--color-by", arg(&categories)]).run());
    assert_eq!(texts(&svg, "title")[2], "2: third (a)", "by category");

    for (name, content, why) in [
        ("short.txt", "a\nb\n", "short.txt has 2 lines, and "),
        ("long.txt", "a\nb\nc\nd\n", "long.txt has more lines than the 3 embeddings of "),
    ] {
        let (_dir, path) = file(name, content);
        for option in ["--labels", "--color-by"] {
            plot([arg(&input), "-", option, arg(&path)]).run().failure(1, why, Some("same order"));
        }
    }
    plot([arg(&input), "-", "--color-by", "colour"]).run().failure(
        1,
        "no object has the key \"colour\"",
        Some("give a file"),
    );
    plot(["-", "-", "--labels", "-"]).run().failure(2, "cannot both come from", None);
}

#[test]
fn more_points_than_allowed_are_sampled_and_said_so() {
    let lines: String =
        (0..9).map(|at| format!("{{\"embedding\":[{at},{}]}}\n", at * at)).collect();
    let outcome = plot(["-", "-", "--max-points", "4"]).stdin(lines).run();
    assert_eq!(outcome.status, 0);
    let warning =
        "warning: 3 of 9 embeddings are drawn, every 4th; --max-points sets another limit\n";
    assert_eq!(outcome.stderr, warning);
    assert_eq!(texts(outcome.text(), "title")[1..], ["0", "4", "8"]);
}

#[test]
fn labels_without_room_are_counted() {
    let lines: String = (0..400)
        .map(|at| {
            let (x, y) = (at % 20, at / 20);
            format!("{{\"embedding\":[{x},{y}.5],\"label\":\"a rather long label {at}\"}}\n")
        })
        .collect();
    let outcome = plot(["-", "-"]).stdin(lines).run();
    assert_eq!(outcome.status, 0);
    let left_out = outcome.stderr.split(' ').next().unwrap().parse::<usize>().unwrap();
    assert!(outcome.stderr.contains(" of 400 labels are left out"), "{}", outcome.stderr);
    let shown = texts(outcome.text(), "text").iter().filter(|text| text.contains("label")).count();
    assert_eq!(shown + left_out, 400);
}

#[test]
fn what_is_no_dense_embedding_is_refused_with_its_line() {
    for (lines, why, hint) in [
        (
            "{\"embedding\":[[1.0],[2.0]]}\n",
            "line 1 of standard input: expected one vector, got many",
            Some("muvera"),
        ),
        (
            "{\"indices\":[1],\"values\":[1.0]}\n",
            "expected one vector, got weighted terms",
            Some("dense"),
        ),
        ("{\"score\":1.0}\n", "expected one vector, got a score", Some("dense")),
        ("{\"dense\":[1.0]}\n", "got several embeddings", Some("--outputs dense")),
        ("{\"index\":0}\n", "\"embedding\" is not given", None),
        ("{\"embedding\":[1.0,\"a\"]}\n", "expected an array of numbers", None),
        ("{\"embedding\":1}\n", "expected an array of numbers", None),
        (
            "{\"embedding\":[1.0]}\n[1.0]\n",
            "line 2 of standard input: expected a JSON object",
            None,
        ),
        ("{\"embedding\":[1.0]}\n\n", "line 2 of standard input: EOF", None),
        ("{\"embedding\":[NaN]}\n", "line 1 of standard input: expected value (column 15)", None),
        (
            "{\"embedding\":[1.0]}\n{\"embedding\":[1e99]}\n",
            "embedding 1 is not finite: component 0 is inf",
            None,
        ),
        (
            "{\"embedding\":[1.0]}\n{\"embedding\":[1,2]}\n",
            "embedding 1: expected 1 components, got 2",
            None,
        ),
        ("{\"embedding\":[]}\n", "embedding 0: expected 1 to 262144 components, got 0", None),
        ("", "has no embeddings to draw", None),
        (
            "{\"index\":0,\"error\":\"gone\"}\n",
            "an error in place of each of its 1 embeddings",
            None,
        ),
    ] {
        plot(["-", "-"]).stdin(lines).run().failure(1, why, hint);
    }
}

#[test]
fn an_array_of_other_numbers_is_refused() {
    let array = |shape: &str, numbers: &[f32]| {
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
        let mut bytes = b"\x93NUMPY\x01\0".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        bytes
    };
    for (name, bytes, why) in [
        (
            "nan.npy",
            array("(2, 1)", &[1.0, f32::NAN]),
            "embedding 1 is not finite: component 0 is NaN",
        ),
        (
            "huge.npy",
            array("(99999999999, 4096)", &[1.0]),
            "bytes for an array of the shape (99999999999, 4096)",
        ),
        ("list.npy", array("(2,)", &[1.0, 2.0]), "expected the shape (rows, components), got [2]"),
        ("none.npy", array("(0, 3)", &[]), "none.npy has no embeddings to draw"),
    ] {
        let (_dir, path) = file(name, bytes);
        let outcome = plot([arg(&path), "-"]).run();
        assert_eq!(outcome.status, 1);
        assert!(outcome.stderr.contains(why), "{}", outcome.stderr);
    }
}

#[test]
fn errors_among_the_lines_are_counted() {
    let lines = format!("{LINES}{{\"index\":3,\"error\":\"gone\"}}\n");
    let outcome = plot(["-", "-"]).stdin(lines).run();
    assert_eq!(outcome.status, 0);
    assert_eq!(outcome.stderr, "warning: 1 of 4 lines has an error in place of an embedding\n");
}

#[test]
fn equal_embeddings_are_drawn_with_a_warning() {
    let outcome = plot(["-", "-"]).stdin("{\"embedding\":[0.1,0.7]}\n".repeat(3)).run();
    assert_eq!(outcome.status, 0);
    assert!(outcome.stderr.starts_with("warning: all embeddings are equal"), "{}", outcome.stderr);
    assert!(texts(outcome.text(), "text").contains(&"second component, 0.0 %".to_owned()));
    drawn(plot(["-", "-"]).stdin("{\"embedding\":[0.1,0.7]}\n").run());
}

#[test]
fn the_picture_is_a_file_of_a_known_kind() {
    let (dir, input) = file("vectors.jsonl", LINES);
    let out = dir.path().join("map.svg");
    plot([arg(&input), arg(&out)]).run().silent_success();
    assert!(fs::read_to_string(&out).unwrap().starts_with("<svg "));
    assert_eq!(names(dir.path()), ["map.svg", "vectors.jsonl"]);
    for name in ["map.gif", "map"] {
        let what = "expected a file that ends in .svg or .png";
        plot([arg(&input), arg(&dir.path().join(name))]).run().failure(2, what, None);
    }
    plot([arg(&out), arg(&out)]).run().failure(2, "is both input and output", Some("another file"));
    assert!(fs::read_to_string(&out).unwrap().starts_with("<svg "));
}

#[test]
fn png_is_drawn_where_it_is_built_in_and_there_are_fonts() {
    let (dir, input) = file("vectors.jsonl", LINES);
    let out = dir.path().join("map.png");
    let outcome = plot([arg(&input), arg(&out)]).run();
    if cfg!(not(feature = "png")) {
        outcome.failure(2, "does not draw png", Some("`--features png`"));
    } else if outcome.status == 0 {
        let bytes = fs::read(&out).unwrap();
        assert_eq!(bytes[..8], *b"\x89PNG\r\n\x1a\n");
        // Twice the size of the SVG.
        assert_eq!(bytes[16..24], [0, 0, 7, 128, 0, 0, 5, 0]);
    } else {
        outcome.failure(1, "this system has no fonts", Some(".svg"));
    }
}
