//! Faults that come again and again.

use grantkeeper_sandbox::Sandbox;
use serde_json::{Value, json};

use crate::harness::*;

async fn machine_token(sandbox: &Sandbox) -> u16 {
    as_app(sandbox, "/token", &[("grant_type", "client_credentials")]).await.status.as_u16()
}

async fn statuses(sandbox: &Sandbox, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(machine_token(sandbox).await);
    }
    statuses
}

fn rule(when: Value, answer: Value) -> Value {
    json!({ "when": when, "answer": answer })
}

#[tokio::test]
async fn a_rule_strikes_always_or_every_so_often() {
    let sandbox = sandbox_with(json!({ "token_faults": [rule(json!("always"), json!(503))] }));
    assert_eq!(statuses(&sandbox, 3).await, [503, 503, 503]);
    let sandbox = sandbox_with(json!({ "token_faults": [rule(json!({ "every": 3 }), json!(503))] }));
    assert_eq!(statuses(&sandbox, 7).await, [200, 200, 503, 200, 200, 503, 200]);
}

#[tokio::test]
async fn chance_strikes_at_the_same_requests_with_the_same_seed() {
    let drawn = |chance: f64, seed: u64| async move {
        let when = json!({ "chance": chance, "seed": seed });
        let sandbox = sandbox_with(json!({ "token_faults": [rule(when, json!(503))] }));
        statuses(&sandbox, 400).await
    };
    let first = drawn(0.25, 7).await;
    assert_eq!(drawn(0.25, 7).await, first);
    assert_ne!(drawn(0.25, 8).await, first);
    let struck = first.iter().filter(|status| **status == 503).count();
    assert!((70..=130).contains(&struck), "{struck} of 400 at a chance of a quarter");
    assert!(drawn(0.0, 7).await.iter().all(|status| *status == 200));
    assert!(drawn(1.0, 7).await.iter().all(|status| *status == 503));
}

#[tokio::test]
async fn a_rule_for_one_grant_type_neither_strikes_nor_counts_the_others() {
    let only_refreshes = json!({ "when": { "every": 2 }, "grant_type": "refresh_token", "answer": 503 });
    let sandbox = sandbox_with(json!({ "token_faults": [only_refreshes] }));
    let token = tokens(&sandbox).await.text("refresh_token");
    let next = refresh(&sandbox, &token).await;
    assert_eq!((next.status.as_u16(), machine_token(&sandbox).await), (200, 200));
    let token = next.text("refresh_token");
    assert_eq!(refresh(&sandbox, &token).await.status, 503);
    assert_eq!(refresh(&sandbox, &token).await.status, 200);
}

#[tokio::test]
async fn the_first_rule_that_strikes_counts_and_scripted_answers_go_before_all() {
    let rules = json!([rule(json!({ "every": 2 }), json!(500)), rule(json!("always"), json!(503))]);
    let sandbox = sandbox_with(json!({ "token_answers": [429], "token_faults": rules }));
    assert_eq!(statuses(&sandbox, 5).await, [429, 503, 500, 503, 500]);
    let shown = send(&sandbox, "GET", "/admin/clients", &[], "").await.json();
    let rules = &shown[0]["token_faults"];
    assert_eq!((&rules[0]["seen"], &rules[1]["seen"]), (&json!(4), &json!(2)));
}

#[tokio::test]
async fn other_changes_leave_the_rules_where_they_are_and_null_ends_them() {
    let sandbox = sandbox_with(json!({ "token_faults": [rule(json!({ "every": 3 }), json!(503))] }));
    assert_eq!(statuses(&sandbox, 2).await, [200, 200]);
    assert_eq!(patch(&sandbox, json!({ "access_token_seconds": 60 })).await.status, 200);
    assert_eq!(machine_token(&sandbox).await, 503);
    for end in [json!(null), json!([])] {
        patch(&sandbox, json!({ "token_faults": [rule(json!("always"), json!(503))] })).await;
        assert_eq!(machine_token(&sandbox).await, 503);
        assert_eq!(patch(&sandbox, json!({ "token_faults": end })).await.status, 200);
        assert_eq!(machine_token(&sandbox).await, 200);
    }
}

#[tokio::test]
async fn rules_that_make_no_sense_are_refused_with_the_reason() {
    let sandbox = sandbox_with(json!({}));
    let when = "when must be \"always\"";
    for (rule, reason) in [
        (rule(json!("never"), json!(503)), when),
        (rule(json!({ "every": -1 }), json!(503)), when),
        (rule(json!({ "chance": 0.5 }), json!(503)), when),
        (rule(json!({ "every": 2, "chance": 0.5, "seed": 1 }), json!(503)), when),
        (rule(json!({ "every": 0 }), json!(503)), "every is 0"),
        (rule(json!({ "chance": 1.5, "seed": 1 }), json!(503)), "0 to 1"),
        (rule(json!("always"), json!(99)), "200 to 599"),
        (rule(json!("always"), json!({ "fault": "status" })), "needs a status"),
        (json!({ "when": "always" }), "missing field `answer`"),
        (json!({ "when": "always", "answer": 503, "for": 3 }), "unknown field `for`"),
    ] {
        let answer = patch(&sandbox, json!({ "token_faults": [rule] })).await;
        assert_eq!(answer.status, 400, "{rule}");
        assert!(answer.text("error").contains(reason), "{rule}: {}", answer.body);
    }
}
