//! `models`, in either protocol. A stand-in answers for any model, so its list names only one: `stand-in`.

use serde_json::{Value, json};

use super::asked::Asked;
use super::provider::{Identity, Stamp};
use crate::notation::date;
use crate::protocol::Protocol;

/// The list, or the one model that is requested.
pub(crate) fn whole(identity: &Identity, asked: &Asked, stamp: &Stamp) -> Value {
    let one = |model: &str| match asked.protocol {
        Protocol::OpenAi => {
            json!({ "id": model, "object": "model", "created": stamp.now_s, "owned_by": identity.name })
        }
        Protocol::Anthropic => {
            json!({ "id": model, "type": "model", "display_name": model, "created_at": date::of_unix_seconds(stamp.now_s) })
        }
    };
    if !asked.model.is_empty() {
        return one(&asked.model);
    }
    let list = one("stand-in");
    match asked.protocol {
        Protocol::OpenAi => json!({ "object": "list", "data": [list] }),
        Protocol::Anthropic => {
            json!({ "data": [list], "has_more": false, "first_id": "stand-in", "last_id": "stand-in" })
        }
    }
}
