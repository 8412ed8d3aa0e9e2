//! ID tokens (OpenID Connect Core §2), signed with ES256 (RFC 7518 §3.4).

use anyhow::{Context, anyhow};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::opaque::sha256;
use crate::state::IdFacts;

/// How long an ID token counts, seconds.
const LIFETIME_SECONDS: i64 = 3600;

pub(crate) struct SigningKey {
    pair: EcdsaKeyPair,
    x: String,
    y: String,
    /// The key's thumbprint (RFC 7638).
    key_id: String,
}

impl SigningKey {
    /// A new P-256 key as it is stored: PKCS#8 in Base64.
    pub(crate) fn generate() -> anyhow::Result<String> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|_| anyhow!("cannot generate a signing key"))?;
        Ok(STANDARD.encode(document.as_ref()))
    }

    pub(crate) fn from_stored(stored: &str) -> anyhow::Result<SigningKey> {
        let unusable = "the data file's signing key is unusable";
        let document = STANDARD.decode(stored).ok().context(unusable)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &document).ok().context(unusable)?;
        // An uncompressed point: 0x04, then the two coordinates.
        let point = pair.public_key().as_ref();
        let x = URL_SAFE_NO_PAD.encode(point.get(1..33).context(unusable)?);
        let y = URL_SAFE_NO_PAD.encode(point.get(33..65).context(unusable)?);
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let key_id = URL_SAFE_NO_PAD.encode(sha256(&canonical));
        Ok(SigningKey { pair, x, y, key_id })
    }

    /// The public half (RFC 7517 §5).
    pub(crate) fn jwks(&self) -> Value {
        json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256",
            "kid": self.key_id, "x": self.x, "y": self.y,
        }] })
    }

    /// An ID token for one client, bound to the access token it comes with (`at_hash`, §3.1.3.6).
    pub(crate) fn id_token(
        &self,
        issuer: &str,
        client_id: &str,
        facts: &IdFacts,
        access_token: &str,
    ) -> anyhow::Result<String> {
        let issued_at = facts.issued_at / 1000;
        let mut claims = json!({
            "iss": issuer,
            "sub": subject(&facts.user),
            "aud": client_id,
            "iat": issued_at,
            "exp": issued_at.saturating_add(LIFETIME_SECONDS),
            "auth_time": facts.auth_time / 1000,
            "at_hash": URL_SAFE_NO_PAD.encode(sha256(access_token).get(..16).unwrap_or_default()),
        });
        if let (Some(members), Some(nonce)) = (claims.as_object_mut(), &facts.nonce) {
            members.insert("nonce".to_owned(), json!(nonce));
        }
        self.signed(&claims)
    }

    /// An ID token with the same claims by another issuer.
    pub(crate) fn reissued(&self, id_token: &str, issuer: &str) -> anyhow::Result<String> {
        let claims = id_token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
        let mut claims: Value = serde_json::from_slice(&claims.context("this is no ID token")?)?;
        claims.as_object_mut().context("claims are an object")?.insert("iss".to_owned(), json!(issuer));
        self.signed(&claims)
    }

    fn signed(&self, claims: &Value) -> anyhow::Result<String> {
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": self.key_id });
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(&header), encode(claims));
        let signature =
            self.pair.sign(&SystemRandom::new(), signed.as_bytes()).map_err(|_| anyhow!("cannot sign an ID token"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }
}

/// The subject of a person: the name, escaped unless it is plain ASCII (OpenID Connect Core §2: at most 255 ASCII
/// characters). Escaping `%` too keeps two names from sharing a subject.
pub(crate) fn subject(user: &str) -> String {
    if user.is_ascii() && !user.contains('%') {
        return user.to_owned();
    }
    form_urlencoded::byte_serialize(user.as_bytes()).collect()
}
