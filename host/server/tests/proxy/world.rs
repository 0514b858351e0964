//! A proxy, a fleet under a test's control, and upstreams that answer or fail in
//! every way.

use std::{
    collections::HashMap, convert::Infallible, future::Future, net::SocketAddr, sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use axum::{Router, body::Body};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use parking_lot::Mutex;
use reprieve_core::{
    address,
    decision::Finding,
    ids::{DecisionId, LifeId, QueueId, WorkspaceId},
    judgement::ForwardFailure,
    ports::{Accepted, QueueRefusal},
    queue::{Item, NewItem, Stage},
    time::{Millis, UnixMillis},
};
use reprieve_server::proxy::{
    self, ProxyOptions,
    fleet::{Fleet, Heartbeat, Judged, Registration, ReportRefused, Route},
};
use reprieve_server::serve::{ServeOptions, serve};
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc, oneshot},
    time::timeout,
};
use url::Url;

/// Nothing in these tests takes so long unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const TOKEN: &str = "token-of-ws-1";

/// Does what the test says, and tells what was asked of it.
pub(crate) struct FakeFleet {
    pub(crate) route: Mutex<Route>,
    pub(crate) finding: Mutex<Finding>,
    pub(crate) preflight: Mutex<Option<Finding>>,
    pub(crate) queue_is_full: Mutex<bool>,
    pub(crate) items: Mutex<HashMap<String, Item>>,
    pub(crate) newest_sign: Mutex<Option<Millis>>,
    pub(crate) sign_asked: Arc<Notify>,
    pub(crate) log: mpsc::UnboundedSender<Asked>,
}

/// What was asked of the fleet.
#[derive(Debug, PartialEq)]
pub(crate) enum Asked {
    Failed(ForwardFailure),
    Answered,
    Woken,
    Registered(Registration),
    Beat(Heartbeat),
}

impl FakeFleet {
    fn judged(&self, finding: Finding) -> Judged {
        Judged { decision: DecisionId("decision-1".into()), finding }
    }

    fn authorised(
        &self,
        workspace: &WorkspaceId,
        token: Option<&str>,
    ) -> Result<(), ReportRefused> {
        match (workspace.as_str(), token) {
            ("ws-1", Some(TOKEN)) => Ok(()),
            ("ws-1", _) => Err(ReportRefused::WrongToken),
            _ => Err(ReportRefused::UnknownWorkspace(workspace.clone())),
        }
    }

    fn tell(&self, asked: Asked) {
        // The test may have ended.
        let _ = self.log.send(asked);
    }
}

#[async_trait]
impl Fleet for FakeFleet {
    fn route(&self, workspace: &WorkspaceId) -> Option<Route> {
        (workspace.as_str() == "ws-1").then(|| self.route.lock().clone())
    }

    async fn forward_failed(&self, _: &WorkspaceId, _: LifeId, failure: ForwardFailure) -> Judged {
        self.tell(Asked::Failed(failure));
        self.judged(*self.finding.lock())
    }

    async fn preflight(&self, _: &WorkspaceId) -> Option<Judged> {
        self.preflight.lock().map(|finding| self.judged(finding))
    }

    fn answered(&self, _: &WorkspaceId, _: LifeId) {
        self.tell(Asked::Answered);
    }

    fn newest_sign(&self, _: &WorkspaceId) -> Option<Millis> {
        self.sign_asked.notify_one();
        *self.newest_sign.lock()
    }

    async fn accept(&self, item: NewItem) -> Result<Accepted, QueueRefusal> {
        if *self.queue_is_full.lock() {
            return Err(QueueRefusal::Full { limit: 100 });
        }
        let mut items = self.items.lock();
        let repeated = items.values().find(|held| held.message_id == item.message_id);
        if let Some(held) = repeated {
            let depth = u32::try_from(items.len()).unwrap();
            return Ok(Accepted { id: held.id.clone(), depth, repeated: true });
        }
        let id = QueueId(format!("q-{}", items.len() + 1));
        items.insert(
            id.0.clone(),
            Item {
                id: id.clone(),
                workspace: item.workspace,
                message_id: item.message_id,
                priority: item.priority,
                accepted: UnixMillis(1),
                attempts: 0,
                last_failure: None,
                request: item.request,
                decision: item.decision,
                stage: Stage::Waiting,
            },
        );
        Ok(Accepted { id, depth: u32::try_from(items.len()).unwrap(), repeated: false })
    }

    async fn item(&self, id: &QueueId) -> Result<Option<Item>, QueueRefusal> {
        Ok(self.items.lock().get(&id.0).cloned())
    }

    async fn wake(&self, _: &WorkspaceId) {
        self.tell(Asked::Woken);
    }

    async fn register(
        &self,
        workspace: &WorkspaceId,
        token: Option<&str>,
        registration: Registration,
    ) -> Result<(), ReportRefused> {
        self.authorised(workspace, token)?;
        if let Some(url) = &registration.url {
            address::check(url, |_| false)
                .map_err(|refused| ReportRefused::AddressNotAllowed(refused.to_string()))?;
        }
        self.tell(Asked::Registered(registration));
        Ok(())
    }

    async fn heartbeat(
        &self,
        workspace: &WorkspaceId,
        token: Option<&str>,
        heartbeat: Heartbeat,
    ) -> Result<(), ReportRefused> {
        self.authorised(workspace, token)?;
        self.tell(Asked::Beat(heartbeat));
        Ok(())
    }
}

/// A running proxy.
pub(crate) struct World {
    pub(crate) proxy: SocketAddr,
    pub(crate) fleet: Arc<FakeFleet>,
    pub(crate) asked: mpsc::UnboundedReceiver<Asked>,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) served: tokio::task::JoinHandle<std::io::Result<()>>,
    client: Client<HttpConnector, Body>,
}

/// An answer read whole.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Read {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl World {
    /// In front of a workspace `ws-1` that its backend runs there.
    pub(crate) async fn before(address: Option<Url>) -> Self {
        Self::with(address, ProxyOptions::default()).await
    }

    pub(crate) async fn with(address: Option<Url>, options: ProxyOptions) -> Self {
        let (log, asked) = mpsc::unbounded_channel();
        let fleet = Arc::new(FakeFleet {
            route: Mutex::new(Route {
                tenant: "tenant-1".parse().unwrap(),
                life: LifeId(1),
                state: serde_json::from_value("online".into()).unwrap(),
                address,
                owned: true,
                queues_for_itself: false,
            }),
            finding: Mutex::new(Finding::Alive),
            preflight: Mutex::new(None),
            queue_is_full: Mutex::new(false),
            items: Mutex::default(),
            newest_sign: Mutex::new(None),
            sign_asked: Arc::default(),
            log,
        });
        let router = proxy::router(fleet.clone(), options.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(async move {
            let stop = async move { drop(stopped.await) };
            serve(listener, router, ServeOptions::from(&options), stop).await
        });
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { proxy, fleet, asked, stop: Some(stop), served, client }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(format!("http://{}{path}", self.proxy))
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Response<Incoming> {
        timeout(PATIENCE, self.client.request(request)).await.expect("an answer in time").unwrap()
    }

    pub(crate) async fn read(&self, request: Request<Body>) -> Read {
        let (head, body) = self.send(request).await.into_parts();
        let body = timeout(PATIENCE, body.collect()).await.expect("a body in time").unwrap();
        Read { status: head.status, headers: head.headers, body: body.to_bytes() }
    }

    pub(crate) async fn get(&self, path: &str) -> Read {
        self.read(self.request(Method::GET, path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Body>) -> Read {
        self.read(self.request(Method::POST, path).body(body.into()).unwrap()).await
    }

    /// The next thing that was asked of the fleet.
    pub(crate) async fn next_asked(&mut self) -> Asked {
        timeout(PATIENCE, self.asked.recv()).await.expect("a question in time").unwrap()
    }
}

/// A whole A2A request.
pub(crate) fn message(id: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"message/send","params":{{"message":{{"messageId":"{id}"}}}}}}"#
    )
}

/// A server that answers as told.
pub(crate) async fn upstream<F, Fut>(answer: F) -> Option<Url>
where
    F: Fn(Request<Body>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response<Body>> + Send,
{
    let router = Router::new().fallback(move |request: Request<Body>| {
        let answer = answer.clone();
        async move { Ok::<_, Infallible>(answer(request).await) }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = url_of(listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    Some(url)
}

/// A server that does with each connection whatever the test likes.
pub(crate) async fn raw<F, Fut>(serve: F) -> Option<Url>
where
    F: Fn(TcpStream) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = url_of(listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    Some(url)
}

pub(crate) fn url_of(address: SocketAddr) -> Url {
    format!("http://{address}/").parse().unwrap()
}

/// Reads a request whole: its head, and as much body as that announces.
pub(crate) async fn read_request(stream: &mut TcpStream) -> String {
    use tokio::io::AsyncReadExt;
    let mut bytes = Vec::new();
    loop {
        if let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
            let announced = text
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.trim().parse().unwrap());
            if bytes.len() >= head + 4 + announced {
                return String::from_utf8_lossy(&bytes).into_owned();
            }
        }
        let mut piece = [0; 1024];
        let read = stream.read(&mut piece).await.unwrap();
        assert!(read > 0, "the request broke off after {} bytes", bytes.len());
        bytes.extend_from_slice(&piece[..read]);
    }
}
