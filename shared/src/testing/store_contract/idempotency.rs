//! Calls with an `Idempotency-Key`.

use chrono::Duration;

use crate::store::{IdempotencyRecord, Idempotent, Store};
use crate::testing::fixtures::{self, start};
use crate::testing::suite::{Held, checks, ensure_eq, one_winner, race, racers};

checks!(dyn Store:
    a_new_call_begins,
    of_racing_calls_one_begins,
    a_repetition_meets_the_call_under_way,
    a_repetition_gets_the_answer,
    another_body_is_recognised,
    an_abandoned_call_can_be_repeated,
    a_call_that_never_ended_begins_anew_after_a_minute,
    a_forgotten_call_begins_anew,
    calls_do_not_mix,
);

async fn ensure_begin(store: &dyn Store, record: &IdempotencyRecord, expected: Idempotent) -> Held {
    ensure_eq!(store.begin_idempotent(record, start()).await?, expected, "what is known about the call");
    Ok(())
}

/// The same key with another body.
fn other_body(record: &IdempotencyRecord) -> IdempotencyRecord {
    IdempotencyRecord { body_hash: fixtures::unique_hash(), ..record.clone() }
}

async fn a_new_call_begins(store: &dyn Store) -> Held {
    ensure_begin(store, &fixtures::idempotency_record(), Idempotent::Begun).await
}

async fn of_racing_calls_one_begins(store: &dyn Store) -> Held {
    let record = fixtures::idempotency_record();
    let results = race(&racers(|_| ()), |()| store.begin_idempotent(&record, start())).await;
    for known in results.iter().flatten().filter(|known| **known != Idempotent::Begun) {
        ensure_eq!(*known, Idempotent::UnderWay, "what a loser is told");
    }
    one_winner(results, |known| *known == Idempotent::Begun)?;
    Ok(())
}

async fn a_repetition_meets_the_call_under_way(store: &dyn Store) -> Held {
    let record = fixtures::idempotency_record();
    ensure_begin(store, &record, Idempotent::Begun).await?;
    ensure_begin(store, &record, Idempotent::UnderWay).await
}

async fn a_repetition_gets_the_answer(store: &dyn Store) -> Held {
    let record = fixtures::idempotency_record();
    ensure_begin(store, &record, Idempotent::Begun).await?;
    let answer = fixtures::sealed();
    store.finish_idempotent(&record, &answer).await?;
    for _ in 0..2 {
        ensure_begin(store, &record, Idempotent::Answered(answer.clone())).await?;
    }
    Ok(())
}

async fn another_body_is_recognised(store: &dyn Store) -> Held {
    let record = fixtures::idempotency_record();
    ensure_begin(store, &record, Idempotent::Begun).await?;
    ensure_begin(store, &other_body(&record), Idempotent::OtherBody).await?;
    store.finish_idempotent(&record, &fixtures::sealed()).await?;
    ensure_begin(store, &other_body(&record), Idempotent::OtherBody).await
}

async fn an_abandoned_call_can_be_repeated(store: &dyn Store) -> Held {
    let record = fixtures::idempotency_record();
    ensure_begin(store, &record, Idempotent::Begun).await?;
    store.abandon_idempotent(&record).await?;
    // Nothing is known about it, so it may even have another body.
    ensure_begin(store, &other_body(&record), Idempotent::Begun).await
}

async fn a_call_that_never_ended_begins_anew_after_a_minute(store: &dyn Store) -> Held {
    let record = fixtures::idempotency_record();
    ensure_begin(store, &record, Idempotent::Begun).await?;
    let minute = start() + Duration::minutes(1);
    let before = store.begin_idempotent(&record, minute - Duration::milliseconds(1)).await?;
    ensure_eq!(before, Idempotent::UnderWay, "what is known within the minute");
    ensure_eq!(store.begin_idempotent(&record, minute).await?, Idempotent::Begun, "what is known after it");
    ensure_eq!(store.begin_idempotent(&record, minute).await?, Idempotent::UnderWay, "what is known then");
    Ok(())
}

async fn a_forgotten_call_begins_anew(store: &dyn Store) -> Held {
    let record = fixtures::idempotency_record();
    let answer = fixtures::sealed();
    ensure_begin(store, &record, Idempotent::Begun).await?;
    store.finish_idempotent(&record, &answer).await?;
    let last = record.expires_at - Duration::milliseconds(1);
    ensure_eq!(store.begin_idempotent(&record, last).await?, Idempotent::Answered(answer), "what is known before");
    let anew = IdempotencyRecord { expires_at: record.expires_at + Duration::days(1), ..other_body(&record) };
    ensure_eq!(store.begin_idempotent(&anew, record.expires_at).await?, Idempotent::Begun, "what is known after");
    ensure_eq!(store.begin_idempotent(&anew, record.expires_at).await?, Idempotent::UnderWay, "what is known then");
    Ok(())
}

async fn calls_do_not_mix(store: &dyn Store) -> Held {
    let first = fixtures::idempotency_record();
    let second = IdempotencyRecord { body_hash: first.body_hash.clone(), ..fixtures::idempotency_record() };
    ensure_begin(store, &first, Idempotent::Begun).await?;
    ensure_begin(store, &second, Idempotent::Begun).await?;
    store.finish_idempotent(&first, &fixtures::sealed()).await?;
    ensure_begin(store, &second, Idempotent::UnderWay).await
}
