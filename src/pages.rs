//! Lists of objects from the API server as raw JSON, a page at a time, so that never all of a large cluster are held at
//! once. Used by `audit` and `check`.

use kube::Client;
use kube::api::ListParams;
use kube::core::Request;
use serde_json::Value;

/// Objects per answer: some megabytes of pods.
const PAGE: u32 = 250;

/// What is left of a list.
pub(crate) struct Pages {
    client: Client,
    path: String,
    /// None at the end.
    next: Option<ListParams>,
}

impl Pages {
    /// The list at `path`, such as `/api/v1/pods`, of the objects that the field selector `fields` selects.
    pub(crate) fn new(client: Client, path: impl Into<String>, fields: &str) -> Self {
        let mut parameters = ListParams::default().limit(PAGE);
        if !fields.is_empty() {
            parameters = parameters.fields(fields);
        }
        Self {
            client,
            path: path.into(),
            next: Some(parameters),
        }
    }

    /// The next page, or `None` after the last.
    pub(crate) async fn next(&mut self) -> kube::Result<Option<Vec<Value>>> {
        let Some(parameters) = self.next.take() else {
            return Ok(None);
        };
        let request = Request::new(self.path.as_str())
            .list(&parameters)
            .map_err(kube::Error::BuildRequest)?;
        let mut page: Value = self.client.request(request).await?;
        let token = page["metadata"]["continue"]
            .as_str()
            .filter(|token| !token.is_empty());
        self.next = token.map(|token| parameters.continue_token(token));
        Ok(match page["items"].take() {
            Value::Array(items) => Some(items),
            _ => Some(vec![]),
        })
    }
}
