//! Logs and metrics: JSON lines on standard output, metrics in CloudWatch's embedded metric format.
//!
//! Never logged, at any level: tokens, authorization codes, `state`, code verifiers, completion codes, connect links,
//! client secrets, API keys, request and response bodies, headers, and URLs with their query. What may be logged: ids of
//! ours, status codes, RFC error codes, origins, durations, generations and fingerprints that are keyed hashes.

use std::io::Write as _;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing_subscriber::EnvFilter;

/// The levels that other crates are held to. The Lambda crates keep `info`: their spans name the invocation.
const QUIET: [&str; 11] = [
    "hyper=warn",
    "hyper_util=warn",
    "reqwest=warn",
    "aws_config=warn",
    "aws_runtime=warn",
    "aws_sigv4=warn",
    "aws_smithy_runtime=warn",
    "rustls=warn",
    "h2=warn",
    "lambda_http=info",
    "lambda_runtime=info",
];

static INIT: Once = Once::new();
static METRICS: AtomicBool = AtomicBool::new(false);

/// Starts JSON logs and metrics on standard output, as Lambda expects them. Later calls do nothing.
pub fn init() {
    INIT.call_once(|| {
        METRICS.store(true, Ordering::Relaxed);
        let filter = EnvFilter::try_new(crate::config::log_filter("info")).unwrap_or_else(|_| EnvFilter::new("info"));
        // These crates log headers, bodies and whole events at their lowest levels, so no setting of ours lets them.
        let filter = QUIET.iter().filter_map(|directive| directive.parse().ok()).fold(filter, EnvFilter::add_directive);
        let subscriber =
            tracing_subscriber::fmt().json().flatten_event(true).with_current_span(false).with_env_filter(filter);
        // A second subscriber in one process (tests) is not an error.
        drop(subscriber.try_init());
    });
}

/// Counts an event in CloudWatch's embedded metric format, with the dimension `Outcome`. Does nothing before [`init`].
pub fn count(name: &'static str, outcome: &'static str, now: crate::clock::Timestamp) {
    metric(name, 1, Some(outcome), now);
}

/// Notes a quantity in the same format, without dimension. Does nothing before [`init`].
pub fn measure(name: &'static str, value: u64, now: crate::clock::Timestamp) {
    metric(name, value, None, now);
}

fn metric(name: &'static str, value: u64, outcome: Option<&'static str>, now: crate::clock::Timestamp) {
    if !METRICS.load(Ordering::Relaxed) {
        return;
    }
    let dimensions = outcome.map_or_else(|| serde_json::json!([[]]), |_| serde_json::json!([["Outcome"]]));
    let mut line = serde_json::json!({
        "_aws": {
            "Timestamp": now.timestamp_millis(),
            "CloudWatchMetrics": [{
                "Namespace": "Grantkeeper",
                "Dimensions": dimensions,
                "Metrics": [{ "Name": name, "Unit": "Count" }],
            }],
        },
        name: value,
    });
    if let (Some(outcome), Some(line)) = (outcome, line.as_object_mut()) {
        line.insert("Outcome".to_owned(), outcome.into());
    }
    // A metric that cannot be written must not fail the work it counts.
    let _ = writeln!(std::io::stdout(), "{line}");
}
