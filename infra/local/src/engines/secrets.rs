//! Secrets Manager: `winterbaume-secretsmanager`, made durable, and as strict as AWS where the engine is not.
//!
//! The engine works on one secret at a time: each request gets an engine that holds just the secret it names. A write is
//! answered by such an engine, then journaled, then shown to readers; if the journal fails, nothing has happened.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use axum::body::Bytes;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use winterbaume_core::{DEFAULT_ACCOUNT_ID, MockService, StatefulService};
use winterbaume_secretsmanager::views::{SecretVersionView, SecretView};
use winterbaume_secretsmanager::{SecretsManagerService, SecretsmanagerStateView};

use super::journal::{self, Journal};
use super::{Answer, REGION, mock_request};

/// How many versions without a label are kept per secret, newest first. AWS keeps about a hundred.
const UNLABELLED_KEPT: usize = 20;

/// How long a deleted secret can be restored, in days: the default recovery window of AWS.
const RECOVERY_DAYS: i64 = 30;

/// The largest secret value, in bytes.
const VALUE_LIMIT: usize = 65_536;

pub(super) struct Secrets {
    /// What readers see, by name: only what is on disk.
    secrets: RwLock<HashMap<String, Arc<SecretView>>>,
    /// Held over a whole write, so that writes follow one another. Readers do not take it.
    journal: Mutex<Journal>,
}

impl Secrets {
    /// Reads the secrets of `data` and folds the journal into the snapshot; `None` starts empty, in memory.
    pub(super) fn open(data: Option<&Path>) -> anyhow::Result<Self> {
        let (mut journal, mut secrets) = match data {
            Some(directory) => Journal::open(directory)?,
            None => (Journal::Memory, journal::Secrets::new()),
        };
        let expired = days_ago(RECOVERY_DAYS);
        secrets.retain(|_, secret| secret.deleted_date.as_ref().is_none_or(|deleted| *deleted > expired));
        journal.compact(secrets.iter().map(|(name, secret)| (name.as_str(), secret)))?;
        let secrets = secrets.into_iter().map(|(name, secret)| (name, Arc::new(secret))).collect();
        Ok(Self { secrets: RwLock::new(secrets), journal: Mutex::new(journal) })
    }

    /// Refuses all further writes and lets go of the files.
    pub(super) fn close(&self) {
        *self.journal() = Journal::Closed;
    }

    /// Answers one request, on a blocking thread: a write waits for the disk. It finishes even when the caller hangs up.
    pub(super) async fn answer(self: &Arc<Self>, action: &str, body: Bytes) -> Answer {
        let (secrets, action, engine) = (Arc::clone(self), action.to_owned(), Handle::current());
        let answer = tokio::task::spawn_blocking(move || secrets.dispatch(&action, body, &engine));
        answer.await.unwrap_or_else(|_panicked| internal_error())
    }

    fn dispatch(&self, action: &str, body: Bytes, engine: &Handle) -> Answer {
        let Ok(request) = serde_json::from_slice::<Value>(&body) else {
            return Answer::error(400, "SerializationException", "The body is not JSON.");
        };
        match action {
            "ListSecrets" | "BatchGetSecretValue" => {
                let all = self.read(|secrets| secrets.values().map(|secret| SecretView::clone(secret)).collect());
                engine.block_on(run(action, body, all)).0
            }
            "DescribeSecret"
            | "GetSecretValue"
            | "ListSecretVersionIds"
            | "GetResourcePolicy"
            | "GetRandomPassword"
            | "ValidateResourcePolicy" => {
                let named = request.get("SecretId").and_then(Value::as_str).and_then(|id| self.find(id));
                engine.block_on(run(action, body, named.as_deref().cloned().into_iter().collect())).0
            }
            _ => self.write(action, &request, body, engine),
        }
    }

    fn write(&self, action: &str, request: &Value, body: Bytes, engine: &Handle) -> Answer {
        let field = if action == "CreateSecret" { "Name" } else { "SecretId" };
        let Some(id) = request.get(field).and_then(Value::as_str) else {
            return Answer::error(400, "InvalidParameterException", &format!("{field} is missing."));
        };
        let mut journal = self.journal();
        let before = self.find(id);
        if let Some(answer) = answer_in_advance(action, request, before.as_deref()) {
            return answer;
        }
        let (answer, after) = engine.block_on(run(action, body, before.as_deref().cloned().into_iter().collect()));
        if answer.status != 200 {
            return answer;
        }
        let after = after.into_iter().next().map(|after| keep_versions(before.as_deref(), after));
        let Some(name) = after.as_ref().or(before.as_deref()).map(|secret| secret.name.clone()) else {
            return answer; // AWS, too, lets a secret that is not there be deleted by force.
        };
        if let Err(error) = journal.append(&name, after.as_ref()) {
            tracing::error!(error = format!("{error:#}"), "a secret could not be written");
            return internal_error();
        }
        let mut secrets = self.secrets.write().unwrap_or_else(PoisonError::into_inner);
        let _previous = match after {
            Some(secret) => secrets.insert(name, Arc::new(secret)),
            None => secrets.remove(&name),
        };
        if journal.is_long()
            && let Err(error) = journal.compact(secrets.iter().map(|(name, secret)| (name.as_str(), &**secret)))
        {
            tracing::warn!(error = format!("{error:#}"), "secrets.journal could not be folded into secrets.json");
        }
        answer
    }

    /// Finds a secret by name or ARN.
    fn find(&self, id: &str) -> Option<Arc<SecretView>> {
        self.read(|secrets| {
            secrets
                .get(id)
                .or_else(|| secrets.values().find(|secret| id.starts_with("arn:") && secret.arn == id))
                .cloned()
        })
    }

    fn read<T>(&self, read: impl FnOnce(&HashMap<String, Arc<SecretView>>) -> T) -> T {
        read(&self.secrets.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What AWS answers before it changes anything, and the engine would not.
fn answer_in_advance(action: &str, request: &Value, known: Option<&SecretView>) -> Option<Answer> {
    let refuse = |code, message| Some(Answer::error(400, code, message));
    let text = |field: &str| request.get(field).and_then(Value::as_str);
    let token = text("ClientRequestToken");
    if token.is_some_and(|token| !(32..=64).contains(&token.len())) {
        return refuse("InvalidParameterException", "ClientRequestToken must be 32 to 64 characters long.");
    }
    if request.get("SecretBinary").is_some() {
        return refuse("InvalidParameterException", "The embedded engine keeps strings only.");
    }
    let value = text("SecretString");
    if value.is_some_and(|value| value.len() > VALUE_LIMIT) {
        return refuse("InvalidParameterException", "A secret value is at most 65536 bytes long.");
    }
    let known = known?;
    if known.deleted_date.is_some() {
        let taken = action == "CreateSecret";
        return if taken {
            refuse("InvalidRequestException", "A secret with this name is to be deleted.")
        } else {
            None
        };
    }
    let version = known.versions.get(token?).filter(|_| action == "PutSecretValue")?;
    if version.secret_string.as_deref() != value {
        return refuse("ResourceExistsException", "This version exists with another value.");
    }
    // The same version again: nothing changes, no label moves.
    Some(Answer::ok(&json!({
        "ARN": known.arn,
        "Name": known.name,
        "VersionId": version.version_id,
        "VersionStages": version.version_stages,
    })))
}

/// Treats versions as AWS does. The engine forgets a version that loses its last label and lets `AWSPREVIOUS` pile up; AWS
/// keeps the version, readable by its id, and moves the label.
fn keep_versions(before: Option<&SecretView>, mut after: SecretView) -> SecretView {
    let current = |secret: &SecretView| {
        let mut versions = secret.versions.values();
        versions.find(|version| has_label(version, "AWSCURRENT")).map(|version| version.version_id.clone())
    };
    if let Some(before) = before {
        for (id, version) in &before.versions {
            let unlabelled = || SecretVersionView { version_stages: Vec::new(), ..version.clone() };
            after.versions.entry(id.clone()).or_insert_with(unlabelled);
        }
        let previous = current(before);
        if previous != current(&after) {
            for version in after.versions.values_mut().filter(|version| Some(&version.version_id) != previous.as_ref())
            {
                version.version_stages.retain(|label| label != "AWSPREVIOUS");
            }
        }
    }
    let unlabelled = after.versions.values().filter(|version| version.version_stages.is_empty());
    let mut oldest: Vec<_> =
        unlabelled.map(|version| (version.created_date.clone(), version.version_id.clone())).collect();
    oldest.sort_unstable();
    oldest.truncate(oldest.len().saturating_sub(UNLABELLED_KEPT));
    for (_, id) in oldest {
        after.versions.remove(&id);
    }
    after
}

fn has_label(version: &SecretVersionView, label: &str) -> bool {
    version.version_stages.iter().any(|known| known == label)
}

/// Lets an engine that holds these secrets only answer the request; returns the secrets as they are afterwards.
async fn run(action: &str, body: Bytes, secrets: Vec<SecretView>) -> (Answer, Vec<SecretView>) {
    let engine = SecretsManagerService::new();
    let secrets = secrets.into_iter().map(|secret| (secret.name.clone(), secret)).collect();
    let restored = engine.restore(DEFAULT_ACCOUNT_ID, REGION, SecretsmanagerStateView { secrets }).await;
    let (Ok(()), Some(request)) = (restored, mock_request("secretsmanager", action, body)) else {
        return (internal_error(), Vec::new());
    };
    let answer = engine.handle(request).await.into();
    let after = engine.snapshot(DEFAULT_ACCOUNT_ID, REGION).await;
    (answer, after.secrets.into_values().collect())
}

fn internal_error() -> Answer {
    Answer::error(500, "InternalServiceError", "The embedded Secrets Manager engine failed.")
}

/// A moment as the engine writes dates: RFC 3339 in UTC, so that dates compare as text.
#[expect(clippy::disallowed_methods, reason = "the engine, too, dates secrets by the clock of the machine")]
fn days_ago(days: i64) -> String {
    (chrono::Utc::now() - chrono::TimeDelta::days(days)).to_rfc3339()
}
