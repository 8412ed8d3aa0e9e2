//! When a token ends, out of all the forms in which providers say it.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::protocol::dialect::LifetimeUnit;

/// Epoch numbers above this are milliseconds: as seconds they would be in the year 5138.
const MILLISECONDS_FROM: f64 = 1e11;

/// Whole seconds until the end, at least one: an end that has passed is no token that never ends.
pub(super) fn seconds_until(expires_at: &Value, now: Timestamp) -> Option<u64> {
    let end = instant(expires_at)?;
    Some(u64::try_from((end - now).num_seconds()).unwrap_or(0).max(1))
}

/// Epoch seconds or milliseconds, also as text; RFC 3339, ISO 8601 without a zone (UTC then), or RFC 2822.
fn instant(value: &Value) -> Option<Timestamp> {
    let epoch = |number: f64| {
        let milliseconds = if number >= MILLISECONDS_FROM { number } else { number * 1000.0 };
        let sane = number.is_finite() && number > 0.0;
        sane.then(|| DateTime::from_timestamp_millis(milliseconds as i64)).flatten()
    };
    match value {
        Value::Number(number) => epoch(number.as_f64()?),
        Value::String(text) => {
            let text = text.trim();
            let dated = || DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_rfc2822(text));
            // A space for the T and before the zone, `UTC` for one, and a zone without its colon, as some write it.
            let plain = ["UTC", "GMT"].iter().find_map(|zone| text.strip_suffix(zone)).unwrap_or(text).trim_end();
            let plain = plain.replacen(' ', "T", usize::from(!plain.contains('T'))).replace(' ', "");
            let loose = || {
                ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z"]
                    .iter()
                    .find_map(|form| DateTime::parse_from_str(&plain, form).ok())
                    .ok_or(())
            };
            let naive = || {
                ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"]
                    .iter()
                    .find_map(|form| NaiveDateTime::parse_from_str(plain.trim_end_matches('Z'), form).ok())
                    .map(|naive| naive.and_utc())
            };
            match text.parse() {
                Ok(number) => epoch(number),
                Err(_) => dated().or_else(|_| loose()).ok().map(|date| date.with_timezone(&Utc)).or_else(naive),
            }
        }
        _ => None,
    }
}

/// A lifetime in whole seconds.
pub(super) fn lifetime(value: &Value, unit: Option<LifetimeUnit>) -> Option<u64> {
    let number = whole(value)?;
    Some(match unit {
        // Less than a second is still no life without an end.
        Some(LifetimeUnit::Milliseconds) => (number / 1000).max(number.min(1)),
        Some(LifetimeUnit::Seconds) | None => number,
    })
}

/// A whole number, also when sent as text or with a fraction; nothing when negative or no number.
fn whole(value: &Value) -> Option<u64> {
    let number = match value {
        Value::Number(number) if number.is_u64() => return number.as_u64(),
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => match text.trim().parse() {
            Ok(seconds) => return Some(seconds),
            Err(_) => text.trim().parse().ok()?,
        },
        _ => return None,
    };
    (number.is_finite() && number >= 0.0).then_some(number as u64)
}
