//! One call of the settings: one request, or one for each item.

use std::pin::pin;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, StreamExt};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::Body;
use tokio::time::{Instant, timeout_at};

use super::{CallError, Caller, Outgoing};
use crate::backend::aggregate::failure::Failure;
use crate::backend::aggregate::fields;
use crate::backend::aggregate::json::{Document, Value};
use crate::backend::aggregate::prepare::{Aggregate, Call, Foreach};
use crate::backend::aggregate::settings::OnError;
use crate::backend::aggregate::template::{Answered, Unfit, Values};

/// An answer as it was read.
struct Got {
    status: StatusCode,
    headers: HeaderMap,
    /// None where there is no content.
    body: Option<Document>,
}

impl Got {
    fn size(&self) -> usize {
        self.body.as_ref().map_or(0, Document::size)
    }
}

impl Aggregate {
    /// Gives the place of the call, the bytes that it was answered, and what it has come to.
    pub(super) async fn call<C: Caller>(
        &self,
        place: usize,
        values: Values<'_>,
        caller: &C,
        deadline: Instant,
    ) -> (usize, usize, Answered) {
        let Some(call) = self.calls.get(place) else {
            return (place, 0, Answered::default());
        };
        let result = match &call.foreach {
            None => self.one(place, call, values, caller, deadline).await.map(|got| {
                let size = got.size();
                let answered = Answered {
                    status: Some(got.status),
                    heads: vec![got.headers.clone()],
                    headers: got.headers,
                    body: got.body,
                    ..Answered::default()
                };
                (size, answered)
            }),
            Some(foreach) => self.each(place, call, foreach, values, caller, deadline).await,
        };
        let (size, answered) = result.unwrap_or_else(|failure| {
            let body = match &call.on_error {
                OnError::Default(default) => Some(default.clone()),
                _ => None,
            };
            (
                0,
                Answered {
                    body,
                    failure: Some(failure),
                    ..Answered::default()
                },
            )
        });
        (place, size, answered)
    }

    /// A call for every item, so many at once; results in the order of the items.
    async fn each<C: Caller>(
        &self,
        place: usize,
        call: &Call,
        foreach: &Foreach,
        values: Values<'_>,
        caller: &C,
        deadline: Instant,
    ) -> Result<(usize, Answered), Failure> {
        let list = match foreach.over.json(&values)? {
            Some(list) if !list.is_array() => return Err(Failure::NotAnArray),
            list => list,
        };
        let elements: Vec<Value<'_>> = match list.map(Value::kind) {
            Some(crate::backend::aggregate::json::Kind::Array(elements)) => elements.collect(),
            _ => Vec::new(),
        };
        if elements.len() > foreach.items {
            return Err(Failure::TooManyItems(elements.len()));
        }
        let calls = elements.into_iter().map(|item| {
            let values = Values {
                item: Some(item),
                ..values
            };
            self.one(place, call, values, caller, deadline)
        });
        let mut running = pin!(stream::iter(calls).buffered(foreach.at_once));
        let (mut size, mut items, mut heads) = (0usize, Vec::new(), Vec::new());
        while let Some(result) = running.next().await {
            match result {
                Ok(got) => {
                    size = size.saturating_add(got.size());
                    heads.push(got.headers);
                    items.push(Ok(got.body));
                }
                Err(failure) if call.required => return Err(failure),
                Err(failure) => items.push(Err(failure)),
            }
            if size > self.total {
                return Err(Failure::TooLarge);
            }
        }
        let body = if call.referred { self.list(call, &items) } else { None };
        let answered = Answered {
            body,
            items: Some(items),
            heads,
            ..Answered::default()
        };
        Ok((size, answered))
    }

    /// The results as one document, for those that refer to it.
    fn list(&self, call: &Call, items: &[Result<Option<Document>, Failure>]) -> Option<Document> {
        let mut out = vec![b'['];
        for item in items {
            let before = out.len();
            if before > 1 {
                out.push(b',');
            }
            match (item, &call.on_error) {
                (Ok(Some(document)), _) => document.root().write(&mut out),
                (Err(_), OnError::Default(default)) => default.root().write(&mut out),
                (Ok(None), _) | (Err(_), OnError::Null) => out.extend_from_slice(b"null"),
                (Err(_), OnError::Omit) => out.truncate(before),
            }
        }
        out.push(b']');
        let limits = crate::backend::aggregate::json::Limits {
            bytes: usize::MAX,
            values: usize::MAX,
            depth: self.limits.depth + 1,
        };
        Document::parse(Bytes::from(out), &limits).ok()
    }

    /// One request.
    async fn one<C: Caller>(
        &self,
        place: usize,
        call: &Call,
        values: Values<'_>,
        caller: &C,
        deadline: Instant,
    ) -> Result<Got, Failure> {
        let now = Instant::now();
        let own = call.timeout.and_then(|timeout| now.checked_add(timeout));
        let deadline = own.map_or(deadline, |own| own.min(deadline));
        if now >= deadline {
            return Err(Failure::Timeout);
        }
        let request = self.outgoing(place, call, &values, deadline)?;
        let answered = async {
            let response = caller.call(request).await?;
            let (head, body) = response.into_parts();
            if !call.success.contains(head.status) {
                let passed = call.pass_status.contains(head.status);
                return Err(Failure::Status {
                    status: head.status,
                    passed,
                });
            }
            let bytes = collect(body, self.limits.bytes).await?;
            let body = if bytes.is_empty() {
                None
            } else {
                Some(Document::parse(bytes, &self.limits)?)
            };
            Ok(Got {
                status: head.status,
                headers: head.headers,
                body,
            })
        };
        timeout_at(deadline, answered).await.unwrap_or(Err(Failure::Timeout))
    }

    fn outgoing<'a>(
        &self,
        place: usize,
        call: &'a Call,
        values: &Values<'a>,
        deadline: Instant,
    ) -> Result<Outgoing<'a>, Failure> {
        let mut headers = fields::first(values.request.headers, &call.pass);
        for (name, template) in &call.fields {
            if let Some(value) = template.fill(values)? {
                headers.insert(name.clone(), value);
            }
        }
        let body = match &call.body {
            Some(template) => {
                let json = HeaderValue::from_static("application/json");
                headers.entry(header::CONTENT_TYPE).or_insert(json);
                template.fill(values, self.limits.bytes)?
            }
            None => Bytes::new(),
        };
        Ok(Outgoing {
            call: place,
            upstream: call.target.upstream(),
            method: &call.method,
            target: call.target.fill(values)?,
            headers,
            body,
            deadline,
        })
    }
}

/// All of a body, if it is not larger than `most`. One that comes in one piece is not copied.
async fn collect<B: Body<Data = Bytes>>(body: B, most: usize) -> Result<Bytes, Failure> {
    if body.size_hint().lower() > most as u64 {
        return Err(Failure::TooLarge);
    }
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await {
        let Ok(data) = frame.map_err(|_| Failure::Broken)?.into_data() else {
            continue;
        };
        if first.len().max(more.len()).saturating_add(data.len()) > most {
            return Err(Failure::TooLarge);
        }
        if first.is_empty() && more.is_empty() {
            first = data;
            continue;
        }
        if more.is_empty() {
            more.extend_from_slice(&std::mem::take(&mut first));
        }
        more.extend_from_slice(&data);
    }
    Ok(if more.is_empty() { first } else { more.freeze() })
}

impl crate::backend::aggregate::template::Insert {
    /// Its value, where it is to be one of a document.
    fn json<'v>(&self, values: &Values<'v>) -> Result<Option<Value<'v>>, Failure> {
        use crate::backend::aggregate::template::{Found, Missing};
        match values.find(&self.source) {
            Some(Found::Json(value)) if !value.is_null() => Ok(Some(value)),
            _ if self.missing == Missing::Fails => Err(self.unfilled(Unfit::Missing).into()),
            _ => Ok(None),
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Timeout => Failure::Timeout,
            CallError::Unreachable => Failure::Unreachable,
            CallError::Broken => Failure::Broken,
        }
    }
}
