//! AdmissionReview (admission.k8s.io/v1) over raw JSON: what was asked, and the answers that carry its uid.
//! Before it: the body that `webhook` read. After it: `inject`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use json_patch::Patch;
use serde_json::{Value, json};

const API_VERSION: &str = "admission.k8s.io/v1";

/// A request whose uid is known, so that it can be answered.
#[derive(Debug)]
pub(super) struct Review {
    uid: String,
    request: Value,
}

/// Why a body is no AdmissionReview that could be answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoReview {
    #[error("the body is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("{field} is {found}; it must be {expected}")]
    Field {
        field: &'static str,
        found: String,
        expected: &'static str,
    },
}

impl Review {
    pub(super) fn parse(body: &[u8]) -> Result<Self, NoReview> {
        let mut review: Value = serde_json::from_slice(body)?;
        let expect = |field, found: &Value, expected, right: bool| match right {
            true => Ok(()),
            false => Err(NoReview::Field {
                field,
                found: short(found),
                expected,
            }),
        };
        expect("the body", &review, "an AdmissionReview", review.is_object())?;
        let (kind, version) = (&review["kind"], &review["apiVersion"]);
        expect("kind", kind, "\"AdmissionReview\"", kind == "AdmissionReview")?;
        expect(
            "apiVersion",
            version,
            "\"admission.k8s.io/v1\"",
            version == API_VERSION,
        )?;
        let request = review["request"].take();
        expect("request", &request, "an object", request.is_object())?;
        let uid = &request["uid"];
        let right = uid.as_str().is_some_and(|uid| !uid.is_empty());
        expect(
            "request.uid",
            uid,
            "the string that the answer is to carry",
            right,
        )?;
        let uid = uid.as_str().unwrap_or_default().into();
        Ok(Self { uid, request })
    }

    /// Whether this is about a core/v1 Pod that is being created. All else is not ours to change.
    pub(super) fn creates_pod(&self) -> bool {
        let (request, kind) = (&self.request, &self.request["kind"]);
        let subresource = request["subResource"].as_str().unwrap_or_default();
        request["operation"] == "CREATE"
            && subresource.is_empty()
            && kind["group"].as_str().unwrap_or_default().is_empty()
            && kind["version"] == "v1"
            && kind["kind"] == "Pod"
    }

    /// Whether the pod will not be created whatever the answer is.
    pub(super) fn is_dry_run(&self) -> bool {
        self.request["dryRun"] == true
    }

    pub(super) fn namespace(&self) -> &str {
        self.request["namespace"].as_str().unwrap_or_default()
    }

    /// The pod's name, or what the API server will make one from.
    pub(super) fn name(&self) -> &str {
        let metadata = &self.request["object"]["metadata"];
        let names = [
            &metadata["name"],
            &metadata["generateName"],
            &self.request["name"],
        ];
        let mut names = names.iter().filter_map(|name| name.as_str());
        names.find(|name| !name.is_empty()).unwrap_or("(no name)")
    }

    pub(super) fn pod(&self) -> &Value {
        &self.request["object"]
    }

    pub(super) fn allow(&self, patch: Option<&Patch>, warnings: &[String]) -> Value {
        let mut response = json!({"uid": self.uid, "allowed": true});
        if let Some(patch) = patch {
            response["patchType"] = "JSONPatch".into();
            response["patch"] = STANDARD
                .encode(serde_json::to_vec(patch).expect("a patch is JSON"))
                .into();
        }
        if !warnings.is_empty() {
            response["warnings"] = warnings.into();
        }
        answer(response)
    }

    /// The API server hands `message` to whoever created the pod, with this HTTP status.
    pub(super) fn refuse(&self, code: StatusCode, message: &str) -> Value {
        let reason = match code {
            StatusCode::BAD_REQUEST => "BadRequest",
            StatusCode::UNPROCESSABLE_ENTITY => "Invalid",
            _ => "ServiceUnavailable",
        };
        let status =
            json!({"status": "Failure", "code": code.as_u16(), "reason": reason, "message": message});
        answer(json!({"uid": self.uid, "allowed": false, "status": status}))
    }
}

fn answer(response: Value) -> Value {
    json!({"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response})
}

/// What was found, for a message: never a whole object.
fn short(found: &Value) -> String {
    match found {
        Value::Null => "missing".into(),
        Value::Object(_) => "an object".into(),
        Value::Array(_) => "a list".into(),
        scalar => scalar.to_string().chars().take(80).collect(),
    }
}
