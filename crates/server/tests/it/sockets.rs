//! The server on sockets, with clients that block: slow senders, idle connections, clients that leave, and its end.

use std::{
    io::{Read, Write as _},
    net::TcpStream,
    path::PathBuf,
    time::Duration,
};

use embedkit_server::{App, Config, Listen, ServedModel, Times, bind};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::support::BM25;

/// A server that listens on a port of its own.
struct Served {
    address: Listen,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl Served {
    async fn start(config: Config) -> Self {
        let models = vec![ServedModel::named(BM25).unwrap()];
        let listen = match config.listen {
            Listen::Tcp(_) => "127.0.0.1:0".parse().unwrap(),
            unix @ Listen::Unix(_) => unix,
        };
        let running = bind(App::new(Config { models, listen, ..config }).unwrap()).await.unwrap();
        let address = running.address().clone();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(async move {
            running.run(async { stopped.await.unwrap() }).await.unwrap();
        });
        Self { address, stop: Some(stop), running }
    }

    fn connect(&self) -> TcpStream {
        let Listen::Tcp(address) = &self.address else { panic!("{}", self.address) };
        TcpStream::connect(address).unwrap()
    }

    async fn end(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.running.await.unwrap();
    }
}

const EMBED: &str = r#"{"inputs":["a dog"]}"#;

fn request(body: &str) -> String {
    let length = body.len();
    format!(
        "POST /embed_multi HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
}

/// Reads an answer with its length.
fn answer(stream: &mut impl Read) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap() == 0 {
            return String::from_utf8(text).unwrap();
        }
        text.push(byte[0]);
    }
    let head = String::from_utf8(text).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    head + &String::from_utf8(body).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_one_connection_are_answered_in_order() {
    let served = Served::start(Config::default()).await;
    let mut stream = served.connect();
    for _ in 0..3 {
        stream.write_all(request(EMBED).as_bytes()).unwrap();
        let answer = answer(&mut stream);
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("Qdrant/bm25"), "{answer}");
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_senders_are_given_up() {
    let times = Times {
        head: Duration::from_millis(50),
        body_idle: Duration::from_millis(50),
        ..Times::default()
    };
    let served = Served::start(Config { times, ..Config::default() }).await;
    // Half a head: the connection ends without an answer, or with one.
    let mut stream = served.connect();
    stream.write_all(b"POST /embed_multi HTTP/1.1\r\nhost:").unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{rest:?}");
    // Half a body.
    let mut stream = served.connect();
    let whole = request(EMBED);
    stream.write_all(&whole.as_bytes()[..whole.len() - 3]).unwrap();
    let answer = answer(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    // No request at all.
    let mut stream = served.connect();
    assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 0);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_comes_byte_by_byte_is_given_up() {
    let times = Times { head: Duration::from_millis(50), ..Times::default() };
    let served = Served::start(Config { times, ..Config::default() }).await;
    let mut stream = served.connect();
    stream.write_all(b"POST /embed_multi HTTP/1.1\r\nhost: ").unwrap();
    // Each byte is in time, and the head as a whole is not.
    while stream.write_all(b"x").is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_keep_nobody_out() {
    let served = Served::start(Config::default()).await;
    let mut idle = Vec::new();
    for _ in 0..500 {
        idle.push(served.connect());
    }
    let mut stream = served.connect();
    stream.write_all(request(EMBED).as_bytes()).unwrap();
    assert!(answer(&mut stream).starts_with("HTTP/1.1 200"));
    // They do not hold up its end either.
    served.end().await;
    drop(idle);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_waits_for_requests_in_progress() {
    let served = Served::start(Config::default()).await;
    let mut stream = served.connect();
    let whole = request(EMBED);
    // The head and a part of the body are there: the request is in progress.
    stream.write_all(&whole.as_bytes()[..whole.len() - 3]).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let Listen::Tcp(address) = served.address.clone() else { panic!("{}", served.address) };
    let end = tokio::spawn(served.end());
    // New clients are refused.
    while TcpStream::connect(address).is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!end.is_finished());
    stream.write_all(&whole.as_bytes()[whole.len() - 3..]).unwrap();
    let answer = answer(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    end.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_has_a_limit() {
    let times = Times { drain: Duration::from_millis(50), ..Times::default() };
    let served = Served::start(Config { times, ..Config::default() }).await;
    let mut stream = served.connect();
    let whole = request(EMBED);
    stream.write_all(&whole.as_bytes()[..whole.len() - 3]).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    served.end().await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_in_the_file_system_is_served_and_removed() {
    use std::os::unix::net::UnixStream;

    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("socket");
    // What a server leaves that was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let config = || Config { listen: Listen::Unix(path.clone()), ..Config::default() };
    let served = Served::start(config()).await;
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(request(EMBED).as_bytes()).unwrap();
    assert!(answer(&mut stream).starts_with("HTTP/1.1 200"));
    let models = vec![ServedModel::named(BM25).unwrap()];
    let second = bind(App::new(Config { models, ..config() }).unwrap()).await;
    assert!(second.err().unwrap().to_string().contains("cannot listen on unix:"));
    drop(stream);
    served.end().await;
    assert!(!path.exists());
    std::fs::write(&path, "a file").unwrap();
    let models = vec![ServedModel::named(BM25).unwrap()];
    assert!(bind(App::new(Config { models, ..config() }).unwrap()).await.is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"a file");
}
