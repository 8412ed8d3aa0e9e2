//! What a broken store forgets of attempts under way, of due work, of what is told and of how endpoints are doing.

use std::sync::PoisonError;

use grantkeeper::clock::Timestamp;
use grantkeeper::model::credential::Credential;
use grantkeeper::model::event::{Event, EventKind};
use grantkeeper::model::health::Health;
use grantkeeper::model::ids::{ClientId, CredentialId, ProjectId};
use grantkeeper::store::{Attempted, Due, NoteAttempt, Orphan, Page, StoreResult};
use grantkeeper::testing::fixtures::{self, start, unique};

use super::broken_store::BrokenStore;
use super::store_flaws::Flaw;

fn pk(project: &ProjectId, id: &CredentialId) -> String {
    format!("P#{project}#C#{id}")
}

impl BrokenStore {
    pub(super) async fn note_attempt(
        &self,
        project: &ProjectId,
        id: &CredentialId,
        note: &NoteAttempt,
    ) -> StoreResult<Attempted> {
        let mut note = note.clone();
        if self.has(Flaw::NoteForgetsTried) {
            note.tried = None;
        }
        let home = self.home(id).filter(|_| self.has(Flaw::NoteForgetsProject));
        let project = home.as_ref().unwrap_or(project);
        let Some(found) = self.real.find_credential(project, id).await? else {
            return self.real.note_attempt(project, id, &note).await;
        };
        match self.flaw {
            Flaw::NoteDoesNothing => return Ok(Attempted::Applied(Box::new(found))),
            Flaw::NoteOutlivesTheAttempt if found.intent.is_none() => {
                return Ok(Attempted::Applied(Box::new(found)));
            }
            Flaw::NoteForgetsFence => note.fence = found.fence,
            Flaw::NoteForgetsAttempt => note.attempt = found.intent.map_or(note.attempt, |intent| intent.attempt),
            Flaw::NoteForgetsTakeOvers => {
                (note.fence, note.attempt) = (found.fence, found.intent.map_or(note.attempt, |intent| intent.attempt));
            }
            Flaw::NoteRevivesWhatEnded => {
                self.tamper(pk(project, id), "SET #status = :status", Some("active")).await?;
            }
            _ => {}
        }
        self.real.note_attempt(project, id, &note).await
    }

    pub(super) async fn reschedule(&self, base: &Credential, next_due: Option<i64>) -> StoreResult<bool> {
        let mut base = base.clone();
        if let Some(home) = self.home(&base.id).filter(|_| self.has(Flaw::MoveForgetsProject)) {
            base.project = home;
        }
        if let Some(found) = self.real.find_credential(&base.project, &base.id).await? {
            match self.flaw {
                Flaw::MoveDoesNothing => return Ok(true),
                Flaw::MoveNeverEnds if next_due.is_none() => return Ok(true),
                Flaw::MoveForgetsLease => (base.fence, base.lease) = (found.fence, found.lease),
                Flaw::MoveForgetsFence => base.fence = found.fence,
                Flaw::MoveForgetsGeneration => base.generation = found.generation,
                Flaw::MoveForgetsStatus => base.status = found.status,
                _ => {}
            }
        }
        let moved = self.real.reschedule(&base, next_due).await?;
        match self.flaw {
            // A number that is at hand.
            Flaw::MoveKeepsBackoff if base.backoff_until.is_some() => {
                self.tamper(pk(&base.project, &base.id), "SET backoff_until = issued_at", None).await?;
            }
            Flaw::MoveDropsLease => self.tamper(pk(&base.project, &base.id), "REMOVE lease, intent", None).await?,
            _ => {}
        }
        Ok(moved)
    }

    pub(super) async fn note_use(&self, base: &Credential, now: Timestamp, next_due: Option<i64>) -> StoreResult<()> {
        let mut base = base.clone();
        if let Some(home) = self.home(&base.id).filter(|_| self.has(Flaw::UseForgetsProject)) {
            base.project = home;
        }
        let Some(found) = self.real.find_credential(&base.project, &base.id).await? else {
            return self.real.note_use(&base, now, next_due).await;
        };
        let place = pk(&base.project, &base.id);
        match self.flaw {
            Flaw::UseIsNotNoted => return Ok(()),
            Flaw::UseMovesNothing => return self.real.note_use(&base, now, None).await,
            Flaw::UseForgetsGeneration => base.generation = found.generation,
            Flaw::UseForgetsLease if found.lease.is_some() => {
                self.tamper(place, "REMOVE lease, intent", None).await?;
            }
            Flaw::UseForgetsIntent => self.tamper(place, "REMOVE intent", None).await?,
            Flaw::UseForgetsBackoff => self.tamper(place, "REMOVE backoff_until", None).await?,
            Flaw::UseForgetsStatus => self.tamper(place, "SET #status = :status", Some("active")).await?,
            _ => {}
        }
        self.real.note_use(&base, now, next_due).await
    }

    pub(super) async fn keep_orphan(&self, project: &ProjectId, id: &CredentialId, orphan: &Orphan) -> StoreResult<()> {
        let mut orphan = orphan.clone();
        match self.flaw {
            Flaw::OrphansHaveOnePlace => (orphan.fence, orphan.attempt) = (1, String::new()),
            Flaw::OrphansAreKeptTwice => orphan.attempt = unique(),
            _ => {}
        }
        self.forget_whose(Flaw::OrphansForgetTheirCredential, project, id);
        self.real.keep_orphan(project, id, &orphan).await
    }

    pub(super) async fn list_orphans(
        &self,
        project: &ProjectId,
        id: &CredentialId,
        base_generation: u64,
    ) -> StoreResult<Vec<Orphan>> {
        let (project, id) = self.whose(project, id);
        let mut orphans = self.real.list_orphans(&project, &id, base_generation).await?;
        match self.flaw {
            Flaw::OrphansAreReversed => orphans.reverse(),
            Flaw::OrphansLoseTheRest => orphans.truncate(20),
            Flaw::OrphansForgetTheirGeneration => {
                orphans.extend(self.real.list_orphans(&project, &id, base_generation + 1).await?);
            }
            _ => {}
        }
        Ok(orphans)
    }

    pub(super) async fn warn_of(&self, base: &Credential, event: &Event) -> StoreResult<bool> {
        let mut base = base.clone();
        if let Some(home) = self.home(&base.id).filter(|_| self.has(Flaw::WarnForgetsProject)) {
            base.project = home;
        }
        if let Some(found) = self.real.find_credential(&base.project, &base.id).await? {
            if self.looked(Flaw::WarnLooksFirst, found.warned_of.is_none()).await {
                self.real.warn_of(&base, event).await.ok();
                return Ok(true);
            }
            match self.flaw {
                Flaw::WarnsOnce if found.warned_of.is_some() => return Ok(false),
                Flaw::WarnsAgain => self.tamper(pk(&base.project, &base.id), "REMOVE warned_of", None).await?,
                Flaw::WarnForgetsGeneration => base.generation = found.generation,
                _ => {}
            }
        }
        let warned = self.real.warn_of(&base, event).await?;
        if self.has(Flaw::WarningDropsLease) {
            self.tamper(pk(&base.project, &base.id), "REMOVE lease, intent", None).await?;
        }
        Ok(warned)
    }

    pub(super) async fn list_events(&self, project: &ProjectId, id: &CredentialId) -> StoreResult<Vec<Event>> {
        let (project, id) = self.whose(project, id);
        let mut events = self.real.list_events(&project, &id).await?;
        match self.flaw {
            Flaw::EventsAreReversed => events.reverse(),
            Flaw::WarningHasNoEvent => events.retain(|event| event.kind != EventKind::Expiring),
            Flaw::EventsComeBeforeTheChange => {
                events.clone_from(&self.wanted.lock().unwrap_or_else(PoisonError::into_inner));
            }
            Flaw::EventsAreMadeUp => {
                let found = self.real.find_credential(&project, &id).await?;
                events.extend(found.map(|found| fixtures::event(&found, EventKind::Recovered)));
            }
            _ => {}
        }
        Ok(events)
    }

    pub(super) async fn list_health(&self, client: &ClientId) -> StoreResult<Vec<Health>> {
        let anyones = self.anyones.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut all = self.real.list_health(anyones.as_ref().unwrap_or(client)).await?;
        if self.has(Flaw::HealthLosesTheRest) {
            all.truncate(100);
        }
        Ok(all)
    }

    pub(super) async fn put_health(&self, health: &Health, now: Timestamp) -> StoreResult<bool> {
        let mut health = health.clone();
        match self.flaw {
            Flaw::HealthForgetsOrigin => health.origin = fixtures::ORIGIN.to_owned(),
            Flaw::HealthForgetsSlowness => health.slow_until = None,
            Flaw::HealthForgetsClient => {
                *self.anyones.lock().unwrap_or_else(PoisonError::into_inner) = Some(health.client.clone());
            }
            _ => {}
        }
        let stored = self.real.list_health(&health.client).await?;
        let stored = stored.into_iter().find(|known| known.origin == health.origin).map_or(0, |known| known.version);
        if self.looked(Flaw::HealthLooksFirst, stored + 1 == health.version).await {
            self.real.put_health(&health, now).await.ok();
            return Ok(true);
        }
        if self.has(Flaw::HealthForgetsVersion) {
            health.version = stored + 1;
        }
        self.real.put_health(&health, now).await
    }

    pub(super) async fn list_due(
        &self,
        shard: u32,
        now: Timestamp,
        limit: u32,
        cursor: Option<&str>,
    ) -> StoreResult<Page<Due>> {
        let now = if self.has(Flaw::DueForgetsTime) { start() } else { now };
        let limit = if self.has(Flaw::DueForgetsLimit) { 1_000 } else { limit };
        let cursor = cursor.filter(|_| !self.has(Flaw::DueForgetsCursor));
        let mut due = self.real.list_due(shard, now, limit, cursor).await?;
        match self.flaw {
            Flaw::DueIsReversed => due.items.reverse(),
            Flaw::DuePagesLoseTheirLast if due.next.is_some() => drop(due.items.pop()),
            Flaw::DueForgetsClient => due.items.iter_mut().for_each(|due| due.client = None),
            Flaw::DueForgetsSinceWhen => due.items.iter_mut().for_each(|due| due.due_at = now.timestamp_millis()),
            _ => {}
        }
        Ok(due)
    }
}
