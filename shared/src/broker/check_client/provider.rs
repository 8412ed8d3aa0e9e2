//! What the catalogue says of the client's provider today.

use super::{Facts, Findings};
use crate::catalogue::Confidence;
use crate::model::client::GrantType;

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    offline_scope(facts, findings);
    let Some(provider) = facts.provider else { return };
    let differs = provider.differences(&facts.client.settings);
    if !differs.is_empty() {
        let id = &provider.id;
        findings.info(
            "provider_changed",
            format!("The catalogue's entry {id} says something else today of {}.", differs.join(", ")),
            &[
                "Compare with GET /v1/providers/{provider}: the client may differ on purpose.",
                &format!("To take the entry's facts: PATCH /v1/clients/{{id}} with {{\"provider\": \"{id}\"}}."),
            ],
        );
    }
    if provider.about.confidence == Confidence::Medium {
        findings.info(
            "provider_entry_unsure",
            format!("The URLs of the catalogue's entry {} are known from one source only.", provider.id),
            &["Compare the endpoints with the provider's documentation before people connect."],
        );
    }
}

fn offline_scope(facts: &Facts<'_>, findings: &mut Findings) {
    let settings = &facts.client.settings;
    let Some(scope) = &settings.refresh.scope else { return };
    if settings.offers(GrantType::RefreshToken) && !settings.scopes.required.contains(scope) {
        findings.warning(
            "offline_scope_missing",
            format!(
                "The provider gives refresh tokens only when {scope} is asked, and the client does not always ask it."
            ),
            &["Add it to scopes.required, or take refresh_token out of grant_types."],
        );
    }
}
