//! Clients of a server: HTTP/1.1 on connections that stay open, as cheap as possible, since they use the
//! cores of the server.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};

use super::server::Server;
use crate::contestant::Queried;

/// Limit on an answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// A request as it is sent.
pub(super) struct Request(Vec<u8>);

impl Request {
    /// A body of JSON for a route.
    pub(super) fn post(route: &str, body: &str) -> Self {
        let length = body.len();
        let head = format!(
            "POST {route} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        Self(head.into_bytes())
    }
}

/// A connection that stays open.
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
    line: String,
    body: Vec<u8>,
}

impl Connection {
    pub(super) fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)
            .with_context(|| format!("could not connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream), line: String::new(), body: Vec::new() })
    }

    /// Sends a request and returns the body of the answer, whose status has to be 200.
    pub(super) fn send(&mut self, request: &Request) -> Result<&[u8]> {
        self.stream.get_mut().write_all(&request.0)?;
        self.read_line()?;
        let status = self.line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut length = None;
        loop {
            self.read_line()?;
            match self.line.split_once(':') {
                _ if self.line.is_empty() => break,
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = Some(value.trim().parse().context("a length was expected")?);
                }
                _ => {}
            }
        }
        self.body.resize(length.context("an answer has no Content-Length")?, 0);
        self.stream.read_exact(&mut self.body)?;
        if status != "200" {
            bail!("status {status}: {}", String::from_utf8_lossy(&self.body));
        }
        Ok(&self.body)
    }

    fn read_line(&mut self) -> Result<()> {
        self.line.clear();
        if self.stream.read_line(&mut self.line)? == 0 {
            bail!("the server closed the connection");
        }
        self.line.truncate(self.line.trim_end().len());
        Ok(())
    }
}

/// All requests from a number of clients, each as soon as the client has its last answer.
pub(super) fn saturate(server: &Server, requests: &[Request], clients: usize) -> Result<Queried> {
    run(server, requests, clients, |_, _| Instant::now())
}

/// All requests at a fixed rate a second. The time of each counts from when it was due, so that a server
/// that falls behind is not spared (coordinated omission).
pub(super) fn at_rate(
    server: &Server,
    requests: &[Request],
    clients: usize,
    rate: f64,
) -> Result<Queried> {
    run(server, requests, clients, |start, at| {
        let due = start + Duration::from_secs_f64(at as f64 / rate);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        due
    })
}

/// Requests in order, each by the next client that is free. `due` waits for the time of a request and
/// returns it.
fn run(
    server: &Server,
    requests: &[Request],
    clients: usize,
    due: impl Fn(Instant, usize) -> Instant + Sync,
) -> Result<Queried> {
    let connections: Vec<_> =
        (0..clients).map(|_| Connection::open(server.address())).collect::<Result<_>>()?;
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    let client = |mut connection: Connection| -> Result<Vec<f64>> {
        let mut seconds = Vec::new();
        while let at = next.fetch_add(1, Ordering::Relaxed)
            && let Some(request) = requests.get(at)
        {
            let due = due(start, at);
            connection.send(request)?;
            seconds.push(due.elapsed().as_secs_f64());
        }
        Ok(seconds)
    };
    let client = &client;
    let seconds = thread::scope(|scope| {
        let threads: Vec<_> = connections
            .into_iter()
            .map(|connection| scope.spawn(move || client(connection)))
            .collect();
        let mut all = Vec::with_capacity(requests.len());
        for thread in threads {
            all.extend(thread.join().map_err(|_| anyhow!("a client panicked"))??);
        }
        Ok::<_, anyhow::Error>(all)
    })?;
    Ok(Queried { wall: start.elapsed().as_secs_f64(), seconds })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Answers one connection with a text for each request of it.
    fn answering(answers: &'static [&'static str]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            for answer in answers {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head);
                stream.write_all(answer.as_bytes()).expect("a reader");
            }
        });
        address
    }

    #[test]
    fn answers_follow_each_other_on_a_connection() {
        let address = answering(&[
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx: y\r\n\r\n[1]",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n[1,2]",
            "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 4\r\n\r\nfull",
        ]);
        let request = Request::post("/embed", "{}");
        let mut connection = Connection::open(address).expect("a connection");
        assert_eq!(connection.send(&request).expect("an answer"), b"[1]");
        assert_eq!(connection.send(&request).expect("an answer"), b"[1,2]");
        let error = connection.send(&request).expect_err("an error").to_string();
        assert_eq!(error, "status 429: full");
        assert!(connection.send(&request).is_err(), "the connection is closed");
    }

    #[test]
    fn an_answer_without_a_length_is_an_error() {
        let address = answering(&["HTTP/1.1 200 OK\r\n\r\n"]);
        let mut connection = Connection::open(address).expect("a connection");
        let error = connection.send(&Request::post("/", "")).expect_err("an error").to_string();
        assert!(error.contains("Content-Length"), "{error}");
    }
}
