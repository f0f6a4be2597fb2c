//! `embedkit serve`: its start, its log, and its end.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command},
};

use serde_json::Value;

use crate::program::Program;

/// A server of BM25, which needs no library, on a port of its own.
struct Served {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    address: String,
    _program: Program,
}

impl Served {
    fn start(args: &[&str]) -> Self {
        let base = ["serve", "--model", "Qdrant/bm25", "--listen", "127.0.0.1:0"];
        let program = Program::new(base).args(args);
        let mut child = program.start();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the server ended");
            if let Some((_, rest)) = line.split_once("serving at http://") {
                break rest.split(['"', '\n']).next().unwrap().to_owned();
            }
        };
        Self { child, log, address, _program: program }
    }

    fn embed(&self) -> String {
        self.ask("POST /embed_multi", r#"{"inputs":["a secret dog"]}"#)
    }

    /// The whole response to a request.
    fn ask(&self, request: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Asks the server to end; its status and the rest of its log.
    fn end(mut self, signal: &str) -> (Option<i32>, String) {
        let status =
            Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
        let mut log = String::new();
        self.log.read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().code(), log)
    }
}

#[test]
fn a_signal_ends_the_server_with_success() {
    for signal in ["TERM", "INT"] {
        let served = Served::start(&[]);
        let answer = served.embed();
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("\"sparse\""), "{answer}");
        let (status, log) = served.end(signal);
        assert_eq!(status, Some(0), "{log}");
        assert!(log.contains("path=\"/embed_multi\" status=200"), "{log}");
        assert!(!log.contains("secret"), "{log}");
    }
}

#[test]
fn a_log_of_json_has_an_object_on_each_line() {
    let served = Served::start(&["--log", "json"]);
    served.embed();
    let (_, log) = served.end("TERM");
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let access: Vec<_> = lines.filter(|line| line["target"] == "embedkit_server::access").collect();
    assert_eq!(access.len(), 1, "{log}");
    assert_eq!((&access[0]["status"], &access[0]["inputs"]), (&200.into(), &1.into()));
    assert_eq!(access[0]["model"], "Qdrant/bm25");
}

#[test]
fn command_lines_that_make_no_sense_are_refused() {
    let bad = |args: &[&str], message: &str| {
        let outcome = Program::new(["serve"]).args(args).run();
        assert_eq!(outcome.status, 2, "{}", outcome.stderr);
        assert!(outcome.stderr.contains(message), "{}", outcome.stderr);
    };
    bad(&["--listen", "nowhere"], "expected ADDRESS:PORT");
    bad(&["--alias", "a=b"], "--alias a=b is of a model that --model does not name");
    let two = ["--model", "Qdrant/bm25", "--model", "Qdrant/bm42-all-minilm-l6-v2-attentions"];
    bad(&[&two[..], &["--option", "k=1"]].concat(), "--option is for one model, not 2");
    bad(&["--keep-alive", "soon"], "expected a time, such as 90s");
    bad(&["--model", "Qdrant/bm25", "--outputs", "dense,sparse"], "no model gives several kinds");
    bad(&["--model", "BAAI/bge-m3", "--outputs", "score"], "one or more of dense, sparse, multi");
    bad(&["--allow-image-host", "http://example.com/"], "expected a host, such as");
}

#[test]
fn outputs_are_chosen_for_the_models_that_give_several() {
    let more = ["--model", "BAAI/bge-m3", "--outputs", "sparse,multi", "--lazy"];
    let served = Served::start(&more);
    let answer = served.ask("GET /models", "");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let models: Value = serde_json::from_str(body).unwrap();
    let outputs = [0, 1].map(|at| &models[at]["outputs"][0]);
    assert_eq!(outputs, ["sparse", "hybrid"], "{models}");
    served.end("TERM");
}

#[test]
fn an_unknown_model_ends_the_server_with_a_hint() {
    let outcome = Program::new(["serve", "--offline", "--model", "bge-small-en-v1.5"]).run();
    assert_eq!(outcome.status, 1, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("did you mean BAAI/bge-small-en-v1.5"), "{}", outcome.stderr);
}
