//! Which pod a bearer token speaks for: asked of the API server, or from a table where there is none.

use std::collections::BTreeMap;

use kube::Client;

use super::token_review;
use crate::control::world::Key;

/// How tokens are checked.
pub struct Authenticate(Method);

enum Method {
    TokenReview(Client),
    Table(BTreeMap<String, Key>),
}

/// The pod that a token was issued to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) pod: Key,
    /// Of this very pod; not asked for in a table.
    pub(super) uid: Option<String>,
    /// Where it runs, if the API server says so.
    pub(super) node: Option<String>,
}

/// Why there is no identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The token is not good for this.
    Token(String),
    /// It could not be found out.
    Unknown(String),
}

impl Authenticate {
    /// By the API server: a pod's bound service-account token for the audience `outrigger`.
    pub fn token_review(client: Client) -> Self {
        Self(Method::TokenReview(client))
    }

    /// By a table of tokens with the namespace and name of their pods, for a mesh without an API server.
    pub fn tokens(tokens: BTreeMap<String, (String, String)>) -> Self {
        let entry =
            |(token, (namespace, name)): (String, (String, String))| (token, Key::new(&namespace, &name));
        Self(Method::Table(tokens.into_iter().map(entry).collect()))
    }

    pub(super) async fn identity(&self, token: &str) -> Result<Identity, Refused> {
        match &self.0 {
            Method::TokenReview(client) => token_review::identity(client, token).await,
            Method::Table(tokens) => tokens
                .get(token)
                .map(|pod| Identity {
                    pod: pod.clone(),
                    uid: None,
                    node: None,
                })
                .ok_or_else(|| Refused::Token("the token is not in the table of tokens".to_owned())),
        }
    }
}
