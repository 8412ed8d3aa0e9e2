//! Does a piece of work on every credential of the instance: on the ended ones, too, and on grants that are kept apart.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, StreamExt as _};

use crate::clock::Timestamp;
use crate::model::credential::Credential;
use crate::model::ids::{CredentialId, ProjectId};
use crate::refresh::persist;
use crate::store::{DUE_SHARDS, Store, StoreResult};

/// How many objects a list is asked for at once.
const PAGE: u32 = 100;
/// How many of one shard of the index are looked at for grants that are kept apart.
const PER_SHARD: u32 = 1000;
/// How far ahead the index is looked at: the provider is told of such a grant at least once an hour.
const AHEAD_HOURS: i64 = 2;

/// How work on one credential ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Something was done.
    Done,
    /// There was nothing to do.
    Nothing,
    /// It cannot be done now, and perhaps a moment later.
    Later(&'static str),
    /// It cannot be done.
    Failed(&'static str),
}

/// Work on one credential. It may be repeated.
#[async_trait]
pub trait Work: Send + Sync {
    /// Does it on a credential that was read a moment ago.
    async fn work(&self, credential: Credential) -> Ended;
}

/// How fast a walk is.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Credentials at the same time.
    pub at_once: usize,
    /// How often what could not be done is tried again.
    pub rounds: u32,
    /// The pause before each of those rounds. All of them together should be longer than a lease.
    pub pause: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { at_once: 8, rounds: 7, pause: Duration::from_secs(5) }
    }
}

/// A credential on which the work could not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Its project.
    pub project: ProjectId,
    /// Its id.
    pub credential: CredentialId,
    /// Why.
    pub why: &'static str,
}

/// What a walk came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Walked {
    /// On how many something was done.
    pub done: usize,
    /// On how many there was nothing to do.
    pub nothing: usize,
    /// On which it could not be done.
    pub left: Vec<Left>,
}

struct Walk<'a> {
    store: &'a dyn Store,
    work: &'a dyn Work,
    pace: Pace,
    walked: Walked,
    again: Vec<Left>,
}

/// Does the work on every credential; `report` hears of the numbers from time to time.
///
/// Grants that are kept apart are in no list: those are reached that the provider is to be told of within two hours, and a
/// thousand of them in each of the shards of the index.
///
/// # Errors
/// When the store does not answer for a list. What was done until then is done; the walk can be begun anew.
pub async fn walk(
    store: &dyn Store,
    work: &dyn Work,
    now: Timestamp,
    pace: Pace,
    report: &mut (dyn FnMut(&Walked) + Send),
) -> StoreResult<Walked> {
    let mut walk = Walk { store, work, pace, walked: Walked::default(), again: Vec::new() };
    let mut cursor = None;
    loop {
        let projects = store.list_projects(PAGE, cursor.as_deref()).await?;
        for project in &projects.items {
            walk.project(&project.id, report).await?;
        }
        cursor = projects.next;
        if cursor.is_none() {
            break;
        }
    }
    walk.apart(now, report).await?;
    for _ in 0..pace.rounds {
        if walk.again.is_empty() {
            break;
        }
        tokio::time::sleep(pace.pause).await;
        walk.again(report).await;
    }
    walk.walked.left.append(&mut walk.again);
    report(&walk.walked);
    Ok(walk.walked)
}

impl Walk<'_> {
    async fn project(&mut self, project: &ProjectId, report: &mut (dyn FnMut(&Walked) + Send)) -> StoreResult<()> {
        let mut cursor = None;
        loop {
            let page = self.store.list_credentials(project, PAGE, cursor.as_deref()).await?;
            // What another project shares is walked there.
            let own = page.items.into_iter().filter(|credential| credential.project == *project);
            self.on(own.map(|own| (own.project, own.id)).collect()).await;
            report(&self.walked);
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    /// Grants that are kept apart until the provider was told that they are over.
    async fn apart(&mut self, now: Timestamp, report: &mut (dyn FnMut(&Walked) + Send)) -> StoreResult<()> {
        let ahead = now + chrono::Duration::hours(AHEAD_HOURS);
        for shard in 0..DUE_SHARDS {
            let mut apart = Vec::new();
            let mut seen = HashSet::new();
            for due in self.store.list_due(shard, ahead, PER_SHARD, None).await?.items {
                let found = self.store.find_credential(&due.project, &due.credential).await?;
                let found = found.filter(|found| found.detached && seen.insert(found.id.clone()));
                apart.extend(found.map(|found| (found.project, found.id)));
            }
            self.on(apart).await;
            report(&self.walked);
        }
        Ok(())
    }

    /// What could not be done before.
    async fn again(&mut self, report: &mut (dyn FnMut(&Walked) + Send)) {
        let again = std::mem::take(&mut self.again);
        self.on(again.into_iter().map(|left| (left.project, left.credential)).collect()).await;
        report(&self.walked);
    }

    /// Reads each again: the list was read some time ago.
    async fn on(&mut self, credentials: Vec<(ProjectId, CredentialId)>) {
        let (work, store) = (self.work, self.store);
        let ended = stream::iter(credentials).map(async |(project, id)| {
            let ended = match persist(|| store.find_credential(&project, &id)).await {
                Ok(Some(credential)) => work.work(credential).await,
                Ok(None) => Ended::Nothing,
                Err(_) => Ended::Later("the store did not answer"),
            };
            (project, id, ended)
        });
        let mut ended = std::pin::pin!(ended.buffer_unordered(self.pace.at_once));
        while let Some((project, credential, ended)) = ended.next().await {
            match ended {
                Ended::Done => self.walked.done += 1,
                Ended::Nothing => self.walked.nothing += 1,
                Ended::Later(why) => self.again.push(Left { project, credential, why }),
                Ended::Failed(why) => self.walked.left.push(Left { project, credential, why }),
            }
        }
    }
}
