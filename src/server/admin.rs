//! The admin listener, for an operator and a monitoring system. It reads and never changes anything, shows no secret,
//! and keeps serving while the gateway drains.

mod answer;
mod events;
mod guard;
mod page;
mod places;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, StatusCode};
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use pingora::services::Service;
use pingora::services::listening::Service as ListeningService;
use tokio::time::{Instant, timeout};

use super::activation::Inherited;
use super::gateway_status::GatewayStatus;
use super::listeners::{Listeners, OpenSockets};
use super::service_stop::{OnBoundSockets, ServiceStop};
use super::start_error::StartError;
use crate::config::{self, ListenAddress, Listener};
use answer::Answer;
use events::Events;
use guard::{Guard, Refusal};
use page::Page;
use places::{Place, Places};

/// A unix socket is for the user that runs the gateway, and for that user's group.
const SOCKET_MODE: u32 = 0o660;
/// How long a request's header may take, including the wait on a kept connection.
const HEADER_MAX: Duration = Duration::from_secs(5);
/// How long the peer may take to receive an answer, or the next event.
const WRITE_MAX: Duration = Duration::from_secs(10);

/// The text format that every Prometheus reads.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const EVENTS: &str = "/status/events";
const PATHS: [&str; 6] = ["/", "/status", EVENTS, "/metrics", "/healthz", "/readyz"];

/// The admin listener's socket, bound.
pub(super) struct AdminListener<'a> {
    config: &'a config::Admin,
    sockets: Listeners,
}

impl<'a> AdminListener<'a> {
    pub(super) fn bind(
        config: &'a config::Admin,
        inherited: &mut Inherited,
        open: &OpenSockets,
    ) -> Result<Self, StartError> {
        let listener = Listener {
            socket_mode: Some(SOCKET_MODE),
            ..Listener::plain(config.address.clone())
        };
        Ok(Self {
            config,
            sockets: Listeners::bind(&[listener], inherited, open)?,
        })
    }

    /// Serves what `gateway` tells, on a thread of its own, until the process ends or another takes over: the operator
    /// wants to look while it drains.
    pub(super) fn service(self, gateway: GatewayStatus, stop: ServiceStop) -> impl Service + use<> {
        let app = Admin::new(self.config, Arc::new(gateway));
        let mut service = ListeningService::new("admin".to_owned(), app);
        service.threads = Some(1);
        for one in self.sockets.iter() {
            match &self.config.address {
                ListenAddress::Tcp(_) => service.add_tcp(one.name()),
                ListenAddress::Unix(_) => service.add_uds(one.name(), None),
            }
            log::info!(address = one.bound().to_string().as_str(); "admin listener");
        }
        OnBoundSockets::new(service, self.sockets.sockets(), stop, Vec::new())
    }
}

struct Admin {
    gateway: Arc<GatewayStatus>,
    guard: Guard,
    page: Page,
    events: Events,
    places: Places,
}

impl Admin {
    fn new(config: &config::Admin, gateway: Arc<GatewayStatus>) -> Self {
        Self {
            guard: Guard::new(config.hosts.clone()),
            page: Page::assemble(),
            events: Events::of(Arc::clone(&gateway)),
            places: Places::default(),
            gateway,
        }
    }

    /// The answer to a request. `None`: it is a stream of events.
    fn answer(&self, session: &ServerSession) -> Option<Answer> {
        let request = session.req_header();
        let local = session.server_addr().and_then(|address| address.as_inet());
        if let Err(refusal) = self
            .guard
            .check(&request.uri, &request.headers, local.map(SocketAddr::ip))
        {
            return Some(refused(refusal));
        }
        let path = request.uri.path();
        if !PATHS.contains(&path) {
            let message = format!("nothing is here; there are {}", PATHS.join(", "));
            return Some(Answer::error(StatusCode::NOT_FOUND, "not_found", &message));
        }
        if !matches!(request.method, Method::GET | Method::HEAD) {
            let message = "the admin listener only tells how things are: ask with GET or HEAD";
            let answer = Answer::error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message);
            return Some(answer.header("allow", "GET, HEAD"));
        }
        match path {
            "/" => Some(self.page.answer()),
            "/status" => Some(Answer::json(StatusCode::OK, &self.gateway.status(Instant::now()))),
            "/metrics" => Some(Answer::new(StatusCode::OK, PROMETHEUS, self.gateway.metrics())),
            "/healthz" => Some(Answer::json(StatusCode::OK, &serde_json::json!({ "healthy": true }))),
            "/readyz" => Some(self.readiness()),
            _ => None,
        }
    }

    fn readiness(&self) -> Answer {
        match self.gateway.unready() {
            None => Answer::json(StatusCode::OK, &serde_json::json!({ "ready": true })),
            Some(reason) => Answer::json(
                StatusCode::SERVICE_UNAVAILABLE,
                &serde_json::json!({ "ready": false, "reason": reason }),
            ),
        }
    }
}

fn refused(refusal: Refusal) -> Answer {
    match refusal {
        Refusal::ForeignHost => Answer::error(
            StatusCode::MISDIRECTED_REQUEST,
            "foreign_host",
            "the `host` of this request is no name of the admin listener, and might be somebody else's. Ask by a loopback address or \
             `localhost`, or add the name to the configuration: `admin: { address: …, hosts: [NAME] }`",
        ),
        Refusal::ForeignOrigin => Answer::error(
            StatusCode::FORBIDDEN,
            "foreign_origin",
            "a page of another site asks, and is told nothing. Open the admin listener's own address in a tab, or ask without a browser",
        ),
    }
}

#[async_trait]
impl HttpServerApp for Admin {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        _shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let place = self.places.take(Instant::now());
        tokio::select! {
            biased;
            reusable = self.serve(session, &place) => reusable,
            () = place.given_up() => None,
        }
    }
}

impl Admin {
    /// Answers one request. `None`: the connection has ended.
    async fn serve(&self, mut session: ServerSession, place: &Place<'_>) -> Option<ReusedHttpStream> {
        session.set_write_timeout(Some(WRITE_MAX));
        // What can't be read as HTTP, or never comes, is closed without a word.
        if !matches!(timeout(HEADER_MAX, session.read_request()).await, Ok(Ok(true))) {
            return None;
        }
        place.answering();
        if !session.is_body_empty() {
            // Nobody reads it.
            session.set_keepalive(None);
        }
        match self.answer(&session) {
            Some(answer) => timeout(WRITE_MAX, answer.write(&mut session)).await.ok()?.ok()?,
            None => self.events.serve(&mut session, place).await?,
        }
        let settings = HttpPersistentSettings::for_session(&session);
        let reusable = session.finish().await.ok()??;
        Some(ReusedHttpStream::from_reusable_stream(reusable, settings))
    }
}
