//! Who is waited for and who is not, on virtual time; and who is let in, over real
//! sockets, where nothing is timed.

use std::net::Ipv4Addr;

use axum::{
    body::{Body, Bytes},
    routing,
};
use futures::{StreamExt as _, stream};
use http::StatusCode;
use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    sync::oneshot,
    time::Instant,
};

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);
/// Just within it.
const NEARLY: Duration = Duration::from_secs(59);
const HOUR: Duration = Duration::from_secs(3_600);
/// What lies between the two sides of a connection.
const BETWEEN_BYTES: usize = 256;
const LARGE: usize = 64 * 1_024;

/// The other end of a connection that is served.
fn connect(router: Router) -> (DuplexStream, tokio::task::JoinHandle<()>) {
    let (ours, theirs) = duplex(BETWEEN_BYTES);
    let stream = Patient::new(theirs, PATIENCE, None);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let notices = Arc::new(Notices::at(address.to_string()));
    let peer = Peer { address, body_timeout: PATIENCE, taken: stream.taken(), notices };
    (ours, tokio::spawn(exchange(stream, peer, router, CancellationToken::new())))
}

fn large() -> Router {
    Router::new().route("/", routing::get(|| async { vec![b'x'; LARGE] }))
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn whoever_takes_nothing_is_let_go() {
    let began = Instant::now();
    let (mut caller, served) = connect(large());
    caller.write_all(GET).await.unwrap();
    served.await.unwrap();
    assert_eq!(began.elapsed().as_secs(), PATIENCE.as_secs());
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_a_little_now_and_then_gets_it_all() {
    let (mut caller, served) = connect(large());
    caller.write_all(GET).await.unwrap();
    let mut answer = Vec::new();
    // Ends with the answer.
    loop {
        sleep(NEARLY).await;
        let mut piece = [0; BETWEEN_BYTES];
        match caller.read(&mut piece).await.unwrap() {
            0 => break,
            bytes => answer.extend_from_slice(&piece[..bytes]),
        }
    }
    served.await.unwrap();
    assert_eq!(answer.iter().filter(|byte| **byte == b'x').count(), LARGE);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_says_nothing_for_an_hour_goes_on() {
    let late = || async {
        let last = stream::once(async {
            sleep(HOUR).await;
            Ok::<_, io::Error>(Bytes::from("at last"))
        });
        Body::from_stream(last)
    };
    let (mut caller, served) = connect(Router::new().route("/", routing::get(late)));
    caller.write_all(GET).await.unwrap();
    let mut answer = String::new();
    caller.read_to_string(&mut answer).await.unwrap();
    served.await.unwrap();
    assert!(answer.contains("at last"), "{answer}");
}

/// Answers with what became of the request's body.
async fn told(body: Body) -> String {
    match body.collect().await {
        Ok(body) => format!("{} bytes", body.to_bytes().len()),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_stops_sending_is_let_go_and_whoever_is_slow_is_not() {
    for (case, pause, said) in [
        ("slow", NEARLY, "10 bytes"),
        ("silent", PATIENCE + Duration::from_secs(1), "no byte of the request's body came for 60s"),
    ] {
        let (mut caller, _served) = connect(Router::new().route("/", routing::post(told)));
        let head = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 10\r\n\r\n";
        caller.write_all(head).await.unwrap();
        for _ in 0..10 {
            sleep(pause).await;
            // It may have been let go by then.
            let _ = caller.write_all(b"x").await;
        }
        let mut answer = Vec::new();
        let _ = caller.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.contains(said), "{case}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_the_answer_may_leave_the_body_open() {
    let (ended, whole) = oneshot::channel();
    let ended = Arc::new(parking_lot::Mutex::new(Some(ended)));
    let both = move |body: Body| {
        let ended = ended.lock().take();
        async move {
            tokio::spawn(async move {
                let came = body.collect().await.is_ok();
                ended.map(|ended| ended.send(came))
            });
            let pieces = stream::iter(0..10).then(|_| async {
                sleep(NEARLY).await;
                Ok::<_, io::Error>(Bytes::from("~"))
            });
            Body::from_stream(pieces)
        }
    };
    let (mut caller, _served) = connect(Router::new().route("/", routing::post(both)));
    let head = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 1\r\n\r\n";
    caller.write_all(head).await.unwrap();
    let mut dots = 0;
    while dots < 10 {
        let mut byte = [0];
        caller.read_exact(&mut byte).await.unwrap();
        dots += u32::from(byte == *b"~");
    }
    caller.write_all(b"x").await.unwrap();
    assert_eq!(whole.await, Ok(true), "it came ten minutes late");
}

/// Answers once, and holds on to whoever changes his protocol.
async fn front_door(options: ServeOptions) -> SocketAddr {
    let hold = |request: axum::extract::Request| async {
        tokio::spawn(async {
            let _held = hyper::upgrade::on(request).await;
            std::future::pending::<()>().await;
        });
        (StatusCode::SWITCHING_PROTOCOLS, [("connection", "upgrade"), ("upgrade", "hold")])
    };
    let router = Router::new()
        .route("/", routing::get(|| async { "welcome" }))
        .route("/hold", routing::get(hold));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, router, options, std::future::pending()));
    address
}

/// Asks, and waits for the head of the answer. Keeps the connection.
async fn ask(address: SocketAddr, path: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: hold\r\n\r\n");
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => answer.push(byte),
            Err(_) => break,
        }
    }
    (stream, String::from_utf8(answer).unwrap())
}

#[tokio::test]
async fn one_address_has_its_share_of_connections_and_no_more() {
    let options = ServeOptions { max_connections_per_address: Some(2), ..ServeOptions::default() };
    let address = front_door(options).await;
    let (_first, answer) = ask(address, "/hold").await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    let (second, answer) = ask(address, "/").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let mut third = TcpStream::connect(address).await.unwrap();
    let mut answer = String::new();
    third.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 429"), "a tunnel is a connection, too: {answer}");
    assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{answer}");
    assert!(serde_json::from_str::<serde_json::Value>(body).is_ok(), "{answer}");
    drop(second);
    // How soon it is noticed is the kernel's affair.
    loop {
        let (_stream, answer) = ask(address, "/").await;
        if answer.starts_with("HTTP/1.1 200") {
            break;
        }
    }
}

#[tokio::test]
async fn whoever_comes_when_all_connections_are_in_use_waits_for_one() {
    let options = ServeOptions { max_connections: 1, ..ServeOptions::default() };
    let address = front_door(options).await;
    let (first, answer) = ask(address, "/").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let second = tokio::spawn(ask(address, "/"));
    tokio::task::yield_now().await;
    assert!(!second.is_finished());
    drop(first);
    let (_, answer) = second.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
