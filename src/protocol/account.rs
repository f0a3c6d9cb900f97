//! Paths that belong to an account: what it stores, and how it is administered. A model in a body never leads there.

use super::endpoint::{endpoint, names_model};
use super::path::segments_seen;

/// How well a path is guarded, from weakest to strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guard {
    /// The path belongs to what an account stores: no model leads there, but `server.passthrough` does.
    Kept,
    /// The path administers an account, or the host of a model: only a path that `server.passthrough` names is let
    /// through.
    Administered,
}

/// Paths of one kind, with the reason why they are guarded.
pub struct Guarded {
    pub guard: Guard,
    /// Segments that follow each other anywhere in a path, and all that is below them. `*` is any one segment, `ID` one
    /// that looks like an identifier. A `/` in front: nothing but `api` and versions comes before them; a `$` behind:
    /// nothing comes after.
    pub paths: &'static [&'static str],
    pub reason: &'static str,
}

use Guard::{Administered, Kept};

/// Every guarded path: the gateway obeys this table, and a test compares it with docs/security.md.
pub const GUARDED: &[Guarded] = &[
    Guarded {
        guard: Kept,
        paths: &[
            "files",
            "uploads",
            "upload",
            "filesearchstores",
            "vector_stores",
            "containers",
            "skills",
            "libraries",
            "datasets",
            "connectors",
            "corpora",
        ],
        reason: "What was uploaded: it can be read, replaced and deleted.",
    },
    Guarded {
        guard: Kept,
        paths: &["batches", "batch/jobs", "embed-jobs", "evals"],
        reason: "Jobs that run for hours, on the account's bill, and their results.",
    },
    Guarded {
        guard: Kept,
        paths: &[
            "conversations",
            "threads",
            "assistants",
            "/agents$",
            "/agents/ID",
            "/sessions",
            "/environments",
            "memory_stores",
            "vaults",
        ],
        reason: "Conversations and agents that are stored, with what was said in them.",
    },
    Guarded {
        guard: Kept,
        paths: &[
            "responses/ID",
            "responses/*/*",
            "chat/completions/ID",
            "chat/completions/*/*",
            "videos/ID",
            "videos/*/*",
        ],
        reason: "What an earlier request has left. Below them, names that are no identifiers are endpoints: `responses/compact`.",
    },
    Guarded {
        guard: Kept,
        paths: &["cachedcontents", "caching"],
        reason: "Stored prompts, paid by the hour.",
    },
    Guarded {
        guard: Kept,
        paths: &[
            "realtime/client_secrets",
            "realtime/sessions",
            "realtime/transcription_sessions",
            "chatkit",
        ],
        reason: "They hand out a key of the account's, if one that lasts for minutes only.",
    },
    Guarded {
        guard: Administered,
        paths: &[
            "organization",
            "organizations",
            "workspaces",
            "projects$",
            "projects/*$",
            "accounts",
            "account",
            "admin",
            "team",
            "teams",
            "budget",
            "customer",
        ],
        reason: "The organisation with its members, projects, keys, limits and bills (OpenAI, Anthropic, Fireworks, LiteLLM).",
    },
    Guarded {
        guard: Administered,
        paths: &[
            "keys",
            "key",
            "api_keys",
            "api-keys",
            "apikeys",
            "admin_api_keys",
            "auth",
            "credentials",
            "certificates",
            "service_accounts",
        ],
        reason: "Credentials: they can be listed, made and revoked (OpenRouter has `/v1/keys` and `/v1/auth`).",
    },
    Guarded {
        guard: Administered,
        paths: &[
            "users",
            "user",
            "members",
            "invites",
            "groups",
            "roles",
            "me",
            "audit_logs",
        ],
        reason: "Who belongs to the account, and what they did.",
    },
    Guarded {
        guard: Administered,
        paths: &[
            "credits",
            "credit_grants",
            "billing",
            "balance",
            "dashboard",
            "subscription",
            "usage",
            "usages",
            "usage_report",
            "cost_report",
            "costs",
            "activity",
            "spend",
            "spend_alerts",
            "rate_limits",
            "guardrails",
            "provisioning",
        ],
        reason: "Money: what is left, what was spent and by whom; OpenRouter buys credit here.",
    },
    Guarded {
        guard: Administered,
        paths: &[
            "fine_tuning",
            "fine-tuning",
            "finetuning",
            "fine_tunes",
            "fine-tunes",
            "finetune",
            "finetunes",
            "tunedmodels",
            "tuningjobs",
            "finetuningjobs",
            "supervisedfinetuningjobs",
        ],
        reason: "Fine-tuning costs much, and hands its training data and checkpoints on.",
    },
    Guarded {
        guard: Administered,
        paths: &["/endpoints", "deployments$", "deployments/*$", "deployedmodels"],
        reason: "Machines of the account's own, paid by the hour (Together, Azure, Fireworks).",
    },
    Guarded {
        guard: Administered,
        paths: &[
            "api/pull",
            "api/push",
            "api/create",
            "api/copy",
            "api/delete",
            "api/blobs",
            "models/load",
            "models/unload",
            "models/download",
            "models/apply",
            "models/delete",
            "model/new",
            "model/update",
            "model/delete",
            "backend/shutdown",
            "config",
        ],
        reason: "The models and settings of a server of one's own (Ollama, LM Studio, llama.cpp, LocalAI, LiteLLM), whose bodies name a model too.",
    },
];

/// Returns how the normal path `path` is guarded, if it is.
pub fn guard_of(path: &str) -> Option<Guard> {
    if names_model(endpoint(path)) {
        return None;
    }
    let seen = segments_seen(path);
    let mut seen: Vec<&str> = seen.iter().map(String::as_str).collect();
    for at in 1..seen.len() {
        // A deployment and a project are called what somebody liked: `team`.
        if matches!(seen[at - 1], "deployments" | "projects") {
            seen[at] = "";
        }
    }
    let rows = GUARDED
        .iter()
        .filter(|row| row.paths.iter().any(|pattern| leads_to(&seen, pattern)));
    rows.map(|row| row.guard).max()
}

/// Returns whether `pattern` occurs in a path whose segments are `seen`.
fn leads_to(seen: &[&str], pattern: &str) -> bool {
    let (pattern, at_end) = pattern.strip_suffix('$').map_or((pattern, false), |rest| (rest, true));
    let (pattern, at_start) = pattern.strip_prefix('/').map_or((pattern, false), |rest| (rest, true));
    let wanted: Vec<&str> = pattern.split('/').collect();
    let first = seen
        .iter()
        .position(|segment| !is_prefix(segment))
        .unwrap_or(seen.len());
    let mut windows = seen.windows(wanted.len()).enumerate();
    windows.any(|(at, window)| {
        (!at_start || at == first)
            && (!at_end || at + wanted.len() == seen.len())
            && std::iter::zip(&wanted, window).all(|(wanted, segment)| is_meant(wanted, segment))
    })
}

fn is_meant(wanted: &str, segment: &str) -> bool {
    match wanted {
        "*" => true,
        "ID" => is_identifier(segment),
        name => name == segment,
    }
}

/// Returns whether `segment` looks like an identifier (`resp_68af…`, `chatcmpl-…`): providers' identifiers have digits,
/// and the names of endpoints do not.
fn is_identifier(segment: &str) -> bool {
    const PREFIXES: [&str; 4] = ["resp_", "chatcmpl", "video_", "agent_"];
    segment.bytes().any(|byte| byte.is_ascii_digit()) || PREFIXES.iter().any(|prefix| segment.starts_with(prefix))
}

/// Returns whether `segment` may precede an endpoint: `api`, `openai` and versions.
fn is_prefix(segment: &str) -> bool {
    let is_version = || {
        let digits = segment.strip_prefix('v').unwrap_or_default();
        digits.starts_with(|first: char| first.is_ascii_digit())
    };
    matches!(segment, "api" | "openai") || is_version()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_account_keeps_is_guarded() {
        for path in [
            "/v1/files",
            "/v1/files/f/content",
            "/files",
            "/V1/Files",
            "/v1%2Ffiles",
            "/v1/%2566iles",
            "/v1beta/files",
            "/api/v1/files",
            "/openai/deployments/d/files",
            "/v1/responses/resp_abc",
            "/v1/responses/r/cancel",
            "/v1/messages/batches",
            "/v1/messages/batches/b",
            "/v1/threads/t/runs",
            "/v1/threads/t/messages",
            "/v1/chat/completions/chatcmpl-1",
            "/v1/videos/v/remix",
            "/v1/batch/jobs",
            "/v1/agents",
            "/v1/realtime/client_secrets",
        ] {
            assert_eq!(guard_of(path), Some(Kept), "{path}");
        }
    }

    #[test]
    fn what_runs_an_account_is_guarded_better() {
        for path in [
            "/v1/organization",
            "/v1/organization/admin_api_keys",
            "/v1/organization/usage/completions",
            "/v1/organizations/invites",
            "/api/v1/keys",
            "/v1/keys",
            "/v1/credits/coinbase",
            "/v1/auth/keys",
            "/v1/fine_tuning/jobs",
            "/dashboard/billing/usage",
            "/v1/projects/p/api_keys",
            "/v1/projects",
            "/v1/projects/p",
            "/openai/deployments",
            "/openai/deployments/d",
            "/v1/endpoints/e",
            "/api/pull",
            "/key/generate",
        ] {
            assert_eq!(guard_of(path), Some(Administered), "{path}");
        }
    }

    #[test]
    fn endpoints_of_models_are_open() {
        for path in [
            "/v1/chat/completions",
            "/v1/responses",
            "/v1/responses/compact",
            "/v1/responses/input_tokens",
            "/v1/responses/brand_new",
            "/v1/messages",
            "/v1/messages/count_tokens",
            "/v1/videos",
            "/v1/agents/completions",
            "/v1/filesystem",
            "/v1/brand-new",
            "/v2/chat",
            "/openai/deployments/d/chat/completions",
            "/openai/deployments/d/responses",
            "/openai/deployments/team/chat/completions",
            "/v1/projects/p/locations/l/endpoints/openapi/chat/completions",
            "/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict",
            "/v1beta/models/m:generateContent",
            "/model/anthropic.claude/converse",
        ] {
            assert_eq!(guard_of(path), None, "{path}");
        }
    }

    #[test]
    fn the_manual_has_this_table() {
        let rows: Vec<String> = GUARDED
            .iter()
            .map(|row| {
                let guard = match row.guard {
                    Kept => "kept",
                    Administered => "administered",
                };
                let paths: Vec<String> = row.paths.iter().map(|path| format!("`{path}`")).collect();
                format!("| {guard} | {} | {} |\n", paths.join(", "), row.reason)
            })
            .collect();
        let manual = include_str!("../../docs/security.md");
        assert!(
            manual.contains(&rows.concat()),
            "docs/security.md should have:\n{}",
            rows.concat()
        );
    }
}
