//! AdmissionReview (admission.k8s.io/v1) over raw JSON: what was asked, and the answers that carry its uid.
//! Before it: the body that `webhook` read. After it: `inject`, or `validate`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use json_patch::Patch;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// What is read of a body. All else, such as who asks and the old object, is skipped.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    api_version: String,
    kind: String,
    request: Review,
}

/// A request whose uid is known, so that it can be answered. The other fields are as they are found.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Review {
    uid: String,
    kind: Value,
    sub_resource: Value,
    operation: Value,
    namespace: Value,
    name: Value,
    dry_run: Value,
    object: Value,
}

/// Why a body is no AdmissionReview that could be answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoReview {
    #[error("the body cannot be read: {0}")]
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
        match serde_json::from_slice::<Body>(body) {
            Ok(it) if it.api_version == API_VERSION && it.kind == KIND && !it.request.uid.is_empty() => {
                Ok(it.request)
            }
            Ok(it) => check(body).map(|()| it.request),
            Err(error) => check(body).and(Err(error.into())),
        }
    }

    /// Whether this is about a core/v1 Pod that is being created. All else is not ours to change.
    pub(super) fn creates_pod(&self) -> bool {
        let is_empty = |value: &Value| value.as_str().unwrap_or_default().is_empty();
        self.operation == "CREATE"
            && is_empty(&self.sub_resource)
            && is_empty(&self.kind["group"])
            && self.kind["version"] == "v1"
            && self.kind["kind"] == "Pod"
    }

    /// Whether the pod will not be created whatever the answer is.
    pub(super) fn is_dry_run(&self) -> bool {
        self.dry_run == true
    }

    pub(super) fn namespace(&self) -> &str {
        self.namespace.as_str().unwrap_or_default()
    }

    /// The object's name, or what the API server will make one from.
    pub(super) fn name(&self) -> &str {
        let metadata = &self.object["metadata"];
        let names = [&metadata["name"], &metadata["generateName"], &self.name];
        let mut names = names.into_iter().filter_map(Value::as_str);
        names.find(|name| !name.is_empty()).unwrap_or("(no name)")
    }

    /// The object that is to be, null if it is to go.
    pub(super) fn object(&self) -> &Value {
        &self.object
    }

    /// What kind of object of an API group this is about, if it is about one of that group.
    pub(super) fn kind_of(&self, group: &str) -> Option<&str> {
        let (kind, found) = (&self.kind["kind"], &self.kind["group"]);
        kind.as_str().filter(|_| found == group)
    }

    /// The body of the answer.
    pub(super) fn allow(&self, patch: Option<&Patch>, warnings: &[String]) -> Vec<u8> {
        let patch = patch.map(|patch| STANDARD.encode(json(patch)));
        answer(Response {
            uid: &self.uid,
            allowed: true,
            patch_type: patch.as_ref().map(|_| "JSONPatch"),
            patch,
            warnings,
            status: None,
        })
    }

    /// The body of the answer; the API server hands `message` to whoever wrote the object, with this HTTP status.
    pub(super) fn refuse(&self, code: StatusCode, message: &str) -> Vec<u8> {
        let reason = match code {
            StatusCode::BAD_REQUEST => "BadRequest",
            StatusCode::UNPROCESSABLE_ENTITY => "Invalid",
            _ => "ServiceUnavailable",
        };
        answer(Response {
            uid: &self.uid,
            allowed: false,
            patch_type: None,
            patch: None,
            warnings: &[],
            status: Some(Status {
                status: "Failure",
                code: code.as_u16(),
                reason,
                message,
            }),
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    api_version: &'a str,
    kind: &'a str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
}

/// meta/v1 Status.
#[derive(Serialize)]
struct Status<'a> {
    status: &'a str,
    code: u16,
    reason: &'a str,
    message: &'a str,
}

fn answer(response: Response) -> Vec<u8> {
    json(&Answer {
        api_version: API_VERSION,
        kind: KIND,
        response,
    })
}

/// Into a buffer that is large enough for most.
fn json(value: &impl Serialize) -> Vec<u8> {
    let mut text = Vec::with_capacity(8 * 1024);
    serde_json::to_writer(&mut text, value).expect("an answer is JSON");
    text
}

/// Names the field that makes a body no review.
fn check(body: &[u8]) -> Result<(), NoReview> {
    let review: Value = serde_json::from_slice(body)?;
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
    expect("kind", kind, "\"AdmissionReview\"", kind == KIND)?;
    expect(
        "apiVersion",
        version,
        "\"admission.k8s.io/v1\"",
        version == API_VERSION,
    )?;
    let request = &review["request"];
    expect("request", request, "an object", request.is_object())?;
    let uid = &request["uid"];
    let right = uid.as_str().is_some_and(|uid| !uid.is_empty());
    expect(
        "request.uid",
        uid,
        "the string that the answer is to carry",
        right,
    )
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
