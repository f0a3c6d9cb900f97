//! Reading a request's body: to its end, and for what routing needs to know.

mod receive;
mod room;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use pingora_proxy::Session;
use tokio::time::Instant;

use super::context::RequestContext;
use super::intent::is_multipart;
use super::off_workers::{INLINE_MAX_BYTES, OffWorkers, Turn};
use super::refusal::Refusal;
use super::refusal::Stop;
use crate::body::{Decoding, Encoding, Facts, Replay, ScanError, boundary, scan, scan_form};
use crate::protocol::endpoint::names_model;
use room::Room;

pub(super) use receive::{broken, invite};

/// The most that is decoded between two looks at whether there is room for more.
const STEP_MAX_BYTES: usize = 4 * 1024 * 1024;

/// The whole body, and the facts that it states.
pub(super) async fn read(session: &mut Session, ctx: &mut RequestContext, endpoint: &str) -> Result<Replay, Stop> {
    let headers = &session.req_header().headers;
    // What could not be read in the end need not be received.
    if headers.get_all(CONTENT_TYPE).iter().nth(1).is_some() {
        return Err(Refusal::ContentTypeTwice.into());
    }
    let encoding = Encoding::of(headers).map_err(Refusal::Encoding)?;
    let language = Language::of(headers, endpoint).map_err(Stop::Refused)?;
    let mut room = Room::new(&ctx.asked.snapshot.memory);
    let raw = receive::receive(session, ctx, &mut room).await?;
    ctx.asked.read_at = Instant::now();
    let off_workers = &ctx.asked.snapshot.off_workers;
    match encoding.filter(|_| !raw.is_empty()) {
        None => {
            let facts = language.read(raw.clone(), None, off_workers).await?;
            Ok(Replay::plain_one(raw, facts))
        }
        Some(encoding) => {
            let decoding =
                Decoding::new(encoding, raw.clone(), ctx.asked.snapshot.max_body_bytes).map_err(Refusal::Encoding)?;
            let (decoded, turn) = decode(session, decoding, raw.len(), &mut room, off_workers).await?;
            let facts = language.read(decoded.clone(), turn, off_workers).await?;
            Ok(Replay::compressed(raw, decoded, facts))
        }
    }
}

/// Decodes a body that came as `raw_bytes`: what is small at once, the rest off the workers, in steps for which room is made.
async fn decode(
    session: &mut Session,
    mut decoding: Decoding,
    raw_bytes: usize,
    room: &mut Room,
    off_workers: &OffWorkers,
) -> Result<(Bytes, Option<Turn>), Stop> {
    let mut share = room.share();
    let mut turn = None;
    let mut until = INLINE_MAX_BYTES / 4;
    loop {
        // What is just larger than could fit is not known to be so before a byte more is asked for.
        let most = room.most_beside(raw_bytes).max(decoding.len() + 1);
        until = until.min(decoding.most_bytes()).min(most);
        room.make(session, &mut share, until, raw_bytes).await?;
        let is_last = if until <= INLINE_MAX_BYTES && turn.is_none() && decoding.has_small_steps() {
            decoding.advance(until)
        } else {
            let mine = match turn.take() {
                Some(turn) => turn,
                None => off_workers.turn().await.ok_or_else(|| room.busy())?,
            };
            let work = move || {
                let advanced = decoding.advance(until);
                // The share goes along, so that what is worked on is counted even if its client has left.
                (decoding, share, advanced)
            };
            let (mine, (advanced, grown, done)) = mine.run(work).await;
            (decoding, share) = (advanced, grown);
            turn = Some(mine);
            done
        };
        if is_last.map_err(Refusal::Encoding)? {
            return Ok((decoding.finish(share), turn));
        }
        until = decoding.len() + decoding.len().min(STEP_MAX_BYTES);
    }
}

/// How a body is to be read.
enum Language {
    Form {
        boundary: Vec<u8>,
    },
    /// `must_name_model`: where none is to be expected, JSON that is no object, or nothing, will do.
    Json {
        must_name_model: bool,
    },
}

impl Language {
    fn of(headers: &HeaderMap, endpoint: &str) -> Result<Self, Refusal> {
        if !is_multipart(headers) {
            return Ok(Self::Json {
                must_name_model: names_model(endpoint),
            });
        }
        let content_type = headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        let boundary = boundary(content_type).map_err(Refusal::Form)?;
        Ok(Self::Form { boundary })
    }

    /// What `body` says. A large one is read in a `turn`, or in one that is waited for.
    async fn read(self, body: Bytes, turn: Option<Turn>, off_workers: &OffWorkers) -> Result<Facts, Refusal> {
        if body.len() <= INLINE_MAX_BYTES {
            return self.facts(&body);
        }
        let turn = match turn {
            Some(turn) => turn,
            None => off_workers.turn().await.ok_or(Refusal::Busy)?,
        };
        turn.run(move || self.facts(&body)).await.1
    }

    fn facts(&self, body: &[u8]) -> Result<Facts, Refusal> {
        match self {
            Self::Form { boundary } => scan_form(body, boundary).map_err(Refusal::Form),
            Self::Json { must_name_model } => match scan(body) {
                Err(ScanError::Empty | ScanError::NotAnObject) if !must_name_model => Ok(Facts::default()),
                scanned => scanned.map_err(Refusal::Body),
            },
        }
    }
}
