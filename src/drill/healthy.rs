//! Answers of a healthy provider, or ones that begin that way and turn out to be an error. Pure: what differs each time
//! is in a [`Stamp`].

use serde_json::json;

use super::answer::{Answer, Body};
use super::asked::{Asked, Endpoint};
use super::provider::{Family, Identity, Stamp, headers};
use super::refusal;
use super::{chat, embeddings, messages, models, responses};

/// Returns what a healthy provider answers.
pub(crate) fn answer(identity: &Identity, asked: &Asked, stamp: &Stamp) -> Answer {
    let family = identity.family(asked.protocol);
    let mut headers = headers(family, stamp, None);
    let body = if asked.stream {
        headers.push(("content-type", "text/event-stream; charset=utf-8".to_owned()));
        headers.push(("cache-control", "no-cache".to_owned()));
        Body::Stream(events(identity, asked, stamp))
    } else {
        headers.push(("content-type", "application/json".to_owned()));
        let body = match asked.endpoint {
            Endpoint::Chat => chat::whole(identity, asked, stamp),
            Endpoint::Completions => chat::legacy(identity, asked, stamp),
            Endpoint::Embeddings => embeddings::whole(asked),
            Endpoint::Responses => responses::whole(identity, asked, stamp),
            Endpoint::Messages => messages::whole(identity, asked, stamp),
            Endpoint::CountTokens => json!({ "input_tokens": asked.input_tokens }),
            Endpoint::Models => models::whole(identity, asked, stamp),
        };
        Body::Whole(body.to_string().into_bytes())
    };
    Answer {
        status: 200,
        headers,
        body,
    }
}

fn events(identity: &Identity, asked: &Asked, stamp: &Stamp) -> Vec<String> {
    let mut events = match asked.endpoint {
        Endpoint::Responses => responses::events(identity, asked, stamp),
        Endpoint::Messages => messages::events(identity, asked, stamp),
        Endpoint::Completions => chat::legacy_events(identity, asked, stamp),
        _ => chat::events(identity, asked, stamp),
    };
    if identity.family(asked.protocol) == Family::OpenRouter {
        events.insert(0, ": OPENROUTER PROCESSING\n\n".to_owned());
    }
    events
}

/// Returns status 200 with an error before anything meaningful: as an event where the request streams, else as the
/// body.
pub(crate) fn with_error_inside(identity: &Identity, asked: &Asked, stamp: &Stamp, in_stream: bool) -> Answer {
    let mut answer = answer(identity, asked, stamp);
    match &mut answer.body {
        Body::Stream(events) if in_stream => {
            let comments = events.iter().take_while(|event| event.starts_with(':')).count();
            events.truncate(comments + asked.endpoint.opening());
            events.extend(refusal::events(identity, asked, stamp));
        }
        body => {
            answer.headers.retain(|(name, _)| *name != "content-type");
            answer.headers.push(("content-type", "application/json".to_owned()));
            *body = Body::Whole(refusal::body_in_200(identity, asked).to_string().into_bytes());
        }
    }
    answer
}
