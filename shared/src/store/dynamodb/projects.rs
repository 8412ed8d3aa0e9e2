//! Projects.

use super::item::{META, item, key, model, put_new, text};
use super::*;

const ALL: &str = "PROJECTS";

impl DynamoDbStore {
    pub(super) async fn insert_project(&self, project: &Project) -> StoreResult<()> {
        let base = item(ALL.to_owned(), format!("PRJ#{}", project.id), project)?;
        let mut slug = key(format!("SLUG#{}", project.slug), META.to_owned());
        slug.insert("project".to_owned(), text(project.id.as_str()));
        let writes = vec![put_new(&self.table, base)?, put_new(&self.table, slug)?];
        self.insert_all(writes).await
    }

    pub(super) async fn find_project(&self, id: &ProjectId) -> StoreResult<Option<Project>> {
        self.get(ALL.to_owned(), format!("PRJ#{id}")).await?.map(model).transpose()
    }

    pub(super) async fn list_projects(&self, limit: u32, cursor: Option<&str>) -> StoreResult<Page<Project>> {
        let (items, next) = self.query(ALL.to_owned(), "PRJ#", limit, cursor).await?;
        Ok(Page { items: items.into_iter().map(model).collect::<StoreResult<_>>()?, next })
    }

    pub(super) async fn update_project(&self, project: &Project) -> StoreResult<()> {
        let put = self
            .sdk
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item(ALL.to_owned(), format!("PRJ#{}", project.id), project)?))
            .condition_expression("attribute_exists(pk) AND #slug = :slug")
            .expression_attribute_names("#slug", "slug")
            .expression_attribute_values(":slug", text(&project.slug));
        put.send().await.map(drop).map_err(|error| match error.as_service_error() {
            Some(service) if service.is_conditional_check_failed_exception() => StoreError::Changed,
            _ => unavailable(error),
        })
    }

    pub(super) async fn ping(&self) -> StoreResult<()> {
        self.get(ALL.to_owned(), META.to_owned()).await.map(drop)
    }
}
