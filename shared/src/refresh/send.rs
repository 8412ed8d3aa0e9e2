//! The request to the provider, and what its answer means (REFRESH.md S3).

use std::time::Duration;

use super::Engine;
use super::attempt::Obtained;
use crate::error::{Error, Result};
use crate::model::client::Client;
use crate::outbound::{OAuthHttp, OAuthHttpError};
use crate::protocol::token::{TokenAnswer, TokenEndpoint, TokenFailure};
use crate::secret::Secret;

/// What the provider said, by what it means for the credential.
pub(super) enum Answer {
    Tokens(TokenAnswer),
    /// `invalid_grant`.
    GrantRefused,
    /// The client or the request was refused: the credential is not to blame.
    ClientRefused {
        error: &'static str,
        status: u16,
    },
    /// It did not process the request, and says when to come again.
    Later {
        retry_after: Option<Duration>,
    },
    /// The request surely did not arrive.
    NotSent,
    /// The outcome is not known.
    Unknown,
    /// An answer that is not OAuth, and surely no success.
    Misbehaved(&'static str),
}

impl Engine {
    /// S3: one POST per client secret; the next secret is tried only when the server refused the one before, and then it
    /// did not look at the refresh token.
    pub(super) async fn send(&self, client: &Client, obtained: &Obtained) -> Result<Answer> {
        let missing = Error::Internal("an active client lacks its endpoint");
        let (Some(url), Some(client_id)) = (&client.settings.token_endpoint, &client.settings.client_id) else {
            return Err(missing);
        };
        let extra = client.settings.token_params();
        let mut answer = Answer::NotSent;
        let tries: Vec<Option<&Secret<String>>> = match obtained.secrets.as_slice() {
            [] => vec![None],
            secrets => secrets.iter().map(Some).collect(),
        };
        for client_secret in tries {
            let endpoint = TokenEndpoint {
                url,
                client_id,
                client_secret,
                auth_method: client.settings.auth_method(),
                extra: &extra,
                scope_separator: client.settings.scopes.separator.as_deref(),
            };
            let http = OAuthHttp::new(&self.outbound, &obtained.tokens.bound_origin);
            let result = endpoint.refresh(&http, &obtained.refresh_token).await;
            answer = classify(result, &http);
            if !matches!(answer, Answer::ClientRefused { error: "invalid_client", .. }) {
                break;
            }
        }
        Ok(answer)
    }
}

/// Sorts a token answer by what it means (REFRESH.md b.3, table of S3).
fn classify(result: Result<TokenAnswer, TokenFailure<OAuthHttpError>>, http: &OAuthHttp<'_>) -> Answer {
    let outcome = http.outcome();
    let (status, retry_after) = outcome.map_or((0, None), |outcome| (outcome.status, outcome.retry_after));
    if result.is_err() && (status == 429 || (status == 503 && retry_after.is_some())) {
        return Answer::Later { retry_after };
    }
    match result {
        Ok(answer) => Answer::Tokens(answer),
        Err(TokenFailure::Refused("temporarily_unavailable")) => Answer::Later { retry_after },
        Err(TokenFailure::Refused("server_error")) => Answer::Unknown,
        Err(TokenFailure::Refused(_)) if status >= 500 => Answer::Unknown,
        Err(TokenFailure::Refused("invalid_grant")) => Answer::GrantRefused,
        Err(TokenFailure::Refused(error)) => Answer::ClientRefused { error, status },
        Err(TokenFailure::Transport(error)) if (400..500).contains(&status) => {
            tracing::warn!(%error, status, "the token endpoint did not answer in OAuth");
            Answer::Misbehaved("the token endpoint answered something that is not OAuth")
        }
        Err(TokenFailure::Transport(error)) if error.maybe_processed() => Answer::Unknown,
        Err(TokenFailure::Transport(_)) => Answer::NotSent,
        Err(TokenFailure::NotOAuth) => Answer::Unknown,
    }
}
