//! When a credential is due: before its token expires if somebody uses it, and otherwise only so often that its refresh
//! token stays alive.

use chrono::Duration;

use crate::clock::Timestamp;
use crate::model::client::ClientSettings;
use crate::model::credential::{Credential, CredentialStatus};

/// How long after its last use a credential counts as used.
pub const HOT_FOR: Duration = Duration::hours(24);
/// How old the noted use becomes before the next one is noted.
const NOTE_USE_AFTER: Duration = Duration::hours(6);
/// How often a refresh token is used when nothing is known about its provider.
const KEEP_ALIVE: Duration = Duration::hours(24);
/// The longest time between two uses, where the provider states how long a refresh token may lie idle.
const MAX_KEEP_ALIVE: Duration = Duration::days(7);
/// How long before the end of a refresh token its project is warned (N6).
pub const WARN_BEFORE: Duration = Duration::days(7);

/// Whether somebody uses it: it was read, or given, not long ago.
pub fn is_hot(credential: &Credential, now: Timestamp) -> bool {
    let given = credential.granted_at.unwrap_or(credential.created_at).timestamp_millis();
    let used = credential.last_used_at.unwrap_or(given).max(given);
    now.timestamp_millis() - used < HOT_FOR.num_milliseconds()
}

/// Whether this use of it is to be noted.
pub fn notes_use(credential: &Credential, now: Timestamp) -> bool {
    let noted = credential.last_used_at.unwrap_or_default();
    now.timestamp_millis() - noted >= NOTE_USE_AFTER.num_milliseconds()
}

/// From when the index has the credential (Unix milliseconds), as it is after a commit, or once it was found to be idle.
pub fn next_due(credential: &Credential, client: &ClientSettings, now: Timestamp) -> Option<i64> {
    if !credential.refreshable
        || !matches!(credential.status, CredentialStatus::Active | CredentialStatus::RefreshFailing)
    {
        return None;
    }
    let refresh = credential.refresh_after?;
    let work =
        if is_hot(credential, now) { Some(refresh) } else { keep_alive(credential, client).map(|at| at.max(refresh)) };
    let warning = unwarned_end(credential, client).map(|at| at - WARN_BEFORE).filter(|at| *at > now);
    [work, warning.map(|at| at.timestamp_millis())].into_iter().flatten().min()
}

/// From when an idle credential is refreshed all the same (Unix milliseconds): a refresh token that nobody uses may die.
/// `None`: it lives by none, and the next read gets what it needs by itself.
fn keep_alive(credential: &Credential, client: &ClientSettings) -> Option<i64> {
    if !credential.needs_refresh_token(client) {
        return None;
    }
    let idle = client.refresh.idle_days.map(|days| Duration::days(days.into()) / 2);
    let every = idle.map_or(KEEP_ALIVE, |half| half.min(MAX_KEEP_ALIVE));
    Some(credential.issued_at.saturating_add(every.num_milliseconds()))
}

/// Whether a credential that the index found is to be refreshed now; what is not hot waits for its keep-alive.
pub fn is_wanted(credential: &Credential, client: &ClientSettings, now: Timestamp) -> bool {
    is_hot(credential, now) || keep_alive(credential, client).is_some_and(|at| now.timestamp_millis() >= at)
}

/// When the refresh token dies, where its project was not warned of that yet. `None`: it was, or no end is known.
fn unwarned_end(credential: &Credential, client: &ClientSettings) -> Option<Timestamp> {
    let dies_at = credential.refresh_forecast(client)?.at;
    (credential.warned_of != Some(dies_at.timestamp_millis())).then_some(dies_at)
}

/// When the refresh token dies, if its project is to be warned of that now.
pub fn warns_of(credential: &Credential, client: &ClientSettings, now: Timestamp) -> Option<Timestamp> {
    unwarned_end(credential, client).filter(|dies_at| now >= *dies_at - WARN_BEFORE)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::client::GrantType;
    use crate::model::ids::ProjectId;
    use crate::testing::fixtures::{self, flow, session, start};

    fn settings(refresh: serde_json::Value) -> ClientSettings {
        serde_json::from_value(json!({ "name": "c", "refresh": refresh })).unwrap()
    }

    /// Given at the start, with a token of an hour.
    fn credential() -> Credential {
        let ms = |minutes| (start() + Duration::minutes(minutes)).timestamp_millis();
        Credential {
            granted_at: Some(start()),
            issued_at: ms(0),
            at_exp: Some(ms(60)),
            refresh_after: Some(ms(48)),
            refreshable: true,
            last_refreshed_at: None,
            last_used_at: None,
            ..fixtures::credential(&flow(&session(&ProjectId::generate())))
        }
    }

    fn hours(credential: &Credential, refresh: serde_json::Value, now: Timestamp) -> Option<i64> {
        let due = next_due(credential, &settings(refresh), now)?;
        Some((due - start().timestamp_millis()) / 3_600_000)
    }

    #[test]
    fn what_is_used_is_refreshed_before_it_expires_and_what_is_not_is_kept_alive() {
        let used = credential();
        assert_eq!(next_due(&used, &settings(json!({})), start()), used.refresh_after);
        let later = start() + Duration::hours(25);
        assert_eq!(hours(&used, json!({}), later), Some(24), "nothing is known: daily");
        assert_eq!(hours(&used, json!({ "idle_days": 30 }), later), Some(7 * 24), "weekly at most");
        assert_eq!(hours(&used, json!({ "idle_days": 3 }), later), Some(36), "half of what it may lie idle");
        let read =
            Credential { last_used_at: Some((start() + Duration::hours(20)).timestamp_millis()), ..credential() };
        assert_eq!(next_due(&read, &settings(json!({})), later), read.refresh_after);
    }

    #[test]
    fn what_needs_no_refresh_token_is_not_refreshed_for_nobody() {
        let machine = Credential { grant: GrantType::ClientCredentials, ..credential() };
        let later = start() + Duration::hours(25);
        assert_eq!(hours(&machine, json!({}), later), None);
        assert!(!is_wanted(&machine, &settings(json!({})), later));
        assert!(is_wanted(&credential(), &settings(json!({})), later), "its keep-alive has come");
    }

    #[test]
    fn n6_the_project_is_warned_once_a_week_before_a_refresh_token_dies() {
        let facts = settings(json!({ "absolute_days": 90 }));
        let (before, after) = (start() + Duration::days(82), start() + Duration::days(84));
        assert_eq!(warns_of(&credential(), &facts, before), None);
        let dies_at = warns_of(&credential(), &facts, after).unwrap();
        assert_eq!(dies_at, start() + Duration::days(90));
        let warned = Credential { warned_of: Some(dies_at.timestamp_millis()), ..credential() };
        assert_eq!(warns_of(&warned, &facts, after), None);
        // An idle one is woken for the warning, and not only for its keep-alive.
        let used = start() + Duration::days(82);
        let idle = Credential {
            issued_at: used.timestamp_millis(),
            refresh_after: Some(used.timestamp_millis()),
            last_refreshed_at: Some(used),
            ..credential()
        };
        let due = next_due(&idle, &settings(json!({ "absolute_days": 90, "idle_days": 60 })), before);
        assert_eq!(due, Some((start() + Duration::days(83)).timestamp_millis()));
    }
}
