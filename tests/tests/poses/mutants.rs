//! A client that is wrong about its provider in one thing fails at its pose, and the complaint says in which.

use anyhow::{bail, ensure};
use grantkeeper::model::client::GrantType;
use serde_json::{Value, json};

use crate::Outcome;
use crate::entry::Case;
use crate::flow;
use crate::lanes::Lane;

/// One thing that the client has wrong.
pub struct Mutant {
    pub name: &'static str,
    /// The entry of the pose, which has it right.
    provider: &'static str,
    /// Goes over what the client takes from the entry; null takes away.
    patch: Value,
    /// What the failure says.
    told: &'static str,
}

/// Ten of them.
pub fn all() -> Vec<Mutant> {
    let mutant = |name, provider, patch, told| Mutant { name, provider, patch, told };
    vec![
        mutant(
            "auth_method",
            "strava",
            json!({ "token_endpoint_auth_method": "client_secret_basic" }),
            "token: the parameter client_id is missing",
        ),
        mutant(
            "form_for_json",
            "notion",
            json!({ "token_request": { "content_type": null } }),
            "token: the body must be JSON",
        ),
        mutant("scope_separator", "strava", json!({ "scopes": { "separator": null } }), "between which stands `,`"),
        mutant(
            "renamed_parameter",
            "tiktok",
            json!({ "authorization_names": { "client_id": null } }),
            "authorize: the parameter client_id is not known here",
        ),
        mutant("pkce", "airtable", json!({ "pkce": false }), "authorize: the parameter code_challenge is missing"),
        mutant(
            "authorization_parameter",
            "google",
            json!({ "authorization_params": { "access_type": null } }),
            "authorize: the parameter access_type is missing",
        ),
        mutant(
            "token_header",
            "square",
            json!({ "token_request": { "headers": null } }),
            "token: the header Square-Version is missing",
        ),
        mutant("response_root", "withings", json!({ "token_response": { "root": null } }), "complete: "),
        mutant(
            "refresh_url",
            "mural",
            json!({ "refresh_request": null }),
            "refresh: refresh tokens are not presented here",
        ),
        mutant(
            "revocation_method",
            "whoop",
            json!({ "revocation_request": { "method": null } }),
            "revoke: the method must be DELETE",
        ),
    ]
}

impl Mutant {
    /// The flow fails, and says why.
    pub async fn fails(&self, lane: &Lane) -> Outcome {
        let case = Case::find(self.provider, GrantType::AuthorizationCode)?;
        let Err(error) = flow::run(lane, &case, Some(&self.patch)).await else {
            bail!("the flow passes all the same");
        };
        let text = format!("{error:#}");
        ensure!(text.contains(self.told), "{text}");
        Ok(())
    }
}
