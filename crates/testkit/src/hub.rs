//! A hub on loopback: it speaks the interface that downloads use, counts what is asked of it, and
//! fails on command.

#![expect(clippy::unwrap_used, reason = "the server of a test may panic")]

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::Path,
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
pub struct Request {
    /// Path and query.
    pub path: String,
    /// Headers.
    pub headers: HashMap<String, String>,
    /// Number of earlier requests for the same path.
    pub earlier: usize,
}

/// The server's answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers; an empty value leaves one out.
    pub headers: Vec<(String, String)>,
    /// Content.
    pub body: Vec<u8>,
    /// Fault of the answer.
    pub fault: Fault,
}

/// A fault of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No fault.
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
    /// An empty answer.
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), fault: Fault::None }
    }

    /// Content with status 200.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::status(200) }
    }

    /// A redirect.
    pub fn redirect(target: impl Into<String>) -> Self {
        Self::status(302).with("Location", target)
    }

    /// The same with a header.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same with a fault.
    pub fn failing(mut self, fault: Fault) -> Self {
        self.fault = fault;
        self
    }
}

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

/// Runs until it is dropped.
pub struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    connections: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl Server {
    /// Starts a server that answers by `handler`.
    pub fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
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

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The same server by another name, which makes it another host.
    pub fn other_url(&self) -> String {
        format!("http://localhost:{}", self.address.port())
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Number of connections, with or without a request.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Number of requests with `part` in their path.
    pub fn count(&self, part: &str) -> usize {
        self.requests().iter().filter(|request| request.path.contains(part)).count()
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
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
pub struct Repo {
    /// `organisation/name`.
    pub name: String,
    /// The commit of `main`.
    pub commit: String,
    /// Content by path.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Repo {
    /// A transformer with external data; files above 1,000 bytes are kept as the hub keeps large ones.
    pub fn sample() -> Self {
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

    /// A repository with the files of a folder.
    pub fn of_dir(name: &str, dir: &Path) -> Self {
        let mut files = BTreeMap::new();
        add_files(dir, "", &mut files);
        let commit = "fedcba9876543210fedcba9876543210fedcba98".into();
        Self { name: name.into(), commit, files }
    }

    /// True for a file that is kept under its SHA-256.
    pub fn is_large(&self, path: &str) -> bool {
        self.files[path].len() > 1000
    }

    /// The name of the file's blob, and its entity tag.
    pub fn digest(&self, path: &str) -> String {
        let body = &self.files[path];
        if self.is_large(path) { sha256(body) } else { git_blob(body) }
    }

    /// The answer to the question for all files.
    pub fn listing(&self) -> String {
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
    pub fn reply(&self, request: &Request) -> Reply {
        let path = request.path.split('?').next().unwrap();
        let listed = |revision: &str| format!("/api/models/{}/revision/{revision}", self.name);
        if path == listed("main") || path == listed(&self.commit) {
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
    pub fn content(&self, file: &str, request: &Request) -> Reply {
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

fn add_files(dir: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            add_files(&entry.path(), &format!("{name}/"), files);
        } else {
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
}

/// SHA-256 in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&sha2::Sha256::digest(bytes))
}

/// Git's hash of a file's content.
pub fn git_blob(bytes: &[u8]) -> String {
    let mut hash = sha1::Sha1::new_with_prefix(format!("blob {}\0", bytes.len()));
    hash.update(bytes);
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
