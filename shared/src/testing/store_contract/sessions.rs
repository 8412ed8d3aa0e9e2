//! Connect sessions.

use super::steps::session;
use crate::model::ids::{ProjectId, SessionId};
use crate::model::session::{Binding, Session};
use crate::store::{Store, StoreError};
use crate::testing::fixtures;
use crate::testing::suite::{Held, checks, ensure, ensure_eq};

checks!(dyn Store:
    a_session_is_found_by_id_and_by_token_as_it_was_inserted,
    an_unknown_session_is_not_found,
    a_session_is_inserted_once,
    a_token_is_inserted_once,
    a_session_is_not_found_under_another_project,
    a_deleted_session_is_gone,
    a_session_is_not_deleted_under_another_project,
);

async fn a_session_is_found_by_id_and_by_token_as_it_was_inserted(store: &dyn Store) -> Held {
    let mut session = fixtures::session(&ProjectId::generate());
    session.name = Some("Mail".to_owned());
    session.scopes = Some(Vec::new());
    session.binding = Binding::Browser;
    store.insert_session(&session).await?;
    let by_token = store.find_session_by_token(&session.token_hash).await?;
    ensure_eq!(by_token.as_ref(), Some(&session), "the session by its token");
    ensure_eq!(store.find_session(&session.project, &session.id).await?, Some(session), "the session");
    Ok(())
}

async fn an_unknown_session_is_not_found(store: &dyn Store) -> Held {
    let session = fixtures::session(&ProjectId::generate());
    ensure_eq!(store.find_session(&session.project, &session.id).await?, None, "an unknown session");
    ensure_eq!(store.find_session_by_token(&session.token_hash).await?, None, "a session by an unknown token");
    ensure!(!store.delete_session(&session).await?, "a session that never was is deleted");
    Ok(())
}

async fn a_session_is_inserted_once(store: &dyn Store) -> Held {
    let session = session(store).await?;
    let again = Session { id: session.id.clone(), ..fixtures::session(&session.project) };
    ensure_eq!(store.insert_session(&again).await, Err(StoreError::AlreadyExists), "the second insert");
    ensure_eq!(store.find_session_by_token(&again.token_hash).await?, None, "the refused session by its token");
    ensure_eq!(store.find_session(&session.project, &session.id).await?, Some(session), "the session");
    Ok(())
}

async fn a_token_is_inserted_once(store: &dyn Store) -> Held {
    let first = session(store).await?;
    let second = Session { token_hash: first.token_hash.clone(), ..fixtures::session(&ProjectId::generate()) };
    ensure_eq!(store.insert_session(&second).await, Err(StoreError::AlreadyExists), "the second insert");
    ensure_eq!(store.find_session(&second.project, &second.id).await?, None, "the refused session");
    ensure_eq!(store.find_session_by_token(&first.token_hash).await?, Some(first), "the session by its token");
    Ok(())
}

async fn a_session_is_not_found_under_another_project(store: &dyn Store) -> Held {
    let (session, other) = (session(store).await?, session(store).await?);
    ensure_eq!(store.find_session(&other.project, &session.id).await?, None, "the session under another project");
    ensure_eq!(store.find_session(&session.project, &SessionId::generate()).await?, None, "an unknown session");
    Ok(())
}

async fn a_deleted_session_is_gone(store: &dyn Store) -> Held {
    let session = session(store).await?;
    ensure!(store.delete_session(&session).await?, "a session is not deleted");
    ensure_eq!(store.find_session(&session.project, &session.id).await?, None, "the deleted session");
    ensure_eq!(store.find_session_by_token(&session.token_hash).await?, None, "the deleted session by its token");
    ensure!(!store.delete_session(&session).await?, "a session is deleted twice");
    Ok(())
}

async fn a_session_is_not_deleted_under_another_project(store: &dyn Store) -> Held {
    let session = session(store).await?;
    let claimed = Session { project: ProjectId::generate(), ..session.clone() };
    ensure!(!store.delete_session(&claimed).await?, "a session is deleted under another project");
    let by_token = store.find_session_by_token(&session.token_hash).await?;
    ensure_eq!(by_token, Some(session), "the session by its token");
    Ok(())
}
