//! Opaque secrets the sandbox gives out. It keeps only their SHA-256, so a read data file yields no usable token.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::Unspecified;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

pub(crate) const REFRESH_TOKEN_PREFIX: &str = "sbx_rt_";
const ACCESS_TOKEN_PREFIX: &str = "sbx_at_";
const CODE_PREFIX: &str = "sbx_code_";

/// The SHA-256 of an opaque value, in hex: the key it is found under.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Digest(String);

impl Digest {
    pub(crate) fn of(value: &str) -> Digest {
        Digest(sha256(value).iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The first 12 hex digits: tells values apart in the log and gives nothing away.
    pub(crate) fn fingerprint(&self) -> String {
        self.0.chars().take(12).collect()
    }
}

/// The two tokens a successful token request may hand out, drawn before any state is touched.
pub(crate) struct FreshTokens {
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
}

impl FreshTokens {
    pub(crate) fn generate() -> Result<FreshTokens, Unspecified> {
        Ok(FreshTokens { access_token: random(ACCESS_TOKEN_PREFIX)?, refresh_token: random(REFRESH_TOKEN_PREFIX)? })
    }
}

pub(crate) fn new_code() -> Result<String, Unspecified> {
    random(CODE_PREFIX)
}

pub(crate) fn sha256(value: &str) -> Vec<u8> {
    digest(&SHA256, value.as_bytes()).as_ref().to_vec()
}

/// 256 bits from the system's generator.
fn random(prefix: &str) -> Result<String, Unspecified> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes)?;
    Ok(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes)))
}
