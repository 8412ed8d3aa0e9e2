//! ID tokens (OpenID Connect Core §3.1.3.7), verified before the tokens that came with them are used.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

use crate::clock::Timestamp;
use crate::secret::Secret;

/// Clock difference that is tolerated, in seconds.
const SKEW: i64 = 60;

/// Asymmetric signatures only; `none` and HMAC are not accepted (RFC 8725 §3.1).
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// What an ID token must agree with.
pub struct Expected<'a> {
    /// The issuer of the flow; `None` when the client was registered by its endpoints.
    pub issuer: Option<&'a str>,
    /// Our `client_id`.
    pub client_id: &'a str,
    /// The nonce of the flow.
    pub nonce: &'a Secret<String>,
    /// The time of the check.
    pub now: Timestamp,
}

/// Whose consent it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// `iss`.
    pub issuer: String,
    /// `sub`, unique within the issuer.
    pub subject: String,
}

/// Why an ID token was refused. The tokens that came with it are not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenRefusal {
    /// Not a signed JWT, or an algorithm that is not accepted.
    #[error("the ID token is not a JWT with an accepted signature algorithm")]
    Malformed,
    /// No key of the issuer made this signature.
    #[error("the signature of the ID token is wrong")]
    Signature,
    /// `iss` is another one.
    #[error("the ID token was issued by another issuer")]
    Issuer,
    /// `aud` or `azp` is not our client.
    #[error("the ID token was issued for another client")]
    Audience,
    /// `nonce` is missing or belongs to another flow.
    #[error("the ID token belongs to another sign-in")]
    Nonce,
    /// `exp` is over, or `iat` lies in the future.
    #[error("the ID token is not valid at this time")]
    Time,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: f64,
    iat: Option<f64>,
    nonce: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Verifies an ID token in the order of OpenID Connect Core §3.1.3.7.
///
/// `keys` is the key set of the issuer. Without one (a client registered by its endpoints) the signature is not checked,
/// which §3.1.3.7 (6) allows because the token came straight from the token endpoint over TLS; all claims still are.
///
/// # Errors
/// The first check that fails.
pub fn verify(
    token: &Secret<String>,
    keys: Option<&JwkSet>,
    expected: &Expected<'_>,
) -> Result<Subject, IdTokenRefusal> {
    let header = jsonwebtoken::decode_header(token.expose()).map_err(|_| IdTokenRefusal::Malformed)?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(IdTokenRefusal::Malformed);
    }
    // Times and audience are checked below, against the clock and the client of the flow.
    let mut validation = Validation::new(header.alg);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();

    let claims: Claims = match keys {
        Some(keys) => {
            let named = keys.keys.iter().filter(|key| header.kid.is_none() || key.common.key_id == header.kid);
            named
                .filter_map(|key| DecodingKey::from_jwk(key).ok())
                .find_map(|key| jsonwebtoken::decode::<Claims>(token.expose(), &key, &validation).ok())
                .map(|decoded| decoded.claims)
                .ok_or(IdTokenRefusal::Signature)?
        }
        None => {
            jsonwebtoken::dangerous::insecure_decode::<Claims>(token.expose())
                .map_err(|_| IdTokenRefusal::Malformed)?
                .claims
        }
    };

    if expected.issuer.is_some_and(|issuer| issuer != claims.iss) {
        return Err(IdTokenRefusal::Issuer);
    }
    let audiences = match &claims.aud {
        Audience::One(one) => std::slice::from_ref(one),
        Audience::Many(many) => many.as_slice(),
    };
    let ours = audiences.iter().any(|audience| audience == expected.client_id);
    let azp_ours = claims.azp.as_deref().is_none_or(|azp| azp == expected.client_id);
    if !ours || !azp_ours || (audiences.len() > 1 && claims.azp.is_none()) {
        return Err(IdTokenRefusal::Audience);
    }
    if !claims.nonce.as_deref().is_some_and(|nonce| expected.nonce.matches(nonce.as_bytes())) {
        return Err(IdTokenRefusal::Nonce);
    }
    let (now, skew) = (expected.now.timestamp() as f64, SKEW as f64);
    if claims.exp + skew <= now || claims.iat.is_some_and(|iat| iat > now + skew) {
        return Err(IdTokenRefusal::Time);
    }
    Ok(Subject { issuer: claims.iss, subject: claims.sub })
}
