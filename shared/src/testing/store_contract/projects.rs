//! Projects.

use super::steps::{ensure_listed, found, walk};
use crate::model::ids::ProjectId;
use crate::model::project::Project;
use crate::store::{Store, StoreError};
use crate::testing::fixtures;
use crate::testing::suite::{Held, checks, ensure, ensure_eq, one_winner, race, racers};

checks!(dyn Store:
    a_table_answers,
    a_project_is_found_as_it_was_inserted,
    an_unknown_project_is_not_found,
    a_project_is_inserted_once,
    a_slug_is_taken_once,
    of_racing_projects_one_has_the_slug,
    an_update_replaces_a_project,
    an_update_of_an_unknown_project_is_refused,
    a_slug_stays_with_its_project,
    all_projects_are_listed_by_id,
);

async fn a_table_answers(store: &dyn Store) -> Held {
    Ok(store.ping().await?)
}

async fn a_project_is_found_as_it_was_inserted(store: &dyn Store) -> Held {
    let project = fixtures::project();
    store.insert_project(&project).await?;
    ensure_eq!(store.find_project(&project.id).await?, Some(project), "the project");
    Ok(())
}

async fn an_unknown_project_is_not_found(store: &dyn Store) -> Held {
    ensure_eq!(store.find_project(&ProjectId::generate()).await?, None, "an unknown project");
    Ok(())
}

async fn a_project_is_inserted_once(store: &dyn Store) -> Held {
    let project = fixtures::project();
    store.insert_project(&project).await?;
    let mut again = fixtures::project();
    again.id = project.id.clone();
    ensure_eq!(store.insert_project(&again).await, Err(StoreError::AlreadyExists), "the second insert");
    ensure_eq!(store.find_project(&project.id).await?, Some(project), "the project");
    // Nothing of the refused insert is left: its slug is free.
    again.id = ProjectId::generate();
    ensure_eq!(store.insert_project(&again).await, Ok(()), "an insert with the refused project's slug");
    Ok(())
}

async fn a_slug_is_taken_once(store: &dyn Store) -> Held {
    let project = fixtures::project();
    store.insert_project(&project).await?;
    let mut second = fixtures::project();
    second.slug.clone_from(&project.slug);
    ensure_eq!(store.insert_project(&second).await, Err(StoreError::AlreadyExists), "the second insert");
    ensure_eq!(store.find_project(&second.id).await?, None, "the refused project");
    Ok(())
}

async fn of_racing_projects_one_has_the_slug(store: &dyn Store) -> Held {
    let slug = fixtures::project().slug;
    let projects = racers(|_| Project { slug: slug.clone(), ..fixtures::project() });
    let winner = one_winner(race(&projects, |project| store.insert_project(project)).await, |()| true)?;
    for (number, project) in projects.iter().enumerate() {
        let found = store.find_project(&project.id).await?;
        ensure_eq!(found.as_ref(), (number == winner).then_some(project), "a project of the race");
    }
    Ok(())
}

async fn an_update_replaces_a_project(store: &dyn Store) -> Held {
    let mut project = fixtures::project();
    project.reauthorize_url = Some("https://platform.example/again/{credential}".to_owned());
    store.insert_project(&project).await?;
    project.name = "Renamed".to_owned();
    project.policies.allowed_scopes = None;
    project.reauthorize_url = None;
    store.update_project(&project).await?;
    ensure_eq!(store.find_project(&project.id).await?, Some(project), "the project");
    Ok(())
}

async fn an_update_of_an_unknown_project_is_refused(store: &dyn Store) -> Held {
    let project = fixtures::project();
    ensure_eq!(store.update_project(&project).await, Err(StoreError::Changed), "the update");
    ensure_eq!(store.find_project(&project.id).await?, None, "the project");
    Ok(())
}

async fn a_slug_stays_with_its_project(store: &dyn Store) -> Held {
    let project = fixtures::project();
    store.insert_project(&project).await?;
    let mut changed = project.clone();
    changed.slug = fixtures::project().slug;
    ensure!(store.update_project(&changed).await.is_err(), "an update changes the slug");
    let stored = found(store.find_project(&project.id).await?, "the project")?;
    ensure_eq!(stored.slug, project.slug, "the slug");
    Ok(())
}

async fn all_projects_are_listed_by_id(store: &dyn Store) -> Held {
    let mut ids = Vec::new();
    for _ in 0..5 {
        let project = fixtures::project();
        store.insert_project(&project).await?;
        ids.push(project.id);
    }
    for limit in [2, 100] {
        let page = |cursor: Option<String>| async move { store.list_projects(limit, cursor.as_deref()).await };
        let listed: Vec<_> = walk(limit, page).await?.into_iter().map(|project| project.id).collect();
        ensure_listed(&listed, &ids)?;
    }
    Ok(())
}
