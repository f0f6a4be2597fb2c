//! A stand-in for Qdrant that keeps points by their ids.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::{Value, json};

/// Points by their ids, and how many requests there were.
#[derive(Default)]
pub(crate) struct Points {
    pub(crate) by_id: BTreeMap<String, Value>,
    pub(crate) requests: usize,
    /// Requests that are turned away before any is taken.
    pub(crate) refusals: usize,
}

/// Answers upserts into any collection until the test ends; returns its URL.
pub(crate) fn serve(points: &Arc<Mutex<Points>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let points = Arc::clone(points);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let points = Arc::clone(&points);
            thread::spawn(move || answer(stream.unwrap(), &points));
        }
    });
    url
}

fn answer(stream: TcpStream, points: &Mutex<Points>) {
    let mut stream = BufReader::new(stream);
    let (mut request, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        request.push_str(&line);
    }
    assert!(request.starts_with("PUT /collections/docs/points?wait=true "), "{request}");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    let mut points = points.lock().unwrap();
    points.requests += 1;
    let status = if points.refusals > 0 {
        points.refusals -= 1;
        "503 Service Unavailable"
    } else {
        let body: Value = serde_json::from_slice(&body).unwrap();
        for point in body["points"].as_array().unwrap() {
            points.by_id.insert(point["id"].to_string(), point.clone());
        }
        "200 OK"
    };
    let answer = json!({ "status": "ok" }).to_string();
    let length = answer.len();
    let head =
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    stream.get_mut().write_all(format!("{head}{answer}").as_bytes()).unwrap();
}
