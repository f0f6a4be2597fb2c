//! Servers and lines that misbehave. What passes is overcome; what does not is an error at once, with
//! its reason; and the cache holds nothing that is not whole.

use std::{
    io::Write as _,
    net::TcpListener,
    time::{Duration, Instant},
};

use embedkit_hub::{Error, Hub, Timeouts, Token};
use flate2::{Compression, write::GzEncoder};

use embedkit_testkit::hub::{Fault, Reply, Repo, Request, Server};

use crate::{check, hub, nothing_unfinished, spec, tree};

/// The requests for the content of the model file.
const MODEL: &str = "/cdn/onnx/model.onnx?";

/// A server that does what `fault` says with requests for the model file, and else nothing wrong.
fn faulty(fault: impl Fn(&Repo, &Request) -> Option<Reply> + Send + Sync + 'static) -> Server {
    let repo = Repo::sample();
    Server::start(move |request| {
        let special = if request.path.starts_with(MODEL) { fault(&repo, request) } else { None };
        special.unwrap_or_else(|| repo.reply(request))
    })
}

/// Asserts that the model arrives whole; returns the number of requests for the model file.
fn overcomes(server: &Server) -> usize {
    overcomes_with(server, |_| {})
}

fn overcomes_with(server: &Server, change: impl Fn(&mut Hub)) -> usize {
    let cache = tempfile::tempdir().unwrap();
    let mut hub = hub(cache.path(), server);
    change(&mut hub);
    let files = hub.files(&spec()).unwrap();
    check(&Repo::sample(), cache.path(), &files);
    server.count(MODEL)
}

/// Asserts that there is an error, within the time, and no model.
fn fails(server: &Server, within: f32) -> Error {
    fails_with(server, within, |_| {})
}

fn fails_with(server: &Server, within: f32, change: impl Fn(&mut Hub)) -> Error {
    let cache = tempfile::tempdir().unwrap();
    let mut hub = hub(cache.path(), server);
    change(&mut hub);
    let start = Instant::now();
    let error = hub.files(&spec()).unwrap_err();
    let took = start.elapsed().as_secs_f32();
    assert!(took < within, "{took} s: {error}");
    assert_eq!(hub.cached(&spec()), None);
    nothing_unfinished(cache.path());
    assert!(!tree(cache.path()).iter().any(|name| name.contains("refs/")));
    error
}

/// For servers that say nothing.
fn impatient(hub: &mut Hub) {
    let limit = Duration::from_secs(1);
    hub.timeouts = Timeouts { connect: limit, headers: limit, stall: limit };
}

#[test]
fn refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let server = Server::start(|_| Reply::status(500));
    let error = fails_with(&server, 8.0, |hub| hub.endpoints = vec![format!("http://{address}")]);
    assert!(matches!(error, Error::Transport { .. }), "{error:?}");
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn silent_after_accepting() {
    let server = Server::start(|_| Reply::status(200).failing(Fault::Silence));
    let error = fails_with(&server, 15.0, impatient);
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn closed_before_the_answer() {
    let server = faulty(|_, r| (r.earlier < 2).then(|| Reply::ok("").failing(Fault::Hang)));
    assert_eq!(overcomes(&server), 3);
}

#[test]
fn broken_and_stalled_transfers_are_continued() {
    for fault in [Fault::CutAfter(100_000), Fault::ResetAfter(100_000), Fault::StallAfter(100_000)]
    {
        let server = faulty(move |repo, r| {
            (r.earlier == 0).then(|| repo.content("onnx/model.onnx", r).failing(fault))
        });
        let requests = overcomes_with(&server, |hub| {
            if matches!(fault, Fault::StallAfter(_)) {
                impatient(hub);
            }
        });
        assert_eq!(requests, 2);
        let second =
            server.requests().into_iter().filter(|r| r.path.starts_with(MODEL)).nth(1).unwrap();
        let start: usize = second.headers["range"]
            .trim_start_matches("bytes=")
            .trim_end_matches('-')
            .parse()
            .unwrap();
        assert!(start > 0 && start <= 100_000, "{start}");
        assert!(second.headers["if-range"].starts_with('"'));
    }
}

#[test]
fn without_a_validator_the_transfer_starts_over() {
    for tag in ["", "W/\"weak\""] {
        let server = faulty(move |repo, r| {
            let mut reply = repo.content("onnx/model.onnx", r);
            reply.headers.retain(|(name, _)| name != "ETag");
            if !tag.is_empty() {
                reply = reply.with("ETag", tag);
            }
            Some(if r.earlier == 0 { reply.failing(Fault::CutAfter(1000)) } else { reply })
        });
        assert_eq!(overcomes(&server), 2);
        assert!(server.requests().iter().all(|r| !r.headers.contains_key("range")));
    }
}

#[test]
fn answers_to_a_range_that_do_not_fit() {
    // The whole file instead of the rest.
    let whole = |repo: &Repo, _: &Request| Reply::ok(repo.files["onnx/model.onnx"].clone());
    // Another part than the one that was asked for.
    let elsewhere = |repo: &Repo, _: &Request| {
        let body = &repo.files["onnx/model.onnx"];
        Reply { status: 206, ..Reply::ok(&body[5..]) }
            .with("ETag", format!("\"{}\"", repo.digest("onnx/model.onnx")))
            .with("Content-Range", format!("bytes 5-{}/{}", body.len() - 1, body.len()))
    };
    // The right part, of other content.
    let changed =
        |repo: &Repo, r: &Request| repo.content("onnx/model.onnx", r).with("ETag", "\"new\"");
    // No word on which part it is.
    let unsaid = |repo: &Repo, r: &Request| {
        let mut reply = repo.content("onnx/model.onnx", r);
        reply.headers.retain(|(name, _)| name != "Content-Range");
        reply
    };
    let unsatisfiable = |_: &Repo, _: &Request| Reply::status(416);
    type Answer = Box<dyn Fn(&Repo, &Request) -> Reply + Send + Sync>;
    let answers: [(Answer, usize); 5] = [
        (Box::new(whole), 2),
        (Box::new(elsewhere), 3),
        (Box::new(changed), 3),
        (Box::new(unsaid), 3),
        (Box::new(unsatisfiable), 3),
    ];
    for (answer, requests) in answers {
        let server = faulty(move |repo, r| match r.earlier {
            0 => Some(repo.content("onnx/model.onnx", r).failing(Fault::CutAfter(100_000))),
            1 => Some(answer(repo, r)),
            _ => None,
        });
        assert_eq!(overcomes(&server), requests);
    }
}

#[test]
fn wrong_bytes_are_fetched_once_more() {
    let wrong = |repo: &Repo| {
        let mut body = repo.files["onnx/model.onnx"].clone();
        body[77_777] ^= 1;
        Reply::ok(body)
    };
    let once = faulty(move |repo, r| (r.earlier == 0).then(|| wrong(repo)));
    assert_eq!(overcomes(&once), 2);
    let always = faulty(move |repo, _| Some(wrong(repo)));
    let error = fails(&always, 8.0);
    let Error::Corrupt { file, expected, found } = &error else { panic!("{error}") };
    assert_eq!(file, "onnx/model.onnx");
    assert!(expected.contains(&Repo::sample().digest(file)) && expected != found);
    assert_eq!(always.count(MODEL), 2);
}

#[test]
fn small_files_are_checked_too() {
    let repo = Repo::sample();
    let server = Server::start(move |request| {
        let reply = repo.reply(request);
        if request.path.ends_with("/tokenizer.json") {
            return Reply { body: b"{\"tokenizer\":9}".to_vec(), ..reply };
        }
        reply
    });
    let error = fails(&server, 8.0);
    assert!(matches!(&error, Error::Corrupt { file, .. } if file == "tokenizer.json"), "{error}");
}

#[test]
fn wrong_lengths() {
    // Less than the listing says, as the whole file.
    let short = faulty(|repo, _| Some(Reply::ok(&repo.files["onnx/model.onnx"][..1000])));
    assert!(matches!(fails(&short, 8.0), Error::Corrupt { .. }));
    // Much more, announced: nothing of it is read.
    let huge = faulty(|_, _| Some(Reply::ok("x").with("Content-Length", "99999999999999")));
    assert!(matches!(fails(&huge, 8.0), Error::Corrupt { .. }));
    // More, not announced.
    let more = faulty(|repo, _| {
        let mut body = format!("{:x}\r\n", 400_000).into_bytes();
        body.extend(repo.files["onnx/model.onnx"].iter().cycle().take(400_000));
        body.extend_from_slice(b"\r\n0\r\n\r\n");
        Some(Reply::ok(body).with("Transfer-Encoding", "chunked").with("Content-Length", ""))
    });
    let error = fails(&more, 8.0);
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    // A coded body is not decoded, so it cannot swell.
    let coded =
        faulty(|_, _| Some(Reply::ok(vec![0x1f, 0x8b, 8, 0]).with("Content-Encoding", "gzip")));
    assert!(matches!(fails(&coded, 8.0), Error::Corrupt { .. }));
}

#[test]
fn redirects_in_a_circle() {
    let server = faulty(|_, r| Some(Reply::redirect(r.path.clone())));
    let error = fails(&server, 8.0);
    let Error::Redirect { target, .. } = &error else { panic!("{error}") };
    assert!(!target.contains("secret") && !error.to_string().contains("secret"), "{error}");
    let lost = faulty(|_, _| Some(Reply::status(302)));
    assert!(matches!(fails(&lost, 8.0), Error::Redirect { .. }));
}

#[test]
fn what_time_does_not_cure_fails_at_once() {
    for (status, token) in [(401, false), (401, true), (403, false), (404, false), (400, false)] {
        let server = Server::start(move |_| {
            Reply::status(status)
                .with("X-Error-Code", if status == 403 { "GatedRepo" } else { "x" })
        });
        let error = fails_with(&server, 4.0, |hub| {
            if token {
                hub.token = Some(Token::new("hf_x"));
            }
        });
        assert_eq!(server.requests().len(), 1, "{status}");
        match (status, &error) {
            (401, Error::Denied { token: sent, gated: false, .. }) => assert_eq!(*sent, token),
            (403, Error::Denied { gated: true, .. })
            | (404, Error::NotFound { .. })
            | (400, Error::Status { status: 400, .. }) => {}
            _ => panic!("{status}: {error:?}"),
        }
        assert!(error.hint().is_some() || status == 400);
    }
}

#[test]
fn too_many_requests() {
    let asking = |wait: &'static str, earlier: usize| {
        faulty(move |_, r| {
            (r.earlier < earlier).then(|| Reply::status(429).with("Retry-After", wait))
        })
    };
    let start = Instant::now();
    assert_eq!(overcomes(&asking("1", 1)), 2);
    assert!(start.elapsed() >= Duration::from_secs(1), "the server's wish is respected");
    let error = fails(&asking("3600", 9), 4.0);
    let Error::RateLimited { retry_after, .. } = error else { panic!("{error}") };
    assert_eq!(retry_after, Some(Duration::from_secs(3600)));
    // A date says the same.
    let error = fails(&asking("Fri, 31 Dec 9999 23:59:59 GMT", 9), 4.0);
    let Error::RateLimited { retry_after: Some(wait), .. } = error else { panic!("{error}") };
    assert!(wait > Duration::from_secs(3600), "{wait:?}");
    assert_eq!(overcomes(&asking("Sun, 06 Nov 1994 08:49:37 GMT", 1)), 2);
    let server = asking("0", 9);
    assert!(matches!(fails(&server, 8.0), Error::RateLimited { .. }));
    assert_eq!(server.count(MODEL), 3, "attempts are bounded");
}

#[test]
fn server_errors_pass() {
    for status in [408, 500, 502, 503] {
        let server = faulty(move |_, r| (r.earlier < 2).then(|| Reply::status(status)));
        assert_eq!(overcomes(&server), 3, "{status}");
    }
}

#[test]
fn a_slow_drip_is_not_waited_for() {
    let server = faulty(|repo, r| Some(repo.content("onnx/model.onnx", r).failing(Fault::Drip)));
    let error = fails_with(&server, 20.0, |hub| hub.timeouts.stall = Duration::from_millis(1000));
    assert!(matches!(error, Error::Timeout { phase: "content", .. }), "{error:?}");
}

#[test]
fn content_that_changed_after_it_was_listed() {
    // The server has other content by now, and says so: what was listed is not what comes.
    let changed = |repo: &Repo| {
        let mut new = repo.clone();
        new.files.get_mut("onnx/model.onnx").unwrap()[9] ^= 1;
        new
    };
    let server = Server::start(move |request| {
        let old = Repo::sample();
        if request.path.starts_with("/api/") {
            old.reply(request)
        } else {
            changed(&old).reply(request)
        }
    });
    let error = fails(&server, 8.0);
    let Error::Corrupt { file, expected, found } = &error else { panic!("{error}") };
    assert_eq!(file, "onnx/model.onnx");
    assert!(expected.contains(&Repo::sample().digest(file)) && expected != found);
    assert_eq!(server.count(MODEL), 2);
    // In the middle of a transfer: nothing of the one is put together with the other.
    let between = faulty(move |repo, r| match r.earlier {
        0 => Some(repo.content("onnx/model.onnx", r).failing(Fault::CutAfter(100_000))),
        _ => Some(changed(repo).content("onnx/model.onnx", r)),
    });
    assert!(matches!(fails(&between, 8.0), Error::Corrupt { .. }));
}

#[test]
fn bombs_do_not_go_off() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![b' '; 32 << 20]).unwrap();
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 50_000);
    // Coded bodies were not asked for and are not decoded.
    let body = bomb.clone();
    let listing = Server::start(move |_| Reply::ok(body.clone()).with("Content-Encoding", "gzip"));
    assert!(matches!(fails(&listing, 4.0), Error::Answer { .. }));
    let file = faulty(move |_, _| Some(Reply::ok(bomb.clone()).with("Content-Encoding", "gzip")));
    assert!(matches!(fails(&file, 8.0), Error::Corrupt { .. }));
    // More than any list of files has.
    let endless = Server::start(|_| Reply::ok(vec![b' '; 65 << 20]));
    let error = fails(&endless, 20.0);
    assert!(
        matches!(&error, Error::Answer { reason, .. } if reason.contains("more than")),
        "{error}"
    );
    // A length that nothing could hold is not believed, but waited for in vain.
    let announced = Server::start(|_| {
        Reply::ok("{").with("Content-Length", "99999999999999").failing(Fault::CutAfter(1))
    });
    let error = fails(&announced, 8.0);
    assert!(matches!(error, Error::Transport { .. }), "{error:?}");
}

#[test]
fn answers_that_are_no_listing() {
    for body in ["", "<html>login</html>", "{\"sha\":\"main\"}"] {
        let server = Server::start(move |_| Reply::ok(body));
        let error = fails(&server, 4.0);
        assert!(matches!(error, Error::Answer { .. }), "{error:?}");
        assert_eq!(server.requests().len(), 1);
    }
}
