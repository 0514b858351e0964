//! A host that does as it is told, turn by turn, one for each stream that is asked
//! for; after the last one it lets nobody in.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::{Query, State},
    response::{IntoResponse as _, Response},
    routing,
};
use futures::{StreamExt as _, stream};
use http::StatusCode;
use parking_lot::Mutex;
use reprieve_core::{
    decision::{Cost, GenerationRef, Outcome},
    ids::{Digest, LifeId},
    judgement::{Admission, Call, Reason, RestartCause},
    time::{Millis, UnixMillis},
};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::*;

#[derive(Default)]
struct Turn {
    /// Refused so, and nothing else happens.
    refused: Option<u16>,
    /// On record by the time that the stream begins.
    recorded: Vec<u64>,
    /// Told over the stream. 0: some were left out.
    live: Vec<u64>,
    /// Then nothing more is heard; else the stream ends.
    falls_silent: bool,
}

#[derive(Default)]
struct Host {
    log: Vec<u64>,
    turns: VecDeque<Turn>,
}

type Shared = Arc<Mutex<Host>>;

#[derive(Deserialize)]
struct Wanted {
    limit: usize,
    after: Option<String>,
    before: Option<String>,
}

fn id(number: u64) -> String {
    format!("0199a3c2-5d8e-7b11-9f0a-{number:012}")
}

fn on_the_wire(number: u64) -> Value {
    let decision = Decision {
        id: DecisionId(id(number)),
        at: UnixMillis(number),
        workspace: "alpha".parse().unwrap(),
        tenant: "acme".parse().unwrap(),
        life: LifeId(1),
        generation: Arc::new(GenerationRef {
            number: 1,
            policy: "default 0.1.0".into(),
            component: Digest::of(b"component"),
            settings: Digest::of(b"settings"),
        }),
        experiment: None,
        call: Call::Admit { cause: RestartCause::Operator },
        evidence: vec![],
        memory_write: None,
        outcome: Outcome::Ruled {
            admission: Admission::Admit,
            reason: Arc::new(Reason { code: "asked".into(), meaning: "somebody asked".into() }),
        },
        cost: Cost { passes: 1, guest_us: 1, total: Millis(1) },
        effect: None,
    };
    json!({ "record": decision })
}

async fn list(State(host): State<Shared>, Query(wanted): Query<Wanted>) -> Json<Value> {
    let log = host.lock().log.clone();
    let place = |named: &Option<String>| {
        let named = named.as_ref()?;
        log.iter().position(|number| id(*number) == *named)
    };
    let from = place(&wanted.after).map_or(0, |place| place + 1);
    let to = place(&wanted.before).unwrap_or(log.len());
    let page: Vec<u64> = log[from.min(to)..to].iter().rev().take(wanted.limit).copied().collect();
    let next = page.last().filter(|_| page.len() == wanted.limit).map(|oldest| id(*oldest));
    let decisions: Vec<_> = page.into_iter().map(on_the_wire).collect();
    Json(json!({ "decisions": decisions, "next": next }))
}

async fn stream(State(host): State<Shared>) -> Response {
    let mut host = host.lock();
    let refused = || Turn { refused: Some(403), ..Turn::default() };
    let turn = host.turns.pop_front().unwrap_or_else(refused);
    if let Some(status) = turn.refused {
        let body = Json(json!({ "detail": "not any more" }));
        return (StatusCode::from_u16(status).unwrap(), body).into_response();
    }
    host.log.extend(turn.recorded);
    let events = turn.live.into_iter().map(|number| match number {
        0 => Ok::<_, std::io::Error>("event: dropped\ndata: {}\n\n".to_owned()),
        number => Ok(format!("event: decision\ndata: {}\n\n", on_the_wire(number))),
    });
    let events = stream::iter(events.collect::<Vec<_>>());
    match turn.falls_silent {
        true => Body::from_stream(events.chain(stream::pending())).into_response(),
        false => Body::from_stream(events).into_response(),
    }
}

struct Followed {
    printed: Vec<u64>,
    remarks: Vec<String>,
    ended: String,
}

fn patience() -> Patience {
    let soon = Duration::from_millis(1);
    Patience { first_wait: soon, longest_wait: soon, ..Patience::default() }
}

async fn follow(turns: impl IntoIterator<Item = Turn>, patience: Patience) -> Followed {
    let host = Shared::new(Mutex::new(Host { turns: turns.into_iter().collect(), log: vec![] }));
    let router = Router::new()
        .route("/admin/v1/decisions", routing::get(list))
        .route("/admin/v1/decisions/stream", routing::get(stream))
        .with_state(host);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let client = AdminClient::new(Url::parse(&base).unwrap(), "token".into(), None).unwrap();
    let (mut printed, remarks) = (Vec::new(), Mutex::new(Vec::new()));
    let mut print = |decision: &Decision| {
        printed.push(decision.at.0);
        Ok(())
    };
    let remark = |said: &str| remarks.lock().push(said.to_owned());
    let mut following = Following::new(&client, String::new(), patience, &mut print, &remark);
    let Err(ended) = following.follow(2).await;
    let ended = format!("{ended:#}");
    Followed { printed, remarks: remarks.into_inner(), ended }
}

fn turn(recorded: &[u64], live: &[u64]) -> Turn {
    Turn { recorded: recorded.to_vec(), live: live.to_vec(), ..Turn::default() }
}

#[tokio::test]
async fn each_decision_is_printed_once_whatever_happens_to_the_stream() {
    let many: Vec<u64> = (10..3_000).collect();
    let all: Vec<u64> = [2, 3].into_iter().chain(10..3_000).collect();
    for (case, turns, expected, said) in [
        (
            "it ends, and some are decided meanwhile",
            vec![turn(&[1, 2, 3], &[3, 4]), turn(&[4, 5, 6], &[6, 7]), turn(&[7], &[8])],
            &[2, 3, 4, 5, 6, 7, 8][..],
            "the host ended the stream",
        ),
        (
            "more than one page of them",
            vec![turn(&[1, 2, 3], &[]), turn(&many, &[2_998, 2_999])],
            &all,
            "connected again",
        ),
        (
            "it is told of in another order than it is recorded",
            vec![turn(&[1, 2], &[4]), turn(&[3, 4], &[])],
            &[1, 2, 4, 3],
            "the host ended the stream",
        ),
        (
            "some were left out",
            vec![turn(&[1], &[2, 0, 5]), turn(&[2, 3, 4, 5], &[])],
            &[1, 2, 3, 4, 5],
            "faster than they were read",
        ),
        (
            "the host is busy for a while",
            vec![
                turn(&[1], &[]),
                Turn { refused: Some(503), ..Turn::default() },
                Turn { refused: Some(429), ..Turn::default() },
                turn(&[2], &[]),
            ],
            &[1, 2],
            "connected again",
        ),
    ] {
        let followed = follow(turns, patience()).await;
        assert_eq!(followed.printed, expected, "{case}");
        assert!(followed.remarks.iter().any(|remark| remark.contains(said)), "{case}: {said}");
        assert!(followed.ended.contains("not any more"), "{case}: {}", followed.ended);
    }
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_opened_again() {
    let silent = Turn { falls_silent: true, ..turn(&[1], &[]) };
    let patience = Patience { silence: Duration::from_millis(50), ..patience() };
    let followed = follow([silent, turn(&[2], &[])], patience).await;
    assert_eq!(followed.printed, [1, 2]);
    assert!(followed.remarks[0].contains("nothing was heard"), "{:?}", followed.remarks);
}

#[tokio::test]
async fn a_host_that_stays_away_is_given_up() {
    let away = || Turn { refused: Some(503), ..Turn::default() };
    let patience = Patience { stays_away: Duration::ZERO, ..patience() };
    let followed = follow([turn(&[1], &[]), away(), turn(&[2], &[])], patience).await;
    assert_eq!(followed.printed, [1], "it is not waited for");
    assert!(followed.ended.contains("has been away for"), "{}", followed.ended);
}

#[tokio::test]
async fn a_host_that_refuses_at_once_is_not_called_again() {
    let followed = follow([], patience()).await;
    assert_eq!((followed.ended.as_str(), followed.remarks.len()), ("not any more", 0));
}
