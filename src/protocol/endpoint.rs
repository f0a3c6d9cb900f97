//! What endpoints ask for, by their paths (without `/v1`).

/// Endpoints whose body, JSON or a form, names a model; without one they are refused rather than passed through.
const MODEL_ENDPOINTS: [&str; 18] = [
    "/chat/completions",
    "/completions",
    "/responses",
    "/embeddings",
    "/messages",
    "/messages/count_tokens",
    "/moderations",
    "/images/generations",
    "/images/edits",
    "/images/variations",
    "/audio/speech",
    "/audio/transcriptions",
    "/audio/translations",
    "/rerank",
    "/responses/compact",
    "/responses/input_tokens",
    "/videos",
    "/score",
];

/// What one account keeps: an id that is made here means nothing to another upstream, nor do ids that are sent here.
const ACCOUNT_ENDPOINTS: [&str; 11] = [
    "/conversations",
    "/files",
    "/batches",
    "/messages/batches",
    "/uploads",
    "/vector_stores",
    "/containers",
    "/assistants",
    "/threads",
    "/fine_tuning",
    "/evals",
];

/// Below these, a path names what an earlier request has left.
const ACCOUNT_ENDPOINTS_BELOW: [&str; 3] = ["/responses/", "/chat/completions/", "/videos/"];

/// Whether this endpoint's requests can't do without a model.
pub fn names_model(endpoint: &str) -> bool {
    MODEL_ENDPOINTS.contains(&endpoint)
}

/// Whether requests to this endpoint are bound to one account, whatever their body says.
pub fn is_account_bound(endpoint: &str) -> bool {
    let is_at_or_below = |place: &str| {
        endpoint
            .strip_prefix(place)
            .is_some_and(|below| below.is_empty() || below.starts_with('/'))
    };
    !names_model(endpoint)
        && (ACCOUNT_ENDPOINTS.iter().any(|place| is_at_or_below(place))
            || ACCOUNT_ENDPOINTS_BELOW.iter().any(|place| endpoint.starts_with(place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_account_keeps_is_bound_to_it() {
        for bound in [
            "/files",
            "/files/f/content",
            "/responses/r",
            "/responses/r/cancel",
            "/messages/batches/b",
            "/threads/t/runs",
        ] {
            assert!(is_account_bound(bound), "{bound}");
        }
        for free in [
            "/responses",
            "/responses/compact",
            "/messages",
            "/filesystem",
            "/chat/completions",
            "/videos",
        ] {
            assert!(!is_account_bound(free), "{free}");
        }
    }
}
