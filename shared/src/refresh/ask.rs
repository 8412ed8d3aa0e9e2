//! Asks a token endpoint: the one place where codes, refresh tokens, passwords and client secrets are sent.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Engine;
use crate::error::{Error, Result};
use crate::model::client::{Client, CredentialsFrom, Resolved, binds};
use crate::model::token_set::SecretInputs;
use crate::outbound::{Limits, OAuthHttp, OAuthHttpError, Outcome};
use crate::protocol::exchange::Exchange;
use crate::protocol::token::{AuthMethod, TokenAnswer, TokenEndpoint, TokenFailure};
use crate::secret::Secret;
use crate::vault::{Place, Prefetched};

/// How long after its beginning an asking may still try another secret. All tries together have the time of one.
const TRY_WITHIN: Duration = Duration::from_secs(6);
/// How long the value of a client's secret is kept in the process. Its id is looked up with the client, so a secret that was
/// taken away is not used for any longer.
pub(super) const SECRETS_KEPT: chrono::Duration = chrono::Duration::minutes(5);
/// How long after its last success a client secret's next one is noted.
const NOTE_AFTER: chrono::Duration = chrono::Duration::hours(1);

/// What is presented (RFC 6749 §4 and §6).
pub(crate) enum Grant<'a> {
    /// An authorization code, with its verifier.
    Code {
        /// The code.
        code: &'a Secret<String>,
        /// The verifier (RFC 7636), where a challenge was sent.
        verifier: Option<&'a Secret<String>>,
        /// The redirect URI of the authorization request.
        redirect_uri: &'a str,
        /// What was asked.
        scopes: &'a [String],
        /// The `state` of the authorization request.
        state: &'a Secret<String>,
    },
    /// A refresh token.
    RefreshToken(&'a Secret<String>),
    /// Nothing but the client itself.
    ClientCredentials {
        /// What is asked.
        scopes: &'a [String],
    },
    /// A person's name and password.
    Password {
        /// The name.
        username: &'a Secret<String>,
        /// The password.
        password: &'a Secret<String>,
        /// What is asked.
        scopes: &'a [String],
    },
}

/// What the provider said, by what it means.
pub(crate) enum Answer {
    /// Tokens.
    Tokens(Box<TokenAnswer>),
    /// `invalid_grant`.
    GrantRefused,
    /// The client or the request was refused: the grant is not to blame.
    ClientRefused {
        /// RFC 6749 §5.2.
        error: &'static str,
        /// HTTP status.
        status: u16,
    },
    /// It did not process the request, and says when to come again.
    Later {
        /// When.
        retry_after: Option<Duration>,
    },
    /// The request surely did not arrive.
    NotSent,
    /// The outcome is not known.
    Unknown,
    /// An answer that is not OAuth, and surely no success.
    Misbehaved(&'static str),
}

/// What is asked, and how.
struct Asking<'a> {
    resolved: &'a Resolved,
    /// The origins that the secrets may be sent to.
    bound: &'a str,
    grant: &'a Grant<'a>,
    /// What placeholders may name beside the parameters of the request.
    supplied: &'a [(String, String)],
    begun: Instant,
    /// How long all tries together may take.
    within: Duration,
}

/// A client secret, with its id where it is the client's own.
pub(crate) struct KnownSecret {
    id: Option<String>,
    value: Arc<Secret<String>>,
}

/// An answer, with the record of how it came about.
pub(crate) struct Asked {
    pub(crate) answer: Answer,
    /// Each request, redacted.
    pub(crate) exchanges: Vec<Exchange>,
    /// The client's own secret that brought tokens.
    pub(crate) secret: Option<String>,
}

/// What became of what was presented, when it brought no tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presented {
    /// It was surely not processed, and can be presented again.
    Unused,
    /// Nobody knows.
    Unknown,
    /// It was looked at and refused.
    Used,
}

impl Answer {
    /// The tokens, or the error for a caller who will not come again by himself. `exchanges`: how it came about.
    pub(crate) fn tokens(self, exchanges: &[Exchange]) -> Result<TokenAnswer, (Error, Presented)> {
        let unavailable = |what, retry_after| Error::ProviderUnavailable { what, retry_after };
        Err(match self {
            Self::Tokens(answer) => return Ok(*answer),
            Self::GrantRefused => (Error::GrantRejected, Presented::Used),
            Self::ClientRefused { error, status } => {
                (Error::ClientRejected { error, status: Some(status) }, Presented::Used)
            }
            Self::Misbehaved(what) => (Error::ProviderMisbehaved(what), Presented::Used),
            // Documented as not processed.
            Self::Later { retry_after } => {
                (unavailable("it asked to come again later", retry_after), Presented::Unused)
            }
            Self::NotSent => (unavailable("its token endpoint could not be reached", None), Presented::Unused),
            // An answer that is no token answer, or none.
            Self::Unknown => match exchanges.last().and_then(|exchange| exchange.status) {
                Some(200..=299) => {
                    let what = "the token endpoint answered something that is not a token answer";
                    (Error::ProviderMisbehaved(what), Presented::Unknown)
                }
                _ => (unavailable("its answer was lost", None), Presented::Unknown),
            },
        })
    }
}

impl KnownSecret {
    pub(crate) fn value(&self) -> &Secret<String> {
        &self.value
    }
}

impl Engine {
    /// One POST per client secret; the next secret is tried only when the server refused the one before, and then it did
    /// not look at the grant. `bound`: the origins that the secrets may be sent to.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the endpoint is at an origin that the secrets are not bound to: nothing is sent then.
    pub(crate) async fn ask(
        &self,
        client: &Client,
        resolved: &Resolved,
        secrets: &[KnownSecret],
        bound: &str,
        grant: &Grant<'_>,
    ) -> Result<Asked> {
        self.ask_within(Limits::TOKEN.total, client, resolved, secrets, bound, grant).await
    }

    /// As [`Engine::ask`], within a time that may be shorter than usual.
    ///
    /// # Errors
    /// As [`Engine::ask`].
    pub(super) async fn ask_within(
        &self,
        within: Duration,
        client: &Client,
        resolved: &Resolved,
        secrets: &[KnownSecret],
        bound: &str,
        grant: &Grant<'_>,
    ) -> Result<Asked> {
        let begun = Instant::now();
        let supplied = self.supplied(client, resolved, grant);
        let within = within.min(Limits::TOKEN.total);
        let asking = Asking { resolved, bound, grant, supplied: &supplied, begun, within };
        let mut asked = self.try_secrets(&asking, secrets).await?;
        let refused = matches!(asked.answer, Answer::ClientRefused { error: "invalid_client", .. });
        if refused
            && begun.elapsed() < TRY_WITHIN.min(within)
            && client.settings.credentials_from == CredentialsFrom::Client
            && !secrets.is_empty()
        {
            // Another process may have been told a newer secret than this one knows.
            let newer = self.newer_secrets(client, secrets).await.unwrap_or_default();
            if !newer.is_empty() {
                let again = self.try_secrets(&asking, &newer).await?;
                asked.exchanges.extend(again.exchanges);
                asked.answer = again.answer;
                asked.secret = again.secret;
            }
        }
        Ok(asked)
    }

    /// What placeholders of the client's dialect may name beside the parameters of the request.
    fn supplied(&self, client: &Client, resolved: &Resolved, grant: &Grant<'_>) -> Vec<(String, String)> {
        let mut supplied = vec![
            ("redirect_uri", self.config.redirect_uri(&client.client_key)),
            ("random", uuid::Uuid::new_v4().simple().to_string()),
            ("uuid", uuid::Uuid::new_v4().to_string()),
        ];
        if let Grant::Code { state, scopes, .. } = grant {
            supplied.push(("state", state.expose().clone()));
            supplied.extend((!scopes.is_empty()).then(|| ("scope", scopes.join(&resolved.scope_separator))));
        }
        supplied.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    async fn try_secrets(&self, asking: &Asking<'_>, secrets: &[KnownSecret]) -> Result<Asked> {
        let Asking { resolved, bound, grant, supplied, begun, within } = asking;
        let refreshing = matches!(grant, Grant::RefreshToken(_));
        let (url, dialect) = match refreshing {
            true => (resolved.refresh_endpoint.as_ref(), &resolved.refresh_request),
            false => (Some(&resolved.token_endpoint), &resolved.token_request),
        };
        // A secret goes only to the origins it was entered for (SECURITY.md 24).
        let (url, origin) = url.and_then(|url| Some((url, binds(bound, url)?))).ok_or_else(bound_elsewhere)?;
        let tries: Vec<Option<&KnownSecret>> = match secrets {
            [] => vec![None],
            secrets => secrets.iter().map(Some).collect(),
        };
        let mut asked = Asked { answer: Answer::NotSent, exchanges: Vec::new(), secret: None };
        for (number, secret) in tries.into_iter().enumerate() {
            if number > 0 && begun.elapsed() >= TRY_WITHIN.min(*within) {
                break;
            }
            let endpoint = TokenEndpoint {
                url,
                client_id: &resolved.client_id,
                client_secret: secret.map(KnownSecret::value),
                auth_method: dialect.auth.unwrap_or(resolved.auth_method),
                scope_separator: Some(&resolved.scope_separator),
                extra: &resolved.params,
            };
            let http = OAuthHttp::new(&self.outbound, &origin)
                .with_dialect(dialect, &resolved.token_response)
                .hiding(resolved.hidden.clone())
                .supplying(supplied)
                .within(within.saturating_sub(begun.elapsed()))
                .at(self.clock.now());
            let result = match grant {
                Grant::Code { code, verifier, redirect_uri, .. } => {
                    endpoint.exchange_code(&http, code, *verifier, redirect_uri).await
                }
                Grant::RefreshToken(token) => endpoint.refresh(&http, token).await,
                Grant::ClientCredentials { scopes } => endpoint.client_credentials(&http, scopes).await,
                Grant::Password { username, password, scopes } => {
                    endpoint.password(&http, username, password, scopes).await
                }
            };
            asked.answer = classify(result, http.outcome(), refreshing);
            asked.exchanges.extend(http.record());
            match asked.answer {
                Answer::ClientRefused { error: "invalid_client", .. } => {}
                Answer::Tokens(_) => {
                    asked.secret = secret.and_then(|secret| secret.id.clone());
                    break;
                }
                _ => break,
            }
        }
        Ok(asked)
    }

    /// The secrets to try for a credential: the client's own in their order, or the person's.
    ///
    /// # Errors
    /// [`Error::Conflict`] `secret_bound_elsewhere`; [`Error::Dependency`].
    pub(crate) async fn secrets_for(
        &self,
        client: &Client,
        resolved: &Resolved,
        inputs: &SecretInputs,
    ) -> Result<Vec<KnownSecret>> {
        if resolved.auth_method == AuthMethod::None {
            return Ok(Vec::new());
        }
        if client.settings.credentials_from == CredentialsFrom::Person {
            let value = inputs.get("client_secret").cloned();
            let value = value.ok_or(Error::Internal("a credential lacks the client secret of its owner"))?;
            return Ok(vec![KnownSecret { id: None, value: Arc::new(value) }]);
        }
        // A secret goes only to the origins it was entered for (SECURITY.md 24).
        if !may_ask(client, client) {
            return Err(bound_elsewhere());
        }
        let known = client.usable_secrets(self.clock.now()).map(|secret| secret.id.clone()).collect();
        let secrets = self.open_secrets(client, known).await?;
        if secrets.is_empty() { Err(no_usable_secret()) } else { Ok(secrets) }
    }

    async fn open_secrets(&self, client: &Client, ids: Vec<String>) -> Result<Vec<KnownSecret>> {
        let place = Place::new(client.settings.home(), client.id.as_str());
        let mut secrets = Vec::with_capacity(ids.len());
        let now = self.clock.now();
        for id in ids {
            let key = (client.id.clone(), id.clone());
            let value = match self.client_secrets.get(&key, now) {
                Some(known) => known,
                None => {
                    let value = self.vault.open(&place, &id, Prefetched::Nothing).await?;
                    self.client_secrets.insert(key, value, now)
                }
            };
            secrets.push(KnownSecret { id: Some(id), value });
        }
        Ok(secrets)
    }

    async fn newer_secrets(&self, client: &Client, tried: &[KnownSecret]) -> Result<Vec<KnownSecret>> {
        let Some(fresh) = self.store.find_client(&client.id).await? else { return Ok(Vec::new()) };
        // What is asked is still what the older record says.
        if !may_ask(&fresh, client) {
            return Ok(Vec::new());
        }
        let untried = |id: &String| !tried.iter().any(|secret| secret.id.as_ref() == Some(id));
        let ids = fresh.usable_secrets(self.clock.now()).map(|secret| secret.id.clone()).filter(untried).collect();
        self.open_secrets(&fresh, ids).await
    }

    /// So that an operator sees which secret is in use before another one is taken away. Called when the tokens are
    /// stored, and never fails what it notes.
    pub(crate) async fn note_success(&self, client: &Client, secret: Option<&String>) {
        let Some(id) = secret else { return };
        let now = self.clock.now();
        let known = client.client_secrets.iter().find(|known| known.id == *id);
        // A secret that the client at hand does not know yet is noted when it does.
        if known.is_none() {
            return;
        }
        let stored = known.and_then(|known| known.last_success_at);
        // The client at hand may be older than the last note of this process.
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), now);
        if [stored, noted].into_iter().flatten().any(|at| now - at < NOTE_AFTER) {
            return;
        }
        if let Err(error) = self.store.record_secret_use(client, id, now).await {
            tracing::warn!(client = %client.id, %error, "the use of a client secret was not noted");
        }
    }
}

fn no_usable_secret() -> Error {
    Error::Conflict {
        code: "client_not_active",
        detail: "Every secret of the client is retired or expired.".to_owned(),
        advice: &["Ask the superuser to add a secret (POST /v1/clients/{id}/secrets)."],
    }
}

/// Whether what a client authenticates with may be sent to another endpoint than those of tokens: a secret of its own
/// only where it was entered for (SECURITY.md 24).
pub(super) fn may_tell(client: &Client, endpoint: Option<&str>) -> bool {
    let settings = &client.settings;
    let own = settings.credentials_from == CredentialsFrom::Client && settings.auth_method() != AuthMethod::None;
    !own || client.may_send_secrets_to(endpoint, settings)
}

/// Whether the secrets of one record of a client may go where tokens are asked for by another.
fn may_ask(secrets_of: &Client, asked: &Client) -> bool {
    let settings = &asked.settings;
    let refresh = settings.refresh_request.as_ref().and_then(|request| request.url.as_deref());
    settings.token_endpoint.is_some()
        && [settings.token_endpoint.as_deref(), refresh]
            .into_iter()
            .all(|url| secrets_of.may_send_secrets_to(url, settings))
}

pub(crate) fn bound_elsewhere() -> Error {
    Error::Conflict {
        code: "secret_bound_elsewhere",
        detail: "The endpoint has another origin than the one that the secrets were entered for.".to_owned(),
        advice: &["Ask the superuser to enter the client secret again.", "Then connect the credential again."],
    }
}

/// What a server says at a refresh when only the person can go on: the grant is as good as refused.
const ONLY_A_PERSON_HELPS: [&str; 6] = [
    "access_denied",
    "account_selection_required",
    "consent_required",
    "interaction_required",
    "invalid_token",
    "login_required",
];

/// Sorts a token answer by what it means (REFRESH.md b.3, table of S3).
fn classify(
    result: Result<TokenAnswer, TokenFailure<OAuthHttpError>>,
    outcome: Option<Outcome>,
    refreshing: bool,
) -> Answer {
    let (status, retry_after) = outcome.map_or((0, None), |outcome| (outcome.status, outcome.retry_after));
    // Documented as not processed (RFC 6585 §4, RFC 9110 §15.6.4).
    if result.is_err() && (status == 429 || (status == 503 && retry_after.is_some())) {
        return Answer::Later { retry_after };
    }
    match result {
        // RFC 6749 §7.1: a token of a type that cannot be used must not be used. What a refresh brings is kept in any
        // case: the refresh token before it may be spent.
        Ok(answer) if !refreshing && !answer.usable => {
            Answer::Misbehaved("it issued a token that is not a bearer token")
        }
        Ok(answer) => Answer::Tokens(Box::new(answer)),
        Err(TokenFailure::Refused("temporarily_unavailable")) => Answer::Later { retry_after },
        Err(TokenFailure::Refused("server_error")) => Answer::Unknown,
        Err(TokenFailure::Refused(_)) if status >= 500 => Answer::Unknown,
        Err(TokenFailure::Refused("invalid_grant")) => Answer::GrantRefused,
        Err(TokenFailure::Refused(error)) if refreshing && ONLY_A_PERSON_HELPS.contains(&error) => Answer::GrantRefused,
        // RFC 6749 §5.2: 401 is for client authentication alone, whatever else it says.
        Err(TokenFailure::Refused("other") | TokenFailure::Transport(_)) if status == 401 => {
            Answer::ClientRefused { error: "invalid_client", status }
        }
        Err(TokenFailure::Refused(error)) => Answer::ClientRefused { error, status },
        Err(TokenFailure::Transport(error)) if (300..500).contains(&status) => {
            tracing::warn!(%error, status, "the token endpoint did not answer in OAuth");
            Answer::Misbehaved("the token endpoint answered something that is not OAuth")
        }
        Err(TokenFailure::Transport(error)) if error.maybe_processed() => Answer::Unknown,
        Err(TokenFailure::Transport(_)) => Answer::NotSent,
        Err(TokenFailure::NotOAuth) => Answer::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classified(failure: TokenFailure<OAuthHttpError>, status: u16, refreshing: bool) -> String {
        match classify(Err(failure), Some(Outcome { status, retry_after: None }), refreshing) {
            Answer::Tokens(_) => "tokens".to_owned(),
            Answer::GrantRefused => "grant".to_owned(),
            Answer::ClientRefused { error, .. } => error.to_owned(),
            Answer::Later { .. } => "later".to_owned(),
            Answer::NotSent => "not sent".to_owned(),
            Answer::Unknown => "unknown".to_owned(),
            Answer::Misbehaved(_) => "misbehaved".to_owned(),
        }
    }

    #[test]
    fn a_401_without_a_known_code_is_a_refusal_of_the_client() {
        let status = 401;
        for failure in [
            TokenFailure::Transport(OAuthHttpError::NotJson { status }),
            TokenFailure::Transport(OAuthHttpError::NoErrorCode { status }),
            TokenFailure::Refused("other"),
        ] {
            assert_eq!(classified(failure, status, true), "invalid_client");
        }
        assert_eq!(classified(TokenFailure::Refused("invalid_grant"), status, true), "grant");
        let forbidden = TokenFailure::Transport(OAuthHttpError::NotJson { status: 403 });
        assert_eq!(classified(forbidden, 403, true), "misbehaved");
    }

    #[test]
    fn what_only_a_person_can_mend_ends_a_grant_at_a_refresh_alone() {
        for error in ONLY_A_PERSON_HELPS {
            assert_eq!(classified(TokenFailure::Refused(error), 400, true), "grant", "{error}");
            assert_eq!(classified(TokenFailure::Refused(error), 400, false), error, "{error}");
        }
    }
}
