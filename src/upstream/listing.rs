//! The models that an upstream lists: what is known of them, and when it is asked next. It is given `now`; the caller asks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

/// How often a list is read again.
const EVERY: Duration = Duration::from_secs(600);
/// How soon one is asked for again that could not be read.
const FAILING_EVERY: Duration = Duration::from_secs(60);
/// How many models are taken from a list, and how long their names may be.
const MODELS_MAX: usize = 4096;
const NAME_MAX_BYTES: usize = 256;

/// The list of one upstream. Clones share it, as do the upstream's successors after a reload.
#[derive(Debug, Clone, Default)]
pub struct Listing(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    models: Arc<[Arc<str>]>,
    next: Option<Instant>,
    is_asked: bool,
    fails: bool,
}

/// Permission to ask once. However it ends, it may be asked again in due time.
#[derive(Debug)]
pub struct Turn(Listing);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.lock().is_asked = false;
    }
}

impl Listing {
    /// The names there, as they were read last; none before that.
    pub fn models(&self) -> Arc<[Arc<str>]> {
        Arc::clone(&self.lock().models)
    }

    /// Gives permission to ask, if that is due and nobody does.
    pub fn begin(&self, now: Instant) -> Option<Turn> {
        let mut state = self.lock();
        if state.is_asked || state.next.is_some_and(|next| now < next) {
            return None;
        }
        state.is_asked = true;
        state.next = Some(now + FAILING_EVERY);
        drop(state);
        Some(Turn(self.clone()))
    }

    /// Takes what was read; `None`: nothing could be, and what was known stays. Returns whether an operator should learn of
    /// it: that lists can't be read (`Some(true)`), or can be again.
    pub fn learn(&self, models: Option<Vec<Arc<str>>>, now: Instant) -> Option<bool> {
        let mut state = self.lock();
        let fails = models.is_none();
        if let Some(models) = models {
            state.models = models.into();
            state.next = Some(now + EVERY);
        }
        let before = std::mem::replace(&mut state.fails, fails);
        (before != fails).then_some(fails)
    }

    /// Nothing panics while it holds this lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a list of models: `{ "data": [ { "id": NAME }, … ] }`, or that array alone.
///
/// Sources: <https://platform.openai.com/docs/api-reference/models/list>, <https://docs.anthropic.com/en/api/models-list>,
/// <https://docs.together.ai/reference/models-1> (the array alone).
pub fn read(body: &[u8]) -> Option<Vec<Arc<str>>> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let data = body.get("data").unwrap_or(&body).as_array()?;
    let names = data.iter().filter_map(|model| model.get("id")?.as_str());
    let good = |name: &&str| !name.is_empty() && name.len() <= NAME_MAX_BYTES && !name.chars().any(char::is_control);
    Some(names.filter(good).take(MODELS_MAX).map(Arc::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_in_either_shape() {
        let names = |body: &str| read(body.as_bytes()).map(|names| names.join(","));
        assert_eq!(
            names(r#"{"data":[{"id":"a"},{"id":"b/c"},{"id":7},{}],"has_more":false}"#),
            Some("a,b/c".to_owned())
        );
        assert_eq!(names(r#"[{"id":"a"}]"#), Some("a".to_owned()));
        assert_eq!(names(r#"{"data":[]}"#), Some(String::new()));
        assert_eq!(
            names(&format!(r#"[{{"id":"{}"}},{{"id":"a\nb"}}]"#, "x".repeat(257))),
            Some(String::new())
        );
        for body in ["", "{}", r#"{"data":{}}"#, "<html>"] {
            assert_eq!(names(body), None, "{body}");
        }
        let many = vec![r#"{"id":"m"}"#; MODELS_MAX + 1].join(",");
        assert_eq!(
            read(format!("[{many}]").as_bytes()).map(|names| names.len()),
            Some(MODELS_MAX)
        );
    }

    #[test]
    fn it_is_asked_for_in_due_time_and_by_one_at_a_time() {
        let (listing, start) = (Listing::default(), Instant::now());
        let turn = listing.begin(start);
        assert!(turn.is_some() && listing.begin(start + EVERY).is_none());
        assert_eq!(listing.learn(None, start), Some(true));
        drop(turn);
        assert!(listing.begin(start + FAILING_EVERY / 2).is_none());
        assert!(listing.begin(start + FAILING_EVERY).is_some());
        assert_eq!(listing.learn(Some(vec!["a".into()]), start), Some(false));
        assert_eq!(listing.learn(None, start), Some(true));
        assert_eq!(*listing.models(), ["a".into()], "what was known stays");
        assert!(listing.begin(start + EVERY - FAILING_EVERY).is_none());
    }
}
