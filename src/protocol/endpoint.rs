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

/// The endpoint whose websockets name a model in their query.
pub const REALTIME: &str = "/realtime";

/// Returns whether this endpoint's requests must name a model.
pub fn names_model(endpoint: &str) -> bool {
    MODEL_ENDPOINTS.contains(&endpoint)
}

/// Where clients send what they report of themselves, whatever base URL they were given: Claude Code's events, metrics and
/// feedback. No upstream wants them.
const TELEMETRY: [&str; 4] = [
    "/api/event_logging",
    "/api/claude_code",
    "/api/claude_cli_feedback",
    "/api/claude_code_shared_session_transcripts",
];

/// Returns whether this endpoint is one of those, or below one.
pub fn is_telemetry(endpoint: &str) -> bool {
    let mut known = TELEMETRY.iter().filter_map(|known| endpoint.strip_prefix(known));
    known.any(|below| below.is_empty() || below.starts_with('/'))
}

/// Returns whether `path` is one of Gemini's own API, whose models are in the path: `/v1beta/models/MODEL:generateContent`.
pub fn is_gemini(path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or_default();
    let has_verb = path.contains("/models/") && last.contains(':');
    has_verb
        || ["/v1beta/", "/v1alpha/"]
            .iter()
            .any(|version| path.starts_with(version))
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
