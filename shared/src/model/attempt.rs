//! What was said between the broker and a provider for one credential: redacted, the last twenty times.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::clock::Timestamp;

/// How many are kept.
pub const KEPT: u64 = 20;

/// One attempt, with every request that it made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// Its id, a UUID.
    pub id: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What it was for: `exchange`, `fetch`, `refresh`, `revoke` or `replace`.
    pub purpose: String,
    /// What came of it: `ok`, or the code of the problem.
    pub outcome: String,
    /// The generation that it started from.
    pub generation: u64,
    /// The requests with their answers, redacted.
    pub exchanges: Vec<Value>,
    /// What to check, when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<Value>,
}
