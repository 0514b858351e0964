//! A control plane for tests: a real HTTP server over loopback that speaks the
//! contract of `docs/control-plane.md`, with instances that take their time, and
//! with every misbehaviour of a server on demand.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use reprieve_core::ids::WorkspaceId;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

/// A request has no body and few headers.
const MAX_REQUEST_BYTES: usize = 16 << 10;
/// How long a stalled answer holds its connection, if the client does.
const LONGEST_STALL: Duration = Duration::from_secs(60);

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Look,
    Start,
    Stop,
}

/// How an answer goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Another answer than the true one.
    Answer { status: u16, body: String },
    /// These bytes and no other.
    Raw(Vec<u8>),
    /// No byte comes, and the connection stays.
    Stalls,
    /// A head, some of the body, and then nothing more.
    StallsInBody,
    /// The connection ends before any byte.
    Cut,
    /// The connection ends in the middle of the body.
    CutInBody,
}

impl Fault {
    /// An error as the contract writes it.
    pub fn error(status: u16, code: &str) -> Self {
        let body = json!({ "error": { "code": code, "message": "as the test wants it" } });
        Self::Answer { status, body: body.to_string() }
    }
}

/// An order that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub call: Call,
    pub workspace: WorkspaceId,
    pub key: String,
    /// It began or ended a run.
    pub is_new: bool,
}

/// A run of an instance.
#[derive(Clone, Debug)]
struct Run {
    number: u64,
    key: Option<String>,
    began: Instant,
    began_ms: u64,
    /// When the end was ordered.
    stopped: Option<Instant>,
    /// How it ended by itself.
    crashed: Option<(u64, i32)>,
    is_terminated: bool,
}

#[derive(Default)]
struct Plane {
    pending: Duration,
    stopping: Duration,
    token: Option<String>,
    runs: HashMap<WorkspaceId, Run>,
    begun: u64,
    /// Runs that were ended while they were pending or running.
    ended_live: u64,
    orders: Vec<Order>,
    looks: u64,
    faults: VecDeque<(Call, Fault, bool)>,
}

/// The certificates in `certificates/`, made by the script there.
macro_rules! pem {
    ($name:literal) => {
        include_bytes!(concat!("certificates/", $name)).as_slice()
    };
}

/// Whom an operator may name as an authority: a file of certificates.
pub const AUTHORITY: &[u8] = pem!("authority.pem");
pub const STRANGER: &[u8] = pem!("stranger.pem");

/// What a server shows over https.
#[derive(Clone, Copy, Debug)]
pub enum Certificate {
    /// For 127.0.0.1, by [`AUTHORITY`].
    Here,
    /// For another name, by [`AUTHORITY`].
    Elsewhere,
    /// For 127.0.0.1, by [`STRANGER`].
    HereByAStranger,
}

impl Certificate {
    fn acceptor(self) -> TlsAcceptor {
        let certificate = CertificateDer::from_pem_slice(match self {
            Self::Here => pem!("here.pem"),
            Self::Elsewhere => pem!("elsewhere.pem"),
            Self::HereByAStranger => pem!("here-by-a-stranger.pem"),
        });
        let key = PrivateKeyDer::from_pem_slice(pem!("server.key"));
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.expect("a certificate")], key.expect("a key"));
        TlsAcceptor::from(Arc::new(config.expect("a key of its certificate")))
    }
}

pub struct MockControlPlane {
    scheme: &'static str,
    address: SocketAddr,
    plane: Arc<Mutex<Plane>>,
    server: JoinHandle<()>,
}

impl MockControlPlane {
    /// Instances stay pending, and stopping, for so long.
    pub async fn start(pending: Duration, stopping: Duration) -> Self {
        Self::serve(None, pending, stopping).await
    }

    /// Over https. Instances take no time.
    pub async fn start_with(certificate: Certificate) -> Self {
        Self::serve(Some(certificate.acceptor()), Duration::ZERO, Duration::ZERO).await
    }

    async fn serve(tls: Option<TlsAcceptor>, pending: Duration, stopping: Duration) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let plane = Arc::new(Mutex::new(Plane { pending, stopping, ..Plane::default() }));
        let serving = Arc::clone(&plane);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, plane) = (tls.clone(), Arc::clone(&serving));
                tokio::spawn(async move {
                    match tls {
                        None => answer(stream, plane).await,
                        Some(tls) => {
                            // A client that does not trust it goes away.
                            if let Ok(stream) = tls.accept(stream).await {
                                answer(stream, plane).await;
                            }
                        }
                    }
                });
            }
        });
        Self { scheme, address, plane, server }
    }

    pub fn url(&self) -> url::Url {
        format!("{}://{}/v1", self.scheme, self.address).parse().expect("a URL")
    }

    /// From now on a call needs this token.
    pub fn require_token(&self, token: &str) {
        self.plane.lock().token = Some(token.to_owned());
    }

    /// The next calls of that kind go wrong, one for each fault. `carried_out`:
    /// an order is carried out all the same.
    pub fn go_wrong(&self, call: Call, faults: impl IntoIterator<Item = Fault>, carried_out: bool) {
        let faults = faults.into_iter().map(|fault| (call, fault, carried_out));
        self.plane.lock().faults.extend(faults);
    }

    /// A person starts an instance past this host.
    pub fn start_by_hand(&self, workspace: &WorkspaceId) {
        self.plane.lock().begin(workspace, None);
    }

    /// A person stops it.
    pub fn stop_by_hand(&self, workspace: &WorkspaceId) {
        self.plane.lock().end(workspace);
    }

    /// The run ends by itself.
    pub fn crash(&self, workspace: &WorkspaceId) {
        let mut plane = self.plane.lock();
        let run = plane.runs.get_mut(workspace).expect("it was started");
        run.crashed = Some((unix_ms(), 1));
    }

    /// It is gone for good, and still listed.
    pub fn terminate(&self, workspace: &WorkspaceId) {
        self.crash(workspace);
        let mut plane = self.plane.lock();
        plane.runs.get_mut(workspace).expect("it was started").is_terminated = true;
    }

    /// Nothing is known of it any more.
    pub fn forget(&self, workspace: &WorkspaceId) {
        self.plane.lock().runs.remove(workspace);
    }

    pub fn state_of(&self, workspace: &WorkspaceId) -> Value {
        self.plane.lock().show(workspace).unwrap_or(Value::Null)
    }

    pub fn orders(&self) -> Vec<Order> {
        self.plane.lock().orders.clone()
    }

    /// Orders of that kind that came in, new or not.
    pub fn count(&self, call: Call) -> usize {
        self.plane.lock().orders.iter().filter(|order| order.call == call).count()
    }

    /// Runs begun since the start, by whomever.
    pub fn begun(&self) -> u64 {
        self.plane.lock().begun
    }

    /// Runs that were ended while they were pending or running.
    pub fn ended_live(&self) -> u64 {
        self.plane.lock().ended_live
    }

    pub fn looks(&self) -> u64 {
        self.plane.lock().looks
    }
}

impl Drop for MockControlPlane {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Plane {
    fn state(&self, run: &Run) -> &'static str {
        match (run.stopped, run.crashed) {
            _ if run.is_terminated => "terminated",
            (_, Some(_)) => "stopped",
            (Some(at), None) if at.elapsed() < self.stopping => "stopping",
            (Some(_), None) => "stopped",
            (None, None) if run.began.elapsed() < self.pending => "pending",
            (None, None) => "running",
        }
    }

    fn show(&self, workspace: &WorkspaceId) -> Option<Value> {
        let run = self.runs.get(workspace)?;
        let state = self.state(run);
        let mut shown = json!({
            "state": state,
            "id": "i-0abc",
            "started_at_ms": run.began_ms,
            "now_ms": unix_ms(),
        });
        if let Some(key) = &run.key {
            shown["start_key"] = key.as_str().into();
        }
        if state == "running" {
            shown["address"] = format!("http://10.0.0.{}:8000/", run.number).into();
        }
        if let Some((at_ms, code)) = run.crashed {
            shown["ended_at_ms"] = at_ms.into();
            shown["exit_code"] = code.into();
        } else if let (Some(at), "stopped") = (run.stopped, state) {
            let ago = at.elapsed().saturating_sub(self.stopping);
            shown["ended_at_ms"] = (unix_ms() - millis(ago)).into();
            shown["exit_code"] = 0.into();
        }
        Some(shown)
    }

    fn is_live(&self, workspace: &WorkspaceId) -> bool {
        let run = self.runs.get(workspace);
        run.is_some_and(|run| matches!(self.state(run), "pending" | "running"))
    }

    fn begin(&mut self, workspace: &WorkspaceId, key: Option<&str>) {
        self.begun += 1;
        let run = Run {
            number: self.begun,
            key: key.map(str::to_owned),
            began: Instant::now(),
            // Two starts within a millisecond are two runs.
            began_ms: unix_ms() + self.begun,
            stopped: None,
            crashed: None,
            is_terminated: false,
        };
        self.runs.insert(workspace.clone(), run);
    }

    fn end(&mut self, workspace: &WorkspaceId) {
        self.ended_live += u64::from(self.is_live(workspace));
        if let Some(run) = self.runs.get_mut(workspace) {
            run.stopped = Some(Instant::now());
        }
    }

    /// Whether it is new: the newest run's own key begins nothing again.
    fn carry_out(&mut self, call: Call, workspace: &WorkspaceId, key: &str) -> bool {
        match call {
            Call::Look => false,
            Call::Start => {
                let same = self.runs.get(workspace).is_some_and(|r| r.key.as_deref() == Some(key));
                let is_new = !same && !self.is_live(workspace);
                if is_new {
                    self.begin(workspace, Some(key));
                }
                is_new
            }
            Call::Stop => {
                let is_new = self.is_live(workspace);
                if is_new {
                    self.end(workspace);
                }
                is_new
            }
        }
    }

    fn true_answer(&self, workspace: &WorkspaceId) -> Fault {
        match self.show(workspace) {
            Some(shown) => Fault::Answer { status: 200, body: shown.to_string() },
            None => Fault::error(404, "not_found"),
        }
    }

    /// What is answered. Every fault is used up by one call.
    fn take(&mut self, request: &Request) -> Fault {
        let wanted = self.token.as_ref().map(|token| format!("Bearer {token}"));
        if wanted.is_some() && request.authorization != wanted {
            return Fault::error(401, "denied");
        }
        let Some((workspace, call)) = request.meaning() else {
            return Fault::Answer { status: 404, body: "<h1>no such page</h1>".to_owned() };
        };
        let at = self.faults.iter().position(|(of, ..)| *of == call);
        let fault = at.and_then(|at| self.faults.remove(at));
        let is_carried_out = fault.as_ref().is_none_or(|(.., carried_out)| *carried_out);
        if call == Call::Look {
            self.looks += 1;
        } else {
            let key = request.key.clone().unwrap_or_default();
            if key.is_empty() {
                return Fault::error(400, "internal");
            }
            let is_new = is_carried_out && self.carry_out(call, &workspace, &key);
            self.orders.push(Order { call, workspace: workspace.clone(), key, is_new });
        }
        fault.map_or_else(|| self.true_answer(&workspace), |(_, fault, _)| fault)
    }
}

struct Request {
    method: String,
    path: String,
    authorization: Option<String>,
    key: Option<String>,
}

impl Request {
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut first = lines.next()?.split(' ');
        let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
        let headers: HashMap<String, String> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let header = |name: &str| headers.get(name).cloned();
        let (authorization, key) = (header("authorization"), header("idempotency-key"));
        Some(Self { method, path, authorization, key })
    }

    fn meaning(&self) -> Option<(WorkspaceId, Call)> {
        let rest = self.path.strip_prefix("/v1/instances/")?;
        let (workspace, call) = match (self.method.as_str(), rest.split_once('/')) {
            ("GET", None) => (rest, Call::Look),
            ("POST", Some((workspace, "start"))) => (workspace, Call::Start),
            ("POST", Some((workspace, "stop"))) => (workspace, Call::Stop),
            _ => return None,
        };
        Some((workspace.parse().ok()?, call))
    }
}

/// One request a connection.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, plane: Arc<Mutex<Plane>>) {
    let Some(request) = read(&mut stream).await else { return };
    let answer = plane.lock().take(&request);
    let whole = |status: u16, body: &str| {
        let length = body.len();
        format!(
            "HTTP/1.1 {status} As It Is\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
    };
    let half = || {
        let whole = whole(200, r#"{"state":"stopped","id":"i-0abc","ended_at_ms":1}"#);
        whole[..whole.len() - 20].to_owned()
    };
    let (bytes, stays) = match answer {
        Fault::Answer { status, body } => (whole(status, &body).into_bytes(), false),
        Fault::Raw(bytes) => (bytes, false),
        Fault::Stalls => (vec![], true),
        Fault::StallsInBody => (half().into_bytes(), true),
        Fault::Cut => (vec![], false),
        Fault::CutInBody => (half().into_bytes(), false),
    };
    // A client that went away is the client's business.
    let _ = stream.write_all(&bytes).await;
    if stays {
        let _ = timeout(LONGEST_STALL, stream.read(&mut [0])).await;
    }
    let _ = stream.shutdown().await;
}

/// The head; orders have no body.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < MAX_REQUEST_BYTES {
        head.push(stream.read_u8().await.ok()?);
    }
    Request::parse(&String::from_utf8_lossy(&head))
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, millis)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
