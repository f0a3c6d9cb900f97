//! The control address: faults are seen, set and cleared while the drill runs.
//!
//! | request | effect |
//! | --- | --- |
//! | `GET /drill` | every upstream with its address, faults and counts (JSON) |
//! | `GET /drill/UPSTREAM` | one of them |
//! | `POST /drill/UPSTREAM?fault=FAULT[&model=MODEL]` | sets a fault, for all models or one; `fault=ok` clears |
//! | `DELETE /drill/UPSTREAM[?model=MODEL]` | clears, and ends the upstream's cooldowns |

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::fault::{Fault, FaultSpec};
use super::healed::Healed;
use super::stand_in::StandIn;
use super::wire::{Connection, Request, WireError, head, query_value};
use crate::notation::nearest::nearest;
use crate::protocol::Protocol;

const BODY_MAX_BYTES: usize = 64 * 1024;
const CONNECTIONS_MAX: usize = 64;

/// Serves the control address, until the runtime ends.
pub(crate) async fn serve(listener: TcpListener, stand_ins: Arc<[Arc<StandIn>]>, healed: Arc<OnceLock<Healed>>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let (stand_ins, healed) = (Arc::clone(&stand_ins), Arc::clone(&healed));
        tokio::spawn(async move {
            converse(stream, &stand_ins, &healed).await;
            drop(permit);
        });
    }
}

async fn converse(stream: TcpStream, stand_ins: &[Arc<StandIn>], healed: &OnceLock<Healed>) {
    let mut connection = Connection::new(stream, BODY_MAX_BYTES);
    loop {
        let request = match connection.request().await {
            Ok(request) => request,
            Err(WireError::Gone) => return,
            Err(WireError::Refused(status, text)) => return connection.refuse(status, text).await,
        };
        let (status, body) = match respond(&request, stand_ins, healed).await {
            Ok(body) => (200, body),
            Err((status, message)) => (status, json!({ "error": message })),
        };
        let body = format!("{body:#}\n");
        let mut response = head(
            status,
            &[("content-type", "application/json".to_owned())],
            Some(body.len()),
        );
        response.extend_from_slice(body.as_bytes());
        if connection.write(&response).await.is_err() || request.last {
            return;
        }
    }
}

type Refusal = (u16, String);

async fn respond(request: &Request, stand_ins: &[Arc<StandIn>], healed: &OnceLock<Healed>) -> Result<Value, Refusal> {
    guard(request)?;
    let method = request.method.as_str();
    let name = match request.path.strip_prefix("/drill") {
        Some("" | "/") if method == "GET" => {
            return Ok(json!({ "upstreams": stand_ins.iter().map(|it| state(it)).collect::<Vec<_>>() }));
        }
        Some("" | "/") => return Err((405, "GET /drill, or POST /drill/UPSTREAM?fault=FAULT".to_owned())),
        rest => rest.and_then(|rest| rest.strip_prefix('/')),
    };
    let name = name.ok_or_else(|| (404, "there is only /drill and /drill/UPSTREAM here".to_owned()))?;
    let stand_in = stand_ins
        .iter()
        .find(|it| it.identity.name == name)
        .ok_or_else(|| unknown(name, stand_ins))?;
    let fault = match method {
        "GET" => return Ok(state(stand_in)),
        "DELETE" => Fault::Ok,
        "POST" => query_value(&request.query, "fault")
            .ok_or_else(|| (400, format!("say which fault: POST /drill/{name}?fault=429")))?
            .parse()
            .map_err(|error: super::FaultError| (400, error.to_string()))?,
        _ => return Err((405, format!("GET, POST or DELETE /drill/{name}"))),
    };
    let model = query_value(&request.query, "model");
    let spec = FaultSpec::new(name.to_owned(), model, fault).map_err(|error| (400, error.to_string()))?;
    stand_in
        .set(spec.model, spec.fault)
        .await
        .map_err(|error| (503, error.to_string()))?;
    let mut state = state(stand_in);
    if let Some(healed) = healed.get().filter(|_| fault == Fault::Ok) {
        state["cooldowns_ended"] = json!(healed(name));
    }
    Ok(state)
}

/// Refuses browsers: a page can send requests to loopback, under a name of its own (DNS rebinding) or from its own
/// origin. Only plain clients that mean this address are served.
fn guard(request: &Request) -> Result<(), Refusal> {
    if request.header("origin").is_some() {
        return Err((
            403,
            "requests of web pages (those with an origin) are refused".to_owned(),
        ));
    }
    let host = request.header("host").unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    if matches!(name, "127.0.0.1" | "[::1]") || name.eq_ignore_ascii_case("localhost") {
        return Ok(());
    }
    Err((403, "the host must be 127.0.0.1 or localhost".to_owned()))
}

fn unknown(name: &str, stand_ins: &[Arc<StandIn>]) -> Refusal {
    let names: Vec<&str> = stand_ins.iter().map(|it| it.identity.name.as_str()).collect();
    let help = nearest(name, names.iter().copied()).map_or(String::new(), |near| format!("; did you mean {near}?"));
    (
        404,
        format!(
            "no upstream has the name {name}{help} (there are: {})",
            names.join(", ")
        ),
    )
}

fn state(stand_in: &StandIn) -> Value {
    let faults = stand_in.faults();
    let models: serde_json::Map<String, Value> = faults
        .by_model
        .iter()
        .map(|(model, fault)| (model.clone(), json!(fault.to_string())))
        .collect();
    let protocols: Vec<&str> = stand_in
        .identity
        .protocols
        .iter()
        .copied()
        .map(Protocol::name)
        .collect();
    let counts = &stand_in.counts;
    json!({
        "name": stand_in.identity.name,
        "address": stand_in.address.to_string(),
        "protocols": protocols,
        "provider": stand_in.identity.provider,
        "fault": faults.all.to_string(),
        "models": models,
        "requests": counts.requests.load(Ordering::Relaxed),
        "faulted": counts.faulted.load(Ordering::Relaxed),
        "abandoned": counts.abandoned.load(Ordering::Relaxed),
    })
}
