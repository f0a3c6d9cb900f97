//! What endpoints need, by their paths (without `/v1`).

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

/// Returns whether this endpoint's requests must name a model.
pub fn names_model(endpoint: &str) -> bool {
    MODEL_ENDPOINTS.contains(&endpoint)
}

/// Strips the versions that a normal path begins with.
///
/// SDKs are given base URLs with and without `/v1`, and Anthropic's put `/v1` before every path of their own:
/// `/v1/chat/completions` → `/chat/completions`; `/v1/v1/messages` → `/messages`; `/v1` → ``.
pub fn endpoint(path: &str) -> &str {
    let mut rest = path;
    while let Some(after) = rest
        .strip_prefix("/v1")
        .filter(|after| after.is_empty() || after.starts_with('/'))
    {
        rest = after;
    }
    rest
}
