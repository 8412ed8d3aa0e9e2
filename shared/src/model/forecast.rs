//! When a refresh token dies, as far as that can be known: so that people are asked before, and not after.

use chrono::Duration;
use serde::Serialize;
use utoipa::ToSchema;

use super::client::{ClientSettings, GrantType, RefreshKind};
use super::credential::{Credential, CredentialKind, CredentialStatus};
use crate::clock::Timestamp;

/// How the end of a refresh token is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ForecastReason {
    /// It dies when it is not used for so long.
    Idle,
    /// It dies at that age, used or not.
    Absolute,
    /// The provider, or whoever imported it, said so.
    Stated,
}

/// The earliest known end of a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct RefreshForecast {
    /// When it dies.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// How that is known.
    pub reason: ForecastReason,
}

impl Credential {
    /// Whether it may live by a refresh token.
    pub fn lives_by_refresh_token(&self) -> bool {
        self.kind == CredentialKind::Oauth
            && self.refreshable
            && self.grant != GrantType::ClientCredentials
            && !self.is_ended()
            && self.status != CredentialStatus::ReauthorizationRequired
    }

    /// Whether it would be lost with its refresh token: with a kept password a new one is had at any time.
    pub fn needs_refresh_token(&self, client: &ClientSettings) -> bool {
        let by_password = self.grant == GrantType::Password && !client.offers(GrantType::RefreshToken);
        self.lives_by_refresh_token() && !by_password
    }

    /// When its refresh token dies, by what is known of its provider. `None`: nothing is known, or it lives by none.
    pub fn refresh_forecast(&self, client: &ClientSettings) -> Option<RefreshForecast> {
        let facts = &client.refresh;
        if !self.needs_refresh_token(client) || facts.kind == Some(RefreshKind::None) {
            return None;
        }
        let granted = self.granted_at.unwrap_or(self.created_at);
        let used = self.last_refreshed_at.map_or(granted, |at| at.max(granted));
        // What was stated of a refresh token says nothing of its successor.
        let replaced = used > granted && facts.kind == Some(RefreshKind::Rotating);
        let stated = self.refresh_expires_at.filter(|_| !replaced);
        let after = |since: Timestamp, days: Option<u32>| since.checked_add_signed(Duration::days(days?.into()));
        [
            (stated, ForecastReason::Stated),
            (after(granted, facts.absolute_days), ForecastReason::Absolute),
            (after(used, facts.idle_days), ForecastReason::Idle),
        ]
        .into_iter()
        .filter_map(|(at, reason)| Some(RefreshForecast { at: at?, reason }))
        .min_by_key(|forecast| forecast.at)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::ids::ProjectId;
    use crate::testing::fixtures::{self, flow, session};

    fn at(day: i64) -> Timestamp {
        chrono::DateTime::from_timestamp(day * 86_400, 0).unwrap()
    }

    fn granted_on_day_100() -> Credential {
        Credential { granted_at: Some(at(100)), ..fixtures::credential(&flow(&session(&ProjectId::generate()))) }
    }

    fn forecast(credential: &Credential, facts: serde_json::Value) -> Option<(i64, ForecastReason)> {
        let client: ClientSettings = serde_json::from_value(json!({ "name": "c", "refresh": facts })).unwrap();
        let forecast = credential.refresh_forecast(&client)?;
        Some((forecast.at.timestamp() / 86_400, forecast.reason))
    }

    #[test]
    fn the_earliest_known_end_is_told_and_an_unknown_one_is_not() {
        let fresh = granted_on_day_100();
        let used = Credential { last_refreshed_at: Some(at(150)), ..fresh.clone() };
        let stated = Credential { refresh_expires_at: Some(at(120)), ..fresh.clone() };
        let replaced = Credential { refresh_expires_at: Some(at(120)), ..used.clone() };
        let regranted = Credential { granted_at: Some(at(170)), ..used.clone() };
        let both = json!({ "idle_days": 60, "absolute_days": 90 });
        let rotating = json!({ "kind": "rotating", "idle_days": 60 });
        use ForecastReason::{Absolute, Idle, Stated};
        for (credential, facts, expected) in [
            (&fresh, json!({}), None),
            (&fresh, both.clone(), Some((160, Idle))),
            (&used, both.clone(), Some((190, Absolute))),
            (&regranted, both.clone(), Some((230, Idle))),
            (&stated, both.clone(), Some((120, Stated))),
            (&replaced, both.clone(), Some((120, Stated))),
            (&replaced, rotating, Some((210, Idle))),
            (&fresh, json!({ "kind": "none", "idle_days": 60 }), None),
        ] {
            assert_eq!(forecast(credential, facts.clone()), expected, "{facts}");
        }
    }

    #[test]
    fn what_does_not_live_by_a_refresh_token_has_no_forecast() {
        let facts = json!({ "idle_days": 60 });
        let base = granted_on_day_100();
        for other in [
            Credential { refreshable: false, ..base.clone() },
            Credential { grant: GrantType::ClientCredentials, ..base.clone() },
            Credential { kind: CredentialKind::Raw, ..base.clone() },
            Credential { status: CredentialStatus::Revoked, ..base.clone() },
            Credential { status: CredentialStatus::ReauthorizationRequired, ..base.clone() },
        ] {
            assert_eq!(forecast(&other, facts.clone()), None, "{:?} {:?}", other.status, other.grant);
        }
        assert!(forecast(&base, facts.clone()).is_some());
        let password = Credential { grant: GrantType::Password, ..base };
        let client: ClientSettings =
            serde_json::from_value(json!({ "name": "c", "grant_types": ["password"], "refresh": facts })).unwrap();
        assert_eq!(password.refresh_forecast(&client), None);
    }
}
