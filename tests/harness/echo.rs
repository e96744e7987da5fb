//! An upstream's answer that says what it received.

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::{Body, body};

const SHOWN: usize = 64 * 1024;

pub(crate) async fn answer(request: http::Request<Incoming>) -> http::Response<Body> {
    let (head, mut incoming) = request.into_parts();
    let mut length = 0_u64;
    let mut hash = Sha256::new();
    let mut text = Vec::new();
    let mut trailers = Value::Object(Map::new());
    while let Some(frame) = incoming.frame().await {
        let Ok(frame) = frame else { break };
        match frame.into_data() {
            Ok(data) => {
                length += data.len() as u64;
                hash.update(&data);
                if length <= SHOWN as u64 {
                    text.extend_from_slice(&data);
                }
            }
            Err(frame) => trailers = fields(&frame.into_trailers().unwrap_or_default()),
        }
    }
    let sha256 = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    let shown = (length <= SHOWN as u64).then(|| String::from_utf8(text).ok()).flatten();
    let answer = json!({
        "method": head.method.as_str(),
        "path": head.uri.path(),
        "query": head.uri.query(),
        "version": format!("{:?}", head.version),
        "authority": head.uri.authority().map(|authority| authority.as_str()),
        "headers": fields(&head.headers),
        "length": length,
        "sha256": sha256,
        "body": shown,
        "trailers": trailers,
    });
    let mut response = http::Response::new(body::full(answer.to_string()));
    response
        .headers_mut()
        .insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}

fn fields(headers: &http::HeaderMap) -> Value {
    let mut fields = Map::new();
    for name in headers.keys() {
        let values = headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into());
        fields.insert(name.to_string(), Value::Array(values.collect()));
    }
    Value::Object(fields)
}
