//! Keys that are derived from a secret (HKDF-SHA-256, RFC 5869), and what they seal (AES-256-GCM, random nonces).

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf;
use zeroize::Zeroize as _;

use crate::error::{Error, Result};
use crate::secret::Secret;

/// A secret from which keys are derived, each for what it is said to be for. One key says nothing about another.
#[derive(Clone)]
pub(super) struct KeySource(Arc<hkdf::Prk>);

struct Length;

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        32
    }
}

impl KeySource {
    /// HKDF-Extract of a secret's value; aws-lc keeps and clears what comes of it.
    pub(super) fn new(salt: &[u8], value: &str) -> Self {
        Self(Arc::new(hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(value.as_bytes())))
    }

    /// HKDF-Expand.
    ///
    /// # Errors
    /// Only if the crypto library fails.
    pub(super) fn key(&self, info: &[u8]) -> Result<Secret<[u8; 32]>> {
        let mut key = [0; 32];
        self.0
            .expand(&[info], Length)
            .and_then(|okm| okm.fill(&mut key))
            .map_err(|_| Error::Internal("key derivation failed"))?;
        let derived = Secret::new(key);
        key.zeroize();
        Ok(derived)
    }
}

/// Seals a text: nonce, ciphertext and tag. `bound_to` is associated data: it opens only where the same is given.
///
/// # Errors
/// Only if the crypto library fails.
pub(super) fn seal(key: &Secret<[u8; 32]>, bound_to: &[u8], text: &Secret<String>) -> Result<Vec<u8>> {
    let failed = |_| Error::Internal("sealing failed");
    let key = RandomizedNonceKey::new(&AES_256_GCM, key.expose()).map_err(failed)?;
    // Room for the tag from the start: a buffer that grows would leave a copy of the text behind.
    let mut data = Vec::with_capacity(text.expose().len() + AES_256_GCM.tag_len());
    data.extend_from_slice(text.expose().as_bytes());
    let nonce = key.seal_in_place_append_tag(Aad::from(bound_to), &mut data).map_err(failed)?;
    let mut sealed = nonce.as_ref().to_vec();
    sealed.append(&mut data);
    Ok(sealed)
}

/// Opens what [`seal`] made with the same key and binding.
///
/// # Errors
/// When it was sealed with or for something else, or changed.
pub(super) fn open(key: &Secret<[u8; 32]>, bound_to: &[u8], sealed: &[u8]) -> Result<Secret<String>> {
    let broken = || Error::Internal("something sealed does not open");
    let (nonce, ciphertext) = sealed.split_at_checked(NONCE_LEN).ok_or_else(broken)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| broken())?;
    let key = RandomizedNonceKey::new(&AES_256_GCM, key.expose()).map_err(|_| broken())?;
    let mut buffer = ciphertext.to_vec();
    let text = key
        .open_in_place(nonce, Aad::from(bound_to), &mut buffer)
        .ok()
        .and_then(|text| std::str::from_utf8(text).ok())
        .map(|text| Secret::new(text.to_owned()));
    buffer.zeroize();
    text.ok_or_else(broken)
}

/// Parts in one row of octets, so that no two lists of parts give the same: each has its length before it.
pub(super) fn row(parts: &[&[u8]]) -> Vec<u8> {
    let mut row = Vec::new();
    for part in parts {
        row.extend_from_slice(&(part.len() as u64).to_be_bytes());
        row.extend_from_slice(part);
    }
    row
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(info: &[u8]) -> Secret<[u8; 32]> {
        KeySource::new(b"salt", "a secret of enough length for this test").key(info).unwrap()
    }

    #[test]
    fn every_changed_octet_is_noticed() {
        let sealed = seal(&key(b"one"), b"here", &Secret::from("text")).unwrap();
        assert_eq!(sealed.len(), NONCE_LEN + "text".len() + 16);
        assert!(open(&key(b"one"), b"here", &sealed).unwrap().matches(b"text"));
        assert!(open(&key(b"one"), b"there", &sealed).is_err());
        assert!(open(&key(b"two"), b"here", &sealed).is_err());
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert!(open(&key(b"one"), b"here", &changed).is_err(), "octet {position}");
            assert!(open(&key(b"one"), b"here", &sealed[..position]).is_err(), "cut at {position}");
        }
    }

    #[test]
    fn the_same_text_is_never_sealed_to_the_same_octets() {
        let seal = || seal(&key(b"one"), b"here", &Secret::from("text")).unwrap();
        assert_ne!(seal(), seal());
    }

    proptest! {
        #[test]
        fn two_lists_of_parts_never_give_the_same_row(
            one in proptest::collection::vec(proptest::collection::vec(0u8..3, 0..4), 0..4),
            other in proptest::collection::vec(proptest::collection::vec(0u8..3, 0..4), 0..4),
        ) {
            let rows = |parts: &[Vec<u8>]| row(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
            prop_assert_eq!(rows(&one) == rows(&other), one == other);
        }
    }
}
