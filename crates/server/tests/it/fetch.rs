//! Images at an address, from a server of our own on loopback.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use axum::http::StatusCode;
use embedkit_server::{Config, Limits, Times};
use embedkit_testkit::{image_case, picture};
use serde_json::{Value, json};

use crate::support::{IMAGE, Server, numbers, served};

/// A server of images, which does as its paths say.
struct Images {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Images {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        // It ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::Relaxed);
                let stream = stream.unwrap();
                // A client that has enough leaves.
                thread::spawn(move || drop(answer(stream, address)));
            }
        });
        Self { address, requests }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn count(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

fn answer(mut stream: TcpStream, address: SocketAddr) -> std::io::Result<()> {
    let mut line = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    reader.read_line(&mut line)?;
    let mut head = String::new();
    while reader.read_line(&mut head)? > 2 {}
    let image = std::fs::read(picture("square.png"))?;
    let path = line.split(' ').nth(1).unwrap_or_default();
    let redirect =
        |to: &str| format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
    match path {
        "/image.png" => {
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", image.len())?;
            stream.write_all(&image)
        }
        "/moved" => stream.write_all(redirect("/image.png").as_bytes()),
        "/loop" => stream.write_all(redirect("/loop").as_bytes()),
        "/elsewhere" => stream.write_all(redirect("http://127.0.0.2:80/image.png").as_bytes()),
        "/metadata" => stream.write_all(redirect("http://169.254.169.254/").as_bytes()),
        "/announced" => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n"),
        "/endless" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
            loop {
                stream.write_all(b"400\r\n")?;
                stream.write_all(&[0; 1024])?;
                stream.write_all(b"\r\n")?;
            }
        }
        "/slow" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nx")?;
            // Until the client leaves.
            while reader.read_line(&mut head)? > 0 {}
            Ok(())
        }
        "/silent" => {
            while reader.read_line(&mut head)? > 0 {}
            Ok(())
        }
        "/short" => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nx"),
        "/garbage" => stream.write_all(b"SSH-2.0-OpenSSH\r\n\r\n"),
        "/to-me" => stream.write_all(redirect(&format!("http://{address}/image.png")).as_bytes()),
        _ => stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"),
    }
}

fn server(hosts: &[String], change: impl FnOnce(&mut Config)) -> Option<Server> {
    let case = image_case("clip");
    let image_hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
    let models = vec![served(IMAGE, &case.spec, &case.dir)?];
    let mut config = Config { models, image_hosts, ..Config::default() };
    change(&mut config);
    Some(Server::new(config))
}

/// The vector of the picture that [`Images`] has.
fn expected() -> Vec<f32> {
    let golden = image_case("clip").golden;
    let index = golden.pictures.iter().position(|name| name == "square.png").unwrap();
    golden.embed[index].clone()
}

async fn embed(server: &Server, url: &str) -> (StatusCode, Value) {
    let body = json!({"input": [url], "modality": "image"});
    let reply = server.post("/v1/embeddings", &body).await;
    (reply.status, reply.body)
}

#[track_caller]
fn refused(found: &(StatusCode, Value), reason: &str) {
    let message = found.1["error"]["message"].as_str().unwrap_or_default();
    assert!(found.0.is_client_error() && message.contains(reason), "{reason}: {found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_of_an_allowed_host_is_fetched() {
    let images = Images::start();
    let Some(server) = server(&[images.address.to_string()], |_| {}) else { return };
    for path in ["/image.png", "/moved", "/to-me"] {
        let (status, body) = embed(&server, &images.url(path)).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        let vector = numbers(&body["data"][0]["embedding"]);
        embedkit_testkit::assert_close(&vector, &expected(), 1e-4);
    }
    // In the words of other routes.
    let url = images.url("/image.png");
    for (path, body) in [
        ("/embed", json!({"inputs": [{"image": url}]})),
        ("/embed_multi", json!({"inputs": [{"image": url}]})),
        ("/v2/embed", json!({"images": [url], "input_type": "image"})),
        ("/infer", json!({"inputs": [{"data": url, "data_type": "image", "model": IMAGE}]})),
    ] {
        server.ok(path, &body).await;
    }
    let text = server.get("/metrics").await.body;
    assert!(text.as_str().unwrap().contains("embedkit_bodies_bytes 0"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_are_not_allowed_are_never_asked() {
    let images = Images::start();
    let port = images.address.port();
    let url = images.url("/image.png");
    let Some(none) = server(&[], |_| {}) else { return };
    refused(&embed(&none, &url).await, "images at an address are not fetched");
    for host in ["example.com".to_owned(), "127.0.0.1".to_owned(), format!("127.0.0.2:{port}")] {
        let Some(other) = server(&[host], |_| {}) else { return };
        refused(&embed(&other, &url).await, "are not fetched");
    }
    let Some(server) = server(&[images.address.to_string()], |_| {}) else { return };
    for url in [
        format!("http://127.0.0.1@example.com:{port}/"),
        format!("http://me@127.0.0.1:{port}/image.png"),
        format!("http://localhost:{port}/image.png"),
        format!("https://example.com:{port}/image.png"),
        "http://".to_owned(),
        "http://a b/".to_owned(),
    ] {
        let (status, body) = embed(&server, &url).await;
        assert!(status.is_client_error(), "{url}: {body}");
    }
    assert_eq!(images.count(), 0);
    // Nor where a host that is allowed leads there.
    refused(&embed(&server, &images.url("/elsewhere")).await, "127.0.0.2:80 are not fetched");
    refused(&embed(&server, &images.url("/metadata")).await, "169.254.169.254:80 are not fetched");
    assert_eq!(images.count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_of_this_machine_has_to_be_named() {
    let images = Images::start();
    let port = images.address.port();
    let Some(server) = server(&[format!("localhost:{port}")], |_| {}) else { return };
    let (status, body) = embed(&server, &format!("http://localhost:{port}/image.png")).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    refused(&embed(&server, &images.url("/image.png")).await, "are not fetched");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_has_limits() {
    let images = Images::start();
    let change = |config: &mut Config| {
        config.limits = Limits { image_bytes: 100_000, ..Limits::default() };
    };
    let Some(server) = server(&[images.address.to_string()], change) else { return };
    for (path, reason) in [
        ("/announced", "is larger than 100000 bytes"),
        ("/endless", "is larger than 100000 bytes"),
        ("/loop", "leads to more than 3 others"),
        ("/short", "failed"),
        ("/garbage", "failed"),
        ("/nothing", "status 404"),
    ] {
        refused(&embed(&server, &images.url(path)).await, reason);
    }
    // Not even a head: the deadline of the request holds.
    let body = json!({"input": [images.url("/silent")], "modality": "image"});
    let headers = [("x-embedkit-timeout", "0.1")];
    let reply = server.post_with("/v1/embeddings", &body, &headers).await;
    let text = reply.body.to_string();
    assert!(text.contains("did not arrive in time") || text.contains("its deadline"), "{text}");
    // Too many of them.
    let body = json!({"input": vec![images.url("/image.png"); 257], "modality": "image"});
    let reply = server.post("/v1/embeddings", &body).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    let text = server.get("/metrics").await.body;
    assert!(text.as_str().unwrap().contains("embedkit_bodies_bytes 0"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_stops_on_its_way_is_given_up() {
    let images = Images::start();
    let change = |config: &mut Config| {
        config.times = Times { body_idle: Duration::from_millis(50), ..Times::default() };
    };
    let Some(server) = server(&[images.address.to_string()], change) else { return };
    refused(&embed(&server, &images.url("/slow")).await, "did not arrive in time");
}
