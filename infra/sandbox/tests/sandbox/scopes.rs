//! Grants that are more or less than what was asked for.

use serde_json::json;

use crate::harness::*;

#[tokio::test]
async fn extra_and_withheld_scopes_count_at_the_exchange() {
    let sandbox = sandbox_with(json!({ "extra_scopes": ["admin", "read"], "withheld_scopes": ["profile", "openid"] }));
    let answer = tokens(&sandbox).await;
    assert_eq!((answer.text("scope").as_str(), answer.json().get("id_token")), ("read admin", None));
    let me = get_as(&sandbox, "/api/me", &answer.text("access_token")).await;
    assert_eq!(me.json()["scopes"], json!(["read", "admin"]));
    for token in ["access_token", "refresh_token"] {
        let told = as_app(&sandbox, "/introspect", &[("token", &answer.text(token))]).await;
        assert_eq!(told.text("scope"), "read admin");
    }
    let machine = as_app(&sandbox, "/token", &[("grant_type", "client_credentials"), ("scope", "write")]).await;
    assert_eq!(machine.text("scope"), "write admin read");
}

#[tokio::test]
async fn a_change_in_between_shows_at_the_next_refresh() {
    let sandbox = sandbox_with(json!({}));
    let mut answer = tokens(&sandbox).await;
    for (changes, scope) in [
        (json!({ "withheld_scopes": ["read"] }), "openid profile"),
        (json!({ "extra_scopes": ["write"] }), "openid profile read write"),
        (json!({ "extra_scopes": ["write"], "withheld_scopes": ["write"] }), "openid profile read"),
        (json!({}), "openid profile read"),
    ] {
        register(&sandbox, "app", changes);
        answer = refresh(&sandbox, &answer.text("refresh_token")).await;
        assert_eq!(answer.text("scope"), scope);
    }
}

#[tokio::test]
async fn a_refresh_may_ask_for_what_was_granted_beyond_the_request() {
    let sandbox = sandbox_with(json!({ "extra_scopes": ["admin"] }));
    let first = tokens(&sandbox).await;
    let ask =
        [("grant_type", "refresh_token"), ("refresh_token", &first.text("refresh_token")), ("scope", "read admin")];
    assert_eq!(as_app(&sandbox, "/token", &ask).await.text("scope"), "read admin");
}
