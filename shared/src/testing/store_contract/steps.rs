//! Steps that several checks begin with, and the walk over the pages of a list.

use chrono::Duration;

use crate::model::credential::{Credential, CredentialStatus};
use crate::model::flow::Flow;
use crate::model::ids::{CredentialId, ProjectId};
use crate::model::session::Session;
use crate::store::{AcquireRefresh, Attempted, Completion, Page, ReleaseRefresh, StatusChange, Store, StoreResult};
use crate::testing::fixtures::{self, start};
use crate::testing::suite::{Broken, ensure, ensure_eq};

/// More pages than any list of these checks has.
const PAGES: usize = 10_000;

/// A session in the store, of a new project.
pub async fn session(store: &dyn Store) -> Result<Session, Broken> {
    let session = fixtures::session(&ProjectId::generate());
    store.insert_session(&session).await?;
    Ok(session)
}

/// The flow as it is stored now.
pub async fn reread(store: &dyn Store, flow: &Flow) -> Result<Flow, Broken> {
    found(store.find_flow(&flow.project, &flow.id).await?, "the flow")
}

/// The session as it is stored now.
pub async fn reread_session(store: &dyn Store, session: &Session) -> Result<Session, Broken> {
    found(store.find_session(&session.project, &session.id).await?, "the session")
}

/// What must be there.
pub fn found<T>(object: Option<T>, what: &str) -> Result<T, Broken> {
    object.ok_or_else(|| Broken::new(format!("{what} is not found")))
}

/// Starts a flow in a session.
pub async fn start_in(store: &dyn Store, session: &Session) -> Result<Flow, Broken> {
    let flow = fixtures::flow(session);
    ensure!(store.start_flow(&flow, session, start()).await?, "a flow of a live session is not started");
    Ok(flow)
}

/// A pending flow of a new session.
pub async fn pending(store: &dyn Store) -> Result<Flow, Broken> {
    start_in(store, &session(store).await?).await
}

/// Parks a pending flow.
pub async fn park(store: &dyn Store, flow: &Flow) -> Result<Flow, Broken> {
    let parked = store.park_flow(flow, &fixtures::parking(start()), start()).await?;
    ensure!(parked, "a pending flow is not parked");
    reread(store, flow).await
}

/// A parked flow of a new session.
pub async fn parked(store: &dyn Store) -> Result<Flow, Broken> {
    park(store, &pending(store).await?).await
}

/// Begins the exchange of a parked flow.
pub async fn claim(store: &dyn Store, flow: &Flow) -> Result<Flow, Broken> {
    let claimed = store.claim_exchange(flow, start() + Duration::seconds(30), start()).await?;
    ensure!(claimed, "the exchange of a parked flow is not claimed");
    reread(store, flow).await
}

/// A flow, of a new session, whose exchange this call holds.
pub async fn exchanging(store: &dyn Store) -> Result<Flow, Broken> {
    claim(store, &parked(store).await?).await
}

/// Stores a credential by completing a new flow of its project and owner.
pub async fn store_credential(store: &dyn Store, credential: &Credential) -> Result<(), Broken> {
    let flow = exchanging_of(store, &credential.project, &credential.owner).await?;
    let completion = store.complete_flow(&flow, credential, start()).await?;
    ensure_eq!(completion, Completion::Done, "the outcome of completing a flow");
    Ok(())
}

/// A flow of a project and owner whose exchange this call holds.
pub async fn exchanging_of(store: &dyn Store, project: &ProjectId, owner: &str) -> Result<Flow, Broken> {
    let session = Session { owner: owner.to_owned(), ..fixtures::session(project) };
    store.insert_session(&session).await?;
    claim(store, &park(store, &start_in(store, &session).await?).await?).await
}

/// A new credential of a project, not stored.
pub fn credential_of(project: &ProjectId) -> Credential {
    fixtures::credential(&fixtures::flow(&fixtures::session(project)))
}

/// A stored credential of a new project.
pub async fn credential(store: &dyn Store) -> Result<Credential, Broken> {
    let credential = credential_of(&ProjectId::generate());
    store_credential(store, &credential).await?;
    Ok(credential)
}

/// The credential as it is stored now.
pub async fn reread_credential(store: &dyn Store, credential: &Credential) -> Result<Credential, Broken> {
    found(store.find_credential(&credential.project, &credential.id).await?, "the credential")
}

/// What a conditional update of the refresh record must have done.
pub fn applied(attempted: Attempted) -> Result<Credential, Broken> {
    match attempted {
        Attempted::Applied(now) => Ok(*now),
        Attempted::Refused(old) => Err(Broken::new(format!("it is refused, by {old:?}"))),
    }
}

/// Checks that a conditional update was refused, with the item as it is stored, and that the item did not change.
pub async fn ensure_refused(store: &dyn Store, attempted: Attempted, before: &Credential) -> Result<(), Broken> {
    let Attempted::Refused(old) = attempted else {
        return Err(Broken::new("it is applied".to_owned()));
    };
    ensure_eq!(old.as_deref(), Some(before), "the image that comes with the refusal");
    ensure_eq!(&reread_credential(store, before).await?, before, "the item after the refusal");
    Ok(())
}

/// Takes the lease of a credential.
pub async fn acquire(store: &dyn Store, credential: &Credential, with: &AcquireRefresh) -> Result<Credential, Broken> {
    applied(store.acquire_refresh(&credential.project, &credential.id, with).await?)
}

/// A stored credential whose lease a worker holds since [`start`].
pub async fn leased(store: &dyn Store) -> Result<Credential, Broken> {
    let credential = credential(store).await?;
    acquire(store, &credential, &fixtures::acquire(&credential, start())).await
}

/// Another worker takes over the attempt that a credential shows, after its lease.
pub async fn overtaken(store: &dyn Store, dead: &Credential) -> Result<Credential, Broken> {
    let take_over = dead.intent.as_ref().map(|intent| intent.attempt.clone());
    let later = start() + Duration::hours(1);
    acquire(store, dead, &AcquireRefresh { take_over, ..fixtures::acquire(dead, later) }).await
}

/// Changes the status of a credential.
pub async fn changed(store: &dyn Store, base: &Credential, change: &StatusChange) -> Result<Credential, Broken> {
    applied(store.change_status(base, change).await?)
}

/// Switches a credential off, as its owner does.
pub async fn suspended(store: &dyn Store, base: &Credential) -> Result<Credential, Broken> {
    let suspended_from = Some(base.status);
    changed(store, base, &StatusChange { suspended_from, ..fixtures::status_change(CredentialStatus::Suspended) }).await
}

/// The credentials that a project lists, over pages of this length.
pub async fn listed(store: &dyn Store, project: &ProjectId, limit: u32) -> Result<Vec<CredentialId>, Broken> {
    let page = |cursor: Option<String>| async move { store.list_credentials(project, limit, cursor.as_deref()).await };
    Ok(walk(limit, page).await?.into_iter().map(|credential| credential.id).collect())
}

/// Checks that the project of a credential lists it and nothing else.
pub async fn ensure_listed_alone(store: &dyn Store, credential: &Credential) -> Result<(), Broken> {
    let listed = listed(store, &credential.project, 100).await?;
    ensure_eq!(listed.as_slice(), std::slice::from_ref(&credential.id), "the list of its project");
    Ok(())
}

/// Whether the name of a credential is taken.
pub async fn name_is_taken(store: &dyn Store, credential: &Credential) -> Result<bool, Broken> {
    Ok(store.is_name_taken(&credential.project, &credential.owner, &credential.name).await?)
}

/// Checks that nothing of a credential was written.
pub async fn ensure_absent(store: &dyn Store, credential: &Credential) -> Result<(), Broken> {
    let found = store.find_credential(&credential.project, &credential.id).await?;
    ensure_eq!(found, None, "the credential");
    let listed = store.list_credentials(&credential.project, 100, None).await?.items;
    ensure!(listed.iter().all(|other| other.id != credential.id), "the credential is listed");
    Ok(())
}

/// Ends an attempt without tokens.
pub async fn released(store: &dyn Store, of: &Credential, release: &ReleaseRefresh) -> Result<Credential, Broken> {
    applied(store.release_refresh(&of.project, &of.id, release).await?)
}

/// Walks over a list and gives all of it. A page may be short of the limit, never over it.
pub async fn walk<T, F>(limit: u32, page: impl Fn(Option<String>) -> F) -> Result<Vec<T>, Broken>
where
    F: Future<Output = StoreResult<Page<T>>>,
{
    let mut all = Vec::new();
    let mut last = None;
    for _ in 0..PAGES {
        let page = page(last.clone()).await?;
        ensure!(page.items.len() <= usize::try_from(limit)?, "a page is longer than its limit");
        all.extend(page.items);
        if page.next.is_none() {
            return Ok(all);
        }
        ensure!(page.next != last, "a page leads to itself");
        last = page.next;
    }
    Err(Broken::new("the list does not end".to_owned()))
}

/// Checks that ids come in order, each once, and that these are among them.
pub fn ensure_listed<I: Ord + Clone + std::fmt::Debug>(listed: &[I], expected: &[I]) -> Result<(), Broken> {
    ensure!(listed.is_sorted_by(|a, b| a < b), "the list is not in the order of ids, each once: {listed:?}");
    let missing: Vec<_> = expected.iter().filter(|id| !listed.contains(id)).collect();
    ensure!(missing.is_empty(), "these are not listed: {missing:?}");
    Ok(())
}
