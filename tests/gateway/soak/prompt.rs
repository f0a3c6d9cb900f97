//! What a client asks, and the one answer that is whole: it repeats the prompt, so that nobody gets another's.

use serde_json::{Value, json};

use crate::support::*;

/// No log may show it.
pub(super) const MARK: &str = "prompt-of-the-soak";
const PARTS: usize = 6;

#[derive(Debug, Clone)]
pub(super) struct Prompt {
    pub(super) client: usize,
    /// Of this client's requests.
    pub(super) number: usize,
    pub(super) stream: bool,
    /// What was said before a stream broke off, which this one goes on with.
    pub(super) said: String,
}

impl Prompt {
    pub(super) fn new(client: usize, number: usize, stream: bool) -> Self {
        Self {
            client,
            number,
            stream,
            said: String::new(),
        }
    }

    fn text(&self) -> String {
        format!("{MARK} {} {}", self.client, self.number)
    }

    /// The request's body.
    pub(super) fn body(&self, model: &str) -> String {
        let message = json!({ "role": "user", "content": self.text() });
        json!({ "model": model, "stream": self.stream, "messages": [message] }).to_string()
    }

    /// Read back from a request's body.
    pub(super) fn read(body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).expect("the upstream got JSON");
        let text = body["messages"][0]["content"].as_str().expect("the prompt came along");
        let mut numbers = text
            .split(' ')
            .skip(1)
            .map(|number| number.parse().expect("a prompt of ours"));
        let mut next = || numbers.next().expect("client and number");
        let mut prompt = Self::new(next(), next(), body["stream"].as_bool().expect("said by every request"));
        let said = body["messages"][1]["content"].as_str().unwrap_or_default();
        said.clone_into(&mut prompt.said);
        prompt
    }

    pub(super) fn completion(&self) -> String {
        completion(&self.text())
    }

    /// All that a stream says.
    pub(super) fn story(&self) -> String {
        (0..PARTS).map(|part| format!("{} part {part} ", self.text())).collect()
    }

    /// A stream with what is not said yet, an event a word.
    pub(super) fn events(&self) -> Vec<String> {
        let story = self.story();
        let rest = story.strip_prefix(&self.said).expect("it goes on with what was said");
        let mut events = vec![role()];
        events.extend(rest.split_inclusive(' ').map(delta));
        events.extend([finish(), DONE.to_owned()]);
        events
    }

    /// The error of a 200.
    pub(super) fn error_inside(&self) -> String {
        json!({ "error": { "message": format!("Provider returned error to {}", self.client), "code": 502 } })
            .to_string()
    }

    /// The same as a stream's only event.
    pub(super) fn error_event(&self) -> String {
        format!("data: {}\n\n", self.error_inside())
    }
}

/// What a stream's events come to.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) text: String,
    pub(super) roles: usize,
    pub(super) finishes: usize,
    /// `[DONE]` came, and nothing after it.
    pub(super) done: bool,
}

impl Told {
    /// Of whole events; what follows the last of them is not looked at.
    pub(super) fn by(stream: &str) -> Self {
        let mut told = Self::default();
        for event in stream.split_inclusive("\n\n").filter(|event| event.ends_with("\n\n")) {
            told.done = event == DONE;
            let data = event.strip_prefix("data: ").unwrap_or_default();
            let Ok(data) = serde_json::from_str::<Value>(data) else {
                continue;
            };
            let choice = &data["choices"][0];
            told.text
                .push_str(choice["delta"]["content"].as_str().unwrap_or_default());
            told.roles += usize::from(choice["delta"]["role"].is_string());
            told.finishes += usize::from(choice["finish_reason"].is_string());
        }
        told
    }
}
