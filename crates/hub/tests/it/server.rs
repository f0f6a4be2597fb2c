//! A hub on loopback: it speaks the interface that downloads use, counts what is asked of it, and
//! fails on command.

use std::{
    collections::{BTreeMap, HashMap},
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use sha2::Digest;

/// One request as it came; header names in lower case.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    /// Number of earlier requests for the same path.
    pub(crate) earlier: usize,
}

/// The server's answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) fault: Fault,
}

/// A fault of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Close the connection before any answer.
    Hang,
    /// Accept, and say nothing.
    Silence,
    /// Close after so many bytes of the body.
    CutAfter(usize),
    /// Reset the connection after so many bytes of the body.
    ResetAfter(usize),
    /// Say nothing more after so many bytes of the body.
    StallAfter(usize),
    /// One byte at a time, with pauses.
    Drip,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), fault: Fault::None }
    }

    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::status(200) }
    }

    pub(crate) fn redirect(target: impl Into<String>) -> Self {
        Self::status(302).with("Location", target)
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn failing(mut self, fault: Fault) -> Self {
        self.fault = fault;
        self
    }
}

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

/// Runs until it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    connections: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl Server {
    pub(crate) fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let handler: Arc<Handler> = Arc::new(handler);
        let (all, stop) = (Arc::clone(&requests), Arc::clone(&over));
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                counter.fetch_add(1, Ordering::Relaxed);
                let (handler, all, stop) =
                    (Arc::clone(&handler), Arc::clone(&all), Arc::clone(&stop));
                // A client that goes away in the middle is part of the tests.
                thread::spawn(move || stream.map(|stream| serve(stream, &*handler, &all, &stop)));
            }
        });
        Self { address, requests, connections, over }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The same server by another name, which makes it another host.
    pub(crate) fn other_url(&self) -> String {
        format!("http://localhost:{}", self.address.port())
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Number of connections, with or without a request.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self, part: &str) -> usize {
        self.requests().iter().filter(|request| request.path.contains(part)).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(
    mut stream: TcpStream,
    handler: &Handler,
    all: &Mutex<Vec<Request>>,
    stop: &AtomicBool,
) -> Option<()> {
    let (request, length) = peek(&stream, all)?;
    let reply = handler(&request);
    if !matches!(reply.fault, Fault::ResetAfter(_)) {
        stream.read_exact(&mut vec![0; length]).ok()?;
    }
    let silence = || {
        while !stop.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(20));
        }
    };
    match reply.fault {
        Fault::Hang => return stream.shutdown(Shutdown::Both).ok(),
        Fault::Silence => {
            silence();
            return None;
        }
        _ => {}
    }
    let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", reply.status);
    if !reply.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
        head += &format!("Content-Length: {}\r\n", reply.body.len());
    }
    // An empty value leaves the header out.
    for (name, value) in reply.headers.iter().filter(|(_, value)| !value.is_empty()) {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    match reply.fault {
        Fault::CutAfter(n) => {
            stream.write_all(&reply.body[..n.min(reply.body.len())]).ok()?;
            stream.shutdown(Shutdown::Both).ok()?;
        }
        Fault::ResetAfter(n) => {
            stream.write_all(&reply.body[..n.min(reply.body.len())]).ok()?;
            stream.flush().ok()?;
            // So that what was sent is not lost with the connection; then the request, which was never
            // taken in, makes the system end it with a reset.
            thread::sleep(Duration::from_millis(100));
        }
        Fault::StallAfter(n) => {
            stream.write_all(&reply.body[..n.min(reply.body.len())]).ok()?;
            stream.flush().ok()?;
            silence();
        }
        Fault::Drip => {
            for byte in &reply.body {
                stream.write_all(&[*byte]).ok()?;
                stream.flush().ok()?;
                thread::sleep(Duration::from_millis(20));
            }
        }
        _ => stream.write_all(&reply.body).ok()?,
    }
    Some(())
}

/// Looks at a request without taking it in; the second value is its length in bytes.
fn peek(stream: &TcpStream, all: &Mutex<Vec<Request>>) -> Option<(Request, usize)> {
    let mut buffer = vec![0; 64 * 1024];
    let (head, length) = loop {
        let n = stream.peek(&mut buffer).ok().filter(|n| *n > 0)?;
        let text = std::str::from_utf8(&buffer[..n]).ok()?;
        if let Some(end) = text.find("\r\n\r\n") {
            break (text[..end].to_owned(), end + 4);
        }
        thread::sleep(Duration::from_millis(1));
    };
    let mut lines = head.split("\r\n");
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
    });
    let headers = headers.collect();
    let mut all = all.lock().unwrap();
    let earlier = all.iter().filter(|request| request.path == path).count();
    let request = Request { path, headers, earlier };
    all.push(request.clone());
    Some((request, length))
}

/// A repository that a server offers.
#[derive(Debug, Clone)]
pub(crate) struct Repo {
    pub(crate) name: String,
    pub(crate) commit: String,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

impl Repo {
    /// A transformer with external data; files above 1,000 bytes are kept as the hub keeps large ones.
    pub(crate) fn sample() -> Self {
        let bytes = |n: usize, seed: usize| (0..n).map(|i| (i * seed + i / 251) as u8).collect();
        let files = [
            ("onnx/model.onnx", bytes(300_000, 7)),
            ("onnx/model.onnx_data", bytes(50_000, 11)),
            ("tokenizer.json", b"{\"tokenizer\":1}".to_vec()),
            ("tokenizer_config.json", b"{}".to_vec()),
            ("config.json", b"{\"c\":1}".to_vec()),
            ("README.md", b"not needed".to_vec()),
        ];
        Self {
            name: "Org/Model".into(),
            commit: "0123456789abcdef0123456789abcdef01234567".into(),
            files: files.into_iter().map(|(name, body)| (name.to_owned(), body)).collect(),
        }
    }

    pub(crate) fn is_large(&self, path: &str) -> bool {
        self.files[path].len() > 1000
    }

    /// The name of the file's blob, and its entity tag.
    pub(crate) fn digest(&self, path: &str) -> String {
        let body = &self.files[path];
        if self.is_large(path) { sha256(body) } else { git_blob(body) }
    }

    pub(crate) fn listing(&self) -> String {
        let files = self.files.iter().map(|(path, body)| {
            let size = body.len();
            let large = if self.is_large(path) {
                format!(r#","lfs":{{"sha256":"{}","size":{size},"pointerSize":130}}"#, sha256(body))
            } else {
                String::new()
            };
            let id = git_blob(body);
            format!(r#"{{"rfilename":"{path}","size":{size},"blobId":"{id}"{large}}}"#)
        });
        let files: Vec<_> = files.collect();
        format!(r#"{{"id":"x","sha":"{}","siblings":[{}]}}"#, self.commit, files.join(","))
    }

    /// The answer of a hub without faults: large files by way of another address.
    pub(crate) fn reply(&self, request: &Request) -> Reply {
        let path = request.path.split('?').next().unwrap();
        if path == format!("/api/models/{}/revision/main", self.name) {
            return Reply::ok(self.listing());
        }
        let resolve = format!("/{}/resolve/{}/", self.name, self.commit);
        if let Some(file) = path.strip_prefix(&resolve).filter(|f| self.files.contains_key(*f)) {
            let reply = if self.is_large(file) {
                Reply::redirect(format!("/cdn/{file}?signature=secret"))
                    .with("X-Linked-Etag", format!("\"{}\"", self.digest(file)))
                    .with("X-Linked-Size", self.files[file].len().to_string())
            } else {
                self.content(file, request)
            };
            return reply.with("X-Repo-Commit", &self.commit);
        }
        match path.strip_prefix("/cdn/").filter(|file| self.files.contains_key(*file)) {
            Some(file) => self.content(file, request),
            None => Reply::status(404),
        }
    }

    /// The content of a file, or the part of it that is asked for.
    pub(crate) fn content(&self, file: &str, request: &Request) -> Reply {
        let (body, tag) = (&self.files[file], format!("\"{}\"", self.digest(file)));
        let start = request.headers.get("range").and_then(|range| {
            let start = range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok()?;
            (request.headers.get("if-range") == Some(&tag)).then_some(start)
        });
        match start {
            Some(start) => Reply { status: 206, ..Reply::ok(&body[start..]) }
                .with("Content-Range", format!("bytes {start}-{}/{}", body.len() - 1, body.len())),
            None => Reply::ok(body.clone()),
        }
        .with("ETag", tag)
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&sha2::Sha256::digest(bytes))
}

pub(crate) fn git_blob(bytes: &[u8]) -> String {
    let mut hash = sha1::Sha1::new_with_prefix(format!("blob {}\0", bytes.len()));
    hash.update(bytes);
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
