//! Intake: the request is read as far as routing needs, and planned or answered here.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, StatusCode};
use pingora::{Error, Result};
use pingora_proxy::Session;
use tokio::time::Instant;

use super::attempt::Attempt;
use super::browser;
use super::chain::{Chain, Client};
use super::context::{RequestContext, Stage, Trying};
use super::headers;
use super::intent::{Intent, is_multipart};
use super::patience::Patience;
use super::pingora_error::NOBODY_LEFT;
use super::reading;
use super::recorder::Recorder;
use super::refusal::{Refusal, Stop};
use super::reply;
use super::unrouted::unrouted;
use crate::body::{Replay, Uses};
use crate::protocol::account::{Guard, guard_of};
use crate::protocol::endpoint::{REALTIME, endpoint, names_model};
use crate::protocol::path::{self, PathFault};
use crate::protocol::query::{self, QueryFault};
use crate::protocol::request_header::{HEADER_MAX_BYTES, HeaderFault, is_length};
use crate::protocol::{Protocol, StreamKind, models, percent};
use crate::routing::{Route, Step, pinned_plan, plan};

/// Answers the request (`Ok(true)`) or leaves it planned in the context (`Ok(false)`).
pub(super) async fn take_in(session: &mut Session, ctx: &mut RequestContext) -> Result<bool> {
    session.set_read_timeout(Some(ctx.asked.snapshot.client_timeout));
    if session.is_http2() {
        // Of a stream. On the connection itself, and so for HTTP/1, the server has a clock.
        session.set_write_timeout(Some(ctx.asked.snapshot.send_timeout));
    }
    let path = match screen(session, ctx) {
        Ok(Screened::Preflight) => {
            let header = browser::preflight(session.req_header())?;
            return reply::empty(session, ctx, header).await.map(|()| true);
        }
        Ok(Screened::Path(path)) => path,
        Err(refusal) => {
            ctx.asked.protocol = Protocol::of_path(session.req_header().uri.path());
            return reply::refuse(session, ctx, refusal).await.map(|()| true);
        }
    };
    let endpoint = endpoint(&path);
    ctx.asked.protocol = Protocol::of_request(endpoint, &session.req_header().headers);
    if session.req_header().method == Method::POST {
        ctx.asked.kind = StreamKind::of_path(endpoint);
    }
    let planned = match intent(session, &path) {
        Intent::Greet => return reply::greet(session, ctx).await.map(|()| true),
        Intent::Telemetry => {
            // Read and thrown away, so that the connection can be kept.
            if let Err(Stop::Failed(error)) = reading::invite(session).await {
                return Err(error);
            }
            reply::linger(session).await;
            let request = session.req_header();
            Err(Refusal::Telemetry {
                method: request.method.clone(),
                path: request.uri.path().to_owned(),
            }
            .into())
        }
        Intent::ListModels => return list_models(session, ctx).await,
        Intent::ShowModel(id) => return show_model(session, ctx, &id).await,
        Intent::Route => route(session, ctx, endpoint).await,
        Intent::PassThrough => pass_through(session, ctx, Replay::default()),
        Intent::Hold => hold(session, ctx, endpoint).await,
        Intent::Relay => match realtime_model(session, endpoint) {
            Ok(Some(model)) => realtime(session, ctx, &model),
            Ok(None) => relay(session, ctx),
            Err(fault) => Err(Refusal::Query(fault).into()),
        },
    };
    match planned {
        Ok(stage) => {
            ctx.stage = stage;
            Ok(false)
        }
        Err(Stop::Refused(refusal)) => reply::refuse(session, ctx, refusal).await.map(|()| true),
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// Returns what the server has found wrong with the header. That of an HTTP/2 request is checked here: there the server
/// checks only what HTTP/2 itself requires.
fn refuse_header(session: &Session, ctx: &RequestContext) -> Option<Refusal> {
    let fault = ctx.asked.header_fault.or_else(|| {
        let request = session.as_http2()?.req_header();
        let target_bytes = request.uri.path_and_query().map_or(0, |target| target.as_str().len());
        let fields = request.headers.iter();
        let fields_bytes: usize = fields.map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        let mut lengths = request.headers.get_all(CONTENT_LENGTH).iter();
        if target_bytes > HEADER_MAX_BYTES {
            Some(HeaderFault::TargetTooLong)
        } else if target_bytes + fields_bytes > HEADER_MAX_BYTES {
            Some(HeaderFault::TooLarge)
        } else if lengths.next().is_some_and(|length| !is_length(length.as_bytes())) || lengths.next().is_some() {
            Some(HeaderFault::ContentLength)
        } else {
            None
        }
    });
    Some(match fault? {
        HeaderFault::Connect => Refusal::MethodNotAllowed,
        fault => Refusal::Header(fault),
    })
}

/// A request whose header is in order.
enum Screened {
    /// Its path in the normal form.
    Path(String),
    /// A browser asks whether a page may send another.
    Preflight,
}

/// Checks the header alone: whether it is well formed, whose page sends it, and which path it asks for.
fn screen(session: &mut Session, ctx: &mut RequestContext) -> Result<Screened, Refusal> {
    let admitted = browser::admit(
        &ctx.asked.snapshot.browser_rules,
        session.req_header(),
        session.server_addr(),
    );
    // A refusal for another reason is for the page to read, too.
    ctx.asked.cors = admitted.as_ref().ok().and_then(|admitted| admitted.cors.clone());
    if let Some(refusal) = refuse_header(session, ctx) {
        return Err(refusal);
    }
    if admitted?.is_preflight {
        return Ok(Screened::Preflight);
    }
    normal_path(session, ctx.asked.snapshot.table.passthrough.is_some()).map(Screened::Path)
}

/// The request's path in its normal form, which everything sees from here on.
fn normal_path(session: &mut Session, has_passthrough: bool) -> Result<String, Refusal> {
    let request = session.req_header();
    match request.method {
        Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::PATCH | Method::DELETE => {}
        Method::OPTIONS if has_passthrough => {}
        Method::OPTIONS | Method::TRACE | Method::CONNECT => return Err(Refusal::MethodNotAllowed),
        _ => return Err(Refusal::UnknownMethod),
    }
    if !request.raw_path_is_utf8() {
        return Err(Refusal::Path(PathFault::NotUtf8));
    }
    let path = request.uri.path();
    let normal = path::normal(path).map_err(Refusal::Path)?.into_owned();
    if normal != path {
        let query = request.uri.query().map(|query| format!("?{query}"));
        let target = format!("{normal}{}", query.unwrap_or_default());
        let uri = target.try_into().map_err(|_| Refusal::Path(PathFault::Control))?;
        session.req_header_mut().set_uri(uri);
    }
    Ok(normal)
}

fn intent(session: &mut Session, path: &str) -> Intent {
    let is_empty = session.as_mut().is_body_empty();
    let request = session.req_header();
    Intent::of(&request.method, path, &request.headers, is_empty)
}

async fn route(session: &mut Session, ctx: &mut RequestContext, endpoint: &str) -> Result<Stage, Stop> {
    let body = reading::read(session, ctx, endpoint).await?;
    ctx.asked.bytes_in = body.len();
    ctx.asked.stream = body.facts().stream;
    match &body.facts().model {
        Some(model) => {
            ctx.asked.model = Some(Arc::from(model.name.as_str()));
            let pinned = body.facts().pinned;
            plan_route(session, ctx, body, pinned)
        }
        // What an account keeps may say which model is meant.
        None if names_model(endpoint) && !(body.facts().pinned && ctx.asked.snapshot.table.passthrough.is_some()) => {
            Err(Refusal::NoModel {
                is_form: is_multipart(&session.req_header().headers),
            }
            .into())
        }
        None => pass_through(session, ctx, body),
    }
}

/// Returns the model that a realtime session asks for in its query. Elsewhere a query routes nothing.
fn realtime_model(session: &Session, endpoint: &str) -> Result<Option<String>, QueryFault> {
    let request = session.req_header();
    match endpoint == REALTIME && headers::asks_to_switch(request) {
        true => query::model(request.uri.query().unwrap_or_default()),
        false => Ok(None),
    }
}

/// Plans a websocket by the model in its query. One that has no route is relayed like any other, where that can be.
fn realtime(session: &mut Session, ctx: &mut RequestContext, model: &str) -> Result<Stage, Stop> {
    let table = &ctx.asked.snapshot.table;
    if table.route(model).is_none() && table.passthrough.is_some() {
        return relay(session, ctx);
    }
    ctx.asked.model = Some(Arc::from(model));
    ctx.asked.switches = true;
    plan_route(session, ctx, Replay::default(), false)
}

fn plan_route(session: &Session, ctx: &mut RequestContext, mut body: Replay, pinned: bool) -> Result<Stage, Stop> {
    let model = ctx.asked.model.clone().unwrap_or_default();
    let table = &ctx.asked.snapshot.table;
    let Some(route) = table.route(&model) else {
        let closest = table.closest(&model);
        return Err(Refusal::UnknownModel {
            model: model.to_string(),
            closest,
        }
        .into());
    };
    ctx.asked.route = Some(Arc::clone(route));
    let now = Instant::now();
    let plan = if pinned {
        let may_move = session.req_header().method == Method::POST;
        pinned_plan(route, &model, ctx.asked.protocol, may_move, now)
    } else {
        plan(route, &model, ctx.asked.protocol, now, |below| fastrand::u32(0..below))
    };
    if plan.steps.is_empty() {
        let other = table.target_speaking(ctx.asked.protocol);
        return Err(Refusal::WrongProtocol {
            model: model.to_string(),
            protocol: ctx.asked.protocol,
            other,
        }
        .into());
    }
    let changes = |step: &Step| {
        let is_renamed = step.model.as_deref().is_some_and(|name| *name != *model);
        is_renamed || !step.target.body.is_empty()
    };
    let may_resume = ctx.asked.stream && plan.steps.iter().any(|step| step.target.can_resume());
    // Those that were left out may be asked in the end.
    let all = || plan.steps.iter().chain(&plan.resting).chain(&plan.makers);
    let uses = Uses {
        raw: !all().all(changes),
        plain: may_resume || all().any(changes),
    };
    body.keep_for(uses, ctx.asked.snapshot.memory.share());
    let client = client(session, ctx, &body);
    let mut chain = Chain::new(Arc::clone(route), plan, body, client);
    if ctx.asked.switches {
        chain.never_deliver();
    }
    Ok(trying(chain))
}

/// Plans a request that names no model, on a path that needs none. Its one upstream is tried as a route's target would
/// be.
fn pass_through(session: &mut Session, ctx: &mut RequestContext, mut body: Replay) -> Result<Stage, Stop> {
    let route = passthrough_route(session, ctx)?;
    let uses = Uses {
        raw: true,
        plain: false,
    };
    body.keep_for(uses, ctx.asked.snapshot.memory.share());
    let plan = pinned_plan(&route, "", ctx.asked.protocol, false, Instant::now());
    let client = client(session, ctx, &body);
    Ok(trying(Chain::new(route, plan, body, client)))
}

fn trying(chain: Chain) -> Stage {
    Stage::Trying(Box::new(Trying { chain, resuming: None }))
}

/// Plans a request that is relayed as it arrives.
fn relay(session: &mut Session, ctx: &mut RequestContext) -> Result<Stage, Stop> {
    let route = passthrough_route(session, ctx)?;
    let plan = pinned_plan(&route, "", ctx.asked.protocol, false, Instant::now());
    let step = plan
        .steps
        .into_iter()
        .next()
        .expect("a passthrough route that speaks the protocol has one step");
    let Some(slot) = step.target.upstream.enter() else {
        let mut recorder = Recorder {
            asked: &ctx.asked,
            progress: &mut ctx.progress,
        };
        Attempt::full(&step, &mut recorder);
        return Err(Stop::Failed(Error::explain(NOBODY_LEFT, "the upstream is full")));
    };
    Ok(Stage::Relaying(Attempt::relayed(step, slot, Instant::now())))
}

/// Plans a request whose body is read, although no model in it routes the request.
async fn hold(session: &mut Session, ctx: &mut RequestContext, endpoint: &str) -> Result<Stage, Stop> {
    // What would be refused need not be received.
    passthrough_route(session, ctx)?;
    let body = reading::read(session, ctx, endpoint).await?;
    ctx.asked.bytes_in = body.len();
    ctx.asked.stream = body.facts().stream;
    pass_through(session, ctx, body)
}

fn passthrough_route(session: &mut Session, ctx: &mut RequestContext) -> Result<Arc<Route>, Stop> {
    let is_empty = session.as_mut().is_body_empty();
    let table = &ctx.asked.snapshot.table;
    let request = session.req_header();
    let guard = guard_of(request.uri.path());
    let Some(route) = table.passthrough.clone() else {
        return Err(Refusal::NoPassthrough {
            method: request.method.clone(),
            path: request.uri.path().to_owned(),
            why: unrouted(&request.method, request.uri.path(), &request.headers, is_empty),
        }
        .into());
    };
    if guard == Some(Guard::Administered) && !table.opens(request.uri.path()) {
        return Err(Refusal::Administered {
            method: request.method.clone(),
            path: request.uri.path().to_owned(),
            upstream: route
                .targets()
                .map(|target| Arc::clone(&target.upstream.name))
                .next()
                .unwrap_or_default(),
        }
        .into());
    }
    if !route.targets().any(|target| target.upstream.speaks(ctx.asked.protocol)) {
        return Err(Refusal::PassthroughProtocol {
            protocol: ctx.asked.protocol,
        }
        .into());
    }
    ctx.asked.route = Some(Arc::clone(&route));
    Ok(route)
}

async fn list_models(session: &mut Session, ctx: &mut RequestContext) -> Result<bool> {
    let names = ctx.asked.snapshot.table.models();
    let names = names.iter().map(|name| &**name);
    let body = models::list(ctx.asked.protocol, names, ctx.asked.snapshot.loaded_at);
    reply::json(session, ctx, StatusCode::OK, body).await.map(|()| true)
}

async fn show_model(session: &mut Session, ctx: &mut RequestContext, encoded: &str) -> Result<bool> {
    // Names may hold slashes and what else SDKs encode; in a normal path everything can be decoded.
    let id = percent::decoded(encoded).unwrap_or(Cow::Borrowed(encoded.as_bytes()));
    let id = String::from_utf8_lossy(&id).into_owned();
    let table = &ctx.asked.snapshot.table;
    if table.route(&id).is_some() {
        let body = models::one(ctx.asked.protocol, &id, ctx.asked.snapshot.loaded_at);
        return reply::json(session, ctx, StatusCode::OK, body).await.map(|()| true);
    }
    let closest = table.closest(&id);
    reply::refuse(session, ctx, Refusal::UnknownModel { model: id, closest })
        .await
        .map(|()| true)
}

/// Reads what the client says of itself, and sees what it does not say.
fn client(session: &Session, ctx: &RequestContext, body: &Replay) -> Client {
    let headers = &session.req_header().headers;
    Client {
        received: ctx.asked.received,
        streams: ctx.asked.stream,
        retries: client_retries(headers) || ctx.asked.snapshot.recent_failures.has(body, Instant::now()),
        patience: Patience::of(headers, ctx.asked.received),
    }
}

/// Returns whether the client retries by itself: OpenAI's and Anthropic's SDKs say how often they have tried already.
fn client_retries(headers: &HeaderMap) -> bool {
    let count = headers
        .get("x-stainless-retry-count")
        .and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    count.is_some_and(|count| count > 0)
}
