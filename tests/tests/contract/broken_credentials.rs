//! What a broken store forgets of credentials: how they are shared, replaced, changed and ended.

use aws_sdk_dynamodb::types::AttributeValue;
use grantkeeper::clock::Timestamp;
use grantkeeper::model::attempt::Attempt;
use grantkeeper::model::credential::Credential;
use grantkeeper::model::flow::Flow;
use grantkeeper::model::ids::{CredentialId, ProjectId};
use grantkeeper::store::{Attempted, Replacement, StatusChange, StoreError, StoreResult};
use grantkeeper::testing::fixtures::unique;
use grantkeeper::vault::root_key::sha256;

use super::broken_store::BrokenStore;
use super::store_flaws::Flaw;

fn credential_pk(credential: &Credential) -> String {
    format!("P#{}#C#{}", credential.project, credential.id)
}

impl BrokenStore {
    pub(super) async fn find_shared_credential(
        &self,
        project: &ProjectId,
        id: &CredentialId,
    ) -> StoreResult<Option<Credential>> {
        match self.home(id).filter(|home| home != project && self.has(Flaw::FindsWhatIsNotShared)) {
            Some(home) => self.real.find_credential(&home, id).await,
            None => self.real.find_shared_credential(project, id).await,
        }
    }

    pub(super) async fn insert_credential(&self, credential: &Credential) -> StoreResult<()> {
        let mut credential = credential.clone();
        if self.has(Flaw::DetachedIsListed) {
            credential.detached = false;
        }
        let found = self.real.find_credential(&credential.project, &credential.id).await?;
        if found.is_some() && self.has(Flaw::InsertRefusesRepetition) {
            return Err(StoreError::AlreadyExists);
        }
        let inserted = match self.real.insert_credential(&credential).await {
            Err(StoreError::AlreadyExists) if self.has(Flaw::InsertForgetsName) => {
                self.real.insert_credential(&Credential { name: unique(), ..credential.clone() }).await
            }
            outcome => outcome,
        };
        if self.has(Flaw::InsertIsNeverDue) {
            self.tamper(credential_pk(&credential), "REMOVE due_shard, due_at", None).await?;
        }
        inserted
    }

    pub(super) async fn update_credential(&self, old: &Credential, new: &Credential) -> StoreResult<()> {
        let (mut old, mut new) = (old.clone(), new.clone());
        if self.has(Flaw::UpdateForgetsProjects) {
            new.projects.clone_from(&old.projects);
        }
        if let Some(found) = self.real.find_credential(&old.project, &old.id).await? {
            if self.looked(Flaw::RenameLooksFirst, found.name == old.name).await
                || self.looked(Flaw::ShareLooksFirst, found.projects == old.projects).await
            {
                return self.real.update_credential(&old, &new).await.or(Ok(()));
            }
            match self.flaw {
                Flaw::UpdateForgetsOldName => old.name = found.name,
                Flaw::UpdateForgetsOldValues => (old.variables, old.choices) = (found.variables, found.choices),
                Flaw::UpdateForgetsGeneration => old.generation = found.generation,
                Flaw::ShareForgetsOthers => old.projects = found.projects,
                Flaw::UpdateBringsNamesBack if found.is_ended() => {
                    self.tamper(credential_pk(&old), "SET #status = :status", Some("active")).await?;
                }
                _ => {}
            }
        }
        self.real.update_credential(&old, &new).await?;
        if self.has(Flaw::UpdateDropsLease) {
            self.tamper(credential_pk(&old), "REMOVE lease, intent", None).await?;
        }
        Ok(())
    }

    pub(super) async fn replace_grant(
        &self,
        flow: Option<&Flow>,
        base: &Credential,
        new: &Credential,
        now: Timestamp,
    ) -> StoreResult<Replacement> {
        let (mut base, mut new) = (base.clone(), new.clone());
        if self.has(Flaw::ReplaceForgetsDueTime) {
            new.refresh_after = None;
        }
        if let Some(found) = self.real.find_credential(&base.project, &base.id).await? {
            if self.looked(Flaw::ReplaceLooksFirst, found.generation == base.generation).await {
                self.real.replace_grant(flow, &base, &new, now).await.ok();
                return Ok(Replacement::Done);
            }
            match self.flaw {
                Flaw::ReplaceForgetsGeneration => base.generation = found.generation,
                Flaw::ReplaceForgetsOwner => base.owner = found.owner,
                Flaw::ReplaceLiftsSuspension => base.status = found.status,
                Flaw::ReplaceRefusesRepetition if found.attempt == new.attempt => return Ok(Replacement::Changed),
                _ => {}
            }
        }
        let flow = flow.filter(|_| !self.has(Flaw::ReplaceForgetsFlow));
        let outcome = self.real.replace_grant(flow, &base, &new, now).await?;
        match self.flaw {
            // A number that is at hand: there is no failure yet, so the fence is back where it began.
            Flaw::ReplaceKeepsFence => self.tamper(credential_pk(&base), "SET fence = fails", None).await?,
            Flaw::ReplaceKeepsChoices => {
                if let Some(found) = self.real.find_credential(&base.project, &base.id).await? {
                    let kept = Credential { choices: base.choices.clone(), ..found.clone() };
                    self.real.update_credential(&found, &kept).await?;
                }
            }
            Flaw::ReplaceRestoresName => {
                if let Some(found) = self.real.find_credential(&base.project, &base.id).await? {
                    let restored = Credential { name: new.name.clone(), ..found.clone() };
                    self.real.update_credential(&found, &restored).await?;
                }
            }
            _ => {}
        }
        Ok(outcome)
    }

    pub(super) async fn change_status(&self, base: &Credential, change: &StatusChange) -> StoreResult<Attempted> {
        let (mut base, mut change) = (base.clone(), change.clone());
        if self.has(Flaw::ChangeForgetsDueTime) {
            change.next_due = None;
        }
        if self.has(Flaw::EndKeepsName) {
            change.frees_name = false;
        }
        if let Some(found) = self.real.find_credential(&base.project, &base.id).await? {
            if self.looked(Flaw::ChangeLooksFirst, found.status == base.status).await {
                self.real.change_status(&base, &change).await.ok();
                return Ok(Attempted::Applied(Box::new(found)));
            }
            let again = found.status != base.status && self.has(Flaw::ChangeRefusesRepetition);
            if again || (found.name != base.name && self.has(Flaw::EndMindsRename)) {
                return Ok(Attempted::Refused(Some(Box::new(found))));
            }
            match self.flaw {
                Flaw::ChangeForgetsStatus => base.status = found.status,
                Flaw::ChangeForgetsOwner => base.owner = found.owner,
                _ => {}
            }
        }
        if self.has(Flaw::ChangeDropsLease) {
            self.tamper(credential_pk(&base), "REMOVE lease, intent", None).await?;
        }
        let attempted = self.real.change_status(&base, &change).await?;
        if self.has(Flaw::EndFreesAnyName) && change.frees_name {
            let name = format!("NAME#{}", sha256(&format!("{}\0{}", base.owner, base.name)));
            let delete = self.sdk.delete_item().table_name(self.table);
            let delete = delete.key("pk", AttributeValue::S(format!("P#{}", base.project)));
            delete.key("sk", AttributeValue::S(name)).send().await.map_err(|_| StoreError::Unavailable)?;
        }
        Ok(attempted)
    }

    pub(super) async fn record_attempt(
        &self,
        project: &ProjectId,
        id: &CredentialId,
        number: u64,
        attempt: &Attempt,
    ) -> StoreResult<()> {
        let number = if self.has(Flaw::AttemptsHaveOnePlace) { 0 } else { number };
        self.real.record_attempt(project, id, number, attempt).await?;
        self.forget_whose(Flaw::AttemptsForgetTheirCredential, project, id);
        Ok(())
    }

    pub(super) async fn list_attempts(&self, project: &ProjectId, id: &CredentialId) -> StoreResult<Vec<Attempt>> {
        let (project, id) = self.whose(project, id);
        let mut attempts = self.real.list_attempts(&project, &id).await?;
        if self.has(Flaw::AttemptsAreReversed) {
            attempts.reverse();
        }
        Ok(attempts)
    }
}
