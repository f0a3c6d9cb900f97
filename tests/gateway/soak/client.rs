//! One of many clients: it asks, one request after the other, and looks closely at what it gets. Sometimes it leaves.

use std::time::Duration;

use fastrand::Rng;
use tokio::time::{Instant, sleep, timeout};

use super::connection::Entrances;
use super::model_of;
use super::prompt::{Prompt, Told};
use crate::support::*;

/// Of so many requests, one is not waited for, and one not even sent to its end.
const LEAVES_ONE_IN: u32 = 15;

/// How long a client waits after an error, as SDKs do.
const BACKOFF_MS: std::ops::Range<u64> = 100..500;

/// What came of a client's requests.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) sent: usize,
    /// The whole answer.
    pub(super) whole: usize,
    /// An error that says so.
    pub(super) failed: usize,
    /// An answer that began, and visibly broke off.
    pub(super) broken: usize,
    /// It left.
    pub(super) left: usize,
    /// The requests' ids, of the responses that it got.
    pub(super) ids: Vec<String>,
}

pub(super) async fn ask_until(end: Instant, client: usize, seed: u64, entrances: Entrances) -> Tally {
    let mut rng = Rng::with_seed(seed);
    let mut tally = Tally::default();
    let mut kept = None;
    while Instant::now() < end {
        let prompt = Prompt::new(client, tally.sent, rng.bool());
        let body = prompt.body(&model_of(client));
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => entrances.connect(client).await,
        };
        tally.sent += 1;
        match rng.u32(..LEAVES_ONE_IN) {
            0 => {
                connection.send_part(&body, rng.usize(1..body.len())).await;
                tally.left += 1;
            }
            1 => {
                let patience = Duration::from_millis(rng.u64(..1000));
                let asked = connection.send(&body).await;
                if let Ok(response) = timeout(patience, asked.answer()).await {
                    tally.note(&prompt, &response);
                } else {
                    tally.left += 1;
                }
            }
            _ => {
                let response = connection.send(&body).await.answer().await;
                tally.note(&prompt, &response);
                let stays = response.end == End::Clean && response.header("connection") != Some("close");
                kept = stays.then_some(connection);
                if response.status() >= 400 {
                    sleep(Duration::from_millis(rng.u64(BACKOFF_MS))).await;
                }
            }
        }
    }
    tally
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.whole += other.whole;
        self.failed += other.failed;
        self.broken += other.broken;
        self.left += other.left;
        self.ids.extend(other.ids);
    }

    fn note(&mut self, prompt: &Prompt, response: &Response) {
        let is_stream = response.header("content-type") == Some("text/event-stream");
        let count = match (response.status(), &response.end) {
            (200, End::Clean) if is_whole(prompt, response, is_stream) => &mut self.whole,
            // An upstream's own error event, kept while others were asked: what would have come after it was not waited for.
            (200, End::Aborted(_)) if is_stream && response.text() == prompt.error_event() => &mut self.failed,
            (200, End::Aborted(_)) if is_stream => {
                check_broken_stream(prompt, response);
                &mut self.broken
            }
            (200, End::Aborted(_)) => {
                let (text, whole) = (response.text(), prompt.completion());
                assert!(
                    whole.starts_with(&text) && text != whole,
                    "what breaks off begins well: {text}"
                );
                &mut self.broken
            }
            _ => {
                check_error(prompt, response, is_stream);
                &mut self.failed
            }
        };
        *count += 1;
        self.ids.push(response.id());
    }
}

fn is_whole(prompt: &Prompt, response: &Response, is_stream: bool) -> bool {
    if !is_stream {
        return !prompt.stream && response.text() == prompt.completion();
    }
    // One that was gone on with is another sequence of events, and tells the same.
    let told = Told::by(&response.text());
    prompt.stream && told.text == prompt.story() && (told.roles, told.finishes, told.done) == (1, 1, true)
}

/// It begins like the whole one, and ends with one error event of the gateway's.
fn check_broken_stream(prompt: &Prompt, response: &Response) {
    let text = response.text();
    let (begin, event) = text
        .rsplit_once("data: {\"error\"")
        .unwrap_or_else(|| panic!("it breaks off without a word: {text}"));
    let told = Told::by(begin);
    assert!(
        prompt.story().starts_with(&told.text) && told.finishes == 0 && !begin.contains("error"),
        "what breaks off begins well, and isn't over: {text}"
    );
    assert!(
        event.contains(&response.id()) && event.ends_with("\n\n"),
        "it says of which request: {text}"
    );
}

/// A JSON error, or the upstream's own within a stream; whole.
fn check_error(prompt: &Prompt, response: &Response, is_stream: bool) {
    let text = response.text();
    assert_eq!(response.end, End::Clean, "{:?} {text}", response.head);
    let status = response.status();
    if status == 200 {
        let inside = if is_stream {
            prompt.error_event()
        } else {
            prompt.error_inside()
        };
        assert_eq!(text, inside, "neither an answer nor an error");
    } else {
        assert!(
            [402, 429, 500, 502, 503, 504].contains(&status),
            "{status} is nobody's answer: {text}"
        );
        let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap_or_default();
        assert!(
            body["error"]["message"].is_string(),
            "{status} with an error in no shape: {text}"
        );
    }
}
