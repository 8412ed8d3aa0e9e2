//! Opaque secrets the sandbox gives out. It keeps only their SHA-256, so a read data file yields no usable token.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::Unspecified;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

pub(crate) const REFRESH_TOKEN_PREFIX: &str = "sbx_rt_";
const ACCESS_TOKEN_PREFIX: &str = "sbx_at_";
const CODE_PREFIX: &str = "sbx_code_";

/// The SHA-256 of an opaque value: the key it is found under. JSON has it in hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    /// Before and after every other in the order of digests: the ends of a range.
    pub(crate) const FIRST: Digest = Digest([0; 32]);
    pub(crate) const LAST: Digest = Digest([0xff; 32]);

    pub(crate) fn of(value: &str) -> Digest {
        let mut bytes = [0; 32];
        for (byte, hashed) in bytes.iter_mut().zip(digest(&SHA256, value.as_bytes()).as_ref()) {
            *byte = *hashed;
        }
        Digest(bytes)
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let [a, b, c, d, e, f, ..] = self.0;
        Fingerprint([a, b, c, d, e, f])
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        hex(&digest.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = &'static str;

    fn try_from(written: String) -> Result<Digest, Self::Error> {
        let problem = "a digest is 64 hex digits";
        let digits = written.as_bytes();
        if digits.len() != 64 {
            return Err(problem);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| problem)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| problem)?;
        }
        Ok(Digest(bytes))
    }
}

/// The beginning of a digest: tells values apart in the log and gives nothing away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fingerprint([u8; 6]);

impl fmt::Display for Fingerprint {
    /// 12 hex digits.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex(&self.0))
    }
}

/// The fingerprint of a token as the log, the grants and the presented tokens show it: the first 12 hex digits of its
/// SHA-256.
pub fn fingerprint(token: &str) -> String {
    Digest::of(token).fingerprint().to_string()
}

fn hex(bytes: &[u8]) -> String {
    let mut written = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        for digit in [byte >> 4, byte & 0xf] {
            written.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    written
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
