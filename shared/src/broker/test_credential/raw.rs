//! The test of a raw credential: whether its value is there, and how it is sent.

use super::{Finding, StepVerdict, TestStep, Tested, no_token};
use crate::broker::Broker;
use crate::error::{Error, Result};
use crate::model::credential::{Credential, CredentialStatus};
use crate::model::raw_value::RawValue;
use crate::vault::Prefetched;

impl Broker {
    pub(super) async fn test_raw(&self, credential: &Credential) -> Result<Tested> {
        let not_for_raw = |code, detail: &str| (StepVerdict::Skipped, Finding::said(code, detail));
        let suspended = credential.status == CredentialStatus::Suspended;
        let value = match suspended {
            true => None,
            false => {
                let place = credential.place(credential.generation);
                let document = self.vault().open(&place, &credential.cur, Prefetched::Nothing).await?;
                Some(RawValue::from_document(&document).ok_or(Error::Internal("a raw value cannot be read"))?)
            }
        };
        let token = match &value {
            Some(_) => (StepVerdict::Passed, Finding::said("value_there", "The credential's value is there.")),
            None => (StepVerdict::Failed, Finding::Failed(Error::Suspended)),
        };
        let header = match &value {
            None => (StepVerdict::Skipped, no_token()),
            Some(value) if value.headers.is_empty() => {
                not_for_raw("no_headers", "The credential names no headers: programs get its value.")
            }
            Some(value) => {
                let names: Vec<&str> = value.headers.keys().map(String::as_str).collect();
                (StepVerdict::Passed, Finding::said("header_known", format!("Headers are sent: {}.", names.join(", "))))
            }
        };
        let advice = ["Call the API with the value once, from where the program will run."];
        let request =
            Finding::advising("no_test_request", "A raw credential has no client, and so no test request.", &advice);
        let steps = [
            (TestStep::Token, token),
            (TestStep::Refresh, not_for_raw("not_refreshable", "A raw credential does not expire.")),
            (TestStep::Scopes, not_for_raw("no_scopes", "A raw credential has no scopes.")),
            (TestStep::Header, header),
            (TestStep::Request, (StepVerdict::Skipped, request)),
            (TestStep::Payload, not_for_raw("no_answer", "No request was made.")),
        ];
        let steps = steps.map(|(step, (verdict, finding))| (step, verdict, finding)).into();
        Ok(Tested { steps, status: None, payload: None })
    }
}
