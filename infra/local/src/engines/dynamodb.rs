//! DynamoDB: `dynoxide` in process, on a SQLite file.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use axum::body::Bytes;
use dynoxide::{Database, DynoxideError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Answer;
use super::journal::private_file;

/// How often expired items are removed. AWS promises "within a few days".
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

/// Opens `dynamodb.sqlite` in `data`, or a database in memory.
pub(super) fn open(data: Option<&Path>) -> anyhow::Result<Database> {
    let Some(directory) = data else {
        return Ok(Database::memory()?);
    };
    let path = directory.join("dynamodb.sqlite");
    let shown = path.display();
    // SQLite would create the file readable by all; its side files take over the mode of this one.
    private_file().append(true).open(&path).with_context(|| format!("cannot write {shown}"))?;
    Database::new(&path.to_string_lossy()).with_context(|| format!("cannot open {shown}"))
}

/// Answers one request. SQLite blocks, so this runs on a blocking thread; it also finishes when the caller hangs up.
pub(super) async fn answer(tables: &Database, operation: &str, body: Bytes) -> Answer {
    let (tables, operation) = (tables.clone(), operation.to_owned());
    match tokio::task::spawn_blocking(move || dispatch(&tables, &operation, &body)).await {
        Ok(Ok(body)) => Answer { status: 200, body },
        Ok(Err(error)) => Answer { status: error.status_code(), body: error.to_json() },
        Err(_panicked) => Answer::error(500, "InternalServerError", "The embedded DynamoDB engine failed."),
    }
}

/// Removes items whose TTL attribute has passed, once an hour, until `stop` resolves. The engine does not do it by itself.
pub(super) async fn sweep_expired(tables: Database, stop: impl Future<Output = ()>) {
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return,
            () = tokio::time::sleep(SWEEP_EVERY) => {}
        }
        let tables = tables.clone();
        match tokio::task::spawn_blocking(move || tables.sweep_ttl()).await {
            Ok(Ok(removed)) => tracing::debug!(removed, "expired items removed"),
            Ok(Err(error)) => tracing::warn!(%error, "expired items could not be removed"),
            Err(_panicked) => tracing::warn!("the sweep for expired items failed"),
        }
    }
}

fn dispatch(tables: &Database, operation: &str, body: &[u8]) -> Result<String, DynoxideError> {
    match operation {
        "BatchGetItem" => run(body, |request| tables.batch_get_item(request)),
        "BatchWriteItem" => run(body, |request| tables.batch_write_item(request)),
        "CreateTable" => run(body, |request| tables.create_table(request)),
        "DeleteItem" => run(body, |request| tables.delete_item(request)),
        "DeleteTable" => run(body, |request| tables.delete_table(request)),
        "DescribeTable" => run(body, |request| tables.describe_table(request)),
        "DescribeTimeToLive" => run(body, |request| tables.describe_time_to_live(request)),
        "GetItem" => run(body, |request| tables.get_item(request)),
        "ListTables" => run(body, |request| tables.list_tables(request)),
        "PutItem" => run(body, |request| tables.put_item(request)),
        "Query" => run(body, |request| tables.query(request)),
        "Scan" => run(body, |request| tables.scan(request)),
        "TransactGetItems" => run(body, |request| tables.transact_get_items(request)),
        "TransactWriteItems" => run(body, |request| tables.transact_write_items(request)),
        "UpdateItem" => run(body, |request| tables.update_item(request)),
        "UpdateTable" => run(body, |request| tables.update_table(request)),
        "UpdateTimeToLive" => run(body, |request| tables.update_time_to_live(request)),
        _ => Err(DynoxideError::ValidationException(format!("The embedded engine does not offer {operation}."))),
    }
}

fn run<Q: DeserializeOwned, A: Serialize>(
    body: &[u8],
    operation: impl FnOnce(Q) -> Result<A, DynoxideError>,
) -> Result<String, DynoxideError> {
    let request = serde_json::from_slice(body).map_err(|error| refused(&error))?;
    let answer = operation(request)?;
    serde_json::to_string(&answer).map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}

/// The SDKs send well-formed JSON, so what does not parse is a value that DynamoDB refuses. The engine starts the message
/// with a word that says how.
fn refused(error: &serde_json::Error) -> DynoxideError {
    let message = error.to_string();
    match message.split_once(':') {
        Some(("SERIALIZATION" | "SERIALIZATION_AS_READ", message)) => {
            DynoxideError::SerializationException(message.to_owned())
        }
        Some(("VALIDATION" | "VALIDATION_AS_READ" | "VALIDATION_REQUEST", message)) => {
            DynoxideError::ValidationException(message.to_owned())
        }
        _ => DynoxideError::ValidationException(message),
    }
}
