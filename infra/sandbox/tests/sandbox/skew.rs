//! A provider whose clock is wrong, as its client sees it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use serde_json::{Value, json};

use crate::harness::*;

const SKEW: i64 = 900;

fn is_close(shown: i64, real: i64) -> bool {
    (0..20).contains(&(shown - real))
}

#[tokio::test]
async fn every_moment_is_off_and_lifetimes_are_not() {
    for skew in [SKEW, -SKEW] {
        let shape = json!({ "expires_at": "epoch" });
        let settings = json!({ "clock_skew_seconds": skew, "access_token_seconds": 100, "token_response": shape });
        let sandbox = sandbox_with(settings);
        sandbox.advance_clock(86_400);
        let answer = tokens(&sandbox).await;
        let now = sandbox.log()[0].at.timestamp();
        let date = DateTime::parse_from_rfc2822(answer.header("date")).unwrap().timestamp();
        assert!(is_close(now + skew, date) && answer.header("date").ends_with(" GMT"), "{}", answer.header("date"));
        assert_eq!(answer.json()["expires_in"], 100);
        assert!(is_close(answer.json()["expires_at"].as_i64().unwrap(), date + 100 - 1));

        let id_token = answer.text("id_token");
        let claims = URL_SAFE_NO_PAD.decode(id_token.split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        let claim = |name: &str| claims[name].as_i64().unwrap();
        assert!(is_close(date + 1, claim("iat")) && is_close(date + 1, claim("auth_time")));
        assert_eq!(claim("exp") - claim("iat"), 3600);

        let told = as_app(&sandbox, "/introspect", &[("token", &answer.text("access_token"))]).await.json();
        assert_eq!(told["iat"], claims["iat"]);
        assert_eq!(told["exp"].as_i64().unwrap() - claim("iat"), 100);

        sandbox.advance_clock(99);
        assert_valid(&sandbox, &answer.text("access_token")).await;
        sandbox.advance_clock(2);
        assert_dead(&sandbox, &answer.text("access_token")).await;
        let refused = refresh(&sandbox, "unknown").await;
        assert!(refused.headers.contains_key("date"), "errors too");
    }
}

#[tokio::test]
async fn the_right_clock_is_left_to_the_server_and_a_scripted_date_counts() {
    let sandbox = sandbox_with(json!({}));
    assert!(!tokens(&sandbox).await.headers.contains_key("date"));
    let scripted = json!([{ "status": 429, "headers": { "Date": "Thu, 01 Jan 1970 00:00:00 GMT" } }]);
    register(&sandbox, "app", json!({ "clock_skew_seconds": 5, "token_answers": scripted }));
    assert_eq!(refresh(&sandbox, "any").await.header("date"), "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(patch(&sandbox, json!({ "clock_skew_seconds": 366 * 86_400 + 1 })).await.status, 400);
    assert_eq!(patch(&sandbox, json!({ "clock_skew_seconds": i64::MIN })).await.status, 400);
}
