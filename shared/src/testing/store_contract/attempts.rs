//! The attempts that are kept for each credential.

use chrono::Duration;

use super::steps::credential_of;
use crate::model::attempt::{Attempt, KEPT};
use crate::model::ids::{CredentialId, ProjectId};
use crate::store::Store;
use crate::testing::fixtures::{self, start};
use crate::testing::suite::{Broken, Held, checks, ensure_eq};

checks!(dyn Store:
    attempts_are_listed_as_they_were_kept_the_newest_first,
    an_attempt_takes_the_place_of_the_oldest,
    long_attempts_are_all_listed,
    attempts_of_others_are_not_listed,
);

/// An attempt of this number, a second after the one before it.
fn attempt(number: u64) -> Result<Attempt, Broken> {
    let attempt = fixtures::attempt(start() + Duration::seconds(i64::try_from(number)?));
    // What may be missing is missing in every other one.
    Ok(if number.is_multiple_of(2) { attempt } else { Attempt { diagnosis: None, exchanges: Vec::new(), ..attempt } })
}

async fn attempts_are_listed_as_they_were_kept_the_newest_first(store: &dyn Store) -> Held {
    let of = credential_of(&ProjectId::generate());
    ensure_eq!(store.list_attempts(&of.project, &of.id).await?, [], "the attempts before the first");
    let [first, second, third] = [attempt(8)?, attempt(9)?, attempt(10)?];
    // They may come late.
    for (number, attempt) in [(10, &third), (8, &first), (9, &second)] {
        store.record_attempt(&of.project, &of.id, number, attempt).await?;
    }
    ensure_eq!(store.list_attempts(&of.project, &of.id).await?, [third, second, first], "the attempts");
    Ok(())
}

async fn an_attempt_takes_the_place_of_the_oldest(store: &dyn Store) -> Held {
    let of = credential_of(&ProjectId::generate());
    let mut kept = Vec::new();
    for number in 0..KEPT + 3 {
        let attempt = attempt(number)?;
        store.record_attempt(&of.project, &of.id, number, &attempt).await?;
        kept.insert(0, attempt);
        kept.truncate(usize::try_from(KEPT)?);
    }
    ensure_eq!(store.list_attempts(&of.project, &of.id).await?, kept, "the attempts");
    Ok(())
}

async fn long_attempts_are_all_listed(store: &dyn Store) -> Held {
    let of = credential_of(&ProjectId::generate());
    for number in 0..KEPT {
        let exchanges = vec!["x".repeat(100_000).into()];
        let attempt = Attempt { exchanges, ..attempt(number)? };
        store.record_attempt(&of.project, &of.id, number, &attempt).await?;
    }
    let listed = store.list_attempts(&of.project, &of.id).await?.len();
    ensure_eq!(u64::try_from(listed)?, KEPT, "how many are listed");
    Ok(())
}

async fn attempts_of_others_are_not_listed(store: &dyn Store) -> Held {
    let of = credential_of(&ProjectId::generate());
    store.record_attempt(&of.project, &of.id, 1, &attempt(1)?).await?;
    for (project, id) in [(&ProjectId::generate(), &of.id), (&of.project, &CredentialId::generate())] {
        ensure_eq!(store.list_attempts(project, id).await?, [], "the attempts of another credential");
    }
    Ok(())
}
