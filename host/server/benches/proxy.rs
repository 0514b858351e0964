//! What the proxy costs: the same request sent straight to a server and through
//! the proxy to it, on kept connections on loopback.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../tests/proxy/world.rs"]
#[allow(dead_code)]
mod world;

use std::time::Duration;

use axum::body::Body;
use criterion::{Criterion, criterion_group, criterion_main};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::runtime::Runtime;

use crate::world::{World, message, upstream};

fn pass_through(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let address = runtime.block_on(upstream(|_| async {
        Response::new(Body::from(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#))
    }));
    let world = runtime.block_on(World::before(address.clone()));
    let proxy = world.proxy;
    let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build_http();
    let mut group = c.benchmark_group("proxy");
    group.measurement_time(Duration::from_secs(5)).sample_size(50);
    for (name, method, uri) in [
        ("direct", "POST", address.unwrap().to_string()),
        ("transparent", "POST", format!("http://{proxy}/workspaces/ws-1/x")),
        ("a2a", "POST", format!("http://{proxy}/workspaces/ws-1/a2a")),
    ] {
        group.bench_function(name, |b| {
            b.to_async(&runtime).iter(|| async {
                let body = Body::from(message("m-1"));
                let request = Request::builder().method(method).uri(&uri).body(body).unwrap();
                let response = client.request(request).await.unwrap();
                assert_eq!(response.status(), 200);
                response.into_body().collect().await.unwrap()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, pass_through);
criterion_main!(benches);
