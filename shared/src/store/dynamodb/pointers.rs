//! What stands beside a credential: its pointers in the lists of projects, and the name that it takes.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::Delete;

use super::item::{key, name_sk, number, project_pk, put_new, put_over, text};
use super::refresh::{Change, attribute};
use super::*;

/// The projects that a credential is shared with. Its own project lists it anyway.
fn guests(credential: &Credential) -> BTreeSet<&ProjectId> {
    credential.projects.iter().filter(|project| **project != credential.project).collect()
}

/// The pointer of a credential in the list of a project.
pub(super) fn pointer_key(project: &ProjectId, id: &CredentialId) -> Item {
    key(project_pk(project), format!("CRD#{id}"))
}

/// The project that a pointer leads to, when it is not the one it stands in.
pub(super) fn home(pointer: &Item) -> Option<ProjectId> {
    ProjectId::parse(pointer.get("home")?.as_s().ok()?).ok()
}

fn shared_pointer(project: &ProjectId, credential: &Credential) -> Item {
    let mut pointer = pointer_key(project, &credential.id);
    pointer.insert("home".to_owned(), text(credential.project.as_str()));
    pointer
}

pub(super) fn name_key(credential: &Credential) -> Item {
    key(project_pk(&credential.project), name_sk(&credential.owner, &credential.name))
}

pub(super) fn take_name(table: &str, credential: &Credential) -> StoreResult<TransactWriteItem> {
    let mut name = name_key(credential);
    name.insert("credential".to_owned(), text(credential.id.as_str()));
    put_new(table, name)
}

/// A delete of a name that this credential took. Another's is refused: the name may have been freed, and taken since.
pub(super) fn free_name(table: &str, credential: &Credential) -> StoreResult<TransactWriteItem> {
    let delete = Delete::builder()
        .table_name(table)
        .set_key(Some(name_key(credential)))
        .condition_expression("attribute_not_exists(pk) OR credential = :credential")
        .expression_attribute_values(":credential", text(credential.id.as_str()))
        .build()
        .map_err(|_| StoreError::Corrupt)?;
    Ok(TransactWriteItem::builder().delete(delete).build())
}

/// The writes of a new credential. The first one takes the name, except for a detached grant, which is in no list and
/// takes no name.
pub(super) fn additions(table: &str, credential: &Credential) -> StoreResult<Vec<TransactWriteItem>> {
    let base = put_new(table, credentials::credential_item(credential)?)?;
    if credential.detached {
        return Ok(vec![base]);
    }
    let own = put_new(table, pointer_key(&credential.project, &credential.id))?;
    let mut writes = vec![take_name(table, credential)?, base, own];
    for project in guests(credential) {
        writes.push(put_new(table, shared_pointer(project, credential))?);
    }
    Ok(writes)
}

/// The writes that let other projects find a credential, or no longer.
pub(super) fn share(table: &str, old: &Credential, new: &Credential) -> StoreResult<Vec<TransactWriteItem>> {
    let (before, after) = (guests(old), guests(new));
    let added = after.difference(&before).map(|project| put_over(table, shared_pointer(project, old)));
    let removed = before.difference(&after).map(|project| item::delete(table, pointer_key(project, &old.id)));
    added.chain(removed).collect()
}

/// The writes that let the table forget all pointers of a credential.
pub(super) fn forget_pointers(
    table: &str,
    credential: &Credential,
    at: Timestamp,
) -> StoreResult<Vec<TransactWriteItem>> {
    let own = pointer_key(&credential.project, &credential.id);
    let shared = guests(credential).into_iter().map(|project| shared_pointer(project, credential));
    let pointers = std::iter::once(own).chain(shared).map(|mut pointer| {
        pointer.insert("delete_after".to_owned(), number(at.timestamp()));
        put_over(table, pointer)
    });
    pointers.collect()
}

/// The condition that a credential is shared with the same projects as when it was read: each has a pointer, which is
/// written beside it.
pub(super) fn still_shared(credential: &Credential, change: &mut Change) -> StoreResult<&'static str> {
    change.values.insert(":old_projects".to_owned(), attribute(&credential.projects)?);
    Ok(if credential.projects.is_empty() {
        "(attribute_not_exists(#projects) OR #projects = :old_projects)"
    } else {
        "#projects = :old_projects"
    })
}
