//! What the server says about itself (RFC 8414 §2, OpenID Connect Discovery §3).

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::Sandbox;

pub(crate) async fn metadata(State(sandbox): State<Sandbox>) -> Json<Value> {
    let issuer = sandbox.issuer();
    let endpoint = |path: &str| format!("{}{path}", issuer.trim_end_matches('/'));
    let methods = ["client_secret_basic", "client_secret_post", "none"];
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": endpoint("/authorize"),
        "token_endpoint": endpoint("/token"),
        "revocation_endpoint": endpoint("/revoke"),
        "introspection_endpoint": endpoint("/introspect"),
        "userinfo_endpoint": endpoint("/userinfo"),
        "jwks_uri": endpoint("/jwks"),
        "scopes_supported": ["openid", "profile", "email", "offline_access", "read", "write"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials", "password"],
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": methods,
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "claims_supported": [
            "iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "at_hash",
            "name", "preferred_username", "email", "email_verified",
        ],
        "prompt_values_supported": ["none", "login", "consent"],
        "claims_parameter_supported": false,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
    }))
}

pub(crate) async fn jwks(State(sandbox): State<Sandbox>) -> Json<Value> {
    Json(sandbox.0.signing_key.jwks())
}
