//! Faults of a provider or of the way to it.

use anyhow::{bail, ensure};
use serde::{Deserialize, Serialize};

use super::MAX_DELAY_MS;
use super::scripted::check_status;

/// What goes wrong with a request or its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "FaultForm", into = "FaultForm")]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// The request takes effect (tokens rotate, or a grant is revoked), and only its answer suffers. Otherwise it has
    /// no effect; a [`FaultKind::Delay`] then comes before the effect.
    pub after_commit: bool,
    /// So many milliseconds pass before the answer, or what is in its place; at most 60,000. They end when the caller
    /// hangs up.
    pub delay_ms: u32,
}

/// A kind of fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The usual answer, late. A caller that hangs up while the request waits for its effect leaves one that had none
    /// and is not in the log.
    Delay,
    /// No answer for `delay_ms`, a minute unless told otherwise; then the connection is closed.
    Hang,
    /// The connection is closed without an answer.
    Drop,
    /// This status without a body.
    Status {
        /// 200 to 599.
        status: u16,
        /// `Retry-After` (RFC 9110 §10.2.3), seconds.
        retry_after: Option<u32>,
    },
    /// The first half of the answer's body. Always after the commit.
    Truncate {
        /// `Content-Length` tells the length of the whole body, and the connection is closed early. Otherwise it tells
        /// the length of the half, so that nothing but the broken JSON shows that something is missing.
        full_length: bool,
    },
    /// Status 200 with a body that is no token answer.
    Garbage {
        /// What stands there.
        body: Garbage,
    },
    /// An error answer (RFC 6749 §5.2) in the form that the client's errors have.
    OauthError {
        /// The error code.
        error: String,
        /// 400 to 599; without it 401 for `invalid_client` and else 400.
        status: Option<u16>,
        /// `Retry-After`, seconds.
        retry_after: Option<u32>,
    },
}

/// A body that is no token answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Garbage {
    /// A page, as proxies and sign-in walls send.
    #[default]
    Html,
    /// Bytes that are neither JSON nor UTF-8, as `application/json`.
    Bytes,
    /// Nothing, as `application/json`.
    Empty,
}

/// The kinds by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Name {
    Delay,
    Hang,
    Drop,
    Status,
    Truncate,
    Garbage,
    OauthError,
}

/// A fault in JSON: everything that any of the kinds may say.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultForm {
    fault: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after_commit: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    full_length: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<Garbage>,
}

impl Fault {
    /// A fault without a delay; a [`FaultKind::Hang`] lasts a minute.
    pub fn new(kind: FaultKind, after_commit: bool) -> Fault {
        let delay_ms = if kind == FaultKind::Hang { MAX_DELAY_MS } else { 0 };
        Fault { kind, after_commit, delay_ms }
    }

    pub(super) fn validate(&self) -> anyhow::Result<()> {
        ensure!(self.delay_ms <= MAX_DELAY_MS, "the delay_ms of a fault must be at most {MAX_DELAY_MS}");
        match &self.kind {
            FaultKind::Delay | FaultKind::Hang => {
                ensure!(self.delay_ms > 0, "the delay_ms of the faults \"delay\" and \"hang\" must be at least 1");
            }
            FaultKind::Truncate { .. } => {
                ensure!(self.after_commit, "\"truncate\" cuts a real answer: its after_commit cannot be false");
            }
            FaultKind::Status { status, .. } => check_status(*status)?,
            FaultKind::OauthError { error, status, .. } => {
                // RFC 6749 §5.2.
                let is_code = |byte| matches!(byte, 0x20 | 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
                ensure!(
                    !error.is_empty() && error.bytes().all(is_code),
                    "the error of \"oauth_error\" must be printable ASCII without quotes and backslashes"
                );
                let is_error = status.is_none_or(|status| (400..=599).contains(&status));
                ensure!(is_error, "the status of \"oauth_error\" must be 400 to 599");
            }
            FaultKind::Drop | FaultKind::Garbage { .. } => {}
        }
        Ok(())
    }

    /// Whether the request is carried out.
    pub(crate) fn takes_effect(&self) -> bool {
        self.after_commit || self.kind == FaultKind::Delay
    }

    /// What the log says about it.
    pub(super) fn word(&self) -> &'static str {
        match (&self.kind, self.after_commit) {
            (FaultKind::Delay, false) => "delay",
            (FaultKind::Delay, true) => "delay_after",
            (FaultKind::Hang, false) => "hang",
            (FaultKind::Hang, true) => "hang_after",
            (FaultKind::Drop, false) => "drop",
            (FaultKind::Drop, true) => "drop_after",
            (FaultKind::Status { .. }, false) => "status",
            (FaultKind::Status { .. }, true) => "status_after",
            (FaultKind::Truncate { .. }, _) => "truncate_after",
            (FaultKind::Garbage { .. }, false) => "garbage",
            (FaultKind::Garbage { .. }, true) => "garbage_after",
            (FaultKind::OauthError { .. }, false) => "oauth_error",
            (FaultKind::OauthError { .. }, true) => "oauth_error_after",
        }
    }
}

impl TryFrom<FaultForm> for Fault {
    type Error = anyhow::Error;

    fn try_from(form: FaultForm) -> anyhow::Result<Fault> {
        let FaultForm { fault, after_commit, delay_ms, status, retry_after, error, full_length, body } = form;
        let is = |names: &[Name]| names.contains(&fault);
        let strays = [
            ("status", status.is_some() && !is(&[Name::Status, Name::OauthError])),
            ("retry_after", retry_after.is_some() && !is(&[Name::Status, Name::OauthError])),
            ("error", error.is_some() && !is(&[Name::OauthError])),
            ("full_length", full_length.is_some() && !is(&[Name::Truncate])),
            ("body", body.is_some() && !is(&[Name::Garbage])),
        ];
        if let Some((stray, _)) = strays.iter().find(|(_, is_stray)| *is_stray) {
            bail!("{stray} says nothing for this fault");
        }
        let kind = match fault {
            Name::Delay => FaultKind::Delay,
            Name::Hang => FaultKind::Hang,
            Name::Drop => FaultKind::Drop,
            Name::Status => {
                let Some(status) = status else { bail!("the fault \"status\" needs a status") };
                FaultKind::Status { status, retry_after }
            }
            Name::Truncate => FaultKind::Truncate { full_length: full_length.unwrap_or(true) },
            Name::Garbage => FaultKind::Garbage { body: body.unwrap_or_default() },
            Name::OauthError => {
                let error = error.unwrap_or_else(|| "invalid_grant".to_owned());
                FaultKind::OauthError { error, status, retry_after }
            }
        };
        let after_commit = after_commit.unwrap_or(is(&[Name::Delay, Name::Truncate]));
        let usual = Fault::new(kind, after_commit);
        let fault = Fault { delay_ms: delay_ms.unwrap_or(usual.delay_ms), ..usual };
        fault.validate()?;
        Ok(fault)
    }
}

impl From<Fault> for FaultForm {
    fn from(fault: Fault) -> FaultForm {
        let mut form = FaultForm {
            fault: Name::Delay,
            after_commit: Some(fault.after_commit),
            delay_ms: Some(fault.delay_ms),
            status: None,
            retry_after: None,
            error: None,
            full_length: None,
            body: None,
        };
        match fault.kind {
            FaultKind::Delay => {}
            FaultKind::Hang => form.fault = Name::Hang,
            FaultKind::Drop => form.fault = Name::Drop,
            FaultKind::Status { status, retry_after } => {
                form = FaultForm { fault: Name::Status, status: Some(status), retry_after, ..form };
            }
            FaultKind::Truncate { full_length } => {
                form = FaultForm { fault: Name::Truncate, full_length: Some(full_length), ..form };
            }
            FaultKind::Garbage { body } => form = FaultForm { fault: Name::Garbage, body: Some(body), ..form },
            FaultKind::OauthError { error, status, retry_after } => {
                form = FaultForm { fault: Name::OauthError, error: Some(error), status, retry_after, ..form };
            }
        }
        form
    }
}
