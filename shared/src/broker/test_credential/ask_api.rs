//! The client's test request, and what its answer means.

use std::time::Duration;

use http::{HeaderName, header};
use serde_json::{Value, json};

use super::{Finding, StepVerdict, TestStep, Trial, no_token};
use crate::broker::api_request::Unaskable;
use crate::broker::delivery::Api;
use crate::broker::finding::ApiAnswer;
use crate::clock::Timestamp;
use crate::model::token_set::TokenSet;
use crate::outbound::{OutboundRequest, OutboundResponse};
use crate::protocol::answer::is_ok;
use crate::protocol::exchange::NoAnswer;
use crate::protocol::redact::redact_body;
use crate::refresh::diagnose::failure;

/// How long after the call's beginning the API is still asked: the function's time limit must not cut the answer off.
const ASK_WITHIN: Duration = Duration::from_secs(14);
/// The largest payload that is shown (bytes of JSON).
const MAX_PAYLOAD: usize = 4096;

impl Trial<'_> {
    /// The steps `request` and `payload`.
    pub(super) async fn request(&mut self) {
        let Some(tokens) = self.tokens.take() else {
            self.found(TestStep::Request, StepVerdict::Skipped, no_token());
            return self.unanswered();
        };
        let request = match self.prepare(&tokens) {
            Ok(request) => request,
            Err((verdict, finding)) => {
                self.found(TestStep::Request, verdict, finding);
                return self.unanswered();
            }
        };
        let (method, url) = (request.method.clone(), shown(&request.url));
        match self.broker.outbound().send(request).await {
            Err(error) => {
                let failure = failure(NoAnswer::from(error));
                let answer = ApiAnswer { url: url.as_deref(), failure: Some(failure), ..ApiAnswer::default() };
                let advice = answer.classify(&self.client, &self.credential, self.broker.now());
                self.found(TestStep::Request, StepVerdict::Failed, Finding::Classified(advice));
                self.unanswered();
            }
            Ok(answer) => {
                let status = answer.status.as_u16();
                let detail = format!("{method} {} was answered with {status}.", url.as_deref().unwrap_or("the API"));
                self.found(TestStep::Request, StepVerdict::Passed, Finding::said("api_answered", detail));
                self.tested.status = Some(status);
                self.tested.payload = Some(payload(&answer, &tokens));
                self.judge(&answer, url.as_deref());
            }
        }
    }

    fn unanswered(&mut self) {
        let finding = Finding::said("no_answer", "There is no answer of the API to judge.");
        self.found(TestStep::Payload, StepVerdict::Skipped, finding);
    }

    fn judge(&mut self, answer: &OutboundResponse, url: Option<&str>) {
        let now = self.broker.now();
        let text = |name: HeaderName| answer.headers.get(name).and_then(|value| value.to_str().ok());
        // Each challenge may stand in a header of its own (RFC 9110 §11.6.1).
        let challenges: Vec<&str> =
            answer.headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()).collect();
        let challenges = Some(challenges.join(", ")).filter(|challenges| !challenges.is_empty());
        let is_html = is_html(text(header::CONTENT_TYPE), &answer.body);
        let said = ApiAnswer {
            status: Some(answer.status.as_u16()),
            www_authenticate: challenges.as_deref(),
            url,
            is_html,
            retry_after_seconds: text(header::RETRY_AFTER).and_then(|value| value.parse().ok()),
            clock_skew_seconds: text(header::DATE).and_then(|date| skew(date, now)),
            failure: None,
        };
        let advice = said.classify(&self.client, &self.credential, now);
        let ok = self.client.settings.test_request.as_ref().and_then(|test| test.ok.as_deref());
        let says_no = |ok| serde_json::from_slice::<Value>(&answer.body).map_or(true, |said| !is_ok(&said, ok));
        let finding = if answer.status.is_success() && !is_html && ok.is_some_and(says_no) {
            let advice =
                ["Read the payload: the API says there why it refused, although the status is one of success."];
            let detail = "The API answered with a status of success and says that it is none.";
            (StepVerdict::Failed, Finding::advising("api_denied", detail, &advice))
        } else if answer.status.is_success() && !is_html {
            (StepVerdict::Passed, Finding::said(advice.code, advice.detail))
        } else {
            (StepVerdict::Failed, Finding::Classified(advice))
        };
        self.found(TestStep::Payload, finding.0, finding.1);
    }

    /// The request, or why there is none.
    fn prepare(&self, tokens: &TokenSet) -> Result<OutboundRequest, (StepVerdict, Finding)> {
        let skipped = |code, detail, advice| Err((StepVerdict::Skipped, Finding::advising(code, detail, &[advice])));
        let settings = &self.client.settings;
        if settings.api_base_url.is_none() {
            let advice = "Set the client's api_base_url, the API that the tokens are for.";
            return skipped("no_api_base_url", "The client does not say where the API is.", advice);
        }
        let Some(test) = &settings.test_request else {
            let advice = "Set the client's test_request, for example {\"method\": \"GET\", \"path\": \"/me\"}.";
            return skipped("no_test_request", "The client has no request to test with.", advice);
        };
        if self.begun.elapsed() >= ASK_WITHIN {
            let advice = "Repeat the test without rehearse_expiry.";
            return skipped("no_time_left", "The steps before took too long to ask the API, too.", advice);
        }
        let api = Api::of(&self.client, &self.credential, tokens);
        api.test_request(self.broker.outbound().policy(), test).map_err(|why| {
            let (code, detail, advice) = match why {
                Unaskable::AddressUnknown => (
                    "api_url_unknown",
                    "The address of the API cannot be made for this credential.",
                    "Check that the credential's variables and the provider's answer have what api_base_url uses, \
                     and that it leads to an https address that may be reached.",
                ),
                Unaskable::OtherOrigin => (
                    "api_origin_differs",
                    "The test request leads to another origin than the API's.",
                    "Check the client's test_request: its path is below api_base_url, or at one of api_origins.",
                ),
                Unaskable::Unbuildable => (
                    "request_unbuildable",
                    "The test request cannot be built.",
                    "Check method, headers and body of the client's test_request, and the client's header.",
                ),
            };
            (StepVerdict::Failed, Finding::advising(code, detail, &[advice]))
        })
    }
}

/// An address as it may be shown.
fn shown(url: &str) -> Option<String> {
    url.split(['?', '#']).next().map(str::to_owned)
}

/// How far a `Date` (RFC 9110 §6.6.1) is ahead of our clock, in seconds.
fn skew(date: &str, now: Timestamp) -> Option<i64> {
    Some((chrono::DateTime::parse_from_rfc2822(date).ok()?.to_utc() - now).num_seconds())
}

fn is_html(content_type: Option<&str>, body: &[u8]) -> bool {
    let begins = body.trim_ascii_start().first_chunk::<5>();
    content_type.is_some_and(|kind| kind.to_ascii_lowercase().contains("html"))
        || begins.is_some_and(|begin| [b"<!doc", b"<html"].iter().any(|page| begin.eq_ignore_ascii_case(*page)))
}

/// The answer without its secrets: neither the token nor anything else that only the vault holds.
fn payload(answer: &OutboundResponse, tokens: &TokenSet) -> Value {
    let refresh_token = tokens.refresh_token.iter();
    let secrets = tokens.inputs.values().chain(refresh_token).chain([&tokens.access_token]);
    let secrets: Vec<&str> = secrets.map(|secret| secret.expose().as_str()).collect();
    let content_type = answer.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let payload = redact_body(content_type, &answer.body, &secrets);
    if payload.to_string().len() <= MAX_PAYLOAD {
        return payload;
    }
    json!({ "content_type": content_type, "length": answer.body.len(), "cut": true })
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::secret::Secret;

    #[test]
    fn a_page_is_known_by_its_type_or_by_how_it_begins() {
        assert!(is_html(Some("text/html; charset=utf-8"), b""));
        assert!(is_html(Some("text/plain"), b" \n<!DOCTYPE html>"));
        assert!(is_html(None, b"<HTML>"));
        assert!(!is_html(Some("application/json"), b"{}"));
        assert!(!is_html(None, b""));
    }

    #[test]
    fn the_date_of_an_answer_tells_how_far_the_clocks_differ() {
        let now = chrono::DateTime::from_timestamp(784_111_777, 0).unwrap();
        assert_eq!(skew("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(0));
        assert_eq!(skew("Sun, 06 Nov 1994 08:51:37 GMT", now), Some(120));
        assert_eq!(skew("yesterday", now), None);
    }

    #[test]
    fn a_long_payload_is_not_shown() {
        let body =
            json!({ "list": vec!["a text that is not short at all and says very little"; 20], "a": "x ".repeat(90) });
        let many: serde_json::Map<String, Value> = (0..40).map(|n| (format!("m{n}"), body.clone())).collect();
        let body = Value::Object(many).to_string().into_bytes();
        let answer = OutboundResponse {
            status: http::StatusCode::OK,
            headers: HeaderMap::new(),
            body: zeroize::Zeroizing::new(body.clone()),
        };
        let tokens = TokenSet {
            access_token: Secret::from("at"),
            refresh_token: None,
            token_type: "bearer".to_owned(),
            expires_at: None,
            scopes: Vec::new(),
            generation: 1,
            bound_origin: String::new(),
            extra: serde_json::Map::new(),
            inputs: Default::default(),
        };
        let expected = json!({ "content_type": null, "length": body.len(), "cut": true });
        assert_eq!(payload(&answer, &tokens), expected);
    }
}
