//! The root key of the stack: everything that is derived or sealed outside the vault comes from it, HKDF per purpose.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::{digest, hmac, rand};
use aws_sdk_secretsmanager::Client as Sdk;
use aws_sdk_secretsmanager::error::ProvideErrorMetadata as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Duration;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

use super::aead::{self, KeySource};
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, Result};
use crate::secret::Secret;

/// How long the newest version is believed to be the newest (minutes).
const CURRENT_FOR: i64 = 5;

/// What a key is derived for. A key of one purpose says nothing about another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Code verifiers, derived from `state`.
    Pkce,
    /// Nonces of ID tokens, derived from `state`.
    Nonce,
    /// Parked codes.
    ParkedCode,
    /// Secrets that a person gave before the credential exists.
    Inputs,
    /// Answers kept for an `Idempotency-Key`.
    Idempotency,
    /// Fingerprints of refresh tokens.
    Fingerprint,
}

impl Purpose {
    fn info(self) -> &'static [u8] {
        match self {
            Self::Pkce => b"grantkeeper/pkce",
            Self::Nonce => b"grantkeeper/nonce",
            Self::ParkedCode => b"grantkeeper/parked-code",
            Self::Inputs => b"grantkeeper/inputs",
            Self::Idempotency => b"grantkeeper/idempotency",
            Self::Fingerprint => b"grantkeeper/fingerprint",
        }
    }
}

/// Something sealed with AES-256-GCM under a key of the root key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The version of the root key.
    pub key_version: String,
    /// Nonce, ciphertext and tag, base64url.
    pub data: String,
}

/// One version of the root key.
#[derive(Clone)]
pub struct RootKey {
    version: String,
    source: KeySource,
}

impl RootKey {
    fn new(version: String, value: &str) -> Self {
        Self { version, source: KeySource::new(b"grantkeeper root key", value) }
    }

    /// Its version id in Secrets Manager, kept beside whatever it sealed or derived.
    pub fn version(&self) -> &str {
        &self.version
    }

    fn key(&self, purpose: Purpose) -> Result<Secret<[u8; 32]>> {
        self.source.key(purpose.info())
    }

    /// HMAC-SHA-256 of an input, under the key of a purpose.
    ///
    /// # Errors
    /// Only if the crypto library fails.
    pub fn derive(&self, purpose: Purpose, input: &Secret<String>) -> Result<Secret<[u8; 32]>> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.key(purpose)?.expose());
        let tag = hmac::sign(&key, input.expose().as_bytes());
        let octets = tag.as_ref().try_into().map_err(|_| Error::Internal("HMAC has another length"))?;
        Ok(Secret::new(octets))
    }

    /// A keyed fingerprint, 16 hexadecimal digits: equal tokens show equal, and nothing else can be learned.
    ///
    /// # Errors
    /// Only if the crypto library fails.
    pub fn fingerprint(&self, token: &Secret<String>) -> Result<String> {
        let tag = self.derive(Purpose::Fingerprint, token)?;
        Ok(hex(tag.expose().get(..8).unwrap_or_default()))
    }

    /// Seals a text. `bound_to` is associated data: it opens only where the same is given.
    ///
    /// # Errors
    /// Only if the crypto library fails.
    pub fn seal(&self, purpose: Purpose, bound_to: &str, text: &Secret<String>) -> Result<Sealed> {
        let data = aead::seal(&self.key(purpose)?, bound_to.as_bytes(), text)?;
        Ok(Sealed { key_version: self.version.clone(), data: URL_SAFE_NO_PAD.encode(data) })
    }

    /// Opens what [`RootKey::seal`] made with the same purpose and binding.
    ///
    /// # Errors
    /// When it was sealed for something else, or changed.
    pub fn open(&self, purpose: Purpose, bound_to: &str, sealed: &Sealed) -> Result<Secret<String>> {
        let data = URL_SAFE_NO_PAD.decode(&sealed.data);
        let data = data.map_err(|_| Error::Internal("something sealed does not open"))?;
        aead::open(&self.key(purpose)?, bound_to.as_bytes(), &data)
    }
}

/// The versions of the root key, read from Secrets Manager when needed and kept in the process.
pub struct RootKeys {
    sdk: Sdk,
    secret: String,
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    by_version: HashMap<String, RootKey>,
    current: Option<(Timestamp, RootKey)>,
}

impl RootKeys {
    /// Keys in this secret (name or ARN).
    pub fn new(sdk: Sdk, secret: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        Self { sdk, secret: secret.into(), clock, known: Mutex::default() }
    }

    /// The newest version, to seal and derive with.
    ///
    /// # Errors
    /// [`Error::Dependency`] when Secrets Manager does not answer and no version is known.
    pub async fn current(&self) -> Result<RootKey> {
        let now = self.clock.now();
        let known = self.known().current.clone();
        if let Some((read_at, key)) = &known
            && now - *read_at < Duration::minutes(CURRENT_FOR)
        {
            return Ok(key.clone());
        }
        match self.fetch(None).await {
            Ok(key) => {
                self.known().current = Some((now, key.clone()));
                Ok(key)
            }
            // An older version still opens and seals; a short outage of Secrets Manager is not worth a failed flow.
            Err(error) => known.map(|(_, key)| key).ok_or(error),
        }
    }

    /// A given version, to open with what was sealed with it.
    ///
    /// # Errors
    /// [`Error::Dependency`] when Secrets Manager does not answer.
    pub async fn version(&self, version: &str) -> Result<RootKey> {
        let known = self.known().by_version.get(version).cloned();
        match known {
            Some(key) => Ok(key),
            None => self.fetch(Some(version)).await,
        }
    }

    async fn fetch(&self, version: Option<&str>) -> Result<RootKey> {
        let get = self.sdk.get_secret_value().secret_id(&self.secret).set_version_id(version.map(str::to_owned));
        let answer = get.send().await.map_err(|error| {
            let code = error.as_service_error().and_then(|error| error.code()).unwrap_or("no answer");
            tracing::error!(dependency = "secretsmanager", code, "the root key cannot be read");
            Error::Dependency("root key")
        })?;
        let (Some(version), Some(mut value)) = (answer.version_id, answer.secret_string) else {
            return Err(Error::Internal("the root key has no value"));
        };
        let key = RootKey::new(version.clone(), &value);
        value.zeroize();
        self.known().by_version.insert(version, key.clone());
        Ok(key)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 256 bits of randomness, base64url without padding (43 characters).
///
/// # Errors
/// Only if the operating system gives no randomness.
pub fn random_token() -> Result<Secret<String>> {
    let mut octets = [0u8; 32];
    rand::fill(&mut octets).map_err(|_| Error::Internal("no randomness"))?;
    let token = Secret::new(URL_SAFE_NO_PAD.encode(octets));
    octets.zeroize();
    Ok(token)
}

/// SHA-256, hex: how random tokens are stored and found again.
pub fn sha256(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

/// Octets as lower-case hexadecimal digits.
pub fn hex(octets: &[u8]) -> String {
    use std::fmt::Write as _;
    octets.iter().fold(String::with_capacity(octets.len() * 2), |mut text, octet| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{octet:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> RootKey {
        RootKey::new("v1".to_owned(), "a root key of enough length for this test")
    }

    #[test]
    fn what_is_sealed_opens_only_for_its_purpose_and_binding() {
        let sealed = key().seal(Purpose::ParkedCode, "flow-1", &Secret::from("code")).unwrap();
        assert!(key().open(Purpose::ParkedCode, "flow-1", &sealed).unwrap().matches(b"code"));
        assert!(key().open(Purpose::ParkedCode, "flow-2", &sealed).is_err());
        assert!(key().open(Purpose::Idempotency, "flow-1", &sealed).is_err());
        let other = RootKey::new("v2".to_owned(), "another root key");
        assert!(other.open(Purpose::ParkedCode, "flow-1", &sealed).is_err());
        for broken in ["", "AAAA", "not base64!"] {
            let broken = Sealed { key_version: "v1".to_owned(), data: broken.to_owned() };
            assert!(key().open(Purpose::ParkedCode, "flow-1", &broken).is_err());
        }
    }

    #[test]
    fn what_is_derived_differs_by_purpose_and_input() {
        let derive = |purpose, input: &str| *key().derive(purpose, &Secret::from(input)).unwrap().expose();
        assert_eq!(derive(Purpose::Pkce, "state"), derive(Purpose::Pkce, "state"));
        assert_ne!(derive(Purpose::Pkce, "state"), derive(Purpose::Nonce, "state"));
        assert_ne!(derive(Purpose::Pkce, "state"), derive(Purpose::Pkce, "other"));
    }

    #[test]
    fn random_tokens_have_256_bits() {
        let token = random_token().unwrap();
        assert_eq!(token.expose().len(), 43);
        assert!(!random_token().unwrap().matches(token.expose().as_bytes()));
    }

    #[test]
    fn sha256_is_hex() {
        assert_eq!(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
